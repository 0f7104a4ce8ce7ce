/* dl_common.h - what the two ends of the downlink share: layout, pilots, coders. Inside dl_tx.c and dl_rx.c only. */
#ifndef PHY_DL_COMMON_H
#define PHY_DL_COMMON_H

#include "phy/block.h"
#include "phy/layout.h"
#include "phy/ofdm.h"

enum {
	DL_PILOTS_MAX = PHY_SC_MAX / PHY_PILOT_STEP_MIN,
};

struct dl_common {
	const struct layout *layout;
	struct numerology num;
	uint16_t cell_id;
	size_t n_pilots;
	float complex pilots[2][DL_PILOTS_MAX]; /* of the two pilot symbols */
	struct ofdm *ofdm;
	struct block *block;
	float complex *grid;
};

/* 0, or -EINVAL (cell_id) or -ENOMEM and nothing to free. */
int dl_common_init(struct dl_common *c, const struct layout *layout, uint16_t cell_id);
void dl_common_free(struct dl_common *c);

#endif
