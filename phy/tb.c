#include "phy/tb.h"

#include "phy/crc.h"
#include "phy/ldpc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK_MAX_BITS = 3840, /* Kcb of base graph 2 */
	BLOCK_CRC_BITS = 24,
	PUNCTURED = 2, /* first columns of the codeword, never sent */
	BUFFER_COLS = 50,
	BUFFER_MAX = BUFFER_COLS * LDPC_Z_MAX,
	TB_LIMIT = 1 << 20,
	CW_LIMIT = 1 << 16,
	CW_ITERATIONS = 20,
	KNOWN = 127, /* LLR of a filler bit */
};

static const float llr_steps = 8; /* a unit of log likelihood ratio, in the decoder's integers */

/* How one code block stands in its mother code. The circular buffer here leaves the filler bits out: `head` systematic bits, then
 * all parity. */
struct block {
	struct ldpc_code code;
	size_t n_bits;   /* K': information with CRC */
	size_t n_filler; /* K - K' */
	size_t head;     /* K' - 2 Z: systematic bits in the buffer */
	size_t n_buffer; /* N - fillers */
};

struct plan { /* segmentation of a transport block */
	size_t n_blocks;
	size_t block_bytes; /* share of transport block and CRC24A of each code block */
	struct block block;
};

/* n_bits: K'; n_total: B, bits of the transport block with CRC, which chooses the lifting size (section 5.2.2). */
static void block_init(struct block *b, size_t n_bits, size_t n_total)
{
	size_t kb = n_total > 640 ? 10 : n_total > 560 ? 9 : n_total > 192 ? 8 : 6;
	size_t z = ldpc_lifting_size((n_bits + kb - 1) / kb);

	if (b->code.z != z)
		ldpc_code_init(&b->code, &ldpc_bg2, z);
	b->n_bits = n_bits;
	b->n_filler = ldpc_bg2.n_info * z - n_bits;
	b->head = n_bits - PUNCTURED * z;
	b->n_buffer = BUFFER_COLS * z - b->n_filler;
}

static size_t count_blocks(size_t n_bytes)
{
	size_t b = 8 * (n_bytes + TB_CRC_BYTES);

	return b <= BLOCK_MAX_BITS ? 1 : (b + BLOCK_MAX_BITS - BLOCK_CRC_BITS - 1) / (BLOCK_MAX_BITS - BLOCK_CRC_BITS);
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
	block_init(&p->block, 8 * p->block_bytes + (p->n_blocks > 1 ? BLOCK_CRC_BITS : 0), 8 * (f->n_bytes + TB_CRC_BYTES));
	return 0;
}

/* E of block r (section 5.4.2.1): symbols shared out evenly, the last blocks take the odd ones. */
static size_t share(const struct plan *p, const struct tb_format *f, size_t r)
{
	size_t n_symbols = f->n_coded / f->qm, odd = n_symbols % p->n_blocks;

	return f->qm * (n_symbols / p->n_blocks + (r >= p->n_blocks - odd));
}

/* Where transmission rv starts in the buffer without fillers (table 5.4.2.1-2). */
static size_t buffer_start(const struct block *b, unsigned rv)
{
	static const uint8_t k0_cols[] = { 0, 13, 25, 43 };
	size_t k0 = k0_cols[rv] * b->code.z;

	if (k0 <= b->head)
		return k0;
	return k0 <= b->head + b->n_filler ? b->head : k0 - b->n_filler;
}

static void unpack(const uint8_t *bytes, uint8_t *bits, size_t n_bits)
{
	for (size_t i = 0; i < n_bits; i++)
		bits[i] = bytes[i / 8] >> (7 - i % 8) & 1;
}

static void pack(const uint8_t *bits, uint8_t *bytes, size_t n_bits)
{
	memset(bytes, 0, (n_bits + 7) / 8);
	for (size_t i = 0; i < n_bits; i++)
		bytes[i / 8] = (uint8_t)(bytes[i / 8] | bits[i] << (7 - i % 8));
}

/* codeword: information bits at its start. Encodes, selects n bits from `start` on, interleaves. buffer: BUFFER_MAX, selected: n. */
static void encode_block(const struct block *b, uint8_t *codeword, uint8_t *buffer, size_t start, unsigned qm, uint8_t *selected,
                         uint8_t *out, size_t n)
{
	size_t z = b->code.z, n_info = ldpc_bg2.n_info;
	size_t end = start + n; /* in the buffer */
	size_t n_rows = ldpc_bg2.n_rows;

	if (end <= b->n_buffer) {
		size_t cols = PUNCTURED + (end + b->n_filler + z - 1) / z;
		n_rows = cols < n_info + 4 ? 4 : cols - n_info;
	}
	memset(codeword + b->n_bits, 0, b->n_filler);
	ldpc_encode(&b->code, codeword, n_rows);
	memcpy(buffer, codeword + PUNCTURED * z, b->head);
	memcpy(buffer + b->head, codeword + n_info * z, b->n_buffer - b->head);
	for (size_t i = 0, at = start; i < n; at = 0) {
		size_t run = b->n_buffer - at < n - i ? b->n_buffer - at : n - i;
		memcpy(selected + i, buffer + at, run);
		i += run;
	}
	for (unsigned k = 0; k < qm; k++)
		for (size_t j = 0; j < n / qm; j++)
			out[j * qm + k] = selected[k * (n / qm) + j];
}

/* NaN and infinity become the largest value. */
static void quantise(const float *llr, int8_t *q, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float x = llr[i] * llr_steps;
		x = x < 127.0f ? x : 127.0f;
		x = x > -127.0f ? x : -127.0f;
		q[i] = (int8_t)(int)(x + (x < 0 ? -0.5f : 0.5f));
	}
}

static void add_saturating(int8_t *restrict sum, const int8_t *restrict x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int16_t s = (int16_t)(sum[i] + x[i]);
		sum[i] = (int8_t)(s > 127 ? 127 : s < -127 ? -127 : s);
	}
}

/* The reverse of encode_block's second half: adds n values to the buffer. selected: n. */
static void collect_block(const struct block *b, const int8_t *q, size_t start, unsigned qm, int8_t *selected, int8_t *buffer,
                          size_t n)
{
	for (unsigned k = 0; k < qm; k++)
		for (size_t j = 0; j < n / qm; j++)
			selected[k * (n / qm) + j] = q[j * qm + k];
	for (size_t i = 0, at = start; i < n; at = 0) {
		size_t run = b->n_buffer - at < n - i ? b->n_buffer - at : n - i;
		add_saturating(buffer + at, selected + i, run);
		i += run;
	}
}

/* buffer: n_buffer values. llr: n_cols * z. bits: n_info * z. Iterations or -EBADMSG. An empty buffer is not a codeword. */
static int decode_block(struct ldpc_decoder *d, const struct block *b, const int8_t *buffer, int8_t *llr, uint8_t *bits,
                        unsigned iterations)
{
	size_t z = b->code.z, info = ldpc_bg2.n_info * z;
	int any = 0;

	for (size_t i = 0; i < b->n_buffer; i++)
		any |= buffer[i];
	if (!any)
		return -EBADMSG;
	memset(llr, 0, PUNCTURED * z);
	memcpy(llr + PUNCTURED * z, buffer, b->head);
	memset(llr + b->n_bits, KNOWN, b->n_filler);
	memcpy(llr + info, buffer + b->head, b->n_buffer - b->head);
	return ldpc_decode(d, &b->code, llr, bits, iterations);
}

struct tb_soft {
	size_t max_bytes;
	size_t n_bytes;  /* of the block it holds; 0 when empty */
	uint8_t *right;  /* a flag a code block */
	uint8_t *bytes;  /* decoded: transport block and CRC24A */
	int8_t *buffers; /* BUFFER_MAX a code block */
};

struct tb_coder {
	size_t max_bytes, max_coded;
	struct crc crc_a, crc_b;
	struct plan plan; /* of the latest block: kept for its lifted graph */
	struct ldpc_decoder *decoder;
	struct tb_soft *own;                             /* for single transmissions */
	uint8_t *bytes;                                  /* transport block with CRC24A */
	int8_t *quantised, *selected;                    /* max_coded each */
	uint8_t codeword[LDPC_COLS_MAX * LDPC_Z_MAX];
	uint8_t buffer[BUFFER_MAX];
	int8_t llr[LDPC_COLS_MAX * LDPC_Z_MAX];
};

struct tb_soft *tb_soft_create(size_t max_bytes)
{
	if (max_bytes < 1 || max_bytes > TB_LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	size_t n_blocks = count_blocks(max_bytes), n_bytes = max_bytes + TB_CRC_BYTES;
	struct tb_soft *s = calloc(1, sizeof *s + n_blocks + n_bytes + n_blocks * BUFFER_MAX);
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
	if (max_bytes < 1 || max_bytes > TB_LIMIT || max_coded_bits < 1 || max_coded_bits > TB_LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	struct tb_coder *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->max_bytes = max_bytes;
	t->max_coded = max_coded_bits;
	crc_init(&t->crc_a, &crc24a);
	crc_init(&t->crc_b, &crc24b);
	t->decoder = ldpc_decoder_create();
	t->own = tb_soft_create(max_bytes);
	t->bytes = malloc(max_bytes + TB_CRC_BYTES);
	t->quantised = malloc(max_coded_bits);
	t->selected = malloc(max_coded_bits);
	if (t->decoder && t->own && t->bytes && t->quantised && t->selected)
		return t;
	tb_coder_destroy(t);
	errno = ENOMEM;
	return NULL;
}

void tb_coder_destroy(struct tb_coder *t)
{
	if (!t)
		return;
	free(t->selected);
	free(t->quantised);
	free(t->bytes);
	tb_soft_destroy(t->own);
	ldpc_decoder_destroy(t->decoder);
	free(t);
}

static void append_crc(const struct crc *c, uint8_t *bytes, size_t n_bytes)
{
	uint32_t parity = crc_bytes(c, 0, bytes, n_bytes);

	for (int k = 0; k < TB_CRC_BYTES; k++)
		bytes[n_bytes + (size_t)k] = (uint8_t)(parity >> (16 - 8 * k));
}

int tb_encode(struct tb_coder *t, const struct tb_format *f, const uint8_t *bytes, uint8_t *bits)
{
	struct plan *p = &t->plan;
	int rc = plan_init(p, f, t->max_bytes, t->max_coded);

	if (rc)
		return rc;
	memcpy(t->bytes, bytes, f->n_bytes);
	append_crc(&t->crc_a, t->bytes, f->n_bytes);
	for (size_t r = 0; r < p->n_blocks; r++) {
		uint8_t block[BLOCK_MAX_BITS / 8];
		memcpy(block, t->bytes + r * p->block_bytes, p->block_bytes);
		if (p->n_blocks > 1)
			append_crc(&t->crc_b, block, p->block_bytes);
		unpack(block, t->codeword, p->block.n_bits);
		size_t n = share(p, f, r);
		encode_block(&p->block, t->codeword, t->buffer, buffer_start(&p->block, f->rv), f->qm, (uint8_t *)t->selected, bits, n);
		bits += n;
	}
	return 0;
}

/* Decodes block r from its soft bits. True when it is right. */
static bool try_block(struct tb_coder *t, struct tb_soft *s, size_t r, struct tb_stats *st)
{
	const struct plan *p = &t->plan;
	uint8_t block[BLOCK_MAX_BITS / 8];
	int rc = decode_block(t->decoder, &p->block, s->buffers + r * BUFFER_MAX, t->llr, t->codeword, TB_ITERATIONS);

	st->n_decoded++;
	st->iterations += rc < 0 ? TB_ITERATIONS : (unsigned)rc;
	pack(t->codeword, block, p->block.n_bits);
	memcpy(s->bytes + r * p->block_bytes, block, p->block_bytes);
	return rc >= 0 && (p->n_blocks == 1 || crc_bytes(&t->crc_b, 0, block, p->block.n_bits / 8) == 0);
}

int tb_decode(struct tb_coder *t, const struct tb_format *f, const float *llr, struct tb_soft *soft, uint8_t *bytes,
              struct tb_stats *st)
{
	struct plan *p = &t->plan;
	struct tb_stats stats = { 0 };
	struct tb_soft *s = soft ? soft : t->own;
	int rc = plan_init(p, f, t->max_bytes, t->max_coded);

	if (!soft)
		tb_soft_reset(s);
	if (rc || f->n_bytes > s->max_bytes || (s->n_bytes && s->n_bytes != f->n_bytes))
		return -EINVAL;
	if (!s->n_bytes) {
		memset(s->right, 0, p->n_blocks);
		memset(s->buffers, 0, p->n_blocks * BUFFER_MAX);
		s->n_bytes = f->n_bytes;
	}
	stats.n_blocks = (unsigned)p->n_blocks;
	quantise(llr, t->quantised, f->n_coded);
	const int8_t *q = t->quantised;
	for (size_t r = 0; r < p->n_blocks; r++) {
		size_t n = share(p, f, r);
		if (!s->right[r]) {
			collect_block(&p->block, q, buffer_start(&p->block, f->rv), f->qm, t->selected, s->buffers + r * BUFFER_MAX, n);
			s->right[r] = try_block(t, s, r, &stats);
			stats.n_failed += !s->right[r];
		}
		q += n;
	}
	if (st)
		*st = stats;
	if (stats.n_failed)
		return -EBADMSG;
	if (crc_bytes(&t->crc_a, 0, s->bytes, f->n_bytes + TB_CRC_BYTES)) {
		memset(s->right, 0, p->n_blocks); /* some block is wrong in spite of its CRC: all must be tried again */
		return -EBADMSG;
	}
	memcpy(bytes, s->bytes, f->n_bytes);
	return 0;
}

struct cw_coder {
	size_t payload_bits, max_coded;
	struct crc crc;
	struct block block;
	struct ldpc_decoder *decoder;
	int8_t *quantised, *selected; /* max_coded each */
	uint8_t codeword[LDPC_COLS_MAX * LDPC_Z_MAX];
	uint8_t buffer[BUFFER_MAX];
	int8_t soft[BUFFER_MAX];
	int8_t llr[LDPC_COLS_MAX * LDPC_Z_MAX];
};

struct cw_coder *cw_create(size_t payload_bits, size_t max_coded_bits)
{
	if (payload_bits < 1 || payload_bits > CW_PAYLOAD_MAX_BITS || max_coded_bits < 1 || max_coded_bits > CW_LIMIT) {
		errno = EINVAL;
		return NULL;
	}
	struct cw_coder *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	size_t n_bits = payload_bits + crc24a.n_bits;
	c->payload_bits = payload_bits;
	c->max_coded = max_coded_bits;
	crc_init(&c->crc, &crc24a);
	block_init(&c->block, n_bits, n_bits);
	c->decoder = ldpc_decoder_create();
	c->quantised = malloc(max_coded_bits);
	c->selected = malloc(max_coded_bits);
	if (c->decoder && c->quantised && c->selected)
		return c;
	cw_destroy(c);
	errno = ENOMEM;
	return NULL;
}

void cw_destroy(struct cw_coder *c)
{
	if (!c)
		return;
	free(c->selected);
	free(c->quantised);
	ldpc_decoder_destroy(c->decoder);
	free(c);
}

/* CRC24A over the payload bits from a register of ones. */
static uint32_t cw_parity(const struct cw_coder *c, const uint8_t *bits)
{
	return crc_bits(&c->crc, (1u << crc24a.n_bits) - 1, bits, c->payload_bits);
}

int cw_encode(struct cw_coder *c, const uint8_t *payload, uint32_t address, uint8_t *bits, size_t n_coded)
{
	if (n_coded < 2 || n_coded % 2 || n_coded > c->max_coded || address >> crc24a.n_bits)
		return -EINVAL;
	unpack(payload, c->codeword, c->payload_bits);
	uint32_t parity = cw_parity(c, c->codeword) ^ address;
	for (unsigned k = 0; k < crc24a.n_bits; k++)
		c->codeword[c->payload_bits + k] = parity >> (crc24a.n_bits - 1 - k) & 1;
	encode_block(&c->block, c->codeword, c->buffer, 0, 2, (uint8_t *)c->selected, bits, n_coded);
	return 0;
}

int cw_decode(struct cw_coder *c, const float *llr, size_t n_coded, uint8_t *payload, uint32_t *address)
{
	if (n_coded < 2 || n_coded % 2 || n_coded > c->max_coded)
		return -EINVAL;
	memset(c->soft, 0, c->block.n_buffer);
	quantise(llr, c->quantised, n_coded);
	collect_block(&c->block, c->quantised, 0, 2, c->selected, c->soft, n_coded);
	int rc = decode_block(c->decoder, &c->block, c->soft, c->llr, c->codeword, CW_ITERATIONS);
	uint32_t parity = 0;
	for (unsigned k = 0; k < crc24a.n_bits; k++)
		parity = parity << 1 | c->codeword[c->payload_bits + k];
	pack(c->codeword, payload, c->payload_bits);
	*address = parity ^ cw_parity(c, c->codeword);
	return rc < 0 ? rc : 0;
}
