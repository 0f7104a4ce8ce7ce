/* awgn.h - seeded random bits, bytes and complex Gaussian noise for the tests and measurements of the coding chain.
 *
 * splitmix64 (Steele, Lea, Flood, OOPSLA 2014) and the Box-Muller transform. The seed alone decides what comes.
 */
#ifndef TESTS_PHY_AWGN_H
#define TESTS_PHY_AWGN_H

#include <complex.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct awgn {
	uint64_t state; /* the seed, to begin with */
};

static inline uint64_t awgn_u64(struct awgn *g)
{
	uint64_t x = g->state += 0x9E3779B97F4A7C15u;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
	x = (x ^ x >> 27) * 0x94D049BB133111EBu;
	return x ^ x >> 31;
}

/* Uniform in (0, 1]. */
static inline double awgn_uniform(struct awgn *g)
{
	return (double)((awgn_u64(g) >> 11) + 1) * 0x1p-53;
}

/* Circular, of mean power 1. */
static inline float complex awgn_noise(struct awgn *g)
{
	float r = sqrtf(-logf((float)awgn_uniform(g))), a = 6.2831853f * (float)awgn_uniform(g);

	return CMPLXF(r * cosf(a), r * sinf(a));
}

static inline void awgn_bytes(struct awgn *g, uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(awgn_u64(g) >> 40);
}

static inline void awgn_bits(struct awgn *g, uint8_t *bits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bits[i] = awgn_u64(g) >> 40 & 1;
}

/* y = x + noise of variance noise_var, n symbols; in place is fine. */
static inline void awgn_add(struct awgn *g, const float complex *x, float noise_var, float complex *y, size_t n)
{
	float a = sqrtf(noise_var);

	for (size_t i = 0; i < n; i++)
		y[i] = x[i] + a * awgn_noise(g);
}

#endif
