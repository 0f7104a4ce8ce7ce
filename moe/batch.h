/* batch.h - several answers in the making at once (continuous batching): as one ends, the next prompt takes its place.
 *
 *     struct moe_batch *b = moe_batch_create(ctx);               as many places as the context has sequences
 *     while (moe_batch_n_free(b) && ...)
 *             moe_batch_start(b, tokens, n, &options);            returns the place
 *     moe_batch_step(b, forward);                                 a chunk: a token for each, and of prompts what fits
 *     for (place ...)
 *             if (moe_batch_ended(b, place)) {
 *                     ... moe_batch_generation(b, place) ...
 *                     moe_batch_release(b, place);
 *             }
 *
 * In a chunk every answer under way has its row first; prompts share the rest in order of their places. What an answer says
 * does not depend on the others (bs_half.h). One that fills its context ends alone. One thread at a time; the context must
 * outlive it and is not used by others meanwhile. Who runs the layers otherwise, over the air say, does what a step consists of:
 *
 *     rows = moe_batch_fill(b, &n);      moe_begin_rows(ctx, rows, n);      ... layers ...      moe_batch_pick(b);
 */
#ifndef MOE_BATCH_H
#define MOE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/forward.h"
#include "moe/generation.h"

struct moe_batch;

/* The context's chunks must hold a row for each of its sequences. NULL with errno EINVAL or ENOMEM. */
struct moe_batch *moe_batch_create(struct moe_ctx *ctx);
void moe_batch_destroy(struct moe_batch *b); /* NULL is fine */

size_t moe_batch_n_places(const struct moe_batch *b);
size_t moe_batch_n_free(const struct moe_batch *b);

/* tokens: n of them, copied. Returns the place, or -EBUSY (none is free), -EINVAL (no tokens, or more than the context
 * holds), -ENOMEM. May be called while a chunk is in progress: the prompt is in the next one. */
int moe_batch_start(struct moe_batch *b, const int32_t *tokens, size_t n, const struct generation_options *options);

/* Runs a chunk by an object whose context this is. Returns how many rows it had, 0 when nothing is under way, or the errors of
 * moe_forward_rows and generation_next: then all that is under way is lost. */
int moe_batch_step(struct moe_batch *b, struct moe_forward *f);

/* The next chunk: *n rows, 0 when nothing is under way; valid until the next one. */
const struct moe_row *moe_batch_fill(struct moe_batch *b, size_t *n);
size_t moe_batch_n_picks(const struct moe_batch *b);  /* tokens that will be picked from it */
bool moe_batch_has_prompt(const struct moe_batch *b); /* has it rows of prompts */
/* After its last layer. 0, or the errors of moe_logits_rows and generation_next. */
int moe_batch_pick(struct moe_batch *b);

bool moe_batch_ended(const struct moe_batch *b, size_t place); /* taken, and its generation has stopped */
size_t moe_batch_n_under_way(const struct moe_batch *b);       /* taken, and not ended */
/* Of the answer in a place; NULL if it is free. */
const struct generation *moe_batch_generation(const struct moe_batch *b, size_t place);
void moe_batch_release(struct moe_batch *b, size_t place);

#endif
