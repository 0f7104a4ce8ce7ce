/* exhaustive: every way to serve or drop each choice, on each holder, one choice a token at least; the yardstick for the others. */
#include "scheduler/select_inner.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define SELECTIONS_MAX 2e6

struct walk {
	struct selection *s;
	double full_s, best_s, best_kept;
	double wanted_s; /* latency of the point looked for; NAN: the curve is being made */
};

static double n_selections(const struct layer *l, const struct layer_choice *choices)
{
	double n = 1;
	for (size_t j = 0; j < l->n_tokens; j++) {
		double of_token = 1;
		for (size_t i = j * l->top_k; i < (j + 1) * l->top_k; i++) {
			double ways = 1;
			for (size_t d = 0; d < l->n_devices; d++)
				ways += layer_served_by(l, choices[i].wanted, d);
			of_token *= ways;
		}
		n *= of_token - 1;
	}
	return n;
}

/* Keeps the curve small: of points with one latency the best. */
static void add_point(struct curve *c, struct select_point p)
{
	if (c->n == c->n_max)
		select_pareto(c);
	if (c->n < c->n_max)
		c->point[c->n++] = p;
}

static void evaluate(struct walk *w, double kept)
{
	struct selection *s = w->s;
	double latency_s = select_split(s);
	if (isnan(w->wanted_s)) {
		if (latency_s < INFINITY)
			add_point(s->curve, (struct select_point){ latency_s, kept });
	} else if (latency_s <= w->wanted_s && kept > w->best_kept) {
		w->best_kept = kept;
		memcpy(s->scratch, s->choices, s->l->n_tokens * s->l->top_k * sizeof *s->scratch);
	}
}

/* Choice i and all after it in every way. served: choices of its token before it. */
static void visit(struct walk *w, size_t i, size_t served, double kept)
{
	struct selection *s = w->s;
	const struct layer *l = s->l;
	if (i == l->n_tokens * l->top_k) {
		evaluate(w, kept);
		return;
	}
	bool last = (i + 1) % l->top_k == 0;
	if (!last || served)
		visit(w, i + 1, last ? 0 : served, kept);
	for (size_t d = 0; d < l->n_devices; d++) {
		if (!layer_served_by(l, s->choices[i].wanted, d))
			continue;
		select_serve(s, i, d);
		visit(w, i + 1, last ? 0 : served + 1, kept + select_loss(s, i));
		select_drop(s, i);
	}
}

int select_exhaustive(struct selection *s)
{
	size_t n = s->l->n_tokens * s->l->top_k;
	struct walk w = { .s = s, .wanted_s = NAN };
	if (n_selections(s->l, s->choices) > SELECTIONS_MAX)
		return -E2BIG;
	if (!n)
		return 0;
	w.full_s = select_split(s);
	for (size_t i = 0; i < n; i++)
		select_drop(s, i);
	double least = select_kept(s);
	visit(&w, 0, 0, least);
	select_pareto(s->curve);
	if (!s->curve->n)
		return 0;
	w.wanted_s = s->curve->point[select_operate(s->p, s->curve, w.full_s)].layer_latency_s;
	w.best_kept = -INFINITY;
	visit(&w, 0, 0, least);
	select_adopt(s, s->scratch);
	return 0;
}
