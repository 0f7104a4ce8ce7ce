/* wdmoe sweep: the same items over the air under every combination of configuration values and every seed. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testbed/cli.h"
#include "testbed/config.h"
#include "testbed/stats.h"

enum { KEYS_MAX = 16, VALUES_MAX = 64, WORKERS_MAX = 64, ARGS_MAX = 64 + 4 * CLI_LIST_MAX, POLL_US = 20000 };

extern char **environ;

/* What is kept of a run: a name, and where it is in the report of `wdmoe eval tasks --link`. */
static const struct measure {
	const char *name, *path[3];
} measures[] = {
	{ "layer_ms", { "layer_latency", "all", "mean_ms" } },
	{ "layer_p95_ms", { "layer_latency", "all", "p95_ms" } },
	{ "prompt_layer_ms", { "layer_latency", "prompt", "mean_ms" } },
	{ "decode_layer_ms", { "layer_latency", "decode", "mean_ms" } },
	{ "air_share", { NULL } },
	{ "right", { NULL } },
	{ "dropped_share", { NULL } },
	{ "kept_weight", { "layer_latency", "all", "kept_weight" } },
	{ "prediction_error_median", { "layer_latency", "all", "prediction_error_median" } },
	{ "prediction_bias", { "layer_latency", "all", "prediction_bias" } },
	{ "bytes_on_air_per_token", { "bytes_on_air_per_token" } },
	{ "time_per_token_ms", { "time_per_token_ms" } },
};
enum { MEASURES = sizeof measures / sizeof measures[0] };

struct key {
	char *name, *value[VALUES_MAX];
	size_t n;
};

struct run { /* combination c, seed number s */
	double measure[MEASURES];
	bool done;
};

struct worker {
	pid_t pid; /* 0: idle */
	size_t run;
	char report[4096];
};

struct sweep {
	struct json_out json;
	const char *config, *out, *csv;
	struct cli_list items, sets;
	struct key key[KEYS_MAX];
	size_t n_keys, n_combinations, n_seeds, n_items, n_workers;
	uint64_t seed;
	struct run *run; /* [combinations][seeds] */
	size_t n_done;
	struct worker worker[WORKERS_MAX];
	char program[4096];
	char *fingerprint; /* of all that a run depends on */
};

/* ---- combinations ---- */

static const char *value_of(const struct sweep *s, size_t combination, size_t k)
{
	for (size_t i = s->n_keys; i-- > k + 1;)
		combination /= s->key[i].n;
	return s->key[k].value[combination % s->key[k].n];
}

/* "key=a,b,c" */
static bool add_key(struct sweep *s, const char *text)
{
	const char *equals = strchr(text, '=');
	struct key *k = &s->key[s->n_keys];
	if (!equals || equals == text || !equals[1] || s->n_keys == KEYS_MAX)
		return false;
	k->name = strndup(text, (size_t)(equals - text));
	char *values = strdup(equals + 1), *state = NULL;
	for (char *v = strtok_r(values, ",", &state); v && k->n < VALUES_MAX; v = strtok_r(NULL, ",", &state))
		k->value[k->n++] = strdup(v);
	free(values);
	s->n_keys++;
	s->n_combinations *= k->n;
	return k->n > 0;
}

static json_t *combination_json(const struct sweep *s, size_t combination)
{
	json_t *o = json_object();
	for (size_t k = 0; k < s->n_keys; k++)
		json_object_set_new(o, s->key[k].name, json_string(value_of(s, combination, k)));
	return o;
}

/* Every combination must be a configuration, before anything is begun. */
static int check_combinations(const struct sweep *s)
{
	static char set[KEYS_MAX][512];
	const char *sets[CLI_LIST_MAX + KEYS_MAX];
	char err[512];
	struct config *config = malloc(sizeof *config);
	int status = config ? CLI_DONE : cli_failed("out of memory");
	memcpy(sets, s->sets.items, s->sets.n * sizeof *sets);
	for (size_t c = 0; c < s->n_combinations && status == CLI_DONE; c++) {
		for (size_t k = 0; k < s->n_keys; k++) {
			snprintf(set[k], sizeof set[k], "%s=%s", s->key[k].name, value_of(s, c, k));
			sets[s->sets.n + k] = set[k];
		}
		if (config_load(config, s->config, sets, s->sets.n + s->n_keys, err, sizeof err))
			status = cli_bad_input("%s", err);
	}
	free(config);
	return status;
}

/* ---- the state: a line a run, so that what is done is never lost ---- */

/* NULL with one line on standard error. */
static char *fingerprint(const struct sweep *s)
{
	char err[512];
	struct config *config = malloc(sizeof *config);
	json_t *items = json_array();
	if (!config || config_load(config, s->config, s->sets.items, s->sets.n, err, sizeof err)) {
		cli_failed("%s", config ? err : "out of memory");
		free(config);
		return NULL;
	}
	for (size_t i = 0; i < s->items.n; i++)
		json_array_append_new(items, json_string(s->items.items[i]));
	json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I}", "version", cli_version(), "file", s->config,
	                      "config", config_json(config, true), "items", items, "seeds", (json_int_t)s->n_seeds,
	                      "first_seed", (json_int_t)s->seed, "items_each", (json_int_t)s->n_items);
	char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	free(config);
	return text;
}

/* Which run a line is about; n_combinations * n_seeds: none of this sweep. */
static size_t run_of_line(const struct sweep *s, const json_t *line)
{
	json_int_t seed = json_integer_value(json_object_get(line, "seed"));
	if (seed < (json_int_t)s->seed || seed >= (json_int_t)(s->seed + s->n_seeds))
		return s->n_combinations * s->n_seeds;
	for (size_t c = 0; c < s->n_combinations; c++) {
		json_t *here = combination_json(s, c);
		bool same = json_equal(here, json_object_get(line, "combination"));
		json_decref(here);
		if (same)
			return c * s->n_seeds + (size_t)(seed - (json_int_t)s->seed);
	}
	return s->n_combinations * s->n_seeds;
}

static void take_line(struct sweep *s, const json_t *line)
{
	size_t r = run_of_line(s, line);
	if (r == s->n_combinations * s->n_seeds || s->run[r].done)
		return;
	for (size_t m = 0; m < MEASURES; m++) {
		const json_t *v = json_object_get(json_object_get(line, "measures"), measures[m].name);
		s->run[r].measure[m] = json_is_number(v) ? json_number_value(v) : NAN;
	}
	s->run[r].done = true;
	s->n_done++;
}

static int append(const struct sweep *s, const char *line)
{
	FILE *f = fopen(s->out, "a");
	if (!f || fprintf(f, "%s\n", line) < 0 || fclose(f))
		return cli_failed("--out %s: %s", s->out, strerror(errno));
	return CLI_DONE;
}

/* Reads what an earlier sweep into the same file did. Returns CLI_DONE, or CLI_BAD_INPUT when that was another one. */
static int resume(struct sweep *s)
{
	char *line = NULL;
	size_t room = 0;
	int status = CLI_DONE;
	bool cut = false;
	FILE *f = fopen(s->out, "r");
	if (!f && errno == ENOENT)
		return append(s, s->fingerprint);
	if (!f)
		return cli_bad_input("--out %s: %s", s->out, strerror(errno));
	for (bool first = true; status == CLI_DONE && getline(&line, &room, f) > 0; first = false) {
		size_t len = strcspn(line, "\n");
		cut = line[len] == '\0'; /* by a crash: it is done again */
		line[len] = '\0';
		json_t *o = json_loads(line, 0, NULL);
		if (first && strcmp(line, s->fingerprint) != 0)
			status = cli_bad_input(
			        "--out %s: it is of another sweep (version, configuration, items or seeds)", s->out);
		else if (!first && o)
			take_line(s, o);
		json_decref(o);
	}
	free(line);
	fclose(f);
	return status == CLI_DONE && cut ? append(s, "") : status;
}

/* ---- one run: a process of its own ---- */

/* Seed s takes every n_seeds-th item from the s-th on. */
static int start(struct sweep *s, struct worker *w, size_t r)
{
	const char *argv[ARGS_MAX];
	char first[32], stride[32], items[32], seed[32], set[KEYS_MAX][512];
	size_t n = 0, c = r / s->n_seeds, number = r % s->n_seeds;
	posix_spawn_file_actions_t actions;
	snprintf(w->report, sizeof w->report, "%s.%zu.part", s->out, r);
	snprintf(first, sizeof first, "%zu", number);
	snprintf(stride, sizeof stride, "%zu", s->n_seeds);
	snprintf(items, sizeof items, "%zu", s->n_items);
	snprintf(seed, sizeof seed, "%llu", (unsigned long long)(s->seed + number));
	const char *const begin[] = { "wdmoe",   "eval", "tasks",    "--link", "--config", s->config,
		                      "--first", first,  "--stride", stride,   "--items",  items,
		                      "--seed",  seed,   "--json",   w->report };
	for (size_t i = 0; i < sizeof begin / sizeof begin[0]; i++)
		argv[n++] = begin[i];
	for (size_t i = 0; i < s->sets.n; i++) {
		argv[n++] = "--set";
		argv[n++] = s->sets.items[i];
	}
	for (size_t k = 0; k < s->n_keys; k++) {
		snprintf(set[k], sizeof set[k], "%s=%s", s->key[k].name, value_of(s, c, k));
		argv[n++] = "--set";
		argv[n++] = set[k];
	}
	for (size_t i = 0; i < s->items.n; i++)
		argv[n++] = s->items.items[i];
	argv[n] = NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	char complaints[4200];
	snprintf(complaints, sizeof complaints, "%s.err", w->report);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, complaints, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	int rc = posix_spawn(&w->pid, s->program, &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	w->run = r;
	if (rc)
		w->pid = 0;
	return rc ? cli_failed("%s: %s", s->program, strerror(rc)) : CLI_DONE;
}

static double at_path(const json_t *root, const char *const *path, size_t n)
{
	for (size_t i = 0; i < n && path[i]; i++)
		root = json_object_get(root, path[i]);
	return json_is_number(root) ? json_number_value(root) : NAN;
}

static double computed(const json_t *root, const char *name)
{
	const json_t *all = json_object_get(json_object_get(root, "layer_latency"), "all");
	double mean = json_number_value(json_object_get(all, "mean_ms"));
	double rows = json_number_value(json_object_get(root, "expert_rows"));
	double dropped = json_number_value(json_object_get(root, "experts_dropped"));
	if (strcmp(name, "air_share") == 0)
		return (json_number_value(json_object_get(all, "downlink_ms")) +
		        json_number_value(json_object_get(all, "uplink_ms"))) /
		       mean;
	if (strcmp(name, "dropped_share") == 0)
		return dropped / (rows + dropped);
	double right = 0, n = 0;
	const char *family;
	json_t *of;
	json_object_foreach(json_object_get(root, "families"), family, of)
	{
		right += json_number_value(json_object_get(of, "right"));
		n += json_number_value(json_object_get(of, "n"));
	}
	return right / n;
}

static json_t *measures_json(const double *x)
{
	json_t *o = json_object();
	for (size_t m = 0; m < MEASURES; m++)
		json_object_set_new(o, measures[m].name, json_real_or_null(x[m]));
	return o;
}

static int keep_report(struct sweep *s, const struct worker *w, const json_t *report)
{
	struct run *r = &s->run[w->run];
	for (size_t m = 0; m < MEASURES; m++)
		r->measure[m] =
		        measures[m].path[0] ? at_path(report, measures[m].path, 3) : computed(report, measures[m].name);
	json_t *line = json_pack("{s:o, s:I, s:o}", "combination", combination_json(s, w->run / s->n_seeds), "seed",
	                         (json_int_t)(s->seed + w->run % s->n_seeds), "measures", measures_json(r->measure));
	char *text = json_dumps(line, JSON_COMPACT);
	int status = text ? append(s, text) : cli_failed("out of memory");
	free(text);
	json_decref(line);
	r->done = status == CLI_DONE;
	s->n_done += r->done;
	return status;
}

/* The last line that a run wrote to standard error: why it failed. */
static int tell_failure(const struct worker *w)
{
	char path[4200], text[4096], *last = text;
	snprintf(path, sizeof path, "%s.err", w->report);
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
	for (char *c = text; *c; c++)
		if ((*c == '\n' || *c == '\r') && c[1])
			last = c + 1;
	return cli_failed("sweep: a run failed: %s", *last ? last : "it was killed");
}

static void clear_away(const struct worker *w)
{
	char path[4200];
	snprintf(path, sizeof path, "%s.err", w->report);
	unlink(path);
	unlink(w->report);
}

static int finish(struct sweep *s, struct worker *w, int how)
{
	int status;
	json_t *report = WIFEXITED(how) && WEXITSTATUS(how) == 0 ? json_load_file(w->report, 0, NULL) : NULL;
	if (report)
		status = keep_report(s, w, report);
	else
		status = tell_failure(w);
	json_decref(report);
	clear_away(w);
	w->pid = 0;
	return status;
}

/* ---- all runs ---- */

static size_t next_run(const struct sweep *s, size_t from)
{
	while (from < s->n_combinations * s->n_seeds && s->run[from].done)
		from++;
	return from;
}

static void stop_all(struct sweep *s)
{
	for (size_t i = 0; i < s->n_workers; i++) {
		struct worker *w = &s->worker[i];
		if (!w->pid)
			continue;
		kill(w->pid, SIGKILL);
		waitpid(w->pid, NULL, 0);
		clear_away(w);
	}
}

static int run_all(struct sweep *s)
{
	size_t all = s->n_combinations * s->n_seeds, next = next_run(s, 0), told = SIZE_MAX;
	int status = CLI_DONE;
	while (status == CLI_DONE && s->n_done < all) {
		for (size_t i = 0; i < s->n_workers && status == CLI_DONE; i++) {
			struct worker *w = &s->worker[i];
			int how;
			if (w->pid && waitpid(w->pid, &how, WNOHANG) == w->pid)
				status = finish(s, w, how);
			if (!w->pid && status == CLI_DONE && next < all) {
				status = start(s, w, next);
				next = next_run(s, next + 1);
			}
		}
		if (s->n_done != told)
			fprintf(stderr, "\r\033[K%zu of %zu runs%s", told = s->n_done, all,
			        s->n_done == all ? "\n" : "");
		if (cli_interrupted())
			status = CLI_INTERRUPTED;
		else if (s->n_done < all)
			usleep(POLL_US);
	}
	stop_all(s);
	if (status != CLI_DONE)
		fprintf(stderr, "\n");
	return status;
}

/* ---- report ---- */

static struct stats_interval interval(const struct sweep *s, size_t c, size_t m, double *room)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n_seeds; i++) {
		double x = s->run[c * s->n_seeds + i].measure[m];
		if (!isnan(x))
			room[n++] = x;
	}
	return stats_t_interval(room, n, 0.95);
}

static int write_csv(const struct sweep *s, double *room)
{
	FILE *f = s->csv ? fopen(s->csv, "w") : NULL;
	if (!s->csv)
		return CLI_DONE;
	if (!f)
		return cli_failed("--csv %s: %s", s->csv, strerror(errno));
	fprintf(f, "# %s\n", s->fingerprint);
	for (size_t k = 0; k < s->n_keys; k++)
		fprintf(f, "%s,", s->key[k].name);
	fprintf(f, "seeds");
	for (size_t m = 0; m < MEASURES; m++)
		fprintf(f, ",%s,%s_low,%s_high", measures[m].name, measures[m].name, measures[m].name);
	fprintf(f, "\n");
	for (size_t c = 0; c < s->n_combinations; c++) {
		for (size_t k = 0; k < s->n_keys; k++)
			fprintf(f, "%s,", value_of(s, c, k));
		fprintf(f, "%zu", s->n_seeds);
		for (size_t m = 0; m < MEASURES; m++) {
			struct stats_interval x = interval(s, c, m, room);
			fprintf(f, ",%.7g,%.7g,%.7g", x.mean, x.low, x.high);
		}
		fprintf(f, "\n");
	}
	return fclose(f) ? cli_failed("--csv %s: %s", s->csv, strerror(errno)) : CLI_DONE;
}

static json_t *report(const struct sweep *s, double *room)
{
	json_t *list = json_array();
	for (size_t c = 0; c < s->n_combinations; c++) {
		json_t *of = json_object();
		for (size_t m = 0; m < MEASURES; m++) {
			struct stats_interval x = interval(s, c, m, room);
			json_t *each = json_array();
			for (size_t i = 0; i < s->n_seeds; i++)
				json_array_append_new(each, json_real_or_null(s->run[c * s->n_seeds + i].measure[m]));
			json_object_set_new(of, measures[m].name,
			                    json_pack("{s:o, s:o, s:o, s:o}", "mean", json_real_or_null(x.mean), "low",
			                              json_real_or_null(x.low), "high", json_real_or_null(x.high),
			                              "each", each));
		}
		json_array_append_new(list, json_pack("{s:o, s:o}", "values", combination_json(s, c), "measures", of));
		struct stats_interval ms = interval(s, c, 0, room), right = interval(s, c, 5, room);
		FILE *f = json_out_text(&s->json);
		for (size_t k = 0; k < s->n_keys; k++)
			fprintf(f, "%s=%s ", s->key[k].name, value_of(s, c, k));
		fprintf(f, " layer %.2f ms (%.2f .. %.2f), right %.2f %%\n", ms.mean, ms.low, ms.high,
		        100 * right.mean);
	}
	json_t *conditions = json_loads(s->fingerprint, 0, NULL);
	return json_pack("{s:i, s:s, s:o, s:f, s:o}", "schema", 1, "version", cli_version(), "conditions", conditions,
	                 "confidence", 0.95, "combinations", list);
}

static int execute(struct sweep *s)
{
	double *room = calloc(s->n_seeds, sizeof *room);
	s->run = calloc(s->n_combinations * s->n_seeds, sizeof *s->run);
	s->fingerprint = fingerprint(s);
	ssize_t n = readlink("/proc/self/exe", s->program, sizeof s->program - 1);
	int status = room && s->run && s->fingerprint && n > 0 ? resume(s) : cli_failed("out of memory");
	if (status == CLI_DONE)
		status = run_all(s);
	if (status == CLI_DONE)
		status = write_csv(s, room);
	if (status == CLI_DONE)
		status = json_out_write(&s->json, report(s, room));
	free(s->fingerprint);
	free(s->run);
	free(room);
	return status;
}

int cmd_sweep(int argc, char **argv)
{
	struct cli_list vary = { .n = 0 };
	const char *json = NULL;
	int64_t n_seeds = 5, n_items = 20, n_workers = sysconf(_SC_NPROCESSORS_ONLN);
	struct sweep *s = calloc(1, sizeof *s);
	if (!s)
		return cli_failed("out of memory");
	*s = (struct sweep){
		.config = "testbed/scenarios/default.yaml", .out = "sweep.jsonl", .n_combinations = 1, .seed = 1
	};
	const struct cli_option options[] = {
		{ "config", CLI_STRING, &s->config, "CONFIG", "the scenario" },
		{ "vary", CLI_REPEATED, &vary, "KEY=A,B,..",
		  "values of a configuration key; all combinations are run" },
		{ "set", CLI_REPEATED, &s->sets, "KEY=VALUE", "override a key of the configuration in all runs" },
		{ "seeds", CLI_INT, &n_seeds, "N", "of each combination; the items are dealt over them", .min = 1,
		  .max = 1e6 },
		{ "seed", CLI_UINT64, &s->seed, "S", "the first seed" },
		{ "items", CLI_INT, &n_items, "N", "asked of each combination and seed", .min = 1, .max = 1e7 },
		{ "jobs", CLI_INT, &n_workers, "N", "runs at a time", .min = 1, .max = WORKERS_MAX },
		{ "out", CLI_STRING, &s->out, "FILE", "a line for each run; what is in it already is not run again" },
		{ "csv", CLI_STRING, &s->csv, "FILE",
		  "write means and intervals over the seeds as comma-separated values" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"[ITEMS.jsonl...]",
		"Asks items over the air (as `wdmoe eval tasks --link`) under every combination of configuration "
		"values, with every\n"
		"seed, on all cores. An interrupted sweep goes on where it was. All combinations get the same items "
		"with the same\n"
		"seed, so their differences can be taken seed by seed.",
		options,
		sizeof options / sizeof options[0],
		&s->items,
		0,
		CLI_LIST_MAX,
	};
	int status;
	if (cli_parse(&syntax, argc, argv, &status) && (status = json_out_open(&s->json, json)) == CLI_DONE) {
		s->n_seeds = (size_t)n_seeds;
		s->n_items = (size_t)n_items;
		s->n_workers = n_workers < WORKERS_MAX ? (size_t)n_workers : WORKERS_MAX;
		if (!s->items.n)
			s->items.items[s->items.n++] = "moe/models/heldout.jsonl";
		for (size_t i = 0; i < vary.n && status == CLI_DONE; i++)
			if (!add_key(s, vary.items[i]))
				status = cli_bad_input("--vary %s: not KEY=A,B,..", vary.items[i]);
		if (status == CLI_DONE)
			status = check_combinations(s);
		if (status == CLI_DONE) {
			cli_catch_interrupt();
			status = execute(s);
		}
	}
	for (size_t k = 0; k < s->n_keys; k++) {
		for (size_t i = 0; i < s->key[k].n; i++)
			free(s->key[k].value[i]);
		free(s->key[k].name);
	}
	free(s);
	return status;
}
