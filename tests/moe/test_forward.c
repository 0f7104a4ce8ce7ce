/* The forward pass: right, and the same to the bit however it is cut into chunks, batches and halves. */
#include "moe/forward.h"
#include "support.h"

#include <errno.h>

enum { N_TOKENS = 64, N_VOCAB = 320, N_EMBD = 32, N_EXPERT = 4, N_LAYER = 2, N_CTX = 128 };

struct fixture {
	struct moe_model *m;
	int32_t tokens[N_TOKENS];
	float *logits; /* [N_TOKENS][N_VOCAB], unsplit, one token at a time */
};

static int keep_row(void *user, size_t position, const float *logits)
{
	memcpy((float *)user + position * N_VOCAB, logits, N_VOCAB * sizeof *logits);
	return 0;
}

/* Logits of the first n tokens, in chunks of max_rows. */
static void run_unsplit(const struct fixture *x, size_t n, size_t max_rows, float *logits)
{
	struct moe_forward *f =
	        moe_forward_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = max_rows });
	assert_non_null(f);
	moe_forward_set_logits(f, keep_row, logits);
	assert_int_equal(moe_forward_run(f, x->tokens, n), 0);
	moe_forward_destroy(f);
}

static int set_up(void **state)
{
	static struct fixture x;
	x.m = open_model(mini_path, NULL);
	assert_int_equal(read_ids(TEST_DATA_DIR "/mini.tokens", x.tokens, N_TOKENS), N_TOKENS);
	x.logits = malloc(N_TOKENS * N_VOCAB * sizeof *x.logits);
	run_unsplit(&x, N_TOKENS, 1, x.logits);
	*state = &x;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *x = *state;
	free(x->logits);
	moe_model_close(x->m);
	return 0;
}

/* mini.logits.f32 comes from the float64 reference in moe/train, not from this engine. */
static void logits_are_those_of_the_reference(void **state)
{
	const struct fixture *x = *state;
	size_t n;
	uint8_t *bytes = read_bytes(TEST_DATA_DIR "/mini.logits.f32", &n);
	assert_int_equal(n, N_TOKENS * N_VOCAB * sizeof(float));
	const float *right = (const float *)(const void *)bytes;
	for (size_t i = 0; i < N_TOKENS * N_VOCAB; i++)
		assert_true(fabsf(x->logits[i] - right[i]) <= 5e-5f);
	free(bytes);
}

static void chunks_of_any_length_give_the_same_bits(void **state)
{
	const struct fixture *x = *state;
	static const size_t lengths[] = { 2, 3, 5, 7, 16, 33, 64 };
	float *logits = malloc(N_TOKENS * N_VOCAB * sizeof *logits);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		run_unsplit(x, N_TOKENS, lengths[i], logits);
		assert_memory_equal(logits, x->logits, N_TOKENS * N_VOCAB * sizeof *logits);
	}
	free(logits);
}

static void a_shorter_context_gives_the_same_bits(void **state)
{
	const struct fixture *x = *state;
	struct moe_forward *f = moe_forward_create(x->m, &(struct moe_ctx_options){ .n_ctx = 40, .max_rows = 8 });
	assert_int_equal(moe_forward_run(f, x->tokens, 40), 0);
	assert_memory_equal(moe_forward_logits(f), x->logits + 39 * N_VOCAB, N_VOCAB * sizeof(float));
	assert_int_equal(moe_forward_run(f, x->tokens, 1), -ENOSPC);
	moe_forward_destroy(f);
}

static void going_back_and_on_again_gives_the_same_bits(void **state)
{
	const struct fixture *x = *state;
	struct moe_forward *f = moe_forward_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = 16 });
	const int32_t other[] = { 9, 8, 7 };
	assert_int_equal(moe_forward_run(f, x->tokens, 30), 0);
	assert_int_equal(moe_forward_run(f, other, 3), 0);
	assert_int_equal(moe_rewind(moe_forward_ctx(f), 0, 20), 0);
	assert_int_equal(moe_forward_run(f, x->tokens + 20, 44), 0);
	assert_memory_equal(moe_forward_logits(f), x->logits + 63 * N_VOCAB, N_VOCAB * sizeof(float));
	moe_forward_destroy(f);
}

/* Rows of an expert call: any order, any batches, repeated rows. */
static void an_expert_gives_a_row_the_same_bits_in_any_company(void **state)
{
	const struct fixture *f = *state;
	enum { ROWS = 23, ROUNDS = 50 };
	static float x[ROWS][N_EMBD], alone[ROWS][N_EMBD], mixed[ROWS][N_EMBD], y[ROWS][N_EMBD];
	struct moe_expert_ctx *s = moe_expert_ctx_create(f->m, 6, NULL); /* longer calls are cut inside too */
	uint64_t seed = 11;
	fill(x[0], ROWS * N_EMBD, 10);
	for (size_t r = 0; r < ROWS; r++)
		assert_int_equal(moe_expert_forward(s, 1, 2, x[r], 1, alone[r]), 0);
	for (int round = 0; round < ROUNDS; round++) {
		size_t n = 1 + (size_t)round % ROWS, order[ROWS];
		for (size_t i = 0; i < n; i++) {
			order[i] = (size_t)(fabsf(draw(&seed)) * (ROWS - 0.01f));
			memcpy(mixed[i], x[order[i]], sizeof mixed[i]);
		}
		assert_int_equal(moe_expert_forward(s, 1, 2, mixed[0], n, y[0]), 0);
		for (size_t i = 0; i < n; i++)
			assert_memory_equal(y[i], alone[order[i]], sizeof y[i]);
	}
	moe_expert_ctx_destroy(s);
}

/* One device for each expert, each with its own file mapping, fed one row at a time, last row first, last choice first.
 */
static void halves_over_four_devices_give_the_bits_of_the_whole(void **state)
{
	const struct fixture *x = *state;
	struct moe_model *base = open_model(mini_path, &(struct moe_half){ .base = true }), *device[N_EXPERT];
	struct moe_expert_ctx *runs[N_EXPERT];
	for (uint32_t e = 0; e < N_EXPERT; e++) {
		struct moe_expert_id held[N_LAYER] = { { 0, e }, { 1, e } };
		device[e] = open_model(mini_path, &(struct moe_half){ .held = held, .n_held = N_LAYER });
		runs[e] = moe_expert_ctx_create(device[e], 1, NULL);
	}
	enum { CHUNK = 13 };
	struct moe_ctx *c = moe_ctx_create(base, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = CHUNK });
	for (size_t at = 0; at < N_TOKENS; at += CHUNK) {
		size_t n = N_TOKENS - at < CHUNK ? N_TOKENS - at : CHUNK;
		assert_int_equal(moe_begin(c, x->tokens + at, n), 0);
		for (size_t layer = 0; layer < N_LAYER; layer++) {
			assert_int_equal(moe_attend(c, layer), 0);
			for (size_t row = n; row-- > 0;) {
				float y[2][N_EMBD];
				struct moe_part parts[2];
				for (size_t k = 0; k < 2; k++) {
					const struct moe_choice *choice = &moe_topk(c, row)[1 - k];
					assert_int_equal(moe_expert_forward(runs[choice->expert], layer, choice->expert,
					                                    moe_hidden(c, row), 1, y[k]),
					                 0);
					parts[k] = (struct moe_part){ choice->expert, choice->weight, y[k] };
				}
				assert_int_equal(moe_combine(c, layer, row, parts, 2), 0);
			}
		}
		for (size_t row = 0; row < n; row++)
			assert_memory_equal(moe_logits(c, row), x->logits + (at + row) * N_VOCAB,
			                    N_VOCAB * sizeof(float));
	}
	moe_ctx_destroy(c);
	for (size_t e = 0; e < N_EXPERT; e++) {
		moe_expert_ctx_destroy(runs[e]);
		moe_model_close(device[e]);
	}
	moe_model_close(base);
}

static void the_router_gives_probabilities_and_picks_the_largest(void **state)
{
	const struct fixture *x = *state;
	struct moe_ctx *c = moe_ctx_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = 16 });
	assert_int_equal(moe_begin(c, x->tokens, 16), 0);
	assert_int_equal(moe_attend(c, 0), 0);
	for (size_t row = 0; row < 16; row++) {
		const float *p = moe_router_probs(c, row);
		const struct moe_choice *k = moe_topk(c, row);
		assert_true(fabsf(p[0] + p[1] + p[2] + p[3] - 1) < 1e-6f);
		assert_true(k[0].prob >= k[1].prob && k[0].expert != k[1].expert);
		assert_true(fabsf(k[0].weight + k[1].weight - 1) < 1e-6f);
		for (uint32_t e = 0; e < N_EXPERT; e++)
			assert_true(e == k[0].expert || e == k[1].expert || p[e] <= k[1].prob);
	}
	moe_ctx_destroy(c);
}

static void weights_of_the_experts_kept_sum_to_one(void **state)
{
	const struct fixture *x = *state;
	struct moe_choice k[3] = { { 0, 0.5f, 0 }, { 1, 0.2f, 0 }, { 2, 0.05f, 0 } };
	moe_renormalise(x->m, k, 3);
	assert_true(fabsf(k[0].weight - 0.5f / 0.75f) < 1e-6f);
	moe_renormalise(x->m, k, 1);
	assert_true(k[0].weight == 1);
	k[0].prob = 1e-6f;
	moe_renormalise(x->m, k, 1); /* the sum is clamped at 6.1e-5 */
	assert_true(fabsf(k[0].weight - 1e-6f / 6.103515625e-5f) < 1e-6f);
}

static size_t first_only(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                         struct moe_choice *chosen)
{
	(void)layer, (void)row, (void)probs;
	chosen[0] = topk[0];
	moe_renormalise(user, chosen, 1);
	return 1;
}

static size_t none(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                   struct moe_choice *chosen)
{
	(void)user, (void)layer, (void)row, (void)probs, (void)topk, (void)chosen;
	return 0;
}

static size_t same_as_routed(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                             struct moe_choice *chosen)
{
	(void)user, (void)layer, (void)row, (void)probs;
	chosen[0] = topk[1];
	chosen[1] = topk[0];
	return 2;
}

static void a_selection_replaces_the_routers_choice(void **state)
{
	const struct fixture *x = *state;
	moe_select_fn *const select[] = { same_as_routed, first_only, none };
	for (size_t i = 0; i < 3; i++) {
		struct moe_forward *f =
		        moe_forward_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = 64 });
		struct moe_ctx_stats stats;
		moe_forward_set_select(f, select[i], x->m);
		assert_int_equal(moe_forward_run(f, x->tokens, N_TOKENS), 0);
		moe_ctx_get_stats(moe_forward_ctx(f), &stats);
		assert_int_equal(stats.parts, (2 - i) * N_TOKENS * N_LAYER);
		int same =
		        !memcmp(moe_forward_logits(f), x->logits + (N_TOKENS - 1) * N_VOCAB, N_VOCAB * sizeof(float));
		assert_int_equal(same, i == 0);
		moe_forward_destroy(f);
	}
}

static void calls_out_of_order_are_refused_and_counted(void **state)
{
	const struct fixture *x = *state;
	struct moe_ctx *c = moe_ctx_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = 4 });
	float y[N_EMBD] = { 0 };
	struct moe_part part = { 0, 1, y };
	struct moe_ctx_stats stats;
	assert_int_equal(moe_attend(c, 0), -EPROTO);
	assert_int_equal(moe_combine(c, 0, 0, &part, 1), -EPROTO);
	assert_null(moe_logits(c, 0));
	assert_int_equal(moe_begin(c, x->tokens, 2), 0);
	assert_int_equal(moe_begin(c, x->tokens, 2), -EPROTO);
	assert_int_equal(moe_attend(c, 1), -EPROTO);
	assert_int_equal(moe_attend(c, 0), 0);
	assert_int_equal(moe_attend(c, 0), -EPROTO);
	assert_int_equal(moe_combine(c, 1, 0, &part, 1), -EPROTO);
	assert_int_equal(moe_combine(c, 0, 2, &part, 1), -EPROTO);
	assert_int_equal(moe_combine(c, 0, 0, &part, 1), 0);
	assert_int_equal(moe_combine(c, 0, 0, &part, 1), -EPROTO); /* a duplicate */
	assert_int_equal(moe_attend(c, 1), -EPROTO);               /* row 1 is open */
	moe_ctx_get_stats(c, &stats);
	assert_int_equal(stats.out_of_order, 10);
	moe_ctx_destroy(c);
}

static void parts_that_cannot_be_are_refused_and_the_row_stays_open(void **state)
{
	const struct fixture *x = *state;
	struct moe_ctx *c = moe_ctx_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = 4 });
	float y[N_EMBD] = { 0 }, bad[N_EMBD] = { [7] = NAN };
	struct moe_ctx_stats stats;
	assert_int_equal(moe_begin(c, x->tokens, 1), 0);
	assert_int_equal(moe_attend(c, 0), 0);
	assert_int_equal(moe_combine(c, 0, 0, &(struct moe_part){ N_EXPERT, 1, y }, 1), -EINVAL);
	assert_int_equal(moe_combine(c, 0, 0, (struct moe_part[]){ { 1, 1, y }, { 1, 1, y } }, 2), -EINVAL);
	assert_int_equal(moe_combine(c, 0, 0, &(struct moe_part){ 1, NAN, y }, 1), -EDOM);
	assert_int_equal(moe_combine(c, 0, 0, &(struct moe_part){ 1, 1, bad }, 1), -EDOM);
	moe_ctx_get_stats(c, &stats);
	assert_int_equal(stats.non_finite_expert, 2);
	assert_int_equal(moe_combine(c, 0, 0, &(struct moe_part){ 1, 1, y }, 1), 0);
	moe_ctx_destroy(c);
}

static void numbers_too_large_end_the_chunk_with_edom(void **state)
{
	const struct fixture *x = *state;
	struct moe_ctx *c = moe_ctx_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = 4 });
	struct moe_ctx_stats stats;
	float y[N_EMBD];
	for (size_t i = 0; i < N_EMBD; i++)
		y[i] = 3e38f;
	assert_int_equal(moe_begin(c, x->tokens, 1), 0);
	assert_int_equal(moe_attend(c, 0), 0);
	/* each finite, their sum not */
	assert_int_equal(moe_combine(c, 0, 0, (struct moe_part[]){ { 0, 1, y }, { 1, 1, y } }, 2), 0);
	assert_int_equal(moe_attend(c, 1), -EDOM);
	assert_int_equal(moe_attend(c, 1), -EPROTO);
	assert_int_equal(moe_begin(c, x->tokens, 1), -EPROTO);
	moe_ctx_get_stats(c, &stats);
	assert_int_equal(stats.non_finite_hidden, 1);
	assert_int_equal(moe_rewind(c, 0, 0), 0);
	assert_int_equal(moe_begin(c, x->tokens, 1), 0);
	moe_ctx_destroy(c);
}

static void an_expert_refuses_what_is_not_finite(void **state)
{
	const struct fixture *f = *state;
	struct moe_expert_ctx *s = moe_expert_ctx_create(f->m, 4, NULL);
	float x[2 * N_EMBD] = { [40] = INFINITY }, y[2 * N_EMBD];
	struct moe_expert_stats stats;
	assert_int_equal(moe_expert_forward(s, 0, 0, x, 2, y), -EDOM);
	assert_int_equal(moe_expert_forward(s, 2, 0, x, 1, y), -EINVAL);
	assert_int_equal(moe_expert_forward(s, 0, N_EXPERT, x, 1, y), -EINVAL);
	assert_int_equal(moe_expert_forward(s, 0, 0, x, 0, y), -EINVAL);
	moe_expert_get_stats(s, &stats);
	assert_int_equal(stats.non_finite, 1);
	assert_int_equal(stats.calls, 0);
	moe_expert_ctx_destroy(s);
}

static void tokens_outside_the_vocabulary_or_context_are_refused(void **state)
{
	const struct fixture *x = *state;
	struct moe_ctx *c = moe_ctx_create(x->m, &(struct moe_ctx_options){ .n_ctx = 4, .max_rows = 3 });
	const int32_t bad[] = { 1, N_VOCAB }, negative = -1;
	assert_int_equal(moe_begin(c, bad, 2), -EINVAL);
	assert_int_equal(moe_begin(c, &negative, 1), -EINVAL);
	assert_int_equal(moe_begin(c, x->tokens, 0), -EINVAL);
	assert_int_equal(moe_begin(c, x->tokens, 4), -EINVAL);
	assert_int_equal(moe_begin(c, x->tokens, 3), 0);
	moe_ctx_destroy(c);
	assert_null(moe_ctx_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX + 1, .max_rows = 1 }));
	assert_null(moe_ctx_create(x->m, &(struct moe_ctx_options){ .n_ctx = 4, .max_rows = 5 }));
}

/* Three sequences: the fixture's tokens from places 0, 7 and 19 on, in chunks that mix prompts and single tokens. */
static void sequences_at_once_give_the_bits_of_each_alone(void **state)
{
	const struct fixture *x = *state;
	enum { SEQUENCES = 3, STEPS = 6, MAX_ROWS = 12 };
	static const size_t first[SEQUENCES] = { 0, 7, 19 };
	static const uint8_t rows_in[STEPS][SEQUENCES] = { { 5, 0, 7 }, { 1, 4, 0 }, { 1, 1, 1 },
		                                           { 1, 8, 3 }, { 0, 1, 1 }, { 4, 4, 4 } };
	static float together[SEQUENCES][N_TOKENS * N_VOCAB], alone[N_TOKENS * N_VOCAB];
	struct moe_ctx_options o = { .n_ctx = 40, .max_rows = MAX_ROWS, .n_sequences = SEQUENCES };
	struct moe_forward *f = moe_forward_create(x->m, &o);
	size_t n[SEQUENCES] = { 0 };
	for (size_t step = 0; step < STEPS; step++) {
		struct moe_row rows[MAX_ROWS];
		size_t n_rows = 0;
		for (size_t turn = 0; turn < 8; turn++) /* rows of different sequences take turns */
			for (uint32_t s = 0; s < SEQUENCES; s++)
				if (turn < rows_in[step][s])
					rows[n_rows++] = (struct moe_row){ x->tokens[first[s] + n[s] + turn], s };
		assert_int_equal(moe_forward_rows(f, rows, n_rows), 0);
		for (size_t row = 0; row < n_rows; row++) {
			const float *logits = moe_logits(moe_forward_ctx(f), row);
			assert_non_null(logits);
			memcpy(together[rows[row].sequence] + n[rows[row].sequence]++ * N_VOCAB, logits,
			       N_VOCAB * sizeof *logits);
		}
		for (size_t s = 0; s < SEQUENCES; s++)
			assert_int_equal(moe_n_past(moe_forward_ctx(f), s), n[s]);
	}
	moe_forward_destroy(f);
	for (size_t s = 0; s < SEQUENCES; s++) {
		struct fixture shifted = *x;
		memmove(shifted.tokens, x->tokens + first[s], n[s] * sizeof *x->tokens);
		run_unsplit(&shifted, n[s], 1, alone);
		assert_memory_equal(alone, together[s], n[s] * N_VOCAB * sizeof(float));
	}
}

static void a_sequence_that_is_full_stops_no_other(void **state)
{
	const struct fixture *x = *state;
	struct moe_ctx_options o = { .n_ctx = 3, .max_rows = 4, .n_sequences = 2 };
	struct moe_forward *f = moe_forward_create(x->m, &o);
	struct moe_row rows[4] = { { x->tokens[0], 0 }, { x->tokens[1], 0 }, { x->tokens[2], 0 }, { x->tokens[0], 1 } };
	assert_int_equal(moe_forward_rows(f, rows, 4), 0);
	assert_int_equal(moe_forward_rows(f, rows + 2, 2), -ENOSPC);
	assert_int_equal(moe_n_past(moe_forward_ctx(f), 0), 3);
	assert_int_equal(moe_n_past(moe_forward_ctx(f), 1), 1);
	rows[3].token = x->tokens[1];
	assert_int_equal(moe_forward_rows(f, rows + 3, 1), 0);
	assert_memory_equal(moe_forward_logits(f), x->logits + N_VOCAB, N_VOCAB * sizeof(float));
	assert_int_equal(moe_rewind(moe_forward_ctx(f), 0, 0), 0);
	assert_int_equal(moe_forward_rows(f, rows, 1), 0);
	assert_memory_equal(moe_forward_logits(f), x->logits, N_VOCAB * sizeof(float));
	rows[0].sequence = 2;
	assert_int_equal(moe_forward_rows(f, rows, 1), -EINVAL);
	assert_int_equal(moe_rewind(moe_forward_ctx(f), 2, 0), -EINVAL);
	moe_forward_destroy(f);
}

/* Mean of the squared change of the logits over all positions. */
static double change_by_codec(const struct fixture *x, const char *down, const char *up)
{
	static float logits[N_TOKENS * N_VOCAB];
	double sum = 0;
	struct moe_forward *f = moe_forward_create(x->m, &(struct moe_ctx_options){ .n_ctx = N_CTX, .max_rows = 16 });
	moe_forward_set_codecs(f, codec_by_name(down), codec_by_name(up));
	moe_forward_set_logits(f, keep_row, logits);
	assert_int_equal(moe_forward_run(f, x->tokens, N_TOKENS), 0);
	moe_forward_destroy(f);
	for (size_t i = 0; i < N_TOKENS * N_VOCAB; i++)
		sum += (double)(logits[i] - x->logits[i]) * (double)(logits[i] - x->logits[i]);
	return sum / (N_TOKENS * N_VOCAB);
}

static void codecs_at_the_cut_cost_what_they_round(void **state)
{
	const struct fixture *x = *state;
	assert_true(change_by_codec(x, "f32", "f32") == 0);
	double f16 = change_by_codec(x, "f16", "f16"), int8 = change_by_codec(x, "int8", "int8"),
	       int4 = change_by_codec(x, "int4", "int4");
	print_message("mean squared change of logits: f16 %.1e, int8 %.1e, int4 %.1e\n", f16, int8, int4);
	assert_true(f16 > 0 && int8 > 10 * f16 && int4 > 10 * int8);
	assert_true(change_by_codec(x, "int8", "f32") < int8);
}

/* Rounded activations move the logits about as int8 at the cut does, with the same bits however they are cut. */
static void fast_mode_is_near_exact_and_does_not_depend_on_chunks(void **state)
{
	(void)state;
	static float exact[N_TOKENS * 512], fast[2][N_TOKENS * 512];
	struct moe_model *m = open_model(SOURCE_DIR "/moe/models/wdmoe-tiny.gguf", NULL);
	int32_t tokens[N_TOKENS];
	assert_int_equal(read_ids(TEST_DATA_DIR "/tiny.tokens", tokens, N_TOKENS), N_TOKENS);
	for (int k = 0; k < 3; k++) {
		struct moe_ctx_options o = { .max_rows = k == 2 ? 7 : 64, .compute.mode = k ? MOE_FAST : MOE_EXACT };
		struct moe_forward *f = moe_forward_create(m, &o);
		float *to = k ? fast[k - 1] : exact;
		for (size_t at = 0; at < N_TOKENS; at += o.max_rows) {
			size_t n = N_TOKENS - at < o.max_rows ? N_TOKENS - at : o.max_rows;
			assert_int_equal(moe_forward_run(f, tokens + at, n), 0);
			for (size_t i = 0; i < n; i++)
				memcpy(to + (at + i) * 512, moe_logits(moe_forward_ctx(f), i), 512 * sizeof *to);
		}
		moe_forward_destroy(f);
	}
	assert_memory_equal(fast[0], fast[1], sizeof exact);
	double worst = 0;
	for (size_t i = 0; i < N_TOKENS * 512; i++)
		worst = fmax(worst, fabs((double)(fast[0][i] - exact[i])));
	print_message("fast against exact: %.2e\n", worst);
	assert_true(worst > 1e-4 && worst < 2);
	moe_model_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logits_are_those_of_the_reference),
		cmocka_unit_test(chunks_of_any_length_give_the_same_bits),
		cmocka_unit_test(a_shorter_context_gives_the_same_bits),
		cmocka_unit_test(going_back_and_on_again_gives_the_same_bits),
		cmocka_unit_test(an_expert_gives_a_row_the_same_bits_in_any_company),
		cmocka_unit_test(sequences_at_once_give_the_bits_of_each_alone),
		cmocka_unit_test(a_sequence_that_is_full_stops_no_other),
		cmocka_unit_test(codecs_at_the_cut_cost_what_they_round),
		cmocka_unit_test(fast_mode_is_near_exact_and_does_not_depend_on_chunks),
		cmocka_unit_test(halves_over_four_devices_give_the_bits_of_the_whole),
		cmocka_unit_test(the_router_gives_probabilities_and_picks_the_largest),
		cmocka_unit_test(weights_of_the_experts_kept_sum_to_one),
		cmocka_unit_test(a_selection_replaces_the_routers_choice),
		cmocka_unit_test(calls_out_of_order_are_refused_and_counted),
		cmocka_unit_test(parts_that_cannot_be_are_refused_and_the_row_stays_open),
		cmocka_unit_test(numbers_too_large_end_the_chunk_with_edom),
		cmocka_unit_test(an_expert_refuses_what_is_not_finite),
		cmocka_unit_test(tokens_outside_the_vocabulary_or_context_are_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
