/* cw.h - control codewords: a few payload bits to any number of coded QPSK bits, and back.
 *
 *     struct cw_coder *c = cw_create(payload_bits, max_coded_bits);
 *     cw_encode(c, payload, address, bits, n_coded);                  then gold_xor_bits, modem_map
 *     cw_decode(c, llr, n_coded, CW_ITERATIONS, payload, &address);    after modem_demap, gold_flip_llr
 *
 * One code block of LDPC base graph 2 (phy/code_block.h) of payload and CRC24A, the CRC masked with an address as 3GPP
 * TS 38.212, section 7.3.2, masks it with an RNTI. One decoding serves all addresses: the residual, received parity xor
 * computed parity, is the address it was sent to. The CRC register starts at all ones, so that the all-zero word, which
 * is what silence resembles, is a message to nobody near.
 *
 * Nothing but cw_create allocates. One thread at a time an object.
 */
#ifndef PHY_CW_H
#define PHY_CW_H

#include <stddef.h>
#include <stdint.h>

enum { CW_PAYLOAD_MAX_BITS = 512, CW_ITERATIONS = 12 };

struct cw_coder; /* for one payload size */

/* payload_bits: 1 .. CW_PAYLOAD_MAX_BITS. max_coded_bits: 1 .. 2^16. NULL with errno EINVAL or ENOMEM. */
struct cw_coder *cw_create(size_t payload_bits, size_t max_coded_bits);
void cw_destroy(struct cw_coder *c); /* NULL is fine */

/* payload: ceil(payload_bits / 8) bytes, most significant bit first. address: 24 bit, xored on the CRC. bits: n_coded
 * bits, one a byte, not scrambled; n_coded even (QPSK). Returns 0, or -EINVAL. */
int cw_encode(struct cw_coder *c, const uint8_t *payload, uint32_t address, uint8_t *bits, size_t n_coded);

/* llr: n_coded, even, natural scale. max_iterations: >= 1; CW_ITERATIONS for a thorough try, fewer for a cheap guess.
 * payload: ceil(payload_bits / 8) bytes, spare bits 0. address: 24 bit residual of the CRC. Returns 0 when the result
 * is a codeword of the LDPC code (it is for you only if the address is one that you know: a wrong one slips through
 * once in 2^24), -EBADMSG when not, -EINVAL. */
int cw_decode(struct cw_coder *c, const float *llr, size_t n_coded, unsigned max_iterations, uint8_t *payload,
              uint32_t *address);

#endif
