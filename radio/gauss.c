#include "radio/gauss.h"

#include <math.h>
#include <string.h>

#include "radio/turns.h"

enum { PHILOX_ROUNDS = 7, LANES = GAUSS_BLOCK / 2 };

static const uint32_t philox_mul[2] = { 0xD2511F53u, 0xCD9E8D57u };
static const uint32_t philox_weyl[2] = { 0x9E3779B9u, 0xBB67AE85u };

void gauss_philox(const uint32_t counter[4], uint64_t key, uint32_t word[4])
{
	uint32_t c[4] = { counter[0], counter[1], counter[2], counter[3] };
	uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
	for (int round = 0; round < PHILOX_ROUNDS; round++, k0 += philox_weyl[0], k1 += philox_weyl[1]) {
		uint64_t p0 = (uint64_t)philox_mul[0] * c[0], p1 = (uint64_t)philox_mul[1] * c[2];
		uint32_t c0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, c2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
		c[0] = c0, c[1] = (uint32_t)p1, c[2] = c2, c[3] = (uint32_t)p0;
	}
	memcpy(word, c, sizeof c);
}

/* The same for a block of counters that differ in their first word; rounds unrolled so that the loop over counters
 * vectorises with its state in registers. */
static void philox_block(uint64_t block, uint32_t stream, uint64_t key, uint32_t word[4][LANES])
{
	const uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
	const uint32_t low = (uint32_t)block, high = (uint32_t)(block >> 32);
	for (uint32_t l = 0; l < LANES; l++) {
		uint32_t a = l, b = low, c = high, d = stream;
#pragma GCC unroll 7
		for (uint32_t round = 0; round < PHILOX_ROUNDS; round++) {
			uint64_t p0 = (uint64_t)philox_mul[0] * a, p1 = (uint64_t)philox_mul[1] * c;
			a = (uint32_t)(p1 >> 32) ^ b ^ (k0 + round * philox_weyl[0]);
			b = (uint32_t)p1;
			c = (uint32_t)(p0 >> 32) ^ d ^ (k1 + round * philox_weyl[1]);
			d = (uint32_t)p0;
		}
		word[0][l] = a;
		word[1][l] = b;
		word[2][l] = c;
		word[3][l] = d;
	}
}

/* Natural logarithm of 2^-33 .. 1, relative error below 2e-7 (Cephes logf), branch-free. */
static inline float log_unit(float u)
{
	uint32_t bits;
	memcpy(&bits, &u, sizeof bits);
	bits -= 0x3f3504f3u; /* sqrt(1/2): mantissa into [sqrt(1/2), sqrt(2)) */
	float e = (float)((int32_t)bits >> 23);
	bits = (bits & 0x007fffffu) + 0x3f3504f3u;
	float m;
	memcpy(&m, &bits, sizeof m);
	float x = m - 1.0f, z = x * x;
	float p = 7.0376836292e-2f;
	p = p * x - 1.1514610310e-1f;
	p = p * x + 1.1676998740e-1f;
	p = p * x - 1.2420140846e-1f;
	p = p * x + 1.4249322787e-1f;
	p = p * x - 1.6668057665e-1f;
	p = p * x + 2.0000714765e-1f;
	p = p * x - 2.4999993993e-1f;
	p = p * x + 3.3333331174e-1f;
	return (x * z * p + e * -2.12194440e-4f - 0.5f * z + x) + e * 0.693359375f;
}

static void box_muller(const uint32_t *radius, const uint32_t *angle, float *re, float *im)
{
	for (int l = 0; l < LANES; l++) {
		float u = (float)radius[l] * 0x1p-32f + 0x1p-33f;
		float square = -2.0f * log_unit(u);
		float r = sqrtf(square > 0 ? square : 0.0f);
		float s, c;
		turns_sincos(angle[l], &s, &c);
		re[l] = r * c;
		im[l] = r * s;
	}
}

void gauss_fill(uint64_t seed, uint32_t stream, uint64_t t_samples, size_t n, float *re, float *im)
{
	uint32_t word[4][LANES];
	for (size_t i = 0; i < n; i += GAUSS_BLOCK) {
		philox_block((t_samples + i) / GAUSS_BLOCK, stream, seed, word);
		box_muller(word[0], word[1], re + i, im + i);
		box_muller(word[2], word[3], re + i + LANES, im + i + LANES);
	}
}
