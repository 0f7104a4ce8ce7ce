/* Uplink control fields: quantised as stated, every topic's turn comes, refused when no sender makes them. */
#include "phy/dci.h"
#include "phy/uci.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct uci through(struct uci u)
{
	uint8_t payload[UCI_BYTES];
	struct uci got;
	assert_int_equal(uci_pack(&u, payload), 0);
	assert_int_equal(uci_unpack(payload, u.turn, &got), 0);
	return got;
}

static void every_step_of_every_field_survives(void **state)
{
	(void)state;
	for (int i = 0; i < 128 * 9; i++) {
		enum uci_topic topic = (enum uci_topic)(i % 3);
		struct uci u = { .ack = (enum uci_ack)(i / 3 % 3),
			         .multicast_ack = (enum uci_ack)(i / 9 % 3),
			         .buffer_bytes = uci_bsr_bytes((uint8_t)(i % 32)),
			         .turn = { .topic = topic, .group = topic == UCI_SNR_GROUP ? 4 : 0 },
			         .value_db = 0.5f * (float)(i % 128) - (topic == UCI_HEADROOM ? 21 : 20) };
		struct uci got = through(u);
		assert_int_equal(got.ack, u.ack);
		assert_int_equal(got.multicast_ack, u.multicast_ack);
		assert_int_equal(got.buffer_bytes, u.buffer_bytes);
		assert_int_equal(got.turn.topic, u.turn.topic);
		assert_int_equal(got.turn.group, u.turn.group);
		assert_near(got.value_db, u.value_db, 0);
	}
}

static void values_between_steps_go_to_the_nearest_and_beyond_to_the_ends(void **state)
{
	(void)state;
	static const struct {
		enum uci_topic topic;
		float said, heard;
	} cases[] = {
		{ UCI_HEADROOM, -3.4f, -3.5f }, { UCI_SNR_BAND, 12.3f, 12.5f }, { UCI_HEADROOM, 300, 42.5f },
		{ UCI_SNR_GROUP, -300, -20 },   { UCI_SNR_BAND, 1e30f, 43.5f }, { UCI_HEADROOM, -1e30f, -21 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct uci got = through((struct uci){ .turn.topic = cases[i].topic, .value_db = cases[i].said });
		assert_near(got.value_db, cases[i].heard, 0);
	}
}

static void buffer_status_never_understates_and_is_within_a_step(void **state)
{
	(void)state;
	assert_int_equal(uci_bsr_code(0), 0);
	assert_int_equal(uci_bsr_bytes(0), 0);
	assert_int_equal(uci_bsr_bytes(1), 16);
	assert_int_equal(uci_bsr_bytes(31), 1 << 20);
	for (uint32_t bytes = 1; bytes <= 1 << 20; bytes += 1 + bytes / 50) {
		uint32_t told = uci_bsr_bytes(uci_bsr_code(bytes));
		assert_true(told >= bytes);
		assert_true(told <= 16 || told < bytes * 1.46);
	}
	assert_int_equal(uci_bsr_code(UINT32_MAX), 31);
}

/* Whether a device sends in every slot, the even or the odd ones: the band at least every second time, everything else
 * within one round, and the headroom at least once. */
static void every_topic_has_its_turn_in_all_even_or_odd_slots(void **state)
{
	(void)state;
	for (size_t n_rb = PHY_RB_MIN; n_rb <= PHY_RB_MAX; n_rb++)
		for (uint64_t which = 0; which < 3; which++) {
			size_t n_groups = rb_groups(n_rb), n[3] = { 0 }, n_slots = 0;
			bool seen[18] = { false };
			uint64_t step = which ? 2 : 1, first = 4000000000 + (which == 2);
			for (uint64_t slot = first; slot < first + 4 * (n_groups + 2); slot += step, n_slots++) {
				struct uci_turn t = uci_turn(slot, n_rb);
				n[t.topic]++;
				assert_in_range(t.group, 0, n_groups - 1);
				if (t.topic == UCI_SNR_GROUP)
					seen[t.group] = true;
			}
			assert_int_equal(n[UCI_SNR_BAND], n_slots / 2);
			assert_true(n[UCI_HEADROOM] >= 1);
			for (size_t g = 0; g < n_groups; g++)
				assert_true(seen[g]);
		}
}

static void what_is_not_a_number_or_out_of_range_is_not_packed(void **state)
{
	(void)state;
	uint8_t payload[UCI_BYTES];
	const struct uci bad[] = { { .value_db = NAN },
		                   { .value_db = INFINITY },
		                   { .ack = (enum uci_ack)3 },
		                   { .multicast_ack = (enum uci_ack) - 1 },
		                   { .turn.topic = (enum uci_topic)3 } };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(uci_pack(&bad[i], payload), -EINVAL);
}

/* All 2^16 payloads: either refused, or what packing gives back. */
static void every_payload_is_refused_or_means_what_would_be_packed(void **state)
{
	(void)state;
	size_t refused = 0;
	for (unsigned i = 0; i < 1u << UCI_BITS; i++) {
		uint8_t payload[UCI_BYTES] = { (uint8_t)(i >> 8), (uint8_t)i }, again[UCI_BYTES];
		struct uci got;
		int rc = uci_unpack(payload, (struct uci_turn){ .topic = UCI_SNR_GROUP, .group = 2 }, &got);
		refused += rc == -EBADMSG;
		if (rc)
			continue;
		assert_int_equal(uci_pack(&got, again), 0);
		assert_memory_equal(again, payload, UCI_BYTES);
	}
	assert_int_equal(refused, (1u << UCI_BITS) / 16 * 7); /* 9 of 16 codes of the acknowledgements */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_of_every_field_survives),
		cmocka_unit_test(values_between_steps_go_to_the_nearest_and_beyond_to_the_ends),
		cmocka_unit_test(buffer_status_never_understates_and_is_within_a_step),
		cmocka_unit_test(every_topic_has_its_turn_in_all_even_or_odd_slots),
		cmocka_unit_test(what_is_not_a_number_or_out_of_range_is_not_packed),
		cmocka_unit_test(every_payload_is_refused_or_means_what_would_be_packed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
