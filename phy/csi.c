#include "phy/csi.h"

#include "phy/measure.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

void csi_empty(struct csi *csi, const struct numerology *num, const struct slot_time *when)
{
	memset(csi, 0, offsetof(struct csi, h));
	memset(csi->h, 0, num->n_sc * sizeof *csi->h);
	memset(&csi->noise_var, 0, sizeof *csi - offsetof(struct csi, noise_var));
	csi->slot = when->slot;
	csi->t_slot_samples = csi->t_ref_samples = when->t_samples;
	csi->n_sc = num->n_sc;
	csi->n_rb = num->n_rb;
	csi->snr_mean_db = CSI_SNR_FLOOR_DB;
	csi->rssi_dbfs = -INFINITY;
	csi->evm_db = INFINITY;
	for (size_t rb = 0; rb < num->n_rb; rb++)
		csi->snr_db[rb] = CSI_SNR_FLOOR_DB;
}

float csi_set_snr(struct csi *csi)
{
	float power[PHY_RB_MAX], total = 0, noise_var = csi->noise_var, least = noise_var * 1e-2f;
	size_t n = csi->n_rb;
	for (size_t rb = 0; rb < n; rb++) {
		const float *h = (const float *)(csi->h + rb * PHY_RB_SC);
		float sum[PHY_RB_SC / 3] = { 0 };
		for (size_t i = 0; i < 2 * PHY_RB_SC; i += PHY_RB_SC / 3)
			for (size_t k = 0; k < PHY_RB_SC / 3; k++)
				sum[k] += h[i + k] * h[i + k];
		power[rb] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / PHY_RB_SC;
	}
#pragma omp simd reduction(+ : total)
	for (size_t rb = 0; rb < n; rb++) {
		float ratio = power[rb] / noise_var;
		total += power[rb];
		csi->snr_db[rb] = power[rb] > least ? ratio_db_fast(ratio) : CSI_SNR_FLOOR_DB;
	}
	total /= (float)n;
	csi->snr_mean_db = snr_db_of(total, noise_var);
	return total;
}
