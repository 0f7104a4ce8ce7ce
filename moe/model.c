#include "moe/model.h"

#include <cblas.h>
#include <errno.h>
#include <math.h>
#include <sodium/core.h>
#include <sodium/crypto_generichash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moe/complaint.h"

enum { NAME_MAX_LEN = 96 };

/* --- hyperparameters --- */

static void arch_key(const struct moe_model *m, const char *name, char key[NAME_MAX_LEN])
{
	snprintf(key, NAME_MAX_LEN, "%s.%s", m->arch->name, name);
}

/* A key under the architecture's name. max: largest value that is believed. */
static int read_size(const struct moe_model *m, const struct complaint *c, const char *name, size_t max, size_t *value)
{
	char key[NAME_MAX_LEN];
	arch_key(m, name, key);
	uint64_t v = 0;
	int rc = gguf_get_u64(m->file, key, &v);
	if (rc == -ENOENT)
		return complain(c, "key %s is missing", key);
	if (rc || v < 1 || v > max)
		return complain(c, "key %s is not a number from 1 to %zu", key, max);
	*value = v;
	return 0;
}

static int read_size_or(const struct moe_model *m, const struct complaint *c, const char *name, size_t max,
                        size_t otherwise, size_t *value)
{
	char key[NAME_MAX_LEN];
	arch_key(m, name, key);
	uint64_t v;
	*value = otherwise;
	return gguf_get_u64(m->file, key, &v) == -ENOENT ? 0 : read_size(m, c, name, max, value);
}

static int read_real_or(const struct moe_model *m, const struct complaint *c, const char *name, double otherwise,
                        double *value)
{
	char key[NAME_MAX_LEN];
	arch_key(m, name, key);
	*value = otherwise;
	int rc = gguf_get_f64(m->file, key, value);
	if (rc == -EINVAL || !(*value > 0 && *value < 1e12))
		return complain(c, "key %s is not a positive number", key);
	return 0;
}

/* Keys that would change the result and that this program does not know how to follow. */
static int refuse_unknown(const struct moe_model *m, const struct complaint *c)
{
	char key[NAME_MAX_LEN];
	uint64_t window = 0;
	arch_key(m, "attention.sliding_window", key);
	if (gguf_get_u64(m->file, key, &window) != -ENOENT && window && window < m->shape.n_ctx)
		return complain(c, "key %s: a window shorter than the context is not supported", key);
	struct gguf_str scaling;
	arch_key(m, "rope.scaling.type", key);
	if (!gguf_get_str(m->file, key, &scaling) && !gguf_str_is(scaling, "none"))
		return complain(c, "key %s: only 'none' is supported", key);
	return 0;
}

static int read_attention_shape(struct moe_model *m, const struct complaint *c)
{
	enum { HEADS_MAX = 1024, HEAD_DIM_MAX = 4096 };
	struct moe_shape *s = &m->shape;
	int rc = read_size(m, c, "attention.head_count", HEADS_MAX, &s->n_head);
	if (!rc)
		rc = read_size_or(m, c, "attention.head_count_kv", HEADS_MAX, s->n_head, &s->n_head_kv);
	if (!rc && s->n_head % s->n_head_kv)
		return complain(c, "%zu heads cannot share %zu key-value heads", s->n_head, s->n_head_kv);
	if (!rc)
		rc = read_size_or(m, c, "attention.key_length", HEAD_DIM_MAX, s->n_embd / s->n_head, &s->head_dim_k);
	if (!rc)
		rc = read_size_or(m, c, "attention.value_length", HEAD_DIM_MAX, s->n_embd / s->n_head, &s->head_dim_v);
	if (!rc && (!s->head_dim_k || !s->head_dim_v || s->head_dim_k > HEAD_DIM_MAX || s->head_dim_v > HEAD_DIM_MAX))
		return complain(c, "%zu heads do not fit an embedding of %zu", s->n_head, s->n_embd);
	if (!rc)
		rc = read_size_or(m, c, "rope.dimension_count", s->head_dim_k, s->head_dim_k, &s->n_rot);
	if (!rc && s->n_rot % 2)
		return complain(c, "%zu rotary dimensions: not an even number", s->n_rot);
	double eps = 0;
	if (!rc)
		rc = read_real_or(m, c, "rope.freq_base", 10000, &s->rope_base);
	if (!rc)
		rc = read_real_or(m, c, "attention.layer_norm_rms_epsilon", 1e-5, &eps);
	s->rms_eps = (float)eps;
	return rc;
}

/* Rows of a matrix of the first layer, 0 if there is none. */
static size_t first_layer_rows(const struct moe_model *m, const char *name)
{
	char full[NAME_MAX_LEN];
	snprintf(full, sizeof full, "blk.0.%s.weight", name);
	const struct gguf_tensor *t = gguf_find(m->file, full);
	return t ? (size_t)t->ne[1] : 0;
}

/* A shared expert is what the tensors say; a key that says something else would have it left out in silence. */
static int check_shared(const struct moe_model *m, const struct complaint *c)
{
	static const char *const names[] = { "expert_shared_feed_forward_length", "expert_shared_count" };
	size_t n_ff = m->shape.n_ff_shared;
	const size_t right[] = { n_ff, n_ff ? 1 : 0 };
	char key[NAME_MAX_LEN];
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		uint64_t v = 0;
		arch_key(m, names[i], key);
		int rc = gguf_get_u64(m->file, key, &v);
		if (rc != -ENOENT && (rc || v != right[i]))
			return complain(c, "key %s does not go with the shared experts in the file, %zu wide", key,
			                n_ff);
	}
	if (m->arch->shared == MOE_SHARED_GATED && !n_ff)
		return complain(c, "tensor blk.0.ffn_gate_shexp.weight is missing");
	return 0;
}

/* Widths of the experts: where no key tells them, files differ in what stands for them, so the tensors do. */
static int read_expert_widths(struct moe_model *m, const struct complaint *c)
{
	enum { WIDTH_MAX = 1 << 20 };
	struct moe_shape *s = &m->shape;
	size_t n_ff = first_layer_rows(m, "ffn_gate_exps");
	if (!n_ff)
		return complain(c, "tensor blk.0.ffn_gate_exps.weight is missing");
	int rc = read_size_or(m, c, "expert_feed_forward_length", WIDTH_MAX, n_ff, &s->n_ff);
	if (m->arch->shared != MOE_SHARED_NONE)
		s->n_ff_shared = first_layer_rows(m, "ffn_gate_shexp");
	return rc ? rc : check_shared(m, c);
}

/* Factors of 1 but in architectures that have keys for them. */
static int read_scales(struct moe_model *m, const struct complaint *c)
{
	struct moe_shape *s = &m->shape;
	const struct {
		const char *key;
		float *at;
		double otherwise;
	} scales[] = {
		{ "embedding_scale", &s->embedding_scale, 1 },
		{ "residual_scale", &s->residual_scale, 1 },
		{ "attention.scale", &s->attention_scale, 1 / sqrt((double)s->head_dim_k) },
		{ "logit_scale", &s->logit_scale, 1 },
	};
	int rc = 0;
	for (size_t i = 0; i < sizeof scales / sizeof scales[0] && !rc; i++) {
		double value = scales[i].otherwise;
		if (m->arch->scales)
			rc = read_real_or(m, c, scales[i].key, value, &value);
		*scales[i].at = (float)value;
	}
	return rc;
}

static int read_shape(struct moe_model *m, const struct complaint *c)
{
	enum { LAYERS_MAX = 1024, EXPERTS_MAX = 1024, WIDTH_MAX = 1 << 20, CONTEXT_MAX = 1 << 24 };
	struct moe_shape *s = &m->shape;
	int rc = read_size(m, c, "block_count", LAYERS_MAX, &s->n_layer);
	if (!rc)
		rc = read_size(m, c, "context_length", CONTEXT_MAX, &s->n_ctx);
	if (!rc)
		rc = read_size(m, c, "embedding_length", WIDTH_MAX, &s->n_embd);
	if (!rc)
		rc = read_size(m, c, "expert_count", EXPERTS_MAX, &s->n_expert);
	if (!rc)
		rc = read_size(m, c, "expert_used_count", s->n_expert, &s->n_expert_used);
	if (!rc)
		rc = read_expert_widths(m, c);
	if (!rc)
		rc = read_attention_shape(m, c);
	if (!rc)
		rc = read_scales(m, c);
	return rc ? rc : refuse_unknown(m, c);
}

static int read_arch(struct moe_model *m, const struct complaint *c)
{
	struct gguf_str name;
	if (gguf_get_str(m->file, "general.architecture", &name))
		return complain(c, "key general.architecture is missing or no string");
	m->arch = moe_arch_by_name(name.bytes, name.len);
	if (!m->arch)
		return complain(c, "architecture '%.*s' is not supported", name.len < 32 ? (int)name.len : 32,
		                name.bytes);
	return 0;
}

/* --- tensors --- */

/* Looks tensors up one by one, counting, so that in the end none is left over that nobody knows. */
struct binder {
	struct moe_model *m;
	const struct complaint *c;
	size_t n_bound;
	int rc; /* the first error; nothing is done after it */
};

static const struct gguf_tensor *find_shaped(struct binder *b, const char *name, size_t ne0, size_t ne1, size_t ne2)
{
	const struct gguf_tensor *t = gguf_find(b->m->file, name);
	if (!t)
		return NULL;
	if (t->ne[0] != ne0 || t->ne[1] != ne1 || t->ne[2] != ne2 || t->ne[3] != 1) {
		b->rc = complain(b->c, "tensor %s is %llu x %llu x %llu, not %zu x %zu x %zu", name,
		                 (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
		                 (unsigned long long)t->ne[2], ne0, ne1, ne2);
		return NULL;
	}
	b->n_bound++;
	return t;
}

/* An optional matrix of n_rows x n_cols in each of n_parts parts. */
static struct tensor find_matrix(struct binder *b, const char *name, size_t n_cols, size_t n_rows, size_t n_parts)
{
	struct tensor w = { .n_rows = n_rows * n_parts, .n_cols = n_cols };
	const struct gguf_tensor *t = b->rc ? NULL : find_shaped(b, name, n_cols, n_rows, n_parts);
	if (t) {
		w.type = t->type;
		w.data = t->data;
	}
	return w;
}

static struct tensor matrix(struct binder *b, const char *name, size_t n_cols, size_t n_rows, size_t n_parts)
{
	struct tensor w = find_matrix(b, name, n_cols, n_rows, n_parts);
	if (!w.data && !b->rc)
		b->rc = complain(b->c, "tensor %s is missing", name);
	return w;
}

/* Norms, biases and routers are used as f32 in place. */
static const float *find_vector(struct binder *b, const char *name, size_t n)
{
	struct tensor w = find_matrix(b, name, n, 1, 1);
	if (w.data && w.type->id != 0) {
		b->rc = complain(b->c, "tensor %s is %s, not F32", name, w.type->name);
		return NULL;
	}
	return w.data;
}

static const float *vector(struct binder *b, const char *name, size_t n)
{
	const float *v = find_vector(b, name, n);
	if (!v && !b->rc)
		b->rc = complain(b->c, "tensor %s is missing", name);
	return v;
}

static const char *block_name(char buf[NAME_MAX_LEN], size_t layer, const char *name)
{
	snprintf(buf, NAME_MAX_LEN, "blk.%zu.%s", layer, name);
	return buf;
}

/* Queries, keys and values: three matrices, or one with the rows of all. */
static void bind_projections(struct binder *b, size_t i, size_t n_q, size_t n_k, size_t n_v)
{
	size_t n_embd = b->m->shape.n_embd, n = n_q + n_k + n_v;
	struct moe_layer *l = &b->m->layers[i];
	char name[NAME_MAX_LEN];
	struct tensor all = find_matrix(b, block_name(name, i, "attn_qkv.weight"), n_embd, n, 1);
	if (all.data) {
		l->q = tensor_rows(&all, 0, n_q);
		l->k = tensor_rows(&all, n_q, n_k);
		l->v = tensor_rows(&all, n_q + n_k, n_v);
		const float *bias = find_vector(b, block_name(name, i, "attn_qkv.bias"), n);
		l->q_bias = bias;
		l->k_bias = bias ? bias + n_q : NULL;
		l->v_bias = bias ? bias + n_q + n_k : NULL;
		return;
	}
	l->q = matrix(b, block_name(name, i, "attn_q.weight"), n_embd, n_q, 1);
	l->k = matrix(b, block_name(name, i, "attn_k.weight"), n_embd, n_k, 1);
	l->v = matrix(b, block_name(name, i, "attn_v.weight"), n_embd, n_v, 1);
	l->q_bias = find_vector(b, block_name(name, i, "attn_q.bias"), n_q);
	l->k_bias = find_vector(b, block_name(name, i, "attn_k.bias"), n_k);
	l->v_bias = find_vector(b, block_name(name, i, "attn_v.bias"), n_v);
}

static void bind_attention(struct binder *b, size_t i)
{
	const struct moe_shape *s = &b->m->shape;
	struct moe_layer *l = &b->m->layers[i];
	enum moe_qk_norm norm = b->m->arch->qk_norm;
	size_t n_q = s->n_head * s->head_dim_k, n_k = s->n_head_kv * s->head_dim_k, n_v = s->n_head_kv * s->head_dim_v;
	char n[NAME_MAX_LEN];
	l->attn_norm = vector(b, block_name(n, i, "attn_norm.weight"), s->n_embd);
	bind_projections(b, i, n_q, n_k, n_v);
	l->o = matrix(b, block_name(n, i, "attn_output.weight"), s->n_head * s->head_dim_v, s->n_embd, 1);
	l->o_bias = find_vector(b, block_name(n, i, "attn_output.bias"), s->n_embd);
	if (norm == MOE_QK_NORM_NONE)
		return;
	l->q_norm = vector(b, block_name(n, i, "attn_q_norm.weight"), norm == MOE_QK_NORM_HEAD ? s->head_dim_k : n_q);
	l->k_norm = vector(b, block_name(n, i, "attn_k_norm.weight"), norm == MOE_QK_NORM_HEAD ? s->head_dim_k : n_k);
}

static void bind_experts(struct binder *b, size_t i)
{
	const struct moe_shape *s = &b->m->shape;
	struct moe_layer *l = &b->m->layers[i];
	char n[NAME_MAX_LEN];
	l->ffn_norm = vector(b, block_name(n, i, "ffn_norm.weight"), s->n_embd);
	l->router = matrix(b, block_name(n, i, "ffn_gate_inp.weight"), s->n_embd, s->n_expert, 1);
	l->gate = matrix(b, block_name(n, i, "ffn_gate_exps.weight"), s->n_embd, s->n_ff, s->n_expert);
	l->up = matrix(b, block_name(n, i, "ffn_up_exps.weight"), s->n_embd, s->n_ff, s->n_expert);
	l->down = matrix(b, block_name(n, i, "ffn_down_exps.weight"), s->n_ff, s->n_embd, s->n_expert);
	if (!s->n_ff_shared)
		return;
	l->shared.gate = matrix(b, block_name(n, i, "ffn_gate_shexp.weight"), s->n_embd, s->n_ff_shared, 1);
	l->shared.up = matrix(b, block_name(n, i, "ffn_up_shexp.weight"), s->n_embd, s->n_ff_shared, 1);
	l->shared.down = matrix(b, block_name(n, i, "ffn_down_shexp.weight"), s->n_ff_shared, s->n_embd, 1);
	if (b->m->arch->shared == MOE_SHARED_GATED)
		l->shared_gate = vector(b, block_name(n, i, "ffn_gate_inp_shexp.weight"), s->n_embd);
}

static void bind_layer(struct binder *b, size_t i)
{
	bind_attention(b, i);
	bind_experts(b, i);
}

static int bind_tensors(struct moe_model *m, const struct complaint *c)
{
	struct binder b = { .m = m, .c = c };
	struct moe_shape *s = &m->shape;
	s->n_vocab = tokenizer_n_vocab(m->tokenizer);
	m->embedding = matrix(&b, "token_embd.weight", s->n_embd, s->n_vocab, 1);
	m->output_norm = vector(&b, "output_norm.weight", s->n_embd);
	m->output = find_matrix(&b, "output.weight", s->n_embd, s->n_vocab, 1);
	if (!m->output.data && m->arch->tied_output)
		m->output = m->embedding;
	if (!m->output.data && !b.rc)
		b.rc = complain(c, "tensor output.weight is missing");
	for (size_t i = 0; i < s->n_layer && !b.rc; i++)
		bind_layer(&b, i);
	if (!b.rc && b.n_bound != gguf_n_tensors(m->file))
		return complain(c, "%zu of its %zu tensors are not part of architecture %s",
		                gguf_n_tensors(m->file) - b.n_bound, gguf_n_tensors(m->file), m->arch->name);
	return b.rc;
}

/* --- halves --- */

static int take_half(struct moe_model *m, const struct moe_half *half, const struct complaint *c)
{
	size_t n = m->shape.n_layer * m->shape.n_expert;
	m->has_base = !half || half->base;
	for (size_t i = 0; i < n; i++)
		m->held[i] = !half;
	for (size_t i = 0; half && i < half->n_held; i++) {
		struct moe_expert_id id = half->held[i];
		if (id.layer >= m->shape.n_layer || id.expert >= m->shape.n_expert)
			return complain(c, "it has no expert %u in a layer %u", id.expert, id.layer);
		m->held[id.layer * m->shape.n_expert + id.expert] = true;
	}
	return 0;
}

/* --- identity --- */

static void hash_u64(crypto_generichash_state *h, uint64_t v)
{
	uint8_t b[8];
	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> 8 * i);
	crypto_generichash_update(h, b, sizeof b);
}

/* By pread, not through the mapping: the other half's weights must not become resident. */
static int hash_data(crypto_generichash_state *h, const struct gguf *g, const struct gguf_tensor *t, uint8_t *buf,
                     size_t buf_len)
{
	for (size_t at = 0; at < t->n_bytes;) {
		size_t n = t->n_bytes - at < buf_len ? t->n_bytes - at : buf_len;
		int rc = gguf_read_tensor(g, t, at, buf, n);
		if (rc)
			return rc;
		crypto_generichash_update(h, buf, n);
		at += n;
	}
	return 0;
}

static int hash_tensors(struct moe_model *m, const struct complaint *c)
{
	enum { BUF_LEN = 1 << 18 };
	uint8_t *buf = malloc(BUF_LEN);
	crypto_generichash_state h;
	int rc = buf && sodium_init() >= 0 ? 0 : -ENOMEM;
	crypto_generichash_init(&h, NULL, 0, MOE_HASH_BYTES);
	for (size_t i = 0; i < gguf_n_tensors(m->file) && !rc; i++) {
		const struct gguf_tensor *t = gguf_tensor_at(m->file, i);
		hash_u64(&h, t->name.len);
		crypto_generichash_update(&h, (const uint8_t *)t->name.bytes, t->name.len);
		hash_u64(&h, t->type->id);
		for (int d = 0; d < GGUF_MAX_DIMS; d++)
			hash_u64(&h, t->ne[d]);
		rc = hash_data(&h, m->file, t, buf, BUF_LEN);
	}
	crypto_generichash_final(&h, m->hash, MOE_HASH_BYTES);
	free(buf);
	if (rc)
		complain(c, "cannot be hashed: %s", strerror(-rc));
	return rc;
}

void moe_model_hash_hex(const struct moe_model *m, char hex[static MOE_HASH_HEX])
{
	for (size_t i = 0; i < MOE_HASH_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", m->hash[i]);
}

/* --- open, close --- */

static int build(struct moe_model *m, const struct moe_half *half, const struct complaint *c)
{
	int rc = read_arch(m, c);
	if (!rc)
		rc = read_shape(m, c);
	if (!rc)
		rc = tokenizer_create(m->file, &m->tokenizer, c->text, c->len);
	if (rc)
		return rc;
	m->layers = calloc(m->shape.n_layer, sizeof *m->layers);
	m->held = calloc(m->shape.n_layer * m->shape.n_expert, sizeof *m->held);
	if (!m->layers || !m->held) {
		complain(c, "out of memory");
		return -ENOMEM;
	}
	rc = bind_tensors(m, c);
	if (!rc)
		rc = take_half(m, half, c);
	return rc ? rc : hash_tensors(m, c);
}

int moe_model_open(const char *path, const struct moe_half *half, struct moe_model **out, char *err, size_t err_len)
{
	struct complaint c = { err, err_len, path };
	struct moe_model *m = calloc(1, sizeof *m);
	if (!m) {
		complain(&c, "out of memory");
		return -ENOMEM;
	}
	openblas_set_num_threads(1); /* or the bits of attention would depend on the processor count */
	int rc = gguf_open(path, &m->file, err, err_len);
	if (!rc)
		rc = build(m, half, &c);
	if (rc) {
		moe_model_close(m);
		return rc;
	}
	*out = m;
	return 0;
}

void moe_model_close(struct moe_model *m)
{
	if (!m)
		return;
	free(m->held);
	free(m->layers);
	tokenizer_destroy(m->tokenizer);
	gguf_close(m->file);
	free(m);
}

bool moe_model_holds(const struct moe_model *m, size_t layer, size_t expert)
{
	return layer < m->shape.n_layer && expert < m->shape.n_expert && m->held[layer * m->shape.n_expert + expert];
}

/* --- sizes and costs --- */

static size_t tensor_bytes(const struct tensor *t)
{
	return t->n_rows * tensor_row_bytes(t);
}

size_t moe_model_expert_bytes(const struct moe_model *m, size_t layer)
{
	const struct moe_layer *l = &m->layers[layer];
	return (tensor_bytes(&l->gate) + tensor_bytes(&l->up) + tensor_bytes(&l->down)) / m->shape.n_expert;
}

size_t moe_model_base_bytes(const struct moe_model *m)
{
	size_t all = 0;
	for (size_t i = 0; i < gguf_n_tensors(m->file); i++)
		all += gguf_tensor_at(m->file, i)->n_bytes;
	for (size_t layer = 0; layer < m->shape.n_layer; layer++)
		all -= moe_model_expert_bytes(m, layer) * m->shape.n_expert;
	return all;
}

/* One multiply-add for each weight and row; the weights are read once for all rows. */
static void add_cost(struct moe_cost *cost, double n_weights, size_t bytes, size_t n_rows)
{
	cost->flop += 2 * n_weights * (double)n_rows;
	cost->bytes += (double)bytes;
}

struct moe_cost moe_expert_cost(const struct moe_model *m, size_t layer, size_t n_rows)
{
	struct moe_cost cost = { 0 };
	add_cost(&cost, 3.0 * (double)(m->shape.n_ff * m->shape.n_embd), moe_model_expert_bytes(m, layer), n_rows);
	return cost;
}

struct moe_cost moe_attend_cost(const struct moe_model *m, size_t layer, size_t n_rows, size_t n_past)
{
	const struct moe_shape *s = &m->shape;
	const struct moe_layer *l = &m->layers[layer];
	const struct tensor *weights[] = { &l->q,      &l->k,           &l->v,         &l->o,
		                           &l->router, &l->shared.gate, &l->shared.up, &l->shared.down };
	struct moe_cost cost = { 0 };
	for (size_t i = 0; i < sizeof weights / sizeof weights[0] && weights[i]->data; i++)
		add_cost(&cost, (double)(weights[i]->n_rows * weights[i]->n_cols), tensor_bytes(weights[i]), n_rows);
	double seen = (double)n_past + ((double)n_rows + 1) / 2; /* positions a row looks at, on average */
	cost.flop += 2 * (double)(s->n_head * (s->head_dim_k + s->head_dim_v)) * (double)n_rows * seen;
	cost.bytes += 4 * (double)(s->n_head_kv * (s->head_dim_k + s->head_dim_v)) * (double)(n_past + n_rows);
	return cost;
}

struct moe_cost moe_head_cost(const struct moe_model *m, size_t n_rows)
{
	struct moe_cost cost = { 0 };
	add_cost(&cost, (double)(m->output.n_rows * m->output.n_cols), tensor_bytes(&m->output), n_rows);
	return cost;
}
