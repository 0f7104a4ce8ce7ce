/* wdmoe phy bench: how fast the PHY is on one core: chains of whole slots, their stages, the decoder, and liquid-dsp beside
 * them. */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "phy/block.h"
#include "phy/crc.h"
#include "phy/dl_chest.h"
#include "phy/finite.h"
#include "phy/gold.h"
#include "phy/mcs.h"
#include "phy/nco.h"
#include "phy/ofdm.h"
#include "phy/soften.h"
#include "phy/ul_chest.h"
#include "phy/ul_control.h"
#include "radio/gauss.h"
#include "testbed/cli.h"
#include "testbed/phy_bench.h"
#include "testbed/phy_link_inner.h"
#include "testbed/phy_options.h"
#include "testbed/phy_sweep.h"

enum {
	SLOTS = 40, /* of a scene: four sync periods */
	FIRST_SLOT = 1,
	ROWS_MAX = 64,
	SCENES_MAX = 4,
	TRIALS = 400,
	STOP = 16,
};
static const double target = 0.01;

/* A slot of a scene: what is on the air, and what it says. */
struct snap {
	uint64_t slot;
	bool full; /* data of all devices, no sync signal */
	float complex *samples;
	struct grant grant[PHY_DEVICES_MAX];
	uint8_t *tb[PHY_DEVICES_MAX];
	size_t n_bytes[PHY_DEVICES_MAX];
};

/* The decoder alone: rate, and for which modulation its iteration limit is. */
enum { LDPC_JOBS = 4 };
static const struct {
	double rate;
	unsigned bits;
} ldpc_jobs[LDPC_JOBS] = { { 1.0 / 2, 2 }, { 5.0 / 6, 4 }, { 3.0 / 4, 6 }, { 5.0 / 6, 8 } };

/* One direction with so many devices, at the SNR of 1 % block errors. */
struct scene {
	const struct bench_job *job;
	struct phy_link_config config;
	struct phy_link *link;
	unsigned mcs;
	double snr_db, noise_var;
	struct snap snap[SLOTS];
	size_t full[SLOTS], n_full;
	double bits;   /* of information, mean over full slots */
	uint64_t turn; /* slots gone by: numbers go on when the scene starts again */
	struct dl_tx *dl_tx;
	struct dl_rx *dl_rx;
	struct ul_rx *ul_rx;
	struct ul_tx *ul_tx;
	struct nco nco;
	float complex *work; /* slot_len */
	uint8_t *tb;
	uint64_t blocks, wrong;
	double iterations;
};

struct bench_job {
	struct phy_options o;
	struct json_out json;
	int64_t devices, mcs;
	double seconds, snr_db;
	bool snr_given, pinned;
	uint64_t seed;
	struct phy_link_config link;
	struct scene scene[SCENES_MAX];
	size_t n_scenes;
	struct bench row[ROWS_MAX];
	size_t n_rows;
	struct bench_ldpc_result ldpc[LDPC_JOBS];
	struct bench_liquid_result liquid;
};

static struct bench *add_row(struct bench_job *j, const char *name, size_t n_items, double samples, double bits)
{
	if (j->n_rows == ROWS_MAX || bench_init(&j->row[j->n_rows], name, n_items, samples, bits))
		return NULL;
	return &j->row[j->n_rows++];
}

/* ---- scenes ---- */

/* Where the error rate of the whole chain, estimation and all, falls through 1 %. */
static int find_snr(struct scene *s, char *err, size_t err_len)
{
	struct phy_sweep *sweep = phy_sweep_create(&s->config, 1, err, err_len);
	if (!sweep)
		return -EINVAL;
	double snr = 0.25 * round(4 * ((double)mcs_get(s->mcs)->snr_db + 1)), last_rate = 1;
	int rc = 0, direction = 0;
	for (int step = 0; !rc && step < 60 && !cli_interrupted(); step++) {
		struct phy_point p;
		struct phy_request r = {
			.mcs = s->mcs, .snr_db = snr, .seed = s->job->seed, .trials = TRIALS, .stop_errors = STOP
		};
		rc = phy_sweep_point(sweep, &r, &p);
		if (rc)
			break;
		double rate = (double)p.sum.failed[0] / (double)p.sum.blocks;
		bool good = rate <= target;
		if (good && direction > 0) { /* between this one and the one before */
			double at[] = { snr - 0.25, snr }, rates[] = { last_rate, rate };
			double n = (double)p.sum.blocks, blocks[] = { n, n };
			snr = phy_sweep_crossing(at, rates, blocks, 2, target);
			break;
		}
		if (!good && direction < 0)
			direction = 1;
		else if (!direction)
			direction = good ? -1 : 1;
		last_rate = rate;
		snr += 0.25 * direction;
	}
	s->snr_db = snr;
	phy_sweep_destroy(sweep);
	if (rc)
		snprintf(err, err_len, "%s", strerror(-rc));
	return rc;
}

static bool keep_block(struct scene *s, struct snap *n, size_t device)
{
	const struct phy_link_process *p = &s->link->station[device].process[n->slot % PHY_LINK_PROCESSES];
	bool there = p->open && p->slot == n->slot;
	n->n_bytes[device] = there ? p->n_bytes : 0;
	if (!there)
		return true;
	n->grant[device] = p->grant;
	n->tb[device] = malloc(p->n_bytes);
	if (n->tb[device])
		memcpy(n->tb[device], p->sent, p->n_bytes);
	return n->tb[device] != NULL;
}

static void add_samples(const struct scene *s, struct snap *n, double gain_db)
{
	float gain = (float)pow(10, 0.05 * gain_db);
	for (size_t i = 0; i < s->config.num.slot_len; i++)
		n->samples[i] += gain * s->link->sent[i];
}

static void add_noise(const struct scene *s, struct snap *n, float *noise, size_t room)
{
	float sigma = (float)sqrt(0.5 * s->noise_var);
	gauss_fill(s->job->seed, 99, n->slot * room, room, noise, noise + room);
	for (size_t i = 0; i < s->config.num.slot_len; i++)
		n->samples[i] += sigma * (noise[i] + I * noise[room + i]);
}

/* Slots as they come without a channel but noise: what the stages cost does not depend on it. */
static bool fill_scene(struct scene *s)
{
	const struct phy_link_point point = { .mcs = s->mcs, .seed = s->job->seed };
	size_t slot_len = s->config.num.slot_len, room = (slot_len + GAUSS_BLOCK - 1) / GAUSS_BLOCK * GAUSS_BLOCK;
	float *noise = malloc(2 * room * sizeof *noise);
	bool ok = noise != NULL;
	s->link->point = &point;
	s->noise_var = s->link->amplitude * s->link->amplitude * pow(10, -0.1 * s->snr_db);
	phy_link_set_gains(s->link, s->snr_db);
	for (size_t i = 0; ok && i < SLOTS; i++) {
		struct snap *n = &s->snap[i];
		n->slot = FIRST_SLOT + i;
		n->full = s->config.uplink || !layout_is_sync_slot(n->slot);
		n->samples = calloc(slot_len, sizeof *n->samples);
		ok = n->samples != NULL;
		for (size_t d = 0; ok && d < s->config.n_devices; d++) {
			if (s->config.uplink)
				phy_link_ul_slot(s->link, d, n->slot);
			else if (d == 0)
				phy_link_dl_slot(s->link, n->slot);
			if (s->config.uplink || d == 0)
				add_samples(s, n, s->link->station[d].gain_db);
			ok = keep_block(s, n, d);
			n->full = n->full && n->n_bytes[d];
		}
		if (ok)
			add_noise(s, n, noise, room);
		if (n->full)
			s->full[s->n_full++] = i;
		for (size_t d = 0; n->full && d < s->config.n_devices; d++)
			s->bits += 8 * (double)n->n_bytes[d];
	}
	s->bits /= s->n_full ? (double)s->n_full : 1;
	free(noise);
	return ok;
}

static bool make_ends(struct scene *s)
{
	float amplitude = (float)s->link->amplitude;
	s->work = calloc(s->config.num.slot_len, sizeof *s->work);
	s->tb = malloc(dl_tb_bytes_max(s->link->layout));
	s->dl_tx = dl_tx_create(s->link->layout, PHY_LINK_CELL, amplitude);
	s->dl_rx = dl_rx_create(s->link->layout, PHY_LINK_CELL, 0);
	s->ul_rx = ul_rx_create(s->link->layout, PHY_LINK_CELL);
	s->ul_tx = ul_tx_create(s->link->layout, PHY_LINK_CELL, 0);
	nco_init(&s->nco, s->config.num.rate_hz);
	nco_set_hz(&s->nco, 1234.5);
	for (uint8_t d = 0; s->ul_rx && d < s->config.n_devices; d++)
		ul_rx_set_comb_boost(s->ul_rx, d, s->link->station[d].comb_boost);
	return s->work && s->tb && s->dl_tx && s->dl_rx && s->ul_rx && s->ul_tx;
}

static int open_scene(struct bench_job *j, bool uplink, size_t n_devices, char *err, size_t err_len)
{
	struct scene *s = &j->scene[j->n_scenes++];
	s->job = j;
	s->config = j->link;
	s->config.uplink = uplink;
	s->config.n_devices = n_devices;
	s->mcs = (unsigned)j->mcs;
	s->link = phy_link_create(&s->config, err, err_len);
	if (!s->link)
		return -EINVAL;
	size_t bits, re;
	phy_link_block(s->link, s->mcs, &bits, &re);
	snprintf(err, err_len, "--mcs %u: carries nothing there", s->mcs);
	if (!bits)
		return -EINVAL;
	s->snr_db = j->snr_db;
	int rc = j->snr_given ? 0 : find_snr(s, err, err_len);
	if (rc)
		return rc;
	snprintf(err, err_len, "out of memory");
	return fill_scene(s) && make_ends(s) ? 0 : -ENOMEM;
}

static void close_scene(struct scene *s)
{
	for (size_t i = 0; i < SLOTS; i++) {
		for (size_t d = 0; d < PHY_DEVICES_MAX; d++)
			free(s->snap[i].tb[d]);
		free(s->snap[i].samples);
	}
	ul_tx_destroy(s->ul_tx);
	ul_rx_destroy(s->ul_rx);
	dl_rx_destroy(s->dl_rx);
	dl_tx_destroy(s->dl_tx);
	free(s->tb);
	free(s->work);
	phy_link_destroy(s->link);
}

/* ---- chains ---- */

static void judge(struct scene *s, const struct snap *n, size_t device, int rc, size_t n_bytes,
                  const struct rx_info *info)
{
	if (!n->full)
		return;
	s->blocks++;
	s->wrong += rc != 0 || n_bytes != n->n_bytes[device] || memcmp(s->tb, n->tb[device], n_bytes) != 0;
	s->iterations += info->iterations;
}

static struct slot_time time_of(struct scene *s, const struct snap *n)
{
	uint64_t slot = n->slot + s->turn / SLOTS * SLOTS;
	s->turn++;
	return (struct slot_time){ .slot = slot, .t_samples = slot * s->config.num.slot_len };
}

/* What a base station does with a slot: three parts, whose times add up. */
static void ul_receive(struct scene *s, const struct snap *n, double ns[3])
{
	struct slot_time when = time_of(s, n);
	unsigned groups = s->config.n_devices > 8 ? 2 : 1;
	double start = bench_now_ns();
	ul_rx_slot(s->ul_rx, n->samples, &when);
	double slot_done = bench_now_ns();
	struct csi csi;
	struct uci uci;
	for (size_t d = 0; d < s->config.n_devices; d++) {
		if (n->n_bytes[d])
			ul_rx_expect(s->ul_rx, (uint8_t)d, &n->grant[d].rbs);
		if (layout_has_control((uint8_t)d, when.slot, groups))
			ul_rx_control(s->ul_rx, (uint8_t)d, &uci, &csi);
	}
	double control_done = bench_now_ns();
	for (size_t d = 0; d < s->config.n_devices; d++) {
		struct rx_info info = { 0 };
		size_t n_bytes = 0;
		if (!n->n_bytes[d])
			continue;
		int rc = ul_rx_data(s->ul_rx, (uint8_t)d, &n->grant[d], NULL, s->tb, &n_bytes, &info);
		judge(s, n, d, rc, n_bytes, &info);
	}
	ns[0] = slot_done - start;
	ns[1] = control_done - slot_done;
	ns[2] = bench_now_ns() - control_done;
}

/* A device's: carrier correction, slot with control, its data. */
static void dl_receive(struct scene *s, const struct snap *n, double ns[3])
{
	struct slot_time when = time_of(s, n);
	struct dl_result result;
	struct rx_info info = { 0 };
	size_t n_bytes = 0;
	double start = bench_now_ns();
	nco_down(&s->nco, n->samples, s->work, s->config.num.slot_len);
	double turned = bench_now_ns();
	dl_rx_slot(s->dl_rx, n->samples, &when, &result);
	double slot_done = bench_now_ns();
	int rc = dl_rx_data(s->dl_rx, &n->grant[0], NULL, s->tb, &n_bytes, &info);
	ns[0] = turned - start;
	ns[1] = slot_done - turned;
	ns[2] = bench_now_ns() - slot_done;
	judge(s, n, 0, rc, n_bytes, &info);
}

static void dl_transmit(struct scene *s, const struct snap *n)
{
	dl_tx_begin(s->dl_tx, n->slot);
	for (size_t d = 0; d < s->config.n_devices; d++) {
		struct dci dci = { .device = (uint8_t)d, .has_dl = true, .dl = n->grant[d] };
		dl_tx_dci(s->dl_tx, &dci, phy_link_dl_level(s->link));
		dl_tx_data(s->dl_tx, (uint8_t)d, &n->grant[d], n->tb[d], n->n_bytes[d]);
	}
	dl_tx_finish(s->dl_tx, s->work);
}

static void ul_transmit(struct scene *s, const struct snap *n)
{
	const struct ul_amplitudes a = { .data = (float)s->link->amplitude, .comb = 3 * (float)s->link->amplitude };
	ul_tx_begin(s->ul_tx, n->slot);
	ul_tx_data(s->ul_tx, &n->grant[0], n->tb[0], n->n_bytes[0]);
	ul_tx_finish(s->ul_tx, &a, s->work);
	nco_up(&s->nco, s->work, s->work, s->config.num.slot_len);
}

/* All slots go through a receiver, so that its filters are in steady state; full ones count. */
static void run_receive(struct scene *s, struct bench *whole, struct bench *parts,
                        void (*chain)(struct scene *s, const struct snap *n, double ns[3]))
{
	double end = bench_now_ns() + 1e9 * s->job->seconds;
	s->blocks = s->wrong = 0;
	s->iterations = 0;
	for (int round = 0; round < 3 || bench_now_ns() < end; round++)
		for (size_t i = 0; i < SLOTS; i++) {
			double ns[3];
			chain(s, &s->snap[i], ns);
			if (!s->snap[i].full || round == 0)
				continue;
			bench_note(whole, i, ns[0] + ns[1] + ns[2]);
			for (size_t k = 0; k < 3; k++)
				bench_note(&parts[k], i, ns[k]);
		}
}

static void run_transmit(struct scene *s, struct bench *whole, void (*chain)(struct scene *s, const struct snap *n))
{
	double end = bench_now_ns() + 1e9 * s->job->seconds;
	for (int round = 0; round < 3 || bench_now_ns() < end; round++)
		for (size_t k = 0; k < s->n_full; k++) {
			double start = bench_now_ns();
			chain(s, &s->snap[s->full[k]]);
			bench_note(whole, s->full[k], bench_now_ns() - start);
		}
}

static bool bench_receive(struct bench_job *j, struct scene *s, const char *const names[4],
                          void (*chain)(struct scene *s, const struct snap *n, double ns[3]))
{
	double samples = (double)s->config.num.slot_len;
	size_t first = j->n_rows;
	bool ok = add_row(j, names[0], SLOTS, samples, s->bits) != NULL;
	for (size_t k = 1; k < 4; k++)
		ok = ok && add_row(j, names[k], SLOTS, samples, k == 3 ? s->bits : 0);
	if (ok)
		run_receive(s, &j->row[first], &j->row[first + 1], chain);
	return ok;
}

static bool bench_transmit(struct bench_job *j, struct scene *s, const char *name,
                           void (*chain)(struct scene *s, const struct snap *n))
{
	struct bench *b = add_row(j, name, SLOTS, (double)s->config.num.slot_len, s->bits);
	if (b)
		run_transmit(s, b, chain);
	return b != NULL;
}

/* ---- stages, each alone on the full slots of the one-device uplink ---- */

struct stages {
	struct scene *s;
	struct ofdm *ofdm;
	struct ul_chest *chest;
	struct ul_control *control;
	struct tb_coder *coder;
	struct crc crc;
	struct soften soften;
	struct tb_format format;
	size_t n_re;
	float complex *grid[SLOTS];
	int8_t *llr[SLOTS]; /* planes of n_re */
	uint8_t *symbols, *scramble;
	uint32_t *re;
	unsigned sink;
};

static const struct snap *snap_of(const struct stages *t, size_t i)
{
	return &t->s->snap[t->s->full[i]];
}

static void stage_finite(void *arg, size_t i)
{
	struct stages *t = arg;
	t->sink += (unsigned)samples_finite(snap_of(t, i)->samples, t->s->config.num.slot_len);
}

static void stage_nco(void *arg, size_t i)
{
	struct stages *t = arg;
	nco_down(&t->s->nco, snap_of(t, i)->samples, t->s->work, t->s->config.num.slot_len);
}

static void stage_demodulate(void *arg, size_t i)
{
	struct stages *t = arg;
	ofdm_demodulate(t->ofdm, snap_of(t, i)->samples, t->grid[i]);
}

static void stage_modulate(void *arg, size_t i)
{
	struct stages *t = arg;
	ofdm_modulate(t->ofdm, t->grid[i], t->s->work);
}

static void stage_estimate(void *arg, size_t i)
{
	struct stages *t = arg;
	const struct snap *n = snap_of(t, i);
	struct slot_time when = time_of(t->s, n);
	struct csi csi;
	csi_empty(&csi, &t->s->config.num, &when);
	ul_chest_slot(t->chest, t->grid[i], &when);
	float energy = (float)(t->s->link->amplitude * t->s->link->amplitude + t->s->noise_var);
	if (rb_set_count(&n->grant[0].rbs) == t->s->config.num.n_rb)
		ul_chest_dmrs(t->chest, 0, energy);
	ul_chest_sounding(t->chest, 0, &csi);
	ul_chest_data(t->chest, 0, &n->grant[0].rbs, energy);
}

/* After estimates, whose channel is that of the control REs too. */
static void stage_control(void *arg, size_t i)
{
	struct stages *t = arg;
	struct block_channel channel = ul_chest_channel(t->chest);
	struct uci uci;
	t->sink += (unsigned)ul_control_read(t->control, 0, snap_of(t, i)->slot, t->grid[i], &channel, &uci);
}

static void stage_list(void *arg, size_t i)
{
	struct stages *t = arg;
	t->sink += (unsigned)layout_ul_data(t->s->link->layout, &snap_of(t, i)->grant[0].rbs, t->re);
}

static void stage_scramble(void *arg, size_t i)
{
	struct stages *t = arg;
	gold_symbols((uint32_t)i + 1, t->format.qm, t->scramble, t->n_re);
}

static void stage_soften(void *arg, size_t i)
{
	struct stages *t = arg;
	(void)i;
	for (size_t at = 0; at < t->n_re; at += SOFTEN_RE)
		soften(&t->soften, t->format.qm, t->n_re - at < SOFTEN_RE ? t->n_re - at : SOFTEN_RE);
}

static void feed(struct stages *t, size_t i)
{
	tb_decode_begin(t->coder, &t->format, NULL);
	for (size_t at = 0; at < t->n_re; at += SOFTEN_RE)
		tb_decode_feed(t->coder, t->llr[i] + at, t->n_re, t->n_re - at < SOFTEN_RE ? t->n_re - at : SOFTEN_RE);
}

static void stage_decode(void *arg, size_t i)
{
	struct stages *t = arg;
	feed(t, i);
	tb_decode_end(t->coder, t->s->tb, NULL);
}

static void stage_encode(void *arg, size_t i)
{
	struct stages *t = arg;
	tb_encode(t->coder, &t->format, snap_of(t, i)->tb[0], t->symbols);
}

static void stage_crc(void *arg, size_t i)
{
	struct stages *t = arg;
	const struct snap *n = snap_of(t, i);
	t->sink += crc_bytes(&t->crc, 0, n->tb[0], n->n_bytes[0]);
}

/* Soft bits of a slot, from its own grid and the true channel, flat and known here. */
static void make_planes(struct stages *t, size_t i)
{
	const struct snap *n = snap_of(t, i);
	float gain = (float)(t->s->link->amplitude * pow(10, 0.05 * t->s->link->station[0].gain_db));
	uint32_t seed = sequence_seed(SEQUENCE_DATA, PHY_LINK_CELL, 1);
	gold_symbols(seed, t->format.qm, t->scramble, t->n_re);
	layout_ul_data(t->s->link->layout, &n->grant[0].rbs, t->re);
	for (size_t at = 0; at < t->n_re; at += SOFTEN_RE) {
		size_t count = t->n_re - at < SOFTEN_RE ? t->n_re - at : SOFTEN_RE;
		for (size_t k = 0; k < count; k++) {
			t->soften.y[k] = t->grid[i][t->re[at + k]];
			t->soften.h[k] = gain;
			t->soften.inverse_noise[k] = (float)(1 / t->s->noise_var);
			t->soften.scramble[k] = t->scramble[at + k];
		}
		soften(&t->soften, t->format.qm, count);
		for (size_t q = 0; q < t->format.qm; q++)
			memcpy(t->llr[i] + q * t->n_re + at, t->soften.llr[q], count);
	}
}

static bool open_stages(struct stages *t, struct scene *s)
{
	const struct numerology *num = &s->config.num;
	const struct snap *n = &s->snap[s->full[0]];
	const struct mcs *m = mcs_get(s->mcs);
	*t = (struct stages){ .s = s };
	t->ofdm = ofdm_create(num, numerology_backoff(num));
	t->chest = ul_chest_create(s->link->layout, PHY_LINK_CELL);
	if (t->chest)
		ul_chest_set_boost(t->chest, 0, (float)(1u << s->link->station[0].comb_boost));
	t->control = ul_control_create(s->link->layout, PHY_LINK_CELL);
	t->coder = tb_coder_create(block_bytes_max(num));
	t->n_re = layout_ul_data(s->link->layout, &n->grant[0].rbs, NULL);
	t->format = (struct tb_format){ .n_bytes = n->n_bytes[0],
		                        .n_symbols = t->n_re,
		                        .qm = m->bits,
		                        .graph = tb_graph(n->n_bytes[0], m->rate),
		                        .iterations = m->iterations };
	crc_init(&t->crc, &crc24a);
	t->symbols = calloc(LAYOUT_RE_MAX, 1);
	t->scramble = calloc(LAYOUT_RE_MAX, 1);
	t->re = calloc(LAYOUT_RE_MAX, sizeof *t->re);
	bool ok = t->ofdm && t->chest && t->control && t->coder && t->symbols && t->scramble && t->re;
	for (size_t i = 0; ok && i < s->n_full; i++) {
		t->grid[i] = calloc(num->n_symbols * num->n_sc, sizeof *t->grid[i]);
		t->llr[i] = calloc(t->n_re, MODEM_BITS_MAX);
		ok = t->grid[i] && t->llr[i];
		if (ok) {
			stage_demodulate(t, i);
			make_planes(t, i);
		}
	}
	return ok;
}

static void close_stages(struct stages *t)
{
	for (size_t i = 0; i < SLOTS; i++) {
		free(t->llr[i]);
		free(t->grid[i]);
	}
	free(t->re);
	free(t->scramble);
	free(t->symbols);
	tb_coder_destroy(t->coder);
	ul_control_destroy(t->control);
	ul_chest_destroy(t->chest);
	ofdm_destroy(t->ofdm);
}

static bool bench_stages(struct bench_job *j, struct scene *s)
{
	static const struct {
		const char *name;
		void (*work)(void *arg, size_t i);
		bool bits; /* in terms of information */
	} stages[] = {
		{ "  finite check", stage_finite, false },
		{ "  NCO", stage_nco, false },
		{ "  demodulate (FFT)", stage_demodulate, false },
		{ "  channel and noise estimation", stage_estimate, false },
		{ "  uplink control", stage_control, false },
		{ "  list of resource elements", stage_list, false },
		{ "  scrambling sequence", stage_scramble, false },
		{ "  equalise, demap, descramble", stage_soften, true },
		{ "  dematching, LDPC decoding, CRC", stage_decode, true },
		{ "  CRC", stage_crc, true },
		{ "  encoding, rate matching", stage_encode, true },
		{ "  modulate (IFFT)", stage_modulate, false },
	};
	struct stages *t = calloc(1, sizeof *t);
	bool ok = t && open_stages(t, s);
	for (size_t i = 0; ok && i < sizeof stages / sizeof stages[0] && !cli_interrupted(); i++) {
		struct bench *b = add_row(j, stages[i].name, s->n_full, (double)s->config.num.slot_len,
		                          stages[i].bits ? s->bits : 0);
		ok = b != NULL;
		if (ok)
			bench_run(b, j->seconds / 4, stages[i].work, t);
	}
	if (t)
		close_stages(t);
	free(t);
	return ok;
}

/* ---- what it came to ---- */

static double msps(const struct bench *b)
{
	return 1e3 * b->samples / bench_best_ns(b);
}

static json_t *scene_json(const struct scene *s)
{
	return json_pack("{s:s, s:I, s:f, s:f, s:I, s:f, s:f, s:f}", "dir", s->config.uplink ? "ul" : "dl", "devices",
	                 (json_int_t)s->config.n_devices, "snr_db", s->snr_db, "slot_bits", s->bits, "blocks",
	                 (json_int_t)s->blocks, "bler", s->blocks ? (double)s->wrong / (double)s->blocks : 0,
	                 "iterations_mean", s->blocks ? s->iterations / (double)s->blocks : 0, "slot_us",
	                 1e6 * numerology_slot_s(&s->config.num));
}

static json_t *ldpc_json(const struct bench_ldpc_result *r)
{
	return json_pack("{s:f, s:i, s:i, s:f, s:f, s:f, s:I, s:o}", "rate", r->rate, "limit_bits_per_symbol",
	                 (int)r->bits, "iterations_limit", (int)r->limit, "snr_db", r->snr_db, "bler", r->bler,
	                 "iterations_mean", r->iterations, "info_bits", (json_int_t)r->info_bits, "time",
	                 bench_json(&r->bench));
}

static const struct bench *row(const struct bench_job *j, const char *name)
{
	for (size_t i = 0; i < j->n_rows; i++)
		if (strcmp(j->row[i].name, name) == 0)
			return &j->row[i];
	return NULL;
}

static const char rx_one[] = "receive uplink slot, 1 device", rx_many[] = "receive uplink slot, all devices",
                  tx_one[] = "transmit downlink slot, 1 device";

static json_t *bench_report(const struct bench_job *j)
{
	json_t *rows = json_array(), *scenes = json_array(), *ldpc = json_array();
	for (size_t i = 0; i < j->n_rows; i++)
		json_array_append_new(rows, bench_json(&j->row[i]));
	for (size_t i = 0; i < j->n_scenes; i++)
		json_array_append_new(scenes, scene_json(&j->scene[i]));
	for (size_t i = 0; i < LDPC_JOBS; i++)
		json_array_append_new(ldpc, ldpc_json(&j->ldpc[i]));
	json_t *o = json_pack("{s:i, s:s, s:I, s:i, s:i, s:f, s:b, s:o, s:o, s:o}", "schema", 1, "version",
	                      cli_version(), "seed", (json_int_t)j->seed, "mcs", (int)j->mcs, "bits_per_symbol",
	                      (int)mcs_get((size_t)j->mcs)->bits, "rate", (double)mcs_get((size_t)j->mcs)->rate,
	                      "pinned", (int)j->pinned, "scenes", scenes, "rows", rows, "ldpc", ldpc);
	phy_options_json(&j->o, &j->link.num, o);
	double liquid = msps(&j->liquid.receive);
	json_object_set_new(o, "receive_msps", json_real_or_null(msps(row(j, rx_one))));
	json_object_set_new(o, "receive_all_devices_msps", json_real_or_null(msps(row(j, rx_many))));
	json_object_set_new(o, "transmit_msps", json_real_or_null(msps(row(j, tx_one))));
	json_object_set_new(o, "liquid_send", bench_json(&j->liquid.send));
	json_object_set_new(o, "liquid_receive", bench_json(&j->liquid.receive));
	json_object_set_new(o, "liquid_frames_right",
	                    json_real_or_null((double)j->liquid.frames_right / (double)j->liquid.frames));
	json_object_set_new(o, "receive_over_liquid", json_real_or_null(msps(row(j, rx_one)) / liquid));
	return o;
}

static int report(const struct bench_job *j)
{
	FILE *f = json_out_text(&j->json);
	const struct mcs *m = mcs_get((size_t)j->mcs);
	fprintf(f, "MCS %lld: %u bits, rate %.3f; %zu RB, FFT %zu, %g MS/s, slots of %.0f us; one core%s\n",
	        (long long)j->mcs, m->bits, (double)m->rate, j->link.num.n_rb, j->link.num.n_fft,
	        1e-6 * j->link.num.rate_hz, 1e6 * numerology_slot_s(&j->link.num), j->pinned ? ", pinned" : "");
	for (size_t i = 0; i < j->n_scenes; i++) {
		const struct scene *s = &j->scene[i];
		fprintf(f, "%s, %zu devices: %.2f dB", s->config.uplink ? "uplink" : "downlink", s->config.n_devices,
		        s->snr_db);
		if (s->blocks)
			fprintf(f, ", %.1f %% block errors, %.1f iterations",
			        100 * (double)s->wrong / (double)s->blocks, s->iterations / (double)s->blocks);
		fputc('\n', f);
	}
	fputc('\n', f);
	bench_print_head(f);
	for (size_t i = 0; i < j->n_rows; i++)
		bench_print(f, &j->row[i]);
	for (size_t i = 0; i < LDPC_JOBS; i++)
		bench_print(f, &j->ldpc[i].bench);
	bench_print(f, &j->liquid.send);
	bench_print(f, &j->liquid.receive);
	for (size_t i = 0; i < LDPC_JOBS; i++)
		fprintf(f, "LDPC at rate %.3f: QPSK at %.2f dB, %.1f %% errors, %.1f iterations\n", j->ldpc[i].rate,
		        j->ldpc[i].snr_db, 100 * j->ldpc[i].bler, j->ldpc[i].iterations);
	fprintf(f, "liquid: %zu of %zu frames right; our receive chain takes %.2f times its samples a second\n",
	        j->liquid.frames_right, j->liquid.frames, msps(row(j, rx_one)) / msps(&j->liquid.receive));
	return json_out_write(&j->json, bench_report(j));
}

/* ---- set-up ---- */

static bool pin(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	int cpu = sched_getcpu();
	if (cpu < 0)
		return false;
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof set, &set) == 0;
}

static int measure(struct bench_job *j)
{
	static const char *const ul_one[] = { rx_one, "  samples to REs, soundings", "  control and its CSI",
		                              "  data" };
	static const char *const ul_many[] = { rx_many, "  samples to REs, soundings", "  control and CSI of all",
		                               "  data of all" };
	static const char *const dl_one[] = { "receive downlink slot, 1 device", "  NCO", "  slot, CSI, control",
		                              "  data" };
	char err[256];
	const struct {
		bool uplink;
		size_t n_devices;
	} scenes[] = { { true, 1 }, { true, (size_t)j->devices }, { false, 1 }, { false, (size_t)j->devices } };
	for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
		int rc = open_scene(j, scenes[i].uplink, scenes[i].n_devices, err, sizeof err);
		if (rc)
			return rc == -EINVAL ? cli_bad_input("%s", err) : cli_failed("%s", err);
		if (!j->scene[i].n_full)
			return cli_bad_input("no slot is full with %zu devices", scenes[i].n_devices);
		if (cli_interrupted())
			return CLI_INTERRUPTED;
	}
	j->pinned = pin();
	bool ok = bench_receive(j, &j->scene[0], ul_one, ul_receive) &&
	          bench_receive(j, &j->scene[1], ul_many, ul_receive) &&
	          bench_transmit(j, &j->scene[2], tx_one, dl_transmit) &&
	          bench_transmit(j, &j->scene[3], "transmit downlink slot, all devices", dl_transmit) &&
	          bench_receive(j, &j->scene[2], dl_one, dl_receive) &&
	          bench_transmit(j, &j->scene[0], "transmit uplink slot", ul_transmit);
	ok = ok && bench_stages(j, &j->scene[0]);
	if (cli_interrupted())
		return CLI_INTERRUPTED;
	for (size_t i = 0; i < LDPC_JOBS; i++)
		ok = ok && !bench_ldpc(ldpc_jobs[i].rate, ldpc_jobs[i].bits, j->seed, j->seconds, &j->ldpc[i]);
	ok = ok && !bench_liquid(&j->link.num, j->seconds, &j->liquid);
	return ok ? report(j) : cli_failed("out of memory");
}

/* The 64QAM entry nearest to rate 3/4. */
static int64_t usual_mcs(void)
{
	size_t best = 0;
	for (size_t i = 0; i < mcs_count(); i++) {
		const struct mcs *m = mcs_get(i), *b = mcs_get(best);
		if (m->bits == 6 && (b->bits != 6 || fabsf(m->rate - 0.75f) < fabsf(b->rate - 0.75f)))
			best = i;
	}
	return (int64_t)best;
}

int cmd_phy_bench(int argc, char **argv)
{
	struct bench_job *j = calloc(1, sizeof *j);
	const char *json = NULL;
	if (!j)
		return cli_failed("out of memory");
	*j = (struct bench_job){
		.o = phy_options_default(), .devices = 8, .mcs = usual_mcs(), .seconds = 0.5, .seed = 1
	};
	j->link = (struct phy_link_config){ .n_tx = 1,
		                            .n_warmup = 20,
		                            .n_slots = 50,
		                            .clock_ppm = 1,
		                            .timing_advance = true,
		                            .comb_boost = -1,
		                            .rms_dbfs = -40 };
	const struct cli_option options[] = {
		PHY_OPTIONS(j->o),
		{ "mcs", CLI_INT, &j->mcs, "M", "of all data", .min = 0, .max = 63 },
		{ "devices", CLI_INT, &j->devices, "N", "of the slots with all devices", .min = 2,
		  .max = PHY_DEVICES_MAX },
		{ "snr-db", CLI_DOUBLE, &j->snr_db, "S", "instead of the SNR of 1 % block errors, which is looked for",
		  .min = -20, .max = 60, .given = &j->snr_given },
		{ "seconds", CLI_DOUBLE, &j->seconds, "S", "for each chain; stages take a quarter", .min = 0.01,
		  .max = 60 },
		{ "seed", CLI_UINT64, &j->seed, "S", "of data and noise" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Times of whole slots through the transmit and receive chains, of their stages, of the LDPC decoder "
		"and "
		"of liquid-dsp's\n"
		"OFDM frames (64QAM, same FFT, no coding), on one core, at the SNR where 1 % of blocks fail. best: "
		"mean "
		"over the slots of\n"
		"each one's shortest time, what rates are made of; percentiles: over every call.",
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status = CLI_DONE;
	if (cli_parse(&syntax, argc, argv, &status)) {
		status = json_out_open(&j->json, json);
		if (status == CLI_DONE)
			status = phy_options_take(&j->o, &j->link);
		if (status == CLI_DONE && (size_t)j->mcs >= mcs_count())
			status = cli_bad_input("--mcs %lld is not in 0 .. %zu", (long long)j->mcs, mcs_count() - 1);
		cli_catch_interrupt();
		if (status == CLI_DONE)
			status = measure(j);
	}
	for (size_t i = 0; i < j->n_scenes; i++)
		close_scene(&j->scene[i]);
	for (size_t i = 0; i < j->n_rows; i++)
		bench_free(&j->row[i]);
	for (size_t i = 0; i < LDPC_JOBS; i++)
		bench_free(&j->ldpc[i].bench);
	bench_free(&j->liquid.send);
	bench_free(&j->liquid.receive);
	free(j);
	return status;
}
