#include "phy/equalize.h"

void equalize(const float complex *restrict y, const float complex *restrict h, float noise_var, size_t n,
              float complex *restrict z, float *restrict var)
{
	const float nil = 1e-30f;
	for (size_t i = 0; i < n; i++) {
		float hr = crealf(h[i]), hi = cimagf(h[i]), yr = crealf(y[i]), yi = cimagf(y[i]);
		float power = hr * hr + hi * hi + nil;
		float inverse = 1.0f / power;
		z[i] = CMPLXF((yr * hr + yi * hi) * inverse, (yi * hr - yr * hi) * inverse);
		var[i] = noise_var * inverse;
	}
}
