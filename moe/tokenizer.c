#include "moe/tokenizer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moe/merge.h"
#include "moe/tokenizer_inner.h"

static const struct tokenizer_kind *const kinds[] = { &tokenizer_spm, &tokenizer_bpe };

/* --- reading the vocabulary --- */

struct vocabulary {
	const struct tokenizer_kind *kind;
	struct gguf_array tokens, scores, types; /* scores, types: of no length where the file has none */
};

static int get_array(const struct gguf *g, const struct complaint *c, const char *key, enum gguf_type type, bool must,
                     struct gguf_array *a)
{
	int rc = gguf_get_array(g, key, type, a);
	if (rc == -ENOENT && !must)
		return 0;
	if (rc == -ENOENT)
		return complain(c, "key %s is missing", key);
	return rc ? complain(c, "key %s is not an array of the right type", key) : 0;
}

static int find_kind(const struct gguf *g, const struct complaint *c, struct vocabulary *v)
{
	struct gguf_str name = { 0 };
	if (gguf_get_str(g, "tokenizer.ggml.model", &name))
		return complain(c, "key tokenizer.ggml.model is missing or no string");
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (gguf_str_is(name, kinds[i]->name))
			v->kind = kinds[i];
	return v->kind ? 0
	               : complain(c, "tokenizer '%.*s' is not supported", name.len < 32 ? (int)name.len : 32,
	                          name.bytes);
}

static int find_vocabulary(const struct gguf *g, const struct complaint *c, struct vocabulary *v)
{
	int rc = find_kind(g, c, v);
	if (!rc)
		rc = get_array(g, c, "tokenizer.ggml.tokens", GGUF_STR, true, &v->tokens);
	if (!rc)
		rc = get_array(g, c, "tokenizer.ggml.scores", GGUF_F32, v->kind->has_scores, &v->scores);
	if (!rc)
		rc = get_array(g, c, "tokenizer.ggml.token_type", GGUF_I32, v->kind->has_scores, &v->types);
	if (rc)
		return rc;
	bool fits = (v->scores.n == v->tokens.n || (!v->scores.n && !v->kind->has_scores)) &&
	            (v->types.n == v->tokens.n || (!v->types.n && !v->kind->has_scores));
	if (!v->tokens.n || v->tokens.n > INT32_MAX / 4 || !fits)
		return complain(c, "the vocabulary has %zu tokens, %zu scores and %zu types", v->tokens.n, v->scores.n,
		                v->types.n);
	return 0;
}

static int allocate(struct tokenizer *t, const struct gguf_array *texts)
{
	struct gguf_array a = *texts;
	size_t bytes = 1;
	for (size_t i = 0; i < a.n; i++)
		bytes += gguf_next_str(&a).len;
	t->n_vocab = texts->n;
	t->tokens = calloc(t->n_vocab, sizeof *t->tokens);
	t->special = calloc(t->n_vocab, sizeof *t->special);
	t->pool = malloc(bytes);
	return t->tokens && t->special && t->pool ? text_map_init(&t->by_text, t->n_vocab) : -ENOMEM;
}

/* The byte that "<0x41>" stands for, -1 if the text is nothing like it. */
static int byte_of_text(const char *text, size_t len)
{
	unsigned byte;
	char copy[7], back[7];
	if (len != 6)
		return -1;
	memcpy(copy, text, 6);
	copy[6] = 0;
	if (sscanf(copy, "<0x%2X>", &byte) != 1)
		return -1;
	snprintf(back, sizeof back, "<0x%02X>", byte & 0xff);
	return strcmp(copy, back) ? -1 : (int)byte;
}

static int read_tokens(struct tokenizer *t, struct vocabulary *v, const struct complaint *c)
{
	char *end = t->pool;
	for (size_t i = 0; i < t->n_vocab; i++) {
		struct token *k = &t->tokens[i];
		struct gguf_str s = gguf_next_str(&v->tokens);
		k->type = TYPE_NORMAL;
		if (v->scores.n)
			memcpy(&k->score, v->scores.bytes + i * sizeof k->score, sizeof k->score);
		if (v->types.n)
			memcpy(&k->type, v->types.bytes + i * sizeof k->type, sizeof k->type);
		k->text = memcpy(end, s.bytes, s.len);
		k->len = s.len;
		end += s.len;
		if (!isfinite(k->score) || k->type < 0 || k->type > TYPE_BYTE)
			return complain(c, "token %zu has a score or type that cannot be", i);
		k->byte = k->type == TYPE_BYTE ? byte_of_text(k->text, k->len) : -1;
		if (k->type == TYPE_BYTE && k->byte < 0)
			return complain(c, "token %zu is a byte token without a byte", i);
		if (k->len)
			text_map_put(&t->by_text, k->text, k->len, (int32_t)i);
		if (k->len && (k->type == TYPE_UNKNOWN || k->type == TYPE_CONTROL || k->type == TYPE_USER_DEFINED))
			t->special[t->n_special++] = (int32_t)i;
	}
	return 0;
}

static int longest_first(const void *a, const void *b, void *tokens)
{
	const struct token *all = tokens;
	int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
	size_t m = all[i].len, n = all[j].len;
	return m != n ? (m < n) - (m > n) : (i > j) - (i < j);
}

static int read_special_id(const struct tokenizer *t, const struct gguf *g, const struct complaint *c, const char *key,
                           int32_t *id)
{
	uint64_t v;
	int rc = gguf_get_u64(g, key, &v);
	*id = -1;
	if (rc == -ENOENT)
		return 0;
	if (rc || v >= t->n_vocab)
		return complain(c, "key %s is not a token", key);
	*id = (int32_t)v;
	return 0;
}

static int read_flag(const struct gguf *g, const struct complaint *c, const char *key, bool otherwise, bool *flag)
{
	*flag = otherwise;
	return gguf_get_bool(g, key, flag) == -EINVAL ? complain(c, "key %s is not a bool", key) : 0;
}

static int read_rules(struct tokenizer *t, const struct gguf *g, const struct complaint *c)
{
	int rc = read_special_id(t, g, c, "tokenizer.ggml.bos_token_id", &t->bos);
	if (!rc)
		rc = read_special_id(t, g, c, "tokenizer.ggml.eos_token_id", &t->eos);
	if (!rc)
		rc = read_flag(g, c, "tokenizer.ggml.add_bos_token", t->add_bos, &t->add_bos);
	if (!rc)
		rc = read_flag(g, c, "tokenizer.ggml.add_eos_token", false, &t->add_eos);
	if (!rc)
		rc = read_flag(g, c, "tokenizer.ggml.add_space_prefix", t->kind->space_prefix, &t->space_prefix);
	t->space_prefix = t->space_prefix && t->kind->space_prefix;
	t->add_bos = t->add_bos && t->bos >= 0;
	t->add_eos = t->add_eos && t->eos >= 0;
	return rc;
}

int tokenizer_create(const struct gguf *g, struct tokenizer **out, char *err, size_t err_len)
{
	const struct complaint c = { err, err_len, gguf_path(g) };
	struct vocabulary v = { 0 };
	int rc = find_vocabulary(g, &c, &v);
	if (rc)
		return rc;
	struct tokenizer *t = calloc(1, sizeof *t);
	if (!t || allocate(t, &v.tokens)) {
		complain(&c, "out of memory for the vocabulary");
		tokenizer_destroy(t);
		return -ENOMEM;
	}
	t->kind = v.kind;
	t->add_bos = v.kind->add_bos;
	rc = read_tokens(t, &v, &c);
	if (!rc)
		rc = t->kind->load(t, g, &c);
	if (!rc)
		rc = read_rules(t, g, &c);
	if (rc) {
		tokenizer_destroy(t);
		return rc;
	}
	qsort_r(t->special, t->n_special, sizeof *t->special, longest_first, t->tokens);
	*out = t;
	return 0;
}

void tokenizer_destroy(struct tokenizer *t)
{
	if (!t)
		return;
	if (t->kind)
		t->kind->unload(t);
	free(t->pool);
	text_map_free(&t->by_text);
	free(t->special);
	free(t->tokens);
	free(t);
}

/* --- encoding --- */

/* The special token the text starts with, -1 if none. User-defined tokens are found whether asked for or not. */
static int32_t special_at(const struct tokenizer *t, const char *text, size_t len, unsigned flags)
{
	for (size_t i = 0; i < t->n_special; i++) {
		const struct token *k = &t->tokens[t->special[i]];
		if ((flags & TOKENIZER_SPECIAL || k->type == TYPE_USER_DEFINED) && k->len <= len &&
		    !memcmp(k->text, text, k->len))
			return t->special[i];
	}
	return -1;
}

static int encode_text(const struct tokenizer *t, struct merge *work, const char *text, size_t len, unsigned flags,
                       struct ids *out)
{
	bool after_special = true; /* the start counts as one */
	int rc = 0;
	for (size_t start = 0; start < len && !rc;) {
		size_t end = start;
		int32_t special = -1;
		while (end < len && (special = special_at(t, text + end, len - end, flags)) < 0)
			end++;
		if (end > start) {
			rc = t->kind->encode(t, work, text + start, end - start, t->space_prefix && after_special, out);
			after_special = false;
		}
		start = end;
		if (special >= 0) {
			put_id(out, special);
			start += t->tokens[special].len;
			after_special = true;
		}
	}
	return rc;
}

ssize_t tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags, int32_t *ids,
                         size_t cap)
{
	enum { LEN_MAX = 1 << 28 };
	if (len > LEN_MAX)
		return -ENOMEM;
	struct merge work;
	struct ids out = { ids, 0, cap };
	int rc = merge_init(&work, t->kind->growth * (len + 1));
	if (!rc) {
		if (flags & TOKENIZER_BOS && t->add_bos)
			put_id(&out, t->bos);
		rc = encode_text(t, &work, text, len, flags, &out);
		if (flags & TOKENIZER_BOS && t->add_eos)
			put_id(&out, t->eos);
	}
	merge_free(&work);
	return rc ? rc : (ssize_t)out.n;
}

/* --- decoding --- */

static int put_piece(const struct tokenizer *t, int32_t id, struct bytes *out)
{
	if (id < 0 || (size_t)id >= t->n_vocab)
		return -EINVAL;
	const struct token *k = &t->tokens[id];
	if (k->byte >= 0)
		put_byte(out, (char)k->byte);
	else if (k->type == TYPE_NORMAL)
		t->kind->put_text(t, k, out);
	else if (k->type == TYPE_USER_DEFINED)
		for (size_t i = 0; i < k->len; i++)
			put_byte(out, k->text[i]);
	return 0;
}

ssize_t tokenizer_piece(const struct tokenizer *t, int32_t id, char *buf, size_t cap)
{
	struct bytes out = { buf, 0, cap, false };
	int rc = put_piece(t, id, &out);
	return rc ? rc : (ssize_t)out.n;
}

ssize_t tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, char *buf, size_t cap)
{
	struct bytes out = { buf, 0, cap, t->space_prefix };
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++)
		rc = put_piece(t, ids[i], &out);
	return rc ? rc : (ssize_t)out.n;
}

size_t tokenizer_n_vocab(const struct tokenizer *t)
{
	return t->n_vocab;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
	return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
	return t->eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
	return t->add_bos;
}
