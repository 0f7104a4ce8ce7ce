/* quants.h - how weights lie in the blocks of a GGUF file, for tensor.c and the kernels.
 *
 * Block types have 32 numbers a block, the K types super-blocks of 256 numbers in sub-blocks of 32 (Q6_K: 16) whose scales
 * are small integers. d, dmin: f16. What a number is worth:
 *     Q8_0  d q                        Q4_0  d (q - 8)
 *     Q4_K  d scale q - dmin min       Q5_K  the same with five bits       Q6_K  d scale (q - 32)
 * with d scale and dmin min rounded to f32 and the rest in one fused operation. Format: github.com/ggml-org/ggml.
 */
#ifndef MOE_QUANTS_H
#define MOE_QUANTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "moe/half.h"

enum { QUANT_BLOCK = 32, QUANT_SUPER = 256, QUANT_SUBS = QUANT_SUPER / QUANT_BLOCK };

struct q8_0_block {
	uint16_t d;
	int8_t q[32];
};
_Static_assert(sizeof(struct q8_0_block) == 34, "as in the file");

struct q4_0_block {
	uint16_t d;
	uint8_t q[16]; /* number i in the low half of byte i, number i + 16 in the high half */
};
_Static_assert(sizeof(struct q4_0_block) == 18, "as in the file");

/* Sub-blocks 2 i and 2 i + 1 are the low and high halves of bytes 32 i .. 32 i + 31 of q. */
struct q4_k_block {
	uint16_t d, dmin;
	uint8_t scales[12]; /* see quant_scales */
	uint8_t q[128];
};
_Static_assert(sizeof(struct q4_k_block) == 144, "as in the file");

struct q5_k_block {
	uint16_t d, dmin;
	uint8_t scales[12];
	uint8_t high[32]; /* bit j of byte i: fifth bit of number i of sub-block j */
	uint8_t q[128];
};
_Static_assert(sizeof(struct q5_k_block) == 176, "as in the file");
_Static_assert(offsetof(struct q4_k_block, scales) == offsetof(struct q5_k_block, scales), "read alike");

/* Of each half of 128 numbers: sub-block j of 32 has its low four bits in half j / 2 of bytes 32 (j % 2) .. of low, its
 * upper two in bits 2 j of high. */
struct q6_k_block {
	uint8_t low[128], high[64];
	int8_t scales[16]; /* of 16 numbers each */
	uint16_t d;
};
_Static_assert(sizeof(struct q6_k_block) == 210, "as in the file");

/* Sixteen bytes as the compiler's own vectors, which have all operators. */
typedef uint8_t quant_bytes __attribute__((vector_size(16)));
typedef uint32_t quant_words __attribute__((vector_size(16)));

/* Eight scales and eight mins of six bits each, out of the first 16 bytes of a Q4_K or Q5_K block, behind d and dmin: four of each whole in eight
 * bytes, the other four in halves of the last four bytes and the top bits of those eight. */
static inline quant_bytes quant_scales(quant_bytes front)
{
	quant_words p = (quant_words)front;
	quant_words low = __builtin_shufflevector(p, p, 1, 3, 2, 3) >> (quant_words){ 0, 0, 0, 4 };
	quant_words high = __builtin_shufflevector(p, p, 1, 1, 2, 2) >> 2;
	low &= (quant_words){ 0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f };
	high &= (quant_words){ 0, 0x30303030, 0, 0x30303030 };
	return (quant_bytes)(low | high);
}

/* The first 16 bytes of a block. */
static inline quant_bytes quant_front(const void *block)
{
	quant_bytes front;
	memcpy(&front, block, sizeof front);
	return front;
}

#endif
