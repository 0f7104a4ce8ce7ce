#include "testbed/cell_inner.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phy/dl_level.h"
#include "testbed/states.h"

bool cast_create(struct cell *c)
{
	struct cast *k = &c->cast;
	k->bytes = malloc(MESSAGE_PAYLOAD_MAX);
	k->memory = malloc(c->n_processes * c->tb_max);
	for (size_t i = 0; k->memory && i < c->n_processes; i++)
		k->block[i] = k->memory + i * c->tb_max;
	harq_init(&k->harq, c->n_processes, (uint8_t)c->params.max_tx);
	return k->bytes && k->memory;
}

void cast_destroy(struct cell *c)
{
	free(c->cast.memory);
	free(c->cast.bytes);
}

/* ---- what is on its way ---- */

/* What the next new block carries; n 0: nothing. */
static struct cast_segment next_segment(const struct cast *k)
{
	if (k->n_lost)
		return k->lost[0];
	return (struct cast_segment){ (uint32_t)k->next, (uint32_t)(k->n - k->next), k->devices };
}

static void took(struct cast *k, uint32_t n)
{
	if (!k->n_lost) {
		k->next += n;
		return;
	}
	k->lost[0].offset += n;
	k->lost[0].n -= n;
	if (!k->lost[0].n)
		memmove(k->lost, k->lost + 1, --k->n_lost * sizeof *k->lost);
}

/* The devices that the next transmission is for, a repetition before a new block; 0: there is none. */
static uint32_t next_devices(const struct cast *k)
{
	int again = harq_pending(&k->harq);
	if (again >= 0)
		return k->in_block[again].devices;
	struct cast_segment s = next_segment(k);
	return s.n && harq_pick(&k->harq) >= 0 ? s.devices : 0;
}

static void drop_all(struct cast *k)
{
	struct harq_outcome o;
	while (!harq_flush(&k->harq, &o))
		k->in_block[o.process].devices = 0;
	k->n = k->next = k->n_lost = 0;
}

/* Do they all answer in the uplink slots in which one of them does? */
static bool answer_together(const struct cell *c, uint32_t devices)
{
	for (uint64_t slot = 0; slot < cell_n_groups(c); slot++) {
		bool all = true;
		for (unsigned d = 0; d < c->params.n_devices; d++)
			if (devices >> d & 1)
				all = all && layout_has_control((uint8_t)d, slot, cell_n_groups(c));
		if (all)
			return true;
	}
	return false;
}

static bool all_attached(const struct cell *c, uint32_t devices)
{
	for (unsigned d = 0; d < PHY_DEVICES_MAX; d++)
		if (devices >> d & 1 && (d >= c->params.n_devices || c->peer[d].state != CELL_ATTACHED))
			return false;
	return devices != 0;
}

int cell_multicast(struct cell *c, uint32_t devices, uint32_t set, const void *bytes, size_t n)
{
	struct cast *k = &c->cast;
	if (n > MESSAGE_PAYLOAD_MAX)
		return -ENOBUFS;
	if (!all_attached(c, devices) || !answer_together(c, devices))
		return -EINVAL;
	drop_all(k);
	k->set = set;
	k->devices = devices;
	k->n = n;
	memcpy(k->bytes, bytes, n);
	k->stats.sets++;
	k->stats.bytes += n;
	return 0;
}

void cast_leave(struct cell *c, unsigned device)
{
	struct cast *k = &c->cast;
	uint32_t stay = ~(1u << device);
	size_t n_lost = 0;
	k->devices &= stay;
	for (size_t i = 0; i < HARQ_PROCESSES_MAX; i++)
		k->in_block[i].devices &= stay;
	for (size_t i = 0; i < k->n_lost; i++) {
		k->lost[n_lost] = k->lost[i];
		k->lost[n_lost].devices &= stay;
		n_lost += k->lost[n_lost].devices != 0;
	}
	k->n_lost = n_lost;
	if (!k->devices)
		drop_all(k);
}

void cell_multicast_leave(struct cell *c, unsigned device)
{
	cast_leave(c, device);
}

/* ---- who is served ---- */

/* What will be in place of what is expected: the level of the downlink, and where it lies in the band both ways. */
void cell_foresee(const struct cell *c, unsigned d, enum cell_direction dir, uint64_t slot, struct link_view *v)
{
	const struct link *l = &c->peer[d].link[dir];
	float above_db[PHY_RB_MAX];
	link_view(l, slot, v);
	if (!c->oracle.channel || !v->usable)
		return;
	float mean_db = c->oracle.channel(c->oracle.arg, d, dir, slot, above_db);
	for (size_t rb = 0; rb < c->n_rb; rb++)
		v->snr_db[rb] = (isnan(mean_db) ? l->wideband_db : mean_db) + above_db[rb] + l->olla_db;
}

/* views: PHY_DEVICES_MAX, of the devices filled. */
static void join_views(const struct cell *c, uint32_t devices, uint64_t slot, struct link_view *views,
                       struct link_view *joint)
{
	const struct link_view *of[PHY_DEVICES_MAX];
	size_t n = 0;
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (devices >> d & 1) {
			cell_foresee(c, d, CELL_DL, slot, &views[d]);
			of[n++] = &views[d];
		}
	link_view_joint(of, n, &c->rates, joint);
}

double cell_multicast_rate(const struct cell *c, uint32_t devices)
{
	struct link_view views[PHY_DEVICES_MAX], joint;
	struct rb_set all = { { 0 } };
	float rates[PHY_RB_MAX + 1];
	if (!all_attached(c, devices) || !answer_together(c, devices))
		return 0;
	rb_set_add_range(&all, 0, c->n_rb);
	join_views(c, devices, c->slot + c->params.tx_ahead, views, &joint);
	link_rates(&joint, &c->rates, &all, rates);
	return (double)rates[c->n_rb];
}

bool cast_wants(const struct cell *c, uint64_t slot)
{
	uint32_t devices = next_devices(&c->cast);
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (devices >> d & 1 &&
		    !layout_has_control((uint8_t)d, slot + c->params.answer_delay, cell_n_groups(c)))
			return false;
	return devices != 0;
}

unsigned cast_level(const struct cell *c)
{
	unsigned level = 0;
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (next_devices(&c->cast) >> d & 1) {
			unsigned its = cell_control_level(c, d, DCI_LONG);
			level = its > level ? its : level;
		}
	return level;
}

/* What follows it: the longest of its devices' computing, and all of their uplinks. */
static void describe_tail(const struct cell *c, uint32_t devices, struct alloc_device *a)
{
	double compute_s = 0;
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (devices >> d & 1) {
			compute_s = fmax(compute_s, c->peer[d].load.tail_s - c->peer[d].load.after_s);
			a->after_s += c->peer[d].load.after_s;
		}
	a->tail_s = compute_s + a->after_s;
}

void cast_describe(struct cell *c, uint64_t slot, struct alloc_device *a)
{
	const struct cast *k = &c->cast;
	struct link_view views[PHY_DEVICES_MAX];
	int again = harq_pending(&k->harq);
	struct cast_segment s = next_segment(k);
	uint32_t devices = next_devices(k);
	*a = (struct alloc_device){ .alive = true,
		                    .loaded = true,
		                    .can_send_new = harq_pick(&k->harq) >= 0,
		                    .backlog_bytes = s.n ? STATES_HEADER + s.n : 0,
		                    .remaining_bytes = STATES_HEADER + (double)(k->n - k->next),
		                    .members = devices,
		                    .retx = again >= 0 };
	for (size_t i = 0; i < k->n_lost; i++)
		a->remaining_bytes += STATES_HEADER + k->lost[i].n;
	if (again >= 0) {
		const struct harq_process *h = &k->harq.process[again];
		a->retx_process = (uint8_t)again;
		a->retx_n_rb = h->n_rb;
		a->retx_mcs = h->mcs;
		a->retx_bytes = h->bytes;
	}
	describe_tail(c, devices, a);
	join_views(c, devices, slot, views, &a->link);
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (devices >> d & 1)
			c->problem.device[d].link = views[d];
}

/* ---- what is sent ---- */

static void fill_block(struct cast *k, size_t process, size_t n_bytes)
{
	struct cast_segment s = next_segment(k);
	uint32_t room = (uint32_t)n_bytes - STATES_HEADER;
	if (room > STATES_SEGMENT_MAX)
		room = STATES_SEGMENT_MAX;
	s.n = s.n < room ? s.n : room;
	k->stats.bytes_resent += k->n_lost ? s.n : 0;
	states_write_segment(k->set, s.offset, k->bytes + s.offset, s.n, k->block[process], n_bytes);
	k->block_bytes[process] = n_bytes;
	k->in_block[process] = s;
	took(k, s.n);
}

void cast_grant(struct cell *c, const struct alloc_grant *a, uint64_t slot)
{
	struct cast *k = &c->cast;
	unsigned level = cast_level(c);
	int process = a->retx ? a->process : harq_pick(&k->harq);
	if (a->retx) {
		harq_send_again(&k->harq, process, slot);
	} else {
		fill_block(k, (size_t)process, a->bytes);
		harq_send_new(&k->harq, process, slot, a->mcs, a->n_rb, a->bytes, false);
		k->stats.blocks++;
		k->stats.mcs_sum += a->mcs;
		k->stats.receivers += (unsigned)__builtin_popcount(k->in_block[process].devices);
	}
	k->stats.bytes_on_air += a->bytes;
	k->stats.rb_slots += a->n_rb * c->group;
	struct multicast m = { .devices = (uint16_t)k->in_block[process].devices,
		               .grant = { .rbs = cell_rbs_of_groups(c, &a->rbs),
		                          .mcs = a->mcs,
		                          .harq_id = (uint8_t)process,
		                          .ndi = k->harq.process[process].ndi,
		                          .rv = k->harq.process[process].rv } };
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (m.devices >> d & 1)
			c->peer[d].addressed = slot;
	dl_tx_multicast(c->dl, &m, level);
	dl_tx_multicast_data(c->dl, &m.grant, k->block[process], k->block_bytes[process]);
}

/* ---- what became of it ---- */

/* The process whose block these answers are for; n_processes: none. */
static size_t answered_process(const struct cell *c)
{
	const struct harq *h = &c->cast.harq;
	size_t i = 0;
	while (i < h->n_processes && (h->process[i].state != HARQ_WAITING ||
	                              h->process[i].slot + c->params.answer_delay != c->slot))
		i++;
	return i;
}

/* Takes out those who have the block; the answer of them all: NONE if one of the others gave none. */
static enum harq_ack gather(struct cell *c, struct cast_segment *s, const struct harq_process *h)
{
	enum harq_ack worst = HARQ_ACK;
	for (unsigned d = 0; d < c->params.n_devices; d++) {
		enum harq_ack answer = c->cast.answer[d];
		if (!(s->devices >> d & 1))
			continue;
		if (h->n_tx == 1 && answer != HARQ_NONE)
			link_observe_block(&c->peer[d].link[CELL_DL], &c->link_config, h->mcs, false,
			                   answer == HARQ_ACK);
		if (answer == HARQ_ACK)
			s->devices &= ~(1u << d);
		else if (worst != HARQ_NONE)
			worst = answer;
	}
	return worst;
}

void cast_settle(struct cell *c)
{
	struct cast *k = &c->cast;
	struct harq_outcome o;
	size_t process = answered_process(c);
	if (process < k->harq.n_processes) {
		struct cast_segment *s = &k->in_block[process];
		enum harq_ack answer = gather(c, s, &k->harq.process[process]);
		harq_feedback(&k->harq, c->slot - c->params.answer_delay, answer, &o);
		if (o.event == HARQ_FAILED && s->devices && k->n_lost < CAST_LOST_MAX)
			k->lost[k->n_lost++] = *s; /* without room the device asks for it */
	}
	memset(k->answer, 0, sizeof k->answer); /* HARQ_NONE */
}
