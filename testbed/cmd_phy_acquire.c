/* wdmoe phy acquire: cold start of one receiver, many times: the sync signal found by a device (dl), an access preamble
 * by the base station (ul). */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phy/acquire.h"
#include "phy/dl.h"
#include "phy/level.h"
#include "phy/nco.h"
#include "phy/power.h"
#include "phy/ul.h"
#include "radio/ether.h"
#include "radio/gauss.h"
#include "testbed/cli.h"
#include "testbed/config.h"
#include "testbed/spread.h"
#include "testbed/stats.h"

#define THERMAL_DBM_HZ (-174.0)
#define RX_FULL_SCALE_DBM (-30.0)
#define LIGHT_M_S 299792458.0

enum {
	DEVICE = 0,
	FULL_MCS = 10,
	STREAM_START = 1,
	STREAM_CLOCK,
	STREAM_DISTANCE,
	QUIET_SLOT = ACCESS_SLOT + SYNC_PERIOD_SLOTS, /* the access slot after: nobody sends */
};
static const double confidence = 0.95;

struct search {
	struct config *config;
	struct json_out json;
	const char *dir_name;
	double snr_db, cfo_hz, distance_m;
	int64_t trials, periods;
	bool full;                        /* downlink: data in every RB */
	bool noise_only;                  /* downlink: nobody sends; every lock is a false one */
	double cfo_range_hz, false_alarm; /* of the search; 0: the usual */
	uint64_t seed;

	struct numerology num;
	struct layout *layout;
	struct dl_tx *dl_tx;
	struct ul_tx *ul_tx;
	struct ul_rx *ul_rx;
	struct acquire *acquire;
	float complex *sent, *received; /* slot_len */
	float *noise;                   /* room for two slots in whole blocks */
	struct ether *ether;            /* of the trial */
	double distance;                /* m, of the trial */

	size_t n_found, n_false;  /* found: and right */
	uint64_t n_slots;         /* searched, of noise alone */
	size_t n_quiet, n_others; /* uplink: preambles seen in the silent slot, and of devices that sent none */
	double *time_s, *periods_used, *timing_error, *cfo_error, *snr_error; /* trials each, NAN: not found */
};

static double re_share_db(const struct search *s)
{
	return 10 * log10((double)s->num.n_sc);
}

static double noise_re_dbm(const struct search *s, double noise_figure_db)
{
	return THERMAL_DBM_HZ + noise_figure_db + 10 * log10(s->num.scs_hz);
}

/* Mean SNR alike in both directions: the device's power makes it so. */
static void describe(struct search *s)
{
	const struct config_bs *bs = &s->config->bs;
	struct config_device *d = &s->config->devices[DEVICE];
	s->config->seed = s->seed;
	d->snr_db = s->snr_db;
	d->distance_m = s->distance_m;
	d->tx_power_dbm = bs->tx_power_dbm + bs->noise_figure_db - d->noise_figure_db;
}

static double device_dbm(const struct search *s)
{
	return s->config->devices[DEVICE].tx_power_dbm;
}

/* A medium of its own for every trial: another fading, clock and noise. */
static int open_ether(struct search *s, uint64_t seed, char *err, size_t err_len)
{
	const struct config *c = s->config;
	double start_slots = s->ul_rx ? 1 : SYNC_PERIOD_SLOTS; /* uplink: it runs well before the access slot */
	double start = spread_uniform(seed, STREAM_START) * start_slots * (double)s->num.slot_len;
	double nf_db = c->devices[DEVICE].noise_figure_db;
	s->distance = spread_uniform(seed, STREAM_DISTANCE) * s->distance_m;
	struct ether_config e = { .rate_hz = s->num.rate_hz,
		                  .dl_hz = c->radio.dl_hz,
		                  .ul_hz = c->radio.ul_hz,
		                  .seed = seed,
		                  .n_devices = 1 };
	e.node[0] = (struct ether_node_config){ .osc_ppm = c->bs.osc_ppm,
		                                .tx_full_scale_dbm = level_full_scale_dbm((float)c->bs.tx_power_dbm),
		                                .noise_figure_db = c->bs.noise_figure_db,
		                                .rx_full_scale_dbm = RX_FULL_SCALE_DBM };
	e.node[1] = (struct ether_node_config){ .osc_ppm = c->bs.osc_ppm +
		                                           spread_ppm(seed, STREAM_CLOCK, s->cfo_hz,
		                                                      s->ul_rx ? c->radio.ul_hz : c->radio.dl_hz),
		                                .tx_full_scale_dbm = level_full_scale_dbm((float)device_dbm(s)),
		                                .noise_figure_db = nf_db,
		                                .rx_full_scale_dbm = RX_FULL_SCALE_DBM,
		                                .start_offset_samples = start };
	e.link[1] = (struct ether_link_config){ .path_loss_db = c->bs.tx_power_dbm - re_share_db(s) -
		                                                noise_re_dbm(s, nf_db) - s->snr_db,
		                                .propagation_delay_s = s->distance / LIGHT_M_S,
		                                .model = c->channel.model,
		                                .k_db = c->channel.rice_k_db,
		                                .delay_spread_s = 1e-9 * c->channel.delay_spread_ns,
		                                .speed_m_s = c->channel.speed_kmh / 3.6 };
	s->ether = ether_create(&e, err, err_len);
	return s->ether ? 0 : -errno;
}

/* Mean delay of the link in samples, and its mean power gain, over subcarriers 0 .. n_sc - 1. */
static double mean_delay(const struct search *s, enum ether_dir dir, double t_bs_samples, size_t n_sc, double *gain)
{
	double hz[PHY_SC_MAX] = { 0 };
	double complex h[PHY_SC_MAX], neighbours = 0;
	for (size_t k = 0; k < n_sc; k++)
		hz[k] = numerology_freq_hz(&s->num, k);
	ether_true_response(s->ether, 1, dir, t_bs_samples, hz, n_sc, h);
	*gain = 0;
	for (size_t k = 0; k < n_sc; k++) {
		*gain += (creal(h[k]) * creal(h[k]) + cimag(h[k]) * cimag(h[k])) / (double)n_sc;
		if (k && k != s->num.n_sc / 2) /* DC lies between those two */
			neighbours += conj(h[k - 1]) * h[k];
	}
	return -carg(neighbours) * (double)s->num.n_fft / (2 * M_PI);
}

/* ---- downlink ---- */

static void send_slot(struct search *s, uint64_t slot)
{
	dl_tx_begin(s->dl_tx, slot);
	if (layout_is_sync_slot(slot)) {
		struct sysinfo si = { .slot = (uint32_t)slot,
			              .n_groups = 1,
			              .ack_delay = 2,
			              .grant_delay = 2,
			              .round_trip = 8,
			              .cell_id = (uint16_t)s->config->radio.cell_id,
			              .version = DCI_VERSION };
		dl_tx_sysinfo(s->dl_tx, &si, 8);
	}
	if (s->full) {
		struct grant g = { .mcs = FULL_MCS };
		uint8_t block[1 << 14] = { 0 };
		rb_set_add_range(&g.rbs, 0, s->num.n_rb);
		size_t n = dl_tb_bytes(s->layout, &g);
		for (size_t i = 0; i < n; i++)
			block[i] = (uint8_t)(spread_uniform(slot, i) * 256);
		dl_tx_data(s->dl_tx, DEVICE, &g, block, n);
	}
	dl_tx_finish(s->dl_tx, s->sent);
	radio_send(ether_radio(s->ether, 0), s->sent, s->num.slot_len, slot * s->num.slot_len);
}

static void judge_lock(struct search *s, size_t trial, const struct acquired *lock, uint64_t heard)
{
	double gain, period = (double)(SYNC_PERIOD_SLOTS * s->num.slot_len);
	double t = ether_time(s->ether, 1, lock->slot_start) + (double)lock->fraction;
	double delay = mean_delay(s, ETHER_DL, t, s->num.n_sc, &gain);
	double timing = remainder(t - delay, period),
	       cfo = (double)lock->cfo_hz - ether_true_cfo_hz(s->ether, 1, ETHER_DL);
	double snr_db = 10 * log10(gain) + s->config->bs.tx_power_dbm - re_share_db(s) -
	                noise_re_dbm(s, s->config->devices[DEVICE].noise_figure_db);
	if (fabs(timing) > (double)s->num.cp || fabs(cfo) > 0.5 * s->num.scs_hz) {
		s->n_false++;
		return;
	}
	s->n_found++;
	s->time_s[trial] = (double)heard / s->num.rate_hz;
	s->periods_used[trial] = lock->n_periods;
	s->timing_error[trial] = timing;
	s->cfo_error[trial] = cfo;
	s->snr_error[trial] = (double)lock->snr_db - snr_db;
}

/* The base station keeps one slot ahead of what the device may hear. */
static void run_downlink(struct search *s, size_t trial)
{
	uint64_t heard = 0, limit = (uint64_t)s->periods * SYNC_PERIOD_SLOTS * s->num.slot_len;
	bool locked = false;
	acquire_reset(s->acquire, 0);
	for (uint64_t n = 0; heard < limit && !locked; n++) {
		send_slot(s, n);
		uint64_t now = ether_clock(s->ether, 1, (double)(n * s->num.slot_len));
		while (heard + s->num.slot_len <= now && !locked) {
			radio_recv(ether_radio(s->ether, 1), s->received, s->num.slot_len, heard);
			heard += s->num.slot_len;
			locked = acquire_feed(s->acquire, s->received, s->num.slot_len);
		}
	}
	if (locked)
		judge_lock(s, trial, acquire_result(s->acquire), heard);
}

/* White noise, its level drawn anew for each trial: searched on after a false lock. */
static void run_noise(struct search *s, size_t trial)
{
	size_t room = (s->num.slot_len + GAUSS_BLOCK - 1) / GAUSS_BLOCK * GAUSS_BLOCK;
	float sigma = powf(10, (float)(-3 * spread_uniform(s->seed + trial, STREAM_START)));
	acquire_reset(s->acquire, 0);
	for (int64_t n = 0; n < s->periods * SYNC_PERIOD_SLOTS; n++) {
		gauss_fill(s->seed + trial, 0, (uint64_t)n * room, room, s->noise, s->noise + room);
		for (size_t i = 0; i < s->num.slot_len; i++)
			s->received[i] = sigma * (s->noise[i] + I * s->noise[room + i]);
		s->n_slots++;
		if (!acquire_feed(s->acquire, s->received, s->num.slot_len))
			continue;
		s->n_false++;
		acquire_reset(s->acquire, 0);
	}
}

/* ---- uplink ---- */

/* One preamble as a device sends it that follows the first path of the downlink: late by the propagation delay. */
static void send_preamble(struct search *s)
{
	struct ul_power power = { .target_re_dbm = 100, .max_dbm = (float)device_dbm(s), .n_rb = s->num.n_rb };
	struct ul_amplitudes a =
	        ul_power_amplitudes(&power, s->num.n_rb, level_full_scale_dbm((float)device_dbm(s)), s->num.n_fft);
	double at = ACCESS_SLOT * (double)s->num.slot_len + s->distance / LIGHT_M_S * s->num.rate_hz;
	ul_tx_begin(s->ul_tx, ACCESS_SLOT);
	ul_tx_access(s->ul_tx);
	ul_tx_finish(s->ul_tx, &a, s->sent);
	radio_send(ether_radio(s->ether, 1), s->sent, s->num.slot_len, ether_clock(s->ether, 1, at));
}

static size_t hear_preambles(struct search *s, uint64_t slot, struct ul_access *found)
{
	size_t n;
	struct slot_time when = { .slot = slot, .t_samples = slot * s->num.slot_len };
	radio_recv(ether_radio(s->ether, 0), s->received, s->num.slot_len, when.t_samples);
	ul_rx_slot(s->ul_rx, s->received, &when);
	ul_rx_access(s->ul_rx, found, &n);
	return n;
}

static void judge_preamble(struct search *s, size_t trial, const struct ul_access *found)
{
	double gain, middle = ((double)ACCESS_SLOT + 0.4) * (double)s->num.slot_len;
	double one_way = s->distance / LIGHT_M_S * s->num.rate_hz;
	/* The device's clock may start anywhere between two samples, its slot starts on the next one. */
	double late =
	        ether_time(s->ether, 1, ether_clock(s->ether, 1, ACCESS_SLOT * (double)s->num.slot_len + one_way)) -
	        ACCESS_SLOT * (double)s->num.slot_len;
	double truth = late + mean_delay(s, ETHER_UL, middle, ACCESS_SC, &gain);
	double snr_db = 10 * log10(gain) + device_dbm(s) - 10 * log10(ACCESS_SC) -
	                noise_re_dbm(s, s->config->bs.noise_figure_db);
	s->n_found++;
	s->timing_error[trial] = (double)found->delay_samples - truth;
	s->snr_error[trial] = (double)found->snr_db - snr_db;
}

static void run_uplink(struct search *s, size_t trial)
{
	struct ul_access found[PHY_DEVICES_MAX];
	send_preamble(s);
	size_t n = hear_preambles(s, ACCESS_SLOT, found);
	for (size_t i = 0; i < n; i++) {
		if (found[i].device == DEVICE)
			judge_preamble(s, trial, &found[i]);
		else
			s->n_others++;
	}
	s->n_quiet += hear_preambles(s, QUIET_SLOT, found);
}

/* ---- what it came to ---- */

struct column {
	const char *name;
	const double *x;
};

static size_t columns(const struct search *s, struct column *c)
{
	size_t n = 0;
	if (s->acquire) {
		c[n++] = (struct column){ "time_to_lock_s", s->time_s };
		c[n++] = (struct column){ "periods", s->periods_used };
		c[n++] = (struct column){ "cfo_error_hz", s->cfo_error };
	}
	c[n++] = (struct column){ "timing_error_samples", s->timing_error };
	c[n++] = (struct column){ "snr_error_db", s->snr_error };
	return n;
}

static json_t *search_json(const struct search *s, const struct stats_interval *share)
{
	const struct config_channel *channel = &s->config->channel;
	struct column c[8];
	json_t *root = json_pack("{s:i, s:s, s:I, s:I, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:b, s:I, s:o, s:o}",
	                         "schema", 1, "version", cli_version(), "seed", (json_int_t)s->seed, "trials",
	                         (json_int_t)s->trials, "channel", channel->model, "dir", s->dir_name, "snr_db",
	                         s->snr_db, "cfo_hz", s->cfo_hz, "delay_spread_ns", channel->delay_spread_ns,
	                         "speed_kmh", channel->speed_kmh, "distance_m", s->distance_m, "full", (int)s->full,
	                         "found", (json_int_t)s->n_found, "probability", json_real_or_null(share->mean),
	                         "probability_interval", json_reals((double[]){ share->low, share->high }, 2));
	if (s->noise_only)
		json_object_set_new(root, "noise_slots", json_integer((json_int_t)s->n_slots));
	if (s->acquire) {
		json_object_set_new(root, "periods_max", json_integer(s->periods));
		json_object_set_new(root, "false_locks", json_integer((json_int_t)s->n_false));
	} else {
		json_object_set_new(root, "false_alarms_silent", json_integer((json_int_t)s->n_quiet));
		json_object_set_new(root, "false_alarms_others", json_integer((json_int_t)s->n_others));
	}
	for (size_t i = columns(s, c); i-- > 0;)
		json_object_set_new(root, c[i].name, spread_json(c[i].x, (size_t)s->trials));
	json_object_set_new(root, "config", config_json(s->config, false));
	return root;
}

static int report(const struct search *s)
{
	FILE *f = json_out_text(&s->json);
	struct stats_interval share = stats_wilson(s->n_found, (size_t)s->trials, confidence);
	struct column c[8];
	if (s->noise_only) {
		fprintf(f, "%zu locks in %llu slots of noise\n", s->n_false, (unsigned long long)s->n_slots);
		return json_out_write(&s->json, search_json(s, &share));
	}
	fprintf(f, "found %zu of %lld: %.4f (%.0f %% interval %.4f .. %.4f)\n", s->n_found, (long long)s->trials,
	        share.mean, 100 * confidence, share.low, share.high);
	if (s->acquire)
		fprintf(f, "false locks: %zu\n", s->n_false);
	else
		fprintf(f, "false alarms: %zu in as many silent slots, %zu of devices that sent nothing\n", s->n_quiet,
		        s->n_others);
	fprintf(f, "%-20s %7s %9s %9s %9s %9s %9s\n", "", "n", "mean", "p50", "p95", "p99", "max");
	size_t n = columns(s, c);
	for (size_t i = 0; i < n; i++)
		spread_print(f, c[i].name, c[i].x, (size_t)s->trials);
	return json_out_write(&s->json, search_json(s, &share));
}

/* ---- set-up ---- */

static bool make_chain(struct search *s, bool uplink)
{
	uint16_t cell_id = (uint16_t)s->config->radio.cell_id;
	float re_dbm = (float)(s->config->bs.tx_power_dbm - re_share_db(s));
	float amplitude =
	        power_re_amplitude(re_dbm, level_full_scale_dbm((float)s->config->bs.tx_power_dbm), s->num.n_fft);
	s->sent = calloc(s->num.slot_len, sizeof *s->sent);
	s->received = calloc(s->num.slot_len, sizeof *s->received);
	s->noise = calloc(2 * (s->num.slot_len + GAUSS_BLOCK), sizeof *s->noise);
	double **columns_of[] = { &s->time_s, &s->periods_used, &s->timing_error, &s->cfo_error, &s->snr_error };
	bool ok = s->sent && s->received && s->noise;
	for (size_t i = 0; i < sizeof columns_of / sizeof columns_of[0]; i++) {
		*columns_of[i] = calloc((size_t)s->trials, sizeof **columns_of[i]);
		for (int64_t t = 0; *columns_of[i] && t < s->trials; t++)
			(*columns_of[i])[t] = NAN;
		ok &= *columns_of[i] != NULL;
	}
	if (uplink) {
		s->ul_tx = ul_tx_create(s->layout, cell_id, DEVICE);
		s->ul_rx = ul_rx_create(s->layout, cell_id);
		return ok && s->ul_tx && s->ul_rx;
	}
	s->dl_tx = dl_tx_create(s->layout, cell_id, amplitude);
	struct acquire_config search = acquire_config_default(&s->num);
	search.dl_hz = s->config->radio.dl_hz;
	search.cfo_range_hz = s->cfo_range_hz > 0 ? s->cfo_range_hz : search.cfo_range_hz;
	search.false_alarm = s->false_alarm > 0 ? s->false_alarm : search.false_alarm;
	s->acquire = acquire_create(&s->num, cell_id, &search);
	return ok && s->dl_tx && s->acquire;
}

static int execute(struct search *s)
{
	char err[512];
	bool uplink = strcmp(s->dir_name, "ul") == 0;
	if (uplink && s->noise_only)
		return cli_bad_input("--noise-only: of the downlink (the uplink has its silent slots)");
	if (config_numerology(&s->config->radio, &s->num, err, sizeof err))
		return cli_bad_input("%s", err);
	s->layout = layout_create(&s->num, err, sizeof err);
	if (!s->layout)
		return cli_bad_input("%s", err);
	describe(s);
	if (!make_chain(s, uplink))
		return cli_failed("out of memory");
	cli_catch_interrupt();
	for (size_t i = 0; i < (size_t)s->trials; i++) {
		if (cli_interrupted())
			return CLI_INTERRUPTED;
		if (s->noise_only) {
			run_noise(s, i);
			continue;
		}
		if (open_ether(s, s->seed + i, err, sizeof err))
			return cli_bad_input("%s", err);
		if (uplink)
			run_uplink(s, i);
		else
			run_downlink(s, i);
		ether_destroy(s->ether);
		s->ether = NULL;
	}
	return report(s);
}

static void release(struct search *s)
{
	free(s->snr_error);
	free(s->cfo_error);
	free(s->timing_error);
	free(s->periods_used);
	free(s->time_s);
	free(s->noise);
	free(s->received);
	free(s->sent);
	acquire_destroy(s->acquire);
	ul_rx_destroy(s->ul_rx);
	ul_tx_destroy(s->ul_tx);
	dl_tx_destroy(s->dl_tx);
	layout_destroy(s->layout);
	free(s->config);
}

int cmd_phy_acquire(int argc, char **argv)
{
	enum { CHANNEL, DELAY_SPREAD, SPEED, KEYS };
	static const char *const keys[KEYS] = { "channel.model", "channel.delay_spread_ns", "channel.speed_kmh" };
	const char *values[KEYS] = { NULL }, *json = NULL;
	struct cli_list sets = { .n = 0 };
	struct search s = {
		.dir_name = "dl", .snr_db = 5, .distance_m = 100, .trials = 100, .periods = 100, .seed = 1
	};
	const struct cli_option options[] = {
		{ "channel", CLI_STRING, &values[CHANNEL], "C",
		  "channel model: none, rayleigh, rice, tdl-a .. tdl-e, epa, eva, etu (channel.model)" },
		{ "dir", CLI_STRING, &s.dir_name, "D",
		  "dl: sync signal at a device, from cold start; ul: access preamble at the base station",
		  .choices = "dl|ul" },
		{ "snr-db", CLI_DOUBLE, &s.snr_db, "S",
		  "mean SNR of a data RE at full-band power; a preamble RE, on a third of the band, has 4.77 dB more",
		  .min = -40, .max = 60 },
		{ "cfo-hz", CLI_DOUBLE, &s.cfo_hz, "F",
		  "each trial draws its carrier offset from -F to F (ul: what the device's tracking left)", .min = 0,
		  .max = 200000 },
		{ "range-hz", CLI_DOUBLE, &s.cfo_range_hz, "F",
		  "dl: carrier offsets of +-F are searched; 0: 2.5 subcarriers", .min = 0, .max = 200000 },
		{ "false-alarm", CLI_DOUBLE, &s.false_alarm, "P",
		  "dl: probability of a lock on noise that the search aims at, a sync period; 0: the usual", .min = 0,
		  .max = 0.5 },
		{ "noise-only", CLI_FLAG, &s.noise_only, NULL,
		  "dl: nobody sends; each trial searches all its periods, every lock is a false one" },
		{ "trials", CLI_INT, &s.trials, "N", "trials, each with a channel, clock and distance of its own",
		  .min = 1, .max = 1e7 },
		{ "seed", CLI_UINT64, &s.seed, "S", "of the first trial; the next has the next" },
		{ "periods", CLI_INT, &s.periods, "N", "dl: sync periods (10 slots) after which a trial is given up",
		  .min = 1, .max = 1e5 },
		{ "full", CLI_FLAG, &s.full, NULL,
		  "dl: data in every resource block (default: control and pilots only)" },
		{ "distance-m", CLI_DOUBLE, &s.distance_m, "M", "each trial draws its distance from 0 to M", .min = 0,
		  .max = 10000 },
		{ "delay-spread-ns", CLI_STRING, &values[DELAY_SPREAD], "D",
		  "RMS delay spread of the tdl models (channel.delay_spread_ns)" },
		{ "speed-kmh", CLI_STRING, &values[SPEED], "V", "speed of the device (channel.speed_kmh)" },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the default configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Downlink: a device that knows neither time nor carrier looks for the sync signal; a lock is right if "
		"it lies within a cyclic\n"
		"prefix and half a subcarrier of the truth. Uplink: one preamble in one access slot, and a silent slot "
		"after it. Errors are\n"
		"against the ether's truth; timing against the power-weighted mean delay of the channel.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	char err[512];
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	s.config = malloc(sizeof *s.config);
	if (!s.config)
		return cli_failed("out of memory");
	status = json_out_open(&s.json, json);
	if (status == CLI_DONE && config_load(s.config, NULL, sets.items, sets.n, err, sizeof err))
		status = cli_bad_input("%s", err);
	for (size_t i = 0; i < KEYS && status == CLI_DONE; i++)
		if (values[i] && config_put(s.config, keys[i], values[i], err, sizeof err))
			status = cli_bad_input("%s", err);
	if (status == CLI_DONE)
		status = execute(&s);
	release(&s);
	return status;
}
