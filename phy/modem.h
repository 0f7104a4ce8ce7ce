/* modem.h - QPSK, 16QAM, 64QAM and 256QAM with the Gray maps of 3GPP TS 38.211, section 5.1, unit mean power.
 *
 *     modem_map(qm, bits, symbols, n);                 n symbols from n * qm bits
 *     modem_points(qm, amplitude, points);             the same as a table: points[symbol]
 *     modem_demap(qm, received, noise_var, llr, n);    n * qm LLRs back (data take the faster phy/soften.h)
 *
 * An LLR is log P(bit = 0) / P(bit = 1): positive means 0. Demapping is max-log, exact in that sense: the metric is the
 * difference of the squared distances to the nearest point with the bit 1 and the nearest with the bit 0, over the
 * noise variance. Even bits of a symbol depend on the real part, odd bits on the imaginary part.
 */
#ifndef PHY_MODEM_H
#define PHY_MODEM_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEM_BITS_MAX = 8, MODEM_POINTS_MAX = 1 << MODEM_BITS_MAX };

/* qm: bits a symbol, 2, 4, 6 or 8. bits: n * qm bits, one a byte. Returns 0, or -EINVAL for another qm. */
int modem_map(unsigned qm, const uint8_t *bits, float complex *symbols, size_t n);

/* points: 2^qm, times amplitude; number s is where the bits s & 1, s >> 1 & 1, .. of a symbol go. Returns 0, or -EINVAL. */
int modem_points(unsigned qm, float amplitude, float complex *points);

/* symbols: n received symbols after equalisation (sent points at their unit-power places). noise_var: n variances
 * E|noise|^2 of the same symbols, > 0; INFINITY marks an erased symbol (LLRs 0). llr: n * qm. Returns 0, or -EINVAL for
 * another qm. */
int modem_demap(unsigned qm, const float complex *symbols, const float *noise_var, float *llr, size_t n);

#endif
