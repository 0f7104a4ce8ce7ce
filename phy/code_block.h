/* code_block.h - one LDPC code block between its information bits and its share of the coded bits: filler bits, base
 * graph 2, circular buffer, bit interleaving (3GPP TS 38.212, sections 5.2.2, 5.3.2 and 5.4.2). Transport blocks
 * (phy/tb.h) and control codewords (phy/cw.h) are made of it; use those.
 *
 * The circular buffer here leaves the filler bits out: `head` systematic bits, then all parity. Ncb = N.
 */
#ifndef PHY_CODE_BLOCK_H
#define PHY_CODE_BLOCK_H

#include "phy/ldpc.h"

#include <stddef.h>
#include <stdint.h>

enum {
	CODE_BLOCK_MAX_BITS = 3840,              /* Kcb of base graph 2 */
	CODE_BLOCK_BUFFER_MAX = 50 * LDPC_Z_MAX, /* the buffer of the longest block */
	CODE_BLOCK_WORD_MAX = 52 * LDPC_Z_MAX,   /* with the two columns that are never sent */
};

struct code_block {
	struct ldpc_code code;
	size_t n_bits;   /* K': information with CRC */
	size_t n_filler; /* K - K' */
	size_t head;     /* K' - 2 Z: systematic bits in the buffer */
	size_t n_buffer; /* N - fillers */
};

struct code_block_work { /* one thread at a time */
	struct ldpc_decoder *decoder;
	size_t max_coded;
	int8_t *quantised, *selected;          /* max_coded each: LLRs on the air, and in order of the buffer */
	uint8_t *selected_bits;                /* max_coded */
	uint8_t word[CODE_BLOCK_WORD_MAX];     /* one bit a byte */
	uint8_t buffer[CODE_BLOCK_BUFFER_MAX]; /* one bit a byte */
	int8_t llr[CODE_BLOCK_WORD_MAX];
};

/* n_bits: K', 8 .. 3840. n_total: B, bits of the whole transport block with CRC, which chooses the lifting size. *b
 * must hold zeros or an earlier block: a lifted graph is kept when it fits. */
void code_block_init(struct code_block *b, size_t n_bits, size_t n_total);

/* Where redundancy version 0 .. 3 starts in the buffer. */
size_t code_block_start(const struct code_block *b, unsigned rv);

/* Work space for up to max_coded bits of one block. 0, or -ENOMEM and nothing to free. */
int code_block_work_init(struct code_block_work *w, size_t max_coded);
void code_block_work_free(struct code_block_work *w); /* zeros are fine */

/* w->word: the block's n_bits. out: n bits from `start` of the buffer on, interleaved for qm bits a symbol; n a
 * multiple of qm. */
void code_block_encode(struct code_block_work *w, const struct code_block *b, size_t start, unsigned qm, uint8_t *out,
                       size_t n);

/* The reverse: adds n LLRs, quantised and saturating, to soft (n_buffer values). */
void code_block_collect(struct code_block_work *w, const struct code_block *b, const float *llr, size_t start,
                        unsigned qm, int8_t *soft, size_t n);

/* soft: n_buffer values. Leaves the n_bits in w->word. Iterations, or -EBADMSG when no codeword was found or soft is
 * empty. */
int code_block_decode(struct code_block_work *w, const struct code_block *b, const int8_t *soft,
                      unsigned max_iterations);

/* n_bits bits, one a byte, from and to bytes, most significant first; spare bits of the last byte are ignored, and 0.
 */
void code_block_unpack(const uint8_t *bytes, uint8_t *bits, size_t n_bits);
void code_block_pack(const uint8_t *bits, uint8_t *bytes, size_t n_bits);

#endif
