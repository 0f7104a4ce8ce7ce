#include "testbed/phy_sweep.h"

#include "testbed/pool.h"
#include "testbed/splitmix.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 64 };
static const double confidence = 0.95;

struct run {
	int rc;
	struct phy_link_counts device[PHY_DEVICES_MAX];
};

/* Of one run, all a cluster's interval needs. */
struct cluster {
	double blocks, failed[PHY_LINK_TX_MAX];
	double device_blocks[PHY_DEVICES_MAX], device_failed[PHY_DEVICES_MAX];
};

struct phy_sweep {
	struct phy_link_config config;
	bool fading; /* blocks of one run are alike */
	size_t n_threads;
	struct pool *pool;
	struct phy_link *link[THREADS_MAX];
	bool (*go_on)(void *arg, const struct phy_request *r, uint64_t blocks, uint64_t errors);
	void *go_on_arg;

	const struct phy_request *request; /* of the batch at work */
	size_t first_run;
	atomic_size_t next_run;
	struct run run[PHY_SWEEP_BATCH];

	size_t n_clusters, room;
	struct cluster *cluster;
	double *share;
};

static bool profile_fades(const struct tdl_profile *p)
{
	for (size_t i = 0; i < p->n_taps; i++)
		if (p->tap[i].fading != TDL_CONSTANT)
			return true;
	return false;
}

struct phy_sweep *phy_sweep_create(const struct phy_link_config *config, size_t n_threads, char *err, size_t err_len)
{
	struct phy_sweep *s = calloc(1, sizeof *s);
	snprintf(err, err_len, "out of memory");
	if (!s)
		return NULL;
	s->config = *config;
	s->fading = profile_fades(config->profile);
	s->n_threads = n_threads < PHY_SWEEP_BATCH ? n_threads : PHY_SWEEP_BATCH;
	s->pool = pool_create(s->n_threads);
	bool ok = s->pool != NULL;
	for (size_t i = 0; ok && i < s->n_threads; i++)
		ok = (s->link[i] = phy_link_create(config, err, err_len)) != NULL;
	if (ok)
		return s;
	phy_sweep_destroy(s);
	return NULL;
}

void phy_sweep_destroy(struct phy_sweep *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_threads; i++)
		phy_link_destroy(s->link[i]);
	pool_destroy(s->pool);
	free(s->share);
	free(s->cluster);
	free(s);
}

void phy_sweep_watch(struct phy_sweep *s,
                     bool (*go_on)(void *arg, const struct phy_request *r, uint64_t blocks, uint64_t errors), void *arg)
{
	s->go_on = go_on;
	s->go_on_arg = arg;
}

void phy_sweep_block(const struct phy_sweep *s, unsigned mcs, size_t *bits, size_t *re)
{
	phy_link_block(s->link[0], mcs, bits, re);
}

/* ---- runs ---- */

static uint64_t run_seed(const struct phy_request *r, size_t run)
{
	uint64_t stream = splitmix(r->seed + (r->mcs + 1) * SPLITMIX_STEP);
	return splitmix(stream + (run + 1) * SPLITMIX_STEP);
}

static void work(void *arg, size_t piece)
{
	struct phy_sweep *s = arg;
	for (size_t i; (i = atomic_fetch_add(&s->next_run, 1)) < PHY_SWEEP_BATCH;) {
		struct phy_link_point point = { .mcs = s->request->mcs,
			                        .snr_db = s->request->snr_db,
			                        .seed = run_seed(s->request, s->first_run + i) };
		s->run[i].rc = phy_link_run(s->link[piece], &point, s->run[i].device);
	}
}

static int make_room(struct phy_sweep *s)
{
	if (s->n_clusters + PHY_SWEEP_BATCH <= s->room)
		return 0;
	size_t room = 2 * s->room + PHY_SWEEP_BATCH;
	struct cluster *cluster = realloc(s->cluster, room * sizeof *cluster);
	if (cluster)
		s->cluster = cluster;
	double *share = realloc(s->share, room * sizeof *share);
	if (share)
		s->share = share;
	s->room = cluster && share ? room : s->room;
	return cluster && share ? 0 : -ENOMEM;
}

static void take_run(struct phy_sweep *s, const struct run *run, struct phy_point *p)
{
	struct cluster *c = &s->cluster[s->n_clusters++];
	memset(c, 0, sizeof *c);
	for (size_t d = 0; d < p->n_devices; d++) {
		const struct phy_link_counts *n = &run->device[d];
		phy_link_add(&p->sum, n);
		phy_link_add(&p->device[d], n);
		c->blocks += (double)n->blocks;
		c->device_blocks[d] = (double)n->blocks;
		c->device_failed[d] = (double)n->failed[0];
		for (size_t t = 0; t < PHY_LINK_TX_MAX; t++)
			c->failed[t] += (double)n->failed[t];
	}
}

static int run_batch(struct phy_sweep *s, struct phy_point *p)
{
	int rc = make_room(s);
	if (rc)
		return rc;
	s->first_run = p->n_runs;
	atomic_store(&s->next_run, 0);
	pool_run(s->pool, work, s, s->n_threads);
	for (size_t i = 0; i < PHY_SWEEP_BATCH; i++) {
		if (s->run[i].rc)
			return s->run[i].rc;
		take_run(s, &s->run[i], p);
	}
	p->n_runs += PHY_SWEEP_BATCH;
	return 0;
}

/* ---- intervals ---- */

/* A ratio of sums over the runs, failed over blocks, `stride` doubles from one run to the next. Blocks of a fading run
 * are alike, so its interval is that of the runs' scatter; with no error at all, or all of them, that is none, and each
 * run counts as one trial. Without fading blocks are independent: Wilson's interval. */
static struct stats_interval ratio(struct phy_sweep *s, const double *failed, const double *blocks)
{
	const size_t stride = sizeof(struct cluster) / sizeof(double);
	double sum_failed = 0, sum_blocks = 0;
	size_t n = s->n_clusters;
	for (size_t i = 0; i < n; i++) {
		sum_failed += failed[i * stride];
		sum_blocks += blocks[i * stride];
	}
	if (!s->fading)
		return stats_wilson((size_t)sum_failed, (size_t)sum_blocks, confidence);
	double rate = sum_failed / sum_blocks;
	if (!(rate > 0 && rate < 1)) {
		struct stats_interval x = stats_wilson(rate > 0 ? n : 0, n, confidence);
		return sum_blocks > 0 ? x : (struct stats_interval){ NAN, NAN, NAN };
	}
	for (size_t i = 0; i < n; i++)
		s->share[i] = rate + (failed[i * stride] - rate * blocks[i * stride]) * (double)n / sum_blocks;
	struct stats_interval x = stats_t_interval(s->share, n, confidence);
	return (struct stats_interval){ rate, fmax(x.low, 0), fmin(x.high, 1) };
}

static void conclude(struct phy_sweep *s, struct phy_point *p)
{
	const struct cluster *c = s->cluster;
	for (size_t t = 0; t < s->config.n_tx; t++)
		p->bler[t] = ratio(s, &c->failed[t], &c->blocks);
	for (size_t d = 0; d < p->n_devices; d++)
		p->device_bler[d] = ratio(s, &c->device_failed[d], &c->device_blocks[d]);
}

static bool enough(const struct phy_request *r, const struct phy_point *p)
{
	if (p->sum.blocks >= r->trials * p->n_devices)
		return true;
	return r->stop_errors && p->sum.failed[0] >= r->stop_errors && p->n_runs >= r->min_runs;
}

int phy_sweep_point(struct phy_sweep *s, const struct phy_request *r, struct phy_point *p)
{
	*p = (struct phy_point){ .mcs = r->mcs, .snr_db = r->snr_db, .n_devices = s->config.n_devices };
	s->request = r;
	s->n_clusters = 0;
	do {
		if (s->go_on && !s->go_on(s->go_on_arg, r, p->sum.blocks / p->n_devices, p->sum.failed[0]))
			return -EINTR;
		int rc = run_batch(s, p);
		if (rc)
			return rc;
	} while (!enough(r, p));
	conclude(s, p);
	return 0;
}

/* ---- what a curve says ---- */

double phy_sweep_crossing(const double *snr_db, const double *rate, const double *blocks, size_t n, double level)
{
	for (size_t i = n; i-- > 1;) {
		double above = rate[i - 1], below = rate[i];
		if (!(above > level && below <= level))
			continue;
		double a = log(above / level), b = log(fmax(below, fmin(0.5 / blocks[i], above / 2)) / level);
		if (b > 0) /* so few blocks that half an error is too many */
			b = 0;
		return snr_db[i - 1] + (snr_db[i] - snr_db[i - 1]) * a / (a - b);
	}
	return NAN;
}

double phy_shannon_db(double bits_per_symbol)
{
	return 10 * log10(pow(2, bits_per_symbol) - 1);
}
