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
	rb_set_add(&g.rbs, rng_u64(r) % n_rb);
	for (size_t i = 0; i < n_rb / 2; i++)
		rb_set_add(&g.rbs, rng_u64(r) % n_rb);
	return g;
}

static struct dci random_dci(struct rng *r, size_t n_rb, uint8_t device)
{
	struct dci d = {
		.device = device, .access_answer = rng_u64(r) & 1, .has_dl = rng_u64(r) & 1, .has_ul = rng_u64(r) & 1
	};
	if (d.has_dl)
		d.dl = random_grant(r, n_rb);
	if (d.has_ul)
		d.ul = random_grant(r, n_rb);
	return d;
}

static bool same_grant(const struct grant *a, const struct grant *b)
{
	return rb_set_equal(&a->rbs, &b->rbs) && a->mcs == b->mcs && a->harq_id == b->harq_id && a->ndi == b->ndi &&
	       a->rv == b->rv;
}

static bool same_dci(const struct dci *a, const struct dci *b)
{
	return a->device == b->device && a->access_answer == b->access_answer && a->has_dl == b->has_dl &&
	       a->has_ul == b->has_ul && same_grant(&a->dl, &b->dl) && same_grant(&a->ul, &b->ul);
}

static void grants_survive_packing_for_every_number_of_rbs(void **state)
{
	(void)state;
	struct rng r = { 3 };
	uint8_t payload[DCI_BYTES_MAX];
	for (size_t n_rb = 11; n_rb <= PHY_RB_MAX; n_rb++)
		for (size_t i = 0; i < 20; i++) {
			struct dci got, d = random_dci(&r, n_rb, (uint8_t)(i % 16));
			assert_int_equal(dci_pack(&d, n_rb, payload), 0);
			assert_int_equal(dci_unpack(payload, n_rb, d.device, &got), 0);
			assert_true(same_dci(&d, &got));
		}
}

static void the_payload_is_64_bits_at_18_rbs(void **state)
{
	(void)state;
	assert_int_equal(dci_n_bits(18), 64);
	assert_int_equal(dci_n_bits(25), 77);
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
	d = good, d.dl.rv = 4;
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = good, d.dl.rbs = (struct rb_set){ { 0 } };
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	d = good, rb_set_add(&d.dl.rbs, 18);
	assert_int_equal(dci_pack(&d, 18, payload), -EINVAL);
	struct sysinfo si = { .n_groups = 3 };
	assert_int_equal(sysinfo_pack(&si, 18, payload), -EINVAL);
}

static void contents_that_no_sender_makes_are_refused(void **state)
{
	(void)state;
	struct dci d;
	struct sysinfo si;
	uint8_t payload[DCI_BYTES_MAX] = { 0x40 }; /* a downlink grant of no RB */
	assert_int_equal(dci_unpack(payload, 18, 0, &d), -EBADMSG);
	payload[0] = 0x01; /* an RB of a grant that is not there */
	assert_int_equal(dci_unpack(payload, 18, 0, &d), -EBADMSG);
	payload[0] = 0;
	assert_int_equal(dci_unpack(payload, 18, 0, &d), 0);
	payload[7] = 1; /* a spare bit */
	assert_int_equal(dci_unpack(payload, 18, 0, &d), -EBADMSG);
	assert_int_equal(sysinfo_unpack(payload, 18, &si), -EBADMSG);
}

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
	assert_true(miss_rate(*state, 8, -2.0, 500) < 0.01);
	assert_true(miss_rate(*state, 4, 0.5, 500) < 0.01);
	assert_true(miss_rate(*state, 2, 4.0, 500) < 0.01);
	assert_true(miss_rate(*state, 1, 9.0, 500) < 0.01);
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
	assert_true(st.candidates <= 22);
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
	assert_true(st.candidates < 500); /* the energy gate works */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_survive_packing_for_every_number_of_rbs),
		cmocka_unit_test(the_payload_is_64_bits_at_18_rbs),
		cmocka_unit_test(fields_out_of_range_are_not_packed),
		cmocka_unit_test(contents_that_no_sender_makes_are_refused),
		cmocka_unit_test_setup_teardown(messages_are_missed_less_than_once_in_a_hundred_at_each_levels_snr,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_control_region_is_read_and_costs_few_attempts, setup, teardown),
		cmocka_unit_test_setup_teardown(no_message_is_found_where_none_was_sent, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
