#include "measure.h"

#include "radio/fracdelay.h"

static double complex response(const float *w, double f)
{
	double complex sum = 0;
	for (int j = 0; j < FRACDELAY_LENGTH; j++)
		sum += (double)w[j] * cexp(2 * I * M_PI * f * (j - FRACDELAY_BEFORE));
	return sum;
}

/* Largest and mean squared error against the ideal exp(j 2 pi f fraction) over |f| <= edge. */
static void errors(const struct fracdelay *d, double fraction, double edge, double *peak, double *mean)
{
	const float *w = fracdelay_weights(d, fraction);
	double sum = 0;
	int n = 0;
	*peak = 0;
	for (double f = -edge; f <= edge; f += 0.002, n++) {
		double e = cabs(response(w, f) - cexp(2 * I * M_PI * f * fraction));
		*peak = fmax(*peak, e);
		sum += e * e;
	}
	*mean = sum / n;
}

static void every_fraction_is_right_to_50_db_over_216_of_256_subcarriers(void **state)
{
	struct fracdelay *d = *state;
	for (double fraction = 0; fraction <= 1; fraction += 0.00731) {
		double peak, mean;
		errors(d, fraction, 108.0 / 256, &peak, &mean);
		assert_true(20 * log10(peak) <= -50);
		assert_true(db(mean) <= -60);
	}
}

static void fraction_zero_is_the_sample_itself(void **state)
{
	const float *w = fracdelay_weights(*state, 0);
	for (int j = 0; j < FRACDELAY_LENGTH; j++)
		assert_close(w[j], j == FRACDELAY_BEFORE, 1e-4);
}

static void fraction_one_is_the_next_sample(void **state)
{
	const float *w = fracdelay_weights(*state, 1);
	for (int j = 0; j < FRACDELAY_LENGTH; j++)
		assert_close(w[j], j == FRACDELAY_BEFORE + 1, 1e-4);
}

static void nothing_outside_the_band_is_amplified(void **state)
{
	for (double fraction = 0; fraction <= 1; fraction += 0.043)
		for (double f = 0.42; f <= 0.5; f += 0.002)
			assert_true(cabs(response(fracdelay_weights(*state, fraction), f)) < 1.01);
}

static int create(void **state)
{
	*state = fracdelay_create();
	return *state ? 0 : -1;
}

static int destroy(void **state)
{
	fracdelay_destroy(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fraction_is_right_to_50_db_over_216_of_256_subcarriers),
		cmocka_unit_test(fraction_zero_is_the_sample_itself),
		cmocka_unit_test(fraction_one_is_the_next_sample),
		cmocka_unit_test(nothing_outside_the_band_is_amplified),
	};
	return cmocka_run_group_tests(tests, create, destroy);
}
