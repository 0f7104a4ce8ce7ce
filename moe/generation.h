/* generation.h - one answer in the making: picks tokens, keeps them and their text, knows when to stop.
 *
 * What is common to the local and the distributed run, so that both mean the same by tokens, stop and logits_hash:
 *
 *     struct generation *g = generation_create(tokenizer, n_prompt, n_ctx, &options);
 *     while (generation_stop(g) == GENERATION_GOES_ON) {
 *             ... logits of the last token ...
 *             int32_t id = generation_next(g, logits);      // hashed, picked, appended: feed it to the model
 *     }
 *     generation_destroy(g);
 *
 * The hash covers each row of logits that a token was picked from, in order. tokens holds every token picked, the EOS
 * included that ended the run; the text leaves control tokens out.
 */
#ifndef MOE_GENERATION_H
#define MOE_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "moe/logits_hash.h"
#include "moe/tokenizer.h"

struct generation;

enum generation_stop {
	GENERATION_GOES_ON,
	GENERATION_EOS,     /* the model said so */
	GENERATION_LIMIT,   /* n_tokens were picked */
	GENERATION_CONTEXT, /* no room to feed the last token */
};

struct generation_options {
	size_t n_tokens; /* at most, 1 or more */
	float temperature;
	float top_p;
	uint64_t seed;
	bool ignore_eos;
};

/* n_prompt: tokens of the prompt, 1 .. n_ctx. NULL with errno EINVAL or ENOMEM. */
struct generation *generation_create(const struct tokenizer *t, size_t n_prompt, size_t n_ctx,
                                     const struct generation_options *options);
void generation_destroy(struct generation *g); /* NULL is fine */

/* logits: [n_vocab] after the token picked last (or the prompt's last). Returns the next token; -EPROTO after the end;
 * -EDOM if a logit is not finite. Does not allocate. */
int32_t generation_next(struct generation *g, const float *logits);

enum generation_stop generation_stop(const struct generation *g);
const char *generation_stop_name(enum generation_stop stop); /* "eos", "limit", "context", "" */

/* Tokens picked so far: *n of them. The pointer is valid while g lives. */
const int32_t *generation_tokens(const struct generation *g, size_t *n);
/* Text so far: *len bytes, terminated by a NUL that does not count. */
const char *generation_text(const struct generation *g, size_t *len);
void generation_hash_hex(const struct generation *g, char hex[static LOGITS_HASH_HEX]);

#endif
