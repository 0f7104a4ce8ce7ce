/* dl_control.h - the control symbols of a downlink slot: messages (phy/dci.h) onto control channel elements and back.
 * Inside dl_tx.c and dl_rx.c only.
 *
 * Sending: messages are added one by one and placed at the end, the longest first. Levels being powers of two (or all
 * of the region), they then always fit, aligned, if together they are no more than the region.
 *
 * Receiving: nobody says where a message stands, which level and which size it has. What the receiver does not try:
 * CCEs without the energy of a message, levels too weak for the SNR of the slot, places explained by a message found,
 * whoever it is for. First all guesses with few iterations, since a right one at good SNR needs no more, then the rest
 * thoroughly; DL_ATTEMPTS_MAX decodings a slot at most.
 */
#ifndef PHY_DL_CONTROL_H
#define PHY_DL_CONTROL_H

#include "phy/block.h"
#include "phy/dl.h"

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

/* With the 12 CCEs of the default numerology all guesses are 2 * 2 * (1 + 1 + 3 + 6 + 12) = 92. */
enum { DL_ATTEMPTS_MAX = 128 };

struct dl_control_tx;
struct dl_control_rx;

/* layout: borrowed. NULL with errno ENOMEM. */
struct dl_control_tx *dl_control_tx_create(const struct layout *layout, uint16_t cell_id);
void dl_control_tx_destroy(struct dl_control_tx *c); /* NULL is fine */

void dl_control_begin(struct dl_control_tx *c);
/* payload: a message of that size, packed. 0, -ENOSPC when the region has less than `level` CCEs left, -EINVAL for a
 * level that the layout does not have. */
int dl_control_add(struct dl_control_tx *c, enum dci_size size, const uint8_t *payload, uint32_t address,
                   unsigned level);
size_t dl_control_left(const struct dl_control_tx *c);
/* Writes the REs of all messages into the grid. */
void dl_control_write(struct dl_control_tx *c, float amplitude, float complex *grid);

/* device: whose messages are looked for. NULL with errno ENOMEM. */
struct dl_control_rx *dl_control_rx_create(const struct layout *layout, uint16_t cell_id, uint8_t device);
void dl_control_rx_destroy(struct dl_control_rx *c); /* NULL is fine */

/* Fills the messages of *res (has_sysinfo .. multicast, all false before) and counts in *stats. slot: its number, or
 * one with the same remainder by SYNC_PERIOD_SLOTS. channel: read at the control symbols and all RBs. noise_var: of a
 * received RE, without the estimation error that the channel's includes. */
void dl_control_read(struct dl_control_rx *c, uint64_t slot, const float complex *grid,
                     const struct block_channel *channel, float noise_var, struct dl_result *res,
                     struct dl_rx_stats *stats);

#endif
