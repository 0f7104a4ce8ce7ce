/* des and jesa (arXiv 2503.13421, after its summary): every token for itself takes the experts that are cheapest together among
 * those sets which have enough of the router's weight.
 *
 *     min sum of cost[e]  over sets E of at most top_k experts with  sum of weight[e] >= gamma * (weight of the router's choices)
 *
 * where cost is what one token takes on the expert's fastest holder. Solved by branch and bound, experts in order of weight a second; a branch is
 * left when the best fraction of experts that could still fill it up (the linear relaxation without the limit on their
 * number) costs more than the best set known.
 */
#include "scheduler/select_inner.h"
#include "scheduler/sort.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { NODES_MAX = 20000, TURNS_MAX = 8 };

struct item {
	uint16_t expert, device;
	double cost_s, weight;
};

struct des {
	size_t n, top_k;
	struct item item[LAYER_EXPERTS_MAX];
	bool in[LAYER_EXPERTS_MAX], best_in[LAYER_EXPERTS_MAX];
	double best_s;
	long nodes;
};

static int by_weight_a_second(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	double left = x->weight * y->cost_s, right = y->weight * x->cost_s;
	if (left != right)
		return left > right ? -1 : 1;
	return (int)x->expert - (int)y->expert;
}

/* Least cost of `needed` more weight from items i .. n, the last one by a fraction. */
static double relaxed_s(const struct des *d, size_t i, double needed)
{
	double cost_s = 0;
	for (; i < d->n && needed > 0; i++) {
		const struct item *it = &d->item[i];
		if (it->weight >= needed)
			return cost_s + it->cost_s * needed / it->weight;
		cost_s += it->cost_s;
		needed -= it->weight;
	}
	return needed > 0 ? INFINITY : cost_s;
}

static void branch(struct des *d, size_t i, size_t n_in, double cost_s, double needed)
{
	if (needed <= 0) {
		if (n_in && cost_s < d->best_s) {
			d->best_s = cost_s;
			memcpy(d->best_in, d->in, sizeof d->best_in);
		}
		return;
	}
	if (i == d->n || n_in == d->top_k || ++d->nodes > NODES_MAX || !(cost_s + relaxed_s(d, i, needed) < d->best_s))
		return;
	d->in[i] = true;
	branch(d, i + 1, n_in + 1, cost_s + d->item[i].cost_s, needed - d->item[i].weight);
	d->in[i] = false;
	branch(d, i + 1, n_in, cost_s, needed);
}

/* All experts that someone in reach holds, each on the holder fastest for one token. */
static void list_items(const struct selection *s, size_t token, struct des *d)
{
	const struct layer *l = s->l;
	d->n = 0;
	d->top_k = l->top_k;
	for (size_t e = 0; e < l->n_experts; e++) {
		struct item it = { .expert = (uint16_t)e,
			           .cost_s = INFINITY,
			           .weight = l->weights[token * l->n_experts + e] };
		for (size_t dev = 0; dev < l->n_devices; dev++) {
			double t = layer_served_by(l, e, dev) ? select_device_s(s, dev, 1) : INFINITY;
			if (t < it.cost_s) {
				it.cost_s = t;
				it.device = (uint16_t)dev;
			}
		}
		if (it.cost_s < INFINITY && it.weight > 0)
			d->item[d->n++] = it;
	}
	sort(d->item, d->n, sizeof d->item[0], by_weight_a_second);
}

/* The set found takes the token's places: experts of the router's own stay where they are, others fill the places left. */
static void take_set(struct selection *s, size_t token, const struct des *d)
{
	struct layer_choice *c = s->choices + token * s->l->top_k;
	bool placed[LAYER_EXPERTS_MAX] = { false };
	for (size_t i = 0; i < s->l->top_k; i++) {
		select_drop(s, token * s->l->top_k + i);
		for (size_t k = 0; k < d->n; k++)
			if (d->best_in[k] && d->item[k].expert == c[i].wanted) {
				select_serve(s, token * s->l->top_k + i, d->item[k].device);
				placed[k] = true;
			}
	}
	size_t i = 0;
	for (size_t k = 0; k < d->n; k++) {
		if (!d->best_in[k] || placed[k])
			continue;
		while (c[i].device >= 0)
			i++;
		c[i].expert = d->item[k].expert;
		c[i].given_weight = d->item[k].weight;
		select_serve(s, token * s->l->top_k + i, d->item[k].device);
	}
}

/* Too few of the router's experts are in reach for gamma: those that are. */
static void take_own(struct selection *s, size_t token)
{
	for (size_t i = token * s->l->top_k; i < (token + 1) * s->l->top_k; i++) {
		select_drop(s, i);
		size_t d = select_holder(s, s->choices[i].wanted);
		if (d < s->l->n_devices && s->choices[i].weight > 0)
			select_serve(s, i, d);
	}
}

/* Latencies are those of the split made last. */
static void choose_all(struct selection *s)
{
	for (size_t j = 0; j < s->l->n_tokens; j++) {
		struct des d = { .best_s = INFINITY };
		double wanted = 0;
		for (size_t i = j * s->l->top_k; i < (j + 1) * s->l->top_k; i++)
			wanted += s->choices[i].weight;
		list_items(s, j, &d);
		branch(&d, 0, 0, 0, s->p->gamma * wanted);
		if (d.best_s < INFINITY)
			take_set(s, j, &d);
		else
			take_own(s, j);
	}
}

static bool gamma_in_range(const struct selection *s)
{
	return s->p->gamma > 0 && s->p->gamma <= 1;
}

int select_des(struct selection *s)
{
	if (!gamma_in_range(s))
		return -EINVAL;
	choose_all(s);
	return 0;
}

/* A device without load gets no blocks: its latency stays that of the split. */
static void deal_blocks(struct selection *s, struct bandwidth *dealt)
{
	bandwidth_method_find("minmax-rb")->allocate(s->l, s->tokens_on, dealt);
	select_split(s);
	for (int dir = 0; dir < 2; dir++)
		for (size_t d = 0; d < s->l->n_devices; d++)
			if (dealt->rate_bps[dir][d] > 0)
				s->b->rate_bps[dir][d] = dealt->rate_bps[dir][d];
}

int select_jesa(struct selection *s)
{
	size_t n = s->l->n_tokens * s->l->top_k;
	struct bandwidth dealt;
	double best_s = INFINITY;
	if (!gamma_in_range(s))
		return -EINVAL;
	for (int turn = 0; turn < TURNS_MAX; turn++) {
		layer_choices(s->l, s->choices);
		layer_load(s->l, s->choices, s->tokens_on);
		choose_all(s);
		deal_blocks(s, &dealt);
		if (!(dealt.latency_s < best_s))
			break;
		best_s = dealt.latency_s;
		memcpy(s->scratch, s->choices, n * sizeof *s->scratch);
	}
	if (best_s < INFINITY)
		select_adopt(s, s->scratch);
	return 0;
}
