/* calibration.h - what is measured of a model once, on a text: how much each layer suffers from an expert left out, and which
 * experts can stand in for which. `wdmoe model sensitivity` and `wdmoe model similarity` measure and write, the scenario reads.
 *
 *     struct calibration_text t;
 *     calibration_text_load(&t, path, tokenizer, err, sizeof err);         a sequence a line
 *     double *s = calibration_read(path, "sensitivity", hash, n, err, sizeof err);
 *
 * A file written so names the model it is of by hash; of another one it is refused.
 */
#ifndef TESTBED_CALIBRATION_H
#define TESTBED_CALIBRATION_H

#include <stddef.h>
#include <stdint.h>

#include "moe/model.h"
#include "testbed/cli.h"
#include "testbed/engine.h"

struct calibration_text {
	size_t n;
	struct {
		int32_t *ids;
		size_t n;
	} * line;
};

/* Every line that is not empty, with BOS; cut off at n_ctx tokens. 0, or negative errno with one line in err; then nothing is to
 * be freed. */
int calibration_text_load(struct calibration_text *t, const char *path, const struct moe_model *m, char *err,
                          size_t err_len);
void calibration_text_free(struct calibration_text *t);

/* The numbers under `key` of a file, n of them in one flat list. The caller frees them. NULL with one line in err. */
double *calibration_read(const char *path, const char *key, const struct moe_model *m, size_t n, char *err,
                         size_t err_len);

/* A command that measures something of a model on a text: options, files, what goes wrong with them. Returns the exit status; measure
 * returns it too. */
typedef int calibration_fn(const struct moe_model *m, const struct calibration_text *t, const struct engine *e,
                           const struct json_out *out);
int calibration_command(int argc, char **argv, const char *about, calibration_fn *measure);

#endif
