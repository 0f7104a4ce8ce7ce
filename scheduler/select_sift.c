/* sift (arXiv 2603.23888, after its summary): experts that would hold up the layer are skipped, or a similar expert on a faster
 * device stands in for them. The slowest device gives up choices, the cheapest loss first, as long as the layer gets faster and
 * no token loses more than loss_max of its weight. */
#include "scheduler/select_inner.h"

#include <math.h>

struct remedy {
	size_t choice;         /* SIZE_MAX: none */
	size_t expert, device; /* that serves instead; device n_devices: skipped, or merged into choice `into` */
	size_t into;           /* another choice of the token, of that expert; SIZE_MAX: none */
	double loss;
};

static void consider(struct remedy *best, struct remedy r)
{
	if (r.loss < best->loss)
		*best = r;
}

static size_t served_with(const struct selection *s, size_t choice, size_t expert)
{
	size_t first = choice / s->l->top_k * s->l->top_k;
	for (size_t i = first; i < first + s->l->top_k; i++)
		if (i != choice && s->choices[i].device >= 0 && s->choices[i].expert == expert)
			return i;
	return SIZE_MAX;
}

static double lost_so_far(const struct selection *s, size_t token)
{
	double lost = 0;
	for (size_t i = token * s->l->top_k; i < (token + 1) * s->l->top_k; i++) {
		const struct layer_choice *c = &s->choices[i];
		double kept = c->device < 0 ? 0 : 1;
		if (c->expert != c->wanted && s->l->similar)
			kept = s->l->similar[c->wanted * s->l->n_experts + c->expert];
		lost += (1 - kept) * select_share(s, i);
	}
	return lost;
}

/* What can be done about one choice on the slowest device. */
static void try_choice(const struct selection *s, size_t i, size_t slowest, double slowest_s, struct remedy *best)
{
	const struct layer *l = s->l;
	double share = select_share(s, i), room = s->p->loss_max - lost_so_far(s, i / l->top_k);
	if (s->choices[i].expert != s->choices[i].wanted)
		return;
	if (share <= room && select_n_served(s, i / l->top_k) > 1)
		consider(best, (struct remedy){ i, s->choices[i].expert, l->n_devices, SIZE_MAX, share });
	for (size_t e = 0; l->similar && e < l->n_experts; e++) {
		double loss = share * (1 - l->similar[s->choices[i].wanted * l->n_experts + e]);
		size_t into = served_with(s, i, e), d = select_holder(s, e);
		if (e == s->choices[i].wanted || loss > room)
			continue;
		if (into != SIZE_MAX)
			consider(best, (struct remedy){ i, e, l->n_devices, into, loss });
		else if (d < l->n_devices && d != slowest && select_device_s(s, d, s->tokens_on[d] + 1) < slowest_s)
			consider(best, (struct remedy){ i, e, d, SIZE_MAX, loss });
	}
}

static void carry_out(struct selection *s, const struct remedy *r)
{
	struct layer_choice *c = &s->choices[r->choice];
	c->expert = (uint16_t)r->expert;
	if (r->device < s->l->n_devices)
		select_serve(s, r->choice, r->device);
	else
		select_drop(s, r->choice);
	if (r->into != SIZE_MAX)
		s->choices[r->into].given_weight += c->given_weight;
}

int select_sift(struct selection *s)
{
	for (;;) {
		size_t slowest;
		double slowest_s = select_slowest_s(s, &slowest);
		struct remedy best = { .choice = SIZE_MAX, .loss = INFINITY };
		for (size_t i = 0; i < s->l->n_tokens * s->l->top_k; i++)
			if (s->choices[i].device == (int)slowest)
				try_choice(s, i, slowest, slowest_s, &best);
		if (best.choice == SIZE_MAX)
			return 0;
		carry_out(s, &best);
	}
}
