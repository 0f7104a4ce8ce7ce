#include "testbed/cell_inner.h"

#include <errno.h>
#include <math.h>

#include "phy/power.h"

/* ---- messages ---- */

/* A device of another version cannot be talked to but for this; its hello timer ends the rest. */
static void refuse(struct cell *c, unsigned d)
{
	const struct message m = { .type = MESSAGE_REFUSE, .status = MESSAGE_OTHER_VERSION };
	c->peer[d].refused = cell_send(c, d, &m, NULL) == 0;
}

static void read_messages(struct cell *c, unsigned d)
{
	struct peer *p = &c->peer[d];
	size_t n;
	const uint8_t *stream, *payload;
	struct message m;
	while (p->state != CELL_ABSENT && !p->refused && (stream = arq_peek(p->arq, &n))) {
		ssize_t used = message_decode(stream, n, &m, &payload);
		if (!used)
			return;
		if (used < 0) {
			p->stats.messages_bad++;
			if (used == -EPROTONOSUPPORT && p->state == CELL_ANSWERED)
				refuse(c, d);
			else
				cell_lose(c, d); /* the streams no longer agree */
			return;
		}
		c->params.user.message(c->params.user.arg, d, &m, payload, c->slot);
		arq_consume(p->arq, (size_t)used);
	}
}

/* Processes whose blocks may still be delivered, as a mask. */
static uint32_t open_blocks(const struct harq *h)
{
	uint32_t open = 0;
	for (unsigned i = 0; i < h->n_processes; i++)
		if (h->process[i].state != HARQ_IDLE)
			open |= 1u << i;
	return open;
}

/* What the answer to a transmission means for outer loop, prediction and stream. */
static void settle(struct cell *c, struct peer *p, enum cell_direction dir, const struct harq_outcome *o)
{
	enum predict_direction air = dir == CELL_DL ? PREDICT_DOWN : PREDICT_UP;
	if (o->first && o->answered) { /* silence speaks of control, not of the block */
		link_observe_block(&p->link[dir], &c->link_config, o->mcs, o->adapts, o->event == HARQ_DELIVERED);
		predict_observe_block(&p->predict, &c->predict_config, air, o->event != HARQ_DELIVERED);
	}
	if (dir == CELL_DL && o->event != HARQ_AGAIN)
		arq_block_done(p->arq, o->process, o->event == HARQ_DELIVERED, c->slot);
	if (dir == CELL_UL && o->event == HARQ_FAILED) /* what was granted up to the slot built last is booked */
		arq_tell_lost(p->arq, open_blocks(&p->harq[CELL_UL]), c->slot + c->params.tx_ahead);
}

/* The slow value that came with a slot's control. */
static void observe_value(struct cell *c, struct peer *p, const struct uci *u)
{
	struct link *dl = &p->link[CELL_DL];
	uint64_t measured = c->slot - c->params.answer_delay;
	switch (u->turn.topic) {
	case UCI_HEADROOM:
		link_observe_headroom(&p->link[CELL_UL], u->value_db);
		power_loop_headroom(&p->power, u->value_db);
		break;
	case UCI_SNR_BAND:
		link_observe_wideband(dl, measured, u->value_db);
		p->stats.snr_sum_db[CELL_DL] += u->value_db;
		p->stats.snr_slots[CELL_DL]++;
		break;
	case UCI_SNR_GROUP:
		if (u->turn.group < c->n_rb)
			link_observe_rb(dl, &c->link_config, measured, u->turn.group, u->value_db);
		break;
	}
}

/* The full band's, whatever a device short of power has for its comb alone; until its headroom is known it is taken for
 * one that is. */
static void observe_uplink_snr(struct cell *c, struct peer *p)
{
	bool known = isfinite(p->power.headroom_db);
	float snr_db[PHY_RB_MAX];
	float excess_db = ul_comb_excess_db(known ? p->power.headroom_db : -INFINITY, c->params.comb_boost);
	p->stats.snr_sum_db[CELL_UL] += p->csi.snr_mean_db - (known ? excess_db : 0);
	p->stats.snr_slots[CELL_UL]++;
	for (size_t g = 0; g < c->n_rb; g++) {
		float sum = 0;
		for (size_t i = 0; i < c->group; i++)
			sum += powf(10, 0.1f * p->csi.snr_db[g * c->group + i]);
		snr_db[g] = 10 * log10f(sum / (float)c->group) - excess_db;
	}
	link_observe_band(&p->link[CELL_UL], &c->link_config, c->slot, snr_db);
}

/* What the loops of timing and power steer: only what came with control that was read, so that it is this device's. */
static void observe_uplink_place(struct cell *c, struct peer *p)
{
	float received_dbm = power_rsrp_dbm(&p->csi, c->params.rx_full_scale_dbm, c->num->n_fft);
	timing_loop_observe(&p->timing, &c->timing_config, c->slot, (double)p->csi.timing_samples);
	power_loop_observe(&p->power, &c->power_config, c->slot, (double)(received_dbm - c->params.ul_target_re_dbm));
}

static enum harq_ack to_harq(enum uci_ack ack)
{
	return ack == UCI_ACK ? HARQ_ACK : ack == UCI_NACK ? HARQ_NACK : HARQ_NONE;
}

static void read_control(struct cell *c, unsigned d)
{
	struct peer *p = &c->peer[d];
	struct uci u = { .ack = UCI_ACK_NONE };
	struct harq_outcome o;
	int rc = ul_rx_control(c->ul, (uint8_t)d, &u, &p->csi);
	p->have_csi = rc != -ENODATA && p->csi.valid;
	p->stats.controls_ok += rc == 0;
	p->stats.controls_bad += rc == -EBADMSG;
	p->stats.controls_silent += rc == -ENODATA;
	if (p->have_csi)
		observe_uplink_snr(c, p);
	if (!rc) {
		p->heard = c->slot;
		p->reported_bytes = u.buffer_bytes;
		p->reported_slot = c->slot;
		observe_value(c, p, &u);
		if (p->have_csi)
			observe_uplink_place(c, p);
	}
	c->cast.answer[d] = to_harq(u.multicast_ack);
	if (!harq_feedback(&p->harq[CELL_DL], c->slot - c->params.answer_delay, to_harq(u.ack), &o))
		settle(c, p, CELL_DL, &o);
}

static void read_block(struct cell *c, unsigned d)
{
	struct peer *p = &c->peer[d];
	struct ul_expected *e = &p->expected[c->slot % SLOTS_REMEMBERED];
	struct harq_outcome o;
	size_t n;
	if (!e->any || e->slot != c->slot)
		return;
	e->any = false;
	struct tb_soft *soft = p->ul_soft[e->grant.harq_id];
	if (e->grant.rv == 0)
		tb_soft_reset(soft);
	int rc = ul_rx_data(c->ul, (uint8_t)d, &e->grant, soft, c->block, &n, NULL);
	enum harq_ack ack = rc == 0 ? HARQ_ACK : rc == -ENODATA ? HARQ_NONE : HARQ_NACK;
	if (!harq_feedback(&p->harq[CELL_UL], c->slot, ack, &o))
		settle(c, p, CELL_UL, &o);
	if (rc)
		return;
	p->stats.blocks_empty += !c->block[0];
	arq_receive(p->arq, c->block, n, c->slot);
	read_messages(c, d);
}

/* Those who may ask for access, as a mask: a device that sends control does not. */
static uint32_t strangers(const struct cell *c)
{
	uint32_t mask = 0;
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (c->peer[d].state == CELL_ABSENT || c->slot - c->peer[d].heard >= cell_n_groups(c))
			mask |= 1u << d;
	return mask;
}

static void read_preambles(struct cell *c)
{
	struct ul_access found[PHY_DEVICES_MAX];
	size_t n = 0;
	if (!layout_is_access_slot(c->slot))
		return;
	ul_rx_set_access(c->ul, strangers(c), c->range_samples);
	if (ul_rx_access(c->ul, found, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		struct peer *p = &c->peer[found[i].device];
		p->stats.accesses++;
		if (p->state == CELL_ATTACHED)
			cell_lose(c, found[i].device);
		p->answer_due = true;
		p->preamble_delay = found[i].delay_samples;
	}
}

int cell_uplink(struct cell *c, uint64_t slot, const float complex *samples)
{
	struct slot_time when = { .slot = slot, .t_samples = slot * c->num->slot_len };
	c->slot = slot;
	c->stats.slots++;
	int rc = ul_rx_slot(c->ul, samples, &when);
	if (rc)
		c->stats.non_finite++;
	for (unsigned d = 0; d < c->params.n_devices; d++) {
		struct peer *p = &c->peer[d];
		p->have_csi = false;
		if (p->state == CELL_ABSENT)
			continue;
		const struct ul_expected *e = &p->expected[slot % SLOTS_REMEMBERED];
		if (e->any && e->slot == slot)
			ul_rx_expect(c->ul, (uint8_t)d, &e->grant.rbs);
		if (layout_has_control((uint8_t)d, slot, cell_n_groups(c)))
			read_control(c, d);
		read_block(c, d);
		uint64_t last = p->state == CELL_ATTACHED ? p->heard : p->since; /* the hello must come by then */
		if (p->state != CELL_ABSENT && slot - last > c->params.lost_after_slots)
			cell_lose(c, d);
	}
	cast_settle(c);
	read_preambles(c);
	return rc;
}
