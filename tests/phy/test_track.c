#include "phy/track.h"

#include "tests/phy/sync_channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const double dl_hz = 3.5e9, ul_hz = 3.4e9;
static struct numerology num;

static int set_up(void **state)
{
	(void)state;
	return numerology_init(&num, 7.68e6, 30e3, 18, 14, NULL, 0);
}

/* A BS as its pilots are seen by a receiver whose oscillator is `ppm` fast: the slots last longer, the carrier lies
 * lower. */
struct link {
	double ppm, snr_db;
	double clock_ppm;   /* of the sample clock, on top: 0 when one oscillator makes both */
	double first_start; /* receiver's sample at which slot 0 starts on the shortest path */
	struct taps taps;
	struct rng rng;
	uint64_t slot;
};

static double true_cfo_hz(const struct link *l)
{
	return -1e-6 * l->ppm * dl_hz;
}

static double true_start(const struct link *l)
{
	return l->first_start + (double)l->slot * (double)num.slot_len * (1 + 1e-6 * (l->ppm + l->clock_ppm));
}

/* Channel estimates on the pilots of a symbol, as the receiver sees them with the start and carrier it uses. */
static void pilots(struct link *l, const struct track *t, size_t symbol, float complex *h)
{
	double middle_s = numerology_symbol_middle(&num, symbol) / num.rate_hz;
	double late = true_start(l) - (double)t->next_start;
	double complex carrier = cexp(I * 2 * M_PI * (true_cfo_hz(l) - t->cfo_hz) * middle_s);
	double complex gains[TAPS_MAX];
	for (size_t i = 0; i < l->taps.n; i++)
		gains[i] = carrier * tap_gain(&l->taps, i, (double)l->slot * numerology_slot_s(&num) + middle_s);
	size_t n_pilots = num.n_sc / num.pilot_step;
	for (size_t p = 0; p < n_pilots; p++) {
		int offset = numerology_offset(&num, num.pilot_step * p);
		double complex sum = 0;
		for (size_t i = 0; i < l->taps.n; i++)
			sum += gains[i] *
			       cexp(-I * 2 * M_PI * offset * (late + l->taps.delay_samples[i]) / (double)num.n_fft);
		h[p] = (float complex)sum;
	}
	add_noise(&l->rng, h, n_pilots, noise_for(l->snr_db));
}

static struct track_measurement hear(struct link *l, const struct track *t)
{
	float complex first[PHY_SC_MAX], second[PHY_SC_MAX];
	const uint8_t *symbol = num.format->pilot;
	struct track_measurement m;
	pilots(l, t, symbol[0], first);
	pilots(l, t, symbol[1], second);
	track_measure(&num, first, symbol[0], second, symbol[1], num.n_sc / num.pilot_step, 0, num.pilot_step, &m);
	return m;
}

static void one_slot(struct link *l, struct track *t)
{
	struct track_measurement m = hear(l, t);
	track_update(t, &m);
	l->slot++;
}

/* Tracker locked with errors such as acquisition makes. */
static struct track lock_on(const struct link *l, double start_error, double cfo_error_hz)
{
	double start = true_start(l) + taps_centre(&l->taps) + start_error;
	struct acquired lock = { .slot_start = (uint64_t)llround(start),
		                 .fraction = (float)(start - (double)llround(start)),
		                 .cfo_hz = (float)(true_cfo_hz(l) + cfo_error_hz) };
	struct track_config config = track_config_default(dl_hz, ul_hz);
	struct track t;
	track_start(&t, &num, &config, &lock);
	return t;
}

static double start_error(const struct link *l, const struct track *t)
{
	return (double)t->next_start + t->fraction - true_start(l) - taps_centre(&l->taps);
}

static void a_measurement_reads_the_delay_and_carrier_that_are_there(void **state)
{
	(void)state;
	for (int i = -20; i <= 20; i++) {
		struct link l = { .ppm = i * 0.02, .snr_db = 80, .first_start = 1000 + i * 0.37, .taps = taps_flat(0) };
		struct track t = lock_on(&l, 0, 0);
		t.next_start = 1000;
		t.cfo_hz = 0;
		struct track_measurement m = hear(&l, &t);
		assert_true(fabs((double)m.timing_samples - i * 0.37) < 2e-3);
		assert_true(fabs((double)m.cfo_hz - true_cfo_hz(&l)) < 0.2);
	}
}

static void the_measured_snr_is_that_of_the_pilots(void **state)
{
	(void)state;
	for (double snr_db = 0; snr_db <= 20; snr_db += 10) {
		struct link l = { .snr_db = snr_db, .first_start = 1000, .taps = taps_flat(0), .rng = { 5 } };
		struct track t = lock_on(&l, 0, 0);
		double share = 0; /* mean of S / (S + N): the SNR itself has a skewed law */
		for (size_t i = 0; i < 200; i++) {
			double snr = (double)hear(&l, &t).snr;
			share += snr / (1 + snr) / 200;
		}
		assert_true(fabs(10 * log10(share / (1 - share)) - snr_db) < 0.5);
	}
}

static void errors_of_acquisition_are_gone_after_a_hundred_slots(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct link l = { .ppm = 2, .snr_db = 5, .first_start = 5000.3, .taps = taps_flat(0), .rng = { seed } };
		struct track t = lock_on(&l, seed % 2 ? 3 : -3, seed % 3 ? 900 : -900);
		for (size_t i = 0; i < 100; i++)
			one_slot(&l, &t);
		assert_true(fabs(start_error(&l, &t)) < 0.5);
		assert_true(fabs(t.cfo_hz - true_cfo_hz(&l)) < 30);
	}
}

static void a_fading_channel_at_5_db_is_followed_for_two_seconds(void **state)
{
	(void)state;
	double worst_start = 0, square_cfo = 0;
	size_t n = 0;
	for (uint64_t seed = 0; seed < 3; seed++) {
		struct link l = { .ppm = -2.1, .snr_db = 5, .first_start = 7777.7, .rng = { seed + 40 } };
		l.taps = taps_tdl_a(&l.rng, num.rate_hz, 100e-9, 10, 0);
		struct track t = lock_on(&l, 1, -150);
		for (size_t i = 0; i < 4000; i++) {
			one_slot(&l, &t);
			if (i < 100)
				continue;
			worst_start = fmax(worst_start, fabs(start_error(&l, &t)));
			square_cfo += pow(t.cfo_hz - true_cfo_hz(&l), 2);
			n++;
		}
		assert_false(track_lost(&t));
	}
	assert_true(worst_start < 2); /* of the 4 samples that the window starts early */
	assert_true(sqrt(square_cfo / (double)n) < 10);
}

static void a_clock_20_ppm_off_is_followed_without_toggling(void **state)
{
	(void)state;
	for (int sign = -1; sign <= 1; sign += 2) {
		struct link l = {
			.ppm = sign * 20, .snr_db = 10, .first_start = 5000, .taps = taps_flat(0), .rng = { 3 }
		};
		struct track t = lock_on(&l, 0, 0);
		for (size_t i = 0; i < 4000; i++) {
			one_slot(&l, &t);
			assert_true(fabs(start_error(&l, &t)) < 0.5);
			assert_true(fabs(t.fraction) <= TRACK_STEP);
		}
		double drift = 4000 * 3840 * 20e-6; /* 307 samples, one at a time */
		assert_true(fabs((double)t.n_steps - drift) < 3);
		assert_true(fabs(track_clock_ppm(&t) - sign * 20) < 0.01);
	}
}

/* Two crystals: the carrier right, the clock off. */
static void a_clock_20_ppm_off_that_the_carrier_does_not_tell_of_is_followed_too(void **state)
{
	(void)state;
	for (int sign = -1; sign <= 1; sign += 2) {
		struct link l = {
			.ppm = -0.5 * sign, .clock_ppm = 20 * sign, .snr_db = 10, .first_start = 5000.2, .rng = { 4 }
		};
		l.taps = taps_flat(0);
		struct track t = lock_on(&l, sign, 100);
		for (size_t i = 0; i < 3000; i++) {
			one_slot(&l, &t);
			assert_true(fabs(start_error(&l, &t)) < (i < 50 ? 2 : 0.2));
		}
		assert_true(fabs(track_clock_ppm(&t) - sign * 19.5) < 0.05);
	}
}

static void a_fading_channel_at_15_db_never_leaves_the_prefix_with_a_clock_20_ppm_off(void **state)
{
	(void)state;
	for (int own = 0; own <= 1; own++) { /* of the carrier's oscillator, of its own */
		struct link l = {
			.ppm = own ? 0 : 20, .clock_ppm = own ? -20 : 0, .snr_db = 15, .first_start = 5000, .rng = { 6 }
		};
		l.taps = taps_tdl_a(&l.rng, num.rate_hz, 100e-9, 10, 0);
		struct track t = lock_on(&l, -1, 200);
		for (size_t i = 0; i < 4000; i++) {
			one_slot(&l, &t);
			double after = true_start(&l) -
			               (double)t.next_start; /* of the first path; the last one is 3.1 later */
			assert_true(after > -4 && after + 3.2 < 12);
		}
		assert_int_equal(track_state(&t), TRACK_STEADY);
	}
}

static void a_lock_as_far_off_as_is_promised_is_pulled_in_at_every_numerology(void **state)
{
	(void)state;
	static const struct {
		double rate_hz, scs_hz;
		size_t n_rb, n_symbols;
	} shapes[] = { { 7.68e6, 30e3, 18, 14 },
		       { 7.68e6, 30e3, 18, 7 },
		       { 1.92e6, 15e3, 6, 14 },
		       { 30.72e6, 60e3, 38, 14 },
		       { 30.72e6, 15e3, 100, 14 } };
	struct numerology usual = num;
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		assert_int_equal(numerology_init(&num, shapes[i].rate_hz, shapes[i].scs_hz, shapes[i].n_rb,
		                                 shapes[i].n_symbols, NULL, 0),
		                 0);
		for (int sign = -1; sign <= 1; sign += 2) {
			struct link l = { .ppm = 3, .clock_ppm = 5, .snr_db = 5, .first_start = 5000.3, .rng = { i } };
			l.taps = taps_flat(0);
			struct track t = lock_on(&l, sign * (double)num.cp / 4, sign * track_pull_in_hz(&num));
			for (size_t slot = 0; slot < 200; slot++)
				one_slot(&l, &t);
			assert_true(fabs(start_error(&l, &t)) < 0.05 * (double)num.cp);
			assert_true(fabs(t.cfo_hz - true_cfo_hz(&l)) < 1e-3 * num.scs_hz);
		}
	}
	num = usual;
}

static void doppler_of_300_hz_does_not_break_it(void **state)
{
	(void)state;
	struct link l = { .ppm = 2, .snr_db = 10, .first_start = 5000, .rng = { 11 } };
	l.taps = taps_tdl_a(&l.rng, num.rate_hz, 100e-9, 300, 0);
	struct track t = lock_on(&l, 1, -150);
	double square_cfo = 0;
	for (size_t i = 0; i < 3000; i++) {
		one_slot(&l, &t);
		assert_true(i < 100 || fabs(start_error(&l, &t)) < 1);
		square_cfo += pow(t.cfo_hz - true_cfo_hz(&l), 2) / 3000;
	}
	assert_true(sqrt(square_cfo) < 100); /* the channel itself turns by up to 300 */
	assert_int_equal(track_state(&t), TRACK_STEADY);
}

/* Share of power that interferes when the slot starts `start` samples after the first path. */
static double true_interference(const struct link *l, double start)
{
	double early = (double)numerology_backoff(&num), late = (double)numerology_clean_prefix(&num) - early, sum = 0;
	for (size_t i = 0; i < l->taps.n; i++) {
		double after = l->taps.delay_samples[i] - start, power = pow(l->taps.amplitude[i], 2);
		sum += 2 * power * fmax(fmax(-early - after, after - late), 0) / (double)num.n_fft;
	}
	return sum;
}

static void where_echoes_pass_the_prefix_the_slot_starts_where_least_interferes(void **state)
{
	(void)state;
	/* equal, the later stronger, the earlier much stronger, too far apart for any place; in clean prefixes and powers */
	static const double channels[][4] = {
		{ 0, 0.5, 0.9, 0.5 }, { 0, 0.3, 0.9, 0.7 }, { 0, 0.9, 0.95, 0.1 }, { 0, 0.6, 1.15, 0.4 }
	};
	for (size_t c = 0; c < 4; c++) {
		struct link l = { .snr_db = 15, .first_start = 5000, .rng = { 20 + c } };
		l.taps = (struct taps){ .n = 2 };
		for (size_t i = 0; i < 2; i++) {
			l.taps.delay_samples[i] = channels[c][2 * i] * (double)numerology_clean_prefix(&num);
			l.taps.amplitude[i] = sqrt(channels[c][2 * i + 1]);
			l.taps.fading[i] = fading_draw(&l.rng, 50);
		}
		struct track t = lock_on(&l, 0, 0);
		for (size_t i = 0; i < 1500; i++)
			one_slot(&l, &t);
		double least = INFINITY, here = true_interference(&l, (double)t.next_start - true_start(&l));
		for (double start = -20; start <= 40; start += 0.1)
			least = fmin(least, true_interference(&l, start));
		double at_centre = true_interference(&l, taps_centre(&l.taps));
		double slack =
		        2 * TRACK_STEP * 0.5 / (double)num.n_fft; /* the hysteresis, for a path of half the power */
		if (here > least + slack)
			fail_msg("channel %d: interference %.4f, %.4f possible, %.4f at the centre", (int)c, here,
			         least, at_centre);
		assert_true(c == 2 || at_centre > least + 2 * slack); /* so the centre would not do */
	}
}

/* TR 38.901 table 7.7.2-3, delays in delay spreads, powers in dB. */
static const double tdl_c[24][2] = {
	{ 0.0000, -4.4 },  { 0.2099, -1.2 },  { 0.2219, -3.5 },  { 0.2329, -5.2 },  { 0.2176, -2.5 },
	{ 0.6366, 0.0 },   { 0.6448, -2.2 },  { 0.6560, -3.9 },  { 0.6584, -7.4 },  { 0.7935, -7.1 },
	{ 0.8213, -10.7 }, { 0.9336, -11.1 }, { 1.2285, -5.1 },  { 1.3083, -6.8 },  { 2.1704, -8.7 },
	{ 2.7105, -13.2 }, { 4.2589, -13.9 }, { 4.6003, -13.9 }, { 5.4902, -15.8 }, { 5.6077, -17.1 },
	{ 6.3065, -16.0 }, { 6.6374, -15.7 }, { 7.0427, -21.6 }, { 8.6523, -22.8 },
};

/* Its last echoes come 2.6 us after the first path, the prefix lasts 2.3. */
static void tdl_c_of_300_ns_interferes_less_than_from_the_energys_centre(void **state)
{
	(void)state;
	struct link l = { .snr_db = 15, .first_start = 5000, .rng = { 30 } };
	double total = 0, sum = 0;
	size_t n = 0;
	l.taps = (struct taps){ .n = 24 };
	for (size_t i = 0; i < 24; i++)
		total += pow(10, tdl_c[i][1] / 10);
	for (size_t i = 0; i < 24; i++) {
		l.taps.delay_samples[i] = tdl_c[i][0] * 300e-9 * num.rate_hz;
		l.taps.amplitude[i] = sqrt(pow(10, tdl_c[i][1] / 10) / total);
		l.taps.fading[i] = fading_draw(&l.rng, 70);
	}
	struct track t = lock_on(&l, 0, 0);
	for (size_t i = 0; i < 3000; i++) {
		one_slot(&l, &t);
		if (i < 1000)
			continue;
		sum += true_interference(&l, (double)t.next_start - true_start(&l));
		n++;
	}
	double gain_db = 10 * log10(true_interference(&l, taps_centre(&l.taps)) / (sum / (double)n));
	assert_true(gain_db > 2);
}

static void the_state_tells_pulling_in_steady_coasting_and_lost_apart(void **state)
{
	(void)state;
	struct link l = { .snr_db = 10, .first_start = 5000, .taps = taps_flat(0) };
	struct track t = lock_on(&l, 0, 0);
	assert_int_equal(track_state(&t), TRACK_PULLING_IN);
	for (size_t i = 0; i < 150; i++)
		one_slot(&l, &t);
	assert_int_equal(track_state(&t), TRACK_STEADY);
	for (size_t i = 0; i < 20; i++)
		track_update(&t, NULL);
	assert_int_equal(track_state(&t), TRACK_COASTING);
	l.slot += 20;
	one_slot(&l, &t);
	assert_int_equal(track_state(&t), TRACK_STEADY);
	for (size_t i = 0; i < 400; i++)
		track_update(&t, NULL);
	assert_int_equal(track_state(&t), TRACK_LOST);
	assert_string_equal(track_state_name(TRACK_LOST), "lost");
}

static void a_fade_of_150_ms_coasts(void **state)
{
	(void)state;
	struct link l = { .ppm = 20, .snr_db = 10, .first_start = 5000, .taps = taps_flat(0), .rng = { 8 } };
	struct track t = lock_on(&l, 0, 100);
	for (size_t i = 0; i < 500; i++)
		one_slot(&l, &t);
	l.snr_db = -30;
	for (size_t i = 0; i < 300; i++)
		one_slot(&l, &t);
	assert_false(track_lost(&t));
	assert_true(fabs(start_error(&l, &t)) < 0.5); /* the clock alone drifts 23 samples in this time */
	assert_true(fabs(t.cfo_hz - true_cfo_hz(&l)) < 20);
}

static void silence_and_nonsense_count_as_bad_slots_and_move_nothing(void **state)
{
	(void)state;
	struct link l = { .ppm = 0, .snr_db = 10, .first_start = 5000, .taps = taps_flat(0), .rng = { 8 } };
	static const struct track_measurement nonsense[] = {
		{ NAN, 0, 10 }, { 0, INFINITY, 10 }, { 0, 0, NAN }, { 5, 500, 0 }, { 5, 500, INFINITY },
	};
	struct track t = lock_on(&l, 0, 0);
	for (size_t i = 0; i < 5; i++)
		track_update(&t, &nonsense[i]);
	track_update(&t, NULL);
	assert_int_equal(t.bad_slots, 6);
	assert_int_equal(t.next_start, 5000 + 6 * 3840);
	assert_true(t.cfo_hz == 0 && t.fraction == 0);
}

static void a_profile_of_nonsense_is_not_learnt(void **state)
{
	(void)state;
	struct link l = { .snr_db = 10, .first_start = 5000, .taps = taps_flat(0) };
	struct track t = lock_on(&l, 0, 0);
	struct track_measurement bad[] = { hear(&l, &t), hear(&l, &t), hear(&l, &t), hear(&l, &t) };
	bad[0].correlation[3] = NAN;
	bad[1].correlation[0] = 0;
	bad[2].n_lags = TRACK_LAGS + 1;
	bad[3].correlation[5] *= 1e9f;
	for (size_t i = 0; i < 200; i++)
		track_update(&t, &bad[i % 4]);
	assert_int_equal(t.n_lags, 0);
	assert_true(t.offset == 0 && track_interference(&t, 5) == 0);
}

static void the_link_is_lost_after_the_configured_number_of_bad_slots_in_a_row(void **state)
{
	(void)state;
	struct link l = { .first_start = 5000, .taps = taps_flat(0) };
	struct track t = lock_on(&l, 0, 0);
	struct track_measurement good = { 0, 0, 1 }, bad = { 0, 0, 0.2f };
	for (size_t i = 0; i < 399; i++)
		track_update(&t, &bad);
	assert_false(track_lost(&t));
	track_update(&t, &good);
	for (size_t i = 0; i < 399; i++)
		track_update(&t, &bad);
	assert_false(track_lost(&t));
	track_update(&t, NULL);
	assert_true(track_lost(&t));
}

static void a_lock_without_system_information_is_given_up_sooner_than_one_that_had_it(void **state)
{
	(void)state;
	struct link l = { .first_start = 5000, .taps = taps_flat(0) };
	struct track t = lock_on(&l, 0, 0);
	for (size_t i = 0; i < 5; i++)
		track_sync_slot(&t, false);
	assert_false(track_lost(&t));
	struct track had = t;
	track_sync_slot(&t, false);
	assert_true(track_lost(&t));
	track_sync_slot(&had, true);
	for (size_t i = 0; i < 39; i++)
		track_sync_slot(&had, false);
	assert_false(track_lost(&had));
	track_sync_slot(&had, false);
	assert_true(track_lost(&had));
}

static void skipping_lands_on_the_slot_grid_of_the_drifting_clock(void **state)
{
	(void)state;
	struct link l = { .ppm = 20, .first_start = 5000.4, .taps = taps_flat(0) };
	struct track t = lock_on(&l, 0, 0);
	uint64_t now = 2000000;
	uint64_t n = track_skip_to(&t, now);
	l.slot = n;
	assert_int_equal(n, t.n_slots);
	assert_in_range(t.next_start, now, now + num.slot_len);
	assert_true(fabs(start_error(&l, &t)) < 1e-3);
	assert_int_equal(track_skip_to(&t, now), 0);
}

static void the_uplink_is_shifted_in_proportion_to_its_carrier(void **state)
{
	(void)state;
	struct link l = { .ppm = 1.5, .first_start = 5000, .taps = taps_flat(0) };
	struct track t = lock_on(&l, 0, 0);
	/* the device's carrier comes out 1.5 ppm high: 5100 Hz of 3.4 GHz to take away */
	assert_true(fabs(track_uplink_hz(&t) + 1.5e-6 * ul_hz) < 0.01);
}

static void cyclic_prefixes_tell_the_carrier_offset(void **state)
{
	(void)state;
	struct rng r = { 9 };
	float complex *x = malloc(num.slot_len * sizeof *x), *y = malloc(num.slot_len * sizeof *y);
	make_downlink(&num, 1, 3, 1, 1, &r, x);
	for (double cfo_hz = -14000; cfo_hz <= 14000; cfo_hz += 1000) {
		struct taps path = taps_flat(0);
		pass_channel(&path, num.rate_hz, cfo_hz, x, y, num.slot_len);
		float complex sum = 0;
		float energy = 0;
		size_t n = track_prefix_correlation(&num, y, &sum, &energy);
		assert_int_equal(n, 14 * 14);
		assert_true(fabs(cargf(sum) / (2 * M_PI) * num.scs_hz - cfo_hz) < 1);
		assert_true(fabs((double)(cabsf(sum) / energy) - 1) < 1e-4);
	}
	free(y);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_measurement_reads_the_delay_and_carrier_that_are_there),
		cmocka_unit_test(the_measured_snr_is_that_of_the_pilots),
		cmocka_unit_test(errors_of_acquisition_are_gone_after_a_hundred_slots),
		cmocka_unit_test(a_fading_channel_at_5_db_is_followed_for_two_seconds),
		cmocka_unit_test(a_clock_20_ppm_off_is_followed_without_toggling),
		cmocka_unit_test(a_clock_20_ppm_off_that_the_carrier_does_not_tell_of_is_followed_too),
		cmocka_unit_test(a_fading_channel_at_15_db_never_leaves_the_prefix_with_a_clock_20_ppm_off),
		cmocka_unit_test(a_lock_as_far_off_as_is_promised_is_pulled_in_at_every_numerology),
		cmocka_unit_test(doppler_of_300_hz_does_not_break_it),
		cmocka_unit_test(where_echoes_pass_the_prefix_the_slot_starts_where_least_interferes),
		cmocka_unit_test(tdl_c_of_300_ns_interferes_less_than_from_the_energys_centre),
		cmocka_unit_test(the_state_tells_pulling_in_steady_coasting_and_lost_apart),
		cmocka_unit_test(a_fade_of_150_ms_coasts),
		cmocka_unit_test(silence_and_nonsense_count_as_bad_slots_and_move_nothing),
		cmocka_unit_test(a_profile_of_nonsense_is_not_learnt),
		cmocka_unit_test(the_link_is_lost_after_the_configured_number_of_bad_slots_in_a_row),
		cmocka_unit_test(a_lock_without_system_information_is_given_up_sooner_than_one_that_had_it),
		cmocka_unit_test(skipping_lands_on_the_slot_grid_of_the_drifting_clock),
		cmocka_unit_test(the_uplink_is_shifted_in_proportion_to_its_carrier),
		cmocka_unit_test(cyclic_prefixes_tell_the_carrier_offset),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
