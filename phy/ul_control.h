/* ul_control.h - the control symbols of an uplink slot: a device's fields (phy/uci.h) onto its comb and back.
 * Inside ul_tx.c and ul_rx.c only.
 */
#ifndef PHY_UL_CONTROL_H
#define PHY_UL_CONTROL_H

#include "phy/block.h"
#include "phy/layout.h"
#include "phy/uci.h"

#include <complex.h>
#include <stdint.h>

struct ul_control;

/* For any device. layout: borrowed. NULL with errno ENOMEM. */
struct ul_control *ul_control_create(const struct layout *layout, uint16_t cell_id);
void ul_control_destroy(struct ul_control *c); /* NULL is fine */

/* Writes the control REs of the slot into the grid, amplitude 1. 0, or -EINVAL for a field out of range or a value that
 * is not the slot's turn. */
int ul_control_write(struct ul_control *c, uint8_t device, uint64_t slot, const struct uci *uci, float complex *grid);

/* grid: as received. channel: read at the device's control REs and all RBs. 0, or -EBADMSG: not decodable, not this
 * device's, or contents no sender makes; *uci is set with 0 only. */
int ul_control_read(struct ul_control *c, uint8_t device, uint64_t slot, const float complex *grid,
                    const struct block_channel *channel, struct uci *uci);

#endif
