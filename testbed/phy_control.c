#include "testbed/phy_control.h"

#include "phy/dl.h"
#include "phy/power.h"
#include "phy/ul.h"
#include "radio/gauss.h"
#include "testbed/splitmix.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 1, DEVICE = 6 };

struct phy_control {
	struct numerology num;
	struct layout *layout;
	struct dl_tx *dl_tx;
	struct dl_rx *dl_rx;
	struct ul_tx *ul_tx;
	struct ul_rx *ul_rx;
	uint64_t seed, t; /* noise samples used so far */
	uint64_t random;
	uint64_t slot;
	size_t n_noise; /* slot_len, up to whole blocks of the generator */
	float *re, *im;
	float complex *samples, *ones; /* slot_len; n_symbols * n_sc */
	float complex *comb;           /* the same at a control RE's amplitude */
};

struct phy_control *phy_control_create(const struct numerology *num, uint64_t seed, char *err, size_t err_len)
{
	struct phy_control *c = calloc(1, sizeof *c);
	if (!c) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	size_t n_re = num->n_symbols * num->n_sc;
	c->num = *num;
	c->seed = c->random = seed;
	c->n_noise = (num->slot_len + GAUSS_BLOCK - 1) / GAUSS_BLOCK * GAUSS_BLOCK;
	c->layout = layout_create(num, err, err_len);
	c->dl_tx = c->layout ? dl_tx_create(c->layout, CELL, 1) : NULL;
	c->dl_rx = c->layout ? dl_rx_create(c->layout, CELL, DEVICE) : NULL;
	c->ul_tx = c->layout ? ul_tx_create(c->layout, CELL, DEVICE) : NULL;
	c->ul_rx = c->layout ? ul_rx_create(c->layout, CELL) : NULL;
	c->re = malloc(c->n_noise * sizeof *c->re);
	c->im = malloc(c->n_noise * sizeof *c->im);
	c->samples = calloc(num->slot_len, sizeof *c->samples);
	c->ones = malloc(n_re * sizeof *c->ones);
	c->comb = malloc(n_re * sizeof *c->comb);
	if (!c->dl_tx || !c->dl_rx || !c->ul_tx || !c->ul_rx || !c->re || !c->im || !c->samples || !c->ones ||
	    !c->comb) {
		snprintf(err, err_len, "control of this numerology: %s", strerror(errno));
		phy_control_destroy(c);
		return NULL;
	}
	for (size_t i = 0; i < n_re; i++)
		c->ones[i] = 1;
	return c;
}

void phy_control_destroy(struct phy_control *c)
{
	if (!c)
		return;
	free(c->comb);
	free(c->ones);
	free(c->samples);
	free(c->im);
	free(c->re);
	ul_rx_destroy(c->ul_rx);
	ul_tx_destroy(c->ul_tx);
	dl_rx_destroy(c->dl_rx);
	dl_tx_destroy(c->dl_tx);
	layout_destroy(c->layout);
	free(c);
}

const struct layout *phy_control_layout(const struct phy_control *c)
{
	return c->layout;
}

static float noise_of(double snr_db)
{
	return (float)pow(10, -0.1 * snr_db);
}

static void add_noise(struct phy_control *c, double snr_db)
{
	float a = sqrtf(0.5f * noise_of(snr_db));
	gauss_fill(c->seed, 0, c->t, c->n_noise, c->re, c->im);
	c->t += c->n_noise;
	for (size_t i = 0; i < c->num.slot_len; i++)
		c->samples[i] += CMPLXF(a * c->re[i], a * c->im[i]);
}

static uint32_t draw(struct phy_control *c, uint32_t n)
{
	return (uint32_t)(splitmix(c->random += SPLITMIX_STEP) >> 32) % n;
}

/* ---- downlink ---- */

static struct grant random_grant(struct phy_control *c)
{
	struct grant g = { .mcs = (uint8_t)draw(c, DCI_MCS_MAX + 1),
		           .harq_id = (uint8_t)draw(c, DCI_HARQ_MAX + 1),
		           .ndi = (uint8_t)draw(c, 2),
		           .rv = (uint8_t)draw(c, 4) };
	size_t size = rb_group_size(c->num.n_rb), n_groups = rb_groups(c->num.n_rb);
	for (size_t i = 0; i < n_groups; i++)
		if (draw(c, 2) || i == n_groups - 1)
			for (size_t rb = i * size; rb < (i + 1) * size && rb < c->num.n_rb; rb++)
				rb_set_add(&g.rbs, rb);
	return g;
}

static struct dci random_message(struct phy_control *c, enum dci_size size, uint8_t device)
{
	struct dci d = { .device = device, .has_dl = true, .has_ul = size == DCI_LONG };
	if (size == DCI_SHORT && draw(c, 4) == 0) {
		d.has_dl = false;
		d.has_command = true;
		d.command.timing = (int8_t)((int)draw(c, 128) + DCI_TIMING_STEP_MIN);
		d.command.power_step_db = (int8_t)((int)draw(c, 8) + DCI_POWER_STEP_MIN_DB);
		return d;
	}
	d.dl = random_grant(c);
	if (d.has_ul)
		d.ul = random_grant(c);
	return d;
}

static bool same_grant(const struct grant *a, const struct grant *b)
{
	return rb_set_equal(&a->rbs, &b->rbs) && a->mcs == b->mcs && a->harq_id == b->harq_id && a->ndi == b->ndi &&
	       a->rv == b->rv;
}

static bool same_message(const struct dci *a, const struct dci *b)
{
	return a->has_dl == b->has_dl && a->has_ul == b->has_ul && a->has_command == b->has_command &&
	       same_grant(&a->dl, &b->dl) && same_grant(&a->ul, &b->ul) && a->command.timing == b->command.timing &&
	       a->command.power_step_db == b->command.power_step_db && !a->command.access_answer;
}

/* Sends a slot: the device's message, and others' in what is left. */
static int send_dl(struct phy_control *c, const struct phy_control_dl_case *what, struct dci *mine)
{
	dl_tx_begin(c->dl_tx, ++c->slot);
	*mine = random_message(c, what->size, DEVICE);
	int rc = what->level ? dl_tx_dci(c->dl_tx, mine, what->level) : 0;
	while (!rc && !what->alone && dl_tx_cce_left(c->dl_tx)) {
		struct dci other = random_message(c, draw(c, 2) ? DCI_LONG : DCI_SHORT, (uint8_t)draw(c, DEVICE));
		rc = dl_tx_dci(c->dl_tx, &other, 1);
	}
	dl_tx_finish(c->dl_tx, c->samples);
	add_noise(c, what->snr_db);
	return rc;
}

int phy_control_dl(struct phy_control *c, const struct phy_control_dl_case *what, size_t trials,
                   struct phy_control_counts *n)
{
	struct dl_rx_stats before, after, first = { 0 };
	struct dl_result res;
	*n = (struct phy_control_counts){ .trials = trials };
	dl_rx_reset(c->dl_rx);
	dl_rx_set_truth(c->dl_rx, what->known ? c->ones : NULL, noise_of(what->snr_db));
	for (size_t i = 0; i < trials + PHY_CONTROL_WARMUP; i++) {
		struct dci mine;
		int rc = send_dl(c, what, &mine);
		if (rc)
			return rc;
		dl_rx_get_stats(c->dl_rx, &before);
		if (i == PHY_CONTROL_WARMUP)
			first = before;
		dl_rx_slot(c->dl_rx, c->samples, &(struct slot_time){ c->slot, c->slot * c->num.slot_len }, &res);
		dl_rx_get_stats(c->dl_rx, &after);
		if (i < PHY_CONTROL_WARMUP)
			continue;
		uint64_t tried = after.candidates - before.candidates;
		bool right = what->level && res.has_dci && same_message(&res.dci, &mine);
		n->missed += what->level && !res.has_dci;
		n->wrong += (res.has_dci && !right) || res.has_sysinfo || res.has_multicast;
		n->candidates_max = tried > n->candidates_max ? tried : n->candidates_max;
	}
	n->candidates = after.candidates - first.candidates;
	n->strangers = after.strangers - first.strangers;
	n->cut_short = after.cut_short - first.cut_short;
	return 0;
}

/* ---- uplink ---- */

static uint8_t comb_boost(const struct phy_control *c, const struct phy_control_ul_case *what)
{
	return ul_comb_boost_for((float)what->snr_db, c->num.n_rb);
}

static float comb_amplitude(const struct phy_control *c, const struct phy_control_ul_case *what)
{
	return sqrtf((float)(1u << comb_boost(c, what)));
}

static int send_ul(struct phy_control *c, const struct phy_control_ul_case *what, struct uci *sent)
{
	const struct ul_amplitudes amplitudes = { .data = 1, .comb = comb_amplitude(c, what), .access = 1 };
	int rc = 0;
	c->slot++;
	*sent = (struct uci){ .ack = what->ack,
		              .multicast_ack = what->ack,
		              .buffer_bytes = uci_bsr_bytes((uint8_t)draw(c, 32)),
		              .turn = uci_turn(c->slot, c->num.n_rb),
		              .value_db = 0.5f * (float)draw(c, 126) - 20 };
	ul_tx_begin(c->ul_tx, c->slot);
	if (!what->silent)
		rc = ul_tx_control(c->ul_tx, sent);
	ul_tx_finish(c->ul_tx, &amplitudes, c->samples);
	add_noise(c, what->snr_db);
	return rc;
}

static bool same_report(const struct uci *a, const struct uci *b)
{
	return a->ack == b->ack && a->multicast_ack == b->multicast_ack && a->buffer_bytes == b->buffer_bytes &&
	       a->value_db == b->value_db;
}

int phy_control_ul(struct phy_control *c, const struct phy_control_ul_case *what, size_t trials,
                   struct phy_control_counts *n)
{
	*n = (struct phy_control_counts){ .trials = trials };
	for (size_t i = 0; i < c->num.n_symbols * c->num.n_sc; i++)
		c->comb[i] = comb_amplitude(c, what);
	ul_rx_set_comb_boost(c->ul_rx, DEVICE, comb_boost(c, what));
	ul_rx_set_truth(c->ul_rx, DEVICE, what->known ? c->comb : NULL, noise_of(what->snr_db));
	for (size_t i = 0; i < trials + PHY_CONTROL_WARMUP; i++) {
		struct uci sent, got;
		struct csi csi;
		int rc = send_ul(c, what, &sent);
		if (rc)
			return rc;
		ul_rx_slot(c->ul_rx, c->samples, &(struct slot_time){ c->slot, c->slot * c->num.slot_len });
		rc = ul_rx_control(c->ul_rx, DEVICE, &got, &csi);
		if (i < PHY_CONTROL_WARMUP)
			continue;
		n->missed += !what->silent && rc != 0;
		n->wrong += rc == 0 && (what->silent || !same_report(&sent, &got));
		n->acks += rc == 0 && (got.ack == UCI_ACK || got.multicast_ack == UCI_ACK);
		n->candidates += rc != -ENODATA;
	}
	return 0;
}
