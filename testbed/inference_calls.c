#include "testbed/inference_inner.h"

#include <math.h>
#include <string.h>

/* Calls for n places from `first` on; the first of them goes where *at stands, the others behind all there are. */
void inference_make_calls(struct inference *inf, size_t first, size_t n, struct call *at)
{
	size_t n_new = plan_calls(inf->places + first, inf->scratch, n, inf->params.call_rows_max, inf->plans);
	for (size_t i = 0; i < n_new; i++) {
		struct call *c = i ? &inf->calls[inf->n_calls++] : at;
		*c = (struct call){ .plan = inf->plans[i] };
		c->plan.first += first;
	}
}

/* Lists what the call asks for, row by row. */
static void list_choices(struct inference *inf, const struct call *c)
{
	size_t row = 0;
	for (size_t i = 0; i < c->plan.n_choices; i++) {
		const struct place *p = &inf->places[c->plan.first + i];
		row += p->first_of_row;
		bool heard = c->n_heard && inf->cast.number[p->row] >= 0;
		inf->choices[i] = (struct call_choice){ .row = (uint16_t)(row - 1),
			                                .expert = (uint16_t)p->choice.expert,
			                                .weight = p->choice.weight,
			                                .heard = heard,
			                                .number = heard ? (uint16_t)inf->cast.number[p->row] : 0 };
	}
}

/* Writes table and hidden states; 0, or what the codec said. */
static int write_payload(struct inference *inf, const struct call *c, size_t *n)
{
	const struct codec *codec = inf->params.codec_down;
	size_t n_embd = inf->shape->n_embd;
	list_choices(inf, c);
	*n = call_encode(inf->choices, c->plan.n_choices, c->plan.n_rows, inf->params.combine, inf->payload);
	for (size_t i = 0; i < c->plan.n_choices; i++) {
		const struct place *p = &inf->places[c->plan.first + i];
		if (!p->first_of_row || inf->choices[i].heard)
			continue;
		int rc = codec->encode(moe_hidden(inf->ctx, p->row), n_embd, inf->payload + *n);
		if (rc)
			return rc;
		*n += codec_bytes(codec, n_embd);
	}
	return 0;
}

/* For messages: the first expert that a call asks for. */
unsigned inference_expert_of(const struct inference *inf, const struct call *c)
{
	return inf->places[c->plan.first].choice.expert;
}

static void send_call(struct inference *inf, struct call *c)
{
	size_t n_payload;
	if (write_payload(inf, c, &n_payload)) {
		inference_fail(inf, "layer %zu expert %u: a hidden state does not fit codec %s", inf->layer,
		               inference_expert_of(inf, c), inf->params.codec_down->name);
		return;
	}
	struct message m = { .type = MESSAGE_CALL,
		             .codec = inf->params.codec_down->id,
		             .reply_codec = inf->params.codec_up->id,
		             .combined = inf->params.combine,
		             .seq = inf->seq + 1,
		             .set = inf->cast.set,
		             .layer = (uint16_t)inf->layer,
		             .rows = (uint16_t)c->plan.n_rows,
		             .choices = (uint16_t)c->plan.n_choices,
		             .n_payload = (uint32_t)n_payload };
	uint32_t begin = cell_queued(inf->params.cell, c->plan.device);
	if (cell_send(inf->params.cell, c->plan.device, &m, inf->payload))
		return; /* no room now, or just lost: it stays unsent, and the timer runs */
	c->seq = ++inf->seq;
	c->stream_begin = begin;
	c->started = false;
	c->state = CALL_SENT;
	inf->stats.bytes_down += MESSAGE_HEADER + m.n_payload;
}

void inference_send_calls(struct inference *inf)
{
	for (size_t i = 0; i < inf->n_calls && inf->status == INFERENCE_RUNNING; i++) {
		struct call *c = &inf->calls[i];
		if (c->state == CALL_UNSENT && cell_state(inf->params.cell, c->plan.device) == CELL_ATTACHED)
			send_call(inf, c);
	}
}

/* Rows that come back for a call: one a choice, or one a row of sums. */
static size_t result_rows(const struct inference *inf, const struct call *c)
{
	return inf->params.combine ? c->plan.n_rows : c->plan.n_choices;
}

size_t inference_result_bytes(const struct inference *inf, const struct call *c)
{
	return result_rows(inf, c) * codec_bytes(inf->params.codec_up, inf->shape->n_embd);
}

/* What is left of the layer on each device, for the allocators. */
void inference_update_loads(struct inference *inf)
{
	struct cell_load load[PHY_DEVICES_MAX] = { 0 };
	double rows[PHY_DEVICES_MAX] = { 0 };
	bool calling = inf->status == INFERENCE_RUNNING && inf->phase == PHASE_CALLING;
	for (size_t i = 0; calling && i < inf->n_calls; i++) {
		const struct call *c = &inf->calls[i];
		if (c->state == CALL_DONE)
			continue;
		load[c->plan.device].loaded = true;
		load[c->plan.device].remaining_bytes[CELL_UL] +=
		        (double)inference_result_bytes(inf, c) + MESSAGE_HEADER + ARQ_DATA_HEADER;
		rows[c->plan.device] += (double)c->plan.n_choices;
	}
	for (unsigned d = 0; d < inf->params.n_devices; d++) {
		if (load[d].loaded) {
			float rates[PHY_RB_MAX + 1];
			cell_rates(inf->params.cell, d, CELL_UL, inference_lasts_slots(inf), rates);
			double rate = fmax((double)rates[cell_n_rb(inf->params.cell)], 1.0);
			load[d].remaining_bytes[CELL_DL] = (double)cell_dl_backlog(inf->params.cell, d);
			load[d].after_s = load[d].remaining_bytes[CELL_UL] / rate * inference_slot_s(inf);
			load[d].tail_s =
			        predict_compute_s(cell_predict_state(inf->params.cell, d), rows[d]) + load[d].after_s;
		}
		cell_set_load(inf->params.cell, d, &load[d]);
	}
}

/* ---- results ---- */

static struct call *find_call(struct inference *inf, unsigned device, uint32_t seq)
{
	for (size_t i = 0; i < inf->n_calls; i++)
		if (inf->calls[i].state == CALL_SENT && inf->calls[i].started && inf->calls[i].seq == seq &&
		    inf->calls[i].plan.device == device)
			return &inf->calls[i];
	return NULL;
}

static bool decode_result(struct inference *inf, const struct call *c, const struct message *m, const uint8_t *payload)
{
	const struct codec *codec = inf->params.codec_up;
	size_t n_embd = inf->shape->n_embd, row_bytes = codec_bytes(codec, n_embd);
	if (m->layer != inf->layer || m->rows != c->plan.n_rows || m->choices != c->plan.n_choices ||
	    m->combined != inf->params.combine || m->codec != codec->id ||
	    m->n_payload != inference_result_bytes(inf, c))
		return false;
	for (size_t i = c->plan.first; i < c->plan.first + c->plan.n_choices; i++) {
		if (inf->params.combine && !inf->places[i].first_of_row)
			continue;
		if (codec->decode(payload, n_embd, inf->y + i * n_embd))
			return false;
		payload += row_bytes;
	}
	return true;
}

/* What a result tells of its way. All times lie between the router's output and now, whatever the device says. */
static void time_call(struct inference *inf, struct call *c, const struct message *m, uint64_t slot)
{
	double now_s = (double)(slot + 1) * inference_slot_s(inf);
	double dl_end_s = ((double)m->slot + 1) * inference_slot_s(inf);
	c->compute_s = 1e-6 * m->compute_us;
	c->downlink_end_s = fmin(fmax(dl_end_s, c->started_s), now_s);
	double result_s = fmin(c->downlink_end_s + 1e-6 * m->queue_us + c->compute_s, now_s);
	c->compute_s = fmin(c->compute_s, result_s - c->downlink_end_s);
	uint64_t grant = cell_ul_grant_after(inf->params.cell, c->plan.device,
	                                     (uint64_t)ceil(result_s / inference_slot_s(inf) - 1e-6));
	c->uplink_start_s = fmin(fmax((double)grant * inference_slot_s(inf), result_s), now_s - inference_slot_s(inf));
	c->uplink_start_s = fmax(c->uplink_start_s, result_s);
	c->done_s = now_s;
	struct predict_state *p = cell_predict_state(inf->params.cell, c->plan.device);
	predict_observe_compute(p, inf->predict_config, m->choices, c->compute_s);
	predict_observe_wait(p, inf->predict_config, PREDICT_DOWN, fmax(c->started_s - inf->ready_s, 0));
	predict_observe_wait(p, inf->predict_config, PREDICT_UP, c->uplink_start_s - result_s);
}

void inference_message(struct inference *inf, unsigned device, const struct message *m, const uint8_t *payload,
                       uint64_t slot)
{
	struct call *c =
	        inf->status == INFERENCE_RUNNING && inf->phase == PHASE_CALLING ? find_call(inf, device, m->seq) : NULL;
	if (!c) {
		inf->stats.stale++;
		return;
	}
	if (m->status == MESSAGE_NOT_HEARD && c->n_heard) {
		inf->stats.not_heard++;
		c->n_heard = 0;
		c->cast_slots = 0;
		c->state = CALL_UNSENT; /* it goes again, whole */
		return;
	}
	if (m->status != MESSAGE_OK) {
		inf->stats.refused++;
		inference_fail(inf, "layer %zu expert %u: device %u answered: %s", inf->layer,
		               inference_expert_of(inf, c), device, message_status_name(m->status));
		return;
	}
	if (!decode_result(inf, c, m, payload)) {
		inf->stats.refused++;
		return; /* as if it had not come: the timer runs */
	}
	time_call(inf, c, m, slot);
	c->state = CALL_DONE;
	inf->n_done++;
	inf->stats.bytes_up += MESSAGE_HEADER + m->n_payload;
}

void inference_deal_again(struct inference *inf, struct call *c, size_t n, uint32_t able)
{
	unsigned was = c->plan.device;
	bool moved = false, sent = c->state == CALL_SENT;
	struct place *places = inf->places + c->plan.first;
	for (size_t i = 0; i < n; i++) {
		size_t to = bandwidth_first_done(&inf->problem, &inf->split, inf->tokens_on, places[i].choice.expert);
		if (to < inf->params.n_devices && able >> to & 1) {
			places[i].device = (uint8_t)to;
			inf->tokens_on[to]++;
		}
		moved |= places[i].device != was;
	}
	inf->stats.calls_moved += moved;
	inf->stats.calls_sent_again += sent && !moved;
	inference_make_calls(inf, c->plan.first, n, c);
}

void inference_lost(struct inference *inf, unsigned device)
{
	if (inf->status == INFERENCE_RUNNING && inf->phase == PHASE_CALLING)
		inference_leave(inf, device, inference_able(inf) & ~(1u << device), inf->now_s);
}

void inference_sent(struct inference *inf, uint64_t slot)
{
	for (size_t i = 0; i < inf->n_calls && inf->phase == PHASE_CALLING; i++) {
		struct call *c = &inf->calls[i];
		if (c->state == CALL_SENT && !c->started &&
		    (int32_t)(cell_sent(inf->params.cell, c->plan.device) - c->stream_begin) > 0) {
			c->started = true;
			c->started_s = (double)slot * inference_slot_s(inf);
		}
	}
}
