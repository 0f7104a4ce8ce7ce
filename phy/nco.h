/* nco.h - a phase-continuous frequency shift of a sample stream.
 *
 *     struct nco nco;
 *     nco_init(&nco, num.rate_hz);
 *     nco_set_hz(&nco, cfo_hz);             between blocks, as often as wanted
 *     double before = nco_phase_rad(&nco);  to undo the rotation in the CSI of this block
 *     nco_down(&nco, samples, samples, n);  receiver: moves cfo_hz to 0
 *
 * The phase is a 64-bit fraction of a cycle: it wraps by itself and never drifts, and a frequency is exact to
 * rate / 2^64. The rotation of n samples is the same to 1e-6 however the stream is cut into blocks.
 */
#ifndef PHY_NCO_H
#define PHY_NCO_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

enum { NCO_BLOCK = 64 };

struct nco {
	double rate_hz;
	uint64_t phase;                 /* of the next sample, cycles * 2^64 */
	uint64_t step;                  /* a sample, cycles * 2^64, two's complement for negative frequencies */
	float complex power[NCO_BLOCK]; /* exp(+j 2 pi i step), i < NCO_BLOCK */
};

/* Phase 0, frequency 0. */
void nco_init(struct nco *n, double rate_hz);

/* Frequency from the next sample on; the phase goes on. |hz| < rate_hz / 2. */
void nco_set_hz(struct nco *n, double hz);

/* The frequency in use. */
double nco_hz(const struct nco *n);

/* out[i] = in[i] * exp(-j phase_i), phase_i advancing by 2 pi hz / rate a sample: a tone at hz comes out at 0.
 * in == out is fine. Rounding error of a sample: about 2e-7 of its amplitude. */
void nco_down(struct nco *n, const float complex *in, float complex *out, size_t n_samples);

/* out[i] = in[i] * exp(+j phase_i): a signal around 0 comes out around hz. */
void nco_up(struct nco *n, const float complex *in, float complex *out, size_t n_samples);

/* Phase of the next sample, -pi .. pi. */
double nco_phase_rad(const struct nco *n);

/* Advances as if n samples had passed (negative: goes back). */
void nco_skip(struct nco *n, int64_t n_samples);

#endif
