#include "phy/ul.h"

#include "phy/access.h"
#include "phy/block.h"
#include "phy/chest.h"
#include "phy/cw.h"
#include "phy/equalize.h"
#include "phy/finite.h"
#include "phy/gold.h"
#include "phy/measure.h"
#include "phy/modem.h"
#include "phy/ofdm.h"
#include "phy/sequence.h"
#include "phy/track.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	CELLS = 1024,
	UCI_RE_MAX = 2 * LAYOUT_COMB_MAX,
	DMRS_MAX = PHY_SC_MAX / LAYOUT_DMRS_STEP,
	RB_DMRS = PHY_RB_SC / LAYOUT_DMRS_STEP,
	LEFT = 1,
	RIGHT = 2,
	WINDOWS = 4 /* which neighbours of an RB carry pilots of the same device */
};

static const float lit_min = 1.5f;       /* mean energy over noise of what counts as sent */
static const float least_noise = 1e-9f;  /* of the signal's power: keeps noiseless signals calculable */
static const float noise_dof_max = 300;  /* memory of the noise estimates, degrees of freedom */
static const float noise_prior_dof = 20; /* what the band's noise floor counts against a device's own first slots */
static const float data_noise_dof = 12;  /* what a device's noise from control counts against the DMRS of one slot */

/* A running mean that weighs each value by its degrees of freedom and forgets after noise_dof_max of them. */
struct smooth {
	float value, dof;
};

static void smooth_add(struct smooth *s, float value, float dof)
{
	s->dof = fminf(s->dof + dof, noise_dof_max);
	s->value += (value - s->value) * dof / s->dof;
}

/* One of the eight combs in this slot. */
struct comb {
	size_t n;
	uint16_t k[LAYOUT_COMB_MAX];
	float complex p[LAYOUT_COMB_MAX]; /* received over sent sounding */
	float complex h[PHY_SC_MAX];      /* at the amplitude of a control RE */
	float noise_var;                  /* of this slot alone, from what does not fit the prior */
	float energy;                     /* mean of a RE, control and sounding */
	struct chest *chest;
	float pilot_gain; /* mean noise gain of the estimate at the comb's own subcarriers */
	float rb_gain[PHY_RB_MAX];
	struct smooth floor; /* of noise_var, whoever sends or not */
};

/* What the base station remembers of a device between slots. */
struct link {
	struct smooth noise;
	bool seen;
	uint64_t slot; /* of h */
	float complex h[PHY_SC_MAX];
};

struct ul_rx {
	const struct layout *layout;
	struct numerology num;
	uint16_t cell_id;
	struct ofdm *ofdm;
	struct cw_coder *cw;
	struct block *block;
	struct access_detector *access;
	struct chest *rb_chest[PHY_RB_MAX][WINDOWS];
	float complex dmrs[2][DMRS_MAX];
	float complex sounding[PHY_SC_MAX];
	struct comb comb[LAYOUT_COMB_STEP];
	struct link link[PHY_DEVICES_MAX];
	struct slot_time when;
	bool empty; /* no slot, or one that was refused */
	float floor;
	float complex *grid;
	float complex at_dmrs[3][DMRS_MAX]; /* received over sent: first, second DMRS symbol, mean; granted RBs only */
	float complex h[PHY_SC_MAX];        /* of granted RBs, midway between the DMRS symbols */
	float complex tilt[PHY_SC_MAX];     /* what undoes a delay of one sample */
	float complex *channel;             /* of every RE; that of granted RBs is filled */
	float rb_noise[PHY_RB_MAX];         /* of a received RE, estimation error included */
	float complex y[UCI_RE_MAX], hy[UCI_RE_MAX], z[UCI_RE_MAX];
	float var[UCI_RE_MAX], llr[2 * UCI_RE_MAX];
	struct ul_rx_stats stats;
};

static int make_comb(struct ul_rx *rx, struct comb *c, uint8_t index)
{
	struct chest_prior prior = chest_default_prior(&rx->num);
	uint16_t outs[PHY_SC_MAX];
	for (size_t k = 0; k < rx->num.n_sc; k++)
		outs[k] = (uint16_t)k;
	c->n = layout_comb(rx->layout, index, c->k);
	c->chest = chest_create(&rx->num, &prior, c->k, c->n, outs, rx->num.n_sc);
	if (!c->chest)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++)
		c->pilot_gain += chest_noise_gain(c->chest, c->k[i]) / (float)c->n;
	for (size_t k = 0; k < rx->num.n_sc; k++)
		c->rb_gain[k / PHY_RB_SC] += chest_noise_gain(c->chest, k) / PHY_RB_SC;
	return 0;
}

/* First RB and number of RBs of the window of that RB. */
static size_t window_first(size_t rb, unsigned window)
{
	return window & LEFT ? rb - 1 : rb;
}

static size_t window_size(unsigned window)
{
	return 1u + !!(window & LEFT) + !!(window & RIGHT);
}

static int make_rb_chests(struct ul_rx *rx, size_t rb)
{
	struct chest_prior prior = chest_default_prior(&rx->num);
	uint16_t outs[PHY_RB_SC], pilots[3 * RB_DMRS];
	for (size_t i = 0; i < PHY_RB_SC; i++)
		outs[i] = (uint16_t)(rb * PHY_RB_SC + i);
	for (unsigned w = 0; w < WINDOWS; w++) {
		if ((w & LEFT && rb == 0) || (w & RIGHT && rb + 1 == rx->num.n_rb))
			continue;
		size_t n = window_size(w) * RB_DMRS;
		for (size_t i = 0; i < n; i++)
			pilots[i] = (uint16_t)(window_first(rb, w) * PHY_RB_SC + i * LAYOUT_DMRS_STEP);
		rx->rb_chest[rb][w] = chest_create(&rx->num, &prior, pilots, n, outs, PHY_RB_SC);
		if (!rx->rb_chest[rb][w])
			return -ENOMEM;
	}
	return 0;
}

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
	for (size_t s = 0; s < 2; s++)
		gold_qpsk(sequence_seed(SEQUENCE_DMRS, cell_id, rx->num.format->dmrs[s]), rx->dmrs[s],
		          rx->num.n_sc / LAYOUT_DMRS_STEP);
	gold_qpsk(sequence_seed(SEQUENCE_SOUNDING, cell_id, rx->num.format->sounding), rx->sounding, rx->num.n_sc);
	for (size_t k = 0; k < rx->num.n_sc; k++)
		rx->tilt[k] =
		        (float complex)cexp(2 * M_PI * I * numerology_offset(&rx->num, k) / (double)rx->num.n_fft);
	rx->ofdm = ofdm_create(&rx->num, numerology_backoff(&rx->num));
	rx->cw = cw_create(UCI_BITS, 2 * UCI_RE_MAX);
	rx->block = block_create(&rx->num);
	rx->access = access_detector_create(&rx->num, cell_id);
	rx->grid = calloc(rx->num.n_symbols * rx->num.n_sc, sizeof *rx->grid);
	rx->channel = calloc(rx->num.n_symbols * rx->num.n_sc, sizeof *rx->channel);
	int rc = rx->ofdm && rx->cw && rx->block && rx->access && rx->grid && rx->channel ? 0 : -ENOMEM;
	for (uint8_t c = 0; !rc && c < LAYOUT_COMB_STEP; c++)
		rc = make_comb(rx, &rx->comb[c], c);
	for (size_t rb = 0; !rc && rb < rx->num.n_rb; rb++)
		rc = make_rb_chests(rx, rb);
	if (!rc)
		return rx;
	ul_rx_destroy(rx);
	errno = -rc;
	return NULL;
}

void ul_rx_destroy(struct ul_rx *rx)
{
	if (!rx)
		return;
	for (size_t rb = 0; rb < PHY_RB_MAX; rb++)
		for (unsigned w = 0; w < WINDOWS; w++)
			chest_destroy(rx->rb_chest[rb][w]);
	for (size_t c = 0; c < LAYOUT_COMB_STEP; c++)
		chest_destroy(rx->comb[c].chest);
	free(rx->channel);
	free(rx->grid);
	access_detector_destroy(rx->access);
	block_destroy(rx->block);
	cw_destroy(rx->cw);
	ofdm_destroy(rx->ofdm);
	free(rx);
}

/* Sounding and energy of one comb, used or not. */
static void read_comb(struct ul_rx *rx, struct comb *c)
{
	size_t n_sc = rx->num.n_sc;
	const float complex *sounded = rx->grid + rx->num.format->sounding * n_sc;
	float energy = 0;
	for (size_t i = 0; i < c->n; i++) {
		size_t k = c->k[i];
		c->p[i] = sounded[k] * conjf(rx->sounding[k]);
		energy += power_of(sounded[k]) + power_of(rx->grid[rx->num.format->uci[0] * n_sc + k]) +
		          power_of(rx->grid[rx->num.format->uci[1] * n_sc + k]);
	}
	c->energy = energy / (float)(3 * c->n);
	chest_estimate(c->chest, c->p, c->h);
	float dof = chest_residual_dof(c->chest);
	c->noise_var = chest_residual(c->chest, c->p, c->h) / dof;
	smooth_add(&c->floor, c->noise_var, dof);
}

/* Noise of the band: mean over the quieter half of the combs, so that what a strong device leaks into its own does
 * not hide a weak one. The lower half of eight equal Gaussian estimates lies 0.72 of their deviation too low. */
static float noise_floor(const struct ul_rx *rx)
{
	float sorted[LAYOUT_COMB_STEP];
	for (size_t i = 0; i < LAYOUT_COMB_STEP; i++) {
		size_t at = i;
		for (; at > 0 && sorted[at - 1] > rx->comb[i].floor.value; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = rx->comb[i].floor.value;
	}
	float sum = 0;
	for (size_t i = 0; i < LAYOUT_COMB_STEP / 2; i++)
		sum += sorted[i];
	float low = 1 - 0.72f / sqrtf(rx->comb[0].floor.dof);
	return sum / (LAYOUT_COMB_STEP / 2) / low;
}

int ul_rx_slot(struct ul_rx *rx, const float complex *samples, const struct slot_time *when)
{
	rx->when = *when;
	rx->stats.slots++;
	rx->empty = !samples_finite(samples, rx->num.slot_len);
	if (rx->empty) {
		rx->stats.refused++;
		return -EINVAL;
	}
	ofdm_demodulate(rx->ofdm, samples, rx->grid);
	for (size_t c = 0; c < LAYOUT_COMB_STEP; c++)
		read_comb(rx, &rx->comb[c]);
	rx->floor = noise_floor(rx);
	return 0;
}

/* CFO from the phase by which the whole channel moved since the last sounding; 0 without one a slot or two ago. A
 * device whose tracker moved its slots by a sample since then has tilted the phase over the subcarriers: of the
 * three, the tilt that adds up best. */
static float sounding_cfo_hz(const struct ul_rx *rx, const struct link *link, const float complex *h)
{
	uint64_t slots = rx->when.slot - link->slot;
	if (!link->seen || slots < 1 || slots > 2)
		return 0;
	float complex still = 0, later = 0, earlier = 0;
	for (size_t k = 0; k < rx->num.n_sc; k++) {
		float complex moved = h[k] * conjf(link->h[k]);
		still += moved;
		later += moved * rx->tilt[k];
		earlier += moved * conjf(rx->tilt[k]);
	}
	float complex best = power_of(later) > power_of(earlier) ? later : earlier;
	if (power_of(best) < power_of(still))
		best = still;
	double seconds = (double)slots * numerology_slot_s(&rx->num);
	return (float)((double)cargf(best) / (2 * M_PI * seconds));
}

static void empty_csi(const struct ul_rx *rx, struct csi *csi)
{
	memset(csi, 0, sizeof *csi);
	csi->slot = rx->when.slot;
	csi->t_slot_samples = csi->t_ref_samples = rx->when.t_samples;
	csi->n_sc = rx->num.n_sc;
	csi->n_rb = rx->num.n_rb;
	csi->noise_var = rx->floor;
	csi->snr_mean_db = CSI_SNR_FLOOR_DB;
	csi->rssi_dbfs = -INFINITY;
	csi->evm_db = INFINITY;
	for (size_t rb = 0; rb < rx->num.n_rb; rb++)
		csi->snr_db[rb] = CSI_SNR_FLOOR_DB;
}

static void fill_csi(const struct ul_rx *rx, const struct comb *c, const struct link *link, struct csi *csi)
{
	const struct numerology *num = &rx->num;
	size_t middle = numerology_symbol_body(num, num->format->sounding) + num->n_fft / 2 - numerology_backoff(num);
	double turned = rx->when.nco_rad + 2 * M_PI * rx->when.nco_hz * (double)middle / num->rate_hz;
	const float share = 1.0f / LAYOUT_COMB_STEP; /* a data RE's power over a sounding RE's */
	float complex scale = (float complex)cexp(I * turned) * sqrtf(share);
	float total = 0;
	csi->valid = true;
	csi->t_ref_samples = rx->when.t_samples + middle;
	csi->noise_var = link->noise.value;
	for (size_t k = 0; k < num->n_sc; k++)
		csi->h[k] = c->h[k] * scale;
	for (size_t rb = 0; rb < num->n_rb; rb++) {
		float power = share * (mean_power(c->h + rb * PHY_RB_SC, PHY_RB_SC) - csi->noise_var * c->rb_gain[rb]);
		csi->snr_db[rb] = snr_db_of(power, csi->noise_var);
		total += power / (float)num->n_rb;
	}
	csi->snr_mean_db = snr_db_of(total, csi->noise_var);
	csi->cfo_hz = (float)rx->when.nco_hz + sounding_cfo_hz(rx, link, c->h);
	csi->timing_samples = track_timing_from_pilots(num, track_slope(num, c->h, num->n_sc, 0, 1), 1);
	csi->rssi_dbfs = ratio_db(fmaxf(mean_power(c->p, c->n) * (float)c->n / (float)num->n_fft, 1e-30f));
	csi->evm_db = ratio_db(fmaxf(c->noise_var / mean_power(c->h, num->n_sc), least_noise));
}

static int read_uci(struct ul_rx *rx, const struct comb *c, const struct link *link, uint8_t device, struct uci *uci)
{
	size_t n_re = 2 * c->n, n_bits = 2 * n_re;
	for (size_t i = 0; i < n_re; i++) {
		size_t k = c->k[i % c->n];
		rx->y[i] = rx->grid[rx->num.format->uci[i / c->n] * rx->num.n_sc + k];
		rx->hy[i] = c->h[k];
	}
	equalize(rx->y, rx->hy, link->noise.value * (1 + c->pilot_gain), n_re, rx->z, rx->var);
	modem_demap(2, rx->z, rx->var, rx->llr, n_re);
	gold_flip_llr(sequence_seed(SEQUENCE_UPLINK_CONTROL, rx->cell_id, device + 1u), rx->llr, n_bits);
	uint8_t payload[CW_PAYLOAD_MAX_BITS / 8];
	uint32_t address;
	if (cw_decode(rx->cw, rx->llr, n_bits, CW_ITERATIONS, payload, &address) || address != device + 1u)
		return -EBADMSG;
	return uci_unpack(payload, uci);
}

int ul_rx_control(struct ul_rx *rx, uint8_t device, struct uci *uci, struct csi *csi)
{
	if (device >= PHY_DEVICES_MAX)
		return -EINVAL;
	const struct comb *c = &rx->comb[device % LAYOUT_COMB_STEP];
	struct link *link = &rx->link[device];
	if (csi)
		empty_csi(rx, csi);
	if (rx->empty || !(c->energy > lit_min * rx->floor)) {
		rx->stats.controls_silent += !rx->empty;
		return -ENODATA;
	}
	if (!link->noise.dof)
		link->noise = (struct smooth){ .value = rx->floor, .dof = noise_prior_dof };
	smooth_add(&link->noise, fmaxf(c->noise_var, least_noise * c->energy), chest_residual_dof(c->chest));
	if (csi)
		fill_csi(rx, c, link, csi);
	link->seen = true;
	link->slot = rx->when.slot;
	memcpy(link->h, c->h, rx->num.n_sc * sizeof *link->h);
	int rc = read_uci(rx, c, link, device, uci);
	rx->stats.controls_ok += rc == 0;
	rx->stats.controls_bad += rc != 0;
	return rc;
}

/* Least-squares estimates on the granted RBs' DMRS, the phase difference shared out, and their mean. Returns the phase
 * advance from the first to the second symbol; adds up what the symbols differ by. */
static float read_dmrs(struct ul_rx *rx, const struct rb_set *rbs, float *difference, size_t *n_pilots)
{
	size_t n_sc = rx->num.n_sc;
	float complex common = 0;
	*n_pilots = 0;
	for (size_t i = 0; i < n_sc / LAYOUT_DMRS_STEP; i++) {
		size_t k = i * LAYOUT_DMRS_STEP;
		if (!rb_set_has(rbs, k / PHY_RB_SC))
			continue;
		for (size_t s = 0; s < 2; s++)
			rx->at_dmrs[s][i] = rx->grid[rx->num.format->dmrs[s] * n_sc + k] * conjf(rx->dmrs[s][i]);
		common += rx->at_dmrs[1][i] * conjf(rx->at_dmrs[0][i]);
		++*n_pilots;
	}
	float phase_rad = cargf(common);
	float complex half = cexpf(0.5f * phase_rad * I);
	*difference = 0;
	for (size_t i = 0; i < n_sc / LAYOUT_DMRS_STEP; i++) {
		if (!rb_set_has(rbs, i * LAYOUT_DMRS_STEP / PHY_RB_SC))
			continue;
		float complex a = rx->at_dmrs[0][i] * half, b = rx->at_dmrs[1][i] * conjf(half);
		rx->at_dmrs[2][i] = 0.5f * (a + b);
		*difference += power_of(a - b);
	}
	return phase_rad;
}

/* Channel of the granted RBs; returns the mean noise gain of the estimate. */
static float estimate_rbs(struct ul_rx *rx, const struct rb_set *rbs)
{
	float gain = 0;
	for (size_t rb = 0; rb < rx->num.n_rb; rb++) {
		if (!rb_set_has(rbs, rb))
			continue;
		unsigned w = (rb > 0 && rb_set_has(rbs, rb - 1) ? LEFT : 0u) |
		             (rb + 1 < rx->num.n_rb && rb_set_has(rbs, rb + 1) ? RIGHT : 0u);
		const struct chest *c = rx->rb_chest[rb][w];
		chest_estimate(c, rx->at_dmrs[2] + window_first(rb, w) * RB_DMRS, rx->h + rb * PHY_RB_SC);
		for (size_t i = 0; i < PHY_RB_SC; i++)
			gain += chest_noise_gain(c, i) / PHY_RB_SC;
	}
	return 0.5f * gain / (float)rb_set_count(rbs); /* two symbols were averaged */
}

/* Mean energy of the block's REs; 0 if it is no more than noise. */
static float data_energy(const struct ul_rx *rx, size_t n_re)
{
	const uint32_t *re = block_re(rx->block);
	float energy = 0;
	for (size_t i = 0; i < n_re; i++)
		energy += power_of(rx->grid[re[i]]) / (float)n_re;
	return energy > (1.1f + 4 / sqrtf((float)n_re)) * rx->floor ? energy : 0;
}

/* Samples from the first DMRS symbol to the second. */
static double dmrs_distance(const struct numerology *num)
{
	return numerology_symbol_middle(num, num->format->dmrs[1]) -
	       numerology_symbol_middle(num, num->format->dmrs[0]);
}

/* The channel of every data RE of the granted RBs, its phase on the straight line through both DMRS symbols. */
static void fill_channel(struct ul_rx *rx, const struct rb_set *rbs, float phase_rad, float noise_var)
{
	const struct numerology *num = &rx->num;
	double middle = numerology_symbol_middle(num, num->format->dmrs[0]) + 0.5 * dmrs_distance(num);
	for (size_t l = 0; l < num->format->n_ul_data; l++) {
		double share = (numerology_symbol_middle(num, l) - middle) / dmrs_distance(num);
		float complex turn = (float complex)cexp(I * share * (double)phase_rad);
		for (size_t k = 0; k < num->n_sc; k++)
			if (rb_set_has(rbs, k / PHY_RB_SC))
				rx->channel[l * num->n_sc + k] = rx->h[k] * turn;
	}
	for (size_t rb = 0; rb < num->n_rb; rb++)
		rx->rb_noise[rb] = noise_var;
}

int ul_rx_data(struct ul_rx *rx, uint8_t device, const struct grant *g, struct tb_soft *soft, uint8_t *tb,
               size_t *n_bytes, struct rx_info *info)
{
	*n_bytes = ul_tb_bytes(rx->layout, rx->when.slot, g);
	if (device >= PHY_DEVICES_MAX || !*n_bytes)
		return -EINVAL;
	size_t n_re = layout_ul_data(rx->layout, &g->rbs, block_re(rx->block)), n_pilots;
	float energy = rx->empty ? 0 : data_energy(rx, n_re);
	if (!(energy > 0))
		return -ENODATA;
	float difference;
	float phase_rad = read_dmrs(rx, &g->rbs, &difference, &n_pilots);
	float gain = estimate_rbs(rx, &g->rbs);
	const struct link *link = &rx->link[device];
	float known = fmaxf(link->noise.dof ? link->noise.value : 0, rx->floor), dof = (float)n_pilots - 0.5f;
	float noise_var = (data_noise_dof * known + 0.5f * difference) / (data_noise_dof + dof);
	noise_var = fmaxf(noise_var, least_noise * energy);
	fill_channel(rx, &g->rbs, phase_rad, noise_var * (1 + gain));
	struct block_channel channel = { .h = rx->channel, .noise_var = rx->rb_noise };
	uint32_t seed = sequence_seed(SEQUENCE_DATA, rx->cell_id, device + 1u);
	int rc = block_receive(rx->block, g, seed, n_re, rx->grid, &channel, soft, tb, n_bytes, info);
	if (info)
		info->cfo_hz = (float)((double)phase_rad / (2 * M_PI * dmrs_distance(&rx->num) / rx->num.rate_hz));
	rx->stats.blocks_ok += rc == 0;
	rx->stats.blocks_bad += rc == -EBADMSG;
	return rc;
}

int ul_rx_access(struct ul_rx *rx, struct ul_access *found, size_t *n_found)
{
	struct access_found heard[PHY_DEVICES_MAX];
	*n_found = 0;
	if (!layout_is_access_slot(rx->when.slot))
		return -EINVAL;
	if (rx->empty)
		return 0;
	*n_found = access_detect(rx->access, rx->grid, (1u << PHY_DEVICES_MAX) - 1, heard);
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
