/* Which hidden states of a layer go out once to several devices, instead of once to each of them.
 *
 * Multicast goes at the rate of the device that is worst off, so it is for some: the n that are best off, for every n, as the layer's
 * forecast says. Of the rows those go that two or more of these devices need and that take less of the band this way. They go in the
 * order in which the flow shop would have the calls served: a device can begin when its rows are there, whoever else needs
 * them too.
 */
#include "testbed/inference_inner.h"

#include <math.h>
#include <string.h>

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

static bool hears(const struct inference *inf, const struct call *c)
{
	return inf->cast.devices >> c->plan.device & 1;
}

/* Marks the rows that multicast is good for: number 0, others -1. */
static void mark_rows(struct inference *inf)
{
	struct multicast_plan *m = &inf->cast;
	for (size_t row = 0; row < inf->n_rows; row++) {
		m->number[row] = -1;
		m->unicast_slots[row] = 0;
		m->needed_by[row] = 0;
	}
	for (size_t i = 0; i < inf->n_calls; i++) {
		const struct plan_call *plan = &inf->calls[i].plan;
		for (size_t k = plan->first; k < plan->first + plan->n_choices && hears(inf, &inf->calls[i]); k++) {
			if (!inf->places[k].first_of_row)
				continue;
			m->unicast_slots[inf->places[k].row] += 1 / downlink_rate(inf, plan->device);
			m->needed_by[inf->places[k].row]++;
		}
	}
	for (size_t row = 0; row < inf->n_rows; row++)
		if (m->needed_by[row] > 1 && m->unicast_slots[row] * m->rate > 1)
			m->number[row] = 0;
}

/* Numbers the marked rows call by call, in the order of the line. */
static void number_rows(struct inference *inf, const struct flow_job *line, size_t n_line)
{
	struct multicast_plan *m = &inf->cast;
	size_t row_bytes = codec_bytes(inf->params.codec_down, inf->shape->n_embd);
	m->n_rows = 0;
	for (size_t row = 0; row < inf->n_rows; row++)
		m->order[row] = -1;
	for (size_t k = 0; k < inf->n_calls; k++) {
		inf->calls[k].n_heard = 0;
		inf->calls[k].cast_bytes = 0;
	}
	for (size_t i = 0; i < n_line; i++)
		for (size_t k = 0; k < inf->n_calls; k++) {
			struct call *c = &inf->calls[k];
			if (c->plan.device != line[i].device)
				continue;
			for (size_t p = c->plan.first; p < c->plan.first + c->plan.n_choices && hears(inf, c); p++) {
				uint32_t row = inf->places[p].row;
				if (!inf->places[p].first_of_row || m->number[row] < 0)
					continue;
				c->n_heard++;
				if (m->order[row] >= 0)
					continue;
				m->order[row] = (int32_t)m->n_rows++;
				c->cast_bytes += (double)row_bytes;
			}
		}
	memcpy(m->number, m->order, inf->n_rows * sizeof *m->number);
}

/* Plans multicast to these devices (0: none) and returns what the layer is forecast to take, in slots. */
static double plan_for(struct inference *inf, uint32_t devices, const struct flow_job *line, size_t n_line)
{
	inf->cast.devices = devices;
	inf->cast.rate = devices ? cell_multicast_rate(inf->params.cell, devices) * carried(inf, devices) : 0;
	mark_rows(inf);
	number_rows(inf, line, n_line);
	if (!inf->cast.n_rows)
		inf->cast.devices = 0;
	return inference_forecast_slots(inf);
}

/* One job for each device that has calls, in the order of the line. Returns how many. */
static size_t line_up(const struct inference *inf, struct flow_job *line)
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
			line[n] = of[d];
			line[n++].device = d;
		}
	flow_shop_order(line, n);
	return n;
}

/* The devices with calls by their downlink rate, the best off first. */
static void rank(const struct inference *inf, const struct flow_job *line, size_t n, unsigned *ranked)
{
	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned)line[i].device;
		size_t at = i;
		for (; at > 0 && inf->devices[ranked[at - 1]].mean_bps[LAYER_DL] < inf->devices[d].mean_bps[LAYER_DL]; at--)
			ranked[at] = ranked[at - 1];
		ranked[at] = d;
	}
}

/* The set itself, to the cell; without it if that will not have it. */
static void send_set(struct inference *inf)
{
	struct multicast_plan *m = &inf->cast;
	const struct codec *codec = inf->params.codec_down;
	size_t n_embd = inf->shape->n_embd, row_bytes = codec_bytes(codec, n_embd);
	for (size_t row = 0; row < inf->n_rows; row++)
		if (m->number[row] >= 0 && codec->encode(moe_hidden(inf->ctx, row), n_embd,
		                                         m->states + (size_t)m->number[row] * row_bytes)) {
			inference_fail(inf, "layer %zu: a hidden state does not fit codec %s", inf->layer, codec->name);
			return;
		}
	if (cell_multicast(inf->params.cell, m->devices, ++m->set, m->states, m->n_rows * row_bytes)) {
		plan_for(inf, 0, NULL, 0);
		return;
	}
	inf->stats.multicast_layers++;
	inf->stats.multicast_rows += m->n_rows;
	inf->stats.bytes_down += m->n_rows * row_bytes;
}

void inference_plan_multicast(struct inference *inf)
{
	struct flow_job line[PHY_DEVICES_MAX];
	unsigned ranked[PHY_DEVICES_MAX];
	uint32_t devices = 0, best = 0;
	size_t n = line_up(inf, line);
	rank(inf, line, n, ranked);
	double best_slots = plan_for(inf, 0, line, n);
	for (size_t i = 0; i < n; i++) {
		devices |= 1u << ranked[i];
		double slots = i ? plan_for(inf, devices, line, n) : INFINITY;
		if (slots < best_slots) {
			best_slots = slots;
			best = devices;
		}
	}
	plan_for(inf, best, line, n);
	if (inf->cast.devices)
		send_set(inf);
}
