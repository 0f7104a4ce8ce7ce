/* Wiener interpolation against its own theory: the error predicted by the matrices, and the Wiener formula solved
 * another way. */
#include "phy/chest.h"
#include "tests/phy/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct numerology num;
static uint16_t all[PHY_SC_MAX];

static int setup(void **state)
{
	(void)state;
	char err[128];
	for (size_t k = 0; k < PHY_SC_MAX; k++)
		all[k] = (uint16_t)k;
	return numerology_init(&num, 7.68e6, 30e3, 18, 14, err, sizeof err);
}

static size_t every(size_t first, size_t step, uint16_t *pilots)
{
	size_t n = 0;
	for (size_t k = first; k < num.n_sc; k += step)
		pilots[n++] = (uint16_t)k;
	return n;
}

static void channels_inside_the_prior_come_through_without_noise(void **state)
{
	(void)state;
	uint16_t pilots[PHY_SC_MAX] = { 0 };
	float complex p[PHY_SC_MAX], h[PHY_SC_MAX];
	struct chest_prior prior = chest_default_prior(&num);
	size_t n = every(0, 3, pilots);
	struct chest *c = chest_create(&num, &prior, pilots, n, all, num.n_sc);
	for (double delay = prior.delay_min + 1; delay <= prior.delay_max - 1; delay += 0.7) {
		struct channel one = { .n_paths = 1, .delay_samples = { delay }, .gain = { 1 } };
		double error = 0;
		for (size_t j = 0; j < n; j++)
			p[j] = (float complex)channel_truth(&num, &one, pilots[j], 0, 1);
		chest_estimate(c, p, h);
		for (size_t k = 0; k < num.n_sc; k++)
			error += pow(cabs(h[k] - channel_truth(&num, &one, k, 0, 1)), 2) / (double)num.n_sc;
		assert_true(10 * log10(error) < -35);
	}
	chest_destroy(c);
}

/* Error of an estimator for channels drawn from its prior, noise at the design SNR: average of what is measured against
 * the Wiener theory r(0) - w'r, with w taken from the object by unit vectors. */
static void error_on_channels_of_the_prior_is_what_theory_says(void **state)
{
	(void)state;
	struct rng rng = { 11 };
	uint16_t pilots[PHY_SC_MAX] = { 0 };
	float complex p[PHY_SC_MAX], h[PHY_SC_MAX];
	struct chest_prior prior = { -2, 14, 15 };
	size_t n = every(5, 8, pilots);
	struct chest *c = chest_create(&num, &prior, pilots, n, all, num.n_sc);
	double theory = 0, measured = 0, noise = pow(10, -1.5);
	for (size_t j = 0; j < n; j++) {
		memset(p, 0, sizeof p);
		p[j] = 1;
		chest_estimate(c, p, h);
		for (size_t k = 0; k < num.n_sc; k++) {
			double df = numerology_offset(&num, k) - numerology_offset(&num, pilots[j]);
			double x = M_PI * df * 16 / (double)num.n_fft;
			double complex r =
			        (df == 0 ? 1 : sin(x) / x) * cexp(-2 * M_PI * I * df * 6 / (double)num.n_fft);
			theory -= creal(h[k] * conj(r)) / (double)num.n_sc;
		}
	}
	theory += 1;
	const size_t trials = 400, paths = 40;
	for (size_t t = 0; t < trials; t++) {
		double complex gain[40], truth[PHY_SC_MAX];
		double delay[40];
		for (size_t i = 0; i < paths; i++) {
			gain[i] = rng_normal(&rng) / sqrt((double)paths);
			delay[i] = -2 + 16 * rng_uniform(&rng);
		}
		for (size_t k = 0; k < num.n_sc; k++) {
			truth[k] = 0;
			for (size_t i = 0; i < paths; i++)
				truth[k] += gain[i] * cexp(-2 * M_PI * I * numerology_offset(&num, k) * delay[i] /
				                           (double)num.n_fft);
		}
		for (size_t j = 0; j < n; j++)
			p[j] = (float complex)(truth[pilots[j]] + sqrt(noise) * rng_normal(&rng));
		chest_estimate(c, p, h);
		for (size_t k = 0; k < num.n_sc; k++)
			measured += pow(cabs(h[k] - truth[k]), 2) / (double)(num.n_sc * trials);
	}
	print_message("theory %.2f dB, measured %.2f dB\n", 10 * log10(theory), 10 * log10(measured));
	assert_near(10 * log10(measured), 10 * log10(theory), 0.3);
	chest_destroy(c);
}

static void noise_gain_and_residual_are_those_of_pure_noise(void **state)
{
	(void)state;
	struct rng rng = { 12 };
	uint16_t pilots[PHY_SC_MAX] = { 0 };
	float complex p[PHY_SC_MAX], h[PHY_SC_MAX];
	struct chest_prior prior = chest_default_prior(&num);
	size_t n = every(2, 8, pilots);
	struct chest *c = chest_create(&num, &prior, pilots, n, all, num.n_sc);
	const size_t trials = 4000;
	double at_100 = 0, residual = 0;
	for (size_t t = 0; t < trials; t++) {
		for (size_t j = 0; j < n; j++)
			p[j] = (float complex)rng_normal(&rng);
		chest_estimate(c, p, h);
		at_100 += pow(cabsf(h[100]), 2) / (double)trials;
		residual += (double)chest_residual(c, p, h) / (double)trials;
	}
	assert_near(at_100 / (double)chest_noise_gain(c, 100), 1, 0.06);
	assert_near(residual / (double)chest_residual_dof(c), 1, 0.03);
	chest_destroy(c);
}

static void a_bad_prior_is_refused(void **state)
{
	(void)state;
	uint16_t pilots[PHY_SC_MAX] = { 0 };
	struct chest_prior prior = { 3, 3, 20 };
	size_t n = every(0, 3, pilots);
	assert_null(chest_create(&num, &prior, pilots, n, all, num.n_sc));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(channels_inside_the_prior_come_through_without_noise),
		cmocka_unit_test(error_on_channels_of_the_prior_is_what_theory_says),
		cmocka_unit_test(noise_gain_and_residual_are_those_of_pure_noise),
		cmocka_unit_test(a_bad_prior_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
