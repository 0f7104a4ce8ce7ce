/* wdmoe phy csi: the estimated channel of every slot against the true one. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/cli.h"
#include "testbed/lockstep.h"
#include "testbed/spread.h"
#include "testbed/stats.h"
#include "testbed/truth.h"

static const double confidence = 0.95;

/* Outcomes of a slot that are told as distributions; NAN where there was no estimate. */
enum figure { NMSE_DB, NOISE_ERROR_DB, SNR_ERROR_DB, CFO_ERROR_HZ, TIMING_ERROR_SAMPLES, FIGURES };

static const char *const figure_names[FIGURES] = { "slot_nmse_db", "noise_var_error_db", "snr_error_db", "cfo_error_hz",
	                                           "timing_error_samples" };

struct csi_test {
	struct config *config;
	struct json_out json;
	enum cell_direction dir;
	const char *dir_name;
	double snr_db, cfo_hz;
	uint64_t seed;
	size_t n_slots, n_starts;
	size_t n_done, n_valid;
	double *error, *power;   /* sums of each start */
	double *figure[FIGURES]; /* n_slots each */
	double snr_sum;          /* true, linear */
	double attached_s;       /* sum */
};

/* ---- one slot ---- */

static void add(struct csi_test *c, size_t start, const struct csi *csi, const struct truth *t)
{
	double error = 0, power = t->power * (double)csi->n_sc;
	for (size_t k = 0; k < csi->n_sc; k++) {
		double complex e = t->h[k] - (csi->valid ? csi->h[k] : 0);
		error += creal(e) * creal(e) + cimag(e) * cimag(e);
	}
	c->error[start] += error;
	c->power[start] += power;
	c->snr_sum += t->power / t->noise_var;
	const double figures[FIGURES] = {
		[NMSE_DB] = 10 * log10(error / power),
		[NOISE_ERROR_DB] = 10 * log10((double)csi->noise_var / t->noise_var),
		[SNR_ERROR_DB] = (double)csi->snr_mean_db - t->snr_mean_db,
		[CFO_ERROR_HZ] = (double)csi->cfo_hz - t->cfo_hz,
		[TIMING_ERROR_SAMPLES] = (double)csi->timing_samples - t->timing_samples,
	};
	for (size_t i = 0; i < FIGURES; i++)
		c->figure[i][c->n_done] = csi->valid ? figures[i] : NAN;
	c->n_valid += csi->valid;
	c->n_done++;
}

static uint64_t slots_taken(const struct device *d)
{
	struct device_stats s = device_stats(d);
	uint64_t n = 0;
	for (size_t i = 0; i < DEVICE_STATES; i++)
		n += s.slots[i];
	return n;
}

/* A slot without a record: where it was, and no estimate. */
static struct csi nothing(const struct lockstep *l, uint64_t slot, uint64_t t_samples)
{
	const struct numerology *num = layout_numerology(lockstep_layout(l));
	return (struct csi){ .slot = slot,
		             .t_slot_samples = t_samples,
		             .t_ref_samples = t_samples,
		             .n_sc = num->n_sc,
		             .n_rb = num->n_rb };
}

static void look_down(struct csi_test *c, size_t start, struct lockstep *l)
{
	size_t slot_len = layout_numerology(lockstep_layout(l))->slot_len;
	uint64_t n = lockstep_n_slots(l) - 1;
	const struct csi *csi = device_csi(lockstep_device(l, 0));
	struct csi none = nothing(l, n, ether_clock(lockstep_ether(l), 1, (double)(n * slot_len)));
	struct truth t;
	truth_downlink(l, c->config, 0, csi ? csi : &none, &t);
	add(c, start, csi ? csi : &none, &t);
}

static void look_up(struct csi_test *c, size_t start, struct lockstep *l, struct device_sent *sent)
{
	size_t slot_len = layout_numerology(lockstep_layout(l))->slot_len;
	uint64_t n = lockstep_n_slots(l) - 1;
	const struct device_sent *now = device_sent(lockstep_device(l, 0), n);
	const struct csi *csi = now ? cell_csi(bs_cell(lockstep_bs(l)), 0) : NULL;
	struct csi none = nothing(l, n, n * slot_len);
	struct truth t;
	if (now)
		*sent = *now; /* else: how it sent last stands for how it should have */
	truth_uplink(l, c->config, 0, sent, csi ? csi : &none, &t);
	add(c, start, csi ? csi : &none, &t);
}

/* ---- one cold start ---- */

static bool attached(struct lockstep *l)
{
	return device_state(lockstep_device(l, 0)) == DEVICE_ATTACHED &&
	       cell_state(bs_cell(lockstep_bs(l)), 0) == CELL_ATTACHED;
}

static int attach(struct csi_test *c, struct lockstep *l, char *err, size_t err_len)
{
	while (!attached(l)) {
		int rc = lockstep_slot(l);
		if (rc || cli_interrupted())
			return rc ? rc : -EINTR;
		if (lockstep_time_s(l) > 1e-3 * c->config->timers.attach_timeout_ms) {
			snprintf(err, err_len, "seed %llu: the device is not attached after %g ms: %s",
			         (unsigned long long)c->config->seed, c->config->timers.attach_timeout_ms,
			         device_state_name(device_state(lockstep_device(l, 0))));
			return -ETIMEDOUT;
		}
	}
	c->attached_s += lockstep_time_s(l);
	return 0;
}

/* Slots until this start has its share; those that are over on the device's clock, one or none a step, are looked at.
 */
static int measure(struct csi_test *c, size_t start, struct lockstep *l)
{
	size_t until = c->n_slots * (start + 1) / c->n_starts;
	struct device_sent sent = { 0 };
	while (c->n_done < until) {
		uint64_t before = slots_taken(lockstep_device(l, 0));
		int rc = lockstep_slot(l);
		if (rc || cli_interrupted())
			return rc ? rc : -EINTR;
		if (c->dir == CELL_UL)
			look_up(c, start, l, &sent);
		else if (slots_taken(lockstep_device(l, 0)) != before)
			look_down(c, start, l);
	}
	return 0;
}

static int run_start(struct csi_test *c, size_t start, char *err, size_t err_len)
{
	struct lockstep *l;
	c->config->seed = c->seed + start;
	int rc = lockstep_create(c->config, &l, err, err_len);
	if (rc)
		return rc;
	rc = attach(c, l, err, err_len);
	if (!rc)
		rc = measure(c, start, l);
	lockstep_destroy(l);
	if (rc && rc != -ETIMEDOUT)
		snprintf(err, err_len, "%s", rc == -EINTR ? "interrupted" : strerror(-rc));
	return rc;
}

/* ---- what it came to ---- */

static double sum(const double *x, size_t n)
{
	double total = 0;
	for (size_t i = 0; i < n; i++)
		total += x[i];
	return total;
}

/* A ratio of sums with the interval that the starts' scatter gives it (they are independent); in dB. */
static struct stats_interval nmse(const struct csi_test *c)
{
	double power = sum(c->power, c->n_starts), ratio = sum(c->error, c->n_starts) / power;
	double *share = calloc(c->n_starts, sizeof *share);
	for (size_t i = 0; share && i < c->n_starts; i++)
		share[i] = ratio + (c->error[i] - ratio * c->power[i]) * (double)c->n_starts / power;
	struct stats_interval x = stats_t_interval(share, share ? c->n_starts : 0, confidence);
	free(share);
	return (struct stats_interval){ 10 * log10(ratio), 10 * log10(x.low), 10 * log10(x.high) };
}

static json_t *figures_json(const struct csi_test *c)
{
	json_t *root = json_object();
	for (size_t i = 0; i < FIGURES; i++)
		json_object_set_new(root, figure_names[i], spread_json(c->figure[i], c->n_done));
	return root;
}

static json_t *csi_json(const struct csi_test *c)
{
	struct stats_interval x = nmse(c);
	const struct config_channel *channel = &c->config->channel;
	json_t *root = json_pack("{s:i, s:s, s:I, s:I, s:I, s:s, s:s, s:f, s:f, s:f, s:f, s:o}", "schema", 1, "version",
	                         cli_version(), "seed", (json_int_t)c->seed, "trials", (json_int_t)c->n_done,
	                         "cold_starts", (json_int_t)c->n_starts, "channel", channel->model, "dir", c->dir_name,
	                         "snr_db", c->snr_db, "cfo_hz", c->cfo_hz, "delay_spread_ns", channel->delay_spread_ns,
	                         "speed_kmh", channel->speed_kmh, "config", config_json(c->config, false));
	double n = (double)c->n_done;
	json_t *results = json_pack("{s:o, s:o, s:o, s:I, s:f, s:o, s:o, s:o}", "nmse_db", json_real_or_null(x.mean),
	                            "nmse_db_interval", json_reals((double[]){ x.low, x.high }, 2), "slot_nmse_db_mean",
	                            json_real_or_null(NAN), "valid_slots", (json_int_t)c->n_valid, "valid_share",
	                            (double)c->n_valid / n, "true_snr_db",
	                            json_real_or_null(10 * log10(c->snr_sum / n)), "attached_s_mean",
	                            json_real_or_null(c->attached_s / (double)c->n_starts), "figures", figures_json(c));
	json_object_set(
	        results, "slot_nmse_db_mean",
	        json_object_get(json_object_get(json_object_get(results, "figures"), figure_names[NMSE_DB]), "mean"));
	json_object_update_missing(root, results);
	json_decref(results);
	return root;
}

static int report(struct csi_test *c)
{
	FILE *f = json_out_text(&c->json);
	struct stats_interval x = nmse(c);
	fprintf(f,
	        "NMSE %.2f dB (%.0f %% interval %.2f .. %.2f), %zu slots of %zu cold starts, %.1f %% with an "
	        "estimate\n",
	        x.mean, 100 * confidence, x.low, x.high, c->n_done, c->n_starts,
	        100 * (double)c->n_valid / (double)c->n_done);
	fprintf(f, "true SNR of a data RE at full-band power: %.2f dB on average\n",
	        10 * log10(c->snr_sum / (double)c->n_done));
	fprintf(f, "%-20s %7s %9s %9s %9s %9s %9s\n", "per slot", "n", "mean", "p50", "p95", "p99", "max");
	for (size_t i = 0; i < FIGURES; i++)
		spread_print(f, figure_names[i], c->figure[i], c->n_done);
	return json_out_write(&c->json, csi_json(c));
}

static int execute(struct csi_test *c)
{
	char err[512];
	c->error = calloc(c->n_starts, sizeof *c->error);
	c->power = calloc(c->n_starts, sizeof *c->power);
	bool ok = c->error && c->power;
	for (size_t i = 0; i < FIGURES; i++)
		ok &= (c->figure[i] = calloc(c->n_slots, sizeof *c->figure[i])) != NULL;
	if (!ok)
		return cli_failed("out of memory");
	cli_catch_interrupt();
	for (size_t i = 0; i < c->n_starts; i++) {
		int rc = run_start(c, i, err, sizeof err);
		if (rc == -EINTR)
			return CLI_INTERRUPTED;
		if (rc)
			return i || rc == -ETIMEDOUT ? cli_failed("%s", err) : cli_bad_input("%s", err);
	}
	c->config->seed = c->seed;
	return report(c);
}

/* One device whose mean SNR is the same in both directions: it sends with the power that makes it so, and is asked for
 * more, so that the power control always ends there. */
static void describe(struct csi_test *c)
{
	struct config *config = c->config;
	struct config_device *d = &config->devices[0];
	config->csi_log_every = 0;
	d->snr_db = c->snr_db;
	d->osc_ppm = config->bs.osc_ppm - 1e6 * c->cfo_hz / config->radio.dl_hz;
	d->tx_power_dbm = config->bs.tx_power_dbm + config->bs.noise_figure_db - d->noise_figure_db;
	config->ul.target_snr_db = 50;
	config->ul.comb_boost_db = "9";
}

static int configure(struct csi_test *c, const char *const *keys, const char *const *values, size_t n,
                     const struct cli_list *sets)
{
	char err[512];
	if (config_load(c->config, NULL, sets->items, sets->n, err, sizeof err))
		return cli_bad_input("%s", err);
	for (size_t i = 0; i < n; i++)
		if (values[i] && config_put(c->config, keys[i], values[i], err, sizeof err))
			return cli_bad_input("%s", err);
	describe(c);
	return config_check(c->config, err, sizeof err) ? cli_bad_input("%s", err) : CLI_DONE;
}

int cmd_phy_csi(int argc, char **argv)
{
	enum { CHANNEL, DELAY_SPREAD, SPEED, DISTANCE, MODEL, KEYS };
	static const char *const keys[KEYS] = { "channel.model", "channel.delay_spread_ns", "channel.speed_kmh",
		                                "devices[0].distance_m", "model.path" };
	const char *values[KEYS] = { NULL }, *json = NULL;
	struct cli_list sets = { .n = 0 };
	struct csi_test c = { .dir_name = "dl", .snr_db = 20, .seed = 1 };
	int64_t trials = 1000, starts = 10;
	const struct cli_option options[] = {
		{ "channel", CLI_STRING, &values[CHANNEL], "C",
		  "channel model: none, rayleigh, rice, tdl-a .. tdl-e, epa, eva, etu (channel.model)" },
		{ "dir", CLI_STRING, &c.dir_name, "D", "downlink, or uplink from sounding", .choices = "dl|ul" },
		{ "snr-db", CLI_DOUBLE, &c.snr_db, "S",
		  "mean SNR of a data RE at full-band power, both directions; a sounding RE has 9.03 dB more",
		  .min = -20, .max = 50 },
		{ "cfo-hz", CLI_DOUBLE, &c.cfo_hz, "F",
		  "carrier offset of the downlink as the device hears it, by its oscillator", .min = -60000,
		  .max = 60000 },
		{ "trials", CLI_INT, &trials, "N", "slots compared, after attachment", .min = 1, .max = 1e7 },
		{ "cold-starts", CLI_INT, &starts, "N",
		  "deal the slots over so many cold starts, each with a seed of its own", .min = 1, .max = 1e5 },
		{ "seed", CLI_UINT64, &c.seed, "S", "of the first cold start; the next has the next" },
		{ "delay-spread-ns", CLI_STRING, &values[DELAY_SPREAD], "D",
		  "RMS delay spread of the tdl models (channel.delay_spread_ns)" },
		{ "speed-kmh", CLI_STRING, &values[SPEED], "V", "speed of the device (channel.speed_kmh)" },
		{ "distance-m", CLI_STRING, &values[DISTANCE], "M", "propagation delay (devices[0].distance_m)" },
		{ "model", CLI_STRING, &values[MODEL], "FILE",
		  "the language model that the cell serves (model.path); nothing is asked of it" },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the default configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Runs a cell of one device from cold start and compares the channel estimated in every slot (dl: by "
		"the device; ul: by the\n"
		"base station, from sounding) with the true one, as phy/csi.h defines it: nothing is aligned. NMSE is "
		"error power over\n"
		"channel power, summed over all used subcarriers and slots; a slot without an estimate has its channel "
		"as error.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	c.dir = strcmp(c.dir_name, "ul") == 0 ? CELL_UL : CELL_DL;
	c.n_slots = (size_t)trials;
	c.n_starts = starts < trials ? (size_t)starts : (size_t)trials;
	c.config = malloc(sizeof *c.config);
	if (!c.config)
		return cli_failed("out of memory");
	status = json_out_open(&c.json, json);
	if (status == CLI_DONE)
		status = configure(&c, keys, values, KEYS, &sets);
	if (status == CLI_DONE)
		status = execute(&c);
	for (size_t i = 0; i < FIGURES; i++)
		free(c.figure[i]);
	free(c.power);
	free(c.error);
	free(c.config);
	return status;
}
