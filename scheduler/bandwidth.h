/* bandwidth.h - how the devices of a layer share the band for as long as it lasts: allocators by name, and a bound.
 *
 *     const struct bandwidth_method *m = bandwidth_method_find("minmax");
 *     m->allocate(&layer, tokens_on, &b);                      tokens_on: of each device, from layer_load
 *     b.latency_s, b.device_s[d], b.blocks[LAYER_DL][d]
 *     bandwidth_lower_bound_s(&layer, tokens_on, m->whole)
 *
 * One decision for a whole layer, both directions together: what `wdmoe schedule` solves, what selection policies predict
 * with, and what the papers call bandwidth allocation. (What is granted slot by slot over the air: scheduler/allocate.h.)
 * Pure functions; device d is busy when layer_busy says so, the others get nothing but with `equal`.
 *
 *   equal              n_rb / n_devices blocks for every device, loaded or not (the published baseline)
 *   round-robin        the same among those that have something to carry in that direction
 *   minmax             the least latency with any shares: exact (scheduler/bandwidth_minmax.c)
 *   proportional-fair  whole blocks, each to the device that gains most by it relative to what it has
 *   minmax-rb          whole blocks, the least latency: within a per cent or two (scheduler/bandwidth_blocks.c)
 *   horizon            as minmax-rb here, where there is but one decision; slot by slot it is made anew
 */
#ifndef SCHEDULER_BANDWIDTH_H
#define SCHEDULER_BANDWIDTH_H

#include "scheduler/layer.h"

struct bandwidth {
	double latency_s;                      /* of the layer */
	double device_s[LAYER_DEVICES_MAX];    /* 0: idle */
	double blocks[2][LAYER_DEVICES_MAX];   /* held; need not be whole */
	double rate_bps[2][LAYER_DEVICES_MAX]; /* that they carry */
	double price_s[LAYER_DEVICES_MAX]; /* how much longer the layer lasts for each further token of the device */
	int16_t owner[2][LAYER_RB_MAX];    /* methods with whole blocks: device of each, -1: nobody's */
};

struct bandwidth_method {
	const char *name, *about;
	bool whole; /* deals whole blocks, and knows each one's rate */
	void (*allocate)(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b);
};

const struct bandwidth_method *bandwidth_method_find(const char *name); /* NULL for an unknown name */
const struct bandwidth_method *bandwidth_methods(size_t *n);

/* Of an expert's holders in reach, the one that would be done first with one token more, at the rates of b; n_devices: none. */
size_t bandwidth_first_done(const struct layer *l, const struct bandwidth *b, const uint32_t *tokens_on, size_t expert);

/* No allocation is faster. whole = false: the continuous optimum, equal to minmax. true: of blocks that could be divided, each
 * with its own rate; a bound from duality, tight to a fraction of a per cent. */
double bandwidth_lower_bound_s(const struct layer *l, const uint32_t *tokens_on, bool whole);

#endif
