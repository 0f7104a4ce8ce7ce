/* dl_level.h - how many control channel elements (CCE) a downlink message takes: its aggregation level.
 *
 * Levels are 1, 2, 4, 8 and the whole region of control symbols (16 CCEs of it where it has more): the same bits spread
 * over more REs are read at lower SNR. From the measured thresholds:
 *
 *     unsigned level = dl_level_for(layout, dci_size_of(&dci), snr_db - margin_db);
 */
#ifndef PHY_DL_LEVEL_H
#define PHY_DL_LEVEL_H

#include "phy/dci.h"
#include "phy/layout.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	DL_CCE_BITS = 2 * LAYOUT_CCE_RE,
	DL_LEVEL_MAX = 16, /* CCEs of the longest control message */
	DL_LEVELS_MAX = 5,
};

/* The levels of this layout, largest first. Returns how many. */
size_t dl_levels(const struct layout *l, unsigned levels[DL_LEVELS_MAX]);
bool dl_level_ok(const struct layout *l, unsigned level);
unsigned dl_level_max(const struct layout *l);

/* SNR (mean of the band) at which a message of that size on that many CCEs is missed once in a hundred times, AWGN,
 * channel and noise estimated. Measured for the 18 RBs of the default. */
float dl_level_snr_db(enum dci_size size, unsigned level);

/* The smallest level that this SNR is enough for; the largest there is when none is. A margin for fading and for the
 * age of the SNR is the caller's to take off. */
unsigned dl_level_for(const struct layout *l, enum dci_size size, float snr_db);

#endif
