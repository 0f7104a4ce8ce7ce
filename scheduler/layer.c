#include "scheduler/layer.h"

#include <math.h>
#include <string.h>

static bool sane(double x)
{
	return isfinite(x) && x >= 0;
}

static const char *check_device(const struct layer *l, const struct layer_device *dev)
{
	if (!sane(dev->fixed_s) || !sane(dev->per_token_s))
		return "a compute time is negative or not finite";
	for (int dir = 0; dir < 2; dir++) {
		if (!sane(dev->backlog_bits[dir]))
			return "a backlog is negative or not finite";
		if (l->power == LAYER_TOTAL ? !sane(dev->snr[dir]) : !sane(dev->mean_bps[dir]))
			return "a rate is negative or not finite";
		for (size_t rb = 0; l->power == LAYER_PSD && dev->block_bps[dir] && rb < l->n_rb; rb++)
			if (!sane(dev->block_bps[dir][rb]))
				return "a rate is negative or not finite";
	}
	return NULL;
}

static const char *check_tokens(const struct layer *l)
{
	struct layer_choice choice[LAYER_USED_MAX];
	for (size_t j = 0; j < l->n_tokens; j++) {
		struct layer one = *l;
		bool served = false;
		double sum = 0;
		one.n_tokens = 1;
		one.weights = l->weights + j * l->n_experts;
		for (size_t e = 0; e < l->n_experts; e++) {
			if (!sane(one.weights[e]))
				return "a weight is negative or not finite";
			sum += one.weights[e];
		}
		if (!(sum > 0))
			return "a token has no weight above 0";
		layer_choices(&one, choice);
		for (size_t i = 0; i < l->top_k; i++)
			served = served || layer_has_holder(l, choice[i].wanted);
		if (!served)
			return "no device in reach holds any expert that a token chose";
	}
	return NULL;
}

const char *layer_check(const struct layer *l)
{
	if (l->n_devices < 1 || l->n_devices > LAYER_DEVICES_MAX)
		return "there must be 1 to 256 devices";
	if (l->n_experts < 1 || l->n_experts > LAYER_EXPERTS_MAX)
		return "there must be 1 to 256 experts";
	if (l->top_k < 1 || l->top_k > LAYER_USED_MAX || l->top_k > l->n_experts)
		return "top_k must be 1 to 16, and no more than the experts";
	if (l->n_rb < 1 || l->n_rb > LAYER_RB_MAX)
		return "there must be 1 to 512 resource blocks";
	if (l->n_tokens > LAYER_TOKENS_MAX)
		return "there must be no more than 4096 tokens";
	if (!(l->block_hz > 0) || !isfinite(l->block_hz))
		return "the width of a resource block must be above 0";
	if (!sane(l->token_bits[LAYER_DL]) || !sane(l->token_bits[LAYER_UL]))
		return "the payload of a token is negative or not finite";
	for (size_t d = 0; d < l->n_devices; d++) {
		const char *complaint = check_device(l, &l->device[d]);
		if (complaint)
			return complaint;
	}
	return check_tokens(l);
}

bool layer_reach(const struct layer *l, size_t d)
{
	const struct layer_device *dev = &l->device[d];
	if (l->power == LAYER_TOTAL)
		return dev->alive && 1 + dev->snr[LAYER_DL] > 1 && 1 + dev->snr[LAYER_UL] > 1;
	return dev->alive && dev->mean_bps[LAYER_DL] > 0 && dev->mean_bps[LAYER_UL] > 0;
}

bool layer_served_by(const struct layer *l, size_t expert, size_t device)
{
	return l->holds[expert * l->n_devices + device] && layer_reach(l, device);
}

bool layer_has_holder(const struct layer *l, size_t expert)
{
	for (size_t d = 0; d < l->n_devices; d++)
		if (layer_served_by(l, expert, d))
			return true;
	return false;
}

void layer_choices(const struct layer *l, struct layer_choice *choices)
{
	for (size_t j = 0; j < l->n_tokens; j++) {
		const double *w = l->weights + j * l->n_experts;
		bool taken[LAYER_EXPERTS_MAX] = { false };
		for (size_t i = 0; i < l->top_k; i++) {
			size_t best = l->n_experts;
			for (size_t e = 0; e < l->n_experts; e++)
				if (!taken[e] && (best == l->n_experts || w[e] > w[best]))
					best = e;
			taken[best] = true;
			choices[j * l->top_k + i] = (struct layer_choice){ .wanted = (uint16_t)best,
				                                           .expert = (uint16_t)best,
				                                           .device = -1,
				                                           .weight = w[best],
				                                           .given_weight = w[best] };
		}
	}
}

void layer_load(const struct layer *l, const struct layer_choice *choices, uint32_t *tokens_on)
{
	memset(tokens_on, 0, l->n_devices * sizeof *tokens_on);
	for (size_t i = 0; i < l->n_tokens * l->top_k; i++)
		if (choices[i].device >= 0)
			tokens_on[choices[i].device]++;
}

bool layer_busy(const struct layer *l, size_t d, uint32_t tokens)
{
	const double *backlog = l->device[d].backlog_bits;
	return tokens || (layer_reach(l, d) && (backlog[LAYER_DL] > 0 || backlog[LAYER_UL] > 0));
}

double layer_bits(const struct layer *l, size_t d, enum layer_direction dir, uint32_t tokens)
{
	return tokens * l->token_bits[dir] + l->device[d].backlog_bits[dir];
}

double layer_compute_s(const struct layer *l, size_t d, uint32_t tokens)
{
	return tokens ? l->device[d].fixed_s + tokens * l->device[d].per_token_s : 0;
}

double layer_rate_bps(const struct layer *l, size_t d, enum layer_direction dir, double x)
{
	if (!(x > 0))
		return 0;
	if (l->power == LAYER_PSD)
		return x * l->device[d].mean_bps[dir];
	return x * l->block_hz * log1p(l->device[d].snr[dir] * (double)l->n_rb / x) / M_LN2;
}

double layer_device_s(const struct layer *l, size_t d, uint32_t tokens, const double rate_bps[2])
{
	double t = layer_compute_s(l, d, tokens);
	if (!layer_busy(l, d, tokens))
		return 0;
	for (int dir = 0; dir < 2; dir++) {
		double bits = layer_bits(l, d, dir, tokens);
		t += bits > 0 ? bits / rate_bps[dir] : 0;
	}
	return t;
}

double layer_kept_weight(const struct layer *l, const struct layer_choice *choices)
{
	double kept = 0;
	for (size_t j = 0; j < l->n_tokens; j++) {
		double all = 0, served = 0;
		for (size_t i = j * l->top_k; i < (j + 1) * l->top_k; i++) {
			all += choices[i].weight;
			if (choices[i].device >= 0 && choices[i].expert == choices[i].wanted)
				served += choices[i].weight;
		}
		kept += all > 0 ? served / all : 1;
	}
	return l->n_tokens ? kept / (double)l->n_tokens : 1;
}

double layer_wlr(const struct layer *l, const struct layer_choice *choices, const double *device_s)
{
	double wlr = 0;
	for (size_t i = 0; i < l->n_tokens * l->top_k; i++)
		if (choices[i].device >= 0 && device_s[choices[i].device] > 0)
			wlr += choices[i].given_weight / device_s[choices[i].device];
	return wlr;
}
