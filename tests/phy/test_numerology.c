#include "phy/numerology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <string.h>

static struct numerology standard(void)
{
	struct numerology n;
	assert_int_equal(numerology_init(&n, 7.68e6, 30e3, 18, 14, NULL, 0), 0);
	return n;
}

static void the_default_is_the_one_of_the_air_interface(void **state)
{
	(void)state;
	struct numerology n = standard();
	assert_int_equal(n.n_fft, 256);
	assert_int_equal(n.cp, 18);
	assert_int_equal(n.cp_first, 22);
	assert_int_equal(n.n_sc, 216);
	assert_int_equal(n.slot_len, 3840);
	assert_true(fabs(numerology_slot_s(&n) - 0.5e-3) < 1e-15);
}

static void symbols_follow_each_other_and_fill_the_slot(void **state)
{
	(void)state;
	static const struct {
		double rate_hz, scs_hz;
		size_t n_rb;
	} shapes[] = { { 7.68e6, 30e3, 18 },   { 3.84e6, 15e3, 18 },  { 15.36e6, 30e3, 38 }, { 23.04e6, 30e3, 51 },
		       { 30.72e6, 15e3, 106 }, { 11.52e6, 60e3, 11 }, { 10e6, 50e3, 15 } };
	for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
		struct numerology n;
		assert_int_equal(numerology_init(&n, shapes[s].rate_hz, shapes[s].scs_hz, shapes[s].n_rb, 14, NULL, 0),
		                 0);
		assert_int_equal(numerology_symbol_start(&n, 0), 0);
		for (size_t l = 0; l < 14; l++) {
			size_t cp = l ? n.cp : n.cp_first;
			assert_int_equal(numerology_symbol_body(&n, l), numerology_symbol_start(&n, l) + cp);
			assert_int_equal(numerology_symbol_start(&n, l + 1), numerology_symbol_body(&n, l) + n.n_fft);
		}
		assert_int_equal(numerology_symbol_start(&n, 14), n.slot_len);
		assert_true(fabs(numerology_slot_s(&n) - 15 / n.scs_hz) < 1e-12); /* TS 38.211, table 4.3.2-1 */
	}
}

static void subcarriers_rise_in_frequency_and_skip_dc(void **state)
{
	(void)state;
	struct numerology n = standard();
	assert_true(numerology_freq_hz(&n, 0) == -108 * 30e3);
	assert_true(numerology_freq_hz(&n, 107) == -30e3);
	assert_true(numerology_freq_hz(&n, 108) == 30e3);
	assert_true(numerology_freq_hz(&n, 215) == 108 * 30e3);
	for (size_t k = 0; k < n.n_sc; k++) {
		int bin = (int)numerology_bin(&n, k);
		assert_in_range(bin, 1, 255);
		assert_int_equal((bin < 128 ? bin : bin - 256) * 30000, (int)numerology_freq_hz(&n, k));
	}
}

static void impossible_shapes_are_refused_with_the_reason(void **state)
{
	(void)state;
	static const struct {
		double rate_hz, scs_hz;
		size_t n_rb, n_symbols;
		const char *reason;
	} cases[] = {
		{ 0, 30e3, 18, 14, "positive" },
		{ NAN, 30e3, 18, 14, "positive" },
		{ 7.68e6, -30e3, 18, 14, "positive" },
		{ INFINITY, 30e3, 18, 14, "positive" },
		{ 7.7e6, 30e3, 18, 14, "whole multiple" },
		{ 1.92e6, 30e3, 11, 14, "FFT length" }, /* 64 */
		{ 7.83e6, 30e3, 18, 14, "FFT length" }, /* 261 = 9 * 29 */
		{ 1e15, 1, 18, 14, "FFT length" },
		{ 7.68e6, 30e3, 18, 12, "symbols" },
		{ 7.68e6, 30e3, 18, 0, "symbols" },
		{ 4.05e6, 30e3, 10, 7, "1012 and a half samples" }, /* FFT length 135 */
		{ 7.68e6, 30e3, 5, 14, "5 resource blocks" },
		{ 7.68e6, 30e3, 22, 14, "FFT length 256" }, /* 264 subcarriers */
		{ 122.88e6, 30e3, 111, 14, "111 resource blocks" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct numerology n;
		char why[128] = "";
		assert_int_equal(numerology_init(&n, cases[i].rate_hz, cases[i].scs_hz, cases[i].n_rb,
		                                 cases[i].n_symbols, why, sizeof why),
		                 -EINVAL);
		if (!strstr(why, cases[i].reason))
			fail_msg("case %zu says \"%s\"", i, why);
		assert_null(strchr(why, '\n'));
	}
}

static void odd_fft_lengths_make_whole_slots_of_14_symbols(void **state)
{
	(void)state;
	struct numerology n;
	assert_int_equal(numerology_init(&n, 4.05e6, 30e3, 10, 14, NULL, 0), 0);
	assert_int_equal(n.n_fft, 135);
	assert_int_equal(n.slot_len, 15 * 135);
	assert_int_equal(numerology_symbol_start(&n, 14), n.slot_len);
}

static void slots_of_7_symbols_last_half_as_long(void **state)
{
	(void)state;
	struct numerology whole = standard(), half;
	assert_int_equal(numerology_init(&half, 7.68e6, 30e3, 18, 7, NULL, 0), 0);
	assert_int_equal(2 * half.slot_len, whole.slot_len);
	assert_int_equal(half.cp, whole.cp);
	assert_int_equal(numerology_symbol_start(&half, 7), half.slot_len);
}

static void pilots_are_as_dense_as_asked(void **state)
{
	(void)state;
	struct numerology_config c = { .rate_hz = 7.68e6, .scs_hz = 30e3, .n_rb = 18, .n_symbols = 14 };
	for (c.pilot_step = 0; c.pilot_step <= 12; c.pilot_step++) {
		struct numerology n;
		char why[NUMEROLOGY_WHY_BYTES] = "";
		bool possible = c.pilot_step <= 6 && c.pilot_step != 1 && c.pilot_step != 5;
		assert_int_equal(numerology_create(&n, &c, why, sizeof why), possible ? 0 : -EINVAL);
		if (possible)
			assert_int_equal(n.pilot_step, c.pilot_step ? c.pilot_step : 3);
		else
			assert_non_null(strstr(why, "pilots"));
	}
	c.pilot_step = 0;
	c.n_symbols = 7;
	struct numerology n;
	assert_int_equal(numerology_create(&n, &c, NULL, 0), 0);
	assert_int_equal(n.pilot_step, 6);
}

static void edges_are_the_128th_part_of_a_symbol_or_as_long_as_asked(void **state)
{
	(void)state;
	struct numerology_config c = { .rate_hz = 7.68e6, .scs_hz = 30e3, .n_rb = 18, .n_symbols = 14 };
	for (c.taper = TAPER_USUAL; c.taper <= 9; c.taper++) {
		struct numerology n;
		assert_int_equal(numerology_create(&n, &c, NULL, 0), 0);
		assert_int_equal(n.taper, c.taper == TAPER_USUAL ? 2 : c.taper);
		assert_int_equal(numerology_clean_prefix(&n), 18 - n.taper);
		assert_true(numerology_backoff(&n) <= numerology_clean_prefix(&n) / 4);
	}
	static const int impossible[] = { 10, -2, 1000 };
	for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
		struct numerology n;
		char why[NUMEROLOGY_WHY_BYTES] = "";
		c.taper = impossible[i];
		assert_int_equal(numerology_create(&n, &c, why, sizeof why), -EINVAL);
		assert_non_null(strstr(why, "taper"));
	}
}

static void rb_sets_hold_all_110_blocks_apart(void **state)
{
	(void)state;
	struct rb_set s = { 0 };
	assert_true(rb_set_empty(&s));
	rb_set_add_range(&s, 60, 8);
	rb_set_add(&s, 109);
	for (size_t rb = 0; rb < PHY_RB_MAX; rb++)
		assert_int_equal(rb_set_has(&s, rb), (rb >= 60 && rb < 68) || rb == 109);
	assert_int_equal(rb_set_count(&s), 9);
	rb_set_remove(&s, 63);
	assert_false(rb_set_has(&s, 63));
	struct rb_set t = { 0 };
	rb_set_add(&t, 63);
	assert_false(rb_set_overlap(&s, &t));
	rb_set_add(&t, 64);
	assert_true(rb_set_overlap(&s, &t));
	assert_false(rb_set_equal(&s, &t));
}

static void rb_set_within_finds_blocks_outside_the_band(void **state)
{
	(void)state;
	for (size_t n_rb = 1; n_rb <= PHY_RB_MAX; n_rb++)
		for (size_t rb = 0; rb < 128; rb++) {
			struct rb_set s = { 0 };
			rb_set_add(&s, rb);
			assert_int_equal(rb_set_within(&s, n_rb), rb < n_rb);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_is_the_one_of_the_air_interface),
		cmocka_unit_test(symbols_follow_each_other_and_fill_the_slot),
		cmocka_unit_test(subcarriers_rise_in_frequency_and_skip_dc),
		cmocka_unit_test(impossible_shapes_are_refused_with_the_reason),
		cmocka_unit_test(odd_fft_lengths_make_whole_slots_of_14_symbols),
		cmocka_unit_test(slots_of_7_symbols_last_half_as_long),
		cmocka_unit_test(pilots_are_as_dense_as_asked),
		cmocka_unit_test(edges_are_the_128th_part_of_a_symbol_or_as_long_as_asked),
		cmocka_unit_test(rb_sets_hold_all_110_blocks_apart),
		cmocka_unit_test(rb_set_within_finds_blocks_outside_the_band),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
