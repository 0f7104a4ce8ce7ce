#include "phy/access.h"

#include "tests/phy/sync_channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

enum { CELL = 5, N_GRID = 14 * 216, N_SAMPLES = 3840, EVERYBODY = 0xffff };

static struct numerology num;
static struct ofdm *ofdm;
static struct access_detector *detector;
static float complex grid[N_GRID], sent[N_SAMPLES], path[N_SAMPLES], heard[N_SAMPLES];
static struct access_found found[PHY_DEVICES_MAX];

static int set_up(void **state)
{
	(void)state;
	if (numerology_init(&num, 7.68e6, 30e3, 18, 14, NULL, 0))
		return -1;
	ofdm = ofdm_create(&num, numerology_backoff(&num));
	detector = access_detector_create(&num, CELL);
	return ofdm && detector ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	access_detector_destroy(detector);
	ofdm_destroy(ofdm);
	return 0;
}

static void silence(void)
{
	memset(heard, 0, sizeof heard);
}

/* Adds a device's preamble as it arrives through a channel, its carrier some Hz off. */
static void add_device(unsigned device, float amplitude, const struct taps *t, double cfo_hz)
{
	memset(grid, 0, sizeof grid);
	access_write(&num, CELL, device, amplitude, grid);
	ofdm_modulate(ofdm, grid, sent);
	pass_channel(t, num.rate_hz, cfo_hz, sent, path, N_SAMPLES);
	for (size_t i = 0; i < N_SAMPLES; i++)
		heard[i] += path[i];
}

static size_t detect(uint32_t candidates)
{
	ofdm_demodulate(ofdm, heard, grid);
	return access_detect(detector, grid, candidates, found);
}

static const struct access_found *find(size_t n, unsigned device)
{
	for (size_t i = 0; i < n; i++)
		if (found[i].device == device)
			return &found[i];
	return NULL;
}

static void a_preamble_fills_exactly_its_resource_elements(void **state)
{
	(void)state;
	memset(grid, 0, sizeof grid);
	access_write(&num, CELL, 3, 2, grid);
	for (size_t i = 0; i < N_GRID; i++) {
		bool mine = i / num.n_sc < 11 && i % num.n_sc < 72;
		assert_true(fabsf(cabsf(grid[i]) - (mine ? 2.0f : 0.0f)) < 1e-6f);
	}
}

static void at_minus_5_db_one_device_is_found_999_times_of_1000(void **state)
{
	(void)state;
	size_t hits = 0, others = 0;
	double snr_db = 0, power = 0;
	for (uint64_t seed = 0; seed < 1000; seed++) {
		struct rng r = { seed };
		unsigned device = (unsigned)(seed % 16);
		struct taps t = taps_flat(rng_uniform(&r, -4, 12));
		silence();
		add_device(device, 1, &t, rng_uniform(&r, -150, 150));
		add_noise(&r, heard, N_SAMPLES, noise_for(-5));
		size_t n = detect(EVERYBODY);
		const struct access_found *f = find(n, device);
		others += n - (f != NULL);
		if (!f)
			continue;
		hits++;
		snr_db += (double)f->snr_db;
		power += (double)f->power;
	}
	assert_true(hits >= 999);
	assert_int_equal(others, 0);
	assert_true(fabs(snr_db / (double)hits + 5) < 0.3);
	assert_true(fabs(power / (double)hits - 1) < 0.06);
}

/* A device without timing advance may be late by more than data could bear. */
static void the_delay_is_measured_to_a_fraction_of_a_sample_over_the_whole_window(void **state)
{
	(void)state;
	size_t n = 400;
	double square = 0, bias = 0;
	double data_bear = (double)(numerology_clean_prefix(&num) - numerology_backoff(&num));
	assert_true(access_delay_max(&num) >= data_bear + 0.5 * (double)num.cp);
	for (uint64_t seed = 0; seed < n; seed++) {
		struct rng r = { seed };
		struct taps t = taps_flat(rng_uniform(&r, -4, access_delay_max(&num)));
		silence();
		add_device(3, 1, &t, rng_uniform(&r, -150, 150));
		add_noise(&r, heard, N_SAMPLES, noise_for(0));
		assert_int_equal(detect(1u << 3), 1);
		double error = (double)found[0].delay_samples - t.delay_samples[0];
		square += error * error / (double)n;
		bias += error / (double)n;
	}
	assert_true(sqrt(square) < 0.1); /* 0.049 is the bound of Cramer and Rao for 792 RE at 0 dB */
	assert_true(fabs(bias) < 0.02);
}

/* Slots of noise in which somebody is found, of n. */
static size_t alarms_in_noise(struct access_detector *d, size_t n_symbols, uint64_t seed, size_t n)
{
	struct rng r = { seed };
	size_t alarms = 0;
	for (size_t slot = 0; slot < n; slot++) {
		for (size_t l = 0; l < n_symbols; l++)
			for (size_t k = 0; k < ACCESS_SC; k++)
				grid[l * num.n_sc + k] = rng_normal(&r);
		alarms += access_detect(d, grid, EVERYBODY, found) > 0;
	}
	return alarms;
}

/* The law that the threshold stands on, where it can be measured: at 1e-6 a slot nothing can. */
static void noise_raises_false_alarms_as_often_as_asked_for_and_no_more(void **state)
{
	(void)state;
	for (size_t n_symbols = 7; n_symbols <= 14; n_symbols += 7) {
		struct numerology other;
		assert_int_equal(numerology_init(&other, 7.68e6, 30e3, 18, n_symbols, NULL, 0), 0);
		struct access_detector *d = access_detector_create(&other, CELL);
		access_detector_set_false_alarm(d, 0.1);
		size_t often = alarms_in_noise(d, other.format->n_ul_data, n_symbols, 1500);
		access_detector_set_false_alarm(d, 0.01);
		size_t seldom = alarms_in_noise(d, other.format->n_ul_data, 100 + n_symbols, 3000);
		assert_in_range(often, 150 / 4, 150 + 2 * 12);
		assert_in_range(seldom, 30 / 6, 30 + 2 * 5);
		access_detector_destroy(d);
	}
	assert_int_equal(alarms_in_noise(detector, 11, 1, 1000), 0);
}

static void silence_is_nobody(void **state)
{
	(void)state;
	silence();
	assert_int_equal(detect(EVERYBODY), 0);
}

static void two_devices_at_once_are_both_found(void **state)
{
	(void)state;
	size_t hits = 0;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct rng r = { seed };
		unsigned a = (unsigned)(seed % 16), b = (a + 1 + (unsigned)(seed / 16) % 15) % 16;
		struct taps to_a = taps_flat(rng_uniform(&r, -4, 12)), to_b = taps_flat(rng_uniform(&r, -4, 12));
		silence();
		add_device(a, 1, &to_a, 100);
		add_device(b, 1, &to_b, -100);
		add_noise(&r, heard, N_SAMPLES, noise_for(0));
		size_t n = detect(EVERYBODY);
		hits += n == 2 && find(n, a) && find(n, b);
	}
	assert_true(hits >= 299);
}

static void a_device_is_found_under_one_20_db_stronger(void **state)
{
	(void)state;
	size_t hits = 0;
	double power = 0, square_delay = 0;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct rng r = { seed };
		unsigned near = (unsigned)(seed % 16), far = (near + 1 + (unsigned)(seed / 16) % 15) % 16;
		struct taps to_near = taps_flat(rng_uniform(&r, -4, access_delay_max(&num)));
		struct taps to_far = taps_flat(rng_uniform(&r, -4, access_delay_max(&num)));
		silence();
		add_device(near, 10, &to_near, 100);
		add_device(far, 1, &to_far, -100);
		add_noise(&r, heard, N_SAMPLES, noise_for(0));
		size_t n = detect(EVERYBODY);
		const struct access_found *f = find(n, far);
		assert_true(n >= 1 && found[0].device == near);
		hits += n == 2 && f;
		square_delay += f ? pow((double)f->delay_samples - to_far.delay_samples[0], 2) / 300 : 0;
		power += f ? (double)f->power / 300 : 0;
	}
	assert_true(hits >= 299);
	assert_true(fabs(10 * log10(power)) < 1);
	assert_true(sqrt(square_delay) < 0.25);
}

static void fading_paths_are_found_as_often_as_their_energy_allows(void **state)
{
	(void)state;
	size_t hits = 0;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct rng r = { seed };
		struct taps t = taps_tdl_a(&r, num.rate_hz, 100e-9, 10, 0);
		silence();
		add_device(7, 1, &t, 0);
		add_noise(&r, heard, N_SAMPLES, noise_for(5));
		hits += detect(1u << 7) == 1;
	}
	assert_true(hits >= 294); /* detection needs -13 dB: an 18 dB fade, 1.6 % for flat Rayleigh, less here */
}

static void only_candidates_are_reported(void **state)
{
	(void)state;
	struct taps t = taps_flat(2);
	silence();
	add_device(7, 1, &t, 0);
	assert_int_equal(detect(EVERYBODY & ~(1u << 7)), 0);
	assert_int_equal(detect(1u << 7), 1);
}

static void sequences_of_another_cell_are_nobody(void **state)
{
	(void)state;
	memset(grid, 0, sizeof grid);
	for (unsigned device = 0; device < 16; device++) {
		access_write(&num, CELL + 1, device, 1, grid);
		assert_int_equal(access_detect(detector, grid, EVERYBODY, found), 0);
	}
}

static void sixteen_at_once_do_not_overflow(void **state)
{
	(void)state;
	struct rng r = { 3 };
	silence();
	for (unsigned device = 0; device < 16; device++) {
		struct taps t = taps_flat(rng_uniform(&r, -4, 12));
		add_device(device, 10, &t, 0);
	}
	size_t n = detect(UINT32_MAX);
	assert_in_range(n, 1, 16);
	for (size_t i = 0; i < n; i++) {
		assert_in_range(found[i].device, 0, 15);
		assert_true(found[i].delay_samples >= -4 && (double)found[i].delay_samples <= access_delay_max(&num));
		assert_true(isfinite(found[i].snr_db) && found[i].power > 0);
	}
}

static void four_at_once_over_20_db_are_found_with_their_delays(void **state)
{
	(void)state;
	size_t hits[4] = { 0 };
	double square = 0;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct rng r = { seed };
		double delay[4];
		silence();
		for (unsigned i = 0; i < 4; i++) {
			struct taps t = taps_flat(delay[i] = rng_uniform(&r, -4, access_delay_max(&num)));
			add_device(3 * i, powf(10, (float)i / 3), &t,
			           rng_uniform(&r, -150, 150)); /* 0, 6.7, 13.3, 20 dB */
		}
		add_noise(&r, heard, N_SAMPLES, noise_for(0));
		size_t n = detect(EVERYBODY);
		for (unsigned i = 0; i < 4; i++) {
			const struct access_found *f = find(n, 3 * i);
			hits[i] += f != NULL;
			square += f ? pow((double)f->delay_samples - delay[i], 2) / 400 : 0;
		}
		assert_true(n <= 4);
	}
	assert_true(hits[1] == 100 && hits[2] == 100 && hits[3] == 100);
	assert_true(hits[0] >= 90); /* under what the others spill into the next symbol at such delays, 8 dB above it */
	assert_true(sqrt(square) < 0.25);
}

/* Every delay in the window, noise 5 dB down, whatever the rate: a resolved delay is a share of the prefix. */
static void every_numerology_measures_delays(void **state)
{
	(void)state;
	static const struct {
		double rate_hz, scs_hz;
		size_t n_rb, n_symbols;
	} shapes[] = { { 1.92e6, 15e3, 6, 14 },
		       { 1.92e6, 15e3, 6, 7 },
		       { 12.5e6, 12.5e6 / 640, 50, 14 },
		       { 30.72e6, 15e3, 100, 14 },
		       { 30.72e6, 60e3, 38, 7 } };
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		struct numerology n;
		struct rng r = { i };
		assert_int_equal(numerology_init(&n, shapes[i].rate_hz, shapes[i].scs_hz, shapes[i].n_rb,
		                                 shapes[i].n_symbols, NULL, 0),
		                 0);
		struct access_detector *d = access_detector_create(&n, CELL);
		float complex *re = calloc(n.n_symbols * n.n_sc, sizeof *re);
		double square = 0;
		for (size_t trial = 0; trial < 50; trial++) {
			double delay = rng_uniform(&r, -(double)numerology_backoff(&n), access_delay_max(&n));
			memset(re, 0, n.n_symbols * n.n_sc * sizeof *re);
			access_write(&n, CELL, 9, 1, re);
			for (size_t k = 0; k < n.n_symbols * n.n_sc; k++)
				re[k] *= (float complex)cexp(-I * 2 * M_PI * numerology_offset(&n, k % n.n_sc) * delay /
				                             (double)n.n_fft);
			add_noise(&r, re, n.n_symbols * n.n_sc, noise_for(5));
			assert_int_equal(access_detect(d, re, EVERYBODY, found), 1);
			square += pow((double)found[0].delay_samples - delay, 2) / 50;
		}
		assert_true(sqrt(square) < 0.01 * (double)n.cp);
		free(re);
		access_detector_destroy(d);
	}
}

static void a_band_narrower_than_twelve_blocks_has_dc_inside_the_preamble(void **state)
{
	(void)state;
	struct numerology narrow;
	assert_int_equal(numerology_init(&narrow, 7.68e6, 30e3, 11, 14, NULL, 0), 0);
	struct access_detector *d = access_detector_create(&narrow, CELL);
	memset(grid, 0, sizeof grid);
	access_write(&narrow, CELL, 2, 1, grid);
	for (size_t i = 0; i < narrow.n_symbols * narrow.n_sc; i++) {
		double cycles = -numerology_offset(&narrow, i % narrow.n_sc) * 5.0 / 256;
		grid[i] *= (float complex)cexp(I * 2 * M_PI * cycles);
	}
	assert_int_equal(access_detect(d, grid, EVERYBODY, found), 1);
	assert_true(fabsf(found[0].delay_samples - 5) < 0.05f);
	access_detector_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_preamble_fills_exactly_its_resource_elements),
		cmocka_unit_test(at_minus_5_db_one_device_is_found_999_times_of_1000),
		cmocka_unit_test(the_delay_is_measured_to_a_fraction_of_a_sample_over_the_whole_window),
		cmocka_unit_test(noise_raises_false_alarms_as_often_as_asked_for_and_no_more),
		cmocka_unit_test(silence_is_nobody),
		cmocka_unit_test(two_devices_at_once_are_both_found),
		cmocka_unit_test(a_device_is_found_under_one_20_db_stronger),
		cmocka_unit_test(fading_paths_are_found_as_often_as_their_energy_allows),
		cmocka_unit_test(only_candidates_are_reported),
		cmocka_unit_test(sequences_of_another_cell_are_nobody),
		cmocka_unit_test(sixteen_at_once_do_not_overflow),
		cmocka_unit_test(four_at_once_over_20_db_are_found_with_their_delays),
		cmocka_unit_test(every_numerology_measures_delays),
		cmocka_unit_test(a_band_narrower_than_twelve_blocks_has_dc_inside_the_preamble),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
