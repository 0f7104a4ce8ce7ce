#include "moe/codec.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "moe/half.h"
#include "moe/tensor.h"

/* --- f32 --- */

static int encode_f32(const float *x, size_t n, uint8_t *out)
{
	if (!tensor_all_finite(x, n))
		return -EDOM;
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, &x[i], sizeof bits);
		bits = htobe32(bits);
		memcpy(out + i * sizeof bits, &bits, sizeof bits);
	}
	return 0;
}

static int decode_f32(const uint8_t *in, size_t n, float *x)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, in + i * sizeof bits, sizeof bits);
		bits = be32toh(bits);
		memcpy(&x[i], &bits, sizeof bits);
	}
	return tensor_all_finite(x, n) ? 0 : -EDOM;
}

/* --- f16 --- */

static void put_f16(float x, uint8_t *out)
{
	uint16_t bits = htobe16(f16_bits(x));
	memcpy(out, &bits, sizeof bits);
}

static float get_f16(const uint8_t *in)
{
	uint16_t bits;
	memcpy(&bits, in, sizeof bits);
	return f16_value(be16toh(bits));
}

static const float f16_overflow = 65520; /* from here on the nearest f16 is infinity */

static int encode_f16(const float *x, size_t n, uint8_t *out)
{
	if (!tensor_all_finite(x, n))
		return -EDOM;
	for (size_t i = 0; i < n; i++) {
		if (fabsf(x[i]) >= f16_overflow)
			return -ERANGE;
		put_f16(x[i], out + i * sizeof(uint16_t));
	}
	return 0;
}

static int decode_f16(const uint8_t *in, size_t n, float *x)
{
	for (size_t i = 0; i < n; i++)
		x[i] = get_f16(in + i * sizeof(uint16_t));
	return tensor_all_finite(x, n) ? 0 : -EDOM;
}

/* --- int8 --- */

enum { BLOCK = 32, Q_MAX = 127 };

static int encode_int8(const float *x, size_t n, uint8_t *out)
{
	if (!tensor_all_finite(x, n))
		return -EDOM;
	for (size_t start = 0; start < n; start += BLOCK) {
		size_t len = n - start < BLOCK ? n - start : BLOCK;
		float max = 0;
		for (size_t i = 0; i < len; i++)
			max = fmaxf(max, fabsf(x[start + i]));
		if (max / Q_MAX >= f16_overflow)
			return -ERANGE;
		put_f16(max / Q_MAX, out);
		float scale = get_f16(out); /* what the other end will multiply by */
		out += sizeof(uint16_t);
		for (size_t i = 0; i < len; i++) {
			float q = scale > 0 ? rintf(x[start + i] / scale) : 0;
			*out++ = (uint8_t)(int8_t)fmaxf(-Q_MAX, fminf(Q_MAX, q));
		}
	}
	return 0;
}

static int decode_int8(const uint8_t *in, size_t n, float *x)
{
	for (size_t start = 0; start < n; start += BLOCK) {
		size_t len = n - start < BLOCK ? n - start : BLOCK;
		float scale = get_f16(in);
		if (!isfinite(scale))
			return -EDOM;
		in += sizeof(uint16_t);
		for (size_t i = 0; i < len; i++)
			x[start + i] = scale * (float)(int8_t)*in++;
	}
	return 0;
}

/* --- int4 --- */

/* The number of largest magnitude is worth -8 exactly where that leaves the others within 7; two numbers a byte, the first in
 * the upper half. A block of odd length has zeros in its last half byte. */
static float scale_of_four_bits(const float *x, size_t len)
{
	float largest = 0;
	for (size_t i = 0; i < len; i++)
		largest = fabsf(x[i]) > fabsf(largest) ? x[i] : largest;
	return largest != 0 ? largest / -8 : 0; /* never -0 */
}

static int encode_int4(const float *x, size_t n, uint8_t *out)
{
	if (!tensor_all_finite(x, n))
		return -EDOM;
	for (size_t start = 0; start < n; start += BLOCK) {
		size_t len = n - start < BLOCK ? n - start : BLOCK;
		float wanted = scale_of_four_bits(x + start, len);
		if (fabsf(wanted) >= f16_overflow)
			return -ERANGE;
		put_f16(wanted, out);
		float scale = get_f16(out);
		out += sizeof(uint16_t);
		for (size_t i = 0; i < len; i += 2) {
			uint8_t byte = 0;
			for (size_t k = i; k < i + 2 && k < len; k++) {
				float q = scale != 0 ? rintf(x[start + k] / scale) : 0;
				unsigned four = (unsigned)(int)fmaxf(-8, fminf(7, q)) & 15;
				byte |= (uint8_t)(k == i ? four << 4 : four);
			}
			*out++ = byte;
		}
	}
	return 0;
}

static int decode_int4(const uint8_t *in, size_t n, float *x)
{
	for (size_t start = 0; start < n; start += BLOCK) {
		size_t len = n - start < BLOCK ? n - start : BLOCK;
		float scale = get_f16(in);
		if (!isfinite(scale))
			return -EDOM;
		in += sizeof(uint16_t);
		for (size_t i = 0; i < len; i++) {
			int four = i % 2 ? in[i / 2] & 15 : in[i / 2] >> 4;
			x[start + i] = scale * (float)(four > 7 ? four - 16 : four);
		}
		in += (len + 1) / 2;
	}
	return 0;
}

static const struct codec codecs[] = {
	{ .id = 1, .name = "f32", .block = 1, .block_bits = 32, .encode = encode_f32, .decode = decode_f32 },
	{ .id = 2, .name = "f16", .block = 1, .block_bits = 16, .encode = encode_f16, .decode = decode_f16 },
	{ .id = 3,
	  .name = "int8",
	  .block = BLOCK,
	  .block_head = 2,
	  .block_bits = 8 * BLOCK,
	  .encode = encode_int8,
	  .decode = decode_int8 },
	{ .id = 4,
	  .name = "int4",
	  .block = BLOCK,
	  .block_head = 2,
	  .block_bits = 4 * BLOCK,
	  .encode = encode_int4,
	  .decode = decode_int4 },
};
enum { N_CODECS = sizeof codecs / sizeof codecs[0] };

const struct codec *codec_at(size_t i)
{
	return i < N_CODECS ? &codecs[i] : NULL;
}

const struct codec *codec_by_name(const char *name)
{
	for (size_t i = 0; i < N_CODECS; i++)
		if (!strcmp(codecs[i].name, name))
			return &codecs[i];
	return NULL;
}

const struct codec *codec_by_id(uint8_t id)
{
	for (size_t i = 0; i < N_CODECS; i++)
		if (codecs[i].id == id)
			return &codecs[i];
	return NULL;
}

size_t codec_bytes(const struct codec *c, size_t n)
{
	size_t whole = n / c->block, rest = n % c->block, bits = c->block_bits / c->block;
	return whole * (c->block_head + c->block_bits / 8) + (rest ? c->block_head + (rest * bits + 7) / 8 : 0);
}

size_t codec_bytes_max(size_t n)
{
	size_t most = 0;
	for (size_t i = 0; i < N_CODECS; i++)
		most = codec_bytes(&codecs[i], n) > most ? codec_bytes(&codecs[i], n) : most;
	return most;
}
