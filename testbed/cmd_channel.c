/* wdmoe channel: the taps of a channel over time, of a model, of a run's measured CSI or of a file, written down and summed up. */
#include "testbed/cli.h"
#include "testbed/csi_taps.h"
#include "testbed/taps.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const double light_m_s = 299792458.0;

struct request {
	const char *model, *log, *file, *out, *json, *direction;
	double delay_spread_ns, speed_kmh, carrier_hz, k_db, seconds, step_us;
	uint64_t seed;
	int64_t device, taps;
};

/* What came of it; of a journal: measured is true. */
struct channel {
	struct channel_trace trace;
	struct csi_taps csi;
	bool measured;
	double doppler_hz; /* of a model; else NAN */
};

static int bad(const char *err)
{
	return cli_bad_input("%s", err);
}

static int from_model(const struct request *q, struct channel *c)
{
	struct tdl fading;
	const struct tdl_profile *profile = tdl_find(q->model);
	if (!profile)
		return cli_bad_input("--model %s: there is no such model", q->model);
	c->doppler_hz = q->speed_kmh / 3.6 / light_m_s * q->carrier_hz;
	tdl_init(&fading, profile, 1e-9 * q->delay_spread_ns, q->k_db, c->doppler_hz, q->seed, 0);
	size_t n_times = (size_t)floor(q->seconds / (1e-6 * q->step_us)) + 1;
	if (channel_trace_init(&c->trace, fading.n_taps, n_times < 2 ? 2 : n_times))
		return cli_failed("%s", strerror(ENOMEM));
	c->trace.step_s = 1e-6 * q->step_us;
	memcpy(c->trace.delay_s, fading.delay_s, fading.n_taps * sizeof *fading.delay_s);
	for (size_t row = 0; row < c->trace.n_times && !cli_interrupted(); row++)
		tdl_gains(&fading, c->trace.step_s * (double)row, &c->trace.re[row * fading.n_taps],
		          &c->trace.im[row * fading.n_taps]);
	return cli_interrupted() ? CLI_INTERRUPTED : CLI_DONE;
}

static int from_log(const struct request *q, struct channel *c)
{
	char buffer[JOURNAL_PATH_MAX], err[JOURNAL_PATH_MAX + 128];
	const char *path = journal_path(q->log, buffer, sizeof buffer);
	enum journal_direction direction = strcmp(q->direction, "ul") == 0 ? JOURNAL_UPLINK : JOURNAL_DOWNLINK;
	if (csi_taps_read(path, direction, (unsigned)q->device, (size_t)q->taps, &c->csi, err, sizeof err))
		return bad(err);
	c->trace = c->csi.trace;
	c->measured = true;
	return CLI_DONE;
}

static int from_file(const struct request *q, struct channel *c)
{
	char err[4096];
	return taps_read(q->file, &c->trace, err, sizeof err) ? bad(err) : CLI_DONE;
}

/* ---- what it comes to ---- */

struct summary {
	double power[TDL_MAX_TAPS]; /* mean over time */
	double total, mean_delay_s, spread_s, deepest_db;
};

static struct summary sum_up(const struct channel_trace *tr)
{
	struct summary s = { .total = 0 };
	double least = INFINITY, second = 0;
	for (size_t row = 0; row < tr->n_times; row++) {
		double now = 0;
		for (size_t l = 0; l < tr->n_taps; l++) {
			double re = (double)tr->re[row * tr->n_taps + l], im = (double)tr->im[row * tr->n_taps + l];
			s.power[l] += (re * re + im * im) / (double)tr->n_times;
			now += re * re + im * im;
		}
		least = fmin(least, now);
	}
	for (size_t l = 0; l < tr->n_taps; l++) {
		s.total += s.power[l];
		s.mean_delay_s += s.power[l] * tr->delay_s[l];
		second += s.power[l] * tr->delay_s[l] * tr->delay_s[l];
	}
	s.mean_delay_s /= s.total;
	s.spread_s = sqrt(fmax(0, second / s.total - s.mean_delay_s * s.mean_delay_s));
	s.deepest_db = 10 * log10(least / s.total);
	return s;
}

static void print(FILE *f, const struct channel *c, const struct summary *s)
{
	const struct channel_trace *tr = &c->trace;
	fprintf(f, "%zu taps at %zu times, %.6g us apart\n", tr->n_taps, tr->n_times, 1e6 * tr->step_s);
	if (c->measured)
		fprintf(f,
		        "from slot %llu on; %zu rows measured, %zu filled in; the taps leave %.1f dB, noise was %.1f "
		        "dB\n",
		        (unsigned long long)c->csi.first_slot, c->csi.n_measured, c->csi.n_filled, c->csi.residual_db,
		        c->csi.noise_db);
	fprintf(f, "mean delay %.4g ns, RMS delay spread %.4g ns, deepest fade %.1f dB\n", 1e9 * s->mean_delay_s,
	        1e9 * s->spread_s, s->deepest_db);
	fprintf(f, "%12s %9s\n", "delay ns", "power dB");
	for (size_t l = 0; l < tr->n_taps; l++)
		fprintf(f, "%12.4g %9.2f\n", 1e9 * tr->delay_s[l], 10 * log10(s->power[l] / s->total));
}

static json_t *describe(const struct request *q, const struct channel *c, const struct summary *s)
{
	const struct channel_trace *tr = &c->trace;
	double delay_ns[TDL_MAX_TAPS], power_db[TDL_MAX_TAPS];
	for (size_t l = 0; l < tr->n_taps; l++) {
		delay_ns[l] = 1e9 * tr->delay_s[l];
		power_db[l] = 10 * log10(s->power[l] / s->total);
	}
	json_t *o =
	        json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:f, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", 1, "command",
	                  "channel", "version", cli_version(), "source",
	                  c->measured ? "csi"
	                  : q->file   ? "file"
	                              : "model",
	                  "n_taps", (json_int_t)tr->n_taps, "n_times", (json_int_t)tr->n_times, "step_us",
	                  1e6 * tr->step_s, "delay_ns", json_reals(delay_ns, tr->n_taps), "power_db",
	                  json_reals(power_db, tr->n_taps), "mean_delay_ns", json_real_or_null(1e9 * s->mean_delay_s),
	                  "rms_delay_spread_ns", json_real_or_null(1e9 * s->spread_s), "deepest_fade_db",
	                  json_real_or_null(s->deepest_db), "doppler_hz", json_real_or_null(c->doppler_hz));
	if (o && !c->measured && !q->file)
		json_object_set_new(o, "model", json_string(q->model)),
		        json_object_set_new(o, "seed", json_integer((json_int_t)q->seed));
	if (o && c->measured)
		json_object_set_new(o, "csi",
		                    json_pack("{s:I, s:s, s:I, s:I, s:I, s:o, s:o}", "device", (json_int_t)q->device,
		                              "direction", q->direction, "first_slot", (json_int_t)c->csi.first_slot,
		                              "rows_measured", (json_int_t)c->csi.n_measured, "rows_filled",
		                              (json_int_t)c->csi.n_filled, "residual_db",
		                              json_real_or_null(c->csi.residual_db), "noise_db",
		                              json_real_or_null(c->csi.noise_db)));
	return o;
}

static void remark(const struct request *q, const struct channel *c, char *text, size_t size)
{
	if (c->measured)
		snprintf(text, size, "wdmoe %s channel: device %lld, %s, slot %llu on", cli_version(),
		         (long long)q->device, q->direction, (unsigned long long)c->csi.first_slot);
	else if (q->file)
		snprintf(text, size, "wdmoe %s channel: from a file", cli_version());
	else
		snprintf(text, size, "wdmoe %s channel: %s, %g ns, %g km/h at %g Hz, seed %llu", cli_version(),
		         q->model, q->delay_spread_ns, q->speed_kmh, q->carrier_hz, (unsigned long long)q->seed);
}

static int deliver(const struct request *q, const struct channel *c, const struct json_out *out)
{
	char text[256], err[4096];
	struct summary s = sum_up(&c->trace);
	remark(q, c, text, sizeof text);
	if (q->out && taps_write(q->out, &c->trace, text, err, sizeof err))
		return cli_failed("%s", err);
	print(json_out_text(out), c, &s);
	return json_out_write(out, describe(q, c, &s));
}

int cmd_channel(int argc, char **argv)
{
	struct request q = { .model = "tdl-a",
		             .direction = "dl",
		             .delay_spread_ns = 100,
		             .speed_kmh = 3,
		             .carrier_hz = 3.5e9,
		             .k_db = 10,
		             .seconds = 1,
		             .step_us = 500,
		             .seed = 1,
		             .taps = 20 };
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &q.model, "NAME", "none, rayleigh, rice, tdl-a .. tdl-e, epa, eva, etu" },
		{ "delay-spread-ns", CLI_DOUBLE, &q.delay_spread_ns, "NS", "RMS delay spread of the tdl models",
		  .min = 0, .max = 20000 },
		{ "speed-kmh", CLI_DOUBLE, &q.speed_kmh, "V", "speed, gives the Doppler", .min = 0, .max = 500 },
		{ "carrier-hz", CLI_DOUBLE, &q.carrier_hz, "HZ", "carrier", .min = 1e6, .max = 1e11 },
		{ "rice-k-db", CLI_DOUBLE, &q.k_db, "K", "K factor of the model rice", .min = -40, .max = 60 },
		{ "seed", CLI_UINT64, &q.seed, "N", "of the fading" },
		{ "seconds", CLI_DOUBLE, &q.seconds, "S", "how long", .min = 1e-6, .max = 1e5 },
		{ "step-us", CLI_DOUBLE, &q.step_us, "US", "from row to row", .min = 1e-3, .max = 1e7 },
		{ "log", CLI_STRING, &q.log, "RUN",
		  "instead of a model: the channel measured in a run, its journal or folder" },
		{ "device", CLI_INT, &q.device, "K", "with --log: of that device", .min = 0, .max = 255 },
		{ "direction", CLI_STRING, &q.direction, "D", "with --log: dl or ul", .choices = "dl|ul" },
		{ "taps", CLI_INT, &q.taps, "N", "with --log: taps fitted, a sample apart", .min = 1,
		  .max = TDL_MAX_TAPS },
		{ "file", CLI_STRING, &q.file, "FILE", "instead of a model: taps as --out writes them" },
		{ "out", CLI_STRING, &q.out, "FILE", "write the taps: lines of time_s, then re and im of each tap" },
		{ "json", CLI_STRING, &q.json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"The taps of a channel over time: of a model, of what a run measured, or of a file. Tells their "
		"delays, powers\n"
		"and spread; --out writes them down, for anyone's statistics and for replay (channel.model: trace).",
		options,
		sizeof options / sizeof *options,
		NULL,
		0,
		0
	};
	struct channel c = { .doppler_hz = NAN };
	struct json_out out;
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if (q.log && q.file)
		return cli_bad_input("--log and --file are two sources: one will do");
	if (q.seconds / (1e-6 * q.step_us) > 1e8)
		return cli_bad_input("--seconds %g at --step-us %g: more than 1e8 rows", q.seconds, q.step_us);
	status = json_out_open(&out, q.json);
	if (status != CLI_DONE)
		return status;
	cli_catch_interrupt();
	status = q.log ? from_log(&q, &c) : q.file ? from_file(&q, &c) : from_model(&q, &c);
	if (status == CLI_DONE)
		status = deliver(&q, &c, &out);
	channel_trace_free(&c.trace);
	return status;
}
