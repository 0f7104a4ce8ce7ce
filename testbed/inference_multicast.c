/* Which hidden states of a layer go out once for several devices, instead of once to each of them.
 *
 * A row goes at the rate of the weakest of the devices that need it, and the others listen: worth it when that takes clearly less of
 * the band than to send it to each. Rows with the same weakest device go together. They go in the order in which the flow shop
 * would have the calls served, what a device still lacks before what only later ones need. Multicast is used where the layer is
 * forecast to be faster with it.
 */
#include "testbed/inference_inner.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Blocks for several devices cannot be put where the band suits one of them best. */
#define MULTICAST_RATE 0.8

enum { UNICAST = -1, MARKED = -2 }; /* instead of a row's number in the set */

/* Bytes a slot with the downlink for itself. */
static double downlink_rate(const struct inference *inf, unsigned device)
{
	return (double)inf->problem.n_rb * inference_slot_s(inf) / 8 * inf->devices[device].mean_bps[LAYER_DL];
}

/* Of the blocks to these devices, the part that arrives. */
static double carried(const struct inference *inf, uint32_t devices)
{
	double least = 1;
	for (unsigned d = 0; d < inf->params.n_devices; d++) {
		struct predict_parts parts;
		if (!(devices >> d & 1))
			continue;
		predict_parts(cell_predict_state(inf->params.cell, d), inf->predict_config, &parts);
		least = fmin(least, parts.carried[LAYER_DL]);
	}
	return least;
}

static size_t row_bytes(const struct inference *inf)
{
	return codec_bytes(inf->params.codec_down, inf->shape->n_embd);
}

/* ---- which rows ---- */

/* Of every row, who needs it. */
static void list_needs(struct inference *inf)
{
	struct multicast_plan *m = &inf->cast;
	memset(m->needed_by, 0, inf->n_rows * sizeof *m->needed_by);
	memset(m->unicast, 0, inf->n_rows * sizeof *m->unicast);
	for (size_t i = 0; i < inf->n_places; i++) {
		const struct place *p = &inf->places[i];
		if (!p->first_of_row)
			continue;
		if (!m->needed_by[p->row] || downlink_rate(inf, p->device) < downlink_rate(inf, m->weakest[p->row]))
			m->weakest[p->row] = p->device;
		m->needed_by[p->row] |= 1u << p->device;
		m->unicast[p->row] += 1 / downlink_rate(inf, p->device);
	}
}

static bool worth_it(const struct inference *inf, size_t row, double rate)
{
	uint32_t devices = inf->cast.needed_by[row];
	return devices & (devices - 1) && inf->cast.unicast[row] * rate > 1 &&
	       cell_multicast_can(inf->params.cell, devices);
}

/* Marks the rows that multicast is good for. */
static void mark_rows(struct inference *inf)
{
	struct multicast_plan *m = &inf->cast;
	uint32_t devices[PHY_DEVICES_MAX] = { 0 };
	for (size_t row = 0; row < inf->n_rows; row++)
		if (worth_it(inf, row, MULTICAST_RATE * downlink_rate(inf, m->weakest[row])))
			devices[m->weakest[row]] |= m->needed_by[row];
	for (unsigned d = 0; d < inf->params.n_devices; d++)
		m->rate[d] = devices[d] ? MULTICAST_RATE * cell_multicast_rate(inf->params.cell, devices[d]) *
		                                  carried(inf, devices[d])
		                        : 0;
	for (size_t row = 0; row < inf->n_rows; row++)
		m->number[row] = worth_it(inf, row, m->rate[m->weakest[row]]) ? MARKED : UNICAST;
}

/* ---- in which order ---- */

/* A line: devices, in the order in which they shall be done with the downlink. */
struct line {
	unsigned device[PHY_DEVICES_MAX];
	size_t n;
};

/* Of each device all of its calls as one job, unicast. Returns how many. */
static size_t list_jobs(const struct inference *inf, struct flow_job *jobs)
{
	size_t n = 0;
	struct flow_job of[PHY_DEVICES_MAX] = { { 0 } };
	for (size_t i = 0; i < inf->n_calls; i++) {
		struct flow_job job = inference_job(inf, &inf->calls[i]);
		of[job.device].first += job.first;
		of[job.device].lag += job.lag;
		of[job.device].then += job.then;
	}
	for (size_t d = 0; d < inf->params.n_devices; d++)
		if (of[d].first > 0) {
			jobs[n] = of[d];
			jobs[n++].device = d;
		}
	return n;
}

/* As without multicast. */
static void by_flow_shop(struct flow_job *jobs, size_t n, struct line *line)
{
	flow_shop_order(jobs, n);
	line->n = n;
	for (size_t i = 0; i < n; i++)
		line->device[i] = (unsigned)jobs[i].device;
}

/* Slots that the rows take which a device needs and that are not marked as sent. */
static double slots_lacking(const struct inference *inf, unsigned device, const bool *sent)
{
	const struct multicast_plan *m = &inf->cast;
	double slots = 0;
	for (size_t row = 0; row < inf->n_rows; row++)
		if (m->needed_by[row] >> device & 1 && !sent[row])
			slots += (double)row_bytes(inf) * (m->number[row] == UNICAST ? 1 / downlink_rate(inf, device)
			                                                             : 1 / m->rate[m->weakest[row]]);
	return slots;
}

/* Next whoever brings the uplink most work for what it still lacks. */
static void by_yield(struct inference *inf, const struct flow_job *jobs, size_t n, struct line *line)
{
	uint32_t todo = 0;
	memset(inf->cast.sent, 0, inf->n_rows * sizeof *inf->cast.sent);
	for (size_t i = 0; i < n; i++)
		todo |= 1u << i;
	for (line->n = 0; todo; line->n++) {
		size_t best = n;
		double most = -1;
		for (size_t i = 0; i < n; i++) {
			double lacks = slots_lacking(inf, (unsigned)jobs[i].device, inf->cast.sent);
			double yield = jobs[i].then / fmax(lacks, 1e-9);
			if (todo >> i & 1 && yield > most) {
				most = yield;
				best = i;
			}
		}
		todo &= ~(1u << best);
		line->device[line->n] = (unsigned)jobs[best].device;
		for (size_t row = 0; row < inf->n_rows; row++)
			inf->cast.sent[row] |= inf->cast.needed_by[row] >> jobs[best].device & 1;
	}
}

/* The calls in the order of the line. */
static void sort_calls(struct inference *inf, const struct line *line)
{
	size_t n = 0;
	for (size_t i = 0; i < line->n; i++)
		for (size_t k = n; k < inf->n_calls; k++)
			if (inf->calls[k].plan.device == line->device[i]) {
				struct call c = inf->calls[k];
				memmove(&inf->calls[n + 1], &inf->calls[n], (k - n) * sizeof c);
				inf->calls[n++] = c;
			}
}

/* ---- the plan ---- */

/* The marked rows that the device of this call needs and of which that one is the weakest, as a segment of the set. */
static void add_segment(struct inference *inf, struct call *c, unsigned weakest)
{
	struct multicast_plan *m = &inf->cast;
	struct cell_segment s = { .offset = (uint32_t)(m->n_rows * row_bytes(inf)) };
	for (size_t row = 0; row < inf->n_rows; row++)
		if (m->number[row] == MARKED && m->weakest[row] == weakest && m->needed_by[row] >> c->plan.device & 1) {
			m->number[row] = (int32_t)m->n_rows++;
			s.n += (uint32_t)row_bytes(inf);
			s.devices |= m->needed_by[row];
		}
	if (!s.n)
		return;
	m->segments[m->n_segments++] = s;
	c->cast_bytes += s.n;
	c->cast_slots += s.n / m->rate[weakest];
}

/* Of its rows those that come by multicast. */
static size_t rows_heard(const struct inference *inf, const struct call *c)
{
	size_t n = 0;
	for (size_t k = c->plan.first; k < c->plan.first + c->plan.n_choices; k++)
		n += inf->places[k].first_of_row && inf->cast.number[inf->places[k].row] >= 0;
	return n;
}

static void clear(struct inference *inf)
{
	inf->cast.n_rows = inf->cast.n_segments = 0;
	for (size_t i = 0; i < inf->n_calls; i++) {
		struct call *c = &inf->calls[i];
		c->n_heard = c->cast_bytes = c->cast_from = 0;
		c->cast_slots = 0;
	}
}

/* Puts what is marked in that order; returns the slots that the layer is forecast to take. */
static double plan_in(struct inference *inf, const struct line *line)
{
	struct multicast_plan *m = &inf->cast;
	clear(inf);
	for (size_t row = 0; row < inf->n_rows; row++)
		m->number[row] = m->number[row] == UNICAST ? UNICAST : MARKED;
	sort_calls(inf, line);
	for (size_t i = 0; i < inf->n_calls; i++) {
		struct call *c = &inf->calls[i];
		c->cast_from = m->n_rows * row_bytes(inf);
		for (unsigned w = 0; w < inf->params.n_devices; w++)
			add_segment(inf, c, w);
	}
	for (size_t i = 0; i < inf->n_calls; i++)
		inf->calls[i].n_heard = rows_heard(inf, &inf->calls[i]);
	return inference_forecast_slots(inf);
}

/* ---- the set ---- */

/* To the cell; 0, or nothing goes out so. */
static int send_set(struct inference *inf)
{
	struct multicast_plan *m = &inf->cast;
	const struct codec *codec = inf->params.codec_down;
	size_t n_embd = inf->shape->n_embd, n = m->n_rows * row_bytes(inf);
	for (size_t row = 0; row < inf->n_rows; row++)
		if (m->number[row] >= 0 && codec->encode(moe_hidden(inf->ctx, row), n_embd,
		                                         m->states + (size_t)m->number[row] * row_bytes(inf)))
			return -EDOM; /* the calls will say so */
	int rc = cell_multicast(inf->params.cell, ++m->set, m->states, n, m->segments, m->n_segments);
	if (rc)
		return rc;
	inf->stats.multicast_layers++;
	inf->stats.multicast_rows += m->n_rows;
	inf->stats.bytes_down += n;
	return 0;
}

void inference_plan_multicast(struct inference *inf)
{
	struct flow_job jobs[PHY_DEVICES_MAX];
	struct line lines[2];
	clear(inf);
	double without = inference_forecast_slots(inf);
	size_t n = list_jobs(inf, jobs);
	list_needs(inf);
	mark_rows(inf);
	by_yield(inf, jobs, n, &lines[1]);
	by_flow_shop(jobs, n, &lines[0]);
	bool other = plan_in(inf, &lines[0]) > plan_in(inf, &lines[1]);
	double slots = plan_in(inf, &lines[other]);
	if (!inf->cast.n_rows || slots >= without || send_set(inf))
		clear(inf);
}
