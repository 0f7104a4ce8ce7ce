/* logits_hash.h - one short name for all the logits of a run, in order: two runs with the same hash computed the same
 * bits.
 *
 * BLAKE2b-128 over the logits as little-endian f32.
 */
#ifndef MOE_LOGITS_HASH_H
#define MOE_LOGITS_HASH_H

#include <stddef.h>

#include <sodium/crypto_generichash.h>

enum { LOGITS_HASH_BYTES = 16, LOGITS_HASH_HEX = 2 * LOGITS_HASH_BYTES + 1 };

struct logits_hash {
	crypto_generichash_state state;
};

void logits_hash_init(struct logits_hash *h);
void logits_hash_add(struct logits_hash *h, const float *logits, size_t n);
/* Hash of what was added so far; more may follow. */
void logits_hash_hex(const struct logits_hash *h, char hex[static LOGITS_HASH_HEX]);

#endif
