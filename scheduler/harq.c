#include "scheduler/harq.h"

#include <errno.h>

unsigned harq_processes(unsigned round_trip_slots)
{
	return round_trip_slots < HARQ_PROCESSES_MIN   ? HARQ_PROCESSES_MIN
	       : round_trip_slots > HARQ_PROCESSES_MAX ? HARQ_PROCESSES_MAX
	                                               : round_trip_slots;
}

void harq_init(struct harq *h, unsigned n_processes, uint8_t max_tx)
{
	*h = (struct harq){ .n_processes = (uint8_t)n_processes, .max_tx = max_tx };
	for (unsigned i = 0; i < n_processes; i++)
		h->process[i].heard = true;
}

int harq_pick(const struct harq *h)
{
	int best = -EAGAIN;
	for (int i = 0; i < h->n_processes; i++)
		if (h->process[i].state == HARQ_IDLE && (best < 0 || h->process[i].slot < h->process[best].slot))
			best = i;
	return best;
}

int harq_pick_for(const struct harq *h, uint32_t bytes)
{
	int best = -EAGAIN;
	for (int i = 0; i < h->n_processes; i++) {
		const struct harq_process *p = &h->process[i];
		bool mistakable = !p->heard && p->bytes == bytes;
		if (p->state == HARQ_IDLE && !mistakable && (best < 0 || p->slot < h->process[best].slot))
			best = i;
	}
	return best < 0 ? harq_pick(h) : best;
}

int harq_pending(const struct harq *h)
{
	int best = -EAGAIN;
	for (int i = 0; i < h->n_processes; i++)
		if (h->process[i].state == HARQ_RETRANSMIT &&
		    (best < 0 || h->process[i].first_slot < h->process[best].first_slot))
			best = i;
	return best;
}

static struct harq_process *process_in(struct harq *h, int process, enum harq_state state)
{
	if (process < 0 || process >= h->n_processes || h->process[process].state != state)
		return NULL;
	return &h->process[process];
}

int harq_send_new(struct harq *h, int process, uint64_t slot, uint8_t mcs, uint8_t n_rb, uint32_t bytes, bool adapts)
{
	struct harq_process *p = process_in(h, process, HARQ_IDLE);
	if (!p)
		return -EINVAL;
	*p = (struct harq_process){
		.state = HARQ_WAITING,
		.ndi = p->heard ? !p->ndi : p->ndi,
		.mcs = mcs,
		.n_rb = n_rb,
		.n_tx = 1,
		.adapts = adapts,
		.bytes = bytes,
		.slot = slot,
		.first_slot = slot,
	};
	h->stats.n_new++;
	return p->ndi;
}

int harq_send_again(struct harq *h, int process, uint64_t slot)
{
	struct harq_process *p = process_in(h, process, HARQ_RETRANSMIT);
	if (!p)
		return -EINVAL;
	p->state = HARQ_WAITING;
	p->slot = slot;
	p->n_tx++;
	h->stats.n_again++;
	return p->ndi;
}

/* Redundancy version after one that was received in vain. */
static const uint8_t next_rv[4] = { [0] = 2, [2] = 3, [3] = 1, [1] = 2 };

/* The one place where a process moves on: what the answer to its last transmission makes of it. */
static void conclude(struct harq *h, int process, enum harq_ack ack, bool give_up, struct harq_outcome *o)
{
	struct harq_process *p = &h->process[process];
	bool delivered = ack == HARQ_ACK;
	bool failed = !delivered && (give_up || p->n_tx >= h->max_tx);
	if (ack != HARQ_NONE)
		p->heard = true;
	*o = (struct harq_outcome){
		.event = delivered ? HARQ_DELIVERED
		         : failed  ? HARQ_FAILED
		                   : HARQ_AGAIN,
		.process = (uint8_t)process,
		.first = p->n_tx == 1 && p->state == HARQ_WAITING,
		.answered = ack != HARQ_NONE,
		.n_tx = p->n_tx,
		.mcs = p->mcs,
		.n_rb = p->n_rb,
		.adapts = p->adapts,
		.bytes = p->bytes,
		.slot = p->slot,
		.first_slot = p->first_slot,
	};
	h->stats.n_delivered += delivered;
	h->stats.n_failed += failed;
	h->stats.n_first_lost += o->first && !delivered;
	h->stats.n_silent += ack == HARQ_NONE && p->state == HARQ_WAITING;
	p->state = delivered || failed ? HARQ_IDLE : HARQ_RETRANSMIT;
	p->rv = ack == HARQ_NACK ? next_rv[p->rv] : 0;
}

int harq_feedback(struct harq *h, uint64_t slot, enum harq_ack ack, struct harq_outcome *o)
{
	for (int i = 0; i < h->n_processes; i++) {
		if (h->process[i].state != HARQ_WAITING || h->process[i].slot != slot)
			continue;
		conclude(h, i, ack, false, o);
		return 0;
	}
	h->stats.n_stray += ack != HARQ_NONE;
	return -ENODATA;
}

int harq_expire(struct harq *h, uint64_t slot, uint64_t timeout_slots, struct harq_outcome *o)
{
	for (int i = 0; i < h->n_processes; i++) {
		if (h->process[i].state != HARQ_WAITING || h->process[i].slot + timeout_slots >= slot)
			continue;
		conclude(h, i, HARQ_NONE, false, o);
		return 0;
	}
	return -EAGAIN;
}

int harq_drop(struct harq *h, int process, struct harq_outcome *o)
{
	if (process < 0 || process >= h->n_processes || h->process[process].state == HARQ_IDLE)
		return -EAGAIN;
	conclude(h, process, HARQ_NONE, true, o);
	return 0;
}

int harq_flush(struct harq *h, struct harq_outcome *o)
{
	for (int i = 0; i < h->n_processes; i++)
		if (!harq_drop(h, i, o))
			return 0;
	return -EAGAIN;
}

size_t harq_in_flight(const struct harq *h, size_t *bytes)
{
	size_t n = 0, sum = 0;
	for (int i = 0; i < h->n_processes; i++) {
		if (h->process[i].state == HARQ_IDLE)
			continue;
		n++;
		sum += h->process[i].bytes;
	}
	if (bytes)
		*bytes = sum;
	return n;
}

void harq_peer_init(struct harq_peer *p, unsigned n_processes)
{
	*p = (struct harq_peer){ .n_processes = (uint8_t)n_processes };
}

int harq_peer_grant(struct harq_peer *p, size_t process, uint8_t ndi, uint32_t bytes)
{
	if (process >= p->n_processes)
		return -EINVAL;
	if (p->known[process] && p->ndi[process] == ndi && p->bytes[process] == bytes)
		return 0;
	p->known[process] = true;
	p->ndi[process] = ndi;
	p->bytes[process] = bytes;
	p->done[process] = false;
	return 1;
}

enum harq_peer_verdict harq_peer_receive(struct harq_peer *p, bool multicast, size_t process, uint8_t ndi, uint8_t rv,
                                         uint32_t bytes)
{
	if (process >= p->n_processes)
		return HARQ_PEER_IGNORE;
	bool same = p->known[process] && p->ndi[process] == ndi && p->bytes[process] == bytes;
	if (rv > 0 && !same)
		return HARQ_PEER_IGNORE;
	if (p->done[process] && same && (rv > 0 || !multicast))
		return HARQ_PEER_DONE;
	if (rv > 0)
		return HARQ_PEER_ADD;
	p->known[process] = true;
	p->ndi[process] = ndi;
	p->bytes[process] = bytes;
	p->done[process] = false;
	return HARQ_PEER_BEGIN;
}
