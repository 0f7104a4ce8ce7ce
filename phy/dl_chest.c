#include "phy/dl_chest.h"

#include "phy/channel_filter.h"
#include "phy/gold.h"
#include "phy/measure.h"
#include "phy/sequence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PILOTS_MAX = PHY_SC_MAX / PHY_PILOT_STEP_MIN, CELLS = 1024 };

static const float noise_slots = 32;    /* memory of the noise estimate */
static const float heard_slots = 8;     /* memory of whether there is a signal */
static const float heard_least = 15;    /* of a signal, see is_signal */
static const float least_noise = 1e-7f; /* of the signal's power: keeps noiseless signals calculable */

struct dl_chest {
	struct numerology num;
	size_t n_pilots;
	float complex pilots[2][PILOTS_MAX]; /* sent in the two pilot symbols */
	struct delay_bank *bank;
	struct channel_filter *filter;
	float noise_var, noise_weight; /* smoothed; weight in slots, 0: nothing yet */
	float heard;                   /* likeness of the slots to what was foretold, smoothed */
	float *h_re, *h_im, *slope_re, *slope_im;
	struct channel_motion motion;
	float complex *channel;                 /* of every RE, of the samples as given */
	float rb_error[PHY_RB_MAX];             /* of the estimate */
	float rb_noise[PHY_RB_MAX];             /* of a received RE, estimation error included */
	float complex at_pilots[2][PILOTS_MAX]; /* received over sent */
};

static int make_filter(struct dl_chest *c)
{
	uint16_t k[PILOTS_MAX];
	struct delay_pilots pilots = { .k = k, .n = c->n_pilots };
	for (size_t i = 0; i < c->n_pilots; i++)
		k[i] = (uint16_t)(i * c->num.pilot_step);
	c->bank = delay_bank_create(&c->num, &pilots, 1);
	c->filter = c->bank ? channel_filter_create(c->bank, c->num.slot_len) : NULL;
	return c->filter ? 0 : -ENOMEM;
}

static int make_arrays(struct dl_chest *c)
{
	size_t n = matrix_padded(c->num.n_sc + 1);
	c->channel = calloc(c->num.n_symbols * c->num.n_sc, sizeof *c->channel);
	c->h_re = aligned_alloc(64, 4 * n * sizeof *c->h_re);
	if (!c->channel || !c->h_re)
		return -ENOMEM;
	/* Slopes are not written before anything moves, and taken times 0. */
	memset(c->h_re, 0, 4 * n * sizeof *c->h_re);
	c->h_im = c->h_re + n;
	c->slope_re = c->h_re + 2 * n;
	c->slope_im = c->h_re + 3 * n;
	return 0;
}

struct dl_chest *dl_chest_create(const struct numerology *num, uint16_t cell_id)
{
	if (cell_id >= CELLS) {
		errno = EINVAL;
		return NULL;
	}
	struct dl_chest *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->num = *num;
	c->n_pilots = num->n_sc / num->pilot_step;
	for (size_t s = 0; s < 2; s++)
		gold_qpsk(sequence_seed(SEQUENCE_PILOT, cell_id, num->format->pilot[s]), c->pilots[s], c->n_pilots);
	if (!make_filter(c) && !make_arrays(c))
		return c;
	dl_chest_destroy(c);
	errno = ENOMEM;
	return NULL;
}

void dl_chest_destroy(struct dl_chest *c)
{
	if (!c)
		return;
	free(c->h_re);
	free(c->channel);
	channel_filter_destroy(c->filter);
	delay_bank_destroy(c->bank);
	free(c);
}

void dl_chest_reset(struct dl_chest *c)
{
	c->noise_weight = 0;
	c->heard = 0;
	channel_filter_reset(c->filter);
}

static void read_pilots(struct dl_chest *c, const float complex *grid)
{
	for (size_t s = 0; s < 2; s++) {
		const float complex *row = grid + c->num.format->pilot[s] * c->num.n_sc;
		for (size_t i = 0; i < c->n_pilots; i++)
			c->at_pilots[s][i] = row[i * c->num.pilot_step] * conjf(c->pilots[s][i]);
	}
}

/* What both pilot symbols differ by, their common phase apart: noise, as long as nothing better is known. */
static float difference_noise(const struct dl_chest *c)
{
	float complex common = 0;
	float difference = 0;
	for (size_t i = 0; i < c->n_pilots; i++)
		common += c->at_pilots[1][i] * conjf(c->at_pilots[0][i]);
	float complex turn = cexpf(I * cargf(common));
	for (size_t i = 0; i < c->n_pilots; i++)
		difference += power_of(c->at_pilots[1][i] - turn * c->at_pilots[0][i]);
	return difference / (2 * ((float)c->n_pilots - 0.5f)); /* half a degree of freedom went into the phase */
}

static void smooth_noise(struct dl_chest *c, float noise_var)
{
	c->noise_weight = fminf(c->noise_weight + 1, noise_slots);
	c->noise_var += (noise_var - c->noise_var) / c->noise_weight;
}

/* Middle of symbol l's FFT window, samples after the start of the slot. */
static double middle_of(const struct numerology *num, size_t l)
{
	return numerology_symbol_middle(num, l) - (double)numerology_backoff(num);
}

static double nco_rad(const struct numerology *num, const struct slot_time *when, double t)
{
	return when->nco_rad + 2 * M_PI * when->nco_hz * t / num->rate_hz;
}

struct pilot_sums {
	float energy, noise_energy; /* of coefficients */
	float residual, dof;
	float likeness;
};

static struct pilot_sums observe(struct dl_chest *c, const struct slot_time *when, float noise_var)
{
	struct pilot_sums sums = { 0 };
	for (size_t s = 0; s < 2; s++) {
		double t = middle_of(&c->num, c->num.format->pilot[s]);
		struct channel_seen seen;
		struct channel_observation o = {
			.y = c->at_pilots[s],
			.t_samples = (double)when->t_samples + t,
			.t_slot = (double)when->t_samples,
			.nco_rad = nco_rad(&c->num, when, t),
			.nco_rate = 2 * M_PI * when->nco_hz / c->num.rate_hz,
			.noise_var = noise_var,
		};
		channel_filter_observe(c->filter, &o, &seen);
		sums.energy += seen.energy;
		sums.noise_energy += seen.noise_energy;
		sums.residual += seen.residual;
		sums.dof += seen.dof;
		sums.likeness += seen.likeness;
	}
	return sums;
}

/* One of two things: energy that noise alone has once in 10^5 slots; or the likeness of weak pilots to what was
 * foretold from earlier slots (noise alone: the sum of two exponentials of mean one, 15 on average over 8 slots never).
 * Written so that an all-zero slot is not valid. */
static bool is_signal(struct dl_chest *c, const struct pilot_sums *s)
{
	float n = 2 * ((float)c->n_pilots - 0.5f * s->dof); /* degrees of freedom of the coefficients */
	c->heard += (fminf(s->likeness, 100) - c->heard) / heard_slots;
	return s->energy > (1 + 7 / sqrtf(n)) * s->noise_energy || (c->heard > heard_least && s->likeness > 8);
}

/* turn (h + step slope) on all subcarriers. */
static void fill_row(const struct dl_chest *c, float complex turn, float step, float complex *row)
{
	float re = crealf(turn), im = cimagf(turn);
	size_t half = c->num.n_sc / 2;
	for (size_t side = 0; side < 2; side++) {
		size_t at = side ? half + 1 : 0;
		const float *hr = c->h_re + at, *hi = c->h_im + at, *sr = c->slope_re + at, *si = c->slope_im + at;
		float *restrict out = (float *)(row + side * half);
		for (size_t k = 0; k < half; k++) {
			float a = hr[k] + step * sr[k], b = hi[k] + step * si[k];
			out[2 * k] = a * re - b * im;
			out[2 * k + 1] = a * im + b * re;
		}
	}
}

/* The channel of every RE. */
static void fill_channel(struct dl_chest *c, const struct slot_time *when)
{
	const struct numerology *num = &c->num;
	const struct channel_motion *m = &c->motion;
	for (size_t l = 0; l < num->n_symbols; l++) {
		double t = middle_of(num, l), dt = (double)when->t_samples + t - m->t0;
		double rad = m->turn_rad + m->turn_rad_per_sample * dt - nco_rad(num, when, t);
		fill_row(c, turn_of(rad), m->moves ? (float)dt : 0, c->channel + l * num->n_sc);
	}
}

/* What an RB's pilots of each symbol are off the slot's lines, mean, and the mean square of that off. */
struct miss {
	float complex mean[2];
	float square;
	size_t n;
};

static void measure_misses(const struct dl_chest *c, struct miss miss[PHY_RB_MAX])
{
	memset(miss, 0, PHY_RB_MAX * sizeof *miss);
	for (size_t s = 0; s < 2; s++) {
		const float complex *h = c->channel + c->num.format->pilot[s] * c->num.n_sc;
		for (size_t i = 0; i < c->n_pilots; i++) {
			size_t k = i * c->num.pilot_step;
			float complex off = c->at_pilots[s][i] - h[k];
			miss[k / PHY_RB_SC].mean[s] += off;
			miss[k / PHY_RB_SC].square += power_of(off);
			miss[k / PHY_RB_SC].n++;
		}
	}
	for (size_t rb = 0; rb < c->num.n_rb; rb++) {
		float n = (float)miss[rb].n;
		miss[rb].mean[0] *= 2 / n;
		miss[rb].mean[1] *= 2 / n;
		miss[rb].square /= n;
	}
}

/* Moves the RB's channel by a line through these two points. */
static void bend(struct dl_chest *c, size_t rb, const float complex by[2])
{
	const struct numerology *num = &c->num;
	double first = middle_of(num, num->format->pilot[0]), span = middle_of(num, num->format->pilot[1]) - first;
	for (size_t l = 0; l < num->n_symbols; l++) {
		float share = (float)((middle_of(num, l) - first) / span);
		float complex off = by[0] + share * (by[1] - by[0]);
		for (size_t k = rb * PHY_RB_SC; k < (rb + 1) * PHY_RB_SC; k++)
			c->channel[l * num->n_sc + k] += off;
	}
}

/* Fading that is no straight line over slots, in deep fades above all, is not in the filter's error. Where the slot's lines
 * miss an RB's pilots by more than noise alone ever would (four times as much with the usual 8 pilots), they are
 * moved there by as much of it as is believed, and what is still missed counts as noise: data as far off but taken for sure
 * do more harm than noise of that power. */
static void mend_misses(struct dl_chest *c)
{
	static const float deviations = 8.5f; /* of the mean square of noise, which has one over the root of n */
	struct miss miss[PHY_RB_MAX];
	measure_misses(c, miss);
	for (size_t rb = 0; rb < c->num.n_rb; rb++) {
		const struct miss *m = &miss[rb];
		float noise_alone = 1 + deviations / sqrtf((float)m->n);
		float beyond = m->square - noise_alone * c->noise_var;
		c->rb_noise[rb] = c->noise_var + c->rb_error[rb];
		if (beyond <= 0)
			continue;
		float w = beyond / m->square, mended = 0.5f * w * (power_of(m->mean[0]) + power_of(m->mean[1]));
		bend(c, rb, (float complex[2]){ w * m->mean[0], w * m->mean[1] });
		c->rb_noise[rb] += fmaxf(m->square - mended - c->noise_var, 0);
	}
}

static void fill_csi(const struct dl_chest *c, const struct slot_time *when, float slot_noise_var,
                     const struct track_measurement *track, struct csi *csi)
{
	const struct numerology *num = &c->num;
	const struct channel_motion *m = &c->motion;
	size_t middle = (size_t)(0.5 * (middle_of(num, num->format->pilot[0]) + middle_of(num, num->format->pilot[1])));
	double dt = (double)(when->t_samples + middle) - m->t0, rad = m->turn_rad + m->turn_rad_per_sample * dt;
	float complex turn = turn_of(rad);
	float step = m->moves ? (float)dt : 0;
	csi->valid = true;
	csi->t_ref_samples = when->t_samples + middle;
	fill_row(c, turn, step, csi->h);
	csi->noise_var = c->noise_var;
	float total = csi_set_snr(csi);
	csi->cfo_hz = (float)channel_filter_cfo_hz(c->filter);
	csi->timing_samples = track->timing_samples;
	csi->evm_db = ratio_db(fmaxf(slot_noise_var / fmaxf(total, 1e-30f), least_noise));
}

bool dl_chest_slot(struct dl_chest *c, const float complex *grid, const struct slot_time *when, struct csi *csi,
                   struct track_measurement *track)
{
	const struct numerology *num = &c->num;
	*track = (struct track_measurement){ .snr = 0 };
	read_pilots(c, grid);
	float power = mean_power(c->at_pilots[0], c->n_pilots), least = least_noise * power + 1e-30f;
	float assumed = c->noise_weight > 0 ? c->noise_var : difference_noise(c);
	struct pilot_sums sums = observe(c, when, fmaxf(assumed, least));
	float slot_noise_var = fmaxf(sums.residual / fmaxf(sums.dof, 1e-3f), least);
	smooth_noise(c, slot_noise_var);
	csi->noise_var = c->noise_var;
	if (!is_signal(c, &sums)) {
		if (c->heard < heard_least)
			channel_filter_reset(c->filter); /* nothing to learn from */
		return false;
	}
	channel_filter_lines(c->filter, c->h_re, c->h_im, c->slope_re, c->slope_im, &c->motion);
	channel_filter_error(c->filter, c->rb_error);
	fill_channel(c, when);
	mend_misses(c);
	track_measure(num, c->at_pilots[0], num->format->pilot[0], c->at_pilots[1], num->format->pilot[1], c->n_pilots,
	              0, num->pilot_step, track);
	fill_csi(c, when, slot_noise_var, track, csi);
	return true;
}

struct block_channel dl_chest_channel(const struct dl_chest *c)
{
	return (struct block_channel){ .h = c->channel, .noise_var = c->rb_noise };
}

float dl_chest_noise_var(const struct dl_chest *c)
{
	return c->noise_var;
}

const struct channel_filter *dl_chest_filter(const struct dl_chest *c)
{
	return c->filter;
}
