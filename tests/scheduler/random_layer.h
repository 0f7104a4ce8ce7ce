/* random_layer.h - layers for the tests of allocators and policies, drawn from a seed. */
#ifndef TESTS_SCHEDULER_RANDOM_LAYER_H
#define TESTS_SCHEDULER_RANDOM_LAYER_H

#include <math.h>
#include <string.h>

#include "scheduler/layer.h"

enum { RL_TOKENS = 128, RL_EXPERTS = 16, RL_DEVICES = 64, RL_RB = 64 };

struct random_layer {
	uint64_t rng;
	struct layer l;
	struct layer_device device[RL_DEVICES];
	double bps[RL_DEVICES][2][RL_RB];
	double weights[RL_TOKENS * RL_EXPERTS];
	uint8_t holds[RL_EXPERTS * RL_DEVICES];
	uint32_t tokens_on[RL_DEVICES];
};

static inline double rl_uniform(struct random_layer *r)
{
	r->rng = r->rng * 6364136223846793005u + 1442695040888963407u;
	return ((double)(r->rng >> 11) + 0.5) * 0x1p-53;
}

/* Devices from -3 to 27 dB, flat or with Rayleigh-fading blocks, unlike in compute, 0 to 7 tokens each. */
static inline void rl_devices(struct random_layer *r, size_t n_devices, size_t n_rb, bool fading,
                              enum layer_power power)
{
	r->l = (struct layer){ .n_devices = n_devices,
		               .n_rb = n_rb,
		               .power = power,
		               .block_hz = 360e3,
		               .token_bits = { 1e3 + 65536 * rl_uniform(r), 1e3 + 65536 * rl_uniform(r) },
		               .device = r->device };
	for (size_t d = 0; d < n_devices; d++) {
		struct layer_device *dev = &r->device[d];
		*dev = (struct layer_device){ .alive = true,
			                      .fixed_s = 1e-3 * rl_uniform(r),
			                      .per_token_s = 1e-3 * rl_uniform(r) };
		r->tokens_on[d] = (uint32_t)(8 * rl_uniform(r));
		for (int dir = 0; dir < 2; dir++) {
			dev->snr[dir] = pow(10, (30 * rl_uniform(r) - 3) / 10);
			for (size_t rb = 0; rb < n_rb; rb++) {
				double gain = fading ? -log(rl_uniform(r)) : 1;
				r->bps[d][dir][rb] = 360e3 * log2(1 + dev->snr[dir] * gain);
				dev->mean_bps[dir] += r->bps[d][dir][rb] / (double)n_rb;
			}
			dev->block_bps[dir] = fading ? r->bps[d][dir] : NULL;
		}
	}
}

/* The same with tokens: expert e on device e, and on `replicas` more. */
static inline void rl_tokens(struct random_layer *r, size_t n_tokens, size_t n_experts, size_t top_k, size_t n_devices,
                             size_t replicas)
{
	rl_devices(r, n_devices, 50, false, LAYER_PSD);
	memset(r->holds, 0, sizeof r->holds);
	for (size_t e = 0; e < n_experts; e++)
		for (size_t i = 0; i <= replicas; i++)
			r->holds[e * n_devices + (e + 3 * i) % n_devices] = 1;
	for (size_t j = 0; j < n_tokens; j++) {
		double sum = 0;
		for (size_t e = 0; e < n_experts; e++)
			sum += r->weights[j * n_experts + e] = exp(3 * (rl_uniform(r) + rl_uniform(r) - 1));
		for (size_t e = 0; e < n_experts; e++)
			r->weights[j * n_experts + e] /= sum;
	}
	r->l.n_tokens = n_tokens;
	r->l.n_experts = n_experts;
	r->l.top_k = top_k;
	r->l.weights = r->weights;
	r->l.holds = r->holds;
}

#endif
