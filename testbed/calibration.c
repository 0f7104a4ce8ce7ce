#include "testbed/calibration.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/prompt.h"

static int add_line(struct calibration_text *t, const char *line, size_t len, const struct moe_model *m)
{
	enum { MARGIN = 8 };
	size_t cap = 3 * len + MARGIN;
	int32_t *ids = malloc(cap * sizeof *ids);
	ssize_t n = ids ? tokenizer_encode(m->tokenizer, line, len, TOKENIZER_BOS, ids, cap) : -ENOMEM;
	if (n < 0 || (size_t)n > cap) {
		free(ids);
		return n < 0 ? (int)n : -EINVAL;
	}
	t->line[t->n].ids = ids;
	t->line[t->n++].n = (size_t)n < m->shape.n_ctx ? (size_t)n : m->shape.n_ctx;
	return 0;
}

int calibration_text_load(struct calibration_text *t, const char *path, const struct moe_model *m, char *err,
                          size_t err_len)
{
	size_t len = 0, n_lines = 1;
	char *text = prompt_read_file(path, &len);
	int rc = text ? 0 : -errno;
	*t = (struct calibration_text){ .n = 0 };
	for (size_t i = 0; i < len; i++)
		n_lines += text[i] == '\n';
	t->line = calloc(n_lines, sizeof *t->line);
	if (!rc && !t->line)
		rc = -ENOMEM;
	for (size_t at = 0; at < len && !rc;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		rc = n ? add_line(t, text + at, n, m) : 0;
		at += n + 1;
	}
	free(text);
	if (!rc && t->n)
		return 0;
	snprintf(err, err_len, "%s: %s", path, rc ? strerror(-rc) : "no text");
	calibration_text_free(t);
	return rc ? rc : -EINVAL;
}

void calibration_text_free(struct calibration_text *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->line[i].ids);
	free(t->line);
	*t = (struct calibration_text){ .n = 0 };
}

double *calibration_read(const char *path, const char *key, const struct moe_model *m, size_t n, char *err,
                         size_t err_len)
{
	json_error_t error;
	char hash[MOE_HASH_HEX];
	json_t *root = json_load_file(path, 0, &error), *list = json_object_get(root, key);
	const char *of = json_string_value(json_object_get(root, "model_hash"));
	double *x = NULL;
	moe_model_hash_hex(m, hash);
	if (!root)
		snprintf(err, err_len, "%s: %s", path, error.text);
	else if (!of || strcmp(of, hash) != 0)
		snprintf(err, err_len, "%s: it is of another model", path);
	else if (!json_is_array(list) || json_array_size(list) != n)
		snprintf(err, err_len, "%s: %s: not a list of %zu numbers", path, key, n);
	else if (!(x = calloc(n, sizeof *x)))
		snprintf(err, err_len, "%s: %s", path, strerror(ENOMEM));
	for (size_t i = 0; i < n && x; i++) {
		const json_t *v = json_array_get(list, i);
		x[i] = json_number_value(v);
		if (json_is_number(v) && isfinite(x[i]) && x[i] >= 0)
			continue;
		snprintf(err, err_len, "%s: %s[%zu]: not a number of 0 or more", path, key, i);
		free(x);
		x = NULL;
	}
	json_decref(root);
	return x;
}

int calibration_command(int argc, char **argv, const char *about, calibration_fn *measure)
{
	const char *model = "moe/models/wdmoe-tiny.gguf", *json = NULL;
	struct cli_list files = { .n = 0 };
	struct engine engine = { .mode = "exact", .threads = 1 };
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &model, "M", "the model, a GGUF file" },
		ENGINE_OPTIONS(engine),
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = { "TEXT", about, options, sizeof options / sizeof options[0], &files, 1, 1 };
	char found[4096], err[512];
	struct moe_model *m = NULL;
	struct calibration_text t = { .n = 0 };
	struct json_out out;
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	if ((status = json_out_open(&out, json)) != CLI_DONE)
		return status;
	cli_find_file(model, found, sizeof found);
	cli_catch_interrupt();
	if (moe_model_open(found, NULL, &m, err, sizeof err) < 0 ||
	    calibration_text_load(&t, files.items[0], m, err, sizeof err) < 0)
		status = cli_bad_input("%s", err);
	else if (engine_open(&engine))
		status = cli_failed("--threads: %s", strerror(errno));
	else
		status = measure(m, &t, &engine, &out);
	engine_close(&engine);
	calibration_text_free(&t);
	moe_model_close(m);
	return status;
}
