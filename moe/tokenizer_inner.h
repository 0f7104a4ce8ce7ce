/* tokenizer_inner.h - what the kinds of tokenizer share; nobody but tokenizer*.c includes it.
 *
 * tokenizer.c reads the vocabulary, cuts a text at its special tokens and hands each stretch between them to the kind
 * (tokenizer_spm.c, tokenizer_bpe.c), which turns it into ids.
 */
#ifndef MOE_TOKENIZER_INNER_H
#define MOE_TOKENIZER_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/complaint.h"
#include "moe/gguf.h"
#include "moe/merge.h"
#include "moe/text_map.h"
#include "moe/tokenizer.h"

/* Token types as numbered in the file. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

struct token {
	const char *text; /* in the pool */
	size_t len;
	float score;
	int32_t type;
	int byte; /* of a byte token, else -1 */
};

/* Ids collected so far: counted beyond cap, written below it. */
struct ids {
	int32_t *at;
	size_t n, cap;
};

static inline void put_id(struct ids *out, int32_t id)
{
	if (out->n < out->cap)
		out->at[out->n] = id;
	out->n++;
}

/* Bytes collected so far: counted beyond cap, written below it. */
struct bytes {
	char *at;
	size_t n, cap;
	bool skip_space; /* the first byte is left out if it is a space */
};

static inline void put_byte(struct bytes *out, char byte)
{
	bool skip = out->skip_space && byte == ' ';
	out->skip_space = false;
	if (skip)
		return;
	if (out->n < out->cap)
		out->at[out->n] = byte;
	out->n++;
}

struct tokenizer_kind {
	const char *name;  /* tokenizer.ggml.model */
	bool has_scores;   /* the file must have scores and types */
	bool space_prefix; /* unless the file says otherwise */
	bool add_bos;      /* the same */
	size_t growth;     /* bytes that one of the text may become at most */
	/* Reads what the kind alone has. 0, or negative errno with a complaint. */
	int (*load)(struct tokenizer *t, const struct gguf *g, const struct complaint *c);
	void (*unload)(struct tokenizer *t); /* also after a failed load */
	/* Ids of a stretch without special tokens, at least one byte. 0 or -ENOMEM. */
	int (*encode)(const struct tokenizer *t, struct merge *work, const char *text, size_t len, bool prefix,
	              struct ids *out);
	/* Bytes that a normal token stands for. */
	void (*put_text)(const struct tokenizer *t, const struct token *k, struct bytes *out);
};

extern const struct tokenizer_kind tokenizer_spm, tokenizer_bpe;

struct tokenizer {
	const struct tokenizer_kind *kind;
	struct token *tokens; /* [n_vocab] */
	size_t n_vocab;
	char *pool;              /* all texts */
	struct text_map by_text; /* ids; of equal texts the first counts */
	int32_t *special;        /* ids of the tokens that are looked for before the text is cut, longest first */
	size_t n_special;
	int32_t bos, eos;
	bool add_bos, add_eos, space_prefix;
	int32_t byte_id[256];           /* what a byte becomes that is part of no token */
	struct tokenizer_bpe_data *bpe; /* tokenizer_bpe.c */
};

/* The id of a text, -1 if it is no token. */
static inline int32_t find_token(const struct tokenizer *t, const char *text, size_t len)
{
	return text_map_find(&t->by_text, text, len);
}

#endif
