#include "phy/cw.h"

#include "phy/code_block.h"
#include "phy/crc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CODED_LIMIT = 1 << 16, CRC_BITS = 24, WORD_MAX = 52 * 72 /* Z of the longest: Kb = 8 */ };

struct cw_coder {
	size_t payload_bits;
	struct crc crc;
	size_t max_coded;
	struct code_block block;
	struct ldpc_decoder *decoder;
	uint8_t word[WORD_MAX]; /* one bit a byte */
	int8_t soft[WORD_MAX];
	uint8_t plane[]; /* max_coded / 2: a byte a symbol, its bits or the LLRs of one of them */
};

struct cw_coder *cw_create(size_t payload_bits, size_t max_coded_bits)
{
	if (payload_bits < 1 || payload_bits > CW_PAYLOAD_MAX_BITS || max_coded_bits < 1 ||
	    max_coded_bits > CODED_LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	struct cw_coder *c = calloc(1, sizeof *c + max_coded_bits / 2);
	if (!c)
		return NULL;
	c->decoder = ldpc_decoder_create();
	if (!c->decoder) {
		free(c);
		errno = ENOMEM;
		return NULL;
	}
	c->max_coded = max_coded_bits;
	c->payload_bits = payload_bits;
	crc_init(&c->crc, &crc24a);
	code_block_init(&c->block, &ldpc_bg2, payload_bits + CRC_BITS, payload_bits + CRC_BITS);
	return c;
}

void cw_destroy(struct cw_coder *c)
{
	if (!c)
		return;
	ldpc_decoder_destroy(c->decoder);
	free(c);
}

static uint32_t parity_of(const struct cw_coder *c, const uint8_t *bits)
{
	return crc_bits(&c->crc, (1u << CRC_BITS) - 1, bits, c->payload_bits);
}

int cw_encode(struct cw_coder *c, const uint8_t *payload, uint32_t address, uint8_t *bits, size_t n_coded)
{
	uint8_t *word = c->word;
	size_t n_symbols = n_coded / 2;

	if (n_coded < 2 || n_coded % 2 || n_coded > c->max_coded || address >> CRC_BITS)
		return -EINVAL;
	code_block_unpack(payload, word, c->payload_bits);
	uint32_t parity = parity_of(c, word) ^ address;
	for (unsigned k = 0; k < CRC_BITS; k++)
		word[c->payload_bits + k] = parity >> (CRC_BITS - 1 - k) & 1;
	code_block_encode(&c->block, word, 0, n_coded);
	for (unsigned k = 0; k < 2; k++)
		code_block_take(&c->block, word, k * n_symbols, k, c->plane, n_symbols);
	for (size_t j = 0; j < n_symbols; j++) {
		bits[2 * j] = c->plane[j] & 1;
		bits[2 * j + 1] = c->plane[j] >> 1;
	}
	return 0;
}

int cw_decode(struct cw_coder *c, const float *llr, size_t n_coded, unsigned max_iterations, uint8_t *payload,
              uint32_t *address)
{
	const uint8_t *word = c->word;
	int8_t *plane = (int8_t *)c->plane;
	size_t n_symbols = n_coded / 2;
	uint32_t parity = 0;

	if (n_coded < 2 || n_coded % 2 || n_coded > c->max_coded)
		return -EINVAL;
	code_block_clear(&c->block, c->soft);
	for (size_t k = 0; k < 2; k++) {
		code_block_quantise(llr + k, 2, plane, n_symbols);
		code_block_add(&c->block, c->soft, k * n_symbols, plane, n_symbols);
	}
	int rc = code_block_decode(&c->block, c->decoder, c->soft, c->word, max_iterations);
	for (unsigned k = 0; k < CRC_BITS; k++)
		parity = parity << 1 | word[c->payload_bits + k];
	code_block_pack(word, payload, c->payload_bits);
	*address = parity ^ parity_of(c, word);
	return rc < 0 ? rc : 0;
}
