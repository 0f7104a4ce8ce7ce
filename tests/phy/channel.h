/* channel.h - a test channel for one slot: static paths at any fraction of a sample, CFO, white noise; all seeded.
 *
 * Paths are applied to the slot as a circle, in the frequency domain, so that fractions are exact and what wraps around
 * falls into the first cyclic prefix, as the slot before would.
 */
#ifndef TESTS_PHY_CHANNEL_H
#define TESTS_PHY_CHANNEL_H

#include "phy/numerology.h"

#include <complex.h>
#include <fftw3.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define assert_near(value, expected, tolerance) assert_true(fabs((double)(value) - (double)(expected)) <= (tolerance))

struct rng {
	uint64_t s;
};

static inline uint64_t rng_u64(struct rng *r)
{
	uint64_t z = r->s += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline double rng_uniform(struct rng *r)
{
	return ((double)(rng_u64(r) >> 11) + 0.5) * 0x1p-53;
}

/* Complex normal of mean square 1. */
static inline double complex rng_normal(struct rng *r)
{
	double a = sqrt(-log(rng_uniform(r))), p = 2 * M_PI * rng_uniform(r);
	return a * cexp(I * p);
}

static inline void rng_bytes(struct rng *r, uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)rng_u64(r);
}

enum { PATHS_MAX = 23 };

struct channel {
	size_t n_paths;
	double delay_samples[PATHS_MAX];
	double complex gain[PATHS_MAX];
	double cfo_hz, phase_rad; /* phase at the slot's first sample */
};

static inline struct channel channel_flat(double complex gain)
{
	return (struct channel){ .n_paths = 1, .gain = { gain } };
}

/* 3GPP TR 38.901 table 7.7.2-1 (TDL-A), Rayleigh paths drawn anew, mean power 1. */
static inline struct channel channel_tdl_a(struct rng *r, double spread_s, double rate_hz)
{
	static const double tdl[PATHS_MAX][2] = {
		{ 0.0000, -13.4 }, { 0.3819, 0 },     { 0.4025, -2.2 },  { 0.5868, -4 },    { 0.4610, -6 },
		{ 0.5375, -8.2 },  { 0.6708, -9.9 },  { 0.5750, -10.5 }, { 0.7618, -7.5 },  { 1.5375, -15.9 },
		{ 1.8978, -6.6 },  { 2.2242, -16.7 }, { 2.1718, -12.4 }, { 2.4942, -15.2 }, { 2.5119, -10.8 },
		{ 3.0582, -11.3 }, { 4.0810, -12.7 }, { 4.4579, -16.2 }, { 4.5695, -18.3 }, { 4.7966, -18.9 },
		{ 5.0066, -16.6 }, { 5.3043, -19.9 }, { 9.6586, -29.7 },
	};
	struct channel c = { .n_paths = PATHS_MAX };
	double total = 0;
	for (size_t i = 0; i < PATHS_MAX; i++)
		total += pow(10, tdl[i][1] / 10);
	for (size_t i = 0; i < PATHS_MAX; i++) {
		c.delay_samples[i] = tdl[i][0] * spread_s * rate_hz;
		c.gain[i] = sqrt(pow(10, tdl[i][1] / 10) / total) * rng_normal(r);
	}
	return c;
}

static inline double complex channel_response(const struct channel *c, double cycles_per_sample)
{
	double complex h = 0;
	for (size_t i = 0; i < c->n_paths; i++)
		h += c->gain[i] * cexp(-2 * M_PI * I * cycles_per_sample * c->delay_samples[i]);
	return h;
}

/* out += what the channel makes of in; both slot_len samples. */
static inline void channel_add(const struct numerology *num, const struct channel *c, const float complex *in,
                               float complex *out)
{
	size_t n = num->slot_len;
	float complex *x = (float complex *)fftwf_alloc_complex(n), *spectrum = (float complex *)fftwf_alloc_complex(n);
	fftwf_plan forward = fftwf_plan_dft_1d((int)n, x, spectrum, FFTW_FORWARD, FFTW_ESTIMATE);
	fftwf_plan back = fftwf_plan_dft_1d((int)n, spectrum, x, FFTW_BACKWARD, FFTW_ESTIMATE);
	memcpy(x, in, n * sizeof *x);
	fftwf_execute(forward);
	for (size_t i = 0; i < n; i++) {
		double f = (i < n / 2 ? (double)i : (double)i - (double)n) / (double)n;
		spectrum[i] *= (float complex)(channel_response(c, f) / (double)n);
	}
	fftwf_execute(back);
	for (size_t i = 0; i < n; i++)
		out[i] += (float complex)(x[i] *
		                          cexp(I * (c->phase_rad + 2 * M_PI * c->cfo_hz * (double)i / num->rate_hz)));
	fftwf_destroy_plan(back);
	fftwf_destroy_plan(forward);
	fftwf_free(spectrum);
	fftwf_free(x);
}

static inline void noise_add(struct rng *r, double variance, float complex *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] += (float complex)(sqrt(variance) * rng_normal(r));
}

/* What struct csi's h should be (phy/csi.h) for a sender of RE amplitude a: the response of subcarrier k at sample t of
 * the slot. */
static inline double complex channel_truth(const struct numerology *num, const struct channel *c, size_t k, double t,
                                           double a)
{
	double complex h = channel_response(c, numerology_offset(num, k) / (double)num->n_fft);
	return a * h * cexp(I * (c->phase_rad + 2 * M_PI * c->cfo_hz * t / num->rate_hz));
}

#endif
