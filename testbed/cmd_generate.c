/* wdmoe generate: a language model answers a prompt, unsplit and local; what `run` must reproduce over the air. */
#include <errno.h>
#include <string.h>

#include "moe/forward.h"
#include "moe/generation.h"
#include "testbed/answers.h"
#include "testbed/cli.h"
#include "testbed/engine.h"
#include "testbed/prompt.h"

enum { CHUNK_ROWS = 64 };

struct request {
	const char *model, *prompt, *tokens, *prompts, *held_out, *json;
	int64_t n_sequences;
	struct generation_options options;
	struct engine engine;
};

static json_t *ids_json(const int32_t *ids, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_integer(ids[i]));
	return list;
}

static json_t *report(const struct request *r, const struct prompt *p, const struct generation *g)
{
	size_t n, len;
	const int32_t *tokens = generation_tokens(g, &n);
	const char *text = generation_text(g, &len);
	char hash[LOGITS_HASH_HEX];
	generation_hash_hex(g, hash);
	return json_pack("{s:i, s:s, s:o, s:o, s:o, s:s, s:s, s:s, s:I}", "schema", 1, "version", cli_version(),
	                 "prompt_tokens", ids_json(p->tokens, p->n_tokens), "tokens", ids_json(tokens, n), "text",
	                 json_text(text, len), "stop", generation_stop_name(generation_stop(g)), "logits_hash", hash,
	                 "mode", r->engine.mode, "seed", (json_int_t)r->options.seed);
}

/* What came since the last call goes out at once. */
static void print_new(FILE *out, const struct generation *g, size_t *shown)
{
	size_t len;
	const char *text = generation_text(g, &len);
	fwrite(text + *shown, 1, len - *shown, out);
	fflush(out);
	*shown = len;
}

static int generate(struct moe_forward *f, struct generation *g, const struct prompt *p, FILE *out)
{
	int rc = moe_forward_run(f, p->tokens, p->n_tokens);
	size_t shown = 0;
	while (!rc && !cli_interrupted()) {
		const float *logits = moe_forward_logits(f);
		int32_t id = logits ? generation_next(g, logits) : -errno;
		if (id < 0)
			return id;
		print_new(out, g, &shown);
		if (generation_stop(g) != GENERATION_GOES_ON)
			break;
		rc = moe_forward_run(f, &id, 1);
	}
	return rc;
}

static int answer(const struct request *r, const struct moe_model *m, const struct prompt *p,
                  const struct json_out *json)
{
	FILE *out = json_out_text(json);
	size_t n_ctx =
	        p->n_tokens + r->options.n_tokens < m->shape.n_ctx ? p->n_tokens + r->options.n_tokens : m->shape.n_ctx;
	struct moe_forward *f =
	        moe_forward_create(m, &(struct moe_ctx_options){ .n_ctx = n_ctx,
	                                                         .max_rows = n_ctx < CHUNK_ROWS ? n_ctx : CHUNK_ROWS,
	                                                         .compute = r->engine.how });
	struct generation *g = f ? generation_create(m->tokenizer, p->n_tokens, m->shape.n_ctx, &r->options) : NULL;
	int status = CLI_DONE;
	if (!g) {
		status = cli_failed("the model cannot be set up: %s", strerror(errno));
	} else {
		fprintf(out, "%s", p->text ? p->text : "");
		int rc = generate(f, g, p, out);
		fprintf(out, "\n");
		if (p->answer)
			fprintf(out, "(right answer: %s)\n", p->answer);
		if (rc)
			status = cli_failed("%s", rc == -EDOM ? "a number computed by the model is not finite"
			                                      : strerror(-rc));
		else if (cli_interrupted())
			status = CLI_INTERRUPTED;
		else
			status = json_out_write(json, report(r, p, g));
	}
	generation_destroy(g);
	moe_forward_destroy(f);
	return status;
}

static int ask(const struct request *r, const struct moe_model *m, struct prompt *p, char *err, size_t err_len)
{
	char found[4096];
	if (r->tokens)
		return prompt_from_ids(p, m->tokenizer, r->tokens, err, err_len);
	if (r->prompt)
		return prompt_from_text(p, m->tokenizer, r->prompt, err, err_len);
	cli_find_file(r->held_out, found, sizeof found);
	return prompt_from_held_out(p, m->tokenizer, found, r->options.seed, err, err_len);
}

/* All prompts of a file. */
static int answer_many(const struct request *r, const struct moe_model *m, const struct json_out *json)
{
	struct answers a;
	char err[512];
	int status = CLI_DONE;
	if (answers_load(&a, r->prompts, m->tokenizer, err, sizeof err) < 0) {
		status = cli_bad_input("%s", err);
	} else {
		int rc = answers_run(&a, m, &r->engine.how, (size_t)r->n_sequences, &r->options, json_out_text(json),
		                     err, sizeof err);
		if (rc == -ENOSPC)
			status = cli_bad_input("%s: %s", r->prompts, err);
		else if (rc)
			status = rc == -EINTR ? CLI_INTERRUPTED : cli_failed("%s", err);
		else
			status = json_out_write(json, json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:f, s:o}", "schema", 1,
			                                        "version", cli_version(), "mode", r->engine.mode,
			                                        "seed", (json_int_t)r->options.seed, "sequences",
			                                        (json_int_t)a.n_sequences, "rows", (json_int_t)a.n_rows,
			                                        "time_s", a.seconds, "answers", answers_json(&a)));
	}
	answers_free(&a);
	return status;
}

static int open_and_answer(struct request *r)
{
	char found[4096], err[512];
	struct moe_model *m = NULL;
	struct prompt p = { 0 };
	struct json_out json;
	int status = json_out_open(&json, r->json);
	if (status != CLI_DONE)
		return status;
	cli_find_file(r->model, found, sizeof found);
	if (moe_model_open(found, NULL, &m, err, sizeof err) < 0 || (!r->prompts && ask(r, m, &p, err, sizeof err) < 0))
		status = cli_bad_input("%s", err);
	else if (p.n_tokens > m->shape.n_ctx)
		status = cli_bad_input("the prompt is %zu tokens long, the context of %s holds %zu", p.n_tokens, found,
		                       m->shape.n_ctx);
	else if (engine_open(&r->engine))
		status = cli_failed("--threads: %s", strerror(errno));
	else
		status = r->prompts ? answer_many(r, m, &json) : answer(r, m, &p, &json);
	engine_close(&r->engine);
	prompt_free(&p);
	moe_model_close(m);
	return status;
}

int cmd_generate(int argc, char **argv)
{
	struct request r = { .model = "moe/models/wdmoe-tiny.gguf",
		             .held_out = "moe/models/heldout.jsonl",
		             .n_sequences = 8,
		             .engine = { .mode = "exact", .threads = 1 } };
	int64_t n_tokens = 32;
	double temperature = 0, top_p = 1;
	uint64_t seed = 1;
	bool ignore_eos = false;
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &r.model, "M", "the model, a GGUF file" },
		{ "prompt", CLI_STRING, &r.prompt, "TEXT", "what it is asked; default: held-out item number SEED" },
		{ "tokens", CLI_STRING, &r.tokens, "FILE",
		  "token ids in place of a text, white space between; no BOS is added" },
		{ "prompts", CLI_STRING, &r.prompts, "FILE", "a prompt a line: all of them are answered" },
		{ "sequences", CLI_INT, &r.n_sequences, "N", "of --prompts answered at once", .min = 1, .max = 1024 },
		{ "n-tokens", CLI_INT, &n_tokens, "N", "tokens generated at most", .min = 1, .max = 1e6 },
		{ "temp", CLI_DOUBLE, &temperature, "T", "sampling temperature; 0: greedy", .min = 0, .max = 100 },
		{ "top-p", CLI_DOUBLE, &top_p, "P", "sample from the most likely tokens of this total probability",
		  .min = 1e-6, .max = 1 },
		{ "seed", CLI_UINT64, &seed, "SEED", "of the sampling" },
		{ "ignore-eos", CLI_FLAG, &ignore_eos, NULL, "go on after the end-of-sequence token" },
		ENGINE_OPTIONS(r.engine),
		{ "json", CLI_STRING, &r.json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"",
		"Answers a prompt, computed unsplit and locally. Stops at the end-of-sequence token, the limit or the "
		"end of\n"
		"the context.\n" PROMPT_FORMS,
		options,
		sizeof options / sizeof options[0],
		NULL,
		0,
		0,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if (!!r.prompt + !!r.tokens + !!r.prompts > 1)
		return cli_bad_input("generate: one of --prompt, --tokens and --prompts");
	r.options = (struct generation_options){ (size_t)n_tokens, (float)temperature, (float)top_p, seed, ignore_eos };
	cli_catch_interrupt();
	return open_and_answer(&r);
}
