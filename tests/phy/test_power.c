/* Power: amplitudes against the mean power of samples, and the open loop against its definition. */
#include "phy/dci.h"
#include "phy/ofdm.h"
#include "phy/power.h"
#include "tests/phy/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct numerology num;

static int setup(void **state)
{
	(void)state;
	char err[128];
	return numerology_init(&num, 7.68e6, 30e3, 18, 14, err, sizeof err);
}

static double mean_dbfs(const float complex *x, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += creal(x[i] * conj(x[i])) / (double)n;
	return 10 * log10(sum);
}

/* 216 REs of -10 dBm are 13.3 dBm; with full scale at 23 dBm that is -9.7 dBFS. */
static void a_full_symbol_has_the_power_of_all_its_re(void **state)
{
	(void)state;
	struct rng rng = { 1 };
	float a = power_re_amplitude(-10, 23, num.n_fft);
	float complex *grid = calloc(num.n_sc * num.n_symbols, sizeof *grid), *x = calloc(num.slot_len, sizeof *x);
	for (size_t i = 0; i < num.n_sc * num.n_symbols; i++)
		grid[i] = a * (float complex)cexp(2 * M_PI * I * rng_uniform(&rng));
	struct ofdm *o = ofdm_create(&num, 0);
	ofdm_modulate(o, grid, x);
	assert_near(mean_dbfs(x, num.slot_len), -10 + 10 * log10(216) - 23, 0.1);
	ofdm_destroy(o);
	free(x);
	free(grid);
	assert_near(power_re_dbm(a * a, 23, num.n_fft), -10, 1e-4);
}

static void rsrp_has_the_noise_taken_off(void **state)
{
	(void)state;
	struct csi csi = { .valid = true, .noise_var = 1e-6f, .snr_mean_db = 3 };
	assert_near(power_rsrp_dbm(&csi, 0, 256), -60 + 3 - 10 * log10(256), 1e-3);
	csi.valid = false;
	assert_true(isinf(power_rsrp_dbm(&csi, 0, 256)));
}

static void near_devices_reach_the_target_and_far_ones_the_cap(void **state)
{
	(void)state;
	struct ul_power p = { .target_re_dbm = -110, .path_loss_db = 80, .max_dbm = 23, .n_rb = 18 };
	assert_near(ul_power_data_re_dbm(&p, 18), -30, 1e-4);
	assert_near(ul_power_data_re_dbm(&p, 1), -30, 1e-4);
	p.path_loss_db = 112; /* the target asks for 2 dBm a RE; 23 dBm over 216 RE are -0.3 dBm */
	assert_near(ul_power_data_re_dbm(&p, 18), 23 - 10 * log10(216), 1e-4);
	assert_near(ul_power_data_re_dbm(&p, 4), 2, 1e-4);
	assert_near(ul_power_headroom_db(&p), 23 - 10 * log10(216) - 2, 1e-4);
}

static void the_comb_has_its_boost_as_long_as_there_is_power(void **state)
{
	(void)state;
	struct ul_power p = { .target_re_dbm = -110, .path_loss_db = 80, .max_dbm = 23, .n_rb = 18 };
	for (p.comb_boost = 0; p.comb_boost <= DCI_BOOST_MAX; p.comb_boost++)
		assert_near(ul_power_comb_re_dbm(&p), -30 + 10 * log10(1 << p.comb_boost), 1e-3);
	p.comb_boost = 0;
	p.path_loss_db =
	        118; /* data are 8.3 dB short of the target over the full band, 27 comb REs have 0.7 dB to spare */
	assert_near(ul_power_data_re_dbm(&p, 18), 23 - 10 * log10(216), 1e-4);
	assert_near(ul_power_comb_re_dbm(&p), 8, 1e-4);
}

/* Control needs 1.7 dB, 1 dB below the weakest data (-3.2 dB) too; and boosted pilots pay. */
static void the_boost_falls_with_the_target_and_leaves_control_its_share(void **state)
{
	(void)state;
	uint8_t last = DCI_BOOST_MAX;
	assert_int_equal(ul_comb_boost_for(-4.6f, 18), DCI_BOOST_MAX);
	for (float target_db = -4.6f; target_db < 50; target_db += 0.1f) {
		uint8_t boost = ul_comb_boost_for(target_db, 18);
		double comb_db = (double)target_db + 10 * log10(1 << boost);
		double charge_db = 10 * log10((11 + 3.0 / 8 * (1 << boost)) / (11 + 3.0 / 8));
		assert_true(boost <= last);
		assert_true(comb_db > 3.4);
		assert_true(target_db < 0.5f || charge_db < 0.15);
		last = boost;
		double narrow_db = (double)target_db + 10 * log10(1 << ul_comb_boost_for(target_db, 6));
		assert_true(target_db < 2.9f || narrow_db > 11.9); /* 10.2 dB are needed */
	}
	assert_int_equal(last, 0);
}

/* What the base station takes from the comb for the full band's SNR, its boost off, is the full band's. */
static void the_full_band_of_a_device_short_of_power_is_told_from_its_comb(void **state)
{
	(void)state;
	for (float loss_db = 60; loss_db < 140; loss_db += 3) {
		struct ul_power p = { .target_re_dbm = -100, .path_loss_db = loss_db, .max_dbm = 20, .n_rb = 18 };
		for (p.comb_boost = 0; p.comb_boost <= DCI_BOOST_MAX; p.comb_boost++) {
			double told_db = (double)ul_power_comb_re_dbm(&p) - 10 * log10(1 << p.comb_boost);
			double excess_db = (double)ul_comb_excess_db(ul_power_headroom_db(&p), p.comb_boost);
			assert_near(told_db - excess_db, ul_power_data_re_dbm(&p, 18), 1e-3);
		}
	}
}

/* 27 comb REs 9 dB above the full-band data RE are as much power as 216 of those. */
static void no_symbol_exceeds_the_maximum_power(void **state)
{
	(void)state;
	for (float loss_db = 60; loss_db < 140; loss_db += 7) {
		struct ul_power p = { .target_re_dbm = -100, .path_loss_db = loss_db, .max_dbm = 20, .n_rb = 18 };
		p.comb_boost = DCI_BOOST_MAX;
		for (size_t n = 1; n <= 18; n++)
			assert_true((double)ul_power_data_re_dbm(&p, n) + 10 * log10(12.0 * (double)n) < 20 + 1e-3);
		assert_true((double)ul_power_comb_re_dbm(&p) + 10 * log10(27) < 20 + 1e-3);
		p.n_rb = 9; /* combs of 14 and 13 RE */
		assert_true((double)ul_power_comb_re_dbm(&p) + 10 * log10(14) < 20 + 1e-3);
		assert_true(ul_power_comb_re_dbm(&p) > ul_power_data_re_dbm(&p, 9) + 8.87f);
	}
}

static void the_base_station_predicts_what_fewer_rbs_gain(void **state)
{
	(void)state;
	for (float loss_db = 60; loss_db < 140; loss_db += 3) {
		struct ul_power p = { .target_re_dbm = -100, .path_loss_db = loss_db, .max_dbm = 20, .n_rb = 18 };
		float full = ul_power_data_re_dbm(&p, 18);
		for (size_t n = 1; n <= 18; n++)
			assert_near(ul_snr_for_rbs(10, ul_power_headroom_db(&p), n, 18),
			            10 + ul_power_data_re_dbm(&p, n) - full, 1e-3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_symbol_has_the_power_of_all_its_re),
		cmocka_unit_test(rsrp_has_the_noise_taken_off),
		cmocka_unit_test(near_devices_reach_the_target_and_far_ones_the_cap),
		cmocka_unit_test(the_comb_has_its_boost_as_long_as_there_is_power),
		cmocka_unit_test(the_boost_falls_with_the_target_and_leaves_control_its_share),
		cmocka_unit_test(the_full_band_of_a_device_short_of_power_is_told_from_its_comb),
		cmocka_unit_test(no_symbol_exceeds_the_maximum_power),
		cmocka_unit_test(the_base_station_predicts_what_fewer_rbs_gain),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
