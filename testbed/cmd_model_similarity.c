/* wdmoe model similarity: which experts of a layer compute alike, on the tokens that are routed to them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "moe/expert.h"
#include "moe/forward.h"
#include "testbed/calibration.h"
#include "testbed/cli.h"
#include "testbed/engine.h"

enum { CHUNK_ROWS = 64 };

struct similarity {
	const struct moe_model *m;
	struct moe_ctx *ctx;
	struct moe_expert_ctx *experts;
	float *y;      /* [n_expert][n_embd] of a row */
	double *sum;   /* [n_layer][n_expert][n_expert] cosines over the rows routed to the first */
	uint64_t *n;   /* [n_layer][n_expert] rows */
	uint64_t rows; /* in all */
	int rc;
};

static double cosine(const float *a, const float *b, size_t n)
{
	double ab = 0, aa = 0, bb = 0;
	for (size_t i = 0; i < n; i++) {
		ab += (double)a[i] * (double)b[i];
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* A moe_select_fn that changes nothing: all experts of the layer look at the row too. */
static size_t look(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                   struct moe_choice *chosen)
{
	struct similarity *s = user;
	const struct moe_shape *h = &s->m->shape;
	const float *x = moe_hidden(s->ctx, row);
	(void)probs;
	memcpy(chosen, topk, h->n_expert_used * sizeof *chosen);
	for (size_t e = 0; e < h->n_expert && !s->rc; e++)
		s->rc = moe_expert_forward(s->experts, layer, e, x, 1, s->y + e * h->n_embd);
	for (size_t i = 0; i < h->n_expert_used && !s->rc; i++) {
		size_t from = layer * h->n_expert + topk[i].expert;
		s->n[from]++;
		for (size_t e = 0; e < h->n_expert; e++)
			s->sum[from * h->n_expert + e] +=
			        cosine(s->y + topk[i].expert * h->n_embd, s->y + e * h->n_embd, h->n_embd);
	}
	s->rows += layer == 0;
	return h->n_expert_used;
}

static int measure(struct similarity *s, struct moe_forward *f, const struct calibration_text *t)
{
	int rc = 0;
	for (size_t i = 0; i < t->n && !rc && !cli_interrupted(); i++) {
		rc = moe_rewind(s->ctx, 0, 0);
		if (!rc)
			rc = moe_forward_run(f, t->line[i].ids, t->line[i].n);
		if (!rc)
			rc = s->rc;
		if (i % 16 == 0 || i + 1 == t->n || rc)
			fprintf(stderr, "\r\033[K%zu of %zu lines%s", i + 1, t->n, i + 1 == t->n || rc ? "\n" : "");
	}
	return rc;
}

static int report(const struct similarity *s, const struct json_out *out)
{
	const struct moe_shape *h = &s->m->shape;
	json_t *list = json_array();
	char hash[MOE_HASH_HEX];
	moe_model_hash_hex(s->m, hash);
	for (size_t i = 0; i < h->n_layer * h->n_expert; i++) {
		size_t best = SIZE_MAX;
		for (size_t e = 0; e < h->n_expert; e++) {
			double x = e == i % h->n_expert ? 1
			           : s->n[i] ? fmin(1, fmax(0, s->sum[i * h->n_expert + e] / (double)s->n[i]))
			                     : 0;
			json_array_append_new(list, json_real(x));
			if (e != i % h->n_expert &&
			    (best == SIZE_MAX || s->sum[i * h->n_expert + e] > s->sum[i * h->n_expert + best]))
				best = e;
		}
		if (best != SIZE_MAX)
			fprintf(json_out_text(out), "layer %3zu expert %3zu: most like %3zu, %.3f (%llu tokens)\n",
			        i / h->n_expert, i % h->n_expert, best,
			        s->n[i] ? s->sum[i * h->n_expert + best] / (double)s->n[i] : NAN,
			        (unsigned long long)s->n[i]);
	}
	return json_out_write(out, json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:o}", "schema", 1, "version",
	                                     cli_version(), "model_hash", hash, "rows", (json_int_t)s->rows, "n_layer",
	                                     (json_int_t)h->n_layer, "n_expert", (json_int_t)h->n_expert, "similarity",
	                                     list));
}

static int run(const struct moe_model *m, const struct calibration_text *t, const struct engine *e,
               const struct json_out *out)
{
	const struct moe_shape *h = &m->shape;
	size_t pairs = h->n_layer * h->n_expert * h->n_expert;
	struct moe_forward *f = moe_forward_create(
	        m, &(struct moe_ctx_options){ .n_ctx = h->n_ctx,
	                                      .max_rows = CHUNK_ROWS < h->n_ctx ? CHUNK_ROWS : h->n_ctx,
	                                      .compute = e->how });
	struct similarity s = { .m = m,
		                .ctx = f ? moe_forward_ctx(f) : NULL,
		                .experts = moe_expert_ctx_create(m, 1, &e->how),
		                .y = calloc(h->n_expert * h->n_embd, sizeof *s.y),
		                .sum = calloc(pairs, sizeof *s.sum),
		                .n = calloc(h->n_layer * h->n_expert, sizeof *s.n) };
	int rc = f && s.experts && s.y && s.sum && s.n ? 0 : -ENOMEM, status;
	if (!rc) {
		moe_forward_set_select(f, look, &s);
		rc = measure(&s, f, t);
	}
	if (rc)
		status = cli_failed("model similarity: %s", strerror(-rc));
	else
		status = cli_interrupted() ? CLI_INTERRUPTED : report(&s, out);
	free(s.n);
	free(s.sum);
	free(s.y);
	moe_expert_ctx_destroy(s.experts);
	moe_forward_destroy(f);
	return status;
}

int cmd_model_similarity(int argc, char **argv)
{
	return calibration_command(argc, argv,
	                           "The mean cosine between the outputs of the experts of a layer, over the tokens "
	                           "routed to the first of a pair, none\n"
	                           "below 0. A sequence a line. The JSON file is what scheduler.similarity takes.",
	                           run);
}
