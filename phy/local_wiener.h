/* local_wiener.h - Wiener estimates for single resource blocks from data pilots (DMRS) on every second subcarrier of the
 * block itself and of those neighbours that carry the same device's.
 *
 * What is estimated is a process over the subcarriers of mean zero and a flat delay profile, seen from the middle of its
 * window: the channel, or what a forecast of it lacks. The matrices W = R_hp (R_pp + I / snr)^-1 are solved at creation
 * for a few widths and SNRs. They are the same all over the band but around DC.
 */
#ifndef PHY_LOCAL_WIENER_H
#define PHY_LOCAL_WIENER_H

#include "phy/matrix.h"
#include "phy/numerology.h"

#include <stdbool.h>

enum { LOCAL_STEP = 2, LOCAL_RB_PILOTS = PHY_RB_SC / LOCAL_STEP, LOCAL_LEFT = 1, LOCAL_RIGHT = 2 };

struct local_wiener;

/* NULL with errno ENOMEM. */
struct local_wiener *local_wiener_create(const struct numerology *num);
void local_wiener_destroy(struct local_wiener *w); /* NULL is fine */

/* A choice of matrices: the narrowest at least as wide, and the nearest SNR. */
struct local_choice {
	unsigned width, snr;
	bool none; /* the SNR is so low that nothing is as good an estimate */
};
struct local_choice local_wiener_choose(const struct local_wiener *w, double width_samples, float snr);

/* RB rb of n_rb; sides: which neighbours' pilots there are (only where the band has one). p: LOCAL_RB_PILOTS an RB of
 * the whole band, those of rb and its sides are read. h: 16, the first 12 are the RB's. Returns what is left of the
 * process's variance, a share, mean over the RB. */
float local_wiener_estimate(const struct local_wiener *w, const struct local_choice *c, size_t rb, unsigned sides,
                            const float *p_re, const float *p_im, float *h_re, float *h_im);

#endif
