/* Sorting in place: the same as the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scheduler/sort.h"

struct element {
	int key;
	char more[20];
};

static int by_key(const void *a, const void *b)
{
	const struct element *x = a, *y = b;
	return (x->key > y->key) - (x->key < y->key);
}

static void any_number_of_elements_comes_out_in_order(void **state)
{
	(void)state;
	static struct element ours[300], theirs[300];
	uint32_t rng = 1;
	for (size_t n = 0; n < 300; n++) {
		for (size_t i = 0; i < n; i++) {
			rng = rng * 1664525 + 1013904223;
			ours[i].key = theirs[i].key = (int)(rng >> (n % 2 ? 20 : 29));
		}
		sort(ours, n, sizeof *ours, by_key);
		qsort(theirs, n, sizeof *theirs, by_key);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(ours[i].key, theirs[i].key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(any_number_of_elements_comes_out_in_order) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
