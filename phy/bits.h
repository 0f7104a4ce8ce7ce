/* bits.h - fields of so many bits in and out of packed bytes, most significant bit first.
 *
 *     struct bit_writer w = { .bytes = payload };
 *     bits_put(&w, value, 5);
 *
 * The bytes must be zero before the first bits_put. Bounds are the caller's business: it knows the size of its message.
 */
#ifndef PHY_BITS_H
#define PHY_BITS_H

#include <stddef.h>
#include <stdint.h>

struct bit_writer {
	uint8_t *bytes;
	size_t n; /* bits written */
};

struct bit_reader {
	const uint8_t *bytes;
	size_t n; /* bits read */
};

/* n: 0 .. 32, value < 2^n. */
static inline void bits_put(struct bit_writer *w, uint32_t value, unsigned n)
{
	while (n--) {
		w->bytes[w->n / 8] |= (uint8_t)((value >> n & 1) << (7 - w->n % 8));
		w->n++;
	}
}

static inline uint32_t bits_get(struct bit_reader *r, unsigned n)
{
	uint32_t value = 0;
	while (n--) {
		value = value << 1 | (r->bytes[r->n / 8] >> (7 - r->n % 8) & 1u);
		r->n++;
	}
	return value;
}

#endif
