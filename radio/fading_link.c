#include "radio/fading_link.h"

#include <complex.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "radio/gauss.h"
#include "radio/turns.h"

static const double speed_of_light = 299792458.0;

/* How far (radians at the band's edge, plus Doppler) a coefficient may turn: over a block held constant +-2.5e-3, an
 * error of -57 dB in the mean; over an interval interpolated linearly, where the error is at most turn^2 / 8: -60 dB,
 * and -46 dB where even the shortest interval is too long. */
static const double block_turn = 2 * 2.5e-3, interval_turn = 0.089, interval_turn_max = 0.2;

static size_t largest_interval(double turn_per_sample)
{
	size_t n = LINK_MAX_INTERVAL;
	while (n > LINK_BLOCK && turn_per_sample * (double)n > interval_turn)
		n /= 2;
	return n;
}

static void init_clocks(struct fading_link *link, const struct fading_link_config *cfg)
{
	double tx_rate = cfg->rate_hz * (1 + cfg->tx_error);
	link->rate_hz = cfg->rate_hz;
	link->t_start_s = cfg->rx_start_s;
	link->t_step_s = 1 / (cfg->rate_hz * (1 + cfg->rx_error));
	link->propagation_delay = cfg->propagation_delay_s * tx_rate;
	link->lag_start = (cfg->rx_start_s - cfg->tx_start_s) * tx_rate - link->propagation_delay;
	link->lag_step = (cfg->tx_error - cfg->rx_error) / (1 + cfg->rx_error);
	link->cfo_hz = cfg->carrier_hz * (cfg->tx_error - cfg->rx_error);
	for (size_t i = 0; i < link->fading.n_taps; i++) {
		link->tap_delay[i] = link->fading.delay_s[i] * tx_rate;
		link->max_tap_delay = fmax(link->max_tap_delay, link->tap_delay[i]);
	}
	double turns = link->cfo_hz * link->t_step_s; /* a sample */
	for (size_t k = 0; k < LINK_BLOCK; k++)
		turns_sincos(turns_from(turns * (double)k), &link->spin_im[k], &link->spin_re[k]);
	for (size_t k = 0; k < LINK_MAX_BLOCKS; k++)
		turns_sincos(turns_from(turns * LINK_BLOCK * (double)k), &link->hop_im[k], &link->hop_re[k]);
}

static void follow_trace(struct fading_link *link, const struct channel_trace *trace)
{
	link->trace = trace;
	link->fading.n_taps = trace->n_taps;
	for (size_t i = 0; i < trace->n_taps; i++)
		link->fading.delay_s[i] = trace->delay_s[i];
}

int fading_link_init(struct fading_link *link, const struct fading_link_config *cfg, const struct fracdelay *kernel)
{
	double doppler_hz =
	        cfg->trace ? channel_trace_doppler_hz(cfg->trace) : cfg->speed_m_s / speed_of_light * cfg->carrier_hz;
	*link = (struct fading_link){ .kernel = kernel,
		                      .gain = pow(10, -cfg->path_loss_db / 20),
		                      .outage_period_s = cfg->outage_period_s,
		                      .outage_duration_s = cfg->outage_duration_s,
		                      .seed = cfg->seed,
		                      .stream = cfg->stream,
		                      .fir.start = UINT64_MAX,
		                      .gains = { { .n = UINT64_MAX }, { .n = UINT64_MAX } } };
	if (cfg->trace)
		follow_trace(link, cfg->trace);
	else
		tdl_init(&link->fading, cfg->profile, cfg->delay_spread_s, cfg->k_db, doppler_hz, cfg->seed,
		         cfg->stream);
	shadow_init(&link->shadow, cfg->shadow_db, cfg->shadow_db > 0 ? cfg->shadow_decorrelation_m : 1, cfg->speed_m_s,
	            cfg->seed, cfg->shadow_stream);
	init_clocks(link, cfg);
	if (link->max_tap_delay > LINK_MAX_SPREAD)
		return -EDOM;
	double turn = 2 * M_PI * (FRACDELAY_BAND * fabs(link->lag_step) + doppler_hz / cfg->rate_hz);
	if (turn * LINK_BLOCK > interval_turn_max)
		return -ERANGE;
	link->sloped = turn * LINK_BLOCK > block_turn;
	link->interval = largest_interval(turn);
	while (cfg->trace && link->interval > LINK_BLOCK &&
	       (double)link->interval > cfg->trace->step_s * cfg->rate_hz / 4)
		link->interval /= 2; /* so that the corners of the replay are there */
	return 0;
}

static double lag_at(const struct fading_link *link, uint64_t n)
{
	return link->lag_start + (double)n * link->lag_step;
}

static double time_at(const struct fading_link *link, uint64_t n)
{
	return link->t_start_s + (double)n * link->t_step_s;
}

int64_t fading_link_first_input(const struct fading_link *link, uint64_t n)
{
	return (int64_t)n + (int64_t)floor(lag_at(link, n) - link->max_tap_delay) - FRACDELAY_BEFORE - 1;
}

/* Of all taps at t_s, path loss and shadow included. */
static void link_gains(const struct fading_link *link, double t_s, float *re, float *im)
{
	float gain = (float)(link->gain * pow(10, -shadow_db(&link->shadow, t_s) / 20));
	if (link->trace)
		channel_trace_gains(link->trace, t_s, re, im);
	else
		tdl_gains(&link->fading, t_s, re, im);
	for (size_t i = 0; i < link->fading.n_taps; i++) {
		re[i] *= gain;
		im[i] *= gain;
	}
}

/* Tap gains at an end of an interval: the end of one is the start of the next. */
static const struct fading_link_gains *gains_at(struct fading_link *link, uint64_t n)
{
	struct fading_link_gains *gains = &link->gains[n / link->interval % 2];
	if (gains->n != n) {
		gains->n = n;
		link_gains(link, time_at(link, n), gains->re, gains->im);
	}
	return gains;
}

/* Coefficients at receiver sample n, into one end of the interval's filter. */
static void compute_end(struct fading_link *link, uint64_t n, int64_t base, float *restrict re, float *restrict im)
{
	const struct fading_link_gains *gains = gains_at(link, n);
	double lag = lag_at(link, n);
	memset(re, 0, LINK_MAX_FIR * sizeof *re);
	memset(im, 0, LINK_MAX_FIR * sizeof *im);
	for (size_t i = 0; i < link->fading.n_taps; i++) {
		double position = lag - link->tap_delay[i] - (double)base;
		size_t whole = (size_t)position;
		const float *w = fracdelay_weights(link->kernel, position - (double)whole);
		float a = gains->re[i], b = gains->im[i];
		for (size_t j = 0; j < FRACDELAY_LENGTH; j++) {
			re[whole - FRACDELAY_BEFORE + j] += a * w[j];
			im[whole - FRACDELAY_BEFORE + j] += b * w[j];
		}
	}
}

static const struct fading_link_fir *fir_of_interval(struct fading_link *link, uint64_t start)
{
	struct fading_link_fir *fir = &link->fir;
	if (fir->start == start)
		return fir;
	double a = lag_at(link, start), b = lag_at(link, start + link->interval);
	fir->start = start;
	fir->base = (int64_t)floor(fmin(a, b) - link->max_tap_delay) - FRACDELAY_BEFORE;
	fir->length = (size_t)(fmax(a, b) - (double)fir->base) - FRACDELAY_BEFORE + FRACDELAY_LENGTH;
	compute_end(link, start, fir->base, fir->re[0], fir->im[0]);
	compute_end(link, start + link->interval, fir->base, fir->re[1], fir->im[1]);
	turns_sincos(turns_from(link->cfo_hz * time_at(link, start)), &fir->turn_im, &fir->turn_re);
	return fir;
}

/* Coefficients of one block: in its middle, and their change a sample. */
struct coefficients {
	float re[LINK_MAX_FIR], im[LINK_MAX_FIR], slope_re[LINK_MAX_FIR], slope_im[LINK_MAX_FIR];
};

/* For the block that starts k samples into the interval, turned by the carrier offset at its first sample. */
static void interpolate(const struct fading_link *link, const struct fading_link_fir *fir, size_t k,
                        struct coefficients *out)
{
	float step = 1.0f / (float)link->interval, middle = ((float)k + 0.5f * (LINK_BLOCK - 1)) * step;
	float hop_re = link->hop_re[k / LINK_BLOCK], hop_im = link->hop_im[k / LINK_BLOCK];
	float c = fir->turn_re * hop_re - fir->turn_im * hop_im, s = fir->turn_re * hop_im + fir->turn_im * hop_re;
	for (size_t j = 0; j < fir->length; j++) {
		float da = fir->re[1][j] - fir->re[0][j], db = fir->im[1][j] - fir->im[0][j];
		float a = fir->re[0][j] + middle * da, b = fir->im[0][j] + middle * db;
		out->re[j] = a * c - b * s;
		out->im[j] = a * s + b * c;
	}
	for (size_t j = 0; link->sloped && j < fir->length; j++) {
		float da = fir->re[1][j] - fir->re[0][j], db = fir->im[1][j] - fir->im[0][j];
		out->slope_re[j] = step * (da * c - db * s);
		out->slope_im[j] = step * (da * s + db * c);
	}
}

#if defined(__AVX512F__)
enum { LANES = 16, VECTORS = 4 };
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__AVX__)
enum { LANES = 8, VECTORS = 2 };
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#else
enum { LANES = 4, VECTORS = 2 };
#define IN_REGISTER(v) (void)(v)
#endif
typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

/* Outputs 0 .. VECTORS * LANES - 1 of the filter: vectors run across outputs, so each output is the same sum in the
 * same order whatever the width; the sums live in registers, the four
 * products apart, so that no sum waits for another. Inputs lie across cache lines, so each is loaded once and kept for both its
 * uses; left alone, gcc reads it twice. */
static inline void fir_run(const float *restrict xr, const float *restrict xi, const float *restrict cr,
                           const float *restrict ci, size_t length, float *restrict yr, float *restrict yi)
{
	lanes ar[VECTORS] = { { 0 } }, ai[VECTORS] = { { 0 } }, br[VECTORS] = { { 0 } }, bi[VECTORS] = { { 0 } };
	for (size_t j = 0; j < length; j++) {
#pragma GCC unroll 4
		for (size_t v = 0; v < VECTORS; v++) {
			lanes a = *(const lanes *)(xr + j + v * LANES), b = *(const lanes *)(xi + j + v * LANES);
			IN_REGISTER(a);
			IN_REGISTER(b);
			ar[v] += a * cr[j];
			ai[v] += a * ci[j];
			br[v] += b * cr[j];
			bi[v] += b * ci[j];
		}
	}
#pragma GCC unroll 4
	for (size_t v = 0; v < VECTORS; v++) {
		*(lanes *)(yr + v * LANES) = ar[v] - bi[v];
		*(lanes *)(yi + v * LANES) = ai[v] + br[v];
	}
}

static void fir_block(const float *xr, const float *xi, const float *cr, const float *ci, size_t length, float *yr,
                      float *yi)
{
	for (size_t i = 0; i < LINK_BLOCK; i += VECTORS * LANES)
		fir_run(xr + i, xi + i, cr, ci, length, yr + i, yi + i);
}

static void blank_samples(const struct fading_link *link, uint64_t n, double from_s, double to_s, float *re, float *im)
{
	for (size_t k = 0; k < LINK_BLOCK; k++) {
		double t = time_at(link, n + k);
		if (t >= from_s && t < to_s)
			re[k] = im[k] = 0;
	}
}

/* Start of outage burst i: one in every period, at a seeded place. */
static double outage_start_s(const struct fading_link *link, uint64_t i)
{
	uint32_t word[4], counter[4] = { (uint32_t)i, (uint32_t)(i >> 32), 1, link->stream };
	gauss_philox(counter, link->seed, word);
	return ((double)i + word[0] * 0x1p-32) * link->outage_period_s;
}

static void blank_block(const struct fading_link *link, uint64_t n, float *re, float *im)
{
	double from = time_at(link, n), to = time_at(link, n + LINK_BLOCK);
	for (size_t i = 0; i < link->n_blanks; i++)
		if (link->blank[i].from_s < to && link->blank[i].to_s > from)
			blank_samples(link, n, link->blank[i].from_s, link->blank[i].to_s, re, im);
	if (link->outage_period_s <= 0)
		return;
	double first = floor((from - link->outage_duration_s) / link->outage_period_s) - 1;
	uint64_t last = (uint64_t)(to / link->outage_period_s);
	for (uint64_t i = first > 0 ? (uint64_t)first : 0; i <= last; i++) {
		double start = outage_start_s(link, i);
		blank_samples(link, n, start, start + link->outage_duration_s, re, im);
	}
}

/* One block of the grid, k samples into its interval; x: its input. Adds to re[], im[]. */
static void add_block(const struct fading_link *link, const struct fading_link_fir *fir, size_t k, const float *xr,
                      const float *xi, float *restrict re, float *restrict im)
{
	struct coefficients c;
	float yr[LINK_BLOCK], yi[LINK_BLOCK], zr[LINK_BLOCK], zi[LINK_BLOCK];
	interpolate(link, fir, k, &c);
	fir_block(xr, xi, c.re, c.im, fir->length, yr, yi);
	if (link->sloped) {
		fir_block(xr, xi, c.slope_re, c.slope_im, fir->length, zr, zi);
		for (size_t i = 0; i < LINK_BLOCK; i++) {
			float from_middle = (float)(int)i - 0.5f * (LINK_BLOCK - 1);
			yr[i] += from_middle * zr[i];
			yi[i] += from_middle * zi[i];
		}
	}
	for (size_t i = 0; i < LINK_BLOCK; i++) {
		zr[i] = yr[i] * link->spin_re[i] - yi[i] * link->spin_im[i];
		zi[i] = yr[i] * link->spin_im[i] + yi[i] * link->spin_re[i];
	}
	if (link->n_blanks || link->outage_period_s > 0)
		blank_block(link, fir->start + k, zr, zi);
	for (size_t i = 0; i < LINK_BLOCK; i++) {
		re[i] += zr[i];
		im[i] += zi[i];
	}
}

void fading_link_add(struct fading_link *link, const struct ring *ring, uint64_t n, size_t count, float *re, float *im,
                     struct fading_link_scratch *scratch)
{
	size_t reach = (size_t)link->max_tap_delay + FRACDELAY_LENGTH + 4;
	if (ring_is_silent(ring, fading_link_first_input(link, n), count + reach))
		return;
	for (size_t done = 0; done < count;) {
		uint64_t at = n + done, start = at / link->interval * link->interval;
		size_t piece = (size_t)(start + link->interval - at);
		if (piece > count - done)
			piece = count - done;
		const struct fading_link_fir *fir = fir_of_interval(link, start);
		int64_t first = fir->base + (int64_t)at;
		ring_read(ring, first, piece + fir->length, scratch->re, scratch->im);
		for (size_t b = 0; b < piece; b += LINK_BLOCK)
			if (!ring_is_silent(ring, first + (int64_t)b, LINK_BLOCK + fir->length))
				add_block(link, fir, (size_t)(at - start) + b, scratch->re + b, scratch->im + b,
				          re + done + b, im + done + b);
		done += piece;
	}
}

int fading_link_blank(struct fading_link *link, double from_s, double to_s)
{
	if (link->n_blanks == LINK_MAX_BLANKS)
		return -ENOSPC;
	link->blank[link->n_blanks++] = (struct fading_link_span){ from_s, to_s };
	return 0;
}

void fading_link_response(const struct fading_link *link, double t_s, const double *offset_hz, size_t n,
                          double complex *h)
{
	float re[TDL_MAX_TAPS], im[TDL_MAX_TAPS];
	link_gains(link, t_s, re, im);
	for (size_t i = 0; i < n; i++) {
		h[i] = 0;
		for (size_t l = 0; l < link->fading.n_taps; l++) {
			double delay = (link->propagation_delay + link->tap_delay[l]) / link->rate_hz;
			h[i] += (re[l] + I * im[l]) * cexp(-2 * I * M_PI * offset_hz[i] * delay);
		}
	}
}
