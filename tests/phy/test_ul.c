/* Uplink slots of several devices through known channels: data, control, sounding and access side by side; silence. */
#include "phy/mcs.h"
#include "phy/ul.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CELL = 77, TB_MAX = 4096, DEVICES = 16 };

static const struct ul_amplitudes full_band = { .data = 1, .comb = 2.8284271f, .access = 1.7320508f };

struct fixture {
	struct numerology num;
	struct layout *layout;
	struct ul_tx *tx[DEVICES];
	struct ul_rx *rx;
	struct rng rng;
	float complex *sent, *received;
	struct slot_time when;
	struct csi csi;
	struct uci uci;
};

static int setup(void **state)
{
	static struct fixture f;
	memset(&f, 0, sizeof f);
	char err[128];
	assert_int_equal(numerology_init(&f.num, 7.68e6, 30e3, 18, 14, err, sizeof err), 0);
	f.layout = layout_create(&f.num, err, sizeof err);
	assert_non_null(f.layout);
	f.rx = ul_rx_create(f.layout, CELL);
	assert_non_null(f.rx);
	for (uint8_t d = 0; d < DEVICES; d++) {
		f.tx[d] = ul_tx_create(f.layout, CELL, d);
		assert_non_null(f.tx[d]);
	}
	f.rng.s = 2;
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
	for (uint8_t d = 0; d < DEVICES; d++)
		ul_tx_destroy(f->tx[d]);
	ul_rx_destroy(f->rx);
	layout_destroy(f->layout);
	return 0;
}

static void air_clear(struct fixture *f)
{
	memset(f->received, 0, f->num.slot_len * sizeof *f->received);
}

static void air_add(struct fixture *f, uint8_t device, const struct ul_amplitudes *a, const struct channel *c)
{
	ul_tx_finish(f->tx[device], a, f->sent);
	channel_add(&f->num, c, f->sent, f->received);
}

static int receive(struct fixture *f, double snr_db)
{
	noise_add(&f->rng, pow(10, -snr_db / 10), f->received, f->num.slot_len);
	f->when.t_samples = f->when.slot * f->num.slot_len;
	return ul_rx_slot(f->rx, f->received, &f->when);
}

/* Slots of noise, so that the receiver knows its floor. */
static void listen(struct fixture *f, size_t n, double snr_db)
{
	for (size_t i = 0; i < n; i++) {
		air_clear(f);
		assert_int_equal(receive(f, snr_db), 0);
	}
}

static struct uci uci_of(uint8_t device, uint64_t slot)
{
	return (struct uci){ .ack = (enum uci_ack)((device + slot) % 3),
		             .multicast_ack = (enum uci_ack)((device + slot / 3) % 3),
		             .buffer_bytes = uci_bsr_bytes((uint8_t)(device + 3)),
		             .turn = uci_turn(slot, 18),
		             .value_db = 0.5f * (float)device - 10 };
}

static struct grant grant_of(size_t first_rb, size_t n_rb, uint8_t mcs)
{
	struct grant g = { .mcs = mcs, .harq_id = 3, .ndi = 1 };
	rb_set_add_range(&g.rbs, first_rb, n_rb);
	return g;
}

static bool same_uci(const struct uci *a, const struct uci *b)
{
	return a->ack == b->ack && a->multicast_ack == b->multicast_ack && a->buffer_bytes == b->buffer_bytes &&
	       a->turn.topic == b->turn.topic && a->turn.group == b->turn.group && a->value_db == b->value_db;
}

static void eight_devices_share_a_slot_for_data_control_and_sounding(void **state)
{
	struct fixture *f = *state;
	static const size_t first[] = { 0, 1, 3, 6, 8, 10, 12, 14 }, count[] = { 1, 2, 3, 2, 2, 2, 2, 4 };
	static uint8_t tb[8][TB_MAX], got[TB_MAX];
	for (uint64_t slot = 1; slot < 4; slot++) {
		struct grant g[8];
		f->when.slot = slot;
		air_clear(f);
		for (uint8_t d = 0; d < 8; d++) {
			struct uci u = uci_of(d, slot);
			g[d] = grant_of(first[d], count[d], (uint8_t)(5 + 2 * d));
			size_t n = ul_tb_bytes(f->layout, slot, &g[d]);
			rng_bytes(&f->rng, tb[d], n);
			ul_tx_begin(f->tx[d], slot);
			assert_int_equal(ul_tx_data(f->tx[d], &g[d], tb[d], n), 0);
			assert_int_equal(ul_tx_control(f->tx[d], &u), 0);
			struct channel c = channel_flat(cexp(I * (double)d));
			c.cfo_hz = 10.0 * d - 35;
			c.phase_rad = 2 * M_PI * c.cfo_hz * (double)slot * numerology_slot_s(&f->num);
			c.delay_samples[0] = 1.5 * d - 2;
			air_add(f, d, &full_band, &c);
		}
		assert_int_equal(receive(f, 25), 0);
		for (uint8_t d = 0; d < 8; d++) {
			struct uci u = uci_of(d, slot);
			assert_int_equal(ul_rx_control(f->rx, d, &f->uci, &f->csi), 0);
			assert_true(same_uci(&f->uci, &u));
			assert_near(f->csi.snr_mean_db, 25, 2.5);
			assert_near(f->csi.timing_samples, 1.5 * d - 2, 0.3);
			if (slot > 1)
				assert_near(f->csi.cfo_hz, 10.0 * d - 35, 10);
			size_t n;
			struct rx_info info;
			assert_int_equal(ul_rx_data(f->rx, d, &g[d], NULL, got, &n, &info), 0);
			assert_int_equal(n, ul_tb_bytes(f->layout, slot, &g[d]));
			assert_memory_equal(got, tb[d], n);
			assert_near(info.snr_db, 24.5, 3);
		}
	}
}

/* One slot of device d, which was granted all RBs if it sends data: what the base station makes of its control. */
static void send_slot(struct fixture *f, uint8_t d, uint64_t slot, bool data, const struct channel *c, double snr_db)
{
	static uint8_t tb[TB_MAX];
	struct uci u = uci_of(d, slot);
	struct grant all = grant_of(0, f->num.n_rb, 10);
	f->when.slot = slot;
	air_clear(f);
	ul_tx_begin(f->tx[d], slot);
	if (data)
		assert_int_equal(ul_tx_data(f->tx[d], &all, tb, ul_tb_bytes(f->layout, slot, &all)), 0);
	assert_int_equal(ul_tx_control(f->tx[d], &u), 0);
	air_add(f, d, &full_band, c);
	assert_int_equal(receive(f, snr_db), 0);
	if (data)
		ul_rx_expect(f->rx, d, &all.rbs);
	assert_int_equal(ul_rx_control(f->rx, d, &f->uci, &f->csi), 0);
}

/* A device's slots start a sample later from the second of n on; mean and largest CFO error after them, Hz. */
static void step(struct fixture *f, size_t n, bool data, double *mean, double *most)
{
	*mean = *most = 0;
	for (size_t trial = 0; trial < DEVICES; trial++) {
		struct channel c = channel_tdl_a(&f->rng, 100e-9, f->num.rate_hz);
		c.cfo_hz = 30;
		for (uint64_t slot = 10 * trial; slot < 10 * trial + n; slot++) {
			c.phase_rad = 2 * M_PI * c.cfo_hz * (double)slot * numerology_slot_s(&f->num);
			send_slot(f, (uint8_t)trial, slot, data, &c, 25);
			for (size_t i = 0; i < c.n_paths; i++)
				c.delay_samples[i] += slot == 10 * trial ? 1 : 0;
		}
		*mean += fabs((double)f->csi.cfo_hz - 30) / DEVICES;
		*most = fmax(*most, fabs((double)f->csi.cfo_hz - 30));
	}
	print_message("%zu slots, %s: %.1f Hz off on average, %.1f at most\n", n, data ? "data" : "sounding", *mean,
	              *most);
}

/* The tracker moves a device's slots by a sample now and then; on a channel that is stronger at one end of the band
 * that turns the sum over it. */
static void a_step_of_the_slot_start_is_no_carrier_offset(void **state)
{
	double mean, most;
	step(*state, 4, false, &mean, &most);
	assert_true(mean < 6 && most < 25);
}

static void with_data_on_the_whole_band_a_step_is_no_carrier_offset_from_the_first_slot_on(void **state)
{
	double mean, most;
	step(*state, 2, true, &mean, &most);
	assert_true(mean < 3 && most < 12);
}

/* Error power over channel power, sounding RE at `snr_db` themselves when boosted is false. */
static double sounding_nmse_db(struct fixture *f, double snr_db, bool boosted)
{
	struct ul_amplitudes a = { .comb = boosted ? 2.8284271f : 1 };
	double error = 0, power = 0;
	for (uint64_t slot = 0; slot < 200; slot++) {
		struct channel c[8];
		f->when.slot = slot;
		f->when.t_samples = slot * f->num.slot_len;
		air_clear(f);
		for (uint8_t d = 0; d < 8; d++) {
			struct uci u = uci_of(d, slot);
			c[d] = channel_tdl_a(&f->rng, 100e-9, f->num.rate_hz);
			c[d].phase_rad = 6 * rng_uniform(&f->rng);
			c[d].cfo_hz = 20 * (rng_uniform(&f->rng) - 0.5);
			ul_tx_begin(f->tx[d], slot);
			ul_tx_control(f->tx[d], &u);
			air_add(f, d, &a, &c[d]);
		}
		assert_int_equal(receive(f, snr_db), 0);
		for (uint8_t d = 0; d < 8; d++) {
			assert_int_equal(ul_rx_control(f->rx, d, &f->uci, &f->csi) == -ENODATA, 0);
			double t = (double)(f->csi.t_ref_samples - f->csi.t_slot_samples);
			for (size_t k = 0; k < f->csi.n_sc; k++) {
				double complex truth = channel_truth(&f->num, &c[d], k, t, a.comb / sqrt(8));
				double complex e = f->csi.h[k] - truth;
				error += creal(e * conj(e));
				power += creal(truth * conj(truth));
			}
		}
	}
	print_message("NMSE %.1f dB\n", 10 * log10(error / power));
	return 10 * log10(error / power);
}

static void csi_of_tdl_a_from_sounding_is_within_minus_27_db_of_the_truth_at_20_db(void **state)
{
	assert_true(sounding_nmse_db(*state, 20, true) < -27);
}

static void csi_from_sounding_at_20_db_without_boost_is_still_within_minus_20_db(void **state)
{
	assert_true(sounding_nmse_db(*state, 20, false) < -20);
}

/* At -4.6 dB the control REs have 4.4 dB. */
static void control_is_read_in_awgn_at_minus_4_6_db_full_band_snr(void **state)
{
	struct fixture *f = *state;
	size_t missed = 0, wrong = 0;
	struct channel c = channel_flat(1);
	listen(f, 30, -4.6);
	for (uint64_t slot = 0; slot < 500; slot++) {
		struct uci u = uci_of(5, slot);
		f->when.slot = slot;
		ul_tx_begin(f->tx[5], slot);
		assert_int_equal(ul_tx_control(f->tx[5], &u), 0);
		air_clear(f);
		air_add(f, 5, &full_band, &c);
		assert_int_equal(receive(f, -4.6), 0);
		int rc = ul_rx_control(f->rx, 5, &f->uci, &f->csi);
		missed += rc != 0;
		wrong += rc == 0 && !same_uci(&f->uci, &u);
	}
	print_message("%zu of 500 missed\n", missed);
	assert_true(missed <= 5);
	assert_int_equal(wrong, 0);
}

/* Around the threshold, where many are missed: what is read is what was sent, so a NACK is never an ACK. */
static void what_is_read_at_low_snr_is_what_was_sent(void **state)
{
	struct fixture *f = *state;
	size_t n_read = 0;
	struct channel c = channel_flat(1);
	listen(f, 30, -9);
	for (uint64_t slot = 0; slot < 1000; slot++) {
		struct uci u = uci_of(5, slot);
		f->when.slot = slot;
		ul_tx_begin(f->tx[5], slot);
		assert_int_equal(ul_tx_control(f->tx[5], &u), 0);
		air_clear(f);
		air_add(f, 5, &full_band, &c);
		assert_int_equal(receive(f, -9), 0);
		if (ul_rx_control(f->rx, 5, &f->uci, &f->csi))
			continue;
		n_read++;
		assert_true(same_uci(&f->uci, &u));
	}
	print_message("%zu of 1000 read\n", n_read);
	assert_in_range(n_read, 100, 900);
}

static void silence_is_never_taken_for_control_or_data(void **state)
{
	struct fixture *f = *state;
	uint8_t tb[TB_MAX];
	size_t n, bad = 0, bad_data = 0;
	struct grant g = grant_of(7, 4, 3);
	listen(f, 1, 0);
	for (size_t slot = 1; slot < 400; slot++) {
		f->when.slot = slot;
		listen(f, 1, 0);
		for (uint8_t d = 0; d < 8; d++) {
			int rc = ul_rx_control(f->rx, d, &f->uci, &f->csi);
			assert_true(rc == -ENODATA || rc == -EBADMSG);
			bad += rc == -EBADMSG;
			assert_int_equal(f->csi.valid, rc == -EBADMSG);
		}
		int rc = ul_rx_data(f->rx, 2, &g, NULL, tb, &n, NULL);
		assert_true(rc == -ENODATA || rc == -EBADMSG);
		bad_data += rc == -EBADMSG;
	}
	print_message("%zu of 3200 control, %zu of 400 data taken for garbled\n", bad, bad_data);
	assert_true(bad < 10 && bad_data < 4);
}

/* Energy without meaning: nothing but the CRC stands between it and an acknowledgement. */
static void garbage_of_any_strength_is_never_taken_for_control_or_data(void **state)
{
	struct fixture *f = *state;
	uint8_t tb[TB_MAX];
	size_t n;
	struct grant g = grant_of(7, 4, 3);
	listen(f, 20, 20);
	for (size_t slot = 0; slot < 300; slot++) {
		f->when.slot = slot;
		air_clear(f);
		assert_int_equal(receive(f, 10 - (double)(slot % 40)), 0);
		for (uint8_t d = 0; d < 8; d++)
			assert_true(ul_rx_control(f->rx, d, &f->uci, &f->csi) != 0);
		assert_true(ul_rx_data(f->rx, 2, &g, NULL, tb, &n, NULL) != 0);
	}
}

static void without_any_noise_all_is_read_and_finite(void **state)
{
	struct fixture *f = *state;
	static uint8_t tb[TB_MAX], got[TB_MAX];
	struct channel c = channel_flat(1e-3);
	struct grant g = grant_of(0, 18, 16);
	struct uci u = uci_of(4, 2);
	struct rx_info info;
	size_t n = ul_tb_bytes(f->layout, 2, &g), n_got;
	f->when.slot = 2;
	ul_tx_begin(f->tx[4], 2);
	assert_int_equal(ul_tx_data(f->tx[4], &g, tb, n), 0);
	assert_int_equal(ul_tx_control(f->tx[4], &u), 0);
	air_clear(f);
	air_add(f, 4, &full_band, &c);
	assert_int_equal(ul_rx_slot(f->rx, f->received, &f->when), 0);
	assert_int_equal(ul_rx_control(f->rx, 4, &f->uci, &f->csi), 0);
	assert_true(same_uci(&f->uci, &u));
	assert_true(isfinite(f->csi.snr_mean_db) && isfinite(f->csi.evm_db) && isfinite(f->csi.snr_db[17]));
	assert_int_equal(ul_rx_data(f->rx, 4, &g, NULL, got, &n_got, &info), 0);
	assert_memory_equal(got, tb, n);
	assert_true(isfinite(info.snr_db) && isfinite(info.evm_db));
}

/* One transmission of a block of device 4 on a flat channel, or silence; what ul_rx_data makes of it. */
static int transmit(struct fixture *f, const struct grant *g, bool silent, double snr_db, struct tb_soft *soft,
                    const uint8_t *tb)
{
	static uint8_t got[TB_MAX];
	struct channel c = channel_flat(1);
	size_t n = ul_tb_bytes(f->layout, 2, g), n_got;
	f->when.slot = 2;
	ul_tx_begin(f->tx[4], 2);
	assert_int_equal(ul_tx_data(f->tx[4], g, tb, n), 0);
	air_clear(f);
	if (!silent)
		air_add(f, 4, &full_band, &c);
	assert_int_equal(receive(f, snr_db), 0);
	int rc = ul_rx_data(f->rx, 4, g, soft, got, &n_got, NULL);
	assert_true(rc || !memcmp(got, tb, n));
	return rc;
}

static void two_weak_transmissions_make_a_block_where_each_alone_fails(void **state)
{
	struct fixture *f = *state;
	static uint8_t tb[TB_MAX];
	struct tb_soft *soft = tb_soft_create(dl_tb_bytes_max(f->layout));
	struct grant first = grant_of(0, 18, 10), second = grant_of(0, 18, 10);
	second.rv = 2;
	double snr_db = (double)mcs_get(10)->snr_db - 2;
	size_t alone = 0, combined = 0;
	listen(f, 20, snr_db);
	for (size_t i = 0; i < 20; i++) {
		rng_bytes(&f->rng, tb, ul_tb_bytes(f->layout, 2, &first));
		tb_soft_reset(soft);
		alone += !transmit(f, &first, false, snr_db, NULL, tb) + !transmit(f, &first, false, snr_db, soft, tb);
		combined += !transmit(f, &second, false, snr_db, soft, tb);
	}
	print_message("%zu of 40 alone, %zu of 20 pairs\n", alone, combined);
	assert_int_equal(alone, 0);
	assert_int_equal(combined, 20);
	tb_soft_destroy(soft);
}

static void a_silent_first_transmission_leaves_the_soft_buffer_empty(void **state)
{
	struct fixture *f = *state;
	static uint8_t tb[TB_MAX];
	struct tb_soft *soft = tb_soft_create(dl_tb_bytes_max(f->layout));
	struct grant large = grant_of(0, 18, 10), small = grant_of(0, 9, 10);
	double snr_db = (double)mcs_get(10)->snr_db + 2;
	listen(f, 20, snr_db);
	assert_int_equal(transmit(f, &large, true, snr_db, soft, tb), -ENODATA);
	assert_int_equal(transmit(f, &small, false, snr_db, soft, tb),
	                 0); /* -EINVAL were there bits of the large one */
	assert_int_equal(transmit(f, &large, false, snr_db, soft, tb), -EINVAL);
	tb_soft_destroy(soft);
}

static void control_of_another_device_on_the_same_comb_is_not_taken(void **state)
{
	struct fixture *f = *state;
	struct channel c = channel_flat(1);
	struct uci u = uci_of(11, 1);
	f->when.slot = 1;
	listen(f, 5, 20);
	ul_tx_begin(f->tx[11], 1);
	assert_int_equal(ul_tx_control(f->tx[11], &u), 0);
	air_clear(f);
	air_add(f, 11, &full_band, &c);
	assert_int_equal(receive(f, 20), 0);
	assert_int_equal(ul_rx_control(f->rx, 3, &f->uci, &f->csi), -EBADMSG);
	assert_int_equal(ul_rx_control(f->rx, 11, &f->uci, &f->csi), 0);
	assert_int_equal(ul_rx_control(f->rx, 4, &f->uci, &f->csi), -ENODATA);
}

static void a_weak_device_is_read_beside_one_25_db_stronger(void **state)
{
	struct fixture *f = *state;
	struct grant strong = grant_of(0, 9, 10), weak = grant_of(9, 3, 1);
	static uint8_t tb[2][TB_MAX], got[TB_MAX];
	size_t n0 = ul_tb_bytes(f->layout, 2, &strong), n1 = ul_tb_bytes(f->layout, 2, &weak), n, missed = 0;
	for (uint64_t slot = 0; slot < 100; slot++) {
		struct uci u = uci_of(2, slot % 5), v = uci_of(3, slot % 5);
		struct channel far = channel_flat(1), near = channel_tdl_a(&f->rng, 100e-9, f->num.rate_hz);
		for (size_t i = 0; i < near.n_paths; i++)
			near.gain[i] *= 17.8;
		f->when.slot = slot % 5;
		rng_bytes(&f->rng, tb[0], n0);
		rng_bytes(&f->rng, tb[1], n1);
		ul_tx_begin(f->tx[2], f->when.slot);
		ul_tx_begin(f->tx[3], f->when.slot);
		assert_int_equal(ul_tx_data(f->tx[2], &strong, tb[0], n0), 0);
		assert_int_equal(ul_tx_data(f->tx[3], &weak, tb[1], n1), 0);
		ul_tx_control(f->tx[2], &u);
		ul_tx_control(f->tx[3], &v);
		air_clear(f);
		air_add(f, 2, &full_band, &near);
		air_add(f, 3, &full_band, &far);
		assert_int_equal(receive(f, 6), 0);
		missed += ul_rx_control(f->rx, 3, &f->uci, &f->csi) != 0 || !same_uci(&f->uci, &v);
		assert_near(f->csi.snr_mean_db, 6, 3.5);
		missed += ul_rx_data(f->rx, 3, &weak, NULL, got, &n, NULL) != 0 || memcmp(got, tb[1], n1) != 0;
	}
	print_message("%zu of 200 missed\n", missed);
	assert_true(missed <= 2);
}

static void a_channel_that_is_told_is_used_instead_of_the_estimate(void **state)
{
	struct fixture *f = *state;
	static float complex told[PHY_SC_MAX * PHY_SYMBOLS_MAX];
	static uint8_t tb[TB_MAX], got[TB_MAX];
	struct grant g = grant_of(3, 9, 5);
	struct uci u = uci_of(4, 2);
	struct channel c = channel_flat(cexp(0.3 * I));
	size_t n = ul_tb_bytes(f->layout, 2, &g), n_got, n_data = f->num.n_sc * f->num.format->n_ul_data;
	rng_bytes(&f->rng, tb, n);
	f->when.slot = 2;
	ul_tx_begin(f->tx[4], 2);
	assert_int_equal(ul_tx_data(f->tx[4], &g, tb, n), 0);
	assert_int_equal(ul_tx_control(f->tx[4], &u), 0);
	air_clear(f);
	air_add(f, 4, &full_band, &c);
	assert_int_equal(receive(f, 12), 0);
	for (unsigned wrong = 0; wrong < 2; wrong++) {
		for (size_t i = 0; i < f->num.n_sc * f->num.n_symbols; i++)
			told[i] = (float complex)(c.gain[0] * (i < n_data ? 1 : sqrt(8)) * (wrong ? I : 1));
		ul_rx_set_truth(f->rx, 4, told, (float)pow(10, -1.2));
		assert_int_equal(ul_rx_control(f->rx, 4, &f->uci, &f->csi), wrong ? -EBADMSG : 0);
		assert_int_equal(ul_rx_data(f->rx, 4, &g, NULL, got, &n_got, NULL), wrong ? -EBADMSG : 0);
		assert_true(wrong || (!memcmp(got, tb, n) && same_uci(&f->uci, &u)));
		assert_near(cabs(f->csi.h[100] - c.gain[0]), 0, 0.3);
	}
}

static void access_preambles_are_found_beside_data(void **state)
{
	struct fixture *f = *state;
	struct grant g = grant_of(6, 12, 5), all = grant_of(0, 18, 5);
	static uint8_t tb[TB_MAX], got[TB_MAX];
	struct channel c = channel_flat(1);
	struct ul_access found[PHY_DEVICES_MAX];
	size_t n = ul_tb_bytes(f->layout, 15, &g), n_got, n_found;
	f->when.slot = 15;
	assert_int_equal(ul_tb_bytes(f->layout, 15, &all), 0);
	ul_tx_begin(f->tx[1], 15);
	assert_int_equal(ul_tx_data(f->tx[1], &g, tb, n), 0);
	ul_tx_begin(f->tx[9], 15);
	assert_int_equal(ul_tx_access(f->tx[9]), 0);
	air_clear(f);
	air_add(f, 1, &full_band, &c);
	c.delay_samples[0] = 3;
	air_add(f, 9, &full_band, &c);
	assert_int_equal(receive(f, 10), 0);
	assert_int_equal(ul_rx_access(f->rx, found, &n_found), 0);
	assert_int_equal(n_found, 1);
	assert_int_equal(found[0].device, 9);
	assert_near(found[0].delay_samples, 3, 0.5);
	assert_int_equal(ul_rx_data(f->rx, 1, &g, NULL, got, &n_got, NULL), 0);
	f->when.slot = 16;
	assert_int_equal(receive(f, 10), 0);
	assert_int_equal(ul_rx_access(f->rx, found, &n_found), -EINVAL);
	ul_tx_begin(f->tx[9], 16);
	assert_int_equal(ul_tx_access(f->tx[9]), -EINVAL);
}

/* Five slots of a device with control and data on the whole band; what the receiver makes of the last one. */
static struct csi csi_of_five_slots(struct fixture *f)
{
	static uint8_t tb[TB_MAX], got[TB_MAX];
	struct channel c = channel_flat(1);
	struct grant g = grant_of(0, 18, 5);
	size_t n;
	f->rng.s = 11;
	for (uint64_t slot = 0; slot < 5; slot++) {
		struct uci u = uci_of(0, slot);
		f->when.slot = slot;
		ul_tx_begin(f->tx[0], slot);
		assert_int_equal(ul_tx_control(f->tx[0], &u), 0);
		assert_int_equal(ul_tx_data(f->tx[0], &g, tb, ul_tb_bytes(f->layout, slot, &g)), 0);
		air_clear(f);
		air_add(f, 0, &full_band, &c);
		assert_int_equal(receive(f, 12), 0);
		ul_rx_expect(f->rx, 0, &g.rbs);
		assert_int_equal(ul_rx_control(f->rx, 0, &f->uci, &f->csi), 0);
		assert_int_equal(ul_rx_data(f->rx, 0, &g, NULL, got, &n, NULL), 0);
	}
	return f->csi;
}

static void a_reset_receiver_is_as_a_new_one(void **state)
{
	struct fixture *f = *state;
	struct csi at_first = csi_of_five_slots(f), learnt = csi_of_five_slots(f);
	assert_memory_not_equal(learnt.h, at_first.h, sizeof at_first.h);
	ul_rx_reset(f->rx);
	struct csi again = csi_of_five_slots(f);
	assert_memory_equal(again.h, at_first.h, sizeof at_first.h);
	assert_true(again.noise_var == at_first.noise_var && again.cfo_hz == at_first.cfo_hz);
}

static void nothing_to_send_is_silence(void **state)
{
	struct fixture *f = *state;
	ul_tx_begin(f->tx[0], 3);
	assert_false(ul_tx_finish(f->tx[0], &full_band, f->sent));
	for (size_t i = 0; i < f->num.slot_len; i++)
		assert_true(f->sent[i] == 0);
}

static void a_slot_with_a_nan_is_refused_and_gives_nothing(void **state)
{
	struct fixture *f = *state;
	struct uci u = uci_of(0, 0);
	struct ul_rx_stats st;
	struct grant g = grant_of(0, 4, 3);
	uint8_t tb[TB_MAX];
	size_t n;
	ul_tx_begin(f->tx[0], 0);
	ul_tx_control(f->tx[0], &u);
	ul_tx_finish(f->tx[0], &full_band, f->sent);
	assert_int_equal(ul_rx_slot(f->rx, f->sent, &f->when), 0);
	f->sent[3000] = NAN;
	assert_int_equal(ul_rx_slot(f->rx, f->sent, &f->when), -EINVAL);
	assert_int_equal(ul_rx_control(f->rx, 0, &f->uci, &f->csi), -ENODATA);
	assert_false(f->csi.valid);
	assert_int_equal(ul_rx_data(f->rx, 0, &g, NULL, tb, &n, NULL), -ENODATA);
	ul_rx_get_stats(f->rx, &st);
	assert_int_equal(st.refused, 1);
	f->sent[3000] = 0;
	assert_int_equal(ul_rx_slot(f->rx, f->sent, &f->when), 0);
	assert_int_equal(ul_rx_control(f->rx, 0, &f->uci, &f->csi), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(eight_devices_share_a_slot_for_data_control_and_sounding),
		T(a_step_of_the_slot_start_is_no_carrier_offset),
		T(with_data_on_the_whole_band_a_step_is_no_carrier_offset_from_the_first_slot_on),
		T(csi_of_tdl_a_from_sounding_is_within_minus_27_db_of_the_truth_at_20_db),
		T(csi_from_sounding_at_20_db_without_boost_is_still_within_minus_20_db),
		T(control_is_read_in_awgn_at_minus_4_6_db_full_band_snr),
		T(what_is_read_at_low_snr_is_what_was_sent),
		T(silence_is_never_taken_for_control_or_data),
		T(garbage_of_any_strength_is_never_taken_for_control_or_data),
		T(without_any_noise_all_is_read_and_finite),
		T(two_weak_transmissions_make_a_block_where_each_alone_fails),
		T(a_silent_first_transmission_leaves_the_soft_buffer_empty),
		T(control_of_another_device_on_the_same_comb_is_not_taken),
		T(a_weak_device_is_read_beside_one_25_db_stronger),
		T(a_channel_that_is_told_is_used_instead_of_the_estimate),
		T(access_preambles_are_found_beside_data),
		T(a_reset_receiver_is_as_a_new_one),
		T(nothing_to_send_is_silence),
		T(a_slot_with_a_nan_is_refused_and_gives_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
