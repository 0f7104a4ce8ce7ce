/* answers.h - the prompts of a file answered several at once (moe/batch.h), for `generate`.
 *
 *     struct answers a;
 *     if (answers_load(&a, path, tokenizer, err, sizeof err) < 0) ...
 *     answers_run(&a, model, &how, n_sequences, &options, stdout);
 *     answers_json(&a) ...
 *     answers_free(&a);
 */
#ifndef TESTBED_ANSWERS_H
#define TESTBED_ANSWERS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "moe/generation.h"
#include "moe/matmul.h"
#include "moe/model.h"
#include "testbed/prompt.h"

struct answer {
	struct prompt prompt;
	json_t *json; /* once it is there */
	char *text;
};

struct answers {
	struct answer *answer;
	size_t n, n_done, n_printed;
	size_t n_sequences;
	uint64_t n_rows; /* run in all: of prompts and of answers */
	double seconds;
};

/* A prompt a line, empty lines left out. 0, or negative errno with one line in err; *a can be freed in any case. */
int answers_load(struct answers *a, const char *path, const struct tokenizer *t, char *err, size_t err_len);
void answers_free(struct answers *a);

/* Answers all of them, n_sequences at a time, each with a seed of its own: that of the options plus its number. Prints them in
 * order as they come. Returns 0, -EINTR, or the errors of moe_batch_step with one line in err. */
int answers_run(struct answers *a, const struct moe_model *m, const struct moe_compute *how, size_t n_sequences,
                const struct generation_options *options, FILE *out, char *err, size_t err_len);

/* [{prompt_tokens, tokens, text, stop, logits_hash}, ...] */
json_t *answers_json(const struct answers *a);

#endif
