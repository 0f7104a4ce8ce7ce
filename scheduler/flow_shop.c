#include "scheduler/flow_shop.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "phy/numerology.h"
#include "scheduler/sort.h"

static int by_johnson(const void *a, const void *b)
{
	const struct flow_job *x = a, *y = b;
	bool x_early = x->first <= x->then, y_early = y->first <= y->then;
	if (x_early != y_early)
		return x_early ? -1 : 1;
	double p = x_early ? x->first + x->lag : -(x->then + x->lag);
	double q = y_early ? y->first + y->lag : -(y->then + y->lag);
	if (p != q)
		return p < q ? -1 : 1;
	return x->device < y->device ? -1 : x->device > y->device;
}

void flow_shop_order(struct flow_job *jobs, size_t n)
{
	sort(jobs, n, sizeof *jobs, by_johnson);
}

/* ---- forecast ---- */

enum stage { DOWN, COMPUTE, UP, DONE };

struct shop {
	enum flow_sharing sharing;
	const struct flow_job *jobs;
	size_t n, n_devices;
	enum stage stage[FLOW_JOBS_MAX];
	double left[FLOW_JOBS_MAX]; /* of the transfer, or until when it computes */
	double computes_until[PHY_DEVICES_MAX];
	size_t place[PHY_DEVICES_MAX]; /* in the line */
};

/* The line as the jobs have it. */
static void line_up_as_given(struct shop *s)
{
	size_t n = 0;
	for (size_t d = 0; d < s->n_devices; d++)
		s->place[d] = SIZE_MAX;
	for (size_t i = 0; i < s->n; i++)
		if (s->place[s->jobs[i].device] == SIZE_MAX)
			s->place[s->jobs[i].device] = n++;
}

/* Where each device stands in the line, by all of its jobs together. */
static void line_up(struct shop *s)
{
	struct flow_job sum[PHY_DEVICES_MAX] = { { 0 } };
	for (size_t d = 0; d < s->n_devices; d++)
		sum[d].device = d;
	for (size_t i = 0; i < s->n; i++) {
		struct flow_job *of = &sum[s->jobs[i].device];
		of->first += s->jobs[i].first;
		of->lag += s->jobs[i].lag;
		of->then += s->jobs[i].then;
	}
	flow_shop_order(sum, s->n_devices);
	for (size_t i = 0; i < s->n_devices; i++)
		s->place[sum[i].device] = i;
}

/* Of each device the job that is being carried in a stage (n: none), and what is left of all its jobs there. */
static size_t find_heads(const struct shop *s, enum stage stage, size_t *head, double *work)
{
	size_t n_active = 0;
	for (size_t d = 0; d < s->n_devices; d++) {
		head[d] = s->n;
		work[d] = 0;
	}
	for (size_t i = 0; i < s->n; i++) {
		size_t d = s->jobs[i].device;
		if (s->stage[i] != stage)
			continue;
		if (head[d] == s->n) {
			head[d] = i;
			n_active++;
		}
		work[d] += s->left[i];
	}
	return n_active;
}

/* The part of the band that each job has now. */
static void share_band(const struct shop *s, enum stage stage, double *share)
{
	size_t head[PHY_DEVICES_MAX], first = s->n_devices, n = 0;
	double work[PHY_DEVICES_MAX], all = 0;
	n = find_heads(s, stage, head, work);
	for (size_t d = 0; d < s->n_devices; d++) {
		all += work[d];
		if (head[d] < s->n && (first == s->n_devices || s->place[d] < s->place[first]))
			first = d;
	}
	for (size_t d = 0; d < s->n_devices; d++) {
		if (head[d] == s->n)
			continue;
		if (s->sharing == FLOW_FIXED)
			share[head[d]] = 1 / (double)s->n_devices;
		else if (s->sharing == FLOW_EVEN || !(all > 0))
			share[head[d]] = 1 / (double)n;
		else if ((s->sharing == FLOW_LINE || s->sharing == FLOW_GIVEN) && stage == DOWN)
			share[head[d]] = d == first;
		else
			share[head[d]] = work[d] / all;
	}
}

static void next_stage(struct shop *s, size_t i, double now)
{
	const struct flow_job *job = &s->jobs[i];
	double *until = &s->computes_until[job->device];
	s->stage[i]++;
	if (s->stage[i] == COMPUTE)
		s->left[i] = *until = fmax(*until, now) + job->lag;
	else if (s->stage[i] == UP)
		s->left[i] = job->then;
}

/* Time of the next change from `now` on; share: of transfers. */
static double next_event(const struct shop *s, const double *share, double now)
{
	double next = INFINITY;
	for (size_t i = 0; i < s->n; i++) {
		if (s->stage[i] == COMPUTE)
			next = fmin(next, s->left[i]);
		else if (s->stage[i] != DONE && (share[i] > 0 || !(s->left[i] > 0)))
			next = fmin(next, s->left[i] > 0 ? now + s->left[i] / share[i] : now);
	}
	return next;
}

double flow_shop_forecast(enum flow_sharing sharing, const struct flow_job *jobs, size_t n, size_t n_devices)
{
	struct shop s = {
		.sharing = sharing, .jobs = jobs, .n = n < FLOW_JOBS_MAX ? n : FLOW_JOBS_MAX, .n_devices = n_devices
	};
	double now = 0;
	for (size_t i = 0; i < s.n; i++)
		s.left[i] = jobs[i].first;
	if (sharing == FLOW_GIVEN)
		line_up_as_given(&s);
	else
		line_up(&s);
	for (size_t steps = 0; steps < 3 * FLOW_JOBS_MAX; steps++) {
		double share[FLOW_JOBS_MAX] = { 0 };
		share_band(&s, DOWN, share);
		share_band(&s, UP, share);
		double next = next_event(&s, share, now);
		if (!isfinite(next))
			break;
		for (size_t i = 0; i < s.n; i++) {
			if (s.stage[i] == DOWN || s.stage[i] == UP)
				s.left[i] -= share[i] * (next - now);
			double due = s.stage[i] == COMPUTE ? s.left[i] - next : s.left[i];
			if (s.stage[i] != DONE && due <= 1e-9 * (1 + next))
				next_stage(&s, i, next);
		}
		now = next;
	}
	return now;
}
