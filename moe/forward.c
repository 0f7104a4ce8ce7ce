#include "moe/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	EXPERT_ROWS = 64, /* worked on at once: their scratch stays in the cache */
	LOGITS_ROWS = 64,
};

struct moe_forward {
	const struct moe_model *m;
	struct moe_ctx *ctx;
	struct moe_expert_ctx *experts;
	moe_select_fn *select;
	void *select_user;
	moe_logits_fn *each;
	void *each_user;
	struct moe_choice *chosen; /* [max_rows][n_expert]: of the first n_chosen[row] */
	size_t *n_chosen;          /* [max_rows] */
	float *x, *y;              /* [max_rows][n_embd]: the rows of one expert */
	float *results;            /* [n_expert][max_rows][n_embd]: of a row's first, second, ... expert */
	struct moe_part *parts;    /* [n_expert] */
	const struct codec *down, *up;
	uint8_t *coded; /* one row, as long as the longest codec makes it */
};

struct moe_forward *moe_forward_create(const struct moe_model *m, const struct moe_ctx_options *o)
{
	size_t max_rows = o->max_rows, n_embd = m->shape.n_embd, n_expert = m->shape.n_expert;
	struct moe_forward *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->m = m;
	f->ctx = moe_ctx_create(m, o);
	f->experts =
	        f->ctx ? moe_expert_ctx_create(m, max_rows < EXPERT_ROWS ? max_rows : EXPERT_ROWS, &o->compute) : NULL;
	if (!f->experts) {
		int error = errno;
		moe_forward_destroy(f);
		errno = error;
		return NULL;
	}
	f->chosen = calloc(max_rows * n_expert, sizeof *f->chosen);
	f->n_chosen = calloc(max_rows, sizeof *f->n_chosen);
	f->x = matmul_vectors(max_rows * n_embd);
	f->y = matmul_vectors(max_rows * n_embd);
	f->results = calloc(n_expert * max_rows * n_embd, sizeof *f->results);
	f->parts = calloc(n_expert, sizeof *f->parts);
	f->coded = malloc(codec_bytes_max(n_embd));
	if (!f->chosen || !f->n_chosen || !f->x || !f->y || !f->results || !f->parts || !f->coded) {
		moe_forward_destroy(f);
		errno = ENOMEM;
		return NULL;
	}
	return f;
}

void moe_forward_destroy(struct moe_forward *f)
{
	if (!f)
		return;
	free(f->coded);
	free(f->parts);
	free(f->results);
	free(f->y);
	free(f->x);
	free(f->n_chosen);
	free(f->chosen);
	moe_expert_ctx_destroy(f->experts);
	moe_ctx_destroy(f->ctx);
	free(f);
}

void moe_forward_set_select(struct moe_forward *f, moe_select_fn *select, void *user)
{
	f->select = select;
	f->select_user = user;
}

void moe_forward_set_logits(struct moe_forward *f, moe_logits_fn *each, void *user)
{
	f->each = each;
	f->each_user = user;
}

void moe_forward_set_codecs(struct moe_forward *f, const struct codec *down, const struct codec *up)
{
	f->down = down;
	f->up = up;
}

struct moe_ctx *moe_forward_ctx(struct moe_forward *f)
{
	return f->ctx;
}

static void select_experts(struct moe_forward *f, size_t layer, size_t row)
{
	struct moe_choice *chosen = f->chosen + row * f->m->shape.n_expert;
	const struct moe_choice *topk = moe_topk(f->ctx, row);
	f->n_chosen[row] = f->m->shape.n_expert_used;
	if (f->select)
		f->n_chosen[row] = f->select(f->select_user, layer, row, moe_router_probs(f->ctx, row), topk, chosen);
	else
		memcpy(chosen, topk, f->n_chosen[row] * sizeof *chosen);
}

/* Which of a row's choices is the expert: n_chosen[row] if none. */
static size_t slot_of(const struct moe_forward *f, size_t row, size_t expert)
{
	const struct moe_choice *chosen = f->chosen + row * f->m->shape.n_expert;
	size_t slot = 0;
	while (slot < f->n_chosen[row] && chosen[slot].expert != expert)
		slot++;
	return slot;
}

static float *result(const struct moe_forward *f, size_t slot, size_t row)
{
	return f->results + (slot * moe_max_rows(f->ctx) + row) * f->m->shape.n_embd;
}

/* n rows there and back again through a codec, NULL for none. */
static int through(const struct moe_forward *f, const struct codec *c, float *rows, size_t n)
{
	size_t n_embd = f->m->shape.n_embd;
	int rc = 0;
	for (size_t i = 0; i < n && c && !rc; i++) {
		rc = c->encode(rows + i * n_embd, n_embd, f->coded);
		if (!rc)
			rc = c->decode(f->coded, n_embd, rows + i * n_embd);
	}
	return rc;
}

/* All rows of the chunk that go to one expert, in one call. */
static int run_expert(struct moe_forward *f, size_t layer, size_t expert)
{
	size_t n_embd = f->m->shape.n_embd, n_rows = moe_n_rows(f->ctx), n = 0;
	for (size_t row = 0; row < n_rows; row++)
		if (slot_of(f, row, expert) < f->n_chosen[row])
			memcpy(f->x + n++ * n_embd, moe_hidden(f->ctx, row), n_embd * sizeof *f->x);
	int rc = through(f, f->down, f->x, n);
	if (n && !rc)
		rc = moe_expert_forward(f->experts, layer, expert, f->x, n, f->y);
	if (!rc)
		rc = through(f, f->up, f->y, n);
	n = 0;
	for (size_t row = 0; row < n_rows && !rc; row++) {
		size_t slot = slot_of(f, row, expert);
		if (slot < f->n_chosen[row])
			memcpy(result(f, slot, row), f->y + n++ * n_embd, n_embd * sizeof *f->y);
	}
	return rc;
}

static int combine_row(struct moe_forward *f, size_t layer, size_t row)
{
	const struct moe_choice *chosen = f->chosen + row * f->m->shape.n_expert;
	for (size_t slot = 0; slot < f->n_chosen[row]; slot++)
		f->parts[slot] = (struct moe_part){ chosen[slot].expert, chosen[slot].weight, result(f, slot, row) };
	return moe_combine(f->ctx, layer, row, f->parts, f->n_chosen[row]);
}

static int run_layer(struct moe_forward *f, size_t layer)
{
	int rc = moe_attend(f->ctx, layer);
	size_t n_rows = moe_n_rows(f->ctx);
	for (size_t row = 0; row < n_rows && !rc; row++)
		select_experts(f, layer, row);
	for (size_t expert = 0; expert < f->m->shape.n_expert && !rc; expert++)
		rc = run_expert(f, layer, expert);
	for (size_t row = 0; row < n_rows && !rc; row++)
		rc = combine_row(f, layer, row);
	return rc;
}

/* Tells the logits of all rows, as many at once as the context has room for. */
static int tell_logits(struct moe_forward *f, size_t start, size_t n)
{
	size_t most = moe_logits_rows_max(f->ctx), rows[LOGITS_ROWS];
	most = most < LOGITS_ROWS ? most : LOGITS_ROWS;
	int rc = 0;
	for (size_t at = 0; at < n && !rc; at += most) {
		size_t count = n - at < most ? n - at : most;
		for (size_t i = 0; i < count; i++)
			rows[i] = at + i;
		const float *logits = moe_logits_rows(f->ctx, rows, count);
		rc = logits ? 0 : -errno;
		for (size_t i = 0; i < count && !rc; i++)
			rc = f->each(f->each_user, start + at + i, logits + i * f->m->shape.n_vocab);
	}
	return rc;
}

static int run_layers(struct moe_forward *f)
{
	int rc = 0;
	for (size_t layer = 0; layer < f->m->shape.n_layer && !rc; layer++)
		rc = run_layer(f, layer);
	return rc;
}

int moe_forward_rows(struct moe_forward *f, const struct moe_row *rows, size_t n)
{
	int rc = moe_begin_rows(f->ctx, rows, n);
	return rc ? rc : run_layers(f);
}

static int run_chunk(struct moe_forward *f, const int32_t *tokens, size_t n)
{
	size_t start = moe_n_past(f->ctx, 0);
	int rc = moe_begin(f->ctx, tokens, n);
	if (!rc)
		rc = run_layers(f);
	return rc || !f->each ? rc : tell_logits(f, start, n);
}

int moe_forward_run(struct moe_forward *f, const int32_t *tokens, size_t n)
{
	size_t max_rows = moe_max_rows(f->ctx);
	if (n > moe_n_ctx(f->ctx) - moe_n_past(f->ctx, 0))
		return -ENOSPC;
	int rc = n ? 0 : -EINVAL;
	for (size_t at = 0; at < n && !rc; at += max_rows)
		rc = run_chunk(f, tokens + at, n - at < max_rows ? n - at : max_rows);
	return rc;
}

const float *moe_forward_logits(struct moe_forward *f)
{
	size_t n_rows = moe_n_rows(f->ctx);
	if (!n_rows) {
		errno = EPROTO;
		return NULL;
	}
	return moe_logits(f->ctx, n_rows - 1);
}
