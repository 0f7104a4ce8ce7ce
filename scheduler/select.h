/* select.h - which experts serve which tokens of a layer: policies behind one interface, chosen by name.
 *
 *     const struct select_policy *p = select_policy_find("wdmoe");
 *     int rc = p->select(&in, keep, &out);      keep[j * n_used + i]: is choice i of token j served?
 *     select_renormalise(&in, keep, weights);   what the base station combines with
 *
 * Pure functions: same input, same keep. Notation of the WDMoE papers (Xue et al., arXiv 2405.03131 and 2411.06681)
 * after the description in notes/scheduler.md: w weights, q tokens of a device, t latency. Latency of a device with q
 * tokens is taken as
 *     t(q) = fixed_s + q * per_token_s,   0 when q = 0;
 * the layer lasts as long as its slowest device; WLR of a device = (sum of the weights it serves) / t(q); of the
 * layer: the sum.
 *
 * Policies
 *   vanilla  every choice of the router is served.
 *   wdmoe    theta = 0.5, 0.6 .. : every token with two or more choices left, for which S < theta, loses the one of
 *            lowest weight. A step that raises the WLR by at least min_gain is kept, the first that does not is taken
 *            back and ends it. S is the cosine between the weights of the token's choices still served and the
 *            latencies of their devices.
 * Left open by the description, decided here:
 *   - both vectors of S run over the token's served choices only (a device that the token does not go to has weight 0
 *     and its latency is of no concern to it), with the latency of one token alone: fixed_s + per_token_s;
 *   - weights in S and WLR are those after renormalisation over what is served: what the layer computes with
 *     (renormalised_wlr = false takes the router's own: the WLR of a lone token then never rises by dropping anything);
 *   - a step at which no token falls below theta is passed over; it neither gains nor ends the search; theta ends at
 *     theta_max <= 1, the largest cosine;
 *   - a device with a latency that is not a positive finite number counts as SELECT_UNREACHABLE_S.
 */
#ifndef SCHEDULER_SELECT_H
#define SCHEDULER_SELECT_H

#include "phy/numerology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SELECT_EXPERTS_MAX = 256, SELECT_USED_MAX = 16 };
#define SELECT_UNREACHABLE_S 1e3

struct select_params {
	double theta_start;    /* 0.5 */
	double theta_step;     /* 0.1 */
	double theta_max;      /* 1.0 */
	double min_gain;       /* 0.01 */
	bool renormalised_wlr; /* true */
};

struct select_params select_params_default(void);

struct select_input {
	size_t n_tokens;
	size_t n_experts;         /* 1 .. SELECT_EXPERTS_MAX */
	size_t n_used;            /* k choices a token, 1 .. SELECT_USED_MAX */
	size_t n_devices;         /* 1 .. PHY_DEVICES_MAX */
	const uint16_t *ids;      /* [n_tokens][n_used] experts in the router's order */
	const float *weights;     /* [n_tokens][n_used] renormalised, sum 1 */
	const float *probs;       /* [n_tokens][n_experts] the router's whole softmax; NULL if no policy needs it */
	const uint8_t *device_of; /* [n_experts] */
	double fixed_s[PHY_DEVICES_MAX]; /* predicted latency of a device for q tokens: fixed_s + q * per_token_s */
	double per_token_s[PHY_DEVICES_MAX];
	struct select_params params;
};

struct select_output {
	double latency_before_s, latency_after_s; /* predicted layer latency: all choices, served choices */
	double wlr_before, wlr_after;
	double theta;                          /* the last threshold that was kept; 0: none */
	double kept_weight;                    /* mean over tokens of the router's weight served, 1 = all */
	uint32_t n_dropped;                    /* choices not served */
	uint32_t n_tokens_on[PHY_DEVICES_MAX]; /* choices served by each device */
};

struct select_policy {
	const char *name;
	const char *about; /* one line */
	/* keep: [n_tokens][n_used], written. Returns 0, or -EINVAL for impossible sizes, an expert or device out of
	 * range, a weight that is negative or not finite, or a token whose weights are all 0. */
	int (*select)(const struct select_input *in, bool *keep, struct select_output *out);
};

/* NULL for an unknown name. */
const struct select_policy *select_policy_find(const char *name);
/* The whole table; *n entries. */
const struct select_policy *select_policies(size_t *n);

/* weights: [n_tokens][n_used]: those of served choices scaled to sum 1 a token, the others 0. Where all are served
 * they are the input's, bit for bit. */
void select_renormalise(const struct select_input *in, const bool *keep, float *weights);

/* WLR and layer latency of any choice; what the policies report. */
double select_wlr(const struct select_input *in, const bool *keep);
double select_latency_s(const struct select_input *in, const bool *keep);

#endif
