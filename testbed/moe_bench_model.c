#include "testbed/moe_bench_model.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "moe/gguf.h"
#include "moe/half.h"
#include "testbed/splitmix.h"

enum {
	VOCAB = 32000,
	LAYERS = 8,
	EMBD = 1024,
	HEADS = 16,
	HEADS_KV = 4,
	HEAD_DIM = EMBD / HEADS,
	EXPERTS = 8,
	USED = 2,
	FF = 3584,
	CONTEXT = 2048,
	SPECIALS = 3,
	TENSORS_MAX = 3 + 10 * LAYERS,
	ALIGNMENT = 32,
	NAME_MAX_LEN = 40,
};

/* --- random numbers --- */

static uint64_t draw(uint64_t *state)
{
	*state += SPLITMIX_STEP;
	return splitmix(*state);
}

/* Uniform with a standard deviation of 1. */
static float number(uint64_t *state)
{
	return ((float)(draw(state) >> 40) * 0x1p-23f - 1) * sqrtf(3);
}

/* Each fills one block of the type; spread: standard deviation of the weights. */
static void fill_f32(uint8_t *block, float spread, uint64_t *state)
{
	float x = number(state) * spread;
	memcpy(block, &x, sizeof x);
}

static void fill_f16(uint8_t *block, float spread, uint64_t *state)
{
	uint16_t bits = f16_bits(number(state) * spread);
	memcpy(block, &bits, sizeof bits);
}

static void fill_bf16(uint8_t *block, float spread, uint64_t *state)
{
	float x = number(state) * spread;
	memcpy(block, (const uint8_t *)&x + 2, 2);
}

static void fill_bytes(uint8_t *at, size_t n, uint64_t *state)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t x = draw(state);
		memcpy(at + i, &x, n - i < 8 ? n - i : 8);
	}
}

static void put_factor(uint8_t *at, float x)
{
	uint16_t bits = f16_bits(x);
	memcpy(at, &bits, sizeof bits);
}

static void fill_q8_0(uint8_t *block, float spread, uint64_t *state)
{
	put_factor(block, spread / 74); /* bytes that are anything spread by 74 */
	fill_bytes(block + 2, 32, state);
}

static void fill_q4_0(uint8_t *block, float spread, uint64_t *state)
{
	put_factor(block, spread / 4.6f);
	fill_bytes(block + 2, 16, state);
}

/* All scales and mins 32, so that weights are 32 d (q - 7.5). */
static void fill_q4_k(uint8_t *block, float spread, uint64_t *state)
{
	float d = spread / (32 * 4.6f);
	put_factor(block, d);
	put_factor(block + 2, 7.5f * d);
	memset(block + 4, 0xa0, 8); /* 32 of sub-blocks 0 .. 3, and bits 4 and 5 of the others */
	memset(block + 12, 0, 4);
	fill_bytes(block + 16, 128, state);
}

static const struct {
	const char *name;
	void (*fill)(uint8_t *block, float spread, uint64_t *state);
	uint32_t file_type;
} fills[] = {
	{ "F32", fill_f32, 0 },   { "F16", fill_f16, 1 },   { "BF16", fill_bf16, 32 },
	{ "Q8_0", fill_q8_0, 7 }, { "Q4_0", fill_q4_0, 2 }, { "Q4_K", fill_q4_k, 14 },
};

/* --- the file --- */

struct planned {
	char name[NAME_MAX_LEN + sizeof ".weight"];
	const struct tensor_type *type;
	size_t n_dims, ne[3];
	bool norm; /* ones */
};

struct writer {
	FILE *f;
	const struct tensor_type *type;
	struct planned tensor[TENSORS_MAX];
	size_t n;
	uint64_t state;
};

static void plan(struct writer *w, const char *name, bool plain, size_t n0, size_t n1, size_t n2)
{
	struct planned *t = &w->tensor[w->n++];
	*t = (struct planned){ .type = plain ? tensor_type_by_id(0) : w->type,
		               .n_dims = n2   ? 3
		                         : n1 ? 2
		                              : 1,
		               .ne = { n0, n1 ? n1 : 1, n2 ? n2 : 1 },
		               .norm = !n1 };
	snprintf(t->name, sizeof t->name, "%s.weight", name);
}

static void plan_layer(struct writer *w, size_t i)
{
	static const struct {
		const char *name;
		bool plain;
		size_t ne[3];
	} parts[] = {
		{ "attn_norm", true, { EMBD } },
		{ "attn_q", false, { EMBD, HEADS * HEAD_DIM } },
		{ "attn_k", false, { EMBD, HEADS_KV * HEAD_DIM } },
		{ "attn_v", false, { EMBD, HEADS_KV * HEAD_DIM } },
		{ "attn_output", false, { HEADS * HEAD_DIM, EMBD } },
		{ "ffn_norm", true, { EMBD } },
		{ "ffn_gate_inp", true, { EMBD, EXPERTS } },
		{ "ffn_gate_exps", false, { EMBD, FF, EXPERTS } },
		{ "ffn_up_exps", false, { EMBD, FF, EXPERTS } },
		{ "ffn_down_exps", false, { FF, EMBD, EXPERTS } },
	};
	for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
		char name[NAME_MAX_LEN];
		snprintf(name, sizeof name, "blk.%zu.%s", i, parts[k].name);
		plan(w, name, parts[k].plain, parts[k].ne[0], parts[k].ne[1], parts[k].ne[2]);
	}
}

static void put(struct writer *w, const void *bytes, size_t n)
{
	fwrite(bytes, 1, n, w->f);
}

static void put_u32(struct writer *w, uint32_t v)
{
	put(w, &v, sizeof v);
}

static void put_u64(struct writer *w, uint64_t v)
{
	put(w, &v, sizeof v);
}

static void put_str(struct writer *w, const char *s)
{
	put_u64(w, strlen(s));
	put(w, s, strlen(s));
}

static void key_u32(struct writer *w, const char *key, uint32_t v)
{
	put_str(w, key);
	put_u32(w, GGUF_U32);
	put_u32(w, v);
}

static void key_f32(struct writer *w, const char *key, float v)
{
	put_str(w, key);
	put_u32(w, GGUF_F32);
	put(w, &v, sizeof v);
}

static void key_str(struct writer *w, const char *key, const char *v)
{
	put_str(w, key);
	put_u32(w, GGUF_STR);
	put_str(w, v);
}

static void key_array(struct writer *w, const char *key, enum gguf_type type, uint64_t n)
{
	put_str(w, key);
	put_u32(w, GGUF_ARRAY);
	put_u32(w, type);
	put_u64(w, n);
}

/* Three specials, the bytes, and words that stand for nothing. */
static void put_vocabulary(struct writer *w)
{
	static const char *const specials[SPECIALS] = { "<unk>", "<s>", "</s>" };
	static const int32_t special_types[SPECIALS] = { 2, 3, 3 };
	key_array(w, "tokenizer.ggml.tokens", GGUF_STR, VOCAB);
	for (int i = 0; i < VOCAB; i++) {
		char text[16];
		snprintf(text, sizeof text, i < SPECIALS + 256 ? "<0x%02X>" : "word%d",
		         i < SPECIALS + 256 ? i - SPECIALS : i);
		put_str(w, i < SPECIALS ? specials[i] : text);
	}
	key_array(w, "tokenizer.ggml.scores", GGUF_F32, VOCAB);
	for (int i = 0; i < VOCAB; i++) {
		float score = -(float)i;
		put(w, &score, sizeof score);
	}
	key_array(w, "tokenizer.ggml.token_type", GGUF_I32, VOCAB);
	for (int i = 0; i < VOCAB; i++) {
		int32_t type = i < SPECIALS ? special_types[i] : i < SPECIALS + 256 ? 6 : 1;
		put(w, &type, sizeof type);
	}
}

static void put_keys(struct writer *w, uint32_t file_type)
{
	key_str(w, "general.architecture", "llama");
	key_str(w, "general.name", "random weights for benchmarks");
	key_u32(w, "general.file_type", file_type);
	key_u32(w, "llama.block_count", LAYERS);
	key_u32(w, "llama.context_length", CONTEXT);
	key_u32(w, "llama.embedding_length", EMBD);
	key_u32(w, "llama.feed_forward_length", FF);
	key_u32(w, "llama.attention.head_count", HEADS);
	key_u32(w, "llama.attention.head_count_kv", HEADS_KV);
	key_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	key_u32(w, "llama.expert_count", EXPERTS);
	key_u32(w, "llama.expert_used_count", USED);
	key_str(w, "tokenizer.ggml.model", "llama");
	key_u32(w, "tokenizer.ggml.bos_token_id", 1);
	key_u32(w, "tokenizer.ggml.eos_token_id", 2);
	put_vocabulary(w);
}
enum { N_KEYS = 18 };

static size_t bytes_of(const struct planned *t)
{
	return t->ne[0] * t->ne[1] * t->ne[2] / t->type->block * t->type->bytes;
}

static size_t aligned(size_t n)
{
	return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void pad(struct writer *w, size_t n)
{
	static const uint8_t zeros[ALIGNMENT];
	put(w, zeros, aligned(n) - n);
}

static void put_header(struct writer *w, uint32_t file_type)
{
	size_t offset = 0;
	put(w, "GGUF", 4);
	put_u32(w, 3);
	put_u64(w, w->n);
	put_u64(w, N_KEYS);
	put_keys(w, file_type);
	for (size_t i = 0; i < w->n; i++) {
		const struct planned *t = &w->tensor[i];
		put_str(w, t->name);
		put_u32(w, (uint32_t)t->n_dims);
		for (size_t d = 0; d < t->n_dims; d++)
			put_u64(w, t->ne[d]);
		put_u32(w, t->type->id);
		put_u64(w, offset);
		offset += aligned(bytes_of(t));
	}
	pad(w, (size_t)ftell(w->f));
}

static int put_data(struct writer *w, const struct planned *t)
{
	size_t n_blocks = t->ne[0] / t->type->block, row_bytes = n_blocks * t->type->bytes;
	float spread = 1 / sqrtf((float)t->ne[0]);
	uint8_t *row = malloc(row_bytes);
	size_t kind = 0;
	if (!row)
		return -ENOMEM;
	while (strcmp(fills[kind].name, t->type->name))
		kind++;
	for (size_t r = 0; r < t->ne[1] * t->ne[2]; r++) {
		for (size_t b = 0; b < n_blocks; b++)
			if (t->norm)
				((float *)row)[b] = 1;
			else
				fills[kind].fill(row + b * t->type->bytes, spread, &w->state);
		put(w, row, row_bytes);
	}
	pad(w, bytes_of(t));
	free(row);
	return 0;
}

static int write_all(struct writer *w, uint32_t file_type)
{
	plan(w, "token_embd", false, EMBD, VOCAB, 0);
	plan(w, "output_norm", true, EMBD, 0, 0);
	plan(w, "output", false, EMBD, VOCAB, 0);
	for (size_t i = 0; i < LAYERS; i++)
		plan_layer(w, i);
	put_header(w, file_type);
	int rc = 0;
	for (size_t i = 0; i < w->n && !rc; i++)
		rc = put_data(w, &w->tensor[i]);
	return rc ? rc : ferror(w->f) ? -EIO : 0;
}

int moe_bench_model_write(const char *path, const struct tensor_type *type, uint64_t seed, char *err, size_t err_len)
{
	size_t kind = 0, n_kinds = sizeof fills / sizeof fills[0];
	while (kind < n_kinds && strcmp(fills[kind].name, type->name))
		kind++;
	if (kind == n_kinds) {
		snprintf(err, err_len, "no model of random weights is made of type %s", type->name);
		return -EINVAL;
	}
	struct writer *w = calloc(1, sizeof *w);
	int rc = w ? 0 : -ENOMEM;
	if (w) {
		w->type = type;
		w->state = seed;
		w->f = fopen(path, "wb");
		rc = w->f ? write_all(w, fills[kind].file_type) : -errno;
		if (w->f && fclose(w->f) && !rc)
			rc = -errno;
		if (rc && w->f)
			unlink(path);
	}
	if (rc)
		snprintf(err, err_len, "%s: %s", path, strerror(-rc));
	free(w);
	return rc;
}
