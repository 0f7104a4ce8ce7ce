#include "phy/dl_common.h"

#include "phy/dl_chest.h"
#include "phy/dl_control.h"
#include "phy/finite.h"
#include "phy/measure.h"
#include "phy/sequence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dl_rx {
	struct dl_common c;
	uint8_t device;
	struct dl_chest *chest;
	struct dl_control_rx *control;
	bool valid; /* the state below describes the slot last given */
	uint64_t slot;
	struct block_channel channel; /* of the samples as given */
	float noise_var;              /* of a received RE, without what the estimate of the channel adds */
	float cfo_hz;
	const float complex *truth; /* NULL: none was told */
	float truth_noise[PHY_RB_MAX];
	struct dl_rx_stats stats;
};

struct dl_rx *dl_rx_create(const struct layout *layout, uint16_t cell_id, uint8_t device)
{
	if (device >= PHY_DEVICES_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct dl_rx *rx = calloc(1, sizeof *rx);
	if (!rx)
		return NULL;
	int rc = dl_common_init(&rx->c, layout, cell_id);
	if (rc) {
		free(rx);
		errno = -rc;
		return NULL;
	}
	rx->device = device;
	rx->chest = dl_chest_create(&rx->c.num, cell_id);
	rx->control = dl_control_rx_create(layout, cell_id, device);
	if (!rx->chest || !rx->control) {
		dl_rx_destroy(rx);
		errno = ENOMEM;
		return NULL;
	}
	return rx;
}

void dl_rx_destroy(struct dl_rx *rx)
{
	if (!rx)
		return;
	dl_control_rx_destroy(rx->control);
	dl_chest_destroy(rx->chest);
	dl_common_free(&rx->c);
	free(rx);
}

void dl_rx_reset(struct dl_rx *rx)
{
	dl_chest_reset(rx->chest);
	rx->valid = false;
}

void dl_rx_set_truth(struct dl_rx *rx, const float complex *h, float noise_var)
{
	rx->truth = h;
	for (size_t rb = 0; rb < rx->c.num.n_rb; rb++)
		rx->truth_noise[rb] = noise_var;
}

int dl_rx_slot(struct dl_rx *rx, const float complex *samples, const struct slot_time *when, struct dl_result *res)
{
	struct dl_common *c = &rx->c;
	const struct numerology *num = &c->num;
	memset(res, 0, sizeof *res);
	csi_empty(&res->csi, num, when);
	rx->valid = false;
	rx->slot = when->slot;
	rx->stats.slots++;
	if (!samples_finite(samples, num->slot_len)) {
		rx->stats.refused++;
		return -EINVAL;
	}
	res->csi.rssi_dbfs = ratio_db(mean_power(samples, num->slot_len));
	ofdm_demodulate(c->ofdm, samples, c->grid);
	rx->valid = dl_chest_slot(rx->chest, c->grid, when, &res->csi, &res->track);
	rx->channel = dl_chest_channel(rx->chest);
	rx->noise_var = dl_chest_noise_var(rx->chest);
	rx->cfo_hz = res->track.cfo_hz;
	rx->stats.invalid += !rx->valid;
	if (rx->truth) {
		rx->valid = true;
		rx->channel = (struct block_channel){ .h = rx->truth, .noise_var = rx->truth_noise };
		rx->noise_var = rx->truth_noise[0];
	}
	if (rx->valid)
		dl_control_read(rx->control, rx->slot, c->grid, &rx->channel, rx->noise_var, res, &rx->stats);
	return 0;
}

static int read_block(struct dl_rx *rx, uint32_t address, const struct grant *g, struct tb_soft *soft, uint8_t *tb,
                      size_t *n_bytes, struct rx_info *info)
{
	struct dl_common *c = &rx->c;
	if (!rb_set_within(&g->rbs, c->num.n_rb))
		return -EINVAL;
	if (!rx->valid)
		return -ENODATA;
	size_t n_re = layout_dl_data(c->layout, rx->slot, &g->rbs, block_re(c->block));
	int rc = block_receive(c->block, g, sequence_seed(SEQUENCE_DATA, c->cell_id, address), n_re, c->grid,
	                       &rx->channel, soft, tb, n_bytes, info);
	if (info)
		info->cfo_hz = rx->cfo_hz;
	rx->stats.blocks_ok += rc == 0;
	rx->stats.blocks_bad += rc == -EBADMSG;
	return rc;
}

int dl_rx_data(struct dl_rx *rx, const struct grant *g, struct tb_soft *soft, uint8_t *tb, size_t *n_bytes,
               struct rx_info *info)
{
	return read_block(rx, rx->device + 1u, g, soft, tb, n_bytes, info);
}

int dl_rx_multicast_data(struct dl_rx *rx, const struct grant *g, struct tb_soft *soft, uint8_t *tb, size_t *n_bytes,
                         struct rx_info *info)
{
	return read_block(rx, DCI_ADDRESS_MULTICAST, g, soft, tb, n_bytes, info);
}

void dl_rx_get_stats(const struct dl_rx *rx, struct dl_rx_stats *stats)
{
	*stats = rx->stats;
}
