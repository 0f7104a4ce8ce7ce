/* measure.h - measurements the radio tests share: tones, distances between distributions, set-ups of an ether. */
#ifndef TESTS_RADIO_MEASURE_H
#define TESTS_RADIO_MEASURE_H

#include <complex.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "radio/ether.h"

#define assert_close(value, wanted, tolerance)                                                                         \
	assert_true_or_say((double)(value), (double)(wanted), (double)(tolerance), #value, __FILE__, __LINE__)

static inline void assert_true_or_say(double value, double wanted, double tolerance, const char *what, const char *file,
                                      int line)
{
	if (!(fabs(value - wanted) <= tolerance)) {
		print_error("%s = %.9g, wanted %.9g +- %.3g\n", what, value, wanted, tolerance);
		_fail(file, line);
	}
}

static inline double db(double power_ratio)
{
	return 10 * log10(power_ratio);
}

static inline double mean_power(const float complex *x, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)(crealf(x[i]) * crealf(x[i]) + cimagf(x[i]) * cimagf(x[i]));
	return sum / (double)n;
}

/* x[i] = amplitude * exp(j 2 pi f (t + i)), f in cycles a sample; phase exact at any t. */
static inline void make_tone(float complex *x, size_t n, double f, uint64_t t, double amplitude)
{
	for (size_t i = 0; i < n; i++) {
		double turns = f * (double)(t + i);
		x[i] = (float complex)(amplitude * cexp(2 * I * M_PI * (turns - floor(turns))));
	}
}

/* Complex amplitude of exp(j 2 pi f (t + i)) in x. */
static inline double complex tone_amplitude(const float complex *x, size_t n, double f, double t)
{
	double complex sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double complex)x[i] * cexp(-2 * I * M_PI * f * (t + (double)i));
	return sum / (double)n;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov distance of v (sorted here) from the distribution cdf. */
static inline double ks_distance(double *v, size_t n, double (*cdf)(double x, const void *arg), const void *arg)
{
	double worst = 0;
	qsort(v, n, sizeof *v, compare_doubles);
	for (size_t i = 0; i < n; i++) {
		double f = cdf(v[i], arg);
		worst = fmax(worst, fmax(fabs(f - (double)i / (double)n), fabs(f - (double)(i + 1) / (double)n)));
	}
	return worst;
}

/* A small generator for test data, unrelated to the library's. */
static inline double uniform(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 11) * 0x1p-53;
}

/* Random samples inside full scale. */
static inline void make_noise(float complex *x, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		double re = uniform(&seed) - 0.5, im = uniform(&seed) - 0.5;
		x[i] = (float complex)(0.4 * (re + I * im));
	}
}

/* A plain ether: flat links without loss, perfect clocks, full scales of 0 dBm, so that a received sample is the sent
 * one and noise lies 100 dB below full scale at 7.68 MS/s. */
static inline struct ether_config plain_config(size_t n_devices)
{
	struct ether_config cfg = {
		.rate_hz = 7.68e6, .dl_hz = 3.5e9, .ul_hz = 3.4e9, .seed = 1, .n_devices = n_devices
	};
	for (size_t k = 0; k <= n_devices; k++) {
		cfg.node[k] = (struct ether_node_config){ .noise_figure_db = 5 };
		cfg.link[k] = (struct ether_link_config){ .model = "none" };
	}
	return cfg;
}

static inline struct ether *make_ether(const struct ether_config *cfg)
{
	char err[160] = "";
	struct ether *e = ether_create(cfg, err, sizeof err);
	if (!e)
		fail_msg("%s", err);
	return e;
}

static inline float complex *new_samples(size_t n)
{
	float complex *x = calloc(n, sizeof *x);
	assert_non_null(x);
	return x;
}

#endif
