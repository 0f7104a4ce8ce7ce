/* Several answers at once are those of one after another, to the bit, whoever shares the chunks with them. */
#include "moe/batch.h"
#include "support.h"

#include <errno.h>

enum { N_PROMPTS = 9, LONGEST = 40, N_CTX = 48 };

struct asked {
	int32_t tokens[LONGEST];
	size_t n;
	struct generation_options options;
	char hash[LOGITS_HASH_HEX];
	enum generation_stop stop;
	size_t n_picked;
};

/* Prompts of 1 to 40 tokens; some end by their limit, the longest at the end of the context. */
static void make_prompts(const struct moe_model *m, struct asked *all)
{
	for (size_t i = 0; i < N_PROMPTS; i++) {
		struct asked *a = &all[i];
		a->n = i == 4 ? LONGEST : 1 + i * 7 % 20;
		for (size_t k = 0; k < a->n; k++)
			a->tokens[k] = (int32_t)((i * 131 + k * 29) % m->shape.n_vocab);
		a->options = (struct generation_options){ .n_tokens = i == 4 ? 100 : 1 + i % 5,
			                                  .top_p = 1,
			                                  .temperature = i % 2 ? 1.0f : 0.0f,
			                                  .seed = i,
			                                  .ignore_eos = true };
	}
}

static void note(struct asked *a, const struct generation *g)
{
	generation_tokens(g, &a->n_picked);
	generation_hash_hex(g, a->hash);
	a->stop = generation_stop(g);
}

static void one_by_one(const struct moe_model *m, struct asked *all)
{
	struct moe_forward *f = moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = 16 });
	for (size_t i = 0; i < N_PROMPTS; i++) {
		struct asked *a = &all[i];
		struct generation *g = generation_create(m->tokenizer, a->n, N_CTX, &a->options);
		assert_int_equal(moe_rewind(moe_forward_ctx(f), 0, 0), 0);
		assert_int_equal(moe_forward_run(f, a->tokens, a->n), 0);
		for (;;) {
			int32_t id = generation_next(g, moe_forward_logits(f));
			assert_true(id >= 0);
			if (generation_stop(g) != GENERATION_GOES_ON)
				break;
			assert_int_equal(moe_forward_run(f, &id, 1), 0);
		}
		note(a, g);
		generation_destroy(g);
	}
	moe_forward_destroy(f);
}

static void at_once(const struct moe_model *m, struct asked *all, size_t n_sequences, size_t max_rows,
                    size_t logits_rows)
{
	struct moe_forward *f = moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = N_CTX,
	                                                                         .max_rows = max_rows,
	                                                                         .n_sequences = n_sequences,
	                                                                         .logits_rows = logits_rows });
	struct moe_batch *b = moe_batch_create(moe_forward_ctx(f));
	size_t next = 0, n_done = 0, who[N_PROMPTS];
	assert_non_null(b);
	while (n_done < N_PROMPTS) {
		while (next < N_PROMPTS && moe_batch_n_free(b)) {
			int place = moe_batch_start(b, all[next].tokens, all[next].n, &all[next].options);
			assert_in_range(place, 0, n_sequences - 1);
			who[place] = next++;
		}
		int rows = moe_batch_step(b, f);
		assert_in_range(rows, 1, max_rows);
		for (size_t place = 0; place < n_sequences; place++)
			if (moe_batch_ended(b, place)) {
				note(&all[who[place]], moe_batch_generation(b, place));
				moe_batch_release(b, place);
				n_done++;
			}
	}
	assert_int_equal(moe_batch_step(b, f), 0);
	moe_batch_destroy(b);
	moe_forward_destroy(f);
}

static void answers_do_not_depend_on_who_shares_the_chunks(void **state)
{
	(void)state;
	static const size_t cuts[][3] = { { 1, 16, 1 }, { 3, 3, 1 }, { 4, 16, 2 }, { 9, 64, 0 }, { 9, 9, 9 } };
	struct moe_model *m = open_model(mini_path, NULL);
	struct asked alone[N_PROMPTS], together[N_PROMPTS];
	make_prompts(m, alone);
	make_prompts(m, together);
	one_by_one(m, alone);
	assert_int_equal(alone[4].stop, GENERATION_CONTEXT);
	for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
		at_once(m, together, cuts[c][0], cuts[c][1], cuts[c][2]);
		for (size_t i = 0; i < N_PROMPTS; i++) {
			assert_int_equal(together[i].n_picked, alone[i].n_picked);
			assert_int_equal(together[i].stop, alone[i].stop);
			assert_string_equal(together[i].hash, alone[i].hash);
		}
	}
	moe_model_close(m);
}

static void what_does_not_fit_is_refused(void **state)
{
	(void)state;
	struct moe_model *m = open_model(mini_path, NULL);
	struct moe_forward *f =
	        moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = 8, .max_rows = 8, .n_sequences = 2 });
	struct generation_options options = { .n_tokens = 1, .top_p = 1 };
	int32_t tokens[9] = { 0 };
	struct moe_batch *b = moe_batch_create(moe_forward_ctx(f));
	assert_int_equal(moe_batch_start(b, tokens, 0, &options), -EINVAL);
	assert_int_equal(moe_batch_start(b, tokens, 9, &options), -EINVAL);
	assert_int_equal(moe_batch_start(b, tokens, 8, &options), 0);
	assert_int_equal(moe_batch_start(b, tokens, 1, &options), 1);
	assert_int_equal(moe_batch_start(b, tokens, 1, &options), -EBUSY);
	moe_batch_destroy(b);
	moe_forward_destroy(f);
	f = moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = 8, .max_rows = 2, .n_sequences = 3 });
	errno = 0;
	assert_null(moe_batch_create(moe_forward_ctx(f)));
	assert_int_equal(errno, EINVAL);
	moe_forward_destroy(f);
	moe_model_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_do_not_depend_on_who_shares_the_chunks),
		cmocka_unit_test(what_does_not_fit_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
