#include "phy/ul_chest.h"

#include "phy/chest.h"
#include "phy/gold.h"
#include "phy/measure.h"
#include "phy/sequence.h"
#include "phy/track.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	CELLS = 1024,
	DMRS_MAX = PHY_SC_MAX / LAYOUT_DMRS_STEP,
	RB_DMRS = PHY_RB_SC / LAYOUT_DMRS_STEP,
	LEFT = 1,
	RIGHT = 2,
	WINDOWS = 4 /* which neighbours of an RB carry pilots of the same device */
};

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

struct ul_chest {
	const struct layout *layout;
	struct numerology num;
	struct chest *rb_chest[PHY_RB_MAX][WINDOWS];
	float complex dmrs[2][DMRS_MAX];
	float complex sounding[PHY_SC_MAX];
	struct comb comb[LAYOUT_COMB_STEP];
	struct link link[PHY_DEVICES_MAX];
	struct slot_time when;
	float floor;
	const float complex *grid;
	float complex at_dmrs[3][DMRS_MAX]; /* received over sent: first, second DMRS symbol, mean; granted RBs only */
	float complex h[PHY_SC_MAX];        /* of granted RBs, midway between the DMRS symbols */
	float complex tilt[PHY_SC_MAX];     /* what undoes a delay of one sample */
	float complex *channel;             /* of every RE; what was asked for is filled */
	float rb_noise[PHY_RB_MAX];         /* of a received RE, estimation error included */
};

static int make_comb(struct ul_chest *u, struct comb *c, uint8_t index)
{
	struct chest_prior prior = chest_default_prior(&u->num);
	uint16_t outs[PHY_SC_MAX];
	for (size_t k = 0; k < u->num.n_sc; k++)
		outs[k] = (uint16_t)k;
	c->n = layout_comb(u->layout, index, c->k);
	c->chest = chest_create(&u->num, &prior, c->k, c->n, outs, u->num.n_sc);
	if (!c->chest)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++)
		c->pilot_gain += chest_noise_gain(c->chest, c->k[i]) / (float)c->n;
	for (size_t k = 0; k < u->num.n_sc; k++)
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

static int make_rb_chests(struct ul_chest *u, size_t rb)
{
	struct chest_prior prior = chest_default_prior(&u->num);
	uint16_t outs[PHY_RB_SC], pilots[3 * RB_DMRS];
	for (size_t i = 0; i < PHY_RB_SC; i++)
		outs[i] = (uint16_t)(rb * PHY_RB_SC + i);
	for (unsigned w = 0; w < WINDOWS; w++) {
		if ((w & LEFT && rb == 0) || (w & RIGHT && rb + 1 == u->num.n_rb))
			continue;
		size_t n = window_size(w) * RB_DMRS;
		for (size_t i = 0; i < n; i++)
			pilots[i] = (uint16_t)(window_first(rb, w) * PHY_RB_SC + i * LAYOUT_DMRS_STEP);
		u->rb_chest[rb][w] = chest_create(&u->num, &prior, pilots, n, outs, PHY_RB_SC);
		if (!u->rb_chest[rb][w])
			return -ENOMEM;
	}
	return 0;
}

struct ul_chest *ul_chest_create(const struct layout *layout, uint16_t cell_id)
{
	if (cell_id >= CELLS) {
		errno = EINVAL;
		return NULL;
	}
	struct ul_chest *u = calloc(1, sizeof *u);
	if (!u)
		return NULL;
	u->layout = layout;
	u->num = *layout_numerology(layout);
	for (size_t s = 0; s < 2; s++)
		gold_qpsk(sequence_seed(SEQUENCE_DMRS, cell_id, u->num.format->dmrs[s]), u->dmrs[s],
		          u->num.n_sc / LAYOUT_DMRS_STEP);
	sequence_sounding(&u->num, cell_id, u->sounding);
	for (size_t k = 0; k < u->num.n_sc; k++)
		u->tilt[k] = (float complex)cexp(2 * M_PI * I * numerology_offset(&u->num, k) / (double)u->num.n_fft);
	u->channel = calloc(u->num.n_symbols * u->num.n_sc, sizeof *u->channel);
	int rc = u->channel ? 0 : -ENOMEM;
	for (uint8_t c = 0; !rc && c < LAYOUT_COMB_STEP; c++)
		rc = make_comb(u, &u->comb[c], c);
	for (size_t rb = 0; !rc && rb < u->num.n_rb; rb++)
		rc = make_rb_chests(u, rb);
	if (!rc)
		return u;
	ul_chest_destroy(u);
	errno = -rc;
	return NULL;
}

void ul_chest_destroy(struct ul_chest *u)
{
	if (!u)
		return;
	for (size_t rb = 0; rb < PHY_RB_MAX; rb++)
		for (unsigned w = 0; w < WINDOWS; w++)
			chest_destroy(u->rb_chest[rb][w]);
	for (size_t c = 0; c < LAYOUT_COMB_STEP; c++)
		chest_destroy(u->comb[c].chest);
	free(u->channel);
	free(u);
}

/* Sounding and energy of one comb, used or not. */
static void read_comb(struct ul_chest *u, struct comb *c)
{
	size_t n_sc = u->num.n_sc;
	const float complex *sounded = u->grid + u->num.format->sounding * n_sc;
	float energy = 0;
	for (size_t i = 0; i < c->n; i++) {
		size_t k = c->k[i];
		c->p[i] = sounded[k] * conjf(u->sounding[k]);
		energy += power_of(sounded[k]) + power_of(u->grid[u->num.format->uci[0] * n_sc + k]) +
		          power_of(u->grid[u->num.format->uci[1] * n_sc + k]);
	}
	c->energy = energy / (float)(3 * c->n);
	chest_estimate(c->chest, c->p, c->h);
	float dof = chest_residual_dof(c->chest);
	c->noise_var = chest_residual(c->chest, c->p, c->h) / dof;
	smooth_add(&c->floor, c->noise_var, dof);
}

/* Noise of the band: mean over the quieter half of the combs, so that what a strong device leaks into its own does
 * not hide a weak one. The lower half of eight equal Gaussian estimates lies 0.72 of their deviation too low. */
static float noise_floor(const struct ul_chest *u)
{
	float sorted[LAYOUT_COMB_STEP];
	for (size_t i = 0; i < LAYOUT_COMB_STEP; i++) {
		size_t at = i;
		for (; at > 0 && sorted[at - 1] > u->comb[i].floor.value; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = u->comb[i].floor.value;
	}
	float sum = 0;
	for (size_t i = 0; i < LAYOUT_COMB_STEP / 2; i++)
		sum += sorted[i];
	float low = 1 - 0.72f / sqrtf(u->comb[0].floor.dof);
	return sum / (LAYOUT_COMB_STEP / 2) / low;
}

void ul_chest_slot(struct ul_chest *u, const float complex *grid, const struct slot_time *when)
{
	u->grid = grid;
	u->when = *when;
	for (size_t c = 0; c < LAYOUT_COMB_STEP; c++)
		read_comb(u, &u->comb[c]);
	u->floor = noise_floor(u);
}

float ul_chest_floor(const struct ul_chest *u)
{
	return u->floor;
}

float ul_chest_comb_energy(const struct ul_chest *u, uint8_t device)
{
	return u->comb[device % LAYOUT_COMB_STEP].energy;
}

/* CFO from the phase by which the whole channel moved since the last sounding; 0 without one a slot or two ago. A
 * device whose tracker moved its slots by a sample since then has tilted the phase over the subcarriers: of the
 * three, the tilt that adds up best. */
static float sounding_cfo_hz(const struct ul_chest *u, const struct link *link, const float complex *h)
{
	uint64_t slots = u->when.slot - link->slot;
	if (!link->seen || slots < 1 || slots > 2)
		return 0;
	float complex still = 0, later = 0, earlier = 0;
	for (size_t k = 0; k < u->num.n_sc; k++) {
		float complex moved = h[k] * conjf(link->h[k]);
		still += moved;
		later += moved * u->tilt[k];
		earlier += moved * conjf(u->tilt[k]);
	}
	float complex best = power_of(later) > power_of(earlier) ? later : earlier;
	if (power_of(best) < power_of(still))
		best = still;
	double seconds = (double)slots * numerology_slot_s(&u->num);
	return (float)((double)cargf(best) / (2 * M_PI * seconds));
}

static void fill_csi(const struct ul_chest *u, const struct comb *c, const struct link *link, struct csi *csi)
{
	const struct numerology *num = &u->num;
	size_t middle = numerology_symbol_body(num, num->format->sounding) + num->n_fft / 2 - numerology_backoff(num);
	double turned = u->when.nco_rad + 2 * M_PI * u->when.nco_hz * (double)middle / num->rate_hz;
	const float share = 1.0f / LAYOUT_COMB_STEP; /* a data RE's power over a sounding RE's */
	float complex scale = (float complex)cexp(I * turned) * sqrtf(share);
	float total = 0;
	csi->valid = true;
	csi->t_ref_samples = u->when.t_samples + middle;
	csi->noise_var = link->noise.value;
	for (size_t k = 0; k < num->n_sc; k++)
		csi->h[k] = c->h[k] * scale;
	for (size_t rb = 0; rb < num->n_rb; rb++) {
		float power = share * (mean_power(c->h + rb * PHY_RB_SC, PHY_RB_SC) - csi->noise_var * c->rb_gain[rb]);
		csi->snr_db[rb] = snr_db_of(power, csi->noise_var);
		total += power / (float)num->n_rb;
	}
	csi->snr_mean_db = snr_db_of(total, csi->noise_var);
	csi->cfo_hz = (float)u->when.nco_hz + sounding_cfo_hz(u, link, c->h);
	csi->timing_samples = track_timing_from_pilots(num, track_slope(num, c->h, num->n_sc, 0, 1), 1);
	csi->rssi_dbfs = ratio_db(fmaxf(mean_power(c->p, c->n) * (float)c->n / (float)num->n_fft, 1e-30f));
	csi->evm_db = ratio_db(fmaxf(c->noise_var / mean_power(c->h, num->n_sc), least_noise));
}

/* The control REs share their subcarriers with the sounding, and its channel. */
static void fill_control(struct ul_chest *u, const struct comb *c, float noise_var)
{
	for (size_t s = 0; s < 2; s++)
		for (size_t i = 0; i < c->n; i++)
			u->channel[u->num.format->uci[s] * u->num.n_sc + c->k[i]] = c->h[c->k[i]];
	for (size_t rb = 0; rb < u->num.n_rb; rb++)
		u->rb_noise[rb] = noise_var * (1 + c->pilot_gain);
}

void ul_chest_sounding(struct ul_chest *u, uint8_t device, struct csi *csi)
{
	const struct comb *c = &u->comb[device % LAYOUT_COMB_STEP];
	struct link *link = &u->link[device];
	if (!link->noise.dof)
		link->noise = (struct smooth){ .value = u->floor, .dof = noise_prior_dof };
	smooth_add(&link->noise, fmaxf(c->noise_var, least_noise * c->energy), chest_residual_dof(c->chest));
	if (csi)
		fill_csi(u, c, link, csi);
	link->seen = true;
	link->slot = u->when.slot;
	memcpy(link->h, c->h, u->num.n_sc * sizeof *link->h);
	fill_control(u, c, link->noise.value);
}

/* Least-squares estimates on the granted RBs' DMRS, the phase difference shared out, and their mean. Returns the phase
 * advance from the first to the second symbol; adds up what the symbols differ by. */
static float read_dmrs(struct ul_chest *u, const struct rb_set *rbs, float *difference, size_t *n_pilots)
{
	size_t n_sc = u->num.n_sc;
	float complex common = 0;
	*n_pilots = 0;
	for (size_t i = 0; i < n_sc / LAYOUT_DMRS_STEP; i++) {
		size_t k = i * LAYOUT_DMRS_STEP;
		if (!rb_set_has(rbs, k / PHY_RB_SC))
			continue;
		for (size_t s = 0; s < 2; s++)
			u->at_dmrs[s][i] = u->grid[u->num.format->dmrs[s] * n_sc + k] * conjf(u->dmrs[s][i]);
		common += u->at_dmrs[1][i] * conjf(u->at_dmrs[0][i]);
		++*n_pilots;
	}
	float phase_rad = cargf(common);
	float complex half = cexpf(0.5f * phase_rad * I);
	*difference = 0;
	for (size_t i = 0; i < n_sc / LAYOUT_DMRS_STEP; i++) {
		if (!rb_set_has(rbs, i * LAYOUT_DMRS_STEP / PHY_RB_SC))
			continue;
		float complex a = u->at_dmrs[0][i] * half, b = u->at_dmrs[1][i] * conjf(half);
		u->at_dmrs[2][i] = 0.5f * (a + b);
		*difference += power_of(a - b);
	}
	return phase_rad;
}

/* Channel of the granted RBs; returns the mean noise gain of the estimate. */
static float estimate_rbs(struct ul_chest *u, const struct rb_set *rbs)
{
	float gain = 0;
	for (size_t rb = 0; rb < u->num.n_rb; rb++) {
		if (!rb_set_has(rbs, rb))
			continue;
		unsigned w = (rb > 0 && rb_set_has(rbs, rb - 1) ? LEFT : 0u) |
		             (rb + 1 < u->num.n_rb && rb_set_has(rbs, rb + 1) ? RIGHT : 0u);
		const struct chest *c = u->rb_chest[rb][w];
		chest_estimate(c, u->at_dmrs[2] + window_first(rb, w) * RB_DMRS, u->h + rb * PHY_RB_SC);
		for (size_t i = 0; i < PHY_RB_SC; i++)
			gain += chest_noise_gain(c, i) / PHY_RB_SC;
	}
	return 0.5f * gain / (float)rb_set_count(rbs); /* two symbols were averaged */
}

/* Samples from the first DMRS symbol to the second. */
static double dmrs_distance(const struct numerology *num)
{
	return numerology_symbol_middle(num, num->format->dmrs[1]) -
	       numerology_symbol_middle(num, num->format->dmrs[0]);
}

/* The channel of every data RE of the granted RBs, its phase on the straight line through both DMRS symbols. */
static void fill_channel(struct ul_chest *u, const struct rb_set *rbs, float phase_rad, float noise_var)
{
	const struct numerology *num = &u->num;
	double middle = numerology_symbol_middle(num, num->format->dmrs[0]) + 0.5 * dmrs_distance(num);
	for (size_t l = 0; l < num->format->n_ul_data; l++) {
		double share = (numerology_symbol_middle(num, l) - middle) / dmrs_distance(num);
		float complex turn = (float complex)cexp(I * share * (double)phase_rad);
		for (size_t k = 0; k < num->n_sc; k++)
			if (rb_set_has(rbs, k / PHY_RB_SC))
				u->channel[l * num->n_sc + k] = u->h[k] * turn;
	}
	for (size_t rb = 0; rb < num->n_rb; rb++)
		u->rb_noise[rb] = noise_var;
}

float ul_chest_data(struct ul_chest *u, uint8_t device, const struct rb_set *rbs, float energy)
{
	size_t n_pilots;
	float difference;
	float phase_rad = read_dmrs(u, rbs, &difference, &n_pilots);
	float gain = estimate_rbs(u, rbs);
	const struct link *link = &u->link[device];
	float known = fmaxf(link->noise.dof ? link->noise.value : 0, u->floor), dof = (float)n_pilots - 0.5f;
	float noise_var = (data_noise_dof * known + 0.5f * difference) / (data_noise_dof + dof);
	noise_var = fmaxf(noise_var, least_noise * energy);
	fill_channel(u, rbs, phase_rad, noise_var * (1 + gain));
	return (float)((double)phase_rad / (2 * M_PI * dmrs_distance(&u->num) / u->num.rate_hz));
}

struct block_channel ul_chest_channel(const struct ul_chest *u)
{
	return (struct block_channel){ .h = u->channel, .noise_var = u->rb_noise };
}
