/* phy_link.h - one simulated radio link, from bytes to bytes, slot after slot: what BLER curves are made of.
 *
 *     struct phy_link *l = phy_link_create(&config, err, sizeof err);
 *     phy_link_run(l, &(struct phy_link_point){ .mcs = 5, .snr_db = 3, .seed = 7 }, counts);
 *
 * A run is one link from its first sample: fading, noise, clocks, delays and data are drawn from its seed. A receiver
 * with estimation on finds the sync signal, follows it (downlink), estimates channel and noise, over a continuous
 * sequence of slots; the first `n_warmup` it follows are not scored, the next `n_slots` are. Blocks of one run share a
 * fading process; runs of different seeds are independent.
 *
 * SNR. Mean energy of a used resource element as received (data, pilots, control and sounding alike: boosted pilots
 * pay; cyclic prefix not counted; averaged over fading) over the noise energy of a subcarrier. The energy is measured
 * on the transmitter's own slots when the link is made, in the uplink for each device. Device i of n stands
 * i / (n - 1) of power_spread_db above it (uplink). By its SNR goes the boost of a device's control and sounding, as in a
 * cell whose power control aims at that SNR (ul_comb_boost_for in phy/power.h).
 *
 * Uplink devices follow the base station's grid and carrier as their trackers would let them: the slot starts on a
 * whole sample of their clock, the carrier is off by up to 10 Hz. Their paths differ in length by delay_spread_cp;
 * timing advance, if on, is learnt from the base station's measurements.
 *
 * Blocks that start in downlink sync slots have fewer resource elements: they are counted apart.
 * A block is told right or wrong by its CRC alone; if its bytes then differ from those sent, it counts as wrong too.
 */
#ifndef TESTBED_PHY_LINK_H
#define TESTBED_PHY_LINK_H

#include "phy/csi.h"
#include "phy/dci.h"
#include "phy/numerology.h"
#include "radio/tdl.h"

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PHY_LINK_TX_MAX = 4, PHY_LINK_PROCESSES = 8, PHY_LINK_CELL_ID = 1 };

struct phy_link_config {
	struct numerology num;
	bool uplink;
	size_t n_devices; /* 1 .. PHY_DEVICES_MAX, in RBs of their own */
	size_t n_rb_each; /* RBs of a device; 0: the band, in equal shares */
	const struct tdl_profile *profile;
	double delay_spread_s, k_db, doppler_hz;
	double carrier_hz;
	bool known;       /* the receiver is told timing, carrier, channel and noise */
	double clock_ppm; /* each link's clocks and carriers differ by a draw from -clock_ppm .. clock_ppm */
	unsigned n_tx;    /* transmissions of a block at most, 1 .. PHY_LINK_TX_MAX: versions 0, 2, 3, 1 */
	unsigned level;   /* CCEs of a grant; 0: as many as there is room for */
	size_t n_warmup, n_slots;
	double delay_spread_cp; /* uplink: of the devices, in cyclic prefixes, 0 .. 0.75 */
	double power_spread_db; /* uplink */
	bool timing_advance;    /* uplink */
	int comb_boost;  /* uplink: control and sounding at 2^comb_boost times a data RE's power; -1: as its SNR asks */
	double rms_dbfs; /* level of a transmitted full-band symbol; full scale clips */
	unsigned n_bits; /* of converters at both ends; 0: floats */
};

struct phy_link_point {
	unsigned mcs;
	double snr_db;
	uint64_t seed;
};

/* What happened to one device in one run; counts of several runs add up field by field (phy_link_add). */
struct phy_link_counts {
	uint64_t slots;                   /* scored */
	uint64_t unsynced;                /* runs that never found the signal, found it wrongly or lost it */
	uint64_t blocks;                  /* started in scored slots other than sync slots */
	uint64_t failed[PHY_LINK_TX_MAX]; /* of them, not right after 1, 2, .. transmissions */
	uint64_t lost;                    /* not right after the last */
	uint64_t wrong;                   /* delivered with a right CRC and other bytes: of all blocks, scored or not */
	uint64_t sync_blocks, sync_failed;
	uint64_t block_bits, block_re;      /* information bits and data REs of a block's first transmission, summed */
	uint64_t delivered_bits;            /* sync slots included */
	uint64_t controls, controls_missed; /* grants (dl) or uplink control messages */
	uint64_t controls_wrong;            /* decoded to something else than was sent */
	uint64_t decoded;                   /* transmissions decoded: what the sums are over */
	double iterations, evm_db;          /* sums over them */
	uint64_t estimates;                 /* slots with a channel estimate */
	double csi_error, csi_power;        /* sums over slots and subcarriers; without an estimate h is 0 */
	double noise_ratio, noise_ratio2; /* estimated over true noise variance, and its square: sums over estimates */
};

void phy_link_add(struct phy_link_counts *sum, const struct phy_link_counts *more);

struct phy_link;

/* NULL with errno and one line of reason in err. Thread-safe, as is everything here on different objects. */
struct phy_link *phy_link_create(const struct phy_link_config *config, char *err, size_t err_len);
void phy_link_destroy(struct phy_link *l); /* NULL is fine */

/* counts: n_devices, written. 0, -EINVAL for an MCS that carries nothing there, -EDOM, -ERANGE from
 * radio/fading_link.h, -ENOMEM. */
int phy_link_run(struct phy_link *l, const struct phy_link_point *point, struct phy_link_counts *counts);

/* A slot as it is sent, before the converters: slot_len samples, until the next call; of the uplink that of device 0.
 * point: its SNR does not matter. */
const float complex *phy_link_slot(struct phy_link *l, const struct phy_link_point *point, uint64_t slot);

/* What a receiver of the link has before it in a scored slot. */
struct phy_link_look {
	uint8_t device;
	const struct slot_time *when;
	const float complex *samples; /* slot_len, after its frequency correction */
	const struct grant *grant;
};
/* From now on called once for each block that is decoded in a run. NULL: no longer. */
void phy_link_watch(struct phy_link *l, void (*look)(void *arg, const struct phy_link_look *look), void *arg);

/* Information bits and data REs of a block of device 0 in a slot without sync signal; 0, 0 for an unknown MCS. */
void phy_link_block(const struct phy_link *l, unsigned mcs, size_t *bits, size_t *re);

#endif
