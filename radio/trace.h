/* trace.h - a channel as it was: the gains of its taps over time, measured or written down, and replayed.
 *
 *     struct channel_trace tr;
 *     channel_trace_init(&tr, 20, 4000);                   // then fill in step_s, delay_s and the gains, row by row
 *     channel_trace_normalise(&tr);                        // mean power 1: the path loss is the link's
 *     channel_trace_gains(&tr, t, re, im);                 // at any time, in any order
 *     channel_trace_free(&tr);
 *
 * Between rows gains move linearly. A replay runs to the last row and back again, so that it has no jumps and no end.
 */
#ifndef RADIO_TRACE_H
#define RADIO_TRACE_H

#include <stddef.h>

#include "radio/tdl.h"

struct channel_trace {
	size_t n_taps, n_times; /* 1 .. TDL_MAX_TAPS, 2 .. */
	double step_s;          /* from row to row, > 0 */
	double delay_s[TDL_MAX_TAPS];
	float *re, *im; /* [n_times * n_taps] */
};

/* All zero, step 0. Returns 0, -EINVAL, -ENOMEM. */
int channel_trace_init(struct channel_trace *tr, size_t n_taps, size_t n_times);
void channel_trace_free(struct channel_trace *tr); /* all zero is fine */

/* Mean over time of the sum of the taps' powers. */
double channel_trace_power(const struct channel_trace *tr);

/* Scales the gains to a power of 1. -EDOM if it is zero or not finite. */
int channel_trace_normalise(struct channel_trace *tr);

/* Rate at which the fastest step moves the channel, as a Doppler shift would: |change| / (2 pi step RMS). */
double channel_trace_doppler_hz(const struct channel_trace *tr);

/* Gains of all taps at t seconds, t >= 0, row 0 at 0. */
void channel_trace_gains(const struct channel_trace *tr, double t, float *re, float *im);

#endif
