/* phase_noise.h - phase of an oscillator held by a loop, as a function of sample time.
 *
 *     struct phase_noise p;
 *     phase_noise_init(&p, -95, 1e5, 7.68e6, seed, stream);    // -95 dBc/Hz up to 100 kHz, falling by 20 dB a decade beyond
 *     phase_noise_fill(&p, t, n, radians);                     // any stretch, in any order
 *
 * Model: white below the loop's corner and that of a free oscillator above it, L(f) = L0 / (1 + (f / corner)^2), one side over the carrier
 * (the one-pole case of TR 38.803 section 6.1.10); its variance is pi corner L0. Made by a first-order filter over noise by counter
 * (radio/gauss.h), begun anew before every segment of a fixed grid and far enough ahead that only 1e-4 of its state is amiss there: so
 * any sample is the same whoever asks, in whatever pieces.
 */
#ifndef RADIO_PHASE_NOISE_H
#define RADIO_PHASE_NOISE_H

#include <stddef.h>
#include <stdint.h>

enum { PHASE_NOISE_BLOCK = 64, PHASE_NOISE_SEGMENT = 64 /* blocks */ };

struct phase_noise {
	double pole, drive; /* phase = pole * phase before + drive * noise */
	uint64_t warm;      /* blocks ahead of a segment */
	uint64_t seed;
	uint32_t stream;
	/* Memo of the block last worked out: its number (UINT64_MAX: none), its phases. */
	uint64_t block;
	double last;
	float phase[PHASE_NOISE_BLOCK];
};

/* level_dbc_hz: -200 .. -40 below the corner; corner_hz: rate_hz / 2000 .. rate_hz / 4. Returns 0 or -EINVAL. */
int phase_noise_init(struct phase_noise *p, double level_dbc_hz, double corner_hz, double rate_hz, uint64_t seed,
                     uint32_t stream);

/* radians[0..n-1] at samples t .. t+n-1. */
void phase_noise_fill(struct phase_noise *p, uint64_t t, size_t n, float *radians);

#endif
