#include "scheduler/allocate.h"

#include "scheduler/bandwidth_inner.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define TAIL_MAX_SLOTS 1e7
#define FAIR_ALPHA 0.05f   /* of the running mean of bytes served */
#define LINE_HANDICAP 0.8f /* of each place further back in the line */
#define SPARE_SNR_DB 1.0f  /* this far above the last threshold the highest MCS is no longer the link's choice */

/* What an allocator works on: the problem, the RBs still free, and per device what n RBs carry. */
struct work {
	const struct alloc_problem *p;
	struct alloc_result *r;
	struct rb_set free;
	uint32_t first; /* device whose turn it is */
	float rate[ALLOC_PARTIES_MAX][PHY_RB_MAX + 1];
	size_t n_min[ALLOC_PARTIES_MAX]; /* RBs for the smallest block worth sending; 0: there is none */
	size_t n_cap[ALLOC_PARTIES_MAX]; /* RBs that carry all the backlog */
	size_t n[ALLOC_PARTIES_MAX];     /* RBs given */
};

static const struct rb_set no_rbs;

static struct rb_set rb_and(const struct rb_set *a, const struct rb_set *b)
{
	return (struct rb_set){ { a->bits[0] & b->bits[0], a->bits[1] & b->bits[1] } };
}

static void rb_take(struct rb_set *from, const struct rb_set *taken)
{
	from->bits[0] &= ~taken->bits[0];
	from->bits[1] &= ~taken->bits[1];
}

/* Order of the devices in this slot: position i. */
static size_t nth_device(const struct work *w, size_t i)
{
	return (w->first + i) % w->p->n_devices;
}

static bool reachable(const struct work *w, size_t d)
{
	return w->p->device[d].alive && w->p->device[d].link.usable && w->rate[d][w->p->n_rb] > 0;
}

static uint32_t min_bytes(const struct work *w, size_t d)
{
	uint32_t least = w->p->min_bytes > 1 ? w->p->min_bytes : 1;
	uint32_t backlog = w->p->device[d].backlog_bytes;
	return backlog < least ? backlog : least;
}

static size_t rbs_for(const struct work *w, size_t d, float bytes)
{
	size_t n = 1;
	while (n <= w->p->n_rb && w->rate[d][n] < bytes)
		n++;
	return n;
}

static void prepare_device(struct work *w, size_t d)
{
	const struct alloc_device *dev = &w->p->device[d];
	w->n[d] = w->n_min[d] = w->n_cap[d] = 0;
	link_rates(&dev->link, w->p->rates, &w->p->available, w->rate[d]);
	if (!reachable(w, d) || dev->retx || !dev->can_send_new || !dev->backlog_bytes)
		return;
	size_t n_min = rbs_for(w, d, (float)min_bytes(w, d));
	if (n_min > w->p->n_rb)
		return;
	size_t n_cap = rbs_for(w, d, (float)dev->backlog_bytes);
	w->n_min[d] = n_min;
	w->n_cap[d] = n_cap < w->p->n_rb ? n_cap : w->p->n_rb;
}

static int prepare(struct work *w, const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r)
{
	*r = (struct alloc_result){ .finish_s = NAN };
	if (!p->rates || p->n_rb < 1 || p->n_rb > PHY_RB_MAX || p->n_rb != p->rates->n_rb || p->rates->n_mcs < 1 ||
	    p->n_devices > ALLOC_PARTIES_MAX || !(p->slot_s > 0) || !rb_set_within(&p->available, p->n_rb))
		return -EINVAL;
	w->p = p;
	w->r = r;
	w->free = p->available;
	w->first = p->n_devices ? s->turn % (uint32_t)p->n_devices : 0;
	s->turn = p->n_devices ? (w->first + 1) % (uint32_t)p->n_devices : 0;
	for (size_t d = 0; d < p->n_devices; d++)
		prepare_device(w, d);
	return 0;
}

/* Moves the n best RBs of the device from `from` to `to`, or as many as there are. Returns how many. */
static size_t move_best(const struct link_view *v, size_t n_rb, struct rb_set *from, size_t n, struct rb_set *to)
{
	size_t moved = 0;
	for (; moved < n && !rb_set_empty(from); moved++) {
		size_t best = n_rb;
		for (size_t rb = 0; rb < n_rb; rb++)
			if (rb_set_has(from, rb) &&
			    (best == n_rb || v->snr_db[rb] > v->snr_db[best] || isnan(v->snr_db[best])))
				best = rb;
		rb_set_remove(from, best);
		rb_set_add(to, best);
	}
	return moved;
}

/* Of a block for several devices the one that is worst off decides. */
static float effective_snr_db(const struct work *w, const struct alloc_device *dev, const struct rb_set *rbs)
{
	float snr_db = dev->members ? INFINITY : link_effective_snr_db(&dev->link, w->p->rates, rbs);
	for (size_t d = 0; d < w->p->n_devices; d++)
		if (dev->members >> d & 1)
			snr_db = fminf(snr_db, link_effective_snr_db(&w->p->device[d].link, w->p->rates, rbs));
	return snr_db;
}

/* own: RBs to try first, or NULL. */
static void place_retx(struct work *w, size_t d, const struct rb_set *own)
{
	const struct alloc_device *dev = &w->p->device[d];
	if (!dev->retx || !reachable(w, d) || w->r->n_grants >= w->p->grants_max || dev->retx_n_rb < 1 ||
	    dev->retx_n_rb > rb_set_count(&w->free))
		return;
	struct rb_set rbs = no_rbs;
	struct rb_set first = own ? rb_and(own, &w->free) : w->free;
	size_t n = move_best(&dev->link, w->p->n_rb, &first, dev->retx_n_rb, &rbs);
	rb_take(&w->free, &rbs);
	move_best(&dev->link, w->p->n_rb, &w->free, dev->retx_n_rb - n, &rbs);
	w->r->grant[w->r->n_grants++] = (struct alloc_grant){
		.device = (uint8_t)d,
		.retx = true,
		.process = dev->retx_process,
		.mcs = dev->retx_mcs,
		.n_rb = dev->retx_n_rb,
		.rbs = rbs,
		.bytes = dev->retx_bytes,
		.snr_db = effective_snr_db(w, dev, &rbs),
	};
}

/* The block that these RBs hold; bytes 0: none worth sending. */
static struct alloc_grant make_block(const struct work *w, size_t d, const struct rb_set *rbs)
{
	const struct alloc_device *dev = &w->p->device[d];
	const struct rate_table *t = w->p->rates;
	size_t n = rb_set_count(rbs);
	float snr_db = effective_snr_db(w, dev, rbs);
	size_t top = t->n_mcs - 1, allowed = link_mcs(t, snr_db), mcs = allowed;
	if (!(snr_db > -INFINITY))
		return (struct alloc_grant){ .bytes = 0 };
	while (mcs > 0 && t->tbs_bytes[mcs - 1][n] >= dev->backlog_bytes)
		mcs--;
	while (mcs < top && t->tbs_bytes[mcs][n] < min_bytes(w, d))
		mcs++;
	uint32_t bytes = t->tbs_bytes[mcs][n];
	return (struct alloc_grant){
		.device = (uint8_t)d,
		.mcs = (uint8_t)mcs,
		.adapts = mcs == allowed && !(mcs == top && snr_db > t->snr_db[top] + SPARE_SNR_DB),
		.n_rb = (uint8_t)n,
		.rbs = *rbs,
		.bytes = bytes >= min_bytes(w, d) ? bytes : 0,
		.snr_db = snr_db,
	};
}

static void add_block(struct work *w, size_t d, const struct rb_set *rbs)
{
	if (rb_set_empty(rbs) || w->r->n_grants >= w->p->grants_max)
		return;
	struct alloc_grant g = make_block(w, d, rbs);
	if (!g.bytes)
		return;
	w->r->grant[w->r->n_grants++] = g;
	rb_take(&w->free, rbs);
}

/* ---- equal ---- */

static struct rb_set share_of(const struct alloc_problem *p, uint32_t layer, size_t d)
{
	struct rb_set own = no_rbs;
	size_t k = p->n_devices, each = p->n_rb / k;
	for (size_t i = 0; i < each; i++)
		rb_set_add(&own, d + i * k);
	for (size_t i = 0; i < p->n_rb % k; i++)
		if ((layer + i) % k == d)
			rb_set_add(&own, each * k + i);
	return own;
}

static int allocate_equal(const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r)
{
	struct work w;
	int rc = prepare(&w, p, s, r);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < p->n_devices; i++) {
		size_t d = nth_device(&w, i);
		struct rb_set own = share_of(p, s->layer, d);
		place_retx(&w, d, &own);
	}
	for (size_t i = 0; i < p->n_devices; i++) {
		size_t d = nth_device(&w, i);
		struct rb_set own = share_of(p, s->layer, d);
		own = rb_and(&own, &w.free);
		if (w.n_min[d])
			add_block(&w, d, &own);
	}
	return 0;
}

/* ---- picking RBs for given numbers of RBs ---- */

/* SNR of each RB above the device's mean in dB; the free RB that stands out most. */
struct taste {
	float above_db[PHY_RB_MAX];
	size_t best; /* n_rb: nothing free */
};

static void find_best(const struct work *w, struct taste *t)
{
	t->best = w->p->n_rb;
	for (size_t rb = 0; rb < w->p->n_rb; rb++)
		if (rb_set_has(&w->free, rb) && (t->best == w->p->n_rb || t->above_db[rb] > t->above_db[t->best]))
			t->best = rb;
}

static void taste_init(const struct work *w, size_t d, struct taste *t)
{
	const float *snr_db = w->p->device[d].link.snr_db;
	float sum = 0;
	size_t n = 0;
	for (size_t rb = 0; rb < w->p->n_rb; rb++) {
		if (rb_set_has(&w->p->available, rb) && isfinite(snr_db[rb])) {
			sum += snr_db[rb];
			n++;
		}
	}
	for (size_t rb = 0; rb < w->p->n_rb; rb++)
		t->above_db[rb] = isfinite(snr_db[rb]) ? snr_db[rb] - sum / (float)n : -INFINITY;
	find_best(w, t);
}

/* Deals w->n[d] of the free RBs to each device; they stay marked free until a block is made of them. */
static void pick_rbs(struct work *w, struct rb_set rbs[ALLOC_PARTIES_MAX])
{
	struct rb_set before = w->free;
	struct taste taste[ALLOC_PARTIES_MAX];
	size_t left[ALLOC_PARTIES_MAX];
	memset(rbs, 0, ALLOC_PARTIES_MAX * sizeof *rbs);
	for (size_t d = 0; d < w->p->n_devices; d++)
		if ((left[d] = w->n[d]) > 0)
			taste_init(w, d, &taste[d]);
	for (;;) {
		size_t who = w->p->n_devices;
		for (size_t i = 0; i < w->p->n_devices; i++) {
			size_t d = nth_device(w, i);
			if (left[d] && taste[d].best < w->p->n_rb &&
			    (who == w->p->n_devices ||
			     taste[d].above_db[taste[d].best] > taste[who].above_db[taste[who].best]))
				who = d;
		}
		if (who == w->p->n_devices)
			break;
		size_t rb = taste[who].best;
		rb_set_add(&rbs[who], rb);
		rb_set_remove(&w->free, rb);
		left[who]--;
		for (size_t d = 0; d < w->p->n_devices; d++)
			if (left[d] && taste[d].best == rb)
				find_best(w, &taste[d]);
	}
	w->free = before;
}

/* RBs still free go to blocks that do not carry their whole backlog yet, as long as they carry more for it. */
static void top_up(struct work *w)
{
	for (size_t i = 0; i < w->r->n_grants; i++) {
		struct alloc_grant *g = &w->r->grant[i];
		const struct alloc_device *dev = &w->p->device[g->device];
		while (!g->retx && g->bytes < dev->backlog_bytes && !rb_set_empty(&w->free)) {
			struct rb_set rest = w->free, more = g->rbs;
			move_best(&dev->link, w->p->n_rb, &rest, 1, &more);
			struct alloc_grant bigger = make_block(w, g->device, &more);
			if (bigger.bytes <= g->bytes)
				break;
			*g = bigger;
			w->free = rest;
		}
	}
}

static void make_blocks(struct work *w)
{
	struct rb_set rbs[ALLOC_PARTIES_MAX];
	pick_rbs(w, rbs);
	for (size_t i = 0; i < w->p->n_devices; i++)
		add_block(w, nth_device(w, i), &rbs[nth_device(w, i)]);
	top_up(w);
}

static void place_all_retx(struct work *w)
{
	for (size_t i = 0; i < w->p->n_devices; i++)
		place_retx(w, nth_device(w, i), NULL);
}

/* The next helping of RBs of a device: first the least that makes a block, then one by one; 0 when it has enough. */
static size_t next_helping(const struct work *w, size_t d)
{
	if (w->n[d] >= w->n_cap[d])
		return 0;
	return w->n[d] ? 1 : w->n_min[d];
}

/* ---- round-robin ---- */

static int allocate_round_robin(const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r)
{
	struct work w;
	int rc = prepare(&w, p, s, r);
	if (rc < 0)
		return rc;
	place_all_retx(&w);
	size_t room = p->grants_max > r->n_grants ? p->grants_max - r->n_grants : 0;
	size_t left = rb_set_count(&w.free);
	bool dealt = true;
	while (left && dealt) {
		dealt = false;
		for (size_t i = 0; i < p->n_devices; i++) {
			size_t d = nth_device(&w, i);
			size_t n = next_helping(&w, d);
			if (!n || n > left || (!w.n[d] && !room))
				continue;
			room -= !w.n[d];
			w.n[d] += n;
			left -= n;
			dealt = true;
		}
	}
	make_blocks(&w);
	return 0;
}

/* ---- minmax ---- */

/* Least x with rate(x) >= wanted. Below the first n that carries anything, rate grows as x: n RBs in x of n slots. */
static double rbs_for_rate(const float *rate, size_t n_rb, double wanted)
{
	if (!(wanted <= (double)rate[n_rb]))
		return INFINITY;
	size_t lo = 0, hi = n_rb; /* rate[lo] < wanted <= rate[hi], or wanted <= 0 */
	if (!(wanted > 0))
		return 0;
	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;
		if ((double)rate[mid] < wanted)
			lo = mid;
		else
			hi = mid;
	}
	double below = rate[lo], above = rate[hi];
	if (!(below > 0))
		return (double)hi * wanted / above;
	return (double)lo + (wanted - below) / (above - below);
}

/* RBs that finishing at T takes. x NULL or filled. */
static double rbs_for_finish(size_t n_devices, size_t n_rb, const double *need, const double *tail,
                             const float (*rate)[PHY_RB_MAX + 1], double finish, double *x)
{
	double sum = 0;
	for (size_t d = 0; d < n_devices; d++) {
		double here = 0;
		if (need[d] > 0 && rate[d][n_rb] > 0)
			here = finish > tail[d] ? rbs_for_rate(rate[d], n_rb, need[d] / (finish - tail[d])) : INFINITY;
		if (x)
			x[d] = here;
		sum += here;
	}
	return sum;
}

double alloc_minmax_solve(size_t n_devices, size_t n_rb, double rb_budget, const double *need, const double *tail,
                          const float (*rate)[PHY_RB_MAX + 1], double *x)
{
	double lo = 0;
	bool stuck = false, any = false;
	for (size_t d = 0; d < n_devices; d++) {
		if (!(need[d] > 0))
			continue;
		if (!(rate[d][n_rb] > 0)) {
			stuck = true;
			continue;
		}
		any = true;
		lo = fmax(lo, tail[d] + need[d] / (double)rate[d][n_rb]); /* with the whole band for itself */
	}
	double hi = lo;
	if (!(rb_budget > 0)) {
		memset(x, 0, n_devices * sizeof *x);
		return any || stuck ? INFINITY : 0;
	}
	for (double step = fmax(lo, 1e-9); rbs_for_finish(n_devices, n_rb, need, tail, rate, hi, NULL) > rb_budget;
	     step *= 2)
		hi += step;
	while (hi - lo > 1e-10 * hi) {
		double mid = 0.5 * (lo + hi);
		if (mid <= lo || mid >= hi)
			break;
		if (rbs_for_finish(n_devices, n_rb, need, tail, rate, mid, NULL) > rb_budget)
			lo = mid;
		else
			hi = mid;
	}
	rbs_for_finish(n_devices, n_rb, need, tail, rate, hi, x);
	return stuck ? INFINITY : hi;
}

static double finish_slots(const struct work *w, const double *need, const double *tail, size_t d, size_t n)
{
	return w->rate[d][n] > 0 ? tail[d] + need[d] / (double)w->rate[d][n] : INFINITY;
}

/* Control messages of devices without a call: what they need, but while devices of the layer wait no more than an
 * eighth of the band each (or the least that makes a block), half of everything together. Returns how many were given
 * RBs. */
static size_t serve_control(struct work *w, bool layer_waits, size_t room, size_t *left)
{
	size_t each = w->p->n_rb / 8, budget = layer_waits ? *left / 2 : *left, n_served = 0;
	if (layer_waits)
		room = (room + 1) / 2;
	for (size_t i = 0; i < w->p->n_devices; i++) {
		size_t d = nth_device(w, i), n = w->n_cap[d];
		if (w->p->device[d].loaded || !n)
			continue;
		if (layer_waits && n > each)
			n = each > w->n_min[d] ? each : w->n_min[d];
		if (n > budget)
			n = budget >= w->n_min[d] ? budget : 0;
		if (!n || n_served >= room)
			continue;
		w->n[d] = n;
		budget -= n;
		*left -= n;
		n_served++;
	}
	return n_served;
}

/* More devices wait than there is room for in the control channel: those stay that would finish last on their own. */
static void keep_most_urgent(const struct work *w, double *need, const double *tail, size_t room)
{
	for (;;) {
		size_t n = 0, least = 0;
		double least_slots = INFINITY;
		for (size_t d = 0; d < w->p->n_devices; d++) {
			double slots = finish_slots(w, need, tail, d, w->p->n_rb);
			if (!(need[d] > 0))
				continue;
			n++;
			if (slots < least_slots) {
				least_slots = slots;
				least = d;
			}
		}
		if (n <= room)
			return;
		need[least] = 0;
	}
}

/* From the continuous optimum to whole RBs: rounded down, the rest one by one to whoever finishes last. (A greedy
 * deal is optimal for the maximum of functions that only fall.) Returns the RBs left over. */
static size_t deal_whole(struct work *w, const double *need, const double *tail, const double *x, size_t left)
{
	for (size_t d = 0; d < w->p->n_devices; d++) {
		if (!(need[d] > 0))
			continue;
		size_t n = (size_t)fmin(x[d] + 1e-6, (double)w->n_cap[d]);
		w->n[d] = n >= w->n_min[d] && n <= left ? n : 0;
		left -= w->n[d];
	}
	for (;;) {
		size_t last = w->p->n_devices;
		double last_slots = -1, last_alone = -1;
		for (size_t i = 0; i < w->p->n_devices; i++) {
			size_t d = nth_device(w, i), n = next_helping(w, d);
			if (!(need[d] > 0) || !n || n > left)
				continue;
			double slots = finish_slots(w, need, tail, d, w->n[d]),
			       alone = finish_slots(w, need, tail, d, n);
			if (slots > last_slots || (slots == last_slots && alone > last_alone)) {
				last = d;
				last_slots = slots;
				last_alone = alone;
			}
		}
		if (last == w->p->n_devices)
			return left;
		size_t n = next_helping(w, last);
		w->n[last] += n;
		left -= n;
	}
}

/* All of the devices in need at once. Returns their common finish in slots. */
static double deal_minmax(struct work *w, double *need, const double *tail, size_t *left)
{
	double x[ALLOC_PARTIES_MAX];
	double slots = alloc_minmax_solve(w->p->n_devices, w->p->n_rb, (double)*left, need, tail,
	                                  (const float(*)[PHY_RB_MAX + 1]) w->rate, x);
	*left = deal_whole(w, need, tail, x, *left);
	return slots;
}

/* ---- horizon ---- */

static size_t order_jobs(const struct work *w, const double *need, const double *tail, size_t room,
                         struct flow_job *job)
{
	size_t n = 0;
	for (size_t d = 0; d < w->p->n_devices; d++) {
		if (!(need[d] > 0))
			continue;
		double then = fmin(fmax(w->p->device[d].after_s / w->p->slot_s, 0), tail[d]);
		job[n++] = (struct flow_job){ d, need[d] / (double)w->rate[d][w->p->n_rb], tail[d] - then, then };
	}
	flow_shop_order(job, n);
	return n < room ? n : room;
}

/* What each free RB carries for a device, over their mean. */
static void relative_rates(const struct work *w, size_t d, float *relative)
{
	link_relative_rates(&w->p->device[d].link, w->p->rates, &w->free, relative);
}

/* Each free RB goes to the device for which weight * (what it carries, over the device's mean) is largest, until a device has what its
 * backlog needs. sated: [n_jobs] by what part of its weight a device wants less for each RB it has; NULL: not at all. */
static void deal_by_weight(const struct work *w, const struct flow_job *job, size_t n_jobs, const float *weight,
                           const float *sated, struct rb_set *rbs)
{
	float relative[ALLOC_PARTIES_MAX][PHY_RB_MAX], got[ALLOC_PARTIES_MAX] = { 0 };
	for (size_t i = 0; i < n_jobs; i++)
		relative_rates(w, job[i].device, relative[i]);
	for (size_t rb = 0; rb < w->p->n_rb; rb++) {
		size_t best = n_jobs;
		float most = -1;
		if (!rb_set_has(&w->free, rb))
			continue;
		for (size_t i = 0; i < n_jobs; i++) {
			float worth = weight[i] * relative[i][rb] / (sated ? 1 + sated[i] * got[i] : 1);
			if (got[i] < (float)w->n_cap[job[i].device] && worth > most) {
				most = worth;
				best = i;
			}
		}
		if (best == n_jobs)
			return;
		rb_set_add(&rbs[job[best].device], rb);
		got[best] += relative[best][rb];
	}
}

/* Who got too few RBs for a block gives them to the first in line that has one. */
static void mend_line(const struct work *w, const struct flow_job *job, size_t n_jobs, struct rb_set *rbs)
{
	for (size_t i = n_jobs; i-- > 0;) {
		size_t d = job[i].device;
		if (rb_set_empty(&rbs[d]) || rb_set_count(&rbs[d]) >= w->n_min[d])
			continue;
		for (size_t k = 0; k < n_jobs; k++) {
			struct rb_set *to = &rbs[job[k].device];
			if (k == i || (k && rb_set_count(to) < w->n_min[job[k].device]))
				continue;
			to->bits[0] |= rbs[d].bits[0];
			to->bits[1] |= rbs[d].bits[1];
			break;
		}
		rbs[d] = no_rbs;
	}
}

/* The layer's finish in slots, everybody served in line with the whole band. */
static double finish_in_line(const struct flow_job *job, size_t n_jobs)
{
	double sent = 0, done = 0;
	for (size_t i = 0; i < n_jobs; i++) {
		sent += job[i].first;
		done = fmax(done, sent + job[i].lag) + job[i].then;
	}
	return done;
}

/* What the layer needs: bytes, and slots that follow. Returns whether it needs anything. */
static bool layer_needs(const struct work *w, double *need, double *tail)
{
	bool waits = false;
	for (size_t d = 0; d < w->p->n_devices; d++) {
		const struct alloc_device *dev = &w->p->device[d];
		need[d] = tail[d] = 0;
		if (!dev->loaded || !w->n_min[d])
			continue;
		waits = true;
		need[d] = dev->backlog_bytes;
		if (isfinite(dev->remaining_bytes))
			need[d] = fmax(need[d], dev->remaining_bytes);
		if (dev->tail_s > 0)
			tail[d] = fmin(dev->tail_s / w->p->slot_s, TAIL_MAX_SLOTS);
	}
	return waits;
}

/* Blocks of RBs dealt one by one. */
static void make_dealt_blocks(struct work *w, const struct flow_job *job, size_t n_jobs, struct rb_set *rbs)
{
	mend_line(w, job, n_jobs, rbs);
	for (size_t i = 0; i < n_jobs; i++)
		add_block(w, job[i].device, &rbs[job[i].device]);
	top_up(w);
}

/* ---- minmax, minmax-rb and horizon: what they have in common is all but how the RBs are dealt ---- */

struct layer_work {
	double need[ALLOC_PARTIES_MAX], tail[ALLOC_PARTIES_MAX]; /* bytes, slots */
	size_t left, room;                                       /* RBs; grants */
};

static double deal_shares(struct work *w, struct layer_work *y)
{
	keep_most_urgent(w, y->need, y->tail, y->room);
	double slots = deal_minmax(w, y->need, y->tail, &y->left);
	make_blocks(w);
	return slots;
}

/* Tails within a slot of each other, as in the whole uplink: no order is better than another, and shares are as in minmax. */
static bool order_matters(const struct work *w, const struct layer_work *y)
{
	double least = INFINITY, most = -INFINITY;
	for (size_t d = 0; d < w->p->n_devices; d++)
		if (y->need[d] > 0) {
			least = fmin(least, y->tail[d]);
			most = fmax(most, y->tail[d]);
		}
	return most - least >= 1;
}

/* Who comes first gets all but what is bad for it and much better for another. */
static double deal_in_line(struct work *w, struct layer_work *y)
{
	if (!order_matters(w, y))
		return deal_shares(w, y);
	struct rb_set rbs[ALLOC_PARTIES_MAX] = { { { 0 } } };
	struct flow_job job[ALLOC_PARTIES_MAX];
	float weight[ALLOC_PARTIES_MAX] = { 1 };
	size_t n_jobs = order_jobs(w, y->need, y->tail, y->room, job);
	for (size_t i = 1; i < n_jobs; i++)
		weight[i] = weight[i - 1] * LINE_HANDICAP;
	make_blocks(w); /* control messages */
	deal_by_weight(w, job, n_jobs, weight, NULL, rbs);
	make_dealt_blocks(w, job, n_jobs, rbs);
	return finish_in_line(job, n_jobs);
}

/* The free RBs as the blocks of a layer with one direction; times in slots. bps: [n_jobs][PHY_RB_MAX]. */
static void pose_blocks(const struct work *w, const struct layer_work *y, const struct flow_job *job, size_t n_jobs,
                        const size_t *rb_of, size_t n_free, double (*bps)[PHY_RB_MAX], struct layer_device *dev)
{
	for (size_t i = 0; i < n_jobs; i++) {
		float relative[PHY_RB_MAX];
		size_t d = job[i].device;
		double mean = (double)w->rate[d][w->p->n_rb] / (double)w->p->n_rb, sum = 0;
		relative_rates(w, d, relative);
		for (size_t k = 0; k < n_free; k++)
			sum += bps[i][k] = fmax(mean * (double)relative[rb_of[k]], 1e-9);
		dev[i] = (struct layer_device){ .alive = true,
			                        .fixed_s = y->tail[d],
			                        .backlog_bits = { y->need[d], 0 },
			                        .mean_bps = { sum / (double)n_free, 1 },
			                        .block_bps = { bps[i], NULL } };
	}
}

/* Whole RBs with each one's own rate (scheduler/bandwidth_blocks.c); control messages first. */
static double deal_rbs(struct work *w, struct layer_work *y)
{
	struct rb_set rbs[ALLOC_PARTIES_MAX] = { { { 0 } } };
	struct flow_job job[ALLOC_PARTIES_MAX];
	double bps[ALLOC_PARTIES_MAX][PHY_RB_MAX];
	struct layer_device dev[ALLOC_PARTIES_MAX];
	uint32_t tokens_on[ALLOC_PARTIES_MAX];
	struct bandwidth b;
	size_t rb_of[PHY_RB_MAX], n_free = 0;
	keep_most_urgent(w, y->need, y->tail, y->room);
	size_t n_jobs = order_jobs(w, y->need, y->tail, y->room, job);
	make_blocks(w);
	for (size_t rb = 0; rb < w->p->n_rb; rb++)
		if (rb_set_has(&w->free, rb))
			rb_of[n_free++] = rb;
	if (!n_free || !n_jobs)
		return NAN;
	pose_blocks(w, y, job, n_jobs, rb_of, n_free, bps, dev);
	for (size_t i = 0; i < n_jobs; i++)
		tokens_on[i] = 1;
	bandwidth_minmax_rb(&(struct layer){ .n_devices = n_jobs, .n_rb = n_free, .device = dev }, tokens_on, &b);
	for (size_t k = 0; k < n_free; k++) {
		int i = b.owner[LAYER_DL][k];
		if (i >= 0 && rb_set_count(&rbs[job[i].device]) < w->n_cap[job[i].device])
			rb_set_add(&rbs[job[i].device], rb_of[k]);
	}
	make_dealt_blocks(w, job, n_jobs, rbs);
	return b.latency_s;
}

static int allocate_layer(const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r,
                          double (*deal)(struct work *, struct layer_work *))
{
	struct work w;
	struct layer_work y;
	int rc = prepare(&w, p, s, r);
	if (rc < 0)
		return rc;
	place_all_retx(&w);
	bool layer_waits = layer_needs(&w, y.need, y.tail);
	y.left = rb_set_count(&w.free);
	y.room = p->grants_max > r->n_grants ? p->grants_max - r->n_grants : 0;
	y.room -= serve_control(&w, layer_waits, y.room, &y.left);
	if (layer_waits)
		r->finish_s = deal(&w, &y) * p->slot_s;
	else
		make_blocks(&w);
	return 0;
}

static int allocate_minmax(const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r)
{
	return allocate_layer(p, s, r, deal_shares);
}

static int allocate_minmax_rb(const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r)
{
	return allocate_layer(p, s, r, deal_rbs);
}

static int allocate_horizon(const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r)
{
	return allocate_layer(p, s, r, deal_in_line);
}

/* ---- proportional-fair ---- */

/* Bytes of this slot's blocks into the running mean. */
static void note_served(struct alloc_state *s, const struct alloc_result *r, size_t n_devices)
{
	for (size_t d = 0; d < n_devices; d++)
		s->served[d] *= 1 - FAIR_ALPHA;
	for (size_t i = 0; i < r->n_grants; i++)
		s->served[r->grant[i].device] += FAIR_ALPHA * (float)r->grant[i].bytes;
}

static int allocate_proportional_fair(const struct alloc_problem *p, struct alloc_state *s, struct alloc_result *r)
{
	struct work w;
	struct rb_set rbs[ALLOC_PARTIES_MAX] = { { { 0 } } };
	struct flow_job job[ALLOC_PARTIES_MAX];
	float weight[ALLOC_PARTIES_MAX], sated[ALLOC_PARTIES_MAX];
	size_t n_jobs = 0;
	int rc = prepare(&w, p, s, r);
	if (rc < 0)
		return rc;
	place_all_retx(&w);
	size_t room = p->grants_max > r->n_grants ? p->grants_max - r->n_grants : 0;
	for (size_t i = 0; i < p->n_devices && n_jobs < room; i++) {
		size_t d = nth_device(&w, i);
		if (!w.n_min[d])
			continue;
		weight[n_jobs] = w.rate[d][p->n_rb] / fmaxf(s->served[d], 1);
		sated[n_jobs] = FAIR_ALPHA * weight[n_jobs] / (float)p->n_rb;
		job[n_jobs++] = (struct flow_job){ .device = d };
	}
	deal_by_weight(&w, job, n_jobs, weight, sated, rbs);
	make_dealt_blocks(&w, job, n_jobs, rbs);
	note_served(s, r, p->n_devices);
	return 0;
}

static const struct alloc_method methods[] = {
	{ "equal", "a fixed equal share for each device, loaded or not", FLOW_FIXED, allocate_equal },
	{ "round-robin", "equal over those with something to send, re-dealt every slot", FLOW_EVEN,
	  allocate_round_robin },
	{ "proportional-fair", "each RB to whom it brings most, relative to what it got lately", FLOW_EVEN,
	  allocate_proportional_fair },
	{ "minmax", "all devices of the layer finish together", FLOW_PROPORTIONAL, allocate_minmax },
	{ "minmax-rb", "the same with the rate of each RB", FLOW_PROPORTIONAL, allocate_minmax_rb },
	{ "horizon", "in the order that lets downlink, compute and uplink overlap, each slot anew", FLOW_LINE,
	  allocate_horizon },
};

const struct alloc_method *alloc_methods(size_t *n)
{
	*n = sizeof methods / sizeof methods[0];
	return methods;
}

const struct alloc_method *alloc_method_find(const char *name)
{
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}
