#include "testbed/selftest.h"

#include <complex.h>
#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "radio/gauss.h"

enum {
	N = 1 << 15,      /* samples of a signal */
	DELAY_MAX = 4096, /* samples */
	TAPS = 32,
	TAPS_BEFORE = 8,   /* of them, ahead of the strongest path */
	SETTLE = 4 * 4096, /* samples after a change, and until a send is sure to come in time */
	CHUNK = 2048,
};

struct selftest {
	struct radio *radio;
	double amplitude;
	uint64_t now;
	float complex *x, *y; /* [N] sent, [N + DELAY_MAX] received from the first sample sent on */
};

struct selftest *selftest_create(struct radio *radio, double amplitude)
{
	struct selftest *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	*s = (struct selftest){ .radio = radio, .amplitude = amplitude };
	s->x = calloc(N, sizeof *s->x);
	s->y = calloc(N + DELAY_MAX, sizeof *s->y);
	if (!s->x || !s->y) {
		selftest_destroy(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

void selftest_destroy(struct selftest *s)
{
	if (!s)
		return;
	free(s->x);
	free(s->y);
	free(s);
}

static double db(double power)
{
	return 10 * log10(power);
}

static double mean_power(const float complex *y, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)(crealf(y[i]) * crealf(y[i]) + cimagf(y[i]) * cimagf(y[i]));
	return sum / (double)n;
}

/* Sends x (or nothing) and fills y. Sends keep SETTLE samples ahead of what is received. */
static int through_the_air(struct selftest *s, bool sends)
{
	static float complex aside[CHUNK];
	uint64_t begin = s->now + 2 * SETTLE, end = begin + N + DELAY_MAX, sent = begin;
	int rc = 0;
	for (uint64_t t = s->now; t < end && !rc; t += CHUNK) {
		size_t n = end - t < CHUNK ? (size_t)(end - t) : CHUNK;
		rc = radio_recv(s->radio, t < begin ? aside : s->y + (t - begin), n, t);
		for (; !rc && sends && sent < begin + N && sent < t + n + 2 * SETTLE; sent += CHUNK)
			rc = radio_send(s->radio, s->x + (sent - begin), CHUNK, sent);
	}
	s->now = end;
	return rc;
}

int selftest_noise(struct selftest *s, double *noise_dbfs)
{
	int rc = through_the_air(s, false);
	*noise_dbfs = db(mean_power(s->y, N));
	return rc;
}

/* Amplitude of the part at k / 8 of the rate; the ends, where the tone begins, are left out. */
static double at_eighth(const float complex *y, int k)
{
	double complex sum = 0;
	for (size_t i = DELAY_MAX; i < N; i++)
		sum += (double complex)y[i] * cexp(-2 * M_PI * I * (double)(i % 8) * k / 8);
	return cabs(sum) / (N - DELAY_MAX);
}

int selftest_tone(struct selftest *s, struct selftest_tone *tone)
{
	for (size_t i = 0; i < N; i++)
		s->x[i] = (float complex)(s->amplitude * cexp(2 * M_PI * I * (double)(i % 8) / 8));
	int rc = through_the_air(s, true);
	*tone = (struct selftest_tone){ .level_dbfs = 2 * db(at_eighth(s->y, 1)),
		                        .image_db = 2 * db(at_eighth(s->y, 7) / at_eighth(s->y, 1)),
		                        .leakage_dbfs = 2 * db(at_eighth(s->y, 0)) };
	return rc;
}

/* Flat over 60 % of the band, phases by counter. */
static int make_wide(struct selftest *s)
{
	fftwf_complex *bins = fftwf_alloc_complex(N);
	fftwf_plan plan = bins ? fftwf_plan_dft_1d(N, bins, bins, FFTW_BACKWARD, FFTW_ESTIMATE) : NULL;
	double scale = s->amplitude / 3 / sqrt(0.6 * N);
	if (!plan) {
		fftwf_free(bins);
		return -ENOMEM;
	}
	for (int k = 0; k < N; k++) {
		uint32_t word[4];
		int f = k < N / 2 ? k : k - N;
		gauss_philox((uint32_t[4]){ (uint32_t)k }, 1, word);
		float complex bin =
		        f && abs(f) < 3 * N / 10 ? cexpf((float)(2 * M_PI * word[0] / 4294967296.0) * I) : 0;
		memcpy(&bins[k], &bin, sizeof bin);
	}
	fftwf_execute(plan);
	for (int i = 0; i < N; i++) {
		float complex v;
		memcpy(&v, &bins[i], sizeof v);
		s->x[i] = (float)scale * v;
	}
	fftwf_destroy_plan(plan);
	fftwf_free(bins);
	return 0;
}

/* Where what was sent comes back strongest. */
static int64_t find_delay(const struct selftest *s, double *share)
{
	int64_t best = 0;
	double most = -1, power = 0;
	enum { LOOK = 4096, FROM = N / 2 };
	for (int64_t d = 0; d < DELAY_MAX - TAPS; d++) {
		float complex sum = 0;
		for (size_t i = FROM; i < FROM + LOOK; i++)
			sum += s->y[i + (size_t)d] * conjf(s->x[i]);
		double here = (double)cabsf(sum);
		if (here > most) {
			most = here;
			best = d;
			power = mean_power(s->y + FROM + d, LOOK);
		}
	}
	*share = most * most / (LOOK * (double)LOOK * power * mean_power(s->x + FROM, LOOK));
	return best;
}

/* LAPACK: Hermitian positive definite, a x = b, both in place. */
void zposv_(const char *uplo, const int *n, const int *nrhs, double complex *a, const int *lda, double complex *b,
            const int *ldb, int *info);

/* Sample i + delay of y is the sum over k of h[k] x[i + TAPS_BEFORE - k]. */
static float complex input(const struct selftest *s, size_t i, int k)
{
	return s->x[i + TAPS_BEFORE - (size_t)k];
}

static int fit(const struct selftest *s, int64_t delay, size_t from, size_t to, double complex h[TAPS])
{
	static double complex a[TAPS * TAPS];
	int n = TAPS, one = 1, info = 0;
	memset(a, 0, sizeof a);
	memset(h, 0, TAPS * sizeof *h);
	for (size_t i = from; i < to; i++)
		for (int k = 0; k < TAPS; k++) {
			double complex conj_k = conj((double complex)input(s, i, k));
			h[k] += conj_k * (double complex)s->y[i + (size_t)delay];
			for (int l = k; l < TAPS; l++)
				a[l * TAPS + k] += conj_k * (double complex)input(s, i, l);
		}
	for (int k = 0; k < TAPS; k++) /* outside of the band anything fits: keep it small */
		a[k * TAPS + k] *= 1 + 1e-7;
	zposv_("U", &n, &one, a, &n, h, &n, &info);
	return info ? -EDOM : 0;
}

int selftest_wide(struct selftest *s, struct selftest_wide *wide)
{
	double complex h[TAPS];
	double share, signal = 0, error = 0;
	struct radio_stats stats;
	int rc = make_wide(s);
	rc = rc ? rc : through_the_air(s, true);
	radio_get_stats(s->radio, &stats);
	*wide = (struct selftest_wide){ .level_dbfs = NAN, .evm_db = NAN, .overloaded = stats.samples_overloaded };
	if (rc)
		return rc;
	wide->delay_samples = find_delay(s, &share);
	if (share < 0.01)
		return -ENOLINK;
	rc = fit(s, wide->delay_samples, 2 * TAPS, N / 2, h);
	for (size_t i = N / 2; i < N - 2 * TAPS && !rc; i++) {
		double complex explained = 0;
		for (int k = 0; k < TAPS; k++)
			explained += h[k] * (double complex)input(s, i, k);
		double complex off = (double complex)s->y[i + (size_t)wide->delay_samples] - explained;
		signal += creal(explained * conj(explained));
		error += creal(off * conj(off));
	}
	wide->level_dbfs = db(signal / (N / 2 - 2 * TAPS));
	wide->evm_db = db(error / signal);
	return rc;
}
