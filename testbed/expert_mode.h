/* expert_mode.h - deliberately wrong experts: what it costs a model when some are dropped, random or dead.
 *
 *     struct expert_mode mode;
 *     if (expert_mode_parse("drop<0.2", &mode)) ...
 *     struct expert_chooser chooser = { .model = m, .mode = mode, .seed = 1 };
 *     moe_forward_set_select(f, expert_choose, &chooser);       // or for each row of a distributed layer
 *
 *     top2, topN   the first N of the router's choices (never more than the model uses)
 *     drop<W       choices with a weight below W are not served; the first always is
 *     random       as many experts as the router chose, drawn at random, with the router's weights
 *     dead:K       expert K of every layer does not answer: it is left out, the rest renormalised
 */
#ifndef TESTBED_EXPERT_MODE_H
#define TESTBED_EXPERT_MODE_H

#include <stddef.h>
#include <stdint.h>

#include "moe/bs_half.h"

struct expert_rule;

struct expert_mode {
	const struct expert_rule *rule; /* NULL: as routed */
	double value;
};

struct expert_chooser {
	const struct moe_model *model;
	struct expert_mode mode;
	uint64_t seed;                 /* advances */
	uint64_t n_routed, n_left_out; /* choices of the router so far, and those that nothing took the place of */
};

/* "" is as routed. 0, or -EINVAL for a word it does not know. */
int expert_mode_parse(const char *text, struct expert_mode *mode);

/* A moe_select_fn; user is a struct expert_chooser. chosen: room for n_expert. Returns how many, at least 1 but for
 * dead:K alone. */
size_t expert_choose(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                     struct moe_choice *chosen);

#endif
