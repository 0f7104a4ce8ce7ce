#include "moe/rounded.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 32, STRIDE = 64, FOUR = 4, Q_MAX = 127, ALIGNMENT = 64, SUPER = 256 };

struct rounded_store {
	struct rounded r;
	int8_t *q;
	float *scale, *totals;
	int32_t *sums;
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

struct rounded_store *rounded_create(size_t max_rows, size_t max_cols)
{
	struct rounded_store *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	size_t n = max_rows * padded(max_cols);
	s->q = room(n, sizeof *s->q);
	s->scale = room(n / FOUR, sizeof *s->scale);
	s->sums = room(n / FOUR, sizeof *s->sums);
	s->totals = room(n / BLOCK, sizeof *s->totals);
	if (!s->q || !s->scale || !s->sums || !s->totals) {
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
	free(s->sums);
	free(s->scale);
	free(s->q);
	free(s);
}

static void fill_block(const float *x, int8_t *q, float *scale, int32_t *sums, float *total)
{
	float max = 0;
	for (size_t i = 0; i < BLOCK; i++)
		max = fmaxf(max, fabsf(x[i]));
	float step = max / Q_MAX, inverse = step > 0 ? 1 / step : 0;
	int32_t sum = 0;
	inverse = isfinite(inverse) ? inverse : 0; /* numbers too small for their inverse are zeros */
	for (size_t i = 0; i < BLOCK; i++)
		q[i] = (int8_t)fminf(fmaxf(rintf(x[i] * inverse), -Q_MAX), Q_MAX);
	for (size_t g = 0; g < BLOCK / FOUR; g++) {
		sums[g] = q[FOUR * g] + q[FOUR * g + 1] + q[FOUR * g + 2] + q[FOUR * g + 3];
		scale[g] = step;
		sum += sums[g];
	}
	*total = step * (float)sum;
}

const struct rounded *rounded_fill(struct rounded_store *s, const float *x, size_t n_x, size_t n_cols)
{
	size_t stride = padded(n_cols);
	s->r = (struct rounded){ n_cols, stride, s->q, s->scale, s->sums, s->totals };
	for (size_t i = 0; i < n_x; i++) {
		size_t first = i * stride;
		for (size_t c = 0; c < n_cols; c += BLOCK) {
			size_t at = first + c;
			fill_block(x + i * n_cols + c, s->q + at, s->scale + at / FOUR, s->sums + at / FOUR,
			           s->totals + at / BLOCK);
		}
		size_t end = first + n_cols, n = stride - n_cols;
		memset(s->q + end, 0, n);
		memset(s->scale + end / FOUR, 0, n / FOUR * sizeof *s->scale);
		memset(s->sums + end / FOUR, 0, n / FOUR * sizeof *s->sums);
		memset(s->totals + end / BLOCK, 0, n / BLOCK * sizeof *s->totals);
	}
	return &s->r;
}
