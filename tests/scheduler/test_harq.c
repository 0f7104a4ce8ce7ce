/* HARQ bookkeeping: every path through the states, and a long run over a channel that loses grants, blocks and
 * answers. */
#include "scheduler/harq.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { PROCESSES = 8 };

static uint64_t rng_state = 1;

static double uniform(void)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (double)(rng_state >> 11) * 0x1p-53;
}

static void an_acknowledged_block_frees_its_process(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	int p = harq_pick(&h);
	assert_in_range(p, 0, PROCESSES - 1);
	assert_in_range(harq_send_new(&h, p, 10, 7, 3, 250, true), 0, 1);
	size_t bytes;
	assert_int_equal(harq_in_flight(&h, &bytes), 1);
	assert_int_equal(bytes, 250);
	assert_int_equal(harq_feedback(&h, 10, HARQ_ACK, &o), 0);
	assert_int_equal(o.event, HARQ_DELIVERED);
	assert_int_equal(o.process, p);
	assert_int_equal(o.bytes, 250);
	assert_true(o.first && o.answered && o.adapts);
	assert_int_equal(harq_in_flight(&h, NULL), 0);
	assert_int_equal(harq_feedback(&h, 10, HARQ_ACK, &o), -ENODATA); /* twice the same answer */
	assert_int_equal(h.stats.n_stray, 1);
}

static void a_refused_block_goes_again_with_the_same_ndi_mcs_and_size(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	int ndi = harq_send_new(&h, 2, 10, 7, 3, 250, false);
	assert_int_equal(harq_pending(&h), -EAGAIN);
	assert_int_equal(harq_send_again(&h, 2, 11), -EINVAL); /* not refused yet */
	assert_int_equal(harq_feedback(&h, 10, HARQ_NACK, &o), 0);
	assert_int_equal(o.event, HARQ_AGAIN);
	assert_int_equal(harq_pending(&h), 2);
	assert_int_equal(harq_send_new(&h, 2, 16, 1, 1, 10, false), -EINVAL); /* not idle */
	assert_int_equal(harq_send_again(&h, 2, 16), ndi);
	assert_int_equal(h.process[2].mcs, 7);
	assert_int_equal(h.process[2].n_rb, 3);
	assert_int_equal(h.process[2].bytes, 250);
	assert_int_equal(harq_feedback(&h, 16, HARQ_ACK, &o), 0);
	assert_false(o.first);
	assert_int_equal(o.n_tx, 2);
	assert_int_equal(o.first_slot, 10);
	assert_int_equal(harq_send_new(&h, 2, 20, 1, 1, 10, false), !ndi);
}

static void a_block_is_given_up_once_after_the_last_transmission(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	harq_send_new(&h, 0, 0, 1, 1, 10, false);
	for (uint64_t slot = 0; slot < 3; slot++) {
		assert_int_equal(harq_feedback(&h, slot, HARQ_NACK, &o), 0);
		assert_int_equal(o.event, HARQ_AGAIN);
		assert_true(harq_send_again(&h, 0, slot + 1) >= 0);
	}
	assert_int_equal(harq_feedback(&h, 3, HARQ_NACK, &o), 0);
	assert_int_equal(o.event, HARQ_FAILED);
	assert_int_equal(o.n_tx, 4);
	assert_int_equal(h.stats.n_failed, 1);
	assert_int_equal(harq_feedback(&h, 3, HARQ_NACK, &o), -ENODATA);
	assert_int_equal(harq_expire(&h, 1000, 4, &o), -EAGAIN);
	assert_int_equal(harq_in_flight(&h, NULL), 0);
}

static void an_answer_that_never_comes_counts_as_none_after_the_timeout(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	harq_send_new(&h, 0, 10, 1, 1, 10, false);
	harq_send_new(&h, 1, 11, 1, 1, 10, false);
	assert_int_equal(harq_expire(&h, 14, 4, &o), -EAGAIN);
	assert_int_equal(harq_expire(&h, 15, 4, &o), 0);
	assert_int_equal(o.process, 0);
	assert_false(o.answered);
	assert_int_equal(o.event, HARQ_AGAIN);
	assert_int_equal(harq_expire(&h, 15, 4, &o), -EAGAIN);
	assert_int_equal(h.stats.n_silent, 1);
	assert_int_equal(harq_feedback(&h, 12, HARQ_NONE, &o), -ENODATA); /* silence is no stray */
	assert_int_equal(h.stats.n_stray, 0);
}

static void versions_go_0_2_3_1_and_from_0_again_after_silence(void **state)
{
	(void)state;
	static const struct {
		enum harq_ack answer;
		uint8_t next;
	} steps[] = { { HARQ_NACK, 2 }, { HARQ_NACK, 3 }, { HARQ_NACK, 1 }, { HARQ_NACK, 2 },
		      { HARQ_NONE, 0 }, { HARQ_NONE, 0 }, { HARQ_NACK, 2 } };
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 20);
	harq_send_new(&h, 0, 0, 1, 1, 10, false);
	assert_int_equal(h.process[0].rv, 0);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		assert_int_equal(harq_feedback(&h, i, steps[i].answer, &o), 0);
		assert_true(harq_send_again(&h, 0, i + 1) >= 0);
		assert_int_equal(h.process[0].rv, steps[i].next);
	}
	harq_feedback(&h, sizeof steps / sizeof steps[0], HARQ_ACK, &o);
	harq_send_new(&h, 0, 100, 1, 1, 10, false);
	assert_int_equal(h.process[0].rv, 0);
}

static void one_block_can_be_given_up(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	harq_send_new(&h, 0, 1, 1, 1, 10, false);
	harq_send_new(&h, 1, 2, 1, 1, 20, false);
	harq_feedback(&h, 1, HARQ_NACK, &o);
	assert_int_equal(harq_pending(&h), 0);
	assert_int_equal(harq_drop(&h, 0, &o), 0);
	assert_int_equal(o.event, HARQ_FAILED);
	assert_int_equal(o.process, 0);
	assert_int_equal(harq_pending(&h), -EAGAIN);
	assert_int_equal(harq_in_flight(&h, NULL), 1); /* the other goes on */
	assert_int_equal(harq_drop(&h, 0, &o), -EAGAIN);
	assert_int_equal(harq_drop(&h, -1, &o), -EAGAIN);
	assert_int_equal(harq_drop(&h, PROCESSES, &o), -EAGAIN);
}

static void after_a_block_that_never_was_heard_the_next_has_another_size(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 1);
	harq_send_new(&h, 0, 1, 1, 1, 10, false);
	harq_feedback(&h, 1, HARQ_NONE, &o);
	for (int p = 1; p < PROCESSES; p++) {
		harq_send_new(&h, p, 9 + (uint64_t)p, 1, 1, 10, false);
		harq_feedback(&h, 9 + (uint64_t)p, HARQ_ACK, &o);
	}
	assert_int_equal(harq_pick_for(&h, 11), 0);
	assert_int_equal(harq_pick_for(&h, 10), 1);
	for (int p = 1; p < PROCESSES; p++)
		harq_send_new(&h, p, 20, 1, 1, 10, false);
	assert_int_equal(harq_pick_for(&h, 10), 0); /* better than none */
	harq_send_new(&h, 0, 21, 1, 1, 10, false);
	assert_int_equal(harq_pick_for(&h, 10), -EAGAIN);
}

static void the_oldest_block_goes_again_first(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	for (int p = 0; p < 3; p++)
		harq_send_new(&h, 2 - p, 10 + (uint64_t)p, 1, 1, 10, false);
	for (uint64_t slot = 12; slot >= 10; slot--)
		harq_feedback(&h, slot, HARQ_NACK, &o);
	assert_int_equal(harq_pending(&h), 2);
}

/* A block in every slot, all of them acknowledged as late as the round trip has it: a process is always free, and with
 * one process less than slots in the round trip it is not. */
static void one_device_alone_can_fill_every_slot(void **state)
{
	(void)state;
	for (unsigned round_trip = 1; round_trip <= HARQ_PROCESSES_MAX; round_trip++) {
		unsigned n = harq_processes(round_trip), n_starved = 0;
		struct harq h;
		struct harq_outcome o;
		assert_in_range(n, HARQ_PROCESSES_MIN, HARQ_PROCESSES_MAX);
		harq_init(&h, n, 4);
		for (uint64_t slot = 0; slot < 100; slot++) {
			if (slot >= round_trip)
				assert_int_equal(harq_feedback(&h, slot - round_trip, HARQ_ACK, &o), 0);
			assert_true(harq_send_new(&h, harq_pick(&h), slot, 1, 1, 10, false) >= 0);
		}
		harq_init(&h, round_trip - 1, 4);
		for (uint64_t slot = 0; slot < 100; slot++) {
			if (slot >= round_trip)
				harq_feedback(&h, slot - round_trip, HARQ_ACK, &o);
			n_starved += harq_send_new(&h, harq_pick(&h), slot, 1, 1, 10, false) < 0;
		}
		assert_in_range(n_starved, 100 / round_trip, 100);
	}
	assert_int_equal(harq_processes(20), HARQ_PROCESSES_MAX);
}

static void all_processes_busy_is_said_and_the_longest_idle_is_picked(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	for (uint64_t slot = 1; slot <= PROCESSES; slot++)
		assert_true(harq_send_new(&h, harq_pick(&h), slot, 1, 1, 10, false) >= 0);
	assert_int_equal(harq_pick(&h), -EAGAIN);
	harq_feedback(&h, 5, HARQ_ACK, &o);
	int younger = o.process;
	harq_feedback(&h, 3, HARQ_ACK, &o);
	int older = o.process;
	assert_int_not_equal(older, younger);
	assert_int_equal(harq_pick(&h), older);
	assert_int_equal(harq_send_new(&h, -1, 9, 1, 1, 10, false), -EINVAL);
	assert_int_equal(harq_send_new(&h, PROCESSES, 9, 1, 1, 10, false), -EINVAL);
}

static void a_flush_gives_up_everything_in_flight(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	harq_send_new(&h, 0, 1, 1, 1, 10, false);
	harq_send_new(&h, 1, 2, 1, 1, 20, false);
	harq_feedback(&h, 2, HARQ_NACK, &o);
	uint32_t bytes = 0;
	int n = 0;
	for (; harq_flush(&h, &o) == 0; n++) {
		assert_int_equal(o.event, HARQ_FAILED);
		assert_false(o.first && o.process == 1);
		bytes += o.bytes;
	}
	assert_int_equal(n, 2);
	assert_int_equal(bytes, 30);
	assert_int_equal(harq_in_flight(&h, NULL), 0);
}

static void after_a_block_that_never_was_heard_the_next_is_still_new_to_the_device(void **state)
{
	(void)state;
	struct harq h;
	struct harq_outcome o;
	struct harq_peer peer;
	harq_init(&h, PROCESSES, 1);
	harq_peer_init(&peer, PROCESSES);
	int ndi = harq_send_new(&h, 0, 0, 1, 1, 10, false);
	assert_int_equal(harq_peer_grant(&peer, 0, (uint8_t)ndi, 10), 1);
	harq_feedback(&h, 0, HARQ_ACK, &o);
	harq_send_new(&h, 0, 1, 1, 1, 10, false); /* its grant is lost */
	harq_feedback(&h, 1, HARQ_NONE, &o);
	assert_int_equal(o.event, HARQ_FAILED);
	ndi = harq_send_new(&h, 0, 2, 1, 1, 10, false);
	assert_int_equal(harq_peer_grant(&peer, 0, (uint8_t)ndi, 10), 1);
	assert_int_equal(harq_peer_grant(&peer, 0, (uint8_t)ndi, 10), 0);
	assert_int_equal(harq_peer_grant(&peer, PROCESSES, 0, 10), -EINVAL);
}

/* Grants, blocks and answers are lost at random; both ends as they would run. Whatever the device decodes as new was
 * sent, in that process, and no block is delivered twice; what the base station takes for delivered was, as answers
 * are lost but never forged. */
static void over_a_bad_channel_nothing_is_delivered_twice_and_every_delivery_was_one(void **state)
{
	(void)state;
	struct harq h;
	struct harq_peer peer;
	struct harq_outcome o;
	harq_init(&h, PROCESSES, 4);
	harq_peer_init(&peer, PROCESSES);
	uint32_t sent[PROCESSES] = { 0 }, next = 1; /* what is in each process: numbered blocks */
	uint32_t has[PROCESSES] = { 0 };            /* what the device decoded last */
	uint32_t soft[PROCESSES] = { 0 };           /* what its soft bits are of */
	uint64_t n_combined = 0;
	uint32_t n_decoded = 0, n_taken_for_old = 0, decoded_last[PROCESSES] = { 0 };
	enum harq_ack answer[3] = { HARQ_NONE, HARQ_NONE, HARQ_NONE }; /* in the air for 2 slots */
	uint64_t n_said_delivered = 0, n_really = 0;

	for (uint64_t slot = 0; slot < 200000; slot++) {
		if (slot >= 2 && answer[(slot - 2) % 3] != HARQ_NONE &&
		    harq_feedback(&h, slot - 2, answer[(slot - 2) % 3], &o) == 0 && o.event == HARQ_DELIVERED) {
			n_said_delivered++;
			n_really += has[o.process] == sent[o.process];
		}
		while (harq_expire(&h, slot, 3, &o) == 0)
			;
		answer[slot % 3] = HARQ_NONE;
		int p = harq_pending(&h), ndi;
		if (p >= 0) {
			ndi = harq_send_again(&h, p, slot);
		} else {
			uint32_t bytes = 10 + (uint32_t)(uniform() * 40);
			p = harq_pick_for(&h, bytes);
			if (p < 0)
				continue;
			sent[p] = next++;
			ndi = harq_send_new(&h, p, slot, 1, 1, bytes, false);
		}
		if (uniform() < 0.05) /* grant lost */
			continue;
		int fresh = harq_peer_grant(&peer, (size_t)p, (uint8_t)ndi, h.process[p].bytes);
		if (fresh) {
			assert_int_equal(h.process[p].rv, 0); /* 1 and 2 could not be decoded alone */
			soft[p] = sent[p];
		} else if (!peer.done[p]) {
			assert_int_equal(soft[p], sent[p]); /* never bits of two blocks */
			n_combined++;
		}
		if (!fresh && peer.done[p] && has[p] != sent[p])
			n_taken_for_old++; /* the ambiguity of a one-bit indicator, as far as sizes leave it */
		if (!peer.done[p] && uniform() < 0.7) {
			peer.done[p] = true;
			has[p] = sent[p];
			n_decoded++;
			assert_true(sent[p] > decoded_last[p]);
			decoded_last[p] = sent[p];
		}
		answer[slot % 3] = uniform() < 0.05 ? HARQ_NONE : peer.done[p] ? HARQ_ACK : HARQ_NACK;
	}
	assert_true(n_decoded > 100000);
	assert_true(n_combined > 10000);
	assert_int_equal(h.stats.n_stray, 0);
	assert_true(n_said_delivered <= n_decoded + n_taken_for_old);
	assert_true(h.stats.n_failed > 100); /* the run has seen the rare paths */
	assert_true(n_said_delivered - n_really <= n_taken_for_old);
	assert_int_equal(n_taken_for_old,
	                 0); /* a block and one two before it could still have one size: not with this seed */
	assert_true(h.stats.n_new == h.stats.n_delivered + h.stats.n_failed + harq_in_flight(&h, NULL));
}

/* The answers of a receiver to a list of grants, each against what the air interface says (notes/phy.md). */
static void a_receiver_adds_only_to_a_block_whose_version_0_it_saw(void **state)
{
	(void)state;
	static const struct {
		uint8_t process, ndi, rv;
		uint32_t bytes;
		enum harq_peer_verdict verdict;
	} grants[] = {
		{ 2, 0, 2, 100, HARQ_PEER_IGNORE }, /* nothing known */
		{ 2, 0, 0, 100, HARQ_PEER_BEGIN },
		{ 2, 0, 2, 100, HARQ_PEER_ADD },
		{ 2, 0, 3, 101, HARQ_PEER_IGNORE }, /* another block of the same indicator */
		{ 2, 1, 2, 100, HARQ_PEER_IGNORE }, /* a new block, its version 0 missed */
		{ 2, 0, 3, 100, HARQ_PEER_ADD },    /* nothing was forgotten by what was ignored */
		{ 2, 0, 0, 100, HARQ_PEER_BEGIN },  /* after silence */
		{ 3, 0, 1, 100, HARQ_PEER_IGNORE }, /* another process */
		{ 2, 1, 0, 100, HARQ_PEER_BEGIN },
		{ 2, 0, 2, 100, HARQ_PEER_IGNORE }, /* the old block is gone */
		{ PROCESSES, 0, 0, 100, HARQ_PEER_IGNORE },
	};
	for (int multicast = 0; multicast < 2; multicast++) {
		struct harq_peer p;
		harq_peer_init(&p, PROCESSES);
		for (size_t i = 0; i < sizeof grants / sizeof grants[0]; i++)
			assert_int_equal(harq_peer_receive(&p, multicast, grants[i].process, grants[i].ndi,
			                                   grants[i].rv, grants[i].bytes),
			                 grants[i].verdict);
	}
}

static void a_decoded_block_is_acknowledged_again_but_a_multicast_version_0_is_a_new_one(void **state)
{
	(void)state;
	for (int multicast = 0; multicast < 2; multicast++) {
		struct harq_peer p;
		harq_peer_init(&p, PROCESSES);
		assert_int_equal(harq_peer_receive(&p, multicast, 0, 1, 0, 50), HARQ_PEER_BEGIN);
		p.done[0] = true;
		assert_int_equal(harq_peer_receive(&p, multicast, 0, 1, 2, 50), HARQ_PEER_DONE);
		assert_int_equal(harq_peer_receive(&p, multicast, 0, 0, 2, 50), HARQ_PEER_IGNORE);
		assert_true(p.done[0]);
		assert_int_equal(harq_peer_receive(&p, multicast, 0, 1, 0, 50),
		                 multicast ? HARQ_PEER_BEGIN : HARQ_PEER_DONE);
		assert_int_equal(p.done[0], !multicast);
		assert_int_equal(harq_peer_receive(&p, multicast, 0, 0, 0, 50), HARQ_PEER_BEGIN);
		assert_false(p.done[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_acknowledged_block_frees_its_process),
		cmocka_unit_test(a_refused_block_goes_again_with_the_same_ndi_mcs_and_size),
		cmocka_unit_test(a_block_is_given_up_once_after_the_last_transmission),
		cmocka_unit_test(an_answer_that_never_comes_counts_as_none_after_the_timeout),
		cmocka_unit_test(versions_go_0_2_3_1_and_from_0_again_after_silence),
		cmocka_unit_test(after_a_block_that_never_was_heard_the_next_has_another_size),
		cmocka_unit_test(the_oldest_block_goes_again_first),
		cmocka_unit_test(one_device_alone_can_fill_every_slot),
		cmocka_unit_test(all_processes_busy_is_said_and_the_longest_idle_is_picked),
		cmocka_unit_test(a_flush_gives_up_everything_in_flight),
		cmocka_unit_test(one_block_can_be_given_up),
		cmocka_unit_test(after_a_block_that_never_was_heard_the_next_is_still_new_to_the_device),
		cmocka_unit_test(a_receiver_adds_only_to_a_block_whose_version_0_it_saw),
		cmocka_unit_test(a_decoded_block_is_acknowledged_again_but_a_multicast_version_0_is_a_new_one),
		cmocka_unit_test(over_a_bad_channel_nothing_is_delivered_twice_and_every_delivery_was_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
