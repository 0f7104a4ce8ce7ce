/* tokenizer.h - text to token ids and back, as the model file says.
 *
 *     int32_t ids[512];
 *     ssize_t n = tokenizer_encode(t, text, strlen(text), TOKENIZER_BOS | TOKENIZER_SPECIAL, ids, 512);
 *     char piece[64];
 *     ssize_t len = tokenizer_piece(t, ids[1], piece, sizeof piece);
 *
 * SPM (`tokenizer.ggml.model` = llama): the text, spaces as U+2581, is cut into characters; again and again the two
 * neighbours whose join is the token of highest score are joined (ties: leftmost); what is no token in the end becomes
 * byte tokens. Kudo 2018 (SentencePiece), as run by the readers of GGUF.
 * Byte BPE (gpt2): the text is cut into words by the rule that `tokenizer.ggml.pre` names (splitter.h); within a word
 * neighbours are joined by the rank of their pair in the list of merges. Any bytes come back as they were.
 * Immutable, may be shared between threads.
 */
#ifndef MOE_TOKENIZER_H
#define MOE_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gguf;
struct tokenizer;

enum {
	TOKENIZER_BOS = 1,     /* put BOS (and EOS) where the model asks for them */
	TOKENIZER_SPECIAL = 2, /* control tokens written out in the text, as <s>, become their ids */
};

/* Reads the tokenizer of a file. The object keeps no pointer into it. Returns 0 and *out, freed by tokenizer_destroy,
 * or negative errno with one line in err. */
int tokenizer_create(const struct gguf *g, struct tokenizer **out, char *err, size_t err_len);
void tokenizer_destroy(struct tokenizer *t); /* NULL is fine */

/* text: len bytes, any bytes. Writes at most cap ids and returns how many the text has (more than cap: call again
 * with room), or -ENOMEM. A text of len bytes never has more than 3 * len + 5 ids. */
ssize_t tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags, int32_t *ids,
                         size_t cap);

/* Bytes of one token in running text: spaces as spaces, a byte token as its byte, control tokens as nothing. Writes at
 * most cap bytes, no terminator, and returns the piece's length, or -EINVAL if there is no such token. */
ssize_t tokenizer_piece(const struct tokenizer *t, int32_t id, char *buf, size_t cap);

/* Text of n ids: the pieces in a row, without the space that encoding puts in front if the model has a space prefix.
 * Writes at most cap bytes, no terminator; returns the length, or -EINVAL. */
ssize_t tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, char *buf, size_t cap);

size_t tokenizer_n_vocab(const struct tokenizer *t);
/* -1 if the model has none. */
int32_t tokenizer_bos(const struct tokenizer *t);
int32_t tokenizer_eos(const struct tokenizer *t);
/* Does the model want BOS in front of its texts? */
bool tokenizer_adds_bos(const struct tokenizer *t);

#endif
