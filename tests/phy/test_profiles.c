/* Every named numerology, with 14 and with 7 symbols a slot: the table against arithmetic, and a whole round trip. */
#include "phy/mcs.h"
#include "phy/profile.h"
#include "phy/ul.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CELL = 77, TB_MAX = 1 << 14 };

static const size_t slot_symbols[] = { 14, 7 };
enum { SLOT_KINDS = sizeof slot_symbols / sizeof slot_symbols[0] };

static struct numerology profile_numerology(const char *name, size_t n_symbols)
{
	const struct numerology_profile *p = numerology_profile_find(name);
	assert_non_null(p);
	const struct numerology_config c = numerology_profile_config(p, n_symbols);
	struct numerology num;
	char why[NUMEROLOGY_WHY_BYTES] = "";
	if (numerology_create(&num, &c, why, sizeof why))
		fail_msg("%s with %zu symbols: %s", name, n_symbols, why);
	return num;
}

/* What the air interface promises: these rates at those of 15, 30 and 60 kHz that make an FFT of 128 to 2048. */
static void the_3gpp_family_has_every_spacing_that_gives_an_fft(void **state)
{
	(void)state;
	static const double rates_mhz[] = { 1.92, 3.84, 7.68, 15.36, 30.72 };
	static const int spacings_khz[] = { 15, 30, 60 };
	size_t n = 0;
	for (size_t r = 0; r < 5; r++)
		for (size_t s = 0; s < 3; s++) {
			double n_fft = rates_mhz[r] * 1e3 / spacings_khz[s];
			char name[32];
			snprintf(name, sizeof name, "%gM-%dk", rates_mhz[r], spacings_khz[s]);
			const struct numerology_profile *p = numerology_profile_find(name);
			assert_int_equal(p != NULL, n_fft > 127 && n_fft < 2049);
			if (!p)
				continue;
			assert_near(p->rate_hz, rates_mhz[r] * 1e6, 1e-6);
			assert_int_equal(p->n_fft, lround(n_fft));
			n++;
		}
	assert_int_equal(n, 12);
}

/* 19.53 and 24.41 kHz, their halves and doubles, at rates that are whole fractions of a USRP's clock. */
static void usrp_rates_divide_the_clock_and_the_fft_is_a_power_of_two(void **state)
{
	(void)state;
	static const double rates_mhz[] = { 10, 12.5, 20, 25 };
	static const double middle_hz[] = { 19531.25, 24414.0625, 19531.25, 24414.0625 };
	for (size_t r = 0; r < 4; r++)
		for (int octave = -1; octave <= 1; octave++) {
			double scs_hz = ldexp(middle_hz[r], octave);
			char name[32];
			snprintf(name, sizeof name, "%gM-%.0f", rates_mhz[r], rates_mhz[r] * 1e6 / scs_hz);
			struct numerology num = profile_numerology(name, 14);
			assert_true(num.scs_hz == scs_hz);
			assert_int_equal(num.n_fft & (num.n_fft - 1), 0);
			assert_near(remainder(200e6, num.rate_hz), 0, 0);
		}
}

static void every_profile_has_whole_slots_guard_bands_and_a_name_of_its_own(void **state)
{
	(void)state;
	size_t n = 0;
	for (; numerology_profile_at(n); n++) {
		const struct numerology_profile *p = numerology_profile_at(n);
		assert_ptr_equal(numerology_profile_find(p->name), p);
		for (size_t s = 0; s < SLOT_KINDS; s++) {
			struct numerology num = profile_numerology(p->name, slot_symbols[s]);
			assert_int_equal(num.slot_len * 14 * 2, num.n_fft * 15 * 2 * slot_symbols[s]);
			assert_near(numerology_slot_s(&num), 15.0 / num.scs_hz * (double)slot_symbols[s] / 14, 1e-15);
			assert_true((double)(num.n_sc + 1) < 0.86 * (double)num.n_fft);
			assert_in_range(num.n_rb, PHY_RB_MIN, num.n_fft == 128 ? 10 : PHY_RB_MAX);
		}
	}
	assert_int_equal(n, 24);
	assert_null(numerology_profile_at(n));
	assert_null(numerology_profile_find("7.68M"));
	assert_null(numerology_profile_find(""));
}

static void the_default_profile_is_the_default_numerology(void **state)
{
	(void)state;
	struct numerology a = profile_numerology("7.68M-30k", 14), b;
	assert_int_equal(numerology_init(&b, 7.68e6, 30e3, 18, 14, NULL, 0), 0);
	assert_memory_equal(&a, &b, sizeof a);
}

/* ---- round trips ---- */

struct air {
	struct numerology num;
	struct layout *layout;
	struct rng rng;
	float complex *sent, *received;
	uint8_t tb[TB_MAX], got[TB_MAX];
};

static void air_open(struct air *a, struct numerology num)
{
	char err[128];
	a->num = num;
	a->layout = layout_create(&num, err, sizeof err);
	assert_non_null(a->layout);
	a->rng.s = num.n_fft + num.n_symbols;
	a->sent = calloc(num.slot_len, sizeof *a->sent);
	a->received = calloc(num.slot_len, sizeof *a->received);
}

static void air_close(struct air *a)
{
	free(a->received);
	free(a->sent);
	layout_destroy(a->layout);
}

static void air_noise(struct air *a, double snr_db)
{
	noise_add(&a->rng, pow(10, -snr_db / 10), a->received, a->num.slot_len);
}

static void air_silence(struct air *a)
{
	memset(a->received, 0, a->num.slot_len * sizeof *a->received);
}

/* Two echoes an eighth of a prefix apart, and an offset of a 200th of a subcarrier. */
static struct channel echo(const struct air *a, double phase_rad)
{
	return (struct channel){ .n_paths = 2,
		                 .delay_samples = { 0.3, 0.3 + 0.125 * (double)a->num.cp },
		                 .gain = { 0.9 * cexp(I * phase_rad), 0.43589 * I },
		                 .cfo_hz = 0.005 * a->num.scs_hz };
}

/* Power of the channel over the band in dB, and the error of an estimate of it. */
static void compare(const struct air *a, const struct csi *csi, const struct channel *c, double *power_db,
                    double *nmse_db)
{
	double error = 0, power = 0, t = (double)(csi->t_ref_samples - csi->t_slot_samples);
	for (size_t k = 0; k < a->num.n_sc; k++) {
		double complex h = channel_truth(&a->num, c, k, t, 1);
		error += pow(cabs((double complex)csi->h[k] - h), 2);
		power += pow(cabs(h), 2);
	}
	*nmse_db = 10 * log10(error / power);
	*power_db = 10 * log10(power / (double)a->num.n_sc);
}

static struct grant grant_of(size_t first, size_t n_rb)
{
	struct grant g = { .mcs = 12, .harq_id = 3, .ndi = 1 };
	rb_set_add_range(&g.rbs, first, n_rb);
	return g;
}

/* The longest message that the control region has room for twice. */
static unsigned level_of(const struct air *a)
{
	unsigned level = 8;
	while (2 * level > layout_n_cce(a->layout))
		level /= 2;
	return level;
}

static void downlink_round_trip(struct air *a)
{
	struct dl_tx *tx = dl_tx_create(a->layout, CELL, 1);
	struct dl_rx *rx = dl_rx_create(a->layout, CELL, 2);
	size_t n_pilots = a->num.n_sc / a->num.pilot_step;
	assert_non_null(tx);
	assert_non_null(rx);
	for (uint64_t slot = 9; slot < 12; slot++) { /* with and without sync */
		struct dci dci = { .device = 2, .has_dl = true, .dl = grant_of(0, a->num.n_rb) };
		struct sysinfo si = { .slot = (uint32_t)slot,
			              .n_groups = 1,
			              .ack_delay = 2,
			              .grant_delay = 2,
			              .round_trip = 8,
			              .cell_id = CELL,
			              .version = DCI_VERSION };
		bool sync = layout_is_sync_slot(slot);
		size_t n = dl_tb_bytes(a->layout, &dci.dl), n_got;
		assert_in_range(n, 1, TB_MAX);
		rng_bytes(&a->rng, a->tb, n);
		dl_tx_begin(tx, slot);
		assert_int_equal(dl_tx_sysinfo(tx, &si, level_of(a)), sync ? 0 : -EINVAL);
		assert_int_equal(dl_tx_dci(tx, &dci, level_of(a)), 0);
		assert_int_equal(dl_tx_data(tx, 2, &dci.dl, a->tb, n), 0);
		dl_tx_finish(tx, a->sent);
		struct channel c = echo(a, (double)slot);
		air_silence(a);
		channel_add(&a->num, &c, a->sent, a->received);
		air_noise(a, 25);
		struct dl_result res;
		assert_int_equal(dl_rx_slot(rx, a->received, &(struct slot_time){ .slot = slot }, &res), 0);
		assert_true(res.csi.valid);
		double power_db, error_db;
		compare(a, &res.csi, &c, &power_db, &error_db);
		/* the noise of one slot, from as many differences as a symbol has pilots: four deviations */
		assert_near(res.csi.snr_mean_db, 25 + power_db, 4 * 4.34 / sqrt((double)n_pilots));
		assert_near(res.csi.cfo_hz, c.cfo_hz, 0.003 * a->num.scs_hz);
		assert_true(error_db < -25);
		assert_int_equal(res.has_sysinfo, sync);
		assert_true(!sync || res.sysinfo.slot == slot);
		assert_true(res.has_dci && res.dci.has_dl && rb_set_equal(&res.dci.dl.rbs, &dci.dl.rbs));
		assert_int_equal(dl_rx_data(rx, &res.dci.dl, NULL, a->got, &n_got, NULL), 0);
		assert_int_equal(n_got, n);
		assert_memory_equal(a->got, a->tb, n);
	}
	dl_rx_destroy(rx);
	dl_tx_destroy(tx);
}

/* Two devices share the band, and in the access slot a third knocks. */
static void uplink_round_trip(struct air *a)
{
	struct ul_rx *rx = ul_rx_create(a->layout, CELL);
	struct ul_tx *tx[3];
	const struct ul_amplitudes amplitudes = { .data = 1, .comb = 2.8284271f, .access = 1 };
	assert_non_null(rx);
	for (uint8_t d = 0; d < 3; d++) {
		tx[d] = ul_tx_create(a->layout, CELL, d);
		assert_non_null(tx[d]);
	}
	for (uint64_t slot = 4; slot < 7; slot++) {
		bool access = layout_is_access_slot(slot);
		size_t first = access ? ACCESS_RB : 0, half = (a->num.n_rb - first) / 2, n[2], n_got;
		struct grant g[2] = { grant_of(first, half), grant_of(first + half, a->num.n_rb - first - half) };
		struct channel c[2];
		struct uci sent = { .ack = UCI_ACK,
			            .buffer_bytes = uci_bsr_bytes(5),
			            .turn = uci_turn(slot, a->num.n_rb),
			            .value_db = 3 };
		uint8_t *tb[2] = { a->tb, a->tb + TB_MAX / 2 };
		air_silence(a);
		for (uint8_t d = 0; d < 2; d++) {
			n[d] = ul_tb_bytes(a->layout, slot, &g[d]);
			assert_in_range(n[d], 1, TB_MAX / 2);
			rng_bytes(&a->rng, tb[d], n[d]);
			ul_tx_begin(tx[d], slot);
			assert_int_equal(ul_tx_data(tx[d], &g[d], tb[d], n[d]), 0);
			assert_int_equal(ul_tx_control(tx[d], &sent), 0);
			assert_true(ul_tx_finish(tx[d], &amplitudes, a->sent));
			c[d] = echo(a, (double)d);
			c[d].cfo_hz = (d ? 0.002 : -0.002) * a->num.scs_hz;
			channel_add(&a->num, &c[d], a->sent, a->received);
		}
		if (access) {
			ul_tx_begin(tx[2], slot);
			assert_int_equal(ul_tx_access(tx[2]), 0);
			ul_tx_finish(tx[2], &amplitudes, a->sent);
			struct channel far = channel_flat(1);
			far.delay_samples[0] = 0.5 * (double)a->num.cp;
			channel_add(&a->num, &far, a->sent, a->received);
		}
		air_noise(a, 25);
		assert_int_equal(ul_rx_slot(rx, a->received, &(struct slot_time){ .slot = slot }), 0);
		for (uint8_t d = 0; d < 2; d++) {
			struct csi csi;
			struct uci got;
			assert_int_equal(ul_rx_control(rx, d, &got, &csi), 0);
			assert_true(got.ack == sent.ack && got.buffer_bytes == sent.buffer_bytes);
			double power_db, error_db;
			compare(a, &csi, &c[d], &power_db, &error_db);
			/* noise of one slot from a few degrees of freedom in each comb */
			assert_near(csi.snr_mean_db, 25 + power_db, 4);
			assert_true(error_db < -25);
			assert_int_equal(ul_rx_data(rx, d, &g[d], NULL, a->got, &n_got, NULL), 0);
			assert_int_equal(n_got, n[d]);
			assert_memory_equal(a->got, tb[d], n[d]);
		}
		struct ul_access found[PHY_DEVICES_MAX];
		size_t n_found = 0;
		assert_int_equal(ul_rx_access(rx, found, &n_found), access ? 0 : -EINVAL);
		assert_int_equal(n_found, access);
		if (access) {
			assert_int_equal(found[0].device, 2);
			assert_near(found[0].delay_samples, 0.5 * (double)a->num.cp, 0.5 + 0.03 * (double)a->num.cp);
		}
	}
	for (uint8_t d = 0; d < 3; d++)
		ul_tx_destroy(tx[d]);
	ul_rx_destroy(rx);
}

static void round_trips(void (*trip)(struct air *))
{
	static struct air a;
	for (size_t i = 0; numerology_profile_at(i); i++)
		for (size_t s = 0; s < SLOT_KINDS; s++) {
			const char *name = numerology_profile_at(i)->name;
			print_message("%s, %zu symbols\n", name, slot_symbols[s]);
			air_open(&a, profile_numerology(name, slot_symbols[s]));
			trip(&a);
			air_close(&a);
		}
}

static void every_profile_carries_data_control_and_csi_down(void **state)
{
	(void)state;
	round_trips(downlink_round_trip);
}

static void every_profile_carries_data_control_csi_and_access_up(void **state)
{
	(void)state;
	round_trips(uplink_round_trip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_3gpp_family_has_every_spacing_that_gives_an_fft),
		cmocka_unit_test(usrp_rates_divide_the_clock_and_the_fft_is_a_power_of_two),
		cmocka_unit_test(every_profile_has_whole_slots_guard_bands_and_a_name_of_its_own),
		cmocka_unit_test(the_default_profile_is_the_default_numerology),
		cmocka_unit_test(every_profile_carries_data_control_and_csi_down),
		cmocka_unit_test(every_profile_carries_data_control_csi_and_access_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
