#include "phy/ofdm.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ofdm {
	struct numerology num;
	size_t backoff;
	float complex *time;      /* n_symbols * n_fft: the useful parts of the symbols, one after the other */
	float complex *bins;      /* the same shape, in FFT order; DC and guard bins stay zero when modulating */
	float complex *turn_back; /* n_sc: phase of the early window undone, times the unitary scale */
	float scale;              /* 1 / sqrt(n_fft) */
	fftwf_plan forward;       /* time -> bins */
	fftwf_plan inverse;       /* bins -> time */
};

static fftwf_plan make_plan(struct ofdm *o, float complex *in, float complex *out, int sign)
{
	int n_fft = (int)o->num.n_fft;
	return fftwf_plan_many_dft(1, &n_fft, (int)o->num.n_symbols, in, NULL, 1, n_fft, out, NULL, 1, n_fft, sign,
	                           FFTW_ESTIMATE);
}

struct ofdm *ofdm_create(const struct numerology *num, size_t backoff)
{
	if (backoff > num->cp) {
		errno = EINVAL;
		return NULL;
	}
	struct ofdm *o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	size_t n = num->n_symbols * num->n_fft;
	o->num = *num;
	o->backoff = backoff;
	o->scale = (float)(1.0 / sqrt((double)num->n_fft));
	o->time = (float complex *)fftwf_alloc_complex(n);
	o->bins = (float complex *)fftwf_alloc_complex(n);
	o->turn_back = (float complex *)fftwf_alloc_complex(num->n_sc);
	if (!o->time || !o->bins || !o->turn_back)
		goto no_memory;
	o->forward = make_plan(o, o->time, o->bins, FFTW_FORWARD);
	o->inverse = make_plan(o, o->bins, o->time, FFTW_BACKWARD);
	if (!o->forward || !o->inverse)
		goto no_memory;
	for (size_t k = 0; k < num->n_sc; k++) {
		double cycles = (double)numerology_offset(num, k) * (double)backoff / (double)num->n_fft;
		o->turn_back[k] = (float complex)(cexp(I * 2 * M_PI * cycles) * (double)o->scale);
	}
	return o;

no_memory:
	ofdm_destroy(o);
	errno = ENOMEM;
	return NULL;
}

void ofdm_destroy(struct ofdm *o)
{
	if (!o)
		return;
	if (o->inverse)
		fftwf_destroy_plan(o->inverse);
	if (o->forward)
		fftwf_destroy_plan(o->forward);
	fftwf_free(o->turn_back);
	fftwf_free(o->bins);
	fftwf_free(o->time);
	free(o);
}

static void scaled(float complex *restrict out, const float complex *restrict in, float scale, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = scale * in[i];
}

static void multiplied(float complex *restrict out, const float complex *restrict in, const float complex *restrict by,
                       size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = in[i] * by[i];
}

void ofdm_modulate(struct ofdm *o, const float complex *grid, float complex *samples)
{
	const struct numerology *num = &o->num;
	size_t half = num->n_sc / 2, guard = num->n_fft - num->n_sc - 1;
	for (size_t l = 0; l < num->n_symbols; l++) {
		const float complex *row = grid + l * num->n_sc;
		float complex *bins = o->bins + l * num->n_fft;
		bins[0] = 0;
		scaled(bins + 1, row + half, o->scale, half);
		memset(bins + 1 + half, 0, guard * sizeof *bins);
		scaled(bins + num->n_fft - half, row, o->scale, half);
	}
	fftwf_execute(o->inverse);
	for (size_t l = 0; l < num->n_symbols; l++) {
		const float complex *time = o->time + l * num->n_fft;
		size_t cp = l ? num->cp : num->cp_first;
		memcpy(samples, time + num->n_fft - cp, cp * sizeof *time);
		memcpy(samples + cp, time, num->n_fft * sizeof *time);
		samples += cp + num->n_fft;
	}
}

void ofdm_demodulate(struct ofdm *o, const float complex *samples, float complex *grid)
{
	const struct numerology *num = &o->num;
	size_t half = num->n_sc / 2;
	for (size_t l = 0; l < num->n_symbols; l++)
		memcpy(o->time + l * num->n_fft, samples + numerology_symbol_body(num, l) - o->backoff,
		       num->n_fft * sizeof *samples);
	fftwf_execute(o->forward);
	for (size_t l = 0; l < num->n_symbols; l++) {
		const float complex *bins = o->bins + l * num->n_fft;
		float complex *row = grid + l * num->n_sc;
		multiplied(row, bins + num->n_fft - half, o->turn_back, half);
		multiplied(row + half, bins + 1, o->turn_back + half, half);
	}
}
