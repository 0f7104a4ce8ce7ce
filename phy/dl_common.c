#include "phy/dl_common.h"

#include "phy/gold.h"
#include "phy/sequence.h"

#include <errno.h>
#include <stdlib.h>

enum { CELLS = 1024 };

void dl_common_free(struct dl_common *c)
{
	free(c->grid);
	block_destroy(c->block);
	ofdm_destroy(c->ofdm);
}

int dl_common_init(struct dl_common *c, const struct layout *layout, uint16_t cell_id)
{
	if (cell_id >= CELLS)
		return -EINVAL;
	c->layout = layout;
	c->num = *layout_numerology(layout);
	c->cell_id = cell_id;
	c->n_pilots = c->num.n_sc / c->num.pilot_step;
	for (size_t s = 0; s < 2; s++)
		gold_qpsk(sequence_seed(SEQUENCE_PILOT, cell_id, c->num.format->pilot[s]), c->pilots[s], c->n_pilots);
	c->ofdm = ofdm_create(&c->num, numerology_backoff(&c->num));
	c->block = block_create(&c->num);
	c->grid = calloc(c->num.n_symbols * c->num.n_sc, sizeof *c->grid);
	if (c->ofdm && c->block && c->grid)
		return 0;
	dl_common_free(c);
	return -ENOMEM;
}

size_t dl_tb_bytes(const struct layout *l, const struct grant *g)
{
	return rb_set_within(&g->rbs, layout_numerology(l)->n_rb) ? block_bytes(layout_numerology(l), g) : 0;
}

size_t dl_tb_bytes_max(const struct layout *l)
{
	return block_bytes_max(layout_numerology(l));
}
