/* wdmoe device: a device as a process, in real time, serving its experts. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "radio/wall.h"
#include "testbed/agc.h"
#include "testbed/cli.h"
#include "testbed/journal.h"
#include "testbed/mailbox.h"
#include "testbed/node_process.h"
#include "testbed/nodes.h"

static const char default_config[] = "testbed/scenarios/default.yaml";
enum { EVENTS = 1024 };
static const double AGC_S = 0.1; /* between its steps */

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
	struct radio *radio;
	struct journal *journal; /* NULL: none; the slot loop feeds it */
	char dir[JOURNAL_PATH_MAX];
	/* The slot loop's own: */
	uint64_t slot;
	enum device_state state;
	struct agc agc;
	float complex *scaled; /* slot_len */
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
	struct device_process *p = arg;
	struct device_tx sends;
	if (p->scaled) {
		memcpy(p->scaled, rx, p->nodes.num.slot_len * sizeof *rx);
		agc_scale(&p->agc, p->scaled, p->nodes.num.slot_len);
	}
	device_slot(p->node.device, p->scaled ? p->scaled : rx, &sends);
	*tx = (struct paced_tx){ sends.send, sends.t_samples, sends.samples };
}

static void control_gain(struct device_process *p)
{
	struct radio_info info;
	double gain_db;
	if (!p->scaled || !agc_step(&p->agc, &gain_db) || radio_set_rx_gain(p->radio, gain_db))
		return;
	radio_get_info(p->radio, &info);
	agc_took(&p->agc, info.rx_gain_db);
	device_set_rx_gain(p->node.device, (float)(info.rx_gain_db - p->agc.base_db));
	if (p->journal)
		journal_event(p->journal,
		              "{\"event\": \"gain\", \"slot\": %" PRIu64 ", \"device\": %zu, \"rx_gain_db\": %.6g}",
		              p->slot, p->k, info.rx_gain_db);
}

static void log_slot(struct device_process *p, enum device_state now)
{
	const struct csi *csi = device_csi(p->node.device);
	if (now != p->state)
		journal_event(p->journal,
		              "{\"event\": \"device\", \"slot\": %" PRIu64 ", \"device\": %zu, \"state\": \"%s\"}",
		              p->slot, p->k, device_state_name(now));
	if (csi && p->config.csi_log_every && csi->slot % (uint64_t)p->config.csi_log_every == 0)
		journal_csi(p->journal, JOURNAL_DOWNLINK, (unsigned)p->k, csi);
}

static void sent(void *arg)
{
	struct device_process *p = arg;
	enum device_state now = device_state(p->node.device);
	if (p->journal)
		log_slot(p, now);
	if (now != p->state)
		mailbox_put(p->changes, &(struct change){ p->slot, now });
	control_gain(p);
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

static int make(void *arg, struct radio *radio, struct paced_node *node, char *err, size_t err_len)
{
	struct device_process *p = arg;
	int rc = nodes_device(&p->nodes, p->k, radio, &p->node, err, err_len);
	struct radio_info info;
	radio_get_info(radio, &info);
	p->radio = radio;
	p->state = DEVICE_SEARCH;
	agc_init(&p->agc, &info, p->config.realtime.agc_dbfs, (unsigned)(AGC_S / numerology_slot_s(&p->nodes.num)));
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

static int open_journal(struct device_process *p)
{
	char err[256];
	const struct config *c = &p->config;
	if (!*c->out)
		return CLI_DONE;
	if (journal_make_dir(c->out, c->name, p->dir, sizeof p->dir, err, sizeof err))
		return cli_bad_input("--out %s", err);
	json_t *metadata = json_pack("{s:s, s:s, s:I, s:I, s:o}", "version", cli_version(), "mode", "paced", "seed",
	                             (json_int_t)c->seed, "device", (json_int_t)p->k, "config", config_json(c, false));
	int rc = journal_create(p->dir, metadata, JOURNAL_DROP, &p->journal, err, sizeof err);
	json_decref(metadata);
	return rc ? cli_failed("%s", err) : CLI_DONE;
}

static json_t *describe(struct device_process *p)
{
	json_t *root = json_pack(
	        "{s:i, s:s, s:s, s:I, s:o, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:f}", "schema", 1, "command", "device",
	        "version", cli_version(), "device", (json_int_t)p->k, "attached_s",
	        p->attached_s < 0 ? json_null() : json_real(p->attached_s), "expert_calls", (json_int_t)p->worker.calls,
	        "expert_rows", (json_int_t)p->worker.rows, "expert_busy_s", p->worker.busy_s, "downlink_blocks_good",
	        (json_int_t)p->stats.dl_blocks_ok, "downlink_blocks_bad", (json_int_t)p->stats.dl_blocks_bad,
	        "uplink_blocks", (json_int_t)p->stats.ul_blocks, "uplink_blocks_repeated",
	        (json_int_t)p->stats.ul_blocks_repeated, "rx_gain_db", p->agc.gain_db);
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
	if (p->config.realtime.agc_dbfs < 0)
		p->scaled = calloc(p->nodes.num.slot_len, sizeof *p->scaled);
	if (!p->changes || (p->config.realtime.agc_dbfs < 0 && !p->scaled))
		return cli_failed("out of memory");
	int opened = open_journal(p);
	if (opened != CLI_DONE)
		return opened;
	p->process = (struct node_process){ .config = &p->config,
		                            .num = &p->nodes.num,
		                            .index = (unsigned)p->k + 1,
		                            .text = p->text,
		                            .dir = p->dir,
		                            .arg = p,
		                            .make = make,
		                            .drop = drop,
		                            .turn = turn };
	int status = node_process_run(&p->process);
	fprintf(p->text, "%" PRIu64 " expert calls; %" PRIu64 " slots, %" PRIu64 " late\n", p->worker.calls,
	        p->process.counts.slots, p->process.counts.slots_late);
	int rc = journal_close(p->journal);
	p->journal = NULL;
	int written = json_out_write(out, describe(p));
	if (rc)
		return cli_failed("%s/%s: %s", p->dir, JOURNAL_FILE_NAME, strerror(-rc));
	return status != CLI_DONE ? status : written;
}

int cmd_device(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL, *out_dir = NULL;
	int64_t id = 0;
	const struct cli_option options[] = {
		{ "id", CLI_INT, &id, "K", "which of the configuration's devices", .min = 0,
		  .max = CONFIG_DEVICES_MAX - 1 },
		{ "out", CLI_STRING, &out_dir, "DIR",
		  "folder of a journal: states, gains, CSI of the downlink (out, csi_log)" },
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
	    (config_load(&p->config, files.n ? files.items[0] : default_config, sets.items, sets.n, err, sizeof err) ||
	     (out_dir && config_put(&p->config, "out", out_dir, err, sizeof err))))
		status = cli_bad_input("%s", err);
	if (status == CLI_DONE && p->k >= p->config.n_devices)
		status = cli_bad_input("--id %zu: the configuration has %zu devices", p->k, p->config.n_devices);
	if (status == CLI_DONE)
		status = execute(p, &out);
	journal_close(p->journal);
	free(p->scaled);
	mailbox_destroy(p->changes);
	nodes_close(&p->nodes);
	free(p);
	return status;
}
