/* predict.h - what a device takes for a call, besides the band it gets: waits, computing, repetitions.
 *
 *     predict_init(&s, &cfg);                                    one state a device
 *     predict_observe_compute(&s, &cfg, n_rows, seconds);        the device reports its compute times over the air
 *     predict_observe_wait(&s, &cfg, PREDICT_DOWN, seconds);     from data ready to the first slot that carries it
 *     predict_observe_block(&s, &cfg, PREDICT_UP, lost);         first transmissions
 *     predict_observe_call(&s, &cfg, predicted_s, measured_s);   what the sum still misses
 *     predict_parts(&s, &cfg, &parts);                           for scheduler/layer.h and flow_shop.h
 *
 * Computing is fixed + per_row * n_rows: recursive least squares with forgetting; the config's device profile is the prior. The same line with
 * its spread serves whoever learns how something measured grows with something known.
 *
 * All state is explicit: same state and config, same answer.
 */
#ifndef SCHEDULER_PREDICT_H
#define SCHEDULER_PREDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum predict_direction { PREDICT_DOWN, PREDICT_UP };

struct predict_config {
	double slot_s;
	double wait_prior_s[2];   /* grant wait, down and up; 1 and 2 slots */
	double turnaround_s;      /* slots between received and answered that no one can avoid, both ends; 2 slots */
	double harq_rtt_s;        /* from a transmission to its repetition; 6 slots */
	double target_bler;       /* prior of the block error rate; 0.1 */
	double fixed_prior_s;     /* compute: a call */
	double per_row_prior_s;   /* compute: a row */
	double prior_sd_fraction; /* how uncertain the compute prior is, as a fraction of it; 1 */
	double forget;            /* of the least squares, per call: 0.98 */
	double alpha;             /* of running means: weight of the newest; 0.1 */
};

/* What is given above, for slots of slot_s; the default ones last half a millisecond. */
struct predict_config predict_config_for(double slot_s);
struct predict_config predict_config_default(void);

struct predict_mean { /* running mean and variance */
	double mean, var;
	uint32_t n;
};

struct predict_state {
	/* compute = theta[0] + theta[1] * n_rows */
	double theta[2], cov[2][2];
	double residual_var;
	uint32_t n_compute;
	struct predict_mean wait_s[2];
	double bler[2];
	struct predict_mean error_s; /* of whole calls */
	uint32_t n_refused;          /* observations that were negative or not finite */
};

void predict_init(struct predict_state *s, const struct predict_config *cfg);

/* Each returns 0, or -EINVAL for what is negative or not finite: refused, counted, nothing else changes. */
int predict_observe_compute(struct predict_state *s, const struct predict_config *cfg, double n_rows, double seconds);
int predict_observe_wait(struct predict_state *s, const struct predict_config *cfg, enum predict_direction dir,
                         double seconds);
int predict_observe_block(struct predict_state *s, const struct predict_config *cfg, enum predict_direction dir,
                          bool lost);
int predict_observe_call(struct predict_state *s, const struct predict_config *cfg, double predicted_s,
                         double measured_s);

/* Compute time alone. Never negative. */
double predict_compute_s(const struct predict_state *s, double n_rows);
/* Its standard deviation: spread of single calls and what is not known of the line. */
double predict_compute_sd_s(const struct predict_state *s, double n_rows);

/* What of a call does not depend on the share of the band, for scheduler/layer.h: latency = fixed_s + rows * per_row_s + bits /
 * (rate * carried), each direction. fixed_s: waits, turnaround, compute of a call, the half slot by which a transfer is
 * rounded up in the mean, the repetition that its last block needs now and then, and the bias. carried: share of the
 * rate that is no repetition. */
struct predict_parts {
	double fixed_s, per_row_s, carried[2];
};

void predict_parts(const struct predict_state *s, const struct predict_config *cfg, struct predict_parts *p);

#endif
