#include "phy/ul.h"

#include "phy/block.h"
#include "phy/finite.h"
#include "phy/measure.h"
#include "phy/ofdm.h"
#include "phy/sequence.h"
#include "phy/ul_access.h"
#include "phy/ul_chest.h"
#include "phy/ul_control.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 1024 };

static const float channel_least = 0.03f; /* mean power over noise of a channel that can carry a block */
static const float lit_min = 1.5f;        /* mean energy over noise of what counts as sent */

/* A channel told instead of estimated; h NULL: none. */
struct truth {
	const float complex *h;
	float noise_var[PHY_RB_MAX];
};

struct ul_rx {
	const struct layout *layout;
	struct numerology num;
	uint16_t cell_id;
	struct ofdm *ofdm;
	struct ul_control *control;
	struct block *block;
	struct ul_access_rx *access;
	struct ul_chest *chest;
	struct slot_time when;
	bool empty; /* no slot, or one that was refused */
	float complex *grid;
	bool weighed; /* the data of this slot: */
	float rb_energy[PHY_RB_MAX];
	struct truth truth[PHY_DEVICES_MAX];
	struct ul_rx_stats stats;
};

struct ul_rx *ul_rx_create(const struct layout *layout, uint16_t cell_id)
{
	if (cell_id >= CELLS) {
		errno = EINVAL;
		return NULL;
	}
	struct ul_rx *rx = calloc(1, sizeof *rx);
	if (!rx)
		return NULL;
	rx->layout = layout;
	rx->num = *layout_numerology(layout);
	rx->cell_id = cell_id;
	rx->empty = true;
	rx->ofdm = ofdm_create(&rx->num, numerology_backoff(&rx->num));
	rx->control = ul_control_create(layout, cell_id);
	rx->block = block_create(&rx->num);
	rx->access = ul_access_create(&rx->num, cell_id);
	rx->grid = calloc(rx->num.n_symbols * rx->num.n_sc, sizeof *rx->grid);
	rx->chest = ul_chest_create(layout, cell_id);
	if (rx->ofdm && rx->control && rx->block && rx->access && rx->grid && rx->chest)
		return rx;
	ul_rx_destroy(rx);
	errno = ENOMEM;
	return NULL;
}

void ul_rx_destroy(struct ul_rx *rx)
{
	if (!rx)
		return;
	ul_chest_destroy(rx->chest);
	free(rx->grid);
	ul_access_destroy(rx->access);
	block_destroy(rx->block);
	ul_control_destroy(rx->control);
	ofdm_destroy(rx->ofdm);
	free(rx);
}

void ul_rx_reset(struct ul_rx *rx)
{
	ul_chest_reset(rx->chest);
	rx->empty = true;
}

int ul_rx_slot(struct ul_rx *rx, const float complex *samples, const struct slot_time *when)
{
	rx->when = *when;
	rx->weighed = false;
	rx->stats.slots++;
	rx->empty = !samples_finite(samples, rx->num.slot_len);
	if (rx->empty) {
		rx->stats.refused++;
		return -EINVAL;
	}
	ofdm_demodulate(rx->ofdm, samples, rx->grid);
	if (layout_is_access_slot(when->slot))
		ul_access_take(rx->access, samples);
	ul_chest_slot(rx->chest, rx->grid, when);
	return 0;
}

void ul_rx_set_truth(struct ul_rx *rx, uint8_t device, const float complex *h, float noise_var)
{
	struct truth *t = &rx->truth[device];
	t->h = h;
	for (size_t rb = 0; rb < rx->num.n_rb; rb++)
		t->noise_var[rb] = noise_var;
}

void ul_rx_set_comb_boost(struct ul_rx *rx, uint8_t device, uint8_t comb_boost)
{
	ul_chest_set_boost(rx->chest, device, (float)(1u << comb_boost));
}

static struct block_channel channel_of(const struct ul_rx *rx, uint8_t device)
{
	const struct truth *t = &rx->truth[device];
	return t->h ? (struct block_channel){ .h = t->h, .noise_var = t->noise_var } : ul_chest_channel(rx->chest);
}

/* Noise of a RE where that device sends nothing. */
static float floor_of(const struct ul_rx *rx, uint8_t device)
{
	const struct truth *t = &rx->truth[device];
	return t->h ? t->noise_var[0] : ul_chest_floor(rx->chest);
}

/* Energy of the data REs of each RB, once a slot and for all devices. */
static void weigh_rbs(struct ul_rx *rx)
{
	float energy[PHY_SC_MAX] = { 0 };
	const struct slot_format *f = rx->num.format;
	size_t n_sc = rx->num.n_sc;
	for (size_t l = 0; l < f->n_ul_data; l++) {
		const float complex *row = rx->grid + l * n_sc;
		bool pilots = l == f->dmrs[0] || l == f->dmrs[1];
		for (size_t k = 0; k < n_sc; k++)
			energy[k] += pilots && k % LAYOUT_DMRS_STEP == 0 ? 0 : power_of(row[k]);
	}
	for (size_t rb = 0; rb < rx->num.n_rb; rb++) {
		const float *e = energy + rb * PHY_RB_SC;
		float part[4];
		for (size_t k = 0; k < 4; k++)
			part[k] = e[k] + e[4 + k] + e[8 + k];
		rx->rb_energy[rb] = (part[0] + part[1]) + (part[2] + part[3]);
	}
	rx->weighed = true;
}

/* Mean energy of the n_re REs of a block; 0 if it is no more than noise. */
static float data_energy(struct ul_rx *rx, uint8_t device, const struct rb_set *rbs, size_t n_re)
{
	float energy = 0;
	if (!rx->weighed)
		weigh_rbs(rx);
	for (size_t rb = rb_set_next(rbs, 0); rb < rx->num.n_rb; rb = rb_set_next(rbs, rb + 1))
		energy += rx->rb_energy[rb];
	energy /= (float)n_re;
	return energy > (1.1f + 4 / sqrtf((float)n_re)) * floor_of(rx, device) ? energy : 0;
}

void ul_rx_expect(struct ul_rx *rx, uint8_t device, const struct rb_set *rbs)
{
	struct rb_set all = { { 0 } };
	rb_set_add_range(&all, 0, rx->num.n_rb);
	if (device >= PHY_DEVICES_MAX || rx->empty || !rb_set_equal(rbs, &all) || layout_is_access_slot(rx->when.slot))
		return;
	float energy = data_energy(rx, device, rbs, layout_ul_data(rx->layout, rbs, NULL));
	if (energy > 0)
		ul_chest_dmrs(rx->chest, device, energy);
}

int ul_rx_control(struct ul_rx *rx, uint8_t device, struct uci *uci, struct csi *csi)
{
	if (device >= PHY_DEVICES_MAX)
		return -EINVAL;
	if (csi) {
		csi_empty(csi, &rx->num, &rx->when);
		csi->noise_var = ul_chest_floor(rx->chest);
	}
	if (rx->empty || !(ul_chest_comb_energy(rx->chest, device) > lit_min * floor_of(rx, device))) {
		rx->stats.controls_silent += !rx->empty;
		return -ENODATA;
	}
	ul_chest_sounding(rx->chest, device, csi);
	struct block_channel channel = channel_of(rx, device);
	int rc = ul_control_read(rx->control, device, rx->when.slot, rx->grid, &channel, uci);
	rx->stats.controls_ok += rc == 0;
	rx->stats.controls_bad += rc != 0;
	return rc;
}

/* Is there a channel under the block? Energy that the pilots know nothing of is not this device's, and soft bits that
 * say next to nothing would decode to zeros. */
static bool has_channel(const struct ul_rx *rx, const struct rb_set *rbs, const struct block_channel *channel)
{
	float power = 0, noise = 0;
	for (size_t rb = rb_set_next(rbs, 0); rb < rx->num.n_rb; rb = rb_set_next(rbs, rb + 1)) {
		power += mean_power(channel->h + rx->num.format->dmrs[0] * rx->num.n_sc + rb * PHY_RB_SC, PHY_RB_SC);
		noise += channel->noise_var[rb];
	}
	return power > channel_least * noise;
}

int ul_rx_data(struct ul_rx *rx, uint8_t device, const struct grant *g, struct tb_soft *soft, uint8_t *tb,
               size_t *n_bytes, struct rx_info *info)
{
	*n_bytes = ul_tb_bytes(rx->layout, rx->when.slot, g);
	if (device >= PHY_DEVICES_MAX || !*n_bytes)
		return -EINVAL;
	size_t n_re = layout_ul_data(rx->layout, &g->rbs, block_re(rx->block));
	float energy = rx->empty ? 0 : data_energy(rx, device, &g->rbs, n_re);
	if (!(energy > 0))
		return -ENODATA;
	float cfo_hz = ul_chest_data(rx->chest, device, &g->rbs, energy);
	struct block_channel channel = channel_of(rx, device);
	if (!has_channel(rx, &g->rbs, &channel))
		return -ENODATA;
	uint32_t seed = sequence_seed(SEQUENCE_DATA, rx->cell_id, device + 1u);
	int rc = block_receive(rx->block, g, seed, n_re, rx->grid, &channel, soft, tb, n_bytes, info);
	if (info)
		info->cfo_hz = cfo_hz;
	rx->stats.blocks_ok += rc == 0;
	rx->stats.blocks_bad += rc == -EBADMSG;
	return rc;
}

void ul_rx_set_access(struct ul_rx *rx, uint32_t candidates, double range_samples)
{
	ul_access_set(rx->access, candidates, range_samples);
}

int ul_rx_access(struct ul_rx *rx, struct ul_access *found, size_t *n_found)
{
	struct access_found heard[PHY_DEVICES_MAX];
	*n_found = 0;
	if (!layout_is_access_slot(rx->when.slot))
		return -EINVAL;
	if (rx->empty)
		return 0;
	*n_found = ul_access_find(rx->access, heard);
	for (size_t i = 0; i < *n_found; i++)
		found[i] = (struct ul_access){
			.device = (uint8_t)heard[i].device,
			.delay_samples = heard[i].delay_samples,
			.snr_db = heard[i].snr_db,
		};
	rx->stats.accesses += *n_found;
	return 0;
}

void ul_rx_get_stats(const struct ul_rx *rx, struct ul_rx_stats *stats)
{
	*stats = rx->stats;
}
