/* The model of a layer: cases worked by hand, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "random_layer.h"

#define assert_near(x, y, tolerance) assert_true(fabs((x) - (y)) <= (tolerance))

static void choices_are_the_heaviest_and_of_equals_the_lower_number(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 1 };
	rl_tokens(&r, 2, 4, 2, 4, 0);
	const double weights[] = { 0.2, 0.3, 0.3, 0.2, 0.25, 0.25, 0.25, 0.25 };
	struct layer_choice c[4];
	r.l.weights = weights;
	layer_choices(&r.l, c);
	const unsigned wanted[] = { 1, 2, 0, 1 };
	for (int i = 0; i < 4; i++) {
		assert_int_equal(c[i].wanted, wanted[i]);
		assert_int_equal(c[i].expert, wanted[i]);
		assert_int_equal(c[i].device, -1);
	}
}

/* 3 tokens of 1000 bits down and 2000 up after a backlog of 500 and 0, at 1e4 and 2e4 bit/s: .35 + .01 + 3 * .1 + .3 s. */
static void latency_is_the_sum_of_its_parts(void **state)
{
	(void)state;
	struct layer_device dev = {
		.alive = true, .fixed_s = 0.01, .per_token_s = 0.1, .backlog_bits = { 500, 0 }, .mean_bps = { 1e4, 2e4 }
	};
	struct layer l = { .n_devices = 1, .n_rb = 1, .block_hz = 1, .token_bits = { 1000, 2000 }, .device = &dev };
	const double rate[2] = { 1e4, 2e4 };
	assert_near(layer_device_s(&l, 0, 3, rate), 0.35 + 0.01 + 0.3 + 0.3, 1e-12);
	assert_near(layer_device_s(&l, 0, 0, rate), 0.05, 1e-12); /* the backlog alone */
	dev.backlog_bits[0] = 0;
	assert_true(layer_device_s(&l, 0, 0, rate) == 0);
	assert_true(isinf(layer_device_s(&l, 0, 1, (double[2]){ 0, 1 })));
}

/* Total power: x of n blocks at a band SNR s carry x log2(1 + s n / x): all of them s, half of them twice s. */
static void all_power_goes_into_the_blocks_held(void **state)
{
	(void)state;
	struct layer_device dev = { .alive = true, .snr = { 3, 7 } };
	struct layer l = { .n_devices = 1, .n_rb = 10, .power = LAYER_TOTAL, .block_hz = 100, .device = &dev };
	assert_near(layer_rate_bps(&l, 0, LAYER_DL, 10), 10 * 100 * 2, 1e-9);
	assert_near(layer_rate_bps(&l, 0, LAYER_UL, 10), 10 * 100 * 3, 1e-9);
	assert_near(layer_rate_bps(&l, 0, LAYER_UL, 5), 5 * 100 * log2(15), 1e-9);
	assert_true(layer_rate_bps(&l, 0, LAYER_UL, 0) == 0);
}

static void substitutes_and_drops_do_not_count_as_kept(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 2 };
	rl_tokens(&r, 2, 4, 2, 4, 0);
	const double weights[] = { 0.6, 0.2, 0.1, 0.1, 0.1, 0.1, 0.4, 0.4 }, device_s[] = { 2, 4, 5, 8 };
	struct layer_choice c[4];
	r.l.weights = weights;
	layer_choices(&r.l, c);
	for (int i = 0; i < 4; i++)
		c[i].device = (int16_t)c[i].expert;
	assert_near(layer_kept_weight(&r.l, c), 1, 1e-12);
	assert_near(layer_wlr(&r.l, c, device_s), 0.6 / 2 + 0.2 / 4 + 0.4 / 5 + 0.4 / 8, 1e-12);
	c[1].device = -1;
	c[2].expert = 1;
	c[2].device = 1;
	assert_near(layer_kept_weight(&r.l, c), (0.75 + 0.5) / 2, 1e-12);
	assert_near(layer_wlr(&r.l, c, device_s), 0.6 / 2 + 0.4 / 4 + 0.4 / 8, 1e-12);
	uint32_t tokens_on[4];
	layer_load(&r.l, c, tokens_on);
	assert_true(tokens_on[0] == 1 && tokens_on[1] == 1 && tokens_on[2] == 0 && tokens_on[3] == 1);
}

static void what_makes_no_sense_is_refused(void **state)
{
	(void)state;
	static struct random_layer r;
	const double bad[] = { NAN, INFINITY, -1 };
	for (int i = 0; i < 3; i++) {
		r.rng = 3;
		rl_tokens(&r, 4, 4, 2, 4, 0);
		assert_null(layer_check(&r.l));
		double *const places[] = { &r.device[1].fixed_s,
			                   &r.device[2].per_token_s,
			                   &r.device[3].mean_bps[0],
			                   &r.device[0].mean_bps[1],
			                   &r.weights[5],
			                   &r.l.token_bits[0],
			                   &r.l.token_bits[1],
			                   &r.l.block_hz,
			                   &r.device[0].backlog_bits[1] };
		for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
			double was = *places[k];
			*places[k] = bad[i];
			assert_non_null(layer_check(&r.l));
			*places[k] = was;
		}
		assert_null(layer_check(&r.l));
	}
	memset(r.weights, 0, 4 * sizeof *r.weights);
	assert_non_null(layer_check(&r.l));
}

static void a_token_that_nobody_in_reach_can_serve_is_refused(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 4 };
	rl_tokens(&r, 1, 4, 2, 4, 0);
	struct layer_choice c[2];
	layer_choices(&r.l, c);
	r.device[c[0].wanted].alive = false;
	assert_null(layer_check(&r.l)); /* the other one is there */
	r.device[c[1].wanted].mean_bps[LAYER_UL] = 0;
	assert_non_null(layer_check(&r.l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choices_are_the_heaviest_and_of_equals_the_lower_number),
		cmocka_unit_test(latency_is_the_sum_of_its_parts),
		cmocka_unit_test(all_power_goes_into_the_blocks_held),
		cmocka_unit_test(substitutes_and_drops_do_not_count_as_kept),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(a_token_that_nobody_in_reach_can_serve_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
