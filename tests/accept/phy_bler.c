/* phy_bler - the 10 % block error points of the coding chain in AWGN with the channel known: where mcs.c has its snr_db
 * from.
 *
 *     phy_bler [-n n_re] [-t trials] [-s seed] [-m index]     transport blocks, every MCS or one
 *     phy_bler -c payload_bits [-t trials] [-s seed]          control codewords on 54, 108, 216 and 432 RE, 10 % and 1
 * %
 *
 * Blocks go through encoder, scrambling, mapping, noise of a known level, demapping and decoder. Steps of 4, 2, 1, ..
 * 0.0625 dB towards the block error rate looked for, each with `trials` blocks, find the place; five points 0.1 dB
 * apart around it with 4 x trials each, a line through log(BLER), give the figure.
 */
#include "phy/cw.h"
#include "phy/gold.h"
#include "phy/mcs.h"
#include "phy/modem.h"
#include "phy/tb.h"
#include "tests/phy/awgn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct chain {
	struct tb_coder *coder; /* of transport blocks, or NULL */
	struct cw_coder *control;
	struct tb_format format; /* of control codewords: n_bytes = ceil(payload_bits / 8), the spare bits 0 */
	size_t n_re;
	struct awgn random;
	uint8_t *bytes, *decoded, *bits;
	float complex *symbols;
	float *noise_var, *llr;
	size_t n_blocks, n_iterations; /* decoded, for the mean */
};

/* payload_bits: 0 for transport blocks, else of a control codeword. */
static int chain_init(struct chain *c, const struct tb_format *f, size_t payload_bits, uint64_t seed)
{
	*c = (struct chain){ .format = *f, .n_re = f->n_coded / f->qm, .random = { seed } };
	if (payload_bits)
		c->control = cw_create(payload_bits, f->n_coded);
	else
		c->coder = tb_coder_create(f->n_bytes, f->n_coded);
	c->bytes = calloc(1, f->n_bytes);
	c->decoded = malloc(f->n_bytes);
	c->bits = malloc(f->n_coded);
	c->symbols = malloc(c->n_re * sizeof c->symbols[0]);
	c->noise_var = malloc(c->n_re * sizeof c->noise_var[0]);
	c->llr = malloc(f->n_coded * sizeof c->llr[0]);
	return (c->coder || c->control) && c->bytes && c->decoded && c->bits && c->symbols && c->noise_var && c->llr
	               ? 0
	               : -1;
}

static void chain_free(struct chain *c)
{
	free(c->llr);
	free(c->noise_var);
	free(c->symbols);
	free(c->bits);
	free(c->decoded);
	free(c->bytes);
	cw_destroy(c->control);
	tb_coder_destroy(c->coder);
}

static void encode(struct chain *c)
{
	if (c->control) {
		awgn_bytes(&c->random, c->bytes, c->format.n_bytes - 1);
		cw_encode(c->control, c->bytes, 0, c->bits, c->format.n_coded);
	} else {
		awgn_bytes(&c->random, c->bytes, c->format.n_bytes);
		tb_encode(c->coder, &c->format, c->bytes, c->bits);
	}
}

/* True when what came is what was sent. */
static int decode(struct chain *c)
{
	struct tb_stats st = { 0 };
	uint32_t address = 0;
	int rc = c->control ? cw_decode(c->control, c->llr, c->format.n_coded, CW_ITERATIONS, c->decoded, &address)
	                    : tb_decode(c->coder, &c->format, c->llr, NULL, c->decoded, &st);

	c->n_blocks += st.n_decoded;
	c->n_iterations += st.iterations;
	return !rc && !address && !memcmp(c->bytes, c->decoded, c->format.n_bytes);
}

static double block_error_rate(struct chain *c, double snr_db, int trials)
{
	const struct tb_format *f = &c->format;
	float noise_var = (float)pow(10, -snr_db / 10);
	int errors = 0;

	for (size_t i = 0; i < c->n_re; i++)
		c->noise_var[i] = noise_var;
	for (int t = 0; t < trials; t++) {
		uint32_t c_init = (uint32_t)awgn_u64(&c->random);
		encode(c);
		gold_xor_bits(c_init, c->bits, f->n_coded);
		modem_map(f->qm, c->bits, c->symbols, c->n_re);
		awgn_add(&c->random, c->symbols, noise_var, c->symbols, c->n_re);
		modem_demap(f->qm, c->symbols, c->noise_var, c->llr, c->n_re);
		gold_flip_llr(c_init, c->llr, f->n_coded);
		errors += !decode(c);
	}
	return (double)errors / trials;
}

static double find_snr_db(struct chain *c, double guess_db, double target, int trials)
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

static int measure_mcs(size_t first, size_t last, size_t n_re, int trials, uint64_t seed)
{
	printf("n_re %zu, trials %d, seed %llu\nmcs bits rate bytes snr_db iterations\n", n_re, trials,
	       (unsigned long long)seed);
	for (size_t i = first; i <= last && mcs_get(i); i++) {
		const struct mcs *m = mcs_get(i);
		struct tb_format f = { .n_bytes = mcs_tbs_bytes(m, n_re), .n_coded = n_re * m->bits, .qm = m->bits };
		struct chain c;
		if (!f.n_bytes) {
			printf("%3zu %4u %.2f carries nothing\n", i, m->bits, (double)m->rate);
			continue;
		}
		int rc = chain_init(&c, &f, 0, seed);
		if (!rc) {
			double snr_db = find_snr_db(&c, (double)m->snr_db, 0.1, trials);
			printf("%3zu %4u %.2f %5zu %6.2f %.1f\n", i, m->bits, (double)m->rate, f.n_bytes, snr_db,
			       (double)c.n_iterations / (double)c.n_blocks);
			fflush(stdout);
		}
		chain_free(&c);
		if (rc)
			return 1;
	}
	return 0;
}

static int measure_control(size_t payload_bits, int trials, uint64_t seed)
{
	printf("payload %zu bits, trials %d, seed %llu\nn_re 10%%_snr_db 1%%_snr_db\n", payload_bits, trials,
	       (unsigned long long)seed);
	for (size_t n_re = 54; n_re <= 432; n_re *= 2) {
		if (2 * n_re < payload_bits + 8 * TB_CRC_BYTES)
			continue;
		struct tb_format f = { .n_bytes = (payload_bits + 7) / 8, .n_coded = 2 * n_re, .qm = 2 };
		struct chain c;
		int rc = chain_init(&c, &f, payload_bits, seed);
		if (!rc) {
			double tenth_db = find_snr_db(&c, 0, 0.1, trials),
			       hundredth_db = find_snr_db(&c, tenth_db, 0.01, 10 * trials);
			printf("%4zu %6.2f %6.2f\n", n_re, tenth_db, hundredth_db);
			fflush(stdout);
		}
		chain_free(&c);
		if (rc)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t n_re = 2232, first = 0, last = mcs_count() - 1, payload_bits = 0;
	int trials = 100;
	uint64_t seed = 1;

	for (int opt; (opt = getopt(argc, argv, "n:t:s:m:c:")) != -1;) {
		if (opt == 'n')
			n_re = strtoul(optarg, NULL, 10);
		else if (opt == 't')
			trials = (int)strtol(optarg, NULL, 10);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (opt == 'm')
			first = last = strtoul(optarg, NULL, 10);
		else if (opt == 'c')
			payload_bits = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	return payload_bits ? measure_control(payload_bits, trials, seed)
	                    : measure_mcs(first, last, n_re, trials, seed);
}
