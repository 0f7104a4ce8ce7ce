/* power.h - from dBm to RE amplitudes and back; open-loop uplink power (notes/phy.md).
 *
 * Sample amplitude 1.0 is full scale and stands for full_scale_dbm at the antenna port (the radio says how much, for
 * each direction and gain). The modulator is unitary: a RE of amplitude A adds A^2 / n_fft to the mean power of its
 * symbol. "RE power" is that contribution, in dBm.
 */
#ifndef PHY_POWER_H
#define PHY_POWER_H

#include "phy/csi.h"
#include "phy/ul.h"

#include <stddef.h>
#include <stdint.h>

/* Amplitude of a RE of that power, and power of a RE of that mean square (|h|^2 of a unit RE, say). */
float power_re_amplitude(float re_dbm, float full_scale_dbm, size_t n_fft);
float power_re_dbm(float mean_square, float full_scale_dbm, size_t n_fft);

/* Received power of a RE in dBm, noise taken off; -INFINITY without valid CSI. */
float power_rsrp_dbm(const struct csi *csi, float full_scale_dbm, size_t n_fft);

/* What a device knows when it sets its uplink power. */
struct ul_power {
	float target_re_dbm; /* a data RE's power wanted at the base station (system information) */
	float path_loss_db;  /* broadcast downlink RE power minus RSRP */
	uint8_t comb_boost;  /* 0 .. 3: control and sounding go out at 2^comb_boost times a data RE's power */
	float max_dbm;       /* of all RE together */
	size_t n_rb;         /* of the band */
};

/* Data RE power with n_rb_granted RBs (1 .. n_rb): what the target asks for, capped by max_dbm. */
float ul_power_data_re_dbm(const struct ul_power *p, size_t n_rb_granted);
/* Control and sounding RE power: what target and boost ask for, at the most max_dbm over the REs of the largest comb. */
float ul_power_comb_re_dbm(const struct ul_power *p);
/* The boost that suits a cell of n_rb RBs whose data RE arrive with this SNR: as much as it takes for control to need less
 * than data. */
uint8_t ul_comb_boost_for(float target_snr_db, size_t n_rb);
/* By how much the full-band SNR that a comb of that boost tells exceeds what the device has for data on the full band: a
 * device short of power still has it for its comb, which is an eighth of the band. dB, 0 or more. */
float ul_comb_excess_db(float headroom_db, uint8_t comb_boost);
/* What max_dbm leaves over the full band at target power; negative: that many dB are missing. */
float ul_power_headroom_db(const struct ul_power *p);
/* All three amplitudes; access as data over ACCESS_RB RBs. */
struct ul_amplitudes ul_power_amplitudes(const struct ul_power *p, size_t n_rb_granted, float full_scale_dbm,
                                         size_t n_fft);

/* Base station: SNR of a data RE if n_rb_granted of n_rb RBs are granted to a device whose full-band SNR and headroom
 * are known: a device short of power spends what it has on fewer RBs. */
float ul_snr_for_rbs(float full_band_snr_db, float headroom_db, size_t n_rb_granted, size_t n_rb);

#endif
