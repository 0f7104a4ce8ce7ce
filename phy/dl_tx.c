#include "phy/dl_common.h"
#include "phy/dl_control.h"

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
	struct dl_control_tx *control;
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
	tx->control = dl_control_tx_create(layout, cell_id);
	if (!tx->control) {
		dl_tx_destroy(tx);
		errno = ENOMEM;
		return NULL;
	}
	return tx;
}

void dl_tx_destroy(struct dl_tx *tx)
{
	if (!tx)
		return;
	dl_control_tx_destroy(tx->control);
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
	dl_control_begin(tx->control);
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

int dl_tx_sysinfo(struct dl_tx *tx, const struct sysinfo *si, unsigned level)
{
	uint8_t payload[DCI_BYTES_MAX];
	if (!layout_is_sync_slot(tx->slot) || si->cell_id != tx->c.cell_id)
		return -EINVAL;
	int rc = sysinfo_pack(si, payload);
	return rc ? rc : dl_control_add(tx->control, DCI_LONG, payload, DCI_ADDRESS_ALL, level);
}

int dl_tx_dci(struct dl_tx *tx, const struct dci *dci, unsigned level)
{
	uint8_t payload[DCI_BYTES_MAX];
	int rc = dci_pack(dci, tx->c.num.n_rb, payload);
	return rc ? rc : dl_control_add(tx->control, dci_size_of(dci), payload, dci->device + 1u, level);
}

int dl_tx_multicast(struct dl_tx *tx, const struct multicast *m, unsigned level)
{
	uint8_t payload[DCI_BYTES_MAX];
	int rc = multicast_pack(m, tx->c.num.n_rb, payload);
	return rc ? rc : dl_control_add(tx->control, DCI_LONG, payload, DCI_ADDRESS_MULTICAST, level);
}

size_t dl_tx_cce_left(const struct dl_tx *tx)
{
	return dl_control_left(tx->control);
}

static int send_block(struct dl_tx *tx, uint32_t address, const struct grant *g, const uint8_t *tb, size_t n_bytes)
{
	struct dl_common *c = &tx->c;
	if (!rb_set_within(&g->rbs, c->num.n_rb))
		return -EINVAL;
	if (rb_set_overlap(&g->rbs, &tx->taken))
		return -EBUSY;
	size_t n_re = layout_dl_data(c->layout, tx->slot, &g->rbs, block_re(c->block));
	int rc = block_send(c->block, g, sequence_seed(SEQUENCE_DATA, c->cell_id, address), n_re, tx->amplitude, tb,
	                    n_bytes, c->grid);
	if (rc)
		return rc;
	tx->taken.bits[0] |= g->rbs.bits[0];
	tx->taken.bits[1] |= g->rbs.bits[1];
	return 0;
}

int dl_tx_data(struct dl_tx *tx, uint8_t device, const struct grant *g, const uint8_t *tb, size_t n_bytes)
{
	return device < PHY_DEVICES_MAX ? send_block(tx, device + 1u, g, tb, n_bytes) : -EINVAL;
}

int dl_tx_multicast_data(struct dl_tx *tx, const struct grant *g, const uint8_t *tb, size_t n_bytes)
{
	return send_block(tx, DCI_ADDRESS_MULTICAST, g, tb, n_bytes);
}

void dl_tx_finish(struct dl_tx *tx, float complex *samples)
{
	dl_control_write(tx->control, tx->amplitude, tx->c.grid);
	ofdm_modulate(tx->c.ofdm, tx->c.grid, samples);
}
