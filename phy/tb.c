#include "phy/tb.h"

#include "phy/code_block.h"
#include "phy/crc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_MAX_BYTES = CODE_BLOCK_MAX_BITS / 8, QM_MAX = 8 };

static const struct graph {
	const struct ldpc_graph *ldpc;
	size_t max_bytes; /* Kcb: of a code block with its CRC */
	size_t word;      /* room for a codeword */
} graphs[] = {
	{ &ldpc_bg1, 8448 / 8, 68 * LDPC_Z_MAX },
	{ &ldpc_bg2, 3840 / 8, 52 * LDPC_Z_MAX },
};

struct plan { /* segmentation of a transport block (section 5.2.2) */
	size_t n_blocks;
	size_t block_bytes; /* share of transport block and CRC24A of each code block */
	size_t word;        /* room for a codeword */
	struct code_block block;
};

struct tb_soft {
	size_t max_bytes, room;
	size_t n_bytes; /* of the block it holds; 0 when empty */
	unsigned graph;
	uint8_t *right; /* a flag a code block */
	uint8_t *bytes; /* decoded: transport block and CRC24A */
	int8_t *words;  /* channel values, a code block after the other; `room` in all */
};

struct tb_coder {
	size_t max_bytes;
	struct crc crc_a, crc_b;
	struct plan plan; /* of the latest block: kept for its lifted graph */
	struct ldpc_decoder *decoder;
	struct tb_soft *own;               /* for single transmissions */
	uint8_t *bytes;                    /* transport block with CRC24A */
	uint8_t word[CODE_BLOCK_WORD_MAX]; /* one bit a byte */
	struct {                           /* the reception that is open */
		struct tb_format format;
		struct tb_soft *soft;
		struct tb_stats stats;
		size_t block, symbol; /* the next symbol: which of which code block */
	} rx;
};

static const struct graph *graph_of(unsigned graph)
{
	return &graphs[graph - 1];
}

unsigned tb_graph(size_t n_bytes, float rate)
{
	size_t a = 8 * n_bytes;

	return a <= 292 || (a <= 3824 && rate <= 0.67f) || rate <= 0.25f ? 2 : 1;
}

static size_t count_blocks(size_t n_bytes, unsigned graph)
{
	size_t n = n_bytes + TB_CRC_BYTES, max = graph_of(graph)->max_bytes, share = max - TB_CRC_BYTES;

	return n <= max ? 1 : (n + share - 1) / share;
}

static bool splits(size_t n_bytes, unsigned graph)
{
	return (n_bytes + TB_CRC_BYTES) % count_blocks(n_bytes, graph) == 0;
}

size_t tb_size_fit(size_t n_bytes, float rate)
{
	while (n_bytes && !splits(n_bytes, tb_graph(n_bytes, rate)))
		n_bytes--;
	return n_bytes;
}

static int plan_init(struct plan *p, const struct tb_format *f, size_t max_bytes)
{
	if (f->graph < 1 || f->graph > 2 || f->n_bytes < 1 || f->n_bytes > max_bytes || !splits(f->n_bytes, f->graph))
		return -EINVAL;
	if (f->qm < 2 || f->qm > QM_MAX || f->qm % 2 || f->rv > 3 || f->n_symbols > TB_SYMBOLS_LIMIT)
		return -EINVAL;
	p->n_blocks = count_blocks(f->n_bytes, f->graph);
	if (f->n_symbols < p->n_blocks)
		return -EINVAL;
	p->block_bytes = (f->n_bytes + TB_CRC_BYTES) / p->n_blocks;
	p->word = graph_of(f->graph)->word;
	size_t with_crc = p->block_bytes + (p->n_blocks > 1 ? TB_CRC_BYTES : 0);
	code_block_init(&p->block, graph_of(f->graph)->ldpc, 8 * with_crc, 8 * (f->n_bytes + TB_CRC_BYTES));
	return 0;
}

/* E / qm of block r (section 5.4.2.1): symbols shared out evenly, the last blocks take the odd ones. */
static size_t share_of(const struct plan *p, const struct tb_format *f, size_t r)
{
	size_t odd = f->n_symbols % p->n_blocks;

	return f->n_symbols / p->n_blocks + (r >= p->n_blocks - odd);
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Graph 2 serves large blocks at low rates alone, so that they are far from the largest. */
static size_t room_for(size_t max_bytes)
{
	size_t small = smaller(max_bytes, 3824 / 8);

	return larger(count_blocks(max_bytes, 1) * graph_of(1)->word, count_blocks(small, 2) * graph_of(2)->word);
}

struct tb_soft *tb_soft_create(size_t max_bytes)
{
	if (max_bytes < 1 || max_bytes > TB_BYTES_LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	size_t room = room_for(max_bytes), n_blocks = room / graph_of(2)->word, n_bytes = max_bytes + TB_CRC_BYTES;
	struct tb_soft *s = calloc(1, sizeof *s + n_blocks + n_bytes + room);
	if (!s)
		return NULL;
	s->max_bytes = max_bytes;
	s->room = room;
	s->right = (uint8_t *)(s + 1);
	s->bytes = s->right + n_blocks;
	s->words = (int8_t *)(s->bytes + n_bytes);
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

struct tb_coder *tb_coder_create(size_t max_bytes)
{
	if (max_bytes < 1 || max_bytes > TB_BYTES_LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	struct tb_coder *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->max_bytes = max_bytes;
	t->decoder = ldpc_decoder_create();
	t->own = tb_soft_create(max_bytes);
	t->bytes = malloc(max_bytes + TB_CRC_BYTES);
	if (!t->decoder || !t->own || !t->bytes) {
		tb_coder_destroy(t);
		errno = ENOMEM;
		return NULL;
	}
	crc_init(&t->crc_a, &crc24a);
	crc_init(&t->crc_b, &crc24b);
	return t;
}

void tb_coder_destroy(struct tb_coder *t)
{
	if (!t)
		return;
	free(t->bytes);
	tb_soft_destroy(t->own);
	ldpc_decoder_destroy(t->decoder);
	free(t);
}

static void append_crc(const struct crc *c, uint8_t *bytes, size_t n_bytes)
{
	uint32_t parity = crc_bytes(c, 0, bytes, n_bytes);

	bytes[n_bytes] = (uint8_t)(parity >> 16);
	bytes[n_bytes + 1] = (uint8_t)(parity >> 8);
	bytes[n_bytes + 2] = (uint8_t)parity;
}

/* Code block r of t->bytes to t->word, one bit a byte. */
static void unpack_block(struct tb_coder *t, size_t r)
{
	const struct plan *p = &t->plan;
	const uint8_t *bytes = t->bytes + r * p->block_bytes;
	uint8_t with_crc[BLOCK_MAX_BYTES];

	if (p->n_blocks > 1) {
		memcpy(with_crc, bytes, p->block_bytes);
		append_crc(&t->crc_b, with_crc, p->block_bytes);
		bytes = with_crc;
	}
	code_block_unpack(bytes, t->word, p->block.n_bits);
}

int tb_encode(struct tb_coder *t, const struct tb_format *f, const uint8_t *bytes, uint8_t *symbols)
{
	struct plan *p = &t->plan;
	int rc = plan_init(p, f, t->max_bytes);

	if (rc)
		return rc;
	size_t start = code_block_start(&p->block, f->rv);
	memcpy(t->bytes, bytes, f->n_bytes);
	append_crc(&t->crc_a, t->bytes, f->n_bytes);
	for (size_t r = 0; r < p->n_blocks; r++) {
		size_t n = share_of(p, f, r);
		unpack_block(t, r);
		code_block_encode(&p->block, t->word, start, n * f->qm);
		for (unsigned k = 0; k < f->qm; k++)
			code_block_take(&p->block, t->word, start + k * n, k, symbols, n);
		symbols += n;
	}
	return 0;
}

/* Makes an empty s ready for the block of format f; -EINVAL when it can't hold it or holds another. */
static int open_soft(struct tb_soft *s, const struct plan *p, const struct tb_format *f)
{
	if (f->n_bytes > s->max_bytes || p->n_blocks * p->word > s->room)
		return -EINVAL;
	if (s->n_bytes)
		return s->n_bytes == f->n_bytes && s->graph == f->graph ? 0 : -EINVAL;
	memset(s->right, 0, p->n_blocks);
	for (size_t r = 0; r < p->n_blocks; r++)
		code_block_clear(&p->block, s->words + r * p->word);
	s->n_bytes = f->n_bytes;
	s->graph = f->graph;
	return 0;
}

int tb_decode_begin(struct tb_coder *t, const struct tb_format *f, struct tb_soft *soft)
{
	struct tb_soft *s = soft ? soft : t->own;
	int rc = plan_init(&t->plan, f, t->max_bytes);

	if (!soft)
		tb_soft_reset(s);
	if (!rc)
		rc = open_soft(s, &t->plan, f);
	t->rx.format = *f;
	t->rx.soft = s;
	t->rx.stats = (struct tb_stats){ .n_blocks = (unsigned)t->plan.n_blocks };
	t->rx.block = rc ? t->plan.n_blocks : 0;
	t->rx.symbol = 0;
	return rc;
}

/* Decodes block r from its soft bits. True when it is right. */
static bool try_block(struct tb_coder *t, size_t r)
{
	const struct plan *p = &t->plan;
	struct tb_soft *s = t->rx.soft;
	uint8_t bytes[BLOCK_MAX_BYTES];
	unsigned limit = t->rx.format.iterations ? t->rx.format.iterations : TB_ITERATIONS;
	int rc = code_block_decode(&p->block, t->decoder, s->words + r * p->word, t->word, limit);

	t->rx.stats.n_decoded++;
	t->rx.stats.iterations += rc < 0 ? limit : (unsigned)rc;
	if (rc < 0)
		return false;
	code_block_pack(t->word, bytes, p->block.n_bits);
	memcpy(s->bytes + r * p->block_bytes, bytes, p->block_bytes);
	return p->n_blocks == 1 || crc_bytes(&t->crc_b, 0, bytes, p->block.n_bits / 8) == 0;
}

/* The block being fed is complete. */
static void close_block(struct tb_coder *t)
{
	uint8_t *right = &t->rx.soft->right[t->rx.block];

	if (!*right) {
		*right = try_block(t, t->rx.block);
		t->rx.stats.n_failed += !*right;
	}
	t->rx.block++;
	t->rx.symbol = 0;
}

void tb_decode_feed(struct tb_coder *t, const int8_t *llr, size_t stride, size_t n)
{
	const struct plan *p = &t->plan;
	const struct tb_format *f = &t->rx.format;

	while (n && t->rx.block < p->n_blocks) {
		size_t share = share_of(p, f, t->rx.block), now = smaller(n, share - t->rx.symbol);
		size_t place = code_block_start(&p->block, f->rv) + t->rx.symbol;
		int8_t *word = t->rx.soft->words + t->rx.block * p->word;
		for (unsigned k = 0; k < f->qm && !t->rx.soft->right[t->rx.block]; k++)
			code_block_add(&p->block, word, place + k * share, llr + k * stride, now);
		llr += now;
		n -= now;
		t->rx.symbol += now;
		if (t->rx.symbol == share)
			close_block(t);
	}
}

int tb_decode_end(struct tb_coder *t, uint8_t *bytes, struct tb_stats *st)
{
	struct tb_soft *s = t->rx.soft;
	size_t n_bytes = t->rx.format.n_bytes;

	while (t->rx.block < t->plan.n_blocks)
		close_block(t);
	if (st)
		*st = t->rx.stats;
	if (t->rx.stats.n_failed)
		return -EBADMSG;
	if (crc_bytes(&t->crc_a, 0, s->bytes, n_bytes + TB_CRC_BYTES)) {
		/* Some block is wrong in spite of its checks: all must be tried again. */
		memset(s->right, 0, t->plan.n_blocks);
		return -EBADMSG;
	}
	memcpy(bytes, s->bytes, n_bytes);
	return 0;
}
