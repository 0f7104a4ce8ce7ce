#include "scheduler/bandwidth_inner.h"

#include <math.h>
#include <string.h>

static double seconds(double bits, double rate_bps)
{
	return bits > 0 ? bits / rate_bps : 0;
}

void bandwidth_finish(const struct layer *l, const uint32_t *tokens_on, const double *last, struct bandwidth *b)
{
	size_t slowest = 0;
	b->latency_s = 0;
	for (size_t d = 0; d < l->n_devices; d++) {
		b->device_s[d] = layer_device_s(l, d, tokens_on[d],
		                                (double[2]){ b->rate_bps[LAYER_DL][d], b->rate_bps[LAYER_UL][d] });
		if (b->device_s[d] > b->latency_s) {
			b->latency_s = b->device_s[d];
			slowest = d;
		}
	}
	for (size_t d = 0; d < l->n_devices; d++) {
		double share = last ? last[d] : d == slowest;
		b->price_s[d] = 0;
		if (share > 0)
			b->price_s[d] = share * (seconds(l->token_bits[LAYER_DL], b->rate_bps[LAYER_DL][d]) +
			                         l->device[d].per_token_s +
			                         seconds(l->token_bits[LAYER_UL], b->rate_bps[LAYER_UL][d]));
	}
}

/* To every device the same number of blocks. */
static void divide(const struct layer *l, const uint32_t *tokens_on, bool only_busy, struct bandwidth *b)
{
	for (int dir = 0; dir < 2; dir++) {
		size_t n = 0;
		bool in[LAYER_DEVICES_MAX];
		for (size_t d = 0; d < l->n_devices; d++) {
			in[d] = !only_busy || (layer_busy(l, d, tokens_on[d]) &&
			                       layer_bits(l, d, (enum layer_direction)dir, tokens_on[d]) > 0);
			n += in[d];
		}
		for (size_t d = 0; d < l->n_devices; d++) {
			b->blocks[dir][d] = in[d] ? (double)l->n_rb / (double)n : 0;
			b->rate_bps[dir][d] = layer_rate_bps(l, d, (enum layer_direction)dir, b->blocks[dir][d]);
		}
	}
	bandwidth_finish(l, tokens_on, NULL, b);
}

static void equal(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b)
{
	divide(l, tokens_on, false, b);
}

static void round_robin(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b)
{
	divide(l, tokens_on, true, b);
}

static const struct bandwidth_method methods[] = {
	{ "equal", "a fixed equal share for each device, loaded or not", false, equal },
	{ "round-robin", "equal over those with something to send", false, round_robin },
	{ "proportional-fair", "each block to whom it gains most, relative to what it has", true,
	  bandwidth_proportional_fair },
	{ "minmax", "the least layer latency with any shares", false, bandwidth_minmax },
	{ "minmax-rb", "the least layer latency with whole blocks", true, bandwidth_minmax_rb },
	{ "horizon", "minmax-rb, made anew in every slot for what is left", true, bandwidth_minmax_rb },
};

const struct bandwidth_method *bandwidth_methods(size_t *n)
{
	*n = sizeof methods / sizeof methods[0];
	return methods;
}

const struct bandwidth_method *bandwidth_method_find(const char *name)
{
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

size_t bandwidth_first_done(const struct layer *l, const struct bandwidth *b, const uint32_t *tokens_on, size_t expert)
{
	size_t best = l->n_devices;
	double best_s = INFINITY;
	for (size_t d = 0; d < l->n_devices; d++) {
		if (!layer_served_by(l, expert, d))
			continue;
		double t = layer_device_s(l, d, tokens_on[d] + 1,
		                          (double[2]){ b->rate_bps[LAYER_DL][d], b->rate_bps[LAYER_UL][d] });
		if (best == l->n_devices || t < best_s) {
			best = d;
			best_s = t;
		}
	}
	return best;
}

double bandwidth_lower_bound_s(const struct layer *l, const uint32_t *tokens_on, bool whole)
{
	if (whole && l->power == LAYER_PSD)
		return bandwidth_blocks_bound_s(l, tokens_on);
	struct bandwidth b;
	bandwidth_minmax(l, tokens_on, &b);
	return b.latency_s;
}
