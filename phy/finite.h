/* finite.h - are all samples of a block numbers that can be calculated with? */
#ifndef PHY_FINITE_H
#define PHY_FINITE_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* False for NaN, infinity and anything of 2^32 times full scale and more (whose squares would overflow). Looks at the
 * exponents alone, so that it costs next to nothing and does not depend on floating-point options. */
static inline bool samples_finite(const float complex *x, size_t n)
{
	const uint32_t exponent = 0x7f800000u, limit = (127u + 32u) << 23;
	uint32_t largest = 0;
	for (size_t i = 0; i < 2 * n; i++) {
		uint32_t u;
		memcpy(&u, (const float *)x + i, sizeof u);
		u &= exponent;
		largest = u > largest ? u : largest;
	}
	return largest < limit;
}

#endif
