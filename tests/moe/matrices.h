/* matrices.h - random matrices of every tensor type, for the tests of products. */
#ifndef TESTS_MOE_MATRICES_H
#define TESTS_MOE_MATRICES_H

#include "moe/kernels.h"
#include "moe/tensor.h"
#include "support.h"

enum { MAX_ROWS = 19, MAX_COLS = 512, MAX_X = 11, N_TYPES = KERNEL_TYPES };

/* Widths with whole chunks, half ones, and tails; block types have whole blocks only. */
static const size_t widths[] = { 32, 64, 256, 320, 512, 1, 7, 16, 31, 40, 100, 257 };
enum { N_WIDTHS = sizeof widths / sizeof widths[0] };

static inline void put_f16(uint8_t *at, float x)
{
	_Float16 h = (_Float16)x;
	memcpy(at, &h, sizeof h);
}

/* Where a block type has its f16 factors; the other bytes may be anything. */
static const struct {
	const char *name;
	size_t n, at[2];
} factors[] = {
	{ "Q8_0", 1, { 0 } },    { "Q4_0", 1, { 0 } },   { "Q4_K", 2, { 0, 2 } },
	{ "Q5_K", 2, { 0, 2 } }, { "Q6_K", 1, { 208 } },
};

static inline void fill_blocks(const struct tensor *t, uint8_t *bytes, uint64_t *seed)
{
	size_t n = t->n_rows * tensor_row_bytes(t);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(draw(seed) * 128);
	for (size_t k = 0; k < sizeof factors / sizeof factors[0]; k++)
		for (size_t at = 0; at < n && !strcmp(factors[k].name, t->type->name); at += t->type->bytes)
			for (size_t f = 0; f < factors[k].n; f++)
				put_f16(bytes + at + factors[k].at[f], 0.004f + 0.003f * draw(seed));
}

/* A matrix of a type with weights of about one; bytes: room for its rows. */
static inline int make_matrix(struct tensor *t, uint8_t *bytes, const struct tensor_type *type, size_t n_rows,
                              size_t n_cols, uint64_t seed)
{
	*t = (struct tensor){ type, bytes, n_rows, n_cols };
	if (n_cols % t->type->block)
		return 0;
	if (t->type->block > 1)
		fill_blocks(t, bytes, &seed);
	for (size_t i = 0; i < n_rows * n_cols && t->type->block == 1; i++) {
		float w = draw(&seed);
		if (type->bytes == 4)
			memcpy(bytes + 4 * i, &w, 4);
		else if (type->id == 1)
			put_f16(bytes + 2 * i, w);
		else
			memcpy(bytes + 2 * i, (uint8_t *)&w + 2, 2); /* bf16: the upper half */
	}
	return 1;
}

/* Runs a check on every type and width that go together. */
static inline void for_all(void (*check)(const struct tensor *t))
{
	static uint8_t bytes[MAX_ROWS * MAX_COLS * 4];
	for (size_t i = 0; i < N_TYPES; i++)
		for (size_t j = 0; j < N_WIDTHS; j++) {
			struct tensor t;
			if (make_matrix(&t, bytes, tensor_type_at(i), MAX_ROWS, widths[j], i * 100 + j))
				check(&t);
		}
}

#endif
