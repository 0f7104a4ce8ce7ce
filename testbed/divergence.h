/* divergence.h - how far the next-token probabilities of one computation are from those of another: fast mode, codecs or left
 * out experts against the model as it is.
 *
 *     struct divergence d;
 *     divergence_init(&d, model, n_ctx, 64);                       a reference of its own: exact, no codecs, as routed
 *     divergence_add(&d, tried, ids, n, first);                    a text by both
 *     divergence_free(&d);
 *     divergence_json(&d)
 *
 * KL(p || q) = sum p log(p / q) in nats, p of the reference (Kullback and Leibler 1951), and how often both have the same
 * most likely token. Texts are run by both a chunk at a time, so that a chunk's logits are kept and no more.
 */
#ifndef TESTBED_DIVERGENCE_H
#define TESTBED_DIVERGENCE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "moe/forward.h"

struct divergence {
	struct moe_forward *reference;
	float *logits; /* [max_rows][n_vocab] of the reference */
	size_t n_vocab, max_rows;
	uint64_t n, n_same;
	double kl, square, largest; /* sums over n positions: of the divergence, of its square; and the largest */
};

/* n_ctx, max_rows: tokens of the longest text, rows of a chunk. 0, or -ENOMEM or -EINVAL: then there is nothing to free. */
int divergence_init(struct divergence *d, const struct moe_model *m, size_t n_ctx, size_t max_rows);
void divergence_free(struct divergence *d); /* before the model is closed; what was counted stays; all zero is fine */

/* One pair of rows. */
void divergence_add_row(struct divergence *d, const float *right, const float *tried);

/* Runs ids[0 .. n) as a sequence of their own by both and counts the positions from `first` on. 0 or the errors of
 * moe_forward_run. */
int divergence_add(struct divergence *d, struct moe_forward *tried, const int32_t *ids, size_t n, size_t first);

/* {n, kl_mean_nats, kl_stderr_nats, kl_max_nats, top1_agreement, top1_agreement_stderr} */
json_t *divergence_json(const struct divergence *d);
void divergence_print(const struct divergence *d, FILE *f);

#endif
