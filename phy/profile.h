/* profile.h - named numerologies that fit usual radios.
 *
 *     const struct numerology_profile *p = numerology_profile_find("7.68M-30k");
 *     struct numerology_config c = numerology_profile_config(p, 14);
 *
 * Two families. Rates of the 3GPP family (multiples of 1.92 MS/s) are named after rate and spacing: "7.68M-30k" is
 * 7.68 MS/s at 30 kHz. Rates that a USRP divides from its 100 or 200 MHz clock by an even number are named after rate
 * and FFT length, because their spacing is no round number: "10M-512" is 10 MS/s at 19.53125 kHz.
 *
 * 84 % of the FFT's bins are in use (at 2048 points 64 %: the air interface numbers 110 resource blocks at most). The
 * rest is guard band, for the edges of the radio's filters and for what symbol windowing leaves.
 */
#ifndef PHY_PROFILE_H
#define PHY_PROFILE_H

#include "phy/numerology.h"

struct numerology_profile {
	const char *name;
	double rate_hz;
	size_t n_fft;
	size_t n_rb;
};

/* The profile i; NULL from the number of profiles on. In order of rate, then spacing. */
const struct numerology_profile *numerology_profile_at(size_t i);
/* NULL if there is none of that name. */
const struct numerology_profile *numerology_profile_find(const char *name);

/* Its numerology with slots of n_symbols, 7 or 14, and the usual pilots and taper. */
struct numerology_config numerology_profile_config(const struct numerology_profile *p, size_t n_symbols);

#endif
