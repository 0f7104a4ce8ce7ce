/* wdmoe logits: the logits of every position of a file of token ids, unsplit and local. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "moe/forward.h"
#include "testbed/cli.h"
#include "testbed/engine.h"
#include "testbed/prompt.h"

enum { CHUNK_ROWS = 64 };

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "logits are written as they lie in memory, which is little-endian only on such a machine"
#endif

struct writer {
	FILE *file;
	size_t n_vocab;
};

static int write_row(void *user, size_t position, const float *logits)
{
	const struct writer *w = user;
	(void)position;
	return fwrite(logits, sizeof *logits, w->n_vocab, w->file) == w->n_vocab ? 0 : -EIO;
}

static int run(const struct moe_model *m, const struct prompt *p, const struct engine *e, FILE *file)
{
	struct writer w = { file, m->shape.n_vocab };
	struct moe_forward *f = moe_forward_create(
	        m, &(struct moe_ctx_options){ .n_ctx = p->n_tokens,
	                                      .max_rows = p->n_tokens < CHUNK_ROWS ? p->n_tokens : CHUNK_ROWS,
	                                      .compute = e->how });
	if (!f)
		return -errno;
	moe_forward_set_logits(f, write_row, &w);
	int rc = moe_forward_run(f, p->tokens, p->n_tokens);
	moe_forward_destroy(f);
	return rc;
}

/* A temporary name first, so that the file is there whole or not at all. */
static int write_logits(const struct moe_model *m, const struct prompt *p, const struct engine *e, const char *out)
{
	char temporary[4096];
	if ((size_t)snprintf(temporary, sizeof temporary, "%s.part", out) >= sizeof temporary)
		return cli_bad_input("--out: the name is too long");
	FILE *file = fopen(temporary, "wb");
	if (!file)
		return cli_bad_input("--out %s: %s", out, strerror(errno));
	int rc = run(m, p, e, file);
	if (fclose(file) && !rc)
		rc = -errno;
	if (!rc && rename(temporary, out))
		rc = -errno;
	if (!rc)
		return CLI_DONE;
	unlink(temporary);
	return rc == -EDOM ? cli_failed("a number computed by the model is not finite")
	                   : cli_failed("%s: %s", out, strerror(-rc));
}

static int logits(const char *model, const char *tokens, struct engine *e, const char *out)
{
	char err[512];
	struct moe_model *m = NULL;
	struct prompt p = { 0 };
	int status;
	if (moe_model_open(model, NULL, &m, err, sizeof err) < 0 ||
	    prompt_from_ids(&p, m->tokenizer, tokens, err, sizeof err) < 0)
		status = cli_bad_input("%s", err);
	else if (p.n_tokens > m->shape.n_ctx)
		status = cli_bad_input("%s: %zu tokens, the context holds %zu", tokens, p.n_tokens, m->shape.n_ctx);
	else if (engine_open(e))
		status = cli_failed("--threads: %s", strerror(errno));
	else
		status = write_logits(m, &p, e, out);
	engine_close(e);
	prompt_free(&p);
	moe_model_close(m);
	return status;
}

int cmd_logits(int argc, char **argv)
{
	const char *model = "moe/models/wdmoe-tiny.gguf", *tokens = NULL, *out = NULL;
	struct engine engine = { .mode = "exact", .threads = 1 };
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &model, "M", "the model, a GGUF file" },
		{ "tokens", CLI_STRING, &tokens, "FILE", "token ids in decimal, white space between; no BOS is added" },
		{ "out", CLI_STRING, &out, "FILE", "where the logits go: little-endian f32 [n_tokens][n_vocab]" },
		ENGINE_OPTIONS(engine),
	};
	const struct cli_syntax syntax = {
		"",      "Writes the logits of every position, computed unsplit and locally.",
		options, sizeof options / sizeof options[0],
		NULL,    0,
		0
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if (!tokens || !out)
		return cli_bad_input("logits: --%s is missing", tokens ? "out" : "tokens");
	char found[4096];
	cli_find_file(model, found, sizeof found);
	return logits(found, tokens, &engine, out);
}
