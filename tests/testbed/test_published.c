/* The published simulation: the same seed the same numbers, what must hold between the schemes, and one rate worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/published.h"

static void one_seed_one_answer(void **state)
{
	(void)state;
	struct published p = published_default();
	struct published_means a[PUBLISHED_SCHEMES], b[PUBLISHED_SCHEMES], c[PUBLISHED_SCHEMES];
	p.n_layers = 2;
	assert_int_equal(published_run(&p, 7, a), 0);
	assert_int_equal(published_run(&p, 7, b), 0);
	assert_int_equal(published_run(&p, 8, c), 0);
	assert_memory_equal(a, b, sizeof a);
	assert_true(a[0].latency_s != c[0].latency_s);
}

static void each_part_helps_and_frontier_is_best_at_the_same_weight(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct published p = published_default();
		struct published_means m[PUBLISHED_SCHEMES];
		p.n_layers = 2;
		assert_int_equal(published_run(&p, seed, m), 0);
		assert_true(m[PUBLISHED_NEITHER].kept_weight > 1 - 1e-9 &&
		            m[PUBLISHED_BANDWIDTH].kept_weight > 1 - 1e-9);
		assert_true(m[PUBLISHED_BANDWIDTH].latency_s < m[PUBLISHED_NEITHER].latency_s);
		assert_true(m[PUBLISHED_SELECTION].latency_s <= m[PUBLISHED_NEITHER].latency_s);
		assert_true(m[PUBLISHED_BOTH].latency_s <= m[PUBLISHED_SELECTION].latency_s);
		assert_true(m[PUBLISHED_FRONTIER].latency_s <= m[PUBLISHED_BOTH].latency_s * (1 + 1e-9));
		assert_true(m[PUBLISHED_FRONTIER].kept_weight >= m[PUBLISHED_BOTH].kept_weight - 1e-6);
	}
}

/* Over bandwidth without end only computing is left, 352.4 MFLOP at 0.5 to 5 TFLOP/s: with all tokens on one device 2 q of them. */
static void without_end_of_bandwidth_only_computing_is_left(void **state)
{
	(void)state;
	struct published p = published_default();
	struct published_means m[PUBLISHED_SCHEMES];
	p.bandwidth_hz = 1e13;
	p.bs_w = p.device_w = 1e12;
	p.n_devices = 1;
	assert_int_equal(published_run(&p, 1, m), 0);
	double flop = 6.0 * 4096 * 14336 + 8.0 * 14336, flops = 128 * flop / m[PUBLISHED_NEITHER].latency_s;
	assert_true(flops >= 0.49e12 && flops <= 5e12);
	assert_true(fabs(m[PUBLISHED_BANDWIDTH].latency_s / m[PUBLISHED_NEITHER].latency_s - 1) < 1e-6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_seed_one_answer),
		cmocka_unit_test(each_part_helps_and_frontier_is_best_at_the_same_weight),
		cmocka_unit_test(without_end_of_bandwidth_only_computing_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
