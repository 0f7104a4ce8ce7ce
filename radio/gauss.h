/* gauss.h - white Gaussian noise as a pure function of (seed, stream, sample index).
 *
 *     gauss_fill(seed, node, t, n, re, im);    // unit variance per component
 *
 * Sample t of a stream is the same whoever asks for it, in whatever pieces; nothing repeats (128-bit counter) and
 * streams do not overlap. Uniforms: Philox 4x32 with 7 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011). Gaussians: Box-Muller on 32-bit uniforms, so amplitudes reach 6.7 sigma.
 */
#ifndef RADIO_GAUSS_H
#define RADIO_GAUSS_H

#include <stddef.h>
#include <stdint.h>

enum { GAUSS_BLOCK = 64 };

/* re[0..n-1], im[0..n-1]: independent N(0, 1) for samples t_samples .. t_samples+n-1 of the stream.
 * t_samples and n are multiples of GAUSS_BLOCK. */
void gauss_fill(uint64_t seed, uint32_t stream, uint64_t t_samples, size_t n, float *re, float *im);

/* Four words of Philox 4x32-7 for one counter and key: the same generator for whoever needs a few seeded numbers. */
void gauss_philox(const uint32_t counter[4], uint64_t key, uint32_t word[4]);

#endif
