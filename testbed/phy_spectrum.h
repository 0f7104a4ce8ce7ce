/* phy_spectrum.h - power spectrum of the slots a link sends, and what of it falls into the adjacent channels.
 *
 * The transmitter runs at several times its rate with the same subcarriers, so that the picture reaches beyond the band: it
 * is what an ideal interpolation would make of the symbols and their edges. Clipping and quantisation, if the link has
 * them, happen at that rate. Welch's method, Blackman-Harris windows of four symbols, half overlapping (Harris 1978).
 *
 * Channels stand used bandwidth / 0.9 apart (as 3GPP has it); an adjacent channel is as wide as the used band.
 */
#ifndef TESTBED_PHY_SPECTRUM_H
#define TESTBED_PHY_SPECTRUM_H

#include "testbed/phy_link.h"

struct phy_spectrum {
	size_t n;
	double *mhz, *db; /* density over frequency, dB of its mean in the used band */
	double rate_hz;   /* of the spectrum */
	double used_hz, channel_hz;
	double side_dbc[2];  /* power in the lower and upper adjacent channel over that in the used band */
	double adjacent_dbc; /* the larger */
	double clipped;      /* share of samples */
};

/* config: of the link; slots 1 .. n_slots of its base station, or of its first device in the uplink. 0, -EINVAL or
 * -ENOMEM with a line of reason in err. To be freed with phy_spectrum_free when 0. */
int phy_spectrum_measure(const struct phy_link_config *config, unsigned mcs, uint64_t seed, size_t n_slots,
                         struct phy_spectrum *s, char *err, size_t err_len);
void phy_spectrum_free(struct phy_spectrum *s);

#endif
