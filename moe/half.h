/* half.h - the two half-precision formats of weights and codecs as bit patterns: f16 (IEEE 754 binary16) and bf16 (the upper half
 * of an f32).
 *
 *     float x = f16_value(bits);
 *     uint16_t bits = f16_bits(x);            to nearest, ties to even; too large: infinity
 *
 * By the processor where it has the instructions, otherwise by hand: the bits are the same.
 */
#ifndef MOE_HALF_H
#define MOE_HALF_H

#include <stdint.h>
#include <string.h>

#ifdef __F16C__
#include <immintrin.h>
#endif

static inline float float_of_bits(uint32_t bits)
{
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static inline uint32_t bits_of_float(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

/* The exponent goes from base 15 to base 127 by a product that is exact, small numbers included. */
static inline float f16_value_plain(uint16_t bits)
{
	uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = (uint32_t)(bits & 0x7fff) << 13;
	if ((bits & 0x7c00) == 0x7c00) /* infinity, NaN */
		return float_of_bits(sign | 0x7f800000 | rest);
	return float_of_bits(sign | bits_of_float(float_of_bits(rest) * 0x1p112f));
}

static inline uint16_t f16_bits_plain(float x)
{
	uint32_t bits = bits_of_float(x), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
	if (rest > 0x7f800000) /* NaN, a quiet one */
		return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
	if (rest >= 0x477ff000) /* 65520: its nearest is infinity */
		return (uint16_t)(sign | 0x7c00);
	if (rest < 0x38800000) /* below the smallest normal f16: an addition shifts and rounds */
		return (uint16_t)(sign | (bits_of_float(float_of_bits(rest) + 0.5f) - bits_of_float(0.5f)));
	rest += 0xfff + (rest >> 13 & 1); /* half of the last place kept, ties to even */
	return (uint16_t)(sign | (rest - 0x38000000) >> 13);
}

static inline float f16_value(uint16_t bits)
{
#ifdef __F16C__
	return _cvtsh_ss(bits); /* the compiler's own choice with AVX-512 FP16 takes three times as long */
#else
	return f16_value_plain(bits);
#endif
}

static inline uint16_t f16_bits(float x)
{
#ifdef __F16C__
	return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
#else
	return f16_bits_plain(x);
#endif
}

static inline float bf16_value(uint16_t bits)
{
	return float_of_bits((uint32_t)bits << 16);
}

#endif
