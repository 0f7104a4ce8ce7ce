/* wdmoe bench nodes: how much of a slot base station and devices take on one core. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/cli.h"
#include "testbed/node_bench.h"

static const char default_config[] = "testbed/scenarios/default.yaml";
static const char *const rates[] = { "1.92M-15k", "3.84M-30k", "7.68M-30k", "15.36M-30k", "20M-512", NULL };
static const size_t crowds[] = { 1, 4, 8, 0 };
enum { LINES_MAX = 32 };

struct line {
	const char *profile;
	double rate_hz;
	size_t n_devices;
	struct node_bench_result r;
};

static json_t *part_json(const struct ledger_line *l, double mean_s, double slot_s)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "n", (json_int_t)l->n, "mean_us",
	                 json_real_or_null(1e6 * mean_s), "p50_us", json_real_or_null(1e6 * l->p50_s), "p99_us",
	                 json_real_or_null(1e6 * l->p99_s), "p999_us", json_real_or_null(1e6 * l->p999_s), "worst_us",
	                 json_real_or_null(1e6 * l->worst_s), "load", json_real_or_null(mean_s / slot_s), "keeps_up",
	                 l->p99_s <= slot_s);
}

static json_t *line_json(const struct line *l)
{
	return json_pack("{s:s, s:f, s:I, s:f, s:I, s:I, s:o, s:o}", "profile", l->profile, "rate_hz", l->rate_hz,
	                 "devices", (json_int_t)l->n_devices, "slot_us", 1e6 * l->r.slot_s, "answers",
	                 (json_int_t)l->r.n_answers, "expert_calls", (json_int_t)l->r.n_calls, "bs",
	                 part_json(&l->r.bs, l->r.bs_mean_s, l->r.slot_s), "device",
	                 part_json(&l->r.device, l->r.device_mean_s, l->r.slot_s));
}

static void print_line(FILE *f, const struct line *l)
{
	fprintf(f, "%-11s %7zu %8.0f %9.1f %9.1f %9.1f %5.0f %% %9.1f %9.1f %9.1f %5.0f %%\n", l->profile, l->n_devices,
	        1e6 * l->r.slot_s, 1e6 * l->r.bs_mean_s, 1e6 * l->r.bs.p99_s, 1e6 * l->r.bs.p999_s,
	        100 * l->r.bs_mean_s / l->r.slot_s, 1e6 * l->r.device_mean_s, 1e6 * l->r.device.p99_s,
	        1e6 * l->r.device.p999_s, 100 * l->r.device_mean_s / l->r.slot_s);
}

static int measure(struct config *c, struct line *l, const char *config, const struct cli_list *sets, size_t n_slots)
{
	char err[512];
	if (config_load(c, config, sets->items, sets->n, err, sizeof err) ||
	    config_put(c, "radio.profile", l->profile, err, sizeof err))
		return cli_bad_input("%s", err);
	c->n_devices = l->n_devices < c->n_devices ? l->n_devices : c->n_devices;
	for (size_t k = 0; k < c->n_devices; k++)
		c->devices[k].snr_db = 20; /* all attached, all busy */
	if (config_check(c, err, sizeof err))
		return cli_bad_input("%s", err);
	l->rate_hz = c->radio.rate_hz;
	int rc = node_bench_run(c, n_slots, &l->r, err, sizeof err);
	return rc == -EINTR ? CLI_INTERRUPTED
	       : rc         ? cli_failed("%s, %zu devices: %s", l->profile, l->n_devices, err)
	                    : CLI_DONE;
}

int cmd_bench_nodes(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL, *profile = NULL;
	int64_t n_slots = 2000, n_devices = 0;
	const struct cli_option options[] = {
		{ "profile", CLI_STRING, &profile, "NAME", "one numerology (wdmoe phy profiles) instead of five" },
		{ "devices", CLI_INT, &n_devices, "K", "one number of devices instead of 1, 4 and 8", .min = 0,
		  .max = CONFIG_DEVICES_MAX },
		{ "slots", CLI_INT, &n_slots, "N", "slots of each line", .min = 10, .max = 1e9 },
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"[CONFIG]",
		"Processor time of a slot, from its samples to the samples to send, of base station and devices kept "
		"busy by\n"
		"prompts. The medium is not counted, the model's arithmetic has threads of its own. A node keeps up "
		"with a rate on one core\n"
		"where its 99th percentile is below the slot.",
		options,
		sizeof options / sizeof *options,
		&files,
		0,
		1,
	};
	int status;
	struct json_out out;
	static struct config c;
	struct line *lines = calloc(LINES_MAX, sizeof *lines);
	size_t n = 0;
	if (!lines)
		return cli_failed("out of memory");
	if (!cli_parse(&syntax, argc, argv, &status) || (status = json_out_open(&out, json)) != CLI_DONE) {
		free(lines);
		return status;
	}
	for (size_t i = 0; profile ? i == 0 : rates[i] != NULL; i++)
		for (size_t k = 0; n_devices ? k == 0 : crowds[k] != 0; k++)
			lines[n++] = (struct line){ .profile = profile ? profile : rates[i],
				                    .n_devices = n_devices ? (size_t)n_devices : crowds[k] };
	cli_catch_interrupt();
	FILE *f = json_out_text(&out);
	fprintf(f, "us          devices     slot   BS mean       p99     p99.9    load  dev mean       p99     p99.9   "
	           " load\n");
	json_t *list = json_array();
	for (size_t i = 0; i < n && status == CLI_DONE; i++) {
		status = measure(&c, &lines[i], files.n ? files.items[0] : default_config, &sets, (size_t)n_slots);
		if (status == CLI_DONE) {
			print_line(f, &lines[i]);
			json_array_append_new(list, line_json(&lines[i]));
		}
		fflush(f);
	}
	json_t *root = json_pack("{s:i, s:s, s:s, s:I, s:s, s:o}", "schema", 1, "command", "bench nodes", "version",
	                         cli_version(), "slots", (json_int_t)n_slots, "allocator",
	                         c.scheduler.allocator ? c.scheduler.allocator : "", "lines", list);
	free(lines);
	if (status != CLI_DONE) {
		json_decref(root);
		return status;
	}
	return json_out_write(&out, root);
}
