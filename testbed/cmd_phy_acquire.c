/* wdmoe phy acquire: cold start of one receiver, many times: the sync signal found by a device (dl), an access preamble
 * by the base station (ul); what follows a lock; and what noise alone is taken for. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/cli.h"
#include "testbed/config.h"
#include "testbed/phy_options.h"
#include "testbed/phy_search.h"
#include "testbed/pool.h"
#include "testbed/spread.h"
#include "testbed/stats.h"

#define LIGHT_KM_S 299792.458

enum { DEVICE = 0, THREADS_MAX = 64, POINTS_MAX = 100, WITHIN_MAX = 8, NOISE_PIECE_SLOTS = 2000 };
static const double confidence = 0.95;

struct acquire_runs {
	struct config *config;
	struct json_out json;
	const char *dir_name, *snr_text, *within_text;
	double cfo_hz, range_hz, false_alarm, distance_m, follow_s, doppler_hz;
	bool full, fixed, noise_only;
	int64_t trials, periods, threads;
	uint64_t seed;

	struct phy_range snr;
	double within_s[WITHIN_MAX];
	size_t n_within;
	struct numerology num;
	struct layout *layout;
	struct phy_search *search[THREADS_MAX];
	struct pool *pool;
	size_t n_threads;

	/* of a point, or of the noise */
	double snr_db;
	struct phy_search_outcome *outcome; /* trials */
	struct phy_search_noise noise[THREADS_MAX];
	char err[THREADS_MAX][256];
	bool failed[THREADS_MAX];
};

static bool is_uplink(const struct acquire_runs *c)
{
	return strcmp(c->dir_name, "ul") == 0;
}

/* ---- work: thread w does every n_threads-th piece; a piece is the same whoever does it ---- */

static void run_trials(void *arg, size_t w)
{
	struct acquire_runs *c = arg;
	for (size_t i = w; i < (size_t)c->trials && !c->failed[w] && !cli_interrupted(); i += c->n_threads)
		c->failed[w] = phy_search_trial(c->search[w], c->snr_db, c->seed + i, &c->outcome[i], c->err[w],
		                                sizeof c->err[w]) != 0;
}

static void run_noise(void *arg, size_t w)
{
	struct acquire_runs *c = arg;
	uint64_t slots = (uint64_t)c->trials;
	for (uint64_t from = w * NOISE_PIECE_SLOTS; from < slots && !cli_interrupted();
	     from += c->n_threads * NOISE_PIECE_SLOTS) {
		uint64_t n = slots - from < NOISE_PIECE_SLOTS ? slots - from : NOISE_PIECE_SLOTS;
		phy_search_noise(c->search[w], c->seed + from / NOISE_PIECE_SLOTS, n, &c->noise[w]);
	}
}

/* ---- what it came to ---- */

struct figure {
	const char *name;
	size_t offset; /* of a double in struct phy_search_outcome */
	bool downlink, follow;
};

#define OF(field) offsetof(struct phy_search_outcome, field)
static const struct figure figures[] = {
	{ "time_to_lock_s", OF(time_s), true, false },
	{ "periods", OF(periods), true, false },
	{ "cfo_error_hz", OF(cfo_hz), true, false },
	{ "timing_error_samples", OF(timing_samples), false, false },
	{ "snr_error_db", OF(snr_db), false, false },
	{ "follow_timing_error_max_samples", OF(follow_timing_samples), true, true },
	{ "follow_cfo_error_rms_hz", OF(follow_cfo_hz), true, true },
	{ "follow_clock_error_ppm", OF(follow_clock_ppm), true, true },
};
enum { FIGURES = sizeof figures / sizeof figures[0] };

static bool figure_applies(const struct acquire_runs *c, const struct figure *f)
{
	return !(f->downlink && is_uplink(c)) && !(f->follow && c->follow_s <= 0);
}

/* Room for `trials` values in x. */
static void figure_values(const struct acquire_runs *c, const struct figure *f, double *x)
{
	for (size_t i = 0; i < (size_t)c->trials; i++)
		memcpy(&x[i], (const char *)&c->outcome[i] + f->offset, sizeof x[i]);
}

struct sums {
	size_t found, within[WITHIN_MAX], wrong, quiet, others, sync_lost;
	uint64_t slots, slots_lost;
};

static struct sums add_up(const struct acquire_runs *c)
{
	struct sums s = { 0 };
	for (size_t i = 0; i < (size_t)c->trials; i++) {
		const struct phy_search_outcome *o = &c->outcome[i];
		s.found += o->found;
		for (size_t w = 0; w < c->n_within; w++)
			s.within[w] += o->found && o->time_s <= c->within_s[w];
		s.wrong += o->n_wrong;
		s.quiet += o->n_quiet;
		s.others += o->n_others;
		s.sync_lost += o->sync_lost;
		s.slots += o->slots;
		s.slots_lost += o->slots_lost;
	}
	return s;
}

static void put_share(const struct acquire_runs *c, json_t *to, size_t found)
{
	struct stats_interval share = stats_wilson(found, (size_t)c->trials, confidence);
	json_object_set_new(to, "found", json_integer((json_int_t)found));
	json_object_set_new(to, "probability", json_real_or_null(share.mean));
	json_object_set_new(to, "probability_interval", json_reals((double[]){ share.low, share.high }, 2));
}

static json_t *point_json(const struct acquire_runs *c, const struct sums *s, double *scratch)
{
	json_t *point = json_object();
	json_object_set_new(point, "snr_db", json_real(c->snr_db));
	put_share(c, point, s->found);
	if (is_uplink(c)) {
		json_object_set_new(point, "false_alarms_silent", json_integer((json_int_t)s->quiet));
		json_object_set_new(point, "false_alarms_others", json_integer((json_int_t)s->others));
	} else {
		json_t *within = json_array();
		for (size_t w = 0; w < c->n_within; w++) {
			json_t *one = json_pack("{s:f}", "within_s", c->within_s[w]);
			put_share(c, one, s->within[w]);
			json_array_append_new(within, one);
		}
		json_object_set_new(point, "within", within);
		json_object_set_new(point, "false_locks", json_integer((json_int_t)s->wrong));
	}
	if (c->follow_s > 0) {
		json_object_set_new(point, "slots_followed", json_integer((json_int_t)s->slots));
		json_object_set_new(point, "slots_lost", json_integer((json_int_t)s->slots_lost));
		json_object_set_new(point, "sync_lost", json_integer((json_int_t)s->sync_lost));
	}
	for (size_t i = 0; i < FIGURES; i++) {
		if (!figure_applies(c, &figures[i]))
			continue;
		figure_values(c, &figures[i], scratch);
		json_object_set_new(point, figures[i].name, spread_json(scratch, (size_t)c->trials));
	}
	return point;
}

static void print_point(const struct acquire_runs *c, const struct sums *s, double *scratch)
{
	FILE *f = json_out_text(&c->json);
	struct stats_interval share = stats_wilson(s->found, (size_t)c->trials, confidence);
	fprintf(f, "%.2f dB: found %zu of %lld: %.4f (%.0f %% interval %.4f .. %.4f)\n", c->snr_db, s->found,
	        (long long)c->trials, share.mean, 100 * confidence, share.low, share.high);
	for (size_t w = 0; w < c->n_within; w++)
		fprintf(f, "within %g s: %zu\n", c->within_s[w], s->within[w]);
	if (is_uplink(c))
		fprintf(f, "false alarms: %zu in as many silent slots, %zu of devices that sent nothing\n", s->quiet,
		        s->others);
	else
		fprintf(f, "false locks: %zu\n", s->wrong);
	if (c->follow_s > 0)
		fprintf(f, "followed for %llu slots: %llu lost; synchronisation lost in %zu trials\n",
		        (unsigned long long)s->slots, (unsigned long long)s->slots_lost, s->sync_lost);
	fprintf(f, "%-31s %7s %9s %9s %9s %9s %9s\n", "", "n", "mean", "p50", "p95", "p99", "max");
	for (size_t i = 0; i < FIGURES; i++) {
		if (!figure_applies(c, &figures[i]))
			continue;
		figure_values(c, &figures[i], scratch);
		spread_print(f, figures[i].name, scratch, (size_t)c->trials);
	}
}

static json_t *report_json(const struct acquire_runs *c)
{
	const struct config_channel *channel = &c->config->channel;
	json_t *root = json_pack("{s:i, s:s, s:I, s:I, s:s, s:s, s:f, s:f, s:f, s:f, s:b}", "schema", 1, "version",
	                         cli_version(), "seed", (json_int_t)c->seed, "trials", (json_int_t)c->trials, "channel",
	                         channel->model, "dir", c->dir_name, "cfo_hz", c->cfo_hz, "delay_spread_ns",
	                         channel->delay_spread_ns, "speed_kmh", channel->speed_kmh, "distance_m", c->distance_m,
	                         "full", (int)c->full);
	if (!is_uplink(c)) {
		json_object_set_new(root, "periods_max", json_integer(c->periods));
		json_object_set_new(root, "range_hz", json_real(c->range_hz > 0 ? c->range_hz : 2.5 * c->num.scs_hz));
		json_object_set_new(root, "cfo_fixed", json_boolean(c->fixed));
		json_object_set_new(root, "follow_s", json_real(c->follow_s));
	}
	return root;
}

/* ---- the two ways to run ---- */

/* The keys of the first point stand at the top, too: with a single SNR nothing else is needed. */
static int run_points(struct acquire_runs *c)
{
	json_t *points = json_array(), *root = report_json(c);
	double *scratch = calloc((size_t)c->trials, sizeof *scratch);
	c->outcome = calloc((size_t)c->trials, sizeof *c->outcome);
	int status = scratch && c->outcome ? CLI_DONE : cli_failed("out of memory");
	for (size_t i = 0; i < c->snr.n && status == CLI_DONE; i++) {
		c->snr_db = c->snr.from + (double)i * c->snr.step;
		pool_run(c->pool, run_trials, c, c->n_threads);
		for (size_t w = 0; w < c->n_threads && status == CLI_DONE; w++)
			if (c->failed[w])
				status = cli_bad_input("%s", c->err[w]);
		if (status == CLI_DONE && cli_interrupted())
			status = CLI_INTERRUPTED;
		if (status != CLI_DONE)
			break;
		struct sums s = add_up(c);
		print_point(c, &s, scratch);
		json_array_append_new(points, point_json(c, &s, scratch));
	}
	free(scratch);
	if (status != CLI_DONE) {
		json_decref(points);
		json_decref(root);
		return status;
	}
	json_object_update(root, json_array_get(points, 0));
	json_object_set_new(root, "points", points);
	json_object_set_new(root, "config", config_json(c->config, false));
	return json_out_write(&c->json, root);
}

static int run_noise_only(struct acquire_runs *c)
{
	pool_run(c->pool, run_noise, c, c->n_threads);
	if (cli_interrupted())
		return CLI_INTERRUPTED;
	struct phy_search_noise sum = { 0 };
	for (size_t w = 0; w < c->n_threads; w++) {
		sum.slots += c->noise[w].slots;
		sum.periods += c->noise[w].periods;
		sum.alarms += c->noise[w].alarms;
		for (size_t i = 0; i < PHY_SEARCH_LEVELS; i++)
			sum.beyond[i] += c->noise[w].beyond[i];
	}
	/* one-sided, so that nothing in n slots says 3 / n */
	struct stats_interval share = stats_wilson(sum.alarms, sum.slots, confidence);
	double bound = sum.alarms ? share.high : -log(1 - confidence) / (double)sum.slots;
	FILE *f = json_out_text(&c->json);
	fprintf(f, "noise: %llu slots, %llu false alarms; fewer than %.2g a slot (%.0f %%)\n",
	        (unsigned long long)sum.slots, (unsigned long long)sum.alarms, bound, 100 * confidence);
	json_t *root = report_json(c), *levels = json_array();
	json_object_set_new(root, "noise_slots", json_integer((json_int_t)sum.slots));
	json_object_set_new(root, "false_alarms", json_integer((json_int_t)sum.alarms));
	json_object_set_new(root, "false_alarm_bound", json_real(bound));
	for (size_t i = 0; i < PHY_SEARCH_LEVELS && !is_uplink(c); i++) {
		double level = pow(10, -(double)(i + 1)), got = (double)sum.beyond[i] / (double)sum.periods;
		fprintf(f, "periods that pass for 1e-%zu: %llu of %llu, %.2g\n", i + 1,
		        (unsigned long long)sum.beyond[i], (unsigned long long)sum.periods, got);
		json_array_append_new(levels, json_pack("{s:f, s:I, s:f}", "asked", level, "periods",
		                                        (json_int_t)sum.beyond[i], "share", got));
	}
	if (is_uplink(c)) {
		json_decref(levels);
	} else {
		json_object_set_new(root, "noise_periods", json_integer((json_int_t)sum.periods));
		json_object_set_new(root, "noise_levels", levels);
	}
	json_object_set_new(root, "config", config_json(c->config, false));
	return json_out_write(&c->json, root);
}

/* ---- set-up ---- */

/* Mean SNR alike in both directions: the device's power makes it so. */
static void describe(struct acquire_runs *c)
{
	const struct config_bs *bs = &c->config->bs;
	struct config_device *d = &c->config->devices[DEVICE];
	c->config->seed = c->seed;
	d->snr_db = c->snr.from;
	d->distance_m = c->distance_m;
	d->tx_power_dbm = bs->tx_power_dbm + bs->noise_figure_db - d->noise_figure_db;
	if (c->doppler_hz >= 0)
		c->config->channel.speed_kmh = 3.6 * c->doppler_hz /
		                               (is_uplink(c) ? c->config->radio.ul_hz : c->config->radio.dl_hz) * 1e3 *
		                               LIGHT_KM_S;
}

static int take_within(struct acquire_runs *c)
{
	for (const char *at = c->within_text; *at; at++) {
		char *end;
		double ms = strtod(at, &end);
		if (end == at || !(ms > 0 && ms < 1e9) || (*end && *end != ',') || c->n_within == WITHIN_MAX)
			return cli_bad_input("--within-ms: \"%s\" is no list of up to %d times", c->within_text,
			                     WITHIN_MAX);
		c->within_s[c->n_within++] = 1e-3 * ms;
		if (!*end)
			break;
		at = end;
	}
	return CLI_DONE;
}

static int execute(struct acquire_runs *c)
{
	char err[512];
	if (config_numerology(&c->config->radio, &c->num, err, sizeof err))
		return cli_bad_input("%s", err);
	c->layout = layout_create(&c->num, err, sizeof err);
	if (!c->layout)
		return cli_bad_input("%s", err);
	describe(c);
	struct phy_search_params params = { .config = c->config,
		                            .layout = c->layout,
		                            .uplink = is_uplink(c),
		                            .full = c->full,
		                            .cfo_hz = c->cfo_hz,
		                            .fixed = c->fixed,
		                            .range_hz = c->range_hz,
		                            .false_alarm = c->false_alarm,
		                            .distance_m = c->distance_m,
		                            .periods_max = (uint64_t)c->periods,
		                            .follow_s = c->follow_s };
	c->n_threads = (size_t)(c->threads < c->trials ? c->threads : c->trials);
	c->pool = pool_create(c->n_threads);
	if (!c->pool)
		return cli_failed("threads: %s", strerror(errno));
	for (size_t w = 0; w < c->n_threads; w++) {
		c->search[w] = phy_search_create(&params);
		if (!c->search[w])
			return errno == EINVAL ? cli_bad_input("--range-hz: not possible in this band")
			                       : cli_failed("out of memory");
	}
	cli_catch_interrupt();
	return c->noise_only ? run_noise_only(c) : run_points(c);
}

static void release(struct acquire_runs *c)
{
	pool_destroy(c->pool);
	for (size_t w = 0; w < c->n_threads; w++)
		phy_search_destroy(c->search[w]);
	layout_destroy(c->layout);
	free(c->outcome);
	free(c->config);
}

static const char about[] = "Downlink: a device that knows neither time nor carrier looks for the sync signal; a lock "
                            "is right if it lies within "
                            "half a cyclic\n"
                            "prefix and what tracking pulls in; after a wrong one it looks again. With --follow-s it "
                            "then follows the cell, a "
                            "block of data in\n"
                            "each slot. Uplink: one preamble in one access slot, and a silent slot after it. Errors "
                            "are against the ether's "
                            "truth; timing\n"
                            "against the power-weighted mean delay of the channel. The sampling clock is off by the "
                            "same ppm as the carrier.";

int cmd_phy_acquire(int argc, char **argv)
{
	enum { CHANNEL, DELAY_SPREAD, SPEED, KEYS };
	static const char *const keys[KEYS] = { "channel.model", "channel.delay_spread_ns", "channel.speed_kmh" };
	const char *values[KEYS] = { NULL }, *json = NULL;
	struct cli_list sets = { .n = 0 };
	struct acquire_runs c = { .dir_name = "dl",
		                  .snr_text = "5",
		                  .within_text = "",
		                  .distance_m = 100,
		                  .trials = 100,
		                  .periods = 100,
		                  .seed = 1,
		                  .doppler_hz = -1,
		                  .threads = phy_options_cores() };
	const struct cli_option options[] = {
		{ "channel", CLI_STRING, &values[CHANNEL], "C",
		  "channel model: none, rayleigh, rice, tdl-a .. tdl-e, epa, eva, etu (channel.model)" },
		{ "dir", CLI_STRING, &c.dir_name, "D",
		  "dl: sync signal at a device, from cold start; ul: access preamble at the base station",
		  .choices = "dl|ul" },
		{ "snr-db", CLI_STRING, &c.snr_text, "A:STEP:B",
		  "mean SNR of a data RE at full-band power, one or a range; a preamble RE, on a third of the band, "
		  "has 4.77 dB "
		  "more" },
		{ "cfo-hz", CLI_DOUBLE, &c.cfo_hz, "F",
		  "each trial draws its carrier offset from -F to F (ul: what the device's tracking left)", .min = 0,
		  .max = 200000 },
		{ "cfo-fixed", CLI_FLAG, &c.fixed, NULL, "+F and -F in turn, no draw" },
		{ "range-hz", CLI_DOUBLE, &c.range_hz, "F", "dl: range of the search; 0: 2.5 subcarriers either way",
		  .min = 0, .max = 1e6 },
		{ "false-alarm", CLI_DOUBLE, &c.false_alarm, "P",
		  "dl: probability of a lock on noise that the search aims at, a sync period; 0: the usual", .min = 0,
		  .max = 0.9 },
		{ "trials", CLI_INT, &c.trials, "N",
		  "trials an SNR, each with a channel, clock and distance of its own; slots with --noise-only",
		  .min = 1, .max = 1e9 },
		{ "seed", CLI_UINT64, &c.seed, "S", "of the first trial; the next has the next" },
		{ "periods", CLI_INT, &c.periods, "N", "dl: sync periods (10 slots) after which a trial is given up",
		  .min = 1, .max = 1e5 },
		{ "within-ms", CLI_STRING, &c.within_text, "T,T..",
		  "dl: also count the trials found within these times" },
		{ "full", CLI_FLAG, &c.full, NULL,
		  "dl: data in every resource block (default: control and pilots only)" },
		{ "follow-s", CLI_DOUBLE, &c.follow_s, "T", "dl: follow a cell that was found for so long", .min = 0,
		  .max = 1e4 },
		{ "noise-only", CLI_FLAG, &c.noise_only, NULL, "nobody sends: count false alarms in --trials slots" },
		{ "distance-m", CLI_DOUBLE, &c.distance_m, "M", "each trial draws its distance from 0 to M", .min = 0,
		  .max = 10000 },
		{ "delay-spread-ns", CLI_STRING, &values[DELAY_SPREAD], "D",
		  "RMS delay spread of the tdl models (channel.delay_spread_ns)" },
		{ "speed-kmh", CLI_STRING, &values[SPEED], "V", "speed of the device (channel.speed_kmh)" },
		{ "doppler-hz", CLI_DOUBLE, &c.doppler_hz, "F", "speed by the Doppler it makes; -1: by speed-kmh",
		  .min = -1, .max = 2000 },
		{ "threads", CLI_INT, &c.threads, "N", "threads; the outcome does not depend on it", .min = 1,
		  .max = THREADS_MAX },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the default configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = { "", about, options, sizeof options / sizeof options[0], NULL, 0, 0 };
	int status;
	char err[512];
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	c.config = malloc(sizeof *c.config);
	if (!c.config)
		return cli_failed("out of memory");
	status = json_out_open(&c.json, json);
	if (status == CLI_DONE)
		status = phy_options_range("snr-db", c.snr_text, 1, &c.snr);
	if (status == CLI_DONE && (c.snr.automatic || c.snr.n > POINTS_MAX || c.snr.from < -40 || c.snr.from > 60))
		status = cli_bad_input("--snr-db %s: up to %d values from -40 to 60", c.snr_text, POINTS_MAX);
	if (status == CLI_DONE)
		status = take_within(&c);
	if (status == CLI_DONE && config_load(c.config, NULL, sets.items, sets.n, err, sizeof err))
		status = cli_bad_input("%s", err);
	for (size_t i = 0; i < KEYS && status == CLI_DONE; i++)
		if (values[i] && config_put(c.config, keys[i], values[i], err, sizeof err))
			status = cli_bad_input("%s", err);
	if (status == CLI_DONE)
		status = execute(&c);
	release(&c);
	return status;
}
