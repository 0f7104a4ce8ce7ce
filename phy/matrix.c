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

static vec load(const float *x)
{
	vec v;
	memcpy(&v, x, sizeof v);
	return v;
}

static void store(float *y, vec v)
{
	memcpy(y, &v, sizeof v);
}

static vec backwards(vec v)
{
	return __builtin_shufflevector(v, v, 7, 6, 5, 4, 3, 2, 1, 0);
}

/* Keeps a vector that is used twice in a register, where the compiler would read it from memory twice; it is the loads
 * that set the pace. */
static inline vec held(vec v)
{
#ifdef __AVX__
	__asm__("" : "+x"(v));
#endif
	return v;
}

/* Sums of a block of rows, of even and odd columns each: eight vectors, enough for the multipliers' latency. */
struct sums {
	vec re[2], im[2];
};

static inline __attribute__((always_inline)) void add_up(const float *restrict w, size_t n_cols,
                                                         const float *restrict x_re, const float *restrict x_im,
                                                         struct sums *even, struct sums *odd)
{
	const vec *v = (const vec *)(const void *)w;
	vec r0 = { 0 }, r1 = { 0 }, i0 = { 0 }, i1 = { 0 }, r2 = { 0 }, r3 = { 0 }, i2 = { 0 }, i3 = { 0 };
	size_t j = 0;
	for (; j + 2 <= n_cols; j += 2, v += 4) {
		vec a = held(v[0]), b = held(v[1]), c = held(v[2]), d = held(v[3]);
		r0 += a * x_re[j], r1 += b * x_re[j], i0 += a * x_im[j], i1 += b * x_im[j];
		r2 += c * x_re[j + 1], r3 += d * x_re[j + 1];
		i2 += c * x_im[j + 1], i3 += d * x_im[j + 1];
	}
	if (j < n_cols)
		r0 += v[0] * x_re[j], r1 += v[1] * x_re[j], i0 += v[0] * x_im[j], i1 += v[1] * x_im[j];
	*even = (struct sums){ { r0, r1 }, { i0, i1 } };
	*odd = (struct sums){ { r2, r3 }, { i2, i3 } };
}

void matrix_multiply(const struct matrix *m, const float *x_re, const float *x_im, float *y_re, float *y_im)
{
	for (size_t row = 0; row < m->n_rows; row += MATRIX_BLOCK) {
		struct sums even, odd;
		add_up(m->w + row * m->n_cols, m->n_cols, x_re, x_im, &even, &odd);
		for (size_t half = 0; half < 2; half++) {
			store(y_re + row + half * LANES, even.re[half] + odd.re[half]);
			store(y_im + row + half * LANES, even.im[half] + odd.im[half]);
		}
	}
}

/* A block of rows from this one on, and those as far behind the middle. */
static void mirrored_block(const struct matrix *m, size_t row, size_t n, const float *x_re, const float *x_im,
                           const float *r_re, const float *r_im, float *y_re, float *y_im)
{
	struct sums even, odd;
	add_up(m->w + row * m->n_cols, m->n_cols, x_re, x_im, &even, &odd);
	for (size_t half = 0; half < 2; half++) {
		size_t near = row + half * LANES, far = n - near - LANES;
		vec c = load(r_re + near), s = load(r_im + near);
		vec re = even.re[half] - odd.re[half], im = even.im[half] - odd.im[half];
		store(y_re + far, backwards(re * c + im * s));
		store(y_im + far, backwards(im * c - re * s));
		re = even.re[half] + odd.re[half], im = even.im[half] + odd.im[half];
		store(y_re + near, re * c - im * s);
		store(y_im + near, re * s + im * c);
	}
}

void matrix_multiply_mirrored(const struct matrix *m, size_t n, const float *x_re, const float *x_im, const float *r_re,
                              const float *r_im, float *y_re, float *y_im)
{
	for (size_t row = 0; row < m->n_rows; row += MATRIX_BLOCK)
		mirrored_block(m, row, n, x_re, x_im, r_re, r_im, y_re, y_im);
}

void matrix_multiply_mirrored_two(const struct matrix *m, size_t n, const float *const x_re[2],
                                  const float *const x_im[2], const float *r_re, const float *r_im,
                                  float *const y_re[2], float *const y_im[2])
{
	for (size_t row = 0; row < m->n_rows; row += MATRIX_BLOCK)
		for (size_t i = 0; i < 2; i++)
			mirrored_block(m, row, n, x_re[i], x_im[i], r_re, r_im, y_re[i], y_im[i]);
}
