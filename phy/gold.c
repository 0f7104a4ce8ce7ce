#include "phy/gold.h"

#include <endian.h>
#include <math.h>
#include <string.h>

/* x(n + 64) from x(n + 2 + ...): the squared polynomials shifted by two, 32 outputs at a time. */
static void step(struct gold *g)
{
	uint32_t next1 = (uint32_t)(g->x1 >> 8 ^ g->x1 >> 2);
	uint32_t next2 = (uint32_t)(g->x2 >> 8 ^ g->x2 >> 6 ^ g->x2 >> 4 ^ g->x2 >> 2);

	g->x1 = g->x1 >> 32 | (uint64_t)next1 << 32;
	g->x2 = g->x2 >> 32 | (uint64_t)next2 << 32;
}

/* Outputs 1600 .. 1663 of the registers: of the first, which always begins alike, and of the second for each bit of
 * c_init. tests/phy/test_gold.c has the recurrences. */
static const uint64_t x1_start = 0x6AC0A9A45E485840;
static const uint64_t x2_start[31] = {
	0x2D7FF07070889900, 0x778010909199AB01, 0xC27FD15153BBCF03, 0xA98052D2D7FF0707, 0x5300A5A5AFFE0E0E,
	0xA6014B4B5FFC1C1C, 0x4C029696BFF83838, 0x98052D2D7FF07070, 0x300A5A5AFFE0E0E1, 0x6014B4B5FFC1C1C2,
	0xC029696BFF838384, 0x8052D2D7FF070708, 0x00A5A5AFFE0E0E11, 0x014B4B5FFC1C1C22, 0x029696BFF8383844,
	0x052D2D7FF0707088, 0x0A5A5AFFE0E0E111, 0x14B4B5FFC1C1C222, 0x29696BFF83838444, 0x52D2D7FF07070889,
	0xA5A5AFFE0E0E1113, 0x4B4B5FFC1C1C2226, 0x9696BFF83838444C, 0x2D2D7FF070708899, 0x5A5AFFE0E0E11132,
	0xB4B5FFC1C1C22264, 0x696BFF83838444C8, 0xD2D7FF0707088990, 0xA5AFFE0E0E111320, 0x4B5FFC1C1C222640,
	0x96BFF83838444C80,
};

void gold_init(struct gold *g, uint32_t c_init)
{
	uint64_t x2 = 0;

	for (unsigned i = 0; i < 31; i++)
		x2 ^= x2_start[i] & -(uint64_t)(c_init >> i & 1);
	*g = (struct gold){ .x1 = x1_start, .x2 = x2 };
}

uint32_t gold_next32(struct gold *g)
{
	uint32_t c = (uint32_t)(g->x1 ^ g->x2);

	step(g);
	return c;
}

/* Words of both registers, DEGREE of the past before BLOCK new ones: as word i + 31 is a sum of words i .. i + 3, up to
 * 28 can be made at a time. */
enum { DEGREE = 31, BLOCK = 192 /* words; a whole number of symbols of any order */ };

struct stream {
	uint32_t x1[DEGREE + BLOCK], x2[DEGREE + BLOCK];
};

static void stream_init(struct stream *s, uint32_t c_init)
{
	struct gold g;

	gold_init(&g, c_init);
	for (int i = 0; i < DEGREE; i++) {
		s->x1[i] = (uint32_t)g.x1;
		s->x2[i] = (uint32_t)g.x2;
		step(&g);
	}
}

/* n words, little endian, at most BLOCK; fewer end the stream. */
static void stream_next(struct stream *s, uint32_t *words, int n)
{
	uint32_t *restrict x1 = s->x1, *restrict x2 = s->x2;
	int end = n < BLOCK ? n : DEGREE + BLOCK;

#pragma omp simd safelen(16)
	for (int i = DEGREE; i < end; i++) {
		x1[i] = x1[i - 28] ^ x1[i - 31];
		x2[i] = x2[i - 28] ^ x2[i - 29] ^ x2[i - 30] ^ x2[i - 31];
	}
	for (int i = 0; i < n; i++)
		words[i] = htole32(x1[i] ^ x2[i]);
	if (n < BLOCK)
		return;
	memcpy(x1, x1 + BLOCK, DEGREE * sizeof x1[0]);
	memcpy(x2, x2 + BLOCK, DEGREE * sizeof x2[0]);
}

void gold_words(uint32_t c_init, uint32_t *words, size_t n_words)
{
	struct stream s;
	uint32_t block[BLOCK];

	stream_init(&s, c_init);
	for (size_t i = 0, n; i < n_words; i += n) {
		n = n_words - i < BLOCK ? n_words - i : BLOCK;
		stream_next(&s, block, (int)n);
		for (size_t k = 0; k < n; k++)
			words[i + k] = le32toh(block[k]);
	}
}

/* From fields of 2 width bits in x to fields twice as wide apart: low and high half of each part. */
static uint64_t part(uint64_t x, uint64_t low_halves, unsigned width, unsigned shift)
{
	return (x & low_halves) | (x & low_halves << width) << shift;
}

/* qm bits a byte from 8 qm bits in a row. */
static uint64_t spread(uint64_t x, unsigned qm)
{
	const uint64_t one = 1;

	x = part(x, (one << 4 * qm) - 1, 4 * qm, 32 - 4 * qm);
	x = part(x, ((one << 2 * qm) - 1) * 0x0000000100000001u, 2 * qm, 16 - 2 * qm);
	return part(x, ((one << qm) - 1) * 0x0001000100010001u, qm, 8 - qm);
}

void gold_symbols(uint32_t c_init, unsigned qm, uint8_t *out, size_t n)
{
	struct stream s;
	uint32_t words[BLOCK + 2] = { 0 }; /* two more: of the last symbols' 64 bits some are not used */
	size_t per_block = BLOCK * 32 / qm;

	stream_init(&s, c_init);
	for (; n; out += per_block) {
		size_t now = n < per_block ? n : per_block;
		stream_next(&s, words, (int)((now * qm + 31) / 32));
		for (size_t i = 0; i < now; i += 8) {
			uint64_t x;
			memcpy(&x, (const uint8_t *)words + i / 8 * qm, sizeof x);
			x = htole64(spread(le64toh(x), qm));
			memcpy(out + i, &x, now - i < 8 ? now - i : 8);
		}
		n -= now;
	}
}

void gold_xor_bits(uint32_t c_init, uint8_t *bits, size_t n)
{
	struct gold g;
	size_t i = 0;

	gold_init(&g, c_init);
	for (; i + 32 <= n; i += 32) {
		uint32_t c = gold_next32(&g);
		for (uint32_t k = 0; k < 32; k++)
			bits[i + k] ^= (uint8_t)(c >> k & 1);
	}
	for (uint32_t c = gold_next32(&g); i < n; i++, c >>= 1)
		bits[i] ^= (uint8_t)(c & 1);
}

void gold_flip_llr(uint32_t c_init, float *llr, size_t n)
{
	struct gold g;
	size_t i = 0;

	gold_init(&g, c_init);
	for (; i + 32 <= n; i += 32) {
		uint32_t c = gold_next32(&g);
		for (uint32_t k = 0; k < 32; k++)
			llr[i + k] = (float)(1 - 2 * (int)(c >> k & 1)) * llr[i + k];
	}
	for (uint32_t c = gold_next32(&g); i < n; i++, c >>= 1)
		llr[i] = c & 1 ? -llr[i] : llr[i];
}

void gold_qpsk(uint32_t c_init, float complex *out, size_t n)
{
	struct gold g;
	const float a = sqrtf(0.5f);

	gold_init(&g, c_init);
	for (size_t m = 0; m < n;) {
		uint32_t c = gold_next32(&g);
		for (int k = 0; k < 16 && m < n; k++, m++, c >>= 2)
			out[m] = CMPLXF(c & 1 ? -a : a, c & 2 ? -a : a);
	}
}
