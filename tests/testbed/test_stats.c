#include "testbed/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static void the_95th_percentile_of_0_to_100_is_95(void **state)
{
	(void)state;
	double x[101];
	for (int i = 0; i <= 100; i++)
		x[i] = (i * 37) % 101; /* a permutation */
	stats_sort(x, 101);
	assert_near(stats_percentile(x, 101, 95), 95, 1e-12);
	assert_near(stats_percentile(x, 101, 0), 0, 0);
	assert_near(stats_percentile(x, 101, 100), 100, 0);
}

static void percentiles_lie_linearly_between_neighbours_as_in_numpy(void **state)
{
	(void)state;
	const double x[] = { 1, 2, 4, 8 };
	assert_near(stats_percentile(x, 4, 50), 3, 1e-12);
	assert_near(stats_percentile(x, 4, 95), 7.4, 1e-12); /* numpy.percentile([1, 2, 4, 8], 95) */
}

static void nothing_of_nothing_is_nan(void **state)
{
	(void)state;
	assert_true(isnan(stats_mean(NULL, 0)));
	assert_true(isnan(stats_percentile(NULL, 0, 50)));
	assert_true(isnan(stats_wilson(0, 0, 0.95).low));
	assert_true(isnan(stats_sd((const double[]){ 3 }, 1)));
	assert_true(isnan(stats_paired(NULL, NULL, 0, 0.95).mean));
}

static void student_quantiles_are_those_of_the_tables(void **state)
{
	(void)state;
	const struct {
		double p, dof, t;
	} table[] = {
		{ 0.975, 1, 12.7062 }, { 0.975, 2, 4.30265 },   { 0.975, 9, 2.26216 },
		{ 0.995, 5, 4.03214 }, { 0.975, 120, 1.97993 }, { 0.025, 9, -2.26216 },
	};
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		assert_near(stats_t_quantile(table[i].p, table[i].dof), table[i].t, 1e-4);
}

static void normal_quantiles_are_those_of_the_tables(void **state)
{
	(void)state;
	assert_near(stats_normal_quantile(0.975), 1.959963985, 1e-8);
	assert_near(stats_normal_quantile(0.5), 0, 1e-12);
	assert_near(stats_normal_quantile(0.0001), -3.719016485, 1e-7);
}

/* Student's own sleep data (1908): ten patients, two drugs; mean difference 1.58, 95 % interval 0.7001 .. 2.4599. */
static void the_paired_interval_of_students_sleep_data(void **state)
{
	(void)state;
	const double a[] = { 1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4 };
	const double b[] = { 0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0 };
	struct stats_interval d = stats_paired(a, b, 10, 0.95);
	assert_near(d.mean, 1.58, 1e-12);
	assert_near(d.low, 0.7001142, 1e-6);
	assert_near(d.high, 2.4598858, 1e-6);
}

static void the_wilson_interval_of_1_in_10_and_of_none_in_10(void **state)
{
	(void)state;
	struct stats_interval one = stats_wilson(1, 10, 0.95);
	assert_near(one.mean, 0.1, 1e-12);
	assert_near(one.low, 0.0178762, 1e-6);
	assert_near(one.high, 0.4041500, 1e-6);
	struct stats_interval none = stats_wilson(0, 10, 0.95);
	assert_near(none.low, 0, 0);
	assert_near(none.high, 0.2775328, 1e-6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_95th_percentile_of_0_to_100_is_95),
		cmocka_unit_test(percentiles_lie_linearly_between_neighbours_as_in_numpy),
		cmocka_unit_test(nothing_of_nothing_is_nan),
		cmocka_unit_test(student_quantiles_are_those_of_the_tables),
		cmocka_unit_test(normal_quantiles_are_those_of_the_tables),
		cmocka_unit_test(the_paired_interval_of_students_sleep_data),
		cmocka_unit_test(the_wilson_interval_of_1_in_10_and_of_none_in_10),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
