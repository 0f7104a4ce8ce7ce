/* wdmoe bs: the base station as a process, in real time, answering prompts. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "radio/wall.h"
#include "testbed/bs_loop.h"
#include "testbed/cli.h"
#include "testbed/node_process.h"
#include "testbed/nodes.h"
#include "testbed/prompt.h"

static const char default_config[] = "testbed/scenarios/default.yaml";

enum question_state { TO_ASK, ASKED, AT_WORK, ANSWERED, FAILED };

struct question {
	struct prompt prompt;
	enum question_state state;
	unsigned place;
	double asked_s, answered_s; /* wall clock */
	int32_t *tokens;            /* of the answer */
	size_t n_tokens;
	char *text, *error, hash[LOGITS_HASH_HEX];
	const char *stop;
};

struct bs_process {
	struct config config;
	struct nodes nodes;
	struct node_process process;
	struct bs *bs;
	struct bs_loop *loop;
	struct journal *journal;
	char dir[JOURNAL_PATH_MAX];
	struct json_out json;
	FILE *text;
	uint64_t n_questions_max; /* 0: no end */
	double for_s;             /* 0: no end */
	struct question *questions;
	size_t n_questions, capacity, first_open; /* those before first_open are answered or failed */
	size_t n_answered, n_failed;
};

/* ---- questions ---- */

static struct inference *inference_of(const struct bs_process *p)
{
	return bs_inference(p->bs);
}

static struct question *find(struct bs_process *p, enum question_state state, unsigned place)
{
	for (size_t i = p->first_open; i < p->n_questions; i++) {
		struct question *q = &p->questions[i];
		if (q->state == state && (state != AT_WORK || q->place == place))
			return q;
	}
	return NULL;
}

static size_t n_open(const struct bs_process *p)
{
	size_t n = 0;
	for (size_t i = p->first_open; i < p->n_questions; i++)
		n += p->questions[i].state < ANSWERED;
	return n;
}

static void settle(struct bs_process *p, struct question *q, enum question_state state, const char *error)
{
	q->state = state;
	q->answered_s = wall_s();
	q->error = error ? strdup(error) : NULL;
	p->n_answered += state == ANSWERED;
	p->n_failed += state == FAILED;
	while (p->first_open < p->n_questions && p->questions[p->first_open].state >= ANSWERED)
		p->first_open++;
}

static int add_question(struct bs_process *p, char *err, size_t err_len)
{
	const struct config *c = &p->config;
	char held_out[CONFIG_PATH_MAX];
	if (p->n_questions == p->capacity) {
		size_t more = p->capacity ? 2 * p->capacity : 64;
		struct question *grown = realloc(p->questions, more * sizeof *grown);
		if (!grown)
			return -ENOMEM;
		p->questions = grown;
		p->capacity = more;
	}
	struct question *q = &p->questions[p->n_questions];
	*q = (struct question){ .state = TO_ASK };
	cli_find_file(c->model.held_out, held_out, sizeof held_out);
	int rc = *c->model.prompt
	                 ? prompt_from_text(&q->prompt, p->nodes.model->tokenizer, c->model.prompt, err, err_len)
	                 : prompt_from_held_out(&q->prompt, p->nodes.model->tokenizer, held_out,
	                                        c->seed + p->n_questions, err, err_len);
	p->n_questions += !rc;
	return rc;
}

static bool ask(struct bs_process *p, struct question *q)
{
	const struct config *c = &p->config;
	struct bs_loop_prompt prompt = { .tokens = q->prompt.tokens,
		                         .n_tokens = q->prompt.n_tokens,
		                         .options = { .n_tokens = (size_t)c->model.n_tokens,
		                                      .temperature = (float)c->model.temp,
		                                      .top_p = (float)c->model.top_p,
		                                      .seed = c->seed,
		                                      .ignore_eos = c->model.ignore_eos } };
	if (bs_loop_ask(p->loop, &prompt))
		return false;
	q->state = ASKED;
	q->asked_s = wall_s();
	return true;
}

static void take_answer(struct bs_process *p, struct question *q)
{
	const struct generation *g = inference_generation(inference_of(p), q->place);
	size_t len;
	const int32_t *tokens = generation_tokens(g, &q->n_tokens);
	const char *text = generation_text(g, &len);
	q->tokens = malloc(q->n_tokens * sizeof *tokens + 1);
	if (q->tokens)
		memcpy(q->tokens, tokens, q->n_tokens * sizeof *tokens);
	q->text = strndup(text, len);
	q->stop = generation_stop_name(generation_stop(g));
	generation_hash_hex(g, q->hash);
	fprintf(p->text, "%s%s\n", q->prompt.text ? q->prompt.text : "", q->text ? q->text : "");
	settle(p, q, ANSWERED, NULL);
	bs_loop_release(p->loop, q->place);
}

static void take_event(struct bs_process *p, const struct bs_loop_event *e)
{
	static const char *const states[CELL_STATES] = { "gone", "answered", "attached" };
	struct question *q;
	switch (e->type) {
	case BS_LOOP_DEVICE:
		fprintf(p->text, "slot %" PRIu64 ": device %u %s\n", e->slot, e->device, states[e->state]);
		break;
	case BS_LOOP_STARTED:
		if ((q = find(p, ASKED, 0))) {
			q->state = AT_WORK;
			q->place = e->place;
		}
		break;
	case BS_LOOP_REFUSED:
		if ((q = find(p, ASKED, 0)))
			settle(p, q, FAILED, e->text);
		break;
	case BS_LOOP_ENDED:
		if ((q = find(p, AT_WORK, e->place)))
			take_answer(p, q);
		break;
	case BS_LOOP_FAILED:
		fprintf(p->text, "slot %" PRIu64 ": %s\n", e->slot, e->text);
		for (unsigned i = 0; i < INFERENCE_SEQUENCES_MAX; i++)
			if ((q = find(p, AT_WORK, i)))
				settle(p, q, FAILED, e->text);
		break;
	}
	fflush(p->text);
}

/* ---- the process ---- */

/* As many questions open as there are places. False: there is nothing more to ask or to wait for. */
static bool keep_asking(struct bs_process *p)
{
	struct question *q;
	char err[256];
	bool more = p->for_s <= 0 || wall_s() - p->process.begin_s < p->for_s;
	while (more && n_open(p) < (size_t)p->config.moe.sequences) {
		more = !p->n_questions_max || p->n_questions < p->n_questions_max;
		if (more && add_question(p, err, sizeof err)) {
			fprintf(p->text, "prompt %zu: %s\n", p->n_questions, err);
			more = false;
		}
	}
	while ((q = find(p, TO_ASK, 0)) && ask(p, q))
		;
	return more || n_open(p);
}

static bool turn(void *arg)
{
	struct bs_process *p = arg;
	struct bs_loop_event e;
	while (bs_loop_next(p->loop, &e))
		take_event(p, &e);
	return keep_asking(p);
}

static int make(void *arg, struct radio *radio, struct paced_node *node, char *err, size_t err_len)
{
	struct bs_process *p = arg;
	const struct config *c = &p->config;
	p->bs = nodes_bs(&p->nodes, radio, err, err_len);
	if (!p->bs)
		return -errno;
	p->loop = bs_loop_create(p->bs, &p->nodes.num, (unsigned)c->radio.tx_ahead_slots, (unsigned)c->n_devices,
	                         p->journal, (uint64_t)c->csi_log_every);
	if (!p->loop) {
		bs_destroy(p->bs);
		return -ENOMEM;
	}
	for (size_t i = p->first_open; i < p->n_questions; i++) /* what the radio before did not bring to an end */
		if (p->questions[i].state < ANSWERED)
			p->questions[i].state = TO_ASK;
	keep_asking(p); /* before the first slot: where time is virtual, all of the first answers is */
	*node = bs_loop_node(p->loop);
	return 0;
}

static void drop(void *arg)
{
	struct bs_process *p = arg;
	struct bs_loop_event e;
	while (bs_loop_next(p->loop, &e))
		take_event(p, &e);
	bs_loop_destroy(p->loop);
	bs_destroy(p->bs);
}

static int open_journal(struct bs_process *p)
{
	char err[256];
	const struct config *c = &p->config;
	int rc = journal_make_dir(*c->out ? c->out : NULL, c->name, p->dir, sizeof p->dir, err, sizeof err);
	if (rc)
		return *c->out ? cli_bad_input("--out %s", err) : cli_failed("%s", err);
	json_t *metadata = json_pack("{s:s, s:s, s:I, s:o}", "version", cli_version(), "mode", "paced", "seed",
	                             (json_int_t)c->seed, "config", config_json(c, false));
	rc = journal_create(p->dir, metadata, JOURNAL_DROP, &p->journal, err, sizeof err);
	json_decref(metadata);
	return rc ? cli_failed("%s", err) : CLI_DONE;
}

static json_t *question_json(const struct question *q)
{
	json_t *tokens = json_array(), *prompt = json_array();
	for (size_t i = 0; q->tokens && i < q->n_tokens; i++)
		json_array_append_new(tokens, json_integer(q->tokens[i]));
	for (size_t i = 0; i < q->prompt.n_tokens; i++)
		json_array_append_new(prompt, json_integer(q->prompt.tokens[i]));
	return json_pack("{s:o, s:o, s:o, s:s, s:s, s:f, s:o}", "prompt_tokens", prompt, "tokens", tokens, "text",
	                 q->text ? json_text(q->text, strlen(q->text)) : json_null(), "stop", q->stop ? q->stop : "",
	                 "logits_hash", q->hash, "took_s", q->answered_s - q->asked_s, "error",
	                 q->error ? json_string(q->error) : json_null());
}

static json_t *describe(struct bs_process *p)
{
	json_t *list = json_array();
	for (size_t i = 0; i < p->n_questions; i++)
		if (p->questions[i].state >= ANSWERED)
			json_array_append_new(list, question_json(&p->questions[i]));
	json_t *root = json_pack("{s:i, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:o}", "schema", 1, "command", "bs",
	                         "version", cli_version(), "seed", (json_int_t)p->config.seed, "policy",
	                         p->config.scheduler.policy, "allocator", p->config.scheduler.allocator, "answered",
	                         (json_int_t)p->n_answered, "failed", (json_int_t)p->n_failed, "answers", list);
	json_t *process = node_process_json(&p->process);
	json_object_update(root, process);
	json_decref(process);
	return root;
}

static int execute(struct bs_process *p)
{
	char err[512];
	if (nodes_open(&p->nodes, &p->config, err, sizeof err))
		return cli_bad_input("%s", err);
	p->nodes.real_time = config_is_real_time(&p->config);
	int status = open_journal(p);
	if (status != CLI_DONE)
		return status;
	p->process = (struct node_process){ .config = &p->config,
		                            .num = &p->nodes.num,
		                            .index = 0,
		                            .text = p->text,
		                            .dir = p->dir,
		                            .arg = p,
		                            .make = make,
		                            .drop = drop,
		                            .turn = turn };
	status = node_process_run(&p->process);
	struct journal_stats stats;
	journal_get_stats(p->journal, &stats);
	int rc = journal_close(p->journal);
	p->journal = NULL;
	fprintf(p->text,
	        "%zu answered, %zu failed; %" PRIu64 " slots, %" PRIu64 " late; log: %s/%s (%" PRIu64
	        " records dropped)\n",
	        p->n_answered, p->n_failed, p->process.counts.slots, p->process.counts.slots_late, p->dir,
	        JOURNAL_FILE_NAME, stats.dropped);
	int written = json_out_write(&p->json, describe(p));
	if (rc)
		return cli_failed("%s/%s: %s", p->dir, JOURNAL_FILE_NAME, strerror(-rc));
	return status != CLI_DONE ? status : written;
}

static void free_questions(struct bs_process *p)
{
	for (size_t i = 0; i < p->n_questions; i++) {
		prompt_free(&p->questions[i].prompt);
		free(p->questions[i].tokens);
		free(p->questions[i].text);
		free(p->questions[i].error);
	}
	free(p->questions);
}

int cmd_bs(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL, *prompt = NULL, *out = NULL;
	double for_s = 0;
	int64_t n_prompts = 0;
	const struct cli_option options[] = {
		{ "prompt", CLI_STRING, &prompt, "TEXT",
		  "the prompt (model.prompt); without it held-out items, from number `seed` on" },
		{ "prompts", CLI_INT, &n_prompts, "N", "end after so many answers; 0: go on", .min = 0, .max = 1e9 },
		{ "for", CLI_DOUBLE, &for_s, "S", "ask nothing more after so many seconds, and end; 0: go on", .min = 0,
		  .max = 1e9 },
		{ "out", CLI_STRING, &out, "DIR", "folder of the journal (out)" },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"[CONFIG]",
		"The base station in real time: its radio (radio.backend: an ether at ether.address, or a USRP) is the "
		"only\n"
		"clock. Answers prompt after prompt with the experts of the devices that are attached; a prompt waits "
		"until\n"
		"every expert is. On a terminal L, U and O are lates, underflows and overflows; the key t shows the "
		"stages.\n",
		options,
		sizeof options / sizeof *options,
		&files,
		0,
		1,
	};
	int status;
	char err[512];
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	struct bs_process *p = calloc(1, sizeof *p);
	if (!p)
		return cli_failed("out of memory");
	status = json_out_open(&p->json, json);
	p->text = json_out_text(&p->json);
	p->n_questions_max = (uint64_t)n_prompts;
	p->for_s = for_s;
	if (status == CLI_DONE &&
	    (config_load(&p->config, files.n ? files.items[0] : default_config, sets.items, sets.n, err, sizeof err) ||
	     (prompt && config_put(&p->config, "model.prompt", prompt, err, sizeof err)) ||
	     (out && config_put(&p->config, "out", out, err, sizeof err))))
		status = cli_bad_input("%s", err);
	if (status == CLI_DONE)
		status = execute(p);
	journal_close(p->journal);
	free_questions(p);
	nodes_close(&p->nodes);
	free(p);
	return status;
}
