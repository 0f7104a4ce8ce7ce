#include "phy/ul_control.h"

#include "phy/cw.h"
#include "phy/dci.h"
#include "phy/equalize.h"
#include "phy/gold.h"
#include "phy/modem.h"
#include "phy/sequence.h"

#include <errno.h>
#include <stdlib.h>

enum {
	RE_MAX = 2 * LAYOUT_COMB_MAX,
	ITERATIONS = 30,
};

struct ul_control {
	const struct layout *layout;
	struct numerology num;
	uint16_t cell_id;
	unsigned qm; /* bits a symbol */
	struct cw_coder *cw;
	uint32_t re[RE_MAX];                         /* of the device in work, in order of symbol, then subcarrier */
	float scramble[PHY_DEVICES_MAX][2 * RE_MAX]; /* -1 where the sequence has a 1 */
	uint8_t bits[2 * RE_MAX];
	float complex y[RE_MAX], hy[RE_MAX], z[RE_MAX];
	float var[RE_MAX], llr[2 * RE_MAX];
};

static uint32_t seed(const struct ul_control *c, uint8_t device)
{
	return sequence_seed(SEQUENCE_UPLINK_CONTROL, c->cell_id, device + 1u);
}

struct ul_control *ul_control_create(const struct layout *layout, uint16_t cell_id)
{
	struct ul_control *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->layout = layout;
	c->num = *layout_numerology(layout);
	c->cell_id = cell_id;
	c->qm = c->num.n_rb < UCI_QPSK_RB ? 4 : 2;
	c->cw = cw_create(UCI_BITS, 2 * RE_MAX);
	for (size_t d = 0; d < PHY_DEVICES_MAX; d++) {
		for (size_t i = 0; i < 2 * RE_MAX; i++)
			c->scramble[d][i] = 1;
		gold_flip_llr(seed(c, (uint8_t)d), c->scramble[d], 2 * RE_MAX);
	}
	if (c->cw)
		return c;
	free(c);
	return NULL;
}

void ul_control_destroy(struct ul_control *c)
{
	if (!c)
		return;
	cw_destroy(c->cw);
	free(c);
}

/* The control REs of a device; returns how many. */
static size_t place(struct ul_control *c, uint8_t device)
{
	size_t n = 0;
	for (size_t s = 0; s < 2; s++) {
		size_t row = c->num.format->uci[s] * c->num.n_sc;
		for (size_t k = device % LAYOUT_COMB_STEP; k < c->num.n_sc; k += LAYOUT_COMB_STEP)
			c->re[n++] = (uint32_t)(row + k);
	}
	return n;
}

int ul_control_write(struct ul_control *c, uint8_t device, uint64_t slot, const struct uci *uci, float complex *grid)
{
	uint8_t payload[UCI_BYTES];
	struct uci_turn turn = uci_turn(slot, c->num.n_rb);
	size_t n_re = place(c, device), n_bits = n_re * c->qm;
	if (uci->turn.topic != turn.topic || uci->turn.group != turn.group || uci_pack(uci, payload))
		return -EINVAL;
	int rc = cw_encode(c->cw, payload, dci_mask(c->cell_id, device + 1u), c->bits, n_bits);
	if (rc)
		return rc;
	gold_xor_bits(seed(c, device), c->bits, n_bits);
	modem_map(c->qm, c->bits, c->z, n_re);
	for (size_t i = 0; i < n_re; i++)
		grid[c->re[i]] = c->z[i];
	return 0;
}

/* Soft bits of the REs in the list. */
static void soften(struct ul_control *c, const float complex *grid, const struct block_channel *channel, size_t n_re)
{
	for (size_t i = 0; i < n_re; i++) {
		size_t row = c->num.format->uci[i >= n_re / 2] * c->num.n_sc;
		c->y[i] = grid[c->re[i]];
		c->hy[i] = channel->h[c->re[i]];
		c->var[i] = channel->noise_var[(c->re[i] - row) / PHY_RB_SC];
	}
	if (c->qm == 2) {
		soften_qpsk(c->y, c->hy, c->var, n_re, c->llr);
		return;
	}
	equalize(c->y, c->hy, n_re, c->z, c->var);
	modem_demap(c->qm, c->z, c->var, c->llr, n_re);
}

int ul_control_read(struct ul_control *c, uint8_t device, uint64_t slot, const float complex *grid,
                    const struct block_channel *channel, struct uci *uci)
{
	uint8_t payload[UCI_BYTES];
	uint32_t mask;
	size_t n_re = place(c, device), n_bits = n_re * c->qm;
	soften(c, grid, channel, n_re);
	for (size_t i = 0; i < n_bits; i++)
		c->llr[i] *= c->scramble[device][i];
	if (cw_decode(c->cw, c->llr, n_bits, ITERATIONS, payload, &mask) || mask != dci_mask(c->cell_id, device + 1u))
		return -EBADMSG;
	return uci_unpack(payload, uci_turn(slot, c->num.n_rb), uci);
}
