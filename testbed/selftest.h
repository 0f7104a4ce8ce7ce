/* selftest.h - a radio that hears itself, by a cable with an attenuator or its own antennas: levels, image, noise, EVM.
 *
 *     struct selftest *s = selftest_create(radio, &num, amplitude, err, sizeof err);
 *     selftest_noise(s, &noise_dbfs);
 *     selftest_tone(s, &tone);
 *     selftest_wide(s, &wide);
 *     selftest_destroy(s);
 *
 * dBFS: mean power over that of a constant envelope of amplitude 1. A tone at an eighth of the rate: what comes back at it, at its image,
 * at the carrier. A wide signal of random phases over 60 % of the band: a FIR filter of 32 taps is fitted to the first half of what comes
 * back, and what it leaves of the second half is the error (EVM): noise, distortion, phase noise, image, all that is not linear.
 */
#ifndef TESTBED_SELFTEST_H
#define TESTBED_SELFTEST_H

#include <stddef.h>
#include <stdint.h>

#include "radio/radio.h"

struct selftest_tone {
	double level_dbfs;
	double image_db;     /* under the tone */
	double leakage_dbfs; /* at the carrier */
};

struct selftest_wide {
	double level_dbfs; /* of what is explained */
	double evm_db;
	int64_t delay_samples; /* from transmitting to receiving */
	uint64_t overloaded;   /* received samples beyond the converter's scale, in all */
};

struct selftest;

/* amplitude: of the tone, and rms times 3 of the wide signal; above 0, up to 1. NULL with errno. */
struct selftest *selftest_create(struct radio *radio, double amplitude);
void selftest_destroy(struct selftest *s); /* NULL is fine */

/* 0, or the radio's error; -ENOLINK: nothing of what was sent came back. */
int selftest_noise(struct selftest *s, double *noise_dbfs);
int selftest_tone(struct selftest *s, struct selftest_tone *tone);
int selftest_wide(struct selftest *s, struct selftest_wide *wide);

#endif
