/* wdmoe attach: how long a whole cell takes from cold start until every device is attached. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/cli.h"
#include "testbed/lockstep.h"
#include "testbed/session.h"
#include "testbed/spread.h"
#include "testbed/stats.h"

static const char default_config[] = "testbed/scenarios/default.yaml";
static const double confidence = 0.95;

/* The way of one device: virtual time at which it first got there. Locked and informed: it found the cell, it read
 * system information. Answered: its preamble was. Attached: both ends say so, hello and welcome were decoded. */
enum step { LOCKED, INFORMED, ANSWERED, ATTACHED, STEPS };

static const char *const step_names[STEPS] = { "locked", "informed", "answered", "attached" };
static const enum device_state step_states[STEPS] = { DEVICE_LISTEN, DEVICE_ACCESS, DEVICE_CONNECTED, DEVICE_ATTACHED };

struct attach {
	struct config *config;
	struct json_out json;
	size_t n_trials;
	double cfo_hz, within_s;
	double *all_s;   /* n_trials: every device attached at once; NAN: not in time */
	double *steps_s; /* n_trials x n_devices x STEPS */
	json_t *missing; /* who was not there, and why */
	uint64_t seed;
};

static double *steps_of(const struct attach *a, size_t trial, size_t device)
{
	return a->steps_s + (trial * a->config->n_devices + device) * STEPS;
}

static bool is_attached(struct lockstep *l, size_t k)
{
	return device_state(lockstep_device(l, k)) == DEVICE_ATTACHED &&
	       cell_state(bs_cell(lockstep_bs(l)), (unsigned)k) == CELL_ATTACHED;
}

/* Notes how far each device has come; true once all are attached. */
static bool look(const struct attach *a, size_t trial, struct lockstep *l)
{
	bool all = true;
	for (size_t k = 0; k < lockstep_n_devices(l); k++) {
		double *steps = steps_of(a, trial, k);
		enum device_state state = device_state(lockstep_device(l, k));
		bool attached = is_attached(l, k);
		all &= attached;
		for (size_t i = 0; i < STEPS; i++)
			if (isnan(steps[i]) && (i == ATTACHED ? attached : state >= step_states[i]))
				steps[i] = lockstep_time_s(l);
	}
	return all;
}

static void name_missing(struct attach *a, uint64_t seed, struct lockstep *l)
{
	for (size_t k = 0; k < lockstep_n_devices(l); k++) {
		if (is_attached(l, k))
			continue;
		struct device_stats d = device_stats(lockstep_device(l, k));
		struct cell_device_stats c = cell_device_stats(bs_cell(lockstep_bs(l)), (unsigned)k);
		const char *state = device_state_name(device_state(lockstep_device(l, k)));
		json_array_append_new(a->missing, json_pack("{s:I, s:I, s:s, s:I, s:I, s:I}", "seed", (json_int_t)seed,
		                                            "device", (json_int_t)k, "state", state, "searches",
		                                            (json_int_t)d.transitions[DEVICE_SEARCH] + 1, "accesses",
		                                            (json_int_t)c.accesses, "losses", (json_int_t)c.losses));
		fprintf(json_out_text(&a->json), "seed %llu: device %zu is not attached: %s\n",
		        (unsigned long long)seed, k, state);
	}
}

/* Oscillators anywhere within the allowed carrier offset; clocks start where the runner draws them. */
static void draw(struct attach *a, size_t trial)
{
	struct config *c = a->config;
	c->seed = a->seed + trial;
	for (size_t k = 0; k < c->n_devices; k++)
		c->devices[k].osc_ppm = c->bs.osc_ppm + spread_ppm(c->seed, k, a->cfo_hz, c->radio.dl_hz);
}

static int run_trial(struct attach *a, size_t trial, char *err, size_t err_len)
{
	struct lockstep *l;
	draw(a, trial);
	int rc = config_check(a->config, err, err_len);
	if (!rc)
		rc = lockstep_create(a->config, &l, err, err_len);
	if (rc)
		return rc;
	double until_s = 1e-3 * a->config->timers.attach_timeout_ms;
	bool all = false;
	while (!all && lockstep_time_s(l) < until_s && !rc) {
		rc = cli_interrupted() ? -EINTR : lockstep_slot(l);
		all = look(a, trial, l);
	}
	if (rc)
		snprintf(err, err_len, "%s", rc == -EINTR ? "interrupted" : strerror(-rc));
	a->all_s[trial] = all ? lockstep_time_s(l) : NAN;
	if (!all && !rc)
		name_missing(a, a->config->seed, l);
	lockstep_destroy(l);
	return rc;
}

/* ---- what it came to ---- */

static json_t *steps_json(const struct attach *a)
{
	json_t *root = json_object();
	size_t n = a->n_trials * a->config->n_devices;
	double *x = calloc(n, sizeof *x);
	for (size_t step = 0; x && step < STEPS; step++) {
		for (size_t i = 0; i < n; i++)
			x[i] = a->steps_s[i * STEPS + step];
		json_object_set_new(root, step_names[step], spread_json(x, n));
	}
	free(x);
	return root;
}

static json_t *attach_json(const struct attach *a, size_t within)
{
	struct stats_interval share = stats_wilson(within, a->n_trials, confidence);
	return json_pack("{s:i, s:s, s:I, s:I, s:I, s:f, s:f, s:I, s:o, s:o, s:o, s:o, s:o, s:O, s:o}", "schema", 1,
	                 "version", cli_version(), "seed", (json_int_t)a->seed, "trials", (json_int_t)a->n_trials,
	                 "n_devices", (json_int_t)a->config->n_devices, "cfo_hz", a->cfo_hz, "within_s", a->within_s,
	                 "trials_within", (json_int_t)within, "share_within", json_real_or_null(share.mean),
	                 "share_within_interval", json_reals((double[]){ share.low, share.high }, 2), "all_attached_s",
	                 spread_json(a->all_s, a->n_trials), "device_steps_s", steps_json(a), "all_attached_s_by_trial",
	                 json_reals(a->all_s, a->n_trials), "missing", a->missing, "config",
	                 config_json(a->config, false));
}

static int report(struct attach *a)
{
	FILE *f = json_out_text(&a->json);
	size_t within = 0;
	for (size_t i = 0; i < a->n_trials; i++)
		within += a->all_s[i] <= a->within_s;
	fprintf(f, "%zu of %zu cold starts of %zu device%s complete within %g s\n", within, a->n_trials,
	        a->config->n_devices, a->config->n_devices == 1 ? "" : "s", a->within_s);
	fprintf(f, "%-14s %7s %9s %9s %9s %9s %9s\n", "seconds until", "n", "mean", "p50", "p95", "p99", "max");
	size_t n = a->n_trials * a->config->n_devices;
	double *x = calloc(n, sizeof *x);
	for (size_t step = 0; x && step < STEPS; step++) {
		for (size_t i = 0; i < n; i++)
			x[i] = a->steps_s[i * STEPS + step];
		spread_print(f, step_names[step], x, n);
	}
	free(x);
	spread_print(f, "all attached", a->all_s, a->n_trials);
	return json_out_write(&a->json, attach_json(a, within));
}

static int execute(struct attach *a)
{
	char err[512];
	size_t n_steps = a->n_trials * a->config->n_devices * STEPS;
	a->all_s = calloc(a->n_trials, sizeof *a->all_s);
	a->steps_s = calloc(n_steps, sizeof *a->steps_s);
	a->missing = json_array();
	if (!a->all_s || !a->steps_s || !a->missing)
		return cli_failed("out of memory");
	for (size_t i = 0; i < n_steps; i++)
		a->steps_s[i] = NAN;
	cli_catch_interrupt();
	for (size_t i = 0; i < a->n_trials; i++) {
		int rc = run_trial(a, i, err, sizeof err);
		if (rc == -EINTR)
			return CLI_INTERRUPTED;
		if (rc)
			return i ? cli_failed("%s", err) : cli_bad_input("%s", err);
	}
	draw(a, 0); /* the report shows the configuration of the first trial */
	return report(a);
}

int cmd_attach(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL;
	struct attach a = { .seed = 1, .cfo_hz = 7500, .within_s = 1 };
	int64_t trials = 10;
	const struct cli_option options[] = {
		{ "trials", CLI_INT, &trials, "N", "cold starts, each with a seed of its own", .min = 1, .max = 1e6 },
		{ "seed", CLI_UINT64, &a.seed, "S", "of the first trial; the next has the next" },
		{ "cfo-hz", CLI_DOUBLE, &a.cfo_hz, "F",
		  "oscillators drawn uniformly: downlink carrier offset from -F to F", .min = 0, .max = 1e5 },
		{ "within-s", CLI_DOUBLE, &a.within_s, "T", "count the trials complete by then", .min = 1e-3,
		  .max = 1e4 },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"[CONFIG]",
		"Starts the cell of CONFIG (default testbed/scenarios/default.yaml) cold, N times: every device has to "
		"find it, read its\n"
		"system information, be answered, pass its hello up and read the welcome. Tells how long that took, in "
		"virtual time from\n"
		"the base station's first slot, devices switched on up to 20 slots later. Ends a trial at "
		"timers.attach_timeout_ms.",
		options,
		sizeof options / sizeof options[0],
		&files,
		0,
		1,
	};
	int status;
	char err[512];
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	a.n_trials = (size_t)trials;
	a.config = malloc(sizeof *a.config);
	if (!a.config)
		return cli_failed("out of memory");
	status = json_out_open(&a.json, json);
	if (status == CLI_DONE &&
	    config_load(a.config, files.n ? files.items[0] : default_config, sets.items, sets.n, err, sizeof err))
		status = cli_bad_input("%s", err);
	if (status == CLI_DONE)
		status = execute(&a);
	json_decref(a.missing);
	free(a.steps_s);
	free(a.all_s);
	free(a.config);
	return status;
}
