/* engine.h - how a command that runs the model locally computes: the mode and threads of its options.
 *
 *     struct engine e = { .mode = "exact", .threads = 1 };
 *     ... options ENGINE_OPTIONS(e) ...
 *     if (engine_open(&e)) ...
 *     moe_forward_create(m, &(struct moe_ctx_options){ .max_rows = 64, .compute = e.how });
 *     engine_close(&e);
 */
#ifndef TESTBED_ENGINE_H
#define TESTBED_ENGINE_H

#include <stdint.h>

#include "moe/matmul.h"
#include "testbed/pool.h"

struct engine {
	const char *mode; /* exact or fast */
	int64_t threads;
	/* set by engine_open */
	struct pool *pool;
	struct moe_workers workers;
	struct moe_compute how;
};

#define ENGINE_OPTIONS(e)                                                                                              \
	{ "mode",                                                                                                      \
	  CLI_STRING,                                                                                                  \
	  &(e).mode,                                                                                                   \
	  "MODE",                                                                                                      \
	  "exact: f32 activations; fast: rounded to 8 bits for integer weights",                                       \
	  .choices = "exact|fast" },                                                                                   \
	{                                                                                                              \
		"threads", CLI_INT, &(e).threads, "N", "that compute", .min = 1, .max = 64                             \
	}

/* 0 or negative errno. The object must stay where it is until engine_close. */
int engine_open(struct engine *e);
void engine_close(struct engine *e); /* also of one that was never opened */

#endif
