/* SPM (`tokenizer.ggml.model` = llama): spaces are written as U+2581, joins are scored by the token they give, and what is
 * no token in the end becomes byte tokens. */
#include <stdio.h>
#include <string.h>

#include "moe/merge.h"
#include "moe/tokenizer_inner.h"

static const char space_mark[] = "\xe2\x96\x81"; /* U+2581 */
enum { MARK_LEN = sizeof space_mark - 1 };

/* What a byte becomes that is part of no token: its byte token, or failing that the unknown token. */
static int load(struct tokenizer *t, const struct gguf *g, const struct complaint *c)
{
	uint64_t unknown = t->n_vocab;
	gguf_get_u64(g, "tokenizer.ggml.unknown_token_id", &unknown);
	for (int b = 0; b < 256; b++) {
		char text[8];
		int len = snprintf(text, sizeof text, "<0x%02X>", b);
		t->byte_id[b] = find_token(t, text, (size_t)len);
		if (t->byte_id[b] < 0 && unknown < t->n_vocab)
			t->byte_id[b] = (int32_t)unknown;
		if (t->byte_id[b] < 0)
			return complain(c, "the vocabulary has no token for byte %02X and no unknown token", b);
	}
	return 0;
}

static void unload(struct tokenizer *t)
{
	(void)t;
}

/* Text with spaces replaced, and one put in front where the model wants that. */
static size_t mark_spaces(char *out, const char *text, size_t len, bool prefix)
{
	size_t n = 0;
	if (prefix) {
		memcpy(out, space_mark, MARK_LEN);
		n = MARK_LEN;
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] == ' ') {
			memcpy(out + n, space_mark, MARK_LEN);
			n += MARK_LEN;
		} else {
			out[n++] = text[i];
		}
	}
	return n;
}

static bool score_of_token(const void *user, const char *text, size_t left, size_t right, float *score)
{
	const struct tokenizer *t = user;
	int32_t id = find_token(t, text, left + right);
	if (id >= 0)
		*score = t->tokens[id].score;
	return id >= 0;
}

static int encode(const struct tokenizer *t, struct merge *work, const char *text, size_t len, bool prefix,
                  struct ids *out)
{
	merge_run(work, mark_spaces(work->text, text, len, prefix), score_of_token, t);
	for (int32_t i = merge_first(work); i >= 0; i = work->symbols[i].right) {
		const struct symbol *s = &work->symbols[i];
		int32_t id = find_token(t, work->text + s->start, s->len);
		if (id >= 0)
			put_id(out, id);
		else
			for (uint32_t b = 0; b < s->len; b++)
				put_id(out, t->byte_id[(unsigned char)work->text[s->start + b]]);
	}
	return 0;
}

static void put_text(const struct tokenizer *t, const struct token *k, struct bytes *out)
{
	(void)t;
	for (size_t i = 0; i < k->len;) {
		bool mark = k->len - i >= MARK_LEN && !memcmp(k->text + i, space_mark, MARK_LEN);
		put_byte(out, mark ? ' ' : k->text[i]);
		i += mark ? MARK_LEN : 1;
	}
}

const struct tokenizer_kind tokenizer_spm = {
	.name = "llama",
	.has_scores = true,
	.space_prefix = true,
	.add_bos = true,
	.growth = MARK_LEN,
	.load = load,
	.unload = unload,
	.encode = encode,
	.put_text = put_text,
};
