#include "phy/dl_common.h"

#include "phy/dl_chest.h"
#include "phy/equalize.h"
#include "phy/finite.h"
#include "phy/gold.h"
#include "phy/measure.h"
#include "phy/modem.h"
#include "phy/sequence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const unsigned levels[] = { 8, 4, 2, 1 }; /* tried in this order: a long message costs few failed attempts */
/* A right guess at good SNR decodes at once, a wrong one never: first all guesses quickly, then the rest thoroughly. */
static const unsigned attempts[] = { 3, CW_ITERATIONS };

struct dl_rx {
	struct dl_common c;
	uint8_t device;
	struct dl_chest *chest;
	bool valid; /* the state below describes the slot last given */
	uint64_t slot;
	struct block_channel channel; /* of the samples as given */
	float noise_var;              /* of a received RE, without what the estimate of the channel adds */
	float cfo_hz;
	const float complex *truth; /* NULL: none was told */
	float truth_noise[PHY_RB_MAX];
	bool cce_lit[LAYOUT_CCE_MAX]; /* has energy */
	float cce_energy[LAYOUT_CCE_MAX], cce_signal[LAYOUT_CCE_MAX];
	float complex y[LAYOUT_CCE_RE], hy[LAYOUT_CCE_RE], z[LAYOUT_CCE_RE];
	float var[LAYOUT_CCE_RE];
	float llr[LAYOUT_CCE_MAX * DL_CCE_BITS];
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
	if (!rx->chest) {
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

/* Energy of each CCE, and what it should be with a message in it. */
static void weigh_cces(struct dl_rx *rx)
{
	size_t n_sc = rx->c.num.n_sc;
	for (size_t e = 0; e < rx->c.n_cce; e++) {
		const uint32_t *re = layout_cce(rx->c.layout, e);
		float energy = 0, signal = 0;
		for (size_t i = 0; i < LAYOUT_CCE_RE; i++) {
			float error = rx->channel.noise_var[re[i] % n_sc / PHY_RB_SC] - rx->noise_var;
			energy += power_of(rx->c.grid[re[i]]);
			signal += power_of(rx->channel.h[re[i]]) - error;
		}
		rx->cce_energy[e] = energy / LAYOUT_CCE_RE;
		rx->cce_signal[e] = fmaxf(signal / LAYOUT_CCE_RE, 0);
		/* Four deviations of 54 noisy REs below half the signal: a lit CCE is practically never missed. */
		float margin = 4.0f / sqrtf(LAYOUT_CCE_RE) * rx->noise_var;
		rx->cce_lit[e] = rx->cce_energy[e] > rx->noise_var + 0.5f * rx->cce_signal[e] - margin;
	}
}

static void soften_cce(struct dl_rx *rx, size_t e)
{
	size_t n_sc = rx->c.num.n_sc;
	const uint32_t *re = layout_cce(rx->c.layout, e);
	for (size_t i = 0; i < LAYOUT_CCE_RE; i++) {
		rx->y[i] = rx->c.grid[re[i]];
		rx->hy[i] = rx->channel.h[re[i]];
	}
	equalize(rx->y, rx->hy, 1, LAYOUT_CCE_RE, rx->z, rx->var);
	for (size_t i = 0; i < LAYOUT_CCE_RE; i++)
		rx->var[i] *= rx->channel.noise_var[re[i] % n_sc / PHY_RB_SC];
	modem_demap(2, rx->z, rx->var, rx->llr + e * DL_CCE_BITS, LAYOUT_CCE_RE);
}

/* All its CCEs lit, and together the energy of a message. */
static bool is_candidate(const struct dl_rx *rx, size_t first, size_t level)
{
	float energy = 0, signal = 0;
	for (size_t e = first; e < first + level; e++) {
		if (!rx->cce_lit[e])
			return false;
		energy += rx->cce_energy[e] - rx->noise_var;
		signal += rx->cce_signal[e];
	}
	return energy > 0.5f * signal;
}

static void take_message(struct dl_rx *rx, const uint8_t *payload, uint32_t address, struct dl_result *res)
{
	size_t n_rb = rx->c.num.n_rb;
	if (address == DCI_ADDRESS_ALL && !res->has_sysinfo) {
		res->has_sysinfo = !sysinfo_unpack(payload, n_rb, &res->sysinfo);
		rx->stats.sysinfos += res->has_sysinfo;
		rx->stats.bad_contents += !res->has_sysinfo;
	} else if (address == rx->device + 1u && !res->has_dci) {
		res->has_dci = !dci_unpack(payload, n_rb, rx->device, &res->dci);
		rx->stats.dcis += res->has_dci;
		rx->stats.bad_contents += !res->has_dci;
	}
}

/* Tries what is lit and aligned at one level; what decodes to a known address is explained, whoever it is for. */
static void try_level(struct dl_rx *rx, size_t level, unsigned iterations, struct dl_result *res)
{
	for (size_t first = 0; first + level <= rx->c.n_cce; first += level) {
		uint8_t payload[DCI_BYTES_MAX];
		uint32_t address;
		if (!is_candidate(rx, first, level))
			continue;
		rx->stats.candidates++;
		if (cw_decode(rx->c.cw, rx->llr + first * DL_CCE_BITS, level * DL_CCE_BITS, iterations, payload,
		              &address) ||
		    address > PHY_DEVICES_MAX)
			continue;
		take_message(rx, payload, address, res);
		for (size_t e = first; e < first + level; e++)
			rx->cce_lit[e] = false;
	}
}

static void find_messages(struct dl_rx *rx, struct dl_result *res)
{
	bool any = false;
	weigh_cces(rx);
	for (size_t e = 0; e < rx->c.n_cce; e++) {
		if (rx->cce_lit[e])
			soften_cce(rx, e);
		any |= rx->cce_lit[e];
	}
	if (!any)
		return;
	gold_flip_llr(sequence_seed(SEQUENCE_CONTROL, rx->c.cell_id, 0), rx->llr, rx->c.n_cce * DL_CCE_BITS);
	for (size_t a = 0; a < sizeof attempts / sizeof attempts[0]; a++)
		for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
			try_level(rx, levels[i], attempts[a], res);
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
		find_messages(rx, res);
	return 0;
}

int dl_rx_data(struct dl_rx *rx, const struct grant *g, struct tb_soft *soft, uint8_t *tb, size_t *n_bytes,
               struct rx_info *info)
{
	struct dl_common *c = &rx->c;
	if (!rb_set_within(&g->rbs, c->num.n_rb))
		return -EINVAL;
	if (!rx->valid)
		return -ENODATA;
	size_t n_re = layout_dl_data(c->layout, rx->slot, &g->rbs, block_re(c->block));
	int rc = block_receive(c->block, g, sequence_seed(SEQUENCE_DATA, c->cell_id, rx->device + 1u), n_re, c->grid,
	                       &rx->channel, soft, tb, n_bytes, info);
	if (info)
		info->cfo_hz = rx->cfo_hz;
	rx->stats.blocks_ok += rc == 0;
	rx->stats.blocks_bad += rc == -EBADMSG;
	return rc;
}

void dl_rx_get_stats(const struct dl_rx *rx, struct dl_rx_stats *stats)
{
	*stats = rx->stats;
}
