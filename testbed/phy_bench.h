/* phy_bench.h - how long pieces of work take, on one core.
 *
 *     struct bench b;
 *     bench_init(&b, "demodulate", n_items, samples_each, bits_each);
 *     bench_run(&b, 0.2, work, arg);                 work(arg, i) for all items, over and over
 *     b.best_ns ...
 *     bench_free(&b);
 *
 * Items may differ (slots with other noise need other numbers of iterations), and other programs may be at work on the
 * machine. So two views: percentiles over every call, disturbances and all; and `best`, the mean over the items of each
 * item's shortest time, which is what the work itself takes.
 */
#ifndef TESTBED_PHY_BENCH_H
#define TESTBED_PHY_BENCH_H

#include "testbed/phy_link.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct bench {
	const char *name;
	size_t n_items;
	double samples, bits; /* of an item, mean; 0: does not apply */
	double *shortest;     /* n_items, ns; 0: not yet */
	double *ns;           /* all calls */
	size_t n, room;
};

/* name: borrowed. 0 or -ENOMEM. */
int bench_init(struct bench *b, const char *name, size_t n_items, double samples, double bits);
void bench_free(struct bench *b); /* zeros are fine */

double bench_now_ns(void);
void bench_note(struct bench *b, size_t item, double ns);

/* Rounds over all items until `seconds` have gone by, three at least. */
void bench_run(struct bench *b, double seconds, void (*work)(void *arg, size_t item), void *arg);

/* Mean over the items that were done of their shortest times. */
double bench_best_ns(const struct bench *b);

void bench_print_head(FILE *f);
void bench_print(FILE *f, const struct bench *b);
/* {name, calls, best_us, min_us, p50_us, p90_us, p99_us, msps, mbit_s}: the last two by best, null where they do not
 * apply. */
json_t *bench_json(const struct bench *b);

/* ---- single pieces; seconds: for each ---- */

struct bench_ldpc_result {
	double rate, snr_db, bler, iterations; /* SNR of a QPSK symbol with 1 % block errors */
	unsigned bits, limit;                  /* of iterations, that of the MCS of so many bits nearest in rate */
	size_t info_bits;
	char name[48]; /* of the bench */
	struct bench bench;
};
/* The decoder alone: base graph 1, lifting size 384, at the given rate, sent as QPSK, with the iterations that are allowed
 * for symbols of so many bits. 0 or -ENOMEM. */
int bench_ldpc(double rate, unsigned bits, uint64_t seed, double seconds, struct bench_ldpc_result *r);

/* liquid-dsp's frames of 64QAM without coding on the same FFT length and prefix: generator and synchroniser. */
struct bench_liquid_result {
	struct bench send, receive;
	size_t frame_samples, frames_right, frames;
};
int bench_liquid(const struct numerology *num, double seconds, struct bench_liquid_result *r);

#endif
