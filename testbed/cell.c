#include "testbed/cell.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phy/dl.h"
#include "phy/dl_level.h"
#include "phy/level.h"
#include "phy/mcs.h"
#include "phy/power.h"
#include "phy/ul.h"
#include "scheduler/power_loop.h"
#include "scheduler/timing_loop.h"

enum {
	ARQ_CAPACITY = 1 << 23,
	MIN_TB_BYTES = 12,
	SLOTS_REMEMBERED = 32, /* grants by slot: more than a round trip */
	GRANTS_REMEMBERED = 64,
	KEEPALIVE_SLOTS =
	        50, /* a device is addressed at least this often, and KEEPALIVES times before it counts as lost */
	KEEPALIVES = 4,
	RETRANSMISSION_WAIT_SLOTS = 2, /* for its turn, about */
	SURE_LEVEL = 8,                /* control channel elements of what everybody must read, whatever the SNR */
};

/* Taken off a device's SNR when the elements of its control message are counted: a report of a slot or more ago, and
 * fading within the band. */
static const float control_margin_db = 4.5f;

static const double light_m_s = 299792458;

/* An uplink grant on its way. */
struct ul_expected {
	bool any, is_new;
	uint64_t slot;
	uint32_t bytes;
	struct grant grant;
};

struct peer {
	enum cell_device_state state;
	uint64_t since;     /* slot of the last change of state */
	uint64_t heard;     /* last slot in which its control was decoded */
	uint64_t addressed; /* last slot with a message to it */
	uint64_t served;    /* last slot in which there was room for a grant to it */
	uint64_t commanded; /* last slot with a command to it */
	bool answer_due;
	float preamble_delay; /* samples */
	bool refused;         /* it speaks another version: told so, and no longer read */
	struct arq *arq;
	struct harq harq[2];
	struct link link[2];
	struct predict_state predict;
	struct timing_loop timing;
	struct power_loop power;
	struct ul_expected expected[SLOTS_REMEMBERED]; /* by uplink slot */
	uint64_t ul_grant[GRANTS_REMEMBERED];          /* uplink slots of new blocks, a ring */
	size_t n_ul_grants;
	uint32_t reported_bytes;
	uint64_t reported_slot;
	struct cell_load load;
	uint8_t *dl_block[HARQ_PROCESSES_MAX];
	uint8_t *dl_memory;
	size_t dl_bytes[HARQ_PROCESSES_MAX];
	struct tb_soft *ul_soft[HARQ_PROCESSES_MAX];
	struct csi csi;
	bool have_csi;
	struct cell_device_stats stats;
};

struct cell {
	struct cell_params params;
	const struct numerology *num;
	struct dl_tx *dl;
	struct ul_rx *ul;
	struct rate_table rates;
	struct link_config link_config;
	struct predict_config predict_config;
	struct timing_loop_config timing_config;
	double range_samples; /* round trip */
	struct power_loop_config power_config;
	size_t group, n_rb; /* RBs of the air that are granted together; number of whole groups */
	const struct alloc_method *allocator;
	unsigned keepalive_slots;
	unsigned n_processes; /* a device and direction */
	size_t tb_max;        /* bytes of the largest block */
	struct alloc_state alloc_state[2];
	struct alloc_problem problem;
	struct alloc_result result[2];
	uint64_t slot;    /* last uplink slot */
	uint8_t *block;   /* received */
	uint8_t *message; /* being queued */
	struct peer peer[PHY_DEVICES_MAX];
	struct cell_stats stats;
};

/* Slots from a block to the one built when its fate is known: what a retransmission takes at least. */
static unsigned round_trip(const struct cell *c)
{
	return c->params.tx_ahead + c->params.answer_delay;
}

static bool create_peer(struct cell *c, struct peer *p)
{
	p->arq = arq_create(ARQ_CAPACITY);
	p->dl_memory = malloc(c->n_processes * c->tb_max);
	if (!p->arq || !p->dl_memory)
		return false;
	arq_set_round_trip(p->arq, round_trip(c));
	for (size_t i = 0; i < c->n_processes; i++) {
		p->dl_block[i] = p->dl_memory + i * c->tb_max;
		p->ul_soft[i] = tb_soft_create(c->tb_max);
		if (!p->ul_soft[i])
			return false;
	}
	for (int dir = 0; dir < 2; dir++) {
		link_init(&p->link[dir], &c->link_config, c->n_rb);
		harq_init(&p->harq[dir], c->n_processes, (uint8_t)c->params.max_tx);
	}
	predict_init(&p->predict, &c->predict_config);
	return true;
}

static bool allocate(struct cell *c)
{
	const struct cell_params *p = &c->params;
	float amplitude = power_re_amplitude(p->dl_re_dbm, p->tx_full_scale_dbm, c->num->n_fft);
	c->dl = dl_tx_create(p->layout, p->cell_id, amplitude);
	c->ul = ul_rx_create(p->layout, p->cell_id);
	c->block = malloc(c->tb_max);
	c->message = malloc(MESSAGE_HEADER + MESSAGE_PAYLOAD_MAX);
	bool ok = c->dl && c->ul && c->block && c->message;
	for (unsigned d = 0; ok && d < p->n_devices; d++)
		ok = create_peer(c, &c->peer[d]);
	return ok;
}

struct cell *cell_create(const struct cell_params *p, char *err, size_t err_len)
{
	struct cell *c = calloc(1, sizeof *c);
	if (!c) {
		snprintf(err, err_len, "cell: %s", strerror(errno));
		return NULL;
	}
	c->params = *p;
	c->num = layout_numerology(p->layout);
	c->link_config = link_config_default();
	c->link_config.target_bler = p->bler_target;
	c->keepalive_slots =
	        p->lost_after_slots / KEEPALIVES < KEEPALIVE_SLOTS ? p->lost_after_slots / KEEPALIVES : KEEPALIVE_SLOTS;
	c->n_processes = harq_processes(round_trip(c));
	c->tb_max = dl_tb_bytes_max(p->layout);
	c->predict_config = predict_config_for(numerology_slot_s(c->num));
	c->predict_config.turnaround_s = p->tx_ahead * c->predict_config.slot_s;
	c->predict_config.harq_rtt_s = (round_trip(c) + RETRANSMISSION_WAIT_SLOTS) * c->predict_config.slot_s;
	c->predict_config.target_bler = p->bler_target;
	c->timing_config = timing_loop_config_for(c->num);
	c->power_config = power_loop_config_default();
	c->range_samples = 2 * (double)p->range_m / light_m_s * c->num->rate_hz;
	c->group = rb_group_size(c->num->n_rb);
	c->n_rb = c->num->n_rb / c->group;
	c->allocator = alloc_method_find(p->allocator);
	if (!c->allocator ||
	    rate_table_init(&c->rates, c->n_rb, c->group * layout_nominal_re_per_rb(c->num), p->mcs_margin_db)) {
		errno = EINVAL;
		snprintf(err, err_len, "cell: no allocator \"%s\" for %zu resource blocks", p->allocator, c->num->n_rb);
		cell_destroy(c);
		return NULL;
	}
	if (!allocate(c)) {
		snprintf(err, err_len, "cell: %s", strerror(errno));
		cell_destroy(c);
		return NULL;
	}
	return c;
}

void cell_destroy(struct cell *c)
{
	if (!c)
		return;
	for (unsigned d = 0; d < PHY_DEVICES_MAX; d++) {
		for (size_t i = 0; i < HARQ_PROCESSES_MAX; i++)
			tb_soft_destroy(c->peer[d].ul_soft[i]);
		free(c->peer[d].dl_memory);
		arq_destroy(c->peer[d].arq);
	}
	free(c->message);
	free(c->block);
	ul_rx_destroy(c->ul);
	dl_tx_destroy(c->dl);
	free(c);
}

static unsigned n_groups(const struct cell *c)
{
	return c->params.n_devices > 8 ? 2 : 1;
}

/* ---- states ---- */

static void set_state(struct cell *c, struct peer *p, enum cell_device_state s)
{
	p->state = s;
	p->since = p->heard = c->slot;
}

static void lose(struct cell *c, unsigned d)
{
	struct peer *p = &c->peer[d];
	p->stats.accesses_false += p->state == CELL_ANSWERED;
	set_state(c, p, CELL_ABSENT);
	p->answer_due = false;
	p->stats.losses++;
	if (c->params.user.lost)
		c->params.user.lost(c->params.user.arg, d, c->slot);
}

/* The access answer goes out in that slot: both ends begin anew. */
static void begin_anew(struct cell *c, struct peer *p, uint64_t slot)
{
	arq_reset(p->arq);
	for (int dir = 0; dir < 2; dir++) {
		struct harq_stats kept = p->harq[dir].stats;
		harq_init(&p->harq[dir], c->n_processes, (uint8_t)c->params.max_tx);
		p->harq[dir].stats = kept;
		link_forget(&p->link[dir]);
	}
	memset(p->expected, 0, sizeof p->expected);
	p->reported_bytes = 0;
	p->load = (struct cell_load){ 0 };
	p->refused = false;
	timing_loop_begin(&p->timing, slot + c->params.answer_delay);
	power_loop_begin(&p->power, slot + c->params.answer_delay);
	set_state(c, p, CELL_ANSWERED);
}

void cell_welcome(struct cell *c, unsigned d)
{
	set_state(c, &c->peer[d], CELL_ATTACHED);
	c->peer[d].stats.attaches++;
}

/* ---- uplink ---- */

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
				lose(c, d); /* the streams no longer agree */
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
	if (o->event == HARQ_DELIVERED)
		predict_observe_air(&p->predict, &c->predict_config, air, o->bytes, (double)o->n_rb);
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
			link_observe_rb(dl, measured, u->turn.group, u->value_db);
		break;
	}
}

static void observe_uplink_snr(struct cell *c, struct peer *p)
{
	float snr_db[PHY_RB_MAX];
	for (size_t g = 0; g < c->n_rb; g++) {
		float sum = 0;
		for (size_t i = 0; i < c->group; i++)
			sum += powf(10, 0.1f * p->csi.snr_db[g * c->group + i]);
		snr_db[g] = 10 * log10f(sum / (float)c->group);
	}
	link_observe_band(&p->link[CELL_UL], c->slot, snr_db);
}

/* What the loops of timing and power steer: only what came with control that was read, so that it is this device's. */
static void observe_uplink_place(struct cell *c, struct peer *p)
{
	float received_dbm = power_rsrp_dbm(&p->csi, c->params.rx_full_scale_dbm, c->num->n_fft);
	timing_loop_observe(&p->timing, &c->timing_config, c->slot, (double)p->csi.timing_samples);
	power_loop_observe(&p->power, &c->power_config, c->slot, (double)(received_dbm - c->params.ul_target_re_dbm));
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
	if (p->have_csi) {
		observe_uplink_snr(c, p);
		p->stats.snr_sum_db[CELL_UL] += p->csi.snr_mean_db;
		p->stats.snr_slots[CELL_UL]++;
	}
	if (!rc) {
		p->heard = c->slot;
		p->reported_bytes = u.buffer_bytes;
		p->reported_slot = c->slot;
		observe_value(c, p, &u);
		if (p->have_csi)
			observe_uplink_place(c, p);
	}
	enum harq_ack ack = u.ack == UCI_ACK ? HARQ_ACK : u.ack == UCI_NACK ? HARQ_NACK : HARQ_NONE;
	if (!harq_feedback(&p->harq[CELL_DL], c->slot - c->params.answer_delay, ack, &o))
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
		if (c->peer[d].state == CELL_ABSENT || c->slot - c->peer[d].heard >= n_groups(c))
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
			lose(c, found[i].device);
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
		if (layout_has_control((uint8_t)d, slot, n_groups(c)))
			read_control(c, d);
		read_block(c, d);
		uint64_t last = p->state == CELL_ATTACHED ? p->heard : p->since; /* the hello must come by then */
		if (p->state != CELL_ABSENT && slot - last > c->params.lost_after_slots)
			lose(c, d);
	}
	read_preambles(c);
	return rc;
}

/* ---- downlink: who is served ---- */

static unsigned sure_level(const struct cell *c)
{
	unsigned most = dl_level_max(c->params.layout);
	return most < SURE_LEVEL ? most : SURE_LEVEL;
}

/* Control channel elements for a message of that size to this device. */
static unsigned control_level(const struct cell *c, const struct peer *p, enum dci_size size)
{
	if (!p->link[CELL_DL].known)
		return sure_level(c);
	return dl_level_for(c->params.layout, size, p->link[CELL_DL].wideband_db - control_margin_db);
}

uint32_t cell_ul_backlog(const struct cell *c, unsigned d)
{
	const struct peer *p = &c->peer[d];
	uint64_t granted = 0;
	for (size_t i = 0; i < SLOTS_REMEMBERED; i++) {
		const struct ul_expected *e = &p->expected[i];
		if (e->any && e->is_new && e->slot > p->reported_slot)
			granted += e->bytes;
	}
	return granted < p->reported_bytes ? p->reported_bytes - (uint32_t)granted : 0;
}

size_t cell_dl_backlog(const struct cell *c, unsigned d)
{
	return arq_backlog(c->peer[d].arq, c->slot);
}

/* A downlink block only where the device can acknowledge it. */
static bool wants(const struct cell *c, unsigned d, enum cell_direction dir, uint64_t slot)
{
	const struct peer *p = &c->peer[d];
	if (p->state == CELL_ABSENT)
		return false;
	if (dir == CELL_DL && !layout_has_control((uint8_t)d, slot + c->params.answer_delay, n_groups(c)))
		return false;
	if (harq_pending(&p->harq[dir]) >= 0)
		return true;
	return harq_pick(&p->harq[dir]) >= 0 && (dir == CELL_DL ? cell_dl_backlog(c, d) : cell_ul_backlog(c, d)) > 0;
}

/* Of the devices in the mask the one that was served longest ago; n_devices for none. */
static unsigned longest_unserved(const struct cell *c, uint32_t mask, uint64_t slot)
{
	unsigned best = c->params.n_devices;
	for (unsigned i = 0; i < c->params.n_devices; i++) {
		unsigned d = (unsigned)((slot + i) % c->params.n_devices);
		if (mask >> d & 1 && (best == c->params.n_devices || c->peer[d].served < c->peer[best].served))
			best = d;
	}
	return best;
}

/* Devices whose messages fit the control symbols. Who was served longest ago comes first, so that a device that needs
 * most of the room for its message gets it when its turn has come. */
static uint32_t choose_served(struct cell *c, uint64_t slot, size_t room)
{
	uint32_t waiting = 0, served = 0;
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (wants(c, d, CELL_DL, slot) || wants(c, d, CELL_UL, slot))
			waiting |= 1u << d;
	while (waiting) {
		unsigned d = longest_unserved(c, waiting, slot);
		bool both = wants(c, d, CELL_DL, slot) && wants(c, d, CELL_UL, slot);
		unsigned level = control_level(c, &c->peer[d], both ? DCI_LONG : DCI_SHORT);
		waiting &= ~(1u << d);
		c->stats.wanted++;
		if (level <= room) {
			served |= 1u << d;
			room -= level;
			c->peer[d].served = slot;
		} else {
			c->stats.rationed++;
			c->peer[d].stats.rationed++;
		}
	}
	return served;
}

static void describe(struct cell *c, struct alloc_device *a, unsigned d, enum cell_direction dir, uint64_t slot)
{
	struct peer *p = &c->peer[d];
	int again = harq_pending(&p->harq[dir]);
	*a = (struct alloc_device){
		.alive = true,
		.loaded = p->load.loaded,
		.can_send_new = harq_pick(&p->harq[dir]) >= 0,
		.backlog_bytes = dir == CELL_DL ? (uint32_t)cell_dl_backlog(c, d) : cell_ul_backlog(c, d),
		.remaining_bytes = p->load.remaining_bytes[dir],
		.tail_s = dir == CELL_DL ? p->load.tail_s : 0,
		.retx = again >= 0,
	};
	if (a->remaining_bytes < a->backlog_bytes)
		a->remaining_bytes = a->backlog_bytes;
	if (again >= 0) {
		const struct harq_process *h = &p->harq[dir].process[again];
		a->retx_process = (uint8_t)again;
		a->retx_n_rb = h->n_rb;
		a->retx_mcs = h->mcs;
		a->retx_bytes = h->bytes;
	}
	link_view(&p->link[dir], &c->link_config, slot, &a->link);
}

/* Whole groups of which every RB may be used in this slot. */
static struct rb_set available(const struct cell *c, enum cell_direction dir, uint64_t slot)
{
	struct rb_set rbs = layout_ul_rbs(c->params.layout, slot), groups = { { 0 } };
	for (size_t g = 0; g < c->n_rb; g++) {
		bool whole = true;
		for (size_t i = 0; i < c->group && dir == CELL_UL; i++)
			whole = whole && rb_set_has(&rbs, g * c->group + i);
		if (whole)
			rb_set_add(&groups, g);
	}
	return groups;
}

static void allocate_direction(struct cell *c, enum cell_direction dir, uint64_t slot, uint32_t served)
{
	struct alloc_problem *p = &c->problem;
	*p = (struct alloc_problem){ .n_rb = c->n_rb,
		                     .rates = &c->rates,
		                     .grants_max = PHY_DEVICES_MAX,
		                     .min_bytes = MIN_TB_BYTES,
		                     .slot_s = numerology_slot_s(c->num),
		                     .n_devices = c->params.n_devices };
	p->available = available(c, dir, slot);
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (served >> d & 1)
			describe(c, &p->device[d], d, dir, slot);
	c->allocator->allocate(p, &c->alloc_state[dir], &c->result[dir]);
}

/* ---- downlink: what is sent ---- */

static struct rb_set rbs_of_groups(const struct cell *c, const struct rb_set *groups)
{
	struct rb_set rbs = { { 0 } };
	for (size_t g = 0; g < c->n_rb; g++)
		if (rb_set_has(groups, g))
			rb_set_add_range(&rbs, g * c->group, c->group);
	return rbs;
}

static struct grant to_grant(const struct cell *c, const struct harq *h, const struct alloc_grant *a, uint8_t process)
{
	return (struct grant){ .rbs = rbs_of_groups(c, &a->rbs),
		               .mcs = a->mcs,
		               .harq_id = process,
		               .ndi = h->process[process].ndi,
		               .rv = h->process[process].rv };
}

static void count_grant(const struct cell *c, struct peer *p, enum cell_direction dir, const struct alloc_grant *a)
{
	p->stats.bytes_on_air[dir] += a->bytes;
	p->stats.rb_slots[dir] += a->n_rb * c->group;
	if (a->retx)
		return;
	p->stats.blocks[dir]++;
	p->stats.mcs_sum[dir] += a->mcs;
}

/* Books a grant with HARQ; returns its process. */
static uint8_t book(const struct cell *c, struct peer *p, enum cell_direction dir, const struct alloc_grant *a,
                    uint64_t slot)
{
	struct harq *h = &p->harq[dir];
	int process = a->retx ? a->process : harq_pick_for(h, a->bytes);
	if (a->retx)
		harq_send_again(h, process, slot);
	else
		harq_send_new(h, process, slot, a->mcs, a->n_rb, a->bytes, a->adapts);
	count_grant(c, p, dir, a);
	return (uint8_t)process;
}

static void grant_downlink(struct cell *c, const struct alloc_grant *a, uint64_t slot, struct dci *dci)
{
	struct peer *p = &c->peer[a->device];
	uint8_t process = book(c, p, CELL_DL, a, slot);
	if (!a->retx) {
		arq_fill(p->arq, p->dl_block[process], a->bytes, process, slot);
		p->dl_bytes[process] = a->bytes;
	}
	dci->has_dl = true;
	dci->dl = to_grant(c, &p->harq[CELL_DL], a, process);
}

static void grant_uplink(struct cell *c, const struct alloc_grant *a, uint64_t slot, struct dci *dci)
{
	struct peer *p = &c->peer[a->device];
	uint8_t process = book(c, p, CELL_UL, a, slot);
	dci->has_ul = true;
	dci->ul = to_grant(c, &p->harq[CELL_UL], a, process);
	p->expected[slot % SLOTS_REMEMBERED] = (struct ul_expected){
		.any = true, .is_new = !a->retx, .slot = slot, .bytes = a->bytes, .grant = dci->ul
	};
	if (!a->retx)
		p->ul_grant[p->n_ul_grants++ % GRANTS_REMEMBERED] = slot;
}

static void send_answers(struct cell *c, uint64_t slot)
{
	for (unsigned d = 0; d < c->params.n_devices; d++) {
		struct peer *p = &c->peer[d];
		int timing = timing_loop_answer(&c->timing_config, (double)p->preamble_delay);
		struct dci dci = { .device = (uint8_t)d,
			           .has_command = true,
			           .command = { .access_answer = true, .timing = (int8_t)timing } };
		if (!p->answer_due)
			continue;
		if (dl_tx_dci(c->dl, &dci, sure_level(c))) {
			c->stats.rationed_answers++;
			continue;
		}
		p->answer_due = false;
		p->addressed = p->commanded = slot;
		p->stats.advance_units = timing;
		begin_anew(c, p, slot);
	}
}

/* A command took its place in the slot: the loops wait for what it does. */
static void command_sent(struct cell *c, struct peer *p, const struct command *command, uint64_t slot)
{
	uint64_t effective = slot + c->params.answer_delay;
	p->addressed = p->commanded = slot;
	p->stats.commands++;
	if (command->timing) {
		timing_loop_begin(&p->timing, effective);
		p->stats.advance_units += command->timing;
		p->stats.timing_commands++;
	}
	if (command->power_step_db) {
		power_loop_sent(&p->power, command->power_step_db, effective);
		p->stats.power_commands++;
	}
}

/* What the loops have to say; and now and then, even if that is nothing, that a device is still known: its timing
 * advance is good only as long as it hears of it. */
static void send_commands(struct cell *c, uint64_t slot)
{
	for (unsigned d = 0; d < c->params.n_devices; d++) {
		struct peer *p = &c->peer[d];
		if (p->state == CELL_ABSENT)
			continue;
		struct dci dci = { .device = (uint8_t)d, .has_command = true };
		dci.command.timing = (int8_t)timing_loop_command(&p->timing, &c->timing_config);
		dci.command.power_step_db = (int8_t)power_loop_command(&p->power, &c->power_config);
		if (!dci.command.timing && !dci.command.power_step_db && slot - p->commanded < c->keepalive_slots)
			continue;
		if (dl_tx_dci(c->dl, &dci, control_level(c, p, DCI_SHORT)))
			c->stats.rationed_commands++;
		else
			command_sent(c, p, &dci.command, slot);
	}
}

static void send_grants(struct cell *c, uint64_t slot, const struct dci *dci, uint32_t served)
{
	for (unsigned d = 0; d < c->params.n_devices; d++) {
		struct peer *p = &c->peer[d];
		if (!dci[d].has_dl && !dci[d].has_ul) {
			c->stats.unallocated += served >> d & 1;
			continue;
		}
		p->addressed = slot;
		/* There is room: choose_served counted. Were there none, the device would stay silent, and the block
		 * would go again. */
		dl_tx_dci(c->dl, &dci[d], control_level(c, p, dci_size_of(&dci[d])));
		c->stats.dcis++;
		if (dci[d].has_dl)
			dl_tx_data(c->dl, (uint8_t)d, &dci[d].dl, p->dl_block[dci[d].dl.harq_id],
			           p->dl_bytes[dci[d].dl.harq_id]);
	}
}

static void send_sysinfo(struct cell *c, uint64_t slot)
{
	struct sysinfo si = { .slot = (uint32_t)slot,
		              .dl_re_dbm = (int8_t)lroundf(c->params.dl_re_dbm),
		              .ul_target_dbm = (int8_t)lroundf(c->params.ul_target_re_dbm),
		              .n_groups = (uint8_t)n_groups(c),
		              .ack_delay = (uint8_t)c->params.answer_delay,
		              .grant_delay = (uint8_t)c->params.answer_delay,
		              .round_trip = (uint8_t)round_trip(c),
		              .cell_id = c->params.cell_id,
		              .version = DCI_VERSION };
	dl_tx_sysinfo(c->dl, &si, sure_level(c));
	c->stats.sysinfos++;
}

void cell_downlink(struct cell *c, uint64_t slot, float complex *samples)
{
	struct dci dci[PHY_DEVICES_MAX] = { 0 };
	dl_tx_begin(c->dl, slot);
	if (layout_is_sync_slot(slot))
		send_sysinfo(c, slot);
	send_answers(c, slot);
	send_commands(c, slot);
	uint32_t served = choose_served(c, slot, dl_tx_cce_left(c->dl));
	uint32_t served_dl = 0;
	for (unsigned d = 0; d < c->params.n_devices; d++) {
		dci[d].device = (uint8_t)d;
		if (served >> d & 1 && wants(c, d, CELL_DL, slot))
			served_dl |= 1u << d;
	}
	allocate_direction(c, CELL_DL, slot, served_dl);
	uint64_t ul_slot = slot + c->params.answer_delay;
	allocate_direction(c, CELL_UL, ul_slot, served);
	for (size_t i = 0; i < c->result[CELL_DL].n_grants; i++)
		grant_downlink(c, &c->result[CELL_DL].grant[i], slot, &dci[c->result[CELL_DL].grant[i].device]);
	for (size_t i = 0; i < c->result[CELL_UL].n_grants; i++)
		grant_uplink(c, &c->result[CELL_UL].grant[i], ul_slot, &dci[c->result[CELL_UL].grant[i].device]);
	send_grants(c, slot, dci, served);
	dl_tx_finish(c->dl, samples);
	c->stats.clipped += level_clip(samples, c->num->slot_len);
}

/* ---- for the upper layer ---- */

int cell_send(struct cell *c, unsigned d, const struct message *m, const void *payload)
{
	struct peer *p = &c->peer[d];
	if (p->state == CELL_ABSENT)
		return -ENOTCONN;
	size_t n = message_encode(m, payload, c->message, MESSAGE_HEADER + MESSAGE_PAYLOAD_MAX);
	return n ? arq_send(p->arq, c->message, n) : -ENOBUFS;
}

void cell_set_load(struct cell *c, unsigned d, const struct cell_load *load)
{
	c->peer[d].load = *load;
}

void cell_next_layer(struct cell *c)
{
	c->alloc_state[CELL_DL].layer++;
	c->alloc_state[CELL_UL].layer++;
}

enum cell_device_state cell_state(const struct cell *c, unsigned d)
{
	return c->peer[d].state;
}

uint32_t cell_queued(const struct cell *c, unsigned d)
{
	return arq_offset(c->peer[d].arq);
}

uint32_t cell_sent(const struct cell *c, unsigned d)
{
	return arq_sent(c->peer[d].arq);
}

uint64_t cell_ul_grant_after(const struct cell *c, unsigned d, uint64_t slot)
{
	const struct peer *p = &c->peer[d];
	uint64_t best = UINT64_MAX;
	size_t n = p->n_ul_grants < GRANTS_REMEMBERED ? p->n_ul_grants : GRANTS_REMEMBERED;
	for (size_t i = 0; i < n; i++)
		if (p->ul_grant[i] >= slot && p->ul_grant[i] < best)
			best = p->ul_grant[i];
	return best;
}

size_t cell_n_rb(const struct cell *c)
{
	return c->n_rb;
}

void cell_rates(const struct cell *c, unsigned d, enum cell_direction dir, float *bytes_per_slot)
{
	struct link_view view;
	struct rb_set all = { { 0 } };
	rb_set_add_range(&all, 0, c->n_rb);
	link_view(&c->peer[d].link[dir], &c->link_config, c->slot + c->params.tx_ahead, &view);
	link_rates(&view, &c->rates, &all, bytes_per_slot);
}

struct predict_state *cell_predict_state(struct cell *c, unsigned d)
{
	return &c->peer[d].predict;
}

const struct predict_config *cell_predict_config(const struct cell *c)
{
	return &c->predict_config;
}

const struct rate_table *cell_rate_table(const struct cell *c)
{
	return &c->rates;
}

const struct csi *cell_csi(const struct cell *c, unsigned d)
{
	return c->peer[d].have_csi ? &c->peer[d].csi : NULL;
}

struct cell_device_stats cell_device_stats(const struct cell *c, unsigned d)
{
	struct cell_device_stats s = c->peer[d].stats;
	s.harq[CELL_DL] = c->peer[d].harq[CELL_DL].stats;
	s.harq[CELL_UL] = c->peer[d].harq[CELL_UL].stats;
	s.arq = arq_stats(c->peer[d].arq);
	s.power_correction_db = c->peer[d].power.correction_db;
	s.late_samples = (float)c->peer[d].timing.late_samples;
	s.received_db = (float)(10 * log10(fmax(c->peer[d].power.received, 1e-30)));
	return s;
}

struct cell_stats cell_stats(const struct cell *c)
{
	return c->stats;
}
