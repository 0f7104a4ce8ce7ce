#include "phy/acquire.h"

#include "phy/acquire_fit.h"
#include "phy/finite.h"
#include "phy/measure.h"
#include "phy/sequence.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	FFT_PER_SYMBOL = 4, /* overlap-save block in symbols: each yields 3/4 of it and one candidates */
	BINS_PER_HYPOTHESIS = FFT_PER_SYMBOL / 2,
	SIDE_MAX = 32, /* hypotheses on either side of 0 */
	N_HYPOTHESES_MAX = 2 * SIDE_MAX + 1,
	MEMORY_PERIODS = 16, /* beyond, a period's weight is below 1 % */
	CHECKS = 4,          /* a period */
	BAND_MARGIN_SC = 2,  /* of the sync signal, on either side: DC and a hypothesis' error */
};

static const float forget = 0.75f;         /* weight of the periods before, each period */
static const double subcarrier_step = 0.5; /* from hypothesis to hypothesis */
/* However many periods are added: what is not noise but the same in every period, like pilots, does not average out. Its
 * coefficients have a mean of 1 / sync_len, and so the least one that counts is this many times more. */
static const double least_mean = 10;
static const double oversampling = 1.5; /* least, of candidates over the sync band: at most 1.7 dB lost between two */

struct acquire {
	struct numerology num;
	struct acquire_config config;
	size_t period;       /* samples from sync slot to sync slot */
	size_t step;         /* samples from candidate to candidate */
	size_t n_candidates; /* a period */
	size_t n_lags;       /* candidates a block */
	int n_side;          /* hypotheses -n_side .. n_side */
	size_t n_hypotheses;
	size_t fft_len, short_len;      /* a block: samples, candidates */
	int half_band;                  /* bins on either side of DC that hypotheses look at */
	int half_replica;               /* the same, shifted by a hypothesis */
	float complex *replica;         /* 2 half_replica + 1: conjugate spectrum of the symbol, from its lowest bin */
	float complex *band;            /* 2 half_band + 1: of the block's spectrum */
	double drift[N_HYPOTHESES_MAX]; /* samples that slots come late by, a period */

	float complex *block, *spectrum; /* fft_len */
	float complex *product, *output; /* short_len */
	float *inverse_energy;           /* n_lags */
	fftwf_plan forward, inverse;     /* block -> spectrum, product -> output */

	float threshold[MEMORY_PERIODS];    /* for 1, 2, .. periods added */
	float *statistic[N_HYPOTHESES_MAX]; /* n_candidates, circular: weighted sums of the coefficients */

	float complex *history; /* the last samples, history_len at most, kept to the last `keep` */
	size_t history_len, keep, filled;
	uint64_t t_history; /* time of history[0] */
	uint64_t t_first;
	uint64_t t_next;    /* time of the next candidate */
	uint64_t t_period;  /* time of the first candidate of this period */
	uint64_t t_check;   /* time of the first candidate after the next check */
	unsigned n_periods; /* completed since reset */
	float best;         /* largest statistic since the last check */
	int best_hypothesis;
	uint64_t t_best;
	float period_best, last_best; /* the same of this period, of the period before */

	struct acquire_fit *fit;
	bool locked;
	struct acquired result;
};

struct acquire_config acquire_config_default(const struct numerology *num)
{
	return (struct acquire_config){ .cfo_range_hz = 2.5 * num->scs_hz, .false_alarm = 5e-6 };
}

/* ---- thresholds ---- */

static double sum_of_weights(unsigned n)
{
	return (1 - pow((double)forget, n)) / (1 - (double)forget);
}

/* Probability that sum w_i e_i exceeds x, e_i exponential of mean 1, w_i = forget^i, i < n: sum_i exp(-x / w_i)
 * prod_{j != i} w_i / (w_i - w_j) (Feller, vol. II, section I.13). For tails: near 0 the terms cancel. */
static double sum_exceeds(unsigned n, double x)
{
	double tail = 0;
	for (unsigned i = 0; i < n; i++) {
		double term = exp(-x / pow((double)forget, i));
		for (unsigned j = 0; j < n; j++)
			if (j != i)
				term /= 1 - pow((double)forget, (double)j - (double)i);
		tail += term;
	}
	return fmin(fmax(tail, 0), 1);
}

/* Probability that n periods of noise add up to more than x. A coefficient of noise follows Beta(1, sync_len - 1), whose
 * tail is below that of an exponential of mean 1 / sync_len; a single one is taken as it is. */
static double noise_exceeds(const struct acquire *a, unsigned n, double x)
{
	double len = (double)a->num.sync_len;
	return n == 1 ? pow(fmax(1 - x, 0), len - 1) : sum_exceeds(n, len * x);
}

static void make_thresholds(struct acquire *a)
{
	double p = a->config.false_alarm / (double)(a->n_candidates * a->n_hypotheses);
	for (unsigned n = 1; n <= MEMORY_PERIODS; n++) {
		double low = 0, high = 5; /* sums of weights are below 4 */
		while (high - low > 1e-6) {
			double mid = 0.5 * (low + high);
			if (noise_exceeds(a, n, mid) > p)
				low = mid;
			else
				high = mid;
		}
		a->threshold[n - 1] = (float)fmax(high, least_mean / (double)a->num.sync_len * sum_of_weights(n));
	}
}

static float threshold_after(const struct acquire *a, unsigned n_periods)
{
	return a->threshold[(n_periods < MEMORY_PERIODS ? n_periods : MEMORY_PERIODS) - 1];
}

/* ---- creation ---- */

/* Subcarriers from DC to the edge of what any hypothesis looks at. */
static double half_band_sc(const struct acquire *a)
{
	return (double)(a->num.sync_len / 2 + BAND_MARGIN_SC) + a->n_side * subcarrier_step;
}

/* The largest step that leaves enough candidates a symbol and goes into symbol and period. */
static size_t choose_step(const struct acquire *a)
{
	double least = fmax(oversampling * (double)(a->num.sync_len + 1), 2 * half_band_sc(a) + 1);
	size_t step = (size_t)((double)a->num.n_fft / least);
	while (step > 1 && (a->num.n_fft % step || a->period % step))
		step--;
	return step;
}

static bool set_sizes(struct acquire *a)
{
	const struct numerology *num = &a->num;
	const struct acquire_config *c = &a->config;
	double sides = c->cfo_range_hz / num->scs_hz / subcarrier_step;
	if (!(sides >= 0 && sides <= SIDE_MAX && c->false_alarm > 0 && c->false_alarm < 1 && c->dl_hz >= 0))
		return false;
	a->n_side = (int)ceil(sides - 1e-9);
	a->n_hypotheses = 2 * (size_t)a->n_side + 1;
	a->period = SYNC_PERIOD_SLOTS * num->slot_len;
	if (2 * half_band_sc(a) + 1 > (double)num->n_fft)
		return false;
	a->step = choose_step(a);
	a->n_candidates = a->period / a->step;
	a->fft_len = FFT_PER_SYMBOL * num->n_fft;
	a->short_len = a->fft_len / a->step;
	a->n_lags = (a->fft_len - num->n_fft) / a->step + 1;
	a->half_band = (int)(FFT_PER_SYMBOL * half_band_sc(a));
	a->half_replica = a->half_band + a->n_side * BINS_PER_HYPOTHESIS;
	for (int h = -a->n_side; h <= a->n_side; h++)
		if (c->dl_hz > 0)
			a->drift[h + a->n_side] = -(double)a->period * h * subcarrier_step * num->scs_hz / c->dl_hz;
	/* the winner of a period, with a slot and a bit before and after it */
	a->keep = a->period + 2 * num->slot_len + a->fft_len + 2 * num->n_fft;
	a->history_len = 2 * a->keep;
	return true;
}

static fftwf_plan plan(size_t n, float complex *in, float complex *out, int sign)
{
	return fftwf_plan_dft_1d((int)n, in, out, sign, FFTW_ESTIMATE);
}

static bool allocate(struct acquire *a, uint32_t cell_id)
{
	bool ok = true;
	for (size_t h = 0; h < a->n_hypotheses; h++)
		ok &= (a->statistic[h] = fftwf_alloc_real(a->n_candidates)) != NULL;
	ok &= (a->replica = (float complex *)fftwf_alloc_complex(2 * (size_t)a->half_replica + 1)) != NULL;
	ok &= (a->band = (float complex *)fftwf_alloc_complex(2 * (size_t)a->half_band + 1)) != NULL;
	ok &= (a->block = (float complex *)fftwf_alloc_complex(a->fft_len)) != NULL;
	ok &= (a->spectrum = (float complex *)fftwf_alloc_complex(a->fft_len)) != NULL;
	ok &= (a->product = (float complex *)fftwf_alloc_complex(a->short_len)) != NULL;
	ok &= (a->output = (float complex *)fftwf_alloc_complex(a->short_len)) != NULL;
	ok &= (a->inverse_energy = fftwf_alloc_real(a->n_lags)) != NULL;
	ok &= (a->history = (float complex *)fftwf_alloc_complex(a->history_len)) != NULL;
	ok &= (a->fit = acquire_fit_create(&a->num, cell_id)) != NULL;
	if (!ok)
		return false;
	a->forward = plan(a->fft_len, a->block, a->spectrum, FFTW_FORWARD);
	a->inverse = plan(a->short_len, a->product, a->output, FFTW_BACKWARD);
	return a->forward && a->inverse;
}

/* A bin, negative below DC, of a spectrum of n, which goes round. */
static size_t bin_index(int bin, size_t n)
{
	return (size_t)(bin + (bin < 0 ? (int)n : 0)) % n;
}

/* The symbol on the candidates' grid, energy 1: nothing outside its n_fft / step candidates, so that no coefficient can
 * exceed 1 whatever is received. */
static void make_replica(struct acquire *a, uint32_t cell_id)
{
	const struct numerology *num = &a->num;
	size_t n = num->n_fft / a->step;
	float sync[SYNC_LEN_MAX], amplitude = 1 / sqrtf((float)num->sync_len * (float)n);
	sequence_sync(num, cell_id, sync);
	memset(a->product, 0, a->short_len * sizeof *a->product);
	for (size_t i = 0; i < num->sync_len; i++) {
		int offset = numerology_offset(num, sync_first_sc(num) + i);
		double complex turn = 1, advance = cexp(-I * 2 * M_PI * offset / (double)n);
		for (size_t t = 0; t < n; t++, turn *= advance)
			a->product[t] += amplitude * sync[i] * (float complex)turn;
	}
	fftwf_execute(a->inverse); /* of the conjugate: the conjugate of the spectrum */
	for (int b = -a->half_replica; b <= a->half_replica; b++)
		a->replica[b + a->half_replica] = a->output[bin_index(b, a->short_len)];
}

struct acquire *acquire_create(const struct numerology *num, uint32_t cell_id, const struct acquire_config *config)
{
	struct acquire *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->num = *num;
	a->config = config ? *config : acquire_config_default(num);
	if (cell_id > CELL_ID_MAX || !set_sizes(a)) {
		free(a);
		errno = EINVAL;
		return NULL;
	}
	if (!allocate(a, cell_id)) {
		acquire_destroy(a);
		errno = ENOMEM;
		return NULL;
	}
	make_replica(a, cell_id);
	make_thresholds(a);
	memset(a->product, 0, a->short_len * sizeof *a->product); /* outside the band it stays so */
	acquire_reset(a, 0);
	return a;
}

void acquire_destroy(struct acquire *a)
{
	if (!a)
		return;
	if (a->inverse)
		fftwf_destroy_plan(a->inverse);
	if (a->forward)
		fftwf_destroy_plan(a->forward);
	acquire_fit_destroy(a->fit);
	fftwf_free(a->history);
	fftwf_free(a->inverse_energy);
	fftwf_free(a->output);
	fftwf_free(a->product);
	fftwf_free(a->spectrum);
	fftwf_free(a->block);
	fftwf_free(a->band);
	fftwf_free(a->replica);
	for (size_t h = 0; h < a->n_hypotheses; h++)
		fftwf_free(a->statistic[h]);
	free(a);
}

void acquire_reset(struct acquire *a, uint64_t t_first)
{
	for (size_t h = 0; h < a->n_hypotheses; h++)
		memset(a->statistic[h], 0, a->n_candidates * sizeof *a->statistic[h]);
	a->filled = 0;
	a->t_history = t_first;
	a->t_first = t_first;
	a->t_next = t_first + numerology_symbol_body(&a->num, a->num.format->sync) + 2 * a->num.cp; /* after its slot */
	a->n_periods = 0;
	a->last_best = 0;
	a->locked = false;
	a->t_period = a->t_next;
	a->t_check = a->t_next + a->period; /* first a whole one */
	a->best = a->period_best = 0;
}

const struct acquired *acquire_result(const struct acquire *a)
{
	return a->locked ? &a->result : NULL;
}

struct acquire_progress acquire_progress(const struct acquire *a)
{
	struct acquire_progress p = { .n_periods = a->n_periods, .n_candidates = a->n_candidates * a->n_hypotheses };
	if (!a->n_periods)
		return p;
	unsigned n = a->n_periods < MEMORY_PERIODS ? a->n_periods : MEMORY_PERIODS;
	float weights = (float)sum_of_weights(a->n_periods);
	p.metric = a->last_best / weights;
	p.threshold = threshold_after(a, a->n_periods) / weights;
	p.false_alarm = (double)p.n_candidates * noise_exceeds(a, n, (double)a->last_best);
	return p;
}

/* ---- searching: one block of candidates ---- */

static void multiply(float complex *restrict out, const float complex *restrict x, const float complex *restrict y,
                     size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = x[i] * y[i];
}

/* a->band = the block's spectrum in the band of all hypotheses, from its lowest bin. */
static void take_band(struct acquire *a)
{
	float scale = 1 / (float)a->fft_len;
	for (int b = -a->half_band; b <= a->half_band; b++)
		a->band[b + a->half_band] = scale * a->spectrum[bin_index(b, a->fft_len)];
}

/* Spectra below DC stand at the end of what is transformed. x, y: from the lowest bin of the band; y NULL: ones. */
static void transform_back(struct acquire *a, const float complex *x, const float complex *y)
{
	size_t below = (size_t)a->half_band;
	float complex *low = a->product + a->short_len - below;
	if (y) {
		multiply(low, x, y, below);
		multiply(a->product, x + below, y + below, below + 1);
	} else {
		memcpy(low, x, below * sizeof *x);
		memcpy(a->product, x + below, (below + 1) * sizeof *x);
	}
	fftwf_execute(a->inverse);
}

/* inverse_energy[i] = 1 / energy in band of a symbol from candidate i on. */
static void measure_energy(struct acquire *a)
{
	size_t n = a->num.n_fft / a->step;
	transform_back(a, a->band, NULL);
	double energy = 0; /* double: adding and taking away must not leave a rest */
	for (size_t i = 0; i < n; i++)
		energy += (double)power_of(a->output[i]);
	for (size_t i = 0; i < a->n_lags; i++) {
		a->inverse_energy[i] = energy > 1e-30 ? (float)(1 / energy) : 0;
		if (i + n < a->short_len)
			energy += (double)power_of(a->output[i + n]) - (double)power_of(a->output[i]);
	}
}

/* a->output = correlation with the symbol shifted by hypothesis h. */
static void correlate(struct acquire *a, int h)
{
	transform_back(a, a->band, a->replica + (a->half_replica - a->half_band - h * BINS_PER_HYPOTHESIS));
}

/* statistic[i] = forget * statistic[i] + the coefficient of candidate i. Returns the largest. */
static float add_up(float *restrict statistic, const float complex *restrict correlation,
                    const float *restrict inverse_energy, size_t n)
{
	float best = 0;
#pragma omp simd reduction(max : best)
	for (size_t i = 0; i < n; i++) {
		float sum = forget * statistic[i] + power_of(correlation[i]) * inverse_energy[i];
		statistic[i] = sum;
		best = sum > best ? sum : best;
	}
	return best;
}

/* Adds the coefficients of the block's candidates from .. from + n - 1 to a hypothesis' statistic, at `at` and on, and
 * keeps the best. */
static void add_coefficients(struct acquire *a, int h, size_t from, size_t n, size_t at)
{
	float *statistic = a->statistic[h + a->n_side] + at;
	float best = add_up(statistic, a->output + from, a->inverse_energy + from, n);
	if (best <= a->best)
		return;
	size_t i = 0;
	while (statistic[i] < best)
		i++;
	a->best = best;
	a->best_hypothesis = h;
	a->t_best = a->t_next + (from + i) * a->step;
}

/* Where in a hypothesis' statistic the next candidate goes: what has drifted to a later candidate since the reset still
 * adds to its first place. */
static size_t place_of_next(const struct acquire *a, int h)
{
	long drifted = lround(a->n_periods * a->drift[h + a->n_side] / (double)a->step), n = (long)a->n_candidates;
	long at = ((long)((a->t_next - a->t_period) / a->step) - drifted) % n;
	return (size_t)(at < 0 ? at + n : at);
}

/* Searches the candidates of one block, no further than to the next check. */
static void search_block(struct acquire *a)
{
	size_t left = (size_t)(a->t_check - a->t_next) / a->step;
	size_t n = left < a->n_lags ? left : a->n_lags;
	memcpy(a->block, a->history + (a->t_next - a->t_history), a->fft_len * sizeof *a->block);
	fftwf_execute(a->forward);
	take_band(a);
	measure_energy(a);
	for (int h = -a->n_side; h <= a->n_side; h++) {
		size_t at = place_of_next(a, h), first = a->n_candidates - at;
		if (first > n)
			first = n;
		correlate(a, h);
		add_coefficients(a, h, 0, first, at);
		add_coefficients(a, h, first, n - first, 0);
	}
	a->t_next += n * a->step;
}

/* ---- locking ---- */

/* What may be looked at: a period and a slot on either side, the same however the samples were cut into blocks. */
static void lock(struct acquire *a, unsigned n_periods, float threshold)
{
	const struct numerology *num = &a->num;
	double scs = num->scs_hz, offset_sc = a->best_hypothesis * subcarrier_step;
	uint64_t before = a->period + num->slot_len + num->n_fft;
	uint64_t t_begin = a->t_next - a->t_first > before ? a->t_next - before : a->t_first;
	struct acquire_stretch stretch = {
		.x = a->history + (t_begin - a->t_history),
		.n = (size_t)(a->t_next - t_begin) + a->fft_len + num->slot_len,
		.sync_body = (size_t)(a->t_best - t_begin),
		.offset_sc = offset_sc,
		.drift = a->config.dl_hz > 0 ? -offset_sc * scs / a->config.dl_hz : 0,
	};
	struct acquire_fit_result fit;
	acquire_fit_run(a->fit, &stretch, &fit);
	double whole = round(fit.delay_samples);
	uint64_t start = a->t_best - numerology_symbol_body(num, num->format->sync) + (uint64_t)(int64_t)whole;
	float weights = (float)sum_of_weights(n_periods);
	a->result = (struct acquired){
		.slot_start = start,
		.fraction = (float)(fit.delay_samples - whole),
		.cfo_hz = (float)(fit.offset_sc * scs),
		.metric = a->best / weights,
		.threshold = threshold / weights,
		.snr_db = snr_db_of((float)fit.snr, 1),
		.n_periods = n_periods,
	};
	a->locked = true;
}

/* Is what passed the threshold the best of all? Pilots repeat every slot and would win a race with the sync symbol, but
 * not a comparison. */
static bool is_best_of_all(const struct acquire *a)
{
	for (size_t h = 0; h < a->n_hypotheses; h++)
		for (size_t i = 0; i < a->n_candidates; i++)
			if (a->statistic[h][i] > a->best)
				return false;
	return true;
}

/* Every so often the best candidate since the last check is judged. */
static void check(struct acquire *a)
{
	unsigned n = a->n_periods + 1; /* what was added to it */
	float threshold = threshold_after(a, n);
	bool ends = a->t_next == a->t_period + a->period;
	if (a->best > a->period_best)
		a->period_best = a->best;
	if (ends) {
		a->n_periods = n;
		a->last_best = a->period_best;
		a->period_best = 0;
	}
	if (a->best > threshold && is_best_of_all(a))
		lock(a, n, threshold);
	if (ends)
		a->t_period = a->t_next;
	a->t_check = a->t_next + a->period / CHECKS / a->step * a->step;
	if (a->t_check > a->t_period + a->period || a->t_period + a->period - a->t_check < a->period / CHECKS)
		a->t_check = a->t_period + a->period;
	a->best = 0;
}

/* Appends up to n samples to the history, dropping old ones when it is full; what cannot be calculated with (finite.h)
 * counts as silence. Returns how many. */
static size_t append(struct acquire *a, const float complex *samples, size_t n)
{
	if (a->filled == a->history_len) {
		size_t drop = a->filled - a->keep;
		memmove(a->history, a->history + drop, a->keep * sizeof *a->history);
		a->filled = a->keep;
		a->t_history += drop;
	}
	size_t room = a->history_len - a->filled;
	if (n > room)
		n = room;
	float complex *to = a->history + a->filled;
	for (size_t i = 0; i < n; i++) {
		bool sane = fabsf(crealf(samples[i])) < SAMPLE_LIMIT &&
		            fabsf(cimagf(samples[i])) < SAMPLE_LIMIT; /* NaN is not */
		to[i] = sane ? samples[i] : 0;
	}
	a->filled += n;
	return n;
}

bool acquire_feed(struct acquire *a, const float complex *samples, size_t n)
{
	while (n && !a->locked) {
		size_t taken = append(a, samples, n);
		samples += taken;
		n -= taken;
		/* locking looks a slot ahead */
		while (!a->locked && a->t_next + a->fft_len + a->num.slot_len <= a->t_history + a->filled) {
			search_block(a);
			if (a->t_next == a->t_check)
				check(a);
		}
	}
	return a->locked;
}
