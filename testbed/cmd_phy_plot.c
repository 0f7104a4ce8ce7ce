/* wdmoe phy plot: pictures of curves measured by phy bler, of the spectrum sent, of the symbols received. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phy/dl_chest.h"
#include "phy/mcs.h"
#include "phy/ofdm.h"
#include "phy/ul_chest.h"
#include "testbed/cli.h"
#include "testbed/phy_link.h"
#include "testbed/phy_options.h"
#include "testbed/phy_spectrum.h"
#include "testbed/phy_sweep.h"
#include "testbed/svg_plot.h"

enum {
	POINTS_MAX = 512,
	CURVES_MAX = 128,
	FILES_MAX = 16,
	DOTS_MAX = 6000,
	CAPACITY_STEPS = 120,
	SPECTRUM_FLOOR_DB = -90
};

struct plot {
	struct phy_options o;
	struct phy_link_config link;
	const char *out, *title, *dir, *estimate;
	struct cli_list args;
	int64_t mcs, slots, bits;
	uint64_t seed;
	double snr_db;
	double floor;
	json_t *report[FILES_MAX];
	size_t n_reports;
};

static int write_plot(const struct plot *p, const struct svg_plot *s)
{
	FILE *f = fopen(p->out, "w");
	if (!f)
		return cli_failed("--out %s: %s", p->out, strerror(errno));
	int rc = s ? svg_plot_write(s, f) : -ENOMEM;
	if (fclose(f) && !rc)
		rc = -EIO;
	return rc ? cli_failed("--out %s: %s", p->out, strerror(-rc)) : CLI_DONE;
}

/* ---- reports ---- */

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));
	return text ? text : "";
}

static double number_of(const json_t *o, const char *key)
{
	const json_t *x = json_object_get(o, key);
	return json_is_number(x) ? json_number_value(x) : NAN;
}

static int load_reports(struct plot *p)
{
	if (p->args.n < 2)
		return cli_bad_input("plot %s: which reports of phy bler?", p->args.items[0]);
	if (p->args.n - 1 > FILES_MAX)
		return cli_bad_input("more than %d reports", FILES_MAX);
	for (size_t i = 1; i < p->args.n; i++) {
		json_error_t e;
		json_t *root = json_load_file(p->args.items[i], 0, &e);
		if (!root)
			return cli_bad_input("%s: %s", p->args.items[i], e.text);
		p->report[p->n_reports++] = root;
		if (!json_is_array(json_object_get(root, "points")) || !json_is_array(json_object_get(root, "curves")))
			return cli_bad_input("%s: not a report of phy bler", p->args.items[i]);
	}
	return CLI_DONE;
}

/* What the picture is of: the conditions of the first report that all share. */
static void describe(const struct plot *p, char *text, size_t size)
{
	static const char *const keys[] = { "dir", "channel", "estimate" };
	size_t used = 0;
	text[0] = '\0';
	for (size_t k = 0; k < 3; k++) {
		const char *value = text_of(p->report[0], keys[k]);
		bool shared = true;
		for (size_t i = 1; i < p->n_reports; i++)
			shared = shared && strcmp(value, text_of(p->report[i], keys[k])) == 0;
		if (shared && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s%s", used ? ", " : "",
			                         k == 2 ? "estimation " : "", value);
	}
	if (used < size)
		snprintf(text + used, size - used, "%s%g MS/s, %g kHz, %lld RB", used ? ", " : "",
		         1e-6 * number_of(p->report[0], "rate_hz"), 1e-3 * number_of(p->report[0], "scs_hz"),
		         (long long)json_integer_value(json_object_get(p->report[0], "n_rb")));
}

/* What tells this report from the others, for the legend. */
static void tell_apart(const struct plot *p, size_t report, char *text, size_t size)
{
	static const char *const keys[] = { "dir", "channel", "estimate" };
	size_t used = 0;
	text[0] = '\0';
	for (size_t k = 0; k < 3; k++) {
		const char *value = text_of(p->report[report], keys[k]);
		bool shared = true;
		for (size_t i = 0; i < p->n_reports; i++)
			shared = shared && strcmp(value, text_of(p->report[i], keys[k])) == 0;
		if (!shared && used < size)
			used += (size_t)snprintf(text + used, size - used, " %s%s", k == 2 ? "est. " : "", value);
	}
}

struct series {
	double x[POINTS_MAX], y[POINTS_MAX], low[POINTS_MAX], high[POINTS_MAX];
	size_t n;
};

static void read_series(const json_t *report, int mcs, struct series *s)
{
	size_t i;
	json_t *point;
	s->n = 0;
	json_array_foreach(json_object_get(report, "points"), i, point)
	{
		const json_t *interval = json_object_get(point, "bler_interval");
		if (json_integer_value(json_object_get(point, "mcs")) != mcs || s->n == POINTS_MAX)
			continue;
		s->x[s->n] = number_of(point, "snr_db");
		s->y[s->n] = number_of(point, "bler");
		s->low[s->n] = json_number_value(json_array_get(interval, 0));
		s->high[s->n++] = json_number_value(json_array_get(interval, 1));
	}
}

/* ---- block error rates ---- */

struct range {
	double low, high;
};

static struct range snr_range(const struct plot *p)
{
	struct range r = { INFINITY, -INFINITY };
	for (size_t i = 0; i < p->n_reports; i++) {
		size_t k;
		json_t *point;
		json_array_foreach(json_object_get(p->report[i], "points"), k, point)
		{
			r.low = fmin(r.low, floor(number_of(point, "snr_db")));
			r.high = fmax(r.high, ceil(number_of(point, "snr_db")));
		}
	}
	return r.low < r.high ? r : isfinite(r.low) ? (struct range){ r.low - 1, r.low + 1 } : (struct range){ 0, 1 };
}

static size_t count_curves(const struct plot *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->n_reports; i++)
		n += json_array_size(json_object_get(p->report[i], "curves"));
	return n;
}

static int draw_bler(struct plot *p, struct series *s)
{
	char subtitle[256], apart[96], name[128];
	struct range r = snr_range(p);
	describe(p, subtitle, sizeof subtitle);
	struct svg_plot *svg = svg_plot_create(&(struct svg_plot_frame){
	        .title = p->title ? p->title : "Block error rate of first transmissions, with 95 % intervals",
	        .subtitle = subtitle,
	        .x = { "SNR of a used resource element (dB)", r.low, r.high, false },
	        .y = { "BLER", p->floor, 1, true },
	});
	if (!svg)
		return cli_failed("out of memory");
	svg_plot_colours(svg, count_curves(p));
	for (size_t i = 0, colour = 0; i < p->n_reports; i++) {
		bool told = strcmp(text_of(p->report[i], "estimate"), "off") == 0;
		size_t k;
		json_t *curve;
		tell_apart(p, i, apart, sizeof apart);
		json_array_foreach(json_object_get(p->report[i], "curves"), k, curve)
		{
			int mcs = (int)json_integer_value(json_object_get(curve, "mcs"));
			unsigned style = SVG_PLOT_LINE | SVG_PLOT_MARKS | (told ? SVG_PLOT_DASHED : 0);
			read_series(p->report[i], mcs, s);
			snprintf(name, sizeof name, "MCS %d%s", mcs, apart);
			svg_plot_bars(svg, colour, s->x, s->low, s->high, s->n);
			svg_plot_line(svg, name, colour++, style, s->x, s->y, s->n);
		}
	}
	int status = write_plot(p, svg);
	svg_plot_destroy(svg);
	return status;
}

static int plot_bler(struct plot *p)
{
	int status = load_reports(p);
	struct series *s = status == CLI_DONE ? malloc(sizeof *s) : NULL;
	if (status == CLI_DONE)
		status = s ? draw_bler(p, s) : cli_failed("out of memory");
	free(s);
	return status;
}

/* ---- spectral efficiency against capacity ---- */

static int plot_capacity(struct plot *p)
{
	double x[CAPACITY_STEPS], y[CAPACITY_STEPS], top = 1;
	struct range r = { INFINITY, -INFINITY };
	char subtitle[256], apart[96];
	int status = load_reports(p);
	if (status != CLI_DONE)
		return status;
	for (size_t i = 0; i < p->n_reports; i++) {
		size_t k;
		json_t *curve;
		json_array_foreach(json_object_get(p->report[i], "curves"), k, curve)
		{
			r.low = fmin(r.low, number_of(curve, "shannon_snr_db"));
			r.high = fmax(r.high, number_of(curve, "snr_db_at_10_percent"));
			top = fmax(top, number_of(curve, "spectral_efficiency"));
		}
	}
	if (!(r.low < r.high))
		return cli_bad_input("%s: no curve falls through 10 %%", p->args.items[1]);
	describe(p, subtitle, sizeof subtitle);
	struct svg_plot_frame frame = { .title = p->title ? p->title : "Spectral efficiency at 10 % BLER",
		                        .subtitle = subtitle,
		                        .x = { "SNR (dB)", floor(r.low), ceil(r.high), false },
		                        .y = { "bit a data resource element", 0, ceil(top), false } };
	struct svg_plot *svg = svg_plot_create(&frame);
	if (!svg)
		return cli_failed("out of memory");
	svg_plot_colours(svg, p->n_reports + 1);
	for (size_t i = 0; i < CAPACITY_STEPS; i++) {
		x[i] = frame.x.min + (frame.x.max - frame.x.min) * (double)i / (CAPACITY_STEPS - 1);
		y[i] = log2(1 + pow(10, 0.1 * x[i]));
	}
	svg_plot_line(svg, "Shannon, AWGN", p->n_reports, SVG_PLOT_LINE | SVG_PLOT_DASHED, x, y, CAPACITY_STEPS);
	for (size_t i = 0; i < p->n_reports; i++) {
		size_t k, n = 0;
		json_t *curve;
		json_array_foreach(json_object_get(p->report[i], "curves"), k, curve)
		{
			if (n == CAPACITY_STEPS)
				break;
			x[n] = number_of(curve, "snr_db_at_10_percent");
			y[n++] = number_of(curve, "spectral_efficiency");
		}
		tell_apart(p, i, apart, sizeof apart);
		svg_plot_line(svg, apart[0] ? apart + 1 : "MCS table", i, SVG_PLOT_LINE | SVG_PLOT_MARKS, x, y, n);
	}
	status = write_plot(p, svg);
	svg_plot_destroy(svg);
	return status;
}

/* ---- spectrum ---- */

static int plot_spectrum(struct plot *p)
{
	struct phy_spectrum s;
	char subtitle[256], err[256];
	int rc = phy_spectrum_measure(&p->link, (unsigned)p->mcs, p->seed, (size_t)p->slots, &s, err, sizeof err);
	if (rc)
		return rc == -EINVAL ? cli_bad_input("%s", err) : cli_failed("%s", err);
	char bits[16];
	snprintf(bits, sizeof bits, p->bits ? "%lld bits" : "floats", (long long)p->bits);
	snprintf(subtitle, sizeof subtitle,
	         "%s, %g MS/s, %g kHz, %zu RB, rms %.1f dBFS, %s; in the adjacent channel %.1f dBc", p->dir,
	         1e-6 * p->link.num.rate_hz, 1e-3 * p->link.num.scs_hz, p->link.num.n_rb, p->link.rms_dbfs, bits,
	         s.adjacent_dbc);
	double half = 0.5e-6 * s.rate_hz;
	struct svg_plot *svg = svg_plot_create(&(struct svg_plot_frame){
	        .title = p->title ? p->title : "Power spectrum sent",
	        .subtitle = subtitle,
	        .x = { "frequency (MHz)", -half, half, false },
	        .y = { "dB of the density in the band", SPECTRUM_FLOOR_DB, 10, false },
	});
	if (svg) {
		svg_plot_colours(svg, 3);
		svg_plot_band(svg, "used", 2, -1e-6 * s.used_hz / 2, 1e-6 * s.used_hz / 2);
		for (int side = -1; side <= 1; side += 2)
			svg_plot_band(svg, "adjacent", 1, 1e-6 * (side * s.channel_hz - s.used_hz / 2),
			              1e-6 * (side * s.channel_hz + s.used_hz / 2));
		svg_plot_line(svg, NULL, 0, SVG_PLOT_LINE, s.mhz, s.db, s.n);
	}
	int status = write_plot(p, svg);
	svg_plot_destroy(svg);
	phy_spectrum_free(&s);
	if (status == CLI_DONE)
		printf("adjacent channel %.2f dBc (lower %.2f, upper %.2f); %.3g %% of samples clipped\n",
		       s.adjacent_dbc, s.side_dbc[0], s.side_dbc[1], 100 * s.clipped);
	return status;
}

/* ---- constellation ---- */

struct stars {
	const struct phy_link_config *config;
	struct layout *layout;
	struct ofdm *ofdm;
	struct dl_chest *dl;
	struct ul_chest *ul;
	float complex *grid;
	uint32_t *re;
	double x[DOTS_MAX], y[DOTS_MAX];
	size_t n, skip;
};

static bool stars_open(struct stars *s)
{
	const struct numerology *num = &s->config->num;
	char err[128];
	s->layout = layout_create(num, err, sizeof err);
	s->ofdm = ofdm_create(num, numerology_backoff(num));
	s->dl = dl_chest_create(num, PHY_LINK_CELL_ID);
	s->ul = s->layout ? ul_chest_create(s->layout, PHY_LINK_CELL_ID) : NULL;
	s->grid = calloc(num->n_symbols * num->n_sc, sizeof *s->grid);
	s->re = calloc(LAYOUT_RE_MAX, sizeof *s->re);
	return s->layout && s->ofdm && s->dl && s->ul && s->grid && s->re;
}

static void stars_close(struct stars *s)
{
	free(s->re);
	free(s->grid);
	ul_chest_destroy(s->ul);
	dl_chest_destroy(s->dl);
	ofdm_destroy(s->ofdm);
	layout_destroy(s->layout);
}

/* A slot as the receiver of the link takes it, seen through the same estimators. */
static void take_slot(void *arg, const struct phy_link_look *look)
{
	struct stars *s = arg;
	const struct rb_set *rbs = &look->grant->rbs;
	struct block_channel channel;
	struct csi csi;
	ofdm_demodulate(s->ofdm, look->samples, s->grid);
	size_t n_re;
	if (s->config->uplink) {
		double energy = 0;
		n_re = layout_ul_data(s->layout, rbs, s->re);
		for (size_t i = 0; i < n_re; i++)
			energy += (double)crealf(s->grid[s->re[i]] * conjf(s->grid[s->re[i]])) / (double)n_re;
		ul_chest_slot(s->ul, s->grid, look->when);
		if (rb_set_count(rbs) == s->config->num.n_rb)
			ul_chest_dmrs(s->ul, look->device, (float)energy);
		ul_chest_sounding(s->ul, look->device, NULL);
		ul_chest_data(s->ul, look->device, rbs, (float)energy);
		channel = ul_chest_channel(s->ul);
	} else {
		struct track_measurement track;
		n_re = layout_dl_data(s->layout, look->when->slot, rbs, s->re);
		csi_empty(&csi, &s->config->num, look->when);
		if (!dl_chest_slot(s->dl, s->grid, look->when, &csi, &track))
			return;
		channel = dl_chest_channel(s->dl);
	}
	if (look->device || s->skip-- > 0)
		return;
	s->skip = 0;
	for (size_t i = 0; i < n_re && s->n < DOTS_MAX; i++) {
		double complex z = (double complex)(s->grid[s->re[i]] / channel.h[s->re[i]]);
		s->x[s->n] = creal(z);
		s->y[s->n++] = cimag(z);
	}
}

static int draw_stars(struct plot *p, struct stars *s)
{
	char subtitle[256];
	snprintf(subtitle, sizeof subtitle, "%s, %s, %g kHz, MCS %lld at %.1f dB", p->dir, p->o.channel,
	         1e-3 * p->link.num.scs_hz, (long long)p->mcs, p->snr_db);
	struct svg_plot *svg = svg_plot_create(&(struct svg_plot_frame){
	        .title = p->title ? p->title : "Data symbols after equalisation",
	        .subtitle = subtitle,
	        .x = { "in phase", -2, 2, false },
	        .y = { "quadrature", -2, 2, false },
	        .square = true,
	});
	if (svg)
		svg_plot_line(svg, "received", 0, SVG_PLOT_DOTS, s->x, s->y, s->n);
	int status = write_plot(p, svg);
	svg_plot_destroy(svg);
	return status;
}

static int plot_constellation(struct plot *p)
{
	char err[256];
	struct phy_link_counts counts[PHY_DEVICES_MAX];
	const struct phy_link_point point = { .mcs = (unsigned)p->mcs, .snr_db = p->snr_db, .seed = p->seed };
	struct phy_link *l = phy_link_create(&p->link, err, sizeof err);
	if (!l)
		return cli_bad_input("%s", err);
	struct stars *s = calloc(1, sizeof *s);
	int status = CLI_DONE;
	if (s)
		*s = (struct stars){ .config = &p->link, .skip = p->link.n_slots / 2 };
	if (!s || !stars_open(s)) {
		status = cli_failed("out of memory");
	} else {
		phy_link_watch(l, take_slot, s);
		int rc = phy_link_run(l, &point, counts);
		if (rc)
			status = cli_bad_input("--channel %s: %s", p->o.channel, strerror(-rc));
		else
			status = draw_stars(p, s);
	}
	if (s)
		stars_close(s);
	free(s);
	phy_link_destroy(l);
	return status;
}

/* ---- which ---- */

static const struct kind {
	const char *name;
	int (*draw)(struct plot *p);
	bool from_reports;
} kinds[] = {
	{ "bler", plot_bler, true },
	{ "capacity", plot_capacity, true },
	{ "spectrum", plot_spectrum, false },
	{ "constellation", plot_constellation, false },
};

static int execute(struct plot *p)
{
	const struct kind *k = NULL;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (strcmp(kinds[i].name, p->args.items[0]) == 0)
			k = &kinds[i];
	if (!k)
		return cli_bad_input("no plot \"%s\" (bler, capacity, spectrum, constellation)", p->args.items[0]);
	if (!p->out)
		return cli_bad_input("--out FILE.svg is missing");
	if (!k->from_reports && p->args.n > 1)
		return cli_bad_input("unexpected argument \"%s\"", p->args.items[1]);
	int status = phy_options_take(&p->o, &p->link);
	if (status != CLI_DONE)
		return status;
	if ((size_t)p->mcs >= mcs_count())
		return cli_bad_input("--mcs %lld is not in 0 .. %zu", (long long)p->mcs, mcs_count() - 1);
	p->link.uplink = strcmp(p->dir, "ul") == 0;
	p->link.n_slots = (size_t)p->slots;
	p->link.n_bits = (unsigned)p->bits;
	return k->draw(p);
}

int cmd_phy_plot(int argc, char **argv)
{
	struct plot p = {
		.o = phy_options_default(), .dir = "dl", .mcs = 13, .slots = 40, .seed = 1, .snr_db = 20, .floor = 1e-3
	};
	p.link = (struct phy_link_config){ .n_devices = 1,
		                           .n_tx = 1,
		                           .n_warmup = 40,
		                           .rms_dbfs = -40,
		                           .clock_ppm = 2,
		                           .timing_advance = true,
		                           .comb_boost = DCI_BOOST_MAX };
	const struct cli_option options[] = {
		{ "out", CLI_STRING, &p.out, "FILE", "the picture, SVG" },
		{ "title", CLI_STRING, &p.title, "TEXT", "instead of the usual one" },
		{ "floor", CLI_DOUBLE, &p.floor, "P", "lowest error rate shown", .min = 1e-7, .max = 0.5 },
		PHY_OPTIONS(p.o),
		{ "dir", CLI_STRING, &p.dir, "D", "direction", .choices = "dl|ul" },
		{ "mcs", CLI_INT, &p.mcs, "M", "of the data sent", .min = 0, .max = 63 },
		{ "snr-db", CLI_DOUBLE, &p.snr_db, "S", "constellation: mean SNR of a used resource element",
		  .min = -20, .max = 60 },
		{ "slots", CLI_INT, &p.slots, "N", "slots looked at", .min = 2, .max = 10000 },
		{ "rms-dbfs", CLI_DOUBLE, &p.link.rms_dbfs, "L", "level of a full-band symbol; full scale clips",
		  .min = -60, .max = 0 },
		{ "bits", CLI_INT, &p.bits, "B", "of the converters; 0: floats", .min = 0, .max = 16 },
		{ "seed", CLI_UINT64, &p.seed, "S", "of data, noise and fading" },
	};
	const struct cli_syntax syntax = {
		"WHAT [REPORT...]",
		"Draws an SVG. WHAT is\n"
		"  bler           error rates over SNR, from the JSON reports of phy bler (dashed: estimation off)\n"
		"  capacity       bits a resource element at 10 % BLER beside Shannon's limit, from the same\n"
		"  spectrum       power density of the signal sent, used and adjacent channels marked\n"
		"  constellation  data symbols after equalisation, in the second half of a simulated link",
		options,
		sizeof options / sizeof options[0],
		&p.args,
		1,
		FILES_MAX + 2,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	status = execute(&p);
	for (size_t i = 0; i < p.n_reports; i++)
		json_decref(p.report[i]);
	return status;
}
