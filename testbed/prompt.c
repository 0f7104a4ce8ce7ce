#include "testbed/prompt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/items.h"

char *prompt_read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return NULL;
	char *bytes = NULL;
	size_t n = 0, cap = 0;
	int error = 0;
	while (!error && !feof(f)) {
		if (n + 1 >= cap) {
			cap = cap ? 2 * cap : 1 << 16;
			char *more = realloc(bytes, cap);
			error = more ? 0 : ENOMEM;
			bytes = more ? more : bytes;
			continue;
		}
		n += fread(bytes + n, 1, cap - 1 - n, f);
		error = ferror(f) ? errno : 0;
	}
	fclose(f);
	if (error) {
		free(bytes);
		errno = error;
		return NULL;
	}
	bytes[n] = '\0';
	*len = n;
	return bytes;
}

void prompt_free(struct prompt *p)
{
	free(p->tokens);
	free(p->text);
	free(p->answer);
	*p = (struct prompt){ 0 };
}

static int encode(struct prompt *p, const struct tokenizer *t, const char *text, char *err, size_t err_len)
{
	enum { MARGIN = 8 };
	size_t len = strlen(text), cap = 3 * len + MARGIN;
	p->text = strdup(text);
	p->tokens = calloc(cap, sizeof *p->tokens);
	ssize_t n = -ENOMEM;
	if (p->text && p->tokens)
		n = tokenizer_encode(t, text, len, TOKENIZER_BOS | TOKENIZER_SPECIAL, p->tokens, cap);
	if (n <= 0) {
		snprintf(err, err_len, n < 0 ? "the prompt: out of memory" : "the prompt is empty");
		return n < 0 ? (int)n : -EINVAL;
	}
	p->n_tokens = (size_t)n;
	return 0;
}

int prompt_from_text(struct prompt *p, const struct tokenizer *t, const char *text, char *err, size_t err_len)
{
	*p = (struct prompt){ 0 };
	int rc = encode(p, t, text, err, err_len);
	if (rc)
		prompt_free(p);
	return rc;
}

/* Next id of a text of ids. Returns 1, 0 at the end, -EINVAL if what stands there is no id; *at is then there. */
static int next_id(const char **at, size_t n_vocab, int32_t *id)
{
	while (isspace((unsigned char)**at))
		++*at;
	if (!**at)
		return 0;
	char *end;
	errno = 0;
	unsigned long v = strtoul(*at, &end, 10);
	if (!isdigit((unsigned char)**at) || errno || v >= n_vocab || (*end && !isspace((unsigned char)*end)))
		return -EINVAL;
	*id = (int32_t)v;
	*at = end;
	return 1;
}

static int parse_ids(struct prompt *p, const struct tokenizer *t, const char *path, const char *text, size_t len,
                     char *err, size_t err_len)
{
	const char *at = text;
	int rc;
	p->tokens = calloc(len / 2 + 1, sizeof *p->tokens);
	if (!p->tokens) {
		snprintf(err, err_len, "%s: out of memory", path);
		return -ENOMEM;
	}
	while ((rc = next_id(&at, tokenizer_n_vocab(t), &p->tokens[p->n_tokens])) > 0)
		p->n_tokens++;
	if (rc || at != text + len) {
		snprintf(err, err_len, "%s: token %zu (\"%.*s\") is not an id below %zu", path, p->n_tokens + 1,
		         (int)strcspn(at, " \t\r\n") < 16 ? (int)strcspn(at, " \t\r\n") : 16, at, tokenizer_n_vocab(t));
		return -EINVAL;
	}
	if (!p->n_tokens) {
		snprintf(err, err_len, "%s: no tokens", path);
		return -EINVAL;
	}
	return 0;
}

static int decode(struct prompt *p, const struct tokenizer *t)
{
	ssize_t len = tokenizer_decode(t, p->tokens, p->n_tokens, NULL, 0);
	p->text = len < 0 ? NULL : calloc((size_t)len + 1, 1);
	if (!p->text)
		return -ENOMEM;
	tokenizer_decode(t, p->tokens, p->n_tokens, p->text, (size_t)len);
	return 0;
}

int prompt_from_ids(struct prompt *p, const struct tokenizer *t, const char *path, char *err, size_t err_len)
{
	*p = (struct prompt){ 0 };
	size_t len;
	char *text = prompt_read_file(path, &len);
	if (!text) {
		int error = errno;
		snprintf(err, err_len, "%s: %s", path, strerror(error));
		return -error;
	}
	int rc = parse_ids(p, t, path, text, len, err, err_len);
	free(text);
	if (!rc && (rc = decode(p, t)))
		snprintf(err, err_len, "%s: %s", path, strerror(-rc));
	if (rc)
		prompt_free(p);
	return rc;
}

int prompt_from_held_out(struct prompt *p, const struct tokenizer *t, const char *path, uint64_t item, char *err,
                         size_t err_len)
{
	*p = (struct prompt){ 0 };
	struct items items = { 0 };
	int rc = items_load(&items, path, err, err_len);
	if (!rc && !items.n) {
		snprintf(err, err_len, "%s: no items", path);
		rc = -EINVAL;
	}
	if (!rc) {
		const struct item *chosen = &items.item[item % items.n];
		rc = prompt_from_text(p, t, chosen->prompt, err, err_len);
		if (!rc && !(p->answer = strdup(chosen->answer))) {
			snprintf(err, err_len, "out of memory");
			prompt_free(p);
			rc = -ENOMEM;
		}
	}
	items_free(&items);
	return rc;
}
