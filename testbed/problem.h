/* problem.h - one layer to be scheduled, from a JSON file: what `wdmoe schedule` solves.
 *
 *     struct problem p;
 *     if (problem_load(&p, path, err, sizeof err) < 0)
 *             return cli_bad_input("%s", err);
 *     ... p.layer, p.policy, p.select, p.allocate ...
 *     problem_free(&p);
 *
 * The format is in notes/scheduler.md. Everything is checked here: what is loaded passes layer_check.
 */
#ifndef TESTBED_PROBLEM_H
#define TESTBED_PROBLEM_H

#include <stddef.h>

#include "scheduler/select.h"

struct problem {
	struct layer layer;
	const char *policy; /* of the table */
	struct select_params select;
	const struct bandwidth_method *allocate;
	/* owned, seen by layer */
	struct layer_device *devices;
	uint8_t *holds;
	double *weights, *similar, *bps;
};

/* path "-": standard input. 0, or negative errno with one line in err that names file and place; then nothing is to be
 * freed. */
int problem_load(struct problem *p, const char *path, char *err, size_t err_len);
void problem_free(struct problem *p);

#endif
