#include "phy/soften.h"

#include "phy/ldpc.h"

#include <math.h>
#include <string.h>

enum {
	FINE_BITS = LDPC_LLR_STEPS > 4 ? 4 : 5, /* a step of the decoder is 2^this of the integers here */
	FINE = 1 << FINE_BITS,
	EDGE = 32512, /* most gain times 2^bits of an axis: coordinates and the places between points fit 16 bits */
	PAST = 127 * FINE, /* a metric from here on is clipped in any case; 8 of them fit 16 bits */
};

/* Half the distance between neighbours at unit mean power, of qm / 2 - 1. */
static const float units[] = { 0.70710678f, 0.31622777f, 0.15430335f, 0.07669650f };

/* To the nearest integer of at most that magnitude. What is no number becomes one or the other of these. */
static inline int16_t to_integer(float x, int32_t most)
{
	const float magic = 0x1.8p23f; /* leaves the integer in the lowest bits of the mantissa */
	const int32_t zero = 0x4B400000;
	float y = x + magic;
	int32_t i;

	memcpy(&i, &y, sizeof i); /* in the order of the floats, as far as positive ones go */
	i = i < zero + most ? i : zero + most;
	i = i > zero - most ? i : zero - most;
	return (int16_t)(uint16_t)(uint32_t)i;
}

static void match(struct soften *restrict s, unsigned qm, float unit, size_t n)
{
	const float *restrict y = (const float *)s->y, *restrict h = (const float *)s->h;
	const float scale = 4 * unit * LDPC_LLR_STEPS * FINE, least = 1e-30f;
	const int32_t most = EDGE >> qm / 2;
	float snr = 0;

#pragma omp simd reduction(+ : snr)
	for (size_t i = 0; i < n; i++) {
		float yr = y[2 * i], yi = y[2 * i + 1], hr = h[2 * i], hi = h[2 * i + 1];
		float power = hr * hr + hi * hi, half = unit * power;
		float gain = scale * s->inverse_noise[i], limit = (float)most / (half + least);
		gain = gain < limit ? gain : limit;
		s->x[0][i] = to_integer(gain * (yr * hr + yi * hi), INT16_MAX);
		s->x[1][i] = to_integer(gain * (yi * hr - yr * hi), INT16_MAX);
		s->two[i] = to_integer(gain * (half + half), 2 * most);
		snr += power * s->inverse_noise[i];
	}
	s->snr = snr;
}

static inline int16_t magnitude(int16_t x)
{
	return (int16_t)(x < 0 ? -x : x);
}

static inline int16_t min(int16_t a, int16_t b)
{
	return a < b ? a : b;
}

static inline int16_t max(int16_t a, int16_t b)
{
	return a > b ? a : b;
}

/* The m bits of one axis. Bit k: x folded so that 0 lies on its positive side, the points there being 1, 3, .. 2 half - 1,
 * mirrored; the slope of the metric grows at every even place. */
static inline __attribute__((always_inline)) void demap_axis(const int16_t *restrict x, const int16_t *restrict two,
                                                             int8_t *restrict llr, unsigned m, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		int16_t v = x[i], t = two[i];
#pragma GCC unroll 4
		for (unsigned k = 0; k < m; k++) {
			int half = 1 << (m - 1 - k);
			int16_t a = magnitude(v), c = min(a, PAST), sum = c, place = 0;
#pragma GCC unroll 8
			for (int step = 1; step < half; step++) {
				place = (int16_t)(place + t);
				sum = (int16_t)(sum + max((int16_t)(c - place), 0));
			}
			sum = (int16_t)(sum + FINE / 2);
			sum = min((int16_t)(sum >> FINE_BITS), 127);
			llr[2 * k * SOFTEN_RE + i] = (int8_t)(v < 0 ? -sum : sum);
			v = (int16_t)(half / 2 * t - a);
		}
	}
}

static void demap(struct soften *s, unsigned qm, size_t n)
{
	for (unsigned axis = 0; axis < 2; axis++) {
		if (qm == 2)
			demap_axis(s->x[axis], s->two, s->llr[axis], 1, n);
		else if (qm == 4)
			demap_axis(s->x[axis], s->two, s->llr[axis], 2, n);
		else if (qm == 6)
			demap_axis(s->x[axis], s->two, s->llr[axis], 3, n);
		else
			demap_axis(s->x[axis], s->two, s->llr[axis], 4, n);
	}
}

static void descramble(struct soften *s, unsigned qm, size_t n)
{
	for (unsigned k = 0; k < qm; k++) {
		const uint8_t *restrict c = s->scramble;
		int8_t *restrict llr = s->llr[k];
		uint8_t bit = (uint8_t)(1u << k);
#pragma omp simd
		for (size_t i = 0; i < n; i++) {
			int8_t flip = (c[i] & bit) ? -1 : 0;
			llr[i] = (int8_t)((llr[i] ^ flip) - flip);
		}
	}
}

/* Odd places -most .. most are the points. */
static void compare(struct soften *s, unsigned qm, float unit, size_t n)
{
	const float most = (float)((1 << qm / 2) - 1);
	float error = 0, power = 0;

	for (unsigned axis = 0; axis < 2; axis++) {
#pragma omp simd reduction(+ : error, power)
		for (size_t i = 0; i < n; i++) {
			float there = s->two[i] > 0 ? 1.0f : 0.0f, two = (float)s->two[i] + (1 - there);
			float a = fabsf((float)s->x[axis][i]) / two, point = 2 * (float)(int)a + 1;
			point = there * (point < most ? point : most);
			float e = 2 * there * a - point;
			error += e * e;
			power += point * point;
		}
	}
	s->error = error * unit * unit;
	s->power = power * unit * unit;
}

void soften(struct soften *s, unsigned qm, size_t n)
{
	float unit = units[qm / 2 - 1];

	match(s, qm, unit, n);
	demap(s, qm, n);
	descramble(s, qm, n);
	compare(s, qm, unit, n < SOFTEN_EVM_RE ? n : SOFTEN_EVM_RE);
}
