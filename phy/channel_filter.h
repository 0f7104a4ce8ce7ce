/* channel_filter.h - one link's channel, followed over time in a delay basis.
 *
 *     struct channel_filter *f = channel_filter_create(bank);
 *     for each symbol with pilots: channel_filter_observe(f, &obs);
 *     channel_filter_lines(f, re, im, slope_re, slope_im, &m);      the channel about then, all subcarriers and DC
 *
 * The pilots of a symbol give the coefficients of phy/delay_basis.h with white noise. What is common to all of them is
 * taken out first: a phase, which a two-state Kalman filter follows as carrier offset, and a delay, followed the same
 * way as clock drift, known steps of the slot's start taken off. What remains is fading. Each coefficient has a value
 * and a velocity, a Kalman filter whose process noise is set by the Doppler spread that the coefficients' own
 * differences show; how much of the estimate is believed is its power, averaged over time, against its error (Wiener).
 *
 * The window that the basis stands for is chosen from the power-delay profile, measured from the pilots every few
 * observations: as short as the energy allows that would be lost outside it, against the noise that each further
 * coefficient brings in. A channel that is not what was foretold, by phase, delay or profile, is begun anew.
 */
#ifndef PHY_CHANNEL_FILTER_H
#define PHY_CHANNEL_FILTER_H

#include "phy/delay_basis.h"

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>

struct channel_filter;

/* bank: borrowed. samples_in_slot: the unit of time that drifts are told in. NULL with errno ENOMEM. */
struct channel_filter *channel_filter_create(const struct delay_bank *bank, size_t samples_in_slot);
void channel_filter_destroy(struct channel_filter *f); /* NULL is fine */
void channel_filter_reset(struct channel_filter *f);   /* as just created */

struct channel_observation {
	size_t set;             /* which pilots of the bank */
	const float complex *y; /* received over sent, as many as the set has */
	double t_samples;       /* when: receiver's clock, any origin */
	double t_slot;          /* when the slot's samples start */
	double nco_rad;         /* by which the receiver turned the samples back at t_samples */
	double nco_rate;        /* rad a sample, at that time */
	float noise_var;        /* of y, as far as is known; > 0 */
	bool may_step;          /* the sender may have moved its slots by whole samples */
};

struct channel_seen {
	float residual, dof; /* sum of squares that did not fit and its degrees of freedom */
	float energy;        /* of the coefficients, noise and all: noise alone would have noise_energy */
	float noise_energy;
	float coherence; /* with what was foretold, 0 .. 1; 0 without a forecast */
	float likeness;  /* the same as a signal-to-noise ratio: 1 for noise alone */
	bool fresh;      /* begun anew with this observation */
};

void channel_filter_observe(struct channel_filter *f, const struct channel_observation *o, struct channel_seen *seen);

/* Has anything been observed? */
bool channel_filter_ready(const struct channel_filter *f);

/* Value and slope a sample, to be combined by the caller: h(t) = (h + (t - t0) slope) * turn(t), t0 that of the last
 * observation. moves: is the slope worth its product? */
struct channel_motion {
	double t0;
	bool moves;
	double turn_rad_per_sample; /* of raw samples */
	double turn_rad;            /* at t0, of raw samples */
};
void channel_filter_lines(struct channel_filter *f, float *re, float *im, float *slope_re, float *slope_im,
                          struct channel_motion *m);

/* Error variance of a response, mean over each RB (n_rb), at the last observation. */
void channel_filter_error(struct channel_filter *f, float *rb_error);

float channel_filter_doppler_hz(const struct channel_filter *f);
double channel_filter_cfo_hz(const struct channel_filter *f); /* of raw samples */
/* Window of delays: its width and its middle after the slot's start, samples. */
double channel_filter_width(const struct channel_filter *f);
double channel_filter_centre(const struct channel_filter *f);
/* Variance of a further slot's phase advance about what is foretold, carrier and fading, rad^2. */
float channel_filter_advance_var(const struct channel_filter *f);

#endif
