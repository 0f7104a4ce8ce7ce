#include "phy/matrix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 8 };
typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

int matrix_init(struct matrix *m, size_t n_rows, size_t n_cols)
{
	size_t n = matrix_padded(n_rows) * n_cols * sizeof *m->w;
	*m = (struct matrix){ .n_rows = n_rows, .n_cols = n_cols, .w = aligned_alloc(64, n) };
	if (!m->w)
		return -ENOMEM;
	memset(m->w, 0, n);
	return 0;
}

void matrix_free(struct matrix *m)
{
	free(m->w);
	m->w = NULL;
}

static void store(float *y, vec low, vec high)
{
	memcpy(y, &low, sizeof low);
	memcpy(y + LANES, &high, sizeof high);
}

/* One block of rows; odd and even columns have sums of their own, for the sake of latency. */
static void block(const float *restrict w, size_t n_cols, const float *restrict x_re, const float *restrict x_im,
                  float *restrict y_re, float *restrict y_im)
{
	const vec *v = (const vec *)(const void *)w;
	vec r0 = { 0 }, r1 = { 0 }, i0 = { 0 }, i1 = { 0 }, r2 = { 0 }, r3 = { 0 }, i2 = { 0 }, i3 = { 0 };
	size_t j = 0;
	for (; j + 2 <= n_cols; j += 2, v += 4) {
		r0 += v[0] * x_re[j], r1 += v[1] * x_re[j], i0 += v[0] * x_im[j], i1 += v[1] * x_im[j];
		r2 += v[2] * x_re[j + 1], r3 += v[3] * x_re[j + 1];
		i2 += v[2] * x_im[j + 1], i3 += v[3] * x_im[j + 1];
	}
	if (j < n_cols)
		r0 += v[0] * x_re[j], r1 += v[1] * x_re[j], i0 += v[0] * x_im[j], i1 += v[1] * x_im[j];
	r0 += r2, r1 += r3, i0 += i2, i1 += i3;
	store(y_re, r0, r1);
	store(y_im, i0, i1);
}

void matrix_multiply(const struct matrix *m, const float *x_re, const float *x_im, float *y_re, float *y_im)
{
	for (size_t row = 0; row < m->n_rows; row += MATRIX_BLOCK)
		block(m->w + row * m->n_cols, m->n_cols, x_re, x_im, y_re + row, y_im + row);
}

void matrix_multiply_two(const struct matrix *m, const float *x_re, const float *x_im, const float *y_re,
                         const float *y_im, float *a_re, float *a_im, float *b_re, float *b_im)
{
	for (size_t row = 0; row < m->n_rows; row += MATRIX_BLOCK) {
		const vec *v = (const vec *)(const void *)(m->w + row * m->n_cols);
		vec r0 = { 0 }, r1 = { 0 }, i0 = { 0 }, i1 = { 0 }, s0 = { 0 }, s1 = { 0 }, j0 = { 0 }, j1 = { 0 };
		for (size_t j = 0; j < m->n_cols; j++, v += 2) {
			r0 += v[0] * x_re[j], r1 += v[1] * x_re[j], i0 += v[0] * x_im[j], i1 += v[1] * x_im[j];
			s0 += v[0] * y_re[j], s1 += v[1] * y_re[j], j0 += v[0] * y_im[j], j1 += v[1] * y_im[j];
		}
		store(a_re + row, r0, r1);
		store(a_im + row, i0, i1);
		store(b_re + row, s0, s1);
		store(b_im + row, j0, j1);
	}
}
