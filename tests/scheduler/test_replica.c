/* Which holder serves an expert: only holders, reachable ones first, the fast and idle before the slow and busy. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scheduler/replica.h"
#include "scheduler/select.h"

static const uint32_t two_rows_each[4] = { 2, 2, 2, 2 };

/* Four devices alike. */
static struct replica_input alike(const uint32_t *holders, const uint32_t *rows)
{
	return (struct replica_input){ .n_experts = 4,
		                       .n_devices = 4,
		                       .holders = holders,
		                       .able = 0xf,
		                       .rows = rows,
		                       .fixed_s = { 1e-3, 1e-3, 1e-3, 1e-3 },
		                       .per_token_s = { 1e-4, 1e-4, 1e-4, 1e-4 } };
}

static void an_expert_with_one_holder_is_there(void **state)
{
	(void)state;
	static const uint32_t holders[4] = { 1 << 2, 1 << 0, 1 << 2, 0 };
	struct replica_input in = alike(holders, two_rows_each);
	uint8_t device_of[4];
	in.able = 0; /* waiting for the one is all that is left */
	assert_int_equal(replica_assign(&in, device_of), 0);
	assert_int_equal(device_of[0], 2);
	assert_int_equal(device_of[1], 0);
	assert_int_equal(device_of[2], 2);
	assert_int_equal(device_of[3], REPLICA_NOBODY);
}

static void work_spreads_over_those_who_hold_everything(void **state)
{
	(void)state;
	static const uint32_t all[4] = { 0xf, 0xf, 0xf, 0xf };
	struct replica_input in = alike(all, two_rows_each);
	uint8_t device_of[4];
	uint32_t used = 0;
	assert_int_equal(replica_assign(&in, device_of), 0);
	for (size_t e = 0; e < 4; e++)
		used |= 1u << device_of[e];
	assert_int_equal(used, 0xf);
}

static void a_device_that_cannot_be_reached_is_passed_over(void **state)
{
	(void)state;
	static const uint32_t holders[4] = { 0x3, 0x3, 0x3, 0x1 };
	struct replica_input in = alike(holders, two_rows_each);
	uint8_t device_of[4];
	in.able = 0x2;
	assert_int_equal(replica_assign(&in, device_of), 0);
	for (size_t e = 0; e < 3; e++)
		assert_int_equal(device_of[e], 1);
	assert_int_equal(device_of[3], 0);
}

static void a_slow_device_gets_less(void **state)
{
	(void)state;
	static const uint32_t all[4] = { 0x3, 0x3, 0x3, 0x3 };
	struct replica_input in = alike(all, two_rows_each);
	uint8_t device_of[4];
	in.fixed_s[0] = 1e-6;
	in.fixed_s[1] = 1e-6;
	in.per_token_s[1] = 3.5e-4; /* as long for one expert as the other takes for more than three */
	assert_int_equal(replica_assign(&in, device_of), 0);
	size_t on_slow = 0;
	for (size_t e = 0; e < 4; e++)
		on_slow += device_of[e] == 1;
	assert_int_equal(on_slow, 1);
	in.per_token_s[1] = INFINITY;
	assert_int_equal(replica_assign(&in, device_of), 0);
	for (size_t e = 0; e < 4; e++)
		assert_int_equal(device_of[e], 0);
}

/* By trying all maps: never more than 4/3 of the best, which is what the rule promises on equal machines (Graham 1969). */
static void the_longest_device_is_within_4_thirds_of_the_best(void **state)
{
	(void)state;
	static const uint32_t all[4] = { 0x7, 0x7, 0x7, 0x7 };
	uint32_t seed = 1;
	for (int round = 0; round < 200; round++) {
		uint32_t rows[4], best = UINT32_MAX, load[3] = { 0 };
		uint8_t device_of[4];
		for (size_t e = 0; e < 4; e++) {
			seed = seed * 1664525u + 1013904223u;
			rows[e] = 1 + (seed >> 24) % 40;
		}
		struct replica_input in = alike(all, rows);
		for (size_t d = 0; d < 4; d++)
			in.fixed_s[d] = 0;
		in.n_devices = 3;
		assert_int_equal(replica_assign(&in, device_of), 0);
		for (size_t e = 0; e < 4; e++)
			load[device_of[e]] += rows[e];
		for (unsigned map = 0; map < 81; map++) {
			uint32_t l[3] = { 0 }, longest = 0;
			for (unsigned e = 0, m = map; e < 4; e++, m /= 3)
				l[m % 3] += rows[e];
			for (size_t d = 0; d < 3; d++)
				longest = l[d] > longest ? l[d] : longest;
			best = longest < best ? longest : best;
		}
		for (size_t d = 0; d < 3; d++)
			assert_true(3 * load[d] <= 4 * best);
	}
}

static void sizes_out_of_range_are_refused(void **state)
{
	(void)state;
	static const uint32_t one = 1;
	uint8_t device_of;
	struct replica_input in = {
		.n_experts = SELECT_EXPERTS_MAX + 1, .n_devices = 1, .holders = &one, .rows = &one
	};
	assert_int_equal(replica_assign(&in, &device_of), -EINVAL);
	in = (struct replica_input){ .n_experts = 1, .n_devices = PHY_DEVICES_MAX + 1, .holders = &one, .rows = &one };
	assert_int_equal(replica_assign(&in, &device_of), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_expert_with_one_holder_is_there),
		cmocka_unit_test(work_spreads_over_those_who_hold_everything),
		cmocka_unit_test(a_device_that_cannot_be_reached_is_passed_over),
		cmocka_unit_test(a_slow_device_gets_less),
		cmocka_unit_test(the_longest_device_is_within_4_thirds_of_the_best),
		cmocka_unit_test(sizes_out_of_range_are_refused),
	};
	return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
