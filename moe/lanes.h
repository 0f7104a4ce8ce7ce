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

#include "moe/half.h"

enum { LANES = 16 };

enum { WHOLE_ROWS = 2 };

/* Tiles of products, rows by vectors: as many sums as the registers hold beside the vectors and a weight. Products of whole numbers
 * have tiles of their own, WHOLE_ROWS by WHOLE_VECTORS at most. */
#ifdef LANES_AVX512
#define TILE_VECTORS 8
#define FOR_EACH_TILE(X, ...)                                                                                          \
	X(__VA_ARGS__, 8, 1)                                                                                           \
	X(__VA_ARGS__, 8, 2)                                                                                           \
	X(__VA_ARGS__, 8, 3)                                                                                           \
	X(__VA_ARGS__, 6, 4)                                                                                           \
	X(__VA_ARGS__, 5, 5)                                                                                           \
	X(__VA_ARGS__, 4, 6)                                                                                           \
	X(__VA_ARGS__, 3, 7)                                                                                           \
	X(__VA_ARGS__, 2, 8)
#define WHOLE_VECTORS 8
#define FOR_EACH_WHOLE(X, ...)                                                                                         \
	X(__VA_ARGS__, 2, 1)                                                                                           \
	X(__VA_ARGS__, 2, 2)                                                                                           \
	X(__VA_ARGS__, 2, 3)                                                                                           \
	X(__VA_ARGS__, 2, 4)                                                                                           \
	X(__VA_ARGS__, 2, 5)                                                                                           \
	X(__VA_ARGS__, 2, 6)                                                                                           \
	X(__VA_ARGS__, 1, 7)                                                                                           \
	X(__VA_ARGS__, 1, 8)
#else
#define TILE_VECTORS 3
#define FOR_EACH_TILE(X, ...)                                                                                          \
	X(__VA_ARGS__, 6, 1)                                                                                           \
	X(__VA_ARGS__, 3, 2)                                                                                           \
	X(__VA_ARGS__, 2, 3)
#define WHOLE_VECTORS 3
#define FOR_EACH_WHOLE(X, ...) X(__VA_ARGS__, 2, 1) X(__VA_ARGS__, 1, 2) X(__VA_ARGS__, 1, 3)
#endif

/* Sixteen small integers, before they become lanes: the compiler's own vectors, which have all operators. */
typedef uint8_t sixteen __attribute__((vector_size(16)));

static inline sixteen sixteen_load(const void *p)
{
	sixteen v;
	memcpy(&v, p, sizeof v);
	return v;
}

/* Of each instruction set besides: lanes_pair, eight of one number and eight of another (lanes_pair_f16, from where they lie; lanes_pair_front, of the first two f16 of v); lanes_spread_2, eight of lane
 * 2 j and eight of lane 2 j + 1, j < 4; lanes_spread_4, four of each of lanes 4 j .. 4 j + 3; lanes_upper, lanes 8 .. 15 and eight zeros. */

/* Thirty-two of them: a block of weights, of which two make a stride. */
typedef uint8_t thirty_two __attribute__((vector_size(32), aligned(1), may_alias));

static inline thirty_two thirty_two_load(const void *p)
{
	return *(const thirty_two *)p;
}

/* Of each instruction set: a stride is 64 columns of weights as bytes (stride_of_nibbles: the low halves of
 * 32 bytes, then the high ones; stride_scaled: of p, twice an f16, the scale, and 32 bytes); stride_dot gives, in lane i, the sum over columns
 * 4 i .. 4 i + 3 of w x, w from 0 to 127; stride_dot_signed the same for w from -128 to 127, given stride_zero(w), which serves
 * any number of x, and x with 128 added beside x. x: from -127 to 127. */

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

static inline void lanes_store(float *p, lanes v)
{
	_mm512_storeu_ps(p, v);
}

/* In a register from here on: the compiler would otherwise read a vector from memory for each product. */
static inline lanes lanes_kept(lanes v)
{
	__asm__("" : "+v"(v));
	return v;
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

/* Sums of sixteen, `step` apart, to y: the same tree, its branches side by side. */
static inline void lanes_sums(const lanes *v, size_t step, float *y)
{
	__m512 a[8], b[4], c[2];
	for (size_t i = 0; i < 8; i++) { /* partners 8 apart; two sums a register */
		__m512 p = v[2 * i * step], q = v[(2 * i + 1) * step];
		a[i] = _mm512_add_ps(_mm512_shuffle_f32x4(p, q, 0x44), _mm512_shuffle_f32x4(p, q, 0xee));
	}
	for (size_t i = 0; i < 4; i++) /* 4 apart; four */
		b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x88),
		                     _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0xdd));
	for (size_t i = 0; i < 2; i++) /* 2 apart; eight */
		c[i] = _mm512_add_ps(_mm512_shuffle_ps(b[2 * i], b[2 * i + 1], 0x44),
		                     _mm512_shuffle_ps(b[2 * i], b[2 * i + 1], 0xee));
	__m512 sums = _mm512_add_ps(_mm512_shuffle_ps(c[0], c[1], 0x88), _mm512_shuffle_ps(c[0], c[1], 0xdd));
	/* lane 4 m + n holds sum 4 n + m */
	const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
	_mm512_storeu_ps(y, _mm512_permutexvar_ps(order, sums));
}

static inline lanes lanes_pair(float lo, float hi)
{
	return _mm512_mask_broadcastss_ps(_mm512_set1_ps(lo), 0xff00, _mm_set_ss(hi));
}

static inline lanes lanes_pair_f16(const uint16_t *lo, const uint16_t *hi)
{
	__m256i low = _mm256_broadcastw_epi16(_mm_loadu_si16(lo));
	return _mm512_cvtph_ps(_mm256_mask_broadcastw_epi16(low, 0xff00, _mm_loadu_si16(hi)));
}

static inline lanes lanes_pair_front(sixteen v)
{
	const __m256i each = _mm256_set_epi16(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
	return _mm512_cvtph_ps(_mm256_permutexvar_epi16(each, _mm256_castsi128_si256((__m128i)v)));
}

static inline lanes lanes_spread_2(lanes v, size_t j)
{
	const __m512i each = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
	return _mm512_permutexvar_ps(_mm512_add_epi32(each, _mm512_set1_epi32((int)(2 * j))), v);
}

static inline lanes lanes_spread_4(lanes v, size_t j)
{
	const __m512i each = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
	return _mm512_permutexvar_ps(_mm512_add_epi32(each, _mm512_set1_epi32((int)(4 * j))), v);
}

static inline lanes lanes_mul(lanes a, lanes b)
{
	return _mm512_mul_ps(a, b);
}

static inline lanes lanes_sub(lanes a, lanes b)
{
	return _mm512_sub_ps(a, b);
}

static inline lanes lanes_upper(lanes v)
{
	return _mm512_maskz_shuffle_f32x4(0x00ff, v, v, 0xee);
}

typedef __m512i stride;

static inline stride stride_of_nibbles(const uint8_t *q)
{
	const __m512i shifts = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
	__m512i twice = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)q));
	return _mm512_and_si512(_mm512_srlv_epi16(twice, shifts), _mm512_set1_epi8(15));
}

static inline stride stride_of(thirty_two lo, thirty_two hi)
{
	return _mm512_inserti64x4(_mm512_castsi256_si512((__m256i)lo), (__m256i)hi, 1);
}

/* By few loads: beside reading from memory those from the nearest cache are what is short. */
static inline stride stride_scaled(const uint8_t *p, lanes *scale)
{
	enum { TAIL = 32 }; /* words of p from there on are in a register of their own */
	const __m512i weights = _mm512_set_epi16(TAIL + 1, TAIL, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18,
	                                         16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
	const __m512i scales = _mm512_set_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17, 17, 17, 17, 17, 17,
	                                        17, 17, 0, 0, 0, 0, 0, 0, 0, 0);
	__m512i words = _mm512_loadu_si512(p), tail = _mm512_castsi128_si512(_mm_loadu_si32(p + 2 * TAIL));
	*scale = _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutexvar_epi16(scales, words)));
	return _mm512_permutex2var_epi16(words, weights, tail);
}

static inline lanes stride_dot(stride w, const int8_t *x)
{
	return _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), w, _mm512_loadu_si512(x)));
}

/* The instruction multiplies unsigned by signed bytes: x with 128 added. This takes it off again. */
typedef __m512i zero_point;

static inline zero_point stride_zero(stride w)
{
	__m512i sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8((char)0x80), w);
	return _mm512_sub_epi32(_mm512_setzero_si512(), sums);
}

static inline lanes stride_dot_signed(stride w, zero_point zero, const int8_t *x, const uint8_t *shifted)
{
	(void)x;
	return _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(zero, _mm512_loadu_si512(shifted), w));
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

static inline void lanes_store(float *p, lanes v)
{
	_mm256_storeu_ps(p, v.lo);
	_mm256_storeu_ps(p + 8, v.hi);
}

static inline lanes lanes_kept(lanes v)
{
	return v;
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

static inline void lanes_sums(const lanes *v, size_t step, float *y)
{
	for (size_t i = 0; i < LANES; i++)
		y[i] = lanes_sum(v[i * step]);
}

static inline lanes lanes_pair(float lo, float hi)
{
	return (lanes){ _mm256_set1_ps(lo), _mm256_set1_ps(hi) };
}

static inline lanes lanes_pair_f16(const uint16_t *lo, const uint16_t *hi)
{
	return lanes_pair(f16_value(*lo), f16_value(*hi));
}

static inline lanes lanes_spread_2(lanes v, size_t j)
{
	return (lanes){ _mm256_permutevar8x32_ps(v.lo, _mm256_set1_epi32((int)(2 * j))),
		        _mm256_permutevar8x32_ps(v.lo, _mm256_set1_epi32((int)(2 * j + 1))) };
}

static inline lanes lanes_spread_4(lanes v, size_t j)
{
	const __m256i each = _mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0);
	__m256i low = _mm256_add_epi32(each, _mm256_set1_epi32((int)(4 * (j % 2))));
	__m256 half = j < 2 ? v.lo : v.hi;
	return (lanes){ _mm256_permutevar8x32_ps(half, low),
		        _mm256_permutevar8x32_ps(half, _mm256_add_epi32(low, _mm256_set1_epi32(2))) };
}

static inline lanes lanes_mul(lanes a, lanes b)
{
	return (lanes){ _mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi) };
}

static inline lanes lanes_sub(lanes a, lanes b)
{
	return (lanes){ _mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi) };
}

static inline lanes lanes_upper(lanes v)
{
	return (lanes){ v.hi, _mm256_setzero_ps() };
}

typedef struct {
	__m256i lo, hi;
} stride;

static inline stride stride_of(thirty_two lo, thirty_two hi)
{
	return (stride){ (__m256i)lo, (__m256i)hi };
}

static inline stride stride_of_nibbles(const uint8_t *q)
{
	return stride_of(thirty_two_load(q) & 15, thirty_two_load(q) >> 4);
}

/* Of two products of 7 and 8 bits no sum saturates. */
static inline __m256i four_products(__m256i w, __m256i x)
{
	return _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1));
}

static inline lanes stride_dot(stride w, const int8_t *x)
{
	return (lanes){ _mm256_cvtepi32_ps(four_products(w.lo, _mm256_loadu_si256((const __m256i *)x))),
		        _mm256_cvtepi32_ps(four_products(w.hi, _mm256_loadu_si256((const __m256i *)(x + 32)))) };
}

typedef struct {
	char nothing;
} zero_point;

static inline zero_point stride_zero(stride w)
{
	(void)w;
	return (zero_point){ 0 };
}

/* |w| times x with the sign of w: |w| is 128 at most, x between -127 and 127. */
static inline __m256i four_signed(__m256i w, __m256i x)
{
	return four_products(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

static inline lanes stride_dot_signed(stride w, zero_point zero, const int8_t *x, const uint8_t *shifted)
{
	(void)zero, (void)shifted;
	return (lanes){ _mm256_cvtepi32_ps(four_signed(w.lo, _mm256_loadu_si256((const __m256i *)x))),
		        _mm256_cvtepi32_ps(four_signed(w.hi, _mm256_loadu_si256((const __m256i *)(x + 32)))) };
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

static inline void lanes_store(float *p, lanes v)
{
	memcpy(p, v.v, sizeof v.v);
}

static inline lanes lanes_kept(lanes v)
{
	return v;
}

static inline lanes lanes_load_f16(const uint16_t *p)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = f16_value(p[i]);
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

static inline void lanes_sums(const lanes *v, size_t step, float *y)
{
	for (size_t i = 0; i < LANES; i++)
		y[i] = lanes_sum(v[i * step]);
}

static inline lanes lanes_pair(float lo, float hi)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = i < LANES / 2 ? lo : hi;
	return r;
}

static inline lanes lanes_pair_f16(const uint16_t *lo, const uint16_t *hi)
{
	return lanes_pair(f16_value(*lo), f16_value(*hi));
}

static inline lanes lanes_spread_2(lanes v, size_t j)
{
	return lanes_pair(v.v[2 * j], v.v[2 * j + 1]);
}

static inline lanes lanes_spread_4(lanes v, size_t j)
{
	lanes r;
	for (size_t i = 0; i < LANES; i++)
		r.v[i] = v.v[4 * j + i / 4];
	return r;
}

static inline lanes lanes_mul(lanes a, lanes b)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = a.v[i] * b.v[i];
	return r;
}

static inline lanes lanes_sub(lanes a, lanes b)
{
	lanes r;
	for (int i = 0; i < LANES; i++)
		r.v[i] = a.v[i] - b.v[i];
	return r;
}

static inline lanes lanes_upper(lanes v)
{
	lanes r = lanes_zero();
	memcpy(r.v, v.v + LANES / 2, sizeof r.v / 2);
	return r;
}

typedef struct {
	thirty_two half[2];
} stride;

static inline stride stride_of(thirty_two lo, thirty_two hi)
{
	return (stride){ { lo, hi } };
}

static inline stride stride_of_nibbles(const uint8_t *q)
{
	return stride_of(thirty_two_load(q) & 15, thirty_two_load(q) >> 4);
}

static inline lanes stride_dot(stride w, const int8_t *x)
{
	lanes r;
	for (int i = 0; i < LANES; i++) {
		int32_t sum = 0;
		for (int k = 4 * i; k < 4 * i + 4; k++)
			sum += (int8_t)w.half[k / 32][k % 32] * x[k];
		r.v[i] = (float)sum;
	}
	return r;
}

typedef struct {
	char nothing;
} zero_point;

static inline zero_point stride_zero(stride w)
{
	(void)w;
	return (zero_point){ 0 };
}

static inline lanes stride_dot_signed(stride w, zero_point zero, const int8_t *x, const uint8_t *shifted)
{
	(void)zero, (void)shifted;
	return stride_dot(w, x);
}

#endif

#ifndef LANES_AVX512
/* Eight of each of the first two f16 of v. */
static inline lanes lanes_pair_front(sixteen v)
{
	uint16_t d[2];
	memcpy(d, &v, sizeof d);
	return lanes_pair(f16_value(d[0]), f16_value(d[1]));
}

static inline stride stride_scaled(const uint8_t *p, lanes *scale)
{
	uint16_t d[2];
	memcpy(&d[0], p, sizeof d[0]);
	memcpy(&d[1], p + 34, sizeof d[1]);
	*scale = lanes_pair(f16_value(d[0]), f16_value(d[1]));
	return stride_of(thirty_two_load(p + 2), thirty_two_load(p + 36));
}
#endif

#endif
