/* wdmoe schedule: one layer from a file, decided by any policy and allocator. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testbed/cli.h"
#include "testbed/problem.h"

enum { SOLVES_MAX = 101 };
static const double solving_s = 0.1; /* how long it is repeated for the time it takes */

struct solution {
	struct selector *selector;
	struct layer_choice *choices;
	uint32_t tokens_on[LAYER_DEVICES_MAX];
	struct bandwidth split;
	double select_us, allocate_us, solve_us;
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median_us(double *x, size_t n)
{
	qsort(x, n, sizeof *x, by_value);
	return 1e6 * x[n / 2];
}

/* Solves it again and again; the times are medians. */
static int solve(const struct problem *p, struct solution *s)
{
	double select_s[SOLVES_MAX], allocate_s[SOLVES_MAX], both_s[SOLVES_MAX], begin_s = now_s();
	size_t n = 0;
	do {
		double t0 = now_s();
		int rc = selector_run(s->selector, &p->layer, &p->select, s->choices);
		if (rc)
			return rc;
		double t1 = now_s();
		layer_load(&p->layer, s->choices, s->tokens_on);
		p->allocate->allocate(&p->layer, s->tokens_on, &s->split);
		double t2 = now_s();
		select_s[n] = t1 - t0;
		allocate_s[n] = t2 - t1;
		both_s[n++] = t2 - t0;
	} while (n < SOLVES_MAX && now_s() - begin_s < solving_s);
	s->select_us = median_us(select_s, n);
	s->allocate_us = median_us(allocate_s, n);
	s->solve_us = median_us(both_s, n);
	return 0;
}

/* ---- JSON ---- */

static json_t *token_json(const struct layer *l, const struct layer_choice *c)
{
	json_t *list = json_array();
	for (size_t i = 0; i < l->top_k; i++) {
		if (c[i].device < 0)
			continue;
		json_t *one = json_pack("{s:i, s:i, s:f}", "expert", c[i].expert, "device", c[i].device, "weight",
		                        c[i].given_weight);
		if (c[i].expert != c[i].wanted)
			json_object_set_new(one, "instead_of", json_integer(c[i].wanted));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *selection_json(const struct layer *l, const struct layer_choice *choices)
{
	json_t *list = json_array();
	for (size_t j = 0; j < l->n_tokens; j++)
		json_array_append_new(list, token_json(l, choices + j * l->top_k));
	return list;
}

static json_t *bandwidth_json(const struct layer *l, const struct bandwidth *b, int dir)
{
	json_t *list = json_array();
	for (size_t d = 0; d < l->n_devices; d++)
		json_array_append_new(list, json_real_or_null(b->blocks[dir][d] * l->block_hz));
	return list;
}

/* Of each device, the blocks it holds. */
static json_t *blocks_json(const struct layer *l, const struct bandwidth *b, int dir)
{
	json_t *list = json_array();
	for (size_t d = 0; d < l->n_devices; d++)
		json_array_append_new(list, json_array());
	for (size_t rb = 0; rb < l->n_rb; rb++)
		if (b->owner[dir][rb] >= 0)
			json_array_append_new(json_array_get(list, (size_t)b->owner[dir][rb]),
			                      json_integer((json_int_t)rb));
	return list;
}

static json_t *curve_json(const struct selector *s)
{
	size_t n;
	const struct select_point *curve = selector_curve(s, &n);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:o, s:f}", "layer_latency_s",
		                                      json_real_or_null(curve[i].layer_latency_s), "kept_weight",
		                                      curve[i].kept_weight));
	return n ? list : (json_decref(list), NULL);
}

static json_t *solution_json(const struct problem *p, const struct solution *s)
{
	const struct layer *l = &p->layer;
	const struct bandwidth *b = &s->split;
	json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:o, s:{s:o, s:o}, s:o, s:o, s:f, s:f, s:o, s:f, s:f, s:f}",
	                         "schema", 1, "version", cli_version(), "policy", p->policy, "method",
	                         p->allocate->name, "selection", selection_json(l, s->choices), "bandwidth_hz", "dl",
	                         bandwidth_json(l, b, LAYER_DL), "ul", bandwidth_json(l, b, LAYER_UL),
	                         "device_latency_s", json_reals(b->device_s, l->n_devices), "layer_latency_s",
	                         json_real_or_null(b->latency_s), "kept_weight", layer_kept_weight(l, s->choices),
	                         "wlr", layer_wlr(l, s->choices, b->device_s), "lower_bound_s",
	                         json_real_or_null(bandwidth_lower_bound_s(l, s->tokens_on, p->allocate->whole)),
	                         "solve_us", s->solve_us, "select_us", s->select_us, "allocate_us", s->allocate_us);
	if (p->allocate->whole)
		json_object_set_new(
		        root, "blocks",
		        json_pack("{s:o, s:o}", "dl", blocks_json(l, b, LAYER_DL), "ul", blocks_json(l, b, LAYER_UL)));
	json_t *curve = curve_json(s->selector);
	if (curve)
		json_object_set_new(root, "curve", curve);
	return root;
}

/* ---- the command ---- */

static void print_summary(FILE *f, const struct problem *p, const struct solution *s)
{
	fprintf(f, "%s + %s: %.6g ms a layer, %.1f %% of the weight kept, bound %.6g ms, decided in %.1f us\n",
	        p->policy, p->allocate->name, 1e3 * s->split.latency_s, 100 * layer_kept_weight(&p->layer, s->choices),
	        1e3 * bandwidth_lower_bound_s(&p->layer, s->tokens_on, p->allocate->whole), s->solve_us);
}

static int schedule(const struct problem *p, const struct json_out *out)
{
	const struct layer *l = &p->layer;
	struct select_limits limits = { l->n_tokens, l->n_experts, l->top_k, l->n_devices, 1 << 20 };
	struct solution *s = calloc(1, sizeof *s);
	int status;
	if (s) {
		s->selector = selector_create(p->policy, &limits);
		s->choices = calloc(l->n_tokens * l->top_k, sizeof *s->choices);
	}
	int rc = s && s->selector && s->choices ? solve(p, s) : -ENOMEM;
	if (rc == -E2BIG) {
		status = cli_bad_input("select.policy: more selections than exhaustive can look at");
	} else if (rc) {
		status = cli_failed("schedule: %s", strerror(-rc));
	} else {
		print_summary(json_out_text(out), p, s);
		status = json_out_write(out, solution_json(p, s));
	}
	if (s) {
		selector_destroy(s->selector);
		free(s->choices);
	}
	free(s);
	return status;
}

int cmd_schedule(int argc, char **argv)
{
	struct cli_list files = { .n = 0 };
	const char *json = "-", *policy = NULL, *method = NULL;
	const struct cli_option options[] = {
		{ "policy", CLI_STRING, &policy, "NAME", "instead of the file's select.policy" },
		{ "allocate", CLI_STRING, &method, "NAME", "instead of the file's allocate.method" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"PROBLEM",
		"Decides one layer: which experts serve which tokens, and how the devices share the band.\n"
		"PROBLEM is a JSON file (- is standard input); its format is in notes/scheduler.md.",
		options,
		sizeof options / sizeof options[0],
		&files,
		1,
		1
	};
	struct problem p;
	struct json_out out;
	char err[512];
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if ((status = json_out_open(&out, json)) != CLI_DONE)
		return status;
	if (problem_load(&p, files.items[0], err, sizeof err) < 0)
		return cli_bad_input("schedule: %s", err);
	const struct select_policy *other = policy ? select_policy_find(policy) : NULL;
	if (policy && !other)
		status = cli_bad_input("--policy: there is no \"%s\"", policy);
	else if (method && !bandwidth_method_find(method))
		status = cli_bad_input("--allocate: there is no \"%s\"", method);
	if (status == CLI_DONE) {
		p.policy = other ? other->name : p.policy;
		p.allocate = method ? bandwidth_method_find(method) : p.allocate;
		if (strcmp(p.policy, "frontier") == 0 || strcmp(p.policy, "exhaustive") == 0)
			p.select.split = p.allocate->whole ? bandwidth_method_find("minmax") : p.allocate;
		status = schedule(&p, &out);
	}
	problem_free(&p);
	return status;
}
