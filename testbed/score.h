/* score.h - what a model makes of a text that is given: likelihoods of its tokens.
 *
 *     double nll = score_nll(logits, n_vocab, id);                 -log p(id) by the softmax of the logits, nats
 *     score_tokens(f, ids, n, first, &sum);                        of tokens first .. n - 1, each after all before it
 */
#ifndef TESTBED_SCORE_H
#define TESTBED_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "moe/forward.h"

double score_nll(const float *logits, size_t n_vocab, int32_t id);

struct score_sum {
	uint64_t n;
	double nll, square; /* sums over n tokens: of -log p, of its square */
};

/* Runs ids[0 .. n - 1] as a sequence of their own and adds tokens first .. n - 1 to *sum; first: 1 at least. Returns 0 or the
 * errors of moe_forward_run. */
int score_tokens(struct moe_forward *f, const int32_t *ids, size_t n, size_t first, struct score_sum *sum);
/* The same where the sequence holds the first n_kept ids already, less than first: texts that begin alike. */
int score_more(struct moe_forward *f, size_t n_kept, const int32_t *ids, size_t n, size_t first, struct score_sum *sum);

/* e^(mean), and its standard error by the spread of single tokens. NaN where there are too few. */
double score_perplexity(const struct score_sum *s);
double score_perplexity_stderr(const struct score_sum *s);

#endif
