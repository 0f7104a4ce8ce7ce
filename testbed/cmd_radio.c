/* wdmoe radio probe, selftest, calibrate: before going on the air. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "radio/uhd_probe.h"
#include "testbed/cli.h"
#include "testbed/node_radio.h"
#include "testbed/selftest.h"

static const char default_config[] = "testbed/scenarios/default.yaml";

/* ---- probe ---- */

static json_t *words_json(const struct uhd_words *w)
{
	json_t *list = json_array();
	for (size_t i = 0; i < w->n; i++)
		json_array_append_new(list, json_string(w->word[i]));
	return list;
}

static json_t *direction_json(const struct uhd_direction_can *c)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:o, s:o}", "channels", (json_int_t)c->channels, "carrier_min_hz",
	                 c->carrier_min_hz, "carrier_max_hz", c->carrier_max_hz, "gain_min_db", c->gain_min_db,
	                 "gain_max_db", c->gain_max_db, "antennas", words_json(&c->antennas), "sensors",
	                 words_json(&c->sensors));
}

static void print_direction(FILE *f, const char *name, const struct uhd_direction_can *c)
{
	fprintf(f, "  %s: %zu channels, %.4g to %.4g MHz, gain %g to %g dB, antennas", name, c->channels,
	        1e-6 * c->carrier_min_hz, 1e-6 * c->carrier_max_hz, c->gain_min_db, c->gain_max_db);
	for (size_t i = 0; i < c->antennas.n; i++)
		fprintf(f, " %s", c->antennas.word[i]);
	fprintf(f, "\n");
}

static void print_words(FILE *f, const char *name, const struct uhd_words *w)
{
	fprintf(f, "  %s:", name);
	for (size_t i = 0; i < w->n; i++)
		fprintf(f, " %s", w->word[i]);
	fprintf(f, "\n");
}

static int probe_one(FILE *f, const char *args, json_t *list)
{
	struct uhd_description d;
	char err[512];
	fprintf(f, "%s\n", args);
	if (uhd_describe(args, &d, err, sizeof err)) {
		json_array_append_new(list, json_pack("{s:s, s:s}", "args", args, "error", err));
		return cli_failed("%s", err);
	}
	fprintf(f, "  %s, master clock %.6g MHz\n", d.board, 1e-6 * d.master_clock_hz);
	print_direction(f, "receives", &d.rx);
	print_direction(f, "transmits", &d.tx);
	print_words(f, "clock sources", &d.clock_sources);
	print_words(f, "time sources", &d.time_sources);
	json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:o, s:o, s:o, s:o, s:o}", "args", args, "board",
	                                      d.board, "master_clock_hz", d.master_clock_hz, "rx",
	                                      direction_json(&d.rx), "tx", direction_json(&d.tx), "clock_sources",
	                                      words_json(&d.clock_sources), "time_sources", words_json(&d.time_sources),
	                                      "sensors", words_json(&d.sensors)));
	return CLI_DONE;
}

int cmd_radio_probe(int argc, char **argv)
{
	const char *json = NULL, *args = "";
	const struct cli_option options[] = {
		{ "args", CLI_STRING, &args, "ARGS", "only devices that answer to these, as UHD takes them" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Looks for USRPs on USB and the network, opens each and tells what it can do.",
		options,
		sizeof options / sizeof *options,
	};
	int status;
	char err[512];
	struct json_out out;
	struct uhd_found found;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if ((status = json_out_open(&out, json)) != CLI_DONE)
		return status;
	if (uhd_find(args, &found, err, sizeof err))
		return cli_failed("%s", err);
	json_t *list = json_array();
	for (size_t i = 0; i < found.n; i++) {
		int one = probe_one(json_out_text(&out), found.args[i], list);
		status = one == CLI_DONE ? status : one;
	}
	if (!found.n)
		fprintf(json_out_text(&out),
		        "no device answers to args \"%s\" on USB or the network (uhd_find_devices looks the same "
		        "way)\n",
		        args);
	int written = json_out_write(&out, json_pack("{s:i, s:s, s:s, s:o}", "schema", 1, "command", "radio probe",
	                                             "version", cli_version(), "devices", list));
	return status == CLI_DONE ? written : status;
}

/* ---- a radio of a configuration, both directions on one carrier ---- */

struct own_radio {
	struct config config;
	struct numerology num;
	struct radio *radio;
	struct json_out out;
};

static int open_own(struct own_radio *o, const struct cli_list *files, const struct cli_list *sets, const char *json,
                    bool loops)
{
	char err[512];
	int status = json_out_open(&o->out, json);
	if (status != CLI_DONE)
		return status;
	if (config_load(&o->config, files->n ? files->items[0] : default_config, sets->items, sets->n, err,
	                sizeof err) ||
	    config_numerology(&o->config.radio, &o->num, err, sizeof err))
		return cli_bad_input("%s", err);
	if (loops)
		o->config.radio.ul_hz = o->config.radio.dl_hz;
	o->radio = node_radio_open(&o->config, &o->num, 0, err, sizeof err);
	return o->radio ? CLI_DONE : errno == EINVAL ? cli_bad_input("%s", err) : cli_failed("%s", err);
}

static int radio_failed(int rc)
{
	return rc == -ENOLINK ? cli_failed("nothing of what was sent comes back: is the loop closed, are gains and "
	                                   "carrier right?")
	                      : cli_failed("radio: %s", strerror(-rc));
}

/* ---- selftest ---- */

struct step {
	double tx_gain_db;
	struct selftest_wide wide;
};

enum { STEPS_MAX = 16 };
static const double CLEAN_DB =
        3; /* with more gain EVM falls until something gives way: then it rises, by more than this */

struct selftest_result {
	double noise_dbfs;
	struct selftest_tone tone;
	struct step step[STEPS_MAX];
	size_t n;
	double best_evm_db, clean_gain_db;
};

/* From the configured gain upwards; the receiver stays as it is. */
static int sweep(struct selftest *s, struct radio *radio, size_t n, struct selftest_result *r)
{
	struct radio_info info;
	uint64_t overloaded = 0;
	bool is_clean = true;
	radio_get_info(radio, &info);
	r->best_evm_db = INFINITY;
	r->clean_gain_db = NAN;
	for (r->n = 0; r->n < n; r->n++) {
		struct step *step = &r->step[r->n];
		double range_db = info.tx_gain_max_db - info.tx_gain_db;
		step->tx_gain_db = info.tx_gain_db + (n > 1 ? range_db * (double)r->n / (double)(n - 1) : 0);
		int rc = radio_set_tx_gain(radio, step->tx_gain_db);
		rc = rc ? rc : selftest_wide(s, &step->wide);
		if (rc)
			return rc;
		uint64_t all = step->wide.overloaded;
		step->wide.overloaded -= overloaded;
		overloaded = all;
		is_clean = is_clean && !step->wide.overloaded && step->wide.evm_db <= r->best_evm_db + CLEAN_DB;
		if (is_clean)
			r->clean_gain_db = step->tx_gain_db;
		r->best_evm_db = fmin(r->best_evm_db, step->wide.evm_db);
	}
	return radio_set_tx_gain(radio, info.tx_gain_db);
}

static json_t *selftest_json(const struct selftest_result *r, const struct radio_info *info)
{
	json_t *steps = json_array();
	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(steps, json_pack("{s:f, s:o, s:o, s:I, s:I}", "tx_gain_db", r->step[i].tx_gain_db,
		                                       "level_dbfs", json_real_or_null(r->step[i].wide.level_dbfs),
		                                       "evm_db", json_real_or_null(r->step[i].wide.evm_db),
		                                       "delay_samples", (json_int_t)r->step[i].wide.delay_samples,
		                                       "samples_overloaded", (json_int_t)r->step[i].wide.overloaded));
	return json_pack("{s:i, s:s, s:s, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", 1, "command",
	                 "radio selftest", "version", cli_version(), "rate_hz", info->rate_hz, "carrier_hz",
	                 info->rx_hz, "rx_gain_db", info->rx_gain_db, "noise_dbfs", json_real_or_null(r->noise_dbfs),
	                 "tone_dbfs", json_real_or_null(r->tone.level_dbfs), "image_db",
	                 json_real_or_null(r->tone.image_db), "leakage_dbfs", json_real_or_null(r->tone.leakage_dbfs),
	                 "evm_db", json_real_or_null(r->best_evm_db), "clean_tx_gain_max_db",
	                 json_real_or_null(r->clean_gain_db), "steps", steps);
}

static int run_selftest(struct own_radio *o, double amplitude, size_t n_steps)
{
	struct selftest_result r = { .n = 0 };
	struct radio_info info;
	FILE *f = json_out_text(&o->out);
	struct selftest *s = selftest_create(o->radio, amplitude);
	if (!s)
		return cli_failed("out of memory");
	radio_get_info(o->radio, &info);
	int rc = selftest_noise(s, &r.noise_dbfs);
	rc = rc ? rc : selftest_tone(s, &r.tone);
	rc = rc ? rc : sweep(s, o->radio, n_steps, &r);
	selftest_destroy(s);
	if (rc)
		return radio_failed(rc);
	fprintf(f, "%.6g MS/s at %.6g MHz, receive gain %g dB\n", 1e-6 * info.rate_hz, 1e-6 * info.rx_hz,
	        info.rx_gain_db);
	fprintf(f, "noise %.1f dBFS; tone %.1f dBFS, image %.1f dB, leakage %.1f dBFS\n", r.noise_dbfs,
	        r.tone.level_dbfs, r.tone.image_db, r.tone.leakage_dbfs);
	fprintf(f, "%12s %12s %8s %8s %12s\n", "tx gain, dB", "level, dBFS", "EVM, dB", "delay", "overloaded");
	for (size_t i = 0; i < r.n; i++)
		fprintf(f, "%12.1f %12.1f %8.1f %8lld %12llu\n", r.step[i].tx_gain_db, r.step[i].wide.level_dbfs,
		        r.step[i].wide.evm_db, (long long)r.step[i].wide.delay_samples,
		        (unsigned long long)r.step[i].wide.overloaded);
	fprintf(f, "clean up to a transmit gain of %.1f dB\n", r.clean_gain_db);
	return json_out_write(&o->out, selftest_json(&r, &info));
}

static const char loop_about[] =
        "transmitter to receiver of one radio, by a cable with an attenuator (30 dB at least) or by its antennas.\n"
        "Both are tuned to radio.dl_hz. ";

int cmd_radio_selftest(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL;
	double amplitude = 0.5;
	int64_t n_steps = 8;
	const struct cli_option options[] = {
		{ "amplitude", CLI_DOUBLE, &amplitude, "A", "of the tone; rms times 3 of the wide signal", .min = 1e-6,
		  .max = 1 },
		{ "steps", CLI_INT, &n_steps, "N", "transmit gains, from the configured one to the largest", .min = 1,
		  .max = STEPS_MAX },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	char about[512];
	snprintf(about, sizeof about,
	         "Measures a loop: %sNoise floor, image, leakage, EVM and the largest clean transmit gain.",
	         loop_about);
	const struct cli_syntax syntax = { "[CONFIG]", about, options, sizeof options / sizeof *options, &files, 0, 1 };
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	struct own_radio *o = calloc(1, sizeof *o);
	if (!o)
		return cli_failed("out of memory");
	status = open_own(o, &files, &sets, json, true);
	if (status == CLI_DONE)
		status = run_selftest(o, amplitude, (size_t)n_steps);
	radio_destroy(o->radio);
	free(o);
	return status;
}

/* ---- calibrate ---- */

struct calibration_wish {
	double level_dbfs, reference_dbm, loop_db;
	bool has_reference, loops;
};

enum { LEVEL_TRIES = 6 };
static const double CLOSE_DB = 0.5;

/* What comes in now, or with `loops` the own tone that comes back. */
static int measure_level(struct selftest *s, bool loops, double *level_dbfs)
{
	struct selftest_tone tone = { 0 };
	int rc = loops ? selftest_tone(s, &tone) : selftest_noise(s, level_dbfs);
	if (loops)
		*level_dbfs = tone.level_dbfs;
	return rc;
}

static int set_level(struct selftest *s, struct radio *radio, const struct calibration_wish *w, double *level_dbfs)
{
	struct radio_info info;
	int rc = measure_level(s, w->loops, level_dbfs);
	for (int i = 0; i < LEVEL_TRIES && !rc && fabs(*level_dbfs - w->level_dbfs) > CLOSE_DB; i++) {
		radio_get_info(radio, &info);
		double gain_db = fmin(fmax(info.rx_gain_db + w->level_dbfs - *level_dbfs, info.rx_gain_min_db),
		                      info.rx_gain_max_db);
		if (gain_db == info.rx_gain_db)
			break;
		rc = radio_set_rx_gain(radio, gain_db);
		rc = rc ? rc : measure_level(s, w->loops, level_dbfs);
	}
	return rc;
}

static int run_calibrate(struct own_radio *o, double amplitude, const struct calibration_wish *w)
{
	struct radio_info info;
	double level_dbfs = NAN, rx_0_dbm = NAN, tx_0_dbm = NAN;
	FILE *f = json_out_text(&o->out);
	struct selftest *s = selftest_create(o->radio, amplitude);
	if (!s)
		return cli_failed("out of memory");
	int rc = set_level(s, o->radio, w, &level_dbfs);
	selftest_destroy(s);
	if (rc)
		return radio_failed(rc);
	radio_get_info(o->radio, &info);
	rx_0_dbm = w->has_reference ? w->reference_dbm - level_dbfs + info.rx_gain_db
	                            : info.rx_full_scale_dbm + info.rx_gain_db;
	if (w->loops)
		tx_0_dbm =
		        rx_0_dbm - info.rx_gain_db + level_dbfs + w->loop_db - 20 * log10(amplitude) - info.tx_gain_db;
	fprintf(f, "level %.1f dBFS, wanted %.1f\n", level_dbfs, w->level_dbfs);
	fprintf(f, "uhd:\n  rx_gain_db: %.2f\n", info.rx_gain_db);
	if (w->has_reference)
		fprintf(f, "  rx_full_scale_dbm: %.2f\n", rx_0_dbm);
	if (w->loops)
		fprintf(f, "  tx_full_scale_dbm: %.2f\n", tx_0_dbm);
	int status =
	        json_out_write(&o->out, json_pack("{s:i, s:s, s:s, s:o, s:f, s:f, s:o, s:o}", "schema", 1, "command",
	                                          "radio calibrate", "version", cli_version(), "level_dbfs",
	                                          json_real_or_null(level_dbfs), "rx_gain_db", info.rx_gain_db,
	                                          "tx_gain_db", info.tx_gain_db, "rx_full_scale_dbm",
	                                          json_real_or_null(w->has_reference ? rx_0_dbm : NAN),
	                                          "tx_full_scale_dbm", json_real_or_null(tx_0_dbm)));
	if (fabs(level_dbfs - w->level_dbfs) > 1)
		return cli_failed("the level cannot be had: receive gain ends at %g dB with %.1f dBFS", info.rx_gain_db,
		                  level_dbfs);
	return status;
}

int cmd_radio_calibrate(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL;
	double amplitude = 0.5;
	struct calibration_wish w = { .level_dbfs = -20 };
	const struct cli_option options[] = {
		{ "level-dbfs", CLI_DOUBLE, &w.level_dbfs, "L", "where the receiver is to sit", .min = -100, .max = 0 },
		{ "reference-dbm", CLI_DOUBLE, &w.reference_dbm, "P",
		  "known power of what comes in, at the connector: gives uhd.rx_full_scale_dbm", .min = -200, .max = 30,
		  .given = &w.has_reference },
		{ "loop-db", CLI_DOUBLE, &w.loop_db, "A",
		  "own tone through a known attenuation: gives uhd.tx_full_scale_dbm", .min = 0, .max = 200,
		  .given = &w.loops },
		{ "amplitude", CLI_DOUBLE, &amplitude, "A", "of the own tone", .min = 1e-6, .max = 1 },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"[CONFIG]",
		"Finds the receive gain at which what comes in (the cell, a generator, or with --loop-db the radio's "
		"own tone)\n"
		"has a chosen level, and prints the lines for a configuration. First with --reference-dbm and a "
		"generator, then\n"
		"with --loop-db and the receiver so calibrated.",
		options,
		sizeof options / sizeof *options,
		&files,
		0,
		1,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	struct own_radio *o = calloc(1, sizeof *o);
	if (!o)
		return cli_failed("out of memory");
	status = open_own(o, &files, &sets, json, w.loops);
	if (status == CLI_DONE)
		status = run_calibrate(o, amplitude, &w);
	radio_destroy(o->radio);
	free(o);
	return status;
}
