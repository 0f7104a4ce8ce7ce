/* Downlink control: fields survive packing, impossible contents are refused, and messages are found at low SNR or not
 * at all. */
#include "phy/dl.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CELL = 300 };

static struct grant random_grant(struct rng *r, size_t n_rb)
{
	struct grant g = {
		.mcs = rng_u64(r) % 32, .harq_id = rng_u64(r) % 16, .ndi = rng_u64(r) % 2, .rv = rng_u64(r) % 4
	};
	size_t size = rb_group_size(n_rb);
	for (size_t i = 0; i < 1 + rb_groups(n_rb) / 2; i++) {
		size_t first = rng_u64(r) % rb_groups(n_rb) * size;
		rb_set_add_range(&g.rbs, first, first + size <= n_rb ? size : n_rb - first);
	}
	return g;
}

/* One of the four kinds of message to a device. */
static struct dci random_dci(struct rng *r, size_t n_rb, uint8_t device)
{
	unsigned kind = rng_u64(r) % 4;
	struct dci d = { .device = device, .has_dl = kind & 1, .has_ul = kind >> 1 & 1, .has_command = !kind };
	if (d.has_dl)
		d.dl = random_grant(r, n_rb);
	if (d.has_ul)
		d.ul = random_grant(r, n_rb);
	if (d.has_command) {
		d.command.access_answer = rng_u64(r) & 1;
		d.command.timing = (int8_t)(rng_u64(r) % 128 - (d.command.access_answer ? 0 : 64));
		d.command.power_step_db = (int8_t)(rng_u64(r) % 8 - 4);
	}
	return d;
}

static bool same_grant(const struct grant *a, const struct grant *b)
{
	return rb_set_equal(&a->rbs, &b->rbs) && a->mcs == b->mcs && a->harq_id == b->harq_id && a->ndi == b->ndi &&
	       a->rv == b->rv;
}

static bool same_dci(const struct dci *a, const struct dci *b)
{
	return a->device == b->device && a->has_dl == b->has_dl && a->has_ul == b->has_ul &&
	       a->has_command == b->has_command && same_grant(&a->dl, &b->dl) && same_grant(&a->ul, &b->ul) &&
	       a->command.access_answer == b->command.access_answer && a->command.timing == b->command.timing &&
	       a->command.power_step_db == b->command.power_step_db;
}

static bool same_sysinfo(const struct sysinfo *a, const struct sysinfo *b)
{
	return a->slot == b->slot && a->dl_re_dbm == b->dl_re_dbm && a->ul_target_dbm == b->ul_target_dbm &&
	       a->comb_boost == b->comb_boost && a->n_groups == b->n_groups && a->ack_delay == b->ack_delay &&
	       a->grant_delay == b->grant_delay && a->round_trip == b->round_trip && a->cell_id == b->cell_id &&
	       a->version == b->version;
}

/* ---- bits ---- */

static void messages_survive_packing_for_every_number_of_rbs(void **state)
{
	(void)state;
	struct rng r = { 3 };
	uint8_t payload[DCI_BYTES_MAX];
	for (size_t n_rb = PHY_RB_MIN; n_rb <= PHY_RB_MAX; n_rb++)
		for (size_t i = 0; i < 20; i++) {
			struct dci got, d = random_dci(&r, n_rb, (uint8_t)(i % 16));
			assert_int_equal(dci_pack(&d, n_rb, payload), 0);
			assert_int_equal(dci_unpack(payload, dci_size_of(&d), n_rb, d.device, &got), 0);
			assert_true(same_dci(&d, &got));
			struct multicast heard,
			        m = { .devices = (uint16_t)(rng_u64(&r) % 65535 + 1), .grant = random_grant(&r, n_rb) };
			assert_int_equal(multicast_pack(&m, n_rb, payload), 0);
			assert_int_equal(multicast_unpack(payload, n_rb, &heard), 0);
			assert_true(heard.devices == m.devices && same_grant(&heard.grant, &m.grant));
		}
}

static void system_information_survives_packing(void **state)
{
	(void)state;
	struct rng r = { 31 };
	uint8_t payload[DCI_BYTES_MAX];
	for (size_t i = 0; i < 1000; i++) {
		struct sysinfo got, s = { .slot = i ? (uint32_t)(rng_u64(&r) % 429496730) * 10 : 4294967290u,
			                  .dl_re_dbm = (int8_t)(rng_u64(&r) % 256 - 128),
			                  .ul_target_dbm = (int8_t) - (int)(rng_u64(&r) % 128),
			                  .comb_boost = (uint8_t)(rng_u64(&r) % 4),
			                  .n_groups = (uint8_t)(rng_u64(&r) % 2 + 1),
			                  .ack_delay = (uint8_t)(rng_u64(&r) % 15 + 1),
			                  .grant_delay = (uint8_t)(rng_u64(&r) % 15 + 1),
			                  .round_trip = (uint8_t)(rng_u64(&r) % 16 + 1),
			                  .cell_id = CELL,
			                  .version = rng_u64(&r) % 16 };
		assert_int_equal(sysinfo_pack(&s, payload), 0);
		assert_int_equal(sysinfo_unpack(payload, CELL, &got), 0);
		assert_true(same_sysinfo(&s, &got));
	}
}

static void a_short_message_has_at_most_32_bits_and_a_long_one_63(void **state)
{
	(void)state;
	assert_int_equal(dci_n_bits(DCI_SHORT, 6), 20);
	assert_int_equal(dci_n_bits(DCI_SHORT, 18), 32);
	for (size_t n_rb = PHY_RB_MIN; n_rb <= PHY_RB_MAX; n_rb++) {
		assert_in_range(dci_n_bits(DCI_SHORT, n_rb), 20, 32);
		assert_int_equal(dci_n_bits(DCI_LONG, n_rb), 63);
		assert_int_equal(rb_groups(n_rb), (n_rb + rb_group_size(n_rb) - 1) / rb_group_size(n_rb));
	}
	assert_int_equal(rb_group_size(18), 1);
	assert_int_equal(rb_group_size(19), 2);
	assert_int_equal(rb_group_size(36), 2);
	assert_int_equal(rb_group_size(110), 7);
}

static void only_whole_groups_of_rbs_can_be_granted(void **state)
{
	(void)state;
	uint8_t payload[DCI_BYTES_MAX];
	struct dci d = { .has_ul = true };
	rb_set_add_range(&d.ul.rbs, 2, 5); /* of 25 RBs, granted in twos: 2 .. 5 are whole, 6 is half of one */
	assert_int_equal(dci_pack(&d, 25, payload), -EINVAL);
	struct rb_set whole = rb_whole_groups(&d.ul.rbs, 25), expected = { { 0x3c } };
	assert_true(rb_set_equal(&whole, &expected));
	d.ul.rbs = whole;
	rb_set_add(&d.ul.rbs, 24); /* the last group has but one */
	assert_int_equal(dci_pack(&d, 25, payload), 0);
	rb_set_add(&d.ul.rbs, 25);
	assert_int_equal(dci_pack(&d, 25, payload), -EINVAL);
}

static void fields_out_of_range_are_not_packed(void **state)
{
	(void)state;
	uint8_t payload[DCI_BYTES_MAX];
	struct rng r = { 4 };
	struct dci good = { .device = 3, .has_dl = true, .dl = random_grant(&r, 18) }, d;
	assert_int_equal(dci_pack(&good, 18, payload), 0);
	d = good, d.device = PHY_DEVICES_MAX;
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = good, d.dl.mcs = 32;
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = good, d.dl.harq_id = 16;
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = good, d.dl.rv = 4;
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = good, d.dl.rbs = (struct rb_set){ { 0 } };
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = good, rb_set_add(&d.dl.rbs, 18);
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = good, d.has_command = true; /* two items, but not both grants */
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = (struct dci){ .device = 3 }; /* nothing */
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	const struct command bad[] = { { .access_answer = true, .timing = -1 },
		                       { .timing = 64 },
		                       { .timing = -65 },
		                       { .power_step_db = 4 },
		                       { .power_step_db = -5 } };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		d = (struct dci){ .has_command = true, .command = bad[i] };
		assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	}
	struct multicast m = { .grant = good.dl };
	assert_int_equal(multicast_pack(&m, 18, payload), -EINVAL);
}

static void system_information_out_of_range_is_not_packed(void **state)
{
	(void)state;
	uint8_t payload[DCI_BYTES_MAX];
	const struct sysinfo good = { .slot = 10, .n_groups = 1, .ack_delay = 2, .grant_delay = 2, .round_trip = 8 };
	struct sysinfo bad[14];
	for (size_t i = 0; i < 14; i++)
		bad[i] = good;
	bad[0].slot = 11;
	bad[1].n_groups = 0;
	bad[2].n_groups = 3;
	bad[3].ack_delay = 0;
	bad[4].ack_delay = 16;
	bad[5].grant_delay = 0;
	bad[6].grant_delay = 16;
	bad[7].round_trip = 0;
	bad[8].round_trip = 17;
	bad[9].cell_id = 1024;
	bad[10].version = 16;
	bad[11].ul_target_dbm = 1;
	bad[12].ul_target_dbm = -128;
	bad[13].comb_boost = 4;
	assert_int_equal(sysinfo_pack(&good, payload), 0);
	for (size_t i = 0; i < 14; i++)
		assert_int_equal(sysinfo_pack(&bad[i], payload), -EINVAL);
}

/* Random payloads of any kind and band: each is refused, or is exactly what packing makes of its meaning. */
static void every_payload_is_refused_or_means_what_would_be_packed(void **state)
{
	(void)state;
	struct rng r = { 6 };
	size_t taken[4] = { 0 };
	for (size_t i = 0; i < 400000; i++) {
		uint8_t payload[DCI_BYTES_MAX] = { 0 }, again[DCI_BYTES_MAX];
		size_t n_rb = PHY_RB_MIN + rng_u64(&r) % (PHY_RB_MAX - PHY_RB_MIN + 1);
		enum dci_size size = i % 4 ? DCI_LONG : DCI_SHORT;
		/* Mostly well-sized, sometimes with bits beyond the message's or beyond its fields. */
		size_t n_bits = rng_u64(&r) % 4 ? dci_n_bits(size, n_rb) - rng_u64(&r) % 24 : 64;
		rng_bytes(&r, payload, DCI_BYTES_MAX);
		for (size_t bit = n_bits; bit < 64; bit++)
			payload[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		struct dci d;
		struct multicast m;
		struct sysinfo s;
		int rc = i % 4 < 2    ? dci_unpack(payload, size, n_rb, 5, &d)
		         : i % 4 == 2 ? multicast_unpack(payload, n_rb, &m)
		                      : sysinfo_unpack(payload, CELL, &s);
		assert_true(rc == 0 || rc == -EBADMSG);
		if (rc)
			continue;
		taken[i % 4]++;
		rc = i % 4 < 2    ? dci_pack(&d, n_rb, again)
		     : i % 4 == 2 ? multicast_pack(&m, n_rb, again)
		                  : sysinfo_pack(&s, again);
		assert_int_equal(rc, 0);
		if (i % 4 < 2)
			assert_int_equal(dci_size_of(&d), size);
		for (size_t bit = 0; bit < dci_n_bits(size, n_rb); bit++) /* what is beyond is not the message's */
			assert_false((payload[bit / 8] ^ again[bit / 8]) & (0x80 >> bit % 8));
	}
	print_message("taken: %zu short, %zu grants, %zu multicast, %zu system information\n", taken[0], taken[1],
	              taken[2], taken[3]);
	for (size_t k = 0; k < 4; k++)
		assert_in_range(taken[k], 100, 99000);
}

/* ---- over the air ---- */

struct link {
	struct numerology num;
	struct layout *layout;
	struct dl_tx *tx;
	struct dl_rx *rx;
	float complex samples[PHY_SYMBOLS_MAX * 2048];
};

static int setup(void **state)
{
	static struct link l;
	char err[128];
	assert_int_equal(numerology_init(&l.num, 7.68e6, 30e3, 18, 14, err, sizeof err), 0);
	l.layout = layout_create(&l.num, err, sizeof err);
	l.tx = dl_tx_create(l.layout, CELL, 1);
	l.rx = dl_rx_create(l.layout, CELL, 6);
	assert_true(l.layout && l.tx && l.rx);
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	struct link *l = *state;
	dl_rx_destroy(l->rx);
	dl_tx_destroy(l->tx);
	layout_destroy(l->layout);
	return 0;
}

/* Share of missed messages at that level, AWGN, among messages to others; fails on any wrong content. */
static double miss_rate(struct link *l, unsigned level, double snr_db, size_t trials)
{
	struct rng r = { 5 + level };
	struct slot_time when = { .slot = 1 };
	struct dl_result res;
	size_t missed = 0;
	dl_rx_reset(l->rx);
	for (size_t i = 0; i < trials; i++) {
		struct dci mine = random_dci(&r, 18, 6), other = random_dci(&r, 18, 2);
		dl_tx_begin(l->tx, 1);
		assert_int_equal(dl_tx_dci(l->tx, &other, 1), 0);
		assert_int_equal(dl_tx_dci(l->tx, &mine, level), 0);
		dl_tx_finish(l->tx, l->samples);
		noise_add(&r, pow(10, -snr_db / 10), l->samples, l->num.slot_len);
		assert_int_equal(dl_rx_slot(l->rx, l->samples, &when, &res), 0);
		missed += !res.has_dci;
		if (res.has_dci)
			assert_true(same_dci(&res.dci, &mine));
	}
	print_message("level %u at %.1f dB: %zu of %zu missed\n", level, snr_db, missed, trials);
	return (double)missed / (double)trials;
}

static void messages_are_missed_less_than_once_in_a_hundred_at_each_levels_snr(void **state)
{
	assert_true(miss_rate(*state, 8, -4.6, 500) < 0.01);
	assert_true(miss_rate(*state, 4, -1.7, 500) < 0.01);
	assert_true(miss_rate(*state, 2, 2.1, 500) < 0.01);
	assert_true(miss_rate(*state, 1, 7.4, 500) < 0.01);
}

static void a_full_control_region_is_read_and_costs_few_attempts(void **state)
{
	struct link *l = *state;
	struct rng r = { 9 };
	struct slot_time when = { .slot = 1 };
	struct dl_result res;
	struct dl_rx_stats st;
	for (uint8_t d = 0; d < 12; d++) {
		if (d == 0)
			dl_tx_begin(l->tx, 1);
		struct dci dci = random_dci(&r, 18, d);
		assert_int_equal(dl_tx_dci(l->tx, &dci, 1), 0);
	}
	dl_tx_finish(l->tx, l->samples);
	noise_add(&r, 0.03, l->samples, l->num.slot_len);
	assert_int_equal(dl_rx_slot(l->rx, l->samples, &when, &res), 0);
	assert_true(res.has_dci);
	dl_rx_get_stats(l->rx, &st);
	assert_true(st.candidates <= 46); /* one pass over both sizes of 23 places */
}

static void no_message_is_found_where_none_was_sent(void **state)
{
	struct link *l = *state;
	struct rng r = { 10 };
	struct slot_time when = { .slot = 1 };
	struct dl_result res;
	struct dl_rx_stats st;
	for (size_t i = 0; i < 500; i++) {
		dl_tx_begin(l->tx, 1);
		dl_tx_finish(l->tx, l->samples);
		noise_add(&r, 1, l->samples, l->num.slot_len);
		assert_int_equal(dl_rx_slot(l->rx, l->samples, &when, &res), 0);
		assert_true(res.csi.valid);
		assert_false(res.has_dci || res.has_sysinfo);
	}
	dl_rx_get_stats(l->rx, &st);
	print_message("%.3f candidates a slot at 0 dB\n", (double)st.candidates / 500);
	assert_true(st.candidates < 4 * 500); /* of 34 places whose levels 0 dB is enough for: the energy gate works */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_survive_packing_for_every_number_of_rbs),
		cmocka_unit_test(system_information_survives_packing),
		cmocka_unit_test(a_short_message_has_at_most_32_bits_and_a_long_one_63),
		cmocka_unit_test(only_whole_groups_of_rbs_can_be_granted),
		cmocka_unit_test(fields_out_of_range_are_not_packed),
		cmocka_unit_test(system_information_out_of_range_is_not_packed),
		cmocka_unit_test(every_payload_is_refused_or_means_what_would_be_packed),
		cmocka_unit_test_setup_teardown(messages_are_missed_less_than_once_in_a_hundred_at_each_levels_snr,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_control_region_is_read_and_costs_few_attempts, setup, teardown),
		cmocka_unit_test_setup_teardown(no_message_is_found_where_none_was_sent, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
