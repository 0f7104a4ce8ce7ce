/* node_bench.h - what a slot costs base station and devices, each on one core: the medium apart, the model's arithmetic on its own threads.
 *
 *     struct node_bench_result r;
 *     node_bench_run(&config, 2000, &r, err, sizeof err);
 *
 * All nodes run in one thread over an ether, kept busy by held-out prompts; the processor time of each node's slot is noted, from the
 * slot's samples to the samples to send.
 */
#ifndef TESTBED_NODE_BENCH_H
#define TESTBED_NODE_BENCH_H

#include <stddef.h>

#include "testbed/config.h"
#include "testbed/ledger.h"

struct node_bench_result {
	double slot_s;
	struct ledger_line bs, device; /* of slots in which answers were under way; all devices together */
	double bs_mean_s, device_mean_s;
	uint64_t n_answers, n_calls;
};

/* 0, -EINTR, or negative errno with one line in err. */
int node_bench_run(const struct config *config, size_t n_slots, struct node_bench_result *r, char *err, size_t err_len);

#endif
