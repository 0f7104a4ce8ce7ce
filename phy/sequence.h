/* sequence.h - the known sequences of the air interface: sync, pilots, DMRS, sounding, access.
 *
 * The sync sequence is the m-sequence of TS 38.211 section 7.4.2.2, or one of length 63 in a narrow band. Sounding
 * is a chirp. All others are QPSK points of the length-31 Gold
 * sequence (phy/gold.h): gold_qpsk(sequence_seed(SEQUENCE_PILOT, cell_id, symbol), out, n).
 */
#ifndef PHY_SEQUENCE_H
#define PHY_SEQUENCE_H

#include "phy/numerology.h"

#include <complex.h>
#include <stdint.h>

enum {
	SYNC_LEN_MAX = 127,
	SYNC_PERIOD_SLOTS = 10,
	CELL_ID_MAX = 65535,
	SOUNDING_STEP = 8 /* a device sounds every eighth subcarrier */
};

/* What a Gold sequence is for. The numbers are part of the air interface: they go into the seed. */
enum sequence_kind {
	SEQUENCE_PILOT = 1,          /* downlink pilots; index: symbol */
	SEQUENCE_DMRS = 2,           /* uplink data pilots; index: symbol */
	SEQUENCE_ACCESS = 4,         /* index: device */
	SEQUENCE_CONTROL = 5,        /* scrambling of downlink control; index: 0 */
	SEQUENCE_DATA = 6,           /* scrambling of data, both directions; index: address */
	SEQUENCE_UPLINK_CONTROL = 7, /* index: address */
};

/* Seed of the Gold generator, 31 bits, for a cell id (0 .. CELL_ID_MAX) and index (0 .. 255). No two uses share one.
 * The fields are mixed (a one-to-one map of 31 bits), because Gold sequences whose seeds differ in few bits are not as
 * unlike as random ones: the correlation of two devices' access preambles would have 1.6 times the energy, and pass for
 * a detection in about a quarter of cases. */
static inline uint32_t sequence_seed(enum sequence_kind kind, uint32_t cell_id, uint32_t index)
{
	uint32_t x = (uint32_t)kind << 28 | cell_id << 8 | index;
	x ^= x >> 16;
	x = x * UINT32_C(0x9e3779b1) & UINT32_C(0x7fffffff);
	return x ^ x >> 15;
}

/* The sync sequence of the cell: +1 and -1 for the num->sync_len subcarriers from sync_first_sc(num) on. */
void sequence_sync(const struct numerology *num, uint32_t cell_id, float seq[SYNC_LEN_MAX]);

/* The sounding of all combs, for the num->n_sc subcarriers, magnitude 1: comb d is k % SOUNDING_STEP == d. A chirp that
 * sweeps the comb's period once, up or down in turn from comb to comb, shifted by the cell:
 *     phase = (-1)^k pi f^2 / (8 n_sc) - 2 pi f (cell_id % 32) / 256,  f = numerology_offset(k).
 * Its peaks lie 3.5 to 5 dB above the mean, random phases' 7 to 10: it is sent with all of a device's power. */
void sequence_sounding(const struct numerology *num, uint32_t cell_id, float complex *seq);

/* The middle of the band, DC between sequence positions sync_len / 2 - 1 and sync_len / 2. */
static inline size_t sync_first_sc(const struct numerology *num)
{
	return num->n_sc / 2 - num->sync_len / 2;
}

/* Amplitude of a sync RE relative to a data RE: the symbol as strong as a full one. */
float sync_boost(const struct numerology *num);

#endif
