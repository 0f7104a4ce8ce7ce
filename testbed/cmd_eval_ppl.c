/* wdmoe eval ppl: the perplexity of a text. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/cli.h"
#include "testbed/divergence.h"
#include "testbed/engine.h"
#include "testbed/prompt.h"
#include "testbed/score.h"

enum { ROWS = 128, LOGITS_ROWS = 16 };

struct ppl {
	const char *model, *text;
	size_t chunk; /* 0: rolling */
	struct engine engine;
	struct json_out json;
	struct score_sum sum;
	const char *codec_down, *codec_up;
	bool compare;
	struct divergence divergence; /* with compare */
	size_t n_tokens, n_windows;   /* of the text; run */
};

static void progress(const struct ppl *p, size_t done, size_t all)
{
	fprintf(stderr, "\r\033[K%zu of %zu windows, perplexity %.4f%s", done, all, score_perplexity(&p->sum),
	        done == all ? "\n" : "");
}

/* Scores tokens first .. n - 1 of a window. */
static int run_window(struct ppl *p, struct moe_forward *f, const int32_t *ids, size_t n, size_t first)
{
	int rc = score_tokens(f, ids, n, first, &p->sum);
	if (!rc && p->compare)
		rc = divergence_add(&p->divergence, f, ids, n - 1, first - 1);
	p->n_windows++;
	return rc;
}

/* Chunks of the text with BOS among them, as many as are whole: in each the first token becomes BOS, where the model has one in
 * front of its texts, and the tokens of its second half but the first are scored. */
static int run_chunks(struct ppl *p, struct moe_forward *f, const struct moe_model *m, int32_t *ids)
{
	size_t n = p->n_tokens / p->chunk;
	int rc = 0;
	for (size_t i = 0; i < n && !rc && !cli_interrupted(); i++) {
		int32_t *chunk = ids + i * p->chunk;
		if (tokenizer_adds_bos(m->tokenizer))
			chunk[0] = tokenizer_bos(m->tokenizer);
		rc = run_window(p, f, chunk, p->chunk, p->chunk / 2 + 1);
		progress(p, i + 1, n);
	}
	return rc;
}

/* Every token once, each after as many as the context holds: windows of the context's length, of which the first begins
 * with BOS (or EOS where there is none) and the last reaches back (lm-evaluation-harness, loglikelihood_rolling). */
static int run_rolling(struct ppl *p, struct moe_forward *f, const struct moe_model *m, const int32_t *ids)
{
	size_t most = m->shape.n_ctx, n = (p->n_tokens + most - 1) / most;
	int32_t before = tokenizer_bos(m->tokenizer) >= 0 ? tokenizer_bos(m->tokenizer) : tokenizer_eos(m->tokenizer);
	int32_t *window = malloc((most + 1) * sizeof *window);
	int rc = window ? 0 : -ENOMEM;
	for (size_t done = 0; done < p->n_tokens && !rc && !cli_interrupted();) {
		size_t count = p->n_tokens - done < most ? p->n_tokens - done : most; /* tokens scored in this window */
		size_t end = done + count, start = done == 0 || end < most + 1 ? 0 : end - most - 1, first = 0;
		size_t len = 0;
		if (start == 0)
			window[len++] = before;
		for (size_t i = start; i < end && len < most + 1; i++)
			window[len++] = ids[i];
		first = len - count;
		rc = first < 1 ? -EINVAL : run_window(p, f, window, len, first);
		done = end;
		progress(p, p->n_windows, n);
	}
	free(window);
	return rc;
}

static int score_text(struct ppl *p, const struct moe_model *m, const char *text, size_t len)
{
	enum { MARGIN = 8 };
	size_t cap = 3 * len + MARGIN, n_ctx = p->chunk ? p->chunk : m->shape.n_ctx;
	struct moe_ctx_options o = { .n_ctx = n_ctx,
		                     .max_rows = n_ctx < ROWS ? n_ctx : ROWS,
		                     .logits_rows = n_ctx < LOGITS_ROWS ? n_ctx : LOGITS_ROWS,
		                     .compute = p->engine.how };
	int32_t *ids = malloc(cap * sizeof *ids);
	struct moe_forward *f = moe_forward_create(m, &o);
	ssize_t n = ids ? tokenizer_encode(m->tokenizer, text, len, p->chunk ? TOKENIZER_BOS : 0, ids, cap) : -ENOMEM;
	int rc = n < 0 ? (int)n : f ? 0 : -errno;
	p->n_tokens = n < 0 ? 0 : (size_t)n;
	if (!rc && p->compare)
		rc = divergence_init(&p->divergence, m, n_ctx, o.max_rows);
	if (!rc)
		moe_forward_set_codecs(f, codec_by_name(p->codec_down), codec_by_name(p->codec_up));
	if (!rc)
		rc = p->chunk ? run_chunks(p, f, m, ids) : run_rolling(p, f, m, ids);
	moe_forward_destroy(f);
	free(ids);
	return rc;
}

static int report(struct ppl *p, size_t n_bytes)
{
	double perplexity = score_perplexity(&p->sum), error = score_perplexity_stderr(&p->sum);
	double bits = p->chunk ? NAN : p->sum.nll / M_LN2 / (double)n_bytes;
	fprintf(json_out_text(&p->json), "perplexity %.4f +- %.4f (%llu tokens scored of %zu)\n", perplexity, error,
	        (unsigned long long)p->sum.n, p->n_tokens);
	json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "schema", 1, "version",
	                         cli_version(), "mode", p->engine.mode, "codec_down", p->codec_down, "codec_up",
	                         p->codec_up, "chunk", (json_int_t)p->chunk, "n_tokens", (json_int_t)p->n_tokens,
	                         "n_windows", (json_int_t)p->n_windows, "n_scored", (json_int_t)p->sum.n, "perplexity",
	                         json_real_or_null(perplexity), "stderr", json_real_or_null(error), "bits_per_byte",
	                         json_real_or_null(bits));
	if (p->compare) {
		divergence_print(&p->divergence, json_out_text(&p->json));
		json_object_set_new(root, "divergence", divergence_json(&p->divergence));
	}
	return json_out_write(&p->json, root);
}

static int run(struct ppl *p)
{
	char found[4096], err[512];
	struct moe_model *m = NULL;
	size_t len = 0;
	char *text = prompt_read_file(p->text, &len);
	int status = CLI_DONE;
	cli_find_file(p->model, found, sizeof found);
	if (!text)
		status = cli_bad_input("%s: %s", p->text, strerror(errno));
	else if (moe_model_open(found, NULL, &m, err, sizeof err) < 0)
		status = cli_bad_input("%s", err);
	else if (p->chunk > m->shape.n_ctx)
		status = cli_bad_input("--chunk: %zu, the context of %s holds %zu", p->chunk, found, m->shape.n_ctx);
	int rc = status == CLI_DONE ? engine_open(&p->engine) : 0;
	if (status == CLI_DONE && !rc)
		rc = score_text(p, m, text, len);
	if (status == CLI_DONE && rc)
		status = cli_failed("%s: %s", p->text,
		                    rc == -EDOM ? "a number computed by the model is not finite" : strerror(-rc));
	else if (status == CLI_DONE && cli_interrupted())
		status = CLI_INTERRUPTED;
	else if (status == CLI_DONE && !p->sum.n)
		status = cli_bad_input("%s: %zu tokens are too few", p->text, p->n_tokens);
	else if (status == CLI_DONE)
		status = report(p, len);
	divergence_free(&p->divergence);
	engine_close(&p->engine);
	moe_model_close(m);
	free(text);
	return status;
}

int cmd_eval_ppl(int argc, char **argv)
{
	const char *json = NULL;
	int64_t chunk = 0;
	struct cli_list files = { .n = 0 };
	struct ppl p = { .model = "moe/models/wdmoe-tiny.gguf",
		         .codec_down = "f32",
		         .codec_up = "f32",
		         .engine = { .mode = "exact", .threads = 1 } };
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &p.model, "M", "the model, a GGUF file" },
		{ "chunk", CLI_INT, &chunk, "N",
		  "in chunks of N tokens, of which the second half is scored; 0: every token, after as many as the "
		  "context holds",
		  .min = 0, .max = 1 << 24 },
		ENGINE_OPTIONS(p.engine),
		{ "codec-down", CLI_STRING, &p.codec_down, "CODEC", "hidden states pass through it to the experts",
		  .choices = "f32|f16|int8|int4" },
		{ "codec-up", CLI_STRING, &p.codec_up, "CODEC", "the same for what experts answer",
		  .choices = "f32|f16|int8|int4" },
		{ "compare", CLI_FLAG, &p.compare, NULL, "also run the exact model and tell how far from it" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"FILE",  "The perplexity of a text, computed unsplit and locally.",
		options, sizeof options / sizeof options[0],
		&files,  1,
		1,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if (chunk == 1 || chunk == 2)
		return cli_bad_input("--chunk: %lld tokens are too few", (long long)chunk);
	p.chunk = (size_t)chunk;
	p.text = files.items[0];
	status = json_out_open(&p.json, json);
	if (status != CLI_DONE)
		return status;
	cli_catch_interrupt();
	return run(&p);
}
