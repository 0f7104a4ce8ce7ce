/* Link tracking: reports and their age, power gain, effective SNR, outer loop. */
#include "scheduler/link.h"

#include "phy/mcs.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { N_RB = 18, RE_PER_RB = 120 };

static struct rate_table table;
static const struct link_config *config(void)
{
	static struct link_config cfg;
	cfg = link_config_default();
	return &cfg;
}

static uint64_t rng_state;

static double uniform(void)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (double)(rng_state >> 11) * 0x1p-53;
}

static struct rb_set all_rbs(void)
{
	struct rb_set s = { { 0, 0 } };
	rb_set_add_range(&s, 0, N_RB);
	return s;
}

/* Planned for long, a fade counts for less, down to the long-term mean; for no time it is the view of the slot. */
static void a_plan_for_long_goes_by_the_mean(void **state)
{
	(void)state;
	struct link l;
	struct link_view now, over;
	float before = INFINITY;
	link_init(&l, config(), N_RB);
	for (uint64_t slot = 0; slot < 5000; slot++)
		link_observe_wideband(&l, slot, slot % 2 ? 12 : 8);
	link_observe_wideband(&l, 5000, 20);
	float mean_db = l.mean_db;
	assert_float_equal(mean_db, 10, 0.1);
	link_view(&l, 5001, &now);
	for (double n = 0; n < 1e6; n = 2 * n + 1) {
		link_view_over(&l, 5001, n, &over);
		assert_true(over.snr_db[0] <= before && over.snr_db[0] >= mean_db);
		assert_true(n > 0 || over.snr_db[0] == now.snr_db[0]);
		before = over.snr_db[0];
	}
	assert_float_equal(before, mean_db, 0.1);
	double memory = link_memory_slots(&l);
	link_view_over(&l, 5001, memory, &over); /* mean of exp(-t) over 0 .. 1 */
	assert_float_equal(over.snr_db[0], mean_db + (20 - mean_db) * (float)(1 - exp(-1)), 1e-3);
}

/* Level of the worst off, shape of the mean: of two mirrored slopes nothing is left. */
static void a_joint_link_is_as_good_as_its_worst(void **state)
{
	(void)state;
	struct link_view up = { .usable = true, .headroom_db = INFINITY }, down = up, joint;
	const struct link_view *both[2] = { &up, &down };
	struct rb_set all = all_rbs();
	for (size_t rb = 0; rb < N_RB; rb++) {
		up.snr_db[rb] = 10 + 0.3f * (float)rb;
		down.snr_db[rb] = 6 - 0.3f * (float)rb;
		up.sd_db[rb] = 1;
	}
	link_view_joint(both, 2, &table, &joint);
	assert_true(joint.usable);
	for (size_t rb = 0; rb < N_RB; rb++) {
		assert_float_equal(joint.snr_db[rb], link_effective_snr_db(&down, &table, &all), 1e-3);
		assert_float_equal(joint.sd_db[rb], 1, 0);
	}
	down.usable = false;
	link_view_joint(both, 2, &table, &joint);
	assert_false(joint.usable);
	link_view_joint(both, 0, &table, &joint);
	assert_false(joint.usable);
}

static void the_table_holds_what_phy_says_of_every_grant(void **state)
{
	(void)state;
	assert_int_equal(table.n_mcs, mcs_count());
	for (size_t m = 0; m < mcs_count(); m++) {
		assert_true(table.snr_db[m] == mcs_get(m)->snr_db);
		assert_int_equal(table.tbs_bytes[m][0], 0);
		for (size_t n = 1; n <= N_RB; n++)
			assert_int_equal(table.tbs_bytes[m][n], mcs_tbs_bytes(mcs_get(m), n * RE_PER_RB));
	}
	struct rate_table t;
	assert_int_equal(rate_table_init(&t, PHY_RB_MAX + 1, RE_PER_RB, 0), -EINVAL);
	assert_int_equal(rate_table_init(&t, N_RB, 0, 0), -EINVAL);
	assert_int_equal(rate_table_init(&t, N_RB, RE_PER_RB, NAN), -EINVAL);
}

static void a_block_never_reported_has_the_wideband_snr(void **state)
{
	(void)state;
	struct link l;
	struct link_view v;
	link_init(&l, config(), N_RB);
	link_view(&l, 7, &v);
	assert_false(v.usable);
	link_observe_wideband(&l, 7, 12.5f);
	link_observe_rb(&l, config(), 8, 3, 6.5f);
	link_view(&l, 8, &v);
	assert_true(v.usable);
	assert_float_equal(v.snr_db[0], 12.5f, 1e-6);
	assert_float_equal(v.snr_db[3], 6.5f, 1e-6);
}

static void an_old_block_report_fades_back_to_the_wideband(void **state)
{
	(void)state;
	struct link l;
	struct link_view v;
	link_init(&l, config(), N_RB);
	link_observe_wideband(&l, 0, 10);
	link_observe_rb(&l, config(), 0, 5, 4);
	link_observe_wideband(&l, 80, 13); /* the level moves, the offset decays by 1/e in `memory` slots */
	link_view(&l, 80, &v);
	assert_float_equal(v.snr_db[5], (float)(13 - 6 * exp(-1)), 1e-4f);
	link_view(&l, 100000, &v);
	assert_float_equal(v.snr_db[5], 13, 1e-4);
}

static double normal(uint64_t *rng)
{
	double sum = -6;
	for (int i = 0; i < 12; i++) {
		*rng = *rng * 6364136223846793005u + 1442695040888963407u;
		sum += (double)(*rng >> 11) * 0x1p-53;
	}
	return sum;
}

/* Blocks that wander by 4 dB with a memory of 200 slots, each measured every 18 slots with half a decibel of noise: the memory is
 * learned, predictions are as far off as they say, and nearer than the last measurement held. */
static void a_wandering_block_is_predicted_with_its_confidence(void **state)
{
	(void)state;
	enum { SLOTS = 40000, MEMORY = 200, LATER = 60 };
	static float x[SLOTS + LATER][N_RB];
	struct link l;
	struct link_view v;
	uint64_t rng = 1;
	double a = exp(-1.0 / MEMORY), square = 0, said = 0, held = 0;
	float last[N_RB] = { 0 };
	size_t n = 0;
	for (int t = 0; t < SLOTS + LATER; t++)
		for (size_t rb = 0; rb < N_RB; rb++)
			x[t][rb] = (float)(t ? a * (double)x[t - 1][rb] + 4 * sqrt(1 - a * a) * normal(&rng)
			                     : 4 * normal(&rng));
	link_init(&l, config(), N_RB);
	for (int t = 0; t < SLOTS; t++) {
		size_t rb = (size_t)t % N_RB;
		link_observe_wideband(&l, (uint64_t)t, 20);
		last[rb] = x[t][rb] + (float)(0.5 * normal(&rng));
		link_observe_rb(&l, config(), (uint64_t)t, rb, 20 + last[rb]);
		if (t < SLOTS / 4 || t % 7)
			continue;
		link_view(&l, (uint64_t)(t + LATER), &v);
		for (size_t k = 0; k < N_RB; k++, n++) {
			square += pow((double)(v.snr_db[k] - 20 - x[t + LATER][k]), 2);
			held += pow((double)(last[k] - x[t + LATER][k]), 2);
			said += pow((double)v.sd_db[k], 2);
		}
	}
	assert_true(link_memory_slots(&l) > 0.7 * MEMORY && link_memory_slots(&l) < 1.4 * MEMORY);
	assert_true(fabs(square / said - 1) < 0.15);
	assert_true(square < 0.95 * held);
	assert_true(n > 0);
}

static void sounding_gives_every_block_at_once(void **state)
{
	(void)state;
	struct link l;
	struct link_view v;
	float snr_db[N_RB];
	for (size_t i = 0; i < N_RB; i++)
		snr_db[i] = (float)i - 3;
	link_init(&l, config(), N_RB);
	assert_int_equal(link_observe_band(&l, config(), 42, snr_db), 0);
	link_view(&l, 42, &v);
	for (size_t i = 0; i < N_RB; i++)
		assert_float_equal(v.snr_db[i], snr_db[i], 1e-5);
	snr_db[4] = NAN; /* refused whole */
	assert_int_equal(link_observe_band(&l, config(), 43, snr_db), -EINVAL);
	assert_int_equal(l.slot_wideband, 42);
	assert_int_equal(l.n_refused, 1);
}

static void absurd_reports_are_refused_or_held_to_the_possible(void **state)
{
	(void)state;
	struct link l;
	struct link_view v;
	link_init(&l, config(), N_RB);
	assert_int_equal(link_observe_wideband(&l, 1, NAN), -EINVAL);
	assert_int_equal(link_observe_wideband(&l, 1, INFINITY), -EINVAL);
	assert_int_equal(link_observe_rb(&l, config(), 1, N_RB, 3), -EINVAL);
	assert_int_equal(link_observe_headroom(&l, -INFINITY), -EINVAL);
	assert_false(l.known);
	assert_int_equal(l.n_refused, 4);
	assert_int_equal(link_observe_wideband(&l, 1, 1e30f), 0);
	link_view(&l, 1, &v);
	assert_float_equal(v.snr_db[0], 60, 1e-6);
}

static void a_capped_device_gains_on_fewer_blocks_what_it_lacks_on_the_full_band(void **state)
{
	(void)state;
	assert_float_equal(link_power_gain_db(3, 2, 18), 0, 0);
	assert_float_equal(link_power_gain_db(INFINITY, 2, 18), 0, 0);
	assert_float_equal(link_power_gain_db(-20, 18, 18), 0, 0);
	assert_float_equal(link_power_gain_db(-20, 9, 18), 3.0103f, 1e-4);
	assert_float_equal(link_power_gain_db(-2, 9, 18), 2, 1e-6);
	/* Against first principles: P_max 20 dBm, 25 dBm asked for: density = min(asked, P_max / n). */
	for (size_t n = 1; n <= 18; n++) {
		double asked_mw = pow(10, 2.5) / 18, max_mw = 100.0;
		double gain = 10 * log10(fmin(asked_mw, max_mw / (double)n) / (max_mw / 18));
		assert_float_equal(link_power_gain_db(-5, n, 18), (float)gain, 1e-4f);
	}
}

static void effective_snr_of_a_flat_set_is_its_snr_and_of_an_uneven_one_lies_below_the_mean(void **state)
{
	(void)state;
	struct link_view v = { .usable = true, .headroom_db = INFINITY };
	struct rb_set all = all_rbs(), none = { { 0, 0 } };
	for (size_t i = 0; i < N_RB; i++)
		v.snr_db[i] = 7.25f;
	assert_float_equal(link_effective_snr_db(&v, &table, &all), 7.25, 1e-4);
	assert_true(link_effective_snr_db(&v, &table, &none) == -INFINITY);
	for (size_t i = 0; i < N_RB; i++)
		v.snr_db[i] = i % 2 ? 12 : 0;
	/* by hand: (log2(2) + log2(1 + 10^1.2)) / 2 = 2.5373 -> 2^2.5373 - 1 = 4.8051 */
	assert_float_equal(link_effective_snr_db(&v, &table, &all), (float)(10 * log10(4.8051)), 2e-3f);
	v.snr_db[0] = NAN; /* unknown carries nothing, and does not spoil the rest */
	assert_true(link_effective_snr_db(&v, &table, &all) < 10 * log10(4.8051));
	assert_true(link_effective_snr_db(&v, &table, &all) > 5);
}

static void relative_rates_have_mean_one_and_follow_capacity(void **state)
{
	(void)state;
	struct link_view v = { .usable = true };
	float relative[N_RB], sum = 0;
	struct rb_set all = all_rbs();
	for (size_t rb = 0; rb < N_RB; rb++)
		v.snr_db[rb] = rb % 2 ? 0 : 10;
	link_relative_rates(&v, &table, &all, relative);
	for (size_t rb = 0; rb < N_RB; rb++)
		sum += relative[rb];
	assert_float_equal(sum, N_RB, 1e-3);
	assert_float_equal(relative[0] / relative[1], log2f(11) / log2f(2), 1e-4);
	v.usable = false;
	link_relative_rates(&v, &table, &all, relative);
	assert_true(relative[0] == 0);
}

static void the_mcs_is_the_highest_whose_threshold_is_reached(void **state)
{
	(void)state;
	for (size_t m = 0; m < table.n_mcs; m++) {
		assert_int_equal(link_mcs(&table, table.snr_db[m] + 0.01f), m);
		assert_int_equal(link_mcs(&table, table.snr_db[m] - 0.01f), m ? m - 1 : 0);
	}
	assert_int_equal(link_mcs(&table, -INFINITY), 0);
}

/* 2 bit/s/Hz on 80 % of the resource elements are 2.5: 4.77 and 6.68 dB at capacity. */
static void with_fewer_resource_elements_thresholds_rise_as_capacity_does(void **state)
{
	(void)state;
	struct rate_table less;
	assert_int_equal(rate_table_shrink(&table, 0, &less), -EINVAL);
	assert_int_equal(rate_table_shrink(&table, 1.01, &less), -EINVAL);
	assert_int_equal(rate_table_shrink(&table, 1, &less), 0);
	assert_int_equal(less.n_mcs, table.n_mcs);
	for (size_t m = 0; m < table.n_mcs; m++)
		assert_float_equal(less.snr_db[m], table.snr_db[m], 1e-5);
	assert_int_equal(rate_table_shrink(&table, 0.8, &less), 0);
	assert_true(less.n_mcs < table.n_mcs);
	assert_true((double)mcs_get(less.n_mcs)->rate / 0.8 > 0.95);
	for (size_t m = 0; m < less.n_mcs; m++) {
		double bits = (double)mcs_get(m)->bits * (double)mcs_get(m)->rate;
		double rise = 10 * log10((exp2(bits / 0.8) - 1) / (exp2(bits) - 1));
		assert_float_equal(less.snr_db[m] - table.snr_db[m], rise, 1e-4);
		assert_memory_equal(less.tbs_bytes[m], table.tbs_bytes[m], sizeof table.tbs_bytes[m]);
	}
}

static void rates_never_fall_with_more_blocks_even_for_a_device_short_of_power(void **state)
{
	(void)state;
	struct rb_set all = all_rbs();
	for (float snr_db = -12; snr_db < 30; snr_db += 0.5f) {
		struct link_view v = { .usable = true, .headroom_db = -13 };
		for (size_t i = 0; i < N_RB; i++)
			v.snr_db[i] = snr_db;
		float rate[PHY_RB_MAX + 1];
		link_rates(&v, &table, &all, rate);
		for (size_t n = 1; n <= N_RB; n++)
			assert_true(rate[n] >= rate[n - 1]);
		/* two blocks get 10 log10(18 / 2) = 9.54 dB more than all eighteen */
		assert_true(rate[2] >= (float)table.tbs_bytes[link_mcs(&table, snr_db + 9.5f)][2]);
		v.usable = false;
		link_rates(&v, &table, &all, rate);
		assert_true(rate[N_RB] == 0);
	}
}

/* A waterfall: 10 % at the threshold, a decade for 1.5 dB. `bias_db`: how much worse the true channel is than what is
 * reported. */
static double waterfall(double snr_db, double threshold_db)
{
	return fmin(1, 0.1 * pow(10, (threshold_db - snr_db) / 1.5));
}

static void the_outer_loop_settles_at_the_target_whatever_the_reports_hide(void **state)
{
	(void)state;
	const double biases_db[] = { -2, 0, 3, 6 };
	for (size_t b = 0; b < sizeof biases_db / sizeof biases_db[0]; b++) {
		struct link l;
		link_init(&l, config(), N_RB);
		rng_state = 1;
		size_t n = 0, lost_after = 0;
		for (uint64_t slot = 0; slot < 40000; slot++) {
			double true_db = 9 + 4 * sin((double)slot / 300.0);
			link_observe_wideband(&l, slot, (float)(true_db + biases_db[b]));
			struct link_view v;
			link_view(&l, slot, &v);
			size_t mcs = link_mcs(&table, v.snr_db[0]);
			bool received = uniform() >= waterfall(true_db, table.snr_db[mcs]);
			link_observe_block(&l, config(), mcs, true, received);
			if (slot >= 2000) {
				n++;
				lost_after += !received;
			}
		}
		assert_true(fabs((double)lost_after / (double)n - 0.1) < 0.01);
		assert_int_equal(l.n_first, 40000);
		assert_true(fabs(l.bler - 0.1) < 0.12);
	}
}

static void easy_blocks_never_raise_the_offset_above_zero(void **state)
{
	(void)state;
	struct link l;
	link_init(&l, config(), N_RB);
	for (int i = 0; i < 1000; i++)
		link_observe_block(&l, config(), 5, false, true);
	assert_float_equal(l.olla_db, 0, 0);
	link_observe_block(&l, config(), 5, false, false);
	assert_float_equal(l.olla_db, -0.3, 1e-6);
	for (int i = 0; i < 1000; i++)
		link_observe_block(&l, config(), 5, false, true);
	assert_float_equal(l.olla_db, 0, 0);
}

static void the_offset_stays_inside_its_clamps_and_mcs_0_does_not_lower_it(void **state)
{
	(void)state;
	struct link l;
	link_init(&l, config(), N_RB);
	for (int i = 0; i < 1000; i++)
		link_observe_block(&l, config(), 0, true, false);
	assert_float_equal(l.olla_db, 0, 0);
	for (int i = 0; i < 1000; i++)
		link_observe_block(&l, config(), 3, true, false);
	assert_float_equal(l.olla_db, -10, 1e-6);
	for (int i = 0; i < 10000; i++)
		link_observe_block(&l, config(), 3, true, true);
	assert_float_equal(l.olla_db, 4, 1e-6);
	link_observe_wideband(&l, 1, 3);
	link_forget(&l);
	assert_false(l.known);
	assert_float_equal(l.olla_db, 4, 1e-6);
}

static int make_table(void **state)
{
	(void)state;
	return rate_table_init(&table, N_RB, RE_PER_RB, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_holds_what_phy_says_of_every_grant),
		cmocka_unit_test(a_plan_for_long_goes_by_the_mean),
		cmocka_unit_test(a_joint_link_is_as_good_as_its_worst),
		cmocka_unit_test(a_block_never_reported_has_the_wideband_snr),
		cmocka_unit_test(an_old_block_report_fades_back_to_the_wideband),
		cmocka_unit_test(a_wandering_block_is_predicted_with_its_confidence),
		cmocka_unit_test(sounding_gives_every_block_at_once),
		cmocka_unit_test(absurd_reports_are_refused_or_held_to_the_possible),
		cmocka_unit_test(a_capped_device_gains_on_fewer_blocks_what_it_lacks_on_the_full_band),
		cmocka_unit_test(effective_snr_of_a_flat_set_is_its_snr_and_of_an_uneven_one_lies_below_the_mean),
		cmocka_unit_test(relative_rates_have_mean_one_and_follow_capacity),
		cmocka_unit_test(the_mcs_is_the_highest_whose_threshold_is_reached),
		cmocka_unit_test(with_fewer_resource_elements_thresholds_rise_as_capacity_does),
		cmocka_unit_test(rates_never_fall_with_more_blocks_even_for_a_device_short_of_power),
		cmocka_unit_test(the_outer_loop_settles_at_the_target_whatever_the_reports_hide),
		cmocka_unit_test(easy_blocks_never_raise_the_offset_above_zero),
		cmocka_unit_test(the_offset_stays_inside_its_clamps_and_mcs_0_does_not_lower_it),
	};
	return cmocka_run_group_tests(tests, make_table, NULL);
}
