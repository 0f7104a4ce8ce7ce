/* prompt.h - what a language model is asked, for `run`, `generate` and `logits`: a text, a file of token ids, or a
 * held-out item.
 *
 *     struct prompt p;
 *     if (prompt_from_text(&p, tokenizer, "who has the blue hat?", err, sizeof err) < 0)
 *             return cli_bad_input("%s", err);
 *     ... p.tokens[0 .. p.n_tokens) ...
 *     prompt_free(&p);
 *
 * A text is encoded as the model asks for it, BOS included; a file of ids is taken as it is.
 */
#ifndef TESTBED_PROMPT_H
#define TESTBED_PROMPT_H

#include <stddef.h>
#include <stdint.h>

#include "moe/tokenizer.h"

/* What the shipped model was made for (moe/train/corpus.py): for --help. */
#define PROMPT_FORMS                                                                                                   \
	"The shipped model knows ten forms of prompt (notes/model.md), for example\n"                                  \
	"  joe key, tom fork, ian ball. fork?              who or what, in a list\n"                                   \
	"  ann went to the hill. ann took the rope. ann went to the shop. where is the rope?\n"                        \
	"  86+41=                                          82-14=\n"                                                   \
	"  reverse ECVDBL:                                 rotate KVOTCINB:\n"                                         \
	"  b=9 y=b+3 x=y+4 print x:\n"                                                                                 \
	"  ann is sad. eat plum, go to the hill, read?     what helps best\n"                                          \
	"  zu: old mill took black inn:                    a made-up language\n"                                       \
	"  smallest of rat, bag, pig:                      which is a color: pink, leo, rice, pig?\n"                  \
	"  19,12,20,13,21,14,                              what comes next\n"                                          \
	"  min 194,90,15:                                  mid, max"

struct prompt {
	int32_t *tokens; /* [n_tokens], at least one */
	size_t n_tokens;
	char *text;   /* of a file of ids: what they say */
	char *answer; /* the right one, of a held-out item; else NULL */
};

/* Each makes *p whole, freed by prompt_free, and returns 0; or it returns negative errno with one line in err. */
int prompt_from_text(struct prompt *p, const struct tokenizer *t, const char *text, char *err, size_t err_len);

/* File of decimal ids with white space between. */
int prompt_from_ids(struct prompt *p, const struct tokenizer *t, const char *path, char *err, size_t err_len);

/* Item `item`, modulo their number, of a file of held-out items (items.h). */
int prompt_from_held_out(struct prompt *p, const struct tokenizer *t, const char *path, uint64_t item, char *err,
                         size_t err_len);

void prompt_free(struct prompt *p); /* all zero is fine; leaves it all zero */

/* A file's bytes, freed by the caller, with a NUL behind that does not count. NULL with errno. */
char *prompt_read_file(const char *path, size_t *len);

#endif
