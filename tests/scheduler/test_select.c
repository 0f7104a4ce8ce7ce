/* Selection policies: cases worked by hand, second implementations on random layers, and the yardstick of all selections. */
#include "scheduler/select.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "random_layer.h"

static const struct select_limits limits = { RL_TOKENS, RL_EXPERTS, 4, RL_DEVICES, 1 << 14 };

static struct layer_choice choices[RL_TOKENS * 4];

/* Runs a policy that must not fail. */
static void select_by(const char *policy, const struct random_layer *r, const struct select_params *p)
{
	struct selector *s = selector_create(policy, &limits);
	assert_non_null(s);
	assert_int_equal(selector_run(s, &r->l, p, choices), 0);
	selector_destroy(s);
}

static double latency_under(const struct bandwidth_method *split, const struct random_layer *r)
{
	uint32_t tokens_on[RL_DEVICES];
	struct bandwidth b;
	layer_load(&r->l, choices, tokens_on);
	split->allocate(&r->l, tokens_on, &b);
	return b.latency_s;
}

static void policies_are_found_by_name(void **state)
{
	(void)state;
	size_t n;
	const struct select_policy *all = select_policies(&n);
	assert_true(n == 8);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(select_policy_find(all[i].name), &all[i]);
	assert_null(select_policy_find("no such policy"));
	assert_null(selector_create("no such policy", &limits));
	assert_int_equal(errno, EINVAL);
}

/* What holds for every policy: one expert a token at least, on a live holder, none twice, counts within reach; and a second run says the same. */
static void every_policy_keeps_the_rules(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 1 };
	static struct layer_choice again[RL_TOKENS * 4];
	static double similar[8 * 8];
	struct select_params p = select_params_default();
	size_t n;
	const struct select_policy *all = select_policies(&n);
	for (int i = 0; i < 64; i++)
		similar[i] = i % 9 ? 0.5 + 0.4 * rl_uniform(&r) : 1;
	for (int trial = 0; trial < 40 * (int)n; trial++) {
		const char *name = all[trial % (int)n].name;
		size_t n_tokens = strcmp(name, "exhaustive") == 0 ? 4 : 1 + (size_t)(40 * rl_uniform(&r));
		rl_tokens(&r, n_tokens, 8, 1 + (size_t)(3 * rl_uniform(&r)), 8, trial % 3 == 0);
		if (r.l.top_k > 2 && n_tokens == 4)
			r.l.top_k = 2;
		r.l.similar = similar;
		r.device[trial % 8].alive = trial % 2;
		if (layer_check(&r.l))
			continue;
		select_by(name, &r, &p);
		for (size_t j = 0; j < n_tokens; j++) {
			size_t served = 0;
			for (size_t i = j * r.l.top_k; i < (j + 1) * r.l.top_k; i++) {
				if (choices[i].device < 0)
					continue;
				served++;
				assert_true(layer_served_by(&r.l, choices[i].expert, (size_t)choices[i].device));
				for (size_t k = j * r.l.top_k; k < i; k++)
					assert_true(choices[k].device < 0 || choices[k].expert != choices[i].expert);
			}
			assert_true(served >= 1);
		}
		double kept = layer_kept_weight(&r.l, choices);
		assert_true(kept > 0 && kept <= 1 + 1e-12);
		memcpy(again, choices, sizeof again);
		select_by(name, &r, &p);
		assert_memory_equal(again, choices, n_tokens * r.l.top_k * sizeof *choices);
	}
}

static void vanilla_serves_all_and_picks_the_holder_that_is_done_first(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 2 };
	struct select_params p = select_params_default();
	rl_tokens(&r, 64, 8, 2, 8, 0);
	select_by("vanilla", &r, &p);
	assert_true(layer_kept_weight(&r.l, choices) == 1);
	for (size_t i = 0; i < 128; i++)
		assert_true(choices[i].device == choices[i].wanted);
	rl_tokens(&r, 1, 8, 1, 8, 1); /* on two devices: e, e + 3 */
	select_by("vanilla", &r, &p);
	size_t one = choices[0].wanted, other = (one + 3) % 8;
	r.device[one] = r.device[other];
	r.device[other].per_token_s += 1e-3;
	select_by("vanilla", &r, &p);
	assert_int_equal(choices[0].device, one);
	r.device[one].fixed_s += 2e-3;
	select_by("vanilla", &r, &p);
	assert_int_equal(choices[0].device, other);
}

/* ---- wdmoe ---- */

/* Layer whose latency is compute alone: fixed and per-token times. */
static void compute_only(struct random_layer *r)
{
	r->l.token_bits[0] = r->l.token_bits[1] = 0;
}

/* Two devices: 0 with 1 s a token, 1 with 10 s. Token A: weights .9 on 0, .1 on 1: S = 1.9 / (.9055 * 10.05) = 0.2088
 * < 0.5. Token B: .1 on 0, .9 on 1: S = 9.1 / (.9055 * 10.05) = 0.99994. WLR before: device 0: 1.0 / 2 = .5, device 1:
 * 1.0 / 20 = .05; sum .55. theta .5 drops A's second: device 0: (1 + .1) / 2 = .55, device 1: .9 / 10 = .09; sum .64: kept. No change at
 * .6 .. .9; theta 1.0 would drop B's choice 0: device 0: 1 / 1, device 1: 1 / 10; sum 1.1: kept as well. */
static void the_wdmoe_case_worked_by_hand_comes_out(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 3 };
	const double weights[] = { 0.9, 0.1, 0.1, 0.9 };
	struct select_params p = select_params_default();
	rl_tokens(&r, 2, 2, 2, 2, 0);
	compute_only(&r);
	r.l.weights = weights;
	r.device[0].fixed_s = r.device[1].fixed_s = 0;
	r.device[0].per_token_s = 1;
	r.device[1].per_token_s = 10;
	p.theta_max = 0.9;
	struct selector *s = selector_create("wdmoe", &limits);
	assert_int_equal(selector_run(s, &r.l, &p, choices), 0);
	assert_true(choices[0].device == 0 && choices[1].device == -1 && choices[2].device == 1 &&
	            choices[3].device == 0);
	assert_true(fabs(selector_theta(s) - 0.5) < 1e-9);
	assert_true(fabs(layer_kept_weight(&r.l, choices) - 0.95) < 1e-9);
	p.theta_max = 1;
	assert_int_equal(selector_run(s, &r.l, &p, choices), 0);
	assert_true(choices[0].device == 0 && choices[1].device == -1 && choices[2].device == 1 &&
	            choices[3].device == -1);
	selector_destroy(s);
}

static double plain_wlr(const struct random_layer *r, const bool *keep, bool renormalised)
{
	double total = 0;
	for (size_t d = 0; d < r->l.n_devices; d++) {
		double sum = 0, q = 0;
		for (size_t j = 0; j < r->l.n_tokens; j++) {
			double all = 0;
			for (size_t i = j * r->l.top_k; i < (j + 1) * r->l.top_k; i++)
				all += keep[i] ? choices[i].weight : 0;
			for (size_t i = j * r->l.top_k; i < (j + 1) * r->l.top_k; i++)
				if (keep[i] && choices[i].wanted == d) {
					sum += renormalised ? choices[i].weight / all : choices[i].weight;
					q++;
				}
		}
		if (q > 0)
			total += sum / (r->device[d].fixed_s + q * r->device[d].per_token_s);
	}
	return total;
}

/* The loop once more, with the keep arrays of every step written out. choices: as wanted by the router. */
static void plain_wdmoe(const struct random_layer *r, bool renormalised, bool *keep)
{
	size_t k = r->l.top_k, n = r->l.n_tokens * k;
	memset(keep, true, n);
	for (int tenth = 5; tenth <= 10; tenth++) {
		bool trial[RL_TOKENS * 4];
		memcpy(trial, keep, n);
		for (size_t j = 0; j < r->l.n_tokens; j++) {
			double dot = 0, w2 = 0, t2 = 0, low = 2;
			size_t left = 0, low_at = 0;
			for (size_t at = j * k; at < (j + 1) * k; at++) {
				if (!keep[at])
					continue;
				const struct layer_device *dev = &r->device[choices[at].wanted];
				double t = dev->fixed_s + dev->per_token_s;
				dot += choices[at].weight * t;
				w2 += pow(choices[at].weight, 2);
				t2 += t * t;
				left++;
				if (choices[at].weight <= low) {
					low = choices[at].weight;
					low_at = at;
				}
			}
			if (left > 1 && dot / sqrt(w2) / sqrt(t2) < tenth / 10.0)
				trial[low_at] = false;
		}
		if (memcmp(trial, keep, n) == 0)
			continue;
		if (plain_wlr(r, trial, renormalised) < 1.01 * plain_wlr(r, keep, renormalised))
			return;
		memcpy(keep, trial, n);
	}
}

static void a_second_wdmoe_agrees(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 4 };
	struct select_params p = select_params_default();
	size_t n_changed = 0;
	for (int trial = 0; trial < 1000; trial++) {
		bool keep[RL_TOKENS * 4];
		rl_tokens(&r, 1 + (size_t)(64 * rl_uniform(&r)), 8, 1 + (size_t)(4 * rl_uniform(&r)), 8, 0);
		compute_only(&r);
		p.renormalised_wlr = trial % 2;
		select_by("wdmoe", &r, &p);
		plain_wdmoe(&r, p.renormalised_wlr, keep);
		for (size_t i = 0; i < r.l.n_tokens * r.l.top_k; i++)
			assert_true(keep[i] == (choices[i].device >= 0));
		n_changed += layer_kept_weight(&r.l, choices) < 1;
	}
	assert_true(n_changed > 200);
}

/* ---- the others ---- */

/* Devices of 1, 2 and 10 s a token. Tokens: (.7 on 2, .3 on 0), (.6 on 2, .4 on 1): device 2 has 20 s; it loses the .6; then
 * it has 10 s, and the .7 goes too; then device 0 and 1 have 1 and 2 s, and their tokens have but one choice left. */
static void the_bottleneck_is_relieved_as_long_as_that_helps(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 5 };
	const double weights[] = { 0.3, 0, 0.7, 0, 0.4, 0.6 };
	struct select_params p = select_params_default();
	rl_tokens(&r, 2, 3, 2, 3, 0);
	compute_only(&r);
	r.l.weights = weights;
	for (int d = 0; d < 3; d++)
		r.device[d] = (struct layer_device){ .alive = true,
			                             .per_token_s = (double[]){ 1, 2, 10 }[d],
			                             .mean_bps = { 1, 1 } };
	select_by("wdmoe-bottleneck", &r, &p);
	assert_true(choices[0].device == -1 && choices[1].device == 0);
	assert_true(choices[2].device == -1 && choices[3].device == 1);
	assert_true(latency_under(p.split, &r) == 2);
}

/* Least sum of latencies over all sets of at most top_k experts with enough weight. */
static double cheapest_set(const struct random_layer *r, size_t token, double needed)
{
	double best = INFINITY;
	for (unsigned set = 1; set < 1u << r->l.n_experts; set++) {
		double cost = 0, weight = 0;
		if ((size_t)__builtin_popcount(set) > r->l.top_k)
			continue;
		for (size_t e = 0; e < r->l.n_experts; e++) {
			if (!(set >> e & 1))
				continue;
			cost += r->device[e].fixed_s + r->device[e].per_token_s;
			weight += r->l.weights[token * r->l.n_experts + e];
		}
		if (weight >= needed && cost < best)
			best = cost;
	}
	return best;
}

static void des_finds_the_cheapest_set_of_experts(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 6 };
	struct select_params p = select_params_default();
	for (int trial = 0; trial < 100; trial++) {
		rl_tokens(&r, 8, 8, 3, 8, 0);
		compute_only(&r);
		p.gamma = 0.3 + 0.7 * rl_uniform(&r);
		select_by("des", &r, &p);
		for (size_t j = 0; j < 8; j++) {
			double cost = 0, weight = 0, wanted = 0;
			for (size_t i = 3 * j; i < 3 * j + 3; i++) {
				wanted += choices[i].weight;
				if (choices[i].device < 0)
					continue;
				cost += r.device[choices[i].device].fixed_s + r.device[choices[i].device].per_token_s;
				weight += r.l.weights[j * 8 + choices[i].expert];
			}
			assert_true(weight >= p.gamma * wanted * (1 - 1e-12));
			assert_true(fabs(cost - cheapest_set(&r, j, p.gamma * wanted)) <= 1e-12);
		}
	}
}

static void jesa_is_no_slower_than_des_with_the_same_blocks(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 7 };
	struct select_params p = select_params_default();
	const struct bandwidth_method *blocks = bandwidth_method_find("minmax-rb");
	for (int trial = 0; trial < 20; trial++) {
		rl_tokens(&r, 16, 8, 2, 8, 0);
		select_by("des", &r, &p);
		double des_s = latency_under(blocks, &r);
		select_by("jesa", &r, &p);
		assert_true(latency_under(blocks, &r) <= des_s * (1 + 1e-12));
	}
}

/* One token, .8 on a slow device 0, .2 on 1; expert 2 on device 2 is like expert 0. With room for the loss it stands in; without,
 * nothing happens; where expert 1 is the like one, it takes the weight over. */
static void sift_lets_a_similar_expert_stand_in(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 8 };
	const double weights[] = { 0.8, 0.2, 0 };
	double similar[9] = { 1, 0.1, 0.9, 0.1, 1, 0.1, 0.9, 0.1, 1 };
	struct select_params p = select_params_default();
	rl_tokens(&r, 1, 3, 2, 3, 0);
	compute_only(&r);
	r.l.weights = weights;
	r.l.similar = similar;
	for (int d = 0; d < 3; d++)
		r.device[d] = (struct layer_device){ .alive = true, .per_token_s = d ? 1 : 10, .mean_bps = { 1, 1 } };
	p.loss_max = 0.1;
	select_by("sift", &r, &p);
	assert_true(choices[0].wanted == 0 && choices[0].expert == 2 && choices[0].device == 2);
	assert_true(choices[0].given_weight == 0.8 && choices[1].device == 1);
	p.loss_max = 0.05;
	select_by("sift", &r, &p);
	assert_true(choices[0].expert == 0 && choices[0].device == 0);
	similar[1] = 0.95;
	p.loss_max = 0.1;
	select_by("sift", &r, &p);
	assert_true(choices[0].device == -1 && choices[1].device == 1 && choices[1].given_weight == 1);
}

/* ---- frontier ---- */

static double kept_within(const struct selector *s, double latency_s)
{
	size_t n;
	const struct select_point *curve = selector_curve(s, &n);
	double best = 0;
	for (size_t i = 0; i < n; i++)
		if (curve[i].layer_latency_s <= latency_s * (1 + 1e-9))
			best = fmax(best, curve[i].kept_weight);
	return best;
}

static void frontier_is_exhaustive_on_small_cases(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 9 };
	static const size_t cases[][5] = { { 6, 4, 2, 4, 0 }, { 5, 8, 2, 8, 0 }, { 4, 6, 3, 4, 0 }, { 4, 6, 2, 3, 1 } };
	static const char *const splits[] = { "minmax", "equal", "round-robin" };
	struct select_params p = select_params_default();
	for (int trial = 0; trial < 48; trial++) {
		const size_t *c = cases[trial % 4];
		struct selector *all = selector_create("exhaustive", &limits),
		                *ours = selector_create("frontier", &limits);
		rl_tokens(&r, c[0], c[1], c[2], c[3], c[4]);
		p.split = bandwidth_method_find(splits[trial / 4 % 3]);
		assert_int_equal(selector_run(all, &r.l, &p, choices), 0);
		double kept = layer_kept_weight(&r.l, choices), latency_s = latency_under(p.split, &r);
		assert_int_equal(selector_run(ours, &r.l, &p, choices), 0);
		assert_true(fabs(layer_kept_weight(&r.l, choices) - kept) < 1e-9);
		assert_true(fabs(latency_under(p.split, &r) - latency_s) <= 1e-9 * latency_s);
		size_t n;
		const struct select_point *curve = selector_curve(all, &n);
		assert_true(n > 0);
		for (size_t i = 0; i < n; i++)
			assert_true(fabs(kept_within(ours, curve[i].layer_latency_s) - curve[i].kept_weight) < 1e-9);
		selector_destroy(all);
		selector_destroy(ours);
	}
}

/* Where exactness ends: never beaten in weight at the latency of any other policy. */
static void frontier_is_never_dominated(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 10 };
	static const char *const others[] = { "vanilla", "wdmoe", "wdmoe-bottleneck", "des", "jesa", "sift" };
	static const char *const splits[] = { "minmax", "equal", "round-robin" };
	struct select_params p = select_params_default(), q = select_params_default();
	for (int trial = 0; trial < 60; trial++) {
		struct selector *ours = selector_create("frontier", &limits);
		rl_tokens(&r, 64, 8, 2, 8, trial % 2);
		p.split = bandwidth_method_find(splits[trial % 3]);
		assert_int_equal(selector_run(ours, &r.l, &p, choices), 0);
		for (int i = 0; i < 6; i++) {
			select_by(others[i], &r, &q);
			assert_true(kept_within(ours, latency_under(p.split, &r)) >=
			            layer_kept_weight(&r.l, choices) - 1e-6);
		}
		selector_destroy(ours);
	}
}

static void frontier_goes_where_it_is_told(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 11 };
	struct select_params p = select_params_default();
	p.split = bandwidth_method_find("minmax");
	for (int trial = 0; trial < 20; trial++) {
		rl_tokens(&r, trial % 2 ? 5 : 64, 8, 2, 8, 0);
		select_by("vanilla", &r, &p);
		double full_s = latency_under(p.split, &r), before = 2;
		for (double part = 1; part > 0.55; part -= 0.1) {
			p.latency_s = part * full_s;
			p.whole_curve = false;
			select_by("frontier", &r, &p);
			double kept = layer_kept_weight(&r.l, choices), latency_s = latency_under(p.split, &r);
			assert_true(latency_s <= p.latency_s * (1 + 1e-9) || part < 0.7);
			assert_true(kept <= before + 1e-12);
			before = kept;
		}
		p.latency_s = NAN;
		p.price_s = 1e6;
		select_by("frontier", &r, &p);
		assert_true(layer_kept_weight(&r.l, choices) > 1 - 1e-9);
		p.price_s = 0;
		select_by("frontier", &r, &p);
		double fastest_s = latency_under(p.split, &r);
		p.price_s = 1e-3;
		select_by("frontier", &r, &p);
		assert_true(latency_under(p.split, &r) >= fastest_s * (1 - 1e-9));
		p.price_s = NAN;
	}
}

static void what_is_too_large_or_out_of_range_is_refused(void **state)
{
	(void)state;
	static struct random_layer r = { .rng = 12 };
	struct select_params p = select_params_default();
	struct select_limits small = { 4, 8, 2, 8, 0 };
	rl_tokens(&r, 64, 8, 2, 8, 0);
	struct selector *s = selector_create("vanilla", &small);
	assert_int_equal(selector_run(s, &r.l, &p, choices), -EINVAL);
	selector_destroy(s);
	s = selector_create("exhaustive", &limits);
	assert_int_equal(selector_run(s, &r.l, &p, choices), -E2BIG);
	selector_destroy(s);
	s = selector_create("des", &limits);
	p.gamma = 0;
	assert_int_equal(selector_run(s, &r.l, &p, choices), -EINVAL);
	selector_destroy(s);
	small.n_experts = 0;
	assert_null(selector_create("vanilla", &small));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_are_found_by_name),
		cmocka_unit_test(every_policy_keeps_the_rules),
		cmocka_unit_test(vanilla_serves_all_and_picks_the_holder_that_is_done_first),
		cmocka_unit_test(the_wdmoe_case_worked_by_hand_comes_out),
		cmocka_unit_test(a_second_wdmoe_agrees),
		cmocka_unit_test(the_bottleneck_is_relieved_as_long_as_that_helps),
		cmocka_unit_test(des_finds_the_cheapest_set_of_experts),
		cmocka_unit_test(jesa_is_no_slower_than_des_with_the_same_blocks),
		cmocka_unit_test(sift_lets_a_similar_expert_stand_in),
		cmocka_unit_test(frontier_is_exhaustive_on_small_cases),
		cmocka_unit_test(frontier_is_never_dominated),
		cmocka_unit_test(frontier_goes_where_it_is_told),
		cmocka_unit_test(what_is_too_large_or_out_of_range_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
