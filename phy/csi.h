/* csi.h - channel state information: what one receiver knows of one link in one slot.
 *
 * A receiver (phy/dl.h at a device, phy/ul.h at the base station) fills one struct csi a slot and link; the scheduler
 * reads snr_db, the CSI log keeps all of it, tests compare h with the true channel without aligning anything:
 *
 *     h[k] = H(f_k + f_tx, t_ref) * exp(j (2 pi f_k lag + phi_tx + 2 pi cfo t_ref)) * A
 *
 * where H is the response of the path at a baseband frequency (propagation delay included), f_k that of subcarrier k,
 * and lag the sender's clock, counted from the first sample of its slot, minus the receiver's, counted from
 * t_slot_samples, both at the instant t_ref: a window that opens late shows as a phase slope. cfo is the sender's
 * carrier minus the receiver's, its phase 0 at time 0. f_tx and phi_tx are frequency and phase at t_ref of a sender
 * that turns its samples (the NCO of a device; 0 for the base station), A the amplitude of a sent data RE. All of it
 * is stated for raw samples, before the receiver's own frequency correction. Downlink: h holds midway between the two
 * pilot symbols. Uplink: in the middle of the sounding symbol; in a slot with data on the whole band midway between their
 * last pilots and the sounding. testbed/truth.h computes the right side from the ether.
 */
#ifndef PHY_CSI_H
#define PHY_CSI_H

#include "phy/numerology.h"

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* When and how the samples of a slot were taken. They are raw samples multiplied by
 * exp(-j (nco_rad + 2 pi nco_hz n / rate_hz)), n = 0 at the slot's first sample; a receiver that corrects nothing
 * leaves nco_rad = nco_hz = 0. slot: where only slot % 10 is known yet (just acquired), that number will do. */
struct slot_time {
	uint64_t slot;
	uint64_t t_samples; /* receiver clock at the slot's first sample */
	double nco_rad;
	double nco_hz;
};

struct csi {
	bool valid;              /* false: nothing was received that looks like the sender's pilots; h is then zero */
	uint64_t slot;           /* as numbered by the base station */
	uint64_t t_slot_samples; /* receiver clock at the slot's first sample */
	uint64_t t_ref_samples;  /* receiver clock at the instant for which h holds */
	size_t n_sc;
	size_t n_rb;
	float complex h[PHY_SC_MAX]; /* received RE over sent unit RE, lowest frequency first, DC skipped; uplink:
	                              * referred to a data RE when the whole band is granted: the comb's amplitude, its boost
	                              * taken off */
	float noise_var;             /* of a received RE, same units as |h|^2 */
	float snr_db[PHY_RB_MAX];    /* per RB, of a data RE at full-band power; >= CSI_SNR_FLOOR_DB */
	float snr_mean_db;           /* the same over all subcarriers (mean power over noise) */
	float cfo_hz;                /* sender's carrier minus the receiver's, as in raw samples; uplink: +-1 kHz */
	float timing_samples; /* power-weighted mean delay of the channel after t_slot_samples, fraction included */
	float rssi_dbfs; /* mean power of the slot's samples (downlink); of this device's sounding alone (uplink) */
	float evm_db;    /* pilots against their smoothed estimate; INFINITY when not valid */
	float rx_gain_db; /* the radio's in that slot, over the one that samples are scaled to: divided out of all the above */
};

#define CSI_SNR_FLOOR_DB (-20.0f)

/* A record of a slot in which nothing was heard: not valid, SNRs at their floor, no power. */
void csi_empty(struct csi *csi, const struct numerology *num, const struct slot_time *when);

/* Fills snr_db and snr_mean_db from h and noise_var; the SNR is that of h taken as the signal alone. Returns the mean of
 * |h|^2. */
float csi_set_snr(struct csi *csi);

#endif
