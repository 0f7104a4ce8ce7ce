#include "phy/modem.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { CHUNK = 64 }; /* symbols demapped before their LLRs are interleaved: the work stays in the first-level cache */

struct map {
	unsigned axis_bits; /* bits on each axis */
	float unit;         /* half the distance between neighbours at unit mean power */
};

/* TS 38.211, 5.1.3 .. 5.1.6; index qm / 2 - 1. 1 / unit^2 = 2, 10, 42, 170. */
static const struct map maps[] = {
	{ 1, 0.70710678f },
	{ 2, 0.31622777f },
	{ 3, 0.15430335f },
	{ 4, 0.07669650f },
};

static const struct map *find_map(unsigned qm)
{
	return qm % 2 || qm < 2 || qm > MODEM_BITS_MAX ? NULL : &maps[qm / 2 - 1];
}

/* One axis, in units: (1 - 2 b0) (2^(m-1) - (1 - 2 b1) (2^(m-2) - ...)). levels[i]: i's top bit is b0. */
static void axis_levels(const struct map *map, float *levels)
{
	unsigned m = map->axis_bits;

	for (unsigned i = 0; i < 1u << m; i++) {
		float level = 1;
		for (unsigned k = 1; k < m; k++) { /* from the innermost bit, b(m-1), outwards */
			unsigned bit = i >> (k - 1) & 1;
			level = (float)(1u << k) - (bit ? -level : level);
		}
		levels[i] = (i >> (m - 1) & 1 ? -level : level) * map->unit;
	}
}

int modem_map(unsigned qm, const uint8_t *bits, float complex *symbols, size_t n)
{
	const struct map *map = find_map(qm);
	float levels[1 << MODEM_BITS_MAX / 2];

	if (!map)
		return -EINVAL;
	axis_levels(map, levels);
	for (size_t i = 0; i < n; i++, bits += qm) {
		unsigned re = 0, im = 0;
		for (unsigned k = 0; k < qm; k += 2) {
			re = re << 1 | bits[k];
			im = im << 1 | bits[k + 1];
		}
		symbols[i] = CMPLXF(levels[re], levels[im]);
	}
	return 0;
}

int modem_points(unsigned qm, float amplitude, float complex *points)
{
	const struct map *map = find_map(qm);
	float levels[1 << MODEM_BITS_MAX / 2];

	if (!map)
		return -EINVAL;
	axis_levels(map, levels);
	for (unsigned s = 0; s < 1u << qm; s++) {
		unsigned re = 0, im = 0;
		for (unsigned k = 0; k < qm; k += 2) {
			re = re << 1 | (s >> k & 1);
			im = im << 1 | (s >> (k + 1) & 1);
		}
		points[s] = CMPLXF(amplitude * levels[re], amplitude * levels[im]);
	}
	return 0;
}

/* One bit of one axis: x is the coordinate folded so that bit 0 lies on its positive side, in units; the points there
 * are 1, 3, .. 2 * half - 1, mirrored. Max-log: the slope grows by 4 at every even place. */
static void bit_metric(const float *restrict x, const float *restrict gain, unsigned half, float *restrict metric)
{
	for (size_t i = 0; i < 2 * CHUNK; i++)
		metric[i] = fabsf(x[i]);
	for (unsigned t = 1; t < half; t++)
		for (size_t i = 0; i < 2 * CHUNK; i++) {
			float over = fabsf(x[i]) - (float)(2 * t);
			metric[i] += over > 0 ? over : 0;
		}
	for (size_t i = 0; i < 2 * CHUNK; i++)
		metric[i] = copysignf(metric[i], x[i]) * gain[i];
}

/* CHUNK symbols: y holds real and imaginary parts in turn. */
static void demap_chunk(const struct map *map, const float *restrict y, const float *restrict noise_var, float *llr)
{
	float x[2 * CHUNK], gain[2 * CHUNK], metric[MODEM_BITS_MAX / 2][2 * CHUNK];
	unsigned m = map->axis_bits;

	for (size_t i = 0; i < CHUNK; i++)
		gain[2 * i] = gain[2 * i + 1] = 4 * map->unit * map->unit / noise_var[i];
	for (size_t i = 0; i < 2 * CHUNK; i++)
		x[i] = y[i] * (1 / map->unit);
	for (unsigned k = 0; k < m; k++) {
		bit_metric(x, gain, 1u << (m - 1 - k), metric[k]);
		float centre = (float)(1u << (m - 1 - k));
		for (size_t i = 0; i < 2 * CHUNK; i++)
			x[i] = centre - fabsf(x[i]);
	}
	for (unsigned k = 0; k < m; k++)
		for (size_t i = 0; i < CHUNK; i++)
			memcpy(&llr[2 * (i * m + k)], &metric[k][2 * i], 2 * sizeof llr[0]);
}

int modem_demap(unsigned qm, const float complex *symbols, const float *noise_var, float *llr, size_t n)
{
	const struct map *map = find_map(qm);
	size_t i = 0;

	if (!map)
		return -EINVAL;
	for (; i + CHUNK <= n; i += CHUNK)
		demap_chunk(map, (const float *)&symbols[i], &noise_var[i], &llr[i * qm]);
	if (i < n) {
		float y[2 * CHUNK] = { 0 }, var[CHUNK], tail[CHUNK * MODEM_BITS_MAX];
		for (size_t k = 0; k < CHUNK; k++)
			var[k] = 1;
		memcpy(y, &symbols[i], (n - i) * sizeof symbols[0]);
		memcpy(var, &noise_var[i], (n - i) * sizeof var[0]);
		demap_chunk(map, y, var, tail);
		memcpy(&llr[i * qm], tail, (n - i) * qm * sizeof llr[0]);
	}
	return 0;
}
