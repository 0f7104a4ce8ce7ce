/* input.h - a fuzzer's bytes as numbers and samples.
 *
 * A target takes what it needs from the front; when the bytes run out, zeros come. So every input is a valid one, and a
 * short one already reaches far:
 *
 *     struct fuzz_input in = { data, size };
 *     unsigned mcs = fuzz_byte(&in) % 32;
 *     fuzz_samples(&in, samples, n);
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <complex.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An assert that no build leaves out. */
static inline void must(bool holds)
{
	if (!holds)
		abort();
}

struct fuzz_input {
	const uint8_t *data;
	size_t size;
};

static inline void fuzz_bytes(struct fuzz_input *in, void *out, size_t n)
{
	size_t have = n < in->size ? n : in->size;
	if (have)
		memcpy(out, in->data, have);
	if (n > have)
		memset((uint8_t *)out + have, 0, n - have);
	in->data += have;
	in->size -= have;
}

static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
	uint8_t b;
	fuzz_bytes(in, &b, 1);
	return b;
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t u;
	fuzz_bytes(in, &u, sizeof u);
	return u;
}

/* Uniform, -1 .. 1; the sequence is a function of the seed. */
static inline float fuzz_noise(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (float)(int32_t)*seed / 2147483648.0f;
}

/* Adds to x what a first byte chooses: raw floats (not-a-numbers and infinities among them), small integers at any
 * scale, noise of a seed at any scale, or the signal itself cut short, repeated or turned to silence. */
static inline void fuzz_samples(struct fuzz_input *in, float complex *x, size_t n)
{
	uint8_t kind = fuzz_byte(in);
	float scale = ldexpf(1.0f, (int8_t)fuzz_byte(in) / 2);
	uint32_t seed = fuzz_u32(in);
	size_t cut = seed % (n + 1);

	switch (kind % 5) {
	case 0:
		for (size_t i = 0; i < n && in->size; i++) {
			float re_im[2];
			fuzz_bytes(in, re_im, sizeof re_im);
			x[(cut + i) % n] = CMPLXF(re_im[0], re_im[1]);
		}
		break;
	case 1:
		for (size_t i = 0; i < n && in->size; i++) {
			int8_t re_im[2];
			fuzz_bytes(in, re_im, sizeof re_im);
			x[(cut + i) % n] += scale * CMPLXF(re_im[0], re_im[1]);
		}
		break;
	case 2:
		for (size_t i = 0; i < n; i++)
			x[i] += scale * CMPLXF(fuzz_noise(&seed), fuzz_noise(&seed));
		break;
	case 3:
		memset(x + cut, 0, (n - cut) * sizeof *x);
		break;
	default:
		memmove(x, x + cut, (n - cut) * sizeof *x);
		break;
	}
}

#endif
