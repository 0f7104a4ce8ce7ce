/* dl_chest.h - what a device makes of the pilots of a downlink slot: the channel of every resource element, the noise, CSI.
 *
 *     struct dl_chest *c = dl_chest_create(&num, cell_id);
 *     once a slot: ofdm_demodulate(...); if (dl_chest_slot(c, grid, &when, &csi, &track)) ... dl_chest_channel(c) ...
 */
#ifndef PHY_DL_CHEST_H
#define PHY_DL_CHEST_H

#include "phy/block.h"
#include "phy/channel_filter.h"
#include "phy/csi.h"
#include "phy/numerology.h"
#include "phy/track.h"

#include <complex.h>
#include <stdbool.h>
#include <stdint.h>

struct dl_chest;

/* num: copied. cell_id: 0 .. 1023. NULL with errno EINVAL or ENOMEM. */
struct dl_chest *dl_chest_create(const struct numerology *num, uint16_t cell_id);
void dl_chest_destroy(struct dl_chest *c); /* NULL is fine */
void dl_chest_reset(struct dl_chest *c);   /* forget what earlier slots taught (a new acquisition) */

/* grid: n_symbols * n_sc received REs of the slot whose samples were taken as `when` says. csi: emptied before
 * (csi_empty), filled but for rssi_dbfs; track: of the samples as given, snr 0 when there is no signal. Returns csi->valid. */
bool dl_chest_slot(struct dl_chest *c, const float complex *grid, const struct slot_time *when, struct csi *csi,
                   struct track_measurement *track);

/* Of the slot last given, when it was valid; for the samples as given. The arrays belong to c. */
struct block_channel dl_chest_channel(const struct dl_chest *c);
/* Variance of a received RE's noise alone, without the estimation error that block_channel's includes. */
float dl_chest_noise_var(const struct dl_chest *c);

/* What it has learnt of the link: Doppler, delay window (phy/channel_filter.h). */
const struct channel_filter *dl_chest_filter(const struct dl_chest *c);

#endif
