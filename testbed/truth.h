/* truth.h - what a CSI record should have said, from the ether. For figures and tests: no node may ask.
 *
 * h follows the definition of phy/csi.h term by term, at the record's own times: response of the medium, phase of the
 * carriers (absolute time alone), delay of the window, phase of the uplink transmitter (the device's NCO), amplitude
 * sent. Nothing of the estimate goes in but when and where it was taken.
 */
#ifndef TESTBED_TRUTH_H
#define TESTBED_TRUTH_H

#include <complex.h>

#include "phy/csi.h"
#include "testbed/lockstep.h"

struct truth {
	double complex h[PHY_SC_MAX];
	double power; /* mean |h|^2 */
	double noise_var;
	double snr_mean_db;
	double cfo_hz;         /* carriers alone: single paths' Doppler is not in it */
	double timing_samples; /* power-weighted mean delay of h, as csi.timing_samples */
};

/* Downlink of device k: only slot and times of the record are read. config: of the lockstep. */
void truth_downlink(struct lockstep *l, const struct config *config, size_t k, const struct csi *csi, struct truth *t);

/* Uplink: sent: how the device sent the slot (device_sent). */
void truth_uplink(struct lockstep *l, const struct config *config, size_t k, const struct device_sent *sent,
                  const struct csi *csi, struct truth *t);

/* Of device k in that slot of the base station's: SNR of each group of RBs (rb_group_size, whole ones) over the mean over the band,
 * dB; returns the mean: SNR of a data RE in the downlink; in the uplink, where that depends on the device's power, the gain of the channel in dB. */
float truth_slot(struct lockstep *l, const struct config *config, size_t k, enum ether_dir dir, uint64_t slot,
                 float *above_db);

#endif
