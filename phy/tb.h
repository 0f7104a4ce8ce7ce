/* tb.h - transport blocks: bytes to coded bits, LLRs to bytes and a verdict.
 *
 * 3GPP TS 38.212, section 5: CRC24A, segmentation with CRC24B, LDPC base graph 2, rate matching from a redundancy
 * version, bit interleaving, concatenation. Two departures: a block always carries CRC24A (NR gives short ones CRC16),
 * and base graph 2 serves all sizes and rates. Ncb = N: the whole circular buffer is in use.
 *
 *     struct tb_coder *t = tb_coder_create(max_bytes, max_coded_bits);
 *     struct tb_format f = { .n_bytes = mcs_tbs_bytes(m, n_re), .n_coded = n_re * m->bits, .qm = m->bits, .rv = 0 };
 *     tb_encode(t, &f, bytes, bits);            then gold_xor_bits, modem_map
 *     tb_decode(t, &f, llr, soft, bytes, &st);  after modem_demap, gold_flip_llr
 *
 * Hybrid ARQ: one tb_soft a process keeps what earlier transmissions said about the block. tb_soft_reset on new data,
 * then tb_decode with each transmission, whatever its rv and n_coded; code blocks already right are not decoded again.
 * Versions 0 and 3 can stand alone; 1 and 2 carry parity only and need another beside them. 0, 2, 3, 1 is the usual
 * order.
 *
 * No function here allocates but the create functions. One thread at a time an object.
 */
#ifndef PHY_TB_H
#define PHY_TB_H

#include <stddef.h>
#include <stdint.h>

enum { TB_CRC_BYTES = 3, TB_ITERATIONS = 20 };

struct tb_format {
	size_t n_bytes; /* of the transport block, without its CRC; one of the sizes tb_size_fit gives */
	size_t n_coded; /* bits on the air: RE * qm */
	unsigned qm;    /* bits a symbol: 2, 4, 6 or 8 */
	unsigned rv;    /* redundancy version, 0 .. 3 */
};

struct tb_stats {
	unsigned n_blocks;   /* code blocks of the transport block */
	unsigned n_decoded;  /* of these, decoded now (the others were right before) */
	unsigned n_failed;   /* of these, without a right CRC24B, or not a codeword after the last iteration */
	unsigned iterations; /* sum over the blocks decoded now */
};

struct tb_coder; /* work space of encoder and decoder */
struct tb_soft;  /* soft bits of one HARQ process */

/* The largest legal block of at most n_bytes: every code block must get the same whole number of bytes. 0 for 0. */
size_t tb_size_fit(size_t n_bytes);

/* For blocks of up to max_bytes on up to max_coded_bits (each 1 .. 2^20). NULL with errno EINVAL or ENOMEM. */
struct tb_coder *tb_coder_create(size_t max_bytes, size_t max_coded_bits);
void tb_coder_destroy(struct tb_coder *t); /* NULL is fine */

/* For blocks of up to max_bytes; 19200 bytes a code block, of which one holds 474 bytes. NULL with errno EINVAL or
 * ENOMEM. */
struct tb_soft *tb_soft_create(size_t max_bytes);
void tb_soft_destroy(struct tb_soft *s); /* NULL is fine */
void tb_soft_reset(struct tb_soft *s);   /* forget everything: new data follows */

/* bytes: f->n_bytes. bits: f->n_coded bits, one a byte, not scrambled. Returns 0, or -EINVAL when the format is not
 * possible (size not legal or over the limits, qm or rv unknown, n_coded no multiple of qm or too small for one bit a
 * block). */
int tb_encode(struct tb_coder *t, const struct tb_format *f, const uint8_t *bytes, uint8_t *bits);

/* llr: f->n_coded, positive = 0, descrambled; natural scale (log likelihood ratios). soft: what earlier transmissions
 * left, or NULL for a single one. bytes: f->n_bytes, written when 0 is returned. st may be NULL. Returns 0; -EBADMSG
 * when a CRC is wrong; -EINVAL as tb_encode, or when soft is too small or holds a block of another size. */
int tb_decode(struct tb_coder *t, const struct tb_format *f, const float *llr, struct tb_soft *soft, uint8_t *bytes,
              struct tb_stats *st);

#endif
