/* phy_bler - the 10 % block error points of the coding chain in AWGN with the channel known: where mcs.c has its snr_db
 * from.
 *
 *     phy_bler [-n n_re] [-t trials] [-s seed] [-m index] [-v n]  transport blocks, every MCS or one; after n
 *                                                                  transmissions (versions 0, 2, 3, 1)
 *     phy_bler -w blocks [-s seed]                                how many come out wrong of blocks near the waterfall
 *     phy_bler -c payload_bits [-t trials] [-s seed]              control codewords on 54, 108, 216 and 432 RE, 10 and 1 %
 *
 * Blocks go through encoder, scrambling, mapping, noise of a known level, demapping and decoder (tests/phy/coded_link.h).
 * gap_db: to Shannon's capacity log2(1 + SNR) at the bits carried by an RE. Steps of 4, 2, 1, ..
 * 0.0625 dB towards the block error rate looked for, each with `trials` blocks, find the place; five points 0.1 dB
 * apart around it with 4 x trials each, a line through log(BLER), give the figure.
 */
#include "phy/cw.h"
#include "tests/phy/coded_link.h"

#include <stdio.h>
#include <unistd.h>

enum { CONTROL_RE_MAX = 432 };

/* Block error rate of something at an SNR. */
struct curve {
	double (*error_rate)(void *subject, double snr_db, int trials);
	void *subject;
};

static double find_snr_db(const struct curve *c, double guess_db, double target, int trials)
{
	double centre = guess_db, sx = 0, sy = 0, sxx = 0, sxy = 0;
	int n = 0;

	for (double step = 4; step > 0.05; step /= 2)
		centre += c->error_rate(c->subject, centre, trials) > target ? step : -step;
	for (int k = -2; k <= 2; k++) {
		double x = 0.1 * k, p = c->error_rate(c->subject, centre + x, 4 * trials);
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

struct harq {
	struct coded_link link;
	size_t n_versions;
};

static double link_error_rate(void *subject, double snr_db, int trials)
{
	static const unsigned versions[] = { 0, 2, 3, 1 };
	struct harq *h = subject;
	int errors = 0;

	h->link.n_decoded = h->link.n_iterations = 0;
	for (int t = 0; t < trials; t++)
		errors += !coded_link_block(&h->link, versions, h->n_versions, snr_db);
	return (double)errors / trials;
}

static void measure_one(size_t index, size_t n_re, size_t n_versions, int trials, uint64_t seed)
{
	const struct mcs *m = mcs_get(index);
	struct harq h = { .n_versions = n_versions };

	if (!coded_link_init(&h.link, m, n_re, seed)) {
		printf("%3zu %4u %.3f carries nothing\n", index, m->bits, (double)m->rate);
		return;
	}
	struct tb_format f = h.link.format;
	double snr_db = find_snr_db(&(struct curve){ link_error_rate, &h }, (double)m->snr_db, 0.1, trials);
	double efficiency = 8 * (double)f.n_bytes / (double)n_re, shannon_db = 10 * log10(exp2(efficiency) - 1);
	printf("%3zu %4u %.3f %5zu %5u %6.3f %6.2f %5.2f %10.1f\n", index, m->bits, (double)m->rate, f.n_bytes, f.graph,
	       efficiency, snr_db, snr_db - shannon_db, (double)h.link.n_iterations / (double)h.link.n_decoded);
	fflush(stdout);
	coded_link_free(&h.link);
}

static int measure_mcs(size_t first, size_t last, size_t n_re, size_t n_versions, int trials, uint64_t seed)
{
	printf("n_re %zu, transmissions %zu, trials %d, seed %llu\n", n_re, n_versions, trials,
	       (unsigned long long)seed);
	printf("mcs bits rate  bytes graph bit_re snr_db gap_db iterations\n");
	for (size_t i = first; i <= last && mcs_get(i); i++)
		measure_one(i, n_re, n_versions, trials, seed);
	return 0;
}

/* Blocks of 2 RB near the waterfall, every MCS in turn, in up to four transmissions of which the first is expected to
 * fail. Exit status 1 if one was delivered with other bytes than were sent. */
static int count_wrong(size_t n_blocks, uint64_t seed)
{
	size_t lost = 0, wrong = 0, decoded = 0;

	for (size_t i = 0; i < mcs_count(); i++) {
		static const double below_db[] = { 0, 3, 5, 7, 9 }; /* a guess of what n transmissions gain */
		struct harq h = { .n_versions = 0 };
		if (!coded_link_init(&h.link, mcs_get(i), 240, seed + i))
			return 1;
		for (size_t k = 0; k < n_blocks / mcs_count() + (i < n_blocks % mcs_count()); k++) {
			size_t n = 1 + k % 4;
			double snr_db = (double)mcs_get(i)->snr_db + 0.2 - below_db[n - 1];
			h.n_versions = n;
			lost += link_error_rate(&h, snr_db, 1) > 0;
			decoded += h.link.n_decoded;
		}
		wrong += h.link.n_wrong;
		coded_link_free(&h.link);
	}
	printf("blocks %zu, decodings %zu, lost %zu, delivered wrong %zu, seed %llu\n", n_blocks, decoded, lost, wrong,
	       (unsigned long long)seed);
	return wrong > 0;
}

struct control {
	struct cw_coder *coder;
	struct awgn random;
	size_t payload_bits, n_re;
};

static double control_error_rate(void *subject, double snr_db, int trials)
{
	struct control *c = subject;
	uint8_t payload[CW_PAYLOAD_MAX_BITS / 8] = { 0 }, got[CW_PAYLOAD_MAX_BITS / 8] = { 0 };
	uint8_t bits[2 * CONTROL_RE_MAX];
	float complex symbols[CONTROL_RE_MAX];
	float noise_var[CONTROL_RE_MAX], llr[2 * CONTROL_RE_MAX];
	int errors = 0;

	for (size_t i = 0; i < c->n_re; i++)
		noise_var[i] = (float)pow(10, -snr_db / 10);
	for (int t = 0; t < trials; t++) {
		uint32_t c_init = (uint32_t)awgn_u64(&c->random), address;
		awgn_bytes(&c->random, payload, c->payload_bits / 8);
		cw_encode(c->coder, payload, 0, bits, 2 * c->n_re);
		gold_xor_bits(c_init, bits, 2 * c->n_re);
		modem_map(2, bits, symbols, c->n_re);
		awgn_add(&c->random, symbols, noise_var[0], symbols, c->n_re);
		modem_demap(2, symbols, noise_var, llr, c->n_re);
		gold_flip_llr(c_init, llr, 2 * c->n_re);
		errors += cw_decode(c->coder, llr, 2 * c->n_re, CW_ITERATIONS, got, &address) || address ||
		          memcmp(payload, got, (c->payload_bits + 7) / 8) != 0;
	}
	return (double)errors / trials;
}

static int measure_control(size_t payload_bits, int trials, uint64_t seed)
{
	printf("payload %zu bits, trials %d, seed %llu\nn_re 10%%_snr_db 1%%_snr_db\n", payload_bits, trials,
	       (unsigned long long)seed);
	for (size_t n_re = 54; n_re <= CONTROL_RE_MAX; n_re *= 2) {
		if (2 * n_re < payload_bits + 8 * TB_CRC_BYTES)
			continue;
		struct control c = { cw_create(payload_bits, 2 * n_re), { seed }, payload_bits, n_re };
		if (!c.coder)
			return 1;
		struct curve curve = { control_error_rate, &c };
		double tenth_db = find_snr_db(&curve, 0, 0.1, trials),
		       hundredth_db = find_snr_db(&curve, tenth_db, 0.01, 10 * trials);
		printf("%4zu %6.2f %6.2f\n", n_re, tenth_db, hundredth_db);
		fflush(stdout);
		cw_destroy(c.coder);
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t n_re = 2232, first = 0, last = mcs_count() - 1, payload_bits = 0, n_versions = 1, n_wrong = 0;
	int trials = 100;
	uint64_t seed = 1;

	for (int opt; (opt = getopt(argc, argv, "n:t:s:m:c:v:w:")) != -1;) {
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
		else if (opt == 'w')
			n_wrong = strtoul(optarg, NULL, 10);
		else if (opt == 'v' && (n_versions = strtoul(optarg, NULL, 10)) >= 1 && n_versions <= 4)
			;
		else
			return 2;
	}
	if (n_wrong)
		return count_wrong(n_wrong, seed);
	return payload_bits ? measure_control(payload_bits, trials, seed)
	                    : measure_mcs(first, last, n_re, n_versions, trials, seed);
}
