/* The shipped model: torch computes the same logits on its file, and it is small enough to ship. */
#include "moe/forward.h"
#include "support.h"

enum { N_TOKENS = 64, MOST_BYTES = 16000000 };

static const char shipped[] = SOURCE_DIR "/moe/models/wdmoe-tiny.gguf";

struct rows {
	float *logits; /* [N_TOKENS][n_vocab] */
	size_t n_vocab;
};

static int keep_row(void *user, size_t position, const float *logits)
{
	struct rows *r = user;
	memcpy(r->logits + position * r->n_vocab, logits, r->n_vocab * sizeof *logits);
	return 0;
}

static void torch_computes_the_same_logits_on_the_shipped_file(void **state)
{
	(void)state;
	struct moe_model *m = open_model(shipped, NULL);
	struct rows r = { .n_vocab = m->shape.n_vocab };
	int32_t tokens[N_TOKENS];
	size_t n_bytes;
	float *torch = (float *)(void *)read_bytes(TEST_DATA_DIR "/tiny-q8.torch-logits.f32", &n_bytes);
	assert_int_equal(read_ids(TEST_DATA_DIR "/tiny-q8.tokens", tokens, N_TOKENS), N_TOKENS);
	assert_int_equal(n_bytes, N_TOKENS * r.n_vocab * sizeof *torch);
	r.logits = calloc(N_TOKENS * r.n_vocab, sizeof *r.logits);
	struct moe_forward *f =
	        moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = N_TOKENS, .max_rows = N_TOKENS });
	moe_forward_set_logits(f, keep_row, &r);
	assert_int_equal(moe_forward_run(f, tokens, N_TOKENS), 0);
	for (size_t i = 0; i < N_TOKENS * r.n_vocab; i++)
		assert_true(fabsf(r.logits[i] - torch[i]) <= 1e-3f);
	moe_forward_destroy(f);
	free(r.logits);
	free(torch);
	moe_model_close(m);
}

static void it_has_eight_experts_of_which_two_are_used_and_fits_the_repository(void **state)
{
	(void)state;
	struct moe_model *m = open_model(shipped, NULL);
	size_t n_bytes;
	free(read_bytes(shipped, &n_bytes));
	assert_true(n_bytes <= MOST_BYTES);
	assert_int_equal(m->shape.n_expert, 8);
	assert_int_equal(m->shape.n_expert_used, 2);
	assert_true(m->shape.n_layer >= 4);
	moe_model_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(torch_computes_the_same_logits_on_the_shipped_file),
		cmocka_unit_test(it_has_eight_experts_of_which_two_are_used_and_fits_the_repository),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
