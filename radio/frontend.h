/* frontend.h - what real hardware does to a signal between antenna and samples: oscillator, mixer and converter of one direction.
 *
 *     struct frontend f;
 *     frontend_init(&f, &cfg, rate_hz, seed, stream);
 *     clipped += frontend_receive(&f, t, n, re, im);           // from antenna to samples
 *     clipped += frontend_transmit(&f, t, n, re, im);          // from samples to antenna
 *
 * Receiving: the oscillator turns the signal by its phase noise, the mixer unbalances it (its Q arm has another gain and is not quite at a
 * right angle to I: y = mu x + nu conj(x), mu, nu = (1 +- g exp(+-j phi)) / 2, an image at |nu / mu|^2) and adds what leaks of the
 * oscillator, the converter clips to full scale and rounds to its bits. Transmitting: the same from the other end.
 * Everything is a function of the sample's time and value: the same in whatever pieces.
 */
#ifndef RADIO_FRONTEND_H
#define RADIO_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "radio/phase_noise.h"

/* All zero: ideal. */
struct frontend_config {
	double iq_gain_db;            /* amplitude of Q over I, -6 .. 6 */
	double iq_phase_deg;          /* error of the right angle between them, -30 .. 30 */
	double leakage;               /* amplitude at the carrier, full scale 1; 0 .. 1 */
	double phase_noise_dbc_hz;    /* phase_noise.h; with a corner alone */
	double phase_noise_corner_hz; /* 0: none */
	int bits;                     /* of the converter, sign included, 2 .. 24; 0: it neither clips nor rounds */
};

struct frontend {
	bool ideal;                 /* changes nothing */
	bool noisy, mixed;          /* is there phase noise; anything of the mixer's */
	float cross, gain, leakage; /* Q = gain Q + cross I */
	float steps;                /* of the converter from 0 to full scale; 0: ideal */
	struct phase_noise noise;
};

/* 0; -EINVAL if a field is out of its range. */
int frontend_init(struct frontend *f, const struct frontend_config *cfg, double rate_hz, uint64_t seed,
                  uint32_t stream);

/* re[], im[]: samples t .. t+n-1 in units of full scale, changed in place. Returns how many the converter clipped. */
size_t frontend_receive(struct frontend *f, uint64_t t, size_t n, float *re, float *im);
size_t frontend_transmit(struct frontend *f, uint64_t t, size_t n, float *re, float *im);

#endif
