/* measure.h - small sums over resource elements that both directions take: powers, dB, SNR with a floor. */
#ifndef PHY_MEASURE_H
#define PHY_MEASURE_H

#include "phy/csi.h"

#include <complex.h>
#include <math.h>
#include <stddef.h>

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

static inline float ratio_db(float ratio)
{
	return 10.0f * log10f(ratio);
}

/* power: signal alone, may be negative where noise was taken off. */
static inline float snr_db_of(float power, float noise_var)
{
	return power > noise_var * 1e-2f ? ratio_db(power / noise_var) : CSI_SNR_FLOOR_DB;
}

#endif
