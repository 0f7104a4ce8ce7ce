/* layer.h - one MoE layer as a problem: which tokens want which experts, what each device can do, how long a choice lasts.
 *
 *     fill struct layer: weights of the router, holders of the experts, devices with their rates and compute times
 *     if ((complaint = layer_check(&layer))) ...                 one line for whoever gave the numbers
 *     layer_choices(&layer, choices);                            the router's own top_k, nobody serves them yet
 *     ... a policy (scheduler/select.h) fills in devices, an allocator (scheduler/share.h, scheduler/blocks.h) bandwidth
 *     layer_load(&layer, choices, tokens_on);
 *     layer_device_s(&layer, d, tokens_on[d], rate_bps)
 *
 * Latency of a device with q tokens, as in the WDMoE papers (Xue et al., arXiv 2405.03131 and 2411.06681, after the
 * description in notes/scheduler.md), with what a real device adds:
 *
 *     t(q) = (q * token_bits.dl + backlog.dl) / R_dl + [q > 0] * fixed + q * per_token + (q * token_bits.ul + backlog.ul) / R_ul
 *
 * 0 when there is neither a token nor a backlog. A layer lasts as long as its slowest device. q counts outputs wanted: a
 * token that goes to two experts of one device counts twice.
 *
 * Rates. Bandwidth is n_rb resource blocks in each direction. A block carries block_bps[dir][rb] where its SNR is the same
 * whatever else is held (LAYER_PSD, power follows the bandwidth); or the whole power of the sender goes into the blocks
 * held (LAYER_TOTAL): x of them carry x * block_hz * log2(1 + snr * n_rb / x), snr being that of the whole band.
 */
#ifndef SCHEDULER_LAYER_H
#define SCHEDULER_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LAYER_DEVICES_MAX = 256,
	LAYER_EXPERTS_MAX = 256,
	LAYER_USED_MAX = 16,
	LAYER_RB_MAX = 512,
	LAYER_TOKENS_MAX = 4096
};
enum layer_direction { LAYER_DL, LAYER_UL };
enum layer_power { LAYER_PSD, LAYER_TOTAL };

struct layer_device {
	bool alive;
	double fixed_s, per_token_s;
	double backlog_bits[2];
	/* LAYER_PSD: what a block carries in the mean over the band; and each of them, or NULL where all are alike. */
	double mean_bps[2];
	const double *block_bps[2]; /* [n_rb] */
	double snr[2];              /* LAYER_TOTAL: of the whole band, linear */
};

struct layer {
	size_t n_tokens, n_experts, top_k, n_devices, n_rb;
	enum layer_power power;
	double block_hz;
	double token_bits[2];
	const double *weights; /* [n_tokens][n_experts] the router's softmax */
	const uint8_t *holds;  /* [n_experts][n_devices] 1: the device has the expert */
	const double *
	        similar; /* [n_experts][n_experts] 0 .. 1: how well the second stands in for the first; NULL: unknown */
	const struct layer_device *device;
};

/* What becomes of one choice of the router. */
struct layer_choice {
	uint16_t wanted;     /* by the router */
	uint16_t expert;     /* that serves it: wanted, or a substitute */
	int16_t device;      /* of its holders; -1: nobody, the choice is dropped */
	double weight;       /* the router's, of wanted */
	double given_weight; /* what the output is combined with, before renormalisation */
};

/* NULL, or what is wrong with it: one line, as long as the program lives. Every token must have a choice that a device in
 * reach holds. */
const char *layer_check(const struct layer *l);

/* Alive, and with a rate above 0 both ways. */
bool layer_reach(const struct layer *l, size_t device);
/* Can anybody serve the expert? */
bool layer_served_by(const struct layer *l, size_t expert, size_t device);
bool layer_has_holder(const struct layer *l, size_t expert);

/* choices: [n_tokens][top_k], written: the top_k experts of each token in falling order of weight (ties: the lower number). */
void layer_choices(const struct layer *l, struct layer_choice *choices);

/* tokens_on: [n_devices], written: q of each. */
void layer_load(const struct layer *l, const struct layer_choice *choices, uint32_t *tokens_on);

/* Is anything to be done there: tokens, or a backlog within reach? */
bool layer_busy(const struct layer *l, size_t device, uint32_t tokens);
double layer_bits(const struct layer *l, size_t device, enum layer_direction dir, uint32_t tokens);
double layer_compute_s(const struct layer *l, size_t device, uint32_t tokens);

/* Bits a second that x of n_rb blocks of average quality carry; x: 0 .. n_rb, need not be whole. */
double layer_rate_bps(const struct layer *l, size_t device, enum layer_direction dir, double x);

/* t(q) at these rates; 0 when idle, INFINITY at a rate of 0. */
double layer_device_s(const struct layer *l, size_t device, uint32_t tokens, const double rate_bps[2]);

/* Mean over the tokens of the router's weight that is served by the experts it chose, over that of its top_k. */
double layer_kept_weight(const struct layer *l, const struct layer_choice *choices);

/* Weight-to-latency ratio: sum over the devices of (weights served / latency). device_s: [n_devices]. */
double layer_wlr(const struct layer *l, const struct layer_choice *choices, const double *device_s);

#endif
