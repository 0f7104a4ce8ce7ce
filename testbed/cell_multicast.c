#include "testbed/cell_inner.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phy/dl_level.h"
#include "testbed/states.h"

/* Rates so much alike that segments share a block. */
#define SAME_RATE 0.85

bool cast_create(struct cell *c)
{
	struct cast *k = &c->cast;
	k->bytes = malloc(MESSAGE_PAYLOAD_MAX);
	k->memory = malloc(c->n_processes * c->tb_max);
	for (size_t i = 0; k->memory && i < c->n_processes; i++)
		k->block[i].bytes = k->memory + i * c->tb_max;
	harq_init(&k->harq, c->n_processes, (uint8_t)c->params.max_tx);
	return k->bytes && k->memory;
}

void cast_destroy(struct cell *c)
{
	free(c->cast.memory);
	free(c->cast.bytes);
}

/* ---- what is on its way ---- */

static void drop_all(struct cast *k)
{
	struct harq_outcome o;
	while (!harq_flush(&k->harq, &o))
		k->block[o.process].lacking = 0;
	k->n_queue = 0;
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

bool cell_multicast_can(const struct cell *c, uint32_t devices)
{
	for (unsigned d = 0; d < PHY_DEVICES_MAX; d++)
		if (devices >> d & 1 && (d >= c->params.n_devices || c->peer[d].state != CELL_ATTACHED))
			return false;
	return devices != 0 && answer_together(c, devices);
}

int cell_multicast(struct cell *c, uint32_t set, const void *bytes, size_t n, const struct cell_segment *segments,
                   size_t n_segments)
{
	struct cast *k = &c->cast;
	if (n > MESSAGE_PAYLOAD_MAX || n_segments > CELL_SEGMENTS_MAX)
		return -ENOBUFS;
	for (size_t i = 0; i < n_segments; i++)
		if (!segments[i].n || segments[i].offset > n || segments[i].n > n - segments[i].offset ||
		    !cell_multicast_can(c, segments[i].devices))
			return -EINVAL;
	drop_all(k);
	k->set = set;
	k->n_queue = n_segments;
	memcpy(k->bytes, bytes, n);
	memcpy(k->queue, segments, n_segments * sizeof *segments);
	k->stats.sets++;
	k->stats.bytes += n;
	return 0;
}

size_t cell_multicast_left(const struct cell *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->cast.n_queue; i++)
		n += c->cast.queue[i].n;
	return n;
}

void cell_multicast_leave(struct cell *c, unsigned device)
{
	struct cast *k = &c->cast;
	uint32_t stay = ~(1u << device);
	size_t n = 0;
	for (int i = 0; i < k->harq.n_processes; i++) {
		struct harq_outcome o;
		k->block[i].lacking &= stay;
		if (!k->block[i].lacking)
			harq_drop(&k->harq, i, &o);
	}
	for (size_t i = 0; i < k->n_queue; i++) {
		k->queue[n] = k->queue[i];
		k->queue[n].devices &= stay;
		n += k->queue[n].devices != 0;
	}
	k->n_queue = n;
}

/* ---- who is served ---- */

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

static double joint_rate(const struct cell *c, uint32_t devices, uint64_t slot)
{
	struct link_view views[PHY_DEVICES_MAX], joint;
	struct rb_set all = { { 0 } };
	float rates[PHY_RB_MAX + 1];
	rb_set_add_range(&all, 0, c->n_rb);
	join_views(c, devices, slot, views, &joint);
	link_rates(&joint, &c->rates, &all, rates);
	return (double)rates[c->n_rb];
}

double cell_multicast_rate(const struct cell *c, uint32_t devices)
{
	return cell_multicast_can(c, devices) ? joint_rate(c, devices, c->slot + c->params.tx_ahead) : 0;
}

/* A new block carries the first segment, and if it has room for more, those behind it whose devices are hardly worse off. */
static void prepare_new(struct cell *c, uint64_t slot)
{
	struct cast *k = &c->cast;
	uint32_t devices = k->queue[0].devices, n = STATES_HEADER + k->queue[0].n;
	double alone = joint_rate(c, devices, slot);
	for (size_t i = 1; i < k->n_queue && i < CAST_PIECES_MAX && n < alone; i++) {
		uint32_t more = devices | k->queue[i].devices;
		if (!answer_together(c, more) || (more != devices && joint_rate(c, more, slot) < SAME_RATE * alone))
			break;
		devices = more;
		n += STATES_HEADER + k->queue[i].n;
	}
	k->next_devices = devices;
	k->next_bytes = n;
}

bool cast_prepare(struct cell *c, uint64_t slot)
{
	struct cast *k = &c->cast;
	int again = harq_pending(&k->harq);
	k->next_devices = k->next_bytes = 0;
	if (again >= 0)
		k->next_devices = k->block[again].lacking;
	else if (k->n_queue && harq_pick(&k->harq) >= 0)
		prepare_new(c, slot);
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (k->next_devices >> d & 1 &&
		    !layout_has_control((uint8_t)d, slot + c->params.answer_delay, cell_n_groups(c)))
			k->next_devices = 0;
	return k->next_devices != 0;
}

unsigned cast_level(const struct cell *c)
{
	unsigned level = 0;
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (c->cast.next_devices >> d & 1) {
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
	uint32_t devices = k->next_devices;
	*a = (struct alloc_device){ .alive = true,
		                    .loaded = true,
		                    .can_send_new = k->next_bytes > 0,
		                    .backlog_bytes = k->next_bytes,
		                    .remaining_bytes = k->next_bytes,
		                    .members = devices,
		                    .retx = again >= 0 };
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

static void take_from_queue(struct cast *k, uint32_t n)
{
	k->queue[0].offset += n;
	k->queue[0].n -= n;
	if (!k->queue[0].n)
		memmove(k->queue, k->queue + 1, --k->n_queue * sizeof *k->queue);
}

/* A new block of n bytes: as many of the segments that it was prepared for as fit. */
static void fill_block(struct cast *k, struct cast_block *b, size_t n)
{
	size_t at = 0;
	memset(b->bytes, 0, n);
	b->n = n;
	b->n_pieces = 0;
	b->lacking = 0;
	while (k->n_queue && b->n_pieces < CAST_PIECES_MAX && n - at > STATES_HEADER &&
	       !(k->queue[0].devices & ~k->next_devices)) {
		struct cell_segment *s = &b->piece[b->n_pieces++];
		size_t room = n - at - STATES_HEADER;
		*s = k->queue[0];
		s->n = s->n < room ? s->n : (uint32_t)room;
		s->n = s->n < STATES_SEGMENT_MAX ? s->n : STATES_SEGMENT_MAX;
		at += states_write_segment(k->set, s->offset, k->bytes + s->offset, s->n, b->bytes + at);
		b->lacking |= s->devices;
		take_from_queue(k, s->n);
	}
}

void cast_grant(struct cell *c, const struct alloc_grant *a, uint64_t slot)
{
	struct cast *k = &c->cast;
	unsigned level = cast_level(c);
	int process = a->retx ? a->process : harq_pick(&k->harq);
	struct cast_block *b = &k->block[process];
	if (a->retx) {
		harq_send_again(&k->harq, process, slot);
	} else {
		fill_block(k, b, a->bytes);
		harq_send_new(&k->harq, process, slot, a->mcs, a->n_rb, a->bytes, false);
		k->stats.blocks++;
		k->stats.mcs_sum += a->mcs;
		k->stats.receivers += (unsigned)__builtin_popcount(b->lacking);
	}
	k->stats.bytes_on_air += a->bytes;
	k->stats.rb_slots += a->n_rb * c->group;
	struct multicast m = { .devices = (uint16_t)b->lacking,
		               .grant = { .rbs = cell_rbs_of_groups(c, &a->rbs),
		                          .mcs = a->mcs,
		                          .harq_id = (uint8_t)process,
		                          .ndi = k->harq.process[process].ndi,
		                          .rv = k->harq.process[process].rv } };
	for (unsigned d = 0; d < c->params.n_devices; d++)
		if (m.devices >> d & 1)
			c->peer[d].addressed = slot;
	dl_tx_multicast(c->dl, &m, level);
	dl_tx_multicast_data(c->dl, &m.grant, b->bytes, b->n);
}

/* ---- what became of it ---- */

/* The process whose block these answers are for; n_processes: none. */
static size_t answered_process(const struct cell *c)
{
	const struct harq *h = &c->cast.harq;
	size_t i = 0;
	while (i < h->n_processes &&
	       (h->process[i].state != HARQ_WAITING || h->process[i].slot + c->params.answer_delay != c->slot))
		i++;
	return i;
}

/* Takes out those who have the block; the answer of them all: NONE if one of the others gave none. */
static enum harq_ack gather(struct cell *c, struct cast_block *b, const struct harq_process *h)
{
	enum harq_ack worst = HARQ_ACK;
	for (unsigned d = 0; d < c->params.n_devices; d++) {
		enum harq_ack answer = c->cast.answer[d];
		if (!(b->lacking >> d & 1))
			continue;
		if (h->n_tx == 1 && answer != HARQ_NONE)
			link_observe_block(&c->peer[d].link[CELL_DL], &c->link_config, h->mcs, false,
			                   answer == HARQ_ACK);
		if (answer == HARQ_ACK)
			b->lacking &= ~(1u << d);
		else if (worst != HARQ_NONE)
			worst = answer;
	}
	return worst;
}

/* What HARQ gave up goes again, before all else. Without room for it a device has to ask. */
static void queue_again(struct cast *k, const struct cast_block *b)
{
	for (size_t i = b->n_pieces; i-- > 0;) {
		struct cell_segment s = b->piece[i];
		s.devices &= b->lacking;
		if (!s.devices || k->n_queue == CAST_QUEUE_MAX)
			continue;
		memmove(k->queue + 1, k->queue, k->n_queue++ * sizeof *k->queue);
		k->queue[0] = s;
		k->stats.bytes_resent += s.n;
	}
}

void cast_settle(struct cell *c)
{
	struct cast *k = &c->cast;
	struct harq_outcome o;
	size_t process = answered_process(c);
	if (process < k->harq.n_processes) {
		enum harq_ack answer = gather(c, &k->block[process], &k->harq.process[process]);
		harq_feedback(&k->harq, c->slot - c->params.answer_delay, answer, &o);
		if (o.event == HARQ_FAILED)
			queue_again(k, &k->block[process]);
	}
	memset(k->answer, 0, sizeof k->answer); /* HARQ_NONE */
}
