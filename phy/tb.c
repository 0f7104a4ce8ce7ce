#include "phy/tb.h"

#include "phy/code_block.h"
#include "phy/crc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1 << 20, BLOCK_MAX_BYTES = CODE_BLOCK_MAX_BITS / 8 };

struct plan { /* segmentation of a transport block (section 5.2.2) */
	size_t n_blocks;
	size_t block_bytes; /* share of transport block and CRC24A of each code block */
	struct code_block block;
};

struct tb_soft {
	size_t max_bytes;
	size_t n_bytes;  /* of the block it holds; 0 when empty */
	uint8_t *right;  /* a flag a code block */
	uint8_t *bytes;  /* decoded: transport block and CRC24A */
	int8_t *buffers; /* CODE_BLOCK_BUFFER_MAX a code block */
};

struct tb_coder {
	size_t max_bytes;
	struct crc crc_a, crc_b;
	struct plan plan; /* of the latest block: kept for its lifted graph */
	struct code_block_work work;
	struct tb_soft *own; /* for single transmissions */
	uint8_t *bytes;      /* transport block with CRC24A */
};

static size_t count_blocks(size_t n_bytes)
{
	size_t n = n_bytes + TB_CRC_BYTES, share = BLOCK_MAX_BYTES - TB_CRC_BYTES;

	return n <= BLOCK_MAX_BYTES ? 1 : (n + share - 1) / share;
}

size_t tb_size_fit(size_t n_bytes)
{
	while (n_bytes && (n_bytes + TB_CRC_BYTES) % count_blocks(n_bytes))
		n_bytes--;
	return n_bytes;
}

static int plan_init(struct plan *p, const struct tb_format *f, size_t max_bytes, size_t max_coded)
{
	if (f->n_bytes < 1 || f->n_bytes > max_bytes || tb_size_fit(f->n_bytes) != f->n_bytes)
		return -EINVAL;
	if (f->qm < 2 || f->qm > 8 || f->qm % 2 || f->rv > 3 || f->n_coded > max_coded || f->n_coded % f->qm)
		return -EINVAL;
	p->n_blocks = count_blocks(f->n_bytes);
	if (f->n_coded / f->qm < p->n_blocks)
		return -EINVAL;
	p->block_bytes = (f->n_bytes + TB_CRC_BYTES) / p->n_blocks;
	size_t with_crc = p->block_bytes + (p->n_blocks > 1 ? TB_CRC_BYTES : 0);
	code_block_init(&p->block, 8 * with_crc, 8 * (f->n_bytes + TB_CRC_BYTES));
	return 0;
}

/* E of block r (section 5.4.2.1): symbols shared out evenly, the last blocks take the odd ones. */
static size_t share_of(const struct plan *p, const struct tb_format *f, size_t r)
{
	size_t n_symbols = f->n_coded / f->qm, odd = n_symbols % p->n_blocks;

	return f->qm * (n_symbols / p->n_blocks + (r >= p->n_blocks - odd));
}

struct tb_soft *tb_soft_create(size_t max_bytes)
{
	if (max_bytes < 1 || max_bytes > LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	size_t n_blocks = count_blocks(max_bytes), n_bytes = max_bytes + TB_CRC_BYTES;
	struct tb_soft *s = calloc(1, sizeof *s + n_blocks + n_bytes + n_blocks * CODE_BLOCK_BUFFER_MAX);
	if (!s)
		return NULL;
	s->max_bytes = max_bytes;
	s->right = (uint8_t *)(s + 1);
	s->bytes = s->right + n_blocks;
	s->buffers = (int8_t *)(s->bytes + n_bytes);
	return s;
}

void tb_soft_destroy(struct tb_soft *s)
{
	free(s);
}

void tb_soft_reset(struct tb_soft *s)
{
	s->n_bytes = 0;
}

struct tb_coder *tb_coder_create(size_t max_bytes, size_t max_coded_bits)
{
	if (max_bytes < 1 || max_bytes > LIMIT || max_coded_bits < 1 || max_coded_bits > LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	struct tb_coder *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	if (code_block_work_init(&t->work, max_coded_bits))
		goto no_work;
	t->own = tb_soft_create(max_bytes);
	if (!t->own)
		goto no_soft;
	t->bytes = malloc(max_bytes + TB_CRC_BYTES);
	if (!t->bytes)
		goto no_bytes;
	t->max_bytes = max_bytes;
	crc_init(&t->crc_a, &crc24a);
	crc_init(&t->crc_b, &crc24b);
	return t;

no_bytes:
	tb_soft_destroy(t->own);
no_soft:
	code_block_work_free(&t->work);
no_work:
	free(t);
	errno = ENOMEM;
	return NULL;
}

void tb_coder_destroy(struct tb_coder *t)
{
	if (!t)
		return;
	free(t->bytes);
	tb_soft_destroy(t->own);
	code_block_work_free(&t->work);
	free(t);
}

static void append_crc(const struct crc *c, uint8_t *bytes, size_t n_bytes)
{
	uint32_t parity = crc_bytes(c, 0, bytes, n_bytes);

	bytes[n_bytes] = (uint8_t)(parity >> 16);
	bytes[n_bytes + 1] = (uint8_t)(parity >> 8);
	bytes[n_bytes + 2] = (uint8_t)parity;
}

int tb_encode(struct tb_coder *t, const struct tb_format *f, const uint8_t *bytes, uint8_t *bits)
{
	struct plan *p = &t->plan;
	int rc = plan_init(p, f, t->max_bytes, t->work.max_coded);

	if (rc)
		return rc;
	size_t start = code_block_start(&p->block, f->rv);
	memcpy(t->bytes, bytes, f->n_bytes);
	append_crc(&t->crc_a, t->bytes, f->n_bytes);
	for (size_t r = 0; r < p->n_blocks; r++) {
		uint8_t block[BLOCK_MAX_BYTES];
		size_t n = share_of(p, f, r);
		memcpy(block, t->bytes + r * p->block_bytes, p->block_bytes);
		if (p->n_blocks > 1)
			append_crc(&t->crc_b, block, p->block_bytes);
		code_block_unpack(block, t->work.word, p->block.n_bits);
		code_block_encode(&t->work, &p->block, start, f->qm, bits, n);
		bits += n;
	}
	return 0;
}

/* Decodes block r from its soft bits. True when it is right. */
static bool try_block(struct tb_coder *t, struct tb_soft *s, size_t r, struct tb_stats *st)
{
	const struct plan *p = &t->plan;
	uint8_t block[BLOCK_MAX_BYTES];
	int rc = code_block_decode(&t->work, &p->block, s->buffers + r * CODE_BLOCK_BUFFER_MAX, TB_ITERATIONS);

	st->n_decoded++;
	st->iterations += rc < 0 ? TB_ITERATIONS : (unsigned)rc;
	if (rc < 0)
		return false;
	code_block_pack(t->work.word, block, p->block.n_bits);
	memcpy(s->bytes + r * p->block_bytes, block, p->block_bytes);
	return p->n_blocks == 1 || crc_bytes(&t->crc_b, 0, block, p->block.n_bits / 8) == 0;
}

/* Makes an empty s ready for the block of format f; -EINVAL when it can't hold it or holds another. */
static int open_soft(struct tb_soft *s, const struct plan *p, size_t n_bytes)
{
	if (n_bytes > s->max_bytes || (s->n_bytes && s->n_bytes != n_bytes))
		return -EINVAL;
	if (!s->n_bytes) {
		memset(s->right, 0, p->n_blocks);
		memset(s->buffers, 0, p->n_blocks * CODE_BLOCK_BUFFER_MAX);
		s->n_bytes = n_bytes;
	}
	return 0;
}

int tb_decode(struct tb_coder *t, const struct tb_format *f, const float *llr, struct tb_soft *soft, uint8_t *bytes,
              struct tb_stats *st)
{
	struct plan *p = &t->plan;
	struct tb_stats stats = { 0 };
	struct tb_soft *s = soft ? soft : t->own;
	int rc = plan_init(p, f, t->max_bytes, t->work.max_coded);

	if (!soft)
		tb_soft_reset(s);
	if (!rc)
		rc = open_soft(s, p, f->n_bytes);
	if (rc)
		return rc;
	stats.n_blocks = (unsigned)p->n_blocks;
	size_t start = code_block_start(&p->block, f->rv);
	for (size_t r = 0; r < p->n_blocks; r++) {
		size_t n = share_of(p, f, r);
		if (!s->right[r]) {
			int8_t *buffer = s->buffers + r * CODE_BLOCK_BUFFER_MAX;
			code_block_collect(&t->work, &p->block, llr, start, f->qm, buffer, n);
			s->right[r] = try_block(t, s, r, &stats);
			stats.n_failed += !s->right[r];
		}
		llr += n;
	}
	if (st)
		*st = stats;
	if (stats.n_failed)
		return -EBADMSG;
	if (crc_bytes(&t->crc_a, 0, s->bytes, f->n_bytes + TB_CRC_BYTES)) {
		memset(s->right, 0,
		       p->n_blocks); /* some block is wrong in spite of its checks: all must be tried again */
		return -EBADMSG;
	}
	memcpy(bytes, s->bytes, f->n_bytes);
	return 0;
}
