#include "phy/access.h"

#include "phy/gold.h"
#include "phy/measure.h"
#include "phy/sequence.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	RE_MAX = ACCESS_SYMBOLS_MAX * ACCESS_SC,
	OVERSAMPLING = 4, /* points of the delay grid in the time that 72 subcarriers resolve */
	BASIS_MAX =
	        32, /* dimensions of what channels inside the window can make: about 72 * 3/2 cp / n_fft, and a few */
};

static const double usual_false_alarm = 1e-6;

struct access_detector {
	struct numerology num;
	float threshold;
	double step;            /* samples from delay to delay */
	size_t n_delays;        /* -backoff .. access_delay_max */
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

double access_delay_max(const struct numerology *num)
{
	return (double)numerology_clean_prefix(num) + 0.5 * (double)num->cp - (double)numerology_backoff(num);
}

/* Probability that a Gamma(n, 1) variable exceeds x: e^-x sum_{k < n} x^k / k!. */
static double gamma_tail(size_t n, double x)
{
	double term = exp(-x), sum = 0;
	for (size_t k = 0; k < n; k++) {
		sum += term;
		term *= x / (double)(k + 1);
	}
	return sum;
}

/* What noise passes on one of the delays of one of all devices with that probability: a union bound. */
void access_detector_set_false_alarm(struct access_detector *d, double false_alarm)
{
	double p = false_alarm / (double)(d->n_delays * PHY_DEVICES_MAX), low = 0, high = 200;
	while (high - low > 1e-3) {
		double mid = 0.5 * (low + high);
		if (gamma_tail(d->n_symbols, mid) > p)
			low = mid;
		else
			high = mid;
	}
	d->threshold = (float)high;
}

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
	return step * d->step - (double)numerology_backoff(&d->num);
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
	d->step = (double)num->n_fft / (ACCESS_SC * OVERSAMPLING);
	d->n_delays = (size_t)ceil((access_delay_max(num) + (double)numerology_backoff(num)) / d->step) + 1;
	d->n_symbols = num->format->n_ul_data;
	d->n_re = d->n_symbols * ACCESS_SC;
	access_detector_set_false_alarm(d, usual_false_alarm);
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

/* The place of the top of a parabola through three points one apart, from the middle one: -1/2 .. 1/2. */
static double parabola_top(double left, double mid, double right)
{
	double curve = left - 2 * mid + right;
	return curve < 0 ? fmin(fmax(0.5 * (left - right) / curve, -0.5), 0.5) : 0;
}

/* Statistic of each delay of the grid over d->turned into d->profile; returns the largest, *best: which. */
static float search_delays(struct access_detector *d, size_t *best)
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
			profile[i] += scale * power_of(match[i]);
	}
	*best = 0;
	for (size_t i = 1; i < n; i++)
		if (profile[i] > profile[*best])
			*best = i;
	return profile[*best];
}

/* Power of d->turned matched to a delay of any fraction. */
static double power_at(const struct access_detector *d, double delay)
{
	float complex tone[ACCESS_SC];
	for (size_t k = 0; k < ACCESS_SC; k++)
		tone[k] = (float complex)cexp(-I * 2 * M_PI * numerology_offset(&d->num, k) * delay /
		                              (double)d->num.n_fft);
	double sum = 0;
	for (size_t l = 0; l < d->n_symbols; l++)
		sum += (double)power_of(inner(tone, d->turned + l * ACCESS_SC, ACCESS_SC));
	return sum;
}

/* The delay of the grid's best point, refined by parabolas over half and a quarter of its step. */
static double refine_delay(const struct access_detector *d, size_t best)
{
	double delay = delay_of(d, (double)best), least = delay_of(d, 0);
	for (double step = 0.5 * d->step; step > 0.2 * d->step; step *= 0.5)
		delay += step * parabola_top(power_at(d, delay - step), power_at(d, delay), power_at(d, delay + step));
	return fmin(fmax(delay, least), access_delay_max(&d->num));
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
		float strongest = d->threshold;
		size_t delay = 0;
		struct access_found *next = NULL;
		for (unsigned device = 0; device < PHY_DEVICES_MAX; device++) {
			if (!(candidates >> device & 1))
				continue;
			size_t best;
			turn_back(d, device);
			float statistic = search_delays(d, &best);
			if (statistic < strongest)
				continue;
			strongest = statistic;
			delay = best;
			next = &found[n_found];
			*next = (struct access_found){ .device = device };
		}
		if (!next)
			break;
		turn_back(d, next->device);
		next->delay_samples = (float)refine_delay(d, delay);
		measure_and_cancel(d, next, n_found);
		candidates &= ~(UINT32_C(1) << next->device);
		n_found++;
	}
	return n_found;
}
