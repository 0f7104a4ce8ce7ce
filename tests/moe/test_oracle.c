/* The engine against reference models whose outputs two other implementations computed (WDMOE_ORACLE; skipped without).
 */
#include "moe/forward.h"
#include "support.h"

enum { N_TOKENS = 64, N_PROMPT = 16, N_GREEDY = 32, N_TEXTS = 5 };

static const char oracle_dir[] = WDMOE_ORACLE_DIR;

static char *in_oracle(char path[512], const char *format, ...)
{
	va_list ap;
	int n = snprintf(path, 512, "%s/", oracle_dir);
	va_start(ap, format);
	vsnprintf(path + n, 512 - (size_t)n, format, ap);
	va_end(ap);
	return path;
}

/* Runs a reference model over its 64 tokens and keeps what the tests look at. */
struct reference {
	struct moe_model *m;
	int32_t tokens[N_TOKENS];
	float *logits;              /* [N_TOKENS][n_vocab] */
	struct moe_choice *choices; /* [n_layer][N_TOKENS][n_expert_used] */
};

static int keep_row(void *user, size_t position, const float *logits)
{
	struct reference *r = user;
	size_t n = r->m->shape.n_vocab;
	memcpy(r->logits + position * n, logits, n * sizeof *logits);
	return 0;
}

static size_t keep_choices(void *user, size_t layer, size_t row, const float *probs, const struct moe_choice *topk,
                           struct moe_choice *chosen)
{
	struct reference *r = user;
	size_t k = r->m->shape.n_expert_used;
	(void)probs;
	memcpy(chosen, topk, k * sizeof *chosen);
	memcpy(r->choices + (layer * N_TOKENS + row) * k, topk, k * sizeof *topk);
	return k;
}

static void run_reference(struct reference *r, const char *name)
{
	char path[512];
	r->m = open_model(in_oracle(path, "%s.gguf", name), NULL);
	assert_int_equal(read_ids(in_oracle(path, "%s.tokens", name), r->tokens, N_TOKENS), N_TOKENS);
	r->logits = calloc(N_TOKENS * r->m->shape.n_vocab, sizeof *r->logits);
	r->choices = calloc(r->m->shape.n_layer * N_TOKENS * r->m->shape.n_expert_used, sizeof *r->choices);
	struct moe_forward *f =
	        moe_forward_create(r->m, &(struct moe_ctx_options){ .n_ctx = N_TOKENS, .max_rows = N_TOKENS });
	moe_forward_set_select(f, keep_choices, r);
	moe_forward_set_logits(f, keep_row, r);
	assert_int_equal(moe_forward_run(f, r->tokens, N_TOKENS), 0);
	moe_forward_destroy(f);
}

static void free_reference(struct reference *r)
{
	free(r->choices);
	free(r->logits);
	moe_model_close(r->m);
}

static void assert_logits(const struct reference *r, const char *name, const char *kind, float tolerance)
{
	char path[512];
	size_t n_bytes, n = N_TOKENS * r->m->shape.n_vocab;
	uint8_t *bytes = read_bytes(in_oracle(path, "%s.%s.f32", name, kind), &n_bytes);
	assert_int_equal(n_bytes, n * sizeof(float));
	float max = 0;
	for (size_t i = 0; i < n; i++) {
		float right;
		memcpy(&right, bytes + i * sizeof right, sizeof right);
		assert_true(isfinite(r->logits[i]));
		max = fmaxf(max, fabsf(r->logits[i] - right));
	}
	print_message("%s against %s: %.2e\n", name, kind, (double)max);
	assert_true(max <= tolerance);
	free(bytes);
}

/* Two outside truths of each file: a float64 pass over the weights made float, and another program's on them. */
static const struct oracle_file {
	const char *name, *other;
	float tolerance;
} files[] = {
	{ "mixtral-f32", "logits", 5e-5f },      { "olmoe-f32", "logits", 5e-5f },
	{ "granitemoe-f32", "logits", 5e-5f },   { "qwen2moe-f32", "logits", 5e-5f },
	{ "qwen3moe-f32", "logits", 5e-5f },     { "mixtral-f16", "deq-logits", 1e-4f },
	{ "mixtral-q8_0", "deq-logits", 1e-4f }, { "mixtral-q4_k", "deq-logits", 1e-4f },
};
enum { N_FILES = sizeof files / sizeof files[0], N_F32 = 5 };

static void logits_agree_for_every_architecture_and_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_FILES; i++) {
		struct reference r;
		run_reference(&r, files[i].name);
		assert_logits(&r, files[i].name, "exact", files[i].tolerance);
		assert_logits(&r, files[i].name, files[i].other, files[i].tolerance);
		free_reference(&r);
	}
}

/* Lines "what-LAYER... TOKEN a b ...": the last one of a layer and token counts. values: [layer][token][n_used] */
static bool read_route(const struct reference *r, const char *name, const char *what, double *values)
{
	char path[512], line[512], found[128];
	FILE *f = fopen(in_oracle(path, "%s.route.txt", name), "r");
	assert_non_null(f);
	size_t layer, n_lines = 0, k = r->m->shape.n_expert_used;
	while (fgets(line, sizeof line, f)) {
		char *dash = strchr(line, '-'), *end;
		snprintf(found, sizeof found, "%.*s", dash ? (int)(dash - line) : 0, line);
		char *numbers = strrchr(line, ')') ? strrchr(line, ')') + 1 : strchr(line, ' ');
		if (strcmp(found, what) || sscanf(dash, "-%zu", &layer) != 1 || layer >= r->m->shape.n_layer)
			continue;
		size_t token = strtoul(numbers, &end, 10);
		for (size_t i = 0; i < k && token < N_TOKENS; i++)
			values[(layer * N_TOKENS + token) * k + i] = strtod(end, &end);
		n_lines += token < N_TOKENS;
	}
	fclose(f);
	return n_lines >= r->m->shape.n_layer * N_TOKENS;
}

static void check_routing(const char *name)
{
	struct reference r;
	run_reference(&r, name);
	size_t n = r.m->shape.n_layer * N_TOKENS * r.m->shape.n_expert_used;
	double *experts = calloc(n, sizeof *experts), *weights = calloc(n, sizeof *weights);
	assert_true(read_route(&r, name, "ffn_moe_topk", experts));
	assert_true(read_route(&r, name, "ffn_moe_weights_norm", weights) ||
	            read_route(&r, name, "ffn_moe_weights", weights));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(r.choices[i].expert, (int)experts[i]);
		assert_true(fabs((double)r.choices[i].weight - weights[i]) < 2e-5);
	}
	free(weights);
	free(experts);
	free_reference(&r);
}

static void routing_is_that_of_the_reference(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_F32; i++)
		check_routing(files[i].name);
}

static size_t argmax(const float *x, size_t n)
{
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		best = x[i] > x[best] ? i : best;
	return best;
}

static void check_greedy(const char *name)
{
	char path[512];
	struct reference r;
	run_reference(&r, name);
	FILE *file = fopen(in_oracle(path, "%s.greedy.txt", name), "r");
	assert_non_null(file);
	struct moe_forward *f =
	        moe_forward_create(r.m, &(struct moe_ctx_options){ .n_ctx = N_TOKENS, .max_rows = N_PROMPT });
	assert_int_equal(moe_forward_run(f, r.tokens, N_PROMPT), 0);
	for (int i = 0; i < N_GREEDY; i++) {
		int32_t id;
		double logit, gap;
		assert_int_equal(fscanf(file, "%d %lf %lf", &id, &logit, &gap), 3);
		const float *logits = moe_forward_logits(f);
		assert_int_equal(argmax(logits, r.m->shape.n_vocab), id);
		assert_true(fabs((double)logits[id] - logit) <= 5e-5);
		assert_int_equal(moe_forward_run(f, &id, 1), 0);
	}
	moe_forward_destroy(f);
	fclose(file);
	free_reference(&r);
}

static void the_greedy_continuation_is_that_of_the_reference(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_F32; i++)
		check_greedy(files[i].name);
}

/* Numbers of "[1, 2, 3]". */
static size_t read_list(const char *path, int32_t *ids, size_t max)
{
	size_t n_bytes, n = 0;
	uint8_t *bytes = read_bytes(path, &n_bytes);
	for (char *at = (char *)bytes + strcspn((char *)bytes, "0123456789"); *at && n < max;
	     at += strcspn(at, "0123456789"))
		ids[n++] = (int32_t)strtol(at, &at, 10);
	free(bytes);
	return n;
}

static void check_ids(const char *name)
{
	enum { MAX_IDS = 1024 };
	char path[512];
	struct moe_model *m = open_model(in_oracle(path, "%s.gguf", name), NULL);
	for (int i = 0; i < N_TEXTS; i++)
		for (int plain = 0; plain < 2; plain++) {
			int32_t right[MAX_IDS], ids[MAX_IDS];
			size_t len;
			char *text = (char *)read_bytes(in_oracle(path, "tok/s%d.txt", i), &len);
			size_t n = read_list(in_oracle(path, "tok/s%d.%s%s.ids", i, name, plain ? ".plain" : ""), right,
			                     MAX_IDS);
			unsigned flags = plain ? 0 : TOKENIZER_BOS | TOKENIZER_SPECIAL;
			assert_int_equal(tokenizer_encode(m->tokenizer, text, len, flags, ids, MAX_IDS), n);
			assert_memory_equal(ids, right, n * sizeof *ids);
			free(text);
		}
	moe_model_close(m);
}

static void token_ids_are_those_of_the_reference(void **state)
{
	(void)state;
	static const char *const names[] = { "mixtral-f32", "olmoe-f32", "granitemoe-f32", "qwen2moe-f32" };
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		check_ids(names[i]);
}

int main(void)
{
	if (!*oracle_dir) {
		print_message("skipped: no reference models (WDMOE_ORACLE)\n");
		return 77;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logits_agree_for_every_architecture_and_type),
		cmocka_unit_test(routing_is_that_of_the_reference),
		cmocka_unit_test(the_greedy_continuation_is_that_of_the_reference),
		cmocka_unit_test(token_ids_are_those_of_the_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
