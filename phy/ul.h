/* ul.h - an uplink slot: a device builds its share, the base station reads everyone's.
 *
 * Device, once a slot in which it has something to send:
 *     ul_tx_begin(tx, slot);
 *     ul_tx_data(tx, &grant, tb, ul_tb_bytes(layout, slot, &grant));
 *     ul_tx_control(tx, &uci);                 // only where layout_has_control(); brings the sounding along
 *     ul_tx_finish(tx, &amplitudes, samples);  // slot_len samples
 *
 * Base station:
 *     ul_rx_slot(rx, samples, &when);
 *     for every granted device:  ul_rx_expect(rx, d, &grant.rbs);       // its pilots help its CSI
 *     for every attached device: ul_rx_control(rx, d, &uci, &csi);     // -ENODATA: silent
 *     for every granted device:  ul_rx_data(rx, d, &grant, soft, tb, &n, &info);
 *     in access slots:           ul_rx_access(rx, found, &n_found);
 */
#ifndef PHY_UL_H
#define PHY_UL_H

#include "phy/csi.h"
#include "phy/dci.h"
#include "phy/dl.h"
#include "phy/layout.h"
#include "phy/uci.h"

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ul_tx;
struct ul_rx;

/* Bytes of the transport block that a grant holds in that slot; 0 for a grant that holds none (access RBs in an access
 * slot included). */
size_t ul_tb_bytes(const struct layout *l, uint64_t slot, const struct grant *g);

/* layout: borrowed, must outlive the object. cell_id: 0 .. 1023. device: 0 .. PHY_DEVICES_MAX - 1.
 * NULL with errno EINVAL or ENOMEM. */
struct ul_tx *ul_tx_create(const struct layout *layout, uint16_t cell_id, uint8_t device);
void ul_tx_destroy(struct ul_tx *tx); /* NULL is fine */

void ul_tx_begin(struct ul_tx *tx, uint64_t slot);
/* tb: n_bytes, exactly ul_tb_bytes. 0, or -EINVAL for a wrong size or grant; one block a slot (-EBUSY). */
int ul_tx_data(struct ul_tx *tx, const struct grant *g, const uint8_t *tb, size_t n_bytes);
/* Control and sounding. 0, or -EINVAL for a field out of range or another turn than the slot's (uci_turn). The caller asks layout_has_control first. */
int ul_tx_control(struct ul_tx *tx, const struct uci *uci);
/* Access preamble instead of data: 0, -EINVAL outside access slots, -EBUSY with data in the slot. */
int ul_tx_access(struct ul_tx *tx);

struct ul_amplitudes {
	float data; /* of a data RE (and its DMRS) */
	float comb; /* of a control or sounding RE */
	float access;
};

/* samples: slot_len, written whole; zeros where nothing is sent. Returns whether anything is: the soft edge of the slot
 * before may reach into a silent one. */
bool ul_tx_finish(struct ul_tx *tx, const struct ul_amplitudes *amplitudes, float complex *samples);

struct ul_rx_stats {
	uint64_t slots;
	uint64_t refused; /* slots with a sample that is not finite */
	uint64_t controls_ok, controls_bad, controls_silent;
	uint64_t blocks_ok, blocks_bad;
	uint64_t accesses;
};

struct ul_access {
	uint8_t device;
	float delay_samples; /* of the preamble after the slot's start */
	float snr_db;
};

struct ul_rx *ul_rx_create(const struct layout *layout, uint16_t cell_id);
void ul_rx_destroy(struct ul_rx *rx); /* NULL is fine */
void ul_rx_reset(struct ul_rx *rx);   /* forget what earlier slots taught; boosts, access search and stats stay */

/* Power of the device's control and sounding RE over that of its data RE with the full band: 2^comb_boost, at first 2^3
 * (phy/power.h, struct sysinfo). CSI is told for data RE. */
void ul_rx_set_comb_boost(struct ul_rx *rx, uint8_t device, uint8_t comb_boost);

/* For link simulations: from the next slot on, read control and data of that device (< PHY_DEVICES_MAX) with this
 * channel, of the samples as given, and this noise variance (> 0) of a received RE instead of the estimates. The CSI
 * stays an estimate. h: n_symbols * n_sc, received over sent unit RE, so with the amplitude of data in data symbols and
 * of the comb in the others; borrowed until the next call, so that its contents may follow the slots; NULL: estimate. */
void ul_rx_set_truth(struct ul_rx *rx, uint8_t device, const float complex *h, float noise_var);

/* samples: slot_len. 0, or -EINVAL: a sample is not finite; then the slot counts as empty. */
int ul_rx_slot(struct ul_rx *rx, const float complex *samples, const struct slot_time *when);

/* Before ul_rx_control: the device was granted these RBs in the slot last given to ul_rx_slot. The pilots of data on the
 * whole band, if there are any, then go into its CSI like a second sounding. */
void ul_rx_expect(struct ul_rx *rx, uint8_t device, const struct rb_set *rbs);

/* Control of one device in the slot last given to ul_rx_slot, with the CSI of its sounding (csi may be NULL). Before
 * ul_rx_data of that slot: its sounding helps there. Not in slots in which the device sends none (layout_has_control):
 * another's may be on its subcarriers.
 * 0; -EBADMSG: something was sent, not decodable (csi is still valid); -ENODATA: silence (csi->valid is false). *uci is
 * set with 0 only: no acknowledgement ever comes from silence or a wrong CRC. */
int ul_rx_control(struct ul_rx *rx, uint8_t device, struct uci *uci, struct csi *csi);

/* As dl_rx_data. -ENODATA when there is no energy on the granted RBs: soft is as before. */
int ul_rx_data(struct ul_rx *rx, uint8_t device, const struct grant *g, struct tb_soft *soft, uint8_t *tb,
               size_t *n_bytes, struct rx_info *info);

/* Whose preambles are looked for (bit d: device d; at first everybody), and how late they may be: range_samples, at
 * first a cyclic prefix; see phy/ul_access.h. From the next ul_rx_access on. */
void ul_rx_set_access(struct ul_rx *rx, uint32_t candidates, double range_samples);

/* Preambles in an access slot. found: room for PHY_DEVICES_MAX. 0 with *n_found >= 0, or -EINVAL outside access slots.
 */
int ul_rx_access(struct ul_rx *rx, struct ul_access *found, size_t *n_found);

void ul_rx_get_stats(const struct ul_rx *rx, struct ul_rx_stats *stats);

#endif
