/* wdmoe eval mc: multiple-choice questions, each choice judged by its likelihood. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/choices.h"
#include "testbed/cli.h"
#include "testbed/engine.h"
#include "testbed/score.h"

enum { ROWS = 128, LOGITS_ROWS = 16 };

/* One choice as the model reads it: context and choice, cut from the left where the context holds less. */
struct request {
	int32_t *ids;
	size_t n, n_choice; /* ids in all, and those of the choice at the end */
};

struct verdict {
	size_t gold, picked, picked_norm;
	size_t n_choices;
	double log_likelihood[CHOICES_MAX];
	size_t n_tokens[CHOICES_MAX];
};

struct mc {
	const char *model, *task, *path, *bos, *description;
	int64_t n_most; /* 0: all */
	bool per_item;
	struct engine engine;
	struct json_out json;
	struct choices choices;
	struct verdict *verdict; /* [n] */
	size_t n, n_done;
	size_t n_cut; /* requests longer than the context */
};

/* ---- tokens ---- */

static bool with_bos(const struct mc *c, const struct tokenizer *t)
{
	return strcmp(c->bos, "auto") == 0 ? tokenizer_adds_bos(t) : strcmp(c->bos, "yes") == 0;
}

/* Ids of a text behind BOS where it is wanted; the caller frees them. Returns how many, or -ENOMEM. */
static ssize_t encode(const struct mc *c, const struct tokenizer *t, const char *text, size_t len, int32_t **ids)
{
	enum { MARGIN = 8 };
	size_t cap = 3 * len + MARGIN, n_bos = with_bos(c, t) && tokenizer_bos(t) >= 0;
	*ids = malloc(cap * sizeof **ids);
	if (!*ids)
		return -ENOMEM;
	if (n_bos)
		(*ids)[0] = tokenizer_bos(t);
	ssize_t n = tokenizer_encode(t, text, len, 0, *ids + n_bos, cap - n_bos);
	return n < 0 ? n : n + (ssize_t)n_bos;
}

/* White space at the end of the context counts as the choice's: tokens begin with it. The choice is what the whole has
 * more than the context alone (lm-evaluation-harness, _encode_pair). Without any context BOS, or EOS, stands for it. */
static int make_request(struct mc *c, const struct moe_model *m, const char *context, const char *choice,
                        struct request *r)
{
	const struct tokenizer *t = m->tokenizer;
	size_t len = strlen(context), most = m->shape.n_ctx + 1;
	char *whole = NULL;
	int32_t *of_context = NULL;
	if (asprintf(&whole, "%s %s", context, choice) < 0)
		return -ENOMEM;
	while (len && strchr(" \t\r\n\f\v", context[len - 1]))
		len--;
	ssize_t n_context = len ? encode(c, t, whole, len, &of_context) : 0;
	ssize_t n = n_context < 0 ? n_context : encode(c, t, whole, strlen(whole), &r->ids);
	free(of_context);
	free(whole);
	if (n < 0)
		return (int)n;
	if (!n_context && !with_bos(c, t)) {
		memmove(r->ids + 1, r->ids, (size_t)n++ * sizeof *r->ids);
		r->ids[0] = tokenizer_bos(t) >= 0 ? tokenizer_bos(t) : tokenizer_eos(t);
		n_context = 1;
	} else if (!n_context) {
		n_context = 1;
	}
	r->n = (size_t)n;
	r->n_choice = n > n_context ? (size_t)(n - n_context) : 0;
	if (r->n > most) {
		memmove(r->ids, r->ids + r->n - most, most * sizeof *r->ids);
		r->n = most;
		c->n_cut++;
	}
	return r->n_choice && r->n_choice < r->n ? 0 : -EINVAL;
}

/* ---- likelihoods ---- */

/* Tokens that all requests begin with, less the last one, whose logits are wanted. */
static size_t common_prefix(const struct request *r, size_t n)
{
	size_t len = 0;
	for (;; len++)
		for (size_t i = 0; i < n; i++)
			if (len + r[i].n_choice >= r[i].n || r[i].ids[len] != r[0].ids[len])
				return len ? len - 1 : 0;
}

static int judge(struct moe_forward *f, const struct request *r, size_t n, struct verdict *v)
{
	size_t n_kept = common_prefix(r, n);
	int rc = moe_rewind(moe_forward_ctx(f), 0, 0);
	if (!rc && n_kept)
		rc = moe_forward_run(f, r[0].ids, n_kept);
	for (size_t i = 0; i < n && !rc; i++) {
		struct score_sum sum = { 0 };
		rc = score_more(f, n_kept, r[i].ids, r[i].n, r[i].n - r[i].n_choice, &sum);
		v->log_likelihood[i] = -sum.nll;
		v->n_tokens[i] = r[i].n_choice;
	}
	return rc;
}

/* Characters, not bytes. */
static size_t n_characters(const char *utf8)
{
	size_t n = 0;
	for (; *utf8; utf8++)
		n += (*utf8 & 0xc0) != 0x80;
	return n;
}

/* The first of the best, as they are and by length. */
static void pick(struct verdict *v, const struct question *q)
{
	double best = -INFINITY, best_norm = -INFINITY;
	v->gold = q->gold;
	v->n_choices = q->n_choices;
	for (size_t i = 0; i < q->n_choices; i++) {
		double x = v->log_likelihood[i], norm = x / (double)n_characters(q->choice[i]);
		if (x > best) {
			best = x;
			v->picked = i;
		}
		if (norm > best_norm) {
			best_norm = norm;
			v->picked_norm = i;
		}
	}
}

static int ask(struct mc *c, const struct moe_model *m, struct moe_forward *f, const struct question *q,
               struct verdict *v)
{
	struct request requests[CHOICES_MAX] = { 0 };
	char *context = NULL;
	int rc = asprintf(&context, "%s%s", c->description, q->context) < 0 ? -ENOMEM : 0;
	for (size_t i = 0; i < q->n_choices && !rc; i++)
		rc = make_request(c, m, context, q->choice[i], &requests[i]);
	if (!rc)
		rc = judge(f, requests, q->n_choices, v);
	if (!rc)
		pick(v, q);
	for (size_t i = 0; i < q->n_choices; i++)
		free(requests[i].ids);
	free(context);
	return rc;
}

static int ask_all(struct mc *c, const struct moe_model *m)
{
	size_t n_ctx = m->shape.n_ctx;
	struct moe_forward *f = moe_forward_create(
	        m, &(struct moe_ctx_options){ .n_ctx = n_ctx,
	                                      .max_rows = n_ctx < ROWS ? n_ctx : ROWS,
	                                      .logits_rows = n_ctx < LOGITS_ROWS ? n_ctx : LOGITS_ROWS,
	                                      .compute = c->engine.how });
	int rc = f ? 0 : -errno;
	while (!rc && c->n_done < c->n && !cli_interrupted()) {
		rc = ask(c, m, f, &c->choices.question[c->n_done], &c->verdict[c->n_done]);
		c->n_done += !rc;
		if (!rc && (c->n_done % 10 == 0 || c->n_done == c->n))
			fprintf(stderr, "\r\033[K%zu of %zu questions%s", c->n_done, c->n,
			        c->n_done == c->n ? "\n" : "");
	}
	moe_forward_destroy(f);
	return rc;
}

/* ---- report ---- */

/* Standard error of a proportion by the spread of the sample, n - 1 below the line. */
static double stderr_of(double p, size_t n)
{
	return n > 1 ? sqrt(p * (1 - p) / (double)(n - 1)) : NAN;
}

static json_t *items_json(const struct mc *c)
{
	json_t *list = json_array();
	for (size_t i = 0; i < c->n; i++) {
		const struct verdict *v = &c->verdict[i];
		json_t *likelihoods = json_array(), *n_tokens = json_array();
		for (size_t k = 0; k < v->n_choices; k++) {
			json_array_append_new(likelihoods, json_real_or_null(v->log_likelihood[k]));
			json_array_append_new(n_tokens, json_integer((json_int_t)v->n_tokens[k]));
		}
		json_array_append_new(list, json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "item", (json_int_t)i, "gold",
		                                      (json_int_t)v->gold, "picked", (json_int_t)v->picked,
		                                      "picked_norm", (json_int_t)v->picked_norm, "log_likelihood_nats",
		                                      likelihoods, "n_tokens", n_tokens));
	}
	return list;
}

static int report(struct mc *c, const struct moe_model *m)
{
	char hash[MOE_HASH_HEX];
	size_t right = 0, right_norm = 0;
	double chance = 0;
	for (size_t i = 0; i < c->n; i++) {
		right += c->verdict[i].picked == c->verdict[i].gold;
		right_norm += c->verdict[i].picked_norm == c->verdict[i].gold;
		chance += 1 / (double)c->verdict[i].n_choices / (double)c->n;
	}
	double acc = (double)right / (double)c->n, acc_norm = (double)right_norm / (double)c->n;
	moe_model_hash_hex(m, hash);
	fprintf(json_out_text(&c->json), "%s, %zu questions: acc %.4f +- %.4f, acc_norm %.4f +- %.4f (chance %.4f)\n",
	        c->task, c->n, acc, stderr_of(acc, c->n), acc_norm, stderr_of(acc_norm, c->n), chance);
	json_t *root =
	        json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:f, s:o, s:f, s:o, s:f}", "schema", 1, "version",
	                  cli_version(), "model_hash", hash, "task", c->task, "mode", c->engine.mode, "bos",
	                  with_bos(c, m->tokenizer), "n", (json_int_t)c->n, "requests_cut", (json_int_t)c->n_cut, "acc",
	                  acc, "acc_stderr", json_real_or_null(stderr_of(acc, c->n)), "acc_norm", acc_norm,
	                  "acc_norm_stderr", json_real_or_null(stderr_of(acc_norm, c->n)), "chance", chance);
	if (c->per_item)
		json_object_set_new(root, "per_item", items_json(c));
	return json_out_write(&c->json, root);
}

static int run(struct mc *c)
{
	char found[4096], err[512];
	struct moe_model *m = NULL;
	int status = CLI_DONE;
	cli_find_file(c->model, found, sizeof found);
	if (choices_load(&c->choices, c->task, c->path, err, sizeof err) < 0 ||
	    moe_model_open(found, NULL, &m, err, sizeof err) < 0) {
		status = cli_bad_input("%s", err);
	} else {
		c->n = c->n_most && (size_t)c->n_most < c->choices.n ? (size_t)c->n_most : c->choices.n;
		c->verdict = calloc(c->n, sizeof *c->verdict);
		int rc = c->verdict ? engine_open(&c->engine) : -ENOMEM;
		if (!rc)
			rc = ask_all(c, m);
		if (rc == -EINVAL)
			status = cli_bad_input("%s: question %zu: a choice has no tokens of its own, or more than the "
			                       "context holds",
			                       c->path, c->n_done);
		else if (rc)
			status = cli_failed("%s: question %zu: %s", c->path, c->n_done,
			                    rc == -EDOM ? "a number computed by the model is not finite"
			                                : strerror(-rc));
		else
			status = cli_interrupted() ? CLI_INTERRUPTED : report(c, m);
	}
	engine_close(&c->engine);
	free(c->verdict);
	choices_free(&c->choices);
	moe_model_close(m);
	return status;
}

int cmd_eval_mc(int argc, char **argv)
{
	const char *json = NULL;
	struct cli_list files = { .n = 0 };
	struct mc c = { .model = "moe/models/wdmoe-tiny.gguf",
		        .task = "generic",
		        .bos = "auto",
		        .description = "",
		        .engine = { .mode = "exact", .threads = 1 } };
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &c.model, "M", "the model, a GGUF file" },
		{ "task", CLI_STRING, &c.task, "T", "the data set whose field names the file has",
		  .choices = "piqa|arc|boolq|mmlu|generic" },
		{ "n", CLI_INT, &c.n_most, "N", "the first N questions only; 0: all", .min = 0, .max = 1e9 },
		{ "bos", CLI_STRING, &c.bos, "WHEN", "BOS in front: auto as the model file says",
		  .choices = "auto|yes|no" },
		{ "description", CLI_STRING, &c.description, "TEXT", "in front of every context" },
		ENGINE_OPTIONS(c.engine),
		{ "per-item", CLI_FLAG, &c.per_item, NULL, "each question's likelihoods in the JSON" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"FILE.jsonl",
		"Multiple-choice questions (JSON lines), computed unsplit and locally. acc: how often the right choice "
		"has "
		"the\n"
		"highest likelihood after its context; acc_norm: the highest one by character. Both with their "
		"standard "
		"error,\n"
		"as lm-evaluation-harness defines them. Fields of a line:\n"
		"  piqa     goal, sol1, sol2, label\n"
		"  arc      question, choices {text, label}, answerKey\n"
		"  boolq    passage, question, label (0, 1) or answer (false, true)\n"
		"  mmlu     question, choices, answer (0 to 3, or A to D)\n"
		"  generic  context, choices, gold",
		options,
		sizeof options / sizeof options[0],
		&files,
		1,
		1,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	c.path = files.items[0];
	status = json_out_open(&c.json, json);
	if (status != CLI_DONE)
		return status;
	cli_catch_interrupt();
	return run(&c);
}
