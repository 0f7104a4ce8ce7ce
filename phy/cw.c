#include "phy/cw.h"

#include "phy/code_block.h"
#include "phy/crc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CODED_LIMIT = 1 << 16, CRC_BITS = 24 };

struct cw_coder {
	size_t payload_bits;
	struct crc crc;
	struct code_block block;
	struct code_block_work work;
	int8_t soft[CODE_BLOCK_BUFFER_MAX];
};

struct cw_coder *cw_create(size_t payload_bits, size_t max_coded_bits)
{
	if (payload_bits < 1 || payload_bits > CW_PAYLOAD_MAX_BITS || max_coded_bits < 1 ||
	    max_coded_bits > CODED_LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	struct cw_coder *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	if (code_block_work_init(&c->work, max_coded_bits)) {
		free(c);
		errno = ENOMEM;
		return NULL;
	}
	c->payload_bits = payload_bits;
	crc_init(&c->crc, &crc24a);
	code_block_init(&c->block, payload_bits + CRC_BITS, payload_bits + CRC_BITS);
	return c;
}

void cw_destroy(struct cw_coder *c)
{
	if (!c)
		return;
	code_block_work_free(&c->work);
	free(c);
}

static uint32_t parity_of(const struct cw_coder *c, const uint8_t *bits)
{
	return crc_bits(&c->crc, (1u << CRC_BITS) - 1, bits, c->payload_bits);
}

int cw_encode(struct cw_coder *c, const uint8_t *payload, uint32_t address, uint8_t *bits, size_t n_coded)
{
	uint8_t *word = c->work.word;

	if (n_coded < 2 || n_coded % 2 || n_coded > c->work.max_coded || address >> CRC_BITS)
		return -EINVAL;
	code_block_unpack(payload, word, c->payload_bits);
	uint32_t parity = parity_of(c, word) ^ address;
	for (unsigned k = 0; k < CRC_BITS; k++)
		word[c->payload_bits + k] = parity >> (CRC_BITS - 1 - k) & 1;
	code_block_encode(&c->work, &c->block, 0, 2, bits, n_coded);
	return 0;
}

int cw_decode(struct cw_coder *c, const float *llr, size_t n_coded, unsigned max_iterations, uint8_t *payload,
              uint32_t *address)
{
	const uint8_t *word = c->work.word;
	uint32_t parity = 0;

	if (n_coded < 2 || n_coded % 2 || n_coded > c->work.max_coded)
		return -EINVAL;
	memset(c->soft, 0, c->block.n_buffer);
	code_block_collect(&c->work, &c->block, llr, 0, 2, c->soft, n_coded);
	int rc = code_block_decode(&c->work, &c->block, c->soft, max_iterations);
	for (unsigned k = 0; k < CRC_BITS; k++)
		parity = parity << 1 | word[c->payload_bits + k];
	code_block_pack(word, payload, c->payload_bits);
	*address = parity ^ parity_of(c, word);
	return rc < 0 ? rc : 0;
}
