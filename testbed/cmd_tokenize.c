/* wdmoe tokenize: the token ids of a file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "moe/gguf.h"
#include "moe/tokenizer.h"
#include "testbed/cli.h"
#include "testbed/prompt.h"

static int print_ids(const struct tokenizer *t, const char *text, size_t len, unsigned flags)
{
	enum { MARGIN = 8 };
	size_t cap = 3 * len + MARGIN;
	int32_t *ids = calloc(cap, sizeof *ids);
	ssize_t n = ids ? tokenizer_encode(t, text, len, flags, ids, cap) : -ENOMEM;
	if (n >= 0) {
		printf("[");
		for (ssize_t i = 0; i < n; i++)
			printf("%s%d", i ? ", " : "", ids[i]);
		printf("]\n");
	}
	free(ids);
	return n < 0 ? cli_failed("%s", strerror((int)-n)) : CLI_DONE;
}

static int tokenize(const char *model, const char *path, bool plain)
{
	char err[512];
	struct gguf *g;
	struct tokenizer *t;
	if (gguf_open(model, &g, err, sizeof err) < 0)
		return cli_bad_input("%s", err);
	int rc = tokenizer_create(g, &t, err, sizeof err);
	gguf_close(g);
	if (rc < 0)
		return cli_bad_input("%s", err);
	size_t len;
	char *text = prompt_read_file(path, &len);
	int status = text ? print_ids(t, text, len, plain ? 0 : TOKENIZER_BOS | TOKENIZER_SPECIAL)
	                  : cli_bad_input("%s: %s", path, strerror(errno));
	free(text);
	tokenizer_destroy(t);
	return status;
}

int cmd_tokenize(int argc, char **argv)
{
	const char *model = "moe/models/wdmoe-tiny.gguf";
	bool plain = false;
	struct cli_list files = { .n = 0 };
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &model, "M", "the model whose tokenizer is used, a GGUF file" },
		{ "plain", CLI_FLAG, &plain, NULL, "no BOS, and control tokens written in the text are text" },
	};
	const struct cli_syntax syntax = {
		"FILE", "Prints the token ids of a file, its bytes taken as they are.", options, 2, &files, 1, 1
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	char found[4096];
	cli_find_file(model, found, sizeof found);
	return tokenize(found, files.items[0], plain);
}
