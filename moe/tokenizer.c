#include "moe/tokenizer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moe/complaint.h"
#include "moe/gguf.h"

/* Token types as numbered in the file. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

static const char space_mark[] = "\xe2\x96\x81"; /* U+2581, how a space is written in the vocabulary */
enum { MARK_LEN = sizeof space_mark - 1 };

struct token {
	const char *text; /* in the pool */
	size_t len;
	float score;
	int32_t type;
	int byte; /* of a byte token, else -1 */
};

struct tokenizer {
	struct token *tokens; /* [n_vocab] */
	size_t n_vocab;
	char *pool;       /* all texts */
	int32_t *table;   /* open addressing by text: ids, -1 for empty */
	size_t table_len; /* power of two, at least twice n_vocab */
	int32_t *special; /* ids of the tokens that are looked for before the text is cut, longest first */
	size_t n_special;
	int32_t byte_id[256];
	int32_t bos, eos;
	bool add_bos, add_eos, space_prefix;
};

/* --- texts to ids --- */

static size_t hash_text(const char *text, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

/* Where in the table the text is, or belongs. */
static size_t table_slot(const struct tokenizer *t, const char *text, size_t len)
{
	size_t i = hash_text(text, len) & (t->table_len - 1);
	while (t->table[i] >= 0) {
		const struct token *k = &t->tokens[t->table[i]];
		if (k->len == len && !memcmp(k->text, text, len))
			break;
		i = (i + 1) & (t->table_len - 1);
	}
	return i;
}

static int32_t find_token(const struct tokenizer *t, const char *text, size_t len)
{
	return t->table[table_slot(t, text, len)];
}

/* --- reading the vocabulary --- */

struct vocabulary {
	struct gguf_array tokens, scores, types;
};

static int get_array(const struct gguf *g, const struct complaint *c, const char *key, enum gguf_type type,
                     struct gguf_array *a)
{
	int rc = gguf_get_array(g, key, type, a);
	if (rc == -ENOENT)
		return complain(c, "key %s is missing", key);
	return rc ? complain(c, "key %s is not an array of the right type", key) : 0;
}

static int find_vocabulary(const struct gguf *g, const struct complaint *c, struct vocabulary *v)
{
	struct gguf_str kind = { 0 };
	if (gguf_get_str(g, "tokenizer.ggml.model", &kind))
		return complain(c, "key tokenizer.ggml.model is missing or no string");
	if (!gguf_str_is(kind, "llama"))
		return complain(c, "tokenizer '%.*s' is not supported, only 'llama'",
		                kind.len < 32 ? (int)kind.len : 32, kind.bytes);
	int rc = get_array(g, c, "tokenizer.ggml.tokens", GGUF_STR, &v->tokens);
	if (!rc)
		rc = get_array(g, c, "tokenizer.ggml.scores", GGUF_F32, &v->scores);
	if (!rc)
		rc = get_array(g, c, "tokenizer.ggml.token_type", GGUF_I32, &v->types);
	if (rc)
		return rc;
	if (!v->tokens.n || v->tokens.n > INT32_MAX / 4 || v->scores.n != v->tokens.n || v->types.n != v->tokens.n)
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
	t->n_vocab = a.n;
	for (t->table_len = 4; t->table_len < 2 * a.n; t->table_len *= 2)
		;
	t->tokens = calloc(a.n, sizeof *t->tokens);
	t->special = calloc(a.n, sizeof *t->special);
	t->table = malloc(t->table_len * sizeof *t->table);
	t->pool = malloc(bytes);
	return t->tokens && t->special && t->table && t->pool ? 0 : -ENOMEM;
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
	memset(t->table, 0xff, t->table_len * sizeof *t->table);
	for (size_t i = 0; i < t->n_vocab; i++) {
		struct token *k = &t->tokens[i];
		struct gguf_str s = gguf_next_str(&v->tokens);
		memcpy(&k->score, v->scores.bytes + i * sizeof k->score, sizeof k->score);
		memcpy(&k->type, v->types.bytes + i * sizeof k->type, sizeof k->type);
		k->text = memcpy(end, s.bytes, s.len);
		k->len = s.len;
		end += s.len;
		if (!isfinite(k->score) || k->type < 0 || k->type > TYPE_BYTE)
			return complain(c, "token %zu has a score or type that cannot be", i);
		k->byte = k->type == TYPE_BYTE ? byte_of_text(k->text, k->len) : -1;
		if (k->type == TYPE_BYTE && k->byte < 0)
			return complain(c, "token %zu is a byte token without a byte", i);
		size_t slot = table_slot(t, k->text, k->len);
		if (k->len && t->table[slot] < 0) /* of equal texts the first counts */
			t->table[slot] = (int32_t)i;
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

/* What a byte becomes that is part of no token: its byte token, or failing that the unknown token. */
static int map_bytes(struct tokenizer *t, const struct gguf *g, const struct complaint *c)
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
		rc = read_flag(g, c, "tokenizer.ggml.add_bos_token", true, &t->add_bos);
	if (!rc)
		rc = read_flag(g, c, "tokenizer.ggml.add_eos_token", false, &t->add_eos);
	if (!rc)
		rc = read_flag(g, c, "tokenizer.ggml.add_space_prefix", true, &t->space_prefix);
	t->add_bos = t->add_bos && t->bos >= 0;
	t->add_eos = t->add_eos && t->eos >= 0;
	return rc;
}

int tokenizer_create(const struct gguf *g, struct tokenizer **out, char *err, size_t err_len)
{
	const struct complaint c = { err, err_len, gguf_path(g) };
	struct vocabulary v;
	int rc = find_vocabulary(g, &c, &v);
	if (rc)
		return rc;
	struct tokenizer *t = calloc(1, sizeof *t);
	if (!t || allocate(t, &v.tokens)) {
		complain(&c, "out of memory for the vocabulary");
		tokenizer_destroy(t);
		return -ENOMEM;
	}
	rc = read_tokens(t, &v, &c);
	if (!rc)
		rc = map_bytes(t, g, &c);
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
	free(t->pool);
	free(t->table);
	free(t->special);
	free(t->tokens);
	free(t);
}

/* --- encoding --- */

/* A stretch of text that is one token or a character so far; a list through the text. */
struct symbol {
	uint32_t start, len; /* len 0: joined into its left neighbour */
	int32_t left, right; /* -1 at the ends */
};

/* Two neighbours that could be joined. */
struct join {
	float score;
	int32_t left, right;
	uint32_t len; /* of both together: a join is stale when they have changed */
};

struct work {
	char *text; /* with space marks */
	struct symbol *symbols;
	struct join *heap; /* best join first */
	size_t n_heap;
};

static bool better(const struct join *a, const struct join *b)
{
	return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void heap_push(struct work *w, struct join j)
{
	size_t i = w->n_heap++;
	for (; i && better(&j, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = j;
}

static struct join heap_pop(struct work *w)
{
	struct join top = w->heap[0], last = w->heap[--w->n_heap];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= w->n_heap)
			break;
		if (child + 1 < w->n_heap && better(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!better(&w->heap[child], &last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return top;
}

/* Every join that is a token enters the heap: at most one for each pair at the start and two after each join, 3 n in
 * all. */
static void offer_join(const struct tokenizer *t, struct work *w, int32_t left, int32_t right)
{
	if (left < 0 || right < 0)
		return;
	uint32_t len = w->symbols[left].len + w->symbols[right].len;
	int32_t id = find_token(t, w->text + w->symbols[left].start, len);
	if (id >= 0)
		heap_push(w, (struct join){ t->tokens[id].score, left, right, len });
}

/* Length of a character by its first byte; what is no UTF-8 is cut at the end of the text at the latest. */
static uint32_t character_len(const char *text, size_t room)
{
	static const uint8_t by_high_bits[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4 };
	uint32_t len = by_high_bits[(unsigned char)*text >> 4];
	return len < room ? len : (uint32_t)room;
}

static int32_t split_characters(struct work *w, size_t len)
{
	int32_t n = 0;
	for (size_t at = 0; at < len; n++) {
		uint32_t c = character_len(w->text + at, len - at);
		w->symbols[n] = (struct symbol){ (uint32_t)at, c, n - 1, n + 1 };
		at += c;
	}
	if (n)
		w->symbols[n - 1].right = -1;
	return n;
}

static void join_symbols(const struct tokenizer *t, struct work *w, int32_t n)
{
	struct symbol *s = w->symbols;
	w->n_heap = 0;
	for (int32_t i = 1; i < n; i++)
		offer_join(t, w, i - 1, i);
	while (w->n_heap) {
		struct join j = heap_pop(w);
		if (!s[j.left].len || !s[j.right].len || s[j.left].len + s[j.right].len != j.len)
			continue;
		s[j.left].len = j.len;
		s[j.right].len = 0;
		s[j.left].right = s[j.right].right;
		if (s[j.left].right >= 0)
			s[s[j.left].right].left = j.left;
		offer_join(t, w, s[j.left].left, j.left);
		offer_join(t, w, j.left, s[j.left].right);
	}
}

/* Ids collected so far: counted beyond cap, written below it. */
struct ids {
	int32_t *at;
	size_t n, cap;
};

static void put_id(struct ids *out, int32_t id)
{
	if (out->n < out->cap)
		out->at[out->n] = id;
	out->n++;
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

static void encode_stretch(const struct tokenizer *t, struct work *w, const char *text, size_t len, bool prefix,
                           struct ids *out)
{
	size_t marked = mark_spaces(w->text, text, len, prefix);
	int32_t n = split_characters(w, marked);
	join_symbols(t, w, n);
	for (int32_t i = n ? 0 : -1; i >= 0; i = w->symbols[i].right) {
		const struct symbol *s = &w->symbols[i];
		int32_t id = find_token(t, w->text + s->start, s->len);
		if (id >= 0)
			put_id(out, id);
		else
			for (uint32_t b = 0; b < s->len; b++)
				put_id(out, t->byte_id[(unsigned char)w->text[s->start + b]]);
	}
}

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

static void encode_text(const struct tokenizer *t, struct work *w, const char *text, size_t len, unsigned flags,
                        struct ids *out)
{
	bool after_special = true; /* the start counts as one */
	for (size_t start = 0; start < len;) {
		size_t end = start;
		int32_t special = -1;
		while (end < len && (special = special_at(t, text + end, len - end, flags)) < 0)
			end++;
		if (end > start) {
			encode_stretch(t, w, text + start, end - start, t->space_prefix && after_special, out);
			after_special = false;
		}
		start = end;
		if (special >= 0) {
			put_id(out, special);
			start += t->tokens[special].len;
			after_special = true;
		}
	}
}

ssize_t tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags, int32_t *ids,
                         size_t cap)
{
	enum { LEN_MAX = 1 << 28 };
	if (len > LEN_MAX)
		return -ENOMEM;
	size_t n = MARK_LEN * (len + 1);
	struct work w = {
		.text = malloc(n),
		.symbols = malloc(n * sizeof *w.symbols),
		.heap = malloc(3 * n * sizeof *w.heap),
	};
	struct ids out = { ids, 0, cap };
	if (w.text && w.symbols && w.heap) {
		if (flags & TOKENIZER_BOS && t->add_bos)
			put_id(&out, t->bos);
		encode_text(t, &w, text, len, flags, &out);
		if (flags & TOKENIZER_BOS && t->add_eos)
			put_id(&out, t->eos);
	}
	bool had_room = w.text && w.symbols && w.heap;
	free(w.heap);
	free(w.symbols);
	free(w.text);
	return had_room ? (ssize_t)out.n : -ENOMEM;
}

/* --- decoding --- */

/* Bytes collected so far: counted beyond cap, written below it. */
struct bytes {
	char *at;
	size_t n, cap;
	bool skip_space; /* the first byte is left out if it is a space */
};

static void put_byte(struct bytes *out, char byte)
{
	bool skip = out->skip_space && byte == ' ';
	out->skip_space = false;
	if (skip)
		return;
	if (out->n < out->cap)
		out->at[out->n] = byte;
	out->n++;
}

static int put_piece(const struct tokenizer *t, int32_t id, struct bytes *out)
{
	if (id < 0 || (size_t)id >= t->n_vocab)
		return -EINVAL;
	const struct token *k = &t->tokens[id];
	if (k->byte >= 0)
		put_byte(out, (char)k->byte);
	if (k->type != TYPE_NORMAL && k->type != TYPE_USER_DEFINED)
		return 0;
	for (size_t i = 0; i < k->len;) {
		bool mark =
		        k->type == TYPE_NORMAL && k->len - i >= MARK_LEN && !memcmp(k->text + i, space_mark, MARK_LEN);
		put_byte(out, mark ? ' ' : k->text[i]);
		i += mark ? MARK_LEN : 1;
	}
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
