/* wdmoe phy bler: block error rates over SNR of the whole chain, transmitter to receiver, through simulated channels. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "phy/mcs.h"
#include "phy/numerology.h"
#include "testbed/cli.h"
#include "testbed/phy_options.h"
#include "testbed/phy_sweep.h"

enum {
	MCS_MAX = 64,
	POINTS_MAX = 400,
	AUTO_POINTS_MAX = 60,
	MIN_RUNS_FADING = 32,
	SLOTS_STILL = 100,
	SLOTS_FADING = 20,
	BAR = 24
};
static const double levels[] = { 0.1, 0.01 }; /* whose SNRs are told */
enum { LEVELS = sizeof levels / sizeof levels[0] };

struct curve {
	unsigned mcs;
	size_t first, n; /* of its points */
	size_t block_bits, block_re;
	double crossing_db[LEVELS], device_crossing_db[PHY_DEVICES_MAX];
};

struct bler {
	struct phy_options o;
	struct json_out json;
	struct phy_link_config link;
	struct phy_sweep *sweep;
	const char *snr_text, *mcs_text, *dir, *estimate, *csv;
	int64_t trials, stop_errors, threads, harq, devices, rbs, level, warmup, slots, bits;
	uint64_t seed;
	unsigned mcs[MCS_MAX];
	size_t n_mcs;
	struct phy_range snr;
	double auto_to;
	struct phy_point *point; /* POINTS_MAX */
	size_t n_points;
	struct curve curve[MCS_MAX];
	size_t n_curves;
	bool interrupted;
};

static bool fades(const struct phy_link_config *l)
{
	return strcmp(l->profile->name, "none") != 0;
}

/* ---- progress ---- */

static bool go_on(void *arg, const struct phy_request *r, uint64_t blocks, uint64_t errors)
{
	const struct bler *b = arg;
	if (cli_interrupted())
		return false;
	if (!isatty(STDERR_FILENO))
		return true;
	double share = fmin((double)blocks / (double)r->trials, 1);
	if (r->stop_errors)
		share = fmax(share, fmin((double)errors / (double)r->stop_errors, 1));
	size_t full = (size_t)(share * BAR);
	fprintf(stderr, "\rmcs %2u (%zu of %zu) %6.2f dB [%.*s%.*s] %llu blocks, %llu errors \033[K", r->mcs,
	        b->n_curves + 1, b->n_mcs, r->snr_db, (int)full, "########################", (int)(BAR - full),
	        "........................", (unsigned long long)blocks, (unsigned long long)errors);
	return true;
}

static void wipe_progress(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* ---- points ---- */

static int measure(struct bler *b, unsigned mcs, double snr_db)
{
	if (b->n_points == POINTS_MAX)
		return -ENOSPC;
	struct phy_request r = { .mcs = mcs,
		                 .snr_db = snr_db,
		                 .seed = b->seed,
		                 .trials = (size_t)b->trials,
		                 .stop_errors = (size_t)b->stop_errors,
		                 .min_runs = fades(&b->link) ? MIN_RUNS_FADING : 0 };
	int rc = phy_sweep_point(b->sweep, &r, &b->point[b->n_points]);
	b->n_points += rc == 0;
	return rc;
}

static double rate_of(const struct bler *b, size_t i)
{
	return (double)b->point[i].sum.failed[0] / (double)b->point[i].sum.blocks;
}

static int compare_points(const void *a, const void *b)
{
	double x = ((const struct phy_point *)a)->snr_db, y = ((const struct phy_point *)b)->snr_db;
	return (x > y) - (x < y);
}

/* Coarse steps until the error rate falls through 10 % between two points, then fine ones from the upper of them down
 * and up, until they reach from 10 % to the level asked for. */
static int walk(struct bler *b, unsigned mcs)
{
	const double fine = b->snr.step, coarse = 4 * fine;
	double snr = fine * round(((double)mcs_get(mcs)->snr_db + 1) / fine);
	size_t first = b->n_points;
	int rc = measure(b, mcs, snr);
	double step = !rc && rate_of(b, first) > levels[0] ? coarse : -coarse, high = snr;
	for (size_t i = first; !rc && b->n_points - first < AUTO_POINTS_MAX; i++) {
		bool above = rate_of(b, i) > levels[0];
		high = above ? high : b->point[i].snr_db;
		if (above == (step < 0))
			break;
		rc = measure(b, mcs, snr += step);
		high = fmax(high, step > 0 ? snr : -INFINITY);
	}
	for (snr = high - fine; !rc && snr > high - coarse + fine / 2; snr -= fine) {
		rc = measure(b, mcs, snr);
		if (!rc && rate_of(b, b->n_points - 1) > levels[0])
			break;
	}
	double lowest = 1;
	for (size_t i = first; i < b->n_points; i++)
		lowest = fmin(lowest, rate_of(b, i));
	for (snr = high + fine; !rc && lowest > b->auto_to && b->n_points - first < AUTO_POINTS_MAX; snr += fine) {
		rc = measure(b, mcs, snr);
		lowest = rc ? lowest : fmin(lowest, rate_of(b, b->n_points - 1));
	}
	qsort(b->point + first, b->n_points - first, sizeof *b->point, compare_points);
	return rc;
}

static int follow_range(struct bler *b, unsigned mcs)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < b->snr.n; i++)
		rc = measure(b, mcs, b->snr.from + (double)i * b->snr.step);
	return rc;
}

/* ---- curves ---- */

static double crossing(const struct bler *b, const struct curve *c, size_t device, double level)
{
	double snr[POINTS_MAX], rate[POINTS_MAX], blocks[POINTS_MAX];
	for (size_t i = 0; i < c->n; i++) {
		const struct phy_point *p = &b->point[c->first + i];
		const struct phy_link_counts *n = device < p->n_devices ? &p->device[device] : &p->sum;
		snr[i] = p->snr_db;
		blocks[i] = (double)n->blocks;
		rate[i] = (double)n->failed[0] / blocks[i];
	}
	return phy_sweep_crossing(snr, rate, blocks, c->n, level);
}

static int draw_curve(struct bler *b, unsigned mcs)
{
	struct curve *c = &b->curve[b->n_curves];
	*c = (struct curve){ .mcs = mcs, .first = b->n_points };
	phy_sweep_block(b->sweep, mcs, &c->block_bits, &c->block_re);
	int rc = b->snr.automatic ? walk(b, mcs) : follow_range(b, mcs);
	c->n = b->n_points - c->first;
	for (size_t i = 0; i < LEVELS; i++)
		c->crossing_db[i] = crossing(b, c, SIZE_MAX, levels[i]);
	for (size_t d = 0; d < b->link.n_devices; d++)
		c->device_crossing_db[d] = crossing(b, c, d, levels[0]);
	b->n_curves += c->n > 0;
	return rc;
}

/* ---- what it came to ---- */

static double goodput(const struct bler *b, const struct phy_link_counts *n)
{
	return (double)n->delivered_bits / ((double)n->slots * numerology_slot_s(&b->link.num));
}

/* Mean power of repeated small sums as dB; NAN of nothing. */
static double mean_db(double sum, double n)
{
	return n > 0 ? 10 * log10(sum / n) : NAN;
}

static json_t *interval_json(const struct stats_interval *x)
{
	return json_reals((double[]){ x->low, x->high }, 2);
}

static double noise_sd_db(const struct phy_link_counts *n)
{
	double mean = n->noise_ratio / (double)n->estimates;
	double var = n->noise_ratio2 / (double)n->estimates - mean * mean;
	return n->estimates ? 10 / log(10) * sqrt(fmax(var, 0)) / mean : NAN;
}

static void put(json_t *o, const char *key, double x)
{
	json_object_set_new(o, key, json_real_or_null(x));
}

static void count(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

static json_t *counts_json(const struct bler *b, const struct phy_link_counts *n, const struct stats_interval *x)
{
	json_t *o = json_object();
	count(o, "blocks", n->blocks);
	count(o, "errors", n->failed[0]);
	put(o, "bler", x->mean);
	json_object_set_new(o, "bler_interval", interval_json(x));
	count(o, "wrong_blocks", n->wrong);
	count(o, "lost_blocks", n->lost);
	count(o, "sync_slot_blocks", n->sync_blocks);
	count(o, "sync_slot_errors", n->sync_failed);
	count(o, "runs_without_sync", n->unsynced);
	put(o, "goodput_bps", goodput(b, n));
	put(o, "evm_db", n->evm_db / (double)n->decoded);
	put(o, "iterations_mean", n->iterations / (double)n->decoded);
	put(o, "csi_nmse_db", mean_db(n->csi_error, n->csi_power));
	put(o, "noise_var_error_db", mean_db(n->noise_ratio, (double)n->estimates));
	put(o, "noise_var_sd_db", noise_sd_db(n));
	put(o, "control_miss_rate", (double)n->controls_missed / (double)n->controls);
	count(o, "controls", n->controls);
	count(o, "controls_wrong", n->controls_wrong);
	return o;
}

static json_t *point_json(const struct bler *b, const struct phy_point *p)
{
	json_t *o =
	        json_pack("{s:i, s:f, s:I}", "mcs", (int)p->mcs, "snr_db", p->snr_db, "runs", (json_int_t)p->n_runs);
	json_t *all = counts_json(b, &p->sum, &p->bler[0]);
	json_object_update(o, all);
	json_decref(all);
	put(o, "spectral_efficiency", (double)p->sum.block_bits / (double)p->sum.block_re);
	if (b->link.n_tx > 1) {
		json_t *list = json_array(), *intervals = json_array();
		for (size_t t = 0; t < b->link.n_tx; t++) {
			json_array_append_new(list, json_real_or_null(p->bler[t].mean));
			json_array_append_new(intervals, interval_json(&p->bler[t]));
		}
		json_object_set_new(o, "bler_after", list);
		json_object_set_new(o, "bler_after_intervals", intervals);
	}
	if (p->n_devices > 1) {
		json_t *list = json_array();
		for (size_t d = 0; d < p->n_devices; d++)
			json_array_append_new(list, counts_json(b, &p->device[d], &p->device_bler[d]));
		json_object_set_new(o, "devices", list);
	}
	return o;
}

static double efficiency(const struct curve *c)
{
	return (double)c->block_bits / (double)c->block_re;
}

static json_t *curve_json(const struct bler *b, const struct curve *c)
{
	const struct mcs *m = mcs_get(c->mcs);
	double shannon = phy_shannon_db(efficiency(c));
	json_t *o = json_pack("{s:i, s:i, s:f, s:I, s:I}", "mcs", (int)c->mcs, "bits_per_symbol", (int)m->bits, "rate",
	                      (double)c->block_bits / (double)(c->block_re * m->bits), "block_bits",
	                      (json_int_t)c->block_bits, "data_re", (json_int_t)c->block_re);
	put(o, "spectral_efficiency", efficiency(c));
	put(o, "shannon_snr_db", shannon);
	put(o, "snr_db_at_10_percent", c->crossing_db[0]);
	put(o, "snr_db_at_1_percent", c->crossing_db[1]);
	put(o, "gap_db_at_10_percent", c->crossing_db[0] - shannon);
	if (b->link.n_devices > 1)
		json_object_set_new(o, "device_snr_db_at_10_percent",
		                    json_reals(c->device_crossing_db, b->link.n_devices));
	return o;
}

static json_t *conditions_json(const struct bler *b)
{
	const struct phy_link_config *l = &b->link;
	json_t *o = json_pack("{s:i, s:s, s:I, s:s, s:s, s:s}", "schema", 1, "version", cli_version(), "seed",
	                      (json_int_t)b->seed, "dir", b->dir, "channel", b->o.channel, "estimate", b->estimate);
	phy_options_json(&b->o, &l->num, o);
	count(o, "devices", l->n_devices);
	count(o, "rbs_each", l->n_rb_each ? l->n_rb_each : l->num.n_rb / l->n_devices);
	count(o, "harq", l->n_tx);
	count(o, "trials", (uint64_t)b->trials);
	count(o, "stop_errors", (uint64_t)b->stop_errors);
	count(o, "warmup_slots", l->n_warmup);
	count(o, "slots_per_run", l->n_slots);
	put(o, "clock_ppm", l->clock_ppm);
	put(o, "delay_spread_cp", l->delay_spread_cp);
	put(o, "power_spread_db", l->power_spread_db);
	json_object_set_new(o, "comb_boost_db",
	                    l->comb_boost < 0 ? json_string("auto") : json_integer(3 * l->comb_boost));
	json_object_set_new(o, "timing_advance", json_boolean(l->timing_advance));
	put(o, "rms_dbfs", l->rms_dbfs);
	count(o, "converter_bits", l->n_bits);
	json_object_set_new(o, "interval", json_string(fades(l) ? "runs, Student t" : "blocks, Wilson"));
	json_object_set_new(o, "interrupted", json_boolean(b->interrupted));
	return o;
}

static json_t *bler_json(const struct bler *b)
{
	json_t *o = conditions_json(b), *points = json_array(), *curves = json_array();
	for (size_t i = 0; i < b->n_points; i++)
		json_array_append_new(points, point_json(b, &b->point[i]));
	for (size_t i = 0; i < b->n_curves; i++)
		json_array_append_new(curves, curve_json(b, &b->curve[i]));
	json_object_set_new(o, "points", points);
	json_object_set_new(o, "curves", curves);
	return o;
}

/* A number in a column, "-" where there is none. */
static void cell(FILE *f, int width, int digits, double x)
{
	if (isfinite(x))
		fprintf(f, " %*.*f", width, digits, x);
	else
		fprintf(f, " %*s", width, "-");
}

static void print_point(FILE *f, const struct bler *b, const struct phy_point *p)
{
	const struct phy_link_counts *n = &p->sum;
	double decoded = (double)n->decoded;
	fprintf(f, "%3u %7.2f %8llu %7llu %9.2e %9.2e .. %8.2e", p->mcs, p->snr_db, (unsigned long long)n->blocks,
	        (unsigned long long)n->failed[0], p->bler[0].mean, p->bler[0].low, p->bler[0].high);
	cell(f, 8, 3, 1e-6 * goodput(b, n));
	cell(f, 7, 1, n->evm_db / decoded);
	cell(f, 7, 1, mean_db(n->csi_error, n->csi_power));
	cell(f, 6, 1, n->iterations / decoded);
	cell(f, 8, 5, (double)n->controls_missed / (double)n->controls);
	fputc('\n', f);
	if (b->link.n_tx > 1) {
		fprintf(f, "            after 1, 2, .. transmissions:");
		for (size_t t = 0; t < b->link.n_tx; t++)
			fprintf(f, " %.2e", p->bler[t].mean);
		fprintf(f, ", lost %llu\n", (unsigned long long)n->lost);
	}
	if (p->n_devices > 1) {
		fprintf(f, "            by device:");
		for (size_t d = 0; d < p->n_devices; d++)
			fprintf(f, " %.2e", p->device_bler[d].mean);
		fputc('\n', f);
	}
	if (n->wrong)
		fprintf(f, "            %llu blocks delivered wrong\n", (unsigned long long)n->wrong);
	if (n->unsynced)
		fprintf(f, "            %llu of %zu runs without sync\n", (unsigned long long)n->unsynced, p->n_runs);
}

static void print_curve(FILE *f, const struct curve *c)
{
	unsigned bits = mcs_get(c->mcs)->bits;
	double shannon = phy_shannon_db(efficiency(c));
	fprintf(f, "%3u %4u %6.3f %7.3f %7zu", c->mcs, bits, efficiency(c) / bits, efficiency(c), c->block_bits);
	cell(f, 12, 2, shannon);
	cell(f, 11, 2, c->crossing_db[0]);
	cell(f, 11, 2, c->crossing_db[1]);
	cell(f, 8, 2, c->crossing_db[0] - shannon);
	fputc('\n', f);
}

static void print(const struct bler *b)
{
	FILE *f = json_out_text(&b->json);
	fprintf(f, "%3s %7s %8s %7s %9s %21s %8s %7s %7s %6s %8s\n", "mcs", "snr_db", "blocks", "errors", "bler",
	        "95 % interval", "Mbit/s", "evm_db", "nmse_db", "iter", "ctl_miss");
	for (size_t i = 0; i < b->n_points; i++)
		print_point(f, b, &b->point[i]);
	fprintf(f, "\n%3s %4s %6s %7s %7s %12s %11s %11s %8s\n", "mcs", "bits", "rate", "bit/RE", "bits", "shannon_db",
	        "snr@10 %", "snr@1 %", "gap_db");
	for (size_t i = 0; i < b->n_curves; i++)
		print_curve(f, &b->curve[i]);
}

static int write_csv(const struct bler *b)
{
	FILE *f = b->csv ? fopen(b->csv, "w") : NULL;
	if (!b->csv)
		return CLI_DONE;
	if (!f)
		return cli_failed("--csv %s: %s", b->csv, strerror(errno));
	fprintf(f,
	        "dir,channel,scs_hz,estimate,mcs,snr_db,blocks,errors,bler,low,high,goodput_bps,evm_db,csi_nmse_db\n");
	for (size_t i = 0; i < b->n_points; i++) {
		const struct phy_point *p = &b->point[i];
		const struct phy_link_counts *n = &p->sum;
		fprintf(f, "%s,\"%s\",%g,%s,%u,%.4g,%llu,%llu,%.4g,%.4g,%.4g,%.6g,%.4g,%.4g\n", b->dir, b->o.channel,
		        b->link.num.scs_hz, b->estimate, p->mcs, p->snr_db, (unsigned long long)n->blocks,
		        (unsigned long long)n->failed[0], p->bler[0].mean, p->bler[0].low, p->bler[0].high,
		        goodput(b, n), n->evm_db / (double)n->decoded, mean_db(n->csi_error, n->csi_power));
	}
	return fclose(f) ? cli_failed("--csv %s: %s", b->csv, strerror(errno)) : CLI_DONE;
}

static int report(struct bler *b)
{
	print(b);
	int status = write_csv(b), written = json_out_write(&b->json, bler_json(b));
	return status != CLI_DONE ? status : written;
}

/* ---- set-up ---- */

static int execute(struct bler *b)
{
	char err[256];
	b->point = calloc(POINTS_MAX, sizeof *b->point);
	if (!b->point)
		return cli_failed("out of memory");
	b->sweep = phy_sweep_create(&b->link, (size_t)b->threads, err, sizeof err);
	if (!b->sweep)
		return cli_bad_input("%s", err);
	for (size_t i = 0; i < b->n_mcs; i++) {
		size_t bits, re;
		phy_sweep_block(b->sweep, b->mcs[i], &bits, &re);
		if (!bits)
			return cli_bad_input("--mcs %u: carries nothing on so few RBs", b->mcs[i]);
	}
	cli_catch_interrupt();
	phy_sweep_watch(b->sweep, go_on, b);
	int rc = 0;
	for (size_t i = 0; i < b->n_mcs && !rc; i++)
		rc = draw_curve(b, b->mcs[i]);
	wipe_progress();
	b->interrupted = rc == -EINTR;
	if (rc == -EDOM || rc == -ERANGE)
		return cli_bad_input("--channel %s: %s", b->o.channel,
		                     rc == -EDOM ? "too long an echo for that sample rate" : "Doppler too fast");
	if (rc && rc != -EINTR)
		return cli_failed("%s", rc == -ENOSPC ? "more than 400 points" : strerror(-rc));
	int status = report(b);
	return b->interrupted && status == CLI_DONE ? CLI_INTERRUPTED : status;
}

static int configure(struct bler *b)
{
	struct phy_link_config *l = &b->link;
	int status = phy_options_take(&b->o, l);
	if (status != CLI_DONE)
		return status;
	l->uplink = strcmp(b->dir, "ul") == 0;
	l->n_devices = (size_t)b->devices;
	l->n_rb_each = (size_t)b->rbs;
	l->n_tx = (unsigned)b->harq;
	l->level = (unsigned)b->level;
	l->n_warmup = (size_t)b->warmup;
	l->n_slots = b->slots ? (size_t)b->slots : fades(l) ? SLOTS_FADING : SLOTS_STILL;
	l->n_bits = (unsigned)b->bits;
	l->known = strcmp(b->estimate, "off") == 0;
	status = phy_options_mcs(b->mcs_text, b->mcs, MCS_MAX, &b->n_mcs);
	if (status == CLI_DONE)
		status = phy_options_range("snr-db", b->snr_text, l->doppler_hz > 0 ? 1 : 0.25, &b->snr);
	return status;
}

int cmd_phy_bler(int argc, char **argv)
{
	struct bler b = { .o = phy_options_default(),
		          .snr_text = "auto",
		          .mcs_text = "all",
		          .dir = "dl",
		          .estimate = "on",
		          .trials = 1000,
		          .stop_errors = 100,
		          .threads = phy_options_cores(),
		          .harq = 1,
		          .devices = 1,
		          .warmup = 40,
		          .seed = 1,
		          .auto_to = 0.01 };
	b.link = (struct phy_link_config){ .rms_dbfs = -40, .clock_ppm = 2, .timing_advance = true, .comb_boost = -1 };
	const char *json = NULL, *advance = "on", *boost = "auto";
	const struct cli_option options[] = {
		{ "mcs", CLI_STRING, &b.mcs_text, "M", "all, or a list such as 0,3,5-9" },
		{ "snr-db", CLI_STRING, &b.snr_text, "A:STEP:B",
		  "SNRs; auto or auto:STEP looks for the fall from 10 % to --auto-to" },
		{ "auto-to", CLI_DOUBLE, &b.auto_to, "P", "error rate at which auto is satisfied", .min = 1e-5,
		  .max = 0.1 },
		PHY_OPTIONS(b.o),
		{ "dir", CLI_STRING, &b.dir, "D", "direction", .choices = "dl|ul" },
		{ "devices", CLI_INT, &b.devices, "N", "devices that share the band", .min = 1,
		  .max = PHY_DEVICES_MAX },
		{ "rbs", CLI_INT, &b.rbs, "N", "resource blocks of each device; 0: the band in equal shares", .min = 0,
		  .max = PHY_RB_MAX },
		{ "estimate", CLI_STRING, &b.estimate, "E",
		  "on: the receiver's own synchronisation, channel and noise; off: the same chain told the true ones",
		  .choices = "on|off" },
		{ "trials", CLI_INT, &b.trials, "N", "blocks of each device and point, at least", .min = 1,
		  .max = 1e9 },
		{ "stop-errors", CLI_INT, &b.stop_errors, "K", "a point ends early with so many errors; 0: never",
		  .min = 0, .max = 1e9 },
		{ "seed", CLI_UINT64, &b.seed, "S", "of fading, noise, clocks and data" },
		{ "harq", CLI_INT, &b.harq, "N", "transmissions of a block at most (versions 0, 2, 3, 1)", .min = 1,
		  .max = PHY_LINK_TX_MAX },
		{ "level", CLI_INT, &b.level, "L", "CCEs of a grant: 1, 2, 4 or 8; 0: as many as there is room for",
		  .min = 0, .max = 8 },
		{ "warmup", CLI_INT, &b.warmup, "N", "slots a receiver follows before it is scored", .min = 0,
		  .max = 1e6 },
		{ "slots", CLI_INT, &b.slots, "N", "scored slots of a run; 0: 100, with fading 20", .min = 0,
		  .max = 1e6 },
		{ "clock-ppm", CLI_DOUBLE, &b.link.clock_ppm, "P",
		  "each run draws its clock and carrier offset from -P to P", .min = 0, .max = 100 },
		{ "power-spread-db", CLI_DOUBLE, &b.link.power_spread_db, "D",
		  "uplink: the last device's SNR above the first's, in equal steps; --snr-db is the first's", .min = 0,
		  .max = 40 },
		{ "delay-spread-cp", CLI_DOUBLE, &b.link.delay_spread_cp, "X",
		  "uplink: longest path above the shortest, in cyclic prefixes", .min = 0, .max = 0.75 },
		{ "timing-advance", CLI_STRING, &advance, "A", "uplink: correct what is measured of it",
		  .choices = "on|off" },
		{ "comb-boost-db", CLI_STRING, &boost, "D",
		  "uplink: power of control and sounding REs over data REs; auto: as the device's SNR asks",
		  .choices = "auto|0|3|6|9" },
		{ "rms-dbfs", CLI_DOUBLE, &b.link.rms_dbfs, "L", "level of a full-band symbol; full scale clips",
		  .min = -60, .max = 0 },
		{ "bits", CLI_INT, &b.bits, "B", "of the converters at both ends; 0: floats", .min = 0, .max = 16 },
		{ "threads", CLI_INT, &b.threads, "N", "changes no result", .min = 1, .max = 64 },
		{ "csv", CLI_STRING, &b.csv, "FILE", "write the points as comma-separated values" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Block error rate over SNR: many independent links, each followed from its first sample on; scored "
		"after a warm-up. SNR is\n"
		"the mean received energy of a used resource element (data, pilots and control alike, averaged over "
		"fading, without cyclic\n"
		"prefix) over the noise energy of a subcarrier; in the uplink so for each device. Intervals are over "
		"runs where there is\n"
		"fading, else over blocks. Ctrl-C leaves the points that are done, exit status 130.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	b.link.timing_advance = strcmp(advance, "on") == 0;
	b.link.comb_boost = strcmp(boost, "auto") == 0 ? -1 : (boost[0] - '0') / 3;
	status = json_out_open(&b.json, json);
	if (status == CLI_DONE)
		status = configure(&b);
	if (status == CLI_DONE)
		status = execute(&b);
	phy_sweep_destroy(b.sweep);
	free(b.point);
	return status;
}
