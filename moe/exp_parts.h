/* exp_parts.h - e^x from fused operations only, so the same bits on every machine, and without branches, so that loops over
 * it become vectors.
 *
 * e^x = mantissa * power: e^x = 2^k e^r, |r| <= ln(2) / 2, with ln(2) in two parts, then the Taylor sum to r^7 / 7!. Two
 * factors because 2^128 is no float: mantissa has half of the power of two. 0 below -87, +INFINITY above 88.7, NaN for NaN.
 */
#ifndef MOE_EXP_PARTS_H
#define MOE_EXP_PARTS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

struct exp_parts {
	float mantissa, power;
};

static inline float power_of_two(int32_t n)
{
	uint32_t bits = (uint32_t)(n + 127) << 23;
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static inline struct exp_parts exp_parts(float x)
{
	float in = x > -87.0f ? x : -87.0f;
	in = in < 88.7f ? in : 88.7f;
	float k = rintf(in * 1.44269504f);
	float r = fmaf(-k, 0.693145752f, in);
	r = fmaf(-k, 1.42860677e-6f, r);
	float p = 1.0f / 5040;
	p = fmaf(p, r, 1.0f / 720);
	p = fmaf(p, r, 1.0f / 120);
	p = fmaf(p, r, 1.0f / 24);
	p = fmaf(p, r, 1.0f / 6);
	p = fmaf(p, r, 0.5f);
	p = fmaf(p, r, 1.0f);
	p = fmaf(p, r, 1.0f);
	int32_t whole = (int32_t)k, half = whole / 2;
	float mantissa = p * power_of_two(half), power = power_of_two(whole - half);
	power = x > -87.0f ? power : 0;
	power = x > 88.7f ? INFINITY : power;
	return (struct exp_parts){ mantissa, x == x ? power : x };
}

#endif
