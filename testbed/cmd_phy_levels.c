/* wdmoe phy levels: how strong the peaks of each signal of the air interface are, and what clipping and a 12-bit converter do to them. */
#include "phy/level.h"
#include "phy/mcs.h"
#include "phy/ofdm.h"
#include "phy/power.h"
#include "phy/profile.h"
#include "phy/spectrum.h"
#include "phy/ul.h"
#include "testbed/cli.h"
#include "testbed/splitmix.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TALKERS = 8, N_CCDF = 5, SPECTRUM_BLOCK = 8, TB_MAX = 1 << 14 };

/* SNR of the highest MCS that the air interface is made for, 256QAM at rate 0.93. */
#define TOP_SNR_DB 27.0

static const double ccdf_at[N_CCDF] = { 1e-1, 1e-2, 1e-3, 1e-4, 1e-5 };

/* Everything that sends, at full power, and room for one slot. */
struct bench {
	struct numerology num;
	struct layout *layout;
	struct dl_tx *dl;
	struct ul_tx *ul[TALKERS];
	struct ofdm *ofdm; /* receives */
	float full_scale_dbm;
	unsigned bits; /* of the converter */
	uint64_t random;
	float complex *clean, *sent, *clean_re, *sent_re;
	uint8_t tb[TB_MAX];
};

/* The symbols in which a signal is measured. */
enum part { WHOLE, UPLINK_DATA, UPLINK_CONTROL, SOUNDING };

struct source {
	const char *name;
	/* Builds slot number i of the measurement into b->clean. */
	void (*build)(struct bench *b, uint64_t i, size_t n_rb);
	size_t share; /* of the band's RBs: 1 / share; 0: as many as n_rb says */
	size_t n_rb;
	enum part part;
};

struct figures {
	struct level_ccdf ccdf;
	double error, power; /* of clipped and converted RE against clean ones */
	double adjacent_db;
};

static uint64_t draw(struct bench *b)
{
	return splitmix(b->random += SPLITMIX_STEP);
}

static void fill_block(struct bench *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b->tb[i] = (uint8_t)draw(b);
}

/* n_rb neighbouring RBs of those free in that slot, anywhere. */
static struct grant grant_of(struct bench *b, uint64_t slot, size_t n_rb)
{
	struct rb_set all = layout_ul_rbs(b->layout, slot);
	size_t first = b->num.n_rb - rb_set_count(&all), room = b->num.n_rb - first;
	struct grant g = { .mcs = (uint8_t)(mcs_count() - 1) };
	n_rb = n_rb < room ? n_rb : room;
	rb_set_add_range(&g.rbs, first + draw(b) % (room - n_rb + 1), n_rb);
	return g;
}

/* To some device, with random contents. Is there room for it? */
static bool send_message(struct bench *b, unsigned level)
{
	const struct dci dci = {
		.device = (uint8_t)(draw(b) % PHY_DEVICES_MAX),
		.has_command = true,
		.command = { .timing = (int8_t)(draw(b) % 64), .power_step_db = (int8_t)(draw(b) % 4) },
	};
	return dl_tx_dci(b->dl, &dci, level) == 0;
}

static void send_downlink(struct bench *b, uint64_t slot, size_t n_rb, size_t messages)
{
	struct grant g = grant_of(b, 1, n_rb);
	size_t n = dl_tb_bytes(b->layout, &g);
	dl_tx_begin(b->dl, slot);
	for (unsigned level = 8; level > 0; level /= 2)
		while (messages > 0 && send_message(b, level))
			messages--;
	fill_block(b, n);
	dl_tx_data(b->dl, 0, &g, b->tb, n);
	dl_tx_finish(b->dl, b->clean);
}

static void build_downlink_full(struct bench *b, uint64_t i, size_t n_rb)
{
	send_downlink(b, i, n_rb, SIZE_MAX);
}

static void build_downlink_light(struct bench *b, uint64_t i, size_t n_rb)
{
	send_downlink(b, 10 * i + 1, n_rb, 1);
}

static void build_downlink_sync(struct bench *b, uint64_t i, size_t n_rb)
{
	send_downlink(b, 10 * i, n_rb, SIZE_MAX);
}

/* A device at its limit: asked for far more than it has. */
static void finish_uplink(struct bench *b, struct ul_tx *tx, size_t n_rb)
{
	const struct ul_power p = { .target_re_dbm = 100, .max_dbm = 0, .n_rb = b->num.n_rb };
	struct ul_amplitudes a = ul_power_amplitudes(&p, n_rb, b->full_scale_dbm, b->num.n_fft);
	ul_tx_finish(tx, &a, b->clean);
}

static void build_uplink_data(struct bench *b, uint64_t i, size_t n_rb)
{
	struct ul_tx *tx = b->ul[i % TALKERS];
	struct grant g = grant_of(b, 10 * i, n_rb);
	size_t n = ul_tb_bytes(b->layout, 10 * i, &g);
	fill_block(b, n);
	ul_tx_begin(tx, 10 * i);
	ul_tx_data(tx, &g, b->tb, n);
	finish_uplink(b, tx, n_rb);
}

static void build_uplink_control(struct bench *b, uint64_t i, size_t n_rb)
{
	struct ul_tx *tx = b->ul[i % TALKERS];
	struct uci u = { .ack = UCI_ACK,
		         .buffer_bytes = (uint32_t)(draw(b) % UCI_BUFFER_MAX),
		         .turn = uci_turn(10 * i, b->num.n_rb),
		         .value_db = 0.5f * (float)(draw(b) % 80) };
	ul_tx_begin(tx, 10 * i);
	ul_tx_control(tx, &u);
	finish_uplink(b, tx, n_rb);
}

static void build_uplink_access(struct bench *b, uint64_t i, size_t n_rb)
{
	struct ul_tx *tx = b->ul[i % TALKERS];
	ul_tx_begin(tx, 10 * i + ACCESS_SLOT);
	ul_tx_access(tx);
	finish_uplink(b, tx, n_rb);
}

static const struct source sources[] = {
	{ "downlink, full", build_downlink_full, .share = 1, .part = WHOLE },
	{ "downlink, light", build_downlink_light, .n_rb = 1, .part = WHOLE },
	{ "downlink, sync slots", build_downlink_sync, .share = 1, .part = WHOLE },
	{ "uplink, full", build_uplink_data, .share = 1, .part = UPLINK_DATA },
	{ "uplink, half", build_uplink_data, .share = 2, .part = UPLINK_DATA },
	{ "uplink, 4 RB", build_uplink_data, .n_rb = 4, .part = UPLINK_DATA },
	{ "uplink, 2 RB", build_uplink_data, .n_rb = 2, .part = UPLINK_DATA },
	{ "uplink, 1 RB", build_uplink_data, .n_rb = 1, .part = UPLINK_DATA },
	{ "uplink, control", build_uplink_control, .share = 1, .part = UPLINK_CONTROL },
	{ "uplink, sounding", build_uplink_control, .share = 1, .part = SOUNDING },
	{ "uplink, access", build_uplink_access, .n_rb = ACCESS_RB, .part = UPLINK_DATA },
};
enum { N_SOURCES = sizeof sources / sizeof sources[0] };

/* Error of b->sent against b->clean in the RE of symbols first .. last - 1, after the gain that fits best (a receiver's
 * channel estimate takes it in). */
static void compare(struct bench *b, size_t first, size_t last, struct figures *f)
{
	double complex cross = 0;
	double power = 0, error = 0;
	ofdm_demodulate(b->ofdm, b->clean, b->clean_re);
	ofdm_demodulate(b->ofdm, b->sent, b->sent_re);
	size_t from = first * b->num.n_sc, to = last * b->num.n_sc;
	double least = 1e-8;
	for (size_t i = from; i < to; i++) {
		double complex a = b->clean_re[i], c = b->sent_re[i];
		cross += conj(a) * c;
		power += creal(a * conj(a));
	}
	double complex gain = cross / power;
	least *= power / (double)(to - from);
	for (size_t i = from; i < to; i++) {
		double complex a = b->clean_re[i], e = (double complex)b->sent_re[i] - gain * a;
		if (creal(a * conj(a)) > least) /* empty RE carry only what rounding leaves */
			error += creal(e * conj(e));
	}
	f->error += error;
	f->power += power;
}

static void measure_slot(struct bench *b, const struct source *s, struct spectrum *spectrum, struct figures *f)
{
	const struct numerology *n = &b->num;
	const struct slot_format *format = n->format;
	const size_t bounds[][2] = { [WHOLE] = { 0, n->n_symbols },
		                     [UPLINK_DATA] = { 0, format->n_ul_data },
		                     [UPLINK_CONTROL] = { format->uci[0], format->uci[1] + 1u },
		                     [SOUNDING] = { format->sounding, format->sounding + 1u } };
	size_t first = bounds[s->part][0], last = bounds[s->part][1];
	size_t from = numerology_symbol_start(n, first) + n->taper, to = numerology_symbol_start(n, last);
	memcpy(b->sent, b->clean, n->slot_len * sizeof *b->sent);
	level_ccdf_add(&f->ccdf, b->clean + from, to - from);
	level_clip(b->sent, n->slot_len);
	level_quantise(b->sent, n->slot_len, b->bits);
	spectrum_feed(spectrum, b->sent, n->slot_len);
	compare(b, first, last, f);
}

static int measure(struct bench *b, const struct source *s, size_t n_slots, struct figures *f)
{
	struct spectrum *spectrum = spectrum_create(SPECTRUM_BLOCK * b->num.n_fft);
	size_t n_rb = s->share ? b->num.n_rb / s->share : s->n_rb;
	memset(f, 0, sizeof *f);
	if (!spectrum)
		return cli_failed("out of memory");
	for (size_t i = 1; i <= n_slots; i++) {
		s->build(b, i, n_rb);
		measure_slot(b, s, spectrum, f);
	}
	f->adjacent_db = spectrum_adjacent_db(spectrum, &b->num);
	spectrum_destroy(spectrum);
	return CLI_DONE;
}

/* ---- what was found ---- */

static double error_db(const struct figures *f)
{
	return 10 * log10(f->error / f->power);
}

/* How far the threshold of an MCS moves when that error comes on top of the noise it bears. */
static double shift_db(const struct figures *f, double snr_db)
{
	return 10 * log10(1 + pow(10, 0.1 * snr_db) * f->error / f->power);
}

static double peak_db(const struct figures *f, size_t i)
{
	return level_ccdf_dbfs(&f->ccdf, ccdf_at[i]) - level_ccdf_rms_dbfs(&f->ccdf);
}

static double clipped_share(const struct figures *f)
{
	return level_ccdf_share(&f->ccdf, 0);
}

static void print_figures(FILE *out, const struct source *s, const struct figures *f)
{
	fprintf(out, "%-21s %6.1f", s->name, level_ccdf_rms_dbfs(&f->ccdf));
	for (size_t i = 0; i < N_CCDF; i++)
		fprintf(out, " %5.1f", peak_db(f, i));
	fprintf(out, " %9.1e %7.1f %7.3f %8.1f\n", clipped_share(f), error_db(f), shift_db(f, TOP_SNR_DB),
	        f->adjacent_db);
}

static json_t *figures_json(const struct source *s, const struct figures *f)
{
	json_t *peaks = json_array();
	for (size_t i = 0; i < N_CCDF; i++)
		json_array_append_new(peaks,
		                      json_pack("{s:f, s:f}", "share", ccdf_at[i], "over_rms_db", peak_db(f, i)));
	return json_pack("{s:s, s:f, s:I, s:o, s:f, s:o, s:f, s:f}", "signal", s->name, "rms_dbfs",
	                 level_ccdf_rms_dbfs(&f->ccdf), "n_samples", (json_int_t)f->ccdf.n, "ccdf", peaks,
	                 "clipped_share", clipped_share(f), "error_db", json_real_or_null(error_db(f)),
	                 "threshold_shift_db", shift_db(f, TOP_SNR_DB), "adjacent_db", f->adjacent_db);
}

static void close_bench(struct bench *b)
{
	free(b->sent_re);
	free(b->clean_re);
	free(b->sent);
	free(b->clean);
	ofdm_destroy(b->ofdm);
	for (size_t d = 0; d < TALKERS; d++)
		ul_tx_destroy(b->ul[d]);
	dl_tx_destroy(b->dl);
	layout_destroy(b->layout);
}

static int open_bench(struct bench *b, const struct numerology_config *c, double level_dbfs, uint16_t cell_id)
{
	char err[NUMEROLOGY_WHY_BYTES];
	if (numerology_create(&b->num, c, err, sizeof err))
		return cli_bad_input("%s", err);
	b->layout = layout_create(&b->num, err, sizeof err);
	if (!b->layout)
		return cli_failed("%s", err);
	b->full_scale_dbm = (float)-level_dbfs; /* full power is 0 dBm */
	float re_dbm = -10 * log10f((float)b->num.n_sc);
	b->dl = dl_tx_create(b->layout, cell_id, power_re_amplitude(re_dbm, b->full_scale_dbm, b->num.n_fft));
	bool ok = b->dl != NULL;
	for (size_t d = 0; d < TALKERS; d++) {
		b->ul[d] = ul_tx_create(b->layout, cell_id, (uint8_t)d);
		ok &= b->ul[d] != NULL;
	}
	size_t n_re = b->num.n_symbols * b->num.n_sc;
	b->ofdm = ofdm_create(&b->num, numerology_backoff(&b->num));
	b->clean = calloc(b->num.slot_len, sizeof *b->clean);
	b->sent = calloc(b->num.slot_len, sizeof *b->sent);
	b->clean_re = calloc(n_re, sizeof *b->clean_re);
	b->sent_re = calloc(n_re, sizeof *b->sent_re);
	return ok && b->ofdm && b->clean && b->sent && b->clean_re && b->sent_re ? CLI_DONE
	                                                                         : cli_failed("out of memory");
}

static int measure_all(struct bench *b, size_t n_slots, const struct json_out *out, json_t *rows)
{
	FILE *text = json_out_text(out);
	fprintf(text, "%-21s %6s %29s %9s %7s %7s %8s\n", "", "rms", "dB over rms, share of samples", "clipped",
	        "error", "shift", "adjacent");
	fprintf(text, "%-21s %6s", "signal", "dBFS");
	for (size_t i = 0; i < N_CCDF; i++)
		fprintf(text, " %5.0e", ccdf_at[i]);
	fprintf(text, " %9s %7s %7s %8s\n", "share", "dB", "dB", "dBc");
	for (size_t i = 0; i < N_SOURCES; i++) {
		static struct figures f;
		if (cli_interrupted())
			return CLI_INTERRUPTED;
		int status = measure(b, &sources[i], n_slots, &f);
		if (status != CLI_DONE)
			return status;
		print_figures(text, &sources[i], &f);
		json_array_append_new(rows, figures_json(&sources[i], &f));
	}
	return CLI_DONE;
}

int cmd_phy_levels(int argc, char **argv)
{
	const char *profile = "7.68M-30k", *json = NULL;
	int64_t n_slots = 500, n_symbols = PHY_SYMBOLS_MAX, taper = TAPER_USUAL, bits = 12, cell_id = 1;
	double level_dbfs = LEVEL_RMS_DBFS;
	static struct bench b;
	const struct cli_option options[] = {
		{ "profile", CLI_STRING, &profile, "NAME", "numerology, see wdmoe phy profiles" },
		{ "symbols", CLI_INT, &n_symbols, "N", "OFDM symbols a slot: 7 or 14", .min = 1,
		  .max = PHY_SYMBOLS_MAX },
		{ "taper", CLI_INT, &taper, "N", "samples of the symbols' soft edges; -1: usual", .min = -1,
		  .max = 1000 },
		{ "level-dbfs", CLI_DOUBLE, &level_dbfs, "L", "rms level of full power", .min = -60, .max = 0 },
		{ "bits", CLI_INT, &bits, "N", "of the converter", .min = 2, .max = 24 },
		{ "slots", CLI_INT, &n_slots, "N", "slots of each signal", .min = 1, .max = 1e6 },
		{ "cell-id", CLI_INT, &cell_id, "N", "the cell's identity: its sequences", .min = 0, .max = 1007 },
		{ "seed", CLI_UINT64, &b.random, "S", "of what is sent" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Sends each kind of signal at full power, clipped in magnitude at full scale and rounded as a "
		"converter "
		"does. Tells its rms\n"
		"level while it sends, the power that a share of its samples exceeds, the share clipped, the error "
		"this makes "
		"in its resource\n"
		"elements, how far that moves a threshold at 27 dB, and the power in the adjacent channel "
		"(phy/spectrum.h).",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	struct json_out out;
	b.random = 1;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	const struct numerology_profile *p = numerology_profile_find(profile);
	if (!p)
		return cli_bad_input("--profile %s: wdmoe phy profiles lists what there is", profile);
	struct numerology_config c = numerology_profile_config(p, (size_t)n_symbols);
	c.taper = (int)taper;
	b.bits = (unsigned)bits;
	uint64_t seed = b.random;
	status = json_out_open(&out, json);
	if (status == CLI_DONE)
		status = open_bench(&b, &c, level_dbfs, (uint16_t)cell_id);
	cli_catch_interrupt();
	json_t *rows = json_array();
	if (status == CLI_DONE)
		status = measure_all(&b, (size_t)n_slots, &out, rows);
	close_bench(&b);
	if (status != CLI_DONE) {
		json_decref(rows);
		return status;
	}
	return json_out_write(&out, json_pack("{s:i, s:s, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:f, s:o}", "schema", 1,
	                                      "profile", p->name, "n_symbols", (json_int_t)n_symbols, "taper_samples",
	                                      (json_int_t)b.num.taper, "bits", (json_int_t)bits, "level_dbfs",
	                                      level_dbfs, "slots", (json_int_t)n_slots, "cell_id", (json_int_t)cell_id,
	                                      "seed", (json_int_t)seed, "top_snr_db", TOP_SNR_DB, "signals", rows));
}
