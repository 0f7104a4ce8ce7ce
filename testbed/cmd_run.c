/* wdmoe run: a prompt answered by a model whose experts are reached over the air. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "testbed/cli.h"
#include "testbed/prompt.h"
#include "testbed/report.h"
#include "testbed/session.h"

enum { SETTLE_SLOTS = 20, STATUS_SLOTS = 100 };

static const char default_config[] = "testbed/scenarios/default.yaml";

struct run {
	struct config *config;
	struct prompt prompt;
	const char *tokens_path;
	struct json_out json;
	char dir[JOURNAL_PATH_MAX];
	struct journal *journal;
	struct session *session;
	bool status_line;
	size_t text_shown;
	struct timespec began;
};

static struct inference *inference_of(const struct run *r)
{
	return bs_inference(lockstep_bs(session_lockstep(r->session)));
}

/* ---- while it runs ---- */

static void show_text(struct run *r)
{
	const struct generation *g = inference_generation(inference_of(r), 0);
	size_t len = 0;
	const char *text = g ? generation_text(g, &len) : "";
	if (len == r->text_shown)
		return;
	if (r->status_line)
		fprintf(stderr, "\r\033[K");
	fwrite(text + r->text_shown, 1, len - r->text_shown, json_out_text(&r->json));
	fflush(json_out_text(&r->json));
	r->text_shown = len;
}

static void show_status(struct run *r)
{
	struct lockstep *l = session_lockstep(r->session);
	size_t attached = 0, layers;
	for (size_t k = 0; k < lockstep_n_devices(l); k++)
		attached += cell_state(bs_cell(lockstep_bs(l)), (unsigned)k) == CELL_ATTACHED;
	session_layers(r->session, &layers);
	struct report_losses x = report_losses(r->session);
	fprintf(stderr, "\r\033[K[%.3f s  %zu/%zu devices  %zu layers  %.1f %% lost]", lockstep_time_s(l), attached,
	        lockstep_n_devices(l), layers,
	        x.first_transmissions ? 100.0 * (double)x.first_lost / (double)x.first_transmissions : 0);
}

static void on_slot(void *arg, struct session *s)
{
	struct run *r = arg;
	show_text(r);
	if (r->status_line && lockstep_n_slots(session_lockstep(s)) % STATUS_SLOTS == 0)
		show_status(r);
}

/* ---- before and after ---- */

static int open_journal(struct run *r)
{
	char err[256];
	const struct config *c = r->config;
	int rc = journal_make_dir(*c->out ? c->out : NULL, c->name, r->dir, sizeof r->dir, err, sizeof err);
	if (rc)
		return *c->out ? cli_bad_input("--out %s", err) : cli_failed("%s", err);
	json_t *metadata = json_pack("{s:s, s:s, s:I, s:o}", "version", cli_version(), "mode", "lockstep", "seed",
	                             (json_int_t)c->seed, "config", config_json(c, false));
	rc = journal_create(r->dir, metadata, JOURNAL_WAIT, &r->journal, err, sizeof err);
	json_decref(metadata);
	return rc ? cli_failed("%s", err) : CLI_DONE;
}

static json_t *ids_json(const int32_t *ids, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_integer(ids[i]));
	return list;
}

static double wall_s(const struct timespec *from)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - from->tv_sec) + 1e-9 * (double)(now.tv_nsec - from->tv_nsec);
}

static double generation_s(const struct run *r)
{
	return inference_end_s(inference_of(r), 0) - inference_start_s(inference_of(r), 0);
}

static json_t *run_json(struct run *r, const char *error)
{
	const struct generation *g = inference_generation(inference_of(r), 0);
	size_t n = 0, len = 0;
	char hash[LOGITS_HASH_HEX] = "";
	const int32_t *ids = g ? generation_tokens(g, &n) : NULL;
	const char *text = g ? generation_text(g, &len) : "";
	if (g)
		generation_hash_hex(g, hash);
	json_t *root = report_json(r->session, r->config, n, n ? generation_s(r) : NAN);
	json_object_set_new(root, "prompt",
	                    r->prompt.text ? json_text(r->prompt.text, strlen(r->prompt.text)) : json_null());
	json_object_set_new(root, "answer",
	                    r->prompt.answer ? json_text(r->prompt.answer, strlen(r->prompt.answer)) : json_null());
	json_object_set_new(root, "prompt_tokens", ids_json(r->prompt.tokens, r->prompt.n_tokens));
	json_object_set_new(root, "tokens", ids_json(ids, n));
	json_object_set_new(root, "text", json_text(text, len));
	json_object_set_new(root, "stop", json_string(g && !error ? generation_stop_name(generation_stop(g)) : ""));
	json_object_set_new(root, "logits_hash", json_string(hash));
	json_object_set_new(root, "error", error ? json_string(error) : json_null());
	json_object_set_new(root, "wall_clock", json_pack("{s:o}", "wall_s", json_real_or_null(wall_s(&r->began))));
	return root;
}

/* Cold start, the prompt, and what it came to. err: filled when something went wrong. */
static int run_prompt(struct run *r, char *err, size_t err_len)
{
	const struct config *c = r->config;
	struct generation_options options = { .n_tokens = (size_t)c->model.n_tokens,
		                              .temperature = (float)c->model.temp,
		                              .top_p = (float)c->model.top_p,
		                              .seed = c->seed,
		                              .ignore_eos = c->model.ignore_eos };
	int rc = session_attach(r->session, err, err_len);
	if (!rc) {
		fprintf(json_out_text(&r->json), "%s", r->prompt.text ? r->prompt.text : "");
		fflush(json_out_text(&r->json));
		rc = session_prompt(r->session, r->prompt.tokens, r->prompt.n_tokens, &options, err, err_len);
	}
	if (!rc)
		rc = session_settle(r->session, SETTLE_SLOTS);
	if (r->status_line)
		fprintf(stderr, "\r\033[K");
	fprintf(json_out_text(&r->json), "\n");
	return rc;
}

static int finish(struct run *r, int rc, const char *err)
{
	size_t n = 0;
	const struct generation *g = inference_generation(inference_of(r), 0);
	if (g)
		generation_tokens(g, &n);
	if (r->prompt.answer)
		fprintf(json_out_text(&r->json), "(the right answer: %s)\n", r->prompt.answer);
	fprintf(json_out_text(&r->json), "\n");
	report_print(json_out_text(&r->json), r->session, n, n ? generation_s(r) : NAN);
	int journal_rc = journal_close(r->journal), recording_rc = lockstep_end_recording(session_lockstep(r->session));
	r->journal = NULL;
	fprintf(json_out_text(&r->json), "log: %s/%s\n", r->dir, JOURNAL_FILE_NAME);
	int status = json_out_write(&r->json, run_json(r, rc ? err : NULL));
	if (rc)
		return rc == -EINTR ? CLI_INTERRUPTED : cli_failed("%s", err);
	if (recording_rc)
		return cli_failed("%s: recording: %s", r->dir, strerror(-recording_rc));
	if (journal_rc)
		return cli_failed("%s/%s: %s", r->dir, JOURNAL_FILE_NAME, strerror(-journal_rc));
	return status;
}

static int make_prompt(struct run *r, char *err, size_t err_len)
{
	const struct config *c = r->config;
	const struct moe_model *m = lockstep_model(session_lockstep(r->session));
	char held_out[CONFIG_PATH_MAX];
	int rc;
	if (r->tokens_path) {
		rc = prompt_from_ids(&r->prompt, m->tokenizer, r->tokens_path, err, err_len);
	} else if (*c->model.prompt) {
		rc = prompt_from_text(&r->prompt, m->tokenizer, c->model.prompt, err, err_len);
	} else {
		cli_find_file(c->model.held_out, held_out, sizeof held_out);
		rc = prompt_from_held_out(&r->prompt, m->tokenizer, held_out, c->seed, err, err_len);
	}
	if (!rc && r->prompt.n_tokens > m->shape.n_ctx) {
		snprintf(err, err_len, "the prompt has %zu tokens, the model's context holds %zu", r->prompt.n_tokens,
		         m->shape.n_ctx);
		rc = -EINVAL;
	}
	return rc;
}

static int execute(struct run *r)
{
	char err[512];
	struct config *c = r->config;
	clock_gettime(CLOCK_MONOTONIC, &r->began);
	if (session_create(c, &r->session, err, sizeof err))
		return cli_bad_input("%s", err);
	if (make_prompt(r, err, sizeof err))
		return cli_bad_input("%s", err);
	int status = open_journal(r);
	if (status != CLI_DONE)
		return status;
	session_set_journal(r->session, r->journal);
	lockstep_set_recording(session_lockstep(r->session), r->dir);
	session_on_slot(r->session, on_slot, r);
	cli_catch_interrupt();
	int rc = run_prompt(r, err, sizeof err);
	return finish(r, rc, err);
}

/* An option that stands for a key of the configuration. */
struct override {
	const char *key, *value;
};

int cmd_run(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL, *tokens = NULL;
	struct override overrides[] = {
		{ .key = "model.path" }, { .key = "model.prompt" }, { .key = "model.n_tokens" },
		{ .key = "model.temp" }, { .key = "model.top_p" },  { .key = "seed" },
		{ .key = "out" },
	};
	enum { MODEL, PROMPT, N_TOKENS, TEMP, TOP_P, SEED, OUT, N_OVERRIDES };
	bool ignore_eos = false;
	const struct cli_option options[] = {
		{ "model", CLI_STRING, &overrides[MODEL].value, "FILE", "the model, a GGUF file (model.path)" },
		{ "prompt", CLI_STRING, &overrides[PROMPT].value, "TEXT",
		  "the prompt (model.prompt); without it a held-out item, with its answer" },
		{ "tokens", CLI_STRING, &tokens, "FILE", "the prompt as token ids in decimal, used as they are" },
		{ "n-tokens", CLI_STRING, &overrides[N_TOKENS].value, "N",
		  "tokens generated at most (model.n_tokens)" },
		{ "temp", CLI_STRING, &overrides[TEMP].value, "T", "sampling temperature, 0: greedy (model.temp)" },
		{ "top-p", CLI_STRING, &overrides[TOP_P].value, "P", "nucleus sampling (model.top_p)" },
		{ "seed", CLI_STRING, &overrides[SEED].value, "S", "of everything random (seed)" },
		{ "ignore-eos", CLI_FLAG, &ignore_eos, NULL, "go on after the end-of-sequence token" },
		{ "out", CLI_STRING, &overrides[OUT].value, "DIR", "folder of the journal (out)" },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"[CONFIG]",
		"Answers a prompt with the experts reached over the air: base station, devices and channels of CONFIG "
		"(default\n"
		"testbed/scenarios/default.yaml) in lockstep on virtual time. Streams the text, then tells where the "
		"time went.\n"
		"Leaves a journal with every estimated channel (csi_log) and every layer.\n" PROMPT_FORMS,
		options,
		sizeof options / sizeof options[0],
		&files,
		0,
		1,
	};
	int status;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	struct run r = { .config = malloc(sizeof *r.config), .tokens_path = tokens };
	char err[512];
	if (!r.config)
		return cli_failed("out of memory");
	status = json_out_open(&r.json, json);
	r.status_line = isatty(STDERR_FILENO);
	if (status == CLI_DONE &&
	    config_load(r.config, files.n ? files.items[0] : default_config, sets.items, sets.n, err, sizeof err))
		status = cli_bad_input("%s", err);
	for (size_t i = 0; i < N_OVERRIDES && status == CLI_DONE; i++)
		if (overrides[i].value && config_put(r.config, overrides[i].key, overrides[i].value, err, sizeof err))
			status = cli_bad_input("%s", err);
	if (status == CLI_DONE) {
		r.config->model.ignore_eos |= ignore_eos;
		status = execute(&r);
	}
	journal_close(r.journal);
	session_destroy(r.session);
	prompt_free(&r.prompt);
	free(r.config);
	return status;
}
