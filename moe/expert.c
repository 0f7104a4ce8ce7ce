#include "moe/expert.h"

#include <errno.h>
#include <stdlib.h>

#include "moe/swiglu.h"

enum { ROWS_MAX = 4096 };

struct moe_expert_ctx {
	const struct moe_model *m;
	size_t max_rows;
	struct moe_expert_stats stats;
	struct matmul *matmul;
	float *gate, *up; /* [max_rows][n_ff] */
};

struct moe_expert_ctx *moe_expert_ctx_create(const struct moe_model *m, size_t max_rows, const struct moe_compute *how)
{
	if (max_rows < 1 || max_rows > ROWS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct moe_expert_ctx *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->m = m;
	s->max_rows = max_rows;
	size_t max_cols = m->shape.n_ff > m->shape.n_embd ? m->shape.n_ff : m->shape.n_embd;
	s->matmul = matmul_create(how, max_rows, max_cols);
	s->gate = matmul_vectors(max_rows * m->shape.n_ff);
	s->up = matmul_vectors(max_rows * m->shape.n_ff);
	if (!s->matmul || !s->gate || !s->up) {
		moe_expert_ctx_destroy(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

void moe_expert_ctx_destroy(struct moe_expert_ctx *s)
{
	if (!s)
		return;
	free(s->up);
	free(s->gate);
	matmul_destroy(s->matmul);
	free(s);
}

static void run_rows(struct moe_expert_ctx *s, size_t layer, size_t expert, const float *x, size_t rows, float *y)
{
	const struct moe_layer *l = &s->m->layers[layer];
	size_t n_ff = s->m->shape.n_ff, n_embd = s->m->shape.n_embd;
	const struct swiglu w = {
		.gate = tensor_rows(&l->gate, expert * n_ff, n_ff),
		.up = tensor_rows(&l->up, expert * n_ff, n_ff),
		.down = tensor_rows(&l->down, expert * n_embd, n_embd),
	};
	swiglu_run(&w, s->matmul, x, rows, s->gate, s->up, y);
}

int moe_expert_forward(struct moe_expert_ctx *s, size_t layer, size_t expert, const float *x, size_t rows, float *y)
{
	const struct moe_shape *shape = &s->m->shape;
	if (layer >= shape->n_layer || expert >= shape->n_expert || !rows)
		return -EINVAL;
	if (!moe_model_holds(s->m, layer, expert)) {
		s->stats.not_held++;
		return -ENOENT;
	}
	if (!tensor_all_finite(x, rows * shape->n_embd)) {
		s->stats.non_finite++;
		return -EDOM;
	}
	for (size_t row = 0; row < rows; row += s->max_rows) {
		size_t n = rows - row < s->max_rows ? rows - row : s->max_rows;
		run_rows(s, layer, expert, x + row * shape->n_embd, n, y + row * shape->n_embd);
	}
	if (!tensor_all_finite(y, rows * shape->n_embd)) {
		s->stats.non_finite++;
		return -EDOM;
	}
	s->stats.calls++;
	s->stats.rows += rows;
	return 0;
}

void moe_expert_get_stats(const struct moe_expert_ctx *s, struct moe_expert_stats *stats)
{
	*stats = s->stats;
}
