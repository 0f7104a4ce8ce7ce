#include "testbed/cell_inner.h"

#include <math.h>

#include "phy/dl_level.h"
#include "phy/level.h"

enum {
	SURE_LEVEL = 8, /* control channel elements of what everybody must read, whatever the SNR */
};

/* Taken off a device's SNR when the elements of its control message are counted: a report of a slot or more ago, and
 * fading within the band. */
static const float control_margin_db = 4.5f;

/* ---- who is served ---- */

static unsigned sure_level(const struct cell *c)
{
	unsigned most = dl_level_max(c->params.layout);
	return most < SURE_LEVEL ? most : SURE_LEVEL;
}

/* Control channel elements for a message of that size to this device. */
unsigned cell_control_level(const struct cell *c, unsigned device, enum dci_size size)
{
	const struct peer *p = &c->peer[device];
	if (!p->link[CELL_DL].known)
		return sure_level(c);
	return dl_level_for(c->params.layout, size, p->link[CELL_DL].wideband_db - control_margin_db);
}

/* A downlink block only where the device can acknowledge it. */
static bool wants(const struct cell *c, unsigned d, enum cell_direction dir, uint64_t slot)
{
	const struct peer *p = &c->peer[d];
	if (p->state == CELL_ABSENT)
		return false;
	if (dir == CELL_DL && !layout_has_control((uint8_t)d, slot + c->params.answer_delay, cell_n_groups(c)))
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
		unsigned level = cell_control_level(c, d, both ? DCI_LONG : DCI_SHORT);
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
		.after_s = p->load.after_s,
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
	cell_foresee(c, d, dir, slot, &a->link);
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

/* multicast: its block is one party more. */
static void allocate_direction(struct cell *c, enum cell_direction dir, uint64_t slot, uint32_t served, bool multicast)
{
	struct alloc_problem *p = &c->problem;
	bool short_of_res = dir == CELL_DL && layout_is_sync_slot(slot);
	*p = (struct alloc_problem){ .n_rb = c->n_rb,
		                     .rates = short_of_res ? &c->sync_rates : &c->rates,
		                     .grants_max = ALLOC_PARTIES_MAX,
		                     .min_bytes = MIN_TB_BYTES,
		                     .slot_s = numerology_slot_s(c->num),
		                     .n_devices = c->params.n_devices };
	p->available = available(c, dir, slot);
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (served >> d & 1)
			describe(c, &p->device[d], d, dir, slot);
	if (multicast)
		cast_describe(c, slot, &p->device[p->n_devices++]);
	c->allocator->allocate(p, &c->alloc_state[dir], &c->result[dir]);
}

/* ---- what is sent ---- */

struct rb_set cell_rbs_of_groups(const struct cell *c, const struct rb_set *groups)
{
	struct rb_set rbs = { { 0 } };
	for (size_t g = 0; g < c->n_rb; g++)
		if (rb_set_has(groups, g))
			rb_set_add_range(&rbs, g * c->group, c->group);
	return rbs;
}

static struct grant to_grant(const struct cell *c, const struct harq *h, const struct alloc_grant *a, uint8_t process)
{
	return (struct grant){ .rbs = cell_rbs_of_groups(c, &a->rbs),
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
		cell_begin_anew(c, p, slot);
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
		if (dl_tx_dci(c->dl, &dci, cell_control_level(c, d, DCI_SHORT)))
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
		dl_tx_dci(c->dl, &dci[d], cell_control_level(c, d, dci_size_of(&dci[d])));
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
		              .ul_target_dbm =
		                      (int8_t)lroundf(fminf(fmaxf(c->params.ul_target_re_dbm, DCI_TARGET_MIN_DBM), 0)),
		              .comb_boost = c->params.comb_boost,
		              .n_groups = (uint8_t)cell_n_groups(c),
		              .ack_delay = (uint8_t)c->params.answer_delay,
		              .grant_delay = (uint8_t)c->params.answer_delay,
		              .round_trip = (uint8_t)cell_round_trip(c),
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
	size_t room = dl_tx_cce_left(c->dl);
	bool multicast = cast_prepare(c, slot) && cast_level(c) <= room;
	uint32_t served = choose_served(c, slot, room - (multicast ? cast_level(c) : 0)), served_dl = 0;
	for (unsigned d = 0; d < c->params.n_devices; d++) {
		dci[d].device = (uint8_t)d;
		if (served >> d & 1 && wants(c, d, CELL_DL, slot))
			served_dl |= 1u << d;
	}
	allocate_direction(c, CELL_DL, slot, served_dl, multicast);
	uint64_t ul_slot = slot + c->params.answer_delay;
	allocate_direction(c, CELL_UL, ul_slot, served, false);
	for (size_t i = 0; i < c->result[CELL_DL].n_grants; i++) {
		const struct alloc_grant *a = &c->result[CELL_DL].grant[i];
		if (a->device < c->params.n_devices)
			grant_downlink(c, a, slot, &dci[a->device]);
		else
			cast_grant(c, a, slot);
	}
	for (size_t i = 0; i < c->result[CELL_UL].n_grants; i++)
		grant_uplink(c, &c->result[CELL_UL].grant[i], ul_slot, &dci[c->result[CELL_UL].grant[i].device]);
	send_grants(c, slot, dci, served);
	dl_tx_finish(c->dl, samples);
	c->stats.clipped += level_clip(samples, c->num->slot_len);
}
