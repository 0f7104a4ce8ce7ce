/* minmax: the exact optimum of shares that need not be whole blocks.
 *
 * Device k finishes at T when a_k / x_k + b_k / y_k = s_k = T - fixed_k. The least x_k + r^2 y_k for that is reached at
 * x_k = (a_k + r sqrt(a_k b_k)) / s_k, y_k = (b_k + sqrt(a_k b_k) / r) / s_k. Summed over the devices, with the budgets scaled
 * to 1 and v_k = (sqrt(a_k), sqrt(b_k)), both budgets hold for some r > 0 exactly when the matrix
 *
 *     M(T) = sum of v_k v_k' / s_k
 *
 * has no eigenvalue above 1; at the optimum the largest is 1, and r is the slope of its eigenvector. 1 / (largest eigenvalue of
 * M(T)) grows with T and is concave, so Newton's method from below climbs to the root and never passes it. Below is the
 * latest of the devices, each with the band for itself.
 *
 * Where all power goes into the blocks held, 1 / rate is a concave function of 1 / x (u / log(1 + u) is), so the tangent in 1 / x
 * at any point lies above it: fixed + a' / x, the problem above. Each solution of it is better than the point it was
 * made at (majorisation-minimisation; Hunter and Lange, The American Statistician 58, 2004), and where nothing changes any more
 * value and slope are those of the convex problem itself: its optimum.
 */
#include "scheduler/bandwidth_inner.h"

#include <math.h>
#include <string.h>

enum { NEWTON_STEPS_MAX = 60, MAJORISE_STEPS_MAX = 200 };

struct eigen {
	double value;     /* the largest of a symmetric 2 x 2 matrix */
	double vector[2]; /* of length 1, neither component negative */
};

static struct eigen largest_eigenvalue(double xx, double xy, double yy)
{
	double half = 0.5 * (xx - yy), root = sqrt(half * half + xy * xy);
	double value = 0.5 * (xx + yy) + root;
	double u = half >= 0 ? half + root : xy, v = half >= 0 ? xy : root - half;
	double length = sqrt(u * u + v * v);
	if (!(length > 0)) /* a multiple of the identity */
		return (struct eigen){ value, { sqrt(0.5), sqrt(0.5) } };
	return (struct eigen){ value, { u / length, v / length } };
}

struct vectors {
	size_t n;
	double v[2][LAYER_DEVICES_MAX], fixed_s[LAYER_DEVICES_MAX];
	double along[LAYER_DEVICES_MAX]; /* how much of v lies along the eigenvector, over s */
	size_t of[LAYER_DEVICES_MAX];    /* which device it is */
};

static double slack(const struct vectors *w, double finish, size_t i)
{
	return fmax(finish - w->fixed_s[i], 1e-15 * finish);
}

/* The largest eigenvalue of M(T), and *slope: how fast it falls with T. */
static struct eigen eigen_at(struct vectors *w, double finish, double *slope)
{
	double xx = 0, xy = 0, yy = 0;
	for (size_t i = 0; i < w->n; i++) {
		double inverse = 1 / slack(w, finish, i), x = w->v[0][i], y = w->v[1][i];
		xx += x * x * inverse;
		xy += x * y * inverse;
		yy += y * y * inverse;
	}
	struct eigen e = largest_eigenvalue(xx, xy, yy);
	*slope = 0;
	for (size_t i = 0; i < w->n; i++) {
		w->along[i] = (w->v[0][i] * e.vector[0] + w->v[1][i] * e.vector[1]) / slack(w, finish, i);
		*slope += w->along[i] * w->along[i];
	}
	return e;
}

/* Those that need anything. Returns when the latest would be done with the band for itself. */
static double gather(const struct minmax_problem *p, struct vectors *w)
{
	double finish = 0;
	w->n = 0;
	for (size_t k = 0; k < p->n; k++) {
		double a = p->need[0][k] / p->budget[0], b = p->need[1][k] / p->budget[1];
		finish = fmax(finish, p->fixed_s[k] + a + b);
		if (!(a + b > 0))
			continue;
		w->v[0][w->n] = sqrt(a);
		w->v[1][w->n] = sqrt(b);
		w->fixed_s[w->n] = p->fixed_s[k];
		w->of[w->n++] = k;
	}
	return finish;
}

void minmax_solve(const struct minmax_problem *p, struct minmax_solution *s)
{
	struct vectors w;
	double finish = gather(p, &w), slope = 0;
	struct eigen e = { 0 };
	memset(s, 0, sizeof *s);
	s->finish = finish;
	if (!w.n || !isfinite(finish))
		return;
	for (int step = 0; step < NEWTON_STEPS_MAX; step++) {
		e = eigen_at(&w, finish, &slope);
		double next = finish + e.value * (e.value - 1) / slope;
		if (!(next > finish * (1 + 1e-15)))
			break;
		finish = next;
	}
	s->finish = finish;
	for (size_t i = 0; i < w.n; i++) {
		double both = w.v[0][i] * w.v[1][i], ratio = both > 0 ? e.vector[1] / e.vector[0] : 1;
		s->x[0][w.of[i]] = p->budget[0] * (w.v[0][i] * w.v[0][i] + both * ratio) / slack(&w, finish, i);
		s->x[1][w.of[i]] = p->budget[1] * (w.v[1][i] * w.v[1][i] + both / ratio) / slack(&w, finish, i);
		s->last[w.of[i]] = w.along[i] * w.along[i] / slope;
	}
}

/* The tangent in 1 / x of bits / rate(x) at x: returns what stands over x, *fixed_s: what is left. */
static double tangent(const struct layer *l, size_t d, enum layer_direction dir, double bits, double x, double *fixed_s)
{
	double u = l->device[d].snr[dir] * (double)l->n_rb / x;
	double nats = log1p(u), seconds = bits * M_LN2 / (l->block_hz * x * nats);
	double over_x = seconds * x * (1 - u / ((1 + u) * nats));
	*fixed_s = seconds * u / ((1 + u) * nats);
	return over_x;
}

/* need and fixed_s of the devices, linearised at x where power is total. */
static void pose(const struct layer *l, const uint32_t *tokens_on, const double (*x)[LAYER_DEVICES_MAX],
                 struct minmax_problem *p)
{
	p->n = l->n_devices;
	p->budget[0] = p->budget[1] = (double)l->n_rb;
	for (size_t d = 0; d < l->n_devices; d++) {
		bool busy = layer_busy(l, d, tokens_on[d]);
		p->fixed_s[d] = busy ? layer_compute_s(l, d, tokens_on[d]) : 0;
		for (int dir = 0; dir < 2; dir++) {
			double bits = busy ? layer_bits(l, d, dir, tokens_on[d]) : 0, more_s = 0;
			p->need[dir][d] = 0;
			if (bits > 0)
				p->need[dir][d] = l->power == LAYER_PSD ? bits / l->device[d].mean_bps[dir]
				                                        : tangent(l, d, dir, bits, x[dir][d], &more_s);
			p->fixed_s[d] += more_s;
		}
	}
}

void bandwidth_minmax(const struct layer *l, const uint32_t *tokens_on, struct bandwidth *b)
{
	struct minmax_problem p;
	struct minmax_solution s = { .finish = INFINITY };
	double before;
	for (size_t d = 0; d < l->n_devices; d++)
		s.x[0][d] = s.x[1][d] = (double)l->n_rb / (double)l->n_devices;
	int step = 0;
	do {
		before = s.finish;
		pose(l, tokens_on, (const double(*)[LAYER_DEVICES_MAX])s.x, &p);
		minmax_solve(&p, &s);
	} while (l->power == LAYER_TOTAL && s.finish < before * (1 - 1e-12) && ++step < MAJORISE_STEPS_MAX);
	for (size_t d = 0; d < l->n_devices; d++) {
		for (int dir = 0; dir < 2; dir++) {
			b->blocks[dir][d] = s.x[dir][d];
			b->rate_bps[dir][d] = layer_rate_bps(l, d, dir, s.x[dir][d]);
		}
	}
	bandwidth_finish(l, tokens_on, s.last, b);
}
