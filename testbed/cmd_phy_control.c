/* wdmoe phy control: at which SNR control messages are read, what else is taken for one, and what the search costs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phy/dl_level.h"
#include "phy/numerology.h"
#include "testbed/cli.h"
#include "testbed/phy_control.h"
#include "testbed/phy_sweep.h"
#include "testbed/stats.h"

enum { POINTS_MAX = 40, GUESS_TRIALS = 60, SEARCH_DB = 12 };
static const double miss_level = 0.01;

static const char *const size_names[DCI_SIZES] = { [DCI_SHORT] = "short", [DCI_LONG] = "long" };

struct control {
	struct json_out json;
	struct phy_control *sim;
	const char *dir, *estimate;
	double rate_hz, scs_hz, step_db;
	int64_t n_rb, n_symbols, trials, false_trials;
	uint64_t seed;
	bool known;
	json_t *report;
};

static json_t *interval_json(uint64_t hits, uint64_t trials)
{
	struct stats_interval x = stats_wilson((size_t)hits, (size_t)trials, 0.95);
	return json_reals((double[]){ x.low, x.high }, 2);
}

/* ---- thresholds ---- */

/* One message kind over SNR: from well above its threshold down until a tenth is missed. */
struct curve {
	size_t n;
	double snr_db[POINTS_MAX], rate[POINTS_MAX], trials[POINTS_MAX];
	uint64_t wrong;
	double candidates, candidates_max; /* a slot, where the threshold is */
};

typedef int (*measure_fn)(struct control *c, const void *what, double snr_db, size_t trials,
                          struct phy_control_counts *n);

/* A first guess by few trials, down or up from near_db, then fine steps up from where a tenth is missed. Points come in
 * ascending order of SNR. */
static int draw_curve(struct control *c, measure_fn measure, const void *what, double near_db, struct curve *curve)
{
	struct phy_control_counts n;
	double snr_db = near_db;
	int rc = 0, way = 0;
	*curve = (struct curve){ 0 };
	while (!rc && fabs(snr_db - near_db) < SEARCH_DB && !cli_interrupted()) {
		rc = measure(c, what, snr_db, GUESS_TRIALS, &n);
		int next = n.missed < n.trials / 10 ? -1 : 1;
		if (way > 0 && next < 0)
			break;
		way = next;
		snr_db += 0.5 * way;
	}
	snr_db -= 1;
	while (!rc && curve->n < POINTS_MAX && !cli_interrupted()) {
		rc = measure(c, what, snr_db, (size_t)c->trials, &n);
		curve->snr_db[curve->n] = snr_db;
		curve->rate[curve->n] = (double)n.missed / (double)n.trials;
		curve->trials[curve->n++] = (double)n.trials;
		curve->wrong += n.wrong;
		curve->candidates = (double)n.candidates / (double)n.trials;
		curve->candidates_max = (double)n.candidates_max;
		if ((double)n.missed < 0.5 * miss_level * (double)n.trials)
			break;
		snr_db += c->step_db;
	}
	return rc;
}

static double crossing(const struct curve *k)
{
	return phy_sweep_crossing(k->snr_db, k->rate, k->trials, k->n, miss_level);
}

static json_t *curve_json(const struct curve *k)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:I}", "snr_at_1_percent_db", json_real_or_null(crossing(k)), "snr_db",
	                 json_reals(k->snr_db, k->n), "miss_rate", json_reals(k->rate, k->n), "trials",
	                 json_reals(k->trials, k->n), "wrong", (json_int_t)k->wrong);
}

static int measure_dl(struct control *c, const void *arg, double snr_db, size_t trials, struct phy_control_counts *n)
{
	struct phy_control_dl_case what = *(const struct phy_control_dl_case *)arg;
	what.snr_db = snr_db;
	what.known = c->known;
	return phy_control_dl(c->sim, &what, trials, n);
}

static int measure_ul(struct control *c, const void *arg, double snr_db, size_t trials, struct phy_control_counts *n)
{
	struct phy_control_ul_case what = *(const struct phy_control_ul_case *)arg;
	what.snr_db = snr_db;
	what.known = c->known;
	return phy_control_ul(c->sim, &what, trials, n);
}

static int downlink_thresholds(struct control *c)
{
	FILE *f = json_out_text(&c->json);
	unsigned levels[DL_LEVELS_MAX];
	size_t n_levels = dl_levels(phy_control_layout(c->sim), levels);
	json_t *all = json_array();
	int rc = 0;
	fprintf(f, "%-6s %6s %12s %10s %15s %6s\n", "size", "level", "snr@1 % miss", "table", "decodings (max)",
	        "wrong");
	for (size_t size = 0; size < DCI_SIZES; size++)
		for (size_t i = 0; i < n_levels && !rc && !cli_interrupted(); i++) {
			struct phy_control_dl_case what = { .size = (enum dci_size)size,
				                            .level = levels[i],
				                            .alone = true };
			struct curve k;
			double table = (double)dl_level_snr_db((enum dci_size)size, levels[i]);
			rc = draw_curve(c, measure_dl, &what, table, &k);
			fprintf(f, "%-6s %6u %12.2f %10.1f %8.1f %6.0f %6llu\n", size_names[size], levels[i],
			        crossing(&k), table, k.candidates, k.candidates_max, (unsigned long long)k.wrong);
			json_t *o = curve_json(&k);
			json_object_set_new(o, "size", json_string(size_names[size]));
			json_object_set_new(o, "level", json_integer(levels[i]));
			json_object_set_new(o, "table_db", json_real_or_null(table));
			json_object_set_new(o, "decodings_mean", json_real_or_null(k.candidates));
			json_object_set_new(o, "decodings_max", json_real_or_null(k.candidates_max));
			json_array_append_new(all, o);
		}
	json_object_set_new(c->report, "thresholds", all);
	return rc;
}

/* ---- what is taken for a message ---- */

/* Slots without a message to the device: at the top, the region is empty; below, full of messages to others. */
static int downlink_false(struct control *c)
{
	static const double snrs_db[] = { -5, 0, 10, 20 };
	enum { SNRS = sizeof snrs_db / sizeof snrs_db[0] };
	FILE *f = json_out_text(&c->json);
	json_t *all = json_array();
	int rc = 0;
	fprintf(f, "\n%-6s %7s %9s %9s %10s %15s %16s\n", "region", "snr_db", "slots", "messages", "strangers",
	        "decodings (max)", "expected a slot");
	for (size_t i = 0; i < 2 * SNRS && !rc && !cli_interrupted(); i++) {
		struct phy_control_dl_case what = { .snr_db = snrs_db[i % SNRS], .alone = i < SNRS };
		struct phy_control_counts n;
		rc = phy_control_dl(c->sim, &what, (size_t)c->false_trials, &n);
		/* Each codeword to nobody would have been to one of three addresses that the device listens to with 3 / 2^24. */
		double expected = 3 * 0x1p-24 * (double)n.strangers / (double)n.trials;
		fprintf(f, "%-6s %7.1f %9llu %9llu %10llu %8.2f %6llu %16.2g\n", what.alone ? "empty" : "full",
		        what.snr_db, (unsigned long long)n.trials, (unsigned long long)n.wrong,
		        (unsigned long long)n.strangers, (double)n.candidates / (double)n.trials,
		        (unsigned long long)n.candidates_max, expected);
		json_array_append_new(all,
		                      json_pack("{s:b, s:f, s:I, s:I, s:I, s:f, s:I, s:I, s:f}", "full", !what.alone,
		                                "snr_db", what.snr_db, "slots", (json_int_t)n.trials, "messages",
		                                (json_int_t)n.wrong, "strangers", (json_int_t)n.strangers,
		                                "decodings_mean", (double)n.candidates / (double)n.trials,
		                                "decodings_max", (json_int_t)n.candidates_max, "cut_short",
		                                (json_int_t)n.cut_short, "false_expected_per_slot", expected));
	}
	json_object_set_new(c->report, "false_messages", all);
	return rc;
}

/* What the base station reads of a device that sends nothing, NACK or NONE: never an acknowledgement. */
static int uplink_false(struct control *c, double threshold_db)
{
	static const struct {
		const char *name;
		enum uci_ack ack;
		bool silent;
	} sent[] = { { "nack", UCI_NACK, false }, { "none", UCI_ACK_NONE, false }, { "silence", UCI_ACK_NONE, true } };
	FILE *f = json_out_text(&c->json);
	json_t *all = json_array();
	int rc = 0;
	fprintf(f, "\n%-8s %7s %9s %9s %9s %9s\n", "sent", "snr_db", "slots", "read", "wrong", "ack");
	for (size_t i = 0; i < 9 && !rc && !cli_interrupted(); i++) {
		double snr_db = threshold_db + (i % 3 == 0 ? 0 : i % 3 == 1 ? -3 : 10);
		struct phy_control_ul_case what = { .ack = sent[i / 3].ack,
			                            .silent = sent[i / 3].silent,
			                            .snr_db = snr_db };
		struct phy_control_counts n;
		rc = phy_control_ul(c->sim, &what, (size_t)c->false_trials, &n);
		uint64_t read = what.silent ? n.wrong : n.trials - n.missed;
		fprintf(f, "%-8s %7.2f %9llu %9llu %9llu %9llu\n", sent[i / 3].name, snr_db,
		        (unsigned long long)n.trials, (unsigned long long)read, (unsigned long long)n.wrong,
		        (unsigned long long)n.acks);
		json_array_append_new(all,
		                      json_pack("{s:s, s:f, s:I, s:I, s:I, s:I, s:o}", "sent", sent[i / 3].name,
		                                "snr_db", snr_db, "slots", (json_int_t)n.trials, "read",
		                                (json_int_t)read, "wrong", (json_int_t)n.wrong, "acks",
		                                (json_int_t)n.acks, "ack_interval", interval_json(n.acks, n.trials)));
	}
	json_object_set_new(c->report, "false_acks", all);
	return rc;
}

static int uplink(struct control *c)
{
	FILE *f = json_out_text(&c->json);
	struct phy_control_ul_case what = { .ack = UCI_ACK };
	struct curve k;
	int rc = draw_curve(c, measure_ul, &what, -5, &k);
	if (rc)
		return rc;
	fprintf(f, "read but for 1 %% at %.2f dB\n", crossing(&k));
	json_object_set_new(c->report, "threshold", curve_json(&k));
	return uplink_false(c, isfinite(crossing(&k)) ? crossing(&k) : 0);
}

/* ---- set-up ---- */

static int execute(struct control *c)
{
	char err[256];
	struct numerology num;
	if (numerology_init(&num, c->rate_hz, c->scs_hz, (size_t)c->n_rb, (size_t)c->n_symbols, err, sizeof err))
		return cli_bad_input("%s", err);
	c->sim = phy_control_create(&num, c->seed, err, sizeof err);
	if (!c->sim)
		return cli_failed("%s", err);
	c->known = strcmp(c->estimate, "off") == 0;
	c->report = json_pack(
	        "{s:i, s:s, s:s, s:s, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "schema", 1, "version",
	        cli_version(), "dir", c->dir, "estimate", c->estimate, "rate_hz", c->rate_hz, "scs_hz", c->scs_hz,
	        "n_rb", (json_int_t)c->n_rb, "n_symbols", (json_int_t)c->n_symbols, "seed", (json_int_t)c->seed,
	        "trials", (json_int_t)c->trials, "false_trials", (json_int_t)c->false_trials, "n_cce",
	        (json_int_t)layout_n_cce(phy_control_layout(c->sim)), "short_bits",
	        (json_int_t)dci_n_bits(DCI_SHORT, num.n_rb), "long_bits", (json_int_t)dci_n_bits(DCI_LONG, num.n_rb));
	if (!c->report)
		return cli_failed("out of memory");
	cli_catch_interrupt();
	int rc = strcmp(c->dir, "ul") == 0 ? uplink(c) : downlink_thresholds(c);
	if (!rc && strcmp(c->dir, "dl") == 0)
		rc = downlink_false(c);
	if (rc)
		return cli_bad_input("control of %lld resource blocks: %s", (long long)c->n_rb, strerror(-rc));
	if (cli_interrupted())
		return CLI_INTERRUPTED;
	return json_out_write(&c->json, json_incref(c->report));
}

int cmd_phy_control(int argc, char **argv)
{
	struct control c = { .dir = "dl",
		             .estimate = "on",
		             .rate_hz = 7.68e6,
		             .scs_hz = 30e3,
		             .step_db = 0.25,
		             .n_rb = 18,
		             .n_symbols = 14,
		             .trials = 1000,
		             .false_trials = 5000,
		             .seed = 1 };
	const char *json = NULL;
	const struct cli_option options[] = {
		{ "dir", CLI_STRING, &c.dir, "D", "direction", .choices = "dl|ul" },
		{ "estimate", CLI_STRING, &c.estimate, "E",
		  "on: the receiver's own channel and noise; off: it is told the true ones", .choices = "on|off" },
		{ "rate-hz", CLI_DOUBLE, &c.rate_hz, "R", "complex samples a second", .min = 1e5, .max = 2e8 },
		{ "scs-hz", CLI_DOUBLE, &c.scs_hz, "F", "subcarrier spacing", .min = 1e3, .max = 1e6 },
		{ "rb", CLI_INT, &c.n_rb, "N", "resource blocks of the band", .min = 1, .max = PHY_RB_MAX },
		{ "symbols", CLI_INT, &c.n_symbols, "N", "OFDM symbols of a slot", .min = 1, .max = PHY_SYMBOLS_MAX },
		{ "step-db", CLI_DOUBLE, &c.step_db, "D", "between the points of a curve", .min = 0.01, .max = 2 },
		{ "trials", CLI_INT, &c.trials, "N", "messages a point", .min = 1, .max = 1e9 },
		{ "false-trials", CLI_INT, &c.false_trials, "N", "slots a point without the message looked for",
		  .min = 1, .max = 1e9 },
		{ "seed", CLI_UINT64, &c.seed, "S", "of noise and messages" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Control messages of either direction in white noise, at each level: the SNR at which one in a hundred "
		"is "
		"missed; then what is\n"
		"taken for a message, or an acknowledgement, where none was sent. SNR is that of a data RE at "
		"full-band "
		"power over the noise\n"
		"of a subcarrier.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	status = json_out_open(&c.json, json);
	if (status == CLI_DONE)
		status = execute(&c);
	json_decref(c.report);
	phy_control_destroy(c.sim);
	return status;
}
