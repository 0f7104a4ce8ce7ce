/* wdmoe eval tasks: how many held-out items a model gets right, with the experts that the router wants or with
 * others, here or over the air. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "moe/forward.h"
#include "testbed/cli.h"
#include "testbed/divergence.h"
#include "testbed/engine.h"
#include "testbed/expert_mode.h"
#include "testbed/items.h"
#include "testbed/prompt.h"
#include "testbed/report.h"
#include "testbed/score.h"
#include "testbed/session.h"
#include "testbed/stats.h"

enum { ANSWER_TOKENS = 24, FAMILIES_MAX = 64, CHUNK_ROWS = 64, SETTLE_SLOTS = 20 };

struct family {
	const char *name;
	size_t n, right;
};

/* One item's outcome. */
struct outcome {
	bool right;
	char *text;
	size_t n_layers[2]; /* of the prompt, of generated tokens */
	double layer_s[2];  /* summed latencies */
	double prompt_s;    /* virtual time from the prompt's start to its last token */
};

struct eval {
	struct config *config;
	struct items items;
	size_t first, n, stride; /* items first, first + stride ... : n of them */
	bool link, per_item, compare;
	struct engine engine;
	struct divergence divergence; /* with compare */
	uint64_t seed;
	struct expert_mode mode;
	struct json_out json;
	struct family family[FAMILIES_MAX];
	size_t n_families;
	struct outcome *outcome;
	size_t n_done, n_tokens; /* items, tokens picked */
	double time_s, last_s;   /* over the air: virtual, from the first question to the last answer; when that was */
	double nll[2];           /* summed over scored tokens: of answers, of everything */
	uint64_t scored[2];
	struct expert_chooser chooser; /* here */
	const char *codec_down, *codec_up;
};

static const struct item *item_of(const struct eval *e, size_t i)
{
	return &e->items.item[(e->first + i * e->stride) % e->items.n];
}

static bool count(struct eval *e, const struct item *item, bool right)
{
	size_t f = 0;
	while (f < e->n_families && strcmp(e->family[f].name, item->family))
		f++;
	if (f == FAMILIES_MAX)
		return false;
	if (f == e->n_families)
		e->family[e->n_families++] = (struct family){ .name = item->family };
	e->family[f].n++;
	e->family[f].right += right;
	return true;
}

static void progress(const struct eval *e)
{
	if (e->n_done % 10 == 0 || e->n_done == e->n)
		fprintf(stderr, "\r\033[K%zu of %zu items", e->n_done, e->n);
	if (e->n_done == e->n)
		fprintf(stderr, "\n");
}

static bool note(struct eval *e, struct outcome *o, const struct item *item, const struct generation *g)
{
	size_t len, n_tokens;
	const char *text = generation_text(g, &len);
	generation_tokens(g, &n_tokens);
	e->n_tokens += n_tokens;
	o->right = item_is_right(item, text);
	o->text = strdup(text);
	e->n_done++;
	progress(e);
	return o->text && count(e, item, o->right);
}

/* ---- here: the unsplit model ---- */

struct scorer {
	struct eval *e;
	const int32_t *ids;
	size_t n, n_prompt, n_vocab;
};

/* Negative log-likelihood of the token that follows each position. */
static int score_position(void *user, size_t position, const float *logits)
{
	struct scorer *s = user;
	if (position + 1 >= s->n)
		return 0;
	double nll = score_nll(logits, s->n_vocab, s->ids[position + 1]);
	s->e->nll[1] += nll;
	s->e->scored[1]++;
	if (position + 1 >= s->n_prompt) {
		s->e->nll[0] += nll;
		s->e->scored[0]++;
	}
	return 0;
}

/* Prompt, right answer and EOS as one sequence. A word follows after a space, digits and capitals directly, as in
 * training. */
static int32_t *whole_item(const struct moe_model *m, const struct item *item, size_t *n)
{
	char *text = NULL;
	bool word = item->answer[0] >= 'a' && item->answer[0] <= 'z';
	if (asprintf(&text, "%s%s%s", item->prompt, word ? " " : "", item->answer) < 0)
		return NULL;
	size_t room = 3 * strlen(text) + 8;
	int32_t *ids = malloc(room * sizeof *ids);
	ssize_t got = ids ? tokenizer_encode(m->tokenizer, text, strlen(text), TOKENIZER_BOS, ids, room - 1) : -1;
	free(text);
	if (got < 0 || (size_t)got > room - 1) {
		free(ids);
		return NULL;
	}
	*n = (size_t)got;
	if (tokenizer_eos(m->tokenizer) >= 0)
		ids[(*n)++] = tokenizer_eos(m->tokenizer);
	return ids;
}

static int score_item(struct eval *e, struct moe_forward *f, const struct moe_model *m, const struct item *item,
                      size_t n_prompt)
{
	struct scorer s = { .e = e, .n_prompt = n_prompt, .n_vocab = m->shape.n_vocab };
	int32_t *ids = whole_item(m, item, &s.n);
	if (!ids)
		return -ENOMEM;
	s.ids = ids;
	int rc = s.n <= m->shape.n_ctx ? moe_rewind(moe_forward_ctx(f), 0, 0) : -ENOSPC;
	if (!rc) {
		moe_forward_set_logits(f, score_position, &s);
		rc = moe_forward_run(f, ids, s.n);
		moe_forward_set_logits(f, NULL, NULL);
	}
	if (!rc && e->compare)
		rc = divergence_add(&e->divergence, f, ids, s.n, 0);
	free(ids);
	return rc;
}

static int answer_item(struct moe_forward *f, const struct prompt *p, struct generation *g)
{
	int rc = moe_rewind(moe_forward_ctx(f), 0, 0);
	if (!rc)
		rc = moe_forward_run(f, p->tokens, p->n_tokens);
	while (!rc) {
		const float *logits = moe_forward_logits(f);
		int32_t id = logits ? generation_next(g, logits) : -errno;
		if (id < 0)
			return id;
		size_t len;
		if (generation_stop(g) != GENERATION_GOES_ON || strchr(generation_text(g, &len), '\n'))
			break;
		rc = moe_forward_run(f, &id, 1);
	}
	return rc;
}

static int item_here(struct eval *e, const struct moe_model *m, struct moe_forward *f, size_t i, char *err,
                     size_t err_len)
{
	struct generation_options options = { .n_tokens = ANSWER_TOKENS, .top_p = 1 };
	const struct item *item = item_of(e, i);
	struct prompt p;
	int rc = prompt_from_text(&p, m->tokenizer, item->prompt, err, err_len);
	if (rc)
		return rc;
	struct generation *g = generation_create(m->tokenizer, p.n_tokens, m->shape.n_ctx, &options);
	rc = g ? answer_item(f, &p, g) : -errno;
	if (!rc && !note(e, &e->outcome[i], item, g))
		rc = -ENOMEM;
	if (!rc)
		rc = score_item(e, f, m, item, p.n_tokens);
	if (rc)
		snprintf(err, err_len, "item %zu: %s", e->first + i * e->stride, strerror(-rc));
	generation_destroy(g);
	prompt_free(&p);
	return rc;
}

/* The model with everything that is tried on it. */
static struct moe_forward *set_up(struct eval *e, const struct moe_model *m)
{
	size_t n_ctx = m->shape.n_ctx, rows = n_ctx < CHUNK_ROWS ? n_ctx : CHUNK_ROWS;
	if (engine_open(&e->engine) || (e->compare && divergence_init(&e->divergence, m, n_ctx, rows)))
		return NULL;
	struct moe_forward *f = moe_forward_create(
	        m, &(struct moe_ctx_options){ .n_ctx = n_ctx, .max_rows = rows, .compute = e->engine.how });
	if (!f)
		return NULL;
	e->chooser = (struct expert_chooser){ .model = m, .mode = e->mode, .seed = e->seed };
	moe_forward_set_select(f, expert_choose, &e->chooser);
	moe_forward_set_codecs(f, codec_by_name(e->codec_down), codec_by_name(e->codec_up));
	return f;
}

static int eval_here(struct eval *e, char *err, size_t err_len)
{
	char path[CONFIG_PATH_MAX];
	struct moe_model *m = NULL;
	cli_find_file(e->config->model.path, path, sizeof path);
	int rc = moe_model_open(path, NULL, &m, err, err_len);
	if (rc)
		return rc;
	struct moe_forward *f = set_up(e, m);
	if (!f) {
		rc = -errno;
		snprintf(err, err_len, "the model cannot be set up: %s", strerror(errno));
	}
	for (size_t i = 0; i < e->n && !rc && !cli_interrupted(); i++)
		rc = item_here(e, m, f, i, err, err_len);
	divergence_free(&e->divergence);
	moe_forward_destroy(f);
	engine_close(&e->engine);
	moe_model_close(m);
	return rc ? rc : cli_interrupted() ? -EINTR : 0;
}

/* ---- over the air ---- */

/* What is in a place: item i of the run, asked when so many layers had been done. */
struct seat {
	size_t i, layers_before;
};

/* Latencies of all layers that were done from the question to the answer: with several at once also of those it shared. */
static void note_layers(struct session *s, const struct seat *seat, size_t place, struct outcome *o)
{
	const struct inference *inf = bs_inference(lockstep_bs(session_lockstep(s)));
	size_t n;
	const struct layer_record *r = session_layers(s, &n);
	for (size_t i = seat->layers_before; i < n; i++) {
		int of_tokens = !r[i].prompt;
		o->n_layers[of_tokens]++;
		o->layer_s[of_tokens] += r[i].latency_s;
	}
	o->prompt_s = inference_end_s(inf, place) - inference_start_s(inf, place);
}

static int ask_item(struct eval *e, struct session *s, size_t i, struct seat *seats, char *err, size_t err_len)
{
	struct generation_options options = { .n_tokens = ANSWER_TOKENS, .top_p = 1 };
	struct prompt p;
	int rc = prompt_from_text(&p, lockstep_model(session_lockstep(s))->tokenizer, item_of(e, i)->prompt, err,
	                          err_len);
	if (rc)
		return rc;
	int place = session_ask(s, p.tokens, p.n_tokens, &options, err, err_len);
	prompt_free(&p);
	if (place < 0)
		return place;
	seats[place].i = i;
	session_layers(s, &seats[place].layers_before);
	return 0;
}

static int collect_items(struct eval *e, struct session *s, const struct seat *seats)
{
	struct inference *inf = bs_inference(lockstep_bs(session_lockstep(s)));
	for (size_t place = 0; place < inference_n_places(inf); place++) {
		if (!inference_ended(inf, place))
			continue;
		size_t i = seats[place].i;
		if (!note(e, &e->outcome[i], item_of(e, i), inference_generation(inf, place)))
			return -ENOMEM;
		note_layers(s, &seats[place], place, &e->outcome[i]);
		e->last_s = fmax(e->last_s, inference_end_s(inf, place));
		inference_release(inf, place);
	}
	return 0;
}

static bool place_free(const struct inference *inf)
{
	for (size_t place = 0; place < inference_n_places(inf); place++)
		if (!inference_generation(inf, place))
			return true;
	return false;
}

static int eval_link(struct eval *e, struct session **out, char *err, size_t err_len)
{
	struct seat seats[INFERENCE_SEQUENCES_MAX];
	struct session *s = NULL;
	int rc = session_create(e->config, &s, err, err_len);
	if (rc)
		return rc;
	*out = s;
	rc = session_attach(s, err, err_len);
	double begin_s = lockstep_time_s(session_lockstep(s));
	for (size_t next = 0; e->n_done < e->n && !rc;) {
		while (next < e->n && !rc && place_free(bs_inference(lockstep_bs(session_lockstep(s)))))
			rc = ask_item(e, s, next++, seats, err, err_len);
		if (!rc)
			rc = session_go_on(s, err, err_len);
		if (!rc)
			rc = collect_items(e, s, seats);
	}
	e->time_s = fmax(e->last_s - begin_s, 0);
	if (!rc)
		rc = session_settle(s, SETTLE_SLOTS);
	return rc;
}

/* ---- report ---- */

static json_t *families_json(const struct eval *e, double *mean)
{
	json_t *root = json_object();
	double sum = 0;
	for (size_t f = 0; f < e->n_families; f++) {
		const struct family *x = &e->family[f];
		struct stats_interval w = stats_wilson(x->right, x->n, 0.95);
		sum += w.mean;
		json_object_set_new(root, x->name,
		                    json_pack("{s:I, s:I, s:o, s:o, s:o}", "n", (json_int_t)x->n, "right",
		                              (json_int_t)x->right, "accuracy", json_real_or_null(w.mean), "low",
		                              json_real_or_null(w.low), "high", json_real_or_null(w.high)));
	}
	*mean = e->n_families ? sum / (double)e->n_families : NAN;
	return root;
}

static json_t *items_json(const struct eval *e)
{
	static const char *const kind[2] = { "prompt", "decode" };
	json_t *list = json_array();
	for (size_t i = 0; i < e->n; i++) {
		const struct outcome *o = &e->outcome[i];
		if (!o->text)
			continue; /* not asked, or not answered */
		json_t *x =
		        json_pack("{s:I, s:s, s:b, s:s}", "item", (json_int_t)((e->first + i * e->stride) % e->items.n),
		                  "family", item_of(e, i)->family, "right", o->right, "text", o->text);
		for (int k = 0; k < 2 && e->link; k++) {
			char name[32];
			snprintf(name, sizeof name, "%s_layers", kind[k]);
			json_object_set_new(x, name, json_integer((json_int_t)o->n_layers[k]));
			snprintf(name, sizeof name, "%s_layer_ms", kind[k]);
			json_object_set_new(x, name, json_real_or_null(1e3 * o->layer_s[k] / (double)o->n_layers[k]));
		}
		if (e->link)
			json_object_set_new(x, "total_ms", json_real_or_null(1e3 * o->prompt_s));
		json_array_append_new(list, x);
	}
	return list;
}

static double perplexity(const struct eval *e, int which)
{
	return e->scored[which] ? exp(e->nll[which] / (double)e->scored[which]) : NAN;
}

static int report(struct eval *e, struct session *s, const char *experts)
{
	FILE *f = json_out_text(&e->json);
	double mean;
	json_t *families = families_json(e, &mean);
	json_t *root = s ? report_json(s, e->config, e->n_tokens, e->time_s)
	                 : json_pack("{s:i, s:s, s:s, s:I}", "schema", 1, "version", cli_version(), "mode", "local",
	                             "seed", (json_int_t)e->seed);
	for (size_t i = 0; i < e->n_families; i++)
		fprintf(f, "  %-12s %5.1f %%  of %zu\n", e->family[i].name,
		        100.0 * (double)e->family[i].right / (double)e->family[i].n, e->family[i].n);
	fprintf(f, "  %-12s %5.1f %%\n", "mean", 100 * mean);
	if (!s)
		fprintf(f, "  perplexity %.4f of answers, %.4f of everything\n", perplexity(e, 0), perplexity(e, 1));
	else
		report_print(f, s, e->n_tokens, e->time_s);
	if (e->compare) {
		fprintf(f, "  ");
		divergence_print(&e->divergence, f);
		json_object_set_new(root, "divergence", divergence_json(&e->divergence));
	}
	json_object_set_new(root, "experts_mode", json_string(experts));
	json_object_set_new(root, "items", json_integer((json_int_t)e->n_done));
	json_object_set_new(root, "families", families);
	json_object_set_new(root, "accuracy_mean", json_real_or_null(mean));
	json_object_set_new(root, "perplexity_answer", json_real_or_null(perplexity(e, 0)));
	json_object_set_new(root, "perplexity_all", json_real_or_null(perplexity(e, 1)));
	json_object_set_new(root, "scored_tokens", json_integer((json_int_t)e->scored[1]));
	if (!s) {
		json_object_set_new(root, "experts_routed", json_integer((json_int_t)e->chooser.n_routed));
		json_object_set_new(root, "codec_down", json_string(e->codec_down));
		json_object_set_new(root, "codec_up", json_string(e->codec_up));
		json_object_set_new(root, "experts_left_out", json_integer((json_int_t)e->chooser.n_left_out));
	}
	if (e->per_item)
		json_object_set_new(root, "per_item", items_json(e));
	return json_out_write(&e->json, root);
}

static int execute(struct eval *e, const char *experts)
{
	char err[512] = "out of memory";
	struct session *s = NULL;
	e->outcome = calloc(e->n, sizeof *e->outcome);
	if (!e->outcome)
		return cli_failed("%s", err);
	cli_catch_interrupt();
	int rc = e->link ? eval_link(e, &s, err, sizeof err) : eval_here(e, err, sizeof err);
	int status;
	if (rc && rc != -EINTR && !e->n_done && rc != -EIO && rc != -ETIMEDOUT) {
		status = cli_bad_input("%s", err);
	} else {
		status = report(e, s, experts);
		if (rc)
			status = rc == -EINTR ? CLI_INTERRUPTED : cli_failed("%s", err);
	}
	session_destroy(s);
	for (size_t i = 0; i < e->n; i++)
		free(e->outcome[i].text);
	free(e->outcome);
	return status;
}

int cmd_eval_tasks(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL, *model = NULL, *experts = "", *config = NULL;
	int64_t n = 0, first = 0, stride = 1;
	struct eval e = {
		.seed = 1, .codec_down = "f32", .codec_up = "f32", .engine = { .mode = "exact", .threads = 1 }
	};
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &model, "FILE", "the model, a GGUF file (model.path)" },
		{ "experts", CLI_STRING, &experts, "MODE", "top2, top1, drop<W, random, dead:K; empty: as routed" },
		{ "codec-down", CLI_STRING, &e.codec_down, "CODEC", "hidden states pass through it, without --link",
		  .choices = "f32|f16|int8|int4" },
		{ "codec-up", CLI_STRING, &e.codec_up, "CODEC", "the same for what experts answer",
		  .choices = "f32|f16|int8|int4" },
		{ "compare", CLI_FLAG, &e.compare, NULL,
		  "also run the exact model, all experts as routed, and tell how far from it (not with --link)" },
		ENGINE_OPTIONS(e.engine),
		{ "link", CLI_FLAG, &e.link, NULL,
		  "reach the experts over the air, all items in one run, moe.sequences at once" },
		{ "config", CLI_STRING, &config, "CONFIG",
		  "the scenario, with --link (testbed/scenarios/default.yaml)" },
		{ "first", CLI_INT, &first, "I", "the first item taken", .min = 0, .max = 1e9 },
		{ "stride", CLI_INT, &stride, "N", "then every Nth item", .min = 1, .max = 1e9 },
		{ "items", CLI_INT, &n, "N", "how many; 0: all", .min = 0, .max = 1e9 },
		{ "per-item", CLI_FLAG, &e.per_item, NULL, "each item's outcome in the JSON" },
		{ "seed", CLI_UINT64, &e.seed, "S", "of random experts, and of the scenario" },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"FILE.jsonl...",
		"Asks a model held-out items, JSON lines {\"family\", \"prompt\", \"answer\"}. Right is the greedy "
		"text up to newline or\n"
		"EOS, trimmed, that equals the answer. Locally also the perplexity of the answers and of everything. "
		"With --link the\n"
		"experts are reached over the air, and layer latencies are told too.",
		options,
		sizeof options / sizeof options[0],
		&files,
		1,
		CLI_LIST_MAX,
	};
	int status;
	char err[512];
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	e.config = malloc(sizeof *e.config);
	if (!e.config)
		return cli_failed("out of memory");
	status = json_out_open(&e.json, json);
	if (status == CLI_DONE && e.link && (e.compare || strcmp(e.engine.mode, "exact")))
		status = cli_bad_input("eval tasks: --compare and --mode go without --link; there moe.mode is the key");
	if (status == CLI_DONE && expert_mode_parse(experts, &e.mode))
		status = cli_bad_input("--experts: \"%s\" is none of topN, drop<W, random, dead:K", experts);
	if (status == CLI_DONE && config_load(e.config, config ? config : "testbed/scenarios/default.yaml", sets.items,
	                                      sets.n, err, sizeof err))
		status = cli_bad_input("%s", err);
	for (size_t i = 0; i < files.n && status == CLI_DONE; i++) {
		char path[CONFIG_PATH_MAX];
		cli_find_file(files.items[i], path, sizeof path);
		if (items_load(&e.items, path, err, sizeof err))
			status = cli_bad_input("%s", err);
	}
	if (status == CLI_DONE && !e.items.n)
		status = cli_bad_input("%s: no items", files.items[0]);
	if (status == CLI_DONE) {
		e.config->seed = e.seed;
		e.config->csi_log_every = 0;
		if (model)
			snprintf(e.config->model.path, sizeof e.config->model.path, "%s", model);
		if (*experts)
			snprintf(e.config->moe.experts, sizeof e.config->moe.experts, "%s", experts);
		e.first = (size_t)first;
		e.stride = (size_t)stride;
		e.n = n ? (size_t)n : e.items.n;
		status = execute(&e, experts);
	}
	items_free(&e.items);
	free(e.config);
	return status;
}
