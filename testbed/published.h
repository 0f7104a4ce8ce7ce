/* published.h - the simulation of the WDMoE papers: one model layer after the other over a Shannon channel.
 *
 *     struct published p = published_default();
 *     p.bandwidth_hz = 40e6;
 *     published_run(&p, seed, sums);                 every scheme on the same draws
 *
 * After the description in notes/scheduler.md (Xue et al., arXiv 2405.03131 and 2411.06681): Mixtral's dimensions (hidden state 4096,
 * expert width 14336, 8 experts, top 2), a base station of 10 W and devices of 0.2 W at 3.5 GHz, each with all of its power in the
 * band it gets, path loss 32.4 + 20 log10(f / GHz) + 20 log10(d / m), -174 dBm/Hz, Rayleigh fading, flat, anew for each layer and
 * direction. An expert takes 4 m m_h + 2 m_h m + 8 m_h floating-point operations a token.
 * Left open there, chosen here: devices lie uniformly in a disc of 200 m, 20 m away at least; their speed is drawn from 0.5 to
 * 5 TFLOP/s, uniform in the logarithm; the router's logits are Gaussian with standard deviation 1.5, drawn anew for each token; with
 * fewer devices than experts, expert e is on device e modulo their number.
 */
#ifndef TESTBED_PUBLISHED_H
#define TESTBED_PUBLISHED_H

#include <stddef.h>
#include <stdint.h>

enum { PUBLISHED_EXPERTS = 8, PUBLISHED_TOKENS_MAX = 512 };

enum published_scheme {
	PUBLISHED_NEITHER,   /* vanilla + equal */
	PUBLISHED_SELECTION, /* wdmoe + equal */
	PUBLISHED_BANDWIDTH, /* vanilla + minmax */
	PUBLISHED_BOTH,      /* wdmoe + minmax */
	PUBLISHED_FRONTIER,  /* frontier + minmax, where it keeps as much weight as wdmoe */
	PUBLISHED_SCHEMES,
};

const char *published_name(enum published_scheme s);

struct published {
	double bandwidth_hz, bs_w, device_w, carrier_hz, radius_m;
	size_t n_devices, n_tokens, n_layers; /* 1 .. 8, 1 .. PUBLISHED_TOKENS_MAX, 1 or more */
	double theta;                         /* one fixed threshold; NAN: from 0.5 up, as long as the ratio gains */
};

struct published published_default(void); /* 100 MHz, 8 devices, 64 tokens, 8 layers */

struct published_means { /* over the layers */
	double latency_s, kept_weight, wlr;
};

/* out: [PUBLISHED_SCHEMES]. 0, or -ENOMEM. */
int published_run(const struct published *p, uint64_t seed, struct published_means *out);

#endif
