#include "testbed/phy_link.h"

#include "phy/level.h"
#include "phy/mcs.h"
#include "phy/power.h"
#include "testbed/phy_link_inner.h"
#include "testbed/splitmix.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double light_m_s = 299792458.0;
static const double used_re = 1e-3; /* of a data RE's energy: what counts as used */
static const uint8_t versions[PHY_LINK_TX_MAX] = { 0, 2, 3, 1 };

/* ---- small things ---- */

static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

void phy_link_lock(void)
{
	pthread_mutex_lock(&planner);
}

void phy_link_unlock(void)
{
	pthread_mutex_unlock(&planner);
}

static uint64_t draw(struct phy_link *l)
{
	return splitmix(l->random += SPLITMIX_STEP);
}

double phy_link_uniform(struct phy_link *l, double low, double high)
{
	return low + (high - low) * ((double)(draw(l) >> 11) * 0x1p-53);
}

static float rounded(float x, float steps)
{
	return fminf(fmaxf(rintf(x * steps), -steps), steps - 1) / steps;
}

void phy_link_convert(const struct phy_link *l, double full_scale, float complex *samples, size_t n)
{
	if (!l->config.n_bits)
		return;
	float steps = (float)(1u << (l->config.n_bits - 1)), scale = (float)full_scale;
	for (size_t i = 0; i < n; i++)
		samples[i] = scale * (rounded(crealf(samples[i]) / scale, steps) +
		                      I * rounded(cimagf(samples[i]) / scale, steps));
}

void phy_link_send(const struct phy_link *l, float complex *samples, size_t n)
{
	if (!l->config.n_bits)
		return;
	level_clip(samples, n);
	phy_link_convert(l, 1, samples, n);
}

void phy_link_measure(struct phy_link_meter *m, const float complex *grid, size_t n, double amplitude)
{
	for (size_t i = 0; i < n; i++) {
		double power = crealf(grid[i]) * crealf(grid[i]) + cimagf(grid[i]) * cimagf(grid[i]);
		if (power > used_re * amplitude * amplitude) {
			m->energy += power;
			m->n_re++;
		}
	}
}

struct fading_link_config phy_link_fading(const struct phy_link *l, size_t device)
{
	const struct phy_link_config *c = &l->config;
	return (struct fading_link_config){
		.profile = c->profile,
		.delay_spread_s = c->delay_spread_s,
		.k_db = c->k_db,
		.speed_m_s = c->doppler_hz / c->carrier_hz * light_m_s,
		.path_loss_db = -l->station[device].gain_db,
		.rate_hz = c->num.rate_hz,
		.carrier_hz = c->carrier_hz,
		.seed = l->point->seed,
		.stream = (uint32_t)device,
	};
}

double phy_link_mean_delay(const struct phy_link *l)
{
	const struct phy_link_config *c = &l->config;
	struct tdl taps;
	double sum = 0;
	tdl_init(&taps, c->profile, c->delay_spread_s, c->k_db, 0, 0, 0);
	for (size_t i = 0; i < taps.n_taps; i++) {
		double n_rays = taps.first_ray[i + 1] - taps.first_ray[i];
		sum += taps.delay_s[i] * n_rays * (double)taps.amplitude[i] * (double)taps.amplitude[i];
	}
	return sum * c->num.rate_hz;
}

void phy_link_add(struct phy_link_counts *sum, const struct phy_link_counts *more)
{
	sum->slots += more->slots;
	sum->unsynced += more->unsynced;
	sum->blocks += more->blocks;
	for (size_t i = 0; i < PHY_LINK_TX_MAX; i++)
		sum->failed[i] += more->failed[i];
	sum->lost += more->lost;
	sum->wrong += more->wrong;
	sum->sync_blocks += more->sync_blocks;
	sum->sync_failed += more->sync_failed;
	sum->block_bits += more->block_bits;
	sum->block_re += more->block_re;
	sum->delivered_bits += more->delivered_bits;
	sum->controls += more->controls;
	sum->controls_missed += more->controls_missed;
	sum->controls_wrong += more->controls_wrong;
	sum->decoded += more->decoded;
	sum->iterations += more->iterations;
	sum->evm_db += more->evm_db;
	sum->estimates += more->estimates;
	sum->csi_error += more->csi_error;
	sum->csi_power += more->csi_power;
	sum->noise_ratio += more->noise_ratio;
	sum->noise_ratio2 += more->noise_ratio2;
}

/* ---- blocks ---- */

static void new_block(struct phy_link *l, size_t device, struct phy_link_process *p, size_t n_bytes)
{
	uint64_t word = 0;
	for (size_t i = 0; i < n_bytes; i++) {
		word = i % 8 ? word >> 8 : draw(l);
		p->sent[i] = (uint8_t)word;
	}
	p->n_bytes = n_bytes;
	p->n_tx = 0;
	p->open = true;
	p->scored = p->in_sync_slot = false;
	p->grant = (struct grant){ .rbs = l->station[device].rbs,
		                   .mcs = (uint8_t)l->point->mcs,
		                   .harq_id = p->grant.harq_id,
		                   .ndi = !p->grant.ndi };
	tb_soft_reset(p->soft);
}

struct phy_link_process *phy_link_next_block(struct phy_link *l, size_t device, uint64_t slot, size_t n_bytes)
{
	struct phy_link_process *p = &l->station[device].process[slot % PHY_LINK_PROCESSES];
	p->grant.harq_id = (uint8_t)(slot % PHY_LINK_PROCESSES);
	if (!p->open || !p->heard || p->n_bytes != n_bytes)
		new_block(l, device, p, n_bytes);
	p->grant.rv = versions[p->n_tx++];
	p->heard = false;
	p->slot = slot;
	return p;
}

bool phy_link_follow(struct phy_link *l, size_t device)
{
	struct phy_link_station *s = &l->station[device];
	if (s->n_followed++ < l->config.n_warmup || s->n_scored == l->config.n_slots)
		return false;
	s->n_scored++;
	l->counts[device].slots++;
	return true;
}

struct phy_link_process *phy_link_heard(struct phy_link *l, size_t device, uint64_t slot, bool scored, size_t n_re)
{
	struct phy_link_process *p = &l->station[device].process[slot % PHY_LINK_PROCESSES];
	struct phy_link_counts *c = &l->counts[device];
	if (!p->open || p->slot != slot || p->heard)
		return NULL;
	p->heard = true;
	if (p->n_tx == 1 && scored) {
		p->scored = true;
		p->in_sync_slot = !l->config.uplink && layout_is_sync_slot(slot);
		*(p->in_sync_slot ? &c->sync_blocks : &c->blocks) += 1;
		if (!p->in_sync_slot) {
			c->block_bits += 8 * p->n_bytes;
			c->block_re += n_re;
		}
	}
	if (p->scored)
		return p;
	p->open = false; /* warm-up: decoding it would tell nothing */
	return NULL;
}

void phy_link_judge(struct phy_link *l, size_t device, struct phy_link_process *p, int rc, size_t n_bytes,
                    const struct rx_info *info)
{
	struct phy_link_counts *c = &l->counts[device];
	bool right = rc == 0;
	if (right && (n_bytes != p->n_bytes || memcmp(p->sent, p->got, n_bytes))) {
		c->wrong++;
		right = false;
	}
	if (rc == 0 || rc == -EBADMSG) {
		c->decoded++;
		c->iterations += info->iterations;
		c->evm_db += (double)info->evm_db;
	}
	c->delivered_bits += right ? 8 * p->n_bytes : 0;
	if (!right && p->in_sync_slot)
		c->sync_failed += p->n_tx == 1;
	else if (!right)
		c->failed[p->n_tx - 1]++;
	bool last = right || p->n_tx == l->config.n_tx;
	c->lost += last && !right && !p->in_sync_slot;
	p->open = !last;
}

void phy_link_compare(struct phy_link *l, size_t device, const struct csi *csi, const double complex *truth)
{
	struct phy_link_counts *c = &l->counts[device];
	for (size_t k = 0; k < l->config.num.n_sc; k++) {
		double complex e = truth[k] - (csi->valid ? csi->h[k] : 0);
		c->csi_error += creal(e) * creal(e) + cimag(e) * cimag(e);
		c->csi_power += creal(truth[k]) * creal(truth[k]) + cimag(truth[k]) * cimag(truth[k]);
	}
	if (!csi->valid)
		return;
	double ratio = (double)csi->noise_var / l->noise_var;
	c->estimates++;
	c->noise_ratio += ratio;
	c->noise_ratio2 += ratio * ratio;
}

void phy_link_give_up(struct phy_link *l, size_t device)
{
	struct phy_link_station *s = &l->station[device];
	struct phy_link_counts *c = &l->counts[device];
	uint64_t rest = l->config.n_slots - s->n_scored;
	size_t bits, re;
	phy_link_block(l, l->point->mcs, &bits, &re);
	c->unsynced++;
	c->slots += rest;
	c->blocks += rest;
	c->block_bits += bits * rest;
	c->block_re += re * rest;
	for (size_t i = 0; i < l->config.n_tx; i++)
		c->failed[i] += rest;
	c->lost += rest;
	for (size_t i = 0; i < PHY_LINK_PROCESSES; i++) {
		const struct phy_link_process *p = &s->process[i];
		if (!p->open || !p->scored || p->in_sync_slot)
			continue;
		for (size_t k = p->heard ? p->n_tx : p->n_tx - 1; k < l->config.n_tx; k++)
			c->failed[k]++;
		c->lost++;
	}
	s->over = true;
}

bool phy_link_finished(const struct phy_link *l, size_t device)
{
	const struct phy_link_station *s = &l->station[device];
	if (s->over)
		return true;
	if (s->n_scored < l->config.n_slots)
		return false;
	for (size_t i = 0; i < PHY_LINK_PROCESSES; i++)
		if (s->process[i].open && s->process[i].scored)
			return false;
	return true;
}

/* ---- making ---- */

/* Whole groups of RBs, as grants have them. */
static bool share_band(struct phy_link *l, char *err, size_t err_len)
{
	const struct phy_link_config *c = &l->config;
	size_t n = c->n_devices, n_rb = c->num.n_rb, group = rb_group_size(n_rb), n_groups = rb_groups(n_rb);
	size_t each = c->n_rb_each / group;
	if (c->n_rb_each % group) {
		snprintf(err, err_len, "%zu RBs a device: of %zu RBs they are granted in groups of %zu", c->n_rb_each,
		         n_rb, group);
		return false;
	}
	if (n < 1 || n > PHY_DEVICES_MAX || n * (each ? each : 1) > n_groups) {
		snprintf(err, err_len, "%zu devices of %zu RBs do not fit in %zu RBs", n, each ? c->n_rb_each : group,
		         n_rb);
		return false;
	}
	for (size_t d = 0; d < n; d++) {
		size_t first = group * (each ? d * each : d * n_groups / n);
		size_t end = group * (each ? (d + 1) * each : (d + 1) * n_groups / n);
		l->station[d].rbs = (struct rb_set){ { 0 } };
		rb_set_add_range(&l->station[d].rbs, first, (end < n_rb ? end : n_rb) - first);
	}
	return true;
}

static bool make_processes(struct phy_link *l)
{
	size_t n_bytes = dl_tb_bytes_max(l->layout);
	for (size_t d = 0; d < l->config.n_devices; d++)
		for (size_t i = 0; i < PHY_LINK_PROCESSES; i++) {
			struct phy_link_process *p = &l->station[d].process[i];
			p->sent = malloc(n_bytes);
			p->got = malloc(n_bytes);
			p->soft = tb_soft_create(n_bytes);
			if (!p->sent || !p->got || !p->soft)
				return false;
		}
	return true;
}

/* Level of the energy of a device's used REs against that of REs of unit amplitude; what is boosted pays. */
static void measure_energy(struct phy_link *l)
{
	const struct phy_link_config *c = &l->config;
	static const struct phy_link_point any = { .mcs = 8, .seed = 1 }; /* carries something on one RB too */
	l->point = &any;
	double downlink = c->uplink ? 0 : 10 * log10(phy_link_dl_energy(l));
	for (size_t d = 0; d < c->n_devices && d < PHY_DEVICES_MAX; d++) {
		struct phy_link_station *s = &l->station[d];
		s->spread_db = c->n_devices > 1 ? c->power_spread_db * (double)d / (double)(c->n_devices - 1) : 0;
		s->energy_db[0] = downlink;
		for (uint8_t boost = 0; c->uplink && boost <= DCI_BOOST_MAX; boost++)
			s->energy_db[boost] = 10 * log10(phy_link_ul_energy(l, d, boost));
	}
	phy_link_set_gains(l, 0);
}

void phy_link_set_gains(struct phy_link *l, double snr_db)
{
	const struct phy_link_config *c = &l->config;
	for (size_t d = 0; d < c->n_devices && d < PHY_DEVICES_MAX; d++) {
		struct phy_link_station *s = &l->station[d];
		uint8_t wanted = ul_comb_boost_for((float)(snr_db + s->spread_db), c->num.n_rb);
		s->comb_boost = !c->uplink ? 0 : c->comb_boost < 0 ? wanted : (uint8_t)c->comb_boost;
		s->gain_db = s->spread_db - s->energy_db[s->comb_boost];
	}
}

static bool make(struct phy_link *l)
{
	const struct phy_link_config *c = &l->config;
	l->sent = calloc(c->num.slot_len, sizeof *l->sent);
	l->received = calloc(c->num.slot_len, sizeof *l->received);
	if (!l->sent || !l->received || !make_processes(l))
		return false;
	if (c->uplink)
		return (l->ul = phy_link_ul_create(l)) != NULL;
	return (l->dl = phy_link_dl_create(l)) != NULL;
}

struct phy_link *phy_link_create(const struct phy_link_config *config, char *err, size_t err_len)
{
	struct phy_link *l = calloc(1, sizeof *l);
	if (!l) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	l->config = *config;
	l->amplitude = sqrt(pow(10, 0.1 * config->rms_dbfs) * (double)config->num.n_fft / (double)config->num.n_sc);
	l->layout = layout_create(&config->num, err, err_len);
	if (!l->layout || !share_band(l, err, err_len)) {
		phy_link_destroy(l);
		errno = EINVAL;
		return NULL;
	}
	if (!make(l)) {
		snprintf(err, err_len, "%s", errno ? strerror(errno) : "out of memory");
		phy_link_destroy(l);
		return NULL;
	}
	measure_energy(l);
	return l;
}

void phy_link_destroy(struct phy_link *l)
{
	if (!l)
		return;
	phy_link_dl_destroy(l->dl, l->config.n_devices);
	phy_link_ul_destroy(l->ul, l->config.n_devices);
	for (size_t d = 0; d < PHY_DEVICES_MAX; d++)
		for (size_t i = 0; i < PHY_LINK_PROCESSES; i++) {
			struct phy_link_process *p = &l->station[d].process[i];
			tb_soft_destroy(p->soft);
			free(p->got);
			free(p->sent);
		}
	free(l->received);
	free(l->sent);
	layout_destroy(l->layout);
	free(l);
}

/* ---- running ---- */

void phy_link_block(const struct phy_link *l, unsigned mcs, size_t *bits, size_t *re)
{
	struct grant g = { .rbs = l->station[0].rbs, .mcs = (uint8_t)mcs };
	const uint64_t plain_slot = 1;
	bool known = mcs_get(mcs) != NULL;
	*bits = !known ? 0
	               : 8 * (l->config.uplink ? ul_tb_bytes(l->layout, plain_slot, &g) : dl_tb_bytes(l->layout, &g));
	*re = !*bits             ? 0
	      : l->config.uplink ? layout_ul_data(l->layout, &g.rbs, NULL)
	                         : layout_dl_data(l->layout, plain_slot, &g.rbs, NULL);
}

static void start_afresh(struct phy_link *l)
{
	for (size_t d = 0; d < l->config.n_devices; d++) {
		struct phy_link_station *s = &l->station[d];
		s->n_followed = s->n_scored = 0;
		s->over = false;
		for (size_t i = 0; i < PHY_LINK_PROCESSES; i++) {
			s->process[i].open = s->process[i].heard = false;
			s->process[i].grant.ndi = 0;
		}
	}
}

int phy_link_run(struct phy_link *l, const struct phy_link_point *point, struct phy_link_counts *counts)
{
	size_t bits, re;
	phy_link_block(l, point->mcs, &bits, &re);
	if (!bits)
		return -EINVAL;
	memset(counts, 0, l->config.n_devices * sizeof *counts);
	l->point = point;
	l->counts = counts;
	l->random = point->seed;
	l->noise_var = l->amplitude * l->amplitude * pow(10, -0.1 * point->snr_db);
	phy_link_set_gains(l, point->snr_db);
	start_afresh(l);
	return l->config.uplink ? phy_link_ul_run(l) : phy_link_dl_run(l);
}

const float complex *phy_link_slot(struct phy_link *l, const struct phy_link_point *point, uint64_t slot)
{
	l->point = point;
	if (l->config.uplink)
		phy_link_ul_slot(l, 0, slot);
	else
		phy_link_dl_slot(l, slot);
	return l->sent;
}

void phy_link_watch(struct phy_link *l, void (*look)(void *arg, const struct phy_link_look *look), void *arg)
{
	l->look = look;
	l->look_arg = arg;
}

void phy_link_show(struct phy_link *l, size_t device, const struct slot_time *when, const struct phy_link_process *p)
{
	const struct phy_link_look look = {
		.device = (uint8_t)device, .when = when, .samples = l->received, .grant = &p->grant
	};
	if (l->look)
		l->look(l->look_arg, &look);
}
