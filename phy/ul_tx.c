#include "phy/ul.h"

#include "phy/access.h"
#include "phy/block.h"
#include "phy/gold.h"
#include "phy/ofdm.h"
#include "phy/sequence.h"
#include "phy/ul_control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 1024, DMRS_MAX = PHY_SC_MAX / LAYOUT_DMRS_STEP };

size_t ul_tb_bytes(const struct layout *l, uint64_t slot, const struct grant *g)
{
	struct rb_set allowed = layout_ul_rbs(l, slot);
	if (g->rbs.bits[0] & ~allowed.bits[0] || g->rbs.bits[1] & ~allowed.bits[1])
		return 0;
	return block_bytes(layout_numerology(l), g);
}

struct ul_tx {
	const struct layout *layout;
	struct numerology num;
	uint16_t cell_id;
	uint8_t device;
	size_t n_comb;
	uint16_t comb[LAYOUT_COMB_MAX];
	float complex dmrs[2][DMRS_MAX];
	float complex sounding[PHY_SC_MAX];
	struct ofdm *ofdm;
	struct ul_control *control;
	struct block *block;
	float complex *grid; /* unit amplitudes until ul_tx_finish */
	uint64_t slot;
	bool has_data, has_control, has_access;
};

struct ul_tx *ul_tx_create(const struct layout *layout, uint16_t cell_id, uint8_t device)
{
	if (device >= PHY_DEVICES_MAX || cell_id >= CELLS) {
		errno = EINVAL;
		return NULL;
	}
	struct ul_tx *tx = calloc(1, sizeof *tx);
	if (!tx)
		return NULL;
	tx->layout = layout;
	tx->num = *layout_numerology(layout);
	tx->cell_id = cell_id;
	tx->device = device;
	tx->n_comb = layout_comb(layout, device, tx->comb);
	for (size_t s = 0; s < 2; s++)
		gold_qpsk(sequence_seed(SEQUENCE_DMRS, cell_id, tx->num.format->dmrs[s]), tx->dmrs[s],
		          tx->num.n_sc / LAYOUT_DMRS_STEP);
	sequence_sounding(&tx->num, cell_id, tx->sounding);
	tx->ofdm = ofdm_create(&tx->num, numerology_backoff(&tx->num));
	tx->control = ul_control_create(layout, cell_id);
	tx->block = block_create(&tx->num);
	tx->grid = calloc(tx->num.n_symbols * tx->num.n_sc, sizeof *tx->grid);
	if (tx->ofdm && tx->control && tx->block && tx->grid)
		return tx;
	ul_tx_destroy(tx);
	errno = ENOMEM;
	return NULL;
}

void ul_tx_destroy(struct ul_tx *tx)
{
	if (!tx)
		return;
	free(tx->grid);
	block_destroy(tx->block);
	ul_control_destroy(tx->control);
	ofdm_destroy(tx->ofdm);
	free(tx);
}

void ul_tx_begin(struct ul_tx *tx, uint64_t slot)
{
	if (slot != tx->slot + 1)
		ofdm_reset(tx->ofdm);
	tx->slot = slot;
	tx->has_data = tx->has_control = tx->has_access = false;
	memset(tx->grid, 0, tx->num.n_symbols * tx->num.n_sc * sizeof *tx->grid);
}

int ul_tx_data(struct ul_tx *tx, const struct grant *g, const uint8_t *tb, size_t n_bytes)
{
	if (tx->has_data || tx->has_access)
		return -EBUSY;
	if (!n_bytes || n_bytes != ul_tb_bytes(tx->layout, tx->slot, g))
		return -EINVAL;
	size_t n_re = layout_ul_data(tx->layout, &g->rbs, block_re(tx->block));
	uint32_t seed = sequence_seed(SEQUENCE_DATA, tx->cell_id, tx->device + 1u);
	int rc = block_send(tx->block, g, seed, n_re, 1, tb, n_bytes, tx->grid);
	if (rc)
		return rc;
	for (size_t s = 0; s < 2; s++)
		for (size_t k = 0; k < tx->num.n_sc; k += LAYOUT_DMRS_STEP)
			if (rb_set_has(&g->rbs, k / PHY_RB_SC))
				tx->grid[tx->num.format->dmrs[s] * tx->num.n_sc + k] =
				        tx->dmrs[s][k / LAYOUT_DMRS_STEP];
	tx->has_data = true;
	return 0;
}

int ul_tx_control(struct ul_tx *tx, const struct uci *uci)
{
	int rc = ul_control_write(tx->control, tx->device, tx->slot, uci, tx->grid);
	if (rc)
		return rc;
	for (size_t i = 0; i < tx->n_comb; i++)
		tx->grid[tx->num.format->sounding * tx->num.n_sc + tx->comb[i]] = tx->sounding[tx->comb[i]];
	tx->has_control = true;
	return 0;
}

int ul_tx_access(struct ul_tx *tx)
{
	if (!layout_is_access_slot(tx->slot))
		return -EINVAL;
	if (tx->has_data || tx->has_access)
		return -EBUSY;
	access_write(&tx->num, tx->cell_id, tx->device, 1, tx->grid);
	tx->has_access = true;
	return 0;
}

bool ul_tx_finish(struct ul_tx *tx, const struct ul_amplitudes *amplitudes, float complex *samples)
{
	if (!tx->has_data && !tx->has_control && !tx->has_access)
		return ofdm_silence(tx->ofdm, samples);
	for (size_t l = 0; l < tx->num.n_symbols; l++) {
		float a = l >= tx->num.format->n_ul_data ? amplitudes->comb
		          : tx->has_access               ? amplitudes->access
		                                         : amplitudes->data;
		for (size_t k = 0; k < tx->num.n_sc; k++)
			tx->grid[l * tx->num.n_sc + k] *= a;
	}
	ofdm_modulate(tx->ofdm, tx->grid, samples);
	return true;
}
