/* Charged times follow the law in compute.h. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testbed/compute.h"

static const struct compute_profile profile = { .fixed_s = 0.001, .bytes_per_s = 1e9, .flops_per_s = 1e10 };

static void near(double value, double expected, double tolerance)
{
	assert_true(fabs(value - expected) <= tolerance);
}

static void work_takes_what_is_longer_of_memory_and_arithmetic(void **state)
{
	(void)state;
	struct compute_clock c;
	compute_clock_init(&c, &profile, 1);
	near(compute_clock_charge(&c, 0, 0), 0.001, 1e-15);
	near(compute_clock_charge(&c, 2e6, 0), 0.003, 1e-15);
	near(compute_clock_charge(&c, 0, 5e7), 0.006, 1e-15);
	near(compute_clock_charge(&c, 2e6, 5e7), 0.006, 1e-15);
	near(compute_clock_charge(&c, 9e6, 5e7), 0.010, 1e-15);
}

/* exp(s N(0, 1)): mean of the logarithm 0, its deviation s; over n draws within 5 standard errors. */
static void the_jitter_is_lognormal_around_the_law(void **state)
{
	(void)state;
	enum { N = 40000 };
	struct compute_profile p = profile;
	struct compute_clock c;
	double sum = 0, squares = 0, cubes = 0;
	p.jitter = 0.2;
	compute_clock_init(&c, &p, 7);
	for (int i = 0; i < N; i++) {
		double x = log(compute_clock_charge(&c, 2e6, 0) / 0.003) / p.jitter;
		sum += x / N;
		squares += x * x / N;
		cubes += x * x * x / N;
	}
	near(sum, 0, 5 / sqrt(N));
	near(squares, 1, 5 * sqrt(2.0 / N));
	near(cubes, 0, 5 * sqrt(15.0 / N));
}

/* One standard deviation up: a normal variate lies above with probability 0.1587. */
static void one_charge_in_six_takes_longer_than_expected(void **state)
{
	(void)state;
	enum { N = 40000 };
	struct compute_profile p = profile;
	struct compute_clock c;
	double longer = 0;
	p.jitter = 0.2;
	compute_clock_init(&c, &p, 9);
	for (int i = 0; i < N; i++) {
		double expected_s = compute_clock_expect(&c, 2e6, 0);
		longer += compute_clock_charge(&c, 2e6, 0) > expected_s;
	}
	near(longer / N, 0.1587, 5 * sqrt(0.1587 * 0.8413 / N));
}

static void successive_charges_are_not_correlated(void **state)
{
	(void)state;
	enum { N = 40000 };
	struct compute_profile p = profile;
	struct compute_clock c;
	double before = 0, product = 0;
	p.jitter = 1;
	compute_clock_init(&c, &p, 8);
	for (int i = 0; i < N; i++) {
		double x = log(compute_clock_charge(&c, 0, 0) / p.fixed_s);
		product += x * before / N;
		before = x;
	}
	near(product, 0, 5 / sqrt(N));
}

static void a_seed_gives_its_times_again_and_no_others(void **state)
{
	(void)state;
	struct compute_profile p = profile;
	struct compute_clock a, b, other;
	int same = 0;
	p.jitter = 0.1;
	compute_clock_init(&a, &p, 3);
	compute_clock_init(&b, &p, 3);
	compute_clock_init(&other, &p, 4);
	for (int i = 0; i < 100; i++) {
		double t = compute_clock_charge(&a, i, i);
		assert_true(t == compute_clock_charge(&b, i, i));
		assert_true(t > 0 && isfinite(t));
		same += t == compute_clock_charge(&other, i, i);
	}
	assert_int_equal(same, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_takes_what_is_longer_of_memory_and_arithmetic),
		cmocka_unit_test(the_jitter_is_lognormal_around_the_law),
		cmocka_unit_test(one_charge_in_six_takes_longer_than_expected),
		cmocka_unit_test(successive_charges_are_not_correlated),
		cmocka_unit_test(a_seed_gives_its_times_again_and_no_others),
	};
	return cmocka_run_group_tests_name("compute", tests, NULL, NULL);
}
