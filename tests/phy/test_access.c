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

static void at_minus_3_db_one_device_is_found_999_times_of_1000(void **state)
{
	(void)state;
	size_t hits = 0, others = 0;
	double square_delay = 0, snr_db = 0, power = 0;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct rng r = { seed };
		unsigned device = (unsigned)(seed % 16);
		struct taps t = taps_flat(rng_uniform(&r, -4, 14));
		silence();
		add_device(device, 1, &t, rng_uniform(&r, -150, 150));
		add_noise(&r, heard, N_SAMPLES, noise_for(-3));
		size_t n = detect(EVERYBODY);
		const struct access_found *f = find(n, device);
		others += n - (f != NULL);
		if (!f)
			continue;
		hits++;
		square_delay += pow((double)f->delay_samples - t.delay_samples[0], 2);
		snr_db += (double)f->snr_db;
		power += (double)f->power;
	}
	assert_true(hits >= 1998);
	assert_true(others <= 2); /* 30000 chances of 1e-5: expected 0.3 */
	assert_true(sqrt(square_delay / (double)hits) < 0.25);
	assert_true(fabs(snr_db / (double)hits + 3) < 0.3);
	assert_true(fabs(power / (double)hits - 1) < 0.05);
}

static void noise_raises_a_false_alarm_in_fewer_than_1e5_slots_a_device(void **state)
{
	(void)state;
	struct rng r = { 1 };
	size_t alarms = 0;
	for (size_t slot = 0; slot < 20000; slot++) { /* 320000 chances */
		for (size_t l = 0; l < num.format->n_ul_data; l++)
			for (size_t k = 0; k < ACCESS_SC; k++)
				grid[l * num.n_sc + k] = rng_normal(&r);
		alarms += access_detect(detector, grid, EVERYBODY, found);
	}
	assert_true(alarms <= 3); /* 3.2 would be 1e-5 */
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
		struct taps to_a = taps_flat(rng_uniform(&r, -4, 14)), to_b = taps_flat(rng_uniform(&r, -4, 14));
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
	double power = 0;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct rng r = { seed };
		unsigned near = (unsigned)(seed % 16), far = (near + 1 + (unsigned)(seed / 16) % 15) % 16;
		struct taps to_near = taps_flat(rng_uniform(&r, -4, 14)), to_far = taps_flat(rng_uniform(&r, -4, 14));
		silence();
		add_device(near, 10, &to_near, 100);
		add_device(far, 1, &to_far, -100);
		add_noise(&r, heard, N_SAMPLES, noise_for(0));
		size_t n = detect(EVERYBODY);
		const struct access_found *f = find(n, far);
		assert_true(n >= 1 && found[0].device == near);
		hits += n == 2 && f;
		power += f ? (double)f->power / 300 : 0;
	}
	assert_true(hits >= 299);
	assert_true(fabs(10 * log10(power)) < 1);
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
		struct taps t = taps_flat(rng_uniform(&r, -4, 14));
		add_device(device, 10, &t, 0);
	}
	size_t n = detect(UINT32_MAX);
	assert_in_range(n, 1, 16);
	for (size_t i = 0; i < n; i++) {
		assert_in_range(found[i].device, 0, 15);
		assert_true(found[i].delay_samples >= -4 && found[i].delay_samples <= 14);
		assert_true(isfinite(found[i].snr_db) && found[i].power > 0);
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
		cmocka_unit_test(at_minus_3_db_one_device_is_found_999_times_of_1000),
		cmocka_unit_test(noise_raises_a_false_alarm_in_fewer_than_1e5_slots_a_device),
		cmocka_unit_test(silence_is_nobody),
		cmocka_unit_test(two_devices_at_once_are_both_found),
		cmocka_unit_test(a_device_is_found_under_one_20_db_stronger),
		cmocka_unit_test(fading_paths_are_found_as_often_as_their_energy_allows),
		cmocka_unit_test(only_candidates_are_reported),
		cmocka_unit_test(sequences_of_another_cell_are_nobody),
		cmocka_unit_test(sixteen_at_once_do_not_overflow),
		cmocka_unit_test(a_band_narrower_than_twelve_blocks_has_dc_inside_the_preamble),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
