/* report.h - what a run comes to: a table for people, an object for programs.
 *
 *     report_print(stdout, s);
 *     json_t *root = report_json(s, &config);         the caller adds what it alone knows
 *
 * Counters of devices and base station side by side tell what got lost on the air: grants that a device never decoded,
 * acknowledgements that never came back. Such sums are for reports; no node sees them.
 */
#ifndef TESTBED_REPORT_H
#define TESTBED_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "testbed/session.h"

/* Losses over the whole run and all devices. */
struct report_losses {
	uint64_t first_transmissions, first_lost;
	uint64_t blocks_lost; /* given up by HARQ: lost for good, repaired by the message layer */
	uint64_t grants_lost; /* sent, not decoded by the device */
	uint64_t acks_lost;   /* sent by a device, not decoded by the base station */
	uint64_t bytes_on_air[2];
};

struct report_losses report_losses(struct session *s);

/* Layer latencies with their split, devices, losses: for people. n_tokens: picked in all; time_s: virtual, from the
 * prompts' start to end. */
void report_print(FILE *f, struct session *s, size_t n_tokens, double time_s);

/* Keys: see notes/json.md, "run". NULL without memory. */
json_t *report_json(struct session *s, const struct config *c, size_t n_tokens, double time_s);

/* Latency statistics of some layers: {"n", "mean_ms", "p50_ms", ..., "waiting_ms", ...}. which: 0 all, 1 prompt, 2
 * decode. */
json_t *report_latency_json(const struct layer_record *layers, size_t n, int which);

#endif
