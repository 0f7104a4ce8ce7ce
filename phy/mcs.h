/* mcs.h - modulation and coding schemes, and how many bytes a transport block has.
 *
 *     const struct mcs *m = mcs_get(index);
 *     size_t n_bytes = mcs_tbs_bytes(m, n_re);     both ends compute it from the grant
 *
 * An index fits 5 bits. Entries are in order of spectral efficiency, and of snr_db. The rate is that of the code after
 * rate matching: (8 * n_bytes + 24) / (n_re * bits), the 24 being the transport block's CRC. snr_db is the 10 % block
 * error point of this chain in AWGN with the channel known, a full default slot long (see notes/coding.md): short
 * blocks and estimated channels need more. Modulations with decibels in hand to capacity spend some of them on speed: few
 * iterations.
 */
#ifndef PHY_MCS_H
#define PHY_MCS_H

#include <stddef.h>

enum { MCS_TBS_MIN_BYTES = 8 };

struct mcs {
	unsigned bits;       /* a symbol: 2, 4, 6, 8 */
	float rate;          /* nominal: the base graph follows from it and the size */
	unsigned iterations; /* of the LDPC decoder at most */
	float snr_db;        /* Es/N0 of a data RE */
};

size_t mcs_count(void);
const struct mcs *mcs_get(size_t index); /* NULL when index >= mcs_count() */

/* The highest index whose snr_db is at most snr_db; 0 when there is none. */
size_t mcs_for_snr(float snr_db);

/* Bytes of a transport block on n_re resource elements; a size that tb_encode takes. 0 when fewer than
 * MCS_TBS_MIN_BYTES would fit: such a grant carries nothing and must not be given. */
size_t mcs_tbs_bytes(const struct mcs *m, size_t n_re);

#endif
