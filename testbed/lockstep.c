#include "testbed/lockstep.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/medium.h"
#include "testbed/nodes.h"
#include "testbed/pool.h"
#include "testbed/tape.h"
#include "testbed/truth.h"

struct station {
	struct nodes_device node;
	struct radio *radio;
	float complex *rx; /* slot_len */
	size_t n_slots;    /* taken in the step at hand */
};

struct lockstep {
	const struct config *config;
	struct nodes nodes;
	struct medium medium;
	struct ether *ether;
	struct bs *bs;
	struct radio *bs_radio;
	struct tape *tape;
	float complex *rx, *tx; /* slot_len */
	struct station station[CONFIG_DEVICES_MAX];
	size_t n_devices;
	struct pool *pool;
	struct journal *journal;
	uint64_t n_slots;
};

/* ---- making it ---- */

/* Devices that are to leave coverage. */
static void darken(struct lockstep *l)
{
	for (size_t k = 0; k < l->config->n_devices; k++) {
		const struct config_device *d = &l->config->devices[k];
		double from = d->dark_at_s * l->nodes.num.rate_hz,
		       to = (d->dark_at_s + d->dark_for_s) * l->nodes.num.rate_hz;
		for (int dir = ETHER_DL; dir <= ETHER_UL && d->dark_at_s >= 0; dir++)
			ether_blank(l->ether, k + 1, (enum ether_dir)dir, from, to);
	}
}

static float known_channel(void *arg, unsigned device, enum cell_direction dir, uint64_t slot, float *above_db)
{
	struct lockstep *l = arg;
	return truth_slot(l, l->config, device, dir == CELL_DL ? ETHER_DL : ETHER_UL, slot, above_db);
}

static int create_station(struct lockstep *l, size_t k, char *err, size_t err_len)
{
	struct station *s = &l->station[k];
	s->radio = tape_radio(l->tape, k + 1, ether_radio(l->ether, k + 1));
	s->rx = calloc(l->nodes.num.slot_len, sizeof *s->rx);
	return s->rx && s->radio ? nodes_device(&l->nodes, k, s->radio, &s->node, err, err_len) : -ENOMEM;
}

static int create_ether(struct lockstep *l, char *err, size_t err_len)
{
	int rc = medium_open(&l->medium, l->config, &l->nodes.num, err, err_len);
	if (rc)
		return rc;
	l->ether = ether_create(&l->medium.ether, err, err_len);
	if (!l->ether)
		return -errno;
	darken(l);
	return 0;
}

static int create_all(struct lockstep *l, char *err, size_t err_len)
{
	const struct config *c = l->config;
	int rc = nodes_open(&l->nodes, c, err, err_len);
	if (rc)
		return rc;
	rc = create_ether(l, err, err_len);
	if (rc)
		return rc;
	l->rx = calloc(l->nodes.num.slot_len, sizeof *l->rx);
	l->tx = calloc(l->nodes.num.slot_len, sizeof *l->tx);
	l->pool = pool_create((size_t)c->threads);
	l->tape = tape_create(&c->record, c->n_devices + 1);
	if (!l->rx || !l->tx || !l->pool || !l->tape)
		return -ENOMEM;
	l->bs_radio = tape_radio(l->tape, 0, ether_radio(l->ether, 0));
	if (!l->bs_radio)
		return -ENOMEM;
	l->bs = nodes_bs(&l->nodes, l->bs_radio, err, err_len);
	if (!l->bs)
		return -errno;
	if (strcmp(c->bs.csi, "known") == 0)
		cell_set_oracle(bs_cell(l->bs), &(struct cell_oracle){ l, known_channel });
	for (; !rc && l->n_devices < c->n_devices; l->n_devices++)
		rc = create_station(l, l->n_devices, err, err_len);
	return rc;
}

int lockstep_create(const struct config *config, struct lockstep **out, char *err, size_t err_len)
{
	struct lockstep *l = calloc(1, sizeof *l);
	int rc = -ENOMEM;
	snprintf(err, err_len, "out of memory");
	if (l) {
		l->config = config;
		rc = create_all(l, err, err_len);
	}
	if (rc) {
		lockstep_destroy(l);
		return rc;
	}
	*out = l;
	return 0;
}

void lockstep_set_journal(struct lockstep *l, struct journal *journal)
{
	l->journal = journal;
}

void lockstep_set_recording(struct lockstep *l, const char *dir)
{
	tape_set_folder(l->tape, dir);
}

int lockstep_end_recording(struct lockstep *l)
{
	return tape_end(l->tape);
}

void lockstep_destroy(struct lockstep *l)
{
	if (!l)
		return;
	for (size_t k = 0; k < CONFIG_DEVICES_MAX; k++) {
		nodes_device_close(&l->station[k].node);
		free(l->station[k].rx);
	}
	bs_destroy(l->bs);
	pool_destroy(l->pool);
	free(l->tx);
	free(l->rx);
	tape_destroy(l->tape);
	ether_destroy(l->ether);
	medium_close(&l->medium);
	nodes_close(&l->nodes);
	free(l);
}

/* ---- one slot ---- */

/* The device takes every slot that is complete on its clock by the end of this one. */
static void run_device(struct lockstep *l, size_t k)
{
	struct station *s = &l->station[k];
	uint64_t now = ether_clock(l->ether, k + 1, (double)((l->n_slots + 1) * l->nodes.num.slot_len));
	struct device_tx tx;
	s->n_slots = 0;
	while (device_next_rx(s->node.device) + l->nodes.num.slot_len <= now) {
		radio_recv(s->radio, s->rx, l->nodes.num.slot_len, device_next_rx(s->node.device));
		device_slot(s->node.device, s->rx, &tx);
		if (tx.send)
			radio_send(s->radio, tx.samples, l->nodes.num.slot_len, tx.t_samples);
		s->n_slots++;
	}
}

/* Of the base station's slot, what does not depend on anything that devices send in this step: they answer two slots later at the earliest, and
 * arrive at a slot's beginning, give or take what a quarter of a slot is far more than. */
static size_t received_beside(const struct lockstep *l)
{
	return l->nodes.num.slot_len - l->nodes.num.slot_len / 4;
}

static void run_piece(void *arg, size_t i)
{
	struct lockstep *l = arg;
	if (i)
		run_device(l, i - 1);
	else
		radio_recv(l->bs_radio, l->rx, received_beside(l), l->n_slots * l->nodes.num.slot_len);
}

static void receive_rest(struct lockstep *l)
{
	size_t done = received_beside(l);
	radio_recv(l->bs_radio, l->rx + done, l->nodes.num.slot_len - done, l->n_slots * l->nodes.num.slot_len + done);
}

static int log_csi(struct lockstep *l)
{
	int rc = 0;
	if (!l->journal || !l->config->csi_log_every || l->n_slots % (uint64_t)l->config->csi_log_every)
		return 0;
	for (size_t k = 0; k < l->n_devices && !rc; k++) {
		const struct csi *dl = l->station[k].n_slots ? device_csi(l->station[k].node.device) : NULL;
		const struct csi *ul = cell_csi(bs_cell(l->bs), (unsigned)k);
		if (dl)
			rc = journal_csi(l->journal, JOURNAL_DOWNLINK, (unsigned)k, dl);
		if (ul && !rc)
			rc = journal_csi(l->journal, JOURNAL_UPLINK, (unsigned)k, ul);
	}
	return rc == -EDOM ? 0 : rc; /* refused and counted by the journal */
}

/* Devices that are to slow down or lie from now on. */
static void misbehave(struct lockstep *l)
{
	double t = lockstep_time_s(l);
	for (size_t k = 0; k < l->n_devices; k++) {
		const struct config_device *d = &l->config->devices[k];
		bool slow = d->slow_at_s >= 0 && t >= d->slow_at_s, lies = d->lie_at_s >= 0 && t >= d->lie_at_s;
		if (slow || lies)
			device_misbehave(l->station[k].node.device, slow ? d->slow_factor : 1, lies ? d->lie_db : 0);
	}
}

int lockstep_slot(struct lockstep *l)
{
	uint64_t n = l->n_slots;
	int rc = tape_turn(l->tape, lockstep_time_s(l));
	if (rc)
		return rc;
	misbehave(l);
	pool_run(l->pool, run_piece, l, l->n_devices + 1);
	receive_rest(l);
	bs_slot(l->bs, n, l->rx, l->tx);
	radio_send(l->bs_radio, l->tx, l->nodes.num.slot_len,
	           (n + (uint64_t)l->config->radio.tx_ahead_slots) * l->nodes.num.slot_len);
	rc = log_csi(l);
	l->n_slots++;
	return rc;
}

uint64_t lockstep_n_slots(const struct lockstep *l)
{
	return l->n_slots;
}

double lockstep_time_s(const struct lockstep *l)
{
	return (double)l->n_slots * numerology_slot_s(&l->nodes.num);
}

struct bs *lockstep_bs(struct lockstep *l)
{
	return l->bs;
}

struct device *lockstep_device(struct lockstep *l, size_t k)
{
	return l->station[k].node.device;
}

size_t lockstep_n_devices(const struct lockstep *l)
{
	return l->n_devices;
}

struct ether *lockstep_ether(struct lockstep *l)
{
	return l->ether;
}

const struct layout *lockstep_layout(const struct lockstep *l)
{
	return l->nodes.layout;
}

const struct placement *lockstep_placement(const struct lockstep *l)
{
	return &l->nodes.placement;
}

const struct moe_model *lockstep_model(const struct lockstep *l)
{
	return l->nodes.model;
}
