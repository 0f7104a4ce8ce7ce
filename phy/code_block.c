#include "phy/code_block.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PUNCTURED_COLS = 2, BUFFER_COLS = 50, CORE_ROWS = 4, KNOWN = 127 /* LLR of a filler bit */ };

void code_block_init(struct code_block *b, size_t n_bits, size_t n_total)
{
	size_t kb = n_total > 640 ? 10 : n_total > 560 ? 9 : n_total > 192 ? 8 : 6;
	size_t z = ldpc_lifting_size((n_bits + kb - 1) / kb);

	if (b->code.z != z)
		ldpc_code_init(&b->code, &ldpc_bg2, z);
	b->n_bits = n_bits;
	b->n_filler = ldpc_bg2.n_info * z - n_bits;
	b->head = n_bits - PUNCTURED_COLS * z;
	b->n_buffer = BUFFER_COLS * z - b->n_filler;
}

size_t code_block_start(const struct code_block *b, unsigned rv)
{
	static const uint8_t k0_cols[] = { 0, 13, 25,
		                           43 }; /* table 5.4.2.1-2; from 13 on all is parity, fillers before it */

	return rv ? k0_cols[rv] * b->code.z - b->n_filler : 0;
}

int code_block_work_init(struct code_block_work *w, size_t max_coded)
{
	w->max_coded = max_coded;
	w->decoder = ldpc_decoder_create();
	w->quantised = malloc(max_coded);
	w->selected = malloc(max_coded);
	w->selected_bits = malloc(max_coded);
	if (w->decoder && w->quantised && w->selected && w->selected_bits)
		return 0;
	code_block_work_free(w);
	return -ENOMEM;
}

void code_block_work_free(struct code_block_work *w)
{
	free(w->selected_bits);
	free(w->selected);
	free(w->quantised);
	ldpc_decoder_destroy(w->decoder);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Rows of the base graph that parity up to place `end` of the buffer needs; all when the buffer wraps. */
static size_t rows_needed(const struct code_block *b, size_t end)
{
	size_t cols = PUNCTURED_COLS + (end + b->n_filler + b->code.z - 1) / b->code.z;

	if (end > b->n_buffer)
		return ldpc_bg2.n_rows;
	return cols < (size_t)ldpc_bg2.n_info + CORE_ROWS ? CORE_ROWS : cols - ldpc_bg2.n_info;
}

void code_block_encode(struct code_block_work *w, const struct code_block *b, size_t start, unsigned qm, uint8_t *out,
                       size_t n)
{
	size_t z = b->code.z, per_bit = n / qm;

	memset(w->word + b->n_bits, 0, b->n_filler);
	ldpc_encode(&b->code, w->word, rows_needed(b, start + n));
	memcpy(w->buffer, w->word + PUNCTURED_COLS * z, b->head);
	memcpy(w->buffer + b->head, w->word + ldpc_bg2.n_info * z, b->n_buffer - b->head);
	for (size_t i = 0, at = start, run; i < n; i += run, at = 0) {
		run = smaller(b->n_buffer - at, n - i);
		memcpy(w->selected_bits + i, w->buffer + at, run);
	}
	for (unsigned k = 0; k < qm; k++)
		for (size_t j = 0; j < per_bit; j++)
			out[j * qm + k] = w->selected_bits[k * per_bit + j];
}

/* To the decoder's integers. A NaN becomes the largest. */
static void quantise(const float *llr, int8_t *q, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float x = llr[i] * LDPC_LLR_STEPS;
		x = x < 127.0f ? x : 127.0f;
		x = x > -127.0f ? x : -127.0f;
		q[i] = (int8_t)(int)(x + copysignf(0.5f, x));
	}
}

static void add_saturating(int8_t *restrict sum, const int8_t *restrict x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int16_t s = (int16_t)(sum[i] + x[i]);
		sum[i] = (int8_t)(s > 127 ? 127 : s < -127 ? -127 : s);
	}
}

void code_block_collect(struct code_block_work *w, const struct code_block *b, const float *llr, size_t start,
                        unsigned qm, int8_t *soft, size_t n)
{
	size_t per_bit = n / qm;

	quantise(llr, w->quantised, n);
	for (unsigned k = 0; k < qm; k++)
		for (size_t j = 0; j < per_bit; j++)
			w->selected[k * per_bit + j] = w->quantised[j * qm + k];
	for (size_t i = 0, at = start, run; i < n; i += run, at = 0) {
		run = smaller(b->n_buffer - at, n - i);
		add_saturating(soft + at, w->selected + i, run);
	}
}

int code_block_decode(struct code_block_work *w, const struct code_block *b, const int8_t *soft,
                      unsigned max_iterations)
{
	size_t z = b->code.z, n_info = ldpc_bg2.n_info * z;
	int any = 0;

	for (size_t i = 0; i < b->n_buffer; i++)
		any |= soft[i];
	if (!any) /* all checks would hold: the all-zero word */
		return -EBADMSG;
	memset(w->llr, 0, PUNCTURED_COLS * z);
	memcpy(w->llr + PUNCTURED_COLS * z, soft, b->head);
	memset(w->llr + b->n_bits, KNOWN, b->n_filler);
	memcpy(w->llr + n_info, soft + b->head, b->n_buffer - b->head);
	return ldpc_decode(w->decoder, &b->code, w->llr, w->word, max_iterations);
}

/* Eight bits at a time. Byte i of a little-endian word is bit 7 - i of the byte. */
void code_block_unpack(const uint8_t *bytes, uint8_t *bits, size_t n_bits)
{
	const uint64_t each = 0x0101010101010101u, places = 0x0102040810204080u, low7 = 0x7F7F7F7F7F7F7F7Fu;
	size_t i = 0;

	for (; i + 8 <= n_bits; i += 8) {
		uint64_t word = htole64((((bytes[i / 8] * each & places) + low7) >> 7) & each);
		memcpy(bits + i, &word, sizeof word);
	}
	for (; i < n_bits; i++)
		bits[i] = bytes[i / 8] >> (7 - i % 8) & 1;
}

void code_block_pack(const uint8_t *bits, uint8_t *bytes, size_t n_bits)
{
	const uint64_t gather = 0x8040201008040201u; /* takes bit 8 i of a word to bit 63 - i of the product */
	size_t i = 0;

	for (; i + 8 <= n_bits; i += 8) {
		uint64_t word;
		memcpy(&word, bits + i, sizeof word);
		bytes[i / 8] = (uint8_t)(le64toh(word) * gather >> 56);
	}
	if (i < n_bits)
		bytes[i / 8] = 0;
	for (; i < n_bits; i++)
		bytes[i / 8] = (uint8_t)(bytes[i / 8] | bits[i] << (7 - i % 8));
}
