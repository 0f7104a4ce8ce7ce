/* select.h - which experts serve which tokens of a layer, and on which device: policies behind one interface, chosen by name.
 *
 *     struct selector *s = selector_create("frontier", &limits);
 *     rc = selector_run(s, &layer, &params, choices);          choices: [n_tokens][top_k]
 *     points = selector_curve(s, &n);                          frontier and exhaustive: what else could have been had
 *     selector_destroy(s);
 *
 * Same layer and parameters, same choices: the object holds nothing but work space, and selector_run allocates nothing. Every
 * policy begins with the router's choices, each given to that of the expert's holders within reach which would be done
 * first; choices whose experts nobody in reach holds are dropped. Every token keeps one at least. Latencies of devices are
 * those under params.split, by default the equal split of the papers; frontier and exhaustive search under params.split too,
 * and for them it should be how the band will be shared.
 *
 * Policies
 *   vanilla           every choice of the router is served, but those of weight 0.
 *   wdmoe             theta_start, theta_start + theta_step ..: every token with two or more choices left, for which S < theta,
 *                     loses the one of lowest weight. A step that raises the weight-to-latency ratio (WLR) by at least min_gain is kept, the
 *                     first that does not is taken back and ends it. S is the cosine between the weights of the token's
 *                     choices still served and the latencies of their devices (Xue et al., arXiv 2405.03131).
 *   wdmoe-bottleneck  as in the paper's hardware: the slowest device loses the choice of least weight, as long as the layer
 *                     gets faster by it.
 *   des               each token takes, of all experts, those that together have gamma times the weight of the router's choices
 *                     at the least sum of latencies, top_k at most: branch and bound (arXiv 2503.13421).
 *   jesa              des and the dealing of blocks by turns, until nothing changes (the same).
 *   sift              the slowest device's choices are skipped, or served by a similar expert on a faster device, cheapest
 *                     loss first, as long as the layer gets faster and no token loses more than loss_max (arXiv 2603.23888).
 *   exhaustive        every selection there is; small cases only.
 *   frontier          ours: scheduler/select_frontier.c.
 * Left open by the descriptions, decided here:
 *   - wdmoe: both vectors of S run over the token's served choices only, with the latency of one token alone. Weights in S and
 *     WLR are those after renormalisation over what is served, which is what the layer computes with (renormalised_wlr = false
 *     takes the router's own: the WLR of a lone token then never rises by dropping anything). A step at which no token falls
 *     below theta is passed over. theta ends at theta_max <= 1, the largest cosine.
 *   - des: an expert beyond the router's choices counts with its own weight.
 *   - sift: a loss is weight * (1 - similarity), the whole weight when skipped. If the similar expert serves the token
 *     already, it takes the weight over and nothing more is computed.
 */
#ifndef SCHEDULER_SELECT_H
#define SCHEDULER_SELECT_H

#include "scheduler/bandwidth.h"

struct select_params {
	double theta_start, theta_step, theta_max, min_gain; /* 0.5, 0.1, 1, 0.01 */
	bool renormalised_wlr;                               /* true */
	double gamma;                                        /* 0.9 */
	double loss_max;                                     /* 0.3 of a token's weight */
	/* Where on the curve: the most weight that is kept within latency_s; or, where that is NAN, the least of latency +
	 * price_s * what is lost. NAN both: price_s is price_layers times the latency with every choice served. */
	double latency_s, price_s, price_layers; /* NAN, NAN, 1 */
	/* What frontier and exhaustive take a choice not served to cost: sensitivity * share^loss_exponent, share being its part of
	 * the token's weight. 1 and 1: kept weight is what is traded. A model's output moves as share, its divergence (nats) as
	 * share^2: `wdmoe sensitivity` measures the factor of each layer. What is "kept" of the layer is 1 less the mean of that. */
	double sensitivity, loss_exponent;
	bool whole_curve; /* frontier goes on beyond the point asked for */
	const struct bandwidth_method *split;
};

struct select_params select_params_default(void);

/* The largest layer that a selector will see; and how large a problem frontier may solve exactly, in vectors of counts:
 * a microsecond each. 0: SELECT_EXACT_STATES. */
enum { SELECT_EXACT_STATES = 1 << 12 };
struct select_limits {
	size_t n_tokens, n_experts, top_k, n_devices;
	size_t exact_states;
};

struct select_point {
	double layer_latency_s, kept_weight;
};

struct select_policy {
	const char *name, *about;
};

struct selector;

/* NULL with errno EINVAL (no such policy, limits beyond those of layer.h) or ENOMEM. */
struct selector *selector_create(const char *policy, const struct select_limits *limits);
void selector_destroy(struct selector *s); /* NULL is fine */

/* The layer has passed layer_check. 0, -EINVAL (larger than the limits; a parameter out of range), -E2BIG (exhaustive: more
 * selections than can be looked at). */
int selector_run(struct selector *s, const struct layer *l, const struct select_params *p,
                 struct layer_choice *choices);

/* Of the last run, by rising latency and weight: no point of it is worse in both than another. NULL and 0 for other policies. */
const struct select_point *selector_curve(const struct selector *s, size_t *n);

/* wdmoe: the last threshold of the last run that was kept; 0: none. */
double selector_theta(const struct selector *s);

const struct select_policy *select_policies(size_t *n);
const struct select_policy *select_policy_find(const char *name); /* NULL for an unknown name */

#endif
