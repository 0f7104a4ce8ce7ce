/* codec.h - how rows of activations are written as bytes for the air.
 *
 *     const struct codec *c = codec_by_name("f16");
 *     c->encode(x, n_embd, bytes);              // codec_bytes(c, n_embd) bytes
 *     c->decode(bytes, n_embd, y);
 *
 * f32 is exact. f16 rounds to nearest even. int8 writes blocks of 32 numbers (the last may be shorter) as a scale in
 * f16 and one signed byte each, x = scale * q. int4 the same with four bits, -8 to 7, two numbers a byte. All numbers are in network byte order. A row is encoded by itself, so
 * its bytes do not depend on what else is in the message. Numbers that are not finite are refused in both directions.
 */
#ifndef MOE_CODEC_H
#define MOE_CODEC_H

#include <stddef.h>
#include <stdint.h>

struct codec {
	uint8_t id; /* as in message headers */
	const char *name;
	size_t block;      /* numbers per block */
	size_t block_head; /* bytes in front of each block */
	size_t block_bits; /* bits of a whole block's numbers */
	/* x: n numbers, to out: codec_bytes(n). 0; -EDOM (not finite); -ERANGE (too large for the codec). */
	int (*encode)(const float *x, size_t n, uint8_t *out);
	/* in: codec_bytes(n), to x: n numbers. 0; -EDOM (a number or scale not finite). */
	int (*decode)(const uint8_t *in, size_t n, float *x);
};

/* NULL if there is none. */
const struct codec *codec_by_name(const char *name);
const struct codec *codec_by_id(uint8_t id);
/* The i-th codec, NULL at the end: for lists in messages. */
const struct codec *codec_at(size_t i);

/* Bytes of a row of n numbers. */
size_t codec_bytes(const struct codec *c, size_t n);
/* The same with the codec that takes most. */
size_t codec_bytes_max(size_t n);

#endif
