#include "phy/ofdm.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One symbol at a time, so that all of its work stays in the first-level cache; the buffers are aligned, which slots in
 * the stream of samples are not (FFTW is four times slower on those). */
struct ofdm {
	struct numerology num;
	size_t backoff;
	float complex *bins;      /* n_fft: a symbol to modulate in FFT order; DC and guard bins stay zero */
	float complex *spectrum;  /* n_fft: a symbol demodulated */
	float complex *time;      /* n_fft: useful part of a symbol */
	float complex *turn_back; /* n_sc: phase of the early window undone, times the unitary scale */
	float complex *tail;      /* taper: how the last symbol falls */
	float *rise;              /* taper */
	bool has_tail;
	float scale;        /* 1 / sqrt(n_fft) */
	fftwf_plan forward; /* time -> spectrum */
	fftwf_plan inverse; /* bins -> time */
};

static fftwf_plan make_plan(const struct ofdm *o, float complex *in, float complex *out, int sign)
{
	return fftwf_plan_dft_1d((int)o->num.n_fft, in, out, sign, FFTW_ESTIMATE | FFTW_PRESERVE_INPUT);
}

static float complex *alloc_complex(size_t n)
{
	float complex *x = (float complex *)fftwf_alloc_complex(n ? n : 1);
	if (x)
		memset(x, 0, n * sizeof *x);
	return x;
}

static void fill_tables(struct ofdm *o)
{
	const struct numerology *num = &o->num;
	o->scale = (float)(1.0 / sqrt((double)num->n_fft));
	for (size_t k = 0; k < num->n_sc; k++) {
		double cycles = (double)numerology_offset(num, k) * (double)o->backoff / (double)num->n_fft;
		o->turn_back[k] = (float complex)(cexp(I * 2 * M_PI * cycles) * (double)o->scale);
	}
	for (size_t i = 0; i < num->taper; i++)
		o->rise[i] = (float)(0.5 - 0.5 * cos(M_PI * ((double)i + 0.5) / (double)num->taper));
}

struct ofdm *ofdm_create(const struct numerology *num, size_t backoff)
{
	if (backoff + num->taper > num->cp) {
		errno = EINVAL;
		return NULL;
	}
	struct ofdm *o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->num = *num;
	o->backoff = backoff;
	o->bins = alloc_complex(num->n_fft);
	o->spectrum = alloc_complex(num->n_fft);
	o->time = alloc_complex(num->n_fft);
	o->turn_back = alloc_complex(num->n_sc);
	o->tail = alloc_complex(num->taper);
	o->rise = calloc(num->taper + 1, sizeof *o->rise);
	if (!o->bins || !o->spectrum || !o->time || !o->turn_back || !o->tail || !o->rise)
		goto no_memory;
	o->forward = make_plan(o, o->time, o->spectrum, FFTW_FORWARD);
	o->inverse = make_plan(o, o->bins, o->time, FFTW_BACKWARD);
	if (!o->forward || !o->inverse)
		goto no_memory;
	fill_tables(o);
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
	free(o->rise);
	fftwf_free(o->tail);
	fftwf_free(o->turn_back);
	fftwf_free(o->time);
	fftwf_free(o->spectrum);
	fftwf_free(o->bins);
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

/* Over the first samples of a prefix: the symbol before out, the new one in; and how that one will go out. */
static void cross_fade(struct ofdm *o, float complex *restrict prefix)
{
	for (size_t i = 0; i < o->num.taper; i++) {
		prefix[i] = o->rise[i] * prefix[i] + o->tail[i];
		o->tail[i] = (1 - o->rise[i]) * o->time[i];
	}
}

void ofdm_modulate(struct ofdm *o, const float complex *grid, float complex *samples)
{
	const struct numerology *num = &o->num;
	size_t n_fft = num->n_fft, half = num->n_sc / 2;
	for (size_t l = 0; l < num->n_symbols; l++) {
		size_t cp = l ? num->cp : num->cp_first;
		scaled(o->bins + 1, grid + half, o->scale, half);
		scaled(o->bins + n_fft - half, grid, o->scale, half);
		fftwf_execute(o->inverse);
		memcpy(samples, o->time + n_fft - cp, cp * sizeof *samples);
		memcpy(samples + cp, o->time, n_fft * sizeof *samples);
		cross_fade(o, samples);
		grid += num->n_sc;
		samples += cp + n_fft;
	}
	o->has_tail = false;
	for (size_t i = 0; i < num->taper; i++)
		o->has_tail |= o->tail[i] != 0;
}

bool ofdm_silence(struct ofdm *o, float complex *samples)
{
	bool had = o->has_tail;
	memset(samples, 0, o->num.slot_len * sizeof *samples);
	if (had)
		memcpy(samples, o->tail, o->num.taper * sizeof *samples);
	ofdm_reset(o);
	return had;
}

void ofdm_reset(struct ofdm *o)
{
	memset(o->tail, 0, o->num.taper * sizeof *o->tail);
	o->has_tail = false;
}

void ofdm_demodulate(struct ofdm *o, const float complex *samples, float complex *grid)
{
	const struct numerology *num = &o->num;
	size_t n_fft = num->n_fft, half = num->n_sc / 2;
	for (size_t l = 0; l < num->n_symbols; l++) {
		memcpy(o->time, samples + numerology_symbol_body(num, l) - o->backoff, n_fft * sizeof *samples);
		fftwf_execute(o->forward);
		multiplied(grid, o->spectrum + n_fft - half, o->turn_back, half);
		multiplied(grid + half, o->spectrum + 1, o->turn_back + half, half);
		grid += num->n_sc;
	}
}
