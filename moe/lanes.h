/* lanes.h - sixteen floats side by side, for kernels.inc.
 *
 * Three ways to the same bits, of which the including file chooses one: LANES_AVX512, LANES_AVX2 (with FMA and F16C), or
 * LANES_PLAIN, plain C whose fmaf the C library rounds like the hardware.
 */
#ifndef MOE_LANES_H
#define MOE_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

/* Sixteen small integers, before they become lanes: the compiler's own vectors, which have all operators. */
typedef uint8_t sixteen __attribute__((vector_size(16)));

static inline sixteen sixteen_load(const void *p)
{
	sixteen v;
	memcpy(&v, p, sizeof v);
	return v;
}

#if defined(LANES_AVX512)
#include <immintrin.h>

typedef __m512 lanes;

static inline lanes lanes_zero(void)
{
	return _mm512_setzero_ps();
}

static inline lanes lanes_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

static inline lanes lanes_load_f16(const uint16_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline lanes lanes_load_bf16(const uint16_t *p)
{
	__m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
	return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline lanes lanes_of_i8(sixteen q)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)q));
}

static inline lanes lanes_all(float x)
{
	return _mm512_set1_ps(x);
}

static inline lanes lanes_scale(float scale, lanes v)
{
	return _mm512_mul_ps(v, _mm512_set1_ps(scale));
}

static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
	return _mm512_fmadd_ps(a, b, c);
}

/* A tree: partners 8, then 4, 2, 1 lanes apart. */
static inline float lanes_sum(lanes v)
{
	__m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
	__m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
	q = _mm_add_ps(q, _mm_movehl_ps(q, q));
	q = _mm_add_ss(q, _mm_shuffle_ps(q, q, 1));
	return _mm_cvtss_f32(q);
}

#elif defined(LANES_AVX2)
#include <immintrin.h>

typedef struct {
	__m256 lo, hi;
} lanes;

static inline lanes lanes_zero(void)
{
	return (lanes){ _mm256_setzero_ps(), _mm256_setzero_ps() };
}

static inline lanes lanes_load(const float *p)
{
	return (lanes){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) };
}

static inline lanes lanes_load_f16(const uint16_t *p)
{
	return (lanes){ _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
		        _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))) };
}

static inline __m256 half_of_bf16(__m128i bits)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

static inline lanes lanes_load_bf16(const uint16_t *p)
{
	return (lanes){ half_of_bf16(_mm_loadu_si128((const __m128i *)p)),
		        half_of_bf16(_mm_loadu_si128((const __m128i *)(p + 8))) };
}

static inline lanes lanes_of_i8(sixteen q)
{
	__m128i v = (__m128i)q;
	return (lanes){ _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)),
		        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8))) };
}

static inline lanes lanes_all(float x)
{
	return (lanes){ _mm256_set1_ps(x), _mm256_set1_ps(x) };
}

static inline lanes lanes_scale(float scale, lanes v)
{
	__m256 s = _mm256_set1_ps(scale);
	return (lanes){ _mm256_mul_ps(v.lo, s), _mm256_mul_ps(v.hi, s) };
}

static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
	return (lanes){ _mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi) };
}

static inline float lanes_sum(lanes v)
{
	__m256 h = _mm256_add_ps(v.lo, v.hi);
	__m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
	q = _mm_add_ps(q, _mm_movehl_ps(q, q));
	q = _mm_add_ss(q, _mm_shuffle_ps(q, q, 1));
	return _mm_cvtss_f32(q);
}

#else

typedef struct {
	float v[LANES];
} lanes;

static inline lanes lanes_zero(void)
{
	return (lanes){ { 0 } };
}

static inline lanes lanes_load(const float *p)
{
	lanes r;
	memcpy(r.v, p, sizeof r.v);
	return r;
}

static inline lanes lanes_load_f16(const uint16_t *p)
{
	_Float16 h[LANES];
	memcpy(h, p, sizeof h);
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = (float)h[i];
	return r;
}

static inline lanes lanes_load_bf16(const uint16_t *p)
{
	lanes r;
	for (int i = 0; i < LANES; i++) {
		uint32_t bits = (uint32_t)p[i] << 16;
		memcpy(&r.v[i], &bits, sizeof bits);
	}
	return r;
}

static inline lanes lanes_of_i8(sixteen q)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = (float)(int8_t)q[i];
	return r;
}

static inline lanes lanes_all(float x)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = x;
	return r;
}

/* A product that nothing may fuse with what it is added to. */
static inline lanes lanes_scale(float scale, lanes v)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = scale * v.v[i];
	return r;
}

static inline lanes lanes_fma(lanes a, lanes b, lanes c)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
	return r;
}

static inline float lanes_sum(lanes v)
{
	for (int apart = LANES / 2; apart; apart /= 2)
		for (int i = 0; i < apart; i++)
			v.v[i] += v.v[i + apart];
	return v.v[0];
}

#endif

#endif
