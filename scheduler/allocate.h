/* allocate.h - who gets which resource blocks of a slot at which MCS: allocators behind one interface, chosen by name.
 *
 *     const struct alloc_method *a = alloc_method_find("minmax");
 *     fill struct alloc_problem: links (link_view), backlogs, retransmissions, room in the control channel
 *     a->allocate(&problem, &state, &result);
 *     for (i < result.n_grants) ...                  disjoint; at most one a device
 *
 * Once a slot and direction. A pure function of problem and state, so a logged pair replays the decision.
 *
 * Rules of all methods
 *   - A device is served when it is alive, its link is usable, and it has a retransmission pending, or backlog and a
 *     free HARQ process.
 *   - Retransmissions first: same MCS, same number of RBs, the RBs that suit the device best among those free. One
 *     that does not fit the RBs of this slot waits for the next; it holds no one up.
 *   - The MCS follows from the effective SNR of the RBs given (scheduler/link.h); when a lower one already carries
 *     all the backlog, the lowest that does is taken. A grant carries at least min_bytes: a larger one is made, a
 *     higher MCS forced, or none given.
 *   - No more than grants_max grants. equal, round-robin and proportional-fair begin one device later every slot; minmax and
 *     minmax-rb leave out those that would finish first if each had the band for itself, horizon the end of its line.
 *
 * Methods
 *   equal        n_rb / n_devices RBs for each device, loaded or not, for the whole layer: RBs i, i + K, i + 2K ..
 *                for device i; the n_rb % K left over go round with state.layer. What a device cannot use stays empty
 *                (the published baseline). Only a retransmission may borrow RBs, when its own are too few in this slot.
 *   round-robin  equal over those that have something to send, re-dealt every slot; never more than the backlog
 *                needs; the remainder goes round with state.turn. Work-conserving.
 *   minmax       least common finish time: T such that the devices of the layer, each with x(T) RBs in every slot to
 *                come, finish at T together: remaining bytes / rate(x) + tail = T, sum of x = RBs. Solved by
 *                bisection on continuous x, rounded down, the rest dealt one by one to whoever finishes last; never
 *                more than the backlog needs. Devices with only control messages get the few RBs these need first.
 *                Work-conserving.
 *   minmax-rb    the same with whole RBs and the rate of each (scheduler/bandwidth_blocks.c).
 *   proportional-fair  each RB to the device for which its rate over the bytes the device got lately (running mean over 20 slots) is
 *                largest. Work-conserving.
 *   horizon      ours: minmax holds shares constant until all have finished; but a device with a long way still to go must
 *                finish its transfer early, and leaves its RBs to the others then. Each slot, for what is left: the devices in a
 *                line by Johnson's rule for two bands with a time between them; each RB to the device for which it stands out
 *                most over its mean, those further back in the line handicapped by 0.8 a place. Devices with tails
 *                within one slot of each other, as in the whole uplink, share as in minmax. The rest as minmax.
 * In round-robin and minmax RBs are then picked by relative SNR: again and again the free RB that stands out most above its device's own mean.
 */
#ifndef SCHEDULER_ALLOCATE_H
#define SCHEDULER_ALLOCATE_H

#include "phy/numerology.h"
#include "scheduler/flow_shop.h"
#include "scheduler/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Devices, and the multicast block as one more. */
enum { ALLOC_PARTIES_MAX = PHY_DEVICES_MAX + 1 };

struct alloc_device {
	bool alive;
	bool loaded;            /* has a call of the current layer in flight anywhere */
	bool can_send_new;      /* a HARQ process is free */
	uint32_t backlog_bytes; /* waiting now, headers included, blocks to be retransmitted not */
	double remaining_bytes; /* of the layer in this direction, backlog included, what is still to come too */
	double tail_s;  /* what follows this direction: compute and uplink after the downlink; 0 for the uplink */
	double after_s; /* of it the uplink, with that band for itself */
	bool retx;      /* a retransmission is pending: */
	uint8_t retx_process;
	uint8_t retx_n_rb;
	uint8_t retx_mcs;
	uint32_t retx_bytes;
	/* Of a block for several devices those of the problem, bit d: device d, alive or not: its MCS is that of the one
	 * which is worst off on the RBs given, and link is where they are picked by (link_view_joint). 0: a device. */
	uint32_t members;
	struct link_view link;
};

struct alloc_problem {
	struct rb_set available; /* RBs that may be used in this slot */
	size_t n_rb;             /* of the band, = rates->n_rb */
	const struct rate_table *rates;
	size_t grants_max;  /* room in the control channel */
	uint32_t min_bytes; /* smallest block worth sending: headers and one byte */
	double slot_s;
	size_t n_devices; /* K: alive or not */
	struct alloc_device device[ALLOC_PARTIES_MAX];
};

struct alloc_state {                     /* start from zeros; part of the inputs */
	uint32_t turn;                   /* advanced by every call */
	uint32_t layer;                  /* the caller advances it with every layer */
	float served[ALLOC_PARTIES_MAX]; /* proportional-fair: bytes a slot, lately */
};

struct alloc_grant {
	uint8_t device;
	bool retx;
	uint8_t process; /* of a retransmission; a new block takes any free one */
	uint8_t mcs;
	bool adapts; /* the link chose the MCS: its acknowledgement tells the outer loop something */
	uint8_t n_rb;
	struct rb_set rbs;
	uint32_t bytes; /* of the transport block */
	float snr_db;   /* effective, as expected */
};

struct alloc_result {
	size_t n_grants;
	struct alloc_grant grant[ALLOC_PARTIES_MAX];
	double finish_s; /* minmax, minmax-rb, horizon: until the last device of the layer is done; NAN: none waits */
};

struct alloc_method {
	const char *name;
	const char *about;
	enum flow_sharing sharing; /* what it comes to in the mean, for forecasts */
	/* Returns 0 (also when nothing is granted), or -EINVAL for impossible sizes; then *r is empty. */
	int (*allocate)(const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r);
};

const struct alloc_method *alloc_method_find(const char *name); /* NULL for an unknown name */
const struct alloc_method *alloc_methods(size_t *n);

/* The continuous problem inside minmax: min over x of max over d of need[d] / rate_d(x[d]) + tail[d], sum x <=
 * rb_budget, x >= 0. need in bytes, tail in slots, T in slots. rate[d][n]: bytes a slot on n = 0 .. n_rb RBs, never
 * falling, taken as straight lines between whole n (from 0 to the first n that carries anything, too). Devices with
 * need 0 get x = 0 and no say. Returns T, exact to 1e-9 relative; INFINITY when a device in need has rate 0
 * throughout: such devices are left out of x. */
double alloc_minmax_solve(size_t n_devices, size_t n_rb, double rb_budget, const double *need, const double *tail,
                          const float (*rate)[PHY_RB_MAX + 1], double *x);

#endif
