/* The LDPC kernel for AVX-512 with byte lanes. */
#ifdef __x86_64__
#include "phy/ldpc_kernel.h"

#include <immintrin.h>

#define KERNEL ldpc_kernel_avx512
#define NAME "avx512"
#define LANES 64

typedef __m512i vec;

static inline vec vec_all(int8_t x)
{
	return _mm512_set1_epi8(x);
}

static inline vec vec_load(const int8_t *p)
{
	return _mm512_loadu_si512(p);
}

static inline void vec_store(int8_t *p, vec x)
{
	_mm512_storeu_si512(p, x);
}

/* x, of which the compiler then knows nothing: it works out again what follows from it rather than store that too. */
static inline vec vec_hidden(vec x)
{
	__asm__("" : "+v"(x));
	return x;
}

static inline vec vec_add(vec a, vec b) /* saturating, as vec_sub */
{
	return _mm512_adds_epi8(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
	return _mm512_subs_epi8(a, b);
}

static inline vec vec_abs(vec x) /* 0 .. 128, unsigned, as all magnitudes */
{
	return _mm512_abs_epi8(x);
}

static inline vec vec_min(vec a, vec b)
{
	return _mm512_min_epu8(a, b);
}

static inline vec vec_max(vec a, vec b)
{
	return _mm512_max_epu8(a, b);
}

static inline vec vec_reduce(vec a, vec b) /* magnitudes: a - b, at least 0 */
{
	return _mm512_subs_epu8(a, b);
}

static inline vec vec_xor(vec a, vec b)
{
	return _mm512_xor_si512(a, b);
}

static inline vec vec_minus(vec a, vec b) /* a - b, modulo 256 */
{
	return _mm512_sub_epi8(a, b);
}

static inline vec vec_where_equal(vec x, vec other, vec a, vec b) /* other where a == b, else x */
{
	return _mm512_mask_blend_epi8(_mm512_cmpeq_epi8_mask(a, b), x, other);
}

static inline vec vec_signed(vec magnitude, vec sign) /* -magnitude where sign < 0 */
{
	return _mm512_mask_sub_epi8(magnitude, _mm512_movepi8_mask(sign), _mm512_setzero_si512(), magnitude);
}

static inline bool vec_any_negative(vec x, size_t n) /* in the first n lanes */
{
	uint64_t mask = _mm512_movepi8_mask(x);

	return (n < LANES ? mask << (LANES - n) : mask) != 0;
}

#include "phy/ldpc_row.inc"
#endif
