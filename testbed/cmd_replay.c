/* wdmoe replay: a device on a recording of what its radio received. */
#include "radio/file.h"
#include "radio/record.h"
#include "testbed/cli.h"
#include "testbed/medium.h"
#include "testbed/nodes.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char default_config[] = "testbed/scenarios/default.yaml";

struct replay {
	struct config config;
	struct nodes nodes;
	struct radio *file, *radio; /* the recording, and what is recorded of it */
	struct nodes_device node;
	struct sigmf_writer *sent;
	float complex *rx; /* slot_len */
	/* Over the slots that gave an estimate: */
	size_t n_csi;
	double snr_sum, cfo_sum; /* linear, Hz */
	uint64_t n_slots;
};

static int open_radio(struct replay *p, const char *recording, size_t k, char *err, size_t err_len)
{
	const struct config *c = &p->config;
	struct ether_node_config as = medium_node(c, 0, 0, c->devices[k].tx_power_dbm);
	struct radio_info info = { .rate_hz = c->radio.rate_hz,
		                   .rx_hz = c->radio.dl_hz,
		                   .tx_hz = c->radio.ul_hz,
		                   .tx_full_scale_dbm = as.tx_full_scale_dbm,
		                   .rx_full_scale_dbm = as.rx_full_scale_dbm };
	p->file = file_radio_create(recording, &info, err, err_len);
	if (!p->file)
		return -errno;
	p->radio = record_create(p->file);
	p->rx = calloc(p->nodes.num.slot_len, sizeof *p->rx);
	return p->radio && p->rx ? 0 : -ENOMEM;
}

static int open_sent(struct replay *p, const char *name, char *err, size_t err_len)
{
	char recorder[64];
	snprintf(recorder, sizeof recorder, "wdmoe %s", cli_version());
	struct sigmf_what what = { .rate_hz = p->config.radio.rate_hz,
		                   .carrier_hz = p->config.radio.ul_hz,
		                   .recorder = recorder };
	p->sent = sigmf_create(name, &what, SPOOL_WAIT, err, err_len);
	if (!p->sent)
		return -errno;
	record_sent(p->radio, p->sent);
	return 0;
}

static void note_csi(struct replay *p)
{
	const struct csi *csi = device_csi(p->node.device);
	if (!csi || !csi->valid)
		return;
	p->n_csi++;
	p->snr_sum += pow(10, 0.1 * (double)csi->snr_mean_db);
	p->cfo_sum += (double)csi->cfo_hz;
}

/* To the end of the recording, or until interrupted. */
static void play(struct replay *p)
{
	struct device *d = p->node.device;
	struct device_tx tx;
	while (!cli_interrupted() && radio_recv(p->radio, p->rx, p->nodes.num.slot_len, device_next_rx(d)) == 0) {
		device_slot(d, p->rx, &tx);
		if (tx.send)
			radio_send(p->radio, tx.samples, p->nodes.num.slot_len, tx.t_samples);
		note_csi(p);
		p->n_slots++;
	}
}

static void print(FILE *f, const struct replay *p)
{
	const struct device *d = p->node.device;
	struct device_stats s = device_stats(d);
	struct worker_stats w = device_worker_stats(d);
	fprintf(f, "%llu slots, %.3f s; at the end %s\n", (unsigned long long)p->n_slots,
	        (double)p->n_slots * numerology_slot_s(&p->nodes.num), device_state_name(device_state(d)));
	if (p->n_csi)
		fprintf(f, "mean SNR %.1f dB, carrier offset %.1f Hz over %zu slots\n",
		        10 * log10(p->snr_sum / (double)p->n_csi), p->cfo_sum / (double)p->n_csi, p->n_csi);
	fprintf(f, "downlink: %llu grants, blocks %llu good, %llu bad, %llu again; uplink: %llu grants, %llu blocks\n",
	        (unsigned long long)s.dl_grants, (unsigned long long)s.dl_blocks_ok,
	        (unsigned long long)s.dl_blocks_bad, (unsigned long long)s.dl_blocks_repeated,
	        (unsigned long long)s.ul_grants, (unsigned long long)s.ul_blocks);
	fprintf(f, "%llu messages, %llu expert calls of %llu rows\n", (unsigned long long)s.messages,
	        (unsigned long long)w.calls, (unsigned long long)w.rows);
}

static json_t *describe(const struct replay *p, size_t k)
{
	const struct device *d = p->node.device;
	struct device_stats s = device_stats(d);
	struct worker_stats w = device_worker_stats(d);
	struct radio_stats r;
	radio_get_stats(p->file, &r);
	double n = (double)p->n_csi;
	return json_pack("{s:i, s:s, s:s, s:I, s:I, s:f, s:s, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
	                 "s:I, s:I, s:I}",
	                 "schema", 1, "command", "replay", "version", cli_version(), "device", (json_int_t)k, "slots",
	                 (json_int_t)p->n_slots, "duration_s", (double)p->n_slots * numerology_slot_s(&p->nodes.num),
	                 "state", device_state_name(device_state(d)), "csi_slots", (json_int_t)p->n_csi, "snr_mean_db",
	                 json_real_or_null(10 * log10(p->snr_sum / n)), "cfo_mean_hz",
	                 json_real_or_null(p->cfo_sum / n), "downlink_grants", (json_int_t)s.dl_grants,
	                 "downlink_blocks_good", (json_int_t)s.dl_blocks_ok, "downlink_blocks_bad",
	                 (json_int_t)s.dl_blocks_bad, "downlink_blocks_repeated", (json_int_t)s.dl_blocks_repeated,
	                 "uplink_grants", (json_int_t)s.ul_grants, "uplink_blocks", (json_int_t)s.ul_blocks, "messages",
	                 (json_int_t)s.messages, "messages_bad", (json_int_t)s.messages_bad, "expert_calls",
	                 (json_int_t)w.calls, "expert_rows", (json_int_t)w.rows, "samples_sent",
	                 (json_int_t)r.samples_sent);
}

static int execute(struct replay *p, const char *recording, const char *sent, size_t k, const struct json_out *out)
{
	char err[SIGMF_PATH_MAX + 256] = "out of memory";
	if (nodes_open(&p->nodes, &p->config, err, sizeof err) || open_radio(p, recording, k, err, sizeof err) ||
	    nodes_device(&p->nodes, k, p->radio, &p->node, err, sizeof err) ||
	    (sent && open_sent(p, sent, err, sizeof err)))
		return cli_bad_input("%s", err);
	cli_catch_interrupt();
	play(p);
	int rc = sent ? sigmf_close(record_sent(p->radio, NULL)) : 0;
	if (rc)
		return cli_failed("--sent %s: %s", sent, strerror(-rc));
	print(json_out_text(out), p);
	int status = json_out_write(out, describe(p, k));
	return cli_interrupted() ? CLI_INTERRUPTED : status;
}

int cmd_replay(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL, *config = default_config, *sent = NULL;
	int64_t device = 0;
	const struct cli_option options[] = {
		{ "config", CLI_STRING, &config, "FILE", "the configuration of the run that was recorded" },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "device", CLI_INT, &device, "K", "whose radio it was", .min = 0, .max = CONFIG_DEVICES_MAX - 1 },
		{ "sent", CLI_STRING, &sent, "NAME", "record what the device would have sent" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"RECORDING",
		"Runs a device on a SigMF recording of what its radio received (record.streams), as if it stood there "
		"again: it\n"
		"finds the cell, decodes its blocks and computes its experts. What it sends goes nowhere, or to "
		"--sent.",
		options,
		sizeof options / sizeof *options,
		&files,
		1,
		1,
	};
	int status;
	char err[512];
	struct json_out out;
	if (!cli_parse(&syntax, argc, argv, &status))
		return status;
	struct replay *p = calloc(1, sizeof *p);
	if (!p)
		return cli_failed("out of memory");
	status = json_out_open(&out, json);
	if (status == CLI_DONE && config_load(&p->config, config, sets.items, sets.n, err, sizeof err))
		status = cli_bad_input("%s", err);
	if (status == CLI_DONE && (size_t)device >= p->config.n_devices)
		status = cli_bad_input("--device %lld: the configuration has %zu", (long long)device,
		                       p->config.n_devices);
	if (status == CLI_DONE)
		status = execute(p, files.items[0], sent, (size_t)device, &out);
	nodes_device_close(&p->node);
	radio_destroy(p->radio);
	radio_destroy(p->file);
	nodes_close(&p->nodes);
	free(p->rx);
	free(p);
	return status;
}
