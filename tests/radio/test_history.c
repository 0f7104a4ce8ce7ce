/* Samples by time: gaps, overlaps, the ring's end, gaps longer than the ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "radio/history.h"

enum { KEPT = 64 };

static float complex sample(uint64_t t)
{
	return (float)(t + 1) + 0.5f * I;
}

static uint64_t put(struct history *h, uint64_t t, size_t n)
{
	float complex x[KEPT];
	for (size_t i = 0; i < n; i++)
		x[i] = sample(t + i);
	return history_put(h, x, n, (int64_t)t);
}

/* Against an array that keeps everything. */
static void test_any_order_of_packets(void **state)
{
	(void)state;
	struct history h;
	static float complex all[20000];
	uint64_t end = 0;
	uint32_t rng = 1;
	assert_int_equal(history_init(&h, KEPT), 0);
	while (end < 19000) {
		rng = rng * 1664525 + 1013904223;
		uint64_t n = 1 + rng / 65536 % KEPT, t = end + rng % 256 % 97;
		t = t > 40 ? t - 40 : 0; /* overlaps, gaps, gaps longer than the ring */
		assert_int_equal(put(&h, t, n), t > end ? t - end : 0);
		for (uint64_t i = t > end ? t : end; i < t + n; i++)
			all[i] = sample(i);
		end = t + n > end ? t + n : end;
		assert_int_equal(h.end, end);
		for (uint64_t from = end > KEPT ? end - KEPT : 0; from < end; from++) {
			float complex x[KEPT];
			size_t got = history_give(&h, x, KEPT, from);
			assert_false(history_is_past(&h, from));
			assert_int_equal(got, end - from < KEPT ? end - from : KEPT);
			for (size_t i = 0; i < got; i++)
				assert_true(x[i] == all[from + i]);
		}
	}
	assert_true(history_is_past(&h, end - KEPT - 1));
	history_free(&h);
}

static void test_gap_longer_than_the_ring(void **state)
{
	(void)state;
	struct history h;
	float complex x[1000];
	assert_int_equal(history_init(&h, KEPT), 0);
	put(&h, 0, 10);
	assert_int_equal(put(&h, 500, 10), 490);
	size_t got = history_give(&h, x, 1000, 10); /* asked for before the gap came */
	while (got < 500)
		got += history_give(&h, x + got, 1000 - got, 10 + got);
	assert_int_equal(got, 500);
	for (size_t i = 0; i < 500; i++)
		assert_true(x[i] == (i < 490 ? 0 : sample(10 + i)));
	history_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order_of_packets),
		cmocka_unit_test(test_gap_longer_than_the_ring),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
