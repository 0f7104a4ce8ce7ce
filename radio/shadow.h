/* shadow.h - log-normal shadowing of a link along its way, as a function of time.
 *
 *     struct shadow s;
 *     shadow_init(&s, 7.82, 13, 0.83, seed, stream);
 *     double db = shadow_db(&s, t);                    // at any time, in any order; to be added to the path loss
 *
 * Gaussian in dB, with the exponential correlation exp(-distance / decorrelation) of Gudmundson (Electronics Letters 27(23), 1991), which
 * TR 38.901 section 7.4.4 asks for. Made as a sum of waves along the way, whose wave numbers are spread over the spectrum that belongs to
 * this correlation, a Lorentzian, one in every SHADOW_WAVES-th of its area. At speed 0 it is one draw for good.
 */
#ifndef RADIO_SHADOW_H
#define RADIO_SHADOW_H

#include <stdint.h>

enum { SHADOW_WAVES = 64 };

struct shadow {
	double amplitude_db; /* of each wave; 0: no shadow */
	double turns_per_s[SHADOW_WAVES];
	double phase[SHADOW_WAVES]; /* turns at t = 0 */
};

/* sigma_db >= 0, decorrelation_m > 0, speed_m_s >= 0. Different streams of one seed are independent. */
void shadow_init(struct shadow *s, double sigma_db, double decorrelation_m, double speed_m_s, uint64_t seed,
                 uint32_t stream);

/* dB at t seconds, mean 0. */
double shadow_db(const struct shadow *s, double t);

#endif
