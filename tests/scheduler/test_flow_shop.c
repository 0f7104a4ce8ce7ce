/* Order and forecast of a layer as a flow shop: against every order, and worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scheduler/flow_shop.h"

static uint64_t rng = 1;

static double uniform(void)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (double)(rng >> 11) * 0x1p-53;
}

static double makespan(const struct flow_job *jobs, const size_t *order, size_t n)
{
	double sent = 0, done = 0;
	for (size_t i = 0; i < n; i++) {
		const struct flow_job *j = &jobs[order[i]];
		sent += j->first;
		done = fmax(done, sent + j->lag) + j->then;
	}
	return done;
}

static double best_of_all(const struct flow_job *jobs, size_t *order, size_t at, size_t n)
{
	if (at == n)
		return makespan(jobs, order, n);
	double best = INFINITY;
	for (size_t i = at; i < n; i++) {
		size_t kept = order[at];
		order[at] = order[i];
		order[i] = kept;
		best = fmin(best, best_of_all(jobs, order, at + 1, n));
		order[i] = order[at];
		order[at] = kept;
	}
	return best;
}

static void no_order_is_better(void **state)
{
	(void)state;
	for (int trial = 0; trial < 200; trial++) {
		struct flow_job jobs[6];
		size_t order[6] = { 0, 1, 2, 3, 4, 5 };
		for (size_t i = 0; i < 6; i++)
			jobs[i] = (struct flow_job){ i, 10 * uniform(), 5 * uniform(), 10 * uniform() };
		double best = best_of_all(jobs, order, 0, 6);
		flow_shop_order(jobs, 6);
		assert_true(fabs(makespan(jobs, order, 6) - best) < 1e-9);
	}
}

/* Two alike: 4 down, 2, 4 up. Fixed halves: 8 + 2 + 8. Even: the same, both go on together. Line: 4, 8 down; up from 6 and from 10; the first
 * has the band until 10, then it is done; the second 10 .. 14. */
static void two_alike_by_hand(void **state)
{
	(void)state;
	const struct flow_job jobs[] = { { 0, 4, 2, 4 }, { 1, 4, 2, 4 } };
	assert_true(fabs(flow_shop_forecast(FLOW_FIXED, jobs, 2, 2) - 18) < 1e-6);
	assert_true(fabs(flow_shop_forecast(FLOW_FIXED, jobs, 2, 4) - 34) < 1e-6);
	assert_true(fabs(flow_shop_forecast(FLOW_EVEN, jobs, 2, 4) - 18) < 1e-6);
	assert_true(fabs(flow_shop_forecast(FLOW_PROPORTIONAL, jobs, 2, 2) - 18) < 1e-6);
	assert_true(fabs(flow_shop_forecast(FLOW_LINE, jobs, 2, 2) - 14) < 1e-6);
}

/* One device, two calls: 2 down each; computes 3 each one after the other: 5, 8; 1 up each: 6, 9. */
static void a_device_computes_one_call_after_the_other(void **state)
{
	(void)state;
	const struct flow_job jobs[] = { { 0, 2, 3, 1 }, { 0, 2, 3, 1 } };
	assert_true(fabs(flow_shop_forecast(FLOW_EVEN, jobs, 2, 1) - 9) < 1e-6);
}

static void nothing_takes_no_time_and_empty_transfers_none(void **state)
{
	(void)state;
	const struct flow_job jobs[] = { { 0, 0, 3, 0 }, { 1, 0, 0, 0 } };
	assert_true(flow_shop_forecast(FLOW_LINE, jobs, 0, 4) == 0);
	assert_true(fabs(flow_shop_forecast(FLOW_LINE, jobs, 2, 4) - 3) < 1e-6);
}

/* In the order of the jobs: 6 down, then 2; up from 6, takes 1, and from 8, takes 4. */
static void an_order_can_be_given(void **state)
{
	(void)state;
	const struct flow_job jobs[] = { { 1, 6, 0, 1 }, { 0, 2, 0, 4 } };
	assert_true(fabs(flow_shop_forecast(FLOW_GIVEN, jobs, 2, 2) - 12) < 1e-6);
	assert_true(fabs(flow_shop_forecast(FLOW_LINE, jobs, 2, 2) - 9) < 1e-6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_order_is_better),
		cmocka_unit_test(two_alike_by_hand),
		cmocka_unit_test(an_order_can_be_given),
		cmocka_unit_test(a_device_computes_one_call_after_the_other),
		cmocka_unit_test(nothing_takes_no_time_and_empty_transfers_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
