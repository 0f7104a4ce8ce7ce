/* Calls that would hold up the layer: what becomes of them while it is at work (inference.h says what may).
 *
 * A device that was silent for suspect_s is suspected. Each of its calls goes to another that holds the same experts; what only it holds is
 * left out, or goes to the token's next-best expert that can be reached, or waits, as on_silence says; no token is left with nothing. It is taken back
 * as soon as it is heard again.
 *
 * With give_up, calls are left out when that makes the layer so much faster, as forecast from what is known now, that it is worth the loss at
 * the policy's own price.
 */
#include "testbed/inference_inner.h"

#include <math.h>
#include <string.h>

void inference_note(struct inference *inf, uint32_t row, uint32_t wanted, int expert, double share,
                    enum deviation_reason reason)
{
	inf->deviations[inf->n_deviations++ % INFERENCE_DEVIATIONS] = (struct deviation){ .index = inf->n_records,
		                                                                          .layer = (uint32_t)inf->layer,
		                                                                          .row = row,
		                                                                          .wanted = wanted,
		                                                                          .expert = expert,
		                                                                          .share = share,
		                                                                          .reason = reason };
}

/* What part of its row's weight a place has. */
static double share_of(const struct inference *inf, const struct place *p)
{
	double sum = 0;
	for (size_t i = 0; i < inf->n_places; i++)
		if (inf->places[i].row == p->row)
			sum += (double)inf->places[i].choice.prob;
	return sum > 0 ? (double)p->choice.prob / sum : 1;
}

static bool row_has_another(const struct inference *inf, const struct place *p)
{
	for (size_t i = 0; i < inf->n_places; i++)
		if (&inf->places[i] != p && inf->places[i].row == p->row && !inf->places[i].given_up)
			return true;
	return false;
}

/* What the policy picked, kept true: the weight kept is counted on it. */
static void amend_pick(struct inference *inf, uint32_t row, uint32_t from, int to)
{
	size_t k = inf->shape->n_expert_used;
	for (size_t i = row * k; i < (row + 1) * k; i++) {
		struct layer_choice *c = &inf->picked[i];
		if (c->device < 0 || c->expert != from)
			continue;
		if (to < 0)
			c->device = -1;
		else
			c->expert = (uint16_t)to;
		return;
	}
}

static void give_up_place(struct inference *inf, struct place *p, enum deviation_reason reason)
{
	inference_note(inf, p->row, p->choice.expert, -1, share_of(inf, p), reason);
	amend_pick(inf, p->row, p->choice.expert, -1);
	p->given_up = true;
	inf->n_dropped++;
	inf->stats.dropped++;
	inf->stats.given_up++;
}

/* Nothing of the call is needed any more. */
static void close_call(struct inference *inf, struct call *c, double t_s)
{
	c->state = CALL_DONE;
	c->given_up = true;
	c->started_s = c->downlink_end_s = c->uplink_start_s = c->done_s = t_s;
	c->compute_s = 0;
	inf->n_done++;
}

/* ---- silence ---- */

static bool served_in_row(const struct inference *inf, uint32_t row, size_t expert)
{
	for (size_t i = 0; i < inf->n_places; i++)
		if (inf->places[i].row == row && inf->places[i].choice.expert == expert)
			return true;
	return false;
}

/* The most probable expert of the row that does not serve it yet and that an able device holds; n_expert: none. */
static size_t next_best(const struct inference *inf, uint32_t row, uint32_t able)
{
	const uint32_t *holders = inf->holders + inf->layer * inf->shape->n_expert;
	const float *probs = moe_router_probs(inf->ctx, row);
	size_t best = inf->shape->n_expert;
	for (size_t e = 0; e < inf->shape->n_expert; e++)
		if (holders[e] & able && !served_in_row(inf, row, e) &&
		    (best == inf->shape->n_expert || probs[e] > probs[best]))
			best = e;
	return best;
}

static bool held_by(const struct inference *inf, size_t expert, uint32_t devices)
{
	return inf->holders[inf->layer * inf->shape->n_expert + expert] & devices;
}

/* A place that only silent devices hold. */
static void part_with(struct inference *inf, struct place *p, uint32_t able)
{
	bool drop = inf->params.on_silence == SILENCE_DROP, next = inf->params.on_silence == SILENCE_NEXT;
	size_t expert = drop || next ? next_best(inf, p->row, able) : inf->shape->n_expert;
	if (drop && row_has_another(inf, p)) {
		give_up_place(inf, p, DEVIATION_SILENCE);
	} else if (expert < inf->shape->n_expert) {
		inference_note(inf, p->row, p->choice.expert, (int)expert, share_of(inf, p), DEVIATION_SILENCE);
		amend_pick(inf, p->row, p->choice.expert, (int)expert);
		p->choice.expert = (uint32_t)expert;
		p->choice.prob = moe_router_probs(inf->ctx, p->row)[expert];
		p->replaced = true;
	}
}

/* Places still needed come first. Returns how many. */
static size_t sort_out(struct place *places, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (!places[i].given_up) {
			struct place p = places[i];
			memmove(places + kept + 1, places + kept, (i - kept) * sizeof *places);
			places[kept++] = p;
		}
	return kept;
}

void inference_leave(struct inference *inf, unsigned device, uint32_t able, double t_s)
{
	size_t n = inf->n_calls;
	inf->devices[device].alive = false;
	cell_multicast_leave(inf->params.cell, device);
	for (size_t i = 0; i < n; i++) {
		struct call *c = &inf->calls[i];
		if (c->plan.device != device || c->state == CALL_DONE)
			continue;
		struct place *places = inf->places + c->plan.first;
		for (size_t k = 0; k < c->plan.n_choices && !inf->params.combine; k++)
			if (!held_by(inf, places[k].choice.expert, able))
				part_with(inf, &places[k], able);
		size_t needed = sort_out(places, c->plan.n_choices);
		if (needed)
			inference_deal_again(inf, c, needed, able);
		else
			close_call(inf, c, t_s);
	}
}

static bool has_open_call(const struct inference *inf, unsigned device)
{
	for (size_t i = 0; i < inf->n_calls; i++)
		if (inf->calls[i].plan.device == device && inf->calls[i].state != CALL_DONE)
			return true;
	return false;
}

/* Would leaving it change anything: or does it hold alone what must wait for it? */
static bool can_be_left(const struct inference *inf, unsigned device, uint32_t able)
{
	for (size_t i = 0; i < inf->n_calls; i++) {
		const struct call *c = &inf->calls[i];
		if (c->plan.device != device || c->state == CALL_DONE)
			continue;
		for (size_t k = 0; k < c->plan.n_choices; k++) {
			const struct place *p = &inf->places[c->plan.first + k];
			if (held_by(inf, p->choice.expert, able))
				return true;
			if (inf->params.on_silence != SILENCE_WAIT && !inf->params.combine &&
			    ((inf->params.on_silence == SILENCE_DROP && row_has_another(inf, p)) ||
			     next_best(inf, p->row, able) < inf->shape->n_expert))
				return true;
		}
	}
	return false;
}

static void leave_the_silent(struct inference *inf, double t_s)
{
	uint32_t able = inference_able(inf);
	for (unsigned d = 0; d < inf->params.n_devices; d++)
		if (!(able >> d & 1) && has_open_call(inf, d) && can_be_left(inf, d, able)) {
			inf->stats.suspected++;
			inference_leave(inf, d, able, t_s);
		}
}

/* ---- giving up ---- */

/* Of the multicast that is sent for its sake. */
static double cast_slots_left(const struct inference *inf, const struct call *c)
{
	double all = (double)(inf->cast.n_rows * codec_bytes(inf->params.codec_down, inf->shape->n_embd));
	double sent = all - (double)cell_multicast_left(inf->params.cell);
	double left = fmin(fmax((double)(c->cast_from + c->cast_bytes) - sent, 0), (double)c->cast_bytes);
	return c->cast_bytes ? c->cast_slots * left / (double)c->cast_bytes : 0;
}

/* An open call as what is left of it. */
static struct flow_job job_left(const struct inference *inf, const struct call *c)
{
	struct flow_job job = inference_job(inf, c);
	unsigned d = c->plan.device;
	double waiting = (double)cell_dl_backlog(inf->params.cell, d), own = job.first - c->cast_slots;
	double rate = inference_dl_bytes(inf, c) / fmax(own, 1e-9); /* a slot */
	if (c->started)
		own = fmin(own, waiting / rate);
	job.first = own + cast_slots_left(inf, c);
	if (cell_ul_backlog(inf->params.cell, d) > 0) /* it has something to say: this is done */
		job.first = job.lag = 0;
	return job;
}

static bool dispensable(const struct inference *inf, const struct call *c, double *loss)
{
	*loss = 0;
	for (size_t k = 0; k < c->plan.n_choices; k++) {
		const struct place *p = &inf->places[c->plan.first + k];
		if (!row_has_another(inf, p))
			return false;
		*loss += inf->sensitivity * pow(share_of(inf, p), inf->params.select.loss_exponent) /
		         (double)inf->n_rows;
	}
	return true;
}

/* No token may lose two choices at once to one call: then the call stays. */
static bool rows_differ(const struct inference *inf, const struct call *c)
{
	for (size_t k = 1; k < c->plan.n_choices; k++)
		if (inf->places[c->plan.first + k].row == inf->places[c->plan.first + k - 1].row)
			return false;
	return true;
}

static void give_up_late(struct inference *inf, double t_s)
{
	struct flow_job jobs[FLOW_JOBS_MAX] = { { 0 } }, without[FLOW_JOBS_MAX];
	size_t of[FLOW_JOBS_MAX], n = 0, best = SIZE_MAX;
	for (size_t i = 0; i < inf->n_calls && n < FLOW_JOBS_MAX; i++)
		if (inf->calls[i].state != CALL_DONE) {
			jobs[n] = job_left(inf, &inf->calls[i]);
			of[n++] = i;
		}
	double all = flow_shop_forecast(inference_sharing(inf), jobs, n, inf->params.n_devices), most = 0;
	double price = inf->params.select.price_layers * inf->forecast_s / inference_slot_s(inf);
	for (size_t k = 0; k < n && n > 1; k++) {
		double loss;
		const struct call *c = &inf->calls[of[k]];
		if (!rows_differ(inf, c) || !dispensable(inf, c, &loss))
			continue;
		memcpy(without, jobs, n * sizeof *jobs);
		memmove(without + k, without + k + 1, (n - 1 - k) * sizeof *jobs);
		double gain = all - flow_shop_forecast(inference_sharing(inf), without, n - 1, inf->params.n_devices) -
		              price * loss;
		if (gain > most && gain > 1) {
			most = gain;
			best = of[k];
		}
	}
	if (best == SIZE_MAX)
		return;
	struct call *c = &inf->calls[best];
	for (size_t k = 0; k < c->plan.n_choices; k++)
		give_up_place(inf, &inf->places[c->plan.first + k], DEVIATION_LATE);
	close_call(inf, c, t_s);
}

void inference_rescue(struct inference *inf, uint64_t slot, double t_s)
{
	leave_the_silent(inf, t_s);
	if (inf->params.give_up && !inf->params.combine && slot % RESCUE_SLOTS == 0 && inf->n_done < inf->n_calls)
		give_up_late(inf, t_s);
}
