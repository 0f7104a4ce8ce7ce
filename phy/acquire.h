/* acquire.h - cold start: finds the sync signal in a stream about which nothing is known.
 *
 *     struct acquire *a = acquire_create(&num, cell_id);
 *     acquire_reset(a, t_first);                     time of the first sample to come, this receiver's clock
 *     while (!acquire_feed(a, samples, n))           blocks of any size as they arrive
 *             ...
 *     struct acquired lock = *acquire_result(a);     now track_start(&track, &lock)
 *
 * Method. Every sample is a candidate for the start of the sync symbol (symbol 7 of every 10th slot). The candidates
 * of one sync period are correlated with the symbol by overlap-save at carrier offsets of -1/2, 0 and +1/2 subcarrier,
 * normalised by the energy in the band of the sync signal under it: for noise, data or other signals of any level the
 * result follows a Beta(1, 127) law. Periods are added non-coherently with a forgetting factor. At the end of each
 * period the best candidate is compared with the threshold that noise passes in one of 10^6 periods (5 ms each). The
 * carrier offset is that of the best hypothesis, refined three times: by the phase between the two halves of the symbol
 * (it picks the subcarrier), by the cyclic prefixes of the last ten slots (they give the fraction), and by the phase
 * from the pilots of symbol 3 over the sync symbol to those of symbol 11 (it gives the rest). The energy's centre of
 * the channel's impulse response in the sync symbol is time 0.
 *
 * Range: carrier offset up to +-0.7 subcarrier (21 kHz at 30 kHz). A lock can be false (1e-6 a period) or on a fading
 * edge: the first control CRC tells; then acquire_reset and go on.
 *
 * One thread at a time; create and destroy from one thread (FFTW plans).
 */
#ifndef PHY_ACQUIRE_H
#define PHY_ACQUIRE_H

#include "phy/numerology.h"

#include <complex.h>

struct acquire;

struct acquired {
	uint64_t
	        slot_start; /* receiver's sample nearest to the start of a sync slot (slot % 10 == 0), < a period ago */
	float fraction;     /* samples, about -0.5 .. 0.5: the slot started at slot_start + fraction */
	float cfo_hz;       /* frequency of the received carrier in the receiver's baseband; rotate by -cfo_hz */
	float metric;       /* correlation coefficient squared of the winner, mean over the periods: 0 .. 1 */
	float threshold;    /* what it had to pass */
	float snr_db;       /* of the sync band in that slot, from the metric: rough */
	unsigned n_periods; /* sync periods listened to since reset */
};

/* cell_id: 0 .. CELL_ID_MAX; its remainder by 3 selects the sequence. About 1.3 MB by default. NULL with errno EINVAL
 * or ENOMEM. */
struct acquire *acquire_create(const struct numerology *num, uint32_t cell_id);
void acquire_destroy(struct acquire *a); /* NULL is fine */

/* Forgets everything; the next sample fed is sample t_first. */
void acquire_reset(struct acquire *a, uint64_t t_first);

/* n consecutive samples of any number. True once locked; then it stays true, and samples are ignored, until reset. */
bool acquire_feed(struct acquire *a, const float complex *samples, size_t n);

/* The lock, valid until reset; NULL while searching. */
const struct acquired *acquire_result(const struct acquire *a);

#endif
