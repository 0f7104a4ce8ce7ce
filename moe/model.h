/* model.h - a mixture-of-experts model from a GGUF file, whole or one half of the cut.
 *
 * The model is cut between router and experts. The base station holds the base (embedding, attention,
 * norms, routers, shared experts, output head), a device some experts of some layers:
 *
 *     struct moe_model *whole, *bs, *dev;
 *     moe_model_open(path, NULL, &whole, err, sizeof err);
 *     moe_model_open(path, &(struct moe_half){ .base = true }, &bs, err, sizeof err);
 *     struct moe_expert_id held[] = { { .layer = 0, .expert = 3 }, { .layer = 1, .expert = 3 } };
 *     moe_model_open(path, &(struct moe_half){ .held = held, .n_held = 2 }, &dev, err, sizeof err);
 *
 * The base half runs in bs_half.h, experts in expert.h, both joined in forward.h. All halves of one file have the same
 * hash, that of the tensors of the whole file, so that two nodes can tell whether they hold the same model.
 * A half touches no weights but its own. A model is immutable and may be shared between threads.
 */
#ifndef MOE_MODEL_H
#define MOE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/arch.h"
#include "moe/gguf.h"
#include "moe/swiglu.h"
#include "moe/tensor.h"
#include "moe/tokenizer.h"

enum { MOE_HASH_BYTES = 32, MOE_HASH_HEX = 2 * MOE_HASH_BYTES + 1 };

struct moe_shape {
	size_t n_vocab;
	size_t n_ctx; /* longest context the model was made for */
	size_t n_embd;
	size_t n_layer;
	size_t n_head, n_head_kv;
	size_t head_dim_k, head_dim_v;
	size_t n_rot; /* leading numbers of each head that are rotated */
	size_t n_expert, n_expert_used;
	size_t n_ff;        /* of one expert */
	size_t n_ff_shared; /* of the shared expert, 0: there is none */
	float rms_eps;
	double rope_base;
	float embedding_scale; /* of token embeddings */
	float residual_scale;  /* of what attention and experts add */
	float attention_scale; /* of queries times keys */
	float logit_scale;     /* that logits are divided by */
};

struct moe_layer {
	const float *attn_norm, *ffn_norm;     /* [n_embd] */
	struct tensor q, k, v, o;              /* attention projections */
	const float *q_bias, *k_bias, *v_bias; /* NULL if the model has none */
	const float *o_bias;
	const float *q_norm, *k_norm; /* NULL, or as arch->qk_norm says */
	struct tensor router;         /* [n_expert][n_embd], always F32 */
	struct tensor gate, up;       /* [n_expert * n_ff][n_embd], experts one after another */
	struct tensor down;           /* [n_expert * n_embd][n_ff] */
	struct swiglu shared;         /* of every token; its data are NULL if there is none */
	const float *shared_gate;     /* [n_embd], NULL if it is not gated */
};

struct moe_model {
	struct gguf *file;
	const struct moe_arch *arch;
	struct moe_shape shape;
	struct tensor embedding;  /* [n_vocab][n_embd] */
	struct tensor output;     /* [n_vocab][n_embd] */
	const float *output_norm; /* [n_embd] */
	struct moe_layer *layers; /* [n_layer] */
	struct tokenizer *tokenizer;
	bool has_base;
	bool *held; /* [n_layer][n_expert]: which experts this half may run */
	uint8_t hash[MOE_HASH_BYTES];
};

struct moe_expert_id {
	uint32_t layer, expert;
};

/* Which half: the base, experts, or both. */
struct moe_half {
	bool base;
	const struct moe_expert_id *held; /* [n_held], each inside the model */
	size_t n_held;
};

/* Opens the file at path; half NULL is the whole model. Returns 0 and *out, which the caller frees with
 * moe_model_close, or negative errno with one line in err that names the culprit. */
int moe_model_open(const char *path, const struct moe_half *half, struct moe_model **out, char *err, size_t err_len);
void moe_model_close(struct moe_model *m); /* NULL is fine */

/* BLAKE2b-256 over all tensors in order of name: name, type, shape, data; as hexadecimal digits. */
void moe_model_hash_hex(const struct moe_model *m, char hex[static MOE_HASH_HEX]);

bool moe_model_holds(const struct moe_model *m, size_t layer, size_t expert);

/* Bytes of weights in the file: the base, and one expert of one layer. */
size_t moe_model_base_bytes(const struct moe_model *m);
size_t moe_model_expert_bytes(const struct moe_model *m, size_t layer);

/* What compute profiles charge by: floating-point operations (a multiply and an add count as two) and bytes of weights
 * and KV cache read, for n_rows rows at once. Of an expert; of one layer's attention and router after n_past tokens; of
 * the output head. */
struct moe_cost {
	double flop;
	double bytes;
};
struct moe_cost moe_expert_cost(const struct moe_model *m, size_t layer, size_t n_rows);
struct moe_cost moe_attend_cost(const struct moe_model *m, size_t layer, size_t n_rows, size_t n_past);
struct moe_cost moe_head_cost(const struct moe_model *m, size_t n_rows);

#endif
