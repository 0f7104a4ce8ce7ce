#include "testbed/moe_bench.h"

#include <cblas.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/cli.h"
#include "testbed/phy_bench.h"

enum { DECODE_TOKENS = 16 };

const size_t moe_bench_call_rows[MOE_BENCH_CALLS] = { 1, 2, 4, 8, 16, 64 };

static double now_s(void)
{
	return 1e-9 * bench_now_ns();
}

typedef uint64_t vector __attribute__((vector_size(64)));

double moe_bench_read_gb_s(const void *bytes, size_t n)
{
	enum { WAYS = 8 };
	const vector *p = bytes;
	vector sum[WAYS] = { { 0 } };
	double began = now_s();
	size_t n_vectors = n / sizeof *p;
	for (size_t i = 0; i + WAYS <= n_vectors; i += WAYS)
		for (size_t k = 0; k < WAYS; k++)
			sum[k] += p[i + k];
	for (size_t k = 1; k < WAYS; k++)
		sum[0] += sum[k];
	__asm__ volatile("" : : "m"(sum[0])); /* it is wanted */
	return (double)n / (now_s() - began) / 1e9;
}

double moe_bench_token_bytes(const struct moe_model *m)
{
	double bytes = moe_head_cost(m, 1).bytes;
	for (size_t layer = 0; layer < m->shape.n_layer; layer++)
		bytes += moe_attend_cost(m, layer, 1, 0).bytes +
		         (double)m->shape.n_expert_used * moe_expert_cost(m, layer, 1).bytes;
	return bytes;
}

/* Operations of a prompt of n tokens. */
static double weights_flop(const struct moe_model *m, size_t n_tokens)
{
	double flop = moe_head_cost(m, 1).flop;
	for (size_t layer = 0; layer < m->shape.n_layer; layer++)
		flop += moe_attend_cost(m, layer, n_tokens, 0).flop +
		        (double)m->shape.n_expert_used * moe_expert_cost(m, layer, n_tokens).flop;
	return flop;
}

/* Tokens that differ. */
static int32_t token(const struct moe_model *m, size_t i)
{
	return (int32_t)((i * 7919 + 300) % m->shape.n_vocab);
}

static double shorter(double a, double b)
{
	return a > 0 && a < b ? a : b;
}

/* Seconds of a step. */
struct step_time {
	double best, sum;
	size_t n;
};

/* Every sequence gets one token in each of n steps, logits and all. */
static int time_steps(struct moe_forward *f, size_t n_sequences, size_t n_steps, size_t first, struct step_time *t)
{
	const struct moe_model *m = moe_ctx_model(moe_forward_ctx(f));
	for (size_t i = 0; i < n_steps; i++) {
		struct moe_row rows[MOE_BENCH_SEQUENCES];
		size_t all[MOE_BENCH_SEQUENCES];
		for (size_t k = 0; k < n_sequences; k++) {
			rows[k] = (struct moe_row){ token(m, first + i * n_sequences + k), (uint32_t)k };
			all[k] = k;
		}
		double began = now_s();
		int rc = moe_forward_rows(f, rows, n_sequences);
		if (!rc && !moe_logits_rows(moe_forward_ctx(f), all, n_sequences))
			rc = -errno;
		if (rc || cli_interrupted())
			return rc ? rc : -EINTR;
		double took = now_s() - began;
		t->best = shorter(t->best, took);
		t->sum += took;
		t->n++;
	}
	return 0;
}

static int time_sequences(const struct moe_model *m, const struct moe_compute *how, size_t n, size_t rounds,
                          struct step_time *t)
{
	struct moe_ctx_options o = { .n_ctx = DECODE_TOKENS, .max_rows = n, .n_sequences = n, .compute = *how };
	struct moe_forward *f = moe_forward_create(m, &o);
	int rc = f ? 0 : -errno;
	*t = (struct step_time){ 0 };
	for (size_t i = 0; i < rounds && !rc; i++) {
		for (size_t k = 0; k < n && !rc; k++)
			rc = moe_rewind(moe_forward_ctx(f), k, 0);
		if (!rc)
			rc = time_steps(f, n, DECODE_TOKENS, i * DECODE_TOKENS, t);
	}
	moe_forward_destroy(f);
	return rc;
}

int moe_bench_decode(const struct moe_model *m, const struct moe_compute *how, size_t rounds,
                     struct moe_bench_result *r)
{
	struct step_time t;
	int rc = time_sequences(m, how, 1, rounds, &t);
	r->decode_tokens_s = 1 / t.best;
	r->decode_mean_tokens_s = (double)t.n / t.sum;
	r->decode_gb_s = moe_bench_token_bytes(m) / t.best / 1e9;
	return rc;
}

int moe_bench_sequences(const struct moe_model *m, const struct moe_compute *how, size_t rounds,
                        struct moe_bench_result *r)
{
	struct step_time t;
	int rc = time_sequences(m, how, MOE_BENCH_SEQUENCES, rounds, &t);
	r->sequences_tokens_s = MOE_BENCH_SEQUENCES / t.best;
	return rc;
}

/* --- the prompt, and the same products by OpenBLAS --- */

/* Rows that each expert of each layer got in the prompt. */
struct routed {
	size_t *rows; /* [n_layer][n_expert] */
	size_t n_expert, n_used;
};

static size_t count_rows(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                         struct moe_choice *chosen)
{
	struct routed *routed = user;
	(void)row, (void)probs;
	for (size_t i = 0; i < routed->n_used; i++) {
		chosen[i] = topk[i];
		routed->rows[layer * routed->n_expert + topk[i].expert]++;
	}
	return routed->n_used;
}

/* y = x W^T, n_x rows. */
static void sgemm(const float *w, size_t n_rows, size_t n_cols, const float *x, size_t n_x, float *y)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n_x, (int)n_rows, (int)n_cols, 1, x, (int)n_cols, w,
	            (int)n_cols, 0, y, (int)n_rows);
}

struct sgemm_room {
	float *w, *x, *y;
	size_t w_len, w_at;
};

/* Weights from another place each time, so that they come from memory as the engine's do. */
static void sgemm_next(struct sgemm_room *s, size_t n_rows, size_t n_cols, size_t n_x)
{
	if (s->w_at + n_rows * n_cols > s->w_len)
		s->w_at = 0;
	if (n_x)
		sgemm(s->w + s->w_at, n_rows, n_cols, s->x, n_x, s->y);
	s->w_at += n_rows * n_cols;
}

static void sgemm_prompt(const struct moe_model *m, const struct routed *routed, struct sgemm_room *s)
{
	const struct moe_shape *p = &m->shape;
	for (size_t layer = 0; layer < p->n_layer; layer++) {
		const struct moe_layer *l = &m->layers[layer];
		const struct tensor *dense[] = { &l->q,      &l->k,           &l->v,         &l->o,
			                         &l->router, &l->shared.gate, &l->shared.up, &l->shared.down };
		for (size_t i = 0; i < sizeof dense / sizeof dense[0] && dense[i]->data; i++)
			sgemm_next(s, dense[i]->n_rows, dense[i]->n_cols, MOE_BENCH_PROMPT);
		for (size_t e = 0; e < p->n_expert; e++) {
			size_t n = routed->rows[layer * p->n_expert + e];
			sgemm_next(s, p->n_ff, p->n_embd, n);
			sgemm_next(s, p->n_ff, p->n_embd, n);
			sgemm_next(s, p->n_embd, p->n_ff, n);
		}
	}
	sgemm_next(s, m->output.n_rows, m->output.n_cols, 1);
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Room for the widest rows of a prompt, and for weights of one layer's experts: far more than the cache. */
static int make_room(const struct moe_model *m, struct sgemm_room *s)
{
	const struct moe_shape *p = &m->shape;
	const struct moe_layer *l = &m->layers[0];
	size_t heads = larger(l->q.n_rows, l->o.n_cols),
	       width = larger(larger(p->n_ff, p->n_ff_shared), larger(p->n_embd, heads));
	size_t widest = larger(p->n_vocab, larger(width, p->n_expert) * MOE_BENCH_PROMPT);
	s->w_len = larger(3 * p->n_expert * p->n_ff * p->n_embd, larger(p->n_vocab, width) * p->n_embd);
	s->w = malloc(s->w_len * sizeof *s->w);
	s->x = malloc(widest * sizeof *s->x);
	s->y = malloc(widest * sizeof *s->y);
	if (!s->w || !s->x || !s->y)
		return -ENOMEM;
	for (size_t i = 0; i < s->w_len; i++)
		s->w[i] = 0.01f * (float)(int)(i % 37) - 0.18f;
	for (size_t i = 0; i < widest; i++)
		s->x[i] = 0.1f * (float)(int)(i % 23) - 1.1f;
	return 0;
}

static int one_prompt(struct moe_forward *f, const int32_t *ids, double *best)
{
	int rc = moe_rewind(moe_forward_ctx(f), 0, 0);
	double began = now_s();
	if (!rc)
		rc = moe_forward_run(f, ids, MOE_BENCH_PROMPT);
	if (!rc && !moe_forward_logits(f))
		rc = -errno;
	*best = shorter(*best, now_s() - began);
	return rc ? rc : cli_interrupted() ? -EINTR : 0;
}

int moe_bench_prompt(const struct moe_model *m, const struct moe_compute *how, size_t rounds,
                     struct moe_bench_result *r)
{
	struct moe_ctx_options o = { .n_ctx = MOE_BENCH_PROMPT, .max_rows = MOE_BENCH_PROMPT, .compute = *how };
	struct moe_forward *f = moe_forward_create(m, &o);
	struct routed routed = { calloc(m->shape.n_layer * m->shape.n_expert, sizeof(size_t)), m->shape.n_expert,
		                 m->shape.n_expert_used };
	struct sgemm_room room = { 0 };
	int32_t ids[MOE_BENCH_PROMPT];
	double best = 0, sgemm_best = 0;
	int rc = !f ? -errno : !routed.rows ? -ENOMEM : make_room(m, &room);
	for (size_t i = 0; i < MOE_BENCH_PROMPT; i++)
		ids[i] = token(m, i);
	if (!rc) {
		moe_forward_set_select(f, count_rows, &routed);
		rc = one_prompt(f, ids, &best);
		moe_forward_set_select(f, NULL, NULL);
	}
	openblas_set_num_threads(how->workers ? (int)how->workers->n_threads : 1);
	for (size_t i = 0; i < rounds && !rc; i++) {
		double began = now_s();
		sgemm_prompt(m, &routed, &room);
		sgemm_best = shorter(sgemm_best, now_s() - began);
	}
	openblas_set_num_threads(1);
	for (size_t i = 0; i < rounds && !rc; i++)
		rc = one_prompt(f, ids, &best);
	double gflop = weights_flop(m, MOE_BENCH_PROMPT) / 1e9;
	r->prompt_tokens_s = MOE_BENCH_PROMPT / best;
	r->prompt_gflop_s = gflop / best;
	r->sgemm_gflop_s = gflop / sgemm_best;
	free(room.y);
	free(room.x);
	free(room.w);
	free(routed.rows);
	moe_forward_destroy(f);
	return rc;
}

/* --- expert calls --- */

int moe_bench_calls(const struct moe_model *m, const struct moe_compute *how, size_t rounds, struct moe_bench_result *r)
{
	const struct moe_shape *p = &m->shape;
	enum { ROWS = 64 };
	struct moe_expert_ctx *e = moe_expert_ctx_create(m, ROWS, how);
	float *x = calloc(ROWS * p->n_embd, sizeof *x), *y = calloc(ROWS * p->n_embd, sizeof *y);
	int rc = !e ? -errno : x && y ? 0 : -ENOMEM;
	for (size_t i = 0; i < ROWS * p->n_embd && !rc; i++)
		x[i] = 0.1f * (float)(int)(i % 23) - 1.1f;
	for (size_t k = 0; k < MOE_BENCH_CALLS && !rc; k++) {
		size_t n = moe_bench_call_rows[k];
		double best = 0;
		for (size_t i = 0; i < rounds * p->n_expert && !rc; i++) {
			size_t layer = i / p->n_expert % p->n_layer,
			       expert = i % p->n_expert; /* never the one just used */
			double began = now_s();
			rc = moe_expert_forward(e, layer, expert, x, n, y);
			best = shorter(best, now_s() - began);
			if (cli_interrupted())
				rc = -EINTR;
		}
		struct moe_cost cost = moe_expert_cost(m, 0, n);
		r->call_us[k] = 1e6 * best;
		r->call_gflop_s[k] = cost.flop / best / 1e9;
		r->call_gb_s[k] = cost.bytes / best / 1e9;
	}
	free(y);
	free(x);
	moe_expert_ctx_destroy(e);
	return rc;
}
