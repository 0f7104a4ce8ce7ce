/* Sampling, the hash of logits, and a generation from first token to stop. */
#include "moe/generation.h"
#include "moe/sampler.h"
#include "support.h"

#include <errno.h>

static void greedy_takes_the_largest_and_of_equals_the_first(void **state)
{
	(void)state;
	struct sampler *s = sampler_create(5, 0, 1, 1);
	assert_int_equal(sampler_pick(s, (float[]){ 1, 3, -2, 3, 0 }), 1);
	assert_int_equal(sampler_pick(s, (float[]){ -5, -4, -3, -2, -1 }), 4);
	sampler_destroy(s);
}

/* Counts of n draws. */
static void count_draws(float temperature, float top_p, const float *logits, size_t n_vocab, size_t n, size_t *counts)
{
	struct sampler *s = sampler_create(n_vocab, temperature, top_p, 7);
	memset(counts, 0, n_vocab * sizeof *counts);
	for (size_t i = 0; i < n; i++)
		counts[sampler_pick(s, logits)]++;
	sampler_destroy(s);
}

static void assert_shares(const size_t *counts, const double *shares, size_t n_vocab, size_t n)
{
	for (size_t i = 0; i < n_vocab; i++) {
		double sigma = sqrt((double)n * shares[i] * (1 - shares[i]));
		assert_true(fabs((double)counts[i] - (double)n * shares[i]) <= 4 * sigma + 1e-9);
	}
}

static void tokens_are_drawn_in_proportion_to_the_softmax(void **state)
{
	(void)state;
	enum { N = 40000 };
	const float logits[] = { 0, logf(2), logf(3), logf(4) };
	size_t counts[4];
	count_draws(1, 1, logits, 4, N, counts);
	assert_shares(counts, (double[]){ 0.1, 0.2, 0.3, 0.4 }, 4, N);
	count_draws(0.5f, 1, logits, 4, N, counts); /* squares the odds */
	assert_shares(counts, (double[]){ 1 / 30., 4 / 30., 9 / 30., 16 / 30. }, 4, N);
}

static void top_p_keeps_the_smallest_set_that_reaches_it(void **state)
{
	(void)state;
	enum { N = 40000 };
	const float logits[] = { 0, logf(2), logf(3), logf(4) };
	size_t counts[4];
	count_draws(1, 0.65f, logits, 4, N, counts);
	assert_shares(counts, (double[]){ 0, 0, 3 / 7., 4 / 7. }, 4, N);
	count_draws(1, 1e-6f, logits, 4, N, counts);
	assert_shares(counts, (double[]){ 0, 0, 0, 1 }, 4, N);
}

static void one_seed_gives_one_sequence(void **state)
{
	(void)state;
	enum { N = 100, N_VOCAB = 50 };
	float logits[N_VOCAB];
	fill(logits, N_VOCAB, 4);
	struct sampler *a = sampler_create(N_VOCAB, 1, 0.95f, 1), *b = sampler_create(N_VOCAB, 1, 0.95f, 1),
	               *other = sampler_create(N_VOCAB, 1, 0.95f, 2);
	int differ = 0;
	for (int i = 0; i < N; i++) {
		int32_t id = sampler_pick(a, logits);
		assert_int_equal(id, sampler_pick(b, logits));
		differ += id != sampler_pick(other, logits);
	}
	assert_true(differ > N / 2);
	sampler_destroy(other);
	sampler_destroy(b);
	sampler_destroy(a);
}

static void logits_that_are_not_finite_are_refused(void **state)
{
	(void)state;
	struct sampler *s = sampler_create(3, 0, 1, 1);
	assert_int_equal(sampler_pick(s, (float[]){ 0, NAN, 1 }), -EDOM);
	assert_int_equal(sampler_pick(s, (float[]){ 0, INFINITY, 1 }), -EDOM);
	sampler_destroy(s);
}

static void settings_out_of_range_are_refused(void **state)
{
	(void)state;
	assert_null(sampler_create(0, 1, 1, 1));
	assert_null(sampler_create(3, -1, 1, 1));
	assert_null(sampler_create(3, NAN, 1, 1));
	assert_null(sampler_create(3, 1, 0, 1));
	assert_null(sampler_create(3, 1, 1.5f, 1));
}

static void the_hash_depends_on_every_bit_and_the_order_but_not_on_the_pieces(void **state)
{
	(void)state;
	float x[20], y[20];
	char all[LOGITS_HASH_HEX], pieces[LOGITS_HASH_HEX], changed[LOGITS_HASH_HEX];
	fill(x, 20, 5);
	struct logits_hash h;
	logits_hash_init(&h);
	logits_hash_add(&h, x, 20);
	logits_hash_hex(&h, all);
	logits_hash_init(&h);
	logits_hash_add(&h, x, 7);
	logits_hash_hex(&h, pieces);
	logits_hash_add(&h, x + 7, 13);
	logits_hash_hex(&h, pieces);
	assert_string_equal(all, pieces);
	memcpy(y, x, sizeof x);
	y[3] = nextafterf(x[3], 2);
	logits_hash_init(&h);
	logits_hash_add(&h, y, 20);
	logits_hash_hex(&h, changed);
	assert_string_not_equal(all, changed);
	y[3] = x[4];
	y[4] = x[3];
	logits_hash_init(&h);
	logits_hash_add(&h, y, 20);
	logits_hash_hex(&h, changed);
	assert_string_not_equal(all, changed);
}

/* Logits that make greedy pick id. */
static const float *vote(int32_t id)
{
	static float logits[320];
	memset(logits, 0, sizeof logits);
	logits[id] = 1;
	return logits;
}

static struct generation *begin(const struct moe_model *m, size_t n_prompt, size_t n_ctx, size_t n_tokens,
                                bool ignore_eos)
{
	struct generation *g = generation_create(
	        m->tokenizer, n_prompt, n_ctx,
	        &(struct generation_options){ .n_tokens = n_tokens, .top_p = 1, .ignore_eos = ignore_eos });
	assert_non_null(g);
	return g;
}

static void a_generation_stops_at_its_limit_with_tokens_and_text(void **state)
{
	struct generation *g = begin(*state, 5, 100, 2, false);
	size_t n;
	assert_int_equal(generation_next(g, vote(3 + 'h')), 3 + 'h');
	assert_int_equal(generation_stop(g), GENERATION_GOES_ON);
	generation_next(g, vote(3 + 'i'));
	assert_int_equal(generation_stop(g), GENERATION_LIMIT);
	assert_int_equal(generation_next(g, vote(3)), -EPROTO);
	assert_int_equal(generation_tokens(g, &n)[1], 3 + 'i');
	assert_int_equal(n, 2);
	assert_string_equal(generation_text(g, &n), "hi");
	generation_destroy(g);
}

static void eos_ends_a_generation_unless_ignored(void **state)
{
	const struct moe_model *m = *state;
	int32_t eos = tokenizer_eos(m->tokenizer);
	struct generation *g = begin(m, 5, 100, 2, false);
	size_t n;
	assert_int_equal(generation_next(g, vote(eos)), eos);
	assert_int_equal(generation_stop(g), GENERATION_EOS);
	assert_string_equal(generation_stop_name(generation_stop(g)), "eos");
	assert_string_equal(generation_text(g, &n), "");
	generation_destroy(g);
	g = begin(m, 5, 100, 2, true);
	generation_next(g, vote(eos));
	assert_int_equal(generation_stop(g), GENERATION_GOES_ON);
	generation_destroy(g);
}

static void a_full_context_ends_a_generation(void **state)
{
	/* 10 places, 8 of them the prompt's: two tokens can be fed, a third be picked */
	struct generation *g = begin(*state, 8, 10, 50, false);
	for (int i = 0; i < 2; i++) {
		generation_next(g, vote(100));
		assert_int_equal(generation_stop(g), GENERATION_GOES_ON);
	}
	generation_next(g, vote(100));
	assert_int_equal(generation_stop(g), GENERATION_CONTEXT);
	generation_destroy(g);
}

static void a_generation_hashes_each_row_it_picked_from(void **state)
{
	const struct moe_model *m = *state;
	struct generation *g = begin(m, 1, 10, 2, false);
	struct logits_hash h;
	char right[LOGITS_HASH_HEX], hex[LOGITS_HASH_HEX];
	logits_hash_init(&h);
	for (int32_t id = 50; id < 52; id++) {
		generation_next(g, vote(id));
		logits_hash_add(&h, vote(id), m->shape.n_vocab);
	}
	generation_hash_hex(g, hex);
	logits_hash_hex(&h, right);
	assert_string_equal(hex, right);
	generation_destroy(g);
}

static int set_up(void **state)
{
	*state = open_model(mini_path, NULL);
	return 0;
}

static int tear_down(void **state)
{
	moe_model_close(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greedy_takes_the_largest_and_of_equals_the_first),
		cmocka_unit_test(tokens_are_drawn_in_proportion_to_the_softmax),
		cmocka_unit_test(top_p_keeps_the_smallest_set_that_reaches_it),
		cmocka_unit_test(one_seed_gives_one_sequence),
		cmocka_unit_test(logits_that_are_not_finite_are_refused),
		cmocka_unit_test(settings_out_of_range_are_refused),
		cmocka_unit_test(the_hash_depends_on_every_bit_and_the_order_but_not_on_the_pieces),
		cmocka_unit_test(a_generation_stops_at_its_limit_with_tokens_and_text),
		cmocka_unit_test(eos_ends_a_generation_unless_ignored),
		cmocka_unit_test(a_full_context_ends_a_generation),
		cmocka_unit_test(a_generation_hashes_each_row_it_picked_from),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
