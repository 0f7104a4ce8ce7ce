/* Byte BPE (`tokenizer.ggml.model` = gpt2): every byte is written as a printable character, the text is cut into words by
 * the model's rule (splitter.h), and neighbours are joined by the rank of their pair in the list of merges. Sennrich 2016,
 * Radford 2019. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "moe/merge.h"
#include "moe/splitter.h"
#include "moe/tokenizer_inner.h"

enum { CHARACTER_MAX = 2, CODES = 512 };

struct tokenizer_bpe_data {
	const struct splitter_rule *rule;
	struct splitter *splitter;
	char *pool;            /* all merges */
	struct text_map ranks; /* of "left right" */
	char character[256][CHARACTER_MAX];
	uint8_t character_len[256];
	int16_t byte_of[CODES]; /* by code point, -1: stands for no byte */
};

/* Bytes that are printable characters of Latin-1 stand for themselves, the others for U+0100 and on, in order. */
static void map_bytes(struct tokenizer_bpe_data *d)
{
	unsigned next = 256;
	memset(d->byte_of, 0xff, sizeof d->byte_of);
	for (unsigned b = 0; b < 256; b++) {
		bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
		unsigned code = printable ? b : next++;
		d->byte_of[code] = (int16_t)b;
		d->character_len[b] = code < 0x80 ? 1 : 2;
		d->character[b][0] = (char)(code < 0x80 ? code : 0xc0 | code >> 6);
		d->character[b][1] = (char)(0x80 | (code & 0x3f));
	}
}

static int read_merges(struct tokenizer_bpe_data *d, const struct gguf *g, const struct complaint *c)
{
	struct gguf_array merges;
	if (gguf_get_array(g, "tokenizer.ggml.merges", GGUF_STR, &merges))
		return complain(c, "key tokenizer.ggml.merges is missing or no array of strings");
	struct gguf_array a = merges;
	size_t bytes = 1;
	for (size_t i = 0; i < merges.n; i++)
		bytes += gguf_next_str(&a).len;
	d->pool = malloc(bytes);
	if (!d->pool || merges.n > INT32_MAX / 4 || text_map_init(&d->ranks, merges.n)) {
		complain(c, "out of memory for the merges");
		return -ENOMEM;
	}
	char *end = d->pool;
	for (size_t i = 0; i < merges.n; i++) {
		struct gguf_str s = gguf_next_str(&merges);
		memcpy(end, s.bytes, s.len);
		const char *space = s.len > 2 ? memchr(end + 1, ' ', s.len - 2) : NULL;
		if (!space)
			return complain(c, "merge %zu is no pair", i);
		text_map_put(&d->ranks, end, s.len, (int32_t)i);
		end += s.len;
	}
	return 0;
}

static int load(struct tokenizer *t, const struct gguf *g, const struct complaint *c)
{
	struct gguf_str rule = { "default", 7 };
	if (gguf_get_str(g, "tokenizer.ggml.pre", &rule) == -EINVAL)
		return complain(c, "key tokenizer.ggml.pre is no string");
	struct tokenizer_bpe_data *d = t->bpe = calloc(1, sizeof *d);
	if (!d) {
		complain(c, "out of memory for the tokenizer");
		return -ENOMEM;
	}
	d->rule = splitter_rule_find(rule.bytes, rule.len);
	if (!d->rule)
		return complain(c, "key tokenizer.ggml.pre: rule '%.*s' is not supported",
		                rule.len < 32 ? (int)rule.len : 32, rule.bytes);
	t->add_bos = d->rule->add_bos;
	map_bytes(d);
	for (unsigned b = 0; b < 256; b++)
		t->byte_id[b] = find_token(t, d->character[b], d->character_len[b]);
	d->splitter = splitter_create(d->rule);
	if (!d->splitter)
		return complain(c, "rule '%s' cannot be compiled", d->rule->name);
	return read_merges(d, g, c);
}

static void unload(struct tokenizer *t)
{
	if (!t->bpe)
		return;
	splitter_destroy(t->bpe->splitter);
	text_map_free(&t->bpe->ranks);
	free(t->bpe->pool);
	free(t->bpe);
}

static bool score_of_merge(const void *user, const char *text, size_t left, size_t right, float *score)
{
	enum { PAIR_MAX = 512 }; /* no merge of a file is longer; a longer pair is none of them */
	const struct tokenizer_bpe_data *d = user;
	char pair[PAIR_MAX];
	if (left + right + 1 > PAIR_MAX)
		return false;
	memcpy(pair, text, left);
	pair[left] = ' ';
	memcpy(pair + left + 1, text + left, right);
	int32_t rank = text_map_find(&d->ranks, pair, left + 1 + right);
	*score = -(float)rank; /* exact below 2^24 */
	return rank >= 0;
}

/* A byte that even alone is no token is left out: such vocabularies cannot write it. */
static void put_bytes(const struct tokenizer *t, const char *text, size_t len, struct ids *out)
{
	const struct tokenizer_bpe_data *d = t->bpe;
	for (size_t i = 0; i < len;) {
		unsigned first = (unsigned char)text[i];
		unsigned code = first < 0x80 ? first : (first & 0x1f) << 6 | ((unsigned char)text[i + 1] & 0x3f);
		i += first < 0x80 ? 1 : 2;
		int32_t id = t->byte_id[d->byte_of[code]];
		if (id >= 0)
			put_id(out, id);
	}
}

static void encode_word(const struct tokenizer *t, struct merge *work, const char *word, size_t len, struct ids *out)
{
	const struct tokenizer_bpe_data *d = t->bpe;
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned char b = (unsigned char)word[i];
		memcpy(work->text + n, d->character[b], CHARACTER_MAX);
		n += d->character_len[b];
	}
	int32_t whole = d->rule->whole_words ? find_token(t, work->text, n) : -1;
	if (whole >= 0) {
		put_id(out, whole);
		return;
	}
	merge_run(work, n, score_of_merge, d);
	for (int32_t i = merge_first(work); i >= 0; i = work->symbols[i].right) {
		const struct symbol *s = &work->symbols[i];
		int32_t id = find_token(t, work->text + s->start, s->len);
		if (id >= 0)
			put_id(out, id);
		else
			put_bytes(t, work->text + s->start, s->len, out);
	}
}

static int encode(const struct tokenizer *t, struct merge *work, const char *text, size_t len, bool prefix,
                  struct ids *out)
{
	struct splitter_walk *walk = splitter_begin(t->bpe->splitter, text, len);
	const char *word;
	size_t n;
	(void)prefix;
	if (!walk)
		return -ENOMEM;
	while (splitter_next(walk, &word, &n))
		encode_word(t, work, word, n, out);
	splitter_end(walk);
	return 0;
}

static void put_text(const struct tokenizer *t, const struct token *k, struct bytes *out)
{
	for (size_t i = 0; i < k->len;) {
		unsigned first = (unsigned char)k->text[i], code = CODES;
		if (first < 0x80)
			code = first;
		else if ((first & 0xe0) == 0xc0 && i + 1 < k->len)
			code = (first & 0x1f) << 6 | ((unsigned char)k->text[i + 1] & 0x3f);
		int byte = code < CODES ? t->bpe->byte_of[code] : -1;
		put_byte(out, byte < 0 ? k->text[i] : (char)byte);
		i += byte >= 0 && first >= 0x80 ? 2 : 1;
	}
}

const struct tokenizer_kind tokenizer_bpe = {
	.name = "gpt2",
	.growth = CHARACTER_MAX,
	.load = load,
	.unload = unload,
	.encode = encode,
	.put_text = put_text,
};
