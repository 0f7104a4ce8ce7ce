#include "testbed/node_process.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "radio/wall.h"
#include "testbed/cli.h"
#include "testbed/live_tape.h"
#include "testbed/node_radio.h"
#include "testbed/realtime.h"

enum { TURN_MS = 5, AGAIN_MS = 200 };
static const double TABLE_S = 1, SETTLED_S = 1;

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static long resident_kib(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f)
		return -1;
	if (fscanf(f, "%ld %ld", &pages, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- the console ---- */

struct console {
	bool keys, letters, table, record; /* record: the key was pressed an odd number of times */
	struct termios before;
	struct ledger_counts counts[PACED_STAGES];
	struct paced_counts shown;
	double table_s;
};

static void console_open(struct console *c)
{
	struct termios raw;
	*c = (struct console){ .letters = isatty(STDERR_FILENO) };
	c->keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &c->before);
	if (c->keys) {
		raw = c->before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
}

static void console_close(const struct console *c)
{
	if (c->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &c->before);
}

static void show_letters(struct console *c, const struct paced_counts *now)
{
	static const struct {
		enum radio_event_type type;
		char letter;
	} letters[] = { { RADIO_LATE, 'L' }, { RADIO_UNDERFLOW, 'U' }, { RADIO_OVERFLOW, 'O' } };
	for (size_t i = 0; c->letters && i < sizeof letters / sizeof letters[0]; i++)
		if (now->events[letters[i].type] > c->shown.events[letters[i].type])
			fputc(letters[i].letter, stderr);
	c->shown = *now;
}

static void show_table(struct console *c, struct ledger *ledger, const struct paced_counts *now)
{
	fprintf(stderr, "\nslot %llu, %llu late\n%-12s %8s %9s %9s %9s %9s\n", (unsigned long long)now->slots,
	        (unsigned long long)now->slots_late, "us", "n", "p50", "p99", "p99.9", "worst");
	for (unsigned s = 0; s < PACED_STAGES; s++) {
		struct ledger_line l = ledger_read(ledger, s, &c->counts[s]);
		fprintf(stderr, "%-12s %8llu %9.1f %9.1f %9.1f %9.1f in slot %llu\n", paced_stage_names[s],
		        (unsigned long long)l.n, 1e6 * l.p50_s, 1e6 * l.p99_s, 1e6 * l.p999_s, 1e6 * l.worst_s,
		        (unsigned long long)l.worst_slot);
	}
}

static void console_turn(struct console *c, struct ledger *ledger, const struct paced_counts *now)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;
	while (c->keys && poll(&in, 1, 0) > 0 && read(STDIN_FILENO, &key, 1) == 1) {
		c->table ^= key == 't';
		c->record ^= key == 'r';
	}
	show_letters(c, now);
	if (c->table && wall_s() - c->table_s > TABLE_S) {
		show_table(c, ledger, now);
		c->table_s = wall_s();
	}
}

/* ---- the process ---- */

static void say(void *arg, const char *line)
{
	fprintf(((struct node_process *)arg)->text, "check: %s\n", line);
}

/* Until there is one. NULL: interrupted, or it never can be (one line was said). */
static struct radio *wait_for_radio(struct node_process *p)
{
	char err[512], said[512] = "";
	while (!cli_interrupted()) {
		struct radio *r = node_radio_open(p->config, p->num, p->index, err, sizeof err);
		if (r) {
			p->radios++;
			return r;
		}
		bool comes = errno == ETIMEDOUT || (p->radios && errno == ENODEV);
		if (!comes) {
			cli_failed("%s", err);
			return NULL;
		}
		if (strcmp(err, said) != 0)
			fprintf(p->text, "waiting: %s\n", err);
		fflush(p->text);
		snprintf(said, sizeof said, "%s", err);
		sleep_ms(AGAIN_MS);
	}
	return NULL;
}

static void add(struct paced_counts *sum, const struct paced_counts *c)
{
	sum->slots += c->slots;
	sum->slots_late += c->slots_late;
	for (int i = 0; i < RADIO_EVENT_TYPES; i++)
		sum->events[i] += c->events[i];
}

/* ---- recordings ---- */

/* One radio's: the node in its loop, and what records around it. */
struct life {
	struct node_process *process;
	struct paced_node node;
	struct live_tape *tape; /* NULL: nothing is recorded */
	bool records;
};

static uint64_t life_next(void *arg)
{
	struct life *l = arg;
	return l->node.next(l->node.arg);
}

static void life_slot(void *arg, const float complex *rx, struct paced_tx *tx)
{
	struct life *l = arg;
	l->node.slot(l->node.arg, rx, tx);
}

static void life_sent(void *arg)
{
	struct life *l = arg;
	if (l->node.sent)
		l->node.sent(l->node.arg);
	if (l->tape)
		live_tape_turn(l->tape);
}

/* By the key, and from record.from_s for record.for_s of the loop's time. */
static void switch_recording(struct life *l, const struct console *console, double now_s)
{
	struct node_process *p = l->process;
	const struct config_record *c = &p->config->record;
	bool due = now_s >= c->from_s && (c->for_s <= 0 || now_s < c->from_s + c->for_s),
	     wanted = due ^ console->record;
	if (!l->tape)
		return;
	live_tape_tend(l->tape);
	if (wanted == l->records || p->recording_error)
		return;
	int rc = live_tape_switch(l->tape, wanted);
	if (rc == -EAGAIN)
		return;
	p->recording_error = rc;
	p->recordings += !rc && wanted;
	l->records = wanted;
	fprintf(p->text, rc ? "recording: %s\n" : "recording %s\n", rc ? strerror(-rc) : wanted ? "begins" : "ends");
}

static int open_tape(struct life *l, struct radio *radio)
{
	struct node_process *p = l->process;
	char name[64] = "bs";
	if (!p->dir || !*p->dir || strcmp(p->config->record.streams, "off") == 0)
		return 0;
	if (p->index)
		snprintf(name, sizeof name, "device-%u", p->index - 1);
	if (p->radios > 1) /* one lost before */
		snprintf(name + strlen(name), sizeof name - strlen(name), "-radio-%u", p->radios);
	l->tape = live_tape_create(&p->config->record, p->dir, name, radio);
	return l->tape ? 0 : -errno;
}

/* ---- one radio's life ---- */

/* True: the radio was lost. */
static bool live(struct life *l, struct paced *loop, struct console *console)
{
	struct node_process *p = l->process;
	bool goes_on = true;
	double begin_s = wall_s();
	while (goes_on && !cli_interrupted() && paced_state(loop) == PACED_RUNNING) {
		struct paced_counts now = paced_counts(loop);
		goes_on = p->turn(p->arg);
		console_turn(console, &p->ledger, &now);
		switch_recording(l, console, (double)now.slots * numerology_slot_s(p->num));
		if (!p->memory_begin_kib && wall_s() - begin_s > SETTLED_S)
			p->memory_begin_kib = resident_kib();
		sleep_ms(TURN_MS);
	}
	p->memory_end_kib = resident_kib();
	return goes_on && !cli_interrupted();
}

static int run_on(struct node_process *p, struct radio *radio, struct console *console, bool *lost)
{
	char err[512] = "out of memory", warning[256];
	struct life l = { .process = p };
	struct paced_node outer = { &l, life_next, life_slot, life_sent };
	int rc = open_tape(&l, radio);
	if (rc)
		return cli_failed("recording: %s", strerror(-rc));
	radio = l.tape ? live_tape_radio(l.tape) : radio;
	rc = p->make(p->arg, radio, &l.node, err, sizeof err);
	struct paced *loop =
	        rc ? NULL : paced_start(p->config, p->num, radio, &outer, &p->ledger, warning, sizeof warning);
	if (!loop) {
		if (!rc)
			p->drop(p->arg);
		live_tape_destroy(l.tape);
		return rc == -EINVAL ? cli_bad_input("%s", err) : cli_failed("%s", err);
	}
	if (*warning && p->radios == 1)
		say(p, warning);
	*console = (struct console){ .keys = console->keys, .letters = console->letters, .before = console->before };
	*lost = live(&l, loop, console);
	struct paced_counts counts = paced_counts(loop);
	add(&p->counts, &counts);
	paced_stop(loop);
	p->drop(p->arg);
	rc = live_tape_destroy(l.tape);
	p->recording_error = p->recording_error ? p->recording_error : rc;
	return CLI_DONE;
}

int node_process_run(struct node_process *p)
{
	struct console console;
	bool goes_on = true;
	int status = CLI_DONE;
	p->begin_s = wall_s();
	realtime_check(&p->config->realtime, strcmp(p->config->radio.backend, "uhd") == 0, say, p);
	if (p->config->realtime.lock_memory && realtime_lock_memory())
		say(p, "realtime.lock_memory: not allowed; memlock in /etc/security/limits.d");
	cli_catch_interrupt();
	console_open(&console);
	while (goes_on && status == CLI_DONE && !cli_interrupted()) {
		struct radio *radio = wait_for_radio(p);
		bool lost = false;
		if (!radio) {
			status = cli_interrupted() ? status : CLI_FAILED;
			break;
		}
		if (p->radios == 1)
			p->first_s = wall_s() - p->begin_s;
		status = run_on(p, radio, &console, &lost);
		radio_destroy(radio);
		goes_on = lost && strcmp(p->config->realtime.on_lost, "wait") == 0;
		if (lost)
			fprintf(p->text, "the radio is gone: %s\n",
			        goes_on ? "waiting for it" : "ending, as realtime.on_lost says");
		if (lost && !goes_on)
			status = CLI_FAILED;
		fflush(p->text);
	}
	console_close(&console);
	p->wall_s = wall_s() - p->begin_s;
	if (p->recording_error && status == CLI_DONE)
		status = cli_failed("%s: recording: %s", p->dir, strerror(-p->recording_error));
	return status == CLI_DONE && cli_interrupted() ? CLI_INTERRUPTED : status;
}

json_t *node_process_json(struct node_process *p)
{
	static const char *const events[RADIO_EVENT_TYPES] = { "overflow", "underflow", "late", "past",
		                                               "refused",  "unlocked",  "lost" };
	json_t *stages = json_array(), *counts = json_object();
	for (unsigned s = 0; s < PACED_STAGES; s++) {
		struct ledger_line l = ledger_read(&p->ledger, s, NULL);
		json_array_append_new(
		        stages, json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:I}", "stage", paced_stage_names[s], "n",
		                          (json_int_t)l.n, "p50_us", json_real_or_null(1e6 * l.p50_s), "p99_us",
		                          json_real_or_null(1e6 * l.p99_s), "p999_us",
		                          json_real_or_null(1e6 * l.p999_s), "worst_us",
		                          json_real_or_null(1e6 * l.worst_s), "worst_slot", (json_int_t)l.worst_slot));
	}
	for (int i = 0; i < RADIO_EVENT_TYPES; i++)
		json_object_set_new(counts, events[i], json_integer((json_int_t)p->counts.events[i]));
	return json_pack("{s:f, s:I, s:I, s:f, s:I, s:I, s:f, s:I, s:I, s:o, s:o}", "slot_s", numerology_slot_s(p->num),
	                 "slots", (json_int_t)p->counts.slots, "slots_late", (json_int_t)p->counts.slots_late,
	                 "slots_late_share",
	                 (double)p->counts.slots_late / (double)(p->counts.slots ? p->counts.slots : 1), "radios",
	                 (json_int_t)p->radios, "recordings", (json_int_t)p->recordings, "wall_s", p->wall_s,
	                 "memory_begin_kib", (json_int_t)p->memory_begin_kib, "memory_end_kib",
	                 (json_int_t)p->memory_end_kib, "radio_events", counts, "stages", stages);
}
