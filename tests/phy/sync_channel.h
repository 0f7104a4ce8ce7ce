/* sync_channel.h - a small channel of the synchronisation tests' own, independent of radio/: random numbers, a stream
 * of downlink slots, Rayleigh taps at fractions of a sample, carrier offset, noise. Everything is a function of a seed.
 */
#ifndef TESTS_PHY_SYNC_CHANNEL_H
#define TESTS_PHY_SYNC_CHANNEL_H

#include "phy/gold.h"
#include "phy/numerology.h"
#include "phy/ofdm.h"
#include "phy/sequence.h"

#include <complex.h>
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct rng {
	uint64_t state;
};

/* splitmix64 */
static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline double rng_uniform(struct rng *r, double from, double to)
{
	return from + (to - from) * ((double)(rng_next(r) >> 11) + 0.5) / 9007199254740992.0;
}

/* Complex normal of variance 1. */
static inline float complex rng_normal(struct rng *r)
{
	double radius = sqrt(-log(rng_uniform(r, 0, 1)));
	return (float complex)(radius * cexp(I * rng_uniform(r, 0, 2 * M_PI)));
}

static inline float complex rng_qpsk(struct rng *r)
{
	uint64_t bits = rng_next(r);
	return (bits & 1 ? 1.0f : -1.0f) * (float)M_SQRT1_2 + (bits & 2 ? 1.0f : -1.0f) * (float)M_SQRT1_2 * I;
}

static inline void add_noise(struct rng *r, float complex *x, size_t n, double power)
{
	for (size_t i = 0; i < n; i++)
		x[i] += (float)sqrt(power) * rng_normal(r);
}

/* One downlink slot of RE of power 1: control and data full of QPSK with probability `load` a resource block, pilots,
 * sync. */
static inline void fill_downlink(const struct numerology *num, uint32_t cell_id, size_t slot, double load,
                                 struct rng *r, float complex *grid)
{
	for (size_t l = 0; l < num->n_symbols; l++)
		for (size_t b = 0; b < num->n_rb; b++) {
			bool used = rng_uniform(r, 0, 1) < load;
			for (size_t k = b * PHY_RB_SC; k < (b + 1) * PHY_RB_SC; k++)
				grid[l * num->n_sc + k] = used ? rng_qpsk(r) : 0;
		}
	float complex pilots[PHY_SC_MAX];
	for (size_t i = 0; i < 2; i++) {
		gold_qpsk(sequence_seed(SEQUENCE_PILOT, cell_id, num->format->pilot[i]), pilots,
		          num->n_sc / num->pilot_step);
		for (size_t p = 0; p < num->n_sc / num->pilot_step; p++)
			grid[num->format->pilot[i] * num->n_sc + num->pilot_step * p] = pilots[p];
	}
	if (slot % SYNC_PERIOD_SLOTS)
		return;
	float sync[SYNC_LEN_MAX];
	sequence_sync(num, cell_id, sync);
	float complex *row = grid + num->format->sync * num->n_sc;
	memset(row, 0, num->n_sc * sizeof *row);
	for (size_t i = 0; i < num->sync_len; i++)
		row[sync_first_sc(num) + i] = sync_boost(num) * sync[i];
}

/* A Rayleigh process of Jakes spectrum, mean power 1: 24 rays at random angles. */
enum { N_RAYS = 24 };
struct fading {
	double doppler_hz[N_RAYS], phase[N_RAYS];
};

static inline struct fading fading_draw(struct rng *r, double doppler_hz)
{
	struct fading f;
	for (size_t i = 0; i < N_RAYS; i++) {
		f.doppler_hz[i] = doppler_hz * cos(rng_uniform(r, 0, 2 * M_PI));
		f.phase[i] = rng_uniform(r, 0, 2 * M_PI);
	}
	return f;
}

static inline double complex fading_at(const struct fading *f, double t_s)
{
	double complex sum = 0;
	for (size_t i = 0; i < N_RAYS; i++)
		sum += cexp(I * (2 * M_PI * f->doppler_hz[i] * t_s + f->phase[i]));
	return sum / sqrt(N_RAYS);
}

/* TDL-A (TR 38.901 table 7.7.2-1), the taps above -20 dB: delay in delay spreads, power in dB. */
enum { TDL_TAPS = 17, TAPS_MAX = 24 };
static const double tdl_a[TDL_TAPS][2] = {
	{ 0.0000, -13.4 }, { 0.3819, 0.0 },   { 0.4025, -2.2 },  { 0.5868, -4.0 },  { 0.4610, -6.0 },
	{ 0.5375, -8.2 },  { 0.6708, -9.9 },  { 0.5750, -10.5 }, { 0.7618, -7.5 },  { 1.5375, -15.9 },
	{ 1.8978, -6.6 },  { 2.2242, -16.7 }, { 2.1718, -12.4 }, { 2.4942, -15.2 }, { 2.5119, -10.8 },
	{ 3.0582, -11.3 }, { 4.0810, -12.7 },
};

/* A frequency-selective Rayleigh channel (or one path of constant gain 1), mean power 1. */
struct taps {
	size_t n;
	double delay_samples[TAPS_MAX], amplitude[TAPS_MAX];
	struct fading fading[TAPS_MAX];
	bool constant;
};

static inline struct taps taps_flat(double delay_samples)
{
	return (struct taps){ .n = 1, .delay_samples = { delay_samples }, .amplitude = { 1 }, .constant = true };
}

static inline struct taps taps_tdl_a(struct rng *r, double rate_hz, double delay_spread_s, double doppler_hz,
                                     double delay_samples)
{
	struct taps t = { .n = TDL_TAPS };
	double power = 0;
	for (size_t i = 0; i < t.n; i++)
		power += pow(10, tdl_a[i][1] / 10);
	for (size_t i = 0; i < t.n; i++) {
		t.delay_samples[i] = delay_samples + tdl_a[i][0] * delay_spread_s * rate_hz;
		t.amplitude[i] = sqrt(pow(10, tdl_a[i][1] / 10) / power);
		t.fading[i] = fading_draw(r, doppler_hz);
	}
	return t;
}

static inline double complex tap_gain(const struct taps *t, size_t i, double t_s)
{
	return t->constant ? t->amplitude[i] : t->amplitude[i] * fading_at(&t->fading[i], t_s);
}

/* Mean over time of the energy's centre. */
static inline double taps_centre(const struct taps *t)
{
	double moment = 0;
	for (size_t i = 0; i < t->n; i++)
		moment += t->amplitude[i] * t->amplitude[i] * t->delay_samples[i];
	return moment;
}

/* y = the channel's answer to x (n samples, circular), then a carrier offset. x[0] is sent at sample t0 of the
 * channel's time. Delays by phase ramps over an FFT of the whole stream: exact for any fraction. Gains are linear
 * between points 256 samples apart. */
static inline void pass_channel_from(const struct taps *t, double rate_hz, double cfo_hz, uint64_t t0,
                                     const float complex *x, float complex *y, size_t n)
{
	float complex *spectrum = (float complex *)fftwf_alloc_complex(n),
	              *ramped = (float complex *)fftwf_alloc_complex(n);
	fftwf_plan forward = fftwf_plan_dft_1d((int)n, ramped, spectrum, FFTW_FORWARD, FFTW_ESTIMATE);
	fftwf_plan inverse = fftwf_plan_dft_1d((int)n, ramped, ramped, FFTW_BACKWARD, FFTW_ESTIMATE);
	memcpy(ramped, x, n * sizeof *x);
	fftwf_execute(forward);
	memset(y, 0, n * sizeof *y);
	for (size_t tap = 0; tap < t->n; tap++) {
		double complex turn = 1, step = cexp(-I * 2 * M_PI * t->delay_samples[tap] / (double)n);
		for (size_t i = 0; i < n; i++, turn *= step) {
			if (i == n / 2 + n % 2) /* negative frequencies from here */
				turn = cexp(I * 2 * M_PI * t->delay_samples[tap] * (double)(n - i) / (double)n);
			ramped[i] = spectrum[i] * (float complex)turn / (float)n;
		}
		fftwf_execute(inverse);
		double complex gain = tap_gain(t, tap, (double)t0 / rate_hz);
		for (size_t from = 0; from < n; from += 256) {
			double complex next = tap_gain(t, tap, (double)(t0 + from + 256) / rate_hz);
			for (size_t i = from; i < from + 256 && i < n; i++)
				y[i] += ramped[i] * (float complex)(gain + (next - gain) * ((double)(i - from) / 256));
			gain = next;
		}
	}
	double complex turn = cexp(I * 2 * M_PI * fmod(cfo_hz * (double)t0 / rate_hz, 1));
	double complex step = cexp(I * 2 * M_PI * cfo_hz / rate_hz);
	for (size_t i = 0; i < n; i++, turn *= step)
		y[i] *= (float complex)turn;
	fftwf_destroy_plan(inverse);
	fftwf_destroy_plan(forward);
	fftwf_free(ramped);
	fftwf_free(spectrum);
}

static inline void pass_channel(const struct taps *t, double rate_hz, double cfo_hz, const float complex *x,
                                float complex *y, size_t n)
{
	pass_channel_from(t, rate_hz, cfo_hz, 0, x, y, n);
}

/* n_slots downlink slots of RE of power 1, the first of number first_slot. */
static inline void make_downlink(const struct numerology *num, uint32_t cell_id, size_t first_slot, size_t n_slots,
                                 double load, struct rng *r, float complex *samples)
{
	struct ofdm *o = ofdm_create(num, 0);
	float complex *grid = malloc(num->n_symbols * num->n_sc * sizeof *grid);
	for (size_t i = 0; i < n_slots; i++) {
		fill_downlink(num, cell_id, first_slot + i, load, r, grid);
		ofdm_modulate(o, grid, samples + i * num->slot_len);
	}
	free(grid);
	ofdm_destroy(o);
}

/* Noise power a sample that makes the mean SNR of an RE of power 1 what it says (unitary modulator: the same number).
 */
static inline double noise_for(double snr_db)
{
	return pow(10, -snr_db / 10);
}

#endif
