/* lanes.h - sixteen floats side by side, for tensor.c.
 *
 * Three ways to the same bits: AVX-512, AVX2 with FMA, and plain C whose fmaf the C library rounds like the hardware.
 */
#ifndef MOE_LANES_H
#define MOE_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__)
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

static inline lanes lanes_load_i8(const int8_t *p, float scale)
{
	__m512i q = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
	return _mm512_mul_ps(_mm512_cvtepi32_ps(q), _mm512_set1_ps(scale));
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

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
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

static inline lanes lanes_load_i8(const int8_t *p, float scale)
{
	__m256i lo = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
	__m256i hi = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)));
	__m256 s = _mm256_set1_ps(scale);
	return (lanes){ _mm256_mul_ps(_mm256_cvtepi32_ps(lo), s), _mm256_mul_ps(_mm256_cvtepi32_ps(hi), s) };
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

static inline lanes lanes_load_i8(const int8_t *p, float scale)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = (float)p[i] * scale;
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
