#include "phy/csi.h"

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
