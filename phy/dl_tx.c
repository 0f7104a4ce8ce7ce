#include "phy/dl_common.h"

#include "phy/gold.h"
#include "phy/modem.h"
#include "phy/sequence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dl_tx {
	struct dl_common c;
	float amplitude;
	float sync[SYNC_LEN_MAX];
	uint64_t slot;
	struct rb_set taken;
	bool cce_taken[LAYOUT_CCE_MAX];
	uint8_t bits[DL_LEVEL_MAX * DL_CCE_BITS];
	uint8_t scramble[LAYOUT_CCE_MAX * DL_CCE_BITS]; /* of the whole control region */
	float complex symbols[DL_LEVEL_MAX * LAYOUT_CCE_RE];
};

struct dl_tx *dl_tx_create(const struct layout *layout, uint16_t cell_id, float re_amplitude)
{
	if (!(re_amplitude > 0) || !isfinite(re_amplitude)) {
		errno = EINVAL;
		return NULL;
	}
	struct dl_tx *tx = calloc(1, sizeof *tx);
	if (!tx)
		return NULL;
	int rc = dl_common_init(&tx->c, layout, cell_id);
	if (rc) {
		free(tx);
		errno = -rc;
		return NULL;
	}
	tx->amplitude = re_amplitude;
	sequence_sync(&tx->c.num, cell_id, tx->sync);
	gold_xor_bits(sequence_seed(SEQUENCE_CONTROL, cell_id, 0), tx->scramble, tx->c.n_cce * DL_CCE_BITS);
	return tx;
}

void dl_tx_destroy(struct dl_tx *tx)
{
	if (!tx)
		return;
	dl_common_free(&tx->c);
	free(tx);
}

void dl_tx_begin(struct dl_tx *tx, uint64_t slot)
{
	struct dl_common *c = &tx->c;
	if (slot != tx->slot + 1)
		ofdm_reset(c->ofdm);
	tx->slot = slot;
	tx->taken = (struct rb_set){ { 0 } };
	memset(tx->cce_taken, 0, sizeof tx->cce_taken);
	memset(c->grid, 0, c->num.n_symbols * c->num.n_sc * sizeof *c->grid);
	for (size_t s = 0; s < 2; s++)
		for (size_t i = 0; i < c->n_pilots; i++)
			c->grid[c->num.format->pilot[s] * c->num.n_sc + i * c->num.pilot_step] =
			        tx->amplitude * c->pilots[s][i];
	if (!layout_is_sync_slot(slot))
		return;
	float complex *row = c->grid + c->num.format->sync * c->num.n_sc + sync_first_sc(&c->num);
	float boost = sync_boost(&c->num);
	for (size_t i = 0; i < c->num.sync_len; i++)
		row[i] = tx->amplitude * boost * tx->sync[i];
}

static bool cces_free(const struct dl_tx *tx, size_t first, size_t level)
{
	for (size_t i = first; i < first + level; i++)
		if (tx->cce_taken[i])
			return false;
	return true;
}

/* First CCE of a free aligned run, or -ENOSPC. Short messages go to the end, so that room for long ones stays together.
 */
static int find_cces(const struct dl_tx *tx, size_t level)
{
	for (size_t start = tx->c.n_cce / level * level; start >= level; start -= level)
		if (cces_free(tx, start - level, level))
			return (int)(start - level);
	return -ENOSPC;
}

static int send_control(struct dl_tx *tx, const uint8_t *payload, uint32_t address, unsigned level)
{
	if (level != 1 && level != 2 && level != 4 && level != 8)
		return -EINVAL;
	int first = find_cces(tx, level);
	if (first < 0)
		return first;
	int rc = cw_encode(tx->c.cw, payload, address, tx->bits, level * DL_CCE_BITS);
	if (rc)
		return rc;
	for (size_t i = 0; i < level * DL_CCE_BITS; i++)
		tx->bits[i] ^= tx->scramble[first * DL_CCE_BITS + i];
	modem_map(2, tx->bits, tx->symbols, level * LAYOUT_CCE_RE);
	for (size_t e = 0; e < level; e++) {
		const uint32_t *re = layout_cce(tx->c.layout, first + e);
		for (size_t i = 0; i < LAYOUT_CCE_RE; i++)
			tx->c.grid[re[i]] = tx->amplitude * tx->symbols[e * LAYOUT_CCE_RE + i];
		tx->cce_taken[first + e] = true;
	}
	return 0;
}

int dl_tx_sysinfo(struct dl_tx *tx, const struct sysinfo *si, unsigned level)
{
	uint8_t payload[DCI_BYTES_MAX];
	int rc = sysinfo_pack(si, tx->c.num.n_rb, payload);
	return rc ? rc : send_control(tx, payload, DCI_ADDRESS_ALL, level);
}

int dl_tx_dci(struct dl_tx *tx, const struct dci *dci, unsigned level)
{
	uint8_t payload[DCI_BYTES_MAX];
	int rc = dci_pack(dci, tx->c.num.n_rb, payload);
	return rc ? rc : send_control(tx, payload, dci->device + 1u, level);
}

size_t dl_tx_cce_left(const struct dl_tx *tx)
{
	size_t left = 0;
	for (size_t i = 0; i < tx->c.n_cce; i++)
		left += !tx->cce_taken[i];
	return left;
}

int dl_tx_data(struct dl_tx *tx, uint8_t device, const struct grant *g, const uint8_t *tb, size_t n_bytes)
{
	struct dl_common *c = &tx->c;
	if (device >= PHY_DEVICES_MAX || !rb_set_within(&g->rbs, c->num.n_rb))
		return -EINVAL;
	if (rb_set_overlap(&g->rbs, &tx->taken))
		return -EBUSY;
	size_t n_re = layout_dl_data(c->layout, tx->slot, &g->rbs, block_re(c->block));
	int rc = block_send(c->block, g, sequence_seed(SEQUENCE_DATA, c->cell_id, device + 1u), n_re, tx->amplitude, tb,
	                    n_bytes, c->grid);
	if (rc)
		return rc;
	tx->taken.bits[0] |= g->rbs.bits[0];
	tx->taken.bits[1] |= g->rbs.bits[1];
	return 0;
}

void dl_tx_finish(struct dl_tx *tx, float complex *samples)
{
	ofdm_modulate(tx->c.ofdm, tx->c.grid, samples);
}
