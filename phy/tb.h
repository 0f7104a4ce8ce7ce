/* tb.h - transport blocks: bytes to the bits of symbols, soft bits to bytes and a verdict.
 *
 * 3GPP TS 38.212, section 5: CRC24A, base graph, segmentation with CRC24B, LDPC, rate matching from a redundancy version,
 * bit interleaving, concatenation. One departure: a block always carries CRC24A (NR gives short ones CRC16). Ncb = N: the
 * whole circular buffer is in use.
 *
 *     struct tb_coder *t = tb_coder_create(max_bytes);
 *     struct tb_format f = { .n_bytes = mcs_tbs_bytes(m, n_re), .n_symbols = n_re, .qm = m->bits, .rv = 0 };
 *     f.graph = tb_graph(f.n_bytes, m->rate);
 *     tb_encode(t, &f, bytes, symbols);
 *
 *     tb_decode_begin(t, &f, soft);
 *     while (symbols come)
 *             tb_decode_feed(t, planes, stride, n);
 *     tb_decode_end(t, bytes, &st);
 *
 * Coded bits travel as one byte a symbol, its first bit in bit 0. Soft bits travel as planes: those of bit k of all symbols
 * in a row, the log likelihood ratio log P(0) / P(1) times LDPC_LLR_STEPS, -127 .. 127. phy/soften.h makes them.
 *
 * Hybrid ARQ: one tb_soft a process keeps what earlier transmissions said about the block. tb_soft_reset on new data,
 * then decode each transmission, whatever its rv, qm and n_symbols; size and graph must be those of the first. Code blocks
 * already right are not decoded again. Versions 0 and 3 can stand alone; 1 and 2 carry next to no systematic bits and need
 * another beside them. 0, 2, 3, 1 is the usual order.
 *
 * No function here allocates but the create functions. One thread at a time an object.
 */
#ifndef PHY_TB_H
#define PHY_TB_H

#include <stddef.h>
#include <stdint.h>

enum { TB_CRC_BYTES = 3, TB_ITERATIONS = 32, TB_BYTES_LIMIT = 1 << 20, TB_SYMBOLS_LIMIT = 1 << 20 };

struct tb_format {
	size_t n_bytes;      /* of the transport block, without its CRC; one of the sizes tb_size_fit gives */
	size_t n_symbols;    /* on the air: RE */
	unsigned qm;         /* bits a symbol: 2, 4, 6 or 8 */
	unsigned rv;         /* redundancy version, 0 .. 3 */
	unsigned graph;      /* LDPC base graph, 1 or 2 */
	unsigned iterations; /* of its decoder at most; 0: TB_ITERATIONS */
};

struct tb_stats {
	unsigned n_blocks;   /* code blocks of the transport block */
	unsigned n_decoded;  /* of these, decoded now (the others were right before) */
	unsigned n_failed;   /* of these, without a right CRC24B, or not a codeword after the last iteration */
	unsigned iterations; /* sum over the blocks decoded now */
};

struct tb_coder; /* work space of encoder and decoder */
struct tb_soft;  /* soft bits of one HARQ process */

/* The graph of a block at a nominal code rate (sections 6.2.2, 7.2.2). */
unsigned tb_graph(size_t n_bytes, float rate);

/* The largest legal block of at most n_bytes at that rate: every code block must get the same whole number of bytes. 0 for
 * 0. */
size_t tb_size_fit(size_t n_bytes, float rate);

/* For blocks of up to max_bytes, 1 .. TB_BYTES_LIMIT. NULL with errno EINVAL or ENOMEM. */
struct tb_coder *tb_coder_create(size_t max_bytes);
void tb_coder_destroy(struct tb_coder *t); /* NULL is fine */

/* For blocks of up to max_bytes of graph 1; of graph 2 up to 478 bytes or half of that, whichever is more. 26 kB each 1053
 * bytes. NULL with errno EINVAL or ENOMEM. */
struct tb_soft *tb_soft_create(size_t max_bytes);
void tb_soft_destroy(struct tb_soft *s); /* NULL is fine */
void tb_soft_reset(struct tb_soft *s);   /* forget everything: new data follows */

/* bytes: f->n_bytes. symbols: f->n_symbols bytes, not scrambled. Returns 0, or -EINVAL when the format is not possible
 * (size not legal or over the limit, qm, rv or graph unknown, more than TB_SYMBOLS_LIMIT symbols or fewer than code
 * blocks). */
int tb_encode(struct tb_coder *t, const struct tb_format *f, const uint8_t *bytes, uint8_t *symbols);

/* Opens a reception. soft: what earlier transmissions left, borrowed until tb_decode_end; NULL for a single transmission. 0;
 * -EINVAL as tb_encode, or when soft is too small or holds a block of another size or graph: then there is nothing to
 * feed or end. */
int tb_decode_begin(struct tb_coder *t, const struct tb_format *f, struct tb_soft *soft);

/* The next n symbols, descrambled: llr[k * stride + j] is bit k of symbol j. What is beyond n_symbols is ignored; what is
 * missing at the end counts as not received. */
void tb_decode_feed(struct tb_coder *t, const int8_t *llr, size_t stride, size_t n);

/* bytes: n_bytes, written when 0 is returned. st may be NULL. 0, or -EBADMSG when a CRC is wrong. */
int tb_decode_end(struct tb_coder *t, uint8_t *bytes, struct tb_stats *st);

#endif
