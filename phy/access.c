#include "phy/access.h"

#include "phy/gold.h"
#include "phy/sequence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	RE_MAX = ACCESS_SYMBOLS_MAX * ACCESS_SC,
	BASIS_MAX = 24, /* dimensions of what channels inside the window can make: about 72 * cp / n_fft, and a few */
};

/* Noise gives a sum over 11 symbols of 72 * Beta(1, 71) variables, whose tail is below that of Gamma(11, 1). One delay
 * passes this with probability 3e-7, the largest of a window with 4e-6 (measured: tests/phy/test_access.c). */
static const float threshold = 36;

struct access_detector {
	struct numerology num;
	size_t n_delays;        /* -backoff .. cp - backoff  */
	float complex *tone;    /* ACCESS_SC rows of n_delays: what undoes that delay on that subcarrier */
	float *profile;         /* n_delays: statistic of each delay */
	float complex *match;   /* n_delays: scratch */
	size_t n_symbols, n_re; /* of a preamble */
	size_t n_basis;
	float complex basis[BASIS_MAX][ACCESS_SC]; /* orthonormal; spans what paths inside the window can make */
	float complex sequence[PHY_DEVICES_MAX][RE_MAX];
	float complex received[RE_MAX]; /* the slot's RE, less the devices found so far */
	float complex turned[RE_MAX];   /* the same, turned back by a candidate's sequence */
};

void access_write(const struct numerology *num, uint32_t cell_id, unsigned device, float amplitude, float complex *grid)
{
	float complex sequence[RE_MAX];
	gold_qpsk(sequence_seed(SEQUENCE_ACCESS, cell_id, device), sequence, RE_MAX);
	for (size_t l = 0; l < num->format->n_ul_data; l++)
		for (size_t k = 0; k < ACCESS_SC; k++)
			grid[l * num->n_sc + k] = amplitude * sequence[l * ACCESS_SC + k];
}

static double delay_of(const struct access_detector *d, double step)
{
	return step - (double)numerology_backoff(&d->num);
}

static float complex inner(const float complex *a, const float complex *b, size_t n)
{
	float complex sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += conjf(a[i]) * b[i];
	return sum;
}

static float energy(const float complex *x, size_t n)
{
	return crealf(inner(x, x, n));
}

/* Takes the part of x away that the basis spans. */
static void reject(const struct access_detector *d, float complex *x)
{
	for (size_t b = 0; b < d->n_basis; b++) {
		float complex part = inner(d->basis[b], x, ACCESS_SC);
		for (size_t k = 0; k < ACCESS_SC; k++)
			x[k] -= part * d->basis[b][k];
	}
}

/* Gram-Schmidt over paths on the delays of the window, each time the one least spanned so far, until all are to -30 dB.
 */
static void make_basis(struct access_detector *d)
{
	while (d->n_basis < BASIS_MAX) {
		float complex worst[ACCESS_SC] = { 0 };
		float left = 1e-3f * ACCESS_SC;
		for (size_t i = 0; i < d->n_delays; i++) {
			float complex x[ACCESS_SC];
			for (size_t k = 0; k < ACCESS_SC; k++)
				x[k] = conjf(d->tone[k * d->n_delays + i]);
			reject(d, x);
			reject(d, x); /* twice: orthogonal to rounding */
			float e = energy(x, ACCESS_SC);
			if (e <= left)
				continue;
			left = e;
			memcpy(worst, x, sizeof worst);
		}
		if (left <= 1e-3f * ACCESS_SC)
			break;
		for (size_t k = 0; k < ACCESS_SC; k++)
			d->basis[d->n_basis][k] = worst[k] / sqrtf(left);
		d->n_basis++;
	}
}

struct access_detector *access_detector_create(const struct numerology *num, uint32_t cell_id)
{
	if (cell_id > CELL_ID_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct access_detector *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->num = *num;
	d->n_delays = num->cp + 1;
	d->n_symbols = num->format->n_ul_data;
	d->n_re = d->n_symbols * ACCESS_SC;
	d->tone = malloc(ACCESS_SC * d->n_delays * sizeof *d->tone);
	d->profile = malloc(d->n_delays * sizeof *d->profile);
	d->match = malloc(d->n_delays * sizeof *d->match);
	if (!d->tone || !d->profile || !d->match) {
		access_detector_destroy(d);
		errno = ENOMEM;
		return NULL;
	}
	for (size_t k = 0; k < ACCESS_SC; k++)
		for (size_t i = 0; i < d->n_delays; i++)
			d->tone[k * d->n_delays + i] = (float complex)cexp(I * 2 * M_PI * numerology_offset(num, k) *
			                                                   delay_of(d, (double)i) / (double)num->n_fft);
	make_basis(d);
	for (unsigned device = 0; device < PHY_DEVICES_MAX; device++)
		gold_qpsk(sequence_seed(SEQUENCE_ACCESS, cell_id, device), d->sequence[device], RE_MAX);
	return d;
}

void access_detector_destroy(struct access_detector *d)
{
	if (!d)
		return;
	free(d->match);
	free(d->profile);
	free(d->tone);
	free(d);
}

static void turn_back(struct access_detector *d, unsigned device)
{
	const float complex *sequence = d->sequence[device];
	for (size_t i = 0; i < d->n_re; i++)
		d->turned[i] = d->received[i] * conjf(sequence[i]);
}

/* The statistic of the best delay, over d->turned; *step: which, between the grid's points. */
static float best_delay(struct access_detector *d, double *step)
{
	size_t n = d->n_delays;
	float *restrict profile = d->profile;
	memset(profile, 0, n * sizeof *profile);
	for (size_t l = 0; l < d->n_symbols; l++) {
		const float complex *x = d->turned + l * ACCESS_SC;
		float complex *restrict match = d->match;
		memset(match, 0, n * sizeof *match);
		for (size_t k = 0; k < ACCESS_SC; k++) {
			const float complex *tone = d->tone + k * n;
			for (size_t i = 0; i < n; i++)
				match[i] += x[k] * tone[i];
		}
		float e = energy(x, ACCESS_SC);
		float scale = e > 0 ? 1 / e : 0;
		for (size_t i = 0; i < n; i++)
			profile[i] +=
			        scale * (crealf(match[i]) * crealf(match[i]) + cimagf(match[i]) * cimagf(match[i]));
	}
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		if (profile[i] > profile[best])
			best = i;
	*step = (double)best;
	if (best > 0 && best + 1 < n) { /* parabola through three points */
		double left = profile[best - 1], mid = profile[best], right = profile[best + 1];
		double curve = left - 2 * mid + right;
		if (curve < 0)
			*step += 0.5 * (left - right) / curve;
	}
	return profile[best];
}

/* Fills in power and SNR of the device whose sequence d->turned was turned back by, and takes it out of d->received.
 * Each device found before took a share of this one's RE with it, at random phases: n_before of them. */
static void measure_and_cancel(struct access_detector *d, struct access_found *found, size_t n_before)
{
	const float complex *sequence = d->sequence[found->device];
	float all = energy(d->turned, d->n_re);
	for (size_t l = 0; l < d->n_symbols; l++)
		reject(d, d->turned + l * ACCESS_SC);
	float rest = energy(d->turned, d->n_re);
	float spanned = (float)d->n_basis / ACCESS_SC; /* share of the noise that went with the signal */
	float noise = fmaxf(rest / (1 - spanned), 1e-7f * all) / (float)d->n_re;
	float kept = powf(1 - spanned, 2 * (float)n_before);
	found->power = fmaxf((all - rest) / (float)d->n_re - spanned * noise, 1e-7f * all / (float)d->n_re) / kept;
	found->snr_db = 10 * log10f(found->power / noise);
	for (size_t i = 0; i < d->n_re; i++)
		d->received[i] = d->turned[i] * sequence[i];
}

size_t access_detect(struct access_detector *d, const float complex *grid, uint32_t candidates,
                     struct access_found *found)
{
	for (size_t l = 0; l < d->n_symbols; l++)
		memcpy(d->received + l * ACCESS_SC, grid + l * d->num.n_sc, ACCESS_SC * sizeof *grid);
	size_t n_found = 0;
	candidates &= (UINT32_C(1) << PHY_DEVICES_MAX) - 1;
	while (candidates) {
		float best = threshold;
		struct access_found *next = NULL;
		for (unsigned device = 0; device < PHY_DEVICES_MAX; device++) {
			if (!(candidates >> device & 1))
				continue;
			double step;
			turn_back(d, device);
			float statistic = best_delay(d, &step);
			if (statistic < best)
				continue;
			best = statistic;
			next = &found[n_found];
			*next = (struct access_found){ .device = device, .delay_samples = (float)delay_of(d, step) };
		}
		if (!next)
			break;
		turn_back(d, next->device);
		measure_and_cancel(d, next, n_found);
		candidates &= ~(UINT32_C(1) << next->device);
		n_found++;
	}
	return n_found;
}
