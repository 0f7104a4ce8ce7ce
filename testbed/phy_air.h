/* phy_air.h - what one receiver hears: any number of fading links and white noise, samples by absolute number.
 *
 *     struct phy_air *a = phy_air_create();
 *     phy_air_reset(a, seed, stream, noise_var);
 *     phy_air_link(a, ring, &config);                 radio/fading_link.h; once a sender
 *     phy_air_hear(a, t_samples, n, samples);         any stretch whose senders have written what it needs
 *     phy_air_truth(a, 0, &look, h);                  the channel a receiver should have found
 *
 * The medium of radio/ether.h without its radios, levels and threads: a link-level simulation owns both ends and wants
 * to run as fast as the arithmetic goes. Same fading, delays, clocks and noise.
 */
#ifndef TESTBED_PHY_AIR_H
#define TESTBED_PHY_AIR_H

#include "phy/numerology.h"
#include "radio/fading_link.h"
#include "radio/ring.h"

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

struct phy_air;

/* NULL with errno ENOMEM. */
struct phy_air *phy_air_create(void);
void phy_air_destroy(struct phy_air *a); /* NULL is fine */

/* No links; noise of that variance a sample from a stream of that seed. */
void phy_air_reset(struct phy_air *a, uint64_t seed, uint32_t stream, double noise_var);

/* Adds a link from the samples of a ring, borrowed. Its number is that of links before. 0, -ENOSPC (PHY_DEVICES_MAX),
 * or what fading_link_init returns. */
int phy_air_link(struct phy_air *a, const struct ring *from, const struct fading_link_config *config);

/* samples: n, from receiver sample t on. */
void phy_air_hear(struct phy_air *a, uint64_t t, size_t n, float complex *samples);

/* Position, in the sender's samples, of what would be heard at receiver sample t over a path without delay: the
 * sender's clock; and the receiver's clock when the sender's reads that. */
double phy_air_sender_clock(const struct phy_air *a, size_t link, double t);
double phy_air_receiver_clock(const struct phy_air *a, size_t link, double sender_t);
double phy_air_cfo_hz(const struct phy_air *a, size_t link);

/* How a channel is looked at: phy/csi.h's definition, term by term. */
struct phy_air_look {
	const struct numerology *num;
	double t_ref;     /* receiver samples: the instant */
	double t_slot;    /* receiver samples: start of its slot, from which delays count */
	double sent_at;   /* sender samples: start of the sender's slot */
	double nco_hz;    /* the sender's turning of its samples, ... */
	double nco_rad;   /* ... its phase at the start of its slot */
	double down_hz;   /* the receiver's turning back, ... */
	double down_rad;  /* ... its phase at the start of its slot; 0, 0 for the channel of raw samples */
	double amplitude; /* of a sent RE */
};

/* h: n_sc. */
void phy_air_truth(const struct phy_air *a, size_t link, const struct phy_air_look *look, double complex *h);

#endif
