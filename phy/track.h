/* track.h - keeps a locked device on the slot grid and the carrier of its BS, slot by slot.
 *
 *     struct track t;
 *     track_start(&t, &num, &config, &lock);             from acquire
 *     track_skip_to(&t, now);
 *     for (;;) {
 *             receive slot_len samples from t.next_start;
 *             nco_set_hz(&nco, t.cfo_hz); nco_down(...); ofdm_demodulate(...); pilots received / sent
 *             track_measure(&num, at_3, 3, at_11, 11, n_pilots, 0, 3, &m);     or fill m from the CSI
 *             track_update(&t, &m);                      moves next_start by one slot, and cfo_hz
 *             if (track_lost(&t))
 *                     acquire again
 *     }
 *
 * Carrier: a scalar Kalman filter of a random walk, measured by the phase advance between two pilot symbols. Timing: a
 * Kalman filter of two states, the energy's centre of the channel and the drift of the clocks. Clock and carrier usually
 * come from one oscillator, so the carrier offset says how fast the slots drift (cfo_hz / dl_hz of a sample each
 * sample): that is fed forward, and the second state is only what is left: nothing, or all of it where the clock is not
 * the carrier's. The centre is measured by the phase slope over the subcarriers. All measurements are weighted by the
 * SNR at which they were made, so a fade coasts, drift included.
 *
 * Where the slot starts. Echoes between -numerology_backoff and numerology_clean_prefix - backoff samples after it do
 * not interfere. As long as all fit, the slot starts at the energy's centre. Where they do not, it starts where the
 * least interference is left: the power-delay profile, from the correlation of the pilots over frequency averaged over
 * a quarter of a second, weighs every place (a path d samples outside spills d / n_fft of its power, and as much comes
 * in from the neighbour).
 *
 * Slots start on whole samples. The start steps when the place for it has moved more than TRACK_STEP away: a
 * hysteresis, so that the phase slope of the CSI does not toggle.
 */
#ifndef PHY_TRACK_H
#define PHY_TRACK_H

#include "phy/acquire.h"
#include "phy/numerology.h"

#include <complex.h>

#define TRACK_STEP 0.75 /* samples */

enum { TRACK_LAGS = 48 };

/* What the pilots of one slot say, as seen with the slot start and the frequency in use. */
struct track_measurement {
	float timing_samples; /* the energy's centre after the slot start in use; positive: the slot came late */
	float cfo_hz;         /* left after the NCO */
	float snr;            /* of a pilot, linear */
	/* Means of conj(h[k]) h[k + m lag_sc] over pilots, m = 0 .. n_lags - 1, noise taken out of the first. n_lags 0: not
	 * measured; then the slot goes on starting at the energy's centre. */
	size_t n_lags, lag_sc;
	float complex correlation[TRACK_LAGS];
};

/* at_a, at_b: received / sent on the pilots k = first, first + spacing, ... (n_pilots >= 2 of them) of the symbols
 * symbol_a < symbol_b. The window backoff must be undone already (ofdm_demodulate does). Ranges: timing +-n_fft / (2
 * spacing) samples, CFO
 * +-rate / (2 * samples between the symbols), 1.7 kHz for symbols 3 and 11. */
void track_measure(const struct numerology *num, const float complex *at_a, size_t symbol_a, const float complex *at_b,
                   size_t symbol_b, size_t n_pilots, size_t first, size_t spacing, struct track_measurement *m);

/* A lock whose carrier is off by no more is pulled in: 0.8 of what the phase between the pilot symbols of a slot can
 * tell (1.4 kHz by default). */
double track_pull_in_hz(const struct numerology *num);

/* Sum over neighbouring pilots of one symbol of conj(h[i]) * h[i + 1]; the pair around DC, which lies further apart, is
 * left out. Its angle is -2 pi spacing delay / n_fft: track_timing_from_pilots turns (sums of) it into samples. */
float complex track_slope(const struct numerology *num, const float complex *h, size_t n_pilots, size_t first,
                          size_t spacing);
float track_timing_from_pilots(const struct numerology *num, float complex slope, size_t spacing);

/* Adds to *sum, over the symbols of a slot (slot_len samples), conj(cyclic prefix) * its copy, over the three quarters
 * of the prefix next to the symbol, where most echoes of the symbol before are gone: its angle is 2 pi cfo / scs. Adds
 * to *energy the mean of both factors' energies: |*sum| / *energy is the share of signal. Returns the number of
 * products. */
size_t track_prefix_correlation(const struct numerology *num, const float complex *samples, float complex *sum,
                                float *energy);

struct track_config {
	double dl_hz, ul_hz;       /* carriers */
	float snr_min_db;          /* a slot below it is bad */
	unsigned bad_slots_max;    /* consecutive bad slots: lost */
	unsigned missed_max;       /* consecutive sync slots without readable system information: lost */
	unsigned missed_first_max; /* the same as long as none was ever read: a false lock */
};

/* Carriers as given; below -6 dB for 400 slots, 40 missed, 6 missed at first. */
struct track_config track_config_default(double dl_hz, double ul_hz);

enum track_state {
	TRACK_PULLING_IN, /* too young to be sure of the carrier */
	TRACK_STEADY,
	TRACK_COASTING, /* nothing usable of late: time and carrier go on as they were */
	TRACK_LOST,     /* for too long: acquire again */
};

struct track {
	struct numerology num;
	struct track_config config;

	/* what to use */
	uint64_t next_start; /* receiver's sample at which to start the next slot */
	double fraction;     /* samples: the energy's centre is at next_start + fraction */
	double offset;       /* samples: the best start is at next_start + fraction + offset */
	double cfo_hz;       /* for nco_down: where the carrier is in the receiver's baseband */
	uint64_t n_slots;    /* since the sync slot of the lock: n_slots % 10 is the coming slot's number % 10 */

	/* filters and counters */
	double cfo_var; /* of the estimate's error, Hz^2 */
	double drift;   /* samples a sample that slots come late by, beyond what the carrier says */
	double timing_var, drift_var, timing_drift_cov; /* of these estimates' errors: samples^2, 1, samples */
	double complex correlation[TRACK_LAGS]; /* mean, of slots that start at the energy's centre; [0] is about 1 */
	size_t n_lags, lag_sc;                  /* in it */
	double correlation_weight;              /* slots in that mean */
	unsigned bad_slots, missed_syncs;
	bool system_information_seen;
	uint64_t n_steps; /* times the start stepped aside by a sample */
};

/* The coming slot is the one of the lock; track_skip_to gets to the present. */
void track_start(struct track *t, const struct numerology *num, const struct track_config *config,
                 const struct acquired *lock);

/* Moves on by whole slots until next_start is at or after t_samples; nothing is measured in between. Returns how many.
 */
uint64_t track_skip_to(struct track *t, uint64_t t_samples);

/* The coming slot is over: use its measurement (NULL: nothing usable was received) and go to the next. A measurement
 * that is not finite counts as none. */
void track_update(struct track *t, const struct track_measurement *m);

/* To be called once in each sync slot: was system information decoded? */
void track_sync_slot(struct track *t, bool decoded);

bool track_lost(const struct track *t);
enum track_state track_state(const struct track *t);
const char *track_state_name(enum track_state s);

/* Share of the channel's power that interferes when the slot starts `offset` samples after the energy's centre, by the
 * profile seen so far; 0 before there is one. */
double track_interference(const struct track *t, double offset);

/* Shift the uplink up by this (nco_up), so that the BS hears it on its carrier: cfo_hz * ul_hz / dl_hz. */
double track_uplink_hz(const struct track *t);

/* This receiver's clock against the BS's: 1e6 * (receiver samples in a BS sample - 1), from carrier and
 * drift. */
double track_clock_ppm(const struct track *t);

#endif
