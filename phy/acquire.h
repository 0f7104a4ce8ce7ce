/* acquire.h - cold start: finds the sync signal in a stream about which nothing is known.
 *
 *     struct acquire_config config = acquire_config_default(&num);
 *     config.dl_hz = 3.5e9;                          clock and carrier come from one oscillator
 *     struct acquire *a = acquire_create(&num, cell_id, &config);
 *     acquire_reset(a, t_first);                     time of the first sample to come, this receiver's clock
 *     while (!acquire_feed(a, samples, n))           blocks of any size as they arrive
 *             ...
 *     struct acquired lock = *acquire_result(a);     now track_start(&track, &lock)
 *
 * Method. Candidates for the start of the sync symbol lie `step` samples apart over a sync period (10 slots): every
 * sample, or every 2nd, 4th .. where the sync signal fills only part of the band; then only that part of the spectrum
 * is looked at. They are correlated with the symbol by overlap-save, at carrier offsets half a subcarrier apart over
 * the whole range (one forward FFT for all: half a subcarrier is two bins), normalised by the energy in the band of the
 * sync signal under it: for noise, data or other signals of any level the result follows a Beta(1, sync_len - 1) law
 * or falls off faster. Periods are added non-coherently with a forgetting factor, each hypothesis at the pace of the
 * clock that goes with its carrier. From the end of the first period on, four times a period, the best candidate is
 * compared with the threshold that noise passes with the probability asked for (union over candidates). What is found
 * is then measured at the full rate with all pilots of the last period: phy/acquire_fit.h.
 *
 * A lock can be false (with that probability) or on a fading edge: the first control CRC tells; then acquire_reset and
 * go on. Carrier offset to be expected of right locks: well inside what phy/track.h pulls in (track_pull_in_hz).
 *
 * One thread at a time; create and destroy from one thread (FFTW plans).
 */
#ifndef PHY_ACQUIRE_H
#define PHY_ACQUIRE_H

#include "phy/numerology.h"

#include <complex.h>

struct acquire;

struct acquire_config {
	double cfo_range_hz; /* carrier offsets of +-this are found; 0 .. 16 subcarriers, less in a narrow band */
	double dl_hz; /* carrier: a clock from the same oscillator is off by cfo / dl_hz. 0: clock unknown, taken as right */
	double false_alarm; /* probability of a lock on noise, a period; > 0, < 1 */
};

/* +-2.5 subcarriers, clock unknown, 5e-6 a period of 10 slots. */
struct acquire_config acquire_config_default(const struct numerology *num);

struct acquired {
	uint64_t slot_start; /* receiver's sample nearest to the start of a sync slot (slot % 10 == 0), < a period ago;
	                      * the start is where the energy's centre of the channel puts it */
	float fraction;      /* samples, -0.5 .. 0.5: the slot started at slot_start + fraction */
	float cfo_hz;        /* frequency of the received carrier in the receiver's baseband; rotate by -cfo_hz */
	float metric;        /* correlation coefficient squared of the winner, mean over the periods: 0 .. 1 */
	float threshold;     /* what it had to pass */
	float snr_db;        /* of a pilot, mean over the last period */
	unsigned n_periods;  /* sync periods listened to since reset */
};

/* cell_id: 0 .. CELL_ID_MAX; its remainder by 3 selects the sequence. config: copied; NULL for the default. 3 MB by
 * default (7.68 MS/s), 11 MB at 30.72 MS/s and 15 kHz. NULL with errno EINVAL (of the range, too) or ENOMEM. */
struct acquire *acquire_create(const struct numerology *num, uint32_t cell_id, const struct acquire_config *config);
void acquire_destroy(struct acquire *a); /* NULL is fine */

/* Forgets everything; the next sample fed is sample t_first. */
void acquire_reset(struct acquire *a, uint64_t t_first);

/* n consecutive samples of any number. True once locked; then it stays true, and samples are ignored, until reset. */
bool acquire_feed(struct acquire *a, const float complex *samples, size_t n);

/* The lock, valid until reset; NULL while searching. */
const struct acquired *acquire_result(const struct acquire *a);

/* How the search goes, for logs and tests. */
struct acquire_progress {
	unsigned n_periods;  /* completed since reset */
	size_t n_candidates; /* a period, all carriers */
	float metric;        /* best of the last completed period, as in struct acquired; 0 before the first */
	float threshold;     /* what it would have had to pass */
	double false_alarm; /* with this in the config it would just have passed: noise gets below p in at most a share p of
	                      * periods; may be more than 1 */
};
struct acquire_progress acquire_progress(const struct acquire *a);

#endif
