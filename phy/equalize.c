#include "phy/equalize.h"

void equalize(const float complex *restrict y, const float complex *restrict h, size_t n, float complex *restrict z,
              float *restrict var)
{
	const float nil = 1e-30f;
	for (size_t i = 0; i < n; i++) {
		float hr = crealf(h[i]), hi = cimagf(h[i]), yr = crealf(y[i]), yi = cimagf(y[i]);
		float power = hr * hr + hi * hi + nil;
		float inverse = 1.0f / power;
		z[i] = CMPLXF((yr * hr + yi * hi) * inverse, (yi * hr - yr * hi) * inverse);
		var[i] *= inverse;
	}
}

void soften_qpsk(const float complex *restrict y, const float complex *restrict h, const float *restrict var, size_t n,
                 float *restrict llr)
{
	const float slope = 2.82842712f; /* 4 times half the distance of neighbours, 1 / sqrt(2) */
	for (size_t i = 0; i < n; i++) {
		float hr = crealf(h[i]), hi = cimagf(h[i]), yr = crealf(y[i]), yi = cimagf(y[i]);
		float gain = slope / var[i];
		llr[2 * i] = (yr * hr + yi * hi) * gain;
		llr[2 * i + 1] = (yi * hr - yr * hi) * gain;
	}
}
