#include "radio/shadow.h"

#include <math.h>
#include <stddef.h>

#include "radio/gauss.h"

enum { SHADOW_DOMAIN = 2 }; /* third word of the counter: rays of taps have 0, outages 1 */

void shadow_init(struct shadow *s, double sigma_db, double decorrelation_m, double speed_m_s, uint64_t seed,
                 uint32_t stream)
{
	s->amplitude_db = sigma_db * sqrt(2.0 / SHADOW_WAVES);
	for (uint32_t n = 0; n < SHADOW_WAVES; n++) {
		uint32_t word[4], counter[4] = { n, 0, SHADOW_DOMAIN, stream };
		gauss_philox(counter, seed, word);
		double area = fmin((n + word[0] * 0x1p-32) / SHADOW_WAVES, 1 - 0.25 / SHADOW_WAVES);
		double wave_number = tan(0.5 * M_PI * area) / decorrelation_m; /* radians a metre */
		s->turns_per_s[n] = wave_number * speed_m_s / (2 * M_PI);
		s->phase[n] = word[1] * 0x1p-32;
	}
}

double shadow_db(const struct shadow *s, double t)
{
	double sum = 0;
	if (s->amplitude_db == 0)
		return 0;
	for (size_t n = 0; n < SHADOW_WAVES; n++)
		sum += cos(2 * M_PI * (s->turns_per_s[n] * t + s->phase[n]));
	return s->amplitude_db * sum;
}
