/* finite.h - are all samples of a block numbers that can be calculated with? */
#ifndef PHY_FINITE_H
#define PHY_FINITE_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* From here on a sample counts as no number: sums of its squares would overflow. Full scale is 1. */
#define SAMPLE_LIMIT 0x1p32f

/* False for NaN, infinity and anything of SAMPLE_LIMIT and more. Looks at the exponents alone, so that it costs next to nothing and does not depend on floating-point options. */
static inline bool samples_finite(const float complex *x, size_t n)
{
	const float sample_limit = SAMPLE_LIMIT;
	const uint32_t exponent = 0x7f800000u;
	uint32_t largest = 0, limit;
	memcpy(&limit, &sample_limit, sizeof limit);
	for (size_t i = 0; i < 2 * n; i++) {
		uint32_t u;
		memcpy(&u, (const float *)x + i, sizeof u);
		u &= exponent;
		largest = u > largest ? u : largest;
	}
	return largest < limit;
}

#endif
