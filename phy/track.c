#include "phy/track.h"

#include <math.h>

/* Model of what is tracked. A slot's walk of the carrier covers oscillators and acceleration; Doppler spread moves
 * single measurements by up to this much. The energy's centre wanders with fading by about a delay spread. */
static const double cfo_start_sd_hz = 300, cfo_walk_hz = 0.5, cfo_fading_hz = 10;
static const double timing_start_sd = 1.5, timing_walk = 0.01, timing_fading = 1;

float complex track_slope(const struct numerology *num, const float complex *h, size_t n_pilots, size_t first,
                          size_t spacing)
{
	float complex sum = 0;
	size_t half = num->n_sc / 2;
	for (size_t i = 0; i + 1 < n_pilots; i++) {
		size_t k = first + i * spacing;
		if (k >= half || k + spacing < half)
			sum += conjf(h[i]) * h[i + 1];
	}
	return sum;
}

float track_timing_from_pilots(const struct numerology *num, float complex slope, size_t spacing)
{
	return -cargf(slope) * (float)num->n_fft / (2 * (float)M_PI * (float)spacing);
}

void track_measure(const struct numerology *num, const float complex *at_a, size_t symbol_a, const float complex *at_b,
                   size_t symbol_b, size_t n_pilots, size_t first, size_t spacing, struct track_measurement *m)
{
	float complex both = 0;
	float energy = 0;
	for (size_t i = 0; i < n_pilots; i++) {
		both += conjf(at_a[i]) * at_b[i];
		energy += 0.5f * (crealf(at_a[i] * conjf(at_a[i])) + crealf(at_b[i] * conjf(at_b[i])));
	}
	float complex slope =
	        track_slope(num, at_a, n_pilots, first, spacing) + track_slope(num, at_b, n_pilots, first, spacing);
	double apart_s =
	        (numerology_symbol_middle(num, symbol_b) - numerology_symbol_middle(num, symbol_a)) / num->rate_hz;
	/* Noise is independent in the two symbols, the signal is not; of pure noise's |both|^2, energy^2 / n on
	 * average, nothing is to be left. */
	float square = crealf(both * conjf(both)) - energy * energy / (float)n_pilots;
	float signal = square > 0 ? sqrtf(square / (1 - 1 / (float)n_pilots)) : 0;
	float noise = fmaxf(energy - signal, 1e-6f * energy);
	*m = (struct track_measurement){
		.timing_samples = track_timing_from_pilots(num, slope, spacing),
		.cfo_hz = (float)(cargf(both) / (2 * M_PI * apart_s)),
		.snr = energy > 0 ? signal / noise : 0,
	};
}

size_t track_prefix_correlation(const struct numerology *num, const float complex *samples, float complex *sum,
                                float *energy)
{
	size_t n = num->cp - num->cp / 4;
	for (size_t l = 0; l < num->n_symbols; l++) {
		const float complex *prefix = samples + numerology_symbol_body(num, l) - n, *copy = prefix + num->n_fft;
		for (size_t i = 0; i < n; i++) {
			*sum += conjf(prefix[i]) * copy[i];
			*energy += 0.5f * crealf(conjf(prefix[i]) * prefix[i] + conjf(copy[i]) * copy[i]);
		}
	}
	return n * num->n_symbols;
}

struct track_config track_config_default(double dl_hz, double ul_hz)
{
	return (struct track_config){
		.dl_hz = dl_hz,
		.ul_hz = ul_hz,
		.snr_min_db = -6,
		.bad_slots_max = 400,
		.missed_max = 40,
		.missed_first_max = 6,
	};
}

void track_start(struct track *t, const struct numerology *num, const struct track_config *config,
                 const struct acquired *lock)
{
	*t = (struct track){
		.num = *num,
		.config = *config,
		.next_start = lock->slot_start,
		.fraction = lock->fraction,
		.cfo_hz = lock->cfo_hz,
		.cfo_var = cfo_start_sd_hz * cfo_start_sd_hz,
		.timing_var = timing_start_sd * timing_start_sd,
	};
}

/* One slot of this receiver's clock on, as far as is known. */
static void next_slot(struct track *t)
{
	t->next_start += t->num.slot_len;
	t->fraction -= (double)t->num.slot_len * t->cfo_hz / t->config.dl_hz;
	if (fabs(t->fraction) > TRACK_STEP) {
		double step = round(t->fraction);
		t->next_start += (uint64_t)(int64_t)step;
		t->fraction -= step;
		t->n_steps++;
	}
	t->cfo_var += cfo_walk_hz * cfo_walk_hz;
	t->timing_var += timing_walk * timing_walk;
	t->n_slots++;
}

uint64_t track_skip_to(struct track *t, uint64_t t_samples)
{
	uint64_t n = 0;
	while (t->next_start < t_samples) {
		next_slot(t);
		n++;
	}
	return n;
}

/* Scalar Kalman step: the estimate's error variance *var meets a measurement's; returns the gain. */
static double kalman_gain(double *var, double measurement_var)
{
	double gain = *var / (*var + measurement_var);
	*var *= 1 - gain;
	return gain;
}

/* The angle of a sum of n products conj(a) b, a and b alike up to noise at this SNR: variance of its error in rad^2. */
static double angle_var(double n, double snr)
{
	return (1 + 2 * snr) / (2 * n * snr * snr);
}

static void correct(struct track *t, const struct track_measurement *m)
{
	const struct numerology *num = &t->num;
	double n_pilots = (double)(num->n_sc / num->pilot_step);
	double apart_s = (double)((size_t)(num->format->pilot[1] - num->format->pilot[0]) * (num->n_fft + num->cp)) /
	                 num->rate_hz;
	double hz_per_rad = 1 / (2 * M_PI * apart_s);
	double samples_per_rad = (double)num->n_fft / (2 * M_PI * (double)num->pilot_step);
	double snr = m->snr;

	double cfo_var = hz_per_rad * hz_per_rad * angle_var(n_pilots, snr) + cfo_fading_hz * cfo_fading_hz;
	t->cfo_hz += kalman_gain(&t->cfo_var, cfo_var) * m->cfo_hz;

	double timing_var =
	        samples_per_rad * samples_per_rad * angle_var(2 * n_pilots, snr) + timing_fading * timing_fading;
	double limit = 0.5 * (double)num->cp; /* one slot's outlier moves no more than this */
	double ahead = fmin(fmax(m->timing_samples - t->fraction, -limit), limit);
	t->fraction += kalman_gain(&t->timing_var, timing_var) * ahead;
}

void track_update(struct track *t, const struct track_measurement *m)
{
	bool usable = m && m->snr > 0 && isfinite(m->snr) && isfinite(m->cfo_hz) && isfinite(m->timing_samples);
	if (usable)
		correct(t, m);
	bool good = usable && 10 * log10f(m->snr) >= t->config.snr_min_db;
	t->bad_slots = good ? 0 : t->bad_slots + 1;
	next_slot(t);
}

void track_sync_slot(struct track *t, bool decoded)
{
	t->missed_syncs = decoded ? 0 : t->missed_syncs + 1;
	t->system_information_seen |= decoded;
}

bool track_lost(const struct track *t)
{
	unsigned missed_max = t->system_information_seen ? t->config.missed_max : t->config.missed_first_max;
	return t->missed_syncs >= missed_max || t->bad_slots >= t->config.bad_slots_max;
}

double track_uplink_hz(const struct track *t)
{
	return t->cfo_hz * t->config.ul_hz / t->config.dl_hz;
}

double track_clock_ppm(const struct track *t)
{
	return -1e6 * t->cfo_hz / t->config.dl_hz;
}
