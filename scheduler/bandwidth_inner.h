/* bandwidth_inner.h - what the files of the bandwidth allocators share. */
#ifndef SCHEDULER_BANDWIDTH_INNER_H
#define SCHEDULER_BANDWIDTH_INNER_H

#include "scheduler/bandwidth.h"

/* min T such that need[0][k] / x[k] + fixed_s[k] + need[1][k] / y[k] <= T for all k, sum x <= budget[0], sum y <= budget[1].
 * Need and budget in units of one's own; devices that need nothing either way and have fixed_s 0 take no part. */
struct minmax_problem {
	size_t n;
	double need[2][LAYER_DEVICES_MAX];
	double fixed_s[LAYER_DEVICES_MAX];
	double budget[2];
};

struct minmax_solution {
	double finish;
	double x[2][LAYER_DEVICES_MAX];
	double last[LAYER_DEVICES_MAX]; /* multipliers: d finish / d fixed_s[k]; their sum is 1 */
};

/* Exact to rounding. */
void minmax_solve(const struct minmax_problem *p, struct minmax_solution *s);

void bandwidth_minmax(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b);
void bandwidth_minmax_rb(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b);
void bandwidth_proportional_fair(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b);
double bandwidth_blocks_bound_s(const struct layer *l, const uint32_t *tokens_on);

/* From blocks and rates to latencies and prices: the slowest device alone sets the price, but where `last` says how far each
 * counts (sums to 1). */
void bandwidth_finish(const struct layer *l, const uint32_t *tokens_on, const double *last, struct bandwidth *b);

#endif
