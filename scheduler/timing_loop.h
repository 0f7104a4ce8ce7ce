/* timing_loop.h - timing advance: what the base station tells a device so that its uplink arrives when the slot begins.
 *
 *     int units = timing_loop_answer(&cfg, preamble_delay_samples);       the whole advance, with the access answer
 *     timing_loop_begin(&t, first_slot);                                  first uplink slot that it moves
 *     timing_loop_observe(&t, &cfg, slot, csi.timing_samples);            every sounding
 *     if ((units = timing_loop_command(&t, &cfg)))                        to be added to the advance
 *             ... it was sent ...
 *             timing_loop_begin(&t, first_slot);
 *
 * What is steered is the mean of the energy's delay over window_slots soundings. It wanders with fading by about the
 * delay spread, so nothing is said inside the dead band, nor before least_slots measurements were made with the last
 * command in force: no two commands answer the same error, and a lost command shows as an error that stayed. One unit
 * is what phy/dci.h says, n_fft / 256 samples. Plain data; pure functions of it.
 */
#ifndef SCHEDULER_TIMING_LOOP_H
#define SCHEDULER_TIMING_LOOP_H

#include "phy/numerology.h"

#include <stdint.h>

struct timing_loop_config {
	double unit_samples;
	double dead_band_samples; /* an eighth of the cyclic prefix, a unit at least */
	unsigned least_slots;     /* measurements before a command; 20 */
	unsigned window_slots;    /* memory of the mean; 100 */
	int step_max;             /* units a command: half a cyclic prefix */
	int answer_max;           /* units; 127 */
};

struct timing_loop_config timing_loop_config_for(const struct numerology *num);

struct timing_loop {
	uint64_t from_slot;  /* older measurements are of another advance */
	double late_samples; /* mean */
	unsigned n;          /* measurements in it, window_slots at most */
};

void timing_loop_begin(struct timing_loop *t, uint64_t from_slot);

/* late_samples: of the energy after the slot's start. 0, or -EINVAL when not finite: then nothing changes. */
int timing_loop_observe(struct timing_loop *t, const struct timing_loop_config *cfg, uint64_t slot,
                        double late_samples);

/* Units to add to the advance, -step_max .. step_max; 0: nothing needs to be said. */
int timing_loop_command(const struct timing_loop *t, const struct timing_loop_config *cfg);

/* The whole advance for a preamble that came so late: 0 .. answer_max. */
int timing_loop_answer(const struct timing_loop_config *cfg, double delay_samples);

#endif
