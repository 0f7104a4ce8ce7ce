/* ofdm.h - a slot of resource elements to samples and back.
 *
 *     struct ofdm *o = ofdm_create(&num, numerology_backoff(&num));
 *     ofdm_modulate(o, grid, samples);
 *     ofdm_demodulate(o, samples, grid);
 *     ofdm_destroy(o);
 *
 * A grid is `float complex grid[n_symbols * n_sc]`, symbol after symbol, in a symbol from the lowest subcarrier to the
 * highest. Both ways are unitary: an RE of amplitude A adds A^2 / n_fft to the mean power of its symbol, and white
 * noise of power P a sample has variance P in each demodulated RE.
 *
 * Symbols have soft edges (weighted overlap and add): over the first `taper` samples of a prefix the new symbol rises as
 * a raised cosine while the cyclic continuation of the one before falls. So slots join: their modulator remembers the
 * end of the last one.
 *
 * The receiver starts its FFT window `backoff` samples before the end of the cyclic prefix and turns the subcarriers
 * back by the linear phase this makes. So a path of delay 0 reads flat, and every path with a delay of -backoff .. cp -
 * taper - backoff samples (of any fraction) is free of interference between symbols.
 *
 * Plans are FFTW_ESTIMATE: the same bits on every run. FFTW's planner is not thread-safe: create and destroy all
 * objects from one thread. Executing different objects from different threads is fine.
 */
#ifndef PHY_OFDM_H
#define PHY_OFDM_H

#include "phy/numerology.h"

#include <complex.h>

struct ofdm;

/* num: copied. backoff: 0 .. cp - taper samples. NULL with errno EINVAL or ENOMEM. The caller frees it with
 * ofdm_destroy. */
struct ofdm *ofdm_create(const struct numerology *num, size_t backoff);
void ofdm_destroy(struct ofdm *o); /* NULL is fine */

/* grid: n_symbols * n_sc RE; samples: slot_len, written whole, the first `taper` of them with the end of the slot
 * modulated before. They need no alignment and must not overlap. */
void ofdm_modulate(struct ofdm *o, const float complex *grid, float complex *samples);

/* A slot in which nothing is sent: zeros but for the end of the slot before. Returns whether there was one. */
bool ofdm_silence(struct ofdm *o, float complex *samples);

/* Forgets the end of the last slot: the next one follows silence. */
void ofdm_reset(struct ofdm *o);

/* samples: slot_len from the nominal start of the slot; grid: n_symbols * n_sc, written whole. */
void ofdm_demodulate(struct ofdm *o, const float complex *samples, float complex *grid);

#endif
