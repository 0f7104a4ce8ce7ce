/* acquire_fit.h - carrier and timing of a downlink whose sync symbol has just been found; the second half of acquire.h.
 *
 *     struct acquire_fit *f = acquire_fit_create(&num, cell_id);
 *     acquire_fit_run(f, &stretch, &fit);
 *
 * A stretch of some ten slots is looked at, in which the place of a sync symbol is known to a few samples and the
 * carrier to three quarters of a subcarrier. Four clues tell the carrier, each the angle of a sum of products whose
 * factors lie some time apart; short times are unambiguous, long ones are fine:
 *
 *     halves of known symbols      1/2 symbol    known modulo 2 subcarriers
 *     prefixes and their copies    1 symbol      modulo 1; stronger the more the slots carry
 *     pilots of a slot             8 (or 4)      modulo 1/8; all slots, delays within a prefix only
 *     pilots from slot to slot     6 (or 3)      modulo 1/6
 *
 * They are weighed together as von Mises log-likelihoods (Mardia and Jupp, Directional Statistics, ch. 3), a clue by its
 * coherence: the two pilot distances leave no wrong carrier nearer than 14 kHz (of 30), which the first two exclude by
 * far.
 * The power-delay profile of all pilots together tells the timing (its centre) and the SNR.
 */
#ifndef PHY_ACQUIRE_FIT_H
#define PHY_ACQUIRE_FIT_H

#include "phy/numerology.h"

#include <complex.h>

struct acquire_fit;

struct acquire_stretch {
	const float complex *x; /* n samples */
	size_t n;
	size_t sync_body; /* index of the sync symbol, after its cyclic prefix, as it came out of the search */
	double offset_sc; /* carrier offset in subcarriers as it came out of the search, +-0.75 */
	double drift;     /* samples that slots come late by, a sample: the clock as known, 0 for not at all */
};

struct acquire_fit_result {
	double offset_sc;
	double delay_samples; /* the energy's centre after stretch.sync_body, -cp .. cp */
	double snr;           /* of a pilot, linear */
};

/* NULL with errno ENOMEM. The caller frees it with acquire_fit_destroy. */
struct acquire_fit *acquire_fit_create(const struct numerology *num, uint32_t cell_id);
void acquire_fit_destroy(struct acquire_fit *f); /* NULL is fine */

/* The stretch must hold the sync symbol's whole slot. */
void acquire_fit_run(struct acquire_fit *f, const struct acquire_stretch *s, struct acquire_fit_result *result);

#endif
