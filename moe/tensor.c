#include "moe/tensor.h"

#include <math.h>
#include <string.h>

#include "moe/lanes.h"

/* A kernel reads a weight row CHUNK columns at a time: two registers of lanes, one Q8_0 block. */
enum { CHUNK = 2 * LANES };

struct chunk {
	lanes a, b; /* columns 0 .. 15 and 16 .. 31 of the chunk */
};

/* Chunk i of a row, all of it inside the row. */
typedef struct chunk load_fn(const void *row, size_t i);

/* --- how each type is read --- */

struct q8_0_block {
	uint16_t scale; /* f16 */
	int8_t q[32];
};
_Static_assert(sizeof(struct q8_0_block) == 34, "as in the file");

static inline float f16_value(uint16_t bits)
{
#ifdef __F16C__
	return _cvtsh_ss(bits); /* the compiler's own choice with AVX-512 FP16 takes three times as long */
#else
	_Float16 h;
	memcpy(&h, &bits, sizeof h);
	return (float)h;
#endif
}

static inline struct chunk load_f32(const void *row, size_t i)
{
	const float *p = (const float *)row + i * CHUNK;
	return (struct chunk){ lanes_load(p), lanes_load(p + LANES) };
}

static inline struct chunk load_f16(const void *row, size_t i)
{
	const uint16_t *p = (const uint16_t *)row + i * CHUNK;
	return (struct chunk){ lanes_load_f16(p), lanes_load_f16(p + LANES) };
}

static inline struct chunk load_q8_0(const void *row, size_t i)
{
	const struct q8_0_block *p = (const struct q8_0_block *)row + i;
	float scale = f16_value(p->scale);
	return (struct chunk){ lanes_load_i8(p->q, scale), lanes_load_i8(p->q + LANES, scale) };
}

static void f32_to_float(const void *src, float *dst, size_t n)
{
	memcpy(dst, src, n * sizeof *dst);
}

static void f16_to_float(const void *src, float *dst, size_t n)
{
	const uint16_t *p = src;
	for (size_t i = 0; i < n; i++)
		dst[i] = f16_value(p[i]);
}

static void q8_0_to_float(const void *src, float *dst, size_t n)
{
	const struct q8_0_block *p = src;
	for (size_t i = 0; i < n; i++)
		dst[i] = (float)p[i / 32].q[i % 32] * f16_value(p[i / 32].scale);
}

/* --- the product --- */

/* Columns beyond the last whole chunk, with zeros behind: they add nothing to any lane. */
struct tail {
	size_t n; /* 0 .. CHUNK - 1 */
	float w[CHUNK], x[CHUNK];
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE lanes add_chunk(lanes sum, struct chunk w, const float *x)
{
	return lanes_fma(w.b, lanes_load(x + LANES), lanes_fma(w.a, lanes_load(x), sum));
}

static lanes add_tail(const struct tensor_type *type, lanes sum, const uint8_t *row, const float *x, size_t n_cols)
{
	struct tail t = { .n = n_cols % CHUNK };
	size_t start = n_cols - t.n;
	type->to_float(row + start / type->block * type->bytes, t.w, t.n);
	memcpy(t.x, x + start, t.n * sizeof t.x[0]);
	return add_chunk(sum, (struct chunk){ lanes_load(t.w), lanes_load(t.w + LANES) }, t.x);
}

/* A tile of n_r weight rows by n_x activation rows, both constants where this is inlined: its sums stay in registers
 * and a weight, once made f32, serves n_x products. Each of the sums is the sum of tensor.h. */
ALWAYS_INLINE void tile(const struct tensor_type *type, load_fn *load, size_t n_r, size_t n_x, const uint8_t *w,
                        size_t row_bytes, size_t n_rows, size_t n_cols, const float *x, float *y)
{
	lanes sum[8][4];
	for (size_t r = 0; r < n_r; r++)
		for (size_t i = 0; i < n_x; i++)
			sum[r][i] = lanes_zero();
	for (size_t c = 0; c < n_cols / CHUNK; c++)
		for (size_t r = 0; r < n_r; r++) {
			/* the same place in the next tile: rows are too short for the hardware to follow each */
			__builtin_prefetch(w + (r + n_r) * row_bytes + c * (CHUNK / type->block * type->bytes));
			struct chunk k = load(w + r * row_bytes, c);
			for (size_t i = 0; i < n_x; i++)
				sum[r][i] = add_chunk(sum[r][i], k, x + i * n_cols + c * CHUNK);
		}
	if (n_cols % CHUNK)
		for (size_t r = 0; r < n_r; r++)
			for (size_t i = 0; i < n_x; i++)
				sum[r][i] = add_tail(type, sum[r][i], w + r * row_bytes, x + i * n_cols, n_cols);
	for (size_t r = 0; r < n_r; r++)
		for (size_t i = 0; i < n_x; i++)
			y[i * n_rows + r] = lanes_sum(sum[r][i]);
}

/* Many activation rows: 4 x 4 tiles. One: 8 weight rows at once, so that eight sums hide the latency of one. */
ALWAYS_INLINE void matmul(const struct tensor_type *type, load_fn *load, const void *weights, size_t n_rows,
                          size_t n_cols, const float *x, size_t n_x, float *y)
{
	const uint8_t *w = weights;
	size_t row_bytes = n_cols / type->block * type->bytes;
	size_t r = 0;
	for (; r + 8 <= n_rows; r += 8, w += 8 * row_bytes) {
		size_t i = 0;
		for (; i + 4 <= n_x; i += 4) {
			const uint8_t *half = w + 4 * row_bytes;
			tile(type, load, 4, 4, w, row_bytes, n_rows, n_cols, x + i * n_cols, y + i * n_rows + r);
			tile(type, load, 4, 4, half, row_bytes, n_rows, n_cols, x + i * n_cols, y + i * n_rows + r + 4);
		}
		for (; i + 2 <= n_x; i += 2)
			tile(type, load, 8, 2, w, row_bytes, n_rows, n_cols, x + i * n_cols, y + i * n_rows + r);
		for (; i < n_x; i++)
			tile(type, load, 8, 1, w, row_bytes, n_rows, n_cols, x + i * n_cols, y + i * n_rows + r);
	}
	for (; r < n_rows; r++, w += row_bytes)
		for (size_t i = 0; i < n_x; i++)
			tile(type, load, 1, 1, w, row_bytes, n_rows, n_cols, x + i * n_cols, y + i * n_rows + r);
}

static const struct tensor_type types[];
enum { ROW_F32, ROW_F16, ROW_Q8_0, N_TYPES };

static void f32_matmul(const void *w, size_t n_rows, size_t n_cols, const float *x, size_t n_x, float *y)
{
	matmul(&types[ROW_F32], load_f32, w, n_rows, n_cols, x, n_x, y);
}

static void f16_matmul(const void *w, size_t n_rows, size_t n_cols, const float *x, size_t n_x, float *y)
{
	matmul(&types[ROW_F16], load_f16, w, n_rows, n_cols, x, n_x, y);
}

static void q8_0_matmul(const void *w, size_t n_rows, size_t n_cols, const float *x, size_t n_x, float *y)
{
	matmul(&types[ROW_Q8_0], load_q8_0, w, n_rows, n_cols, x, n_x, y);
}

static const struct tensor_type types[N_TYPES] = {
	[ROW_F32] = { 0, "F32", 1, 4, f32_to_float, f32_matmul },
	[ROW_F16] = { 1, "F16", 1, 2, f16_to_float, f16_matmul },
	[ROW_Q8_0] = { 8, "Q8_0", 32, 34, q8_0_to_float, q8_0_matmul },
};

const struct tensor_type *tensor_type_by_id(uint32_t id)
{
	for (size_t i = 0; i < N_TYPES; i++)
		if (types[i].id == id)
			return &types[i];
	return NULL;
}

const char *tensor_type_name(uint32_t id)
{
	static const char *const names[] = {
		[0] = "F32",  [1] = "F16",   [2] = "Q4_0",  [3] = "Q4_1",  [6] = "Q5_0",  [7] = "Q5_1",  [8] = "Q8_0",
		[9] = "Q8_1", [10] = "Q2_K", [11] = "Q3_K", [12] = "Q4_K", [13] = "Q5_K", [14] = "Q6_K", [15] = "Q8_K",
		[24] = "I8",  [25] = "I16",  [26] = "I32",  [27] = "I64",  [28] = "F64",  [30] = "BF16",
	};
	return id < sizeof names / sizeof names[0] && names[id] ? names[id] : "unknown";
}

size_t tensor_row_bytes(const struct tensor *t)
{
	return t->n_cols / t->type->block * t->type->bytes;
}

const void *tensor_row(const struct tensor *t, size_t row)
{
	return (const uint8_t *)t->data + row * tensor_row_bytes(t);
}

struct tensor tensor_rows(const struct tensor *t, size_t first, size_t n)
{
	return (struct tensor){ t->type, tensor_row(t, first), n, t->n_cols };
}

void tensor_row_to_float(const struct tensor *t, size_t row, float *dst)
{
	t->type->to_float(tensor_row(t, row), dst, t->n_cols);
}

void tensor_matmul(const struct tensor *w, const float *x, size_t n_x, float *y)
{
	w->type->matmul(w->data, w->n_rows, w->n_cols, x, n_x, y);
}

float tensor_dot(const float *a, const float *b, size_t n)
{
	float y;
	f32_matmul(a, 1, n, b, 1, &y);
	return y;
}

/* exp(x) = 2^k exp(r), |r| <= ln(2) / 2: ln(2) in two parts, then the Taylor sum to r^7 / 7!. */
float tensor_exp(float x)
{
	if (!(x > -87.0f))
		return isnan(x) ? x : 0;
	if (x > 88.7f)
		return INFINITY;
	float k = rintf(x * 1.44269504f);
	float r = fmaf(-k, 0.693145752f, x);
	r = fmaf(-k, 1.42860677e-6f, r);
	float p = 1.0f / 5040;
	p = fmaf(p, r, 1.0f / 720);
	p = fmaf(p, r, 1.0f / 120);
	p = fmaf(p, r, 1.0f / 24);
	p = fmaf(p, r, 1.0f / 6);
	p = fmaf(p, r, 0.5f);
	p = fmaf(p, r, 1.0f);
	p = fmaf(p, r, 1.0f);
	int32_t half = (int32_t)k / 2; /* 2^128 is no float: two factors */
	int32_t rest = (int32_t)k - half;
	uint32_t bits[2] = { (uint32_t)(half + 127) << 23, (uint32_t)(rest + 127) << 23 };
	float scale[2];
	memcpy(scale, bits, sizeof scale);
	return p * scale[0] * scale[1];
}

int tensor_all_finite(const float *x, size_t n)
{
	uint32_t bad = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, &x[i], sizeof bits);
		bad |= (bits & 0x7f800000u) == 0x7f800000u;
	}
	return !bad;
}
