/* compute.h - how long a node's arithmetic takes, in virtual time.
 *
 * In lockstep nothing may depend on how fast this machine is, so the time of every piece of model work is charged
 * from a profile: what the weights' bytes cost at the memory's bandwidth or the operations at the processor's rate,
 * whichever is more, plus a fixed part, times a seeded jitter:
 *
 *     t = (fixed + max(bytes / bandwidth, flops / rate)) * exp(jitter * N(0, 1))
 *
 * Experts at small batch are bound by memory bandwidth, not by operations.
 */
#ifndef TESTBED_COMPUTE_H
#define TESTBED_COMPUTE_H

#include <stddef.h>
#include <stdint.h>

struct compute_profile {
	double fixed_s;     /* each piece of work: start, queue, hand-over */
	double bytes_per_s; /* weights read */
	double flops_per_s;
	double jitter; /* standard deviation of the logarithm; 0 for none */
};

struct compute_clock {
	struct compute_profile profile;
	uint64_t state;  /* of the jitter's generator */
	double slowness; /* what all times are multiplied by; 1 */
};

void compute_clock_init(struct compute_clock *c, const struct compute_profile *profile, uint64_t seed);

/* Seconds for the next piece of work: reads `bytes` of weights, does `flops` operations. */
double compute_clock_charge(struct compute_clock *c, double bytes, double flops);
/* Seconds that such a piece of work seldom takes longer than (once in six times): the jitter one standard deviation
 * up. */
double compute_clock_expect(const struct compute_clock *c, double bytes, double flops);

#endif
