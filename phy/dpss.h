/* dpss.h - discrete prolate spheroidal sequences: of all sequences of n points the ones whose transform is packed most
 * tightly into a band (Slepian, Prolate spheroidal wave functions V, 1978).
 *
 * Read the other way round: the frequency responses on n neighbouring subcarriers of channels whose delays lie within
 * 2 w n_fft samples are, up to a tiny remainder, sums of the first 2 w n + a few of them.
 */
#ifndef PHY_DPSS_H
#define PHY_DPSS_H

#include <stddef.h>

/* The first n_sequences sequences of n points and half bandwidth w, 0 < w < 1/2: v[j * n + i], orthonormal, the most
 * concentrated first. lambda[j]: share of the energy within the band, 0 .. 1. 0 or -ENOMEM. */
int dpss(size_t n, double w, size_t n_sequences, double *v, double *lambda);

#endif
