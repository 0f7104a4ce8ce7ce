/* code_block.h - one LDPC code block between its information bits and its share of the coded bits: filler bits, base
 * graph, circular buffer, redundancy versions (3GPP TS 38.212, sections 5.2.2, 5.3.2 and 5.4.2.1). Transport blocks
 * (phy/tb.h) and control codewords (phy/cw.h) are made of it; use those.
 *
 * A codeword is what phy/ldpc.h takes: 2 Z systematic bits that are never sent, `head` systematic bits, fillers, parity.
 * The circular buffer is head and parity (the standard skips fillers as they come); a place in it counts modulo its
 * length. Ncb = N: all of it is in use.
 *
 * Bit interleaving (section 5.4.2.2) has no function of its own: bit k of symbol j is number k * n_symbols + j of the
 * selected bits, so bit k of all symbols is one run of the buffer, a plane.
 */
#ifndef PHY_CODE_BLOCK_H
#define PHY_CODE_BLOCK_H

#include "phy/ldpc.h"

#include <stddef.h>
#include <stdint.h>

enum {
	CODE_BLOCK_MAX_BITS = 22 * LDPC_Z_MAX, /* Kcb of base graph 1 */
	CODE_BLOCK_WORD_MAX = LDPC_COLS_MAX * LDPC_Z_MAX,
};

struct code_block {
	struct ldpc_code code;
	size_t n_bits;   /* K': information with CRC */
	size_t n_filler; /* K - K' */
	size_t head;     /* K' - 2 Z: systematic bits in the buffer */
	size_t n_buffer; /* N - fillers */
	size_t n_word;   /* bits of the codeword */
};

/* graph: ldpc_bg1 or ldpc_bg2. n_bits: K', 8 .. 8448 (graph 1) or 3840 (graph 2). n_total: B, bits of the whole transport
 * block with CRC, which chooses Kb of graph 2. *b must hold zeros or an earlier block: a lifted graph is kept when it
 * fits. */
void code_block_init(struct code_block *b, const struct ldpc_graph *graph, size_t n_bits, size_t n_total);

/* Where redundancy version 0 .. 3 starts in the buffer. */
size_t code_block_start(const struct code_block *b, unsigned rv);

/* word: n_word, one bit a byte, the first n_bits filled in. Adds fillers and the parity that n bits of the buffer from
 * place `start` on need. */
void code_block_encode(const struct code_block *b, uint8_t *word, size_t start, size_t n);

/* Takes n bits of the buffer from a place on, into bit `shift` of n bytes; shift 0 overwrites the bytes, others add. */
void code_block_take(const struct code_block *b, const uint8_t *word, size_t place, unsigned shift, uint8_t *out,
                     size_t n);

/* soft: n_word channel values of the codeword, for the functions below; what was not received is 0, fillers are known. */
void code_block_clear(const struct code_block *b, int8_t *soft);

/* Adds n values of -127 .. 127, saturating there, from a place of the buffer on. */
void code_block_add(const struct code_block *b, int8_t *soft, size_t place, const int8_t *llr, size_t n);

/* bits: room for CODE_BLOCK_MAX_BITS, one a byte; the first n_bits count. Iterations, or -EBADMSG when no codeword was
 * found or fewer soft bits than n_bits say anything. */
int code_block_decode(const struct code_block *b, struct ldpc_decoder *d, const int8_t *soft, uint8_t *bits,
                      unsigned max_iterations);

/* To the decoder's integers, n log likelihood ratios that stand `stride` apart. A NaN becomes the largest. */
void code_block_quantise(const float *llr, size_t stride, int8_t *q, size_t n);

/* n_bits bits, one a byte, from and to bytes, most significant first; spare bits of the last byte are ignored, and 0.
 */
void code_block_unpack(const uint8_t *bytes, uint8_t *bits, size_t n_bits);
void code_block_pack(const uint8_t *bits, uint8_t *bytes, size_t n_bits);

#endif
