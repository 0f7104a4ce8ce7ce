/* crc.h - cyclic redundancy checks of 3GPP TS 38.212, section 5.1.
 *
 * A `struct crc` is a polynomial with its look-up tables, made once and read by anybody:
 *
 *     struct crc c;
 *     crc_init(&c, &crc24a);
 *     uint32_t parity = crc_bytes(&c, 0, bytes, n_bytes);
 *
 * Bits go most significant first, as on the air. The register starts at `start` (0 in transport and code blocks; all
 * ones in control codewords, section 7.3.2, so that silence, the all-zero codeword, is no message). Parity bits
 * appended to the message, most significant first, give a remainder of 0 when the register started at 0.
 */
#ifndef PHY_CRC_H
#define PHY_CRC_H

#include <stddef.h>
#include <stdint.h>

struct crc_poly {
	unsigned n_bits; /* parity bits, 8 .. 24 */
	uint32_t poly;   /* generator without its leading term; bit k is the coefficient of D^k */
};

extern const struct crc_poly crc24a, crc24b, crc24c, crc16;

struct crc {
	struct crc_poly poly;
	uint32_t table[8][256]; /* [k][b]: what byte b does to the left-aligned register k + 1 bytes later */
};

/* Fills the tables. Any poly with 8 .. 24 bits. */
void crc_init(struct crc *c, const struct crc_poly *poly);

/* Parity of n bytes, in the low n_bits of the result. start: the register's first content, low n_bits. */
uint32_t crc_bytes(const struct crc *c, uint32_t start, const uint8_t *bytes, size_t n);

/* The same of n single bits, one a byte, 0 or 1; start may be the result of an earlier call (both functions chain). */
uint32_t crc_bits(const struct crc *c, uint32_t start, const uint8_t *bits, size_t n);

#endif
