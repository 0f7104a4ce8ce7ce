/* The uplink of phy_link.h: devices that keep to the base station's grid, each behind a channel of its own, and the base
 * station that hears them all at once. */
#include "phy/nco.h"
#include "phy/ofdm.h"
#include "testbed/phy_link_inner.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum {
	CLOCK_AHEAD = 4096, /* samples by which a device's clock starts before the base station's */
	KEPT_SLOTS = 4,
	ADVANCE_EVERY = 16, /* slots between steps of the timing advance */
	GROUP_DEVICES = 8,
};
static const double carrier_error_hz = 10, advance_weight = 1.0 / 8;

struct ul_device {
	struct ul_tx *tx;
	struct ring *ring;
	struct nco nco;
	uint64_t nco_t;
	double delay; /* samples, of this device's path against the nearest */
	double nco_hz;
	int64_t advance; /* samples */
	double late;     /* running mean of the measured timing */
	struct sent_slot {
		uint64_t slot, at;
		double nco_rad;
		struct uci uci;
	} kept[KEPT_SLOTS];
	float complex *truth; /* n_symbols * n_sc, with estimation off */
};

struct phy_link_ul {
	struct phy_air *air;
	struct ul_rx *rx;
	struct ul_device device[PHY_DEVICES_MAX];
};

static unsigned n_groups(const struct phy_link *l)
{
	return l->config.n_devices > GROUP_DEVICES ? 2 : 1;
}

static struct uci random_report(struct phy_link *l, uint64_t slot)
{
	return (struct uci){ .ack = (enum uci_ack)phy_link_uniform(l, 0, 3),
		             .multicast_ack = (enum uci_ack)phy_link_uniform(l, 0, 3),
		             .buffer_bytes = uci_bsr_bytes((uint8_t)phy_link_uniform(l, 0, 32)),
		             .turn = uci_turn(slot, l->config.num.n_rb),
		             .value_db = 0.5f * (float)floor(phy_link_uniform(l, -40, 85)) };
}

static bool same_report(const struct uci *a, const struct uci *b)
{
	return a->ack == b->ack && a->multicast_ack == b->multicast_ack && a->buffer_bytes == b->buffer_bytes &&
	       a->turn.topic == b->turn.topic && a->turn.group == b->turn.group && a->value_db == b->value_db;
}

/* ---- devices ---- */

/* Over that of a data RE. */
static double comb_amplitude(const struct phy_link *l, size_t index)
{
	return sqrt((double)(1u << l->station[index].comb_boost));
}

static void build_slot(struct phy_link *l, size_t index, uint64_t slot)
{
	struct ul_device *d = &l->ul->device[index];
	struct grant g = { .rbs = l->station[index].rbs, .mcs = (uint8_t)l->point->mcs };
	size_t n_bytes = ul_tb_bytes(l->layout, slot, &g);
	struct ul_amplitudes a = { .data = (float)l->amplitude,
		                   .comb = (float)(l->amplitude * comb_amplitude(l, index)),
		                   .access = (float)l->amplitude };
	ul_tx_begin(d->tx, slot);
	if (n_bytes) {
		struct phy_link_process *p = phy_link_next_block(l, index, slot, n_bytes);
		ul_tx_data(d->tx, &p->grant, p->sent, n_bytes);
	}
	if (layout_has_control((uint8_t)index, slot, n_groups(l))) {
		struct uci *u = &d->kept[slot % KEPT_SLOTS].uci;
		*u = random_report(l, slot);
		ul_tx_control(d->tx, u);
	}
	ul_tx_finish(d->tx, &a, l->sent);
}

double phy_link_ul_energy(struct phy_link *l, size_t device, uint8_t comb_boost)
{
	const struct numerology *num = &l->config.num;
	struct phy_link_meter m = { 0 };
	l->station[device].comb_boost = comb_boost;
	phy_link_lock();
	struct ofdm *o = ofdm_create(num, numerology_backoff(num));
	phy_link_unlock();
	float complex *grid = malloc(num->n_symbols * num->n_sc * sizeof *grid);
	for (uint64_t slot = 0; o && grid && slot < 2 * SYNC_PERIOD_SLOTS; slot++) {
		build_slot(l, device, slot);
		ofdm_demodulate(o, l->sent, grid);
		phy_link_measure(&m, grid, num->n_symbols * num->n_sc, l->amplitude);
	}
	free(grid);
	phy_link_lock();
	ofdm_destroy(o);
	phy_link_unlock();
	return m.n_re ? m.energy / (double)m.n_re / (l->amplitude * l->amplitude) : 1;
}

static void write_from(struct ring *ring, uint64_t at, const float complex *x, size_t n)
{
	uint64_t end = ring_end(ring), skip = at < end ? end - at : 0;
	if (skip < n)
		ring_write(ring, at + skip, x + skip, n - skip, 1);
}

static void send_slot(struct phy_link *l, size_t index, uint64_t slot)
{
	struct ul_device *d = &l->ul->device[index];
	size_t slot_len = l->config.num.slot_len;
	double grid = phy_air_sender_clock(l->ul->air, index, (double)(slot * slot_len));
	uint64_t at = (uint64_t)(llround(grid) - d->advance);
	build_slot(l, index, slot);
	nco_skip(&d->nco, (int64_t)(at - d->nco_t));
	d->kept[slot % KEPT_SLOTS].slot = slot;
	d->kept[slot % KEPT_SLOTS].at = at;
	d->kept[slot % KEPT_SLOTS].nco_rad = nco_phase_rad(&d->nco);
	nco_up(&d->nco, l->sent, l->sent, slot_len);
	d->nco_t = at + slot_len;
	phy_link_send(l, l->sent, slot_len);
	write_from(d->ring, at, l->sent, slot_len);
}

/* ---- base station ---- */

static struct phy_air_look look_at(const struct phy_link *l, size_t index, uint64_t slot)
{
	const struct ul_device *d = &l->ul->device[index];
	const struct sent_slot *s = &d->kept[slot % KEPT_SLOTS];
	return (struct phy_air_look){ .num = &l->config.num,
		                      .t_slot = (double)(slot * l->config.num.slot_len),
		                      .sent_at = (double)s->at,
		                      .nco_hz = d->nco_hz,
		                      .nco_rad = s->nco_rad,
		                      .amplitude = l->amplitude };
}

static void tell_truth(struct phy_link *l, size_t index, uint64_t slot)
{
	const struct numerology *num = &l->config.num;
	float complex *h = l->ul->device[index].truth;
	phy_link_truth(l, l->ul->air, index, look_at(l, index, slot), h);
	for (size_t i = num->format->n_ul_data * num->n_sc; i < num->n_symbols * num->n_sc; i++)
		h[i] *= (float)comb_amplitude(l, index);
	ul_rx_set_truth(l->ul->rx, (uint8_t)index, h, (float)l->noise_var);
}

static void compare(struct phy_link *l, size_t index, const struct csi *csi)
{
	double complex h[PHY_SC_MAX];
	struct phy_air_look look = look_at(l, index, csi->slot);
	look.t_ref = (double)csi->t_ref_samples;
	phy_air_truth(l->ul->air, index, &look, h);
	phy_link_compare(l, index, csi, h);
}

static void advance(struct ul_device *d, uint64_t slot, float timing_samples)
{
	d->late += advance_weight * ((double)timing_samples - d->late);
	if (slot % ADVANCE_EVERY)
		return;
	d->advance += llround(d->late);
	d->late -= (double)llround(d->late);
}

static void expect(struct phy_link *l, size_t index, uint64_t slot)
{
	const struct phy_link_process *p = &l->station[index].process[slot % PHY_LINK_PROCESSES];
	if (p->open && p->slot == slot)
		ul_rx_expect(l->ul->rx, (uint8_t)index, &p->grant.rbs);
}

static void take_control(struct phy_link *l, size_t index, uint64_t slot, bool scored)
{
	struct ul_device *d = &l->ul->device[index];
	struct phy_link_counts *c = &l->counts[index];
	struct csi csi;
	struct uci got;
	if (!layout_has_control((uint8_t)index, slot, n_groups(l)))
		return;
	int rc = ul_rx_control(l->ul->rx, (uint8_t)index, &got, &csi);
	if (csi.valid && l->config.timing_advance)
		advance(d, slot, csi.timing_samples);
	if (!scored)
		return;
	c->controls++;
	c->controls_missed += rc != 0;
	c->controls_wrong += rc == 0 && !same_report(&got, &d->kept[slot % KEPT_SLOTS].uci);
	compare(l, index, &csi);
}

static void take_data(struct phy_link *l, size_t index, uint64_t slot, bool scored)
{
	size_t n_re = layout_ul_data(l->layout, &l->station[index].rbs, NULL), n_bytes = 0;
	struct phy_link_process *p = phy_link_heard(l, index, slot, scored, n_re);
	if (!p)
		return;
	const struct slot_time when = { .slot = slot, .t_samples = slot * l->config.num.slot_len };
	phy_link_show(l, index, &when, p);
	struct rx_info info = { 0 };
	struct tb_soft *soft = l->config.n_tx > 1 ? p->soft : NULL;
	int rc = ul_rx_data(l->ul->rx, (uint8_t)index, &p->grant, soft, p->got, &n_bytes, &info);
	phy_link_judge(l, index, p, rc, n_bytes, &info);
}

static double full_scale_heard(const struct phy_link *l)
{
	const struct numerology *num = &l->config.num;
	double power = l->noise_var;
	for (size_t i = 0; i < l->config.n_devices; i++)
		power += l->amplitude * l->amplitude * pow(10, 0.1 * l->station[i].gain_db) * PHY_RB_SC *
		         (double)rb_set_count(&l->station[i].rbs) / (double)num->n_fft;
	return sqrt(power / pow(10, 0.1 * l->config.rms_dbfs));
}

static void hear_slot(struct phy_link *l, uint64_t slot)
{
	size_t slot_len = l->config.num.slot_len;
	struct slot_time when = { .slot = slot, .t_samples = slot * slot_len };
	phy_air_hear(l->ul->air, when.t_samples, slot_len, l->received);
	phy_link_convert(l, full_scale_heard(l), l->received, slot_len);
	ul_rx_slot(l->ul->rx, l->received, &when);
	for (size_t i = 0; i < l->config.n_devices; i++) {
		bool scored = phy_link_follow(l, i);
		if (l->config.known)
			tell_truth(l, i, slot);
		expect(l, i, slot);
		take_control(l, i, slot, scored);
		take_data(l, i, slot, scored);
	}
}

/* ---- a run ---- */

/* The delays are dealt so that neighbours in power and frequency are not neighbours in time. */
static double path_delay(const struct phy_link *l, size_t index)
{
	size_t n = l->config.n_devices, place = (3 * index + n / 2) % n;
	if (n % 3 == 0)
		place = (index + n / 2) % n;
	double share = n > 1 ? (double)place / (double)(n - 1) : 1;
	return share * l->config.delay_spread_cp * (double)l->config.num.cp;
}

static int switch_on(struct phy_link *l, size_t index)
{
	struct ul_device *d = &l->ul->device[index];
	const struct numerology *num = &l->config.num;
	struct fading_link_config fading = phy_link_fading(l, index);
	double ppm = phy_link_uniform(l, -l->config.clock_ppm, l->config.clock_ppm);
	double ahead = CLOCK_AHEAD + phy_link_uniform(l, 0, 1);
	d->delay = path_delay(l, index);
	fading.tx_error = 1e-6 * ppm;
	fading.tx_start_s = -ahead / num->rate_hz;
	fading.propagation_delay_s = d->delay / num->rate_hz;
	ring_destroy(d->ring);
	d->ring = ring_create(RING_HISTORY);
	if (!d->ring)
		return -ENOMEM;
	int rc = phy_air_link(l->ul->air, d->ring, &fading);
	if (rc)
		return rc;
	d->nco_hz = -phy_air_cfo_hz(l->ul->air, index) + phy_link_uniform(l, -carrier_error_hz, carrier_error_hz);
	d->nco_t = 0;
	d->advance = 0;
	d->late = 0;
	nco_init(&d->nco, num->rate_hz);
	nco_set_hz(&d->nco, d->nco_hz);
	return 0;
}

static bool make_receiver(struct phy_link *l)
{
	phy_link_lock();
	ul_rx_destroy(l->ul->rx);
	l->ul->rx = ul_rx_create(l->layout, PHY_LINK_CELL);
	phy_link_unlock();
	for (uint8_t i = 0; l->ul->rx && i < l->config.n_devices; i++)
		ul_rx_set_comb_boost(l->ul->rx, i, l->station[i].comb_boost);
	return l->ul->rx != NULL;
}

static bool all_finished(const struct phy_link *l)
{
	for (size_t i = 0; i < l->config.n_devices; i++)
		if (!phy_link_finished(l, i))
			return false;
	return true;
}

int phy_link_ul_run(struct phy_link *l)
{
	if (!make_receiver(l))
		return -ENOMEM;
	phy_air_reset(l->ul->air, l->point->seed, PHY_DEVICES_MAX, l->noise_var);
	for (size_t i = 0; i < l->config.n_devices; i++) {
		int rc = switch_on(l, i);
		if (rc)
			return rc;
	}
	for (uint64_t slot = 0; !all_finished(l); slot++) {
		for (size_t i = 0; i < l->config.n_devices; i++)
			send_slot(l, i, slot);
		if (slot)
			hear_slot(l, slot - 1);
	}
	return 0;
}

struct phy_link_ul *phy_link_ul_create(struct phy_link *l)
{
	struct phy_link_ul *ul = calloc(1, sizeof *ul);
	if (!ul)
		return NULL;
	ul->air = phy_air_create();
	const struct numerology *num = &l->config.num;
	bool ok = ul->air != NULL;
	phy_link_lock();
	for (size_t i = 0; i < l->config.n_devices; i++) {
		ul->device[i].tx = ul_tx_create(l->layout, PHY_LINK_CELL, (uint8_t)i);
		ul->device[i].truth = calloc(num->n_symbols * num->n_sc, sizeof *ul->device[i].truth);
		ok = ok && ul->device[i].tx && ul->device[i].truth;
	}
	phy_link_unlock();
	if (ok)
		return ul;
	phy_link_ul_destroy(ul, l->config.n_devices);
	return NULL;
}

void phy_link_ul_destroy(struct phy_link_ul *ul, size_t n_devices)
{
	if (!ul)
		return;
	phy_link_lock();
	for (size_t i = 0; i < n_devices; i++)
		ul_tx_destroy(ul->device[i].tx);
	ul_rx_destroy(ul->rx);
	phy_link_unlock();
	for (size_t i = 0; i < n_devices; i++) {
		free(ul->device[i].truth);
		ring_destroy(ul->device[i].ring);
	}
	phy_air_destroy(ul->air);
	free(ul);
}

void phy_link_ul_slot(struct phy_link *l, size_t device, uint64_t slot)
{
	build_slot(l, device, slot);
}
