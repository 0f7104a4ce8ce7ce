/* The stream between two arq objects: complete, in order, once, whatever the blocks below do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/arq.h"

enum { CAPACITY = 1 << 16, TB = 200, DELAY = 2 };

static uint32_t rng(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* One direction each slot: the block arrives or not, and the sender is told the truth or a lie. */
struct channel {
	uint32_t seed;
	unsigned lost_percent; /* blocks that never arrive, and the sender knows */
	unsigned lied_percent; /* blocks that never arrive, and the sender believes they did */
	uint64_t blocks;
};

static void carry(struct arq *from, struct arq *to, struct channel *c, uint64_t slot)
{
	uint8_t tb[TB];
	if (!arq_backlog(from, slot))
		return;
	unsigned block = slot % ARQ_BLOCKS;
	size_t n = 20 + rng(&c->seed) % (TB - 20);
	if (!arq_fill(from, tb, n, block, slot))
		return;
	c->blocks++;
	unsigned dice = rng(&c->seed) % 100;
	bool lost = dice < c->lost_percent, lied = !lost && dice < c->lost_percent + c->lied_percent;
	if (!lost && !lied)
		arq_receive(to, tb, n, slot);
	arq_block_done(from, block, !lost, slot + DELAY);
}

static void exchange(struct channel down, struct channel up, size_t n_messages, size_t size)
{
	struct arq *a = arq_create(CAPACITY), *b = arq_create(CAPACITY);
	uint8_t *message = malloc(size);
	uint64_t slot = 0;
	uint32_t in = 1, out = 1;
	size_t sent = 0, checked = 0;
	assert_non_null(a);
	assert_non_null(b);
	while (checked < n_messages * size) {
		assert_true(slot < 200000);
		if (sent < n_messages) {
			uint32_t try = in;
			for (size_t i = 0; i < size; i++)
				message[i] = (uint8_t)rng(&try);
			if (!arq_send(a, message, size)) {
				in = try;
				sent++;
			}
		}
		carry(a, b, &down, slot);
		carry(b, a, &up, slot);
		size_t n;
		const uint8_t *p = arq_peek(b, &n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], (uint8_t)rng(&out));
		arq_consume(b, n);
		checked += n;
		slot++;
	}
	for (uint64_t end = slot + 3000; slot < end && arq_acknowledged(a) != arq_offset(a); slot++) {
		carry(a, b, &down, slot);
		carry(b, a, &up, slot);
	}
	assert_int_equal(arq_acknowledged(a), arq_offset(a));
	assert_int_equal(checked, n_messages * size);
	assert_int_equal(arq_stats(b).bytes_delivered, checked);
	free(message);
	arq_destroy(b);
	arq_destroy(a);
}

static void a_clean_link_repeats_nothing(void **state)
{
	(void)state;
	struct arq *a = arq_create(CAPACITY), *b = arq_create(CAPACITY);
	struct channel clean = { .seed = 3 };
	uint8_t message[5000];
	memset(message, 7, sizeof message);
	assert_int_equal(arq_send(a, message, sizeof message), 0);
	for (uint64_t slot = 0; slot < 1000; slot++) {
		carry(a, b, &clean, slot);
		carry(b, a, &clean, slot);
	}
	size_t n;
	const uint8_t *p = arq_peek(b, &n);
	assert_int_equal(n, sizeof message);
	assert_memory_equal(p, message, n);
	assert_int_equal(arq_stats(a).bytes_repeated, 0);
	assert_int_equal(arq_acknowledged(a), sizeof message);
	arq_destroy(b);
	arq_destroy(a);
}

static void losses_the_sender_knows_of_are_repaired(void **state)
{
	(void)state;
	exchange((struct channel){ .seed = 1, .lost_percent = 30 }, (struct channel){ .seed = 2, .lost_percent = 30 },
	         200, 997);
}

static void losses_taken_for_success_are_repaired(void **state)
{
	(void)state;
	exchange((struct channel){ .seed = 4, .lied_percent = 10 }, (struct channel){ .seed = 5, .lied_percent = 10 },
	         200, 997);
}

static void a_lost_tail_is_sent_again_by_the_timer(void **state)
{
	(void)state;
	struct arq *a = arq_create(CAPACITY), *b = arq_create(CAPACITY);
	uint8_t tb[TB];
	assert_int_equal(arq_send(a, "tail", 4), 0);
	assert_true(arq_fill(a, tb, sizeof tb, 0, 0) > 0);
	arq_block_done(a, 0, true, 2); /* it never arrived */
	assert_int_equal(arq_backlog(a, 50), 0);
	assert_true(arq_backlog(a, ARQ_RESEND_SLOTS) > 0);
	assert_true(arq_fill(a, tb, sizeof tb, 1, ARQ_RESEND_SLOTS) > 0);
	arq_receive(b, tb, sizeof tb, ARQ_RESEND_SLOTS);
	size_t n;
	assert_memory_equal(arq_peek(b, &n), "tail", 4);
	assert_int_equal(n, 4);
	arq_destroy(b);
	arq_destroy(a);
}

static void the_backlog_with_more_to_come_is_that_once_it_came(void **state)
{
	(void)state;
	struct arq *a = arq_create(CAPACITY);
	assert_int_equal(arq_backlog_with(a, 5, 0), 0);
	assert_int_equal(arq_backlog_with(a, 5, 7), ARQ_DATA_HEADER + 7);
	assert_int_equal(arq_send(a, "segment", 7), 0);
	assert_int_equal(arq_backlog(a, 5), ARQ_DATA_HEADER + 7);
	assert_int_equal(arq_backlog_with(a, 5, 7), ARQ_DATA_HEADER + 14);
	arq_destroy(a);
}

static void a_block_heard_twice_is_delivered_once(void **state)
{
	(void)state;
	struct arq *a = arq_create(CAPACITY), *b = arq_create(CAPACITY);
	uint8_t tb[TB];
	size_t n;
	assert_int_equal(arq_send(a, "once", 4), 0);
	arq_fill(a, tb, sizeof tb, 0, 0);
	arq_receive(b, tb, sizeof tb, 1);
	arq_receive(b, tb, sizeof tb, 2);
	arq_peek(b, &n);
	assert_int_equal(n, 4);
	assert_int_equal(arq_stats(b).duplicates, 1);
	arq_destroy(b);
	arq_destroy(a);
}

/* `a` put one segment each in blocks 0 .. n - 1, in slots 10, 11 ...; which of them b heard is a mask. */
static void send_segments(struct arq *a, struct arq *b, unsigned n, unsigned heard)
{
	uint8_t tb[TB];
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(arq_send(a, "segment", 7), 0);
		assert_int_equal(arq_fill(a, tb, sizeof tb, i, 10 + i), ARQ_DATA_HEADER + 7);
		if (heard >> i & 1)
			arq_receive(b, tb, sizeof tb, 12 + i);
	}
}

static void a_verdict_has_the_lost_block_sent_again_at_once_and_no_other(void **state)
{
	(void)state;
	struct arq *a = arq_create(CAPACITY), *b = arq_create(CAPACITY);
	uint8_t tb[TB];
	size_t n;
	send_segments(a, b, 4, 0x2);    /* 1 arrived; 0 is given up, 2 may still come, 3 was granted later */
	arq_block_done(a, 0, true, 12); /* for all that a knows */
	arq_tell_lost(b, 1u << 2, 13);
	assert_true(arq_backlog(b, 13) > 0);
	assert_true(arq_fill(b, tb, sizeof tb, 0, 13) > 0);
	arq_receive(a, tb, sizeof tb, 13);
	assert_int_equal(arq_backlog(a, 13), ARQ_DATA_HEADER + 7);
	assert_int_equal(arq_fill(a, tb, sizeof tb, 5, 14), ARQ_DATA_HEADER + 7);
	arq_receive(b, tb, sizeof tb, 14);
	arq_peek(b, &n);
	assert_int_equal(n, 14);
	assert_int_equal(arq_stats(b).duplicates, 0);
	assert_int_equal(arq_stats(a).holes, 1);
	assert_int_equal(arq_stats(a).timeouts, 0);
	arq_destroy(b);
	arq_destroy(a);
}

static void a_verdict_lost_with_its_block_is_given_again(void **state)
{
	(void)state;
	struct arq *a = arq_create(CAPACITY), *b = arq_create(CAPACITY);
	uint8_t tb[TB];
	send_segments(a, b, 1, 0);
	arq_tell_lost(b, 0, 13);
	assert_true(arq_fill(b, tb, sizeof tb, 0, 13) > 0);
	assert_int_equal(arq_backlog(b, 14), 0);
	arq_block_done(b, 0, false, 20);
	assert_true(arq_backlog(b, 20) > 0);
	assert_true(arq_fill(b, tb, sizeof tb, 1, 20) > 0);
	arq_receive(a, tb, sizeof tb, 20);
	assert_int_equal(arq_backlog(a, 20), ARQ_DATA_HEADER + 7);
	arq_block_done(b, 1, true, 22);
	assert_int_equal(arq_backlog(b, 22), 0);
	arq_destroy(b);
	arq_destroy(a);
}

/* Every second block is lost: the status has room for four islands, and what it leaves out is not taken for lost. */
static void a_verdict_with_many_holes_repeats_nothing_that_arrived(void **state)
{
	(void)state;
	struct arq *a = arq_create(CAPACITY), *b = arq_create(CAPACITY);
	uint8_t tb[TB];
	send_segments(a, b, 14, 0x2aaa);
	arq_tell_lost(b, 0, 30);
	assert_true(arq_fill(b, tb, sizeof tb, 0, 30) > 0);
	arq_receive(a, tb, sizeof tb, 30);
	assert_int_equal(arq_stats(a).holes, 4);
	assert_true(arq_fill(a, tb, sizeof tb, 15, 31) > 0);
	arq_receive(b, tb, sizeof tb, 31);
	assert_int_equal(arq_stats(b).duplicates, 0);
	arq_destroy(b);
	arq_destroy(a);
}

static void random_bytes_never_crash_and_deliver_nothing_beyond_the_window(void **state)
{
	(void)state;
	struct arq *b = arq_create(CAPACITY);
	uint32_t seed = 9;
	uint8_t tb[TB];
	for (int i = 0; i < 100000; i++) {
		for (size_t k = 0; k < sizeof tb; k++)
			tb[k] = (uint8_t)rng(&seed);
		tb[0] = (uint8_t)(1 + rng(&seed) % 3);
		arq_receive(b, tb, 1 + rng(&seed) % TB, (uint64_t)i);
	}
	size_t n;
	arq_peek(b, &n);
	assert_true(n <= 2 * CAPACITY);
	assert_true(arq_stats(b).malformed > 0);
	arq_destroy(b);
}

static void a_message_without_room_is_refused_whole(void **state)
{
	(void)state;
	static uint8_t big[CAPACITY + 1];
	struct arq *a = arq_create(CAPACITY);
	assert_int_equal(arq_send(a, big, sizeof big), -ENOBUFS);
	assert_int_equal(arq_offset(a), 0);
	arq_destroy(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clean_link_repeats_nothing),
		cmocka_unit_test(losses_the_sender_knows_of_are_repaired),
		cmocka_unit_test(losses_taken_for_success_are_repaired),
		cmocka_unit_test(a_lost_tail_is_sent_again_by_the_timer),
		cmocka_unit_test(the_backlog_with_more_to_come_is_that_once_it_came),
		cmocka_unit_test(a_block_heard_twice_is_delivered_once),
		cmocka_unit_test(a_verdict_has_the_lost_block_sent_again_at_once_and_no_other),
		cmocka_unit_test(a_verdict_lost_with_its_block_is_given_again),
		cmocka_unit_test(a_verdict_with_many_holes_repeats_nothing_that_arrived),
		cmocka_unit_test(random_bytes_never_crash_and_deliver_nothing_beyond_the_window),
		cmocka_unit_test(a_message_without_room_is_refused_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
