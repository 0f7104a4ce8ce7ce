#include "phy/acquire.h"

#include "phy/gold.h"
#include "phy/sequence.h"
#include "phy/track.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	N_HYPOTHESES = 3,
	FFT_PER_SYMBOL = 4, /* overlap-save block in symbols: each yields 3/4 of it and one candidates */
	N_KNOWN = 3,
	KNOWN_SYNC = 1,
	MEMORY_PERIODS = 16, /* beyond, a period's weight is below 1 % */
};

static const double hypothesis_sc[N_HYPOTHESES] = { 0, -0.5, 0.5 }; /* carrier offsets in subcarriers */
static const float forget = 0.75f;                                  /* weight of the periods before, each period */
static const double false_alarm = 1e-6;                             /* a period */

struct acquire {
	struct numerology num;
	uint32_t cell_id;
	size_t known_symbol[N_KNOWN]; /* pilots, sync, pilots: equally far apart */
	size_t period;                /* samples from sync slot to sync slot */
	size_t fft_len;
	size_t n_lags;                                 /* candidates a block */
	float complex known_re[N_KNOWN][SYNC_LEN_MAX]; /* in the sync band; 0 where unknown */
	float complex *known[N_KNOWN];                 /* n_fft: the same symbols (whole band) in time, energy 1 */
	float complex *replica[N_HYPOTHESES]; /* fft_len: conjugate spectra of the symbol shifted by each hypothesis */
	float *in_band;                       /* fft_len: 1 in the band of the sync signal, else 0; over fft_len */

	float complex *block, *spectrum, *product, *output; /* fft_len: scratch */
	float *inverse_energy;                              /* n_lags */
	fftwf_plan forward, inverse;                        /* block -> spectrum, product -> output */
	fftwf_plan symbol_forward, symbol_inverse;          /* n_fft of block -> spectrum, product -> output */

	float threshold[MEMORY_PERIODS]; /* for 1, 2, .. periods added */
	float *statistic[N_HYPOTHESES];  /* period: weighted sums of the coefficients of each candidate */

	float complex *history; /* the last samples, history_len at most, kept to the last `keep` */
	size_t history_len, keep, filled;
	uint64_t t_history; /* time of history[0] */
	uint64_t t_next;    /* time of the next candidate */
	uint64_t t_period;  /* time of the first candidate of this period */
	unsigned n_periods; /* completed since reset */
	float best;         /* largest statistic of this period */
	size_t best_hypothesis;
	uint64_t t_best;

	bool locked;
	struct acquired result;
};

static float power_of(float complex x)
{
	return crealf(x) * crealf(x) + cimagf(x) * cimagf(x);
}

/* Chernoff bound on the tail of sum w_i e_i, e_i exponential of mean 1, w_i = forget^i, i < n: the x it exceeds with
 * probability p at most. */
static double sum_exceeds(unsigned n, double p)
{
	double smallest = INFINITY;
	for (int i = 1; i < 400; i++) {
		double s = i / 400.0, x = -log(p), w = 1;
		for (unsigned period = 0; period < n; period++, w *= (double)forget)
			x -= log1p(-s * w);
		smallest = fmin(smallest, x / s);
	}
	return smallest;
}

static double sum_of_weights(unsigned n)
{
	return (1 - pow((double)forget, n)) / (1 - (double)forget);
}

/* A coefficient of noise follows Beta(1, 127): its tail is below that of an exponential of mean 1/128; for a single
 * period it is used as it is. */
static void make_thresholds(struct acquire *a)
{
	double p = false_alarm / (double)(a->period * N_HYPOTHESES);
	a->threshold[0] = (float)(1 - pow(p, 1.0 / (double)a->num.sync_len));
	for (unsigned n = 2; n <= MEMORY_PERIODS; n++)
		a->threshold[n - 1] = (float)(sum_exceeds(n, p) / ((double)a->num.sync_len + 1));
}

/* Puts the symbols a receiver knows in advance into a->known_re and a->known. */
static void make_known(struct acquire *a)
{
	const struct numerology *num = &a->num;
	size_t n = num->n_fft, first = sync_first_sc(num);
	for (size_t which = 0; which < N_KNOWN; which++) {
		float complex re[PHY_SC_MAX] = { 0 };
		if (which == KNOWN_SYNC) {
			float sync[SYNC_LEN_MAX];
			sequence_sync(num, a->cell_id, sync);
			for (size_t i = 0; i < num->sync_len; i++)
				re[first + i] = sync[i];
		} else {
			float complex pilots[PHY_SC_MAX / PHY_PILOT_STEP_MIN];
			uint32_t seed = sequence_seed(SEQUENCE_PILOT, a->cell_id, (uint32_t)a->known_symbol[which]);
			gold_qpsk(seed, pilots, num->n_sc / num->pilot_step);
			for (size_t i = 0; i < num->n_sc / num->pilot_step; i++)
				re[i * num->pilot_step] = pilots[i];
		}
		memcpy(a->known_re[which], re + first, num->sync_len * sizeof re[0]);
		memset(a->product, 0, n * sizeof *a->product);
		float energy = 0;
		for (size_t k = 0; k < num->n_sc; k++) {
			a->product[numerology_bin(num, k)] = re[k];
			energy += power_of(re[k]);
		}
		fftwf_execute(a->symbol_inverse);
		for (size_t i = 0; i < n; i++)
			a->known[which][i] = a->output[i] / sqrtf((float)n * energy);
	}
}

static void make_replicas(struct acquire *a)
{
	size_t n = a->num.n_fft;
	for (size_t h = 0; h < N_HYPOTHESES; h++) {
		memset(a->block, 0, a->fft_len * sizeof *a->block);
		for (size_t i = 0; i < n; i++)
			a->block[i] = a->known[KNOWN_SYNC][i] *
			              (float complex)cexp(I * 2 * M_PI * hypothesis_sc[h] * (double)i / (double)n);
		fftwf_execute(a->forward);
		for (size_t i = 0; i < a->fft_len; i++)
			a->replica[h][i] = conjf(a->spectrum[i]) / (float)a->fft_len;
	}
	/* one subcarrier of margin on either side: the band of all hypotheses */
	size_t edge = (a->num.sync_len / 2 + 2) * a->fft_len / n;
	for (size_t i = 0; i < a->fft_len; i++)
		a->in_band[i] = i <= edge || i >= a->fft_len - edge ? 1 / (float)a->fft_len : 0;
}

static fftwf_plan plan(size_t n, float complex *in, float complex *out, int sign)
{
	return fftwf_plan_dft_1d((int)n, in, out, sign, FFTW_ESTIMATE);
}

static bool allocate(struct acquire *a)
{
	size_t n = a->fft_len;
	bool ok = true;
	for (size_t h = 0; h < N_HYPOTHESES; h++) {
		ok &= (a->replica[h] = (float complex *)fftwf_alloc_complex(n)) != NULL;
		ok &= (a->statistic[h] = fftwf_alloc_real(a->period)) != NULL;
	}
	for (size_t which = 0; which < N_KNOWN; which++)
		ok &= (a->known[which] = (float complex *)fftwf_alloc_complex(a->num.n_fft)) != NULL;
	ok &= (a->in_band = fftwf_alloc_real(n)) != NULL;
	ok &= (a->block = (float complex *)fftwf_alloc_complex(n)) != NULL;
	ok &= (a->spectrum = (float complex *)fftwf_alloc_complex(n)) != NULL;
	ok &= (a->product = (float complex *)fftwf_alloc_complex(n)) != NULL;
	ok &= (a->output = (float complex *)fftwf_alloc_complex(n)) != NULL;
	ok &= (a->inverse_energy = fftwf_alloc_real(a->n_lags)) != NULL;
	ok &= (a->history = (float complex *)fftwf_alloc_complex(a->history_len)) != NULL;
	if (!ok)
		return false;
	a->forward = plan(n, a->block, a->spectrum, FFTW_FORWARD);
	a->inverse = plan(n, a->product, a->output, FFTW_BACKWARD);
	a->symbol_forward = plan(a->num.n_fft, a->block, a->spectrum, FFTW_FORWARD);
	a->symbol_inverse = plan(a->num.n_fft, a->product, a->output, FFTW_BACKWARD);
	return a->forward && a->inverse && a->symbol_forward && a->symbol_inverse;
}

struct acquire *acquire_create(const struct numerology *num, uint32_t cell_id)
{
	if (cell_id > CELL_ID_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct acquire *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->num = *num;
	a->cell_id = cell_id;
	a->known_symbol[0] = num->format->pilot[0];
	a->known_symbol[KNOWN_SYNC] = num->format->sync;
	a->known_symbol[2] = num->format->pilot[1];
	a->period = SYNC_PERIOD_SLOTS * num->slot_len;
	a->fft_len = FFT_PER_SYMBOL * num->n_fft;
	a->n_lags = a->fft_len - num->n_fft + 1;
	/* the winner of a period, with a slot before and after it */
	a->keep = a->period + 2 * num->slot_len + a->fft_len;
	a->history_len = 2 * a->keep;
	if (!allocate(a)) {
		acquire_destroy(a);
		errno = ENOMEM;
		return NULL;
	}
	make_known(a);
	make_replicas(a);
	make_thresholds(a);
	acquire_reset(a, 0);
	return a;
}

static void destroy_plan(fftwf_plan p)
{
	if (p)
		fftwf_destroy_plan(p);
}

void acquire_destroy(struct acquire *a)
{
	if (!a)
		return;
	destroy_plan(a->symbol_inverse);
	destroy_plan(a->symbol_forward);
	destroy_plan(a->inverse);
	destroy_plan(a->forward);
	fftwf_free(a->history);
	fftwf_free(a->inverse_energy);
	fftwf_free(a->output);
	fftwf_free(a->product);
	fftwf_free(a->spectrum);
	fftwf_free(a->block);
	fftwf_free(a->in_band);
	for (size_t which = 0; which < N_KNOWN; which++)
		fftwf_free(a->known[which]);
	for (size_t h = 0; h < N_HYPOTHESES; h++) {
		fftwf_free(a->statistic[h]);
		fftwf_free(a->replica[h]);
	}
	free(a);
}

static void begin_period(struct acquire *a)
{
	a->t_period = a->t_next;
	a->best = -1;
}

void acquire_reset(struct acquire *a, uint64_t t_first)
{
	for (size_t h = 0; h < N_HYPOTHESES; h++)
		memset(a->statistic[h], 0, a->period * sizeof *a->statistic[h]);
	a->filled = 0;
	a->t_history = t_first;
	a->t_next = t_first + a->num.slot_len; /* locking looks that far back */
	a->n_periods = 0;
	a->locked = false;
	begin_period(a);
}

const struct acquired *acquire_result(const struct acquire *a)
{
	return a->locked ? &a->result : NULL;
}

/* ---- searching: one block of candidates ---- */

/* inverse_energy[i] = 1 / energy in band of the n_fft samples from candidate i on. */
static void measure_energy(struct acquire *a)
{
	size_t n = a->num.n_fft;
	for (size_t i = 0; i < a->fft_len; i++)
		a->product[i] = a->spectrum[i] * a->in_band[i];
	fftwf_execute(a->inverse);
	double energy = 0; /* double: adding and taking away must not leave a rest */
	for (size_t i = 0; i < n; i++)
		energy += (double)power_of(a->output[i]);
	for (size_t i = 0; i < a->n_lags; i++) {
		a->inverse_energy[i] = energy > 1e-30 ? (float)(1 / energy) : 0;
		if (i + n < a->fft_len)
			energy += (double)power_of(a->output[i + n]) - (double)power_of(a->output[i]);
	}
}

/* Adds the coefficients of the block's first n candidates under one hypothesis and keeps the best. */
static void add_coefficients(struct acquire *a, size_t h, size_t n)
{
	float *statistic = a->statistic[h] + (a->t_next - a->t_period);
	float best = 0;
#pragma omp simd reduction(max : best)
	for (size_t i = 0; i < n; i++) {
		float sum = forget * statistic[i] + power_of(a->output[i]) * a->inverse_energy[i];
		statistic[i] = sum;
		best = sum > best ? sum : best;
	}
	if (best <= a->best)
		return;
	size_t at = 0;
	while (statistic[at] < best)
		at++;
	a->best = best;
	a->best_hypothesis = h;
	a->t_best = a->t_next + at;
}

static void multiply(float complex *restrict out, const float complex *restrict x, const float complex *restrict y,
                     size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = x[i] * y[i];
}

/* Searches the candidates of one block, no further than to the end of the period. */
static void search_block(struct acquire *a)
{
	uint64_t left = a->t_period + a->period - a->t_next;
	size_t n = left < a->n_lags ? (size_t)left : a->n_lags;
	memcpy(a->block, a->history + (a->t_next - a->t_history), a->fft_len * sizeof *a->block);
	fftwf_execute(a->forward);
	measure_energy(a);
	for (size_t h = 0; h < N_HYPOTHESES; h++) {
		multiply(a->product, a->spectrum, a->replica[h], a->fft_len);
		fftwf_execute(a->inverse);
		add_coefficients(a, h, n);
	}
	a->t_next += n;
}

/* ---- locking: what the winner says ---- */

/* Something whose phase tells the carrier offset f (in subcarriers): 2 pi cycles (f - at), known modulo a turn. */
struct clue {
	double angle;    /* of a sum of products of samples that should agree */
	double strength; /* 1 / variance of the angle, rad^-2 */
	double cycles, at;
};

/* sum: of n products; energy: mean of the energies of the factors, so that |sum| = energy without noise. */
static struct clue make_clue(double complex sum, double energy, double n, double cycles, double at)
{
	double coherence = energy > 0 ? fmin(cabs(sum) / energy, 0.995) : 0, square = coherence * coherence;
	return (struct clue){ .angle = carg(sum), .strength = n * square / (1 - square), .cycles = cycles, .at = at };
}

/* The offset within half a subcarrier of the hypothesis that fits all clues best: the sum of von Mises
 * log-likelihoods, in which a clue counts by its strength. */
static double most_likely_offset(const struct acquire *a, const struct clue *clues, size_t n_clues)
{
	double around = hypothesis_sc[a->best_hypothesis], best = -INFINITY, offset = 0;
	for (int i = -500; i <= 500; i++) {
		double f = around + i * 0.001, fit = 0;
		for (size_t c = 0; c < n_clues; c++)
			fit += clues[c].strength * cos(2 * M_PI * clues[c].cycles * (f - clues[c].at) - clues[c].angle);
		if (fit > best) {
			best = fit;
			offset = f;
		}
	}
	return offset;
}

/* What locking may look at: the period and a slot on either side, the same however the samples were cut into blocks. */
static size_t window_end(const struct acquire *a)
{
	return (size_t)(a->t_next - a->t_history) + a->fft_len + a->num.slot_len;
}

/* Index in the history of the first slot wholly inside. */
static size_t first_slot(const struct acquire *a)
{
	size_t begin = (size_t)(a->t_period - a->t_history) - a->num.slot_len;
	size_t sync_slot = (size_t)(a->t_best - a->t_history) - numerology_symbol_body(&a->num, a->num.format->sync);
	return begin + (sync_slot - begin) % a->num.slot_len;
}

/* Phase from the first to the second half of a symbol, for the sync symbol that won and the pilots in all slots. */
static struct clue clue_of_halves(struct acquire *a)
{
	const struct numerology *num = &a->num;
	size_t n = num->n_fft, n_symbols = 0, end = window_end(a);
	double complex sum = 0;
	double energy = 0, hypothesis = hypothesis_sc[a->best_hypothesis];
	for (size_t i = 0; i < n; i++)
		a->product[i] = (float complex)cexp(-I * 2 * M_PI * hypothesis * (double)i / (double)n);
	for (size_t which = 0; which < N_KNOWN; which++) {
		size_t step = which == KNOWN_SYNC ? a->period : num->slot_len;
		size_t at = which == KNOWN_SYNC ? (size_t)(a->t_best - a->t_history)
		                                : first_slot(a) + numerology_symbol_body(num, a->known_symbol[which]);
		for (; at + n <= end; at += step) {
			float complex half[2] = { 0 };
			for (size_t i = 0; i < n; i++)
				half[2 * i / n] += a->product[i] * conjf(a->known[which][i]) * a->history[at + i];
			sum += (double complex)(conjf(half[0]) * half[1]);
			energy += 0.5 * (double)(power_of(half[0]) + power_of(half[1]));
			n_symbols++;
		}
	}
	return make_clue(sum, energy, (double)n_symbols, 0.5, hypothesis);
}

/* Phase from the cyclic prefixes to their copies, in all slots. */
static struct clue clue_of_prefixes(const struct acquire *a)
{
	float complex sum = 0;
	float energy = 0;
	size_t n_products = 0, end = window_end(a);
	for (size_t at = first_slot(a); at + a->num.slot_len <= end; at += a->num.slot_len)
		n_products += track_prefix_correlation(&a->num, a->history + at, &sum, &energy);
	return make_clue((double complex)sum, (double)energy, (double)n_products, 1, 0);
}

/* Response of the channel on the sync band (sync_len subcarriers) in the symbol `apart` symbols after the winner's: the
 * FFT of that symbol, its carrier turned back to the phase at the winner, times `known` conjugated. The window starts
 * half a prefix early, so that echoes ahead of the winner count too. */
static void band_response(struct acquire *a, double offset_sc, int apart, const float complex *known, float complex *h)
{
	const struct numerology *num = &a->num;
	int n = (int)num->n_fft, early = (int)num->cp / 2, from = apart * (int)(num->n_fft + num->cp) - early;
	const float complex *x = a->history + (a->t_best - a->t_history) + from;
	for (int i = 0; i < n; i++)
		a->block[i] = x[i] * (float complex)cexp(-I * 2 * M_PI * offset_sc * (from + i) / n);
	fftwf_execute(a->symbol_forward);
	for (size_t i = 0; i < a->num.sync_len; i++) {
		size_t k = sync_first_sc(num) + i;
		double cycles = (double)(numerology_offset(num, k) * early) / n;
		h[i] = a->spectrum[numerology_bin(num, k)] * conjf(known[i]) *
		       (float complex)cexp(I * 2 * M_PI * cycles);
	}
}

/* Phase from the pilots before the sync symbol to it, and from it to those after. h: response in the sync symbol with
 * the carrier turned back by offset_sc. */
static struct clue clue_of_pilots(struct acquire *a, double offset_sc, const float complex *h)
{
	const struct numerology *num = &a->num;
	double complex sum = 0;
	double energy = 0;
	for (size_t which = 0; which < N_KNOWN; which++) {
		int apart = (int)a->known_symbol[which] - (int)a->known_symbol[KNOWN_SYNC];
		if (!apart)
			continue;
		float complex other[SYNC_LEN_MAX];
		band_response(a, offset_sc, apart, a->known_re[which], other);
		float complex both = 0;
		float here = 0, there = 0;
		for (size_t i = 0; i < a->num.sync_len; i++) {
			both += conjf(h[i]) * other[i];
			here += a->known_re[which][i] != 0 ? power_of(h[i]) : 0;
			there += power_of(other[i]);
		}
		sum += (double complex)(apart > 0 ? both : conjf(both));
		energy += (double)sqrtf(here * there);
	}
	size_t apart = a->known_symbol[KNOWN_SYNC] - a->known_symbol[0];
	double cycles = (double)(apart * (num->n_fft + num->cp)) / (double)num->n_fft;
	return make_clue(sum, energy, 2.0 * (double)num->sync_len / (double)num->pilot_step, cycles, offset_sc);
}

/* Impulse response from that of the band, Hann-windowed, into a->output (n_fft, circular; index 0 is the winner). */
static void impulse_response(struct acquire *a, const float complex *h)
{
	memset(a->product, 0, a->num.n_fft * sizeof *a->product);
	for (size_t i = 0; i < a->num.sync_len; i++) {
		double window = 0.5 - 0.5 * cos(2 * M_PI * (double)(i + 1) / (double)(a->num.sync_len + 1));
		a->product[numerology_bin(&a->num, sync_first_sc(&a->num) + i)] = h[i] * (float)window;
	}
	fftwf_execute(a->symbol_inverse);
}

/* Energy's centre of that impulse response, samples after the winner; what does not stand out of noise is left out. */
static double energy_centre(const struct acquire *a)
{
	size_t n = a->num.n_fft, cp = a->num.cp;
	double floor = 0, energy = 0, moment = 0;
	for (size_t i = cp; i < n - cp; i++)
		floor += (double)power_of(a->output[i]) / (double)(n - 2 * cp);
	for (int delay = -(int)cp / 2; delay <= (int)cp; delay++) {
		double power = (double)power_of(a->output[delay < 0 ? (int)n + delay : delay]) - 4 * floor;
		if (power <= 0)
			continue;
		energy += power;
		moment += power * delay;
	}
	return energy > 0 ? moment / energy : 0;
}

static void lock(struct acquire *a, float threshold)
{
	struct clue clues[3] = { clue_of_halves(a), clue_of_prefixes(a) };
	double offset_sc = most_likely_offset(a, clues, 2);
	float complex h[SYNC_LEN_MAX];
	band_response(a, offset_sc, 0, a->known_re[KNOWN_SYNC], h);
	impulse_response(a, h);
	double centre = energy_centre(a), whole = round(centre);
	clues[2] = clue_of_pilots(a, offset_sc, h);
	offset_sc = most_likely_offset(a, clues, 3);
	uint64_t start = a->t_best - numerology_symbol_body(&a->num, a->num.format->sync) + (uint64_t)(int64_t)whole;
	float weights = (float)sum_of_weights(a->n_periods);
	float coefficient = fminf(a->best / weights, 0.9999f);
	a->result = (struct acquired){
		.slot_start = start,
		.fraction = (float)(centre - whole),
		.cfo_hz = (float)(offset_sc * a->num.scs_hz),
		.metric = coefficient,
		.threshold = threshold / weights,
		.snr_db = 10 * log10f(coefficient / (1 - coefficient)),
		.n_periods = a->n_periods,
	};
	a->locked = true;
}

static void end_period(struct acquire *a)
{
	a->n_periods++;
	unsigned n = a->n_periods < MEMORY_PERIODS ? a->n_periods : MEMORY_PERIODS;
	float threshold = a->threshold[n - 1];
	if (a->best > threshold)
		lock(a, threshold);
	else
		begin_period(a);
}

/* Appends up to n samples to the history, dropping old ones when it is full; what is not finite counts as silence.
 * Returns how many. */
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
		float zero = (crealf(samples[i]) - crealf(samples[i])) + (cimagf(samples[i]) - cimagf(samples[i]));
		to[i] = zero == 0 ? samples[i] : 0; /* inf - inf and nan - nan are no zeros */
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
			if (a->t_next == a->t_period + a->period)
				end_period(a);
		}
	}
	return a->locked;
}
