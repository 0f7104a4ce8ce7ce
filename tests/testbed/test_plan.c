/* Served choices dealt into calls: all of them, each once, a row's together, no call too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testbed/plan.h"

enum { N_ROWS = 20, N_USED = 3, N = N_ROWS * N_USED };

/* Experts 0 .. 8, on devices that share them unevenly. */
static void some_places(struct place *places)
{
	static const uint8_t device_of[9] = { 0, 0, 0, 0, 1, 1, 3, 3, 3 };
	for (uint32_t i = 0; i < N; i++) {
		uint32_t e = (i / N_USED * 5 + i % N_USED * 2) % 9;
		places[i] = (struct place){ .row = i / N_USED,
			                    .choice = { .expert = e, .weight = (float)(i % N_USED) },
			                    .device = device_of[e] };
	}
}

static void check_call(const struct plan_call *c, const struct place *places, size_t rows_max)
{
	size_t n_rows = 0;
	for (size_t i = c->first; i < c->first + c->n_choices; i++) {
		bool first = i == c->first || places[i].row != places[i - 1].row;
		assert_int_equal(places[i].device, c->device);
		assert_int_equal(places[i].first_of_row, first);
		n_rows += first;
		if (i > c->first) /* rows count up, and router order within a row */
			assert_true(places[i].row > places[i - 1].row ||
			            (places[i].row == places[i - 1].row &&
			             places[i].choice.weight > places[i - 1].choice.weight));
	}
	assert_int_equal(n_rows, c->n_rows);
	assert_in_range(n_rows, 1, rows_max);
}

static void every_choice_is_in_one_call(void **state)
{
	(void)state;
	for (size_t rows_max = 1; rows_max <= N_ROWS; rows_max++) {
		struct place places[N], scratch[N];
		struct plan_call calls[N];
		bool seen[N_ROWS][N_USED] = { { false } };
		some_places(places);
		size_t n_calls = plan_calls(places, scratch, N, rows_max, calls), n = 0;
		for (size_t i = 0; i < n_calls; i++) {
			assert_int_equal(calls[i].first, n);
			check_call(&calls[i], places, rows_max);
			n += calls[i].n_choices;
		}
		assert_int_equal(n, N);
		for (size_t i = 0; i < N; i++) {
			bool *s = &seen[places[i].row][(size_t)places[i].choice.weight];
			assert_false(*s);
			*s = true;
		}
	}
}

static void a_device_has_one_call_where_its_rows_fit(void **state)
{
	(void)state;
	struct place places[N], scratch[N];
	struct plan_call calls[N];
	some_places(places);
	assert_int_equal(plan_calls(places, scratch, N, N_ROWS, calls), 3); /* device 2 holds nothing that is wanted */
	some_places(places);
	assert_int_equal(plan_calls(places, scratch, 1, 1, calls), 1);
	assert_int_equal(plan_calls(places, scratch, 0, 1, calls), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_choice_is_in_one_call),
		cmocka_unit_test(a_device_has_one_call_where_its_rows_fit),
	};
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
