#include "radio/frontend.h"

#include <errno.h>
#include <math.h>

#include "radio/turns.h"

enum { CHUNK = 256 };

static bool within(double value, double min, double max)
{
	return value >= min && value <= max;
}

int frontend_init(struct frontend *f, const struct frontend_config *cfg, double rate_hz, uint64_t seed, uint32_t stream)
{
	double gain = pow(10, cfg->iq_gain_db / 20), phase = cfg->iq_phase_deg * M_PI / 180;
	if (!within(cfg->iq_gain_db, -6, 6) || !within(cfg->iq_phase_deg, -30, 30) || !within(cfg->leakage, 0, 1) ||
	    (cfg->bits && !within(cfg->bits, 2, 24)))
		return -EINVAL;
	*f = (struct frontend){ .noisy = cfg->phase_noise_corner_hz != 0,
		                .mixed = cfg->iq_gain_db != 0 || cfg->iq_phase_deg != 0 || cfg->leakage > 0,
		                .gain = (float)(gain * cos(phase)),
		                .cross = (float)(gain * sin(phase)),
		                .leakage = (float)cfg->leakage,
		                .steps = cfg->bits ? ldexpf(1, cfg->bits - 1) : 0 };
	f->ideal = !f->noisy && !f->mixed && !cfg->bits;
	return f->noisy ? phase_noise_init(&f->noise, cfg->phase_noise_dbc_hz, cfg->phase_noise_corner_hz, rate_hz,
	                                   seed, stream)
	                : 0;
}

static void oscillate(struct frontend *f, uint64_t t, size_t n, float *re, float *im)
{
	float radians[CHUNK];
	for (size_t done = 0; f->noisy && done < n; done += CHUNK) {
		size_t count = n - done < CHUNK ? n - done : CHUNK;
		phase_noise_fill(&f->noise, t + done, count, radians);
		for (size_t i = 0; i < count; i++) {
			float s, c, a = re[done + i], b = im[done + i];
			turns_sincos(turns_from((double)radians[i] / (2 * M_PI)), &s, &c);
			re[done + i] = a * c - b * s;
			im[done + i] = a * s + b * c;
		}
	}
}

static void mix(const struct frontend *f, size_t n, float *re, float *im)
{
	for (size_t i = 0; f->mixed && i < n; i++) {
		im[i] = f->gain * im[i] + f->cross * re[i];
		re[i] += f->leakage;
	}
}

/* Two's complement: from -1 to one step below 1. */
static float to_step(float x, float steps, bool *clipped)
{
	float step = rintf(x * steps);
	*clipped |= step < -steps || step > steps - 1;
	return fminf(fmaxf(step, -steps), steps - 1) / steps;
}

static size_t convert(const struct frontend *f, size_t n, float *re, float *im)
{
	size_t n_clipped = 0;
	for (size_t i = 0; f->steps > 0 && i < n; i++) {
		bool clipped = false;
		re[i] = to_step(re[i], f->steps, &clipped);
		im[i] = to_step(im[i], f->steps, &clipped);
		n_clipped += clipped;
	}
	return n_clipped;
}

size_t frontend_receive(struct frontend *f, uint64_t t, size_t n, float *re, float *im)
{
	oscillate(f, t, n, re, im);
	mix(f, n, re, im);
	return convert(f, n, re, im);
}

size_t frontend_transmit(struct frontend *f, uint64_t t, size_t n, float *re, float *im)
{
	size_t n_clipped = convert(f, n, re, im);
	mix(f, n, re, im);
	oscillate(f, t, n, re, im);
	return n_clipped;
}
