#include "phy/acquire_fit.h"

#include "phy/gold.h"
#include "phy/measure.h"
#include "phy/sequence.h"
#include "phy/track.h"

#include <errno.h>
#include <fftw3.h>
#include <stdlib.h>
#include <string.h>

enum { N_PILOT = 2, KNOWN_SYNC = N_PILOT, N_KNOWN, N_CLUES = 4 };

struct acquire_fit {
	struct numerology num;
	size_t known_symbol[N_KNOWN];
	float complex *known[N_KNOWN];  /* n_fft: known symbols in time, energy 1 */
	float complex *pilots[N_PILOT]; /* n_sc / pilot_step of amplitude 1 */
	size_t n_pilots;
	size_t reach;                      /* delays looked at: -reach .. reach */
	float complex *taps[N_PILOT];      /* 2 reach + 1: response by delay at the pilot symbols of a slot */
	float complex *response;           /* n_pilots: at a pilot symbol, over subcarriers */
	float *window;                     /* n_pilots: Hann, mean square 1 */
	float complex *last;               /* the same of the slot before, its second pilot symbol */
	double *profile;                   /* 2 reach + 1: power by delay, sum over all pilot symbols */
	double floor;                      /* noise in it, a delay */
	size_t n_symbols;                  /* in it */
	float complex *time, *frequency;   /* n_fft: scratch */
	fftwf_plan forward, inverse;       /* time -> frequency and back */
	const struct acquire_stretch *now; /* what is being looked at */
};

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

static double likelihood(const struct clue *clues, size_t n_clues, double f)
{
	double sum = 0;
	for (size_t c = 0; c < n_clues; c++)
		sum += clues[c].strength * cos(2 * M_PI * clues[c].cycles * (f - clues[c].at) - clues[c].angle);
	return sum;
}

/* The offset within `reach` of `around` that fits best, on a grid of `step`. */
static double best_on_grid(const struct clue *clues, size_t n_clues, double around, double reach, double step)
{
	double best = -INFINITY, offset = around;
	long n = lround(reach / step);
	for (long i = -n; i <= n; i++) {
		double f = around + (double)i * step, fit = likelihood(clues, n_clues, f);
		if (fit > best) {
			best = fit;
			offset = f;
		}
	}
	return offset;
}

static double most_likely_offset(const struct clue *clues, size_t n_clues, double hypothesis)
{
	double offset = best_on_grid(clues, n_clues, hypothesis, 0.75, 2e-3);
	return best_on_grid(clues, n_clues, offset, 2e-3, 2e-5);
}

/* ---- what is known beforehand ---- */

static void to_time(struct acquire_fit *f, float complex *known)
{
	fftwf_execute(f->inverse);
	float energy = mean_power(f->time, f->num.n_fft) * (float)f->num.n_fft;
	for (size_t i = 0; i < f->num.n_fft; i++)
		known[i] = f->time[i] / sqrtf(energy);
}

static void make_known(struct acquire_fit *f, uint32_t cell_id)
{
	const struct numerology *num = &f->num;
	for (size_t which = 0; which < N_PILOT; which++) {
		uint32_t seed = sequence_seed(SEQUENCE_PILOT, cell_id, (uint32_t)f->known_symbol[which]);
		gold_qpsk(seed, f->pilots[which], f->n_pilots);
		memset(f->frequency, 0, num->n_fft * sizeof *f->frequency);
		for (size_t i = 0; i < f->n_pilots; i++)
			f->frequency[numerology_bin(num, i * num->pilot_step)] = f->pilots[which][i];
		to_time(f, f->known[which]);
	}
	for (size_t i = 0; i < f->n_pilots; i++) {
		double cycles = (double)(i + 1) / (double)(f->n_pilots + 1);
		f->window[i] = (float)(sqrt(2.0 / 3) * (1 - cos(2 * M_PI * cycles)));
	}
	float sync[SYNC_LEN_MAX];
	sequence_sync(num, cell_id, sync);
	memset(f->frequency, 0, num->n_fft * sizeof *f->frequency);
	for (size_t i = 0; i < num->sync_len; i++)
		f->frequency[numerology_bin(num, sync_first_sc(num) + i)] = sync[i];
	to_time(f, f->known[KNOWN_SYNC]);
}

static bool allocate(struct acquire_fit *f)
{
	size_t n = f->num.n_fft, n_taps = 2 * f->reach + 1;
	bool ok = true;
	for (size_t i = 0; i < N_KNOWN; i++)
		ok &= (f->known[i] = malloc(n * sizeof *f->known[i])) != NULL;
	for (size_t i = 0; i < N_PILOT; i++) {
		ok &= (f->pilots[i] = malloc(f->n_pilots * sizeof *f->pilots[i])) != NULL;
		ok &= (f->taps[i] = malloc(n_taps * sizeof *f->taps[i])) != NULL;
	}
	ok &= (f->response = malloc(f->n_pilots * sizeof *f->response)) != NULL;
	ok &= (f->window = malloc(f->n_pilots * sizeof *f->window)) != NULL;
	ok &= (f->last = malloc(n_taps * sizeof *f->last)) != NULL;
	ok &= (f->profile = malloc(n_taps * sizeof *f->profile)) != NULL;
	ok &= (f->time = (float complex *)fftwf_alloc_complex(n)) != NULL;
	ok &= (f->frequency = (float complex *)fftwf_alloc_complex(n)) != NULL;
	if (!ok)
		return false;
	f->forward = fftwf_plan_dft_1d((int)n, f->time, f->frequency, FFTW_FORWARD, FFTW_ESTIMATE);
	f->inverse = fftwf_plan_dft_1d((int)n, f->frequency, f->time, FFTW_BACKWARD, FFTW_ESTIMATE);
	return f->forward && f->inverse;
}

struct acquire_fit *acquire_fit_create(const struct numerology *num, uint32_t cell_id)
{
	struct acquire_fit *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->num = *num;
	f->known_symbol[0] = num->format->pilot[0];
	f->known_symbol[1] = num->format->pilot[1];
	f->known_symbol[KNOWN_SYNC] = num->format->sync;
	f->n_pilots = num->n_sc / num->pilot_step;
	/* a comb of pilots repeats itself every n_fft / step samples: a third of that is left to see the noise in */
	size_t unambiguous = num->n_fft / (3 * num->pilot_step);
	f->reach = num->cp < unambiguous ? num->cp : unambiguous;
	if (!allocate(f)) {
		acquire_fit_destroy(f);
		errno = ENOMEM;
		return NULL;
	}
	make_known(f, cell_id);
	return f;
}

void acquire_fit_destroy(struct acquire_fit *f)
{
	if (!f)
		return;
	if (f->inverse)
		fftwf_destroy_plan(f->inverse);
	if (f->forward)
		fftwf_destroy_plan(f->forward);
	fftwf_free(f->frequency);
	fftwf_free(f->time);
	free(f->profile);
	free(f->last);
	free(f->window);
	free(f->response);
	for (size_t i = 0; i < N_PILOT; i++) {
		free(f->taps[i]);
		free(f->pilots[i]);
	}
	for (size_t i = 0; i < N_KNOWN; i++)
		free(f->known[i]);
	free(f);
}

/* ---- the slots of the stretch ---- */

/* Where a slot of the stretch starts: on which sample, and how much later by the drift. */
struct slot_place {
	size_t at;
	double late;
	bool has_sync;
};

/* Slot `number`, counted from that of the known sync symbol; false if it is not wholly inside, with half a prefix to
 * spare. */
static bool find_slot(const struct acquire_fit *f, long number, struct slot_place *p)
{
	const struct acquire_stretch *s = f->now;
	long len = (long)f->num.slot_len, spare = (long)f->num.cp;
	double late = s->drift * (double)(number * len), whole = round(late);
	long at = (long)s->sync_body - (long)numerology_symbol_body(&f->num, f->num.format->sync) + number * len +
	          (long)whole;
	*p = (struct slot_place){ .at = (size_t)at, .late = late - whole, .has_sync = number % SYNC_PERIOD_SLOTS == 0 };
	return at >= spare && at + len + spare <= (long)s->n;
}

/* Number of the first slot inside. */
static long first_slot(const struct acquire_fit *f)
{
	struct slot_place p;
	long number = -(long)(f->now->sync_body / f->num.slot_len) - 1;
	while (!find_slot(f, number, &p))
		number++;
	return number;
}

/* Phase from the first to the second half of all known symbols. */
static struct clue clue_of_halves(struct acquire_fit *f)
{
	size_t n = f->num.n_fft, n_symbols = 0;
	double complex sum = 0;
	double energy = 0, offset = f->now->offset_sc;
	struct slot_place p;
	for (size_t i = 0; i < n; i++)
		f->time[i] = (float complex)cexp(-I * 2 * M_PI * offset * (double)i / (double)n);
	for (long number = first_slot(f); find_slot(f, number, &p); number++) {
		for (size_t which = 0; which < (p.has_sync ? N_KNOWN : N_PILOT); which++) {
			const float complex *x =
			        f->now->x + p.at + numerology_symbol_body(&f->num, f->known_symbol[which]);
			float complex half[2] = { 0 };
			for (size_t i = 0; i < n; i++)
				half[2 * i / n] += f->time[i] * conjf(f->known[which][i]) * x[i];
			sum += (double complex)(conjf(half[0]) * half[1]);
			energy += 0.5 * (double)(power_of(half[0]) + power_of(half[1]));
			n_symbols++;
		}
	}
	return make_clue(sum, energy, (double)n_symbols, 0.5, offset);
}

/* Phase from the cyclic prefixes to their copies. */
static struct clue clue_of_prefixes(const struct acquire_fit *f)
{
	float complex sum = 0;
	float energy = 0;
	size_t n_products = 0;
	struct slot_place p;
	for (long number = first_slot(f); find_slot(f, number, &p); number++)
		n_products += track_prefix_correlation(&f->num, f->now->x + p.at, &sum, &energy);
	return make_clue((double complex)sum, (double)energy, (double)n_products, 1, 0);
}

/* Response at a pilot symbol of a slot, the carrier turned back by offset_sc (phase 0 at the stretch's first sample),
 * into f->response. The window opens half a prefix early, so that echoes ahead of the search's winner are whole too. */
static void measure_response(struct acquire_fit *f, const struct slot_place *p, size_t which, double offset_sc)
{
	const struct numerology *num = &f->num;
	size_t n = num->n_fft, early = num->cp / 2;
	size_t from = p->at + numerology_symbol_body(num, f->known_symbol[which]) - early;
	double step = -2 * M_PI * offset_sc / (double)n;
	double complex turn = cexp(I * fmod(step * (double)from, 2 * M_PI)), advance = cexp(I * step);
	for (size_t i = 0; i < n; i++, turn *= advance)
		f->time[i] = f->now->x[from + i] * (float complex)turn;
	fftwf_execute(f->forward);
	for (size_t i = 0; i < f->n_pilots; i++) {
		size_t k = i * num->pilot_step;
		double cycles = numerology_offset(num, k) * ((double)early + p->late) / (double)n;
		f->response[i] = f->frequency[numerology_bin(num, k)] * conjf(f->pilots[which][i]) *
		                 (float complex)cexp(I * 2 * M_PI * cycles);
	}
}

/* The response by delay, delay 0 first, circular, into f->time. */
static void to_delays(struct acquire_fit *f, bool windowed)
{
	memset(f->frequency, 0, f->num.n_fft * sizeof *f->frequency);
	for (size_t i = 0; i < f->n_pilots; i++)
		f->frequency[numerology_bin(&f->num, i * f->num.pilot_step)] =
		        f->response[i] * (windowed ? f->window[i] : 1);
	fftwf_execute(f->inverse);
}

/* Power by delay -reach + i. */
static double power_at(const struct acquire_fit *f, size_t i)
{
	size_t n = f->num.n_fft;
	return (double)power_of(f->time[(i + n - f->reach) % n]);
}

/* A pilot symbol of a slot: its response by delay into taps, its power into the profile (windowed, so that a strong path
 * does not pass for noise); what lies between the copies of the profile is noise. */
static void measure_taps(struct acquire_fit *f, const struct slot_place *p, size_t which, double offset_sc,
                         float complex *taps)
{
	size_t n = f->num.n_fft, period = n / f->num.pilot_step;
	measure_response(f, p, which, offset_sc);
	to_delays(f, false);
	for (size_t i = 0; i <= 2 * f->reach; i++)
		taps[i] = f->time[(i + n - f->reach) % n];
	to_delays(f, true);
	for (size_t i = 0; i <= 2 * f->reach; i++)
		f->profile[i] += power_at(f, i);
	double floor = 0;
	for (size_t i = 2 * f->reach + 1; i < period; i++)
		floor += power_at(f, i);
	f->floor += floor / (double)(period - 2 * f->reach - 1);
	f->n_symbols++;
}

/* Sum of conj(earlier) later over delays, and the mean of their energies. */
static void add_products(const struct acquire_fit *f, const float complex *earlier, const float complex *later,
                         double complex *sum, double *energy)
{
	float complex products = 0;
	float energies = 0;
	for (size_t i = 0; i <= 2 * f->reach; i++) {
		products += conjf(earlier[i]) * later[i];
		energies += 0.5f * (power_of(earlier[i]) + power_of(later[i]));
	}
	*sum += (double complex)products;
	*energy += (double)energies;
}

/* Phases between the pilot symbols: inside a slot, clue[0], and from slot to slot, clue[1]. Fills the profile. */
static void clues_of_pilots(struct acquire_fit *f, double offset_sc, struct clue *clue)
{
	const struct numerology *num = &f->num;
	double complex sum[2] = { 0 };
	double energy[2] = { 0 };
	double apart = (double)(numerology_symbol_body(num, f->known_symbol[1]) -
	                        numerology_symbol_body(num, f->known_symbol[0]));
	struct slot_place p;
	f->floor = 0;
	f->n_symbols = 0;
	memset(f->profile, 0, (2 * f->reach + 1) * sizeof *f->profile);
	for (long number = first_slot(f); find_slot(f, number, &p); number++) {
		for (size_t which = 0; which < N_PILOT; which++)
			measure_taps(f, &p, which, offset_sc, f->taps[which]);
		add_products(f, f->taps[0], f->taps[1], &sum[0], &energy[0]);
		if (f->n_symbols > N_PILOT)
			add_products(f, f->last, f->taps[0], &sum[1], &energy[1]);
		memcpy(f->last, f->taps[1], (2 * f->reach + 1) * sizeof *f->last);
	}
	/* neighbouring delays are not independent: the band is narrower than the sample rate */
	double n = (double)(f->n_symbols / N_PILOT * (2 * f->reach + 1) * num->n_sc) / (double)num->n_fft;
	clue[0] = make_clue(sum[0], energy[0], n, apart / (double)num->n_fft, offset_sc);
	clue[1] = make_clue(sum[1], energy[1], n, ((double)num->slot_len - apart) / (double)num->n_fft, offset_sc);
}

/* Timing and SNR from the profile: what stands out of the noise by four of its deviations, less the noise. */
static void read_profile(const struct acquire_fit *f, struct acquire_fit_result *result)
{
	double least = f->floor * (1 + 4 / sqrt((double)f->n_symbols)), energy = 0, moment = 0;
	for (size_t i = 0; i <= 2 * f->reach; i++) {
		if (f->profile[i] <= least)
			continue;
		energy += f->profile[i] - f->floor;
		moment += (f->profile[i] - f->floor) * ((double)i - (double)f->reach);
	}
	result->delay_samples = energy > 0 ? moment / energy : 0;
	result->snr = f->floor > 0 ? energy / f->floor * (double)f->num.pilot_step / (double)f->num.n_fft : 0;
}

void acquire_fit_run(struct acquire_fit *f, const struct acquire_stretch *s, struct acquire_fit_result *result)
{
	f->now = s;
	struct clue clues[N_CLUES] = { clue_of_halves(f), clue_of_prefixes(f) };
	double offset_sc = most_likely_offset(clues, 2, s->offset_sc);
	for (int pass = 0; pass < 2; pass++) { /* again: an error of the first carrier spills data over the pilots */
		clues_of_pilots(f, offset_sc, clues + 2);
		offset_sc = most_likely_offset(clues, N_CLUES, s->offset_sc);
	}
	result->offset_sc = offset_sc;
	read_profile(f, result);
	f->now = NULL;
}
