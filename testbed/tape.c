#include "testbed/tape.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "radio/record.h"
#include "testbed/cli.h"

enum { STREAMS = 2 };

static const char *const names[STREAMS] = { "received", "sent" };
static struct sigmf_writer *(*const switch_to[STREAMS])(struct radio *, struct sigmf_writer *) = { record_received,
	                                                                                           record_sent };

struct tape {
	const struct config_record *config;
	char dir[CONFIG_PATH_MAX];
	bool wanted[STREAMS], running, over;
	size_t n_nodes;
	struct radio **radio; /* NULL: not recorded */
};

struct tape *tape_create(const struct config_record *config, size_t n_nodes)
{
	struct tape *t = calloc(1, sizeof *t);
	if (t)
		t->radio = calloc(n_nodes, sizeof *t->radio);
	if (!t || !t->radio) {
		free(t);
		return NULL;
	}
	t->config = config;
	t->n_nodes = n_nodes;
	for (size_t s = 0; s < STREAMS; s++)
		t->wanted[s] = strcmp(config->streams, names[s]) == 0 || strcmp(config->streams, "both") == 0;
	return t;
}

struct radio *tape_radio(struct tape *t, size_t node, struct radio *inner)
{
	if (!t->wanted[0] && !t->wanted[1])
		return inner;
	t->radio[node] = record_create(inner);
	return t->radio[node];
}

void tape_set_folder(struct tape *t, const char *dir)
{
	snprintf(t->dir, sizeof t->dir, "%s", dir);
}

static int open_one(struct tape *t, size_t node, size_t stream)
{
	char err[SIGMF_PATH_MAX + 128], path[CONFIG_PATH_MAX + 64], recorder[64], node_name[32] = "bs";
	struct radio_info info;
	radio_get_info(t->radio[node], &info);
	if (node)
		snprintf(node_name, sizeof node_name, "device-%zu", node - 1);
	snprintf(path, sizeof path, "%s/%s-%s", t->dir, node_name, names[stream]);
	snprintf(recorder, sizeof recorder, "wdmoe %s", cli_version());
	struct sigmf_what what = { .rate_hz = info.rate_hz,
		                   .carrier_hz = stream ? info.tx_hz : info.rx_hz,
		                   .description = node_name,
		                   .recorder = recorder };
	struct sigmf_writer *w = sigmf_create(path, &what, SPOOL_WAIT, err, sizeof err);
	if (!w)
		return -errno;
	switch_to[stream](t->radio[node], w);
	return 0;
}

static int begin(struct tape *t)
{
	int rc = 0;
	for (size_t node = 0; node < t->n_nodes && !rc; node++)
		for (size_t s = 0; s < STREAMS && !rc; s++)
			if (t->wanted[s] && t->radio[node])
				rc = open_one(t, node, s);
	t->running = true;
	return rc;
}

int tape_end(struct tape *t)
{
	int rc = 0;
	for (size_t node = 0; node < t->n_nodes; node++)
		for (size_t s = 0; s < STREAMS && t->radio[node]; s++) {
			int error = sigmf_close(switch_to[s](t->radio[node], NULL));
			rc = rc ? rc : error;
		}
	t->over = true;
	return rc;
}

int tape_turn(struct tape *t, double now_s)
{
	const struct config_record *c = t->config;
	if (!*t->dir || t->over || now_s < c->from_s || (!t->wanted[0] && !t->wanted[1]))
		return 0;
	if (c->for_s > 0 && now_s >= c->from_s + c->for_s)
		return tape_end(t);
	return t->running ? 0 : begin(t);
}

void tape_destroy(struct tape *t)
{
	if (!t)
		return;
	tape_end(t);
	for (size_t node = 0; node < t->n_nodes; node++)
		radio_destroy(t->radio[node]);
	free(t->radio);
	free(t);
}
