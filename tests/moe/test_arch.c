/* Every architecture of the table on a small model of its own, against a float64 pass that shares no code with the engine
 * (moe/train/vectors.py wrote both); their byte-BPE vocabulary; a model split over two files. */
#include "moe/forward.h"
#include "support.h"

enum { N_TOKENS = 64, N_ALL_TOKENS = 66, N_VOCAB = 278 };

/* qwen3moe is in two files: the first opens both. */
static const struct vector {
	const char *name, *file;
} vectors[] = {
	{ "olmoe", "olmoe" },
	{ "granitemoe", "granitemoe" },
	{ "qwen2moe", "qwen2moe" },
	{ "qwen3moe", "qwen3moe-00001-of-00002" },
};
enum { N_VECTORS = sizeof vectors / sizeof vectors[0] };

static struct moe_model *open_vector(const struct vector *v)
{
	char path[256];
	snprintf(path, sizeof path, TEST_DATA_DIR "/%s.gguf", v->file);
	return open_model(path, NULL);
}

struct comparison {
	const float *right;
	float largest; /* difference */
};

static int compare_row(void *user, size_t position, const float *logits)
{
	struct comparison *c = user;
	for (size_t i = 0; i < N_VOCAB; i++)
		c->largest = fmaxf(c->largest, fabsf(logits[i] - c->right[position * N_VOCAB + i]));
	return 0;
}

/* Largest difference of the model's logits, in chunks of max_rows, to the reference's. */
static float difference(const struct moe_model *m, const struct vector *v, size_t max_rows)
{
	int32_t tokens[N_TOKENS];
	char path[256];
	size_t n;
	assert_int_equal(m->shape.n_vocab, N_VOCAB);
	assert_int_equal(read_ids(TEST_DATA_DIR "/bpe.tokens", tokens, N_TOKENS), N_TOKENS);
	snprintf(path, sizeof path, TEST_DATA_DIR "/%s.logits.f32", v->name);
	uint8_t *bytes = read_bytes(path, &n);
	assert_int_equal(n, N_TOKENS * N_VOCAB * sizeof(float));
	struct comparison c = { .right = (const float *)(void *)bytes };
	struct moe_forward *f =
	        moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = N_TOKENS, .max_rows = max_rows });
	moe_forward_set_logits(f, compare_row, &c);
	assert_int_equal(moe_forward_run(f, tokens, N_TOKENS), 0);
	moe_forward_destroy(f);
	free(bytes);
	return c.largest;
}

static void logits_are_those_of_the_reference(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_VECTORS; i++) {
		struct moe_model *m = open_vector(&vectors[i]);
		assert_string_equal(m->arch->name, vectors[i].name);
		for (size_t max_rows = 7; max_rows <= N_TOKENS; max_rows += N_TOKENS - 7) {
			float largest = difference(m, &vectors[i], max_rows);
			print_message("%s, chunks of %zu: %.1e\n", vectors[i].name, max_rows, (double)largest);
			assert_true(largest <= 5e-5f);
		}
		moe_model_close(m);
	}
}

/* With one field of its row in the table wrong a model computes something else: the test above would tell. */
static void each_field_of_the_table_is_seen_in_the_logits(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_VECTORS; i++) {
		struct moe_model *m = open_vector(&vectors[i]);
		const struct moe_arch *right = m->arch;
		struct moe_arch wrong = *right;
		m->arch = &wrong;
		wrong.rope_halves = !right->rope_halves;
		assert_true(difference(m, &vectors[i], N_TOKENS) > 1e-3f);
		wrong.rope_halves = right->rope_halves;
		wrong.renormalise = !right->renormalise;
		assert_true(difference(m, &vectors[i], N_TOKENS) > 1e-3f);
		m->arch = right;
		moe_model_close(m);
	}
}

static void words_become_the_tokens_of_the_plain_rule(void **state)
{
	(void)state;
	int32_t right[N_ALL_TOKENS], ids[N_ALL_TOKENS];
	size_t len;
	assert_int_equal(read_ids(TEST_DATA_DIR "/bpe.tokens", right, N_ALL_TOKENS), N_ALL_TOKENS);
	char *text = (char *)read_bytes(TEST_DATA_DIR "/bpe.txt", &len);
	for (size_t i = 0; i < N_VECTORS; i++) {
		struct moe_model *m = open_vector(&vectors[i]);
		assert_int_equal(tokenizer_encode(m->tokenizer, text, len, 0, ids, N_ALL_TOKENS), N_ALL_TOKENS);
		assert_memory_equal(ids, right, sizeof ids);
		moe_model_close(m);
	}
	free(text);
}

static void any_bytes_come_back_from_byte_bpe(void **state)
{
	(void)state;
	enum { MAX_IDS = 1024 };
	uint64_t seed = 5;
	for (size_t i = 0; i < N_VECTORS; i++) {
		struct moe_model *m = open_vector(&vectors[i]);
		for (size_t round = 0; round < 200; round++) {
			char text[300], back[300];
			int32_t ids[MAX_IDS];
			size_t len = round % sizeof text;
			for (size_t k = 0; k < len; k++)
				text[k] = (char)(draw(&seed) * 128);
			ssize_t n = tokenizer_encode(m->tokenizer, text, len, 0, ids, MAX_IDS);
			assert_in_range(n, len ? 1 : 0, MAX_IDS);
			assert_int_equal(tokenizer_decode(m->tokenizer, ids, (size_t)n, back, sizeof back), len);
			assert_memory_equal(back, text, len);
		}
		moe_model_close(m);
	}
}

static void a_control_token_is_one_only_when_asked_for(void **state)
{
	(void)state;
	const char text[] = "the<|endoftext|> radio";
	int32_t ids[64];
	struct moe_model *m = open_vector(&vectors[0]);
	assert_int_equal(tokenizer_encode(m->tokenizer, text, sizeof text - 1, TOKENIZER_SPECIAL, ids, 64), 3);
	assert_int_equal(ids[1], tokenizer_eos(m->tokenizer));
	assert_true(tokenizer_encode(m->tokenizer, text, sizeof text - 1, 0, ids, 64) > 10);
	moe_model_close(m);
}

static void a_split_model_has_its_tensors_from_both_files(void **state)
{
	(void)state;
	struct moe_model *m = open_vector(&vectors[3]);
	size_t in_part[2] = { 0, 0 };
	assert_int_equal(gguf_n_parts(m->file), 2);
	for (size_t i = 0; i < gguf_n_tensors(m->file); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(m->file, i);
		uint8_t byte;
		in_part[t->part]++;
		assert_int_equal(gguf_read_tensor(m->file, t, t->n_bytes - 1, &byte, 1), 0);
		assert_int_equal(byte, ((const uint8_t *)t->data)[t->n_bytes - 1]);
	}
	assert_true(in_part[0] > 0 && in_part[1] > 0);
	moe_model_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logits_are_those_of_the_reference),
		cmocka_unit_test(each_field_of_the_table_is_seen_in_the_logits),
		cmocka_unit_test(words_become_the_tokens_of_the_plain_rule),
		cmocka_unit_test(any_bytes_come_back_from_byte_bpe),
		cmocka_unit_test(a_control_token_is_one_only_when_asked_for),
		cmocka_unit_test(a_split_model_has_its_tensors_from_both_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
