/* Downlink slots through known channels: what is sent is what is read, CSI against the truth, and nothing from nothing.
 */
#include "phy/dl.h"
#include "phy/mcs.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CELL = 77, TB_MAX = 4096 };

struct fixture {
	struct numerology num;
	struct layout *layout;
	struct dl_tx *tx;
	struct dl_rx *rx[8];
	struct rng rng;
	float complex *sent, *received;
	struct slot_time when;
	struct dl_result res;
};

static int setup(void **state)
{
	static struct fixture f;
	memset(&f, 0, sizeof f);
	char err[128];
	assert_int_equal(numerology_init(&f.num, 7.68e6, 30e3, 18, 14, err, sizeof err), 0);
	f.layout = layout_create(&f.num, err, sizeof err);
	assert_non_null(f.layout);
	f.tx = dl_tx_create(f.layout, CELL, 1);
	assert_non_null(f.tx);
	for (uint8_t d = 0; d < 8; d++) {
		f.rx[d] = dl_rx_create(f.layout, CELL, d);
		assert_non_null(f.rx[d]);
	}
	f.rng.s = 1;
	f.sent = calloc(f.num.slot_len, sizeof *f.sent);
	f.received = calloc(f.num.slot_len, sizeof *f.received);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	free(f->received);
	free(f->sent);
	for (uint8_t d = 0; d < 8; d++)
		dl_rx_destroy(f->rx[d]);
	dl_tx_destroy(f->tx);
	layout_destroy(f->layout);
	return 0;
}

/* The sent slot through a channel with noise; amplitude 1 and unit mean channel: SNR is 1 / noise. */
static void pass(struct fixture *f, const struct channel *c, double snr_db)
{
	memset(f->received, 0, f->num.slot_len * sizeof *f->received);
	channel_add(&f->num, c, f->sent, f->received);
	noise_add(&f->rng, pow(10, -snr_db / 10), f->received, f->num.slot_len);
	f->when.t_samples = f->when.slot * f->num.slot_len;
}

static struct grant grant_of(size_t first_rb, size_t n_rb, uint8_t mcs)
{
	struct grant g = { .mcs = mcs, .harq_id = 3, .ndi = 1 };
	rb_set_add_range(&g.rbs, first_rb, n_rb);
	return g;
}

static void send_empty(struct fixture *f, uint64_t slot)
{
	f->when.slot = slot;
	dl_tx_begin(f->tx, slot);
	dl_tx_finish(f->tx, f->sent);
}

static void four_devices_share_a_slot_and_each_reads_its_own_block(void **state)
{
	struct fixture *f = *state;
	static const size_t first[] = { 0, 5, 6, 11 }, count[] = { 5, 1, 5, 7 };
	static uint8_t tb[4][TB_MAX], got[TB_MAX];
	for (uint64_t slot = 9; slot < 12; slot++) { /* with and without sync */
		struct dci dci[4];
		dl_tx_begin(f->tx, slot);
		for (uint8_t d = 0; d < 4; d++) {
			dci[d] = (struct dci){ .device = d,
				               .has_dl = true,
				               .dl = grant_of(first[d], count[d], (uint8_t)(2 + 3 * d)) };
			size_t n = dl_tb_bytes(f->layout, &dci[d].dl);
			assert_in_range(n, 1, TB_MAX);
			rng_bytes(&f->rng, tb[d], n);
			assert_int_equal(dl_tx_dci(f->tx, &dci[d], 2), 0);
			assert_int_equal(dl_tx_data(f->tx, d, &dci[d].dl, tb[d], n), 0);
		}
		dl_tx_finish(f->tx, f->sent);
		f->when.slot = slot;
		for (uint8_t d = 0; d < 4; d++) {
			struct channel c = channel_flat(cexp(I * (double)d));
			c.cfo_hz = 100.0 * d - 150;
			c.phase_rad = 2 * M_PI * c.cfo_hz * (double)slot * numerology_slot_s(&f->num);
			c.delay_samples[0] = d - 1.3;
			pass(f, &c, 25);
			assert_int_equal(dl_rx_slot(f->rx[d], f->received, &f->when, &f->res), 0);
			assert_true(f->res.has_dci);
			assert_false(f->res.has_sysinfo);
			assert_true(f->res.dci.has_dl && !f->res.dci.has_ul);
			assert_true(rb_set_equal(&f->res.dci.dl.rbs, &dci[d].dl.rbs));
			size_t n;
			struct rx_info info;
			assert_int_equal(dl_rx_data(f->rx[d], &f->res.dci.dl, NULL, got, &n, &info), 0);
			assert_int_equal(n, dl_tb_bytes(f->layout, &dci[d].dl));
			assert_memory_equal(got, tb[d], n);
			assert_near(info.evm_db, -25, 2.5);
			assert_near(info.snr_db, 25, 2);
		}
	}
}

static void system_information_reaches_every_device(void **state)
{
	struct fixture *f = *state;
	struct sysinfo si = { .slot = 4000000010u,
		              .dl_re_dbm = -4,
		              .ul_target_dbm = -101,
		              .comb_boost = 2,
		              .n_groups = 2,
		              .ack_delay = 3,
		              .grant_delay = 15,
		              .round_trip = 16,
		              .cell_id = CELL,
		              .version = DCI_VERSION };
	dl_tx_begin(f->tx, si.slot);
	assert_int_equal(dl_tx_sysinfo(f->tx, &si, 4), 0);
	dl_tx_finish(f->tx, f->sent);
	struct channel c = channel_flat(1);
	f->when.slot = 0; /* only slot % 10 known */
	for (uint8_t d = 0; d < 8; d++) {
		pass(f, &c, 3);
		assert_int_equal(dl_rx_slot(f->rx[d], f->received, &f->when, &f->res), 0);
		assert_true(f->res.has_sysinfo && !f->res.has_dci);
		assert_int_equal(f->res.sysinfo.slot, si.slot);
		assert_int_equal(f->res.sysinfo.dl_re_dbm, -4);
		assert_int_equal(f->res.sysinfo.ul_target_dbm, -101);
		assert_int_equal(f->res.sysinfo.comb_boost, 2);
		assert_int_equal(f->res.sysinfo.n_groups, 2);
		assert_int_equal(f->res.sysinfo.ack_delay, 3);
		assert_int_equal(f->res.sysinfo.grant_delay, 15);
		assert_int_equal(f->res.sysinfo.round_trip, 16);
		assert_int_equal(f->res.sysinfo.cell_id, CELL);
	}
}

static void csi_of_tdl_a_is_within_minus_20_db_of_the_truth_at_20_db(void **state)
{
	struct fixture *f = *state;
	double error = 0, power = 0;
	for (uint64_t slot = 0; slot < 300; slot++) {
		send_empty(f, slot);
		struct channel c = channel_tdl_a(&f->rng, 100e-9, f->num.rate_hz);
		c.phase_rad = 6 * rng_uniform(&f->rng);
		c.cfo_hz = 200 * (rng_uniform(&f->rng) - 0.5);
		pass(f, &c, 20);
		f->when.t_samples = slot * f->num.slot_len;
		assert_int_equal(dl_rx_slot(f->rx[0], f->received, &f->when, &f->res), 0);
		const struct csi *csi = &f->res.csi;
		double t = (double)(csi->t_ref_samples - csi->t_slot_samples);
		for (size_t k = 0; csi->valid && k < csi->n_sc; k++) {
			double complex truth = channel_truth(&f->num, &c, k, t, 1), e = csi->h[k] - truth;
			error += creal(e * conj(e));
			power += creal(truth * conj(truth));
		}
	}
	print_message("NMSE %.1f dB\n", 10 * log10(error / power));
	assert_true(10 * log10(error / power) < -26);
}

/* The receiver that takes a CFO off first must state the same raw-sample channel as one that does not. */
static void csi_is_stated_for_raw_samples_whatever_the_receiver_corrected(void **state)
{
	struct fixture *f = *state;
	send_empty(f, 1);
	struct channel c = channel_flat(0.7 * cexp(0.4 * I));
	c.cfo_hz = 3000;
	c.phase_rad = 1.1;
	pass(f, &c, 60);
	f->when.nco_rad = 2.5;
	f->when.nco_hz = 2950;
	for (size_t i = 0; i < f->num.slot_len; i++)
		f->received[i] *= (float complex)cexp(-I * (2.5 + 2 * M_PI * 2950 * (double)i / f->num.rate_hz));
	assert_int_equal(dl_rx_slot(f->rx[0], f->received, &f->when, &f->res), 0);
	const struct csi *csi = &f->res.csi;
	for (size_t k = 0; k < csi->n_sc; k++) {
		double complex truth =
		        channel_truth(&f->num, &c, k, (double)(csi->t_ref_samples - csi->t_slot_samples), 1);
		assert_true(cabs(csi->h[k] - truth) < 0.04);
	}
	assert_near(csi->cfo_hz, 3000, 2);
	assert_near(f->res.track.cfo_hz, 50, 2);
}

static void noise_and_snr_per_rb_are_those_of_the_channel(void **state)
{
	struct fixture *f = *state;
	struct channel c = { .n_paths = 2, .delay_samples = { 0, 5 }, .gain = { 0.8, 0.6 } };
	double noise = 0, snr[18] = { 0 };
	for (uint64_t slot = 0; slot < 100; slot++) {
		send_empty(f, slot);
		pass(f, &c, 12);
		assert_int_equal(dl_rx_slot(f->rx[0], f->received, &f->when, &f->res), 0);
		noise += f->res.csi.noise_var / 100;
		for (size_t rb = 0; rb < 18; rb++)
			snr[rb] += pow(10, f->res.csi.snr_db[rb] / 10) / 100;
	}
	assert_near(10 * log10(noise), -12, 0.3);
	for (size_t rb = 0; rb < 18; rb++) {
		double truth = 0;
		for (size_t k = 12 * rb; k < 12 * rb + 12; k++)
			truth += pow(cabs(channel_truth(&f->num, &c, k, 0, 1)), 2) / 12 * pow(10, 1.2);
		assert_near(10 * log10(snr[rb]), 10 * log10(truth), 0.8);
	}
}

static void without_any_noise_all_is_read_and_finite(void **state)
{
	struct fixture *f = *state;
	static uint8_t tb[TB_MAX], got[TB_MAX];
	struct dci dci = { .device = 3, .has_dl = true, .dl = grant_of(0, 18, 16) };
	struct rx_info info;
	size_t n = dl_tb_bytes(f->layout, &dci.dl), n_got;
	f->when.slot = 4;
	dl_tx_begin(f->tx, 4);
	assert_int_equal(dl_tx_dci(f->tx, &dci, 1), 0);
	assert_int_equal(dl_tx_data(f->tx, 3, &dci.dl, tb, n), 0);
	dl_tx_finish(f->tx, f->sent);
	assert_int_equal(dl_rx_slot(f->rx[3], f->sent, &f->when, &f->res), 0);
	assert_true(f->res.has_dci);
	assert_true(isfinite(f->res.csi.snr_mean_db) && isfinite(f->res.csi.evm_db) && isfinite(f->res.csi.snr_db[9]));
	assert_int_equal(dl_rx_data(f->rx[3], &f->res.dci.dl, NULL, got, &n_got, &info), 0);
	assert_memory_equal(got, tb, n);
	assert_true(isfinite(info.snr_db) && isfinite(info.evm_db));
}

/* One transmission of a block on a flat channel; what dl_rx_data makes of it. */
static int transmit(struct fixture *f, uint64_t slot, const struct grant *g, double snr_db, struct tb_soft *soft,
                    const uint8_t *tb)
{
	static uint8_t got[TB_MAX];
	struct channel c = channel_flat(1);
	size_t n = dl_tb_bytes(f->layout, g), n_got;
	f->when.slot = slot;
	dl_tx_begin(f->tx, slot);
	assert_int_equal(dl_tx_data(f->tx, 3, g, tb, n), 0);
	dl_tx_finish(f->tx, f->sent);
	pass(f, &c, snr_db);
	assert_int_equal(dl_rx_slot(f->rx[3], f->received, &f->when, &f->res), 0);
	int rc = dl_rx_data(f->rx[3], g, soft, got, &n_got, NULL);
	assert_true(rc || !memcmp(got, tb, n));
	return rc;
}

static void two_weak_transmissions_make_a_block_where_each_alone_fails(void **state)
{
	struct fixture *f = *state;
	static uint8_t tb[TB_MAX];
	struct tb_soft *soft = tb_soft_create(dl_tb_bytes_max(f->layout));
	struct grant first = grant_of(0, 18, 10), second = grant_of(0, 18, 10), other = grant_of(0, 18, 10);
	second.rv = 2;
	other.rv = 3;
	double snr_db = (double)mcs_get(10)->snr_db - 2;
	size_t alone = 0, combined = 0;
	for (uint64_t slot = 9; slot < 49; slot += 2) { /* first ones before sync slots: other numbers of REs */
		rng_bytes(&f->rng, tb, dl_tb_bytes(f->layout, &first));
		tb_soft_reset(soft);
		alone += !transmit(f, slot, &first, snr_db, NULL, tb) + !transmit(f, slot, &other, snr_db, NULL, tb);
		alone += !transmit(f, slot, &first, snr_db, soft, tb);
		combined += !transmit(f, slot + 1, &second, snr_db, soft, tb);
	}
	print_message("%zu of 60 alone, %zu of 20 pairs\n", alone, combined);
	assert_int_equal(alone, 0);
	assert_int_equal(combined, 20);
	tb_soft_destroy(soft);
}

static void noise_alone_gives_no_valid_csi_and_no_message(void **state)
{
	struct fixture *f = *state;
	size_t valid = 0;
	for (uint64_t slot = 0; slot < 2000; slot++) {
		memset(f->received, 0, f->num.slot_len * sizeof *f->received);
		noise_add(&f->rng, 1, f->received, f->num.slot_len);
		assert_int_equal(dl_rx_slot(f->rx[0], f->received, &f->when, &f->res), 0);
		assert_false(f->res.has_dci || f->res.has_sysinfo);
		valid += f->res.csi.valid;
	}
	assert_int_equal(valid, 0);
	memset(f->received, 0, f->num.slot_len * sizeof *f->received);
	assert_int_equal(dl_rx_slot(f->rx[0], f->received, &f->when, &f->res), 0);
	assert_false(f->res.csi.valid);
	uint8_t tb[TB_MAX];
	size_t n;
	struct grant g = grant_of(0, 3, 0);
	assert_int_equal(dl_rx_data(f->rx[0], &g, NULL, tb, &n, NULL), -ENODATA);
}

/* Told a channel a quarter turn off, the receiver must read nothing, told the true one, all; the CSI stays its own. */
static void a_channel_that_is_told_is_used_instead_of_the_estimate(void **state)
{
	struct fixture *f = *state;
	static float complex told[PHY_SC_MAX * PHY_SYMBOLS_MAX];
	static uint8_t tb[TB_MAX], got[TB_MAX];
	struct dci dci = { .device = 3, .has_dl = true, .dl = grant_of(0, 18, 5) };
	struct channel c = channel_flat(cexp(0.3 * I));
	size_t n = dl_tb_bytes(f->layout, &dci.dl), n_got;
	rng_bytes(&f->rng, tb, n);
	f->when.slot = 4;
	dl_tx_begin(f->tx, 4);
	assert_int_equal(dl_tx_dci(f->tx, &dci, 8), 0);
	assert_int_equal(dl_tx_data(f->tx, 3, &dci.dl, tb, n), 0);
	dl_tx_finish(f->tx, f->sent);
	pass(f, &c, 12);
	for (unsigned wrong = 0; wrong < 2; wrong++) {
		for (size_t i = 0; i < f->num.n_sc * f->num.n_symbols; i++)
			told[i] = (float complex)(c.gain[0] * (wrong ? I : 1));
		dl_rx_set_truth(f->rx[3], told, (float)pow(10, -1.2));
		assert_int_equal(dl_rx_slot(f->rx[3], f->received, &f->when, &f->res), 0);
		assert_int_equal(f->res.has_dci, !wrong);
		assert_int_equal(dl_rx_data(f->rx[3], &dci.dl, NULL, got, &n_got, NULL), wrong ? -EBADMSG : 0);
		assert_true(wrong || !memcmp(got, tb, n));
		assert_near(cabs(f->res.csi.h[100] - c.gain[0]), 0, 0.3);
	}
	dl_rx_set_truth(f->rx[3], NULL, 0);
	assert_int_equal(dl_rx_slot(f->rx[3], f->received, &f->when, &f->res), 0);
	assert_true(f->res.has_dci);
}

static void a_slot_with_a_nan_is_refused_and_counted(void **state)
{
	struct fixture *f = *state;
	send_empty(f, 0);
	f->sent[1234] = CMPLXF(0, NAN);
	assert_int_equal(dl_rx_slot(f->rx[0], f->sent, &f->when, &f->res), -EINVAL);
	f->sent[1234] = CMPLXF(-INFINITY, 0);
	assert_int_equal(dl_rx_slot(f->rx[0], f->sent, &f->when, &f->res), -EINVAL);
	f->sent[1234] = 1e30f;
	assert_int_equal(dl_rx_slot(f->rx[0], f->sent, &f->when, &f->res), -EINVAL);
	assert_false(f->res.csi.valid);
	struct dl_rx_stats st;
	dl_rx_get_stats(f->rx[0], &st);
	assert_int_equal(st.refused, 3);
	f->sent[1234] = 0;
	assert_int_equal(dl_rx_slot(f->rx[0], f->sent, &f->when, &f->res), 0);
	assert_true(f->res.csi.valid);
}

static void control_room_is_given_out_until_it_is_full(void **state)
{
	struct fixture *f = *state;
	struct dci d = { .device = 1, .has_command = true };
	dl_tx_begin(f->tx, 3);
	assert_int_equal(dl_tx_cce_left(f->tx), 12);
	assert_int_equal(dl_tx_dci(f->tx, &d, 1), 0);
	assert_int_equal(dl_tx_dci(f->tx, &d, 2), 0);
	assert_int_equal(dl_tx_dci(f->tx, &d, 8), 0); /* the long one still fits */
	assert_int_equal(dl_tx_cce_left(f->tx), 1);
	assert_int_equal(dl_tx_dci(f->tx, &d, 2), -ENOSPC);
	assert_int_equal(dl_tx_dci(f->tx, &d, 12), -ENOSPC);
	assert_int_equal(dl_tx_dci(f->tx, &d, 1), 0);
	assert_int_equal(dl_tx_dci(f->tx, &d, 1), -ENOSPC);
	assert_int_equal(dl_tx_dci(f->tx, &d, 3), -EINVAL);
	assert_int_equal(dl_tx_dci(f->tx, &d, 16), -EINVAL);
	dl_tx_begin(f->tx, 4);
	assert_int_equal(dl_tx_dci(f->tx, &d, 12), 0);
	assert_int_equal(dl_tx_cce_left(f->tx), 0);
}

/* Both grants for each of eight devices at 10 dB and system information: all of them in the 12 CCEs of a slot. */
static void grants_of_eight_devices_at_10_db_and_system_information_fit(void **state)
{
	struct fixture *f = *state;
	const struct sysinfo si = { .slot = 30,
		                    .n_groups = 1,
		                    .ack_delay = 4,
		                    .grant_delay = 4,
		                    .round_trip = 9,
		                    .cell_id = CELL,
		                    .version = DCI_VERSION };
	struct channel c = channel_flat(1);
	size_t missed = 0;
	for (size_t trial = 0; trial < 50; trial++) {
		struct dci dci[8];
		unsigned level = dl_level_for(f->layout, DCI_LONG, 10);
		dl_tx_begin(f->tx, si.slot);
		for (uint8_t d = 0; d < 8; d++) {
			dci[d] = (struct dci){ .device = d,
				               .has_dl = true,
				               .has_ul = true,
				               .dl = grant_of(2 * d, 2, (uint8_t)(trial % 25)),
				               .ul = grant_of(2 * d, 3, d) };
			assert_int_equal(dl_tx_dci(f->tx, &dci[d], level), 0);
		}
		assert_int_equal(dl_tx_sysinfo(f->tx, &si, 4), 0);
		assert_int_equal(dl_tx_dci(f->tx, &dci[0], 1), -ENOSPC); /* said, not dropped */
		dl_tx_finish(f->tx, f->sent);
		f->when.slot = si.slot;
		for (uint8_t d = 0; d < 8; d++) {
			pass(f, &c, 10);
			assert_int_equal(dl_rx_slot(f->rx[d], f->received, &f->when, &f->res), 0);
			missed += !f->res.has_dci + !f->res.has_sysinfo;
			if (!f->res.has_dci)
				continue;
			assert_true(f->res.dci.has_dl && f->res.dci.has_ul);
			assert_true(rb_set_equal(&f->res.dci.dl.rbs, &dci[d].dl.rbs) && f->res.dci.ul.mcs == d);
		}
	}
	print_message("%zu of 800 messages missed\n", missed);
	assert_true(missed <= 8);
}

/* Devices 1, 2 and 5 are meant; 1 has a block of its own beside. */
static void one_block_reaches_every_device_of_the_map_and_no_other(void **state)
{
	struct fixture *f = *state;
	static uint8_t tb[TB_MAX], own[TB_MAX], got[TB_MAX];
	struct multicast m = { .devices = 1 << 1 | 1 << 2 | 1 << 5, .grant = grant_of(0, 9, 10) };
	struct dci dci = { .device = 1, .has_dl = true, .dl = grant_of(9, 9, 8) };
	size_t n = dl_tb_bytes(f->layout, &m.grant), n_own = dl_tb_bytes(f->layout, &dci.dl), n_got;
	struct channel c = channel_flat(1);
	rng_bytes(&f->rng, tb, n);
	rng_bytes(&f->rng, own, n_own);
	f->when.slot = 3;
	dl_tx_begin(f->tx, 3);
	assert_int_equal(dl_tx_multicast(f->tx, &m, 4), 0);
	assert_int_equal(dl_tx_dci(f->tx, &dci, 4), 0);
	assert_int_equal(dl_tx_multicast_data(f->tx, &m.grant, tb, n - 1), -EINVAL);
	assert_int_equal(dl_tx_multicast_data(f->tx, &m.grant, tb, n), 0);
	assert_int_equal(dl_tx_data(f->tx, 1, &m.grant, tb, n), -EBUSY);
	assert_int_equal(dl_tx_data(f->tx, 1, &dci.dl, own, n_own), 0);
	dl_tx_finish(f->tx, f->sent);
	for (uint8_t d = 0; d < 8; d++) {
		bool meant = m.devices >> d & 1;
		pass(f, &c, 20);
		assert_int_equal(dl_rx_slot(f->rx[d], f->received, &f->when, &f->res), 0);
		assert_int_equal(f->res.has_multicast, meant);
		assert_int_equal(f->res.has_dci, d == 1);
		if (meant) {
			assert_int_equal(f->res.multicast.devices, m.devices);
			assert_int_equal(
			        dl_rx_multicast_data(f->rx[d], &f->res.multicast.grant, NULL, got, &n_got, NULL), 0);
			assert_int_equal(n_got, n);
			assert_memory_equal(got, tb, n);
			assert_int_equal(dl_rx_data(f->rx[d], &f->res.multicast.grant, NULL, got, &n_got, NULL),
			                 -EBADMSG);
		}
		if (d == 1) {
			assert_int_equal(dl_rx_data(f->rx[d], &f->res.dci.dl, NULL, got, &n_got, NULL), 0);
			assert_memory_equal(got, own, n_own);
		}
	}
}

static void blocks_may_not_overlap_nor_have_another_size(void **state)
{
	struct fixture *f = *state;
	uint8_t tb[TB_MAX] = { 0 };
	struct grant a = grant_of(0, 3, 4), b = grant_of(2, 3, 4), out = grant_of(17, 2, 4);
	size_t n = dl_tb_bytes(f->layout, &a);
	dl_tx_begin(f->tx, 3);
	assert_int_equal(dl_tx_data(f->tx, 0, &a, tb, n - 1), -EINVAL);
	assert_int_equal(dl_tx_data(f->tx, 0, &a, tb, n), 0);
	assert_int_equal(dl_tx_data(f->tx, 1, &b, tb, n), -EBUSY);
	assert_int_equal(dl_tx_data(f->tx, 1, &out, tb, n), -EINVAL);
	assert_int_equal(dl_tb_bytes(f->layout, &out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(four_devices_share_a_slot_and_each_reads_its_own_block),
		T(system_information_reaches_every_device),
		T(csi_of_tdl_a_is_within_minus_20_db_of_the_truth_at_20_db),
		T(csi_is_stated_for_raw_samples_whatever_the_receiver_corrected),
		T(noise_and_snr_per_rb_are_those_of_the_channel),
		T(without_any_noise_all_is_read_and_finite),
		T(two_weak_transmissions_make_a_block_where_each_alone_fails),
		T(noise_alone_gives_no_valid_csi_and_no_message),
		T(a_channel_that_is_told_is_used_instead_of_the_estimate),
		T(a_slot_with_a_nan_is_refused_and_counted),
		T(control_room_is_given_out_until_it_is_full),
		T(grants_of_eight_devices_at_10_db_and_system_information_fit),
		T(one_block_reaches_every_device_of_the_map_and_no_other),
		T(blocks_may_not_overlap_nor_have_another_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
