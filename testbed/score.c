#include "testbed/score.h"

#include <errno.h>
#include <math.h>

double score_nll(const float *logits, size_t n_vocab, int32_t id)
{
	double top = -INFINITY, sum = 0;
	for (size_t i = 0; i < n_vocab; i++)
		top = fmax(top, (double)logits[i]);
	for (size_t i = 0; i < n_vocab; i++)
		sum += exp((double)logits[i] - top);
	return log(sum) + top - (double)logits[id];
}

struct scorer {
	const int32_t *ids;
	size_t n, first, n_vocab;
	struct score_sum *sum;
};

static int score_next(void *user, size_t position, const float *logits)
{
	struct scorer *s = user;
	size_t next = position + 1;
	if (next < s->first || next >= s->n)
		return 0;
	double nll = score_nll(logits, s->n_vocab, s->ids[next]);
	s->sum->n++;
	s->sum->nll += nll;
	s->sum->square += nll * nll;
	return 0;
}

int score_more(struct moe_forward *f, size_t n_kept, const int32_t *ids, size_t n, size_t first, struct score_sum *sum)
{
	struct scorer s = { ids, n, first, moe_ctx_model(moe_forward_ctx(f))->shape.n_vocab, sum };
	if (first < 1 || first >= n || n_kept >= first)
		return -EINVAL;
	int rc = moe_rewind(moe_forward_ctx(f), 0, n_kept);
	moe_forward_set_logits(f, score_next, &s);
	if (!rc)
		rc = moe_forward_run(f, ids + n_kept, n - 1 - n_kept);
	moe_forward_set_logits(f, NULL, NULL);
	return rc;
}

int score_tokens(struct moe_forward *f, const int32_t *ids, size_t n, size_t first, struct score_sum *sum)
{
	return score_more(f, 0, ids, n, first, sum);
}

double score_perplexity(const struct score_sum *s)
{
	return s->n ? exp(s->nll / (double)s->n) : NAN;
}

double score_perplexity_stderr(const struct score_sum *s)
{
	double n = (double)s->n, mean = s->nll / n;
	return s->n > 1 ? exp(mean) * sqrt(fmax(s->square / n - mean * mean, 0) / (n - 1)) : NAN;
}
