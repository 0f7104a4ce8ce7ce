/* node_process.h - a node as a process: its radio waited for, its slot loop started, watched, and started anew when the radio was lost.
 *
 *     struct node_process p = { .config = &config, .num = &num, .index = 1, .text = stdout, .arg = .., .make = .., .drop = .., .turn = .. };
 *     int status = node_process_run(&p);             // a cli_status
 *     json_object_update_new(root, node_process_json(&p));
 *
 * On a terminal lates, underflows and overflows show as L, U and O; the key t turns a table of the stages on and off, the key r a recording.
 */
#ifndef TESTBED_NODE_PROCESS_H
#define TESTBED_NODE_PROCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "testbed/paced.h"

struct node_process {
	/* The caller's: */
	const struct config *config;
	const struct numerology *num;
	unsigned index; /* 0: base station, k: device k - 1 */
	FILE *text;
	const char *dir; /* recordings go there (record.*); NULL or "": nothing is recorded */
	void *arg;
	/* A node on a fresh radio. 0, or negative errno with one line in err. */
	int (*make)(void *arg, struct radio *radio, struct paced_node *node, char *err, size_t err_len);
	void (*drop)(void *arg); /* its loop has ended */
	/* On the process's own thread, every few milliseconds. False: it has done what it was to do. */
	bool (*turn)(void *arg);

	/* What came of it: */
	struct paced_counts counts; /* over all loops */
	unsigned radios;            /* opened */
	double first_s;             /* wall clock from the start to the first radio */
	struct ledger ledger;
	long memory_begin_kib,
	        memory_end_kib; /* resident, one second after the first radio and when the last loop ended */
	double begin_s, wall_s;
	unsigned recordings;
	int recording_error; /* the first one, negative errno */
};

int node_process_run(struct node_process *p);
json_t *node_process_json(struct node_process *p);

#endif
