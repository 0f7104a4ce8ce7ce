#include "moe/tensor.h"

#include <math.h>
#include <string.h>

#include "moe/exp_parts.h"
#include "moe/kernels.h"
#include "moe/quants.h"

/* --- types as plain numbers: what the kernels' weights must equal, bit for bit --- */

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

static void bf16_to_float(const void *src, float *dst, size_t n)
{
	const uint16_t *p = src;
	for (size_t i = 0; i < n; i++)
		dst[i] = bf16_value(p[i]);
}

static void q8_0_to_float(const void *src, float *dst, size_t n)
{
	const struct q8_0_block *p = src;
	for (size_t i = 0; i < n; i++)
		dst[i] = (float)p[i / 32].q[i % 32] * f16_value(p[i / 32].d);
}

static void q4_0_to_float(const void *src, float *dst, size_t n)
{
	const struct q4_0_block *p = src;
	for (size_t i = 0; i < n; i++) {
		int q = p[i / 32].q[i % 16] >> (i % 32 / 16 * 4) & 15;
		dst[i] = (float)(q - 8) * f16_value(p[i / 32].d);
	}
}

static void q4_k_to_float(const void *src, float *dst, size_t n)
{
	uint8_t scale[2 * QUANT_SUBS], *min = scale + QUANT_SUBS;
	for (const struct q4_k_block *p = src; n; p++, n -= QUANT_SUPER) {
		quant_bytes both = quant_scales(quant_front(p));
		memcpy(scale, &both, sizeof both);
		for (size_t sub = 0; sub < QUANT_SUBS; sub++)
			for (size_t i = 0; i < QUANT_BLOCK; i++) {
				int q = p->q[sub / 2 * 32 + i] >> (sub % 2 * 4) & 15;
				*dst++ = fmaf(f16_value(p->d) * scale[sub], (float)q, -(f16_value(p->dmin) * min[sub]));
			}
	}
}

static void q5_k_to_float(const void *src, float *dst, size_t n)
{
	uint8_t scale[2 * QUANT_SUBS], *min = scale + QUANT_SUBS;
	for (const struct q5_k_block *p = src; n; p++, n -= QUANT_SUPER) {
		quant_bytes both = quant_scales(quant_front(p));
		memcpy(scale, &both, sizeof both);
		for (size_t sub = 0; sub < QUANT_SUBS; sub++)
			for (size_t i = 0; i < QUANT_BLOCK; i++) {
				int q = (p->q[sub / 2 * 32 + i] >> (sub % 2 * 4) & 15) | (p->high[i] >> sub & 1) << 4;
				*dst++ = fmaf(f16_value(p->d) * scale[sub], (float)q, -(f16_value(p->dmin) * min[sub]));
			}
	}
}

static void q6_k_to_float(const void *src, float *dst, size_t n)
{
	for (const struct q6_k_block *p = src; n; p++, n -= QUANT_SUPER)
		for (size_t i = 0; i < QUANT_SUPER; i++) {
			size_t half = i / 128, sub = i % 128 / 32, at = i % 32;
			int low = p->low[64 * half + sub % 2 * 32 + at] >> (sub / 2 * 4) & 15;
			int q = low | (p->high[32 * half + at] >> (2 * sub) & 3) << 4;
			*dst++ = (float)(q - 32) * (f16_value(p->d) * p->scales[i / 16]);
		}
}

static const struct tensor_type types[KERNEL_TYPES] = {
	[KERNEL_F32] = { 0, "F32", 1, 4, f32_to_float },
	[KERNEL_F16] = { 1, "F16", 1, 2, f16_to_float },
	[KERNEL_BF16] = { 30, "BF16", 1, 2, bf16_to_float },
	[KERNEL_Q8_0] = { 8, "Q8_0", QUANT_BLOCK, sizeof(struct q8_0_block), q8_0_to_float },
	[KERNEL_Q4_0] = { 2, "Q4_0", QUANT_BLOCK, sizeof(struct q4_0_block), q4_0_to_float },
	[KERNEL_Q4_K] = { 12, "Q4_K", QUANT_SUPER, sizeof(struct q4_k_block), q4_k_to_float },
	[KERNEL_Q5_K] = { 13, "Q5_K", QUANT_SUPER, sizeof(struct q5_k_block), q5_k_to_float },
	[KERNEL_Q6_K] = { 14, "Q6_K", QUANT_SUPER, sizeof(struct q6_k_block), q6_k_to_float },
};

enum kernel_type tensor_kernel_type(const struct tensor_type *type)
{
	return (enum kernel_type)(type - types);
}

const struct tensor_type *tensor_type_by_id(uint32_t id)
{
	for (size_t i = 0; i < KERNEL_TYPES; i++)
		if (types[i].id == id)
			return &types[i];
	return NULL;
}

const struct tensor_type *tensor_type_at(size_t i)
{
	return i < KERNEL_TYPES ? &types[i] : NULL;
}

/* --- which kernels --- */

#ifdef __x86_64__
static int runs_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512vnni");
}

static int runs_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); /* F16C is older than both */
}
#endif

static int runs_anywhere(void)
{
	return 1;
}

static const struct {
	const struct kernels *kernels;
	int (*runs)(void); /* on this processor */
} sets[] = {
/* the fastest first */
#ifdef __x86_64__
	{ &kernels_avx512, runs_avx512 },
	{ &kernels_avx2, runs_avx2 },
#endif
	{ &kernels_plain, runs_anywhere },
};

const struct kernels *kernels_at(size_t i)
{
	for (size_t k = 0; k < sizeof sets / sizeof sets[0]; k++)
		if (sets[k].runs() && !i--)
			return sets[k].kernels;
	return NULL;
}

const struct kernels *kernels_best(void)
{
	return kernels_at(0);
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
	kernels_best()->matmul[tensor_kernel_type(w->type)](w->data, w->n_rows, w->n_cols, x, n_x, y, w->n_rows);
}

float tensor_dot(const float *a, const float *b, size_t n)
{
	float y;
	kernels_best()->matmul[KERNEL_F32](a, 1, n, b, 1, &y, 1);
	return y;
}

float tensor_exp(float x)
{
	struct exp_parts e = exp_parts(x);
	return e.mantissa * e.power;
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
