/* measure.h - small sums over resource elements that both directions take: powers, dB, SNR with a floor. */
#ifndef PHY_MEASURE_H
#define PHY_MEASURE_H

#include "phy/csi.h"

#include <complex.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline float power_of(float complex x)
{
	return crealf(x) * crealf(x) + cimagf(x) * cimagf(x);
}

static inline float mean_power(const float complex *x, size_t n)
{
	float sum = 0;
#pragma omp simd reduction(+ : sum)
	for (size_t i = 0; i < n; i++)
		sum += power_of(x[i]);
	return sum / (float)n;
}

/* exp(j rad) of any angle: reduced in double, then a float is enough. */
static inline float complex turn_of(double rad)
{
	float s, c;
	sincosf((float)(rad - 2 * M_PI * rint(rad * (0.5 / M_PI))), &s, &c);
	return CMPLXF(c, s);
}

static inline float ratio_db(float ratio)
{
	return 10.0f * log10f(ratio);
}

/* The same of positive normal numbers to 1e-5 dB, without a call: loops over it become vectors. The logarithm's series in
 * (m - 1) / (m + 1), mantissa m about 1. */
static inline float ratio_db_fast(float ratio)
{
	uint32_t bits, half = 0x3f3504f3; /* of sqrt(1 / 2) */
	memcpy(&bits, &ratio, sizeof bits);
	int32_t exponent = (int32_t)(bits - half) >> 23;
	bits -= (uint32_t)exponent << 23;
	float m;
	memcpy(&m, &bits, sizeof m);
	float t = (m - 1) / (m + 1), s = t * t;
	float series = t * (2 + s * (2.0f / 3 + s * (2.0f / 5 + s * (2.0f / 7 + s * (2.0f / 9)))));
	return 3.01029996f * (float)exponent + 4.34294482f * series;
}

/* power: signal alone, may be negative where noise was taken off. */
static inline float snr_db_of(float power, float noise_var)
{
	return power > noise_var * 1e-2f ? ratio_db(power / noise_var) : CSI_SNR_FLOOR_DB;
}

#endif
