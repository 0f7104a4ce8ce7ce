/* noise_stats - the emulator's noise against chance: moments, tails to five sigma, repetition. One JSON object. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "radio/gauss.h"

enum { N = 20000000 / GAUSS_BLOCK * GAUSS_BLOCK, N_TAILS = 3 };

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, tail[N_TAILS] = { 0 };
	/* Two samples in a row as one number: single ones may be alike by chance (their bits are about 46), pairs are not. */
	uint64_t *bits = malloc(N * sizeof *bits);
	uint64_t before = 0;
	double sum = 0, square = 0, fourth = 0, cross = 0;
	if (!bits)
		return 1;
	for (uint64_t t = 0; t < N; t += GAUSS_BLOCK) {
		float re[GAUSS_BLOCK], im[GAUSS_BLOCK];
		gauss_fill(seed, 7, t, GAUSS_BLOCK, re, im);
		for (int i = 0; i < GAUSS_BLOCK; i++) {
			union {
				float f[2];
				uint64_t u;
			} both = { { re[i], im[i] } };
			bits[t + (uint64_t)i] = both.u ^ before * 0x9e3779b97f4a7c15u;
			before = both.u;
			cross += (double)(re[i] * im[i]);
			for (int part = 0; part < 2; part++) {
				double v = part ? im[i] : re[i];
				sum += v;
				square += v * v;
				fourth += v * v * v * v;
				for (int k = 0; k < N_TAILS; k++)
					tail[k] += fabs(v) > 3 + k;
			}
		}
	}
	qsort(bits, N, sizeof *bits, by_value);
	uint64_t repeated = 0;
	for (size_t i = 1; i < N; i++)
		repeated += bits[i] == bits[i - 1];
	printf("{\"samples\": %d, \"mean\": %.6f, \"variance\": %.6f, \"kurtosis\": %.5f, \"correlation\": %.6f, "
	       "\"pairs_repeated\": %" PRIu64 ", \"tails\": [",
	       N, sum / (2.0 * N), square / (2.0 * N), fourth / square / (square / (2.0 * N)), cross / square * 2,
	       repeated);
	for (int k = 0; k < N_TAILS; k++)
		printf("%s{\"sigma\": %d, \"count\": %" PRIu64 ", \"expected\": %.2f}", k ? ", " : "", 3 + k, tail[k],
		       2.0 * N * erfc((3 + k) / sqrt(2)));
	printf("]}\n");
	free(bits);
	return 0;
}
