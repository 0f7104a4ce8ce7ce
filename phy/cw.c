#include "phy/cw.h"

#include "phy/code_block.h"
#include "phy/crc.h"
#include "phy/generator.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CODED_LIMIT = 1 << 16, CRC_BITS = 24, WORD_MAX = 52 * 72 /* Z of the longest: Kb = 8 */ };

struct cw_coder {
	size_t payload_bits;
	struct crc crc;
	size_t max_coded;
	struct code_block block;
	struct generator *generator;
	struct ldpc_decoder *decoder;
	uint8_t word[WORD_MAX]; /* one bit a byte */
	int8_t soft[WORD_MAX];
	uint8_t coded[]; /* max_coded: a byte a bit, in the order of the buffer; LLRs of some of them */
};

struct cw_coder *cw_create(size_t payload_bits, size_t max_coded_bits)
{
	if (payload_bits < 1 || payload_bits > CW_PAYLOAD_MAX_BITS || max_coded_bits < 1 ||
	    max_coded_bits > CODED_LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	struct cw_coder *c = calloc(1, sizeof *c + max_coded_bits);
	if (!c)
		return NULL;
	c->max_coded = max_coded_bits;
	c->payload_bits = payload_bits;
	crc_init(&c->crc, &crc24a);
	code_block_init(&c->block, &ldpc_bg2, payload_bits + CRC_BITS, payload_bits + CRC_BITS);
	c->generator = generator_create(&c->block, max_coded_bits);
	c->decoder = ldpc_decoder_create();
	if (c->generator && c->decoder)
		return c;
	cw_destroy(c);
	errno = ENOMEM;
	return NULL;
}

void cw_destroy(struct cw_coder *c)
{
	if (!c)
		return;
	ldpc_decoder_destroy(c->decoder);
	generator_destroy(c->generator);
	free(c);
}

static uint32_t parity_of(const struct cw_coder *c, const uint8_t *payload)
{
	uint8_t rest[8];
	size_t whole = c->payload_bits / 8;

	code_block_unpack(payload + whole, rest, c->payload_bits % 8);
	return crc_bits(&c->crc, crc_bytes(&c->crc, (1u << CRC_BITS) - 1, payload, whole), rest, c->payload_bits % 8);
}

int cw_encode(struct cw_coder *c, const uint8_t *payload, uint32_t address, uint8_t *bits, size_t n_coded)
{
	uint8_t *word = c->word;
	size_t n_symbols = n_coded / 2, known = generator_n_coded(c->generator);

	if (n_coded < 2 || n_coded % 2 || n_coded > c->max_coded || address >> CRC_BITS)
		return -EINVAL;
	code_block_unpack(payload, word, c->payload_bits);
	uint32_t parity = parity_of(c, payload) ^ address;
	for (unsigned k = 0; k < CRC_BITS; k++)
		word[c->payload_bits + k] = parity >> (CRC_BITS - 1 - k) & 1;
	generator_encode(c->generator, word, c->coded, n_coded < known ? n_coded : known);
	for (size_t i = known; i < n_coded; i++) /* the buffer from its start again */
		c->coded[i] = c->coded[i - known];
	for (size_t j = 0; j < n_symbols; j++) {
		bits[2 * j] = c->coded[j];
		bits[2 * j + 1] = c->coded[n_symbols + j];
	}
	return 0;
}

/* Hard decisions in the order of the buffer. False when there is a bit that says nothing, or where the buffer comes round
 * one that says another thing than before. */
static bool decide(struct cw_coder *c, const float *llr, size_t n_coded)
{
	size_t n_symbols = n_coded / 2;
	size_t known = generator_n_coded(c->generator);
	int weak = 0;

	for (size_t k = 0; k < 2; k++) {
		uint8_t *restrict plane = c->coded + k * n_symbols;
		for (size_t j = 0; j < n_symbols; j++) {
			float x = llr[2 * j + k];
			plane[j] = x < 0;
			weak |= !(fabsf(x) * LDPC_LLR_STEPS >= 0.5f);
		}
	}
	return !weak && (n_coded <= known || !memcmp(c->coded + known, c->coded, n_coded - known));
}

/* Is what was decided a codeword? Then that is it. */
static bool matches(struct cw_coder *c, size_t n_coded)
{
	size_t known = generator_n_coded(c->generator);
	return generator_match(c->generator, c->coded, n_coded < known ? n_coded : known, c->word);
}

static int decode(struct cw_coder *c, const float *llr, size_t n_coded, unsigned max_iterations)
{
	int8_t *plane = (int8_t *)c->coded;
	size_t n_symbols = n_coded / 2;

	code_block_clear(&c->block, c->soft);
	for (size_t k = 0; k < 2; k++) {
		code_block_quantise(llr + k, 2, plane, n_symbols);
		code_block_add(&c->block, c->soft, k * n_symbols, plane, n_symbols);
	}
	return code_block_decode(&c->block, c->decoder, c->soft, c->word, max_iterations);
}

int cw_decode(struct cw_coder *c, const float *llr, size_t n_coded, unsigned max_iterations, uint8_t *payload,
              uint32_t *address)
{
	const uint8_t *word = c->word;
	uint32_t parity = 0;
	int rc = 0;

	if (n_coded < 2 || n_coded % 2 || n_coded > c->max_coded)
		return -EINVAL;
	if (!decide(c, llr, n_coded) || !matches(c, n_coded))
		rc = decode(c, llr, n_coded, max_iterations);
	for (unsigned k = 0; k < CRC_BITS; k++)
		parity = parity << 1 | word[c->payload_bits + k];
	code_block_pack(word, payload, c->payload_bits);
	*address = parity ^ parity_of(c, payload);
	return rc < 0 ? rc : 0;
}
