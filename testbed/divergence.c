#include "testbed/divergence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/cli.h"

int divergence_init(struct divergence *d, const struct moe_model *m, size_t n_ctx, size_t max_rows)
{
	enum { LOGITS_ROWS = 16 };
	*d = (struct divergence){ .n_vocab = m->shape.n_vocab, .max_rows = max_rows };
	d->logits = calloc(max_rows * d->n_vocab, sizeof *d->logits);
	d->reference = moe_forward_create(
	        m, &(struct moe_ctx_options){ .n_ctx = n_ctx,
	                                      .max_rows = max_rows,
	                                      .logits_rows = max_rows < LOGITS_ROWS ? max_rows : LOGITS_ROWS });
	if (d->logits && d->reference)
		return 0;
	int rc = d->logits ? -errno : -ENOMEM;
	divergence_free(d);
	return rc;
}

void divergence_free(struct divergence *d)
{
	moe_forward_destroy(d->reference);
	free(d->logits);
	d->reference = NULL;
	d->logits = NULL;
}

/* log of the sum of exponentials, and where the largest is. */
static double log_sum(const float *x, size_t n, size_t *argmax)
{
	double sum = 0;
	*argmax = 0;
	for (size_t i = 1; i < n; i++)
		*argmax = x[i] > x[*argmax] ? i : *argmax;
	double top = (double)x[*argmax];
	for (size_t i = 0; i < n; i++)
		sum += exp((double)x[i] - top);
	return log(sum) + top;
}

void divergence_add_row(struct divergence *d, const float *right, const float *tried)
{
	size_t best_right, best_tried;
	double log_p = log_sum(right, d->n_vocab, &best_right), log_q = log_sum(tried, d->n_vocab, &best_tried), kl = 0;
	for (size_t i = 0; i < d->n_vocab; i++) {
		double lp = (double)right[i] - log_p, lq = (double)tried[i] - log_q;
		kl += exp(lp) * (lp - lq);
	}
	kl = fmax(kl, 0); /* rounding */
	d->n++;
	d->n_same += best_right == best_tried;
	d->kl += kl;
	d->square += kl * kl;
	d->largest = fmax(d->largest, kl);
}

/* Where the rows of a chunk lie in the text. */
struct chunk {
	struct divergence *d;
	size_t start, first;
};

static int keep_row(void *user, size_t position, const float *logits)
{
	const struct chunk *c = user;
	memcpy(c->d->logits + (position - c->start) * c->d->n_vocab, logits, c->d->n_vocab * sizeof *logits);
	return 0;
}

static int compare_row(void *user, size_t position, const float *logits)
{
	const struct chunk *c = user;
	if (position >= c->first)
		divergence_add_row(c->d, c->d->logits + (position - c->start) * c->d->n_vocab, logits);
	return 0;
}

int divergence_add(struct divergence *d, struct moe_forward *tried, const int32_t *ids, size_t n, size_t first)
{
	struct chunk c = { .d = d, .first = first };
	int rc = moe_rewind(moe_forward_ctx(d->reference), 0, 0);
	if (!rc)
		rc = moe_rewind(moe_forward_ctx(tried), 0, 0);
	moe_forward_set_logits(d->reference, keep_row, &c);
	moe_forward_set_logits(tried, compare_row, &c);
	for (; c.start < n && !rc; c.start += d->max_rows) {
		size_t count = n - c.start < d->max_rows ? n - c.start : d->max_rows;
		rc = moe_forward_run(d->reference, ids + c.start, count);
		if (!rc)
			rc = moe_forward_run(tried, ids + c.start, count);
	}
	moe_forward_set_logits(tried, NULL, NULL);
	return rc;
}

static double mean(const struct divergence *d)
{
	return d->n ? d->kl / (double)d->n : NAN;
}

static double mean_stderr(const struct divergence *d)
{
	double n = (double)d->n;
	return d->n > 1 ? sqrt(fmax(d->square / n - mean(d) * mean(d), 0) / (n - 1)) : NAN;
}

static double agreement(const struct divergence *d)
{
	return d->n ? (double)d->n_same / (double)d->n : NAN;
}

static double agreement_stderr(const struct divergence *d)
{
	return d->n > 1 ? sqrt(agreement(d) * (1 - agreement(d)) / (double)(d->n - 1)) : NAN;
}

json_t *divergence_json(const struct divergence *d)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "n", (json_int_t)d->n, "kl_mean_nats",
	                 json_real_or_null(mean(d)), "kl_stderr_nats", json_real_or_null(mean_stderr(d)), "kl_max_nats",
	                 json_real_or_null(d->n ? d->largest : NAN), "top1_agreement", json_real_or_null(agreement(d)),
	                 "top1_agreement_stderr", json_real_or_null(agreement_stderr(d)));
}

void divergence_print(const struct divergence *d, FILE *f)
{
	fprintf(f,
	        "from the exact model over %llu tokens: KL %.3g +- %.2g nats (largest %.3g), same first token %.2f "
	        "%%\n",
	        (unsigned long long)d->n, mean(d), mean_stderr(d), d->largest, 100 * agreement(d));
}
