/* scene.h - what the tests of whole runs share: a scenario with the small model, its session, and what the unsplit
 * model says. */
#ifndef TESTS_TESTBED_SCENE_H
#define TESTS_TESTBED_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moe/forward.h"
#include "moe/generation.h"
#include "phy/numerology.h"
#include "testbed/session.h"
#include "tests/testbed/mini.h"

enum { SETS_MAX = 16 };

static const char *const one_device = SOURCE_DIR "/testbed/scenarios/one-device-flat.yaml";
static const char *const two_devices = TEST_DATA_DIR "/two-devices.yaml";
static const char *const sixteen_devices = TEST_DATA_DIR "/sixteen-devices.yaml";

/* Twelve ids below the small model's vocabulary. */
static const int32_t prompt[] = { 1, 276, 277, 298, 279, 269, 267, 273, 270, 296, 268, 278 };
enum { N_PROMPT = sizeof prompt / sizeof prompt[0] };

struct scene {
	struct config config;
	struct session *session;
	char err[512];
};

/* sets: "key=value", ended by NULL; they come after the scene's own: small model, f32 both ways, no log. */
static inline struct scene *scene_open(const char *path, const char *const *sets)
{
	struct scene *s = calloc(1, sizeof *s);
	char model[1200];
	const char *all[SETS_MAX + 5] = { model, "moe.codec_down=f32", "moe.codec_up=f32", "scheduler.policy=vanilla",
		                          "csi_log=off" };
	size_t n = 5;
	snprintf(model, sizeof model, "model.path=%s", mini_path);
	while (sets && *sets && n < SETS_MAX + 5)
		all[n++] = *sets++;
	if (config_load(&s->config, path, all, n, s->err, sizeof s->err))
		fail_msg("%s", s->err);
	if (session_create(&s->config, &s->session, s->err, sizeof s->err))
		fail_msg("%s", s->err);
	return s;
}

static inline void scene_close(struct scene *s)
{
	session_destroy(s->session);
	free(s);
}

static inline void scene_attach(struct scene *s)
{
	if (session_attach(s->session, s->err, sizeof s->err))
		fail_msg("%s", s->err);
}

static inline struct lockstep *scene_lockstep(struct scene *s)
{
	return session_lockstep(s->session);
}

static inline struct cell *scene_cell(struct scene *s)
{
	return bs_cell(lockstep_bs(scene_lockstep(s)));
}

static inline struct inference *scene_inference(struct scene *s)
{
	return bs_inference(lockstep_bs(scene_lockstep(s)));
}

static inline struct generation_options greedy(size_t n_tokens)
{
	return (struct generation_options){ .n_tokens = n_tokens, .top_p = 1, .seed = 1, .ignore_eos = true };
}

/* The prompt over the air; returns session_prompt's answer. */
static inline int scene_prompt(struct scene *s, size_t n_tokens)
{
	struct generation_options options = greedy(n_tokens);
	return session_prompt(s->session, prompt, N_PROMPT, &options, s->err, sizeof s->err);
}

/* logits_hash of the same prompt by the unsplit model, its experts chosen as `experts` says (expert_mode.h). */
static inline void unsplit_hash(size_t n_tokens, const char *experts, char hash[static LOGITS_HASH_HEX])
{
	struct moe_model *model;
	char err[256];
	struct generation_options options = greedy(n_tokens);
	if (moe_model_open(mini_path, NULL, &model, err, sizeof err))
		fail_msg("%s", err);
	struct moe_forward *f =
	        moe_forward_create(model, &(struct moe_ctx_options){ .n_ctx = model->shape.n_ctx, .max_rows = 16 });
	struct generation *g = generation_create(model->tokenizer, N_PROMPT, model->shape.n_ctx, &options);
	struct expert_chooser chooser = { .model = model };
	const int32_t *next = prompt;
	size_t n = N_PROMPT;
	int32_t id;
	assert_int_equal(expert_mode_parse(experts, &chooser.mode), 0);
	moe_forward_set_select(f, expert_choose, &chooser);
	do {
		assert_int_equal(moe_forward_run(f, next, n), 0);
		id = generation_next(g, moe_forward_logits(f));
		assert_true(id >= 0);
		next = &id;
		n = 1;
	} while (generation_stop(g) == GENERATION_GOES_ON);
	generation_hash_hex(g, hash);
	generation_destroy(g);
	moe_forward_destroy(f);
	moe_model_close(model);
}

static inline void assert_same_as_unsplit(struct scene *s, size_t n_tokens)
{
	char here[LOGITS_HASH_HEX], air[LOGITS_HASH_HEX];
	unsplit_hash(n_tokens, s->config.moe.experts, here);
	generation_hash_hex(inference_generation(scene_inference(s), 0), air);
	assert_string_equal(air, here);
}

/* Slots of the base station's clock as the ether measures time. */
static inline double slot_start(struct scene *s, uint64_t slot)
{
	return (double)slot * (double)layout_numerology(lockstep_layout(scene_lockstep(s)))->slot_len;
}

/* The link of device d (from 0) is dark from slot `from` up to slot `to`. */
static inline void darken(struct scene *s, size_t d, enum ether_dir dir, double from, double to)
{
	double slot_len = slot_start(s, 1);
	assert_int_equal(ether_blank(lockstep_ether(scene_lockstep(s)), d + 1, dir, from * slot_len, to * slot_len), 0);
}

#endif
