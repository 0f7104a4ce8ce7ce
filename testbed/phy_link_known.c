/* What a receiver is told that has its estimation off: the channel of every resource element. */
#include "testbed/phy_link_inner.h"

void phy_link_truth(const struct phy_link *l, const struct phy_air *air, size_t link, struct phy_air_look look,
                    float complex *h)
{
	const struct numerology *num = &l->config.num;
	double complex symbol[PHY_SC_MAX];
	for (size_t s = 0; s < num->n_symbols; s++) {
		/* in the middle of the FFT window */
		look.t_ref = look.t_slot + numerology_symbol_middle(num, s) - (double)numerology_backoff(num);
		phy_air_truth(air, link, &look, symbol);
		for (size_t k = 0; k < num->n_sc; k++)
			h[s * num->n_sc + k] = (float complex)symbol[k];
	}
}
