/* The LDPC kernel for AVX2. */
#ifdef __x86_64__
#include "phy/ldpc_kernel.h"

#include <immintrin.h>

#define KERNEL ldpc_kernel_avx2
#define NAME "avx2"
#define LANES 32

typedef __m256i vec;

static inline vec vec_all(int8_t x)
{
	return _mm256_set1_epi8(x);
}

static inline vec vec_load(const int8_t *p)
{
	return _mm256_loadu_si256((const __m256i_u *)p);
}

static inline void vec_store(int8_t *p, vec x)
{
	_mm256_storeu_si256((__m256i_u *)p, x);
}

/* x, of which the compiler then knows nothing: it works out again what follows from it rather than store that too. */
static inline vec vec_hidden(vec x)
{
	__asm__("" : "+x"(x));
	return x;
}

static inline vec vec_add(vec a, vec b) /* saturating, as vec_sub */
{
	return _mm256_adds_epi8(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
	return _mm256_subs_epi8(a, b);
}

static inline vec vec_abs(vec x) /* 0 .. 128, unsigned, as all magnitudes */
{
	return _mm256_abs_epi8(x);
}

static inline vec vec_min(vec a, vec b)
{
	return _mm256_min_epu8(a, b);
}

static inline vec vec_max(vec a, vec b)
{
	return _mm256_max_epu8(a, b);
}

static inline vec vec_reduce(vec a, vec b) /* magnitudes: a - b, at least 0 */
{
	return _mm256_subs_epu8(a, b);
}

static inline vec vec_xor(vec a, vec b)
{
	return _mm256_xor_si256(a, b);
}

static inline vec vec_minus(vec a, vec b) /* a - b, modulo 256 */
{
	return _mm256_sub_epi8(a, b);
}

static inline vec vec_where_equal(vec x, vec other, vec a, vec b) /* other where a == b, else x */
{
	return _mm256_blendv_epi8(x, other, _mm256_cmpeq_epi8(a, b));
}

static inline vec vec_signed(vec magnitude, vec sign) /* -magnitude where sign < 0 */
{
	return _mm256_sign_epi8(magnitude, _mm256_or_si256(sign, _mm256_set1_epi8(1)));
}

static inline bool vec_any_negative(vec x, size_t n) /* in the first n lanes */
{
	unsigned mask = (unsigned)_mm256_movemask_epi8(x);

	return (n < LANES ? mask << (LANES - n) : mask) != 0;
}

#include "phy/ldpc_row.inc"
#endif
