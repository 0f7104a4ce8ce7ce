#include "phy/access.h"

#include "phy/gold.h"
#include "phy/sequence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	N_RE = ACCESS_SYMBOLS * ACCESS_SC,
	STEPS = 2,      /* delays tried a sample */
	BASIS_MAX = 24, /* dimensions of the channels inside the window: about 72 * cp / n_fft, and a few more */
};

/* Noise gives a sum over 11 symbols of 72 * Beta(1, 71) variables, whose tail is below that of Gamma(11, 1). That
 * passes this value with probability 1e-6, and a window holds fewer than ten independent delays: 1e-5 a device and
 * slot. */
static const float threshold = 33.7f;

struct access_detector {
	struct numerology num;
	size_t n_delays;      /* -backoff .. cp - backoff in steps of 1 / STEPS samples */
	float complex *tone;  /* ACCESS_SC rows of n_delays: what undoes that delay on that subcarrier */
	float *profile;       /* n_delays: statistic of each delay */
	float complex *match; /* n_delays: scratch */
	size_t n_basis;
	float complex basis[BASIS_MAX][ACCESS_SC]; /* orthonormal; spans what paths inside the window can make */
	float complex sequence[PHY_DEVICES_MAX][N_RE];
	float complex received[N_RE]; /* the slot's RE, less the devices found so far */
	float complex turned[N_RE];   /* the same, turned back by a candidate's sequence */
};

void access_write(const struct numerology *num, uint32_t cell_id, unsigned device, float amplitude, float complex *grid)
{
	float complex sequence[N_RE];
	gold_qpsk(sequence_seed(SEQUENCE_ACCESS, cell_id, device), sequence, N_RE);
	for (size_t l = 0; l < ACCESS_SYMBOLS; l++)
		for (size_t k = 0; k < ACCESS_SC; k++)
			grid[l * num->n_sc + k] = amplitude * sequence[l * ACCESS_SC + k];
}

static double delay_of(const struct access_detector *d, double step)
{
	return step / STEPS - (double)numerology_backoff(&d->num);
}

/* What a path of this delay does to subcarrier k (sign -1) or undoes it (sign 1). */
static float complex turn(const struct numerology *num, size_t k, double delay, int sign)
{
	return (float complex)cexp(I * (double)sign * 2 * M_PI * numerology_offset(num, k) * delay /
	                           (double)num->n_fft);
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

/* Gram-Schmidt over paths on every delay of the window; those already spanned to -40 dB add nothing. */
static void make_basis(struct access_detector *d)
{
	for (size_t i = 0; i < d->n_delays && d->n_basis < BASIS_MAX; i++) {
		/* from both ends to the middle: the ends are the hardest to make from the others */
		size_t step = i % 2 ? d->n_delays - 1 - i / 2 : i / 2;
		float complex *x = d->basis[d->n_basis];
		for (size_t k = 0; k < ACCESS_SC; k++)
			x[k] = turn(&d->num, k, delay_of(d, (double)step), -1);
		reject(d, x);
		reject(d, x); /* twice: orthogonal to rounding */
		float left = energy(x, ACCESS_SC);
		if (left < 1e-4f * ACCESS_SC)
			continue;
		for (size_t k = 0; k < ACCESS_SC; k++)
			x[k] /= sqrtf(left);
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
	d->n_delays = num->cp * STEPS + 1;
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
			d->tone[k * d->n_delays + i] = turn(num, k, delay_of(d, (double)i), 1);
	make_basis(d);
	for (unsigned device = 0; device < PHY_DEVICES_MAX; device++)
		gold_qpsk(sequence_seed(SEQUENCE_ACCESS, cell_id, device), d->sequence[device], N_RE);
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
	for (size_t i = 0; i < N_RE; i++)
		d->turned[i] = d->received[i] * conjf(sequence[i]);
}

/* The statistic of the best delay, over d->turned; *step: which, between the grid's points. */
static float best_delay(struct access_detector *d, double *step)
{
	size_t n = d->n_delays;
	float *restrict profile = d->profile;
	memset(profile, 0, n * sizeof *profile);
	for (size_t l = 0; l < ACCESS_SYMBOLS; l++) {
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

/* Fills in power and SNR of the device whose sequence d->turned was turned back by, and takes it out of d->received. */
static void measure_and_cancel(struct access_detector *d, struct access_found *found)
{
	const float complex *sequence = d->sequence[found->device];
	float all = energy(d->turned, N_RE);
	for (size_t l = 0; l < ACCESS_SYMBOLS; l++)
		reject(d, d->turned + l * ACCESS_SC);
	float rest = energy(d->turned, N_RE);
	float spanned = (float)d->n_basis / ACCESS_SC; /* share of the noise that went with the signal */
	float noise = fmaxf(rest / (1 - spanned), 1e-7f * all) / N_RE;
	found->power = fmaxf((all - rest) / N_RE - spanned * noise, 1e-7f * all / N_RE);
	found->snr_db = 10 * log10f(found->power / noise);
	for (size_t i = 0; i < N_RE; i++)
		d->received[i] = d->turned[i] * sequence[i];
}

size_t access_detect(struct access_detector *d, const float complex *grid, uint32_t candidates,
                     struct access_found *found)
{
	for (size_t l = 0; l < ACCESS_SYMBOLS; l++)
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
		measure_and_cancel(d, next);
		candidates &= ~(UINT32_C(1) << next->device);
		n_found++;
	}
	return n_found;
}
