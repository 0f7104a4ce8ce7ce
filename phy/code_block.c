#include "phy/code_block.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { PUNCTURED_COLS = 2, CORE_ROWS = 4, KNOWN = 127 /* LLR of a filler bit */ };

/* Kb: columns that carry information (section 5.2.2). */
static size_t info_cols(const struct ldpc_graph *graph, size_t n_total)
{
	if (graph == &ldpc_bg1)
		return graph->n_info;
	return n_total > 640 ? 10 : n_total > 560 ? 9 : n_total > 192 ? 8 : 6;
}

void code_block_init(struct code_block *b, const struct ldpc_graph *graph, size_t n_bits, size_t n_total)
{
	size_t kb = info_cols(graph, n_total), z = ldpc_lifting_size((n_bits + kb - 1) / kb);

	if (b->code.graph != graph || b->code.z != z)
		ldpc_code_init(&b->code, graph, z);
	b->n_bits = n_bits;
	b->n_filler = graph->n_info * z - n_bits;
	b->head = n_bits - PUNCTURED_COLS * z;
	b->n_word = graph->n_cols * z;
	b->n_buffer = b->n_word - PUNCTURED_COLS * z - b->n_filler;
}

size_t code_block_start(const struct code_block *b, unsigned rv)
{
	static const uint8_t k0_cols[2][4] = { { 0, 17, 33, 56 }, { 0, 13, 25, 43 } }; /* table 5.4.2.1-2 */
	size_t place = k0_cols[b->code.graph == &ldpc_bg2][rv] * b->code.z;            /* with the fillers counted */

	if (place <= b->head)
		return place;
	return place < b->head + b->n_filler ? b->head : place - b->n_filler;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Rows of the base graph that parity up to place `end` of the buffer needs; all when the buffer wraps. */
static size_t rows_needed(const struct code_block *b, size_t end)
{
	const struct ldpc_graph *g = b->code.graph;
	size_t cols = PUNCTURED_COLS + (end + b->n_filler + b->code.z - 1) / b->code.z;

	if (end > b->n_buffer)
		return g->n_rows;
	return cols < (size_t)g->n_info + CORE_ROWS ? CORE_ROWS : cols - g->n_info;
}

/* Where a place of the buffer is in the codeword, and how many of n follow it there without a gap. */
static size_t word_index(const struct code_block *b, size_t place, size_t n, size_t *run)
{
	if (place < b->head) {
		*run = smaller(n, b->head - place);
		return PUNCTURED_COLS * b->code.z + place;
	}
	*run = smaller(n, b->n_buffer - place);
	return b->n_word - b->n_buffer + place;
}

void code_block_encode(const struct code_block *b, uint8_t *word, size_t start, size_t n)
{
	memset(word + b->n_bits, 0, b->n_filler);
	ldpc_encode(&b->code, word, rows_needed(b, start + n));
}

void code_block_take(const struct code_block *b, const uint8_t *word, size_t place, unsigned shift, uint8_t *out,
                     size_t n)
{
	for (size_t run; n; n -= run, out += run, place += run) {
		place = place < b->n_buffer ? place : place % b->n_buffer;
		const uint8_t *from = word + word_index(b, place, n, &run);
		if (shift)
			for (size_t i = 0; i < run; i++)
				out[i] = (uint8_t)(out[i] | from[i] << shift);
		else
			memcpy(out, from, run);
	}
}

void code_block_clear(const struct code_block *b, int8_t *soft)
{
	memset(soft, 0, b->n_word);
	memset(soft + b->n_bits, KNOWN, b->n_filler);
}

static void add_saturating(int8_t *restrict sum, const int8_t *restrict x, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		int16_t s = (int16_t)(sum[i] + x[i]);
		s = s > 127 ? 127 : s;
		sum[i] = (int8_t)(s < -127 ? -127 : s);
	}
}

void code_block_add(const struct code_block *b, int8_t *soft, size_t place, const int8_t *llr, size_t n)
{
	for (size_t run; n; n -= run, llr += run, place += run) {
		place = place < b->n_buffer ? place : place % b->n_buffer;
		int8_t *to = soft + word_index(b, place, n, &run);
		add_saturating(to, llr, run);
	}
}

/* How many of n are not zero, counted until there are enough. */
static size_t count_received(const int8_t *soft, size_t n, size_t enough)
{
	enum { RUN = 224 }; /* below 256, in whole vectors */
	size_t count = 0;

	for (size_t done = 0; done < n && count < enough; done += RUN) {
		size_t end = smaller(done + RUN, n);
		uint8_t some = 0;
		for (size_t i = done; i < end; i++)
			some = (uint8_t)(some + (soft[i] != 0));
		count += some;
	}
	return count;
}

/* Fewer soft bits that say anything than there are information bits cannot tell a block; near silence the word of zeros,
 * whose CRC is right, would come out. */
static bool enough_received(const struct code_block *b, const int8_t *soft)
{
	size_t parity = b->n_bits + b->n_filler, count = count_received(soft, b->n_bits, b->n_bits);

	return count + count_received(soft + parity, b->n_word - parity, b->n_bits - count) >= b->n_bits;
}

int code_block_decode(const struct code_block *b, struct ldpc_decoder *d, const int8_t *soft, uint8_t *bits,
                      unsigned max_iterations)
{
	if (!enough_received(b, soft))
		return -EBADMSG;
	return ldpc_decode(d, &b->code, soft, bits, max_iterations);
}

void code_block_quantise(const float *llr, size_t stride, int8_t *q, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float x = llr[i * stride] * LDPC_LLR_STEPS;
		x = x < 127.0f ? x : 127.0f;
		x = x > -127.0f ? x : -127.0f;
		q[i] = (int8_t)(int)(x + copysignf(0.5f, x));
	}
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
