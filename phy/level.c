#include "phy/level.h"

#include <math.h>

float level_full_scale_dbm(float tx_power_dbm)
{
	return tx_power_dbm - LEVEL_RMS_DBFS;
}

static float power_of(float complex x)
{
	return crealf(x) * crealf(x) + cimagf(x) * cimagf(x);
}

enum { STRETCH = 256 };

/* So that rounding leaves none above 1. */
static const float just_below_1 = 1 - 4e-7f;

/* A loop without branches, for the many stretches in which there is nothing to clip. */
static int any_above_1(const float complex *x, size_t n)
{
	int above = 0;
	for (size_t i = 0; i < n; i++)
		above |= !(power_of(x[i]) <= 1);
	return above;
}

static size_t clip(float complex *x, size_t n)
{
	size_t clipped = 0;
	for (size_t i = 0; i < n; i++) {
		float power = power_of(x[i]);
		if (power <= 1)
			continue;
		x[i] *= just_below_1 / sqrtf(power);
		clipped++;
	}
	return clipped;
}

size_t level_clip(float complex *x, size_t n)
{
	size_t clipped = 0;
	for (size_t i = 0, count; i < n; i += count) {
		count = n - i < STRETCH ? n - i : STRETCH;
		if (any_above_1(x + i, count))
			clipped += clip(x + i, count);
	}
	return clipped;
}

void level_quantise(float complex *x, size_t n, unsigned bits)
{
	float steps = ldexpf(1, (int)bits - 1);
	for (size_t i = 0; i < n; i++) {
		float re = fminf(rintf(crealf(x[i]) * steps), steps - 1);
		float im = fminf(rintf(cimagf(x[i]) * steps), steps - 1);
		x[i] = CMPLXF(fmaxf(re, -steps) / steps, fmaxf(im, -steps) / steps);
	}
}

static size_t bin_of(double dbfs)
{
	double bin = floor((dbfs - LEVEL_BIN_MIN_DB) * LEVEL_BINS_PER_DB);
	return bin < 0 ? 0 : bin >= LEVEL_BINS ? LEVEL_BINS - 1 : (size_t)bin;
}

void level_ccdf_add(struct level_ccdf *c, const float complex *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float power = power_of(x[i]);
		c->power += (double)power;
		c->bin[bin_of(10 * log10(fmax((double)power, 1e-30)))]++;
	}
	c->n += n;
}

double level_ccdf_rms_dbfs(const struct level_ccdf *c)
{
	return c->n ? 10 * log10(c->power / (double)c->n) : -INFINITY;
}

double level_ccdf_share(const struct level_ccdf *c, double dbfs)
{
	uint64_t above = 0;
	double first = ceil((dbfs - LEVEL_BIN_MIN_DB) * LEVEL_BINS_PER_DB - 1e-6);
	for (size_t b = first > 0 ? (size_t)first : 0; b < LEVEL_BINS; b++)
		above += c->bin[b];
	return c->n ? (double)above / (double)c->n : 0;
}

double level_ccdf_dbfs(const struct level_ccdf *c, double probability)
{
	uint64_t above = 0, allowed = (uint64_t)(probability * (double)c->n);
	size_t b = LEVEL_BINS;
	while (b > 0 && above + c->bin[b - 1] <= allowed)
		above += c->bin[--b];
	return LEVEL_BIN_MIN_DB + (double)b / LEVEL_BINS_PER_DB;
}
