/* Hidden states by multicast: what was heard is told from what was not, whatever the order; sets do not mix. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/states.h"

enum { N = 100, TB = 64 };
static uint8_t bytes[N];

static int take(struct states *s, uint32_t set, uint32_t offset, size_t n)
{
	uint8_t tb[TB] = { 0 };
	states_write_segment(set, offset, bytes + offset, n, tb);
	return states_take(s, tb, TB);
}

static void segments_come_in_any_order(void **state)
{
	(void)state;
	struct states *s = states_create(N);
	assert_false(states_have(s, 1, 0, 1));
	assert_int_equal(take(s, 1, 60, 40), 0);
	assert_int_equal(take(s, 1, 0, 20), 0);
	assert_true(states_have(s, 1, 0, 20) && states_have(s, 1, 60, 40));
	assert_false(states_have(s, 1, 0, 21));
	assert_false(states_have(s, 1, 59, 2));
	assert_int_equal(take(s, 1, 15, 50), 0); /* some of it for the second time */
	assert_true(states_have(s, 1, 0, N));
	assert_memory_equal(states_at(s, 0), bytes, N);
	assert_false(states_have(s, 2, 0, N));
	assert_false(states_have(s, 1, 1, N)); /* beyond the end */
	states_destroy(s);
}

static void a_later_set_begins_anew_and_an_earlier_one_is_ignored(void **state)
{
	(void)state;
	struct states *s = states_create(N);
	assert_int_equal(take(s, UINT32_MAX, 0, 30), 0);
	assert_int_equal(take(s, 0, 30, 10), 0); /* numbers wrap */
	assert_true(states_have(s, 0, 30, 10));
	assert_false(states_have(s, 0, 0, 1));
	assert_false(states_have(s, UINT32_MAX, 0, 30));
	assert_int_equal(take(s, UINT32_MAX, 40, 10), -EALREADY);
	assert_false(states_have(s, 0, 40, 1));
	states_reset(s);
	assert_false(states_have(s, 0, 30, 10));
	assert_int_equal(take(s, UINT32_MAX, 40, 10), 0);
	states_destroy(s);
}

static void a_block_holds_several_segments(void **state)
{
	(void)state;
	struct states *s = states_create(N);
	uint8_t tb[TB] = { 0 };
	size_t at = states_write_segment(5, 10, bytes + 10, 5, tb);
	assert_int_equal(at, STATES_HEADER + 5);
	at += states_write_segment(5, 90, bytes + 90, 10, tb + at);
	assert_int_equal(states_take(s, tb, TB), 0);
	assert_true(states_have(s, 5, 10, 5) && states_have(s, 5, 90, 10));
	assert_int_equal(states_take(s, tb, at), 0);                /* nothing behind them */
	assert_int_equal(states_take(s, tb, at - 1), -EBADMSG);     /* the second one cut short */
	assert_int_equal(states_take(s, tb, STATES_HEADER - 1), 0); /* nothing in it */
	states_destroy(s);
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
	(void)state;
	struct states *s = states_create(N);
	uint8_t tb[TB] = { 0 };
	states_write_segment(1, N - 9, bytes, 10, tb);
	assert_int_equal(states_take(s, tb, TB), -EBADMSG);
	states_write_segment(1, UINT32_MAX, bytes, 10, tb);
	assert_int_equal(states_take(s, tb, TB), -EBADMSG);
	states_write_segment(1, 0, bytes, 10, tb);
	tb[8] = 0xff; /* longer than the block */
	assert_int_equal(states_take(s, tb, TB), -EBADMSG);
	assert_false(states_have(s, 1, 0, 1));
	states_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_come_in_any_order),
		cmocka_unit_test(a_later_set_begins_anew_and_an_earlier_one_is_ignored),
		cmocka_unit_test(a_block_holds_several_segments),
		cmocka_unit_test(sizes_that_do_not_fit_are_refused),
	};
	for (size_t i = 0; i < N; i++)
		bytes[i] = (uint8_t)(i * 7 + 3);
	return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
