/* Levels: clipping, conversion and the statistics of peaks against their closed forms for Gaussian noise. */
#include "phy/level.h"
#include "tests/phy/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { N = 1 << 20 };

static float complex *noise_of(double power_db, uint64_t seed)
{
	struct rng r = { seed };
	float complex *x = calloc(N, sizeof *x);
	noise_add(&r, pow(10, 0.1 * power_db), x, N);
	return x;
}

static void clipping_takes_magnitude_and_leaves_phase(void **state)
{
	(void)state;
	float complex *x = noise_of(-3, 1), *y = malloc(N * sizeof *y);
	memcpy(y, x, N * sizeof *x);
	size_t n = level_clip(y, N), above = 0;
	for (size_t i = 0; i < N; i++) {
		if (cabsf(x[i]) <= 1) {
			assert_true(y[i] == x[i]);
			continue;
		}
		above++;
		assert_near(cabsf(y[i]), 1, 1e-6);
		assert_near(cargf(y[i]), cargf(x[i]), 1e-5);
	}
	assert_int_equal(n, above);
	assert_int_equal(level_clip(y, N), 0);
	free(y);
	free(x);
}

/* Gaussian samples of mean power 1 clipped at magnitude g lose exp(-g^2) - sqrt(pi) g erfc(g) (the integral of
 * (r - g)^2 over the Rayleigh density above g). */
static void what_gaussian_samples_lose_is_the_integral_over_the_tail(void **state)
{
	(void)state;
	for (double level_db = -3; level_db >= -9; level_db -= 3) {
		float complex *x = noise_of(level_db, 2), *y = malloc(N * sizeof *y);
		memcpy(y, x, N * sizeof *x);
		size_t n = level_clip(y, N);
		double lost = 0, g2 = pow(10, -0.1 * level_db), g = sqrt(g2);
		for (size_t i = 0; i < N; i++)
			lost += pow(cabs((double complex)(x[i] - y[i])), 2) / N;
		assert_near(lost * g2 / (exp(-g2) - sqrt(M_PI) * g * erfc(g)), 1, level_db < -8 ? 0.25 : 0.05);
		assert_near((double)n / N / exp(-g2), 1, level_db < -8 ? 0.25 : 0.02); /* 370 events: 5 sigma */
		free(y);
		free(x);
	}
}

static void a_converter_s_noise_is_a_twelfth_of_its_step_squared(void **state)
{
	(void)state;
	for (unsigned bits = 4; bits <= 16; bits += 4) {
		float complex *x = noise_of(-12, bits), *y = malloc(N * sizeof *y);
		level_clip(x, N);
		memcpy(y, x, N * sizeof *x);
		level_quantise(y, N, bits);
		double step = ldexp(1, 1 - (int)bits), error = 0;
		for (size_t i = 0; i < N; i++) {
			double complex e = (double complex)y[i] - (double complex)x[i];
			assert_near(remainder(creal((double complex)y[i]), step), 0, 0);
			assert_true(fabs(creal(e)) <= step && fabs(cimag(e)) <= step);
			error += creal(e * conj(e)) / N;
		}
		assert_near(error / (step * step / 6), 1, 0.02);
		free(y);
		free(x);
	}
	float complex ends[2] = { 1.0f - 1.0f * I, -2.0f + 0.4999f * I };
	level_quantise(ends, 2, 2); /* -1, -1/2, 0, 1/2 */
	assert_true(ends[0] == 0.5f - 1.0f * I);
	assert_true(ends[1] == -1.0f + 0.5f * I);
}

/* Mean power P: the share of samples above p is exp(-p / P). */
static void the_ccdf_of_gaussian_samples_is_exponential(void **state)
{
	(void)state;
	static struct level_ccdf c;
	memset(&c, 0, sizeof c);
	assert_true(isinf(level_ccdf_rms_dbfs(&c)));
	float complex *x = noise_of(-9, 3);
	level_ccdf_add(&c, x, N / 2);
	level_ccdf_add(&c, x + N / 2, N / 2);
	assert_near(level_ccdf_rms_dbfs(&c), -9, 0.02);
	for (int above_db = -10; above_db <= 8; above_db++) {
		double expected = exp(-pow(10, 0.1 * above_db)), sigma = sqrt(expected * (1 - expected) / N);
		assert_near(level_ccdf_share(&c, -9 + above_db), expected, 5 * sigma + 1e-4);
		assert_near(level_ccdf_dbfs(&c, expected) + 9, above_db, 0.15);
	}
	assert_true(level_ccdf_share(&c, 10) == 0);
	free(x);
}

static void full_power_lies_where_the_level_says(void **state)
{
	(void)state;
	assert_near(24 - level_full_scale_dbm(24), LEVEL_RMS_DBFS, 1e-5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clipping_takes_magnitude_and_leaves_phase),
		cmocka_unit_test(what_gaussian_samples_lose_is_the_integral_over_the_tail),
		cmocka_unit_test(a_converter_s_noise_is_a_twelfth_of_its_step_squared),
		cmocka_unit_test(the_ccdf_of_gaussian_samples_is_exponential),
		cmocka_unit_test(full_power_lies_where_the_level_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
