#include "radio/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int history_init(struct history *h, size_t n)
{
	size_t len = 1;
	while (len < n)
		len *= 2;
	*h = (struct history){ .ring = calloc(len, sizeof *h->ring), .mask = len - 1 };
	return h->ring ? 0 : -ENOMEM;
}

void history_free(struct history *h)
{
	free(h->ring);
	h->ring = NULL;
}

/* Samples from place `at` to where the ring goes round. */
static size_t until_round(const struct history *h, size_t at, size_t n)
{
	return h->mask + 1 - at < n ? h->mask + 1 - at : n;
}

void history_extend(struct history *h, uint64_t until)
{
	if (until > h->end && until - h->end > h->mask) /* nothing else is left in the ring */
		h->end = until - h->mask - 1;
	while (h->end < until)
		h->ring[h->end++ & h->mask] = 0;
}

uint64_t history_put(struct history *h, const float complex *x, size_t n, int64_t t)
{
	int64_t missing = t - (int64_t)h->end;
	uint64_t known = missing < 0 ? (uint64_t)-missing : 0;
	if (known >= n)
		return 0;
	if (missing > 0)
		history_extend(h, (uint64_t)t);
	x += known;
	n -= (size_t)known;
	size_t at = h->end & h->mask, first = until_round(h, at, n);
	memcpy(h->ring + at, x, first * sizeof *x);
	memcpy(h->ring, x + first, (n - first) * sizeof *x);
	h->end += n;
	return missing > 0 ? (uint64_t)missing : 0;
}

size_t history_give(const struct history *h, float complex *x, size_t n, uint64_t t)
{
	uint64_t oldest = h->end > h->mask ? h->end - h->mask - 1 : 0;
	uint64_t until = t < oldest ? oldest : h->end;
	size_t count = until - t < n ? (size_t)(until - t) : n;
	if (t < oldest) {
		memset(x, 0, count * sizeof *x);
		return count;
	}
	size_t at = t & h->mask, first = until_round(h, at, count);
	memcpy(x, h->ring + at, first * sizeof *x);
	memcpy(x + first, h->ring, (count - first) * sizeof *x);
	return count;
}

int history_is_past(const struct history *h, uint64_t t)
{
	return t + h->mask + 1 < h->end;
}

/* Piece by piece, so that a receive may be longer than the ring. */
int history_recv(const struct history *h, struct radio *owner, float complex *x, size_t n, uint64_t t,
                 int (*more)(void *arg, uint64_t t), void *arg)
{
	int rc = 0;
	if (history_is_past(h, t)) {
		radio_raise(owner, RADIO_PAST, t);
		rc = -ETIME;
	}
	while (n && !rc) {
		rc = more(arg, t);
		size_t piece = rc ? 0 : history_give(h, x, n, t);
		owner->stats.samples_received += piece;
		x += piece;
		n -= piece;
		t += piece;
	}
	memset(x, 0, n * sizeof *x);
	return rc;
}
