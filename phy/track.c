#include "phy/track.h"

#include "phy/measure.h"

#include <math.h>

/* Model of what is tracked, in seconds, so that it holds at every rate and slot length. The carrier's walk covers
 * oscillators and acceleration; Doppler spread moves single measurements by up to cfo_fading_hz. The energy's centre
 * wanders with fading by about a delay spread. */
static const double cfo_start_sd_hz = 300, cfo_walk_hz2_s = 500, cfo_fading_hz = 10;
static const double timing_start_sd_s = 200e-9, timing_walk_s2_s = 3.4e-15, timing_fading_s = 130e-9;
static const double drift_start_sd = 10e-6, drift_walk_s = 2e-15; /* squared, a second */
static const double profile_s = 0.25, profile_least_s = 8e-3;     /* memory of the power-delay profile; first use */
enum { PROFILE_POINTS = 96, PLACE_POINTS = 65, PLACE_EVERY = 32, STEADY_SLOTS = 100, COASTING_SLOTS = 8 };

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

/* Sum of conj(h[i]) h[i + lag], from <= i < to. */
static float complex correlate(const float complex *h, size_t from, size_t to, size_t lag)
{
	float complex sum = 0;
	for (size_t i = from; i < to; i++)
		sum += conjf(h[i]) * h[i + lag];
	return sum;
}

/* Correlation over frequency of h. Pairs across DC lie one subcarrier further apart, which is taken off for a path at
 * m->timing_samples. */
static void correlate_pilots(const struct numerology *num, const float complex *h, size_t n_pilots, size_t first,
                             size_t spacing, struct track_measurement *m)
{
	size_t half = num->n_sc / 2, below = first < half ? (half - first + spacing - 1) / spacing : 0;
	if (below > n_pilots)
		below = n_pilots;
	float complex back = cexpf(I * 2 * (float)M_PI * m->timing_samples / (float)num->n_fft);
	m->n_lags = n_pilots < TRACK_LAGS ? n_pilots : TRACK_LAGS;
	m->lag_sc = spacing;
	for (size_t lag = 1; lag < m->n_lags; lag++) {
		size_t end = n_pilots - lag, across = below > lag ? below - lag : 0, above = below < end ? below : end;
		float complex sum = correlate(h, 0, across, lag) + correlate(h, across, above, lag) * back +
		                    correlate(h, above, end, lag);
		m->correlation[lag] = sum / (float)end;
	}
}

void track_measure(const struct numerology *num, const float complex *at_a, size_t symbol_a, const float complex *at_b,
                   size_t symbol_b, size_t n_pilots, size_t first, size_t spacing, struct track_measurement *m)
{
	float complex both = 0;
	float energy = 0;
	for (size_t i = 0; i < n_pilots; i++) {
		both += conjf(at_a[i]) * at_b[i];
		energy += 0.5f * (power_of(at_a[i]) + power_of(at_b[i]));
	}
	float complex slope =
	        track_slope(num, at_a, n_pilots, first, spacing) + track_slope(num, at_b, n_pilots, first, spacing);
	double apart_s =
	        (numerology_symbol_middle(num, symbol_b) - numerology_symbol_middle(num, symbol_a)) / num->rate_hz;
	/* Noise is independent in the two symbols, the signal is not; of pure noise's |both|^2, energy^2 / n on
	 * average, nothing is to be left. */
	float square = power_of(both) - energy * energy / (float)n_pilots;
	float signal = square > 0 ? sqrtf(square / (1 - 1 / (float)n_pilots)) : 0;
	float noise = fmaxf(energy - signal, 1e-6f * energy);
	*m = (struct track_measurement){
		.timing_samples = track_timing_from_pilots(num, slope, spacing),
		.cfo_hz = (float)(cargf(both) / (2 * M_PI * apart_s)),
		.snr = energy > 0 ? signal / noise : 0,
	};
	float complex mean[PHY_SC_MAX / PHY_PILOT_STEP_MIN];
	float complex back = cabsf(both) > 0 ? conjf(both) / cabsf(both) : 0;
	for (size_t i = 0; i < n_pilots; i++)
		mean[i] = 0.5f * (at_a[i] + at_b[i] * back);
	correlate_pilots(num, mean, n_pilots, first, spacing, m);
	m->correlation[0] = signal / (float)n_pilots;
}

double track_pull_in_hz(const struct numerology *num)
{
	double apart = (double)((size_t)(num->format->pilot[1] - num->format->pilot[0]) * (num->n_fft + num->cp));
	return 0.8 * 0.5 * num->rate_hz / apart;
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
	double timing_sd = timing_start_sd_s * num->rate_hz;
	*t = (struct track){
		.num = *num,
		.config = *config,
		.next_start = lock->slot_start,
		.fraction = (double)lock->fraction,
		.cfo_hz = (double)lock->cfo_hz,
		.cfo_var = cfo_start_sd_hz * cfo_start_sd_hz,
		.timing_var = timing_sd * timing_sd,
		.drift_var = drift_start_sd * drift_start_sd,
	};
}

/* Samples a sample that slots come late by. */
static double whole_drift(const struct track *t)
{
	return t->drift - t->cfo_hz / t->config.dl_hz;
}

/* One slot of this receiver's clock on, as far as is known. */
static void next_slot(struct track *t)
{
	double len = (double)t->num.slot_len, slot_s = numerology_slot_s(&t->num), rate = t->num.rate_hz;
	t->next_start += t->num.slot_len;
	t->fraction += len * whole_drift(t);
	if (fabs(t->fraction + t->offset) > TRACK_STEP) {
		double step = round(t->fraction + t->offset);
		t->next_start += (uint64_t)(int64_t)step;
		t->fraction -= step;
		t->n_steps += (uint64_t)fabs(step);
	}
	t->cfo_var += cfo_walk_hz2_s * slot_s;
	t->timing_var += len * (2 * t->timing_drift_cov + len * t->drift_var) + timing_walk_s2_s * slot_s * rate * rate;
	t->timing_drift_cov += len * t->drift_var;
	t->drift_var += drift_walk_s * slot_s;
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
	double snr = (double)m->snr;

	double cfo_var = hz_per_rad * hz_per_rad * angle_var(n_pilots, snr) + cfo_fading_hz * cfo_fading_hz;
	double gain = t->cfo_var / (t->cfo_var + cfo_var);
	t->cfo_hz += gain * (double)m->cfo_hz;
	t->cfo_var *= 1 - gain;

	double fading = timing_fading_s * num->rate_hz;
	double var = samples_per_rad * samples_per_rad * angle_var(2 * n_pilots, snr) + fading * fading + t->timing_var;
	double limit = 0.5 * (double)num->cp; /* one slot's outlier moves no more than this */
	double ahead = fmin(fmax((double)m->timing_samples - t->fraction, -limit), limit);
	double timing_gain = t->timing_var / var, drift_gain = t->timing_drift_cov / var;
	t->fraction += timing_gain * ahead;
	t->drift += drift_gain * ahead;
	t->drift_var -= drift_gain * t->timing_drift_cov;
	t->timing_drift_cov *= 1 - timing_gain;
	t->timing_var *= 1 - timing_gain;
}

/* ---- where the slot starts ---- */

/* The slot's correlation, as if it had started at the energy's centre, goes into the mean by its share of signal. */
static void learn_profile(struct track *t, const struct track_measurement *m)
{
	float power = crealf(m->correlation[0]);
	if (m->n_lags < 2 || m->n_lags > TRACK_LAGS || !(power > 0))
		return;
	for (size_t lag = 1; lag < m->n_lags; lag++)
		if (!(cabsf(m->correlation[lag]) < 10 * power)) /* nonsense, or no number */
			return;
	double share = (double)(m->snr / (1 + m->snr)), memory = profile_s / numerology_slot_s(&t->num);
	t->correlation_weight = fmin(t->correlation_weight + share, memory);
	double gain = share / t->correlation_weight;
	double complex turn = 1, step = cexp(I * 2 * M_PI * (double)m->lag_sc * t->fraction / (double)t->num.n_fft);
	for (size_t lag = 0; lag < m->n_lags; lag++, turn *= step)
		t->correlation[lag] +=
		        gain * ((double complex)(m->correlation[lag] / power) * turn - t->correlation[lag]);
	t->n_lags = m->n_lags;
	t->lag_sc = m->lag_sc;
}

/* Power by delay, at PROFILE_POINTS delays around the energy's centre, sum 1: the transform of the correlation under a
 * Hann window; what could be its side lobes is left out. It repeats itself every n_fft / lag_sc samples. */
static void make_profile(const struct track *t, double power[PROFILE_POINTS], double *first, double *step)
{
	double sum = 0, largest = 0;
	double span = fmin(4 * (double)t->num.cp, (double)t->num.n_fft / (double)t->lag_sc);
	*first = -span / 3;
	*step = span / PROFILE_POINTS;
	for (size_t i = 0; i < PROFILE_POINTS; i++) {
		double delay = *first + (double)i * *step;
		double complex turn = 1,
		               advance = cexp(I * 2 * M_PI * (double)t->lag_sc * delay / (double)t->num.n_fft);
		power[i] = 0;
		for (size_t lag = 0; lag < t->n_lags; lag++, turn *= advance) {
			double window = 0.5 + 0.5 * cos(M_PI * (double)lag / (double)t->n_lags);
			power[i] += (lag ? 2 : 1) * window * creal(t->correlation[lag] * turn);
		}
		largest = fmax(largest, power[i]);
	}
	for (size_t i = 0; i < PROFILE_POINTS; i++) {
		power[i] = power[i] > 5e-3 * largest ? power[i] : 0;
		sum += power[i];
	}
	for (size_t i = 0; i < PROFILE_POINTS; i++)
		power[i] /= sum > 0 ? sum : 1;
}

static double interference(const struct track *t, const double *power, double first, double step, double offset)
{
	double early = (double)numerology_backoff(&t->num), sum = 0;
	double late = (double)numerology_clean_prefix(&t->num) - early;
	for (size_t i = 0; i < PROFILE_POINTS; i++) {
		double delay = first + (double)i * step - offset;
		double outside = fmax(fmax(-early - delay, delay - late), 0);
		sum += 2 * power[i] * outside / (double)t->num.n_fft;
	}
	return sum;
}

double track_interference(const struct track *t, double offset)
{
	double power[PROFILE_POINTS], first, step;
	if (!t->n_lags)
		return 0;
	make_profile(t, power, &first, &step);
	return interference(t, power, first, step, offset);
}

/* The best offset within a prefix; no further from the energy's centre than -45 dB of interference are worth. */
static void place_start(struct track *t)
{
	double power[PROFILE_POINTS], first, step, cp = (double)t->num.cp, best = INFINITY, place = 0;
	make_profile(t, power, &first, &step);
	for (size_t i = 0; i < PLACE_POINTS; i++) {
		double offset = cp * (2.0 * (double)i / (PLACE_POINTS - 1) - 1), away = 4 * offset / cp;
		double cost = interference(t, power, first, step, offset) + 3e-5 * away * away;
		if (cost < best) {
			best = cost;
			place = offset;
		}
	}
	double limit = cp / 16; /* a step: the uplink moves along */
	t->offset += fmin(fmax(place - t->offset, -limit), limit);
}

void track_update(struct track *t, const struct track_measurement *m)
{
	bool usable = m && m->snr > 0 && isfinite(m->snr) && fabs((double)m->cfo_hz) < t->num.rate_hz &&
	              isfinite(m->timing_samples);
	if (usable) {
		correct(t, m);
		learn_profile(t, m);
	}
	bool good = usable && 10 * log10f(m->snr) >= t->config.snr_min_db;
	t->bad_slots = good ? 0 : t->bad_slots + 1;
	if (t->n_slots % PLACE_EVERY == 0 && t->correlation_weight * numerology_slot_s(&t->num) > profile_least_s)
		place_start(t);
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

enum track_state track_state(const struct track *t)
{
	if (track_lost(t))
		return TRACK_LOST;
	if (t->bad_slots >= COASTING_SLOTS)
		return TRACK_COASTING;
	return t->n_slots < STEADY_SLOTS ? TRACK_PULLING_IN : TRACK_STEADY;
}

const char *track_state_name(enum track_state s)
{
	static const char *const names[] = { "pulling in", "steady", "coasting", "lost" };
	return (size_t)s < sizeof names / sizeof names[0] ? names[s] : "unknown";
}

double track_uplink_hz(const struct track *t)
{
	return t->cfo_hz * t->config.ul_hz / t->config.dl_hz;
}

double track_clock_ppm(const struct track *t)
{
	return 1e6 * whole_drift(t);
}
