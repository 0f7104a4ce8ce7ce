#include "phy/block.h"

#include "phy/equalize.h"
#include "phy/gold.h"
#include "phy/mcs.h"
#include "phy/modem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct block {
	struct numerology num;
	struct tb_coder *coder;
	uint32_t *re;
	uint8_t *bits;
	float complex *y, *h, *z;
	float *var, *llr;
};

struct block *block_create(const struct numerology *num)
{
	size_t n_re = num->n_sc * (size_t)(num->n_symbols - num->format->n_control);
	size_t n_coded = n_re * MODEM_BITS_MAX;
	struct block *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->num = *num;
	b->coder = tb_coder_create(block_bytes_max(num), n_coded);
	b->re = calloc(LAYOUT_RE_MAX, sizeof *b->re);
	b->bits = calloc(n_coded, sizeof *b->bits);
	b->y = calloc(n_re, sizeof *b->y);
	b->h = calloc(n_re, sizeof *b->h);
	b->z = calloc(n_re, sizeof *b->z);
	b->var = calloc(n_re, sizeof *b->var);
	b->llr = calloc(n_coded, sizeof *b->llr);
	if (b->coder && b->re && b->bits && b->y && b->h && b->z && b->var && b->llr)
		return b;
	block_destroy(b);
	errno = ENOMEM;
	return NULL;
}

void block_destroy(struct block *b)
{
	if (!b)
		return;
	free(b->llr);
	free(b->var);
	free(b->z);
	free(b->h);
	free(b->y);
	free(b->bits);
	free(b->re);
	tb_coder_destroy(b->coder);
	free(b);
}

uint32_t *block_re(struct block *b)
{
	return b->re;
}

size_t block_bytes(const struct numerology *num, const struct grant *g)
{
	const struct mcs *m = mcs_get(g->mcs);
	return m ? mcs_tbs_bytes(m, rb_set_count(&g->rbs) * layout_nominal_re_per_rb(num)) : 0;
}

size_t block_bytes_max(const struct numerology *num)
{
	return mcs_tbs_bytes(mcs_get(mcs_count() - 1), num->n_rb * layout_nominal_re_per_rb(num));
}

int block_send(struct block *b, const struct grant *g, uint32_t seed, size_t n_re, float amplitude, const uint8_t *tb,
               size_t n_bytes, float complex *grid)
{
	if (!n_bytes || n_bytes != block_bytes(&b->num, g))
		return -EINVAL;
	unsigned qm = mcs_get(g->mcs)->bits;
	struct tb_format f = { .n_bytes = n_bytes, .n_coded = n_re * qm, .qm = qm, .rv = g->rv };
	int rc = tb_encode(b->coder, &f, tb, b->bits);
	if (rc)
		return rc;
	gold_xor_bits(seed, b->bits, f.n_coded);
	rc = modem_map(qm, b->bits, b->z, n_re);
	for (size_t i = 0; !rc && i < n_re; i++)
		grid[b->re[i]] = amplitude * b->z[i];
	return rc;
}

/* Equalised symbols against the points their soft bits decide for, in dB of those points' power. */
static float evm_db(struct block *b, unsigned qm, size_t n_re)
{
	double error = 0, power = 0;
	for (size_t i = 0; i < n_re * qm; i++)
		b->bits[i] = b->llr[i] < 0;
	modem_map(qm, b->bits, b->y, n_re);
	for (size_t i = 0; i < n_re; i++) {
		float complex e = b->z[i] - b->y[i], s = b->y[i];
		error += crealf(e) * crealf(e) + cimagf(e) * cimagf(e);
		power += crealf(s) * crealf(s) + cimagf(s) * cimagf(s);
	}
	return (float)(10 * log10(error / power));
}

static float mean_snr_db(const float *var, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += 1.0 / (double)var[i];
	return (float)(10 * log10(sum / (double)n));
}

int block_receive(struct block *b, const struct grant *g, uint32_t seed, size_t n_re, const float complex *grid,
                  const struct block_channel *channel, struct tb_soft *soft, uint8_t *tb, size_t *n_bytes,
                  struct rx_info *info)
{
	size_t n_sc = b->num.n_sc;
	*n_bytes = block_bytes(&b->num, g);
	if (!*n_bytes)
		return -EINVAL;
	unsigned qm = mcs_get(g->mcs)->bits;
	for (size_t i = 0; i < n_re; i++) {
		b->y[i] = grid[b->re[i]];
		b->h[i] = channel->h[b->re[i]];
	}
	equalize(b->y, b->h, 1, n_re, b->z, b->var);
	for (size_t i = 0; i < n_re; i++)
		b->var[i] *= channel->noise_var[b->re[i] % n_sc / PHY_RB_SC];
	modem_demap(qm, b->z, b->var, b->llr, n_re);
	if (info) {
		info->snr_db = mean_snr_db(b->var, n_re);
		info->evm_db = evm_db(b, qm, n_re);
	}
	gold_flip_llr(seed, b->llr, n_re * qm);
	struct tb_format f = { .n_bytes = *n_bytes, .n_coded = n_re * qm, .qm = qm, .rv = g->rv };
	struct tb_stats st = { 0 };
	int rc = tb_decode(b->coder, &f, b->llr, soft, tb, &st);
	if (info)
		info->iterations = st.n_decoded ? (st.iterations + st.n_decoded / 2) / st.n_decoded : 0;
	return rc;
}
