/* link.h - what the base station knows of one device's radio link in one direction, and what it can carry.
 *
 * A struct link is plain data, changed only by the link_observe_* functions, from what the base station decoded:
 *
 *     link_init(&l, &cfg, n_rb);
 *     link_observe_wideband(&l, slot, uci.report_snr_db);            downlink: one report a slot, wideband or one RB
 *     link_observe_rb(&l, &cfg, slot, uci.report_rb, uci.report_snr_db);
 *     link_observe_band(&l, &cfg, slot, csi.snr_db);                       uplink: sounding gives every RB at once
 *     link_observe_headroom(&l, uci.headroom_db);                    uplink: power left over the full band
 *     link_observe_block(&l, &cfg, mcs, adapts, ack);                outer loop: first transmissions only
 *     link_view(&l, slot, &view);                              everything the allocators need, for that slot
 *
 * A block's SNR is kept as an offset from the wideband SNR, a first-order autoregressive process: correlation exp(-age / memory), variance
 * that of the band's offsets. Measurements go through its Kalman filter (Kalman 1960), so an old one fades back to the wideband, and
 * how sure the prediction is comes with it. Memory and variance are learned from pairs of measurements of a block, all blocks
 * together. A block never reported has offset 0.
 *
 * Power: a device whose power is capped (headroom below 0 dB over the full band) gains density on fewer RBs:
 * snr(n) = snr_full + min(10 log10(n_rb / n), -headroom); with headroom left it gains nothing.
 *
 * Outer loop (OLLA): an offset on the SNR, down by `step` on a lost block, up by step * target / (1 - target) on a
 * received one, so that it rests where the target share is lost.
 *
 * Effective SNR of a set of RBs: the SNR whose capacity is the mean capacity, log2(1 + snr), each block's SNR capped
 * LINK_CAP_DB above the last MCS's threshold, where more SNR carries no more bits.
 */
#ifndef SCHEDULER_LINK_H
#define SCHEDULER_LINK_H

#include "phy/numerology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINK_MCS_MAX = 32 };
#define LINK_CAP_DB 3.0f

/* What each MCS needs and each (MCS, number of RBs) carries: computed once, then read by everything here. */
struct rate_table {
	size_t n_mcs;
	size_t n_rb;
	float snr_db[LINK_MCS_MAX];                       /* threshold of the target BLER, rising with the index */
	uint32_t tbs_bytes[LINK_MCS_MAX][PHY_RB_MAX + 1]; /* 0: this grant carries nothing */
};

/* From phy's MCS table, with re_per_rb data resource elements in every RB (the nominal number: 120), whatever the slot.
 * margin_db is added to every threshold. 0, or -EINVAL (n_rb 1 .. PHY_RB_MAX; re_per_rb 1 .. 168 a block of 12 subcarriers; a "block" may be a group of them). */
int rate_table_init(struct rate_table *t, size_t n_rb, size_t re_per_rb, float margin_db);

/* The same blocks in slots that have `share` of those resource elements (sync slots): thresholds move by as much as
 * capacity asks for at the spectral efficiency that results, and the table ends before the first MCS whose code would
 * have a rate above 0.95. 0, or -EINVAL when the share is not in 0.1 .. 1. */
int rate_table_shrink(const struct rate_table *t, double share, struct rate_table *out);

struct link_config {
	double target_bler; /* of first transmissions; 0.1 */
	float olla_step_db; /* down, on a lost block; 0.3 */
	float olla_min_db;  /* clamps; -10 and 4 */
	float olla_max_db;
	double memory_slots; /* of a block's offset from the wideband before it was learned; 80 */
	float spread_db2;    /* variance of offsets before it was learned; 9 */
	float noise_db2;     /* of a measurement; 0.25 */
};

/* The defaults above. */
struct link_config link_config_default(void);

struct link {
	size_t n_rb;
	bool known;                   /* was anything ever reported? */
	uint64_t slot_wideband;       /* when */
	float wideband_db;            /* mean power over noise, full band */
	float mean_db;                /* of the wideband SNR, running, over some hundred reports */
	uint32_t n_wideband;          /* reports of it, as far as that counts */
	float offset_db[PHY_RB_MAX];  /* of a block from the wideband, filtered, when it was measured */
	float var_db2[PHY_RB_MAX];    /* of that; 0: it never was */
	uint64_t slot_rb[PHY_RB_MAX]; /* when */
	float anchor_db[PHY_RB_MAX];  /* an earlier measurement of the block, to compare a later one with */
	uint64_t anchor_slot[PHY_RB_MAX];
	double pairs_xx, pairs_xy, pairs_age; /* sums over pairs: x earlier, y later, x^2 times the slots between */
	double spread_db2;                    /* running mean of offsets squared */
	float headroom_db;                    /* INFINITY: never capped (downlink) */
	float olla_db;
	double bler; /* of first transmissions, running mean over about 50, starts at the target */
	uint32_t mcs_first[LINK_MCS_MAX], mcs_first_lost[LINK_MCS_MAX]; /* the same by MCS */
	uint32_t n_first, n_first_lost; /* first transmissions acknowledged either way; of these lost */
	uint32_t n_refused;             /* observations that were not finite, or about no block of this band */
};

void link_init(struct link *l, const struct link_config *cfg, size_t n_rb); /* n_rb: 1 .. PHY_RB_MAX */
/* Forget the channel (device lost, attached anew); OLLA and counters stay. */
void link_forget(struct link *l);

/* snr_db is held to -30 .. 60. 0, or -EINVAL when not finite or rb >= n_rb: then nothing changes but n_refused. */
int link_observe_wideband(struct link *l, uint64_t slot, float snr_db);
int link_observe_rb(struct link *l, const struct link_config *cfg, uint64_t slot, size_t rb, float snr_db);
int link_observe_band(struct link *l, const struct link_config *cfg, uint64_t slot, const float *snr_db /* [n_rb] */);
int link_observe_headroom(struct link *l, float headroom_db);

/* A first transmission at `mcs` came through or not. adapts: from the grant (alloc_grant.adapts): the link chose this
 * MCS, so that its success says something about the SNR. Other successes (blocks sent below the link's MCS because
 * they were small) only lead a negative offset slowly back to 0. Lost blocks count in any case but at MCS 0, below
 * which there is nothing. */
void link_observe_block(struct link *l, const struct link_config *cfg, size_t mcs, bool adapts, bool received);

/* A link as an allocator sees it in one slot: self-contained, fit for a log. */
struct link_view {
	bool usable;              /* something is known, all of it finite */
	float snr_db[PHY_RB_MAX]; /* [n_rb] full-band SNR expected in this slot, age and outer loop applied */
	float sd_db[PHY_RB_MAX];  /* [n_rb] its standard deviation by the age of what is known */
	float headroom_db;
};

/* Slots after which a block's offset has decayed by 1 / e, as learned so far. */
double link_memory_slots(const struct link *l);

void link_view(const struct link *l, uint64_t slot, struct link_view *v);
/* The same in the mean over n_slots from that slot on, for plans: what sets the channel apart now from its long-term mean, in the wideband
 * and in the blocks, decays as the blocks' offsets do. */
void link_view_over(const struct link *l, uint64_t slot, double n_slots, struct link_view *v);

/* The links of several devices as one that a block for all of them goes over: its level is that of the one with the least
 * effective SNR over the band, its shape the mean of theirs, by which RBs are picked that suit all. Unusable if one of them is, or
 * n is 0. */
void link_view_joint(const struct link_view *const *views, size_t n, const struct rate_table *t,
                     struct link_view *joint);

/* dB that a grant of n of n_rb RBs (1 <= n) gains over the full band. */
float link_power_gain_db(float headroom_db, size_t n, size_t n_rb);

/* Effective SNR of the set in dB, power gain for its size included; -INFINITY for an empty set or an unusable link. */
float link_effective_snr_db(const struct link_view *v, const struct rate_table *t, const struct rb_set *set);

/* The highest MCS whose threshold snr_db reaches; 0 below all of them. */
size_t link_mcs(const struct rate_table *t, float snr_db);

/* bytes_per_slot[n], n = 0 .. t->n_rb: what n RBs of average quality among `available` carry, at the MCS they allow;
 * never falls with n (a device may leave RBs empty). All zero for an unusable link. */
void link_rates(const struct link_view *v, const struct rate_table *t, const struct rb_set *available,
                float *bytes_per_slot);

/* What each RB of the set carries over their mean, by capacity held to LINK_CAP_DB above the last threshold: [n_rb], mean 1 over
 * the set, 0 elsewhere; all 0 for an unusable link. */
void link_relative_rates(const struct link_view *v, const struct rate_table *t, const struct rb_set *set,
                         float *relative);

#endif
