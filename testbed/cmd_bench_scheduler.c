/* wdmoe bench scheduler: how long the decisions take, on one core, with states that change as they do on the air. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "phy/layout.h"
#include "scheduler/allocate.h"
#include "scheduler/predict.h"
#include "scheduler/select.h"
#include "testbed/cli.h"
#include "testbed/splitmix.h"

enum { DEVICES = 8, TOKENS = 64, TOP_K = 2, LAYER_SLOTS = 60, N_SIZES = 2 };

static const size_t sizes[N_SIZES] = { 20, 50 };

struct bench {
	struct json_out json;
	size_t n_slots, n_layers;
	uint64_t seed, rng;
	double *us; /* [max(n_slots, n_layers)] */
};

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static double uniform(struct bench *b)
{
	b->rng += SPLITMIX_STEP;
	return (double)(splitmix(b->rng) >> 11) * 0x1p-53;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* {n, mean_us, p50_us, p99_us, max_us}; sorts them. */
static json_t *times_json(double *us, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += us[i];
	qsort(us, n, sizeof *us, by_value);
	return json_pack("{s:I, s:f, s:f, s:f, s:f}", "n", (json_int_t)n, "mean_us", sum / (double)n, "p50_us",
	                 us[n / 2], "p99_us", us[n * 99 / 100], "max_us", us[n - 1]);
}

/* ---- a slot ---- */

/* The base station's state of eight devices in the middle of layers that follow each other. */
struct cell_state {
	struct rate_table rates;
	struct link_config link_config;
	struct predict_config predict_config;
	struct link link[2][DEVICES];
	struct predict_state predict[DEVICES];
	double phase[DEVICES], remaining[2][DEVICES]; /* of fading; bytes of the layer */
	struct alloc_state alloc[2];
	struct alloc_problem problem;
	struct alloc_result result[2];
};

static void cell_init(struct cell_state *c, size_t n_rb, struct bench *b)
{
	memset(c, 0, sizeof *c);
	rate_table_init(&c->rates, n_rb, 120, 0);
	c->link_config = link_config_default();
	c->predict_config = predict_config_default();
	for (size_t d = 0; d < DEVICES; d++) {
		predict_init(&c->predict[d], &c->predict_config);
		c->phase[d] = 6.28 * uniform(b);
		for (int dir = 0; dir < 2; dir++)
			link_init(&c->link[dir][d], &c->link_config, n_rb);
	}
}

/* A new layer's bytes; reports and soundings of this slot; two paths that turn. */
static void observe(struct cell_state *c, uint64_t slot, struct bench *b)
{
	for (size_t d = 0; d < DEVICES; d++) {
		float snr_db[PHY_RB_MAX];
		for (size_t rb = 0; rb < c->rates.n_rb; rb++)
			snr_db[rb] = (float)(27 - 3 * (double)d +
			                     6 * cos(c->phase[d] + 0.01 * (double)slot + 0.3 * (double)rb));
		link_observe_band(&c->link[1][d], &c->link_config, slot, snr_db);
		link_observe_wideband(&c->link[0][d], slot, snr_db[0]);
		link_observe_rb(&c->link[0][d], &c->link_config, slot, slot % c->rates.n_rb,
		                snr_db[slot % c->rates.n_rb]);
		for (int dir = 0; dir < 2 && slot % LAYER_SLOTS == 0; dir++)
			c->remaining[dir][d] = (double)c->rates.n_rb * (50 + 250 * uniform(b));
		predict_observe_compute(&c->predict[d], &c->predict_config, 8, 1e-3 * (1 + uniform(b)));
	}
}

/* What the cell does before it builds a slot: links as of that slot, what follows the transfer, grants both ways. */
static void decide(struct cell_state *c, uint64_t slot)
{
	const struct alloc_method *horizon = alloc_method_find("horizon");
	for (int dir = 0; dir < 2; dir++) {
		struct alloc_problem *p = &c->problem;
		*p = (struct alloc_problem){ .n_rb = c->rates.n_rb,
			                     .rates = &c->rates,
			                     .grants_max = DEVICES,
			                     .min_bytes = 12,
			                     .slot_s = c->predict_config.slot_s,
			                     .n_devices = DEVICES };
		rb_set_add_range(&p->available, 0, p->n_rb);
		for (size_t d = 0; d < DEVICES; d++) {
			struct alloc_device *a = &p->device[d];
			float rate[PHY_RB_MAX + 1];
			*a = (struct alloc_device){ .alive = true,
				                    .loaded = c->remaining[0][d] > 0 || c->remaining[1][d] > 0,
				                    .can_send_new = true,
				                    .backlog_bytes = (uint32_t)c->remaining[dir][d],
				                    .remaining_bytes = c->remaining[dir][d] };
			link_view(&c->link[dir][d], slot, &a->link);
			if (dir || !a->loaded)
				continue;
			struct link_view up;
			link_view(&c->link[1][d], slot, &up);
			link_rates(&up, &c->rates, &p->available, rate);
			a->after_s = c->remaining[1][d] / fmax((double)rate[p->n_rb], 1) * p->slot_s;
			a->tail_s = predict_compute_s(&c->predict[d], 8) + a->after_s;
		}
		horizon->allocate(p, &c->alloc[dir], &c->result[dir]);
	}
}

static void carry(struct cell_state *c)
{
	for (int dir = 0; dir < 2; dir++)
		for (size_t i = 0; i < c->result[dir].n_grants; i++) {
			double *left = &c->remaining[dir][c->result[dir].grant[i].device];
			*left = fmax(0, *left - (double)c->result[dir].grant[i].bytes);
		}
}

static json_t *bench_slots(struct bench *b, size_t n_rb)
{
	struct cell_state *c = malloc(sizeof *c);
	if (!c)
		return NULL;
	cell_init(c, n_rb, b);
	for (size_t i = 0; i < b->n_slots && !cli_interrupted(); i++) {
		observe(c, i, b);
		double begin = now_us();
		decide(c, i);
		b->us[i] = now_us() - begin;
		carry(c);
	}
	free(c);
	return times_json(b->us, b->n_slots);
}

/* ---- a layer ---- */

struct layer_state {
	struct layer l;
	struct layer_device device[DEVICES];
	double weights[TOKENS * DEVICES], bps[2][DEVICES][PHY_RB_MAX];
	uint8_t holds[DEVICES * DEVICES];
	struct layer_choice choices[TOKENS * TOP_K];
	uint32_t tokens_on[DEVICES];
	struct bandwidth split;
};

static void draw_layer(struct layer_state *s, size_t n_tokens, size_t n_rb, struct bench *b)
{
	s->l = (struct layer){ .n_tokens = n_tokens,
		               .n_experts = DEVICES,
		               .top_k = TOP_K,
		               .n_devices = DEVICES,
		               .n_rb = n_rb,
		               .block_hz = 360e3,
		               .token_bits = { 2048, 2048 },
		               .weights = s->weights,
		               .holds = s->holds,
		               .device = s->device };
	for (size_t d = 0; d < DEVICES; d++) {
		s->holds[d * DEVICES + d] = 1;
		s->device[d] =
		        (struct layer_device){ .alive = true, .fixed_s = 1e-3 * uniform(b), .per_token_s = 1e-4 };
		for (int dir = 0; dir < 2; dir++) {
			double snr = pow(10, 0.1 * (27 - 3 * (double)d));
			for (size_t rb = 0; rb < n_rb; rb++) {
				s->bps[dir][d][rb] = 360e3 * log2(1 - snr * log(uniform(b) + 1e-9));
				s->device[d].mean_bps[dir] += s->bps[dir][d][rb] / (double)n_rb;
			}
			s->device[d].block_bps[dir] = s->bps[dir][d];
		}
	}
	for (size_t j = 0; j < n_tokens; j++) {
		double sum = 0;
		for (size_t e = 0; e < DEVICES; e++)
			sum += s->weights[j * DEVICES + e] = exp(6 * uniform(b));
		for (size_t e = 0; e < DEVICES; e++)
			s->weights[j * DEVICES + e] /= sum;
	}
}

static json_t *bench_policy(struct bench *b, struct layer_state *s, const char *policy, size_t n_tokens)
{
	struct select_params p = select_params_default();
	struct selector *selector = selector_create(
	        policy, &(struct select_limits){
	                        .n_tokens = TOKENS, .n_experts = DEVICES, .top_k = TOP_K, .n_devices = DEVICES });
	if (!selector)
		return NULL;
	p.whole_curve = false;
	p.loss_exponent = 2;
	p.price_layers = 8;
	p.split = bandwidth_method_find(strcmp(policy, "frontier") == 0 ? "minmax" : "round-robin");
	for (size_t i = 0; i < b->n_layers && !cli_interrupted(); i++) {
		draw_layer(s, n_tokens, 18, b);
		double begin = now_us();
		selector_run(selector, &s->l, &p, s->choices);
		b->us[i] = now_us() - begin;
	}
	selector_destroy(selector);
	return times_json(b->us, b->n_layers);
}

static json_t *bench_method(struct bench *b, struct layer_state *s, const struct bandwidth_method *m, size_t n_rb)
{
	for (size_t i = 0; i < b->n_layers && !cli_interrupted(); i++) {
		draw_layer(s, TOKENS, n_rb, b);
		for (size_t d = 0; d < DEVICES; d++)
			s->tokens_on[d] = (uint32_t)(1 + 16 * uniform(b));
		double begin = now_us();
		m->allocate(&s->l, s->tokens_on, &s->split);
		b->us[i] = now_us() - begin;
	}
	return times_json(b->us, b->n_layers);
}

/* ---- the whole ---- */

static void add(struct bench *b, json_t *list, const char *what, size_t n_tokens, size_t n_rb, json_t *times)
{
	json_t *row =
	        json_pack("{s:s, s:I, s:I}", "decision", what, "tokens", (json_int_t)n_tokens, "rb", (json_int_t)n_rb);
	json_object_update(row, times);
	fprintf(json_out_text(&b->json), "%-18s %4zu tokens %3zu RB %9.1f us p50 %9.1f us p99\n", what, n_tokens, n_rb,
	        json_number_value(json_object_get(times, "p50_us")),
	        json_number_value(json_object_get(times, "p99_us")));
	json_decref(times);
	json_array_append_new(list, row);
}

static json_t *run(struct bench *b)
{
	json_t *slots = json_array(), *layers = json_array();
	struct layer_state *s = calloc(1, sizeof *s);
	size_t n_policies, n_methods;
	const struct select_policy *policies = select_policies(&n_policies);
	const struct bandwidth_method *methods = bandwidth_methods(&n_methods);
	for (size_t i = 0; i < N_SIZES; i++)
		add(b, slots, "slot, horizon", 0, sizes[i], bench_slots(b, sizes[i]));
	for (size_t i = 0; i < n_policies && s; i++)
		for (size_t n = 8; n <= TOKENS; n *= 8)
			if (strcmp(policies[i].name, "exhaustive") != 0)
				add(b, layers, policies[i].name, n, 18, bench_policy(b, s, policies[i].name, n));
	for (size_t i = 0; i < n_methods && s; i++)
		for (size_t k = 0; k < N_SIZES; k++)
			add(b, layers, methods[i].name, 0, sizes[k], bench_method(b, s, &methods[i], sizes[k]));
	free(s);
	return json_pack("{s:i, s:s, s:I, s:i, s:o, s:o}", "schema", 1, "version", cli_version(), "seed",
	                 (json_int_t)b->seed, "devices", DEVICES, "slots", slots, "layers", layers);
}

int cmd_bench_scheduler(int argc, char **argv)
{
	const char *json = NULL;
	int64_t n_slots = 20000, n_layers = 500;
	struct bench b = { .seed = 1 };
	const struct cli_option options[] = {
		{ "slots", CLI_INT, &n_slots, "N", "slots decided, of each size", .min = 100, .max = 1e8 },
		{ "layers", CLI_INT, &n_layers, "N", "layers decided by each policy and method", .min = 10,
		  .max = 1e7 },
		{ "seed", CLI_UINT64, &b.seed, "SEED", "of states and layers" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Times on one core, for 8 devices: the whole decision of a slot (links, prediction, the allocator "
		"horizon, MCS\n"
		"and grants of both directions), every selection policy on a layer, every allocator of a layer's "
		"bandwidth.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if ((status = json_out_open(&b.json, json)) != CLI_DONE)
		return status;
	b.n_slots = (size_t)n_slots;
	b.n_layers = (size_t)n_layers;
	b.rng = b.seed;
	b.us = calloc(b.n_slots > b.n_layers ? b.n_slots : b.n_layers, sizeof *b.us);
	if (!b.us)
		return cli_failed("out of memory");
	cli_catch_interrupt();
	json_t *root = run(&b);
	free(b.us);
	if (cli_interrupted()) {
		json_decref(root);
		return CLI_INTERRUPTED;
	}
	return json_out_write(&b.json, root);
}
