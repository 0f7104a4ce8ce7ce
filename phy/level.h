/* level.h - how loud: the rms level of what is sent, clipping at full scale, and the statistics of peaks behind both.
 *
 * Samples go to a radio with magnitude 1.0 as full scale (0 dBFS). Full power, a full-band downlink or a device at its
 * limit whatever it sends, has LEVEL_RMS_DBFS. What then still exceeds full scale is clipped in magnitude, the phase
 * stays:
 *
 *     float full_scale_dbm = level_full_scale_dbm(tx_power_dbm);     // for phy/power.h
 *     ofdm_modulate(o, grid, samples);
 *     stats.clipped += level_clip(samples, slot_len);                // last thing before the radio
 *
 * The level is the loudest at which nothing that is sent suffers. At -10 dBFS clipping and 12-bit conversion together are
 * an error of -57 dB of the signal, which moves no threshold; at -9 dBFS it is -48 dB: 0.04 dB on average at the highest
 * MCS (27 dB), but it comes in bursts, the rare peaks, which put a floor of some 1e-3 under its block errors; at -8 dBFS
 * thresholds move by 0.2 dB. No signal of the air interface clips more than the full-band one, because none has more power at the
 * device's limit, and none has higher peaks over its mean: measured by `wdmoe phy levels`, kept by
 * tests/accept/phy_numerology.py.
 */
#ifndef PHY_LEVEL_H
#define PHY_LEVEL_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

#define LEVEL_RMS_DBFS (-10.0f)

/* What full scale is in dBm when tx_power_dbm, the most that is ever sent, has LEVEL_RMS_DBFS. */
float level_full_scale_dbm(float tx_power_dbm);

/* Samples of magnitude above 1 get magnitude 1. Returns how many those were. x must be finite. */
size_t level_clip(float complex *x, size_t n);

/* Rounds both components as a converter of that many bits (2 .. 24) does: steps of 2^(1 - bits), from -1 to one step
 * below 1. */
void level_quantise(float complex *x, size_t n, unsigned bits);

/* ---- statistics of peaks ---- */

enum { LEVEL_BINS = 800, LEVEL_BIN_MIN_DB = -60, LEVEL_BINS_PER_DB = 10 };

/* Histogram of sample powers, 0.1 dB a bin from -60 to 20 dBFS; all zero to begin with. */
struct level_ccdf {
	uint64_t n;
	double power; /* sum */
	uint64_t bin[LEVEL_BINS];
};

void level_ccdf_add(struct level_ccdf *c, const float complex *x, size_t n);

/* Mean power in dBFS; -INFINITY before the first sample. */
double level_ccdf_rms_dbfs(const struct level_ccdf *c);

/* Share of samples above that level, to a tenth of a dB. */
double level_ccdf_share(const struct level_ccdf *c, double dbfs);

/* The level in dBFS that the share `probability` of samples exceeds, to a tenth of a dB upwards. */
double level_ccdf_dbfs(const struct level_ccdf *c, double probability);

#endif
