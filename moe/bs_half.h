/* bs_half.h - the base station's half of the model: everything but the experts.
 *
 * A context is one or several sequences with their KV caches, advanced a chunk of rows at a time. For each layer it stops
 * where the experts are needed and waits, as long as it takes, for what they computed:
 *
 *     struct moe_ctx *c = moe_ctx_create(model, &(struct moe_ctx_options){ .n_ctx = 256, .max_rows = 64 });
 *     moe_begin(c, tokens, n);                               // embed a chunk of n rows at the end of the sequence
 *     for (size_t layer = 0; layer < n_layer; layer++) {
 *             moe_attend(c, layer);                          // norm, attention, residual, norm, router
 *             for (size_t row = 0; row < n; row++) {
 *                     const struct moe_choice *k = moe_topk(c, row);    // which experts, with what weights
 *                     const float *x = moe_hidden(c, row);              // what each of them is to work on
 *                     ... run them anywhere ...
 *                     moe_combine(c, layer, row, parts, n_parts);       // weighted sum, residual
 *             }
 *     }
 *     const float *logits = moe_logits(c, n - 1);            // final norm and output head of a row
 *
 * A chunk may have rows of several sequences (moe_begin_rows): prompts of some, single tokens of others. What a sequence
 * computes does not depend on the others.
 *
 * Calls out of this order return -EPROTO and change nothing. Rows may be combined in any order; moe_attend of the
 * next layer needs all of them. Every row's numbers are the same however the sequence was cut into chunks.
 * A context allocates at create only, and belongs to one thread at a time; the model must outlive it.
 *
 * Equations: Vaswani 2017 (attention), Su 2021 (rotary embedding), Zhang 2019 (RMS norm), Ainslie 2023 (grouped
 * queries), Jiang 2024 (Mixtral: softmax over all experts, the top k renormalised).
 */
#ifndef MOE_BS_HALF_H
#define MOE_BS_HALF_H

#include <stddef.h>
#include <stdint.h>

#include "moe/matmul.h"
#include "moe/model.h"

struct moe_ctx;

/* One chosen expert of one row. */
struct moe_choice {
	uint32_t expert;
	float prob;   /* router softmax over all experts */
	float weight; /* factor of its output in the sum */
};

/* One expert's contribution to a row. y: [n_embd]. */
struct moe_part {
	uint32_t expert;
	float weight;
	const float *y;
};

struct moe_ctx_stats {
	uint64_t tokens;            /* rows embedded */
	uint64_t parts;             /* expert outputs combined */
	uint64_t non_finite_hidden; /* rows refused because a hidden state was NaN or Inf */
	uint64_t non_finite_expert; /* expert outputs refused for the same reason */
	uint64_t non_finite_logits; /* rows of logits refused */
	uint64_t out_of_order;      /* calls in the wrong state */
};

struct moe_ctx_options {
	size_t n_ctx;       /* tokens that a sequence's KV cache holds, 1 .. shape.n_ctx; 0: shape.n_ctx */
	size_t max_rows;    /* of the longest chunk, 1 .. n_sequences * n_ctx */
	size_t n_sequences; /* 0: one */
	size_t logits_rows; /* rows whose logits are computed at once, at most; 0: n_sequences */
	struct moe_compute compute;
};

/* NULL with errno EINVAL (range, or a model without its base) or ENOMEM. */
struct moe_ctx *moe_ctx_create(const struct moe_model *m, const struct moe_ctx_options *o);
void moe_ctx_destroy(struct moe_ctx *c); /* NULL is fine */

/* Forgets all but the first n_tokens of a sequence (0: all of it) and abandons a chunk in progress, which leaves the other
 * sequences as they were before it. n_tokens: at most moe_n_past. Returns 0 or -EINVAL. */
int moe_rewind(struct moe_ctx *c, size_t sequence, size_t n_tokens);

/* Tokens of a sequence whose chunks are complete. */
size_t moe_n_past(const struct moe_ctx *c, size_t sequence);
size_t moe_n_ctx(const struct moe_ctx *c);
size_t moe_n_sequences(const struct moe_ctx *c);
size_t moe_logits_rows_max(const struct moe_ctx *c);
size_t moe_max_rows(const struct moe_ctx *c);
/* Rows of the chunk begun last; 0 before the first. */
size_t moe_n_rows(const struct moe_ctx *c);
void moe_ctx_get_stats(const struct moe_ctx *c, struct moe_ctx_stats *stats);
const struct moe_model *moe_ctx_model(const struct moe_ctx *c);

/* One row of a chunk: the next token of a sequence. */
struct moe_row {
	int32_t token;
	uint32_t sequence;
};

/* Starts a chunk of n rows, 1 .. max_rows, ids below n_vocab; rows of one sequence follow each other in it. Returns 0,
 * -EINVAL (range), -ENOSPC (a sequence's context is full: nothing has begun), -EPROTO (a chunk is in progress). */
int moe_begin_rows(struct moe_ctx *c, const struct moe_row *rows, size_t n);
/* The same with n tokens of sequence 0. */
int moe_begin(struct moe_ctx *c, const int32_t *tokens, size_t n);

/* Runs layer `layer` up to its experts for all rows. Returns 0, -EPROTO, or -EDOM if a hidden state is not finite:
 * the chunk is then lost, and only moe_rewind goes on. */
int moe_attend(struct moe_ctx *c, size_t layer);

/* After moe_attend, until the row is combined. row < n of moe_begin. */
const float *moe_hidden(const struct moe_ctx *c, size_t row);           /* [n_embd] */
const float *moe_router_probs(const struct moe_ctx *c, size_t row);     /* [n_expert], sum 1 */
const struct moe_choice *moe_topk(const struct moe_ctx *c, size_t row); /* [n_expert_used], descending probability */

/* Sets the weights of n choices from their probabilities as the architecture does for the experts it keeps; with
 * fewer than top-k experts the rest are renormalised (or not) by the same rule. */
void moe_renormalise(const struct moe_model *m, struct moe_choice *choices, size_t n);

/* Adds the weighted sum of n experts' outputs to the row's residual. parts may come in any order: they are added in
 * descending router probability (ties: lower expert first). n = 0 adds nothing: all of the row's experts were dropped.
 * Returns 0, -EINVAL (expert or weight out of range, an expert twice), -EPROTO (wrong layer, row combined
 * already), -EDOM (a number not finite); after an error the row can be combined again. */
int moe_combine(struct moe_ctx *c, size_t layer, size_t row, const struct moe_part *parts, size_t n);

/* After the last layer of a chunk, until the next one: logits of a row, [n_vocab], valid until the next call of this
 * function. NULL with errno EPROTO, EINVAL or EDOM (not finite). */
const float *moe_logits(struct moe_ctx *c, size_t row);
/* Of n rows at once, 1 .. logits_rows: [n][n_vocab]. */
const float *moe_logits_rows(struct moe_ctx *c, const size_t *rows, size_t n);

#endif
