#include "testbed/phy_search.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phy/access.h"
#include "phy/acquire.h"
#include "phy/dl.h"
#include "phy/level.h"
#include "phy/nco.h"
#include "phy/power.h"
#include "phy/track.h"
#include "phy/ul.h"
#include "radio/ether.h"
#include "radio/gauss.h"
#include "testbed/medium.h"
#include "testbed/spread.h"

#define LIGHT_M_S 299792458.0

enum {
	DEVICE = 0,
	BLOCK_MCS = 2, /* of what is sent in every slot: a good channel's receiver never loses it */
	BLOCK_MAX = 1 << 14,
	WRONG_PERIODS =
	        6, /* sync slots without system information until a tracker gives up a lock: track_config_default */
	STREAM_START = 1,
	STREAM_CLOCK,
	STREAM_DISTANCE,
	QUIET_SLOT = ACCESS_SLOT + SYNC_PERIOD_SLOTS, /* the access slot after: nobody sends */
	NOISE_CHUNK = 1 << 12,
};

struct phy_search {
	struct phy_search_params params;
	const struct numerology *num;
	struct dl_tx *dl_tx;
	struct dl_rx *dl_rx;
	struct ul_tx *ul_tx;
	struct ul_rx *ul_rx;
	struct acquire *acquire;
	struct access_detector *access;
	float complex *sent, *received; /* slot_len */
	float complex *grid;            /* n_symbols * n_sc */
	float *gauss;                   /* 2 * NOISE_CHUNK */
	float complex *noise;           /* NOISE_CHUNK */
	uint8_t *block;                 /* BLOCK_MAX */

	/* of the trial */
	struct ether *ether;
	double distance; /* m */
	uint64_t n_sent; /* slots sent so far */
	uint64_t heard;  /* device's samples so far */
	struct dl_result result;
};

static double re_share_db(const struct phy_search *s)
{
	return 10 * log10((double)s->num->n_sc);
}

static const struct config_device *device_of(const struct phy_search *s)
{
	return &s->params.config->devices[DEVICE];
}

static double tx_dbm(const struct phy_search *s)
{
	return s->params.config->bs.tx_power_dbm;
}

/* ---- creation ---- */

static bool make_uplink(struct phy_search *s, uint16_t cell_id)
{
	s->ul_tx = ul_tx_create(s->params.layout, cell_id, DEVICE);
	s->ul_rx = ul_rx_create(s->params.layout, cell_id);
	s->access = access_detector_create(s->num, cell_id);
	if (s->ul_rx) /* the whole way there and back */
		ul_rx_set_access(s->ul_rx, UINT32_MAX, 2 * s->params.distance_m / LIGHT_M_S * s->num->rate_hz);
	return s->ul_tx && s->ul_rx && s->access;
}

static bool make_downlink(struct phy_search *s, uint16_t cell_id)
{
	float re_dbm = (float)(tx_dbm(s) - re_share_db(s));
	float amplitude = power_re_amplitude(re_dbm, level_full_scale_dbm((float)tx_dbm(s)), s->num->n_fft);
	struct acquire_config search = acquire_config_default(s->num);
	search.dl_hz = s->params.config->radio.dl_hz;
	if (s->params.range_hz > 0)
		search.cfo_range_hz = s->params.range_hz;
	if (s->params.false_alarm > 0)
		search.false_alarm = s->params.false_alarm;
	s->dl_tx = dl_tx_create(s->params.layout, cell_id, amplitude);
	s->dl_rx = dl_rx_create(s->params.layout, cell_id, DEVICE);
	s->acquire = acquire_create(s->num, cell_id, &search);
	return s->dl_tx && s->dl_rx && s->acquire;
}

struct phy_search *phy_search_create(const struct phy_search_params *p)
{
	struct phy_search *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->params = *p;
	s->num = layout_numerology(p->layout);
	uint16_t cell_id = (uint16_t)p->config->radio.cell_id;
	s->sent = calloc(s->num->slot_len, sizeof *s->sent);
	s->received = calloc(s->num->slot_len, sizeof *s->received);
	s->grid = calloc(s->num->n_symbols * s->num->n_sc, sizeof *s->grid);
	s->gauss = calloc(2 * NOISE_CHUNK, sizeof *s->gauss);
	s->noise = calloc(NOISE_CHUNK, sizeof *s->noise);
	s->block = calloc(BLOCK_MAX, 1);
	bool ok = s->sent && s->received && s->grid && s->gauss && s->noise && s->block &&
	          (p->uplink ? make_uplink(s, cell_id) : make_downlink(s, cell_id));
	if (!ok) {
		int error = errno ? errno : ENOMEM;
		phy_search_destroy(s);
		errno = error;
		return NULL;
	}
	return s;
}

void phy_search_destroy(struct phy_search *s)
{
	if (!s)
		return;
	access_detector_destroy(s->access);
	acquire_destroy(s->acquire);
	ul_rx_destroy(s->ul_rx);
	ul_tx_destroy(s->ul_tx);
	dl_rx_destroy(s->dl_rx);
	dl_tx_destroy(s->dl_tx);
	free(s->block);
	free(s->noise);
	free(s->gauss);
	free(s->grid);
	free(s->received);
	free(s->sent);
	free(s);
}

/* ---- the medium ---- */

static double device_ppm(const struct phy_search *s, uint64_t seed)
{
	const struct config_radio *r = &s->params.config->radio;
	double carrier_hz = s->params.uplink ? r->ul_hz : r->dl_hz;
	if (s->params.fixed)
		return (seed % 2 ? -1e6 : 1e6) * s->params.cfo_hz / carrier_hz;
	return spread_ppm(seed, STREAM_CLOCK, s->params.cfo_hz, carrier_hz);
}

/* A medium of its own for every trial: another fading, clock and noise. Mean SNR alike in both directions: the device's
 * power makes it so. */
static int open_ether(struct phy_search *s, double snr_db, uint64_t seed, char *err, size_t err_len)
{
	const struct config *c = s->params.config;
	double start_slots = s->params.uplink ? 1 : SYNC_PERIOD_SLOTS; /* uplink: it runs well before the access slot */
	double nf_db = device_of(s)->noise_figure_db;
	s->distance = spread_uniform(seed, STREAM_DISTANCE) * s->params.distance_m;
	struct ether_config e = { .rate_hz = s->num->rate_hz,
		                  .dl_hz = c->radio.dl_hz,
		                  .ul_hz = c->radio.ul_hz,
		                  .seed = seed,
		                  .n_devices = 1 };
	e.node[0] = medium_node(c, c->bs.osc_ppm, c->bs.noise_figure_db, c->bs.tx_power_dbm);
	e.node[1] = medium_node(c, c->bs.osc_ppm + device_ppm(s, seed), nf_db, device_of(s)->tx_power_dbm);
	e.node[1].start_offset_samples = spread_uniform(seed, STREAM_START) * start_slots * (double)s->num->slot_len;
	e.link[1] = (struct ether_link_config){ .path_loss_db = tx_dbm(s) - re_share_db(s) -
		                                                medium_noise_re_dbm(s->num, nf_db) - snr_db,
		                                .propagation_delay_s = s->distance / LIGHT_M_S,
		                                .model = c->channel.model,
		                                .k_db = c->channel.rice_k_db,
		                                .delay_spread_s = 1e-9 * c->channel.delay_spread_ns,
		                                .speed_m_s = c->channel.speed_kmh / 3.6 };
	s->n_sent = s->heard = 0;
	s->ether = ether_create(&e, err, err_len);
	return s->ether ? 0 : -errno;
}

/* Mean delay of the link in samples, and its mean power gain, over subcarriers 0 .. n_sc - 1. */
static double mean_delay(const struct phy_search *s, enum ether_dir dir, double t_bs_samples, size_t n_sc, double *gain)
{
	double hz[PHY_SC_MAX] = { 0 };
	double complex h[PHY_SC_MAX], neighbours = 0;
	for (size_t k = 0; k < n_sc; k++)
		hz[k] = numerology_freq_hz(s->num, k);
	ether_true_response(s->ether, 1, dir, t_bs_samples, hz, n_sc, h);
	*gain = 0;
	for (size_t k = 0; k < n_sc; k++) {
		*gain += (creal(h[k]) * creal(h[k]) + cimag(h[k]) * cimag(h[k])) / (double)n_sc;
		if (k && k != s->num->n_sc / 2) /* DC lies between those two */
			neighbours += conj(h[k - 1]) * h[k];
	}
	return -carg(neighbours) * (double)s->num->n_fft / (2 * M_PI);
}

/* ---- downlink ---- */

static struct grant block_grant(const struct phy_search *s)
{
	struct grant g = { .mcs = BLOCK_MCS };
	rb_set_add_range(&g.rbs, 0, s->num->n_rb);
	return g;
}

static void send_slot(struct phy_search *s, bool data)
{
	uint64_t slot = s->n_sent++;
	dl_tx_begin(s->dl_tx, slot);
	if (layout_is_sync_slot(slot)) {
		struct sysinfo si = { .slot = (uint32_t)slot,
			              .n_groups = 1,
			              .ack_delay = 2,
			              .grant_delay = 2,
			              .round_trip = 8,
			              .cell_id = (uint16_t)s->params.config->radio.cell_id,
			              .version = DCI_VERSION };
		dl_tx_sysinfo(s->dl_tx, &si, 8);
	}
	if (data) {
		struct grant g = block_grant(s);
		size_t n = dl_tb_bytes(s->params.layout, &g);
		for (size_t i = 0; i < n; i++)
			s->block[i] = (uint8_t)(spread_uniform(slot, i) * 256);
		dl_tx_data(s->dl_tx, DEVICE, &g, s->block, n);
	}
	dl_tx_finish(s->dl_tx, s->sent);
	radio_send(ether_radio(s->ether, 0), s->sent, s->num->slot_len, slot * s->num->slot_len);
}

/* slot_len samples from the device's sample t on, which the base station's slots have reached. */
static void hear(struct phy_search *s, uint64_t t, bool data)
{
	while (!s->n_sent ||
	       ether_clock(s->ether, 1, (double)((s->n_sent - 1) * s->num->slot_len)) < t + s->num->slot_len)
		send_slot(s, data);
	radio_recv(ether_radio(s->ether, 1), s->received, s->num->slot_len, t);
	s->heard = t + s->num->slot_len;
}

/* Is the lock right? Then its errors are filled in. */
static bool judge_lock(struct phy_search *s, const struct acquired *lock, struct phy_search_outcome *o)
{
	double gain, period = (double)(SYNC_PERIOD_SLOTS * s->num->slot_len);
	double t = ether_time(s->ether, 1, lock->slot_start) + (double)lock->fraction;
	double timing = remainder(t - mean_delay(s, ETHER_DL, t, s->num->n_sc, &gain), period);
	double cfo_hz = (double)lock->cfo_hz - ether_true_cfo_hz(s->ether, 1, ETHER_DL);
	if (fabs(timing) > 0.5 * (double)s->num->cp || fabs(cfo_hz) > track_pull_in_hz(s->num))
		return false;
	double snr_db = 10 * log10(gain) + tx_dbm(s) - re_share_db(s) -
	                medium_noise_re_dbm(s->num, device_of(s)->noise_figure_db);
	o->found = true;
	o->time_s = (double)s->heard / s->num->rate_hz;
	o->periods = lock->n_periods;
	o->timing_samples = timing;
	o->cfo_hz = cfo_hz;
	o->snr_db = (double)lock->snr_db - snr_db;
	return true;
}

static void search(struct phy_search *s, struct phy_search_outcome *o)
{
	uint64_t period = SYNC_PERIOD_SLOTS * s->num->slot_len, limit = s->params.periods_max * period;
	acquire_reset(s->acquire, 0);
	while (s->heard < limit) {
		hear(s, s->heard, s->params.full);
		if (!acquire_feed(s->acquire, s->received, s->num->slot_len))
			continue;
		if (judge_lock(s, acquire_result(s->acquire), o))
			return;
		o->n_wrong++;
		s->heard += WRONG_PERIODS * period;
		acquire_reset(s->acquire, s->heard);
	}
}

/* One slot as a node's receiver takes it: was the block right? */
static bool follow_slot(struct phy_search *s, struct track *t, struct nco *nco)
{
	struct grant g = block_grant(s);
	size_t n;
	struct slot_time when = { .slot = t->n_slots, .t_samples = t->next_start };
	hear(s, t->next_start, true);
	nco_set_hz(nco, t->cfo_hz);
	nco_down(nco, s->received, s->received, s->num->slot_len);
	bool right = !dl_rx_slot(s->dl_rx, s->received, &when, &s->result) && s->result.csi.valid &&
	             !dl_rx_data(s->dl_rx, &g, NULL, s->block, &n, NULL);
	track_update(t, s->result.csi.valid ? &s->result.track : NULL);
	if (layout_is_sync_slot(when.slot))
		track_sync_slot(t, s->result.has_sysinfo);
	return right;
}

static void follow(struct phy_search *s, struct phy_search_outcome *o)
{
	const struct config_radio *r = &s->params.config->radio;
	struct track_config config = track_config_default(r->dl_hz, r->ul_hz);
	struct track t;
	struct nco nco;
	double gain, square = 0, true_cfo_hz = ether_true_cfo_hz(s->ether, 1, ETHER_DL), len = (double)s->num->slot_len;
	track_start(&t, s->num, &config, acquire_result(s->acquire));
	/* what is on the way already may be without data */
	track_skip_to(&t, ether_clock(s->ether, 1, (double)((s->n_sent + 1) * s->num->slot_len)));
	nco_init(&nco, s->num->rate_hz);
	dl_rx_reset(s->dl_rx);
	o->slots = (uint64_t)ceil(s->params.follow_s / numerology_slot_s(s->num));
	o->follow_timing_samples = 0;
	for (uint64_t i = 0; i < o->slots; i++) {
		o->slots_lost += !follow_slot(s, &t, &nco);
		o->sync_lost |= track_lost(&t);
		double at = ether_time(s->ether, 1, t.next_start) + t.fraction;
		double timing = remainder(at - mean_delay(s, ETHER_DL, at, s->num->n_sc, &gain), len);
		o->follow_timing_samples = fmax(o->follow_timing_samples, fabs(timing));
		square += (t.cfo_hz - true_cfo_hz) * (t.cfo_hz - true_cfo_hz);
	}
	o->follow_cfo_hz = sqrt(square / (double)o->slots);
	o->follow_clock_ppm = track_clock_ppm(&t) + 1e6 * true_cfo_hz / r->dl_hz;
}

/* ---- uplink ---- */

/* One preamble as a device sends it that follows the first path of the downlink: late by the propagation delay. */
static void send_preamble(struct phy_search *s)
{
	double dbm = device_of(s)->tx_power_dbm;
	struct ul_power power = { .target_re_dbm = 100, .max_dbm = (float)dbm, .n_rb = s->num->n_rb };
	struct ul_amplitudes a =
	        ul_power_amplitudes(&power, s->num->n_rb, level_full_scale_dbm((float)dbm), s->num->n_fft);
	double at = ACCESS_SLOT * (double)s->num->slot_len + s->distance / LIGHT_M_S * s->num->rate_hz;
	ul_tx_begin(s->ul_tx, ACCESS_SLOT);
	ul_tx_access(s->ul_tx);
	ul_tx_finish(s->ul_tx, &a, s->sent);
	radio_send(ether_radio(s->ether, 1), s->sent, s->num->slot_len, ether_clock(s->ether, 1, at));
}

static size_t hear_preambles(struct phy_search *s, uint64_t slot, struct ul_access *found)
{
	size_t n;
	struct slot_time when = { .slot = slot, .t_samples = slot * s->num->slot_len };
	radio_recv(ether_radio(s->ether, 0), s->received, s->num->slot_len, when.t_samples);
	ul_rx_slot(s->ul_rx, s->received, &when);
	ul_rx_access(s->ul_rx, found, &n);
	return n;
}

static void judge_preamble(struct phy_search *s, const struct ul_access *found, struct phy_search_outcome *o)
{
	double gain, slot_at = ACCESS_SLOT * (double)s->num->slot_len,
	             middle = slot_at + 0.4 * (double)s->num->slot_len;
	double one_way = s->distance / LIGHT_M_S * s->num->rate_hz;
	/* The device's clock may start anywhere between two samples, its slot starts on the next one. */
	double late = ether_time(s->ether, 1, ether_clock(s->ether, 1, slot_at + one_way)) - slot_at;
	double truth = late + mean_delay(s, ETHER_UL, middle, ACCESS_SC, &gain);
	double snr_db = 10 * log10(gain) + device_of(s)->tx_power_dbm - 10 * log10(ACCESS_SC) -
	                medium_noise_re_dbm(s->num, s->params.config->bs.noise_figure_db);
	o->found = true;
	o->timing_samples = (double)found->delay_samples - truth;
	o->snr_db = (double)found->snr_db - snr_db;
}

static void run_uplink(struct phy_search *s, struct phy_search_outcome *o)
{
	struct ul_access found[PHY_DEVICES_MAX];
	send_preamble(s);
	size_t n = hear_preambles(s, ACCESS_SLOT, found);
	for (size_t i = 0; i < n; i++) {
		if (found[i].device == DEVICE)
			judge_preamble(s, &found[i], o);
		else
			o->n_others++;
	}
	o->n_quiet += (unsigned)hear_preambles(s, QUIET_SLOT, found);
}

/* ---- trials ---- */

int phy_search_trial(struct phy_search *s, double snr_db, uint64_t seed, struct phy_search_outcome *o, char *err,
                     size_t err_len)
{
	*o = (struct phy_search_outcome){ .time_s = NAN,
		                          .periods = NAN,
		                          .timing_samples = NAN,
		                          .cfo_hz = NAN,
		                          .snr_db = NAN,
		                          .follow_timing_samples = NAN,
		                          .follow_cfo_hz = NAN,
		                          .follow_clock_ppm = NAN };
	int rc = open_ether(s, snr_db, seed, err, err_len);
	if (rc)
		return rc;
	if (s->params.uplink) {
		run_uplink(s, o);
	} else {
		search(s, o);
		if (o->found && s->params.follow_s > 0)
			follow(s, o);
	}
	ether_destroy(s->ether);
	s->ether = NULL;
	return 0;
}

/* ---- noise ---- */

/* NOISE_CHUNK samples of variance 2 from t, a multiple of it, on. */
static void make_noise(struct phy_search *s, uint64_t seed, uint64_t t)
{
	gauss_fill(seed, 0, t, NOISE_CHUNK, s->gauss, s->gauss + NOISE_CHUNK);
	for (size_t i = 0; i < NOISE_CHUNK; i++)
		s->noise[i] = CMPLXF(s->gauss[i], s->gauss[NOISE_CHUNK + i]);
}

static void count_period(const struct acquire *a, struct phy_search_noise *sum)
{
	double level = 0.1, p = acquire_progress(a).false_alarm;
	sum->periods++;
	for (size_t i = 0; i < PHY_SEARCH_LEVELS; i++, level *= 0.1)
		sum->beyond[i] += p < level;
}

static void search_noise(struct phy_search *s, uint64_t seed, uint64_t n_slots, struct phy_search_noise *sum)
{
	unsigned periods = 0;
	acquire_reset(s->acquire, 0);
	for (uint64_t t = 0; t < n_slots * s->num->slot_len; t += NOISE_CHUNK) {
		make_noise(s, seed, t);
		bool locked = acquire_feed(s->acquire, s->noise, NOISE_CHUNK);
		if (acquire_progress(s->acquire).n_periods != periods) {
			count_period(s->acquire, sum);
			periods = acquire_progress(s->acquire).n_periods;
		}
		sum->alarms += locked;
		if (locked) {
			acquire_reset(s->acquire, t + NOISE_CHUNK);
			periods = 0;
		}
	}
	sum->slots += n_slots;
}

static void detect_noise(struct phy_search *s, uint64_t seed, uint64_t n_slots, struct phy_search_noise *sum)
{
	struct access_found found[PHY_DEVICES_MAX];
	size_t n_re = s->num->n_symbols * s->num->n_sc, have = 0;
	uint64_t t = 0;
	for (uint64_t slot = 0; slot < n_slots; slot++) {
		for (size_t done = 0; done < n_re;) {
			if (!have) {
				make_noise(s, seed, t);
				t += NOISE_CHUNK;
				have = NOISE_CHUNK;
			}
			size_t n = n_re - done < have ? n_re - done : have;
			memcpy(s->grid + done, s->noise + (NOISE_CHUNK - have), n * sizeof *s->grid);
			done += n;
			have -= n;
		}
		sum->alarms += access_detect(s->access, s->grid, UINT32_MAX, found);
	}
	sum->slots += n_slots;
}

void phy_search_noise(struct phy_search *s, uint64_t seed, uint64_t n_slots, struct phy_search_noise *sum)
{
	if (s->params.uplink)
		detect_noise(s, seed, n_slots, sum);
	else
		search_noise(s, seed, n_slots, sum);
}
