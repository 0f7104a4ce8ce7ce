/* wdmoe device: a device as a process, in real time, serving its experts. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "radio/wall.h"
#include "testbed/cli.h"
#include "testbed/mailbox.h"
#include "testbed/node_process.h"
#include "testbed/nodes.h"

static const char default_config[] = "testbed/scenarios/default.yaml";
enum { EVENTS = 1024 };

struct change {
	uint64_t slot;
	enum device_state state;
};

struct device_process {
	struct config config;
	struct nodes nodes;
	struct node_process process;
	size_t k;
	FILE *text;
	struct nodes_device node;
	struct mailbox *changes;
	/* The slot loop's own: */
	uint64_t slot;
	enum device_state state;
	/* Over all loops: */
	struct device_stats stats;
	struct worker_stats worker;
	double attached_s; /* wall clock from the start to being in service, first time; below 0: never */
};

/* ---- in the loop ---- */

static uint64_t next(void *arg)
{
	return device_next_rx(((struct device_process *)arg)->node.device);
}

static void slot(void *arg, const float complex *rx, struct paced_tx *tx)
{
	struct device_tx sends;
	device_slot(((struct device_process *)arg)->node.device, rx, &sends);
	*tx = (struct paced_tx){ sends.send, sends.t_samples, sends.samples };
}

static void sent(void *arg)
{
	struct device_process *p = arg;
	enum device_state now = device_state(p->node.device);
	if (now != p->state)
		mailbox_put(p->changes, &(struct change){ p->slot, now });
	p->state = now;
	p->slot++;
}

/* ---- the process ---- */

static bool turn(void *arg)
{
	struct device_process *p = arg;
	struct change c;
	while (mailbox_take(p->changes, &c)) {
		fprintf(p->text, "slot %" PRIu64 ": %s\n", c.slot, device_state_name(c.state));
		if (c.state == DEVICE_ATTACHED && p->attached_s < 0)
			p->attached_s = wall_s() - p->process.begin_s;
	}
	fflush(p->text);
	return true;
}

static int make(void *arg, const struct radio *radio, struct paced_node *node, char *err, size_t err_len)
{
	struct device_process *p = arg;
	int rc = nodes_device(&p->nodes, p->k, radio, &p->node, err, err_len);
	p->state = DEVICE_SEARCH;
	*node = (struct paced_node){ p, next, slot, sent };
	return rc;
}

static void drop(void *arg)
{
	struct device_process *p = arg;
	turn(p);
	p->stats = device_stats(p->node.device);
	p->worker = device_worker_stats(p->node.device);
	nodes_device_close(&p->node);
}

static json_t *describe(struct device_process *p)
{
	json_t *root = json_pack("{s:i, s:s, s:s, s:I, s:o, s:I, s:I, s:f, s:I, s:I, s:I, s:I}", "schema", 1, "command",
	                         "device", "version", cli_version(), "device", (json_int_t)p->k, "attached_s",
	                         p->attached_s < 0 ? json_null() : json_real(p->attached_s), "expert_calls",
	                         (json_int_t)p->worker.calls, "expert_rows", (json_int_t)p->worker.rows,
	                         "expert_busy_s", p->worker.busy_s, "downlink_blocks_good",
	                         (json_int_t)p->stats.dl_blocks_ok, "downlink_blocks_bad",
	                         (json_int_t)p->stats.dl_blocks_bad, "uplink_blocks", (json_int_t)p->stats.ul_blocks,
	                         "uplink_blocks_repeated", (json_int_t)p->stats.ul_blocks_repeated);
	json_t *process = node_process_json(&p->process);
	json_object_update(root, process);
	json_decref(process);
	return root;
}

static int execute(struct device_process *p, const struct json_out *out)
{
	char err[512];
	if (nodes_open(&p->nodes, &p->config, err, sizeof err))
		return cli_bad_input("%s", err);
	p->nodes.real_time = config_is_real_time(&p->config);
	p->attached_s = -1;
	p->changes = mailbox_create(sizeof(struct change), EVENTS);
	if (!p->changes)
		return cli_failed("out of memory");
	p->process = (struct node_process){ .config = &p->config,
		                            .num = &p->nodes.num,
		                            .index = (unsigned)p->k + 1,
		                            .text = p->text,
		                            .arg = p,
		                            .make = make,
		                            .drop = drop,
		                            .turn = turn };
	int status = node_process_run(&p->process);
	fprintf(p->text, "%" PRIu64 " expert calls; %" PRIu64 " slots, %" PRIu64 " late\n", p->worker.calls,
	        p->process.counts.slots, p->process.counts.slots_late);
	int written = json_out_write(out, describe(p));
	return status != CLI_DONE ? status : written;
}

int cmd_device(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL;
	int64_t id = 0;
	const struct cli_option options[] = {
		{ "id", CLI_INT, &id, "K", "which of the configuration's devices", .min = 0,
		  .max = CONFIG_DEVICES_MAX - 1 },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"[CONFIG]",
		"A device in real time: finds the cell, attaches, serves its experts until it is interrupted. Its "
		"radio\n"
		"(radio.backend: an ether at ether.address, or a USRP) is the only clock. On a terminal L, U and O are "
		"lates,\n"
		"underflows and overflows; the key t shows the stages.",
		options,
		sizeof options / sizeof *options,
		&files,
		0,
		1,
	};
	int status;
	char err[512];
	struct json_out out;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	struct device_process *p = calloc(1, sizeof *p);
	if (!p)
		return cli_failed("out of memory");
	status = json_out_open(&out, json);
	p->text = json_out_text(&out);
	p->k = (size_t)id;
	if (status == CLI_DONE &&
	    config_load(&p->config, files.n ? files.items[0] : default_config, sets.items, sets.n, err, sizeof err))
		status = cli_bad_input("%s", err);
	if (status == CLI_DONE && p->k >= p->config.n_devices)
		status = cli_bad_input("--id %zu: the configuration has %zu devices", p->k, p->config.n_devices);
	if (status == CLI_DONE)
		status = execute(p, &out);
	mailbox_destroy(p->changes);
	nodes_close(&p->nodes);
	free(p);
	return status;
}
