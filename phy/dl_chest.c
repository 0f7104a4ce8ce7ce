#include "phy/dl_chest.h"

#include "phy/chest.h"
#include "phy/gold.h"
#include "phy/measure.h"
#include "phy/sequence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { PILOTS_MAX = PHY_SC_MAX / PHY_PILOT_STEP_MIN, CELLS = 1024 };

static const float snr_min = 0.2f;      /* -7 dB over the band is a signal; noise alone passes once in 10^5 slots */
static const float noise_slots = 16;    /* memory of the noise estimate */
static const float least_noise = 1e-9f; /* of the signal's power: keeps noiseless signals calculable */

struct dl_chest {
	struct numerology num;
	size_t n_pilots;
	float complex pilots[2][PILOTS_MAX]; /* sent in the two pilot symbols */
	struct chest *chest;
	float rb_gain[PHY_RB_MAX]; /* noise gain of the estimate, mean over an RB, one pilot symbol */
	float mean_gain;
	float noise_var, noise_weight;          /* smoothed; weight in slots, 0: nothing yet */
	float complex h[PHY_SC_MAX];            /* of the samples as given, midway between the pilot symbols */
	float complex turn[PHY_SYMBOLS_MAX];    /* what becomes of it in each symbol */
	float complex *channel;                 /* h times turn: of every RE */
	float rb_noise[PHY_RB_MAX];             /* of a received RE, estimation error included */
	float complex at_pilots[3][PILOTS_MAX]; /* received over sent: first, second pilot symbol, mean */
};

static struct chest *make_chest(const struct dl_chest *c)
{
	struct chest_prior prior = chest_default_prior(&c->num);
	uint16_t pilots[PILOTS_MAX], outs[PHY_SC_MAX];
	for (size_t i = 0; i < c->n_pilots; i++)
		pilots[i] = (uint16_t)(i * c->num.pilot_step);
	for (size_t k = 0; k < c->num.n_sc; k++)
		outs[k] = (uint16_t)k;
	return chest_create(&c->num, &prior, pilots, c->n_pilots, outs, c->num.n_sc);
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
	c->chest = make_chest(c);
	c->channel = calloc(num->n_symbols * num->n_sc, sizeof *c->channel);
	if (!c->chest || !c->channel) {
		dl_chest_destroy(c);
		errno = ENOMEM;
		return NULL;
	}
	for (size_t k = 0; k < num->n_sc; k++)
		c->rb_gain[k / PHY_RB_SC] += chest_noise_gain(c->chest, k) / PHY_RB_SC;
	for (size_t rb = 0; rb < num->n_rb; rb++)
		c->mean_gain += c->rb_gain[rb] / (float)num->n_rb;
	return c;
}

void dl_chest_destroy(struct dl_chest *c)
{
	if (!c)
		return;
	free(c->channel);
	chest_destroy(c->chest);
	free(c);
}

void dl_chest_reset(struct dl_chest *c)
{
	c->noise_weight = 0;
}

struct pilot_sums {
	float phase_rad; /* advance from the first to the second pilot symbol */
	float noise_var; /* of this slot alone */
};

/* Both pilot symbols to least-squares estimates, their phase difference shared out, and their mean. */
static struct pilot_sums read_pilots(struct dl_chest *c, const float complex *grid)
{
	float complex common = 0;
	for (size_t s = 0; s < 2; s++) {
		const float complex *row = grid + c->num.format->pilot[s] * c->num.n_sc;
		for (size_t i = 0; i < c->n_pilots; i++)
			c->at_pilots[s][i] = row[i * c->num.pilot_step] * conjf(c->pilots[s][i]);
	}
	for (size_t i = 0; i < c->n_pilots; i++)
		common += c->at_pilots[1][i] * conjf(c->at_pilots[0][i]);
	float phase_rad = cargf(common);
	float complex half = cexpf(0.5f * phase_rad * I);
	float difference = 0;
	for (size_t i = 0; i < c->n_pilots; i++) {
		float complex a = c->at_pilots[0][i] * half, b = c->at_pilots[1][i] * conjf(half), d = a - b;
		c->at_pilots[2][i] = 0.5f * (a + b);
		difference += power_of(d);
	}
	return (struct pilot_sums){
		.phase_rad = phase_rad,
		.noise_var = difference / (2.0f * ((float)c->n_pilots - 0.5f)), /* half a degree went into the phase */
	};
}

static void smooth_noise(struct dl_chest *c, float noise_var)
{
	c->noise_weight = fminf(c->noise_weight + 1, noise_slots);
	c->noise_var += (noise_var - c->noise_var) / c->noise_weight;
}

/* The phase in each symbol, on the straight line through both pilot symbols, relative to halfway between them. */
static void set_turns(struct dl_chest *c, float phase_rad)
{
	const struct numerology *num = &c->num;
	double first = numerology_symbol_middle(num, num->format->pilot[0]);
	double second = numerology_symbol_middle(num, num->format->pilot[1]);
	for (size_t l = 0; l < num->n_symbols; l++) {
		double share = (numerology_symbol_middle(num, l) - 0.5 * (first + second)) / (second - first);
		c->turn[l] = (float complex)cexp(I * share * (double)phase_rad);
	}
}

static void fill_channel(struct dl_chest *c)
{
	size_t n_sc = c->num.n_sc;
	for (size_t l = 0; l < c->num.n_symbols; l++)
		for (size_t k = 0; k < n_sc; k++)
			c->channel[l * n_sc + k] = c->h[k] * c->turn[l];
	for (size_t rb = 0; rb < c->num.n_rb; rb++)
		c->rb_noise[rb] = c->noise_var * (1 + 0.5f * c->mean_gain);
}

static void fill_csi(const struct dl_chest *c, const struct slot_time *when, float slot_noise_var,
                     const struct track_measurement *track, struct csi *csi)
{
	const struct numerology *num = &c->num;
	size_t middle = (numerology_symbol_body(num, num->format->pilot[0]) +
	                 numerology_symbol_body(num, num->format->pilot[1])) /
	                        2 +
	                num->n_fft / 2 - numerology_backoff(num);
	double turned = when->nco_rad + 2 * M_PI * when->nco_hz * (double)middle / num->rate_hz;
	float complex undo = (float complex)cexp(I * turned);
	float total = 0, error = 0.5f * c->noise_var;
	csi->valid = true;
	csi->t_ref_samples = when->t_samples + middle;
	for (size_t k = 0; k < num->n_sc; k++)
		csi->h[k] = c->h[k] * undo;
	for (size_t rb = 0; rb < num->n_rb; rb++) {
		float power = mean_power(c->h + rb * PHY_RB_SC, PHY_RB_SC) - error * c->rb_gain[rb];
		csi->snr_db[rb] = snr_db_of(power, c->noise_var);
		total += power / (float)num->n_rb;
	}
	csi->snr_mean_db = snr_db_of(total, c->noise_var);
	csi->cfo_hz = (float)when->nco_hz + track->cfo_hz;
	csi->timing_samples = track->timing_samples;
	csi->evm_db = ratio_db(fmaxf(slot_noise_var / mean_power(c->h, num->n_sc), least_noise));
}

bool dl_chest_slot(struct dl_chest *c, const float complex *grid, const struct slot_time *when, struct csi *csi,
                   struct track_measurement *track)
{
	const struct numerology *num = &c->num;
	struct pilot_sums sums = read_pilots(c, grid);
	chest_estimate(c->chest, c->at_pilots[2], c->h);
	float power = mean_power(c->h, num->n_sc);
	smooth_noise(c, fmaxf(sums.noise_var, least_noise * power));
	csi->noise_var = c->noise_var;
	*track = (struct track_measurement){ .snr = 0 };
	/* Written so that an all-zero slot, 0 > 0, is not valid either. */
	if (!(power > (snr_min + 0.5f * c->mean_gain) * fmaxf(sums.noise_var, c->noise_var)))
		return false;
	set_turns(c, sums.phase_rad);
	fill_channel(c);
	track_measure(num, c->at_pilots[0], num->format->pilot[0], c->at_pilots[1], num->format->pilot[1], c->n_pilots,
	              0, num->pilot_step, track);
	fill_csi(c, when, sums.noise_var, track, csi);
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
