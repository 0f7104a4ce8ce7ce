/* coded_link.h - blocks from bytes over AWGN to bytes with the channel known: what tests and measurements of the coding chain
 * share. Encoder, scrambling, mapping, noise of a known level, soft demapper, decoder; hybrid ARQ if wished.
 *
 *     struct coded_link l;
 *     coded_link_init(&l, mcs_get(9), 2232, seed);
 *     bool ok = coded_link_block(&l, (unsigned[]){ 0, 2 }, 2, snr_db); // a new block, versions 0 and 2
 *     coded_link_free(&l);
 */
#ifndef TESTS_PHY_CODED_LINK_H
#define TESTS_PHY_CODED_LINK_H

#include "phy/gold.h"
#include "phy/mcs.h"
#include "phy/modem.h"
#include "phy/soften.h"
#include "phy/tb.h"
#include "tests/phy/awgn.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct coded_link {
	struct tb_format format;
	struct awgn random;
	struct tb_coder *coder;
	struct tb_soft *soft;
	struct soften *soften;
	uint8_t *sent, *got, *symbols, *scramble;
	float complex points[MODEM_POINTS_MAX];
	size_t n_decoded, n_iterations, n_wrong; /* code blocks; blocks delivered with other bytes than were sent */
};

/* False without memory, or when the MCS has no block on n_re (nothing to free). */
static inline bool coded_link_init(struct coded_link *l, const struct mcs *m, size_t n_re, uint64_t seed)
{
	size_t n_bytes = mcs_tbs_bytes(m, n_re);

	*l = (struct coded_link){ .random = { seed } };
	if (!n_bytes)
		return false;
	l->format = (struct tb_format){ n_bytes, n_re, m->bits, 0, tb_graph(n_bytes, m->rate), m->iterations };
	l->coder = tb_coder_create(2 * n_bytes);
	l->soft = tb_soft_create(2 * n_bytes); /* twice: half of it for graph 2 */
	l->soften = calloc(1, sizeof *l->soften);
	l->sent = malloc(n_bytes);
	l->got = malloc(n_bytes);
	l->symbols = malloc(n_re);
	l->scramble = malloc(n_re);
	modem_points(m->bits, 1, l->points);
	return l->coder && l->soft && l->soften && l->sent && l->got && l->symbols && l->scramble;
}

static inline void coded_link_free(struct coded_link *l)
{
	free(l->scramble);
	free(l->symbols);
	free(l->got);
	free(l->sent);
	free(l->soften);
	tb_soft_destroy(l->soft);
	tb_coder_destroy(l->coder);
}

/* One transmission of the block l->sent. 0 or -EBADMSG. */
static inline int coded_link_send(struct coded_link *l, unsigned rv, double snr_db)
{
	struct tb_format f = l->format;
	float noise_var = (float)pow(10, -snr_db / 10);
	uint32_t c_init = (uint32_t)awgn_u64(&l->random);
	struct tb_stats st;

	f.rv = rv;
	tb_encode(l->coder, &f, l->sent, l->symbols);
	gold_symbols(c_init, f.qm, l->scramble, f.n_symbols);
	tb_decode_begin(l->coder, &f, l->soft);
	for (size_t i = 0, n; i < f.n_symbols; i += n) {
		n = f.n_symbols - i < SOFTEN_RE ? f.n_symbols - i : SOFTEN_RE;
		for (size_t k = 0; k < n; k++) {
			l->soften->y[k] = l->points[l->symbols[i + k] ^ l->scramble[i + k]];
			l->soften->h[k] = 1;
			l->soften->inverse_noise[k] = 1 / noise_var;
		}
		awgn_add(&l->random, l->soften->y, noise_var, l->soften->y, n);
		memcpy(l->soften->scramble, l->scramble + i, n);
		soften(l->soften, f.qm, n);
		tb_decode_feed(l->coder, l->soften->llr[0], SOFTEN_RE, n);
	}
	int rc = tb_decode_end(l->coder, l->got, &st);
	l->n_decoded += st.n_decoded;
	l->n_iterations += st.iterations;
	return rc;
}

/* A new block in up to n_rvs transmissions. True when it arrived. */
static inline bool coded_link_block(struct coded_link *l, const unsigned *rvs, size_t n_rvs, double snr_db)
{
	int rc = -1;

	awgn_bytes(&l->random, l->sent, l->format.n_bytes);
	tb_soft_reset(l->soft);
	for (size_t v = 0; v < n_rvs && rc; v++)
		rc = coded_link_send(l, rvs[v], snr_db);
	bool same = !rc && !memcmp(l->sent, l->got, l->format.n_bytes);
	l->n_wrong += !rc && !same;
	return same;
}

#endif
