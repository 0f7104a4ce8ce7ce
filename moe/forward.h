/* forward.h - the unsplit model: the base half and the device half wired straight together.
 *
 *     struct moe_forward *f = moe_forward_create(model, &(struct moe_ctx_options){ .max_rows = 64 });
 *     moe_forward_run(f, tokens, n);                    // any number of tokens, done in chunks
 *     const float *logits = moe_forward_logits(f);      // of the last one
 *     moe_forward_destroy(f);
 *
 * It calls nothing but bs_half.h and expert.h, so what it computes is what a split run with an exact codec must
 * compute, bit for bit. Rows of a chunk are grouped by expert.
 */
#ifndef MOE_FORWARD_H
#define MOE_FORWARD_H

#include <stddef.h>
#include <stdint.h>

#include "moe/bs_half.h"
#include "moe/codec.h"
#include "moe/expert.h"

struct moe_forward;

/* Chooses the experts of one row in place of the router's top k (wrong, fewer or other experts). probs: [n_expert];
 * topk: [n_expert_used]; writes at most n_expert choices with their weights to `chosen`, each expert once, and returns
 * how many. */
typedef size_t moe_select_fn(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                             struct moe_choice *chosen);

/* Called with the logits of every position ([n_vocab], valid during the call); a negative return ends the run. */
typedef int moe_logits_fn(void *user, size_t position, const float *logits);

/* Arguments as moe_ctx_create; the model must be whole. NULL with errno EINVAL or ENOMEM. */
struct moe_forward *moe_forward_create(const struct moe_model *m, const struct moe_ctx_options *o);
void moe_forward_destroy(struct moe_forward *f); /* NULL is fine */

/* select NULL: as routed. */
void moe_forward_set_select(struct moe_forward *f, moe_select_fn *select, void *user);
/* each NULL: logits only of the last token, by moe_forward_logits. */
void moe_forward_set_logits(struct moe_forward *f, moe_logits_fn *each, void *user);

/* What passes between the halves goes through these codecs, as over the air; NULL: as it is. A row that a codec refuses ends
 * the run with its error. */
void moe_forward_set_codecs(struct moe_forward *f, const struct codec *down, const struct codec *up);

/* Runs one chunk of rows of any sequences, as moe_begin_rows wants them. */
int moe_forward_rows(struct moe_forward *f, const struct moe_row *rows, size_t n);

/* Appends n tokens to sequence 0. Returns 0, the errors of moe_begin, moe_attend and moe_combine, or what the logits
 * function returned; after an error the sequence must be rewound. */
int moe_forward_run(struct moe_forward *f, const int32_t *tokens, size_t n);

/* Logits of the last row, [n_vocab], valid until the next run. NULL with errno. */
const float *moe_forward_logits(struct moe_forward *f);

/* The sequences: for moe_logits_rows, moe_rewind, moe_n_past and statistics. */
struct moe_ctx *moe_forward_ctx(struct moe_forward *f);

#endif
