/* matrix.h - a real matrix times a complex vector, the one heavy loop of channel estimation.
 *
 * The vector's real and imaginary parts are arrays of their own. The matrix lies in blocks of MATRIX_BLOCK rows, so that
 * a block's sums stay in registers while the columns go by.
 */
#ifndef PHY_MATRIX_H
#define PHY_MATRIX_H

#include <stddef.h>

enum { MATRIX_BLOCK = 16 };

struct matrix {
	size_t n_rows, n_cols;
	float *w; /* [(n_rows + 15) / 16][n_cols][16]; rows past the last are zero */
};

/* n rounded up to whole blocks. */
static inline size_t matrix_padded(size_t n)
{
	return (n + MATRIX_BLOCK - 1) / MATRIX_BLOCK * MATRIX_BLOCK;
}

/* All zero. 0 or -ENOMEM. */
int matrix_init(struct matrix *m, size_t n_rows, size_t n_cols);
void matrix_free(struct matrix *m); /* a struct of zeros is fine */

static inline float *matrix_at(const struct matrix *m, size_t row, size_t col)
{
	return &m->w[(row / MATRIX_BLOCK * m->n_cols + col) * MATRIX_BLOCK + row % MATRIX_BLOCK];
}

/* y = M x. x: n_cols; y: matrix_padded(n_rows), written whole. Nothing may overlap. */
void matrix_multiply(const struct matrix *m, const float *x_re, const float *x_im, float *y_re, float *y_im);

/* y = R M x for half the price, where the columns of M are symmetric and antisymmetric about its middle row in turn, the
 * first symmetric, and R is a diagonal of phases r with r[n - 1 - i] = conj(r[i]). m: the first rows of M, up to the
 * middle one and as many more as fill a block. n: rows of M, odd. r: matrix_padded((n + 1) / 2). y: matrix_padded(n),
 * what comes after n is left alone. */
void matrix_multiply_mirrored(const struct matrix *m, size_t n, const float *x_re, const float *x_im, const float *r_re,
                              const float *r_im, float *y_re, float *y_im);
/* The same of two vectors, for which a matrix too large for the first-level cache is read once. */
void matrix_multiply_mirrored_two(const struct matrix *m, size_t n, const float *const x_re[2],
                                  const float *const x_im[2], const float *r_re, const float *r_im,
                                  float *const y_re[2], float *const y_im[2]);

#endif
