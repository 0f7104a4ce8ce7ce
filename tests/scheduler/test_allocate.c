/* Allocation of resource blocks: the continuous optimum against independent solutions, the rules of each method, and
 * 10^4 random problems whose every answer must keep the invariants. */
#include "scheduler/allocate.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_RB = 18, RE_PER_RB = 120, K = 8 };

static struct rate_table table;
static uint64_t rng_state = 1;

static double uniform(void)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (double)(rng_state >> 11) * 0x1p-53;
}

static size_t below(size_t n)
{
	return (size_t)(uniform() * (double)n);
}

static void flat_link(struct alloc_device *d, float snr_db)
{
	d->link = (struct link_view){ .usable = true, .headroom_db = INFINITY };
	for (size_t rb = 0; rb < PHY_RB_MAX; rb++)
		d->link.snr_db[rb] = snr_db;
}

/* K devices, alive, idle, 15 dB. */
static struct alloc_problem quiet_problem(void)
{
	struct alloc_problem p = {
		.n_rb = N_RB, .rates = &table, .grants_max = 16, .min_bytes = 12, .slot_s = 0.5e-3, .n_devices = K
	};
	rb_set_add_range(&p.available, 0, N_RB);
	for (size_t d = 0; d < K; d++) {
		p.device[d].alive = p.device[d].can_send_new = true;
		flat_link(&p.device[d], 15);
	}
	return p;
}

static void load_device(struct alloc_problem *p, size_t d, uint32_t bytes, double tail_s)
{
	p->device[d].loaded = true;
	p->device[d].backlog_bytes = bytes;
	p->device[d].remaining_bytes = bytes;
	p->device[d].tail_s = tail_s;
}

static struct alloc_result solve(const char *name, const struct alloc_problem *p, struct alloc_state *s)
{
	struct alloc_result r;
	assert_int_equal(alloc_method_find(name)->allocate(p, s, &r), 0);
	return r;
}

static const struct alloc_grant *grant_of(const struct alloc_result *r, size_t d)
{
	for (size_t i = 0; i < r->n_grants; i++)
		if (r->grant[i].device == d)
			return &r->grant[i];
	return NULL;
}

static size_t rbs_of(const struct alloc_result *r, size_t d)
{
	const struct alloc_grant *g = grant_of(r, d);
	return g ? g->n_rb : 0;
}

/* ---- the continuous problem ---- */

static void with_straight_rates_and_no_tails_the_closed_form_is_met(void **state)
{
	(void)state;
	/* rate = c x: T = sum(need / c) / N, x = need / (c T) */
	float rate[K][PHY_RB_MAX + 1];
	for (int trial = 0; trial < 300; trial++) {
		size_t n_rb = 11 + below(100), n = 1 + below(K);
		double need[K], tail[K] = { 0 }, c[K], x[K], demand = 0;
		for (size_t d = 0; d < n; d++) {
			need[d] = 10 + 5000 * uniform();
			c[d] = (double)(float)(1 + 100 * uniform());
			demand += need[d] / c[d];
			for (size_t i = 0; i <= n_rb; i++)
				rate[d][i] = (float)(c[d] * (double)i);
		}
		double t =
		        alloc_minmax_solve(n, n_rb, (double)n_rb, need, tail, (const float(*)[PHY_RB_MAX + 1]) rate, x);
		double best = demand / (double)n_rb;
		assert_true(fabs(t - best) < 1e-6 * best);
		for (size_t d = 0; d < n; d++)
			assert_true(fabs(x[d] - need[d] / (c[d] * best)) < 1e-5 * (double)n_rb);
	}
}

static double rate_at(const float *rate, size_t n_rb, double x)
{
	if (x >= (double)n_rb)
		return rate[n_rb];
	size_t n = (size_t)x;
	return (double)rate[n] + (x - (double)n) * ((double)rate[n + 1] - (double)rate[n]);
}

/* Two devices: the finish of the later one over the split, minimised by golden section. */
static double golden_two(size_t n_rb, const double *need, const double *tail, const float (*rate)[PHY_RB_MAX + 1])
{
	const double g = (sqrt(5) - 1) / 2;
	double lo = 0, hi = (double)n_rb, best = INFINITY;
	for (int i = 0; i < 200; i++) {
		double at[2] = { hi - g * (hi - lo), lo + g * (hi - lo) }, value[2];
		for (int j = 0; j < 2; j++) {
			double a = tail[0] + need[0] / rate_at(rate[0], n_rb, at[j]);
			double b = tail[1] + need[1] / rate_at(rate[1], n_rb, (double)n_rb - at[j]);
			value[j] = fmax(a, b);
			best = fmin(best, value[j]);
		}
		if (value[0] < value[1])
			hi = at[1];
		else
			lo = at[0];
	}
	return best;
}

static void with_tails_and_bent_rates_golden_section_finds_nothing_better(void **state)
{
	(void)state;
	float rate[2][PHY_RB_MAX + 1];
	for (int trial = 0; trial < 300; trial++) {
		size_t n_rb = 11 + below(60);
		double need[2], tail[2], x[2];
		for (size_t d = 0; d < 2; d++) {
			double slope = 5 + 50 * uniform(), bend = uniform();
			need[d] = 10 + 3000 * uniform();
			tail[d] = 20 * uniform();
			rate[d][0] = 0;
			for (size_t i = 1; i <= n_rb; i++) /* a device short of power: ever less for one more RB */
				rate[d][i] = rate[d][i - 1] + (float)(slope * pow((double)i, -bend));
		}
		const float(*r)[PHY_RB_MAX + 1] = (const float(*)[PHY_RB_MAX + 1]) rate;
		double t = alloc_minmax_solve(2, n_rb, (double)n_rb, need, tail, r, x);
		double best = golden_two(n_rb, need, tail, r);
		assert_true(fabs(t - best) < 1e-7 * best);
		assert_true(x[0] + x[1] <= (double)n_rb * (1 + 1e-9));
	}
}

/* Eight devices, tails: the optimality conditions themselves. Feasible; the budget is spent; whoever gets RBs
 * finishes at T. */
static void at_the_optimum_all_finish_together_and_the_budget_is_spent(void **state)
{
	(void)state;
	float rate[K][PHY_RB_MAX + 1];
	for (int trial = 0; trial < 300; trial++) {
		size_t n_rb = 11 + below(100);
		double need[K], tail[K], x[K], sum = 0;
		for (size_t d = 0; d < K; d++) {
			double c = 1 + 100 * uniform();
			need[d] = uniform() < 0.2 ? 0 : 10 + 5000 * uniform();
			tail[d] = 10 * uniform();
			for (size_t i = 0; i <= n_rb; i++)
				rate[d][i] = (float)(c * (double)i);
		}
		need[0] = 100;
		double t =
		        alloc_minmax_solve(K, n_rb, (double)n_rb, need, tail, (const float(*)[PHY_RB_MAX + 1]) rate, x);
		for (size_t d = 0; d < K; d++) {
			sum += x[d];
			if (need[d] > 0)
				assert_true(fabs(tail[d] + need[d] / rate_at(rate[d], n_rb, x[d]) - t) < 1e-6 * t);
			else
				assert_true(x[d] == 0);
		}
		assert_true(fabs(sum - (double)n_rb) < 1e-6 * (double)n_rb);
	}
}

static void a_device_without_any_rate_is_left_out_and_said(void **state)
{
	(void)state;
	float rate[2][PHY_RB_MAX + 1] = { { 0 } };
	for (size_t i = 0; i <= N_RB; i++)
		rate[0][i] = 10 * (float)i;
	double need[2] = { 100, 100 }, tail[2] = { 0, 0 }, x[2];
	assert_true(isinf(alloc_minmax_solve(2, N_RB, N_RB, need, tail, (const float(*)[PHY_RB_MAX + 1]) rate, x)));
	assert_true(fabs(x[0] - N_RB) < 1e-6 && x[1] == 0);
	need[1] = 0;
	assert_true(fabs(alloc_minmax_solve(2, N_RB, N_RB, need, tail, (const float(*)[PHY_RB_MAX + 1]) rate, x) -
	                 100.0 / 180) < 1e-9);
}

/* ---- the methods ---- */

static void equal_leaves_the_shares_of_idle_devices_empty(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	load_device(&p, 2, 100000, 0);
	load_device(&p, 5, 100000, 0);
	size_t given = 0;
	for (uint32_t layer = 0; layer < K; layer++) {
		struct alloc_state s = { .layer = layer };
		struct rb_set first = { { 0, 0 } };
		for (int slot = 0; slot < 10; slot++) {
			struct alloc_result r = solve("equal", &p, &s);
			assert_int_equal(r.n_grants, 2);
			assert_in_range(rbs_of(&r, 2), N_RB / K, N_RB / K + 1);
			if (slot == 0)
				first = grant_of(&r, 2)->rbs;
			assert_true(rb_set_equal(&first, &grant_of(&r, 2)->rbs)); /* for the whole layer */
		}
		struct alloc_result r = solve("equal", &p, &s);
		given += rbs_of(&r, 2);
	}
	assert_int_equal(given, N_RB); /* over K layers each device had the same */
}

static void round_robin_gives_everything_to_those_who_have_something_to_send(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	struct alloc_state s = { 0 };
	for (size_t d = 0; d < 4; d++)
		load_device(&p, d, 100000, 0);
	size_t given[4] = { 0 };
	for (int slot = 0; slot < 80; slot++) {
		struct alloc_result r = solve("round-robin", &p, &s);
		size_t sum = 0;
		for (size_t d = 0; d < 4; d++) {
			assert_in_range(rbs_of(&r, d), N_RB / 4, N_RB / 4 + 1);
			given[d] += rbs_of(&r, d);
			sum += rbs_of(&r, d);
		}
		assert_int_equal(sum, N_RB);
	}
	for (size_t d = 1; d < 4; d++) /* the remainder went round */
		assert_true(labs((long)given[d] - (long)given[0]) <= 60);
	p.device[3].backlog_bytes = 40; /* one RB at 15 dB: the rest goes to the others */
	struct alloc_result r = solve("round-robin", &p, &s);
	assert_in_range(rbs_of(&r, 3), 1, 1);
	assert_int_equal(rbs_of(&r, 0) + rbs_of(&r, 1) + rbs_of(&r, 2), N_RB - 1);
}

static void minmax_gives_more_to_whoever_would_be_late(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	struct alloc_state s = { 0 };
	load_device(&p, 0, 20000, 0);
	load_device(&p, 1, 20000, 0);
	flat_link(&p.device[1], 3); /* half the rate or less */
	load_device(&p, 2, 20000, 20e-3);
	load_device(&p, 3, 5000, 0);
	struct alloc_result r = solve("minmax", &p, &s);
	assert_true(rbs_of(&r, 1) > rbs_of(&r, 0));
	assert_true(rbs_of(&r, 2) > rbs_of(&r, 0));
	assert_true(rbs_of(&r, 3) < rbs_of(&r, 0));
	assert_int_equal(rbs_of(&r, 0) + rbs_of(&r, 1) + rbs_of(&r, 2) + rbs_of(&r, 3), N_RB);
	assert_true(r.finish_s > 20e-3);
}

/* A whole layer, downlink only, lossless: slots until the last byte and its tail are through. */
static double play_layer(const char *name, struct alloc_problem p)
{
	struct alloc_state s = { 0 };
	double finish = 0;
	for (int slot = 0; slot < 2000; slot++) {
		struct alloc_result r = solve(name, &p, &s);
		if (!r.n_grants)
			return finish;
		for (size_t i = 0; i < r.n_grants; i++) {
			struct alloc_device *d = &p.device[r.grant[i].device];
			uint32_t bytes = r.grant[i].bytes < d->backlog_bytes ? r.grant[i].bytes : d->backlog_bytes;
			d->backlog_bytes -= bytes;
			d->remaining_bytes -= bytes;
			if (!d->backlog_bytes) {
				d->loaded = false;
				finish = fmax(finish, slot + 1 + d->tail_s / p.slot_s);
			}
		}
	}
	fail_msg("%s never finishes", name);
	return INFINITY;
}

static void over_whole_layers_horizon_beats_minmax_beats_round_robin_beats_equal(void **state)
{
	(void)state;
	enum { N = 200 };
	const char *names[4] = { "equal", "round-robin", "minmax", "horizon" };
	double sum[4] = { 0 };
	size_t n_worse = 0;
	for (int trial = 0; trial < N; trial++) {
		struct alloc_problem p = quiet_problem();
		for (size_t d = 0; d < K; d++) {
			flat_link(&p.device[d], (float)(6 + 3 * d));
			if (uniform() < 0.7)
				load_device(&p, d, (uint32_t)(500 + 3000 * uniform()), 10e-3 * uniform());
		}
		double slots[4];
		for (int i = 0; i < 4; i++)
			sum[i] += slots[i] = play_layer(names[i], p);
		n_worse += slots[2] > slots[1];
		assert_true(slots[3] <= slots[1]);
	}
	assert_true(sum[1] < 0.8 * sum[0]);
	assert_true(sum[2] < 0.95 * sum[1]);
	assert_true(sum[3] < 0.9 * sum[2]);
	assert_true(n_worse < N / 8); /* constant shares and whole slots cost minmax some layers */
}

/* One resource, RBs times slots; device d must have its work done at T - tail. By trying every deadline: the least T
 * for which all the work due by any deadline fits before it. */
static double least_finish(const struct alloc_problem *p)
{
	double worst = 0;
	for (size_t d = 0; d < K; d++) {
		double due = 0;
		for (size_t e = 0; e < K; e++) {
			float rate[PHY_RB_MAX + 1];
			link_rates(&p->device[e].link, &table, &p->available, rate);
			if (p->device[e].tail_s >= p->device[d].tail_s)
				due += p->device[e].backlog_bytes / (double)rate[N_RB];
		}
		worst = fmax(worst, due + p->device[d].tail_s / p->slot_s);
	}
	return worst;
}

static void horizon_comes_within_rounding_of_the_least_finish(void **state)
{
	(void)state;
	for (int trial = 0; trial < 100; trial++) {
		struct alloc_problem p = quiet_problem();
		for (size_t d = 0; d < K; d++) {
			flat_link(&p.device[d], (float)(6 + 3 * d));
			load_device(&p, d, (uint32_t)(500 + 8000 * uniform()), 5e-3 * uniform());
		}
		struct alloc_state s = { 0 };
		double least = least_finish(&p), played = play_layer("horizon", p);
		double predicted = solve("horizon", &p, &s).finish_s / p.slot_s;
		assert_true(played < 1.03 * least + 1.5 && played > 0.97 * least); /* below: small blocks round up */
		assert_true(fabs(predicted - least) < 0.03 * least + 1);
	}
}

static void minmax_predicts_its_own_finish(void **state)
{
	(void)state;
	for (int trial = 0; trial < 100; trial++) {
		struct alloc_problem p = quiet_problem();
		for (size_t d = 0; d < K; d++) {
			flat_link(&p.device[d], (float)(6 + 3 * d));
			load_device(&p, d, (uint32_t)(500 + 8000 * uniform()), 5e-3 * uniform());
		}
		struct alloc_state s = { 0 };
		double predicted = solve("minmax", &p, &s).finish_s / p.slot_s, played = play_layer("minmax", p);
		assert_true(fabs(predicted - played) < 0.03 * played + 1.5);
	}
}

static void control_messages_get_through_beside_a_loaded_layer(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	struct alloc_state s = { 0 };
	for (size_t d = 0; d < 4; d++)
		load_device(&p, d, 50000, 0);
	p.device[6].backlog_bytes = 30;
	flat_link(&p.device[6], -4);
	const char *names[] = { "round-robin", "minmax", "minmax-rb", "horizon" };
	for (size_t i = 0; i < 4; i++) {
		struct alloc_result r = solve(names[i], &p, &s);
		const struct alloc_grant *g = grant_of(&r, 6);
		assert_non_null(g);
		assert_true(g->bytes >= 12);
		assert_int_equal(r.n_grants, 5);
	}
	struct alloc_result r = solve("equal", &p, &s);
	assert_non_null(grant_of(&r, 6));
}

static void a_retransmission_comes_first_and_keeps_mcs_and_size(void **state)
{
	(void)state;
	size_t n;
	const struct alloc_method *all = alloc_methods(&n);
	for (size_t i = 0; i < n; i++) {
		struct alloc_problem p = quiet_problem();
		struct alloc_state s = { 0 };
		for (size_t d = 0; d < K; d++)
			load_device(&p, d, 50000, 0);
		p.device[4].retx = true;
		p.device[4].retx_n_rb = 10;
		p.device[4].retx_mcs = 6;
		p.device[4].retx_bytes = 123;
		p.device[4].retx_process = 3;
		p.device[4].can_send_new = false;
		p.device[4].link.snr_db[7] = 20; /* the best RB is among them */
		p.grants_max = 1;
		struct alloc_result r;
		assert_int_equal(all[i].allocate(&p, &s, &r), 0);
		assert_int_equal(r.n_grants, 1);
		assert_true(r.grant[0].retx && r.grant[0].device == 4);
		assert_int_equal(r.grant[0].n_rb, 10);
		assert_int_equal(r.grant[0].mcs, 6);
		assert_int_equal(r.grant[0].bytes, 123);
		assert_int_equal(r.grant[0].process, 3);
		if (strcmp(all[i].name, "equal") != 0)
			assert_true(rb_set_has(&r.grant[0].rbs, 7));
		p.grants_max = 16;
		p.device[4].retx_n_rb = N_RB + 1; /* does not fit: holds no one up */
		assert_int_equal(all[i].allocate(&p, &s, &r), 0);
		assert_null(grant_of(&r, 4));
		assert_int_equal(r.n_grants, K - 1);
	}
}

/* Over flat links the product of rates is largest with equal shares of RBs, whatever the SNRs. */
static void proportional_fair_shares_rbs_equally_over_flat_links(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	struct alloc_state s = { 0 };
	size_t given[K] = { 0 };
	for (size_t d = 0; d < 4; d++) {
		flat_link(&p.device[d], (float)(3 + 7 * d));
		load_device(&p, d, 1000000, 0);
	}
	for (int slot = 0; slot < 400; slot++) {
		struct alloc_result r = solve("proportional-fair", &p, &s);
		for (size_t d = 0; d < 4; d++)
			given[d] += rbs_of(&r, d);
	}
	for (size_t d = 0; d < 4; d++)
		assert_in_range(given[d], 400 * N_RB / 4 * 9 / 10, 400 * N_RB / 4 * 11 / 10);
}

/* Two devices with as much to carry, each good where the other is bad: each gets its own half. */
static void minmax_rb_knows_the_rate_of_each_rb(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	struct alloc_state s = { 0 };
	for (size_t d = 0; d < 2; d++) {
		load_device(&p, d, 20000, 0);
		for (size_t rb = 0; rb < N_RB; rb++)
			p.device[d].link.snr_db[rb] = (rb < N_RB / 2) == (d == 0) ? 20 : 3;
	}
	struct alloc_result r = solve("minmax-rb", &p, &s);
	for (size_t d = 0; d < 2; d++) {
		assert_int_equal(rbs_of(&r, d), N_RB / 2);
		assert_true(rb_set_has(&grant_of(&r, d)->rbs, d ? N_RB - 1 : 0));
	}
	assert_true(r.finish_s > 0);
}

static void each_device_gets_the_blocks_that_suit_it(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	struct alloc_state s = { 0 };
	load_device(&p, 0, 50000, 0);
	load_device(&p, 1, 50000, 0);
	for (size_t rb = 0; rb < N_RB; rb++) { /* two combs, 12 dB deep; device 1 is the weaker one */
		p.device[0].link.snr_db[rb] = rb % 2 ? 18 : 6;
		p.device[1].link.snr_db[rb] = rb % 2 ? 0 : 12;
	}
	struct alloc_result r = solve("round-robin", &p, &s);
	for (size_t rb = 0; rb < N_RB; rb++)
		assert_true(rb_set_has(&grant_of(&r, rb % 2 ? 0 : 1)->rbs, rb));
	assert_float_equal(grant_of(&r, 0)->snr_db, 18, 1e-3f);
	assert_int_equal(grant_of(&r, 0)->mcs, link_mcs(&table, 18.001f));
	assert_true(grant_of(&r, 0)->adapts);
}

static void a_small_backlog_is_sent_at_the_most_robust_mcs_that_carries_it(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	struct alloc_state s = { 0 };
	p.device[0].backlog_bytes = 20;
	struct alloc_result r = solve("equal", &p, &s);
	const struct alloc_grant *g = grant_of(&r, 0);
	assert_non_null(g);
	assert_true(g->bytes >= 20);
	assert_true(g->mcs == 0 || table.tbs_bytes[g->mcs - 1][g->n_rb] < 20);
	assert_true(g->mcs < link_mcs(&table, 15));
	assert_false(g->adapts);
}

static void a_device_short_of_power_is_served_on_few_blocks_at_a_higher_mcs(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	struct alloc_state s = { 0 };
	load_device(&p, 0, 400, 0);
	flat_link(&p.device[0], -6);
	p.device[0].link.headroom_db = -15;
	for (size_t d = 1; d < 4; d++)
		load_device(&p, d, 4000, 0);
	struct alloc_result r = solve("minmax", &p, &s);
	const struct alloc_grant *g = grant_of(&r, 0);
	assert_non_null(g);
	assert_true(g->n_rb <= 6);
	assert_true(fabsf(g->snr_db - (-6 + link_power_gain_db(-15, g->n_rb, N_RB))) < 1e-3f);
	assert_true(table.tbs_bytes[g->mcs][g->n_rb] == g->bytes);
}

static void nothing_goes_to_the_dead_the_unknown_and_the_blocked(void **state)
{
	(void)state;
	size_t n;
	const struct alloc_method *all = alloc_methods(&n);
	for (size_t i = 0; i < n; i++) {
		struct alloc_problem p = quiet_problem();
		struct alloc_state s = { 0 };
		for (size_t d = 0; d < 5; d++)
			load_device(&p, d, 5000, 0);
		p.device[0].alive = false;
		p.device[1].link.usable = false;
		p.device[2].can_send_new = false;
		for (size_t rb = 0; rb < N_RB; rb++)
			p.device[3].link.snr_db[rb] = NAN;
		struct alloc_result r;
		assert_int_equal(all[i].allocate(&p, &s, &r), 0);
		assert_int_equal(r.n_grants, 1);
		assert_int_equal(r.grant[0].device, 4);
	}
}

static void the_same_problem_and_state_give_the_same_grants(void **state)
{
	(void)state;
	struct alloc_problem p = quiet_problem();
	for (size_t d = 0; d < K; d++)
		load_device(&p, d, (uint32_t)(100 + 700 * d), 1e-3 * (double)d);
	size_t n;
	const struct alloc_method *all = alloc_methods(&n);
	for (size_t i = 0; i < n; i++) {
		struct alloc_state a = { 3, 5 }, b = { 3, 5 };
		struct alloc_result ra = { 0 }, rb = { 0 };
		all[i].allocate(&p, &a, &ra);
		all[i].allocate(&p, &b, &rb);
		assert_memory_equal(ra.grant, rb.grant, sizeof ra.grant);
		assert_int_equal(a.turn, b.turn);
		assert_int_equal(a.layer, 5);
	}
}

/* ---- random problems ---- */

static float random_snr_db(void)
{
	double u = uniform();
	return u < 0.01 ? NAN : u < 0.02 ? INFINITY : u < 0.03 ? -INFINITY : (float)(-25 + 60 * uniform());
}

static struct alloc_problem random_problem(void)
{
	struct alloc_problem p = {
		.n_rb = N_RB,
		.rates = &table,
		.grants_max = below(12),
		.min_bytes = (uint32_t)below(40),
		.slot_s = 0.5e-3,
		.n_devices = below(PHY_DEVICES_MAX + 1),
	};
	for (size_t rb = 0; rb < N_RB; rb++)
		if (uniform() < 0.9)
			rb_set_add(&p.available, rb);
	for (size_t d = 0; d < p.n_devices; d++) {
		struct alloc_device *dev = &p.device[d];
		float mean_db = random_snr_db();
		dev->alive = uniform() < 0.9;
		dev->loaded = uniform() < 0.6;
		dev->can_send_new = uniform() < 0.9;
		dev->backlog_bytes = uniform() < 0.3 ? 0 : (uint32_t)exp(uniform() * 12);
		dev->remaining_bytes = uniform() < 0.05 ? (double)NAN : (double)dev->backlog_bytes * (1 + uniform());
		dev->tail_s = uniform() < 0.05 ? (double)INFINITY : 0.02 * (uniform() - 0.1);
		dev->retx = uniform() < 0.2;
		dev->retx_n_rb = (uint8_t)below(N_RB + 3);
		dev->retx_mcs = 3;
		dev->retx_bytes = 50;
		dev->link.usable = uniform() < 0.95;
		dev->link.headroom_db = uniform() < 0.5 ? INFINITY : (float)(-25 + 35 * uniform());
		for (size_t rb = 0; rb < N_RB; rb++)
			dev->link.snr_db[rb] =
			        uniform() < 0.05 ? random_snr_db() : mean_db + (float)(6 * uniform() - 3);
	}
	return p;
}

static void assert_sound(const struct alloc_problem *p, const struct alloc_result *r)
{
	struct rb_set taken = { { 0, 0 } };
	bool served[PHY_DEVICES_MAX] = { false };
	bool new_seen[PHY_DEVICES_MAX + 1] = { false };
	assert_true(r->n_grants <= p->grants_max);
	for (size_t i = 0; i < r->n_grants; i++) {
		const struct alloc_grant *g = &r->grant[i];
		assert_true(g->device < p->n_devices);
		const struct alloc_device *d = &p->device[g->device];
		assert_false(served[g->device]);
		served[g->device] = true;
		assert_true(d->alive && d->link.usable);
		assert_int_equal(rb_set_count(&g->rbs), g->n_rb);
		assert_true(g->n_rb > 0);
		assert_false(rb_set_overlap(&taken, &g->rbs));
		for (size_t w = 0; w < 2; w++) {
			assert_true((g->rbs.bits[w] & ~p->available.bits[w]) == 0);
			taken.bits[w] |= g->rbs.bits[w];
		}
		assert_int_equal(g->retx, d->retx);
		if (g->retx) {
			assert_false(new_seen[0]); /* retransmissions first */
			assert_int_equal(g->n_rb, d->retx_n_rb);
			assert_int_equal(g->bytes, d->retx_bytes);
		} else {
			new_seen[0] = true;
			assert_true(d->can_send_new && d->backlog_bytes > 0);
			assert_int_equal(g->bytes, table.tbs_bytes[g->mcs][g->n_rb]);
			uint32_t least = p->min_bytes < d->backlog_bytes ? p->min_bytes : d->backlog_bytes;
			assert_true(g->bytes > 0 && g->bytes >= least);
			assert_true(g->snr_db > -INFINITY);
		}
	}
}

static void ten_thousand_random_problems_break_no_rule(void **state)
{
	(void)state;
	size_t n, n_grants = 0;
	const struct alloc_method *all = alloc_methods(&n);
	struct alloc_state s = { 0 };
	for (int trial = 0; trial < 10000; trial++) {
		struct alloc_problem p = random_problem();
		s.layer = (uint32_t)trial / 7;
		for (size_t i = 0; i < n; i++) {
			struct alloc_result r;
			assert_int_equal(all[i].allocate(&p, &s, &r), 0);
			assert_sound(&p, &r);
			n_grants += r.n_grants;
		}
	}
	assert_true(n_grants > 30000);
}

/* Free RBs and somebody who could use them: never together, but for `equal`. */
static void the_others_are_work_conserving(void **state)
{
	(void)state;
	const char *names[] = { "round-robin", "minmax", "horizon" };
	struct alloc_state s = { 0 };
	for (int trial = 0; trial < 2000; trial++) {
		struct alloc_problem p = quiet_problem();
		for (size_t d = 0; d < K; d++) {
			flat_link(&p.device[d], (float)(6 + 20 * uniform()));
			p.device[d].loaded = uniform() < 0.5;
			p.device[d].backlog_bytes = uniform() < 0.5 ? 0 : (uint32_t)(4000 * uniform());
			p.device[d].remaining_bytes = p.device[d].backlog_bytes;
		}
		for (size_t i = 0; i < 3; i++) {
			struct alloc_result r = solve(names[i], &p, &s);
			size_t used = 0;
			for (size_t g = 0; g < r.n_grants; g++)
				used += r.grant[g].n_rb;
			for (size_t d = 0; used < N_RB && d < K; d++) {
				const struct alloc_grant *g = grant_of(&r, d);
				assert_true((g ? g->bytes : 0) >= p.device[d].backlog_bytes);
			}
		}
	}
}

/* A block for devices 0 and 1 as one party more: placed where it says, its MCS what the worse of the two can take there. */
static void a_block_for_several_takes_the_mcs_of_the_worst_off(void **state)
{
	(void)state;
	size_t n;
	const struct alloc_method *all = alloc_methods(&n);
	for (size_t i = 0; i < n; i++) {
		struct alloc_state s = { 0 };
		struct alloc_problem p = quiet_problem();
		struct alloc_device *party = &p.device[p.n_devices++];
		party->alive = party->can_send_new = true;
		party->members = 0x3;
		flat_link(party, 15);
		flat_link(&p.device[0], 20);
		flat_link(&p.device[1], 9);
		load_device(&p, K, 100000, 0);
		struct alloc_result r = solve(all[i].name, &p, &s);
		const struct alloc_grant *g = grant_of(&r, K);
		assert_non_null(g);
		assert_float_equal(g->snr_db, 9, 1e-3);
		assert_int_equal(g->mcs, link_mcs(&table, 9 + 1e-3f));
		assert_int_equal(r.n_grants, 1);
	}
}

static void impossible_sizes_are_refused(void **state)
{
	(void)state;
	size_t n;
	const struct alloc_method *all = alloc_methods(&n);
	for (size_t i = 0; i < n; i++) {
		struct alloc_state s = { 0 };
		struct alloc_result r;
		struct alloc_problem p = quiet_problem();
		p.rates = NULL;
		assert_int_equal(all[i].allocate(&p, &s, &r), -EINVAL);
		assert_int_equal(r.n_grants, 0);
		p = quiet_problem();
		p.n_devices = ALLOC_PARTIES_MAX + 1;
		assert_int_equal(all[i].allocate(&p, &s, &r), -EINVAL);
		p = quiet_problem();
		p.n_rb = N_RB - 1;
		assert_int_equal(all[i].allocate(&p, &s, &r), -EINVAL);
		p = quiet_problem();
		rb_set_add(&p.available, N_RB);
		assert_int_equal(all[i].allocate(&p, &s, &r), -EINVAL);
		p = quiet_problem();
		p.slot_s = NAN;
		assert_int_equal(all[i].allocate(&p, &s, &r), -EINVAL);
	}
	assert_null(alloc_method_find("no such method"));
}

static int make_table(void **state)
{
	(void)state;
	return rate_table_init(&table, N_RB, RE_PER_RB, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_straight_rates_and_no_tails_the_closed_form_is_met),
		cmocka_unit_test(with_tails_and_bent_rates_golden_section_finds_nothing_better),
		cmocka_unit_test(at_the_optimum_all_finish_together_and_the_budget_is_spent),
		cmocka_unit_test(a_device_without_any_rate_is_left_out_and_said),
		cmocka_unit_test(equal_leaves_the_shares_of_idle_devices_empty),
		cmocka_unit_test(round_robin_gives_everything_to_those_who_have_something_to_send),
		cmocka_unit_test(minmax_gives_more_to_whoever_would_be_late),
		cmocka_unit_test(over_whole_layers_horizon_beats_minmax_beats_round_robin_beats_equal),
		cmocka_unit_test(horizon_comes_within_rounding_of_the_least_finish),
		cmocka_unit_test(minmax_predicts_its_own_finish),
		cmocka_unit_test(control_messages_get_through_beside_a_loaded_layer),
		cmocka_unit_test(a_retransmission_comes_first_and_keeps_mcs_and_size),
		cmocka_unit_test(proportional_fair_shares_rbs_equally_over_flat_links),
		cmocka_unit_test(minmax_rb_knows_the_rate_of_each_rb),
		cmocka_unit_test(each_device_gets_the_blocks_that_suit_it),
		cmocka_unit_test(a_small_backlog_is_sent_at_the_most_robust_mcs_that_carries_it),
		cmocka_unit_test(a_device_short_of_power_is_served_on_few_blocks_at_a_higher_mcs),
		cmocka_unit_test(nothing_goes_to_the_dead_the_unknown_and_the_blocked),
		cmocka_unit_test(the_same_problem_and_state_give_the_same_grants),
		cmocka_unit_test(ten_thousand_random_problems_break_no_rule),
		cmocka_unit_test(the_others_are_work_conserving),
		cmocka_unit_test(a_block_for_several_takes_the_mcs_of_the_worst_off),
		cmocka_unit_test(impossible_sizes_are_refused),
	};
	return cmocka_run_group_tests(tests, make_table, NULL);
}
