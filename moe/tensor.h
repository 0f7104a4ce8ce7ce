/* tensor.h - tensor types and the one kernel everything rests on: y = W x, row by row.
 *
 * A weight matrix is n_rows rows of n_cols numbers in a tensor type of the table below (F32, F16, BF16 or blocks of small
 * integers with scales, quants.h); activations and results are f32. Weights are made f32 in registers as they are read, never in
 * memory: a decoding step is bound by memory bandwidth.
 *
 * The numeric rule: y[r] is one sum with an order of its own. Column c goes to lane c % 16; each lane adds its products
 * in order of c with fused multiply-adds; the 16 lanes are added as a tree (8, 4, 2, 1 apart). Nothing else enters: not
 * the other rows, not how many activation vectors share a call, not threads, not the instruction set (without FMA
 * hardware the C library computes the same fused result). So wherever and however an expert is run, the bits are the
 * same.
 */
#ifndef MOE_TENSOR_H
#define MOE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "moe/kernels.h"

struct tensor_type {
	uint32_t id; /* number in GGUF */
	const char *name;
	size_t block; /* numbers per block; a row is whole blocks */
	size_t bytes; /* per block */
	/* n numbers (whole blocks) of src as f32 to dst. */
	void (*to_float)(const void *src, float *dst, size_t n);
};

/* Type by its GGUF number; NULL if this program does not read it. */
const struct tensor_type *tensor_type_by_id(uint32_t id);
/* The i-th type read here; NULL at the end. */
const struct tensor_type *tensor_type_at(size_t i);
/* Name of a GGUF type number, whether read here or not; "unknown" if nobody knows it. */
const char *tensor_type_name(uint32_t id);

/* Its column in the tables of kernels.h. */
enum kernel_type tensor_kernel_type(const struct tensor_type *type);

/* A weight matrix in place: the bytes belong to the mapped file. data NULL: absent (an optional tensor). */
struct tensor {
	const struct tensor_type *type;
	const void *data;
	size_t n_rows, n_cols;
};

size_t tensor_row_bytes(const struct tensor *t);
const void *tensor_row(const struct tensor *t, size_t row);
/* n rows of t as a matrix of their own. */
struct tensor tensor_rows(const struct tensor *t, size_t first, size_t n);

/* Row `row` as f32: n_cols numbers to dst. */
void tensor_row_to_float(const struct tensor *t, size_t row, float *dst);

/* y[i][r] = sum over c of W[r][c] x[i][c] for n_x activation vectors. x: [n_x][n_cols], y: [n_x][n_rows], apart from
 * each other. */
void tensor_matmul(const struct tensor *w, const float *x, size_t n_x, float *y);

/* The same sum for two f32 vectors of n numbers. */
float tensor_dot(const float *a, const float *b, size_t n);

/* e^x from fused operations only, so the same bits on every machine; relative error below 2e-7, 0 below -87,
 * +INFINITY above 88.7, NaN for NaN. */
float tensor_exp(float x);

/* 1 if all n numbers are finite. */
int tensor_all_finite(const float *x, size_t n);

#endif
