/* gold.h - the length-31 Gold sequence c(n) of 3GPP TS 38.211, section 5.2.1: scrambling and pilots.
 *
 *     gold_symbols(c_init, qm, s, n);     a byte a symbol, to xor on coded bits and to flip soft bits with
 *     gold_xor_bits(c_init, bits, n);     scramble coded bits before modem_map
 *     gold_flip_llr(c_init, llr, n);      undo it after modem_demap
 *     gold_qpsk(c_init, pilots, n);       unit-power QPSK pilots
 *
 * The sequence is a function of c_init (31 bits; bit 31 is ignored) and nothing else. Generation goes 32 bits at a
 * time: squaring the generator polynomials gives x(n+62) = x(n+6) + x(n) over GF(2), so a 64-bit window knows the next
 * word; what comes after the first Nc = 1600 outputs, which are dropped, is a table, as it is linear in c_init. Long runs
 * square three times more: x(n + 31 * 32) = x(n + 3 * 32) + x(n) makes words of words, many at a time.
 */
#ifndef PHY_GOLD_H
#define PHY_GOLD_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

struct gold {
	uint64_t x1, x2; /* the next 64 outputs of each register, earliest in bit 0 */
};

/* Sets g to c(0) of the sequence c_init. */
void gold_init(struct gold *g, uint32_t c_init);

/* The next 32 values of c, earliest in bit 0. */
uint32_t gold_next32(struct gold *g);

/* words[i / 32] >> (i % 32) & 1 = c(i), i < 32 n_words. */
void gold_words(uint32_t c_init, uint32_t *words, size_t n_words);

/* Bit k of out[j] = c(j * qm + k), k < qm, j < n; qm: 2, 4, 6 or 8. */
void gold_symbols(uint32_t c_init, unsigned qm, uint8_t *out, size_t n);

/* bits[i] ^= c(i), i < n; one bit a byte. */
void gold_xor_bits(uint32_t c_init, uint8_t *bits, size_t n);

/* llr[i] = -llr[i] where c(i) = 1, i < n. */
void gold_flip_llr(uint32_t c_init, float *llr, size_t n);

/* out[m] = ((1 - 2 c(2m)) + j (1 - 2 c(2m+1))) / sqrt(2), m < n (TS 38.211, 7.4.1.1.1). */
void gold_qpsk(uint32_t c_init, float complex *out, size_t n);

#endif
