/* fading_link.h - one direction of one link of the ether: fading taps, delays, clocks, carrier offset, outages.
 *
 * fading_link_init works out the constants; fading_link_add then adds what the link delivers to any stretch of receiver
 * samples. The whole link is one FIR filter whose complex coefficients change with time: every tap contributes its gain
 * times a fractional-delay kernel (radio/fracdelay.h), and the clocks' drift moves the kernels. Time is cut on fixed
 * grids of receiver samples, so that the result does not depend on how a stretch is cut into calls:
 *
 *   interval  64..4096 samples: coefficients are computed at both ends from fading and delays, linear in between
 *   block     64 samples: coefficients are held at their value in the middle, or, where that is not good enough, move
 *             linearly (a second filter with their slope: twice the work)
 *
 * chosen so that the error stays below -55 dB for Doppler up to 2e-4 of the sampling rate (470 km/h at 3.5 GHz and
 * 7.68 MS/s) and any clock within 50 ppm. Stretches in which the transmitter is silent are skipped.
 */
#ifndef RADIO_FADING_LINK_H
#define RADIO_FADING_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "radio/fracdelay.h"
#include "radio/ring.h"
#include "radio/shadow.h"
#include "radio/tdl.h"
#include "radio/trace.h"

enum {
	LINK_BLOCK = 64,       /* receiver samples; everything is computed in whole blocks of this grid */
	LINK_MAX_SPREAD = 200, /* samples from the first to the last tap */
	LINK_MAX_INTERVAL = 4096,
	LINK_MAX_BLOCKS = LINK_MAX_INTERVAL / LINK_BLOCK,
	LINK_MAX_FIR = LINK_MAX_SPREAD + FRACDELAY_LENGTH + 8,
	LINK_MAX_COUNT = 1024, /* samples a call of fading_link_add */
	LINK_MAX_BLANKS = 64,
};

/* What fading_link_init has to know. Clocks: a node reads (t - start_s) * rate_hz * (1 + error) at t seconds. */
struct fading_link_config {
	const struct tdl_profile *profile;
	const struct channel_trace *trace; /* NULL, or replayed instead of the profile; not copied, outlives the link */
	double delay_spread_s, k_db, speed_m_s;
	double path_loss_db, propagation_delay_s;
	double shadow_db, shadow_decorrelation_m; /* standard deviation 0: none */
	double rate_hz, carrier_hz;
	double tx_error, tx_start_s, rx_error, rx_start_s;
	double outage_period_s, outage_duration_s; /* period 0: none */
	uint64_t seed;
	uint32_t stream;        /* of this link and direction alone */
	uint32_t shadow_stream; /* of this link, the same both ways */
};

struct fading_link_span {
	double from_s, to_s;
};

/* Coefficients at both ends of one interval: receiver sample s + k takes transmitter samples base + s + k + j with
 * coefficient j, j = 0..length-1. */
struct fading_link_fir {
	uint64_t start; /* s; UINT64_MAX: nothing computed yet */
	int64_t base;
	size_t length;
	float re[2][LINK_MAX_FIR], im[2][LINK_MAX_FIR];
	float turn_re, turn_im; /* carrier offset at s */
};

/* Tap gains at receiver sample n, path loss and shadow included. */
struct fading_link_gains {
	uint64_t n; /* UINT64_MAX: nothing computed yet */
	float re[TDL_MAX_TAPS], im[TDL_MAX_TAPS];
};

struct fading_link {
	struct tdl fading;
	const struct channel_trace *trace; /* its delays are in fading too */
	struct shadow shadow;
	const struct fracdelay *kernel; /* not owned */
	double gain;                    /* amplitude of the path loss */
	double tap_delay[TDL_MAX_TAPS]; /* transmitter's samples, without propagation */
	double max_tap_delay;
	double propagation_delay; /* transmitter's samples */
	double rate_hz;
	double t_start_s, t_step_s; /* receiver sample n is at t_start_s + n t_step_s */
	double lag_start, lag_step; /* and sees transmitter position n + lag_start + n lag_step, tap delays apart */
	double cfo_hz;
	size_t interval;
	int sloped;                                             /* coefficients move within a block */
	float spin_re[LINK_BLOCK], spin_im[LINK_BLOCK];         /* carrier offset from sample to sample of a block */
	float hop_re[LINK_MAX_BLOCKS], hop_im[LINK_MAX_BLOCKS]; /* and from block to block of an interval */
	double outage_period_s, outage_duration_s;
	uint64_t seed;
	uint32_t stream;
	struct fading_link_span blank[LINK_MAX_BLANKS];
	size_t n_blanks;
	struct fading_link_fir fir;        /* memos of pure functions of time, belonging to the receiver's thread: */
	struct fading_link_gains gains[2]; /* the latest interval, and its two ends */
};

/* Room for one call's input; belongs to the receiver's thread. */
struct fading_link_scratch {
	float re[LINK_MAX_COUNT + LINK_MAX_FIR + LINK_BLOCK], im[LINK_MAX_COUNT + LINK_MAX_FIR + LINK_BLOCK];
};

/* 0, -EDOM if the profile is longer than LINK_MAX_SPREAD samples, -ERANGE if the Doppler is too fast for the rate. */
int fading_link_init(struct fading_link *link, const struct fading_link_config *cfg, const struct fracdelay *kernel);

/* Earliest transmitter sample that receiver sample n depends on. */
int64_t fading_link_first_input(const struct fading_link *link, uint64_t n);

/* Add receiver samples n .. n+count-1 to re[], im[]; n and count are multiples of LINK_BLOCK, count <= LINK_MAX_COUNT.
 */
void fading_link_add(struct fading_link *link, const struct ring *ring, uint64_t n, size_t count, float *re, float *im,
                     struct fading_link_scratch *scratch);

/* Blank receptions at from_s <= t < to_s. 0 or -ENOSPC. */
int fading_link_blank(struct fading_link *link, double from_s, double to_s);

/* True response as defined in ether.h. */
void fading_link_response(const struct fading_link *link, double t_s, const double *offset_hz, size_t n,
                          double _Complex *h);

#endif
