/* Links and their error rates: SNR means what it says, results do not depend on threads, repeats help, and crossings are
 * where they are. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "phy/power.h"
#include "testbed/phy_sweep.h"

#define assert_near(x, y, tolerance) assert_true(fabs((x) - (y)) <= (tolerance))

enum { QPSK = 2 };

static struct phy_link_config still(void)
{
	char why[128];
	struct phy_link_config c = { .n_devices = 1,
		                     .profile = tdl_find("none"),
		                     .carrier_hz = 3.5e9,
		                     .clock_ppm = 1,
		                     .n_tx = 1,
		                     .n_warmup = 10,
		                     .n_slots = 10,
		                     .timing_advance = true,
		                     .comb_boost = -1,
		                     .rms_dbfs = -40 };
	assert_int_equal(numerology_init(&c.num, 7.68e6, 30e3, 18, 14, why, sizeof why), 0);
	return c;
}

static struct phy_link_config fading(void)
{
	struct phy_link_config c = still();
	c.profile = tdl_find("tdl-a");
	c.delay_spread_s = 100e-9;
	c.doppler_hz = 10;
	return c;
}

static struct phy_point measure(const struct phy_link_config *c, const struct phy_request *r, size_t n_threads)
{
	char err[256];
	struct phy_point p;
	struct phy_sweep *s = phy_sweep_create(c, n_threads, err, sizeof err);
	assert_non_null(s);
	assert_int_equal(phy_sweep_point(s, r, &p), 0);
	phy_sweep_destroy(s);
	return p;
}

static double evm_db(const struct phy_point *p)
{
	return p->sum.evm_db / (double)p->sum.decoded;
}

/* All REs of a downlink slot but the sync signal have the same energy, so equalised symbols are as far off as the noise
 * says; every tenth slot's symbol of the sync sequence has its energy in fewer REs. */
static void snr_is_that_of_a_used_resource_element(void **state)
{
	(void)state;
	struct phy_link_config c = still();
	c.known = true;
	struct phy_request r = { .mcs = QPSK, .snr_db = 12, .seed = 1, .trials = 60 };
	struct phy_point p = measure(&c, &r, 1);
	assert_near(evm_db(&p), -12, 0.15);
	assert_int_equal(p.sum.failed[0], 0);

	/* Uplink: 11 symbols of 216 REs at 1, three of 27 at the boost: 8 puts data REs 0.90 dB below the mean. */
	static const double below_db[] = { 0, 0.14, 0.41, 0.90 };
	c.uplink = true;
	for (c.comb_boost = 0; c.comb_boost <= DCI_BOOST_MAX; c.comb_boost++) {
		p = measure(&c, &r, 1);
		assert_near(evm_db(&p), -12 + below_db[c.comb_boost], 0.1);
	}
	/* By itself as the SNR asks. */
	c.comb_boost = -1;
	p = measure(&c, &r, 1);
	assert_near(evm_db(&p), -12 + below_db[ul_comb_boost_for(12, 18)], 0.1);
	r.snr_db = 9;
	p = measure(&c, &r, 1);
	assert_near(evm_db(&p), -9 + below_db[ul_comb_boost_for(9, 18)], 0.1);
}

/* Fading has a mean of one: over many channels the mean power is what was asked for. */
static void snr_is_an_average_over_fading(void **state)
{
	(void)state;
	struct phy_link_config c = fading();
	c.n_slots = 2;
	struct phy_request r = { .mcs = QPSK, .snr_db = 20, .seed = 1, .trials = 300 };
	struct phy_point p = measure(&c, &r, 1);
	double n = (double)(p.sum.slots * c.num.n_sc), amplitude2 = 1e-4 * 256 / 216;
	assert_true(p.n_runs >= 150);
	/* 150 channels of half a dozen strong taps: a deviation of 4 % */
	assert_near(p.sum.csi_power / n / amplitude2, 1, 0.12);
	assert_int_equal(p.sum.wrong, 0);
}

static void the_result_does_not_depend_on_the_number_of_threads(void **state)
{
	(void)state;
	const struct phy_link_config configs[] = { still(), fading() };
	for (size_t i = 0; i < 4; i++) {
		struct phy_link_config c = configs[i % 2];
		c.uplink = i / 2;
		struct phy_request r = { .mcs = QPSK, .snr_db = -1, .seed = 5, .trials = 100 };
		struct phy_point one = measure(&c, &r, 1), three = measure(&c, &r, 3);
		assert_memory_equal(&one, &three, sizeof one);
		assert_true(one.sum.blocks >= 100);
	}
}

static void another_seed_is_another_result(void **state)
{
	(void)state;
	struct phy_link_config c = still();
	struct phy_request r = { .mcs = QPSK, .snr_db = 0, .seed = 5, .trials = 60 }, other = r;
	other.seed = 6;
	struct phy_point a = measure(&c, &r, 1), b = measure(&c, &other, 1);
	assert_true(a.sum.csi_error != b.sum.csi_error);
}

static void what_is_sent_again_is_lost_less_often(void **state)
{
	(void)state;
	struct phy_link_config c = still();
	c.n_tx = 2;
	struct phy_request r = { .mcs = QPSK, .snr_db = -2.8, .seed = 1, .trials = 60 };
	struct phy_point p = measure(&c, &r, 1);
	assert_int_equal(p.sum.failed[0], p.sum.blocks); /* one transmission: 2 dB too few */
	assert_true(p.sum.failed[1] < p.sum.blocks / 10);
	assert_int_equal(p.sum.lost, p.sum.failed[1]);
	assert_int_equal(p.sum.wrong, 0);
}

static void every_device_counts_for_itself(void **state)
{
	(void)state;
	struct phy_link_config c = still();
	c.uplink = true;
	c.n_devices = 3;
	c.power_spread_db = 12;
	c.delay_spread_cp = 0.5;
	struct phy_request r = { .mcs = QPSK, .snr_db = -6, .seed = 1, .trials = 60 };
	struct phy_point p = measure(&c, &r, 1);
	assert_int_equal(p.device[0].failed[0], p.device[0].blocks); /* -6 dB */
	assert_int_equal(p.device[2].failed[0], 0);                  /* +6 dB */
	assert_int_equal(p.sum.blocks, p.device[0].blocks + p.device[1].blocks + p.device[2].blocks);
	assert_true(p.device[0].blocks < p.device[1].blocks); /* its RBs are those of access preambles */
}

static void no_sync_is_all_errors(void **state)
{
	(void)state;
	struct phy_link_config c = still();
	struct phy_request r = { .mcs = QPSK, .snr_db = -25, .seed = 1, .trials = 60 };
	struct phy_point p = measure(&c, &r, 1);
	assert_int_equal(p.sum.failed[0], p.sum.blocks);
	assert_int_equal(p.sum.unsynced, p.n_runs);
}

/* From 6 RBs (4 CCEs) to 12 (8), through 6 and 7 CCEs: there is room for system information and a grant, so cell and blocks are found. */
static void narrow_bands_are_followed_too(void **state)
{
	(void)state;
	static const size_t n_rb[] = { 6, 9, 11, 12 };
	for (size_t i = 0; i < sizeof n_rb / sizeof n_rb[0]; i++) {
		char why[128];
		struct phy_link_config c = still();
		assert_int_equal(numerology_init(&c.num, 3.84e6, 15e3, n_rb[i], 14, why, sizeof why), 0);
		c.n_warmup = 70; /* as many slots as it takes to be lost without system information */
		struct phy_request r = { .mcs = QPSK, .snr_db = 15, .seed = 1, .trials = 10 };
		struct phy_point p = measure(&c, &r, 1);
		assert_int_equal(p.sum.unsynced, 0);
		assert_int_equal(p.sum.failed[0], 0);
	}
}

static void a_straight_line_crosses_where_it_must(void **state)
{
	(void)state;
	const double snr[] = { 0, 1, 2, 3 }, rate[] = { 1, 0.5, 0.005, 0 }, blocks[] = { 1e3, 1e3, 1e3, 1e3 };
	/* log(0.5) to log(0.005): 0.05 is half way */
	assert_near(phy_sweep_crossing(snr, rate, blocks, 4, 0.05), 1.5, 1e-9);
	/* no error counts as half a one: 0.005 to 0.0005 */
	assert_near(phy_sweep_crossing(snr, rate, blocks, 4, 0.0005 * sqrt(10)), 2.5, 1e-9);
	assert_true(isnan(phy_sweep_crossing(snr, rate, blocks, 2, 0.05)));
	assert_near(phy_shannon_db(1), 0, 1e-12);
	assert_near(phy_shannon_db(log2(1 + 100)), 20, 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snr_is_that_of_a_used_resource_element),
		cmocka_unit_test(snr_is_an_average_over_fading),
		cmocka_unit_test(the_result_does_not_depend_on_the_number_of_threads),
		cmocka_unit_test(another_seed_is_another_result),
		cmocka_unit_test(what_is_sent_again_is_lost_less_often),
		cmocka_unit_test(every_device_counts_for_itself),
		cmocka_unit_test(no_sync_is_all_errors),
		cmocka_unit_test(narrow_bands_are_followed_too),
		cmocka_unit_test(a_straight_line_crosses_where_it_must),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
