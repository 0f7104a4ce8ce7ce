#include "phy/spectrum.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS_MIN = 64, BINS_MAX = 1 << 16 };

struct spectrum {
	size_t n, filled, n_blocks;
	float *window;          /* n, mean square 1 / n */
	float complex *waiting; /* n: samples of the block that is filling */
	float complex *in, *out;
	fftwf_plan plan;
	double power[]; /* n: sum over blocks */
};

static void fill_window(struct spectrum *s)
{
	static const double a[] = { 0.35875, -0.48829, 0.14128, -0.01168 };
	double square = 0;
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < s->n; i++) {
			double w = 0;
			for (int term = 0; term < 4; term++)
				w += a[term] * cos(2 * M_PI * term * (double)i / (double)s->n);
			if (pass == 0)
				square += w * w;
			else
				s->window[i] = (float)(w / sqrt(square * (double)s->n));
		}
}

struct spectrum *spectrum_create(size_t n)
{
	if (n < BINS_MIN || n > BINS_MAX || n % 2) {
		errno = EINVAL;
		return NULL;
	}
	struct spectrum *s = calloc(1, sizeof *s + n * sizeof s->power[0]);
	if (!s)
		return NULL;
	s->n = n;
	s->window = malloc(n * sizeof *s->window);
	s->waiting = malloc(n * sizeof *s->waiting);
	s->in = (float complex *)fftwf_alloc_complex(n);
	s->out = (float complex *)fftwf_alloc_complex(n);
	if (s->window && s->waiting && s->in && s->out)
		s->plan = fftwf_plan_dft_1d((int)n, s->in, s->out, FFTW_FORWARD, FFTW_ESTIMATE);
	if (!s->plan) {
		spectrum_destroy(s);
		errno = ENOMEM;
		return NULL;
	}
	fill_window(s);
	return s;
}

void spectrum_destroy(struct spectrum *s)
{
	if (!s)
		return;
	if (s->plan)
		fftwf_destroy_plan(s->plan);
	fftwf_free(s->out);
	fftwf_free(s->in);
	free(s->waiting);
	free(s->window);
	free(s);
}

static void take_block(struct spectrum *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->in[i] = s->window[i] * s->waiting[i];
	fftwf_execute(s->plan);
	for (size_t i = 0; i < s->n; i++)
		s->power[i] += (double)(crealf(s->out[i]) * crealf(s->out[i]) + cimagf(s->out[i]) * cimagf(s->out[i]));
	s->n_blocks++;
	s->filled = s->n / 2;
	memmove(s->waiting, s->waiting + s->n - s->filled, s->filled * sizeof *s->waiting);
}

void spectrum_feed(struct spectrum *s, const float complex *x, size_t n)
{
	while (n) {
		size_t count = n < s->n - s->filled ? n : s->n - s->filled;
		memcpy(s->waiting + s->filled, x, count * sizeof *x);
		s->filled += count;
		x += count;
		n -= count;
		if (s->filled == s->n)
			take_block(s);
	}
}

double spectrum_bin(const struct spectrum *s, size_t i)
{
	return s->n_blocks ? s->power[i] / (double)s->n_blocks : 0;
}

/* Bin b, negative too, covers b - 1/2 .. b + 1/2. */
double spectrum_band(const struct spectrum *s, double from, double to)
{
	double sum = 0, low = from * (double)s->n, high = to * (double)s->n;
	for (long b = lround(low); b <= lround(high); b++) {
		double share = fmin(high, (double)b + 0.5) - fmax(low, (double)b - 0.5);
		if (share > 0)
			sum += share * spectrum_bin(s, (size_t)(b + (long)s->n) % s->n);
	}
	return sum;
}

double spectrum_adjacent_db(const struct spectrum *s, const struct numerology *num)
{
	double width = (double)(num->n_sc + 1) / 0.9 / (double)num->n_fft;
	double near = 0.5 * width, far = fmin(1.5 * width, 0.5);
	double channel = spectrum_band(s, -fmin(near, 0.5), fmin(near, 0.5)), beside = 0;
	if (near < far)
		beside = fmax(spectrum_band(s, near, far), spectrum_band(s, -far, -near));
	return 10 * log10(fmax(beside, 1e-20 * channel) / channel);
}
