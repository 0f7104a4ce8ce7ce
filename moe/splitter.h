/* splitter.h - cuts a text into the pieces that byte BPE joins within, never across.
 *
 *     struct splitter *s = splitter_create(splitter_rule_find("qwen2", 5));
 *     struct splitter_walk *w = splitter_begin(s, text, len);
 *     while (splitter_next(w, &piece, &piece_len)) ...
 *     splitter_end(w);
 *
 * Each rule is a list of regular expressions as the model's makers published them: the first cuts the text into what it
 * matches and what lies between, the next cuts each of these pieces, and so on. The pieces together are the text. Bytes that
 * are no UTF-8 are never part of a match. Rules: splitter.c. Regular expressions with Unicode classes: PCRE2.
 */
#ifndef MOE_SPLITTER_H
#define MOE_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>

struct splitter;
struct splitter_walk;

/* What a rule is called in files (tokenizer.ggml.pre), and what else goes with it. */
struct splitter_rule {
	const char *name;
	const char *const *patterns; /* NULL at the end */
	bool whole_words;            /* a piece that is a token is one, whatever the joins would give */
	bool add_bos;                /* unless the file says otherwise */
};

/* name: len bytes. NULL if there is no such rule. */
const struct splitter_rule *splitter_rule_find(const char *name, size_t len);

/* Immutable, may be shared between threads. NULL with errno ENOMEM, or EINVAL where the library cannot compile it. */
struct splitter *splitter_create(const struct splitter_rule *rule);
void splitter_destroy(struct splitter *s); /* NULL is fine */

/* The text must stay as it is until splitter_end. NULL with errno ENOMEM. */
struct splitter_walk *splitter_begin(const struct splitter *s, const char *text, size_t len);
/* The next piece, at least one byte; false at the end. */
bool splitter_next(struct splitter_walk *w, const char **piece, size_t *len);
void splitter_end(struct splitter_walk *w); /* NULL is fine */

#endif
