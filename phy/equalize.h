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

/* n REs: y received, h channel. var: before, the noise of y (channel estimation error included) > 0; after, that of z. A
 * RE whose channel is nil gets z = 0 and a huge variance. */
void equalize(const float complex *y, const float complex *h, size_t n, float complex *z, float *var);

/* QPSK at once: 2 n soft bits, what modem_demap makes of the above. */
void soften_qpsk(const float complex *y, const float complex *h, const float *var, size_t n, float *llr);

#endif
