#include "testbed/ether_control.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 32, POINTS_MAX = 100000 };
static const double MOVE_S = 0.01; /* how often a moving device's loss is set anew */

struct point {
	double t_s, loss_db;
};

struct walk {
	struct point *points; /* NULL: stands */
	size_t n, at;
	uint64_t begin, next;
};

struct ether_control {
	struct ether *ether;
	struct ether_config config; /* links as they are now */
	struct walk walk[ETHER_MAX_DEVICES + 1];
};

struct ether_control *ether_control_create(struct ether *ether, const struct ether_config *config)
{
	struct ether_control *c = calloc(1, sizeof *c);
	if (c) {
		c->ether = ether;
		c->config = *config;
	}
	return c;
}

static void stand(struct walk *w)
{
	free(w->points);
	*w = (struct walk){ .points = NULL };
}

void ether_control_destroy(struct ether_control *c)
{
	for (size_t k = 0; c && k <= ETHER_MAX_DEVICES; k++)
		stand(&c->walk[k]);
	free(c);
}

/* ---- the commands: link is a copy, put in place afterwards; rest is what follows the device's number ---- */

struct order {
	struct ether_control *control;
	size_t device; /* of the ether: from 1 */
	const char *rest;
	uint64_t now;
	struct ether_link_config link;
	char model[WORD];
	char *answer;
	size_t len;
};

static int complain(struct order *o, const char *what)
{
	snprintf(o->answer, o->len, "error: %s", what);
	return -EINVAL;
}

static int path_loss(struct order *o)
{
	if (sscanf(o->rest, "%lf", &o->link.path_loss_db) != 1)
		return complain(o, "path-loss K DB");
	stand(&o->control->walk[o->device]);
	return 0;
}

/* Only models of the table: a replay needs files, which the configuration names. */
static int fading(struct order *o)
{
	static const char *const models[] = { "none",  "rayleigh", "rice", "tdl-a", "tdl-b", "tdl-c",
		                              "tdl-d", "tdl-e",    "epa",  "eva",   "etu" };
	double spread_ns = 1e9 * o->link.delay_spread_s;
	if (sscanf(o->rest, "%31s %lf", o->model, &spread_ns) < 1)
		return complain(o, "fading K MODEL [NS]");
	o->link.model = NULL;
	for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
		if (strcmp(models[i], o->model) == 0)
			o->link.model = models[i];
	if (!o->link.model)
		return complain(o, "fading: there is no such model");
	o->link.delay_spread_s = 1e-9 * spread_ns;
	return 0;
}

static int speed(struct order *o)
{
	double kmh;
	if (sscanf(o->rest, "%lf", &kmh) != 1)
		return complain(o, "speed K KMH");
	o->link.speed_m_s = kmh / 3.6;
	return 0;
}

static int outage(struct order *o)
{
	char dirs[WORD];
	double ms, from = (double)o->now;
	if (sscanf(o->rest, "%31s %lf", dirs, &ms) != 2 || !(ms > 0))
		return complain(o, "outage K dl|ul|both MS");
	bool both = strcmp(dirs, "both") == 0, dl = both || strcmp(dirs, "dl") == 0,
	     ul = both || strcmp(dirs, "ul") == 0;
	int rc = dl || ul ? 0 : complain(o, "outage K dl|ul|both MS");
	for (int dir = ETHER_DL; !rc && dir <= ETHER_UL; dir++)
		if (dir == ETHER_DL ? dl : ul)
			rc = ether_blank(o->control->ether, o->device, (enum ether_dir)dir, from,
			                 from + 1e-3 * ms * o->control->config.rate_hz);
	return rc == -ENOSPC ? complain(o, "outage: too many on this link") : rc;
}

static int read_walk(struct walk *w, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[128];
	int rc = f ? 0 : -EINVAL;
	w->points = f ? calloc(POINTS_MAX, sizeof *w->points) : NULL;
	while (!rc && w->points && fgets(line, sizeof line, f)) {
		struct point p;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (w->n == POINTS_MAX || sscanf(line, "%lf,%lf", &p.t_s, &p.loss_db) != 2 ||
		    !(p.t_s >= (w->n ? w->points[w->n - 1].t_s : 0)) || !(p.loss_db >= 0 && p.loss_db <= 300))
			rc = -EINVAL;
		else
			w->points[w->n++] = p;
	}
	if (f)
		fclose(f);
	return rc || !w->n ? -EINVAL : 0;
}

static int mobility(struct order *o)
{
	char path[512];
	struct walk w = { .begin = o->now, .next = o->now };
	if (sscanf(o->rest, "%511[^\n]", path) != 1)
		return complain(o, "mobility K FILE");
	if (read_walk(&w, path)) {
		stand(&w);
		return complain(o, "mobility: the file's lines are seconds,decibels in order of time");
	}
	stand(&o->control->walk[o->device]);
	o->control->walk[o->device] = w;
	return 0;
}

static int show(struct order *o)
{
	const struct ether_link_config *l = &o->link;
	snprintf(o->answer, o->len, "ok: path loss %.2f dB, %s, %.1f ns, %.2f km/h", l->path_loss_db, l->model,
	         1e9 * l->delay_spread_s, 3.6 * l->speed_m_s);
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(struct order *o);
} commands[] = {
	{ "path-loss", path_loss }, { "fading", fading },     { "speed", speed },
	{ "outage", outage },       { "mobility", mobility }, { "show", show },
};

static int set_link(struct order *o)
{
	char why[160];
	int rc = ether_set_link(o->control->ether, o->device, &o->link, why, sizeof why);
	if (rc)
		return complain(o, why);
	o->control->config.link[o->device] = o->link;
	return 0;
}

int ether_control_do(struct ether_control *c, const char *command, uint64_t now, char *answer, size_t len)
{
	char word[WORD];
	unsigned device;
	int at = 0;
	struct order o = { .control = c, .now = now, .answer = answer, .len = len };
	snprintf(answer, len, "ok");
	if (sscanf(command, "%31s %u %n", word, &device, &at) < 2)
		return complain(&o, "a command is a word, a device's number, and what it needs");
	if (device >= c->config.n_devices)
		return complain(&o, "there is no such device");
	o.device = device + 1;
	o.rest = command + at;
	o.link = c->config.link[o.device];
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(commands[i].name, word) == 0) {
			int rc = commands[i].run(&o);
			return rc ? rc : set_link(&o);
		}
	return complain(&o, "there is no such command");
}

/* Where the walk is after t_s. */
static double loss_at(struct walk *w, double t_s)
{
	while (w->at + 1 < w->n && w->points[w->at + 1].t_s <= t_s)
		w->at++;
	const struct point *p = &w->points[w->at];
	if (w->at + 1 == w->n || t_s <= p->t_s)
		return p->loss_db;
	return p->loss_db + (t_s - p->t_s) / (p[1].t_s - p->t_s) * (p[1].loss_db - p->loss_db);
}

void ether_control_move(struct ether_control *c, uint64_t now)
{
	for (size_t k = 1; k <= c->config.n_devices; k++) {
		struct walk *w = &c->walk[k];
		if (!w->points || now < w->next)
			continue;
		double t_s = (double)(now - w->begin) / c->config.rate_hz;
		c->config.link[k].path_loss_db = loss_at(w, t_s);
		ether_set_link(c->ether, k, &c->config.link[k], NULL, 0);
		w->next = now + (uint64_t)(MOVE_S * c->config.rate_hz);
		if (t_s >= w->points[w->n - 1].t_s)
			stand(w);
	}
}
