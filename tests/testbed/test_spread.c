#include "testbed/spread.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static void draws_of_neighbouring_seeds_and_streams_are_uniform_and_unrelated(void **state)
{
	(void)state;
	enum { N = 10000 };
	double mean = 0, square = 0, seeds = 0, streams = 0;
	for (uint64_t i = 0; i < N; i++) {
		double x = spread_uniform(i, 3);
		assert_true(x >= 0 && x < 1);
		mean += x / N;
		square += x * x / N;
		seeds += (x - 0.5) * (spread_uniform(i + 1, 3) - 0.5) / N;
		streams += (x - 0.5) * (spread_uniform(i, 4) - 0.5) / N;
	}
	/* Four standard deviations of each mean: 0.289, 0.298 and 1/12 over sqrt(N). */
	assert_near(mean, 0.5, 0.012);
	assert_near(square, 1.0 / 3, 0.012);
	assert_near(seeds, 0, 0.0034);
	assert_near(streams, 0, 0.0034);
}

static void oscillators_reach_the_whole_range_of_carrier_offsets(void **state)
{
	(void)state;
	double low = 0, high = 0;
	for (uint64_t seed = 0; seed < 1000; seed++) {
		double cfo_hz = spread_ppm(seed, 0, 7500, 3.5e9) * 1e-6 * 3.5e9;
		low = fmin(low, cfo_hz);
		high = fmax(high, cfo_hz);
	}
	assert_near(low, -7500, 75);
	assert_near(high, 7500, 75);
	assert_true(low >= -7500 && high <= 7500);
}

static void a_trial_without_an_outcome_is_left_out(void **state)
{
	(void)state;
	const double x[] = { 3, NAN, 1, 2, NAN };
	json_t *j = spread_json(x, 5);
	assert_int_equal(json_integer_value(json_object_get(j, "n")), 3);
	assert_near(json_real_value(json_object_get(j, "mean")), 2, 1e-12);
	assert_near(json_real_value(json_object_get(j, "p50")), 2, 1e-12);
	assert_near(json_real_value(json_object_get(j, "max")), 3, 1e-12);
	json_decref(j);
	j = spread_json(x + 1, 1);
	assert_int_equal(json_integer_value(json_object_get(j, "n")), 0);
	assert_true(json_is_null(json_object_get(j, "mean")));
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draws_of_neighbouring_seeds_and_streams_are_uniform_and_unrelated),
		cmocka_unit_test(oscillators_reach_the_whole_range_of_carrier_offsets),
		cmocka_unit_test(a_trial_without_an_outcome_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
