#include "phy/generator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	GROUP = 4, /* words of a row are added up so many at a time */
	ROW_MAX = (GENERATOR_INFO_MAX + GENERATOR_CODED_MAX) / 64 + GROUP,
};
typedef uint64_t group __attribute__((vector_size(GROUP * sizeof(uint64_t))));

/* Bits of rows are packed as code_block_pack has them. */
struct generator {
	size_t n_info, n_coded;
	size_t head, row; /* words of the information bits at the start of a row of `solve`; of a row */
	size_t n_needed;  /* coded bits that say all of the information; 0: all do not */
	uint16_t place[GENERATOR_INFO_MAX]; /* of the coded bits that tell the others */
	uint64_t *encode;                   /* n_info rows: coded bits, from word `head` on, of one information bit */
	uint64_t *solve; /* n_info rows: information and coded bits if of all bits at those places this one is 1 */
};

static size_t words(size_t n_bits)
{
	return (n_bits + 63) / 64;
}

static bool bit_of(const uint64_t *row, size_t i)
{
	return ((const uint8_t *)row)[i / 8] >> (7 - i % 8) & 1;
}

static void flip(uint64_t *row, size_t i)
{
	((uint8_t *)row)[i / 8] ^= (uint8_t)(0x80 >> i % 8);
}

static void add(uint64_t *sum, const uint64_t *row, size_t n)
{
	for (size_t w = 0; w < n; w++)
		sum[w] ^= row[w];
}

static int fill_encode(struct generator *g, const struct code_block *block)
{
	uint8_t *word = calloc(1, block->n_word), *coded = malloc(g->n_coded);
	for (size_t i = 0; word && coded && i < g->n_info; i++) {
		memset(word, 0, g->n_info);
		word[i] = 1;
		code_block_encode(block, word, 0, g->n_coded);
		code_block_take(block, word, 0, 0, coded, g->n_coded);
		code_block_pack(coded, (uint8_t *)(g->encode + i * g->row + g->head), g->n_coded);
	}
	int rc = word && coded ? 0 : -ENOMEM;
	free(coded);
	free(word);
	return rc;
}

/* Gauss and Jordan: rows of information bit and coded bits are added up until each has a place of its own, at which the
 * others are 0. */
static void fill_solve(struct generator *g)
{
	uint64_t *rows = g->solve;
	size_t found = 0;
	memcpy(rows, g->encode, g->n_info * g->row * sizeof *rows);
	for (size_t i = 0; i < g->n_info; i++)
		flip(rows + i * g->row, i);
	for (size_t p = 0; p < g->n_coded && found < g->n_info; p++) {
		size_t at = 64 * g->head + p, i = found;
		while (i < g->n_info && !bit_of(rows + i * g->row, at))
			i++;
		if (i == g->n_info)
			continue;
		uint64_t *own = rows + found * g->row, *other = rows + i * g->row;
		for (size_t w = 0; i != found && w < g->row; w++) {
			uint64_t x = own[w];
			own[w] = other[w];
			other[w] = x;
		}
		for (size_t r = 0; r < g->n_info; r++)
			if (r != found && bit_of(rows + r * g->row, at))
				add(rows + r * g->row, own, g->row);
		g->place[found++] = (uint16_t)p;
	}
	g->n_needed = found == g->n_info ? g->place[found - 1] + 1u : 0;
}

struct generator *generator_create(const struct code_block *block, size_t n_max)
{
	size_t n_coded = n_max < block->n_buffer ? n_max : block->n_buffer;
	if (block->n_bits > GENERATOR_INFO_MAX || n_coded < 1 || n_coded > GENERATOR_CODED_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct generator *g = calloc(1, sizeof *g);
	if (!g)
		return NULL;
	g->n_info = block->n_bits;
	g->n_coded = n_coded;
	g->head = words(g->n_info);
	g->row = (g->head + words(n_coded) + GROUP - 1) / GROUP * GROUP;
	size_t size = g->n_info * g->row * sizeof *g->encode;
	g->encode = aligned_alloc(sizeof(group), size);
	g->solve = aligned_alloc(sizeof(group), size);
	int rc = g->encode && g->solve ? 0 : -ENOMEM;
	if (!rc) {
		memset(g->encode, 0, size);
		rc = fill_encode(g, block);
	}
	if (rc) {
		generator_destroy(g);
		errno = -rc;
		return NULL;
	}
	fill_solve(g);
	return g;
}

void generator_destroy(struct generator *g)
{
	if (!g)
		return;
	free(g->solve);
	free(g->encode);
	free(g);
}

size_t generator_n_coded(const struct generator *g)
{
	return g->n_coded;
}

/* The sum of those of n rows whose bit is 1, as far as coded bit n_coded. bits are read at place[i], or i without. */
static void add_up(const struct generator *g, const uint64_t *rows, const uint8_t *bits, const uint16_t *place,
                   size_t n_coded, group *sum)
{
	size_t n = (g->head + words(n_coded) + GROUP - 1) / GROUP, row = g->row / GROUP;
	const group *all = (const group *)(const void *)rows;
	for (size_t w = 0; w < n; w++) {
		group even = { 0 }, odd = { 0 };
		size_t i = 0;
		for (; i + 2 <= g->n_info; i += 2) {
			even ^= all[i * row + w] & -(uint64_t)bits[place ? place[i] : i];
			odd ^= all[(i + 1) * row + w] & -(uint64_t)bits[place ? place[i + 1] : i + 1];
		}
		if (i < g->n_info)
			even ^= all[i * row + w] & -(uint64_t)bits[place ? place[i] : i];
		sum[w] = even ^ odd;
	}
}

void generator_encode(const struct generator *g, const uint8_t *info, uint8_t *coded, size_t n)
{
	group sum[ROW_MAX / GROUP];
	add_up(g, g->encode, info, NULL, n, sum);
	code_block_unpack((const uint8_t *)sum + 8 * g->head, coded, n);
}

bool generator_match(const struct generator *g, const uint8_t *coded, size_t n, uint8_t *info)
{
	group sum[ROW_MAX / GROUP];
	uint8_t packed[GENERATOR_CODED_MAX / 8];
	if (!g->n_needed || n < g->n_needed)
		return false;
	add_up(g, g->solve, coded, g->place, n, sum);
	code_block_pack(coded, packed, n);
	const uint8_t *said = (const uint8_t *)sum + 8 * g->head;
	if (memcmp(said, packed, n / 8) || (n % 8 && (said[n / 8] ^ packed[n / 8]) >> (8 - n % 8)))
		return false;
	code_block_unpack((const uint8_t *)sum, info, g->n_info);
	return true;
}
