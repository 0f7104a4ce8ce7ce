#include "phy/cw.h"
#include "phy/dl_control.h"
#include "phy/gold.h"
#include "phy/modem.h"
#include "phy/sequence.h"

#include <errno.h>
#include <stdlib.h>

struct message {
	unsigned level;
	size_t first; /* of its coded bits */
};

struct dl_control_tx {
	const struct layout *layout;
	uint16_t cell_id;
	struct cw_coder *cw[DCI_SIZES];
	size_t n_messages, n_cce; /* added so far, and the CCEs they take */
	struct message message[LAYOUT_CCE_MAX];
	uint8_t coded[LAYOUT_CCE_MAX * DL_CCE_BITS];    /* of the messages, in the order they came */
	uint8_t placed[LAYOUT_CCE_MAX * DL_CCE_BITS];   /* in the order of the region */
	uint8_t scramble[LAYOUT_CCE_MAX * DL_CCE_BITS]; /* of the whole region */
	float complex symbols[LAYOUT_CCE_MAX * LAYOUT_CCE_RE];
};

struct dl_control_tx *dl_control_tx_create(const struct layout *layout, uint16_t cell_id)
{
	struct dl_control_tx *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->layout = layout;
	c->cell_id = cell_id;
	gold_xor_bits(sequence_seed(SEQUENCE_CONTROL, cell_id, 0), c->scramble, layout_n_cce(layout) * DL_CCE_BITS);
	for (size_t size = 0; size < DCI_SIZES; size++) {
		c->cw[size] = cw_create(dci_n_bits((enum dci_size)size, layout_numerology(layout)->n_rb),
		                        DL_LEVEL_MAX * DL_CCE_BITS);
		if (!c->cw[size]) {
			dl_control_tx_destroy(c);
			return NULL;
		}
	}
	return c;
}

void dl_control_tx_destroy(struct dl_control_tx *c)
{
	if (!c)
		return;
	for (size_t size = 0; size < DCI_SIZES; size++)
		cw_destroy(c->cw[size]);
	free(c);
}

void dl_control_begin(struct dl_control_tx *c)
{
	c->n_messages = c->n_cce = 0;
}

size_t dl_control_left(const struct dl_control_tx *c)
{
	return layout_n_cce(c->layout) - c->n_cce;
}

int dl_control_add(struct dl_control_tx *c, enum dci_size size, const uint8_t *payload, uint32_t address,
                   unsigned level)
{
	if (!dl_level_ok(c->layout, level))
		return -EINVAL;
	if (level > dl_control_left(c))
		return -ENOSPC;
	struct message m = { .level = level, .first = c->n_cce * DL_CCE_BITS };
	int rc =
	        cw_encode(c->cw[size], payload, dci_mask(c->cell_id, address), c->coded + m.first, level * DL_CCE_BITS);
	if (rc)
		return rc;
	c->message[c->n_messages++] = m;
	c->n_cce += level;
	return 0;
}

/* Coded bits to their places, the longest messages first. */
static void place(struct dl_control_tx *c)
{
	unsigned levels[DL_LEVELS_MAX];
	size_t n_levels = dl_levels(c->layout, levels), at = 0;
	for (size_t l = 0; l < n_levels; l++)
		for (size_t m = 0; m < c->n_messages; m++) {
			if (c->message[m].level != levels[l])
				continue;
			for (size_t i = 0; i < levels[l] * DL_CCE_BITS; i++, at++)
				c->placed[at] = c->coded[c->message[m].first + i] ^ c->scramble[at];
		}
}

void dl_control_write(struct dl_control_tx *c, float amplitude, float complex *grid)
{
	place(c);
	modem_map(2, c->placed, c->symbols, c->n_cce * LAYOUT_CCE_RE);
	for (size_t e = 0; e < c->n_cce; e++) {
		const uint32_t *re = layout_cce(c->layout, e);
		for (size_t i = 0; i < LAYOUT_CCE_RE; i++)
			grid[re[i]] = amplitude * c->symbols[e * LAYOUT_CCE_RE + i];
	}
}
