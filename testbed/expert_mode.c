#include "testbed/expert_mode.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef size_t rule_fn(struct expert_chooser *c, const float *probs, struct moe_choice *chosen, size_t n);

struct expert_rule {
	const char *prefix;      /* of its name */
	bool takes_value, whole; /* a number follows; it has no fraction */
	double min;
	rule_fn *apply;
};

static size_t keep_top(struct expert_chooser *c, const float *probs, struct moe_choice *chosen, size_t n)
{
	(void)probs, (void)chosen;
	return c->mode.value < (double)n ? (size_t)c->mode.value : n;
}

static size_t drop_light(struct expert_chooser *c, const float *probs, struct moe_choice *chosen, size_t n)
{
	(void)probs;
	size_t kept = 1;
	for (size_t i = 1; i < n; i++)
		if ((double)chosen[i].weight >= c->mode.value)
			chosen[kept++] = chosen[i];
	return kept;
}

static size_t leave_out(struct expert_chooser *c, const float *probs, struct moe_choice *chosen, size_t n)
{
	(void)probs;
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (chosen[i].expert != (uint32_t)c->mode.value)
			chosen[kept++] = chosen[i];
	return kept;
}

/* xorshift64* (Vigna 2016): the draw need only be seeded and even. */
static uint64_t draw(uint64_t *state)
{
	uint64_t x = *state ? *state : 1;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1du >> 32;
}

static size_t at_random(struct expert_chooser *c, const float *probs, struct moe_choice *chosen, size_t n)
{
	size_t n_expert = c->model->shape.n_expert;
	(void)probs;
	for (size_t i = 0; i < n; i++) {
		bool taken;
		do {
			chosen[i].expert = (uint32_t)(draw(&c->seed) % n_expert);
			taken = false;
			for (size_t k = 0; k < i; k++)
				taken |= chosen[k].expert == chosen[i].expert;
		} while (taken);
	}
	return n;
}

static const struct expert_rule rules[] = {
	{ "top", true, true, 1, keep_top },
	{ "drop<", true, false, 0, drop_light },
	{ "random", false, false, 0, at_random },
	{ "dead:", true, true, 0, leave_out },
};

int expert_mode_parse(const char *text, struct expert_mode *mode)
{
	*mode = (struct expert_mode){ 0 };
	if (!*text)
		return 0;
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		size_t n = strlen(rules[i].prefix);
		char *end = (char *)text + n;
		if (strncmp(text, rules[i].prefix, n))
			continue;
		mode->rule = &rules[i];
		if (rules[i].takes_value)
			mode->value = strtod(text + n, &end);
		bool value_there = end > text + n, in_range = mode->value >= rules[i].min && mode->value <= UINT16_MAX;
		if (*end || value_there != rules[i].takes_value || !in_range ||
		    (rules[i].whole && mode->value != floor(mode->value)))
			return -EINVAL;
		return 0;
	}
	return -EINVAL;
}

size_t expert_choose(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                     struct moe_choice *chosen)
{
	struct expert_chooser *c = user;
	size_t n = c->model->shape.n_expert_used;
	(void)layer, (void)row;
	memcpy(chosen, topk, n * sizeof *chosen);
	c->n_routed += n;
	if (!c->mode.rule)
		return n;
	size_t kept = c->mode.rule->apply(c, probs, chosen, n);
	c->n_left_out += n - kept;
	if (kept != n)
		moe_renormalise(c->model, chosen, kept);
	return kept;
}
