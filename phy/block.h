/* block.h - one transport block between its bytes and its resource elements: what downlink and uplink data share.
 *
 * Sending: encode, scramble, map onto the REs of a list. Receiving: equalise those REs, soft bits, descramble, decode.
 * The caller names the REs (phy/layout.h) and, at the receiver, the channel of each.
 */
#ifndef PHY_BLOCK_H
#define PHY_BLOCK_H

#include "phy/dci.h"
#include "phy/dl.h"
#include "phy/layout.h"
#include "phy/tb.h"

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

struct block;

/* Work space for blocks up to the whole band. NULL with errno EINVAL or ENOMEM. */
struct block *block_create(const struct numerology *num);
void block_destroy(struct block *b); /* NULL is fine */

/* Room for LAYOUT_RE_MAX RE indices, for the caller to fill before block_send and block_receive. */
uint32_t *block_re(struct block *b);

/* Bytes of a grant's block: of its MCS and number of RBs alone (layout_nominal_re_per_rb); 0 when none fits. */
size_t block_bytes(const struct numerology *num, const struct grant *g);
/* Of the largest block. */
size_t block_bytes_max(const struct numerology *num);

/* seed: of the scrambling. Writes amplitude * symbol into the grid. 0 or -EINVAL (size other than block_bytes). */
int block_send(struct block *b, const struct grant *g, uint32_t seed, size_t n_re, float amplitude, const uint8_t *tb,
               size_t n_bytes, float complex *grid);

struct block_channel {
	const float complex *h; /* n_symbols * n_sc: of every RE; read at the REs of the list alone */
	const float *noise_var; /* n_rb: of a received RE, estimation error included, > 0; read at the RBs granted */
};

/* soft: what earlier transmissions of this block left, to which this one adds; NULL: this one alone. tb: room for
 * block_bytes; *n_bytes set to it. info: NULL, or snr_db, evm_db and iterations are filled. 0, -EBADMSG, -EINVAL (soft
 * holds a block of another size included). */
int block_receive(struct block *b, const struct grant *g, uint32_t seed, size_t n_re, const float complex *grid,
                  const struct block_channel *channel, struct tb_soft *soft, uint8_t *tb, size_t *n_bytes,
                  struct rx_info *info);

#endif
