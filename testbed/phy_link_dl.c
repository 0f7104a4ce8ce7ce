/* The downlink of phy_link.h: one base station, devices that start cold, each behind a channel of its own. */
#include "phy/acquire.h"
#include "phy/nco.h"
#include "phy/ofdm.h"
#include "phy/track.h"
#include "testbed/phy_link_inner.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { SEARCH_PERIODS_MAX = 60, SYSINFO_LEVEL = 8, LEVEL_MAX = 8 };

struct dl_device {
	struct phy_air *air;
	struct acquire *acquire;
	struct dl_rx *rx;
	struct track track;
	struct nco nco;
	uint64_t nco_t; /* receiver's sample it is at */
	bool locked;
	uint64_t heard; /* samples given to the search */
	uint64_t slot;  /* number of the slot to come */
	struct dl_result result;
	float complex *truth; /* n_symbols * n_sc, with estimation off */
};

struct phy_link_dl {
	struct dl_tx *tx;
	struct ring *ring;
	double mean_delay; /* of the channel, samples */
	unsigned level;
	struct dl_device device[PHY_DEVICES_MAX];
};

/* ---- base station ---- */

/* The largest level up to `most` of which n messages leave `rest` CCEs; the smallest where none does. */
static unsigned level_below(const struct phy_link *l, unsigned most, size_t n, size_t rest)
{
	unsigned levels[DL_LEVELS_MAX];
	size_t i = 0, last = dl_levels(l->layout, levels) - 1;
	while (i < last && (levels[i] > most || n * levels[i] + rest > layout_n_cce(l->layout)))
		i++;
	return levels[i];
}

/* System information as a cell sends it, or what room a grant of one CCE for each device leaves. */
static unsigned sysinfo_level(const struct phy_link *l)
{
	return level_below(l, SYSINFO_LEVEL, 1, l->config.n_devices);
}

static unsigned level_that_fits(const struct phy_link *l)
{
	return l->config.level ? l->config.level : level_below(l, LEVEL_MAX, l->config.n_devices, sysinfo_level(l));
}

static struct dci grant_message(size_t device, const struct grant *g)
{
	return (struct dci){ .device = (uint8_t)device, .has_dl = true, .dl = *g };
}

static void build_slot(struct phy_link *l, uint64_t slot)
{
	struct dl_tx *tx = l->dl->tx;
	dl_tx_begin(tx, slot);
	if (layout_is_sync_slot(slot)) {
		struct sysinfo si = { .slot = (uint32_t)slot,
			              .n_groups = 1,
			              .ack_delay = 2,
			              .grant_delay = 2,
			              .round_trip = 8,
			              .cell_id = PHY_LINK_CELL,
			              .version = DCI_VERSION };
		dl_tx_sysinfo(tx, &si, sysinfo_level(l));
	}
	for (size_t d = 0; d < l->config.n_devices; d++) {
		struct grant g = { .rbs = l->station[d].rbs, .mcs = (uint8_t)l->point->mcs };
		size_t n_bytes = dl_tb_bytes(l->layout, &g);
		if (!n_bytes)
			continue;
		struct phy_link_process *p = phy_link_next_block(l, d, slot, n_bytes);
		struct dci dci = grant_message(d, &p->grant);
		dl_tx_dci(tx, &dci, l->dl->level);
		dl_tx_data(tx, (uint8_t)d, &p->grant, p->sent, n_bytes);
	}
	dl_tx_finish(tx, l->sent);
}

static void send_slot(struct phy_link *l, uint64_t slot)
{
	build_slot(l, slot);
	phy_link_send(l, l->sent, l->config.num.slot_len);
	ring_write(l->dl->ring, slot * l->config.num.slot_len, l->sent, l->config.num.slot_len, 1);
}

double phy_link_dl_energy(struct phy_link *l)
{
	const struct numerology *num = &l->config.num;
	struct phy_link_meter m = { 0 };
	phy_link_lock();
	struct ofdm *o = ofdm_create(num, numerology_backoff(num));
	phy_link_unlock();
	float complex *grid = malloc(num->n_symbols * num->n_sc * sizeof *grid);
	for (uint64_t slot = 0; o && grid && slot < 2 * SYNC_PERIOD_SLOTS; slot++) {
		build_slot(l, slot);
		ofdm_demodulate(o, l->sent, grid);
		phy_link_measure(&m, grid, num->n_symbols * num->n_sc, l->amplitude);
	}
	free(grid);
	phy_link_lock();
	ofdm_destroy(o);
	phy_link_unlock();
	return m.n_re ? m.energy / (double)m.n_re / (l->amplitude * l->amplitude) : 1;
}

/* ---- a device ---- */

static double full_scale_heard(const struct phy_link *l)
{
	const struct numerology *num = &l->config.num;
	double power = l->amplitude * l->amplitude * (double)num->n_sc / (double)num->n_fft + l->noise_var;
	return sqrt(power / pow(10, 0.1 * l->config.rms_dbfs));
}

static void hear(struct phy_link *l, struct dl_device *d, uint64_t t)
{
	phy_air_hear(d->air, t, l->config.num.slot_len, l->received);
	phy_link_convert(l, full_scale_heard(l), l->received, l->config.num.slot_len);
}

/* The number of the slot that starts at the next sample to take, if the lock is a right one. */
static bool lock_is_right(const struct phy_link *l, struct dl_device *d)
{
	double slot_len = (double)l->config.num.slot_len;
	double at = phy_air_sender_clock(d->air, 0, (double)d->track.next_start + d->track.fraction);
	double number = round((at - l->dl->mean_delay) / slot_len);
	d->slot = (uint64_t)number;
	return fabs(at - l->dl->mean_delay - number * slot_len) <= (double)l->config.num.cp;
}

static void search(struct phy_link *l, size_t index)
{
	struct dl_device *d = &l->dl->device[index];
	const struct numerology *num = &l->config.num;
	hear(l, d, d->heard);
	d->heard += num->slot_len;
	if (acquire_feed(d->acquire, l->received, num->slot_len)) {
		struct track_config config = track_config_default(l->config.carrier_hz, l->config.carrier_hz);
		track_start(&d->track, num, &config, acquire_result(d->acquire));
		track_skip_to(&d->track, d->heard);
		d->locked = true;
		if (!lock_is_right(l, d))
			phy_link_give_up(l, index);
	} else if (d->heard > SEARCH_PERIODS_MAX * SYNC_PERIOD_SLOTS * num->slot_len) {
		phy_link_give_up(l, index);
	}
}

static struct slot_time take_samples(struct phy_link *l, struct dl_device *d)
{
	hear(l, d, d->track.next_start);
	nco_skip(&d->nco, (int64_t)(d->track.next_start - d->nco_t));
	nco_set_hz(&d->nco, d->track.cfo_hz);
	struct slot_time when = { .slot = d->slot,
		                  .t_samples = d->track.next_start,
		                  .nco_rad = nco_phase_rad(&d->nco),
		                  .nco_hz = nco_hz(&d->nco) };
	nco_down(&d->nco, l->received, l->received, l->config.num.slot_len);
	d->nco_t = d->track.next_start + l->config.num.slot_len;
	return when;
}

static void compare(struct phy_link *l, size_t index)
{
	struct dl_device *d = &l->dl->device[index];
	double complex h[PHY_SC_MAX];
	struct phy_air_look look = { .num = &l->config.num,
		                     .t_ref = (double)d->result.csi.t_ref_samples,
		                     .t_slot = (double)d->result.csi.t_slot_samples,
		                     .sent_at = (double)(d->slot * l->config.num.slot_len),
		                     .amplitude = l->amplitude };
	phy_air_truth(d->air, 0, &look, h);
	phy_link_compare(l, index, &d->result.csi, h);
}

/* Where that slot is, and its carrier: no need to find them. */
static void place_known(struct phy_link *l, struct dl_device *d, uint64_t slot)
{
	double at = (double)(slot * l->config.num.slot_len) + l->dl->mean_delay;
	d->track.next_start = (uint64_t)llround(phy_air_receiver_clock(d->air, 0, at));
	d->track.cfo_hz = phy_air_cfo_hz(d->air, 0);
}

static void tell_truth(struct phy_link *l, struct dl_device *d, const struct slot_time *when)
{
	const struct phy_air_look look = { .num = &l->config.num,
		                           .t_slot = (double)when->t_samples,
		                           .sent_at = (double)(d->slot * l->config.num.slot_len),
		                           .down_hz = when->nco_hz,
		                           .down_rad = when->nco_rad,
		                           .amplitude = l->amplitude };
	phy_link_truth(l, d->air, 0, look, d->truth);
	dl_rx_set_truth(d->rx, d->truth, (float)l->noise_var);
}

static bool same_grant(const struct dl_result *r, const struct grant *g)
{
	const struct grant *h = &r->dci.dl;
	return r->dci.has_dl && rb_set_equal(&h->rbs, &g->rbs) && h->mcs == g->mcs && h->harq_id == g->harq_id &&
	       h->ndi == g->ndi && h->rv == g->rv;
}

static void score(struct phy_link *l, size_t index, bool scored, const struct slot_time *when)
{
	struct dl_device *d = &l->dl->device[index];
	struct phy_link_counts *c = &l->counts[index];
	size_t n_re = layout_dl_data(l->layout, d->slot, &l->station[index].rbs, NULL), n_bytes = 0;
	struct phy_link_process *p = phy_link_heard(l, index, d->slot, scored, n_re);
	if (scored)
		compare(l, index);
	if (!p)
		return;
	c->controls++;
	c->controls_missed += !d->result.has_dci;
	c->controls_wrong += d->result.has_dci && !same_grant(&d->result, &p->grant);
	phy_link_show(l, index, when, p);
	struct rx_info info = { 0 };
	struct tb_soft *soft = l->config.n_tx > 1 ? p->soft : NULL;
	int rc = dl_rx_data(d->rx, &p->grant, soft, p->got, &n_bytes, &info);
	phy_link_judge(l, index, p, rc, n_bytes, &info);
}

/* As a device does that has lost its base station; as long as nothing is scored that is no harm. */
static void search_again(struct phy_link *l, size_t index)
{
	struct dl_device *d = &l->dl->device[index];
	d->locked = false;
	d->heard = d->track.next_start;
	acquire_reset(d->acquire, d->heard);
	dl_rx_reset(d->rx);
	l->station[index].n_followed = 0;
}

static void track(struct phy_link *l, size_t index)
{
	struct dl_device *d = &l->dl->device[index];
	track_update(&d->track, d->result.csi.valid ? &d->result.track : NULL);
	if (layout_is_sync_slot(d->slot))
		track_sync_slot(&d->track, d->result.has_sysinfo);
	if (!track_lost(&d->track))
		return;
	if (l->counts[index].slots)
		phy_link_give_up(l, index);
	else
		search_again(l, index);
}

static void follow(struct phy_link *l, size_t index)
{
	struct dl_device *d = &l->dl->device[index];
	struct slot_time when = take_samples(l, d);
	if (l->config.known)
		tell_truth(l, d, &when);
	dl_rx_slot(d->rx, l->received, &when, &d->result);
	score(l, index, phy_link_follow(l, index), &when);
	if (l->config.known)
		place_known(l, d, d->slot + 1);
	else
		track(l, index);
	d->slot++;
}

/* All that can be heard once the base station is at the end of a slot. */
static void listen(struct phy_link *l, size_t index, uint64_t sender_t)
{
	struct dl_device *d = &l->dl->device[index];
	uint64_t slot_len = l->config.num.slot_len;
	double now = phy_air_receiver_clock(d->air, 0, (double)sender_t);
	while (!phy_link_finished(l, index) &&
	       (double)((d->locked ? d->track.next_start : d->heard) + slot_len) <= now) {
		if (d->locked)
			follow(l, index);
		else
			search(l, index);
	}
}

/* ---- a run ---- */

static void release_receivers(struct phy_link_dl *dl, size_t n)
{
	phy_link_lock();
	for (size_t i = 0; i < n; i++) {
		acquire_destroy(dl->device[i].acquire);
		dl_rx_destroy(dl->device[i].rx);
		dl->device[i].acquire = NULL;
		dl->device[i].rx = NULL;
	}
	phy_link_unlock();
}

static bool make_receivers(const struct phy_link *l, struct phy_link_dl *dl)
{
	bool ok = true;
	struct acquire_config search = acquire_config_default(&l->config.num);
	search.dl_hz = l->config.carrier_hz;
	phy_link_lock();
	for (size_t i = 0; i < l->config.n_devices; i++) {
		struct dl_device *d = &dl->device[i];
		d->rx = dl_rx_create(l->layout, PHY_LINK_CELL, (uint8_t)i);
		d->acquire = acquire_create(&l->config.num, PHY_LINK_CELL, &search);
		ok = ok && d->rx && d->acquire;
	}
	phy_link_unlock();
	return ok;
}

/* Its clock starts anywhere in a sync period, between two samples of the base station. */
static int switch_on(struct phy_link *l, size_t index)
{
	struct dl_device *d = &l->dl->device[index];
	const struct numerology *num = &l->config.num;
	struct fading_link_config fading = phy_link_fading(l, index);
	double ppm = phy_link_uniform(l, -l->config.clock_ppm, l->config.clock_ppm);
	double start = phy_link_uniform(l, 0, SYNC_PERIOD_SLOTS * (double)num->slot_len);
	fading.rx_error = 1e-6 * ppm;
	fading.rx_start_s = start / num->rate_hz;
	phy_air_reset(d->air, l->point->seed, PHY_DEVICES_MAX + (uint32_t)index, l->noise_var);
	int rc = phy_air_link(d->air, l->dl->ring, &fading);
	if (rc)
		return rc;
	d->locked = l->config.known;
	d->heard = d->nco_t = 0;
	nco_init(&d->nco, num->rate_hz);
	/* About when a search ends: so estimation on and off meet the same fades. */
	d->slot = (uint64_t)(start / (double)num->slot_len) + SYNC_PERIOD_SLOTS + 2;
	place_known(l, d, d->slot);
	acquire_reset(d->acquire, 0);
	dl_rx_reset(d->rx);
	return 0;
}

static bool all_finished(const struct phy_link *l)
{
	for (size_t i = 0; i < l->config.n_devices; i++)
		if (!phy_link_finished(l, i))
			return false;
	return true;
}

int phy_link_dl_run(struct phy_link *l)
{
	ring_destroy(l->dl->ring);
	l->dl->ring = ring_create(RING_HISTORY);
	if (!l->dl->ring)
		return -ENOMEM;
	l->dl->mean_delay = phy_link_mean_delay(l);
	for (size_t i = 0; i < l->config.n_devices; i++) {
		int rc = switch_on(l, i);
		if (rc)
			return rc;
	}
	for (uint64_t slot = 0; !all_finished(l); slot++) {
		send_slot(l, slot);
		for (size_t i = 0; i < l->config.n_devices; i++)
			listen(l, i, slot * l->config.num.slot_len); /* one behind: filters reach ahead */
	}
	return 0;
}

struct phy_link_dl *phy_link_dl_create(struct phy_link *l)
{
	struct phy_link_dl *dl = calloc(1, sizeof *dl);
	if (!dl)
		return NULL;
	phy_link_lock();
	dl->tx = dl_tx_create(l->layout, PHY_LINK_CELL, (float)l->amplitude);
	phy_link_unlock();
	const struct numerology *num = &l->config.num;
	bool ok = dl->tx != NULL && make_receivers(l, dl);
	for (size_t i = 0; i < l->config.n_devices; i++) {
		dl->device[i].air = phy_air_create();
		dl->device[i].truth = calloc(num->n_symbols * num->n_sc, sizeof *dl->device[i].truth);
		ok = ok && dl->device[i].air && dl->device[i].truth;
	}
	l->dl = dl;
	dl->level = level_that_fits(l);
	if (ok)
		return dl;
	l->dl = NULL;
	phy_link_dl_destroy(dl, l->config.n_devices);
	return NULL;
}

void phy_link_dl_destroy(struct phy_link_dl *dl, size_t n_devices)
{
	if (!dl)
		return;
	release_receivers(dl, n_devices);
	for (size_t i = 0; i < n_devices; i++) {
		free(dl->device[i].truth);
		phy_air_destroy(dl->device[i].air);
	}
	phy_link_lock();
	dl_tx_destroy(dl->tx);
	phy_link_unlock();
	ring_destroy(dl->ring);
	free(dl);
}

void phy_link_dl_slot(struct phy_link *l, uint64_t slot)
{
	build_slot(l, slot);
}

unsigned phy_link_dl_level(const struct phy_link *l)
{
	return l->dl->level;
}
