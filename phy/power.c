#include "phy/power.h"

#include "phy/dci.h"
#include "phy/uci.h"

#include <math.h>

static const float doubling_db = 3.0103f;

float power_re_amplitude(float re_dbm, float full_scale_dbm, size_t n_fft)
{
	return sqrtf((float)n_fft * powf(10.0f, (re_dbm - full_scale_dbm) / 10.0f));
}

float power_re_dbm(float mean_square, float full_scale_dbm, size_t n_fft)
{
	return mean_square > 0 ? 10.0f * log10f(mean_square / (float)n_fft) + full_scale_dbm : -INFINITY;
}

float power_rsrp_dbm(const struct csi *csi, float full_scale_dbm, size_t n_fft)
{
	if (!csi->valid)
		return -INFINITY;
	return power_re_dbm(csi->noise_var * powf(10.0f, csi->snr_mean_db / 10.0f), full_scale_dbm, n_fft);
}

static float per_re_db(size_t n_rb)
{
	return 10.0f * log10f((float)(n_rb * PHY_RB_SC));
}

float ul_power_data_re_dbm(const struct ul_power *p, size_t n_rb_granted)
{
	return fminf(p->target_re_dbm + p->path_loss_db, p->max_dbm - per_re_db(n_rb_granted));
}

float ul_power_comb_re_dbm(const struct ul_power *p)
{
	float largest = (float)((p->n_rb * PHY_RB_SC + LAYOUT_COMB_STEP - 1) / LAYOUT_COMB_STEP);
	float wanted = p->target_re_dbm + p->path_loss_db + doubling_db * (float)p->comb_boost;
	return fminf(wanted, p->max_dbm - 10.0f * log10f(largest));
}

/* Control is missed once in a hundred when its RE have 1.7 dB, in narrow bands 10.2 dB (phy_control.py); the boost counts
 * in the mean energy of a used RE: 0.9, 0.4, 0.1 and 0 dB with all RBs in use. */
uint8_t ul_comb_boost_for(float target_snr_db, size_t n_rb)
{
	static const float below_db[] = { 10, 0.5f, -2.5f };
	static const float narrow_db = 8.5f;
	float spare_db = n_rb < UCI_QPSK_RB ? target_snr_db - narrow_db : target_snr_db;
	uint8_t boost = 0;
	while (boost < sizeof below_db / sizeof below_db[0] && spare_db < below_db[boost])
		boost++;
	return boost;
}

float ul_comb_excess_db(float headroom_db, uint8_t comb_boost)
{
	float spare_db = doubling_db * (float)(DCI_BOOST_MAX - comb_boost);
	return fminf(fmaxf(-headroom_db, 0), spare_db);
}

float ul_power_headroom_db(const struct ul_power *p)
{
	return p->max_dbm - per_re_db(p->n_rb) - (p->target_re_dbm + p->path_loss_db);
}

struct ul_amplitudes ul_power_amplitudes(const struct ul_power *p, size_t n_rb_granted, float full_scale_dbm,
                                         size_t n_fft)
{
	return (struct ul_amplitudes){
		.data = power_re_amplitude(ul_power_data_re_dbm(p, n_rb_granted), full_scale_dbm, n_fft),
		.comb = power_re_amplitude(ul_power_comb_re_dbm(p), full_scale_dbm, n_fft),
		.access = power_re_amplitude(ul_power_data_re_dbm(p, ACCESS_RB), full_scale_dbm, n_fft),
	};
}

float ul_snr_for_rbs(float full_band_snr_db, float headroom_db, size_t n_rb_granted, size_t n_rb)
{
	float missing_db = fmaxf(-headroom_db, 0);
	float concentration_db = per_re_db(n_rb) - per_re_db(n_rb_granted);
	return full_band_snr_db + fminf(missing_db, concentration_db);
}
