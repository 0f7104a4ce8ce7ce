/* The LDPC decoder alone, at the SNR of 1 % block errors, with an iteration limit of the MCS table. */
#include "phy/ldpc.h"
#include "phy/mcs.h"
#include "radio/gauss.h"
#include "testbed/phy_bench.h"
#include "testbed/splitmix.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 100, SEARCH_WORDS = 200, LLR_MAX = 127 };
static const double target = 0.01;

struct words {
	struct ldpc_code code;
	struct ldpc_decoder *decoder;
	size_t n_info, n_sent; /* bits: of information, and on the air from the third column on */
	unsigned limit;        /* of iterations */
	uint64_t seed;
	uint8_t *codeword, *bits; /* of the code's length */
	int8_t *llr;              /* WORDS of them */
	float *noise;             /* two of n_sent */
	size_t n_iterations, n_wrong;
};

static size_t length(const struct words *w)
{
	return w->code.graph->n_cols * w->code.z;
}

static int open_words(struct words *w, double rate, uint64_t seed)
{
	*w = (struct words){ .seed = seed };
	ldpc_code_init(&w->code, &ldpc_bg1, LDPC_Z_MAX);
	w->n_info = w->code.graph->n_info * w->code.z;
	w->n_sent = (size_t)round((double)w->n_info / rate / 2) * 2;
	w->decoder = ldpc_decoder_create();
	w->codeword = calloc(length(w), 1);
	w->bits = calloc(length(w), 1);
	w->llr = calloc(WORDS, length(w));
	w->noise = calloc(2 * (w->n_sent + GAUSS_BLOCK), sizeof *w->noise);
	return w->decoder && w->codeword && w->bits && w->llr && w->noise ? 0 : -ENOMEM;
}

static void close_words(struct words *w)
{
	free(w->noise);
	free(w->llr);
	free(w->bits);
	free(w->codeword);
	ldpc_decoder_destroy(w->decoder);
}

/* Word i of the search or the timing, as the decoder gets it: QPSK, so each bit has half the symbol's energy in one
 * component of the noise. */
static void receive_word(struct words *w, uint64_t i, double snr_db, int8_t *llr)
{
	uint64_t word = 0;
	for (size_t k = 0; k < w->n_info; k++) {
		word = k % 64 ? word >> 1 : splitmix(w->seed + (i * w->n_info + k + 1) * SPLITMIX_STEP);
		w->codeword[k] = word & 1;
	}
	size_t first = 2 * w->code.z, n = (w->n_sent + GAUSS_BLOCK - 1) / GAUSS_BLOCK * GAUSS_BLOCK;
	ldpc_encode(&w->code, w->codeword, w->code.graph->n_rows);
	gauss_fill(w->seed, 1, i * n, n, w->noise, w->noise + n);
	memset(llr, 0, length(w));
	double snr = pow(10, 0.1 * snr_db), sigma = sqrt(1 / snr);
	for (size_t k = 0; k < w->n_sent; k++) {
		double y = (w->codeword[first + k] ? -1 : 1) + sigma * (double)w->noise[k];
		double scaled = rint(2 * y * snr * LDPC_LLR_STEPS);
		llr[first + k] = (int8_t)fmin(fmax(scaled, -LLR_MAX), LLR_MAX);
	}
}

static double error_rate(struct words *w, double snr_db, size_t n)
{
	size_t wrong = 0;
	for (size_t i = 0; i < n && wrong < n / 20; i++) {
		receive_word(w, i, snr_db, w->llr);
		wrong += ldpc_decode(w->decoder, &w->code, w->llr, w->bits, w->limit) < 0;
	}
	return (double)wrong / (double)n;
}

static void work(void *arg, size_t i)
{
	struct words *w = arg;
	int rc = ldpc_decode(w->decoder, &w->code, w->llr + i * length(w), w->bits, w->limit);
	w->n_iterations += rc > 0 ? (size_t)rc : w->limit;
	w->n_wrong += rc < 0;
}

/* From well below capacity up in steps that shrink. */
static double find_snr_db(struct words *w, double rate)
{
	double snr_db = 10 * log10(pow(2, 2 * rate) - 1);
	for (double step = 0.4; step > 0.04; step /= 2) {
		while (error_rate(w, snr_db, SEARCH_WORDS) > target)
			snr_db += step;
		snr_db -= step > 0.08 ? step / 2 : 0;
	}
	return snr_db;
}

static unsigned iteration_limit(unsigned bits, double rate)
{
	const struct mcs *best = NULL;
	for (size_t i = 0; i < mcs_count(); i++) {
		const struct mcs *m = mcs_get(i);
		if (m->bits == bits && (!best || fabs((double)m->rate - rate) < fabs((double)best->rate - rate)))
			best = m;
	}
	return best->iterations;
}

int bench_ldpc(double rate, unsigned bits, uint64_t seed, double seconds, struct bench_ldpc_result *r)
{
	struct words w;
	int rc = open_words(&w, rate, seed);
	w.limit = iteration_limit(bits, rate);
	*r = (struct bench_ldpc_result){ .rate = rate, .bits = bits, .limit = w.limit, .info_bits = w.n_info };
	snprintf(r->name, sizeof r->name, "LDPC decoder, rate %.3f, limit %u", rate, w.limit);
	if (!rc)
		rc = bench_init(&r->bench, r->name, WORDS, 0, (double)w.n_info);
	if (!rc) {
		r->snr_db = find_snr_db(&w, rate);
		for (size_t i = 0; i < WORDS; i++)
			receive_word(&w, i, r->snr_db, w.llr + i * length(&w));
		bench_run(&r->bench, seconds, work, &w);
		r->iterations = (double)w.n_iterations / (double)r->bench.n;
		r->bler = (double)w.n_wrong / (double)r->bench.n;
	}
	close_words(&w);
	return rc;
}
