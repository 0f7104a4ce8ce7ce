/* ul_chest.h - what the base station makes of the pilots of an uplink slot: sounding and data pilots (DMRS) of each
 * device to the channel of its resource elements, the noise it is heard with, and CSI.
 *
 * Data on the whole band have pilots on every second subcarrier, which go into the device's filter like its sounding, in
 * order of time. The pilots of data on a part of it correct what sounding foretells of that part.
 *
 *     struct ul_chest *c = ul_chest_create(layout, cell_id);
 *     once a slot: ofdm_demodulate(...); ul_chest_slot(c, grid, &when);
 *     for each device with data on the whole band: ul_chest_dmrs(c, d, energy);
 *     for each device with control:      if (ul_chest_sounding(c, d, &csi)) ... ul_chest_channel(c) ...
 *     for each granted device, then:     cfo_hz = ul_chest_data(c, d, &rbs, energy); ... ul_chest_channel(c) ...
 */
#ifndef PHY_UL_CHEST_H
#define PHY_UL_CHEST_H

#include "phy/block.h"
#include "phy/channel_filter.h"
#include "phy/csi.h"
#include "phy/layout.h"

#include <complex.h>
#include <stdbool.h>
#include <stdint.h>

struct ul_chest;

/* layout: borrowed. cell_id: 0 .. 1023. NULL with errno EINVAL or ENOMEM. */
struct ul_chest *ul_chest_create(const struct layout *layout, uint16_t cell_id);
void ul_chest_destroy(struct ul_chest *c); /* NULL is fine */
void ul_chest_reset(struct ul_chest *c);   /* forget what earlier slots taught; boosts stay */

/* Power of a comb RE over that of a full-band data RE; at first 8. */
void ul_chest_set_boost(struct ul_chest *c, uint8_t device, float boost);

/* Reads the sounding of all combs. grid: n_symbols * n_sc received REs, borrowed until the next slot. */
void ul_chest_slot(struct ul_chest *c, const float complex *grid, const struct slot_time *when);

/* Noise variance of a RE, of the band: what is left where nobody or the weakest sends. */
float ul_chest_floor(const struct ul_chest *c);
/* Mean energy of a RE of the device's comb in this slot, control and sounding. */
float ul_chest_comb_energy(const struct ul_chest *c, uint8_t device);

/* Takes the DMRS of a device that sends data on the whole band; energy: mean of a data RE. Once a slot, before its
 * ul_chest_sounding. */
void ul_chest_dmrs(struct ul_chest *c, uint8_t device, float energy);

/* Takes what the comb of the device carries for its sounding; call it in slots alone in which the device may send.
 * csi: NULL, or emptied before and filled. Afterwards ul_chest_channel holds the control REs of the device. */
void ul_chest_sounding(struct ul_chest *c, uint8_t device, struct csi *csi);

/* Channel of the device's data REs on these RBs. energy: mean of a data RE. Returns the frequency offset seen, Hz. On the
 * whole band it takes the DMRS itself, if nobody has and the slot's sounding has not been taken. */
float ul_chest_data(struct ul_chest *c, uint8_t device, const struct rb_set *rbs, float energy);

/* What the last of the two calls above estimated; for the samples as given, at the amplitudes sent. The arrays belong
 * to c. */
struct block_channel ul_chest_channel(const struct ul_chest *c);

/* What it has learnt of a device's link: Doppler, delay window (phy/channel_filter.h). */
const struct channel_filter *ul_chest_filter(const struct ul_chest *c, uint8_t device);

#endif
