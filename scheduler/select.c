#include "scheduler/select_inner.h"
#include "scheduler/sort.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CURVE_MAX = 1 << 16 };

struct selector {
	const struct select_policy *policy;
	int (*run)(struct selection *s);
	struct select_limits limits;
	uint32_t tokens_on[LAYER_DEVICES_MAX];
	struct bandwidth split;
	struct layer_choice *scratch;
	struct curve curve;
	struct frontier *frontier;
	double theta;
};

struct select_params select_params_default(void)
{
	return (struct select_params){
		.theta_start = 0.5,
		.theta_step = 0.1,
		.theta_max = 1.0,
		.min_gain = 0.01,
		.renormalised_wlr = true,
		.gamma = 0.9,
		.loss_max = 0.3,
		.loss_exponent = 1,
		.sensitivity = 1,
		.latency_s = NAN,
		.price_s = NAN,
		.price_layers = 1,
		.whole_curve = true,
		.split = bandwidth_method_find("equal"),
	};
}

/* ---- what all policies need ---- */

void select_serve(struct selection *s, size_t i, size_t device)
{
	select_drop(s, i);
	s->choices[i].device = (int16_t)device;
	s->tokens_on[device]++;
}

void select_drop(struct selection *s, size_t i)
{
	if (s->choices[i].device >= 0)
		s->tokens_on[s->choices[i].device]--;
	s->choices[i].device = -1;
}

void select_adopt(struct selection *s, const struct layer_choice *from)
{
	if (s->choices != from)
		memcpy(s->choices, from, s->l->n_tokens * s->l->top_k * sizeof *from);
	layer_load(s->l, s->choices, s->tokens_on);
}

size_t select_n_served(const struct selection *s, size_t token)
{
	size_t n = 0;
	for (size_t i = token * s->l->top_k; i < (token + 1) * s->l->top_k; i++)
		n += s->choices[i].device >= 0;
	return n;
}

double select_split(struct selection *s)
{
	s->p->split->allocate(s->l, s->tokens_on, s->b);
	return s->b->latency_s;
}

double select_device_s(const struct selection *s, size_t d, uint32_t tokens)
{
	return layer_device_s(s->l, d, tokens, (double[2]){ s->b->rate_bps[LAYER_DL][d], s->b->rate_bps[LAYER_UL][d] });
}

double select_slowest_s(const struct selection *s, size_t *slowest)
{
	double worst = -1;
	*slowest = 0;
	for (size_t d = 0; d < s->l->n_devices; d++) {
		double t = select_device_s(s, d, s->tokens_on[d]);
		if (t > worst) {
			worst = t;
			*slowest = d;
		}
	}
	return worst;
}

size_t select_holder(const struct selection *s, size_t expert)
{
	return bandwidth_first_done(s->l, s->b, s->tokens_on, expert);
}

double select_share(const struct selection *s, size_t i)
{
	size_t first = i / s->l->top_k * s->l->top_k;
	double all = 0;
	for (size_t k = first; k < first + s->l->top_k; k++)
		all += s->choices[k].weight;
	return all > 0 ? s->choices[i].weight / all : 0;
}

double select_loss(const struct selection *s, size_t i)
{
	double share = select_share(s, i), e = s->p->loss_exponent;
	return s->p->sensitivity * (e == 1 ? share : pow(share, e)) / (double)s->l->n_tokens;
}

double select_worth(const struct selection *s, size_t token)
{
	double worth = 1 / (double)s->l->n_tokens;
	for (size_t i = token * s->l->top_k; i < (token + 1) * s->l->top_k; i++)
		worth -= select_loss(s, i);
	return worth;
}

double select_kept(const struct selection *s)
{
	double kept = 1;
	for (size_t i = 0; i < s->l->n_tokens * s->l->top_k; i++)
		kept -= s->choices[i].device < 0 ? select_loss(s, i) : 0;
	return kept;
}

static int by_latency(const void *a, const void *b)
{
	const struct select_point *x = a, *y = b;
	if (x->layer_latency_s != y->layer_latency_s)
		return x->layer_latency_s < y->layer_latency_s ? -1 : 1;
	return x->kept_weight > y->kept_weight ? -1 : x->kept_weight < y->kept_weight;
}

void select_pareto(struct curve *c)
{
	size_t n = 0;
	sort(c->point, c->n, sizeof *c->point, by_latency);
	for (size_t i = 0; i < c->n; i++)
		if (!n || c->point[i].kept_weight > c->point[n - 1].kept_weight + 1e-12)
			c->point[n++] = c->point[i];
	c->n = n;
}

double select_price_s(const struct select_params *p, double full_s)
{
	return isnan(p->price_s) ? p->price_layers * full_s : p->price_s;
}

size_t select_operate(const struct select_params *p, const struct curve *c, double full_s)
{
	double price_s = select_price_s(p, full_s), best_s = INFINITY;
	size_t best = 0;
	for (size_t i = 0; i < c->n; i++) {
		if (!isnan(p->latency_s)) {
			if (c->point[i].layer_latency_s <= p->latency_s * (1 + 1e-12))
				best = i;
			continue;
		}
		double cost_s = c->point[i].layer_latency_s + price_s * (1 - c->point[i].kept_weight);
		if (cost_s < best_s) {
			best_s = cost_s;
			best = i;
		}
	}
	return best;
}

/* ---- vanilla ---- */

static size_t n_holders(const struct layer *l, size_t expert)
{
	size_t n = 0;
	for (size_t d = 0; d < l->n_devices; d++)
		n += layer_served_by(l, expert, d);
	return n;
}

/* Every choice to a holder: first those that have no other way to go, so that the others see where the load is. */
static int select_vanilla(struct selection *s)
{
	size_t n = s->l->n_tokens * s->l->top_k, holders[LAYER_EXPERTS_MAX];
	for (size_t e = 0; e < s->l->n_experts; e++)
		holders[e] = n_holders(s->l, e);
	for (int several = 0; several < 2; several++)
		for (size_t i = 0; i < n; i++)
			if (s->choices[i].weight > 0 && holders[s->choices[i].expert] &&
			    (holders[s->choices[i].expert] > 1) == several)
				select_serve(s, i, select_holder(s, s->choices[i].expert));
	select_split(s);
	return 0;
}

/* ---- wdmoe ---- */

/* The weights that each device would serve if choice `without` of the token went (SIZE_MAX: none), added up. */
static void add_weights(const struct selection *s, size_t token, size_t without, double *weight, uint32_t *tokens)
{
	size_t first = token * s->l->top_k;
	double served = 0;
	for (size_t i = first; i < first + s->l->top_k; i++)
		served += s->choices[i].device >= 0 && i != without ? s->choices[i].weight : 0;
	double scale = s->p->renormalised_wlr && served > 0 ? 1 / served : 1;
	for (size_t i = first; i < first + s->l->top_k; i++) {
		int d = s->choices[i].device;
		if (d < 0 || i == without)
			continue;
		weight[d] += s->choices[i].weight * scale;
		tokens[d]++;
	}
}

/* The choice that a token loses at this threshold; SIZE_MAX: none. Renormalising does not turn the weight vector, so the
 * router's weights will do for the cosine. */
static size_t choice_lost(const struct selection *s, size_t token, double theta)
{
	double wt = 0, ww = 0, tt = 0;
	size_t lowest = SIZE_MAX;
	for (size_t i = token * s->l->top_k; i < (token + 1) * s->l->top_k; i++) {
		if (s->choices[i].device < 0)
			continue;
		double w = s->choices[i].weight, t = select_device_s(s, (size_t)s->choices[i].device, 1);
		wt += w * t;
		ww += w * w;
		tt += t * t;
		if (lowest == SIZE_MAX ||
		    s->choices[i].weight <= s->choices[lowest].weight) /* ties: the later choice */
			lowest = i;
	}
	bool below = wt < theta * sqrt(ww * tt) * (1 - 1e-12); /* parallel is never below */
	return below && select_n_served(s, token) > 1 ? lowest : SIZE_MAX;
}

/* WLR after dropping what every token loses at theta (below 0: nothing); *n_lost: how much that is. */
static double wlr_at(const struct selection *s, double theta, size_t *n_lost)
{
	double weight[LAYER_DEVICES_MAX] = { 0 }, wlr = 0;
	uint32_t tokens[LAYER_DEVICES_MAX] = { 0 };
	*n_lost = 0;
	for (size_t j = 0; j < s->l->n_tokens; j++) {
		size_t lost = theta < 0 ? SIZE_MAX : choice_lost(s, j, theta);
		*n_lost += lost != SIZE_MAX;
		add_weights(s, j, lost, weight, tokens);
	}
	for (size_t d = 0; d < s->l->n_devices; d++)
		wlr += tokens[d] ? weight[d] / select_device_s(s, d, tokens[d]) : 0;
	return wlr;
}

int select_wdmoe(struct selection *s)
{
	const struct select_params *p = s->p;
	size_t n_lost;
	double wlr = wlr_at(s, -1, &n_lost);
	if (!(p->theta_step > 0))
		return -EINVAL;
	for (int step = 0;; step++) {
		double theta = p->theta_start + step * p->theta_step;
		if (!(theta <= p->theta_max + 1e-9))
			return 0;
		double gained = wlr_at(s, theta, &n_lost);
		if (!n_lost)
			continue;
		if (!(gained >= wlr * (1 + p->min_gain)))
			return 0;
		for (size_t j = 0; j < s->l->n_tokens; j++) {
			size_t lost = choice_lost(s, j, theta);
			if (lost != SIZE_MAX)
				select_drop(s, lost);
		}
		wlr = gained;
		s->theta = theta;
	}
}

/* ---- wdmoe-bottleneck ---- */

int select_bottleneck(struct selection *s)
{
	for (;;) {
		size_t slowest, lightest = SIZE_MAX, next;
		double before_s = select_slowest_s(s, &slowest);
		for (size_t i = 0; i < s->l->n_tokens * s->l->top_k; i++)
			if (s->choices[i].device == (int)slowest && select_n_served(s, i / s->l->top_k) > 1 &&
			    (lightest == SIZE_MAX || select_share(s, i) < select_share(s, lightest)))
				lightest = i;
		if (lightest == SIZE_MAX)
			return 0;
		select_drop(s, lightest);
		if (select_slowest_s(s, &next) < before_s)
			continue;
		select_serve(s, lightest, slowest);
		return 0;
	}
}

/* ---- by name ---- */

static const struct select_policy policies[] = {
	{ "vanilla", "every expert that the router chose" },
	{ "wdmoe", "weight-to-latency ratio with cosine threshold (arXiv 2405.03131)" },
	{ "wdmoe-bottleneck", "the slowest device loses its lightest choices (the same, hardware)" },
	{ "des", "least latency for a share of the router's weight, each token for itself (arXiv 2503.13421)" },
	{ "jesa", "des and the dealing of resource blocks by turns (the same)" },
	{ "sift", "skips experts or replaces them by similar ones (arXiv 2603.23888)" },
	{ "exhaustive", "every selection there is, the best of them; small cases" },
	{ "frontier", "the whole trade-off of latency and weight, and a point on it" },
};

static int (*const runs[])(struct selection *) = { select_vanilla, select_wdmoe, select_bottleneck, select_des,
	                                           select_jesa,    select_sift,  select_exhaustive, select_frontier };

const struct select_policy *select_policies(size_t *n)
{
	*n = sizeof policies / sizeof policies[0];
	return policies;
}

const struct select_policy *select_policy_find(const char *name)
{
	for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
		if (strcmp(policies[i].name, name) == 0)
			return &policies[i];
	return NULL;
}

static bool within_limits(const struct select_limits *m)
{
	return m->n_tokens <= LAYER_TOKENS_MAX && m->n_experts >= 1 && m->n_experts <= LAYER_EXPERTS_MAX &&
	       m->top_k >= 1 && m->top_k <= LAYER_USED_MAX && m->n_devices >= 1 && m->n_devices <= LAYER_DEVICES_MAX;
}

struct selector *selector_create(const char *policy, const struct select_limits *limits)
{
	const struct select_policy *p = select_policy_find(policy);
	if (!p || !within_limits(limits)) {
		errno = EINVAL;
		return NULL;
	}
	struct selector *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->policy = p;
	s->run = runs[p - policies];
	s->limits = *limits;
	s->scratch = calloc(limits->n_tokens * limits->top_k + 1, sizeof *s->scratch);
	bool ok = s->scratch;
	if (s->run == select_exhaustive || s->run == select_frontier) {
		s->curve.n_max = CURVE_MAX;
		s->curve.point = calloc(CURVE_MAX, sizeof *s->curve.point);
		ok = ok && s->curve.point;
	}
	if (s->run == select_frontier)
		ok = (s->frontier = frontier_create(limits)) && ok;
	if (!ok) {
		selector_destroy(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

void selector_destroy(struct selector *s)
{
	if (!s)
		return;
	frontier_destroy(s->frontier);
	free(s->curve.point);
	free(s->scratch);
	free(s);
}

int selector_run(struct selector *s, const struct layer *l, const struct select_params *p, struct layer_choice *choices)
{
	const struct select_limits *m = &s->limits;
	if (l->n_tokens > m->n_tokens || l->n_experts > m->n_experts || l->top_k > m->top_k ||
	    l->n_devices > m->n_devices)
		return -EINVAL;
	struct selection run = { .l = l,
		                 .p = p,
		                 .choices = choices,
		                 .tokens_on = s->tokens_on,
		                 .b = &s->split,
		                 .scratch = s->scratch,
		                 .curve = &s->curve,
		                 .frontier = s->frontier };
	s->curve.n = 0;
	layer_choices(l, choices);
	layer_load(l, choices, s->tokens_on);
	bandwidth_method_find("equal")->allocate(l, s->tokens_on, &s->split);
	select_vanilla(&run);
	int rc = s->run == select_vanilla ? 0 : s->run(&run);
	s->theta = run.theta;
	return rc;
}

double selector_theta(const struct selector *s)
{
	return s->theta;
}

const struct select_point *selector_curve(const struct selector *s, size_t *n)
{
	*n = s->curve.n;
	return s->curve.n ? s->curve.point : NULL;
}
