/* Channel estimation over fading channels, slot after slot, against the true channel of every resource element: what it
 * costs the data, the full-band CSI, Doppler and noise; several devices of unlike power; nothing from nothing. */
#include "phy/channel_filter.h"
#include "phy/dl_chest.h"
#include "phy/gold.h"
#include "phy/sequence.h"
#include "phy/ul_chest.h"
#include "tests/phy/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CELL = 7, TAPS_MAX = 8, WAVES = 16, DEVICES = 8, WARM_UP = 20 };

/* Power-delay profiles, ns and dB: TDL-A's and TDL-C's strongest taps and last echoes (TR 38.901, spreads of 100 and
 * 300 ns), and a path alone. */
struct profile {
	size_t n;
	double tap[TAPS_MAX][2];
};
static const struct profile alone = { 1, { { 0, 0 } } };
static const struct profile tdl_a = { 8,
	                              { { 0, -13.4 },
	                                { 38, 0 },
	                                { 40, -2.2 },
	                                { 59, -4 },
	                                { 190, -6.6 },
	                                { 251, -10.8 },
	                                { 408, -12.7 },
	                                { 966, -29.7 } } };
static const struct profile tdl_c = { 8,
	                              { { 0, -4.4 },
	                                { 63, -1.2 },
	                                { 191, 0 },
	                                { 369, -5.1 },
	                                { 651, -8.7 },
	                                { 1278, -13.9 },
	                                { 1892, -16 },
	                                { 2596, -22.8 } } };

/* Jakes fading: each tap a sum of waves from evenly spread directions; doppler_hz 0: still. */
struct fading {
	const struct profile *profile;
	double amplitude, cfo_hz;
	double hz[TAPS_MAX][WAVES], rad[TAPS_MAX][WAVES];
};

static struct rng rng;
static struct numerology num;
static float complex grid[PHY_SYMBOLS_MAX * PHY_SC_MAX];
static double complex truth[DEVICES][PHY_SYMBOLS_MAX][PHY_SC_MAX];

static void fading_begin(struct fading *f, const struct profile *profile, double doppler_hz)
{
	*f = (struct fading){ .profile = profile, .amplitude = 1 };
	for (size_t i = 0; i < profile->n; i++)
		for (size_t w = 0; w < WAVES; w++) {
			f->hz[i][w] = doppler_hz * cos(2 * M_PI * ((double)w + rng_uniform(&rng)) / WAVES);
			f->rad[i][w] = 2 * M_PI * rng_uniform(&rng);
		}
}

static double middle_of(size_t l)
{
	return numerology_symbol_middle(&num, l) - (double)numerology_backoff(&num);
}

/* Response at receiver sample t, delays counted from the profile's energy centre. */
static void fading_at(const struct fading *f, double t, double complex *h)
{
	struct channel c = { .n_paths = f->profile->n, .cfo_hz = 0 };
	double total = 0, centre = 0;
	for (size_t i = 0; i < c.n_paths; i++) {
		double power = pow(10, f->profile->tap[i][1] / 10);
		total += power;
		centre += power * f->profile->tap[i][0];
	}
	for (size_t i = 0; i < c.n_paths; i++) {
		double complex gain = 0;
		for (size_t w = 0; w < WAVES; w++)
			gain += cexp(I * (2 * M_PI * f->hz[i][w] * t / num.rate_hz + f->rad[i][w]));
		bool still = f->profile == &alone && f->hz[0][0] == 0;
		gain = still ? 1 : gain / sqrt(WAVES);
		c.gain[i] = f->amplitude * gain * sqrt(pow(10, f->profile->tap[i][1] / 10) / total) *
		            cexp(2 * M_PI * I * f->cfo_hz * t / num.rate_hz);
		c.delay_samples[i] = (f->profile->tap[i][0] - centre / total) * 1e-9 * num.rate_hz;
	}
	for (size_t k = 0; k < num.n_sc; k++)
		h[k] = channel_response(&c, numerology_offset(&num, k) / (double)num.n_fft);
}

static void fill_noise(double noise_var)
{
	for (size_t i = 0; i < num.n_symbols * num.n_sc; i++)
		grid[i] = (float complex)(sqrt(noise_var) * rng_normal(&rng));
}

static double square(double complex x)
{
	return creal(x) * creal(x) + cimag(x) * cimag(x);
}

struct outcome {
	double nmse_db;                /* full-band CSI */
	double data_error[DEVICES];    /* error power in data REs over the noise's */
	double noise_db, predicted_db; /* estimated noise, and noise and error together, over the true */
	double doppler_hz, cfo_off_hz;
};

static void use(double scs_hz)
{
	char err[128];
	assert_int_equal(numerology_init(&num, 7.68e6, scs_hz, scs_hz > 20e3 ? 18 : 36, 14, err, sizeof err), 0);
}

static struct outcome downlink(const struct profile *profile, double doppler_hz, double snr_db, size_t n_slots)
{
	static float complex pilots[2][PHY_SC_MAX];
	struct outcome o = { 0 };
	struct fading f;
	double noise = pow(10, -snr_db / 10), error = 0, power = 0, data = 0, estimated = 0, predicted = 0,
	       csi_error = 0;
	struct dl_chest *c = dl_chest_create(&num, CELL);
	assert_non_null(c);
	fading_begin(&f, profile, doppler_hz);
	f.cfo_hz = 8;
	for (size_t s = 0; s < 2; s++)
		gold_qpsk(sequence_seed(SEQUENCE_PILOT, CELL, num.format->pilot[s]), pilots[s],
		          num.n_sc / num.pilot_step);
	for (uint64_t slot = 0; slot < n_slots; slot++) {
		struct slot_time when = { .slot = slot, .t_samples = slot * num.slot_len };
		struct csi csi;
		struct track_measurement track;
		fill_noise(noise);
		for (size_t l = num.format->n_control; l < num.n_symbols; l++)
			fading_at(&f, (double)when.t_samples + middle_of(l), truth[0][l]);
		for (size_t s = 0; s < 2; s++)
			for (size_t k = 0; k < num.n_sc; k += num.pilot_step)
				grid[num.format->pilot[s] * num.n_sc + k] +=
				        (float complex)truth[0][num.format->pilot[s]][k] *
				        pilots[s][k / num.pilot_step];
		csi_empty(&csi, &num, &when);
		bool valid = dl_chest_slot(c, grid, &when, &csi, &track);
		if (slot < WARM_UP)
			continue;
		struct block_channel channel = dl_chest_channel(c);
		double complex h[PHY_SC_MAX];
		fading_at(&f, (double)csi.t_ref_samples, h);
		for (size_t k = 0; k < num.n_sc; k++) {
			csi_error += square(h[k] - (valid ? csi.h[k] : 0));
			power += square(h[k]);
			for (size_t l = num.format->n_control; valid && l < num.n_symbols; l++) {
				data += square(truth[0][l][k] - channel.h[l * num.n_sc + k]);
				error++;
			}
		}
		for (size_t rb = 0; rb < num.n_rb; rb++)
			predicted += (double)channel.noise_var[rb] / (double)(num.n_rb * (n_slots - WARM_UP));
		estimated += (double)csi.noise_var / (double)(n_slots - WARM_UP);
	}
	o.nmse_db = 10 * log10(csi_error / power);
	o.data_error[0] = data / error / noise;
	o.noise_db = 10 * log10(estimated / noise);
	o.predicted_db = 10 * log10(predicted / (noise + data / error));
	o.doppler_hz = (double)channel_filter_doppler_hz(dl_chest_filter(c));
	o.cfo_off_hz = channel_filter_cfo_hz(dl_chest_filter(c)) - f.cfo_hz;
	dl_chest_destroy(c);
	return o;
}

/* n devices of rbs RBs each, the last power_spread_db above the first, in equal steps. The comb has comb_power times a data
 * RE's, which the receiver takes for `boost`. */
struct uplink_case {
	const struct profile *profile;
	double doppler_hz, snr_db;
	size_t n, rbs;
	double power_spread_db;
	size_t n_slots;
	double boost, comb_power;
};

static struct outcome uplink_of(const struct uplink_case *u)
{
	size_t n = u->n, rbs = u->rbs, n_slots = u->n_slots;
	static float complex dmrs[2][PHY_SC_MAX], sounding[PHY_SC_MAX];
	struct outcome o = { 0 };
	struct fading f[DEVICES];
	char err[128];
	double noise = pow(10, -u->snr_db / 10), csi_error = 0, estimated = 0;
	struct layout *layout = layout_create(&num, err, sizeof err);
	struct ul_chest *c = ul_chest_create(layout, CELL);
	assert_non_null(c);
	for (size_t s = 0; s < 2; s++)
		gold_qpsk(sequence_seed(SEQUENCE_DMRS, CELL, num.format->dmrs[s]), dmrs[s],
		          num.n_sc / LAYOUT_DMRS_STEP);
	sequence_sounding(&num, CELL, sounding);
	for (size_t d = 0; d < n; d++) {
		fading_begin(&f[d], u->profile, u->doppler_hz);
		ul_chest_set_boost(c, (uint8_t)d, (float)u->boost);
		f[d].cfo_hz = 3 * (double)d - 10;
		f[d].amplitude = n > 1 ? pow(10, u->power_spread_db * (double)d / (double)(n - 1) / 20) : 1;
	}
	size_t s0 = num.format->sounding;
	for (uint64_t slot = 0; slot < n_slots; slot++) {
		struct slot_time when = { .slot = slot, .t_samples = slot * num.slot_len };
		fill_noise(noise);
		for (size_t d = 0; d < n; d++) {
			for (size_t l = 0; l < num.n_symbols; l++)
				fading_at(&f[d], (double)when.t_samples + middle_of(l), truth[d][l]);
			for (size_t s = 0; s < 2; s++)
				for (size_t k = d * rbs * PHY_RB_SC; k < (d + 1) * rbs * PHY_RB_SC;
				     k += LAYOUT_DMRS_STEP)
					grid[num.format->dmrs[s] * num.n_sc + k] +=
					        (float complex)truth[d][num.format->dmrs[s]][k] *
					        dmrs[s][k / LAYOUT_DMRS_STEP];
			for (size_t k = d; k < num.n_sc; k += LAYOUT_COMB_STEP)
				grid[s0 * num.n_sc + k] +=
				        (float complex)(sqrt(u->comb_power) * truth[d][s0][k]) * sounding[k];
		}
		ul_chest_slot(c, grid, &when);
		for (uint8_t d = 0; d < n; d++) {
			struct rb_set set = { { 0 } };
			struct csi csi;
			double error = 0, power = 0, data = 0;
			rb_set_add_range(&set, d * rbs, rbs);
			csi_empty(&csi, &num, &when);
			float data_energy = (float)(f[d].amplitude * f[d].amplitude + noise);
			if (rbs == num.n_rb)
				ul_chest_dmrs(c, d, data_energy);
			ul_chest_sounding(c, d, &csi);
			double complex h[PHY_SC_MAX];
			fading_at(&f[d], (double)csi.t_ref_samples, h);
			for (size_t k = 0; k < num.n_sc; k++) {
				error += square(sqrt(u->comb_power / u->boost) * h[k] - csi.h[k]);
				power += square(h[k]);
			}
			ul_chest_data(c, d, &set, data_energy);
			if (slot < WARM_UP)
				continue;
			for (size_t l = 0; l < num.format->n_ul_data; l++)
				for (size_t k = d * rbs * PHY_RB_SC; k < (d + 1) * rbs * PHY_RB_SC; k++)
					data += square(truth[d][l][k] - ul_chest_channel(c).h[l * num.n_sc + k]);
			double n_sums = (double)(n_slots - WARM_UP);
			csi_error += error / ((double)num.n_sc * f[d].amplitude * f[d].amplitude) / n_sums / (double)n;
			o.data_error[d] += data / (double)(num.format->n_ul_data * rbs * PHY_RB_SC) / noise / n_sums;
			estimated += (double)csi.noise_var / n_sums / (double)n;
			assert_true(power > 0);
		}
	}
	o.nmse_db = 10 * log10(csi_error);
	o.noise_db = 10 * log10(estimated / noise);
	o.doppler_hz = (double)channel_filter_doppler_hz(ul_chest_filter(c, 0));
	o.cfo_off_hz = channel_filter_cfo_hz(ul_chest_filter(c, 0)) - f[0].cfo_hz;
	ul_chest_destroy(c);
	layout_destroy(layout);
	return o;
}

static struct outcome uplink(const struct profile *profile, double doppler_hz, double snr_db, size_t n, size_t rbs,
                             double power_spread_db, size_t n_slots)
{
	return uplink_of(&(struct uplink_case){ profile, doppler_hz, snr_db, n, rbs, power_spread_db, n_slots, 8, 8 });
}

static double loss_db(double data_error)
{
	return 10 * log10(1 + data_error);
}

static void report(const char *what, double snr_db, const struct outcome *o)
{
	print_message("%s %g dB: CSI %.1f dB, loss %.2f dB, noise %+.2f dB, Doppler %.0f Hz, CFO %+.1f Hz\n", what,
	              snr_db, o->nmse_db, loss_db(o->data_error[0]), o->noise_db, o->doppler_hz, o->cfo_off_hz);
}

/* Noise and estimation error together are what the data see: 0.3 dB of it leaves room for what is lost elsewhere. */
static void a_still_channel_costs_next_to_nothing_at_any_snr(void **state)
{
	(void)state;
	static const double snrs[] = { -7, 0, 27 };
	rng.s = 31;
	use(30e3);
	for (size_t i = 0; i < sizeof snrs / sizeof snrs[0]; i++) {
		struct outcome dl = downlink(&alone, 0, snrs[i], 150), ul = uplink(&alone, 0, snrs[i], 1, 3, 0, 150);
		report("still, downlink", snrs[i], &dl);
		report("still, uplink", snrs[i], &ul);
		assert_true(loss_db(dl.data_error[0]) < 0.2 && loss_db(ul.data_error[0]) < 0.3);
		assert_true(fabs(dl.noise_db) < 0.25 && fabs(ul.noise_db) < 0.6);
		assert_true(fabs(dl.predicted_db) < 0.3);
		assert_true(fabs(dl.cfo_off_hz) < 12 && fabs(ul.cfo_off_hz) < 15);
	}
}

static void csi_of_a_slow_short_channel_gains_by_time_and_window(void **state)
{
	(void)state;
	rng.s = 32;
	use(30e3);
	struct outcome dl = downlink(&tdl_a, 10, 20, 200), ul = uplink(&tdl_a, 10, 20, 2, 3, 0, 150);
	report("TDL-A 10 Hz, downlink", 20, &dl);
	report("TDL-A 10 Hz, uplink", 20, &ul);
	assert_true(dl.nmse_db < -30 && ul.nmse_db < -30);
	assert_true(loss_db(dl.data_error[0]) < 0.4 && loss_db(ul.data_error[0]) < 0.5);
	assert_true(dl.doppler_hz > 5 && dl.doppler_hz < 20);
}

/* Required: NMSE at most -(SNR + 5) dB, loss at most 1 dB. */
static void a_fast_long_channel_is_followed_at_both_spacings(void **state)
{
	(void)state;
	static const double snrs[] = { 0, 20 };
	rng.s = 33;
	for (int wide = 0; wide < 2; wide++) {
		use(wide ? 30e3 : 15e3);
		for (size_t i = 0; i < sizeof snrs / sizeof snrs[0]; i++) {
			struct outcome dl = downlink(&tdl_c, 70, snrs[i], 120),
			               ul = uplink(&tdl_c, 70, snrs[i], 2, 3, 0, 120);
			report("TDL-C 70 Hz, downlink", snrs[i], &dl);
			report("TDL-C 70 Hz, uplink", snrs[i], &ul);
			assert_true(dl.nmse_db < -(snrs[i] + 5) && ul.nmse_db < -(snrs[i] + 5));
			assert_true(loss_db(dl.data_error[0]) < 1 && loss_db(ul.data_error[0]) < 1);
			assert_true(snrs[i] < 10 || (dl.doppler_hz > 45 && dl.doppler_hz < 105));
		}
	}
}

/* Data on the whole band bring their own pilots, on every second subcarrier: the sounding needs no boost. */
static void data_on_the_whole_band_make_up_for_a_sounding_without_boost(void **state)
{
	(void)state;
	static const double snrs[] = { 0, 25 };
	rng.s = 35;
	for (int wide = 0; wide < 2; wide++) {
		use(wide ? 30e3 : 15e3);
		for (size_t i = 0; i < sizeof snrs / sizeof snrs[0]; i++) {
			struct uplink_case u = { &tdl_c, 70, snrs[i], 1, num.n_rb, 0, 120, 1, 1 };
			struct outcome ul = uplink_of(&u);
			report("TDL-C 70 Hz, whole band", snrs[i], &ul);
			assert_true(ul.nmse_db < -(snrs[i] + 6) && loss_db(ul.data_error[0]) < 0.8);
			assert_true(fabs(ul.noise_db) < 0.5);
		}
	}
}

/* One slot of a still channel of 1, to which RB `bumped` adds a line in time from at[0] to at[1] (both pilot symbols).
 * Returns the mean square error of that RB's data REs; channel: as estimated. */
static double bumped_slot(struct dl_chest *c, uint64_t slot, size_t bumped, const double complex at[2], double noise)
{
	const uint8_t pilot[2] = { num.format->pilot[0], num.format->pilot[1] };
	struct slot_time when = { .slot = slot, .t_samples = slot * num.slot_len };
	struct csi csi;
	struct track_measurement track;
	double first = middle_of(pilot[0]), span = middle_of(pilot[1]) - first, error = 0;
	fill_noise(noise);
	for (size_t l = 0; l < num.n_symbols; l++)
		for (size_t k = 0; k < num.n_sc; k++)
			truth[0][l][k] = k / PHY_RB_SC != bumped
			                         ? 1
			                         : 1 + at[0] + (at[1] - at[0]) * (middle_of(l) - first) / span;
	for (size_t s = 0; s < 2; s++) {
		float complex sent[PHY_SC_MAX];
		gold_qpsk(sequence_seed(SEQUENCE_PILOT, CELL, pilot[s]), sent, num.n_sc / num.pilot_step);
		for (size_t k = 0; k < num.n_sc; k += num.pilot_step)
			grid[pilot[s] * num.n_sc + k] +=
			        (float complex)truth[0][pilot[s]][k] * sent[k / num.pilot_step];
	}
	csi_empty(&csi, &num, &when);
	assert_true(dl_chest_slot(c, grid, &when, &csi, &track));
	for (size_t l = num.format->n_control; l < num.n_symbols; l++)
		for (size_t k = bumped * PHY_RB_SC; k < (bumped + 1) * PHY_RB_SC; k++)
			error += square(truth[0][l][k] - dl_chest_channel(c).h[l * num.n_sc + k]);
	return error / (double)((num.n_symbols - num.format->n_control) * PHY_RB_SC);
}

/* What neither the delay window nor a straight line from slot to slot can give: a single RB that suddenly moves, and moves
 * during the slot. It is followed to the noise of its
 * pilots; its neighbours, within the delay window, are told what they miss; the others notice nothing. */
static void an_rb_that_misses_its_pilots_is_moved_to_them(void **state)
{
	(void)state;
	enum { BUMPED = 7 };
	static const double complex still[2] = { 0, 0 };
	static const double complex small[2] = { 0.03, 0.03 * I }; /* about the noise */
	static const double complex large[2] = { 0.5 + 0.2 * I, -0.6 * I };
	double noise = pow(10, -25 / 10.), quiet = 0;
	rng.s = 37;
	use(15e3);
	struct dl_chest *c = dl_chest_create(&num, CELL);
	assert_non_null(c);
	uint64_t slot = 0;
	for (; slot < 200; slot++) {
		quiet = bumped_slot(c, slot, BUMPED, slot < 100 ? still : small, noise);
		const float *var = dl_chest_channel(c).noise_var;
		for (size_t rb = 0; slot > WARM_UP && rb < num.n_rb; rb++)
			assert_true((double)fabsf(var[rb] - var[0]) < 0.2 * noise); /* nothing moved by noise */
	}
	assert_true(quiet < noise);
	double error = bumped_slot(c, slot, BUMPED, large, noise);
	const float *var = dl_chest_channel(c).noise_var;
	print_message("RB off by %.2f: error %.4f, noise %.4f, told %.4f, next RB told %.4f\n",
	              (square(large[0]) + square(large[1])) / 2, error, noise, (double)var[BUMPED], (double)var[0]);
	assert_true(error < 2 * noise);
	assert_true((double)var[BUMPED] > noise + error);
	for (size_t rb = 0; rb < num.n_rb; rb++)
		assert_true((double)var[rb] < (rb + 1 >= BUMPED && rb <= BUMPED + 1 ? 10 : 1.5) * noise);
	dl_chest_destroy(c);
}

/* A device at its limit has more for its comb than the boost asked for. */
static void a_comb_stronger_than_told_spoils_neither_data_nor_csi(void **state)
{
	(void)state;
	static const double powers[] = { 1, 1.5, 5 };
	rng.s = 36;
	use(30e3);
	for (size_t i = 0; i < sizeof powers / sizeof powers[0]; i++) {
		struct uplink_case u = { &tdl_a, 10, 20, 1, num.n_rb, 0, 200, 1, powers[i] };
		struct outcome o = uplink_of(&u);
		o.nmse_db -= 10 * log10(powers[i]);
		report("whole band, comb stronger than told", 20, &o);
		assert_true(o.nmse_db < -30 && loss_db(o.data_error[0]) < 0.3);
	}
}

/* The weakest of eight, 15 dB below the strongest, is estimated as well as alone. */
static void eight_devices_of_unlike_power_do_not_disturb_each_other(void **state)
{
	(void)state;
	rng.s = 34;
	use(30e3);
	struct outcome lone = uplink(&tdl_a, 10, 8, 1, 2, 0, 120), all = uplink(&tdl_a, 10, 8, DEVICES, 2, 15, 120);
	report("alone", 8, &lone);
	report("the weakest of eight", 8, &all);
	assert_true(loss_db(all.data_error[0]) < loss_db(lone.data_error[0]) + 0.5);
	assert_true(fabs(all.noise_db) < 0.5);
}

static void nothing_received_is_finite_and_not_valid(void **state)
{
	(void)state;
	char err[128];
	use(30e3);
	struct layout *layout = layout_create(&num, err, sizeof err);
	struct dl_chest *dl = dl_chest_create(&num, CELL);
	struct ul_chest *ul = ul_chest_create(layout, CELL);
	memset(grid, 0, sizeof grid);
	for (uint64_t slot = 0; slot < 20; slot++) {
		struct slot_time when = { .slot = slot, .t_samples = slot * num.slot_len };
		struct csi csi;
		struct track_measurement track;
		struct rb_set rbs = { { 1 } };
		csi_empty(&csi, &num, &when);
		assert_false(dl_chest_slot(dl, grid, &when, &csi, &track));
		assert_true(track.snr == 0 && !csi.valid);
		ul_chest_slot(ul, grid, &when);
		ul_chest_sounding(ul, 3, &csi);
		ul_chest_data(ul, 3, &rbs, 0);
		for (size_t k = 0; k < PHY_RB_SC; k++) {
			assert_true(isfinite(crealf(csi.h[k])) && isfinite(crealf(ul_chest_channel(ul).h[k])));
			assert_true(isfinite(ul_chest_channel(ul).noise_var[0]));
		}
		assert_true(isfinite(csi.snr_mean_db) && isfinite(csi.cfo_hz) && isfinite(csi.timing_samples));
	}
	ul_chest_destroy(ul);
	dl_chest_destroy(dl);
	layout_destroy(layout);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_still_channel_costs_next_to_nothing_at_any_snr),
		cmocka_unit_test(csi_of_a_slow_short_channel_gains_by_time_and_window),
		cmocka_unit_test(a_fast_long_channel_is_followed_at_both_spacings),
		cmocka_unit_test(an_rb_that_misses_its_pilots_is_moved_to_them),
		cmocka_unit_test(data_on_the_whole_band_make_up_for_a_sounding_without_boost),
		cmocka_unit_test(a_comb_stronger_than_told_spoils_neither_data_nor_csi),
		cmocka_unit_test(eight_devices_of_unlike_power_do_not_disturb_each_other),
		cmocka_unit_test(nothing_received_is_finite_and_not_valid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
