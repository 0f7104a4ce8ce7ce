/* track.h - keeps a locked device on the slot grid and the carrier of its BS, slot by slot.
 *
 *     struct track t;
 *     track_start(&t, &num, &radio, &lock);              from acquire
 *     for (;;) {
 *             receive slot_len samples from t.next_start;
 *             nco_set_hz(&nco, t.cfo_hz); nco_down(...); ofdm_demodulate(...); h = pilots received / sent
 *             track_measure(&num, pilots_a, 3, pilots_b, 11, n_pilots, 0, 3, &m);
 *             track_update(&t, &m);                      moves next_start by one slot, and t.cfo_hz
 *             if (track_lost(&t)) acquire again
 *     }
 *
 * Two scalar Kalman filters. Carrier: a random walk, measured by the phase advance between two pilot symbols. Timing:
 * sample clock and carrier come from one oscillator, so the carrier offset says how fast the slots drift
 * (cfo_hz / dl_hz of a sample each sample): fed forward; what is left is a slow walk, measured by the phase slope over
 * the subcarriers. Both measurements are weighted by the SNR at which they were made, so a fade coasts. What the
 * timing follows is the energy centre of the channel, averaged over fading (tens of milliseconds).
 *
 * Slots start on whole samples. The start steps, by one sample, when the grid has moved more than TRACK_STEP from it: a
 * hysteresis, so that the CSI's phase slope does not toggle.
 */
#ifndef PHY_TRACK_H
#define PHY_TRACK_H

#include "phy/acquire.h"
#include "phy/numerology.h"

#include <complex.h>

#define TRACK_STEP 0.75 /* samples */

/* What one slot's pilots say; symbol l's channel estimates as seen with the slot start and frequency in use. */
struct track_measurement {
	float timing_samples; /* the energy's centre after the slot start in use: positive is late; +-n_fft / (2
	                         spacing) */
	float cfo_hz;         /* left after the NCO; +-rate / (2 * samples between the symbols): 1.7 kHz */
	float snr;            /* linear, a pilot; 0: nothing there */
	size_t n_pilots;
	size_t spacing;     /* subcarriers between pilots */
	float separation_s; /* between the two symbols */
};

/* at_a, at_b: received / sent on the pilots k = first, first + spacing, ... (n_pilots <= PHY_SC_MAX of them) of the
 * symbols symbol_a < symbol_b. The demodulator's window backoff must already be undone (ofdm_demodulate does). */
void track_measure(const struct numerology *num, const float complex *at_a, size_t symbol_a, const float complex *at_b,
                   size_t symbol_b, size_t n_pilots, size_t first, size_t spacing, struct track_measurement *m);

/* Delay of the energy's centre from the phase slope between neighbouring pilots of one symbol, in samples; pilots as
 * above. The pair around DC, which is further apart, is left out. *coherence (may be NULL): 0 .. 1, how well the pairs
 * agree. */
float track_timing_from_pilots(const struct numerology *num, const float complex *h, size_t n_pilots, size_t first,
                               size_t spacing, float *coherence);

/* Sum over the symbols of a slot of conj(cyclic prefix) * its copy, over the half of the prefix next to the symbol,
 * where echoes of the symbol before are gone. Its angle is 2 pi cfo / scs; its size over *energy (mean of both halves'
 * energies, added to, may be NULL) is the share of signal. samples: slot_len. */
float complex track_prefix_correlation(const struct numerology *num, const float complex *samples, float *energy);

struct track_config {
	double dl_hz, ul_hz;       /* carriers */
	float snr_min_db;          /* a slot below it is bad */
	unsigned bad_slots_max;    /* consecutive bad slots: lost */
	unsigned missed_max;       /* consecutive sync slots without readable system information: lost */
	unsigned missed_first_max; /* the same before the first was ever read: a false lock */
};

/* Carriers as given; -6 dB, 400 slots, 40 sync slots, 6 sync slots. */
struct track_config track_config_default(double dl_hz, double ul_hz);

struct track {
	struct numerology num;
	struct track_config config;

	/* what to use */
	uint64_t next_start; /* receiver's sample at which to start the next slot */
	float fraction;      /* the grid is at next_start + fraction */
	float cfo_hz;        /* for nco_down; the carrier's offset seen at the receiver */
	uint64_t n_slots;    /* updates since start */

	/* filters */
	double cfo_var, timing_var; /* Hz^2, samples^2 */
	unsigned bad_slots, missed_syncs;
	bool system_information_seen;
	uint64_t n_steps; /* one-sample steps so far */
};

/* The first slot is the one of the lock; call track_skip to get to the present. */
void track_start(struct track *t, const struct numerology *num, const struct track_config *config,
                 const struct acquired *lock);

/* Moves next_start on by whole slots until it is at or after t_samples (nothing is measured in between). Returns how
 * many slots. */
uint64_t track_skip_to(struct track *t, uint64_t t_samples);

/* One slot is over: use its measurement (NULL: none, the slot was not heard) and go to the next. */
void track_update(struct track *t, const struct track_measurement *m);

/* In each sync slot: was system information decoded? */
void track_sync_slot(struct track *t, bool decoded);

bool track_lost(const struct track *t);

/* Frequency to shift the uplink up by (nco_up), so that the BS hears it on its carrier: cfo_hz * ul_hz / dl_hz. */
double track_uplink_hz(const struct track *t);

/* This receiver's clock against the BS's: 1e6 * (receiver samples a BS sample - 1), from the carrier. */
double track_clock_ppm(const struct track *t);

#endif
