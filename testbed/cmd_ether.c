/* wdmoe ether: the medium in a process of its own, and what it is told while it runs. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "radio/ether_server.h"
#include "radio/wall.h"
#include "testbed/cli.h"
#include "testbed/ether_control.h"
#include "testbed/ledger.h"
#include "testbed/medium.h"
#include "testbed/realtime.h"

static const char default_config[] = "testbed/scenarios/default.yaml";
static const double STATUS_S = 1;
static const double GIVE_UP_S = 0.1; /* this far behind, time is stretched; */
static const double CATCH_UP =
        0.5; /* until then ticks follow each other this much faster: radios have to keep up, too */
enum { LISTEN_MS = 20, TELL_TIMEOUT_MS = 2000, COMMAND_MAX = 1024 };

struct ether_process {
	struct config config;
	struct numerology num;
	struct medium medium;
	struct ether *ether;
	struct ether_server *server;
	struct ether_control *control;
	void *context, *orders; /* ZeroMQ */
	size_t tick;
	double for_s;
	bool status_line;
	FILE *text;
	struct ledger ledger; /* stage 0: a tick */
	uint64_t ticks_behind;
	double stretched_s, wall_s;
};

/* ---- what it says ---- */

static void on_event(void *arg, enum ether_server_event event, unsigned node, const char *why)
{
	static const char *const what[] = { "has joined", "has taken its own place anew", "has left", "is silent: gone",
		                            "refused" };
	struct ether_process *p = arg;
	char name[32] = "base station";
	if (node)
		snprintf(name, sizeof name, "device %u", node - 1);
	if (p->status_line)
		fprintf(stderr, "\r\033[K");
	fprintf(p->text, "%.3f s: %s %s%s%s\n",
	        (double)(p->server ? ether_server_now(p->server) : 0) / p->config.radio.rate_hz, name, what[event],
	        *why ? ": " : "", why);
	fflush(p->text);
}

static void show_status(struct ether_process *p)
{
	unsigned joined = 0;
	uint64_t late = 0;
	for (size_t k = 0; k <= p->config.n_devices; k++) {
		struct ether_server_node_stats s = ether_server_node_stats(p->server, k);
		joined += s.joined;
		late += s.blocks_late;
	}
	fprintf(stderr, "\r\033[K[%.1f s  %u radios  %llu late]",
	        (double)ether_server_now(p->server) / p->config.radio.rate_hz, joined, (unsigned long long)late);
}

static json_t *node_json(const struct ether_process *p, size_t k)
{
	struct ether_server_node_stats s = ether_server_node_stats(p->server, k);
	return json_pack("{s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "device",
	                 k ? json_integer((json_int_t)k - 1) : json_null(), "joined", s.joined, "joins",
	                 (json_int_t)s.joins, "blocks", (json_int_t)s.blocks, "blocks_late", (json_int_t)s.blocks_late,
	                 "samples_late", (json_int_t)s.samples_late, "ticks", (json_int_t)s.ticks, "ticks_dropped",
	                 (json_int_t)s.ticks_dropped);
}

static json_t *describe(struct ether_process *p)
{
	json_t *nodes = json_array();
	struct ledger_line tick = ledger_read(&p->ledger, 0, NULL);
	for (size_t k = 0; k <= p->config.n_devices; k++)
		json_array_append_new(nodes, node_json(p, k));
	return json_pack("{s:i, s:s, s:s, s:I, s:b, s:I, s:f, s:I, s:f, s:f, s:{s:I, s:o, s:o, s:o, s:o, s:I}, s:o}",
	                 "schema", 1, "command", "ether", "version", cli_version(), "seed", (json_int_t)p->config.seed,
	                 "paced", p->config.ether.paced, "tick_samples", (json_int_t)p->tick, "duration_s",
	                 (double)ether_server_now(p->server) / p->config.radio.rate_hz, "ticks_behind",
	                 (json_int_t)p->ticks_behind, "stretched_s", p->stretched_s, "wall_s", p->wall_s, "tick", "n",
	                 (json_int_t)tick.n, "p50_us", json_real_or_null(1e6 * tick.p50_s), "p99_us",
	                 json_real_or_null(1e6 * tick.p99_s), "p999_us", json_real_or_null(1e6 * tick.p999_s),
	                 "worst_us", json_real_or_null(1e6 * tick.worst_s), "worst_tick", (json_int_t)tick.worst_slot,
	                 "nodes", nodes);
}

/* ---- commands ---- */

static void obey(struct ether_process *p)
{
	char command[COMMAND_MAX], answer[COMMAND_MAX];
	int n = p->orders ? zmq_recv(p->orders, command, sizeof command - 1, ZMQ_DONTWAIT) : -1;
	if (n < 0)
		return;
	command[n < COMMAND_MAX ? n : COMMAND_MAX - 1] = 0;
	ether_control_do(p->control, command, ether_server_now(p->server), answer, sizeof answer);
	zmq_send(p->orders, answer, strlen(answer), ZMQ_DONTWAIT);
	fprintf(p->text, "told: %s: %s\n", command, answer);
}

static int open_orders(struct ether_process *p, char *err, size_t err_len)
{
	if (!*p->config.ether.control)
		return 0;
	p->context = zmq_ctx_new();
	p->orders = p->context ? zmq_socket(p->context, ZMQ_REP) : NULL;
	if (!p->orders || zmq_bind(p->orders, p->config.ether.control)) {
		snprintf(err, err_len, "ether.control: %.500s: %.200s", p->config.ether.control, zmq_strerror(errno));
		return -EINVAL;
	}
	return 0;
}

static int tell(const struct config *c, const char *command, const struct json_out *out)
{
	char answer[COMMAND_MAX];
	int timeout_ms = TELL_TIMEOUT_MS, linger_ms = 0, n = -1;
	void *context = zmq_ctx_new(), *socket = context ? zmq_socket(context, ZMQ_REQ) : NULL;
	if (socket) {
		zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
		zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
		if (!zmq_connect(socket, c->ether.control) && zmq_send(socket, command, strlen(command), 0) >= 0)
			n = zmq_recv(socket, answer, sizeof answer - 1, 0);
		zmq_close(socket);
	}
	if (context)
		zmq_ctx_term(context);
	if (n < 0)
		return cli_failed("%s: no ether answers", c->ether.control);
	answer[n < COMMAND_MAX ? n : COMMAND_MAX - 1] = 0;
	if (strncmp(answer, "ok", 2) != 0)
		return cli_bad_input("--tell: %s", answer);
	fprintf(json_out_text(out), "%s\n", answer);
	return json_out_write(out, json_pack("{s:i, s:s, s:s, s:s, s:s}", "schema", 1, "command", "ether", "version",
	                                     cli_version(), "told", command, "answer", answer));
}

/* ---- time ---- */

static void one_tick(struct ether_process *p, uint64_t n)
{
	double begin_s = wall_s();
	ether_control_move(p->control, ether_server_now(p->server));
	ether_server_tick(p->server);
	ledger_note(&p->ledger, 0, wall_s() - begin_s, n);
}

/* Until the tick is due: what comes is taken in; the last bit is slept, as ZeroMQ waits in whole milliseconds. */
static void wait_until(struct ether_process *p, double due_s)
{
	double left_s;
	while ((left_s = due_s - wall_s()) > 0 && !cli_interrupted()) {
		obey(p);
		if (left_s > 2e-3)
			ether_server_listen(p->server, 1);
		else
			nanosleep(&(struct timespec){ .tv_nsec = (long)(1e9 * left_s) }, NULL);
	}
	ether_server_listen(p->server, 0);
}

static void run(struct ether_process *p)
{
	double tick_s = (double)p->tick / p->config.radio.rate_hz, begin_s = wall_s(), due_s = begin_s,
	       status_s = begin_s, last_s = begin_s;
	for (uint64_t n = 0; !cli_interrupted() && (p->for_s <= 0 || (double)n * tick_s < p->for_s);) {
		if (p->config.ether.paced) {
			due_s += tick_s;
			wait_until(p, fmax(due_s, last_s + CATCH_UP * tick_s));
			last_s = wall_s();
		} else if (!ether_server_may_tick(p->server)) {
			obey(p);
			ether_server_listen(p->server, LISTEN_MS);
		} else {
			ether_server_listen(p->server, 0);
		}
		if (cli_interrupted() || !ether_server_may_tick(p->server))
			continue;
		double behind_s = p->config.ether.paced ? wall_s() - due_s : 0;
		p->ticks_behind += behind_s > tick_s;
		if (behind_s > GIVE_UP_S) {
			p->stretched_s += behind_s;
			due_s += behind_s;
		}
		one_tick(p, n++);
		if (p->status_line && wall_s() - status_s > STATUS_S) {
			show_status(p);
			status_s = wall_s();
		}
	}
	p->wall_s = wall_s() - begin_s;
}

static void say_check(void *arg, const char *line)
{
	fprintf(((struct ether_process *)arg)->text, "check: %s\n", line);
}

static int open_all(struct ether_process *p, char *err, size_t err_len)
{
	const struct config *c = &p->config;
	int rc = config_numerology(&c->radio, &p->num, err, err_len);
	rc = rc ? rc : medium_open(&p->medium, c, &p->num, err, err_len);
	if (rc)
		return rc;
	p->tick = c->ether.tick_samples ? (size_t)c->ether.tick_samples : p->num.slot_len;
	p->ether = ether_create(&p->medium.ether, err, err_len);
	p->control = p->ether ? ether_control_create(p->ether, &p->medium.ether) : NULL;
	if (!p->control)
		return -errno;
	p->server = ether_server_create(
	        p->ether,
	        &(struct ether_server_config){ .address = c->ether.address,
	                                       .rate_hz = c->radio.rate_hz,
	                                       .n_devices = c->n_devices,
	                                       .tick_samples = p->tick,
	                                       .paced = c->ether.paced,
	                                       .wait_for = c->ether.paced ? 0 : (unsigned)c->n_devices + 1,
	                                       .timeout_s = c->ether.paced ? 1e-3 * c->ether.timeout_ms : 0,
	                                       .priority = (int)c->realtime.priority,
	                                       .on_event = on_event,
	                                       .arg = p },
	        err, err_len);
	return p->server ? open_orders(p, err, err_len) : -errno;
}

static int execute(struct ether_process *p, const struct json_out *out)
{
	char err[2 * CONFIG_PATH_MAX] = "out of memory";
	if (open_all(p, err, sizeof err))
		return cli_bad_input("%s", err);
	cli_catch_interrupt();
	realtime_check(&p->config.realtime, false, say_check, p);
	if (p->config.ether.paced && realtime_thread(&p->config.realtime))
		fprintf(p->text, "check: realtime.priority, realtime.cpu: not allowed; it runs as any process\n");
	fprintf(p->text, "ether at %s: %zu devices, %.4g MS/s, ticks of %.3g ms, %s\n", p->config.ether.address,
	        p->config.n_devices, 1e-6 * p->config.radio.rate_hz, 1e3 * (double)p->tick / p->config.radio.rate_hz,
	        p->config.ether.paced ? "by wall clock" : "as its radios go");
	fflush(p->text);
	run(p);
	if (p->status_line)
		fprintf(stderr, "\r\033[K");
	return json_out_write(out, describe(p));
}

int cmd_ether(int argc, char **argv)
{
	struct cli_list files = { .n = 0 }, sets = { .n = 0 };
	const char *json = NULL, *command = NULL;
	double for_s = 0;
	const struct cli_option options[] = {
		{ "set", CLI_REPEATED, &sets, "KEY=VALUE", "override a key of the configuration" },
		{ "for", CLI_DOUBLE, &for_s, "S", "end after so many seconds of its time; 0: when interrupted",
		  .min = 0, .max = 1e9 },
		{ "tell", CLI_STRING, &command, "COMMAND",
		  "tell an ether that runs (ether.control), print its answer" },
		{ "json", CLI_STRING, &json, "FILE", CLI_HELP_JSON },
	};
	const struct cli_syntax syntax = {
		"[CONFIG]",
		"The medium between base station and devices as a process: `wdmoe bs` and `wdmoe device` connect to "
		"it\n"
		"(ether.address), on this host or others. Channels, losses and clocks are those of CONFIG (default\n"
		"testbed/scenarios/default.yaml). Paced, it goes by wall clock and waits for nobody; with "
		"ether.paced=false\n"
		"it goes as fast as all its radios, and one seed gives one run. While it runs, --tell "
		"takes:\n" ETHER_CONTROL_HELP,
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
	struct ether_process *p = calloc(1, sizeof *p);
	if (!p)
		return cli_failed("out of memory");
	status = json_out_open(&out, json);
	p->text = json_out_text(&out);
	p->for_s = for_s;
	p->status_line = isatty(STDERR_FILENO);
	if (status == CLI_DONE &&
	    config_load(&p->config, files.n ? files.items[0] : default_config, sets.items, sets.n, err, sizeof err))
		status = cli_bad_input("%s", err);
	if (status == CLI_DONE)
		status = command ? tell(&p->config, command, &out) : execute(p, &out);
	ether_server_destroy(p->server);
	ether_control_destroy(p->control);
	if (p->orders)
		zmq_close(p->orders);
	if (p->context)
		zmq_ctx_term(p->context);
	ether_destroy(p->ether);
	medium_close(&p->medium);
	free(p);
	return status == CLI_DONE && cli_interrupted() ? CLI_INTERRUPTED : status;
}
