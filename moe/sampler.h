/* sampler.h - picks the next token from logits.
 *
 * Temperature 0 is greedy: the largest logit, the lowest id among equals. Otherwise softmax(logits / temperature), cut
 * to the smallest set of likeliest tokens whose probabilities reach top_p (Holtzman 2020), drawn with the sampler's own
 * generator (xoshiro256**, Blackman and Vigna 2018): same seed and same logits, same tokens.
 */
#ifndef MOE_SAMPLER_H
#define MOE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

struct sampler;

/* n_vocab >= 1; temperature 0 .. 100; 0 < top_p <= 1. NULL with errno EINVAL or ENOMEM. Freed by sampler_destroy. */
struct sampler *sampler_create(size_t n_vocab, float temperature, float top_p, uint64_t seed);
void sampler_destroy(struct sampler *s); /* NULL is fine */

/* logits: [n_vocab], finite. Returns an id, or -EDOM if one is not finite. */
int32_t sampler_pick(struct sampler *s, const float *logits);

#endif
