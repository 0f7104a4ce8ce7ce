#include "phy/gold.h"

#include <math.h>

enum { N_C = 1600 };

/* x(n + 64) from x(n + 2 + ...): the squared polynomials shifted by two, 32 outputs at a time. */
static void step(struct gold *g)
{
	uint32_t next1 = (uint32_t)(g->x1 >> 8 ^ g->x1 >> 2);
	uint32_t next2 = (uint32_t)(g->x2 >> 8 ^ g->x2 >> 6 ^ g->x2 >> 4 ^ g->x2 >> 2);

	g->x1 = g->x1 >> 32 | (uint64_t)next1 << 32;
	g->x2 = g->x2 >> 32 | (uint64_t)next2 << 32;
}

/* Outputs 0 .. 63 of a register from its first 31: bit by bit, once. taps: x(n + 31) is the parity of taps & state. */
static uint64_t first_64(uint32_t state, uint32_t taps)
{
	uint64_t x = state;

	for (int n = 0; n + 31 < 64; n++)
		x |= (uint64_t)(__builtin_popcountll(x >> n & taps) & 1) << (n + 31);
	return x;
}

void gold_init(struct gold *g, uint32_t c_init)
{
	g->x1 = first_64(1, 0x9);                   /* x1(n + 31) = x1(n + 3) + x1(n) */
	g->x2 = first_64(c_init & 0x7FFFFFFF, 0xF); /* x2(n + 31) = x2(n + 3) + x2(n + 2) + x2(n + 1) + x2(n) */
	for (int n = 0; n < N_C; n += 32)
		step(g);
}

uint32_t gold_next32(struct gold *g)
{
	uint32_t c = (uint32_t)(g->x1 ^ g->x2);

	step(g);
	return c;
}

void gold_words(uint32_t c_init, uint32_t *words, size_t n_words)
{
	struct gold g;

	gold_init(&g, c_init);
	for (size_t i = 0; i < n_words; i++)
		words[i] = gold_next32(&g);
}

void gold_xor_bits(uint32_t c_init, uint8_t *bits, size_t n)
{
	struct gold g;
	size_t i = 0;

	gold_init(&g, c_init);
	for (; i + 32 <= n; i += 32) {
		uint32_t c = gold_next32(&g);
		for (uint32_t k = 0; k < 32; k++)
			bits[i + k] ^= (uint8_t)(c >> k & 1);
	}
	for (uint32_t c = gold_next32(&g); i < n; i++, c >>= 1)
		bits[i] ^= (uint8_t)(c & 1);
}

void gold_flip_llr(uint32_t c_init, float *llr, size_t n)
{
	struct gold g;
	size_t i = 0;

	gold_init(&g, c_init);
	for (; i + 32 <= n; i += 32) {
		uint32_t c = gold_next32(&g);
		for (uint32_t k = 0; k < 32; k++)
			llr[i + k] = (float)(1 - 2 * (int)(c >> k & 1)) * llr[i + k];
	}
	for (uint32_t c = gold_next32(&g); i < n; i++, c >>= 1)
		llr[i] = c & 1 ? -llr[i] : llr[i];
}

void gold_qpsk(uint32_t c_init, float complex *out, size_t n)
{
	struct gold g;
	const float a = sqrtf(0.5f);

	gold_init(&g, c_init);
	for (size_t m = 0; m < n;) {
		uint32_t c = gold_next32(&g);
		for (int k = 0; k < 16 && m < n; k++, m++, c >>= 2)
			out[m] = CMPLXF(c & 1 ? -a : a, c & 2 ? -a : a);
	}
}
