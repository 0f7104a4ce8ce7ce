/* Bandwidth for a layer: minmax by the optimality conditions of the convex problem, whole blocks against every dealing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "random_layer.h"
#include "scheduler/bandwidth.h"

static void allocate(const char *method, const struct random_layer *r, struct bandwidth *b)
{
	bandwidth_method_find(method)->allocate(&r->l, r->tokens_on, b);
}

static size_t n_busy(const struct random_layer *r)
{
	size_t n = 0;
	for (size_t d = 0; d < r->l.n_devices; d++)
		n += layer_busy(&r->l, d, r->tokens_on[d]);
	return n;
}

static void methods_are_found_by_name(void **state)
{
	(void)state;
	size_t n;
	const struct bandwidth_method *all = bandwidth_methods(&n);
	assert_true(n == 6);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(bandwidth_method_find(all[i].name), &all[i]);
	assert_null(bandwidth_method_find("no such method"));
}

static void equal_gives_to_idle_devices_and_round_robin_does_not(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 1 };
	struct bandwidth b;
	rl_devices(&r, 8, 50, false, LAYER_PSD);
	memset(r.tokens_on, 0, sizeof r.tokens_on);
	r.tokens_on[1] = r.tokens_on[4] = 3;
	allocate("equal", &r, &b);
	for (int d = 0; d < 8; d++)
		assert_true(fabs(b.blocks[0][d] - 50.0 / 8) < 1e-12 && (b.device_s[d] > 0) == (d == 1 || d == 4));
	allocate("round-robin", &r, &b);
	for (int d = 0; d < 8; d++)
		assert_true(fabs(b.blocks[1][d] - (d == 1 || d == 4 ? 25 : 0)) < 1e-12);
	assert_true(b.latency_s == fmax(b.device_s[1], b.device_s[4]));
}

/* How fast the time of a transfer falls with x: bits / rate(x)^2 * rate'(x), by central difference. */
static double slope(const struct random_layer *r, size_t d, enum layer_direction dir, double x)
{
	double bits = layer_bits(&r->l, d, dir, r->tokens_on[d]), h = 1e-4 * x;
	return bits * (1 / layer_rate_bps(&r->l, d, dir, x - h) - 1 / layer_rate_bps(&r->l, d, dir, x + h)) / (2 * h);
}

/* At the optimum all busy devices finish together, both bands are used up, and with multipliers eta (sum 1) of the devices and
 * alpha, beta of the bands, eta[k] * slope_dl[k] = alpha and eta[k] * slope_ul[k] = beta. The problem is convex: that suffices.
 * (Rates are linear or concave in x.) */
static void minmax_meets_the_optimality_conditions(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 2 };
	struct bandwidth b;
	for (int trial = 0; trial < 1000; trial++) {
		size_t n_devices = 2 + (size_t)(30 * rl_uniform(&r));
		rl_devices(&r, n_devices, 50, false, trial % 2 ? LAYER_PSD : LAYER_TOTAL);
		if (!n_busy(&r))
			continue;
		allocate("minmax", &r, &b);
		double used[2] = { 0 }, least = INFINITY, most = 0;
		for (size_t d = 0; d < n_devices; d++) {
			used[0] += b.blocks[0][d];
			used[1] += b.blocks[1][d];
			if (!r.tokens_on[d])
				continue;
			assert_true(fabs(b.device_s[d] - b.latency_s) <= 1e-9 * b.latency_s);
			double ratio = slope(&r, d, LAYER_DL, b.blocks[0][d]) / slope(&r, d, LAYER_UL, b.blocks[1][d]);
			least = fmin(least, ratio);
			most = fmax(most, ratio);
		}
		assert_true(fabs(used[0] - 50) < 1e-7 && fabs(used[1] - 50) < 1e-7);
		assert_true(most - least <= 1e-5 * most);
	}
}

static void prices_say_how_much_longer_the_layer_lasts(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 3 };
	struct bandwidth b, then;
	for (int trial = 0; trial < 100; trial++) {
		rl_devices(&r, 8, 50, false, trial % 2 ? LAYER_PSD : LAYER_TOTAL);
		for (size_t d = 0; d < 8; d++)
			r.tokens_on[d] = 1000 + r.tokens_on[d];
		allocate("minmax", &r, &b);
		for (size_t d = 0; d < 8; d++) {
			r.tokens_on[d]++;
			allocate("minmax", &r, &then);
			r.tokens_on[d]--;
			assert_true(fabs(then.latency_s - b.latency_s - b.price_s[d]) <= 0.01 * b.price_s[d]);
		}
	}
}

static void no_method_beats_minmax_and_no_method_its_bound(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 4 };
	size_t n;
	const struct bandwidth_method *all = bandwidth_methods(&n);
	for (int trial = 0; trial < 300; trial++) {
		struct bandwidth b;
		rl_devices(&r, 8, 50, trial % 2, LAYER_PSD);
		for (size_t i = 0; i < n; i++) {
			allocate(all[i].name, &r, &b);
			double bound = bandwidth_lower_bound_s(&r.l, r.tokens_on, all[i].whole);
			assert_true(bound <= b.latency_s * (1 + 1e-9));
			assert_true(n_busy(&r) ? bound > 0 : b.latency_s == 0);
		}
		if (r.device[0].block_bps[0])
			continue;
		double flat = bandwidth_lower_bound_s(&r.l, r.tokens_on, true);
		allocate("minmax", &r, &b);
		assert_true(fabs(flat - b.latency_s) <=
		            1e-6 * b.latency_s); /* of blocks all alike the two bounds are one */
	}
}

/* Every block belongs to one device at most, and rates are those of the blocks held. */
static void whole_blocks_add_up(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 5 };
	static const char *const names[] = { "proportional-fair", "minmax-rb", "horizon" };
	for (int trial = 0; trial < 60; trial++) {
		struct bandwidth b;
		enum layer_power power = trial % 3 ? LAYER_PSD : LAYER_TOTAL;
		rl_devices(&r, 8, 30, trial % 3 == 1, power);
		allocate(names[trial % 2], &r, &b);
		for (int dir = 0; dir < 2; dir++) {
			double held[8] = { 0 }, rate[8] = { 0 };
			for (size_t rb = 0; rb < 30; rb++) {
				int d = b.owner[dir][rb];
				assert_true(d >= -1 && d < 8);
				if (d < 0)
					continue;
				assert_true(r.tokens_on[d] > 0);
				held[d]++;
				rate[d] += r.bps[d][dir][rb];
			}
			for (size_t d = 0; d < 8; d++) {
				if (power == LAYER_TOTAL)
					rate[d] = layer_rate_bps(&r.l, d, (enum layer_direction)dir, held[d]);
				assert_true(b.blocks[dir][d] == held[d]);
				assert_true(fabs(b.rate_bps[dir][d] - rate[d]) <= 1e-9 * rate[d]);
			}
		}
	}
}

/* ---- every dealing ---- */

struct dealing {
	const struct random_layer *r;
	double rate[2][RL_DEVICES], best_s;
};

static double finish(const struct dealing *g, size_t d, int directions)
{
	double t = layer_compute_s(&g->r->l, d, g->r->tokens_on[d]);
	for (int dir = 0; dir < directions; dir++)
		t += layer_bits(&g->r->l, d, (enum layer_direction)dir, g->r->tokens_on[d]) / g->rate[dir][d];
	return t;
}

static void deal(struct dealing *g, int dir, size_t rb)
{
	if (rb == g->r->l.n_rb) {
		double worst = 0;
		for (size_t d = 0; d < g->r->l.n_devices; d++)
			worst = fmax(worst, g->r->tokens_on[d] ? finish(g, d, dir + 1) : 0);
		if (worst >= g->best_s)
			return;
		if (dir)
			g->best_s = worst;
		else
			deal(g, 1, 0);
		return;
	}
	for (size_t d = 0; d < g->r->l.n_devices; d++) {
		if (!g->r->tokens_on[d])
			continue;
		double was = g->rate[dir][d];
		g->rate[dir][d] += g->r->bps[d][dir][rb];
		deal(g, dir, rb + 1);
		g->rate[dir][d] = was;
	}
}

static void minmax_rb_is_near_the_best_of_all_dealings(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 6 };
	static const size_t sizes[][2] = { { 2, 9 }, { 3, 6 }, { 4, 5 } };
	double sum = 0, worst = 0;
	int n = 0;
	for (int trial = 0; trial < 300; trial++) {
		rl_devices(&r, sizes[trial % 3][0], sizes[trial % 3][1], trial % 2, LAYER_PSD);
		if (n_busy(&r) < 2)
			continue;
		struct bandwidth b;
		allocate("minmax-rb", &r, &b);
		struct dealing g = { .r = &r, .best_s = INFINITY };
		deal(&g, 0, 0);
		double over = b.latency_s / g.best_s - 1;
		assert_true(over > -1e-9);
		assert_true(bandwidth_lower_bound_s(&r.l, r.tokens_on, true) <= g.best_s * (1 + 1e-9));
		sum += over;
		worst = fmax(worst, over);
		n++;
	}
	assert_true(n > 200);
	assert_true(sum / n <= 0.02);
	assert_true(worst <= 0.05);
}

/* No single block could go to another device to the good of the product of rates. */
static void proportional_fair_is_fair(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 7 };
	for (int trial = 0; trial < 50; trial++) {
		struct bandwidth b;
		rl_devices(&r, 6, 40, true, LAYER_PSD);
		allocate("proportional-fair", &r, &b);
		for (size_t rb = 0; rb < 40; rb++)
			for (size_t d = 0; d < 6; d++) {
				int owner = b.owner[0][rb];
				if (!r.tokens_on[d] || owner < 0 || owner == (int)d || b.blocks[0][owner] < 2)
					continue;
				double now = b.rate_bps[0][d] * b.rate_bps[0][owner];
				double then = (b.rate_bps[0][d] + r.bps[d][0][rb]) *
				              (b.rate_bps[0][owner] - r.bps[owner][0][rb]);
				assert_true(then <= now * (1 + 1e-9));
			}
	}
}

static void a_backlog_counts_and_the_dead_do_not(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 8 };
	struct bandwidth b;
	rl_devices(&r, 3, 20, false, LAYER_PSD);
	memset(r.tokens_on, 0, sizeof r.tokens_on);
	r.device[0].backlog_bits[LAYER_UL] = 1e5;
	r.device[1].backlog_bits[LAYER_DL] = 1e5;
	r.device[1].alive = false;
	static const char *const names[] = { "round-robin", "minmax", "minmax-rb", "proportional-fair" };
	for (int i = 0; i < 4; i++) {
		allocate(names[i], &r, &b);
		assert_true(fabs(b.latency_s - 1e5 / (20 * r.device[0].mean_bps[LAYER_UL])) < 1e-9);
		assert_true(b.device_s[1] == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_are_found_by_name),
		cmocka_unit_test(equal_gives_to_idle_devices_and_round_robin_does_not),
		cmocka_unit_test(minmax_meets_the_optimality_conditions),
		cmocka_unit_test(prices_say_how_much_longer_the_layer_lasts),
		cmocka_unit_test(no_method_beats_minmax_and_no_method_its_bound),
		cmocka_unit_test(whole_blocks_add_up),
		cmocka_unit_test(minmax_rb_is_near_the_best_of_all_dealings),
		cmocka_unit_test(proportional_fair_is_fair),
		cmocka_unit_test(a_backlog_counts_and_the_dead_do_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
