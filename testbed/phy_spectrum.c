#include "testbed/phy_spectrum.h"

#include "testbed/phy_link_inner.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FFT_MAX = 4096, OVERSAMPLING = 4, WINDOW_SYMBOLS = 4 };
static const double occupied = 0.9;

struct welch {
	size_t n, n_segments;
	float complex *x; /* n, the FFT's, in place */
	float *window;
	double *power; /* n, from the lowest frequency */
	fftwf_plan plan;
};

static int oversample(const struct numerology *num, struct numerology *more, char *err, size_t err_len)
{
	size_t times = FFT_MAX / num->n_fft < OVERSAMPLING ? FFT_MAX / num->n_fft : OVERSAMPLING;
	const struct numerology_config c = { .rate_hz = num->rate_hz * (double)times,
		                             .scs_hz = num->scs_hz,
		                             .n_rb = num->n_rb,
		                             .n_symbols = num->n_symbols,
		                             .pilot_step = num->pilot_step,
		                             .taper = (int)(num->taper * times) };
	return numerology_create(more, &c, err, err_len);
}

/* ---- Welch ---- */

static bool welch_open(struct welch *w, size_t n)
{
	*w = (struct welch){ .n = n };
	w->x = fftwf_malloc(n * sizeof *w->x);
	w->window = malloc(n * sizeof *w->window);
	w->power = calloc(n, sizeof *w->power);
	if (!w->x || !w->window || !w->power)
		return false;
	phy_link_lock();
	w->plan = fftwf_plan_dft_1d((int)n, w->x, w->x, FFTW_FORWARD, FFTW_ESTIMATE);
	phy_link_unlock();
	for (size_t i = 0; i < n; i++) {
		double a = 2 * M_PI * ((double)i + 0.5) / (double)n;
		w->window[i] = (float)(0.35875 - 0.48829 * cos(a) + 0.14128 * cos(2 * a) - 0.01168 * cos(3 * a));
	}
	return w->plan != NULL;
}

static void welch_close(struct welch *w)
{
	phy_link_lock();
	if (w->plan)
		fftwf_destroy_plan(w->plan);
	phy_link_unlock();
	free(w->power);
	free(w->window);
	fftwf_free(w->x);
}

static void welch_add(struct welch *w, const float complex *samples)
{
	for (size_t i = 0; i < w->n; i++)
		w->x[i] = w->window[i] * samples[i];
	fftwf_execute(w->plan);
	for (size_t i = 0; i < w->n; i++) {
		float complex x = w->x[(i + w->n / 2) % w->n];
		w->power[i] += (double)crealf(x * conjf(x));
	}
	w->n_segments++;
}

/* ---- what it came to ---- */

static double bin_hz(const struct phy_spectrum *s, size_t i)
{
	return ((double)i - (double)s->n / 2) * s->rate_hz / (double)s->n;
}

static double power_between(const struct phy_spectrum *s, const double *power, double from_hz, double to_hz)
{
	double sum = 0;
	for (size_t i = 0; i < s->n; i++)
		if (bin_hz(s, i) >= from_hz && bin_hz(s, i) <= to_hz)
			sum += power[i];
	return sum;
}

static void conclude(struct phy_spectrum *s, const double *power)
{
	double half = s->used_hz / 2, used = power_between(s, power, -half, half);
	double density = used / (s->used_hz * (double)s->n / s->rate_hz);
	for (int side = 0; side < 2; side++) {
		double centre = side ? s->channel_hz : -s->channel_hz;
		s->side_dbc[side] = 10 * log10(power_between(s, power, centre - half, centre + half) / used);
	}
	s->adjacent_dbc = fmax(s->side_dbc[0], s->side_dbc[1]);
	for (size_t i = 0; i < s->n; i++) {
		s->mhz[i] = 1e-6 * bin_hz(s, i);
		s->db[i] = 10 * log10(power[i] / density);
	}
}

/* ---- the signal ---- */

static float clip(float v, size_t *clipped)
{
	*clipped += fabsf(v) > 1;
	return fmaxf(fminf(v, 1), -1);
}

static size_t make_signal(struct phy_link *l, unsigned mcs, uint64_t seed, size_t n_slots, float complex *x)
{
	const struct phy_link_point point = { .mcs = mcs, .seed = seed };
	size_t slot_len = l->config.num.slot_len, clipped = 0;
	for (size_t n = 0; n < n_slots; n++)
		memcpy(x + n * slot_len, phy_link_slot(l, &point, n + 1), slot_len * sizeof *x);
	for (size_t i = 0; i < n_slots * slot_len; i++)
		x[i] = clip(crealf(x[i]), &clipped) + I * clip(cimagf(x[i]), &clipped);
	phy_link_convert(l, 1, x, n_slots * slot_len);
	return clipped;
}

static int analyse(struct phy_link *l, unsigned mcs, uint64_t seed, size_t n_slots, struct phy_spectrum *s)
{
	const struct numerology *num = &l->config.num;
	size_t n_samples = n_slots * num->slot_len, n = WINDOW_SYMBOLS * num->n_fft;
	float complex *x = malloc(n_samples * sizeof *x);
	struct welch w = { 0 };
	s->n = n;
	s->rate_hz = num->rate_hz;
	s->used_hz = (double)(num->n_sc + 1) * num->scs_hz;
	s->channel_hz = s->used_hz / occupied;
	s->mhz = malloc(n * sizeof *s->mhz);
	s->db = malloc(n * sizeof *s->db);
	bool ok = welch_open(&w, n) && x && s->mhz && s->db;
	if (ok) {
		s->clipped = (double)make_signal(l, mcs, seed, n_slots, x) / (2 * (double)n_samples);
		for (size_t at = 0; at + n <= n_samples; at += n / 2)
			welch_add(&w, x + at);
		conclude(s, w.power);
	}
	welch_close(&w);
	free(x);
	return ok ? 0 : -ENOMEM;
}

int phy_spectrum_measure(const struct phy_link_config *config, unsigned mcs, uint64_t seed, size_t n_slots,
                         struct phy_spectrum *s, char *err, size_t err_len)
{
	struct phy_link_config more = *config;
	*s = (struct phy_spectrum){ 0 };
	if (oversample(&config->num, &more.num, err, err_len))
		return -EINVAL;
	struct phy_link *l = phy_link_create(&more, err, err_len);
	if (!l)
		return -EINVAL;
	int rc = analyse(l, mcs, seed, n_slots, s);
	phy_link_destroy(l);
	if (rc) {
		snprintf(err, err_len, "%s", strerror(-rc));
		phy_spectrum_free(s);
	}
	return rc;
}

void phy_spectrum_free(struct phy_spectrum *s)
{
	free(s->db);
	free(s->mhz);
	s->db = s->mhz = NULL;
}
