#include "moe/sampler.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "moe/tensor.h"

/* One token that may be drawn. */
struct candidate {
	int32_t id;
	float logit;
	double p; /* not normalised */
};

struct sampler {
	size_t n_vocab;
	float temperature, top_p;
	uint64_t state[4];
	struct candidate candidates[];
};

/* splitmix64, to fill the state from one number */
static uint64_t spread(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256**; 53 bits as a number in [0, 1) */
static double draw(struct sampler *s)
{
	uint64_t *t = s->state, result = rotl(t[1] * 5, 7) * 9, shifted = t[1] << 17;
	t[2] ^= t[0];
	t[3] ^= t[1];
	t[1] ^= t[2];
	t[0] ^= t[3];
	t[2] ^= shifted;
	t[3] = rotl(t[3], 45);
	return (double)(result >> 11) * 0x1p-53;
}

struct sampler *sampler_create(size_t n_vocab, float temperature, float top_p, uint64_t seed)
{
	if (n_vocab < 1 || n_vocab > INT32_MAX || !(temperature >= 0 && temperature <= 100) ||
	    !(top_p > 0 && top_p <= 1)) {
		errno = EINVAL;
		return NULL;
	}
	struct sampler *s = calloc(1, sizeof *s + n_vocab * sizeof s->candidates[0]);
	if (!s)
		return NULL;
	s->n_vocab = n_vocab;
	s->temperature = temperature;
	s->top_p = top_p;
	for (int i = 0; i < 4; i++)
		s->state[i] = spread(&seed);
	return s;
}

void sampler_destroy(struct sampler *s)
{
	free(s);
}

static int32_t argmax(const float *x, size_t n)
{
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		if (x[i] > x[best])
			best = i;
	return (int32_t)best;
}

/* Likeliest first; of equals the lower id, so that the order is the same with every qsort. */
static int by_logit(const void *a, const void *b)
{
	const struct candidate *i = a, *j = b;
	if (i->logit != j->logit)
		return i->logit < j->logit ? 1 : -1;
	return (i->id > j->id) - (i->id < j->id);
}

int32_t sampler_pick(struct sampler *s, const float *logits)
{
	if (!tensor_all_finite(logits, s->n_vocab))
		return -EDOM;
	int32_t best = argmax(logits, s->n_vocab);
	if (s->temperature <= 0)
		return best;
	double total = 0;
	for (size_t i = 0; i < s->n_vocab; i++) {
		double p = exp(((double)logits[i] - (double)logits[best]) / (double)s->temperature);
		s->candidates[i] = (struct candidate){ (int32_t)i, logits[i], p };
		total += p;
	}
	qsort(s->candidates, s->n_vocab, sizeof s->candidates[0], by_logit);
	size_t n = 0;
	double kept = 0;
	while (n < s->n_vocab && (!n || kept < (double)s->top_p * total))
		kept += s->candidates[n++].p;
	double at = draw(s) * kept;
	size_t i = 0;
	for (; i + 1 < n && at >= s->candidates[i].p; i++)
		at -= s->candidates[i].p;
	return s->candidates[i].id;
}
