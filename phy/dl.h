/* dl.h - a downlink slot: built by the base station, read by a device. Buffers in, buffers out; no radio, no clock.
 *
 * Base station, once a slot:
 *     dl_tx_begin(tx, slot);
 *     dl_tx_sysinfo(tx, &si, 4);                      // in sync slots
 *     dl_tx_dci(tx, &dci, 2);                         // -ENOSPC: no room left in the control symbols
 *     dl_tx_data(tx, dci.device, &dci.dl, tb, dl_tb_bytes(layout, &dci.dl));
 *     dl_tx_finish(tx, samples);                      // slot_len samples
 *
 * Device:
 *     dl_rx_slot(rx, samples, &when, &res);           // CSI; system information and own grants if any
 *     if (res.has_dci && res.dci.has_dl)
 *             dl_rx_data(rx, &res.dci.dl, NULL, tb, &n, &info);
 *
 * One block for several devices: dl_tx_multicast and dl_tx_multicast_data, res.has_multicast and dl_rx_multicast_data.
 * Which transmissions may be added up: scheduler/harq.h, harq_peer_receive.
 *
 * The sync sequence goes out by itself in sync slots. Layout and coding: notes/phy.md.
 */
#ifndef PHY_DL_H
#define PHY_DL_H

#include "phy/csi.h"
#include "phy/dci.h"
#include "phy/dl_level.h"
#include "phy/layout.h"
#include "phy/tb.h"
#include "phy/track.h"

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dl_tx;
struct dl_rx;

/* Bytes of the transport block that a grant holds, in any slot; 0 for a grant that holds none (unknown MCS, no RE). */
size_t dl_tb_bytes(const struct layout *l, const struct grant *g);
/* Bytes of the largest transport block of either direction: for tb_soft_create. */
size_t dl_tb_bytes_max(const struct layout *l);

/* layout: borrowed, must outlive the object. cell_id: 0 .. 1023. re_amplitude: of every used RE, > 0 (phy/power.h).
 * NULL with errno EINVAL or ENOMEM. */
struct dl_tx *dl_tx_create(const struct layout *layout, uint16_t cell_id, float re_amplitude);
void dl_tx_destroy(struct dl_tx *tx); /* NULL is fine */

void dl_tx_begin(struct dl_tx *tx, uint64_t slot);

/* level: CCEs to spend, one of dl_levels (phy/dl_level.h). 0, -ENOSPC when fewer are left (nothing is added: the
 * message is the caller's to send another time), -EINVAL for a bad field or level, or system information in a slot
 * without sync or of another cell. Messages whose levels sum up to no more than the region always fit. */
int dl_tx_sysinfo(struct dl_tx *tx, const struct sysinfo *si, unsigned level);
int dl_tx_dci(struct dl_tx *tx, const struct dci *dci, unsigned level);
int dl_tx_multicast(struct dl_tx *tx, const struct multicast *m, unsigned level);
size_t dl_tx_cce_left(const struct dl_tx *tx);

/* tb: n_bytes, exactly dl_tb_bytes. 0, -EINVAL for a wrong size or grant, -EBUSY if one of the RBs is taken already. */
int dl_tx_data(struct dl_tx *tx, uint8_t device, const struct grant *g, const uint8_t *tb, size_t n_bytes);
int dl_tx_multicast_data(struct dl_tx *tx, const struct grant *g, const uint8_t *tb, size_t n_bytes);

/* samples: slot_len, written whole (silent slots never are: pilots are always sent). */
void dl_tx_finish(struct dl_tx *tx, float complex *samples);

struct dl_result {
	struct csi csi;
	struct track_measurement track; /* of the samples as given, for track_update; snr 0 when csi is not valid */
	bool has_sysinfo;
	struct sysinfo sysinfo;
	bool has_dci; /* messages to this device; their items together */
	struct dci dci;
	bool has_multicast; /* a grant to several devices, this one among them */
	struct multicast multicast;
};

struct dl_rx_stats {
	uint64_t slots;
	uint64_t refused;    /* slots with a sample that is not finite */
	uint64_t invalid;    /* slots without recognisable pilots */
	uint64_t candidates; /* control candidates decoded */
	uint64_t sysinfos, dcis, multicasts;
	uint64_t bad_contents; /* right CRC, impossible contents */
	uint64_t strangers; /* codewords to no address there is: 2^-24 of so many are taken for a message, an address */
	uint64_t cut_short; /* slots with more candidates than are tried */
	uint64_t blocks_ok, blocks_bad;
};

/* What a receiver can tell of a block, decoded or not. */
struct rx_info {
	float snr_db; /* mean post-equaliser SNR over the block's RE */
	float evm_db; /* equalised symbols against the nearest constellation points, over the RMS of those points */
	float cfo_hz; /* frequency offset seen in the block's pilots, in the samples as given */
	unsigned iterations; /* of the decoder, mean over code blocks */
};

/* device: 0 .. PHY_DEVICES_MAX - 1. Otherwise as dl_tx_create. */
struct dl_rx *dl_rx_create(const struct layout *layout, uint16_t cell_id, uint8_t device);
void dl_rx_destroy(struct dl_rx *rx); /* NULL is fine */
void dl_rx_reset(struct dl_rx *rx);   /* forget what earlier slots taught (a new acquisition); stats stay */

/* For link simulations: from the next slot on, read control and data with this channel, of the samples as given, and
 * this noise variance (> 0) of a received RE instead of the estimates. The CSI stays an estimate. h: n_symbols * n_sc,
 * borrowed until the next call, so that its contents may follow the slots; NULL: estimate again. */
void dl_rx_set_truth(struct dl_rx *rx, const float complex *h, float noise_var);

/* samples: slot_len, with the slot's first sample first (to within the part of the cyclic prefix the channel leaves).
 * 0: *res is filled (csi.valid may still be false); -EINVAL: a sample is not finite, *res is empty. */
int dl_rx_slot(struct dl_rx *rx, const float complex *samples, const struct slot_time *when, struct dl_result *res);

/* The block of a grant in the slot last given to dl_rx_slot. soft: what earlier transmissions of the block left, to
 * which this one adds (tb_soft_reset before the first); NULL: this one alone. tb: room for dl_tb_bytes. *n_bytes is set
 * whenever the size is known. info: NULL or filled. 0, -EBADMSG on a wrong CRC (tb undefined), -EINVAL for an
 * impossible grant or a soft buffer that holds a block of another size, -ENODATA without valid CSI (soft is as before).
 */
int dl_rx_data(struct dl_rx *rx, const struct grant *g, struct tb_soft *soft, uint8_t *tb, size_t *n_bytes,
               struct rx_info *info);

/* The same for the block of a multicast grant. */
int dl_rx_multicast_data(struct dl_rx *rx, const struct grant *g, struct tb_soft *soft, uint8_t *tb, size_t *n_bytes,
                         struct rx_info *info);

void dl_rx_get_stats(const struct dl_rx *rx, struct dl_rx_stats *stats);

#endif
