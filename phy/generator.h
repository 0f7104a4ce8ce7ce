/* generator.h - a short code block as a generator matrix: what control codewords are encoded with, and read with when not
 * one of their bits is wrong.
 *
 *     struct generator *g = generator_create(&block, n_max);
 *     generator_encode(g, info, coded, n);
 *     if (generator_match(g, coded, n, info)) ...     else: a decoder must help
 *
 * A code being linear, its coded bits are the sum over GF(2) of one row for each information bit that is 1. As many
 * coded bits as there are information bits, the first that are independent, tell all the others; if those are what was
 * received, the hard decisions are a codeword, and no other is nearer to the soft bits, however they are weighed.
 *
 * Bits are one a byte, in the order of the circular buffer from its start (phy/code_block.h), redundancy version 0.
 * Nothing but generator_create allocates; the object is read only.
 */
#ifndef PHY_GENERATOR_H
#define PHY_GENERATOR_H

#include "phy/code_block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GENERATOR_INFO_MAX = 576, GENERATOR_CODED_MAX = 4096 };

struct generator;

/* For the first n_max coded bits, or the whole buffer if that is shorter. block: of at most GENERATOR_INFO_MAX
 * information bits; not kept. NULL with errno EINVAL or ENOMEM. */
struct generator *generator_create(const struct code_block *block, size_t n_max);
void generator_destroy(struct generator *g); /* NULL is fine */

/* How many coded bits it knows: the most that the functions below take. */
size_t generator_n_coded(const struct generator *g);

/* info: the block's information bits. coded: n of them written. n: 1 .. generator_n_coded. */
void generator_encode(const struct generator *g, const uint8_t *info, uint8_t *coded, size_t n);

/* Are these n bits, 0 or 1, the start of a codeword? If so, and if they say all of it, info is filled. */
bool generator_match(const struct generator *g, const uint8_t *coded, size_t n, uint8_t *info);

#endif
