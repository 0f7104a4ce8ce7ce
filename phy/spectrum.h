/* spectrum.h - where the power of a stream of samples lies in frequency.
 *
 *     struct spectrum *s = spectrum_create(8 * num.n_fft);
 *     spectrum_feed(s, samples, n);                 // as often as there are samples, in any portions
 *     double share = spectrum_band(s, -0.1, 0.1) / spectrum_band(s, -0.5, 0.5);
 *     double db = spectrum_adjacent_db(s, &num);
 *     spectrum_destroy(s);
 *
 * Welch's method: mean periodogram of half-overlapping blocks with the four-term Blackman-Harris window (side lobes
 * below -92 dB; Harris 1978), so what is measured down to -80 dBc is the signal's.
 */
#ifndef PHY_SPECTRUM_H
#define PHY_SPECTRUM_H

#include "phy/numerology.h"

#include <complex.h>

struct spectrum;

/* n: bins, 64 .. 2^16, even. NULL with errno EINVAL or ENOMEM. The caller frees it with spectrum_destroy. */
struct spectrum *spectrum_create(size_t n);
void spectrum_destroy(struct spectrum *s); /* NULL is fine */

void spectrum_feed(struct spectrum *s, const float complex *x, size_t n);

/* Power of bin i < n at frequency i / n of the sample rate (from n / 2 on: negative frequencies, less one); all bins
 * together are the mean power. 0 before the first whole block. */
double spectrum_bin(const struct spectrum *s, size_t i);

/* Power between two frequencies in units of the sample rate, -0.5 <= from < to <= 0.5, edge bins in part. */
double spectrum_band(const struct spectrum *s, double from, double to);

/* The channel is as wide as the used subcarriers (with DC) over 0.9, the adjacent ones are as wide and touch it. The
 * stronger of both over the channel in dB. Of the samples interpolated ideally, at four times the rate, say: what lies
 * beyond half the sample rate is none. */
double spectrum_adjacent_db(const struct spectrum *s, const struct numerology *num);

#endif
