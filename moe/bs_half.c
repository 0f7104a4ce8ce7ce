#include "moe/bs_half.h"

#include <cblas.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES_MAX = 1024 };

/* What may be called next. */
enum stage {
	STAGE_IDLE,    /* moe_begin */
	STAGE_ATTEND,  /* moe_attend of `layer` */
	STAGE_EXPERTS, /* moe_combine of the n_open rows of `layer` */
	STAGE_DONE,    /* moe_logits, moe_begin */
	STAGE_LOST,    /* moe_rewind */
};

/* Where a row stands in its sequence. */
struct place {
	size_t sequence, position;
};

struct moe_ctx {
	const struct moe_model *m;
	struct matmul *matmul;
	size_t n_ctx, max_rows, n_sequences, logits_rows;
	enum stage stage;
	size_t layer;
	size_t *n_past;       /* [n_sequences]: tokens before the chunk, and with it once it is done */
	struct place *place;  /* [max_rows] */
	struct moe_row *rows; /* [max_rows]: of moe_begin */
	size_t n_rows, n_open;
	bool *open;                 /* [max_rows]: row awaits its experts */
	struct moe_choice *choices; /* [max_rows][n_expert_used] */
	size_t *order;              /* [n_expert]: parts in order of probability */
	struct moe_ctx_stats stats;
	float *floats;                /* one block for all of the following */
	float *keys, *values;         /* [n_sequences][n_layer][n_ctx][width] */
	float *new_keys, *new_values; /* [max_rows][width] */
	float *rope;                  /* [n_ctx][n_rot / 2][cos, sin] */
	float *residual;              /* [max_rows][n_embd] */
	float *hidden;                /* [max_rows][n_embd] */
	float *queries;               /* [max_rows][n_head * head_dim_k] */
	float *attended;              /* [max_rows][n_head * head_dim_v] */
	float *projected;             /* [max_rows][n_embd] */
	float *probs;                 /* [max_rows][n_expert] */
	float *scores;                /* [n_ctx] */
	float *shared;                /* [max_rows][n_embd]: what the shared expert says */
	float *gate, *up;             /* [max_rows][n_ff_shared] */
	float *sum;                   /* [logits_rows][n_embd] */
	float *logits;                /* [logits_rows][n_vocab] */
};

/* --- create, destroy --- */

/* Each part begins a line of the cache: matmul_vectors. */
static int carve_floats(struct moe_ctx *c)
{
	enum { FLOATS_A_LINE = MATMUL_ALIGNMENT / sizeof(float) };
	const struct moe_shape *s = &c->m->shape;
	size_t rows = c->max_rows, positions = c->n_sequences * s->n_layer * c->n_ctx;
	struct {
		float **at;
		size_t n;
	} parts[] = {
		{ &c->keys, positions * s->n_head_kv * s->head_dim_k },
		{ &c->values, positions * s->n_head_kv * s->head_dim_v },
		{ &c->new_keys, rows * s->n_head_kv * s->head_dim_k },
		{ &c->new_values, rows * s->n_head_kv * s->head_dim_v },
		{ &c->rope, c->n_ctx * s->n_rot },
		{ &c->residual, rows * s->n_embd },
		{ &c->hidden, rows * s->n_embd },
		{ &c->queries, rows * s->n_head * s->head_dim_k },
		{ &c->attended, rows * s->n_head * s->head_dim_v },
		{ &c->projected, rows * s->n_embd },
		{ &c->probs, rows * s->n_expert },
		{ &c->scores, c->n_ctx },
		{ &c->shared, s->n_ff_shared ? rows * s->n_embd : 0 },
		{ &c->gate, rows * s->n_ff_shared },
		{ &c->up, rows * s->n_ff_shared },
		{ &c->sum, c->logits_rows * s->n_embd },
		{ &c->logits, c->logits_rows * s->n_vocab },
	};
	size_t n_parts = sizeof parts / sizeof parts[0], total = 0;
	for (size_t i = 0; i < n_parts; i++)
		total += parts[i].n + FLOATS_A_LINE;
	c->floats = calloc(total, sizeof *c->floats); /* zeros that take no memory before they are wanted */
	if (!c->floats)
		return -ENOMEM;
	float *next = c->floats;
	for (size_t i = 0; i < n_parts; i++) {
		next += -((uintptr_t)next / sizeof *next) % FLOATS_A_LINE;
		*parts[i].at = next;
		next += parts[i].n;
	}
	return 0;
}

/* Angle of pair i at position p: p base^(-2 i / n_rot). */
static void fill_rope(struct moe_ctx *c)
{
	const struct moe_shape *s = &c->m->shape;
	size_t n_pairs = s->n_rot / 2;
	for (size_t i = 0; i < n_pairs; i++) {
		double step = pow(s->rope_base, -2.0 * (double)i / (double)s->n_rot);
		for (size_t p = 0; p < c->n_ctx; p++) {
			float *pair = c->rope + (p * n_pairs + i) * 2;
			pair[0] = (float)cos((double)p * step);
			pair[1] = (float)sin((double)p * step);
		}
	}
}

/* Columns of the widest matrix of the half. */
static size_t widest(const struct moe_shape *s)
{
	size_t attended = s->n_head * s->head_dim_v, n = s->n_embd > s->n_ff_shared ? s->n_embd : s->n_ff_shared;
	return n > attended ? n : attended;
}

static int make_arrays(struct moe_ctx *c, const struct moe_compute *how)
{
	size_t most = c->max_rows > c->logits_rows ? c->max_rows : c->logits_rows;
	c->matmul = matmul_create(how, most, widest(&c->m->shape));
	c->n_past = calloc(c->n_sequences, sizeof *c->n_past);
	c->place = calloc(c->max_rows, sizeof *c->place);
	c->rows = calloc(c->max_rows, sizeof *c->rows);
	c->open = calloc(c->max_rows, sizeof *c->open);
	c->choices = calloc(c->max_rows * c->m->shape.n_expert_used, sizeof *c->choices);
	c->order = calloc(c->m->shape.n_expert, sizeof *c->order);
	return c->matmul && c->n_past && c->place && c->rows && c->open && c->choices && c->order ? carve_floats(c)
	                                                                                          : -ENOMEM;
}

struct moe_ctx *moe_ctx_create(const struct moe_model *m, const struct moe_ctx_options *o)
{
	size_t n_ctx = o->n_ctx ? o->n_ctx : m->shape.n_ctx, n_sequences = o->n_sequences ? o->n_sequences : 1;
	if (!m->has_base || n_ctx > m->shape.n_ctx || n_sequences > SEQUENCES_MAX || o->logits_rows > o->max_rows ||
	    o->max_rows < 1 || o->max_rows > n_ctx * n_sequences) {
		errno = EINVAL;
		return NULL;
	}
	struct moe_ctx *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->m = m;
	c->n_ctx = n_ctx;
	c->n_sequences = n_sequences;
	c->logits_rows = o->logits_rows ? o->logits_rows : n_sequences;
	c->max_rows = o->max_rows;
	if (make_arrays(c, &o->compute)) {
		moe_ctx_destroy(c);
		errno = ENOMEM;
		return NULL;
	}
	fill_rope(c);
	return c;
}

void moe_ctx_destroy(struct moe_ctx *c)
{
	if (!c)
		return;
	free(c->floats);
	free(c->order);
	free(c->choices);
	free(c->open);
	free(c->rows);
	free(c->place);
	free(c->n_past);
	matmul_destroy(c->matmul);
	free(c);
}

/* --- state --- */

static int out_of_order(struct moe_ctx *c)
{
	c->stats.out_of_order++;
	return -EPROTO;
}

int moe_rewind(struct moe_ctx *c, size_t sequence, size_t n_tokens)
{
	if (sequence >= c->n_sequences || n_tokens > c->n_past[sequence])
		return -EINVAL;
	c->n_past[sequence] = n_tokens;
	c->n_rows = c->n_open = 0;
	c->stage = STAGE_IDLE;
	return 0;
}

size_t moe_n_past(const struct moe_ctx *c, size_t sequence)
{
	return c->n_past[sequence];
}

size_t moe_n_sequences(const struct moe_ctx *c)
{
	return c->n_sequences;
}

size_t moe_logits_rows_max(const struct moe_ctx *c)
{
	return c->logits_rows;
}

size_t moe_n_ctx(const struct moe_ctx *c)
{
	return c->n_ctx;
}

size_t moe_max_rows(const struct moe_ctx *c)
{
	return c->max_rows;
}

size_t moe_n_rows(const struct moe_ctx *c)
{
	return c->n_rows;
}

void moe_ctx_get_stats(const struct moe_ctx *c, struct moe_ctx_stats *stats)
{
	*stats = c->stats;
}

const struct moe_model *moe_ctx_model(const struct moe_ctx *c)
{
	return c->m;
}

/* Gives the rows their places; -ENOSPC if a sequence has no more. */
static int place_rows(struct moe_ctx *c, const struct moe_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t position = c->n_past[rows[i].sequence];
		for (size_t k = i; k-- > 0;)
			if (rows[k].sequence == rows[i].sequence) {
				position = c->place[k].position + 1;
				break;
			}
		if (position >= c->n_ctx)
			return -ENOSPC;
		c->place[i] = (struct place){ rows[i].sequence, position };
	}
	return 0;
}

int moe_begin_rows(struct moe_ctx *c, const struct moe_row *rows, size_t n)
{
	const struct moe_shape *s = &c->m->shape;
	if (c->stage != STAGE_IDLE && c->stage != STAGE_DONE)
		return out_of_order(c);
	if (n < 1 || n > c->max_rows)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (rows[i].token < 0 || (size_t)rows[i].token >= s->n_vocab || rows[i].sequence >= c->n_sequences)
			return -EINVAL;
	int rc = place_rows(c, rows, n);
	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++)
		tensor_row_to_float(&c->m->embedding, (size_t)rows[i].token, c->residual + i * s->n_embd);
	for (size_t i = 0; i < n * s->n_embd; i++)
		c->residual[i] *= s->embedding_scale;
	c->n_rows = n;
	c->layer = 0;
	c->stage = STAGE_ATTEND;
	c->stats.tokens += n;
	return 0;
}

int moe_begin(struct moe_ctx *c, const int32_t *tokens, size_t n)
{
	if (n < 1 || n > c->max_rows)
		return c->stage == STAGE_IDLE || c->stage == STAGE_DONE ? -EINVAL : out_of_order(c);
	for (size_t i = 0; i < n; i++)
		c->rows[i] = (struct moe_row){ tokens[i], 0 };
	return moe_begin_rows(c, c->rows, n);
}

/* --- attention --- */

/* y = weight * x / sqrt(mean(x^2) + eps) */
static void rms_norm(const float *x, const float *weight, size_t n, float eps, float *y)
{
	float scale = 1.0f / sqrtf(tensor_dot(x, x, n) / (float)n + eps);
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * scale * weight[i];
}

static void add_rows(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

/* y += scale x, rounded once, so that a scale of 1 is a plain sum. */
static void add_scaled(float *y, const float *x, size_t n, float scale)
{
	for (size_t i = 0; i < n; i++)
		y[i] = fmaf(scale, x[i], y[i]);
}

/* Queries or keys of one row, n_heads heads in place. */
static void norm_heads(const struct moe_model *m, const float *weight, size_t n_heads, float *x)
{
	size_t all = n_heads * m->shape.head_dim_k;
	size_t n = m->arch->qk_norm == MOE_QK_NORM_HEAD ? m->shape.head_dim_k : all;
	for (size_t at = 0; at < all && weight; at += n)
		rms_norm(x + at, weight, n, m->shape.rms_eps, x + at);
}

static void add_bias(const float *bias, size_t n, size_t n_rows, float *y)
{
	for (size_t row = 0; bias && row < n_rows; row++)
		add_rows(y + row * n, bias, n);
}

/* Turns the rotary pairs of n_heads heads of one position. */
static void rotate(const struct moe_model *m, const float *rope, size_t n_heads, float *x)
{
	size_t n_pairs = m->shape.n_rot / 2;
	size_t apart = m->arch->rope_halves ? n_pairs : 1, step = m->arch->rope_halves ? 1 : 2;
	for (size_t h = 0; h < n_heads; h++, x += m->shape.head_dim_k)
		for (size_t i = 0; i < n_pairs; i++) {
			float *a = x + i * step, *b = a + apart, cos = rope[2 * i], sin = rope[2 * i + 1];
			float turned = fmaf(*a, cos, -(*b * sin));
			*b = fmaf(*a, sin, *b * cos);
			*a = turned;
		}
}

/* x[i] = exp(x[i]) / sum of them */
static void softmax(float *x, size_t n)
{
	float max = x[0], sum = 0;
	for (size_t i = 1; i < n; i++)
		max = x[i] > max ? x[i] : max;
	for (size_t i = 0; i < n; i++) {
		x[i] = tensor_exp(x[i] - max);
		sum += x[i];
	}
	for (size_t i = 0; i < n; i++)
		x[i] /= sum;
}

/* One head of one row over the n positions up to its own. The two products are BLAS calls: their shape is that of this
 * row alone, so batching cannot change their bits (moe_model_open sets one BLAS thread). */
static void attend_head(struct moe_ctx *c, size_t row, size_t head)
{
	const struct moe_shape *s = &c->m->shape;
	size_t kv_head = head / (s->n_head / s->n_head_kv), n = c->place[row].position + 1;
	size_t k_width = s->n_head_kv * s->head_dim_k, v_width = s->n_head_kv * s->head_dim_v;
	size_t first = (c->place[row].sequence * s->n_layer + c->layer) * c->n_ctx;
	const float *keys = c->keys + first * k_width + kv_head * s->head_dim_k;
	const float *values = c->values + first * v_width + kv_head * s->head_dim_v;
	const float *query = c->queries + (row * s->n_head + head) * s->head_dim_k;
	float *out = c->attended + (row * s->n_head + head) * s->head_dim_v;
	cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)s->head_dim_k, s->attention_scale, keys, (int)k_width,
	            query, 1, 0, c->scores, 1);
	softmax(c->scores, n);
	cblas_sgemv(CblasRowMajor, CblasTrans, (int)n, (int)s->head_dim_v, 1, values, (int)v_width, c->scores, 1, 0,
	            out, 1);
}

/* Queries, keys and values of all rows; the latter two go to the rows' places in the cache. */
static void project(struct moe_ctx *c, const struct moe_layer *l)
{
	const struct moe_shape *s = &c->m->shape;
	const struct matmul_task tasks[] = { { &l->q, c->queries }, { &l->k, c->new_keys }, { &l->v, c->new_values } };
	size_t k_width = l->k.n_rows, v_width = l->v.n_rows;
	matmul_run_all(c->matmul, tasks, 3, c->hidden, c->n_rows);
	add_bias(l->q_bias, l->q.n_rows, c->n_rows, c->queries);
	add_bias(l->k_bias, k_width, c->n_rows, c->new_keys);
	add_bias(l->v_bias, v_width, c->n_rows, c->new_values);
	for (size_t row = 0; row < c->n_rows; row++) {
		struct place p = c->place[row];
		size_t at = (p.sequence * s->n_layer + c->layer) * c->n_ctx + p.position;
		const float *rope = c->rope + p.position * s->n_rot;
		float *query = c->queries + row * l->q.n_rows, *key = c->new_keys + row * k_width;
		norm_heads(c->m, l->q_norm, s->n_head, query);
		norm_heads(c->m, l->k_norm, s->n_head_kv, key);
		rotate(c->m, rope, s->n_head, query);
		rotate(c->m, rope, s->n_head_kv, key);
		memcpy(c->keys + at * k_width, key, k_width * sizeof *key);
		memcpy(c->values + at * v_width, c->new_values + row * v_width, v_width * sizeof *key);
	}
}

static void attention(struct moe_ctx *c, const struct moe_layer *l)
{
	const struct moe_shape *s = &c->m->shape;
	for (size_t row = 0; row < c->n_rows; row++)
		rms_norm(c->residual + row * s->n_embd, l->attn_norm, s->n_embd, s->rms_eps,
		         c->hidden + row * s->n_embd);
	project(c, l);
	for (size_t row = 0; row < c->n_rows; row++)
		for (size_t head = 0; head < s->n_head; head++)
			attend_head(c, row, head);
	matmul_run(c->matmul, &l->o, c->attended, c->n_rows, c->projected);
	add_bias(l->o_bias, s->n_embd, c->n_rows, c->projected);
	add_scaled(c->residual, c->projected, c->n_rows * s->n_embd, s->residual_scale);
}

/* --- the shared expert --- */

/* Every token needs it, so its hidden states do not travel: it belongs to this half. */
static void run_shared(struct moe_ctx *c, const struct moe_layer *l)
{
	size_t n_embd = c->m->shape.n_embd;
	swiglu_run(&l->shared, c->matmul, c->hidden, c->n_rows, c->gate, c->up, c->shared);
	for (size_t row = 0; row < c->n_rows && l->shared_gate; row++) {
		float gate = tensor_dot(l->shared_gate, c->hidden + row * n_embd, n_embd);
		float open = 1.0f / (1.0f + tensor_exp(-gate));
		for (size_t i = 0; i < n_embd; i++)
			c->shared[row * n_embd + i] *= open;
	}
}

/* --- routing --- */

void moe_renormalise(const struct moe_model *m, struct moe_choice *choices, size_t n)
{
	float sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += choices[i].prob;
	sum = sum > MOE_RENORMALISE_MIN_SUM ? sum : MOE_RENORMALISE_MIN_SUM;
	for (size_t i = 0; i < n; i++)
		choices[i].weight = m->arch->renormalise ? choices[i].prob / sum : choices[i].prob;
}

/* 1 if expert a of the row comes before b: higher probability, of equals the lower number. */
static bool comes_before(const float *probs, size_t a, size_t b)
{
	return probs[a] > probs[b] || (probs[a] == probs[b] && a < b);
}

static void choose(struct moe_ctx *c, size_t row)
{
	const struct moe_shape *s = &c->m->shape;
	const float *probs = c->probs + row * s->n_expert;
	struct moe_choice *choices = c->choices + row * s->n_expert_used;
	size_t n = 0;
	for (size_t e = 0; e < s->n_expert; e++) { /* insertion into the best so far */
		size_t at = n;
		while (at && comes_before(probs, e, choices[at - 1].expert))
			at--;
		if (at == s->n_expert_used)
			continue;
		n += n < s->n_expert_used;
		memmove(choices + at + 1, choices + at, (n - 1 - at) * sizeof *choices);
		choices[at] = (struct moe_choice){ .expert = (uint32_t)e, .prob = probs[e] };
	}
	moe_renormalise(c->m, choices, n);
}

static void route(struct moe_ctx *c, const struct moe_layer *l)
{
	const struct moe_shape *s = &c->m->shape;
	tensor_matmul(&l->router, c->hidden, c->n_rows, c->probs);
	for (size_t row = 0; row < c->n_rows; row++) {
		softmax(c->probs + row * s->n_expert, s->n_expert);
		choose(c, row);
		c->open[row] = true;
	}
	c->n_open = c->n_rows;
}

int moe_attend(struct moe_ctx *c, size_t layer)
{
	const struct moe_shape *s = &c->m->shape;
	if (c->stage != STAGE_ATTEND || layer != c->layer)
		return out_of_order(c);
	const struct moe_layer *l = &c->m->layers[layer];
	attention(c, l);
	size_t n_bad = 0;
	for (size_t row = 0; row < c->n_rows; row++) {
		float *hidden = c->hidden + row * s->n_embd;
		rms_norm(c->residual + row * s->n_embd, l->ffn_norm, s->n_embd, s->rms_eps, hidden);
		n_bad += !tensor_all_finite(hidden, s->n_embd);
	}
	route(c, l);
	if (s->n_ff_shared)
		run_shared(c, l);
	for (size_t row = 0; row < c->n_rows && !n_bad; row++)
		n_bad += !tensor_all_finite(c->probs + row * s->n_expert, s->n_expert);
	c->stats.non_finite_hidden += n_bad;
	c->stage = n_bad ? STAGE_LOST : STAGE_EXPERTS;
	return n_bad ? -EDOM : 0;
}

const float *moe_hidden(const struct moe_ctx *c, size_t row)
{
	return c->hidden + row * c->m->shape.n_embd;
}

const float *moe_router_probs(const struct moe_ctx *c, size_t row)
{
	return c->probs + row * c->m->shape.n_expert;
}

const struct moe_choice *moe_topk(const struct moe_ctx *c, size_t row)
{
	return c->choices + row * c->m->shape.n_expert_used;
}

/* --- what came back from the experts --- */

static int check_parts(struct moe_ctx *c, const struct moe_part *parts, size_t n)
{
	const struct moe_shape *s = &c->m->shape;
	if (n > s->n_expert)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].expert >= s->n_expert)
			return -EINVAL;
		for (size_t j = 0; j < i; j++)
			if (parts[j].expert == parts[i].expert)
				return -EINVAL;
	}
	for (size_t i = 0; i < n; i++)
		if (!isfinite(parts[i].weight) || !tensor_all_finite(parts[i].y, s->n_embd)) {
			c->stats.non_finite_expert++;
			return -EDOM;
		}
	return 0;
}

static void sort_parts(struct moe_ctx *c, const float *probs, const struct moe_part *parts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = i;
		for (; at && comes_before(probs, parts[i].expert, parts[c->order[at - 1]].expert); at--)
			c->order[at] = c->order[at - 1];
		c->order[at] = i;
	}
}

/* The row is through this layer: when all are, the next begins. */
static void close_row(struct moe_ctx *c, size_t row)
{
	c->open[row] = false;
	if (--c->n_open)
		return;
	c->layer++;
	c->stage = STAGE_ATTEND;
	if (c->layer < c->m->shape.n_layer)
		return;
	c->stage = STAGE_DONE;
	for (size_t i = 0; i < c->n_rows; i++)
		c->n_past[c->place[i].sequence]++;
}

int moe_combine(struct moe_ctx *c, size_t layer, size_t row, const struct moe_part *parts, size_t n)
{
	size_t n_embd = c->m->shape.n_embd;
	if (c->stage != STAGE_EXPERTS || layer != c->layer || row >= c->n_rows || !c->open[row])
		return out_of_order(c);
	int rc = check_parts(c, parts, n);
	if (rc)
		return rc;
	sort_parts(c, moe_router_probs(c, row), parts, n);
	memset(c->sum, 0, n_embd * sizeof *c->sum);
	for (size_t k = 0; k < n; k++) {
		const struct moe_part *p = &parts[c->order[k]];
		for (size_t i = 0; i < n_embd; i++)
			c->sum[i] = fmaf(p->weight, p->y[i], c->sum[i]);
	}
	if (c->m->shape.n_ff_shared)
		add_rows(c->sum, c->shared + row * n_embd, n_embd);
	add_scaled(c->residual + row * n_embd, c->sum, n_embd, c->m->shape.residual_scale);
	c->stats.parts += n;
	close_row(c, row);
	return 0;
}

const float *moe_logits_rows(struct moe_ctx *c, const size_t *rows, size_t n)
{
	const struct moe_shape *s = &c->m->shape;
	if (c->stage != STAGE_DONE) {
		errno = -out_of_order(c);
		return NULL;
	}
	bool in_range = n >= 1 && n <= c->logits_rows;
	for (size_t i = 0; i < n && in_range; i++)
		in_range = rows[i] < c->n_rows;
	if (!in_range) {
		errno = EINVAL;
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		rms_norm(c->residual + rows[i] * s->n_embd, c->m->output_norm, s->n_embd, s->rms_eps,
		         c->sum + i * s->n_embd);
	matmul_run(c->matmul, &c->m->output, c->sum, n, c->logits);
	for (size_t i = 0; i < n * s->n_vocab; i++)
		c->logits[i] /= s->logit_scale;
	if (!tensor_all_finite(c->logits, n * s->n_vocab)) {
		c->stats.non_finite_logits++;
		errno = EDOM;
		return NULL;
	}
	return c->logits;
}

const float *moe_logits(struct moe_ctx *c, size_t row)
{
	return moe_logits_rows(c, &row, 1);
}
