/* phy_bler - the 10 % block error points of the coding chain in AWGN with the channel known: where mcs.c has its snr_db from.
 *
 *     phy_bler [-n n_re] [-t trials] [-s seed] [-m index]
 *
 * For each MCS: transport blocks through tb_encode, scrambling, mapping, noise of a known level, demapping, tb_decode. Steps
 * of 4, 2, 1, .. 0.0625 dB towards a block error rate of 10 %, each with `trials` blocks, find the place; five points 0.1 dB
 * apart around it with 4 x trials each, a line through log(BLER), give the figure.
 */
#include "phy/gold.h"
#include "phy/mcs.h"
#include "phy/modem.h"
#include "phy/tb.h"
#include "tests/phy/awgn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double target = 0.1;

struct chain {
	struct tb_coder *coder;
	struct tb_format format;
	size_t n_re;
	struct awgn random;
	uint8_t *bytes, *decoded, *bits;
	float complex *symbols;
	float *noise_var, *llr;
	size_t n_blocks, n_iterations; /* decoded, for the mean */
};

static int chain_init(struct chain *c, const struct mcs *m, size_t n_re, uint64_t seed)
{
	size_t n_coded = n_re * m->bits, n_bytes = mcs_tbs_bytes(m, n_re);

	if (!n_bytes)
		return -1;
	*c = (struct chain){ .format = { .n_bytes = n_bytes, .n_coded = n_coded, .qm = m->bits }, .n_re = n_re, .random = { seed } };
	c->coder = tb_coder_create(n_bytes, n_coded);
	c->bytes = malloc(n_bytes);
	c->decoded = malloc(n_bytes);
	c->bits = malloc(n_coded);
	c->symbols = malloc(n_re * sizeof c->symbols[0]);
	c->noise_var = malloc(n_re * sizeof c->noise_var[0]);
	c->llr = malloc(n_coded * sizeof c->llr[0]);
	return c->coder && c->bytes && c->decoded && c->bits && c->symbols && c->noise_var && c->llr ? 0 : -1;
}

static void chain_free(struct chain *c)
{
	free(c->llr);
	free(c->noise_var);
	free(c->symbols);
	free(c->bits);
	free(c->decoded);
	free(c->bytes);
	tb_coder_destroy(c->coder);
}

static double block_error_rate(struct chain *c, double snr_db, int trials)
{
	const struct tb_format *f = &c->format;
	float noise_var = (float)pow(10, -snr_db / 10);
	int errors = 0;

	for (size_t i = 0; i < c->n_re; i++)
		c->noise_var[i] = noise_var;
	for (int t = 0; t < trials; t++) {
		struct tb_stats st = { 0 };
		uint32_t c_init = (uint32_t)awgn_u64(&c->random);
		awgn_bytes(&c->random, c->bytes, f->n_bytes);
		tb_encode(c->coder, f, c->bytes, c->bits);
		gold_xor_bits(c_init, c->bits, f->n_coded);
		modem_map(f->qm, c->bits, c->symbols, c->n_re);
		awgn_add(&c->random, c->symbols, noise_var, c->symbols, c->n_re);
		modem_demap(f->qm, c->symbols, c->noise_var, c->llr, c->n_re);
		gold_flip_llr(c_init, c->llr, f->n_coded);
		int rc = tb_decode(c->coder, f, c->llr, NULL, c->decoded, &st);
		errors += rc || memcmp(c->bytes, c->decoded, f->n_bytes) != 0;
		c->n_blocks += st.n_decoded;
		c->n_iterations += st.iterations;
	}
	return (double)errors / trials;
}

static double find_snr_db(struct chain *c, double guess_db, int trials)
{
	double centre = guess_db, sx = 0, sy = 0, sxx = 0, sxy = 0;
	int n = 0;

	for (double step = 4; step > 0.05; step /= 2)
		centre += block_error_rate(c, centre, trials) > target ? step : -step;
	c->n_blocks = c->n_iterations = 0;
	for (int k = -2; k <= 2; k++) {
		double x = 0.1 * k, p = block_error_rate(c, centre + x, 4 * trials);
		if (p > 0) {
			double y = log(p / target);
			n++;
			sx += x;
			sy += y;
			sxx += x * x;
			sxy += x * y;
		}
	}
	double slope = (n * sxy - sx * sy) / (n * sxx - sx * sx), offset = (sy - slope * sx) / n;
	return centre - offset / slope;
}

int main(int argc, char **argv)
{
	size_t n_re = 2232, first = 0, last = mcs_count() - 1;
	int trials = 100;
	uint64_t seed = 1;

	for (int opt; (opt = getopt(argc, argv, "n:t:s:m:")) != -1;) {
		if (opt == 'n')
			n_re = strtoul(optarg, NULL, 10);
		else if (opt == 't')
			trials = (int)strtol(optarg, NULL, 10);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (opt == 'm')
			first = last = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	printf("n_re %zu, trials %d, seed %llu\nmcs bits rate bytes snr_db iterations\n", n_re, trials, (unsigned long long)seed);
	for (size_t i = first; i <= last && mcs_get(i); i++) {
		const struct mcs *m = mcs_get(i);
		struct chain c;
		if (chain_init(&c, m, n_re, seed)) {
			printf("%3zu %4u %.2f carries nothing\n", i, m->bits, (double)m->rate);
			continue;
		}
		double snr_db = find_snr_db(&c, (double)m->snr_db, trials);
		printf("%3zu %4u %.2f %5zu %6.2f %.1f\n", i, m->bits, (double)m->rate, c.format.n_bytes, snr_db,
		       (double)c.n_iterations / (double)c.n_blocks);
		fflush(stdout);
		chain_free(&c);
	}
	return 0;
}
