/* layout.h - which resource element (RE) carries what; the tables of notes/phy.md as data.
 *
 * A layout is computed once for a numerology and shared (read-only) by everything that builds or reads slots. An RE is
 * named by its index in the grid, symbol * n_sc + subcarrier.
 *
 *     struct layout *l = layout_create(&num, err, sizeof err);
 *     size_t n = layout_dl_data(l, slot, &rbs, re); // re[0..n-1]: where that device's data go, in order
 */
#ifndef PHY_LAYOUT_H
#define PHY_LAYOUT_H

#include "phy/access.h"
#include "phy/numerology.h"
#include "phy/sequence.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LAYOUT_CCE_RE = 54,
	LAYOUT_CCE_MAX = 3 * PHY_SC_MAX / LAYOUT_CCE_RE,
	LAYOUT_DMRS_STEP = 2,
	LAYOUT_COMB_STEP = SOUNDING_STEP,
	LAYOUT_COMB_MAX = PHY_SC_MAX / LAYOUT_COMB_STEP,
	LAYOUT_RE_MAX = PHY_SC_MAX * PHY_SYMBOLS_MAX
};

struct layout;

/* Data REs that an RB counts for a block's size, whatever the slot and direction, so that a block can be repeated in any
 * slot: those of the direction with fewer of them. */
size_t layout_nominal_re_per_rb(const struct numerology *num);

/* NULL with errno ENOMEM and the reason in err. */
struct layout *layout_create(const struct numerology *num, char *err, size_t errlen);
void layout_destroy(struct layout *l); /* NULL is fine */
const struct numerology *layout_numerology(const struct layout *l);

static inline bool layout_is_sync_slot(uint64_t slot)
{
	return slot % SYNC_PERIOD_SLOTS == 0;
}
static inline bool layout_is_access_slot(uint64_t slot)
{
	return slot % SYNC_PERIOD_SLOTS == ACCESS_SLOT;
}

/* Control channel elements of a slot, and the 54 REs of one (cce < layout_n_cce). */
size_t layout_n_cce(const struct layout *l);
const uint32_t *layout_cce(const struct layout *l, size_t cce);

/* Data REs of a set of RBs in order of symbol, then subcarrier. re: room for LAYOUT_RE_MAX, or NULL to only count.
 * RBs outside the band count as none. */
size_t layout_dl_data(const struct layout *l, uint64_t slot, const struct rb_set *rbs, uint32_t *re);
size_t layout_ul_data(const struct layout *l, const struct rb_set *rbs, uint32_t *re);

/* RBs that may be granted for uplink data in this slot: all, less 0..5 in an access slot. */
struct rb_set layout_ul_rbs(const struct layout *l, uint64_t slot);

/* Uplink control and sounding: subcarriers of device d are k % 8 == d % 8, lowest first. k: room for LAYOUT_COMB_MAX.
 * Returns how many. */
size_t layout_comb(const struct layout *l, uint8_t device, uint16_t *k);
/* Does device d send control and sounding in this slot? n_groups: 1 (devices 0..7) or 2 (0..15, taking turns). */
bool layout_has_control(uint8_t device, uint64_t slot, unsigned n_groups);

/* ---- what the resource elements are for ---- */

enum layout_use {
	LAYOUT_DATA,
	LAYOUT_PILOTS,  /* downlink pilots, uplink DMRS */
	LAYOUT_CONTROL, /* reserved for it, used or not */
	LAYOUT_SYNC,    /* the whole symbol: what the sequence leaves is empty */
	LAYOUT_SOUNDING,
	LAYOUT_ACCESS, /* set aside for preambles */
	LAYOUT_USES
};

/* What an RE is for in that slot. symbol < n_symbols, k < n_sc. */
enum layout_use layout_use(const struct layout *l, bool uplink, uint64_t slot, size_t symbol, size_t k);

/* The shares of all uses in the REs of one direction, over a period of sync and access slots: they sum up to 1. */
void layout_shares(const struct layout *l, bool uplink, double share[LAYOUT_USES]);

#endif
