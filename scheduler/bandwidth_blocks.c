/* Whole blocks: proportional-fair, minmax-rb, and a bound on what any dealing of blocks can reach.
 *
 * Bound. Let each device pay w for a unit of rate. A block is worth at most max over the devices of w[k] * rate[k][block], the
 * whole band at most the sum P of that; so any dealing, of divided blocks too, gives rates R with sum w[k] R[k] <= P. The
 * least latency under that one constraint a direction is the continuous problem of bandwidth_minmax.c with budget P, and no
 * dealing is faster, whatever the prices are. Prices of devices that then get less than that solution asks for are raised, the
 * others' lowered, a few times: the bound rises to that of the linear relaxation.
 *
 * Dealing. Blocks go one by one to the device that is furthest from the rate the bound's solution gives it, each time the one
 * that is worth most to it compared with what it would be worth to others. Then the slowest device is made faster as
 * long as patience lasts: it takes a block from another one, which may get one of its blocks in return, in either direction.
 */
#include "scheduler/bandwidth_inner.h"

#include <math.h>
#include <string.h>

enum {
	PRICE_STEPS_DEAL = 10,
	PRICE_STEPS_BOUND = 200,
	TRIES_MAX = 2000,
	KICK_BLOCKS = 3,
	FAIR_PASSES_MAX = 16,
	NOBODY = -1
};
#define NEAR_ENOUGH 1.005 /* times the bound: no need to look further */

struct deal {
	const struct layer *l;
	size_t n; /* busy devices, of[0 .. n) */
	size_t of[LAYER_DEVICES_MAX];
	double bits[2][LAYER_DEVICES_MAX], fixed_s[LAYER_DEVICES_MAX]; /* by position in of, as all that follows */
	const double *bps[2][LAYER_DEVICES_MAX]; /* of a block; where all are alike there is but one, and step is 0 */
	size_t step[2][LAYER_DEVICES_MAX];
	int16_t owner[2][LAYER_RB_MAX];
	size_t held[2][LAYER_DEVICES_MAX];
	double rate[2][LAYER_DEVICES_MAX];
	double air_s[2][LAYER_DEVICES_MAX]; /* bits / rate */
	double t[LAYER_DEVICES_MAX];
};

static double block_bps(const struct deal *g, int dir, size_t k, size_t rb)
{
	return g->bps[dir][k][rb * g->step[dir][k]];
}

static const double any_bps = 1; /* power is total: only how many blocks counts */

static void deal_device(struct deal *g, size_t d, uint32_t tokens)
{
	const struct layer_device *dev = &g->l->device[d];
	size_t k = g->n++;
	g->of[k] = d;
	g->fixed_s[k] = layer_compute_s(g->l, d, tokens);
	for (int dir = 0; dir < 2; dir++) {
		bool each = g->l->power == LAYER_PSD && dev->block_bps[dir];
		g->bits[dir][k] = layer_bits(g->l, d, (enum layer_direction)dir, tokens);
		g->step[dir][k] = each;
		g->bps[dir][k] = each ? dev->block_bps[dir] : g->l->power == LAYER_PSD ? &dev->mean_bps[dir] : &any_bps;
	}
}

static void deal_init(struct deal *g, const struct layer *l, const uint32_t *tokens_on)
{
	g->l = l;
	g->n = 0;
	for (size_t d = 0; d < l->n_devices; d++)
		if (layer_busy(l, d, tokens_on[d]))
			deal_device(g, d, tokens_on[d]);
}

static void deal_clear(struct deal *g)
{
	memset(g->held, 0, sizeof g->held);
	memset(g->rate, 0, sizeof g->rate);
	for (int dir = 0; dir < 2; dir++)
		for (size_t rb = 0; rb < g->l->n_rb; rb++)
			g->owner[dir][rb] = NOBODY;
}

/* Rate of a device that gains block `gains` and loses block `loses` (NOBODY: none). */
static double rate_after(const struct deal *g, int dir, size_t k, int gains, int loses)
{
	if (g->l->power == LAYER_TOTAL)
		return layer_rate_bps(g->l, g->of[k], (enum layer_direction)dir,
		                      (double)(g->held[dir][k] + (gains >= 0) - (loses >= 0)));
	double rate = g->rate[dir][k];
	if (gains >= 0)
		rate += block_bps(g, dir, k, (size_t)gains);
	if (loses >= 0)
		rate = g->held[dir][k] > 1 || gains >= 0 ? rate - block_bps(g, dir, k, (size_t)loses) : 0;
	return rate;
}

static double air_s(const struct deal *g, int dir, size_t k, double rate)
{
	if (!(g->bits[dir][k] > 0))
		return 0;
	return rate > 0 ? g->bits[dir][k] / rate : INFINITY;
}

static void give(struct deal *g, int dir, size_t rb, int to)
{
	int from = g->owner[dir][rb];
	if (from >= 0) {
		g->rate[dir][from] = rate_after(g, dir, (size_t)from, NOBODY, (int)rb);
		g->held[dir][from]--;
	}
	if (to >= 0) {
		g->rate[dir][to] = rate_after(g, dir, (size_t)to, (int)rb, NOBODY);
		g->held[dir][to]++;
	}
	g->owner[dir][rb] = (int16_t)to;
}

static void update(struct deal *g, size_t k)
{
	for (int dir = 0; dir < 2; dir++)
		g->air_s[dir][k] = air_s(g, dir, k, g->rate[dir][k]);
	g->t[k] = g->fixed_s[k] + g->air_s[0][k] + g->air_s[1][k];
}

static double deal_latency(struct deal *g, size_t *slowest)
{
	*slowest = 0;
	for (size_t k = 0; k < g->n; k++)
		if (g->t[k] > g->t[*slowest])
			*slowest = k;
	return g->n ? g->t[*slowest] : 0;
}

/* ---- prices ---- */

struct prices {
	double w[2][LAYER_DEVICES_MAX];
	double target[2][LAYER_DEVICES_MAX]; /* rates of the solution under them */
	double top[2][LAYER_RB_MAX];         /* what each block is worth */
	double bound_s;
};

static void prices_init(const struct deal *g, struct prices *q)
{
	for (int dir = 0; dir < 2; dir++)
		for (size_t k = 0; k < g->n; k++)
			q->w[dir][k] = 1 / layer_rate_bps(g->l, g->of[k], (enum layer_direction)dir, 1);
}

/* Worth of the blocks and of the band; got: rate of each device if every block went to whom it is worth most, those that are
 * worth the same to several divided. */
static double value_blocks(const struct deal *g, int dir, struct prices *q, double *got)
{
	double sum = 0;
	memset(got, 0, g->n * sizeof *got);
	for (size_t rb = 0; rb < g->l->n_rb; rb++) {
		double top = 0;
		size_t n = 0, who[LAYER_DEVICES_MAX];
		for (size_t k = 0; k < g->n; k++) {
			double worth = g->bits[dir][k] > 0 ? q->w[dir][k] * block_bps(g, dir, k, rb) : 0;
			if (worth > top * (1 + 1e-9)) {
				top = worth;
				n = 0;
			}
			if (worth > 0 && worth >= top * (1 - 1e-9))
				who[n++] = k;
		}
		for (size_t i = 0; i < n; i++)
			got[who[i]] += block_bps(g, dir, who[i], rb) / (double)n;
		q->top[dir][rb] = top;
		sum += top;
	}
	return sum;
}

/* One step: the bound under these prices, then better ones. `pace` is how far they move. Returns the bound. */
static double price_step(const struct deal *g, struct prices *q, double pace)
{
	struct minmax_problem p = { .n = g->n };
	struct minmax_solution s;
	double got[2][LAYER_DEVICES_MAX];
	memcpy(p.fixed_s, g->fixed_s, g->n * sizeof *p.fixed_s);
	for (int dir = 0; dir < 2; dir++) {
		double worth = value_blocks(g, dir, q, got[dir]);
		p.budget[dir] = worth > 0 ? worth : 1;
		for (size_t k = 0; k < g->n; k++)
			p.need[dir][k] = g->bits[dir][k] * q->w[dir][k];
	}
	minmax_solve(&p, &s);
	for (int dir = 0; dir < 2; dir++) {
		for (size_t k = 0; k < g->n; k++) {
			q->target[dir][k] = s.x[dir][k] / q->w[dir][k];
			if (!(q->target[dir][k] > 0))
				continue;
			double short_of = (q->target[dir][k] - got[dir][k]) / (q->target[dir][k] + got[dir][k]);
			q->w[dir][k] *= exp(pace * short_of);
		}
	}
	return s.finish;
}

static void find_prices(const struct deal *g, struct prices *q, int n_steps)
{
	struct prices best = { .bound_s = -1 };
	prices_init(g, q);
	for (int step = 0; step < n_steps; step++) {
		struct prices here;
		memcpy(here.w, q->w, sizeof here.w);
		here.bound_s = price_step(g, q, 0.5 / (1 + 0.3 * step));
		if (here.bound_s > best.bound_s) {
			memcpy(best.w, here.w, sizeof best.w);
			memcpy(best.target, q->target, sizeof best.target);
			memcpy(best.top, q->top, sizeof best.top);
			best.bound_s = here.bound_s;
		}
	}
	*q = best;
}

double bandwidth_blocks_bound_s(const struct layer *l, const uint32_t *tokens_on)
{
	struct deal g;
	struct prices q;
	deal_init(&g, l, tokens_on);
	if (!g.n)
		return 0;
	find_prices(&g, &q, PRICE_STEPS_BOUND);
	return q.bound_s;
}

/* ---- dealing ---- */

/* The device furthest from its target in relation to it; NOBODY when all have theirs. */
static int neediest(const struct deal *g, int dir, const struct prices *q)
{
	int who = NOBODY;
	double least = INFINITY;
	for (size_t k = 0; k < g->n; k++) {
		if (!(g->bits[dir][k] > 0))
			continue;
		double have = g->rate[dir][k] / q->target[dir][k];
		if (have < least) {
			least = have;
			who = (int)k;
		}
	}
	return who;
}

static void deal_by_targets(struct deal *g, const struct prices *q)
{
	deal_clear(g);
	for (int dir = 0; dir < 2; dir++) {
		for (size_t dealt = 0; dealt < g->l->n_rb; dealt++) {
			int who = neediest(g, dir, q), best = NOBODY;
			double best_worth = -1;
			if (who < 0)
				break;
			for (size_t rb = 0; rb < g->l->n_rb; rb++) {
				if (g->owner[dir][rb] != NOBODY)
					continue;
				double worth = block_bps(g, dir, (size_t)who, rb) / q->top[dir][rb];
				if (worth > best_worth) {
					best_worth = worth;
					best = (int)rb;
				}
			}
			give(g, dir, (size_t)best, who);
		}
	}
	for (size_t k = 0; k < g->n; k++)
		update(g, k);
}

/* ---- making the slowest faster ---- */

/* Block `rb` of direction `dir` goes to the slowest device; its owner gets block `back_rb` of direction `back_dir` for it (NOBODY:
 * nothing). */
struct move {
	int dir, rb, back_dir, back_rb;
	double worst_s; /* of the two, afterwards */
};

/* Latency of k when it gains and loses a block, each in its direction (NOBODY: none). */
static double latency_after(const struct deal *g, size_t k, int gain_dir, int gains, int lose_dir, int loses)
{
	double t = g->fixed_s[k];
	for (int dir = 0; dir < 2; dir++) {
		int in = dir == gain_dir ? gains : NOBODY, out = dir == lose_dir ? loses : NOBODY;
		t += in < 0 && out < 0 ? g->air_s[dir][k] : air_s(g, dir, k, rate_after(g, dir, k, in, out));
	}
	return t;
}

static void consider(struct move *best, struct move m)
{
	if (m.worst_s < best->worst_s)
		*best = m;
}

/* What each block's owner would come to without it; 0 for nobody's. */
struct losses {
	double s[2][LAYER_RB_MAX];
};

static void find_losses(const struct deal *g, struct losses *lose)
{
	for (int dir = 0; dir < 2; dir++)
		for (size_t rb = 0; rb < g->l->n_rb; rb++) {
			int k = g->owner[dir][rb];
			lose->s[dir][rb] = k < 0 ? 0 : latency_after(g, (size_t)k, 0, NOBODY, dir, (int)rb);
		}
}

/* What a device's rate changes by with one block more or less. */
static double gain_bps(const struct deal *g, int dir, size_t k, int rb)
{
	return g->l->power == LAYER_PSD ? block_bps(g, dir, k, (size_t)rb)
	                                : rate_after(g, dir, k, rb, NOBODY) - g->rate[dir][k];
}

static double loss_bps(const struct deal *g, int dir, size_t k, int rb)
{
	return g->l->power == LAYER_PSD ? block_bps(g, dir, k, (size_t)rb)
	                                : g->rate[dir][k] - rate_after(g, dir, k, NOBODY, rb);
}

/* Least rate in direction dir with which k is done before worst_s, when the other direction takes it other_air_s. */
static double rate_needed(const struct deal *g, int dir, size_t k, double other_air_s, double worst_s)
{
	double left_s = worst_s - g->fixed_s[k] - other_air_s;
	return left_s > 0 ? g->bits[dir][k] / left_s : INFINITY;
}

/* Block (dir, rb) against each of the slowest device's own. First whether the rates suffice, which costs no division. */
static long try_trading(const struct deal *g, size_t slowest, int dir, int rb, struct move *best)
{
	int from = g->owner[dir][rb];
	if (from < 0 || !(latency_after(g, slowest, dir, rb, 0, NOBODY) < best->worst_s))
		return 1;
	double mine_bps = g->rate[dir][slowest] + gain_bps(g, dir, slowest, rb);
	double theirs_bps = fmax(0, g->rate[dir][from] - loss_bps(g, dir, (size_t)from, rb));
	long tried = 1;
	for (int back_dir = 0; back_dir < 2; back_dir++) {
		bool same = back_dir == dir;
		double mine_air_s = same ? g->air_s[!dir][slowest] : air_s(g, dir, slowest, mine_bps);
		double theirs_air_s = same ? g->air_s[!dir][from] : air_s(g, dir, (size_t)from, theirs_bps);
		double spare = (same ? mine_bps : g->rate[back_dir][slowest]) -
		               rate_needed(g, back_dir, slowest, mine_air_s, best->worst_s);
		double lack = rate_needed(g, back_dir, (size_t)from, theirs_air_s, best->worst_s) -
		              (same ? theirs_bps : g->rate[back_dir][from]);
		for (int back = 0; back < (int)g->l->n_rb; back++) {
			if (g->owner[back_dir][back] != (int)slowest || loss_bps(g, back_dir, slowest, back) > spare ||
			    gain_bps(g, back_dir, (size_t)from, back) < lack)
				continue;
			double theirs_s = latency_after(g, (size_t)from, back_dir, back, dir, rb);
			double mine_s = latency_after(g, slowest, dir, rb, back_dir, back);
			consider(best, (struct move){ dir, rb, back_dir, back, fmax(mine_s, theirs_s) });
			tried++;
		}
	}
	return tried;
}

static long try_taking(const struct deal *g, const struct losses *lose, size_t slowest, int dir, int rb,
                       struct move *best)
{
	if (!(lose->s[dir][rb] < best->worst_s))
		return 0;
	double mine_s = latency_after(g, slowest, dir, rb, 0, NOBODY);
	consider(best, (struct move){ dir, rb, 0, NOBODY, fmax(mine_s, lose->s[dir][rb]) });
	return 1;
}

/* The best move that makes the slowest device faster and nobody as slow; rb is NOBODY where there is none. Returns what the
 * search cost, in moves looked at. */
static long find_move(const struct deal *g, size_t slowest, struct move *best)
{
	struct losses lose;
	long tried = 2 * (long)g->l->n_rb;
	*best = (struct move){ .rb = NOBODY, .worst_s = g->t[slowest] * (1 - 1e-12) };
	find_losses(g, &lose);
	for (int trade = 0; trade < 2 && best->rb < 0; trade++)
		for (int dir = 0; dir < 2; dir++)
			for (int rb = 0; rb < (int)g->l->n_rb; rb++)
				if (g->owner[dir][rb] != (int)slowest && g->bits[dir][slowest] > 0)
					tried += trade ? try_trading(g, slowest, dir, rb, best)
					               : try_taking(g, &lose, slowest, dir, rb, best);
	return tried;
}

static void apply(struct deal *g, size_t slowest, const struct move *m)
{
	int from = g->owner[m->dir][m->rb];
	give(g, m->dir, (size_t)m->rb, (int)slowest);
	if (m->back_rb >= 0)
		give(g, m->back_dir, (size_t)m->back_rb, from);
	update(g, slowest);
	if (from >= 0)
		update(g, (size_t)from);
}

/* Down to where no move helps. Returns the latency there; *tried grows. */
static double descend(struct deal *g, long *tried)
{
	for (;;) {
		size_t slowest;
		struct move m;
		double latency_s = deal_latency(g, &slowest);
		*tried += find_move(g, slowest, &m);
		if (m.rb < 0)
			return latency_s;
		apply(g, slowest, &m);
	}
}

static uint32_t draw(uint32_t *state, size_t n) /* 0 .. n - 1 (xorshift; Marsaglia 2003) */
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return (uint32_t)(((uint64_t)*state * n) >> 32);
}

/* A few blocks go to whoever the dice say. */
static void kick(struct deal *g, uint32_t *state)
{
	for (int i = 0; i < KICK_BLOCKS; i++) {
		int dir = (int)draw(state, 2);
		size_t k = draw(state, g->n), rb = draw(state, g->l->n_rb);
		int from = g->owner[dir][rb];
		if (!(g->bits[dir][k] > 0) || from == (int)k)
			continue;
		give(g, dir, rb, (int)k);
		update(g, k);
		if (from >= 0)
			update(g, (size_t)from);
	}
}

static void deal_again(struct deal *g, int16_t (*owner)[LAYER_RB_MAX])
{
	deal_clear(g);
	for (int dir = 0; dir < 2; dir++)
		for (size_t rb = 0; rb < g->l->n_rb; rb++)
			if (owner[dir][rb] >= 0)
				give(g, dir, rb, owner[dir][rb]);
	for (size_t k = 0; k < g->n; k++)
		update(g, k);
}

/* Descends, kicks the best found and descends again (iterated local search; Lourenco, Martin, Stutzle 2003) until the bound is
 * near or patience at an end. The dice are the same every time. */
static void speed_up(struct deal *g, double bound_s)
{
	int16_t best[2][LAYER_RB_MAX];
	uint32_t state = 2463534242u;
	long tried = 0;
	double best_s = descend(g, &tried);
	memcpy(best, g->owner, sizeof best);
	while (tried < TRIES_MAX && best_s > bound_s * NEAR_ENOUGH) {
		kick(g, &state);
		double s = descend(g, &tried);
		if (s < best_s) {
			best_s = s;
			memcpy(best, g->owner, sizeof best);
		} else {
			deal_again(g, best);
		}
	}
	deal_again(g, best);
}

/* ---- results ---- */

static void hand_over(const struct deal *g, const uint32_t *tokens_on, struct bandwidth *b)
{
	memset(b->blocks, 0, sizeof b->blocks);
	memset(b->rate_bps, 0, sizeof b->rate_bps);
	for (int dir = 0; dir < 2; dir++) {
		for (size_t k = 0; k < g->n; k++) {
			b->blocks[dir][g->of[k]] = (double)g->held[dir][k];
			b->rate_bps[dir][g->of[k]] = g->rate[dir][k];
		}
		for (size_t rb = 0; rb < g->l->n_rb; rb++) {
			int k = g->owner[dir][rb];
			b->owner[dir][rb] = (int16_t)(k < 0 ? NOBODY : (int)g->of[k]);
		}
	}
	bandwidth_finish(g->l, tokens_on, NULL, b);
}

static void find_targets(const struct deal *g, const uint32_t *tokens_on, struct prices *q)
{
	struct bandwidth b;
	if (g->l->power == LAYER_PSD) {
		find_prices(g, q, PRICE_STEPS_DEAL);
		return;
	}
	bandwidth_minmax(g->l, tokens_on, &b);
	q->bound_s = b.latency_s;
	for (int dir = 0; dir < 2; dir++) {
		for (size_t k = 0; k < g->n; k++)
			q->target[dir][k] = b.rate_bps[dir][g->of[k]];
		for (size_t rb = 0; rb < g->l->n_rb; rb++)
			q->top[dir][rb] = 1;
	}
}

void bandwidth_minmax_rb(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b)
{
	struct deal g;
	struct prices q;
	deal_init(&g, l, tokens_on);
	deal_clear(&g);
	if (g.n) {
		find_targets(&g, tokens_on, &q);
		deal_by_targets(&g, &q);
		speed_up(&g, q.bound_s);
	}
	hand_over(&g, tokens_on, b);
}

/* ---- proportional fair ---- */

/* Does the sum of log(rate) grow when the block goes to k? */
static bool fairer(const struct deal *g, int dir, size_t rb, size_t k)
{
	int from = g->owner[dir][rb];
	double mine = rate_after(g, dir, k, (int)rb, NOBODY);
	if (from < 0 || !(g->rate[dir][k] > 0))
		return from < 0 || (g->held[dir][from] > 1 && mine > 0);
	double theirs = rate_after(g, dir, (size_t)from, NOBODY, (int)rb);
	return mine * theirs > g->rate[dir][k] * g->rate[dir][from] * (1 + 1e-12);
}

/* Blocks in order, each to whom it gains most in relation to what it has; then moved one by one as long as that is fairer. */
void bandwidth_proportional_fair(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b)
{
	struct deal g;
	deal_init(&g, l, tokens_on);
	deal_clear(&g);
	for (int dir = 0; dir < 2; dir++) {
		bool moved = true;
		for (int pass = 0; pass < FAIR_PASSES_MAX && moved; pass++) {
			moved = false;
			for (size_t rb = 0; rb < l->n_rb; rb++) {
				int best = NOBODY;
				double best_gain = 0;
				for (size_t k = 0; k < g.n; k++) {
					if (!(g.bits[dir][k] > 0) || g.owner[dir][rb] == (int)k)
						continue;
					double after = rate_after(&g, dir, k, (int)rb, NOBODY);
					double gain = g.rate[dir][k] > 0 ? after / g.rate[dir][k] : after * 1e9;
					if (gain > best_gain && fairer(&g, dir, rb, k)) {
						best_gain = gain;
						best = (int)k;
					}
				}
				if (best >= 0) {
					give(&g, dir, rb, best);
					moved = true;
				}
			}
		}
	}
	hand_over(&g, tokens_on, b);
}
