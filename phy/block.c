#include "phy/block.h"

#include "phy/gold.h"
#include "phy/mcs.h"
#include "phy/modem.h"
#include "phy/soften.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUN = PHY_RB_SC };

struct block {
	struct numerology num;
	struct tb_coder *coder;
	uint32_t *re;
	uint8_t *symbols, *scramble; /* a byte an RE */
	float *inverse_noise;        /* n_sc */
	struct soften soften;
};

struct block *block_create(const struct numerology *num)
{
	struct block *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->num = *num;
	b->coder = tb_coder_create(block_bytes_max(num));
	b->re = calloc(LAYOUT_RE_MAX, sizeof *b->re);
	b->symbols = calloc(LAYOUT_RE_MAX, 1);
	b->scramble = calloc(LAYOUT_RE_MAX, 1);
	b->inverse_noise = calloc(num->n_sc, sizeof *b->inverse_noise);
	if (b->coder && b->re && b->symbols && b->scramble && b->inverse_noise)
		return b;
	block_destroy(b);
	errno = ENOMEM;
	return NULL;
}

void block_destroy(struct block *b)
{
	if (!b)
		return;
	free(b->inverse_noise);
	free(b->scramble);
	free(b->symbols);
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

static struct tb_format format_of(const struct grant *g, size_t n_bytes, size_t n_re)
{
	const struct mcs *m = mcs_get(g->mcs);
	return (struct tb_format){
		.n_bytes = n_bytes,
		.n_symbols = n_re,
		.qm = m->bits,
		.rv = g->rv,
		.graph = tb_graph(n_bytes, m->rate),
		.iterations = m->iterations,
	};
}

int block_send(struct block *b, const struct grant *g, uint32_t seed, size_t n_re, float amplitude, const uint8_t *tb,
               size_t n_bytes, float complex *grid)
{
	float complex points[MODEM_POINTS_MAX];
	if (!n_bytes || n_bytes != block_bytes(&b->num, g))
		return -EINVAL;
	struct tb_format f = format_of(g, n_bytes, n_re);
	int rc = tb_encode(b->coder, &f, tb, b->symbols);
	if (rc)
		return rc;
	gold_symbols(seed, f.qm, b->scramble, n_re);
	modem_points(f.qm, amplitude, points);
	for (size_t i = 0; i < n_re; i++)
		grid[b->re[i]] = points[b->symbols[i] ^ b->scramble[i]];
	return 0;
}

/* One over the noise of each subcarrier of the granted RBs; a variance that is none erases. */
static void invert_noise(struct block *b, const struct rb_set *rbs, const float *noise_var)
{
	for (size_t rb = rb_set_next(rbs, 0); rb < b->num.n_rb; rb = rb_set_next(rbs, rb + 1)) {
		float inverse = noise_var[rb] > 0 ? 1 / noise_var[rb] : 0;
		for (size_t k = rb * PHY_RB_SC; k < (rb + 1) * PHY_RB_SC; k++)
			b->inverse_noise[k] = inverse;
	}
}

/* n REs of the list, from the one numbered `first`, to the soft demapper; runs of an RB at a time. */
static void gather(struct block *b, size_t first, size_t n, const float complex *grid, const float complex *h)
{
	const uint32_t *re = b->re + first;
	struct soften *s = &b->soften;
	size_t n_sc = b->num.n_sc, row = re[0] / n_sc * n_sc;
	for (size_t i = 0; i < n;) {
		for (; re[i] >= row + n_sc; row += n_sc)
			;
		size_t k = re[i] - row;
		if (i + RUN <= n && re[i + RUN - 1] == re[i] + RUN - 1 && k + RUN <= n_sc) {
			memcpy(s->y + i, grid + re[i], RUN * sizeof *grid);
			memcpy(s->h + i, h + re[i], RUN * sizeof *h);
			memcpy(s->inverse_noise + i, b->inverse_noise + k, RUN * sizeof *b->inverse_noise);
			i += RUN;
		} else {
			s->y[i] = grid[re[i]];
			s->h[i] = h[re[i]];
			s->inverse_noise[i] = b->inverse_noise[k];
			i++;
		}
	}
	memcpy(s->scramble, b->scramble + first, n);
}

int block_receive(struct block *b, const struct grant *g, uint32_t seed, size_t n_re, const float complex *grid,
                  const struct block_channel *channel, struct tb_soft *soft, uint8_t *tb, size_t *n_bytes,
                  struct rx_info *info)
{
	*n_bytes = block_bytes(&b->num, g);
	if (!*n_bytes)
		return -EINVAL;
	struct tb_format f = format_of(g, *n_bytes, n_re);
	int rc = tb_decode_begin(b->coder, &f, soft);
	if (rc)
		return rc;
	double snr = 0, error = 0, power = 0;
	gold_symbols(seed, f.qm, b->scramble, n_re);
	invert_noise(b, &g->rbs, channel->noise_var);
	for (size_t i = 0, n; i < n_re; i += n) {
		n = n_re - i < SOFTEN_RE ? n_re - i : SOFTEN_RE;
		gather(b, i, n, grid, channel->h);
		soften(&b->soften, f.qm, n);
		tb_decode_feed(b->coder, b->soften.llr[0], SOFTEN_RE, n);
		snr += (double)b->soften.snr;
		error += (double)b->soften.error;
		power += (double)b->soften.power;
	}
	struct tb_stats st = { 0 };
	rc = tb_decode_end(b->coder, tb, &st);
	if (info) {
		info->snr_db = (float)(10 * log10(snr / (double)n_re));
		info->evm_db = power > 0 ? (float)(10 * log10(error / power)) : INFINITY;
		info->iterations = st.n_decoded ? (st.iterations + st.n_decoded / 2) / st.n_decoded : 0;
	}
	return rc;
}
