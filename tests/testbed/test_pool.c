/* Every piece of work once, and all of it before pool_run returns. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/pool.h"

enum { PIECES = 1000 };

struct tally {
	unsigned char done[PIECES]; /* each written by one thread; pool_run is the barrier */
};

static void count(void *arg, size_t i)
{
	struct tally *t = arg;
	volatile double busy = 0;
	for (size_t k = 0; k < i % 7 * 50; k++) /* pieces of different length, so that threads overtake each other */
		busy += 1;
	t->done[i]++;
}

static void every_piece_is_done_once_by_any_number_of_threads(void **state)
{
	(void)state;
	static const size_t threads[] = { 1, 2, 3, 8, 64 };
	static const size_t pieces[] = { 0, 1, 2, 5, PIECES };
	for (size_t t = 0; t < 5; t++) {
		struct pool *p = pool_create(threads[t]);
		assert_non_null(p);
		for (size_t k = 0; k < 5; k++) {
			struct tally tally = { 0 };
			pool_run(p, count, &tally, pieces[k]);
			for (size_t i = 0; i < PIECES; i++)
				assert_int_equal(tally.done[i], i < pieces[k]);
		}
		pool_destroy(p);
	}
}

/* A thread that wakes late must not take pieces of the round before. */
static void many_short_rounds_do_not_run_into_each_other(void **state)
{
	(void)state;
	struct pool *p = pool_create(4);
	for (int round = 0; round < 5000; round++) {
		struct tally tally;
		memset(tally.done, 0, 8);
		pool_run(p, count, &tally, (size_t)round % 8);
		for (size_t i = 0; i < 8; i++)
			assert_int_equal(tally.done[i], i < (size_t)round % 8);
	}
	pool_destroy(p);
}

static void a_pool_may_go_unused(void **state)
{
	(void)state;
	for (size_t n = 1; n < 20; n++)
		pool_destroy(pool_create(n));
	pool_destroy(NULL);
}

static void impossible_numbers_of_threads_are_refused(void **state)
{
	(void)state;
	static const size_t bad[] = { 0, 65, SIZE_MAX };
	for (size_t i = 0; i < 3; i++) {
		errno = 0;
		assert_null(pool_create(bad[i]));
		assert_int_equal(errno, EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_piece_is_done_once_by_any_number_of_threads),
		cmocka_unit_test(many_short_rounds_do_not_run_into_each_other),
		cmocka_unit_test(a_pool_may_go_unused),
		cmocka_unit_test(impossible_numbers_of_threads_are_refused),
	};
	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
