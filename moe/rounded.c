#include "moe/rounded.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 32, ALIGNMENT = 64, SUPER = 256 };

struct rounded_store {
	const struct kernels *kernels;
	struct rounded r;
	int8_t *q;
	uint8_t *shifted;
	float *scale, *totals;
};

/* Whole strides; whole super-blocks besides, so that the totals of one can be loaded as sixteen. */
static size_t padded(size_t n_cols)
{
	return (n_cols + SUPER - 1) / SUPER * SUPER;
}

static void *room(size_t n, size_t item)
{
	return aligned_alloc(ALIGNMENT, (n * item + 2 * ALIGNMENT) / ALIGNMENT * ALIGNMENT);
}

struct rounded_store *rounded_create(const struct kernels *kernels, size_t max_rows, size_t max_cols)
{
	struct rounded_store *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	size_t n = max_rows * padded(max_cols);
	s->kernels = kernels;
	s->q = room(n, sizeof *s->q);
	s->shifted = room(n, sizeof *s->shifted);
	s->scale = room(n / SUPER, sizeof *s->scale);
	s->totals = room(n / BLOCK, sizeof *s->totals);
	if (!s->q || !s->shifted || !s->scale || !s->totals) {
		rounded_destroy(s);
		errno = ENOMEM;
		return NULL;
	}
	memset(s->totals, 0, (n / BLOCK) * sizeof *s->totals + ALIGNMENT); /* read beyond, times zero */
	return s;
}

void rounded_destroy(struct rounded_store *s)
{
	if (!s)
		return;
	free(s->totals);
	free(s->scale);
	free(s->shifted);
	free(s->q);
	free(s);
}

const struct rounded *rounded_fill(struct rounded_store *s, const float *x, size_t n_x, size_t n_cols)
{
	size_t stride = padded(n_cols);
	s->r = (struct rounded){ n_cols, stride, s->q, s->shifted, s->scale, s->totals };
	for (size_t i = 0; i < n_x; i++) {
		size_t first = i * stride;
		s->kernels->round(x + i * n_cols, n_cols, s->q + first, s->scale + first / SUPER,
		                  s->totals + first / BLOCK);
		size_t end = first + n_cols, n = stride - n_cols;
		memset(s->q + end, 0, n);
		for (size_t k = first; k < first + stride; k++)
			s->shifted[k] = (uint8_t)(s->q[k] ^ 0x80);
		memset(s->totals + end / BLOCK, 0, n / BLOCK * sizeof *s->totals);
	}
	return &s->r;
}
