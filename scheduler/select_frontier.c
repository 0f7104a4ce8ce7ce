/* frontier: how much of the router's weight can be kept for every latency, and which of these trade-offs to take.
 *
 * For a layer that is to last T, the numbers of tokens q that the devices can serve by then are those whose least latency under
 * the split of the band is at most T; the best weight for a q is that of a flow from tokens to devices with these
 * capacities. So the curve is that of (latency(q), weight(q)) over all q.
 *
 * Small layers: all of it, exactly. Token by token, the best weight for every q that its choices can lead to (dynamic
 * programming); then the latency of each q.
 *
 * Larger ones: along the curve from its slow end, where everything is served. A step takes one unit of flow off a device: a choice is
 * dropped, given to another holder, or dropped in favour of one that was dropped before, or several such moves follow each other. Of all
 * these the one that saves most time for the weight it costs, by the multipliers of the split (how much longer the layer lasts for a
 * token more), the first few of that order by their true savings. That is the parametric form of the flow's shortest augmenting path; what
 * it can miss are combinations of several units, a fraction of one token's weight. Where the whole curve is asked for, what lies one or two
 * units beside the way is looked at, too, and what the published policies take.
 */
#include "scheduler/select_inner.h"
#include "scheduler/sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_MAX = 1 << 24, WAYS_MAX = 255, TRIALS = 24, PATH_DEVICES_MAX = 33 };
#define NONE SIZE_MAX /* no choice */

/* ---- exactly ---- */

struct way {         /* to serve a token */
	size_t step; /* in states */
	double kept;
	int16_t device[LAYER_USED_MAX]; /* of each choice */
};

struct pair { /* the cheapest unit that can go from one device, or nobody, to another */
	double cost;
	size_t drop, serve; /* choices */
};

struct trial {
	size_t from, to;
	double score;
};

struct frontier {
	size_t states_max, cells_max;
	double *best, *next; /* [states] */
	double *latency_s;   /* [states] */
	uint8_t *via;        /* [tokens][states] 1 + way */
	struct way *way;     /* of a token */
	struct pair *pair;   /* [devices + 1][devices + 1], the last is nobody */
	double *cost;        /* of the cheapest way, */
	uint16_t *hop;       /* and where it goes first */
	struct trial *trial; /* as many */
	double *loss;        /* [tokens][top_k] what is lost without the choice, of the whole layer's 1 */
	struct bandwidth trial_split;
	struct layer_choice *start, *taken; /* choices: all served, while others have a go; of the best point so far */
};

struct frontier *frontier_create(const struct select_limits *m)
{
	struct frontier *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->states_max = m->exact_states ? m->exact_states : SELECT_EXACT_STATES;
	f->cells_max = f->states_max * m->n_tokens < CELLS_MAX ? f->states_max * m->n_tokens : CELLS_MAX;
	f->best = calloc(f->states_max, sizeof *f->best);
	f->next = calloc(f->states_max, sizeof *f->next);
	f->latency_s = calloc(f->states_max, sizeof *f->latency_s);
	f->via = calloc(f->cells_max + 1, sizeof *f->via);
	f->way = calloc(WAYS_MAX, sizeof *f->way);
	f->pair = calloc((m->n_devices + 1) * (m->n_devices + 1), sizeof *f->pair);
	f->loss = calloc(m->n_tokens * m->top_k + 1, sizeof *f->loss);
	f->cost = calloc((m->n_devices + 1) * (m->n_devices + 1), sizeof *f->cost);
	f->hop = calloc((m->n_devices + 1) * (m->n_devices + 1), sizeof *f->hop);
	f->trial = calloc((m->n_devices + 1) * (m->n_devices + 1), sizeof *f->trial);
	f->start = calloc(m->n_tokens * m->top_k + 1, sizeof *f->start);
	f->taken = calloc(m->n_tokens * m->top_k + 1, sizeof *f->taken);
	if (f->start && f->taken && f->best && f->next && f->latency_s && f->via && f->way && f->pair && f->trial &&
	    f->loss && f->cost && f->hop)
		return f;
	frontier_destroy(f);
	return NULL;
}

void frontier_destroy(struct frontier *f)
{
	if (!f)
		return;
	free(f->taken);
	free(f->start);
	free(f->hop);
	free(f->cost);
	free(f->loss);
	free(f->trial);
	free(f->pair);
	free(f->way);
	free(f->via);
	free(f->latency_s);
	free(f->next);
	free(f->best);
	free(f);
}

/* States are all q with q[d] up to the number of choices that can go to d: stride of each device; returns how many, or 0 when
 * they are too many. */
static size_t count_states(const struct selection *s, size_t *stride)
{
	const struct layer *l = s->l;
	size_t n = 1;
	for (size_t d = 0; d < l->n_devices; d++) {
		size_t most = 1;
		for (size_t i = 0; i < l->n_tokens * l->top_k; i++)
			most += layer_served_by(l, s->choices[i].wanted, d);
		stride[d] = n;
		n *= most;
		if (n > s->frontier->states_max || n * l->n_tokens > s->frontier->cells_max)
			return 0;
	}
	return n;
}

/* All ways to serve one or more of a token's choices; 0 when they are too many. */
static size_t list_ways(const struct selection *s, size_t token, const size_t *stride, struct way *way)
{
	const struct layer *l = s->l;
	size_t n = 1;
	way[0] = (struct way){ .step = 0, .kept = select_worth(s, token) };
	for (size_t i = 0; i < l->top_k; i++) {
		size_t so_far = n, choice = token * l->top_k + i;
		for (size_t w = 0; w < so_far; w++)
			way[w].device[i] = -1;
		for (size_t d = 0; d < l->n_devices; d++) {
			if (!layer_served_by(l, s->choices[choice].wanted, d))
				continue;
			if (n + so_far > WAYS_MAX)
				return 0;
			for (size_t w = 0; w < so_far; w++) {
				way[n] = way[w];
				way[n].device[i] = (int16_t)d;
				way[n].step += stride[d];
				way[n++].kept += s->frontier->loss[choice];
			}
		}
	}
	way[0] = way[--n]; /* serving nothing is none */
	return n;
}

/* best[state]: most weight of all tokens; -1: cannot be. */
static bool fill_states(struct selection *s, size_t n_states, const size_t *stride)
{
	struct frontier *f = s->frontier;
	for (size_t q = 0; q < n_states; q++)
		f->best[q] = -1;
	f->best[0] = 0;
	for (size_t j = 0; j < s->l->n_tokens; j++) {
		uint8_t *via = f->via + j * n_states;
		size_t n_ways = list_ways(s, j, stride, f->way);
		if (!n_ways)
			return false;
		for (size_t q = 0; q < n_states; q++)
			f->next[q] = -1;
		for (size_t q = 0; q < n_states; q++) {
			if (f->best[q] < 0)
				continue;
			for (size_t w = 0; w < n_ways; w++) {
				double kept = f->best[q] + f->way[w].kept;
				size_t to = q + f->way[w].step;
				if (kept > f->next[to]) {
					f->next[to] = kept;
					via[to] = (uint8_t)w;
				}
			}
		}
		double *swap = f->best;
		f->best = f->next;
		f->next = swap;
	}
	return true;
}

static void tokens_of_state(const struct selection *s, size_t state, const size_t *stride)
{
	for (size_t d = s->l->n_devices; d-- > 0;) {
		s->tokens_on[d] = (uint32_t)(state / stride[d]);
		state %= stride[d];
	}
}

static void adopt_state(struct selection *s, size_t n_states, const size_t *stride, size_t state)
{
	const struct layer *l = s->l;
	for (size_t j = l->n_tokens; j-- > 0;) {
		list_ways(s, j, stride, s->frontier->way);
		const struct way *w = &s->frontier->way[s->frontier->via[j * n_states + state]];
		for (size_t i = 0; i < l->top_k; i++)
			s->choices[j * l->top_k + i].device = w->device[i];
		state -= w->step;
	}
	select_adopt(s, s->choices);
}

/* False when the layer is too large for it. */
static bool exactly(struct selection *s, double full_s)
{
	struct frontier *f = s->frontier;
	size_t stride[LAYER_DEVICES_MAX], n_states = count_states(s, stride);
	if (!n_states || !fill_states(s, n_states, stride))
		return false;
	for (size_t q = 0; q < n_states; q++) {
		if (f->best[q] < 0)
			continue;
		tokens_of_state(s, q, stride);
		f->latency_s[q] = select_split(s);
		if (f->latency_s[q] < INFINITY)
			s->curve->point[s->curve->n++] = (struct select_point){ f->latency_s[q], f->best[q] };
	}
	select_pareto(s->curve);
	if (s->curve->n) {
		const struct select_point *at = &s->curve->point[select_operate(s->p, s->curve, full_s)];
		size_t q = 0;
		while (f->best[q] < 0 || f->latency_s[q] != at->layer_latency_s || f->best[q] != at->kept_weight)
			q++;
		adopt_state(s, n_states, stride, q);
	}
	return true;
}

/* ---- along the curve ---- */

static struct pair *pair_of(const struct selection *s, size_t from, size_t to)
{
	return &s->frontier->pair[from * (s->l->n_devices + 1) + to];
}

static void offer(const struct selection *s, size_t from, size_t to, struct pair p)
{
	struct pair *best = pair_of(s, from, to);
	if (p.cost < best->cost)
		*best = p;
}

/* Where a unit can go from choice i's device. */
static void offer_choice(const struct selection *s, size_t i)
{
	const struct layer *l = s->l;
	const double *loss = s->frontier->loss;
	size_t from = (size_t)s->choices[i].device, first = i / l->top_k * l->top_k;
	for (size_t k = first; k < first + l->top_k; k++) {
		if (k != i && s->choices[k].device >= 0)
			continue;
		for (size_t to = 0; to < l->n_devices; to++)
			if ((to != from || k != i) && layer_served_by(l, s->choices[k].wanted, to))
				offer(s, from, to, (struct pair){ loss[i] - loss[k], i, k });
	}
	if (select_n_served(s, i / l->top_k) > 1)
		offer(s, from, l->n_devices, (struct pair){ loss[i], i, NONE });
}

/* All arcs of the flow's residual graph: from each device, and from nobody, to each. */
static void list_pairs(const struct selection *s)
{
	const struct layer *l = s->l;
	size_t n = l->n_devices + 1;
	for (size_t i = 0; i < n * n; i++)
		s->frontier->pair[i].cost = INFINITY;
	for (size_t i = 0; i < l->n_tokens * l->top_k; i++) {
		if (s->choices[i].device >= 0) {
			offer_choice(s, i);
			continue;
		}
		for (size_t to = 0; to < l->n_devices; to++)
			if (layer_served_by(l, s->choices[i].wanted, to))
				offer(s, l->n_devices, to, (struct pair){ -s->frontier->loss[i], NONE, i });
	}
}

/* Cheapest ways over any devices (Floyd and Warshall), where the devices are not too many. */
static void find_paths(const struct selection *s)
{
	struct frontier *f = s->frontier;
	size_t n = s->l->n_devices + 1;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			f->cost[i * n + j] = f->pair[i * n + j].cost;
			f->hop[i * n + j] = (uint16_t)j;
		}
	for (size_t via = 0; via < n && n <= PATH_DEVICES_MAX; via++)
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < n && f->cost[i * n + via] < INFINITY; j++) {
				double cost = f->cost[i * n + via] + f->cost[via * n + j];
				if (i != via && j != via && cost < f->cost[i * n + j] - 1e-12) {
					f->cost[i * n + j] = cost;
					f->hop[i * n + j] = f->hop[i * n + via];
				}
			}
}

static double path_cost(const struct selection *s, const struct trial *t)
{
	return s->frontier->cost[t->from * (s->l->n_devices + 1) + t->to];
}

/* What a step is worth: one that costs nothing comes before all that cost, one that gains before that. */
static double seconds_a_weight(double saved_s, double cost)
{
	return cost > 1e-12 ? saved_s / cost : saved_s * 1e12 + (cost < -1e-12 ? 1e12 : 0);
}

/* Takes no time off a device and gains weight: another choice in the place of a lighter one. */
static bool only_gains(const struct selection *s, const struct trial *t)
{
	return t->from == t->to && path_cost(s, t) < -1e-12;
}

static int by_score(const void *a, const void *b)
{
	const struct trial *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

/* By the multipliers; they do not know yet how much longer a device takes that is idle now. */
static size_t list_trials(const struct selection *s)
{
	size_t n = 0, n_devices = s->l->n_devices;
	for (size_t from = 0; from < n_devices; from++) {
		for (size_t to = 0; to <= n_devices; to++) {
			struct trial t = { from, to, 0 };
			double saved_s = s->b->price_s[from] - (to < n_devices ? s->b->price_s[to] : 0);
			t.score = seconds_a_weight(saved_s, path_cost(s, &t));
			if (path_cost(s, &t) < INFINITY && (saved_s > 0 || only_gains(s, &t)))
				s->frontier->trial[n++] = t;
		}
	}
	sort(s->frontier->trial, n, sizeof *s->frontier->trial, by_score);
	return n < TRIALS ? n : TRIALS;
}

/* How the layer's latency would change, and how many devices are the slowest now and would be then. Where shares are fixed, of several
 * that are the slowest together one after the other must become faster before the layer does. */
struct outcome {
	double saved_s;
	size_t slowest_before, slowest_after;
};

static size_t count_slowest(const struct selection *s, const struct bandwidth *b)
{
	size_t n = 0;
	for (size_t d = 0; d < s->l->n_devices; d++)
		n += b->device_s[d] >= b->latency_s * (1 - 1e-9);
	return n;
}

static struct outcome outcome_of(struct selection *s, const struct trial *t)
{
	struct bandwidth *then = &s->frontier->trial_split;
	bool drops = t->to == s->l->n_devices;
	s->tokens_on[t->from]--;
	if (!drops)
		s->tokens_on[t->to]++;
	s->p->split->allocate(s->l, s->tokens_on, then);
	s->tokens_on[t->from]++;
	if (!drops)
		s->tokens_on[t->to]--;
	return (struct outcome){ s->b->latency_s - then->latency_s, count_slowest(s, s->b), count_slowest(s, then) };
}

/* The way along the curve: what is looked for, and the best of it met so far (its choices are in frontier->taken). */
struct walk {
	struct selection *s;
	double price_s, kept; /* kept: where it is */
	struct select_point best;
};

/* Is this point of the way better than the one remembered? */
static bool better(const struct select_params *p, double price_s, struct select_point here, struct select_point best)
{
	if (!isnan(p->latency_s)) {
		bool in_time = here.layer_latency_s <= p->latency_s * (1 + 1e-12);
		bool best_in_time = best.layer_latency_s <= p->latency_s * (1 + 1e-12);
		if (in_time != best_in_time)
			return in_time;
		return in_time ? here.kept_weight > best.kept_weight : here.layer_latency_s < best.layer_latency_s;
	}
	return here.layer_latency_s - price_s * here.kept_weight < best.layer_latency_s - price_s * best.kept_weight;
}

/* One arc of the residual graph. */
struct arc {
	size_t from, to;
	const struct pair *unit;
};

/* A point of the curve: where the walk is, or some arcs of different tokens from there. */
static void note_point(struct walk *w, struct select_point here, const struct arc *arc, size_t n_arcs)
{
	struct selection *s = w->s;
	if (s->curve->n == s->curve->n_max)
		select_pareto(s->curve);
	if (s->curve->n < s->curve->n_max)
		s->curve->point[s->curve->n++] = here;
	if (!better(s->p, w->price_s, here, w->best))
		return;
	w->best = here;
	memcpy(s->frontier->taken, s->choices, s->l->n_tokens * s->l->top_k * sizeof *s->choices);
	for (size_t i = 0; i < n_arcs; i++) {
		if (arc[i].unit->drop != NONE)
			s->frontier->taken[arc[i].unit->drop].device = -1;
		if (arc[i].unit->serve != NONE)
			s->frontier->taken[arc[i].unit->serve].device = (int16_t)arc[i].to;
	}
}

/* Adds `by` units of each arc. */
static void shift(struct selection *s, const struct arc *arc, size_t n_arcs, int by)
{
	for (size_t i = 0; i < n_arcs; i++) {
		if (arc[i].from < s->l->n_devices)
			s->tokens_on[arc[i].from] -= (uint32_t)by;
		if (arc[i].to < s->l->n_devices)
			s->tokens_on[arc[i].to] += (uint32_t)by;
	}
}

static void note_arcs(struct walk *w, const struct arc *arc, size_t n_arcs)
{
	struct selection *s = w->s;
	struct select_point there = { 0, w->kept };
	shift(s, arc, n_arcs, 1);
	s->p->split->allocate(s->l, s->tokens_on, &s->frontier->trial_split);
	shift(s, arc, n_arcs, -1);
	there.layer_latency_s = s->frontier->trial_split.latency_s;
	for (size_t i = 0; i < n_arcs; i++)
		there.kept_weight -= arc[i].unit->cost;
	note_point(w, there, arc, n_arcs);
}

static size_t token_of(const struct selection *s, const struct arc *a)
{
	return (a->unit->drop != NONE ? a->unit->drop : a->unit->serve) / s->l->top_k;
}

/* For the whole curve: all that lies one arc away, also what makes the layer longer, and each with one more that drops or serves. Steps save
 * time, so between two of them more weight may fit than either has. */
static void note_neighbours(struct walk *w)
{
	size_t n = w->s->l->n_devices, n_arcs = 0, n_halves = 0;
	struct arc arc[PATH_DEVICES_MAX * PATH_DEVICES_MAX];
	for (size_t pass = 0; pass < 2 && n < PATH_DEVICES_MAX; pass++) { /* those to and from nobody first */
		for (size_t from = 0; from <= n; from++)
			for (size_t to = 0; to <= n; to++) {
				const struct pair *unit = pair_of(w->s, from, to);
				bool half = from == n || to == n;
				if (from != to && half == (pass == 0) && unit->cost < INFINITY)
					arc[n_arcs++] = (struct arc){ from, to, unit };
			}
		n_halves = pass ? n_halves : n_arcs;
	}
	for (size_t i = 0; i < n_arcs; i++) {
		note_arcs(w, &arc[i], 1);
		for (size_t k = 0; k < n_halves && k < i; k++)
			if (token_of(w->s, &arc[k]) != token_of(w->s, &arc[i]))
				note_arcs(w, (const struct arc[]){ arc[i], arc[k] }, 2);
	}
}

/* The step that saves most for what it costs; false when none saves anything. */
static bool best_step(struct walk *w, struct trial *best)
{
	struct selection *s = w->s;
	size_t n = list_trials(s), n_nodes = s->l->n_devices + 1;
	best->score = 0;
	for (size_t i = 0; i < n; i++) {
		struct trial *t = &s->frontier->trial[i];
		struct outcome o = outcome_of(s, t);
		double least_s = 1e-12 * s->b->latency_s;
		if (s->frontier->hop[t->from * n_nodes + t->to] == t->to)
			note_point(w, (struct select_point){ s->b->latency_s - o.saved_s, w->kept - path_cost(s, t) },
			           &(struct arc){ t->from, t->to, pair_of(s, t->from, t->to) }, 1);
		bool saves = o.saved_s > least_s || (o.saved_s >= -least_s && o.slowest_after < o.slowest_before);
		if (!saves && !only_gains(s, t))
			continue;
		double score = seconds_a_weight(fmax(o.saved_s, least_s), path_cost(s, t));
		if (score > best->score)
			*best = (struct trial){ t->from, t->to, score };
	}
	return best->score > 0;
}

/* One unit, arc by arc. Each is looked up anew: the one before may have changed what the token can do. False where there is none
 * any more; what was done until then holds. */
static bool take_step(struct selection *s, const struct trial *t)
{
	size_t n = s->l->n_devices + 1, at = t->from;
	for (size_t hops = 0; hops < n; hops++) {
		size_t to = s->frontier->hop[at * n + t->to];
		struct pair p = *pair_of(s, at, to);
		if (!(p.cost < INFINITY))
			return false;
		if (p.drop != NONE)
			select_drop(s, p.drop);
		if (p.serve != NONE)
			select_serve(s, p.serve, to);
		if (to == t->to)
			return true;
		at = to;
		list_pairs(s);
	}
	return false;
}

/* What is looked for lies behind. What a step saves for its weight falls along the way, but not smoothly where tokens are few: hence the
 * quarter of the price. */
static bool arrived(const struct select_params *p, double price_s, const struct select_point *here,
                    const struct trial *step)
{
	if (p->whole_curve)
		return false;
	return isnan(p->latency_s) ? step->score < price_s / 4 : here->layer_latency_s <= p->latency_s;
}

/* What the published policies take lies on or below the whole curve: for one point a search step by step may miss what they hit upon. They
 * decide with equal shares, as their papers do, and with the split of the band. */
static void note_published(struct walk *w)
{
	static int (*const published[])(struct selection *) = { select_wdmoe, select_bottleneck, select_des,
		                                                select_jesa, select_sift };
	enum { N = sizeof published / sizeof *published };
	struct selection *s = w->s;
	const struct select_params *ours = s->p;
	struct select_params equal = *ours;
	struct layer_choice *start = s->frontier->start;
	equal.split = bandwidth_method_find("round-robin");
	memcpy(start, s->choices, s->l->n_tokens * s->l->top_k * sizeof *start);
	for (size_t i = 0; i < 2 * N; i++) {
		s->p = i < N ? &equal : ours;
		select_split(s);
		bool took = published[i % N](s) == 0;
		s->p = ours;
		double latency_s = select_split(s);
		if (took && latency_s < INFINITY)
			note_point(w, (struct select_point){ latency_s, select_kept(s) }, NULL, 0);
		select_adopt(s, start);
	}
	select_split(s);
}

static void along(struct selection *s, double full_s)
{
	size_t n = s->l->n_tokens * s->l->top_k;
	struct walk w = { .s = s, .price_s = select_price_s(s->p, full_s), .best = { INFINITY, 0 } };
	struct trial step;
	if (s->p->whole_curve)
		note_published(&w);
	for (size_t steps = 0; steps < 4 * n + 64; steps++) {
		w.kept = select_kept(s);
		struct select_point here = { select_split(s), w.kept };
		note_point(&w, here, NULL, 0);
		list_pairs(s);
		find_paths(s);
		if (s->p->whole_curve)
			note_neighbours(&w);
		if (!best_step(&w, &step) || arrived(s->p, w.price_s, &here, &step))
			break;
		take_step(s, &step);
	}
	select_pareto(s->curve);
	select_adopt(s, s->frontier->taken);
}

int select_frontier(struct selection *s)
{
	double full_s = select_split(s);
	for (size_t i = 0; i < s->l->n_tokens * s->l->top_k; i++)
		s->frontier->loss[i] = select_loss(s, i);
	if (s->l->n_tokens && !exactly(s, full_s))
		along(s, full_s);
	return 0;
}
