#include "phy/dl_common.h"

#include "phy/chest.h"
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
static const float snr_min = 0.2f;      /* -7 dB over the band is a signal; noise alone passes once in 10^5 slots */
static const float noise_slots = 16;    /* memory of the noise estimate */
static const float least_noise = 1e-9f; /* of the signal's power: keeps noiseless signals calculable */

struct dl_rx {
	struct dl_common c;
	uint8_t device;
	struct chest *chest;
	float rb_gain[PHY_RB_MAX]; /* noise gain of the estimate, mean over an RB, one pilot symbol */
	float mean_gain;
	float noise_var, noise_weight; /* smoothed; weight in slots, 0: nothing yet */
	bool valid;                    /* the state below describes the slot last given */
	uint64_t slot;
	float complex h[PHY_SC_MAX];               /* of the samples as given, midway between the pilot symbols */
	float complex turn[PHY_SYMBOLS_MAX];       /* what becomes of it in each symbol */
	float complex *channel;                    /* h times turn: of every RE; that of granted RBs is filled */
	float rb_noise[PHY_RB_MAX];                /* of a received RE, estimation error included */
	float complex at_pilots[3][DL_PILOTS_MAX]; /* received over sent: first, second pilot symbol, mean */
	float cfo_hz;
	bool cce_lit[LAYOUT_CCE_MAX]; /* has energy */
	float cce_energy[LAYOUT_CCE_MAX], cce_signal[LAYOUT_CCE_MAX];
	float complex y[LAYOUT_CCE_RE], hy[LAYOUT_CCE_RE], z[LAYOUT_CCE_RE];
	float var[LAYOUT_CCE_RE];
	float llr[LAYOUT_CCE_MAX * DL_CCE_BITS];
	struct dl_rx_stats stats;
};

static struct chest *make_chest(const struct dl_common *c)
{
	struct chest_prior prior = chest_default_prior(&c->num);
	uint16_t pilots[DL_PILOTS_MAX], outs[PHY_SC_MAX];
	for (size_t i = 0; i < c->n_pilots; i++)
		pilots[i] = (uint16_t)(i * c->num.pilot_step);
	for (size_t k = 0; k < c->num.n_sc; k++)
		outs[k] = (uint16_t)k;
	return chest_create(&c->num, &prior, pilots, c->n_pilots, outs, c->num.n_sc);
}

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
	rx->chest = make_chest(&rx->c);
	rx->channel = calloc(rx->c.num.n_symbols * rx->c.num.n_sc, sizeof *rx->channel);
	if (!rx->chest || !rx->channel) {
		dl_rx_destroy(rx);
		errno = ENOMEM;
		return NULL;
	}
	for (size_t k = 0; k < rx->c.num.n_sc; k++)
		rx->rb_gain[k / PHY_RB_SC] += chest_noise_gain(rx->chest, k) / PHY_RB_SC;
	for (size_t rb = 0; rb < rx->c.num.n_rb; rb++)
		rx->mean_gain += rx->rb_gain[rb] / (float)rx->c.num.n_rb;
	return rx;
}

void dl_rx_destroy(struct dl_rx *rx)
{
	if (!rx)
		return;
	free(rx->channel);
	chest_destroy(rx->chest);
	dl_common_free(&rx->c);
	free(rx);
}

void dl_rx_reset(struct dl_rx *rx)
{
	rx->noise_weight = 0;
	rx->valid = false;
}

struct pilot_sums {
	float phase_rad; /* advance from the first to the second pilot symbol */
	float noise_var; /* of this slot alone */
};

/* Both pilot symbols to least-squares estimates, their phase difference shared out, and their mean. */
static struct pilot_sums read_pilots(struct dl_rx *rx)
{
	struct dl_common *c = &rx->c;
	float complex common = 0;
	for (size_t s = 0; s < 2; s++) {
		const float complex *row = c->grid + c->num.format->pilot[s] * c->num.n_sc;
		for (size_t i = 0; i < c->n_pilots; i++)
			rx->at_pilots[s][i] = row[i * c->num.pilot_step] * conjf(c->pilots[s][i]);
	}
	for (size_t i = 0; i < c->n_pilots; i++)
		common += rx->at_pilots[1][i] * conjf(rx->at_pilots[0][i]);
	float phase_rad = cargf(common);
	float complex half = cexpf(0.5f * phase_rad * I);
	float difference = 0;
	for (size_t i = 0; i < c->n_pilots; i++) {
		float complex a = rx->at_pilots[0][i] * half, b = rx->at_pilots[1][i] * conjf(half), d = a - b;
		rx->at_pilots[2][i] = 0.5f * (a + b);
		difference += power_of(d);
	}
	return (struct pilot_sums){
		.phase_rad = phase_rad,
		.noise_var = difference / (2.0f * ((float)c->n_pilots - 0.5f)), /* half a degree went into the phase */
	};
}

static void smooth_noise(struct dl_rx *rx, float noise_var)
{
	rx->noise_weight = fminf(rx->noise_weight + 1, noise_slots);
	rx->noise_var += (noise_var - rx->noise_var) / rx->noise_weight;
}

/* The phase in each symbol, on the straight line through both pilot symbols, relative to halfway between them. */
static void set_turns(struct dl_rx *rx, float phase_rad)
{
	const struct numerology *num = &rx->c.num;
	double first = numerology_symbol_middle(num, num->format->pilot[0]);
	double second = numerology_symbol_middle(num, num->format->pilot[1]);
	for (size_t l = 0; l < num->n_symbols; l++) {
		double share = (numerology_symbol_middle(num, l) - 0.5 * (first + second)) / (second - first);
		rx->turn[l] = (float complex)cexp(I * share * (double)phase_rad);
	}
}

static void fill_csi(const struct dl_rx *rx, const struct slot_time *when, float slot_noise_var, struct csi *csi)
{
	const struct numerology *num = &rx->c.num;
	size_t middle = (numerology_symbol_body(num, num->format->pilot[0]) +
	                 numerology_symbol_body(num, num->format->pilot[1])) /
	                        2 +
	                num->n_fft / 2 - numerology_backoff(num);
	double turned = when->nco_rad + 2 * M_PI * when->nco_hz * (double)middle / num->rate_hz;
	float complex undo = (float complex)cexp(I * turned);
	float total = 0, error = 0.5f * rx->noise_var;
	csi->valid = true;
	csi->t_ref_samples = when->t_samples + middle;
	for (size_t k = 0; k < num->n_sc; k++)
		csi->h[k] = rx->h[k] * undo;
	for (size_t rb = 0; rb < num->n_rb; rb++) {
		float power = mean_power(rx->h + rb * PHY_RB_SC, PHY_RB_SC) - error * rx->rb_gain[rb];
		csi->snr_db[rb] = snr_db_of(power, rx->noise_var);
		total += power / (float)num->n_rb;
	}
	csi->snr_mean_db = snr_db_of(total, rx->noise_var);
	csi->cfo_hz = (float)when->nco_hz + rx->cfo_hz;
	csi->evm_db = ratio_db(fmaxf(slot_noise_var / mean_power(rx->h, num->n_sc), least_noise));
}

/* Energy of each CCE, and what it should be with a message in it. */
static void weigh_cces(struct dl_rx *rx)
{
	size_t n_sc = rx->c.num.n_sc;
	for (size_t e = 0; e < rx->c.n_cce; e++) {
		const uint32_t *re = layout_cce(rx->c.layout, e);
		float energy = 0, signal = 0;
		for (size_t i = 0; i < LAYOUT_CCE_RE; i++) {
			float complex y = rx->c.grid[re[i]], h = rx->h[re[i] % n_sc];
			energy += power_of(y);
			signal += power_of(h);
		}
		rx->cce_energy[e] = energy / LAYOUT_CCE_RE;
		rx->cce_signal[e] = fmaxf(signal / LAYOUT_CCE_RE - 0.5f * rx->mean_gain * rx->noise_var, 0);
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
		rx->hy[i] = rx->h[re[i] % n_sc] * rx->turn[re[i] / n_sc];
	}
	equalize(rx->y, rx->hy, rx->noise_var * (1 + 0.5f * rx->mean_gain), LAYOUT_CCE_RE, rx->z, rx->var);
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
	res->csi.slot = when->slot;
	res->csi.t_slot_samples = res->csi.t_ref_samples = when->t_samples;
	res->csi.n_sc = num->n_sc;
	res->csi.n_rb = num->n_rb;
	res->csi.snr_mean_db = CSI_SNR_FLOOR_DB;
	res->csi.rssi_dbfs = -INFINITY;
	res->csi.evm_db = INFINITY;
	for (size_t rb = 0; rb < num->n_rb; rb++)
		res->csi.snr_db[rb] = CSI_SNR_FLOOR_DB;
	rx->valid = false;
	rx->slot = when->slot;
	rx->stats.slots++;
	if (!samples_finite(samples, num->slot_len)) {
		rx->stats.refused++;
		return -EINVAL;
	}
	res->csi.rssi_dbfs = ratio_db(mean_power(samples, num->slot_len));
	ofdm_demodulate(c->ofdm, samples, c->grid);
	struct pilot_sums sums = read_pilots(rx);
	chest_estimate(rx->chest, rx->at_pilots[2], rx->h);
	float power = mean_power(rx->h, num->n_sc);
	smooth_noise(rx, fmaxf(sums.noise_var, least_noise * power));
	res->csi.noise_var = rx->noise_var;
	/* Written so that an all-zero slot, 0 > 0, is not valid either. */
	if (!(power > (snr_min + 0.5f * rx->mean_gain) * fmaxf(sums.noise_var, rx->noise_var))) {
		rx->stats.invalid++;
		return 0;
	}
	set_turns(rx, sums.phase_rad);
	track_measure(num, rx->at_pilots[0], num->format->pilot[0], rx->at_pilots[1], num->format->pilot[1],
	              c->n_pilots, 0, num->pilot_step, &res->track);
	rx->cfo_hz = res->track.cfo_hz;
	res->csi.timing_samples = res->track.timing_samples;
	rx->valid = true;
	fill_csi(rx, when, sums.noise_var, &res->csi);
	find_messages(rx, res);
	return 0;
}

/* The channel of every RE of the granted RBs. */
static void fill_channel(struct dl_rx *rx, const struct rb_set *rbs)
{
	size_t n_sc = rx->c.num.n_sc;
	for (size_t rb = 0; rb < rx->c.num.n_rb; rb++) {
		if (!rb_set_has(rbs, rb))
			continue;
		rx->rb_noise[rb] = rx->noise_var * (1 + 0.5f * rx->mean_gain);
		for (size_t l = 0; l < rx->c.num.n_symbols; l++)
			for (size_t k = rb * PHY_RB_SC; k < (rb + 1) * PHY_RB_SC; k++)
				rx->channel[l * n_sc + k] = rx->h[k] * rx->turn[l];
	}
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
	fill_channel(rx, &g->rbs);
	struct block_channel channel = { .h = rx->channel, .noise_var = rx->rb_noise };
	int rc = block_receive(c->block, g, sequence_seed(SEQUENCE_DATA, c->cell_id, rx->device + 1u), n_re, c->grid,
	                       &channel, soft, tb, n_bytes, info);
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
