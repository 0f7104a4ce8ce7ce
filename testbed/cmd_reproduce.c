/* wdmoe reproduce wdmoe: the published simulation, over bandwidth, devices, batch and threshold. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testbed/cli.h"
#include "testbed/pool.h"
#include "testbed/published.h"
#include "testbed/stats.h"
#include "testbed/svg_plot.h"

enum { VALUES_MAX = 8, SWEEPS = 4 };

struct sweep {
	const char *name, *label;
	double value[VALUES_MAX];
	size_t n;
	void (*set)(struct published *p, double value);
};

static void set_bandwidth(struct published *p, double mhz)
{
	p->bandwidth_hz = 1e6 * mhz;
}

static void set_devices(struct published *p, double n)
{
	p->n_devices = (size_t)n;
}

static void set_tokens(struct published *p, double n)
{
	p->n_tokens = (size_t)n;
}

static void set_theta(struct published *p, double theta)
{
	p->theta = theta;
}

static const struct sweep sweeps[SWEEPS] = {
	{ "bandwidth", "bandwidth (MHz)", { 20, 40, 60, 80, 100, 150, 200 }, 7, set_bandwidth },
	{ "devices", "devices", { 1, 2, 3, 4, 5, 6, 7, 8 }, 8, set_devices },
	{ "batch", "tokens of a layer", { 1, 4, 16, 64, 128, 256 }, 6, set_tokens },
	{ "theta", "fixed threshold", { 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0 }, 7, set_theta },
};

struct point {
	const struct sweep *sweep;
	double value;
	struct published_means *of; /* [seeds][schemes] */
};

struct reproduce {
	struct json_out json;
	struct published base;
	uint64_t seed;
	size_t n_seeds, n_points;
	struct point point[SWEEPS * VALUES_MAX];
	const char *csv, *figures;
	atomic_size_t n_done;
	atomic_int failed;
};

/* Run i: a point and a seed. Seeds are the same at every point, and so are the draws as far as that can be. */
static void run_one(void *arg, size_t i)
{
	struct reproduce *r = arg;
	struct point *pt = &r->point[i / r->n_seeds];
	size_t s = i % r->n_seeds;
	struct published p = r->base;
	if (cli_interrupted() || r->failed)
		return;
	pt->sweep->set(&p, pt->value);
	if (published_run(&p, r->seed + s, pt->of + s * PUBLISHED_SCHEMES))
		r->failed = 1;
	size_t done = ++r->n_done, all = r->n_points * r->n_seeds;
	if (done % 16 == 0 || done == all)
		fprintf(stderr, "\r\033[K%zu of %zu runs%s", done, all, done == all ? "\n" : "");
}

static bool list_points(struct reproduce *r)
{
	for (size_t k = 0; k < SWEEPS; k++)
		for (size_t i = 0; i < sweeps[k].n; i++) {
			struct point *pt = &r->point[r->n_points++];
			*pt = (struct point){ &sweeps[k], sweeps[k].value[i],
				              calloc(r->n_seeds * PUBLISHED_SCHEMES, sizeof *pt->of) };
			if (!pt->of)
				return false;
		}
	return true;
}

/* ---- what it came to ---- */

struct summary {
	struct stats_interval latency_ms, cut; /* cut: 1 - latency over that of vanilla + equal, seed by seed */
	double kept_weight, wlr;
};

static struct summary summarise(const struct reproduce *r, const struct point *pt, int scheme, double *room)
{
	struct summary s = { .kept_weight = 0 };
	double *ms = room, *cut = room + r->n_seeds;
	for (size_t i = 0; i < r->n_seeds; i++) {
		const struct published_means *of = pt->of + i * PUBLISHED_SCHEMES;
		ms[i] = 1e3 * of[scheme].latency_s;
		cut[i] = 1 - of[scheme].latency_s / of[PUBLISHED_NEITHER].latency_s;
		s.kept_weight += of[scheme].kept_weight / (double)r->n_seeds;
		s.wlr += of[scheme].wlr / (double)r->n_seeds;
	}
	s.latency_ms = stats_t_interval(ms, r->n_seeds, 0.95);
	s.cut = stats_t_interval(cut, r->n_seeds, 0.95);
	return s;
}

static void write_csv(const struct reproduce *r, FILE *f, double *room)
{
	fprintf(f, "# wdmoe %s, seeds %llu to %llu, %zu layers each; 95 %% intervals over the seeds\n", cli_version(),
	        (unsigned long long)r->seed, (unsigned long long)(r->seed + r->n_seeds - 1), r->base.n_layers);
	fprintf(f,
	        "sweep,value,scheme,latency_ms,latency_low_ms,latency_high_ms,cut,cut_low,cut_high,kept_weight,wlr\n");
	for (size_t i = 0; i < r->n_points; i++)
		for (int k = 0; k < PUBLISHED_SCHEMES; k++) {
			const struct point *pt = &r->point[i];
			struct summary s = summarise(r, pt, k, room);
			fprintf(f, "%s,%g,%s,%.6g,%.6g,%.6g,%.5g,%.5g,%.5g,%.5g,%.6g\n", pt->sweep->name, pt->value,
			        published_name((enum published_scheme)k), s.latency_ms.mean, s.latency_ms.low,
			        s.latency_ms.high, s.cut.mean, s.cut.low, s.cut.high, s.kept_weight, s.wlr);
		}
}

static json_t *interval_json(const struct stats_interval *x)
{
	return json_pack("{s:o, s:o, s:o}", "mean", json_real_or_null(x->mean), "low", json_real_or_null(x->low),
	                 "high", json_real_or_null(x->high));
}

static json_t *report(const struct reproduce *r, double *room)
{
	json_t *points = json_array();
	for (size_t i = 0; i < r->n_points; i++)
		for (int k = 0; k < PUBLISHED_SCHEMES; k++) {
			const struct point *pt = &r->point[i];
			struct summary s = summarise(r, pt, k, room);
			json_array_append_new(points,
			                      json_pack("{s:s, s:f, s:s, s:o, s:o, s:f, s:f}", "sweep", pt->sweep->name,
			                                "value", pt->value, "scheme",
			                                published_name((enum published_scheme)k), "latency_ms",
			                                interval_json(&s.latency_ms), "cut", interval_json(&s.cut),
			                                "kept_weight", s.kept_weight, "wlr", s.wlr));
		}
	return json_pack("{s:i, s:s, s:I, s:I, s:I, s:f, s:o}", "schema", 1, "version", cli_version(), "first_seed",
	                 (json_int_t)r->seed, "seeds", (json_int_t)r->n_seeds, "layers", (json_int_t)r->base.n_layers,
	                 "confidence", 0.95, "points", points);
}

static void print_defaults(const struct reproduce *r, double *room)
{
	FILE *f = json_out_text(&r->json);
	for (size_t i = 0; i < r->n_points; i++) {
		const struct point *pt = &r->point[i];
		if (i && pt->sweep == r->point[i - 1].sweep)
			fprintf(f, "%9g", pt->value);
		else
			fprintf(f, "%s: latency in ms (weight kept)\n%9g", pt->sweep->label, pt->value);
		for (int k = 0; k < PUBLISHED_SCHEMES; k++) {
			struct summary s = summarise(r, pt, k, room);
			fprintf(f, "  %8.2f (%3.0f %%)", s.latency_ms.mean, 100 * s.kept_weight);
		}
		fprintf(f, "\n");
	}
	fprintf(f, "columns: ");
	for (int k = 0; k < PUBLISHED_SCHEMES; k++)
		fprintf(f, "%s%s", k ? ", " : "", published_name((enum published_scheme)k));
	fprintf(f, "\n");
}

/* ---- files ---- */

static int draw(const struct reproduce *r, const struct sweep *w, double *room)
{
	double x[PUBLISHED_SCHEMES][VALUES_MAX], y[PUBLISHED_SCHEMES][VALUES_MAX], low[PUBLISHED_SCHEMES][VALUES_MAX],
	        high[PUBLISHED_SCHEMES][VALUES_MAX], top = 0;
	size_t n = 0;
	for (size_t i = 0; i < r->n_points; i++) {
		if (r->point[i].sweep != w)
			continue;
		for (int k = 0; k < PUBLISHED_SCHEMES; k++) {
			struct summary s = summarise(r, &r->point[i], k, room);
			x[k][n] = r->point[i].value;
			y[k][n] = s.latency_ms.mean;
			low[k][n] = s.latency_ms.low;
			high[k][n] = s.latency_ms.high;
			top = fmax(top, s.latency_ms.high);
		}
		n++;
	}
	char path[4096];
	snprintf(path, sizeof path, "%s/%s.svg", r->figures, w->name);
	double span = w->value[w->n - 1] - w->value[0];
	struct svg_plot *s = svg_plot_create(&(struct svg_plot_frame){
	        .title = "Latency of a layer, Mixtral's dimensions",
	        .subtitle = "after the description of the published simulation; 95 % intervals over the seeds",
	        .x = { w->label, w->value[0] - 0.03 * span, w->value[w->n - 1] + 0.03 * span },
	        .y = { "ms", 0, top > 0 ? 1.05 * top : 1 } });
	if (s)
		svg_plot_colours(s, PUBLISHED_SCHEMES);
	for (size_t k = 0; k < PUBLISHED_SCHEMES && s; k++) {
		svg_plot_bars(s, k, x[k], low[k], high[k], n);
		svg_plot_line(s, published_name((enum published_scheme)k), k, SVG_PLOT_LINE | SVG_PLOT_MARKS, x[k],
		              y[k], n);
	}
	FILE *f = s ? fopen(path, "w") : NULL;
	int rc = f ? svg_plot_write(s, f) : s ? -errno : -ENOMEM;
	if (f && fclose(f) && !rc)
		rc = -errno;
	svg_plot_destroy(s);
	return rc ? cli_failed("%s: %s", path, strerror(-rc)) : CLI_DONE;
}

static int write_files(const struct reproduce *r, double *room)
{
	int status = CLI_DONE;
	FILE *f = r->csv ? fopen(r->csv, "w") : NULL;
	if (r->csv && !f)
		return cli_failed("--csv %s: %s", r->csv, strerror(errno));
	if (f) {
		write_csv(r, f, room);
		if (fclose(f))
			return cli_failed("--csv %s: %s", r->csv, strerror(errno));
	}
	for (size_t k = 0; k < SWEEPS && r->figures && status == CLI_DONE; k++)
		status = draw(r, &sweeps[k], room);
	return status;
}

static int execute(struct reproduce *r, size_t n_threads)
{
	int status = CLI_DONE;
	struct pool *pool = pool_create(n_threads);
	double *room = calloc(2 * r->n_seeds, sizeof *room);
	if (pool && room && list_points(r))
		pool_run(pool, run_one, r, r->n_points * r->n_seeds);
	else
		r->failed = 1;
	if (cli_interrupted()) {
		fprintf(stderr, "\n");
		status = CLI_INTERRUPTED;
	} else if (r->failed) {
		status = cli_failed("reproduce: %s", strerror(ENOMEM));
	} else {
		print_defaults(r, room);
		status = write_files(r, room);
		if (status == CLI_DONE)
			status = json_out_write(&r->json, report(r, room));
	}
	for (size_t i = 0; i < r->n_points; i++)
		free(r->point[i].of);
	free(room);
	pool_destroy(pool);
	return status;
}

int cmd_reproduce_wdmoe(int argc, char **argv)
{
	const char *json = NULL;
	int64_t n_seeds = 20, n_layers = 8, n_threads = sysconf(_SC_NPROCESSORS_ONLN);
	struct reproduce *r = calloc(1, sizeof *r);
	if (!r)
		return cli_failed("out of memory");
	r->base = published_default();
	r->seed = 1;
	const struct cli_option options[] = {
		{ "seeds", CLI_INT, &n_seeds, "N", "places and speeds of the devices are drawn for each", .min = 2,
		  .max = 1e5 },
		{ "layers", CLI_INT, &n_layers, "N", "of each seed; fading and routing are drawn for each", .min = 1,
		  .max = 1e4 },
		{ "seed", CLI_UINT64, &r->seed, "S", "the first seed" },
		{ "threads", CLI_INT, &n_threads, "N", "at work", .min = 1, .max = 64 },
		{ "csv", CLI_STRING, &r->csv, "FILE", "write all points as comma-separated values" },
		{ "figures", CLI_STRING, &r->figures, "DIR", "draw the four sweeps there" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"The simulation of the WDMoE papers with Mixtral's dimensions: bandwidth, devices, tokens and "
		"threshold, one at a\n"
		"time; vanilla + equal, selection alone, bandwidth alone, both, and frontier at the weight that wdmoe "
		"keeps.\n"
		"What is taken from the papers' description and what was left open there: testbed/published.h.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	if (cli_parse(&syntax, argc, argv, &status) && (status = json_out_open(&r->json, json)) == CLI_DONE) {
		r->n_seeds = (size_t)n_seeds;
		r->base.n_layers = (size_t)n_layers;
		if (r->figures && mkdir(r->figures, 0777) && errno != EEXIST)
			status = cli_bad_input("--figures %s: %s", r->figures, strerror(errno));
	}
	if (status == CLI_DONE && r->n_seeds) {
		cli_catch_interrupt();
		status = execute(r, (size_t)n_threads);
	}
	free(r);
	return status;
}
