/* A receiver that is told channel and noise: the same equaliser, demapper and decoder (phy/block.h) as those that
 * estimate them. */
#include "phy/block.h"
#include "phy/ofdm.h"
#include "phy/sequence.h"
#include "testbed/phy_link_inner.h"

#include <errno.h>
#include <stdlib.h>

struct phy_link_known {
	struct ofdm *ofdm;
	struct block *block;
	float complex *grid, *h;
	float noise_var[PHY_RB_MAX];
};

struct phy_link_known *phy_link_known_create(const struct numerology *num)
{
	struct phy_link_known *k = calloc(1, sizeof *k);
	if (!k)
		return NULL;
	phy_link_lock();
	k->ofdm = ofdm_create(num, numerology_backoff(num));
	k->block = block_create(num);
	phy_link_unlock();
	k->grid = calloc(num->n_symbols * num->n_sc, sizeof *k->grid);
	k->h = calloc(num->n_symbols * num->n_sc, sizeof *k->h);
	if (k->ofdm && k->block && k->grid && k->h)
		return k;
	phy_link_known_destroy(k);
	return NULL;
}

void phy_link_known_destroy(struct phy_link_known *k)
{
	if (!k)
		return;
	free(k->h);
	free(k->grid);
	phy_link_lock();
	block_destroy(k->block);
	ofdm_destroy(k->ofdm);
	phy_link_unlock();
	free(k);
}

void phy_link_known_slot(struct phy_link *l, const float complex *samples)
{
	ofdm_demodulate(l->known->ofdm, samples, l->known->grid);
}

/* In the middle of each symbol's FFT window. */
static void look_at_symbols(struct phy_link *l, const struct phy_air *air, size_t link, struct phy_air_look *look)
{
	const struct numerology *num = &l->config.num;
	double complex h[PHY_SC_MAX];
	for (size_t s = 0; s < num->n_symbols; s++) {
		double middle = numerology_symbol_middle(num, s) - (double)numerology_backoff(num);
		look->t_ref = look->t_slot + middle;
		phy_air_truth(air, link, look, h);
		for (size_t k = 0; k < num->n_sc; k++)
			l->known->h[s * num->n_sc + k] = (float complex)h[k];
	}
}

int phy_link_known_block(struct phy_link *l, size_t device, const struct phy_link_process *p, const struct phy_air *air,
                         size_t link, struct phy_air_look look, size_t *n_bytes, struct rx_info *info)
{
	struct phy_link_known *k = l->known;
	uint32_t *re = block_re(k->block);
	size_t n_re = l->config.uplink ? layout_ul_data(l->layout, &p->grant.rbs, re)
	                               : layout_dl_data(l->layout, p->slot, &p->grant.rbs, re);
	look_at_symbols(l, air, link, &look);
	for (size_t rb = 0; rb < l->config.num.n_rb; rb++)
		k->noise_var[rb] = (float)l->noise_var;
	struct block_channel channel = { .h = k->h, .noise_var = k->noise_var };
	uint32_t seed = sequence_seed(SEQUENCE_DATA, PHY_LINK_CELL, (uint32_t)device + 1);
	return block_receive(k->block, &p->grant, seed, n_re, k->grid, &channel, l->config.n_tx > 1 ? p->soft : NULL,
	                     p->got, n_bytes, info);
}
