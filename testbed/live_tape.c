#include "testbed/live_tape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "radio/record.h"
#include "testbed/cli.h"
#include "testbed/mailbox.h"

enum { STREAMS = 2, PAIRS = 8 };
static const char *const names[STREAMS] = { "received", "sent" };

/* NULL where a stream is not recorded. */
struct pair {
	struct sigmf_writer *writer[STREAMS];
};

struct live_tape {
	struct radio *radio; /* that records */
	struct radio_info info;
	char dir[CONFIG_PATH_MAX], name[64];
	bool wanted[STREAMS];
	unsigned n_recordings;
	int error;
	struct mailbox *to_loop, *from_loop; /* of pairs */
	struct pair in_use;                  /* the loop's */
};

struct live_tape *live_tape_create(const struct config_record *config, const char *dir, const char *name,
                                   struct radio *radio)
{
	struct live_tape *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	for (size_t s = 0; s < STREAMS; s++)
		t->wanted[s] = strcmp(config->streams, names[s]) == 0 || strcmp(config->streams, "both") == 0;
	snprintf(t->dir, sizeof t->dir, "%s", dir);
	snprintf(t->name, sizeof t->name, "%s", name);
	radio_get_info(radio, &t->info);
	t->radio = record_create(radio);
	t->to_loop = mailbox_create(sizeof(struct pair), PAIRS);
	t->from_loop = mailbox_create(sizeof(struct pair), PAIRS + 1);
	if (!t->radio || !t->to_loop || !t->from_loop) {
		live_tape_destroy(t);
		errno = ENOMEM;
		return NULL;
	}
	return t;
}

struct radio *live_tape_radio(struct live_tape *t)
{
	return t->radio;
}

static void close_pair(struct live_tape *t, const struct pair *p)
{
	for (size_t s = 0; s < STREAMS; s++) {
		int rc = sigmf_close(p->writer[s]);
		t->error = t->error ? t->error : rc;
	}
}

/* What is still on its way to the loop was never used. */
int live_tape_destroy(struct live_tape *t)
{
	struct pair p;
	if (!t)
		return 0;
	while (t->to_loop && mailbox_take(t->to_loop, &p))
		close_pair(t, &p);
	close_pair(t, &t->in_use);
	if (t->from_loop)
		live_tape_tend(t);
	int rc = t->error;
	if (t->radio)
		radio_destroy(t->radio);
	mailbox_destroy(t->to_loop);
	mailbox_destroy(t->from_loop);
	free(t);
	return rc;
}

void live_tape_turn(struct live_tape *t)
{
	struct pair next;
	while (mailbox_take(t->to_loop, &next)) {
		struct pair before = { { record_received(t->radio, next.writer[0]),
			                 record_sent(t->radio, next.writer[1]) } };
		mailbox_put(t->from_loop, &before); /* has room: no more pairs than that are about */
		t->in_use = next;
	}
}

static struct sigmf_writer *open_one(struct live_tape *t, size_t stream)
{
	char err[SIGMF_PATH_MAX + 128], path[CONFIG_PATH_MAX + 128], recorder[64];
	snprintf(path, sizeof path, "%s/%s-%s-%u", t->dir, t->name, names[stream], t->n_recordings);
	snprintf(recorder, sizeof recorder, "wdmoe %s", cli_version());
	struct sigmf_what what = { .rate_hz = t->info.rate_hz,
		                   .carrier_hz = stream ? t->info.tx_hz : t->info.rx_hz,
		                   .description = t->name,
		                   .recorder = recorder };
	return sigmf_create(path, &what, SPOOL_DROP, err, sizeof err);
}

int live_tape_switch(struct live_tape *t, bool on)
{
	struct pair p = { { NULL } };
	int rc = 0;
	for (size_t s = 0; s < STREAMS && on && !rc; s++)
		if (t->wanted[s]) {
			p.writer[s] = open_one(t, s);
			rc = p.writer[s] ? 0 : -errno;
		}
	if (!rc)
		rc = mailbox_put(t->to_loop, &p) ? -EAGAIN : 0;
	if (rc)
		close_pair(t, &p);
	else
		t->n_recordings += on;
	return rc;
}

void live_tape_tend(struct live_tape *t)
{
	struct pair p;
	while (mailbox_take(t->from_loop, &p))
		close_pair(t, &p);
}
