#include "testbed/phy_search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

static struct config config;
static struct numerology num;
static struct layout *layout;

static int set_up(void **state)
{
	(void)state;
	if (config_load(&config, NULL, NULL, 0, NULL, 0) ||
	    numerology_init(&num, config.radio.rate_hz, config.radio.scs_hz, (size_t)config.radio.n_rb, 14, NULL, 0))
		return -1;
	config.channel.model = "none";
	layout = layout_create(&num, NULL, 0);
	return layout ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	layout_destroy(layout);
	return 0;
}

static struct phy_search_params params(void)
{
	return (struct phy_search_params){ .config = &config, .layout = layout, .distance_m = 100, .periods_max = 40 };
}

static struct phy_search_outcome trial(const struct phy_search_params *p, double snr_db, uint64_t seed)
{
	struct phy_search_outcome o;
	struct phy_search *s = phy_search_create(p);
	assert_non_null(s);
	assert_int_equal(phy_search_trial(s, snr_db, seed, &o, NULL, 0), 0);
	phy_search_destroy(s);
	return o;
}

static void a_trial_is_a_function_of_its_seed_whatever_was_before(void **state)
{
	(void)state;
	struct phy_search_params p = params();
	p.cfo_hz = 75000;
	struct phy_search *s = phy_search_create(&p);
	struct phy_search_outcome o, again;
	for (uint64_t seed = 1; seed < 4; seed++)
		assert_int_equal(phy_search_trial(s, 0, seed, &o, NULL, 0), 0);
	phy_search_destroy(s);
	again = trial(&p, 0, 3);
	assert_true(o.found && again.found);
	assert_true(o.cfo_hz == again.cfo_hz && o.timing_samples == again.timing_samples && o.time_s == again.time_s);
}

static void carrier_and_clock_off_by_21_ppm_either_way_are_found_at_minus_3_db(void **state)
{
	(void)state;
	struct phy_search_params p = params();
	p.cfo_hz = 75000;
	p.fixed = true;
	for (uint64_t seed = 0; seed < 6; seed++) {
		struct phy_search_outcome o = trial(&p, -3, seed);
		assert_true(o.found && o.time_s <= 0.02);
		assert_int_equal(o.n_wrong, 0);
		assert_true(fabs(o.cfo_hz) < 100 && fabs(o.timing_samples) < 0.5);
	}
}

static void a_cell_whose_clock_is_20_ppm_off_is_followed_without_a_lost_slot(void **state)
{
	(void)state;
	struct phy_search_params p = params();
	p.cfo_hz = 70000;
	p.fixed = true;
	p.follow_s = 0.5; /* 77 samples of drift */
	for (uint64_t seed = 0; seed < 2; seed++) {
		struct phy_search_outcome o = trial(&p, 15, seed);
		assert_true(o.found && !o.sync_lost);
		assert_int_equal(o.slots, 1000);
		assert_int_equal(o.slots_lost, 0);
		assert_true(o.follow_timing_samples < 0.3 && fabs(o.follow_clock_ppm) < 0.01);
	}
}

static void a_signal_far_below_the_noise_is_not_found_and_not_mistaken(void **state)
{
	(void)state;
	struct phy_search_params p = params();
	struct phy_search_outcome o = trial(&p, -30, 1);
	assert_true(!o.found && isnan(o.time_s) && o.n_wrong == 0);
	p.uplink = true;
	o = trial(&p, -40, 1);
	assert_true(!o.found && o.n_quiet == 0 && o.n_others == 0);
	o = trial(&p, 0, 1);
	assert_true(o.found && fabs(o.timing_samples) < 0.5);
}

static void noise_is_counted_and_nobody(void **state)
{
	(void)state;
	for (int uplink = 0; uplink < 2; uplink++) {
		struct phy_search_params p = params();
		struct phy_search_noise n = { 0 };
		p.uplink = uplink;
		struct phy_search *s = phy_search_create(&p);
		phy_search_noise(s, 1, 300, &n);
		phy_search_noise(s, 2, 200, &n);
		assert_int_equal(n.slots, 500);
		assert_int_equal(n.alarms, 0);
		assert_in_range(n.periods, uplink ? 0 : 47, uplink ? 0 : 49);
		phy_search_destroy(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trial_is_a_function_of_its_seed_whatever_was_before),
		cmocka_unit_test(carrier_and_clock_off_by_21_ppm_either_way_are_found_at_minus_3_db),
		cmocka_unit_test(a_cell_whose_clock_is_20_ppm_off_is_followed_without_a_lost_slot),
		cmocka_unit_test(a_signal_far_below_the_noise_is_not_found_and_not_mistaken),
		cmocka_unit_test(noise_is_counted_and_nobody),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
