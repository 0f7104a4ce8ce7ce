/* equalize.h - one-tap equaliser with the noise variance each soft bit deserves.
 *
 * Zero forcing, z = y conj(h) / |h|^2, with the noise of z, (noise + error) / |h|^2: for max-log soft bits that is
 * the same as MMSE with its bias taken off (Tuechler et al., Minimum mean squared error equalization, 2002).
 */
#ifndef PHY_EQUALIZE_H
#define PHY_EQUALIZE_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

/* n REs: y received, h channel, noise_var of y (channel estimation error included) > 0. z and var: n each; a RE whose
 * channel is nil gets z = 0 and a huge variance. */
void equalize(const float complex *y, const float complex *h, float noise_var, size_t n, float complex *z, float *var);

#endif
