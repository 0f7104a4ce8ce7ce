/* The slot layout against the tables of notes/phy.md, counted out independently, for several bandwidths. */
#include "phy/layout.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	double rate_hz, scs_hz;
	size_t n_rb;
} bands[] = { { 7.68e6, 30e3, 18 }, { 7.68e6, 15e3, 41 }, { 30.72e6, 15e3, 110 } };

static struct numerology num;

static struct layout *make(size_t i)
{
	char err[128];
	if (numerology_init(&num, bands[i].rate_hz, bands[i].scs_hz, bands[i].n_rb, 14, err, sizeof err))
		return NULL;
	return layout_create(&num, err, sizeof err);
}

static void every_control_re_but_the_remainder_belongs_to_one_cce(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct layout *l = make(i);
		assert_non_null(l);
		static uint8_t seen[LAYOUT_RE_MAX];
		memset(seen, 0, sizeof seen);
		assert_int_equal(layout_n_cce(l), 3 * num.n_sc / 54);
		for (size_t cce = 0; cce < layout_n_cce(l); cce++)
			for (size_t j = 0; j < LAYOUT_CCE_RE; j++) {
				uint32_t re = layout_cce(l, cce)[j];
				assert_true(re < 3 * num.n_sc);
				assert_int_equal(seen[re]++, 0);
			}
		layout_destroy(l);
	}
}

static void a_cce_is_spread_over_the_whole_band(void **state)
{
	(void)state;
	struct layout *l = make(0);
	for (size_t cce = 0; cce < 12; cce++) {
		uint8_t per_rb[18] = { 0 };
		for (size_t j = 0; j < LAYOUT_CCE_RE; j++)
			per_rb[layout_cce(l, cce)[j] % num.n_sc / 12]++;
		for (size_t rb = 0; rb < 18; rb++)
			assert_int_equal(per_rb[rb], 3);
	}
	layout_destroy(l);
}

/* Downlink: 11 symbols, pilots k % 3 == 0 in symbols 3 and 11, symbol 7 of sync slots left out. */
static void downlink_data_skip_pilots_and_sync_and_come_in_order(void **state)
{
	(void)state;
	struct layout *l = make(0);
	static uint32_t re[LAYOUT_RE_MAX];
	struct rb_set rbs = { { 0 } };
	rb_set_add(&rbs, 2);
	rb_set_add_range(&rbs, 9, 4);
	for (uint64_t slot = 19; slot < 22; slot++) {
		size_t n = layout_dl_data(l, slot, &rbs, re), expected = 0;
		for (size_t symbol = 3; symbol < 14; symbol++)
			for (size_t k = 0; k < num.n_sc; k++) {
				bool mine = rb_set_has(&rbs, k / 12),
				     pilot = (symbol == 3 || symbol == 11) && k % 3 == 0;
				if (!mine || pilot || (symbol == 7 && slot == 20))
					continue;
				assert_true(expected < n);
				assert_int_equal(re[expected], symbol * num.n_sc + k);
				expected++;
			}
		assert_int_equal(n, expected);
		assert_int_equal(layout_dl_data(l, slot, &rbs, NULL), n);
	}
	layout_destroy(l);
}

static void an_rb_holds_124_downlink_and_120_uplink_data_re(void **state)
{
	(void)state;
	struct layout *l = make(0);
	struct rb_set rb = { { 1 } };
	assert_int_equal(layout_dl_data(l, 1, &rb, NULL), 124);
	assert_int_equal(layout_dl_data(l, 10, &rb, NULL), 112);
	assert_int_equal(layout_ul_data(l, &rb, NULL), 120);
	layout_destroy(l);
}

static void rbs_outside_the_band_hold_nothing(void **state)
{
	(void)state;
	struct layout *l = make(0);
	struct rb_set rbs = { { 0 } };
	rb_set_add(&rbs, 18);
	rb_set_add(&rbs, 100);
	assert_int_equal(layout_dl_data(l, 1, &rbs, NULL), 0);
	assert_int_equal(layout_ul_data(l, &rbs, NULL), 0);
	layout_destroy(l);
}

static void access_slots_keep_six_rbs_free(void **state)
{
	(void)state;
	struct layout *l = make(0);
	struct rb_set all = layout_ul_rbs(l, 14), some = layout_ul_rbs(l, 15);
	assert_int_equal(rb_set_count(&all), 18);
	assert_int_equal(rb_set_count(&some), 12);
	assert_false(rb_set_has(&some, 5));
	assert_true(rb_set_has(&some, 6));
	layout_destroy(l);
}

static void combs_of_eight_devices_cover_the_band_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct layout *l = make(i);
		uint8_t seen[PHY_SC_MAX] = { 0 };
		for (uint8_t d = 0; d < 8; d++) {
			uint16_t k[LAYOUT_COMB_MAX], other[LAYOUT_COMB_MAX];
			size_t n = layout_comb(l, d, k);
			assert_int_equal(layout_comb(l, (uint8_t)(d + 8), other), n);
			for (size_t j = 0; j < n; j++) {
				assert_int_equal(k[j] % 8, d);
				assert_int_equal(other[j], k[j]);
				seen[k[j]]++;
			}
		}
		for (size_t k = 0; k < num.n_sc; k++)
			assert_int_equal(seen[k], 1);
		layout_destroy(l);
	}
}

static void sixteen_devices_take_turns_and_eight_do_not(void **state)
{
	(void)state;
	for (uint8_t d = 0; d < 16; d++)
		for (uint64_t slot = 0; slot < 4; slot++) {
			assert_int_equal(layout_has_control(d, slot, 2), slot % 2 == d / 8);
			if (d < 8)
				assert_true(layout_has_control(d, slot, 1));
		}
}

/* Every RE has one use, and those of data are the ones that blocks of the whole band fill. */
static void uses_and_data_lists_agree(void **state)
{
	(void)state;
	static uint32_t re[LAYOUT_RE_MAX];
	static uint8_t is_data[LAYOUT_RE_MAX];
	for (size_t i = 0; i < 3; i++) {
		struct layout *l = make(i);
		for (uint64_t slot = 0; slot < 10; slot++)
			for (int uplink = 0; uplink < 2; uplink++) {
				struct rb_set all = layout_ul_rbs(l, uplink ? slot : 1);
				size_t n = uplink ? layout_ul_data(l, &all, re) : layout_dl_data(l, slot, &all, re);
				memset(is_data, 0, sizeof is_data);
				for (size_t j = 0; j < n; j++)
					is_data[re[j]] = 1;
				for (size_t j = 0; j < num.n_symbols * num.n_sc; j++)
					assert_int_equal(is_data[j], layout_use(l, uplink, slot, j / num.n_sc,
					                                        j % num.n_sc) == LAYOUT_DATA);
			}
		layout_destroy(l);
	}
}

/* The default: 3 of 14 symbols control, 2 x 72 of 3024 RE pilots, a symbol in ten slots sync; uplink 2 x 108 RE
 * pilots, two symbols control, one sounding, 72 x 11 RE in ten slots access, 72 of which would be pilots. */
static void overhead_stays_below_35_percent(void **state)
{
	(void)state;
	struct layout *l = make(0);
	double share[LAYOUT_USES];
	layout_shares(l, false, share);
	assert_true(fabs(share[LAYOUT_CONTROL] - 3 / 14.0) < 1e-9);
	assert_true(fabs(share[LAYOUT_PILOTS] - 144 / 3024.0) < 1e-9);
	assert_true(fabs(share[LAYOUT_SYNC] - 1 / 140.0) < 1e-9);
	assert_true(share[LAYOUT_SOUNDING] == 0 && share[LAYOUT_ACCESS] == 0);
	assert_true(1 - share[LAYOUT_DATA] <= 0.35);
	layout_shares(l, true, share);
	assert_true(fabs(share[LAYOUT_CONTROL] - 2 / 14.0) < 1e-9);
	assert_true(fabs(share[LAYOUT_SOUNDING] - 1 / 14.0) < 1e-9);
	assert_true(fabs(share[LAYOUT_ACCESS] - 72 * 11 / 30240.0) < 1e-9);
	assert_true(fabs(share[LAYOUT_PILOTS] - (2160 - 72) / 30240.0) < 1e-9);
	assert_true(1 - share[LAYOUT_DATA] <= 0.35);
	layout_destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_control_re_but_the_remainder_belongs_to_one_cce),
		cmocka_unit_test(a_cce_is_spread_over_the_whole_band),
		cmocka_unit_test(downlink_data_skip_pilots_and_sync_and_come_in_order),
		cmocka_unit_test(an_rb_holds_124_downlink_and_120_uplink_data_re),
		cmocka_unit_test(rbs_outside_the_band_hold_nothing),
		cmocka_unit_test(access_slots_keep_six_rbs_free),
		cmocka_unit_test(combs_of_eight_devices_cover_the_band_once),
		cmocka_unit_test(uses_and_data_lists_agree),
		cmocka_unit_test(overhead_stays_below_35_percent),
		cmocka_unit_test(sixteen_devices_take_turns_and_eight_do_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
