/* Loading a model, whole and in halves; what is refused. */
#include "moe/bs_half.h"
#include "moe/expert.h"
#include "moe/model.h"
#include "support.h"

#include <errno.h>

/* A file with the first occurrence of `what` replaced by `with`, both n bytes. */
static int open_changed(const char *file, const char *what, const char *with, size_t n, struct moe_model **m,
                        char err[ERR_LEN])
{
	size_t len;
	uint8_t *bytes = read_bytes(file, &len);
	uint8_t *at = memmem(bytes, len, what, n);
	if (!at)
		fail_msg("\"%s\" is not in the file", what);
	memcpy(at, with, n);
	char path[64];
	write_temporary(path, bytes, len);
	*m = NULL;
	int rc = moe_model_open(path, NULL, m, err, ERR_LEN);
	unlink(path);
	free(bytes);
	return rc;
}

static void assert_file_refused(const char *file, const char *what, const char *with, size_t n, const char *word)
{
	struct moe_model *m;
	char err[ERR_LEN];
	assert_int_equal(open_changed(file, what, with, n, &m, err), -EINVAL);
	assert_null(m);
	assert_one_line(err);
	if (!strstr(err, word))
		fail_msg("\"%s\" does not say \"%s\"", err, word);
}

/* The small model with `what` replaced. */
static void assert_refused(const char *what, const char *with, size_t n, const char *word)
{
	assert_file_refused(mini_path, what, with, n, word);
}

static void the_shape_is_what_the_file_says(void **state)
{
	(void)state;
	struct moe_model *m = open_model(mini_path, NULL);
	assert_int_equal(m->shape.n_layer, 2);
	assert_int_equal(m->shape.n_ctx, 128);
	assert_int_equal(m->shape.n_embd, 32);
	assert_int_equal(m->shape.n_head, 4);
	assert_int_equal(m->shape.n_head_kv, 2);
	assert_int_equal(m->shape.head_dim_k, 8);
	assert_int_equal(m->shape.n_expert, 4);
	assert_int_equal(m->shape.n_expert_used, 2);
	assert_int_equal(m->shape.n_ff, 32);
	assert_int_equal(m->shape.n_vocab, 320);
	assert_true(m->shape.rope_base == 10000);
	moe_model_close(m);
}

static void base_and_experts_add_up_to_the_tensors(void **state)
{
	(void)state;
	struct moe_model *m = open_model(mini_path, NULL);
	size_t all = 0, parts = moe_model_base_bytes(m);
	for (size_t i = 0; i < gguf_n_tensors(m->file); i++)
		all += gguf_tensor_at(m->file, i)->n_bytes;
	for (size_t layer = 0; layer < m->shape.n_layer; layer++)
		parts += m->shape.n_expert * moe_model_expert_bytes(m, layer);
	assert_int_equal(parts, all);
	assert_int_equal(moe_model_expert_bytes(m, 0), 3 * 32 * 32 * 4);
	moe_model_close(m);
}

static void halves_have_the_hash_of_the_whole(void **state)
{
	(void)state;
	struct moe_expert_id held = { 1, 3 };
	struct moe_model *whole = open_model(mini_path, NULL);
	struct moe_model *base = open_model(mini_path, &(struct moe_half){ .base = true });
	struct moe_model *device = open_model(mini_path, &(struct moe_half){ .held = &held, .n_held = 1 });
	assert_memory_equal(whole->hash, base->hash, MOE_HASH_BYTES);
	assert_memory_equal(whole->hash, device->hash, MOE_HASH_BYTES);
	moe_model_close(device);
	moe_model_close(base);
	moe_model_close(whole);
}

static void one_bit_of_one_weight_changes_the_hash(void **state)
{
	(void)state;
	struct moe_model *m = open_model(mini_path, NULL), *changed;
	uint64_t offset = gguf_find(m->file, "blk.1.ffn_down_exps.weight")->file_offset;
	size_t len;
	uint8_t *bytes = read_bytes(mini_path, &len);
	bytes[offset + 5] ^= 1;
	char path[64];
	write_temporary(path, bytes, len);
	changed = open_model(path, NULL);
	assert_memory_not_equal(m->hash, changed->hash, MOE_HASH_BYTES);
	unlink(path);
	free(bytes);
	moe_model_close(changed);
	moe_model_close(m);
}

static void a_half_runs_nothing_but_its_own(void **state)
{
	(void)state;
	struct moe_expert_id held = { 1, 3 };
	struct moe_model *base = open_model(mini_path, &(struct moe_half){ .base = true });
	struct moe_model *device = open_model(mini_path, &(struct moe_half){ .held = &held, .n_held = 1 });
	float x[32] = { 1 }, y[32];
	struct moe_expert_ctx *on_device = moe_expert_ctx_create(device, 1, NULL),
	                      *on_base = moe_expert_ctx_create(base, 1, NULL);
	for (size_t layer = 0; layer < 2; layer++)
		for (size_t expert = 0; expert < 4; expert++) {
			bool is_held = layer == 1 && expert == 3;
			assert_int_equal(moe_model_holds(device, layer, expert), is_held);
			assert_int_equal(moe_expert_forward(on_device, layer, expert, x, 1, y), is_held ? 0 : -ENOENT);
			assert_int_equal(moe_expert_forward(on_base, layer, expert, x, 1, y), -ENOENT);
		}
	struct moe_expert_stats stats;
	moe_expert_get_stats(on_device, &stats);
	assert_int_equal(stats.calls, 1);
	assert_int_equal(stats.not_held, 7);
	errno = 0;
	assert_null(moe_ctx_create(device, &(struct moe_ctx_options){ .n_ctx = 8, .max_rows = 8 }));
	assert_int_equal(errno, EINVAL);
	moe_expert_ctx_destroy(on_base);
	moe_expert_ctx_destroy(on_device);
	moe_model_close(device);
	moe_model_close(base);
}

static void an_expert_outside_the_model_cannot_be_held(void **state)
{
	(void)state;
	struct moe_expert_id held[] = { { 0, 4 }, { 2, 0 }, { UINT32_MAX, UINT32_MAX } };
	for (size_t i = 0; i < 3; i++) {
		struct moe_model *m;
		char err[ERR_LEN];
		assert_int_equal(moe_model_open(mini_path, &(struct moe_half){ .held = &held[i], .n_held = 1 }, &m, err,
		                                sizeof err),
		                 -EINVAL);
		assert_one_line(err);
	}
}

static void an_unknown_architecture_is_named(void **state)
{
	(void)state;
	assert_refused("\5\0\0\0\0\0\0\0llama\x0c", "\5\0\0\0\0\0\0\0gemma\x0c", 13, "gemma");
}

static void a_missing_key_is_named(void **state)
{
	(void)state;
	assert_refused("llama.block_count", "llama.block_counT", 17, "llama.block_count");
	assert_refused("llama.expert_used_count", "llama.expert_used_counT", 23, "llama.expert_used_count");
	assert_refused("tokenizer.ggml.scores", "tokenizer.ggml.scoreS", 21, "tokenizer.ggml.scores");
}

static void a_missing_or_foreign_tensor_is_named(void **state)
{
	(void)state;
	assert_refused("blk.1.attn_k.weight", "blk.1.attn_K.weight", 19, "blk.1.attn_k.weight");
	assert_refused("blk.1.ffn_gate_inp.weight", "blk.1.ffn_gate_imp.weight", 25, "ffn_gate_inp");
	/* the output head is optional in this architecture, but a tensor nobody knows is not */
	assert_refused("output.weight", "outpuT.weight", 13, "not part of");
}

static void a_shape_that_does_not_fit_the_keys_is_refused(void **state)
{
	(void)state;
	/* key, type u32, value */
	assert_refused("llama.embedding_length\4\0\0\0\x20", "llama.embedding_length\4\0\0\0\x40", 27, "tensor");
	assert_refused("llama.attention.head_count\4\0\0\0\4", "llama.attention.head_count\4\0\0\0\5", 31, "heads");
	assert_refused("llama.expert_used_count\4\0\0\0\2", "llama.expert_used_count\4\0\0\0\5", 28,
	               "expert_used_count");
	assert_refused("llama.block_count\4\0\0\0\2", "llama.block_count\4\0\0\0\3", 22, "blk.2");
	assert_refused("llama.block_count\4\0\0\0\2", "llama.block_count\4\0\0\0\1", 22, "not part of");
}

static void a_shared_expert_that_is_not_there_is_missed(void **state)
{
	(void)state;
	assert_refused("llama.feed_forward_length", "llama.expert_shared_count", 25,
	               "shared"); /* a key of the same length */
}

/* Key, type f32, value: scales that are zero, negative, infinite or no number. */
static void a_scale_that_is_not_a_positive_number_is_refused(void **state)
{
	(void)state;
	static const char *const keys[] = { "embedding_scale", "residual_scale", "attention.scale", "logit_scale" };
	static const float right[] = { 3.0f, 0.25f, 0.0625f, 0.375f };
	const float wrong[] = { 0.0f, -1.0f, INFINITY, NAN };
	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < 4; k++) {
			char what[64], with[64];
			int n = snprintf(what, sizeof what - 8, "granitemoe.%s", keys[i]);
			memcpy(what + n, "\6\0\0", 4);
			memcpy(with, what, (size_t)n + 4);
			memcpy(what + n + 4, &right[i], 4);
			memcpy(with + n + 4, &wrong[k], 4);
			assert_file_refused(TEST_DATA_DIR "/granitemoe.gguf", what, with, (size_t)n + 8, keys[i]);
		}
}

static void costs_count_what_one_call_reads_and_multiplies(void **state)
{
	(void)state;
	struct moe_model *m = open_model(mini_path, NULL);
	struct moe_cost one = moe_expert_cost(m, 0, 1), eight = moe_expert_cost(m, 0, 8), head = moe_head_cost(m, 1);
	assert_true(one.flop == 2 * 3 * 32 * 32);
	assert_true(one.bytes == 4 * 3 * 32 * 32);
	assert_true(eight.flop == 8 * one.flop);
	assert_true(eight.bytes == one.bytes);
	assert_true(head.flop == 2 * 32 * 320);
	assert_true(moe_attend_cost(m, 0, 1, 100).flop > moe_attend_cost(m, 0, 1, 0).flop);
	moe_model_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shape_is_what_the_file_says),
		cmocka_unit_test(base_and_experts_add_up_to_the_tensors),
		cmocka_unit_test(halves_have_the_hash_of_the_whole),
		cmocka_unit_test(one_bit_of_one_weight_changes_the_hash),
		cmocka_unit_test(a_half_runs_nothing_but_its_own),
		cmocka_unit_test(an_expert_outside_the_model_cannot_be_held),
		cmocka_unit_test(an_unknown_architecture_is_named),
		cmocka_unit_test(a_missing_key_is_named),
		cmocka_unit_test(a_missing_or_foreign_tensor_is_named),
		cmocka_unit_test(a_shape_that_does_not_fit_the_keys_is_refused),
		cmocka_unit_test(a_shared_expert_that_is_not_there_is_missed),
		cmocka_unit_test(a_scale_that_is_not_a_positive_number_is_refused),
		cmocka_unit_test(costs_count_what_one_call_reads_and_multiplies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
