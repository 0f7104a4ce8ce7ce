/* The LDPC kernel in plain C, on the vectors of GCC and Clang: whatever the machine has for 16 bytes. */
#include "phy/ldpc_kernel.h"

#include <string.h>

#define KERNEL ldpc_kernel_portable
#define NAME "portable"
#define LANES 16
#define ANY_ROW

typedef int8_t vec __attribute__((vector_size(LANES)));
typedef uint8_t uvec __attribute__((vector_size(LANES)));

static inline vec vec_all(int8_t x)
{
	return (vec){ 0 } + x;
}

static inline vec vec_load(const int8_t *p)
{
	vec x;

	memcpy(&x, p, sizeof x);
	return x;
}

static inline void vec_store(int8_t *p, vec x)
{
	memcpy(p, &x, sizeof x);
}

static inline vec vec_hidden(vec x)
{
	return x;
}

static inline vec select(vec mask, vec yes, vec no)
{
	return (yes & mask) | (no & ~mask);
}

/* A sum overflows when its sign is that of neither operand. */
static inline vec vec_add(vec a, vec b)
{
	vec sum = (vec)((uvec)a + (uvec)b);

	return select(((a ^ sum) & (b ^ sum)) < 0, (a >> 7) ^ 127, sum);
}

static inline vec vec_sub(vec a, vec b)
{
	vec difference = (vec)((uvec)a - (uvec)b);

	return select(((a ^ b) & (a ^ difference)) < 0, (a >> 7) ^ 127, difference);
}

static inline vec vec_abs(vec x) /* 0 .. 128, unsigned, as all magnitudes */
{
	vec negative = x >> 7;

	return (vec)((uvec)(x ^ negative) - (uvec)negative);
}

static inline vec vec_min(vec a, vec b)
{
	return select((uvec)a < (uvec)b, a, b);
}

static inline vec vec_max(vec a, vec b)
{
	return select((uvec)a < (uvec)b, b, a);
}

static inline vec vec_reduce(vec a, vec b) /* magnitudes: a - b, at least 0 */
{
	return vec_max(a, b) - b;
}

static inline vec vec_xor(vec a, vec b)
{
	return a ^ b;
}

static inline vec vec_minus(vec a, vec b) /* a - b, modulo 256 */
{
	return (vec)((uvec)a - (uvec)b);
}

static inline vec vec_where_equal(vec x, vec other, vec a, vec b) /* other where a == b, else x */
{
	return select(a == b, other, x);
}

static inline vec vec_signed(vec magnitude, vec sign) /* -magnitude where sign < 0 */
{
	vec negative = sign >> 7;

	return (magnitude ^ negative) - negative;
}

static inline bool vec_any_negative(vec x, size_t n) /* in the first n lanes */
{
	int any = 0;

	for (size_t i = 0; i < n && i < LANES; i++)
		any |= x[i];
	return any < 0;
}

#include "phy/ldpc_row.inc"
