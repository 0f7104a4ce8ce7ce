/* agc.h - a slow automatic gain: samples of one scale, whatever the radio's gain.
 *
 *     struct agc agc;
 *     agc_init(&agc, &info, -25, 200);                       // the gain as it is now is the scale
 *     agc_scale(&agc, rx, slot_len);                         every slot: measures, then divides the gain out
 *     if (agc_step(&agc, &gain_db)) {                        after it: every 200 slots, where the level is off
 *             radio_set_rx_gain(radio, gain_db);
 *             agc_took(&agc, actual_gain_db);
 *     }
 *
 * Steps are of 6 dB at most, taken only when the mean level is more than 3 dB from the target, or when samples are at the converter's full scale
 * (then down at once). What was on its way when the gain was changed is scaled wrong: a slot or two.
 */
#ifndef TESTBED_AGC_H
#define TESTBED_AGC_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>

#include "radio/radio.h"

struct agc {
	double target_dbfs, base_db, gain_db, min_db, max_db;
	unsigned every_slots, slots;
	double power; /* sum of means */
	bool overloaded;
	float scale;
};

void agc_init(struct agc *a, const struct radio_info *info, double target_dbfs, unsigned every_slots);
void agc_scale(struct agc *a, float complex *x, size_t n);
bool agc_step(struct agc *a, double *gain_db);
void agc_took(struct agc *a, double gain_db);

#endif
