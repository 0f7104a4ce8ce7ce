/* kernels.h - the products of tensor.h, compiled once for each instruction set and chosen when the program runs.
 *
 * kernels_avx512.c, kernels_avx2.c and kernels_plain.c are kernels.inc with other sixteen lanes (lanes.h). In exact mode they
 * give the same bits.
 */
#ifndef MOE_KERNELS_H
#define MOE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Rows of the table of types in tensor.c, and columns of the tables of kernels. */
enum kernel_type {
	KERNEL_F32,
	KERNEL_F16,
	KERNEL_BF16,
	KERNEL_Q8_0,
	KERNEL_Q4_0,
	KERNEL_Q4_K,
	KERNEL_Q5_K,
	KERNEL_Q6_K,
	KERNEL_TYPES
};

/* y[i][r] = W[r] . x[i]: rows 0 .. n_rows - 1 of w, which are stride_y apart in y from one vector to the next. */
typedef void kernel_matmul_fn(const void *w, size_t n_rows, size_t n_cols, const float *x, size_t n_x, float *y,
                              size_t stride_y);

/* Vectors rounded to eight bits in blocks of 256, x = scale q, for products in integers. Rows are padded with zeros to whole
 * strides of 64 columns. Made by rounded_fill (rounded.h). */
struct rounded {
	size_t n_cols;          /* of the vectors, a multiple of 32 */
	size_t stride_cols;     /* padded */
	const int8_t *q;        /* [n_x][stride_cols], -127 .. 127 */
	const uint8_t *shifted; /* [n_x][stride_cols]: q + 128 */
	const float *scale;     /* [n_x][stride_cols / 256] */
	const float *totals;    /* [n_x][stride_cols / 32]: scale times the sum of 32 q */
};

typedef void kernel_rounded_fn(const void *w, size_t n_rows, const struct rounded *x, size_t n_x, float *y,
                               size_t stride_y);

/* Rounds n_cols numbers as rounded.h says. scale: one for each 256 columns, totals: one for each 32. */
typedef void kernel_round_fn(const float *x, size_t n_cols, int8_t *q, float *scale, float *totals);

/* gate[i] = silu(gate[i]) up[i]. The same bits in every set. */
typedef void kernel_gate_fn(float *gate, const float *up, size_t n);

struct kernels {
	const char *name;
	kernel_round_fn *round;
	kernel_gate_fn *gate;
	kernel_matmul_fn *matmul[KERNEL_TYPES];
	kernel_rounded_fn *rounded[KERNEL_TYPES]; /* NULL: matmul serves both modes */
};

extern const struct kernels kernels_avx512, kernels_avx2, kernels_plain;

/* The best set that this processor runs. */
const struct kernels *kernels_best(void);
/* The i-th set that it runs, the best first; NULL at the end. */
const struct kernels *kernels_at(size_t i);

#endif
