/* history.h - the latest samples that a radio received, by their time, without holes.
 *
 *     struct history h;
 *     history_init(&h, 1 << 18);
 *     lost = history_put(&h, x, n, t);         what is missing before t becomes zeros; what is known already is left out
 *     got = history_give(&h, y, n, t);         up to n samples from t on, of those there are
 *     history_free(&h);
 *
 * For backends whose samples come in packets with times. One thread at a time.
 */
#ifndef RADIO_HISTORY_H
#define RADIO_HISTORY_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

#include "radio/radio.h"

struct history {
	float complex *ring; /* sample t lies at t & mask */
	size_t mask;
	uint64_t end; /* the first sample not there yet */
};

/* n: samples kept, at least, 1 .. 2^30. 0 or -ENOMEM. */
int history_init(struct history *h, size_t n);
void history_free(struct history *h); /* all zero is fine */

/* n at most what is kept. Returns how many samples became zeros. */
uint64_t history_put(struct history *h, const float complex *x, size_t n, int64_t t);

/* Zeros up to there, if it does not go so far yet. */
void history_extend(struct history *h, uint64_t until);

/* t < end. Returns how many, at least 1. What is older than the ring lay in a gap that filled all of it: zeros. */
size_t history_give(const struct history *h, float complex *x, size_t n, uint64_t t);

/* Is sample t so old that it is not there any more? */
int history_is_past(const struct history *h, uint64_t t);

/* radio_recv for such a backend: counts for `owner`. more(arg, t) waits until sample t is there, or says why it never will be. */
int history_recv(const struct history *h, struct radio *owner, float complex *x, size_t n, uint64_t t,
                 int (*more)(void *arg, uint64_t t), void *arg);

#endif
