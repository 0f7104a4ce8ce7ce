#include "moe/logits_hash.h"

#include <stdint.h>
#include <stdio.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "logits are hashed as they lie in memory, which is little-endian only on such a machine"
#endif

void logits_hash_init(struct logits_hash *h)
{
	crypto_generichash_init(&h->state, NULL, 0, LOGITS_HASH_BYTES);
}

void logits_hash_add(struct logits_hash *h, const float *logits, size_t n)
{
	crypto_generichash_update(&h->state, (const unsigned char *)logits, n * sizeof *logits);
}

void logits_hash_hex(const struct logits_hash *h, char hex[static LOGITS_HASH_HEX])
{
	crypto_generichash_state copy = h->state;
	uint8_t bytes[LOGITS_HASH_BYTES];
	crypto_generichash_final(&copy, bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}
