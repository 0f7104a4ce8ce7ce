#include "phy/crc.h"

#include <endian.h>
#include <string.h>

const struct crc_poly crc24a = { 24, 0x864CFB };
const struct crc_poly crc24b = { 24, 0x800063 };
const struct crc_poly crc24c = { 24, 0xB2B117 };
const struct crc_poly crc16 = { 16, 0x1021 };

enum { REGISTER_BITS = 32 };

void crc_init(struct crc *c, const struct crc_poly *poly)
{
	uint32_t p = poly->poly << (REGISTER_BITS - poly->n_bits);

	c->poly = *poly;
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t r = b << (REGISTER_BITS - 8);
		for (int k = 0; k < 8; k++)
			r = r << 1 ^ (r >> (REGISTER_BITS - 1) ? p : 0);
		c->table[0][b] = r;
	}
	for (size_t k = 1; k < 8; k++)
		for (size_t b = 0; b < 256; b++) {
			uint32_t r = c->table[k - 1][b];
			c->table[k][b] = r << 8 ^ c->table[0][r >> (REGISTER_BITS - 8)];
		}
}

uint32_t crc_bytes(const struct crc *c, uint32_t start, const uint8_t *bytes, size_t n)
{
	unsigned unused = REGISTER_BITS - c->poly.n_bits;
	uint32_t r = start << unused;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) { /* eight bytes at a time: only the first four meet the register */
		uint64_t word;
		memcpy(&word, bytes + i, sizeof word);
		word = be64toh(word) ^ (uint64_t)r << 32;
		r = 0;
		for (unsigned k = 0; k < 8; k++)
			r ^= c->table[k][word >> 8 * k & 255];
	}
	for (; i < n; i++)
		r = r << 8 ^ c->table[0][r >> 24 ^ bytes[i]];
	return r >> unused;
}

uint32_t crc_bits(const struct crc *c, uint32_t start, const uint8_t *bits, size_t n)
{
	unsigned unused = REGISTER_BITS - c->poly.n_bits;
	uint32_t r = start << unused, p = c->poly.poly << unused;

	for (size_t i = 0; i < n; i++)
		r = r << 1 ^ ((r >> (REGISTER_BITS - 1) ^ bits[i]) & 1 ? p : 0);
	return r >> unused;
}
