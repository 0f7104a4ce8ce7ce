#include "testbed/answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "moe/batch.h"
#include "testbed/cli.h"

enum { CHUNK_ROWS = 64 };

/* ---- prompts ---- */

static int add(struct answers *a, const struct tokenizer *t, const char *line, char *err, size_t err_len)
{
	if (!(a->n & (a->n - 1))) { /* at every power of two */
		struct answer *more = realloc(a->answer, (a->n ? 2 * a->n : 1) * sizeof *more);
		if (!more)
			return -ENOMEM;
		a->answer = more;
	}
	a->answer[a->n] = (struct answer){ 0 };
	int rc = prompt_from_text(&a->answer[a->n].prompt, t, line, err, err_len);
	a->n += !rc;
	return rc;
}

int answers_load(struct answers *a, const char *path, const struct tokenizer *t, char *err, size_t err_len)
{
	size_t len;
	char *text = prompt_read_file(path, &len);
	*a = (struct answers){ 0 };
	int rc = text ? 0 : -errno;
	if (rc)
		snprintf(err, err_len, "%s: %s", path, strerror(-rc));
	for (char *line = text, *end; line && line < text + len && !rc; line = end + 1) {
		end = line + strcspn(line, "\r\n");
		char mark = *end;
		*end = '\0';
		if (*line)
			rc = add(a, t, line, err, err_len);
		*end = mark;
	}
	if (!rc && !a->n) {
		snprintf(err, err_len, "%s: there is no prompt in it", path);
		rc = -EINVAL;
	}
	free(text);
	return rc;
}

void answers_free(struct answers *a)
{
	for (size_t i = 0; i < a->n; i++) {
		prompt_free(&a->answer[i].prompt);
		json_decref(a->answer[i].json);
		free(a->answer[i].text);
	}
	free(a->answer);
	*a = (struct answers){ 0 };
}

/* ---- answers ---- */

static json_t *ids_json(const int32_t *ids, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_integer(ids[i]));
	return list;
}

static int keep(struct answer *x, const struct generation *g)
{
	size_t n, len;
	const int32_t *tokens = generation_tokens(g, &n);
	const char *text = generation_text(g, &len);
	char hash[LOGITS_HASH_HEX];
	generation_hash_hex(g, hash);
	x->text = strndup(text, len);
	x->json =
	        json_pack("{s:o, s:o, s:o, s:s, s:s}", "prompt_tokens", ids_json(x->prompt.tokens, x->prompt.n_tokens),
	                  "tokens", ids_json(tokens, n), "text", json_text(text, len), "stop",
	                  generation_stop_name(generation_stop(g)), "logits_hash", hash);
	return x->text && x->json ? 0 : -ENOMEM;
}

/* Those that nothing before is missing of. */
static void print_in_order(struct answers *a, FILE *out)
{
	for (; a->n_printed < a->n && a->answer[a->n_printed].json; a->n_printed++)
		fprintf(out, "%s%s\n", a->answer[a->n_printed].prompt.text, a->answer[a->n_printed].text);
	fflush(out);
}

/* Which answer is in which place, and which comes next. */
struct seating {
	struct moe_batch *batch;
	size_t *who, next;
};

static int seat(struct answers *a, struct seating *s, const struct generation_options *options)
{
	while (s->next < a->n && moe_batch_n_free(s->batch)) {
		const struct prompt *p = &a->answer[s->next].prompt;
		struct generation_options own = *options;
		own.seed += s->next;
		int place = moe_batch_start(s->batch, p->tokens, p->n_tokens, &own);
		if (place < 0)
			return place;
		s->who[place] = s->next++;
	}
	return 0;
}

static int collect(struct answers *a, struct seating *s)
{
	int rc = 0;
	for (size_t i = 0; i < moe_batch_n_places(s->batch) && !rc; i++)
		if (moe_batch_ended(s->batch, i)) {
			rc = keep(&a->answer[s->who[i]], moe_batch_generation(s->batch, i));
			moe_batch_release(s->batch, i);
			a->n_done += !rc;
		}
	return rc;
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int run(struct answers *a, struct seating *s, struct moe_forward *f, const struct generation_options *options,
               FILE *out)
{
	int rc = 0;
	double start_s = now_s();
	while (a->n_done < a->n && rc >= 0) {
		rc = cli_interrupted() ? -EINTR : seat(a, s, options);
		if (!rc)
			rc = moe_batch_step(s->batch, f);
		a->n_rows += rc > 0 ? (uint64_t)rc : 0;
		if (rc >= 0)
			rc = collect(a, s);
		print_in_order(a, out);
	}
	a->seconds = now_s() - start_s;
	return rc;
}

int answers_run(struct answers *a, const struct moe_model *m, const struct moe_compute *how, size_t n_sequences,
                const struct generation_options *options, FILE *out, char *err, size_t err_len)
{
	size_t n_ctx = 1;
	for (size_t i = 0; i < a->n; i++) {
		size_t n = a->answer[i].prompt.n_tokens;
		if (n > m->shape.n_ctx) {
			snprintf(err, err_len, "prompt %zu is %zu tokens long, the context holds %zu", i, n,
			         m->shape.n_ctx);
			return -ENOSPC;
		}
		n_ctx = n + options->n_tokens > n_ctx ? n + options->n_tokens : n_ctx;
	}
	n_ctx = n_ctx < m->shape.n_ctx ? n_ctx : m->shape.n_ctx;
	a->n_sequences = n_sequences < a->n ? n_sequences : a->n;
	size_t rows = a->n_sequences > CHUNK_ROWS ? a->n_sequences : CHUNK_ROWS;
	struct moe_ctx_options o = { .n_ctx = n_ctx,
		                     .max_rows = rows < a->n_sequences * n_ctx ? rows : a->n_sequences * n_ctx,
		                     .n_sequences = a->n_sequences,
		                     .compute = *how };
	struct moe_forward *f = moe_forward_create(m, &o);
	struct seating s = { .batch = f ? moe_batch_create(moe_forward_ctx(f)) : NULL,
		             .who = calloc(a->n_sequences, sizeof *s.who) };
	int rc = s.batch && s.who ? run(a, &s, f, options, out) : -errno;
	if (rc)
		snprintf(err, err_len, "%s",
		         rc == -EDOM ? "a number computed by the model is not finite" : strerror(-rc));
	free(s.who);
	moe_batch_destroy(s.batch);
	moe_forward_destroy(f);
	return rc;
}

json_t *answers_json(const struct answers *a)
{
	json_t *list = json_array();
	for (size_t i = 0; i < a->n; i++)
		json_array_append(list, a->answer[i].json);
	return list;
}
