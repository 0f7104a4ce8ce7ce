/* The table of a call: what goes in comes out, and what no base station writes is refused. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/call.h"

enum { N = 4, N_ROWS = 3, MAX = 64 };
static const struct call_choice sample[N] = { { 0, 5, 0.75f }, { 0, 0x0102, 0.25f }, { 1, 7, 1.0f }, { 2, 5, -2.0f } };

static struct message head(bool combined)
{
	return (struct message){ .type = MESSAGE_CALL, .rows = N_ROWS, .choices = N, .combined = combined };
}

static void every_choice_comes_back(void **state)
{
	(void)state;
	for (int combined = 0; combined < 2; combined++) {
		uint8_t bytes[MAX];
		struct call_choice got[N];
		struct message m = head(combined);
		size_t n = call_encode(sample, N, N_ROWS, combined, bytes);
		assert_int_equal(n, N_ROWS + N * (combined ? 6 : 2));
		assert_int_equal(n, call_table_bytes(N_ROWS, N, combined));
		assert_int_equal(call_decode(bytes, sizeof bytes, &m, got, N), n);
		for (size_t i = 0; i < N; i++) {
			assert_int_equal(got[i].row, sample[i].row);
			assert_int_equal(got[i].expert, sample[i].expert);
			assert_true(got[i].weight == (combined ? sample[i].weight : 1));
		}
	}
}

/* Against bytes written down by hand from the table in the header. */
static void the_table_is_in_network_byte_order(void **state)
{
	(void)state;
	static const uint8_t plain[] = { 2, 0, 5, 1, 2, 1, 0, 7, 1, 0, 5 };
	static const uint8_t weighted[] = {
		2, 0, 5, 1, 2, 0x3f, 0x40, 0, 0, 0x3e, 0x80, 0, 0, 1, 0, 7, 0x3f, 0x80, 0, 0
	};
	uint8_t bytes[MAX];
	call_encode(sample, N, N_ROWS, false, bytes);
	assert_memory_equal(bytes, plain, sizeof plain);
	call_encode(sample, N, N_ROWS, true, bytes);
	assert_memory_equal(bytes, weighted, sizeof weighted);
}

/* A row heard by multicast has a number instead of a state. */
static void rows_heard_come_back(void **state)
{
	(void)state;
	static const uint8_t by_hand[] = { 0x82, 1, 0x2c, 0, 5, 1, 2, 1, 0, 7, 0x81, 0, 0, 0, 5 };
	struct call_choice choices[N], got[N];
	uint8_t bytes[MAX];
	struct message m = head(false);
	memcpy(choices, sample, sizeof choices);
	choices[0].heard = choices[1].heard = choices[3].heard = true;
	choices[0].number = choices[1].number = 300;
	assert_int_equal(call_encode(choices, N, N_ROWS, false, bytes), sizeof by_hand);
	assert_int_equal(sizeof by_hand, call_table_bytes(N_ROWS, N, false) + 2 * CALL_HEARD_BYTES);
	assert_memory_equal(bytes, by_hand, sizeof by_hand);
	assert_int_equal(call_decode(bytes, sizeof by_hand, &m, got, N), sizeof by_hand);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(got[i].heard, choices[i].heard);
		assert_int_equal(got[i].number, choices[i].number);
		assert_int_equal(got[i].expert, choices[i].expert);
	}
	for (size_t cut = 0; cut < sizeof by_hand; cut++)
		assert_int_equal(call_decode(bytes, cut, &m, got, N), -EBADMSG);
}

static void a_table_cut_short_is_refused(void **state)
{
	(void)state;
	uint8_t bytes[MAX];
	struct call_choice got[N];
	struct message m = head(true);
	size_t n = call_encode(sample, N, N_ROWS, true, bytes);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(call_decode(bytes, cut, &m, got, N), -EBADMSG);
}

static void counts_that_do_not_add_up_are_refused(void **state)
{
	(void)state;
	uint8_t bytes[MAX] = { 0 };
	struct call_choice got[MAX];
	struct message m = head(false);
	call_encode(sample, N, N_ROWS, false, bytes);
	assert_int_equal(call_decode(bytes, sizeof bytes, &m, got, N - 1), -EBADMSG);
	m.choices = N - 1;
	assert_int_equal(call_decode(bytes, sizeof bytes, &m, got, MAX), -EBADMSG);
	m.choices = N + 1;
	assert_int_equal(call_decode(bytes, sizeof bytes, &m, got, MAX), -EBADMSG);
	m.choices = N;
	m.rows = N_ROWS + 1; /* the next row has no expert */
	assert_int_equal(call_decode(bytes, sizeof bytes, &m, got, MAX), -EBADMSG);
	m.rows = N_ROWS;
	for (unsigned n = 0; n < 256; n++) {
		bytes[0] = (uint8_t)n;
		assert_int_equal(call_decode(bytes, sizeof bytes, &m, got, MAX) > 0, n == 2);
	}
}

static void an_expert_twice_in_a_row_is_refused(void **state)
{
	(void)state;
	uint8_t bytes[MAX];
	struct call_choice got[N];
	struct message m = head(false);
	call_encode(sample, N, N_ROWS, false, bytes);
	memcpy(bytes + 3, bytes + 1, 2);
	assert_int_equal(call_decode(bytes, sizeof bytes, &m, got, N), -EBADMSG);
}

static void a_weight_that_is_not_finite_is_refused(void **state)
{
	(void)state;
	static const float bad[] = { INFINITY, -INFINITY, NAN };
	for (size_t i = 0; i < 3; i++) {
		uint8_t bytes[MAX];
		struct call_choice got[N], choices[N];
		struct message m = head(true);
		memcpy(choices, sample, sizeof choices);
		choices[i].weight = bad[i];
		call_encode(choices, N, N_ROWS, true, bytes);
		assert_int_equal(call_decode(bytes, sizeof bytes, &m, got, N), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_choice_comes_back),
		cmocka_unit_test(the_table_is_in_network_byte_order),
		cmocka_unit_test(rows_heard_come_back),
		cmocka_unit_test(a_table_cut_short_is_refused),
		cmocka_unit_test(counts_that_do_not_add_up_are_refused),
		cmocka_unit_test(an_expert_twice_in_a_row_is_refused),
		cmocka_unit_test(a_weight_that_is_not_finite_is_refused),
	};
	return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
