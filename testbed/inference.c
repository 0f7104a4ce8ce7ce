#include "testbed/inference.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moe/bs_half.h"
#include "scheduler/predict.h"

enum { RECORDS = 64, NO_DEVICE = 0xff };

enum phase {
	PHASE_BEGIN,     /* the next chunk is to be embedded */
	PHASE_COMPUTING, /* attention and router of a layer, until ready_s */
	PHASE_CALLING,   /* experts are at work */
	PHASE_HEAD,      /* output head, until ready_s */
};

enum call_state { CALL_UNSENT, CALL_SENT, CALL_DONE };

struct call {
	enum call_state state;
	uint32_t seq;
	uint32_t expert;
	unsigned device;
	size_t first, n_rows;  /* its places in the layer's list of served choices */
	uint32_t stream_begin; /* where the message starts in the device's stream */
	bool started;
	double started_s; /* start of the first downlink slot with a byte of it */
	double done_s;
	double downlink_end_s, compute_s, uplink_start_s; /* from the result */
};

/* A served choice of a row: which expert output goes where. */
struct served {
	uint32_t row;
	struct moe_choice choice;
};

struct inference {
	struct inference_params params;
	const struct moe_shape *shape;
	struct moe_ctx *ctx;
	const struct select_policy *policy;
	struct compute_clock clock;
	const struct predict_config *predict_config;
	struct expert_chooser chooser;
	uint8_t *device_of; /* [n_layer][n_expert], NO_DEVICE where nobody ever said that it holds it */

	enum inference_status status;
	char error[256];
	struct generation *generation;
	int32_t *tokens; /* the prompt */
	size_t n_prompt, n_fed;
	enum phase phase;
	size_t layer, n_rows;
	double ready_s, end_s;

	/* the layer in work */
	struct select_input select_in;
	struct select_output select_out;
	uint16_t *ids;  /* [chunk_rows][n_used] */
	float *weights; /* the same */
	float *probs;   /* [chunk_rows][n_expert] */
	bool *keep;
	struct served *served; /* by expert, then row */
	size_t n_served;
	float *y; /* [served][n_embd] */
	struct call *calls;
	size_t n_calls, calls_max, n_done;
	uint8_t *payload;
	uint32_t seq;
	uint32_t dropped_by_mode;

	struct layer_record records[RECORDS];
	uint64_t n_records, n_taken;
	struct inference_stats stats;
};

static void fail(struct inference *inf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(inf->error, sizeof inf->error, format, args);
	va_end(args);
	inf->status = INFERENCE_FAILED;
}

static double slot_s(const struct inference *inf)
{
	return numerology_slot_s(inf->params.num);
}

/* ---- life ---- */

static bool allocate(struct inference *inf)
{
	const struct inference_params *p = &inf->params;
	const struct moe_shape *s = inf->shape;
	size_t places = p->chunk_rows * s->n_expert_used;
	inf->calls_max = s->n_expert + places / p->call_rows_max;
	inf->ctx = moe_ctx_create(p->model, &(struct moe_ctx_options){ .n_ctx = s->n_ctx, .max_rows = p->chunk_rows });
	inf->device_of = malloc(s->n_layer * s->n_expert);
	inf->tokens = calloc(s->n_ctx, sizeof *inf->tokens);
	inf->ids = calloc(places, sizeof *inf->ids);
	inf->weights = calloc(places, sizeof *inf->weights);
	inf->probs = calloc(p->chunk_rows * s->n_expert, sizeof *inf->probs);
	inf->keep = calloc(places, sizeof *inf->keep);
	inf->served = calloc(places, sizeof *inf->served);
	inf->y = calloc(places * s->n_embd, sizeof *inf->y);
	inf->calls = calloc(inf->calls_max, sizeof *inf->calls);
	inf->payload = malloc(p->call_rows_max * codec_bytes(p->codec_down, s->n_embd));
	return inf->ctx && inf->device_of && inf->tokens && inf->ids && inf->weights && inf->probs && inf->keep &&
	       inf->served && inf->y && inf->calls && inf->payload;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Rows of a call that fit a message both ways. */
static size_t rows_in_message(const struct inference_params *p, size_t n_embd)
{
	return smaller(MESSAGE_PAYLOAD_MAX / codec_bytes(p->codec_down, n_embd),
	               MESSAGE_PAYLOAD_MAX / codec_bytes(p->codec_up, n_embd));
}

struct inference *inference_create(const struct inference_params *p, char *err, size_t err_len)
{
	struct inference *inf = calloc(1, sizeof *inf);
	if (!inf) {
		snprintf(err, err_len, "inference: %s", strerror(errno));
		return NULL;
	}
	inf->params = *p;
	inf->shape = &p->model->shape;
	inf->params.chunk_rows = smaller(p->chunk_rows, inf->shape->n_ctx);
	inf->params.call_rows_max = smaller(p->call_rows_max, rows_in_message(p, inf->shape->n_embd));
	inf->policy = select_policy_find(p->policy);
	inf->chooser = (struct expert_chooser){ .model = p->model, .mode = p->experts, .seed = p->seed };
	inf->predict_config = cell_predict_config(p->cell);
	compute_clock_init(&inf->clock, &p->profile, p->seed);
	if (!inf->policy) {
		errno = EINVAL;
		snprintf(err, err_len, "scheduler.policy: there is no \"%s\"", p->policy);
	} else if (inf->shape->n_expert > SELECT_EXPERTS_MAX || inf->shape->n_expert_used > SELECT_USED_MAX ||
	           inf->shape->n_layer * inf->shape->n_expert > MESSAGE_EXPERTS_MAX) {
		errno = EINVAL;
		snprintf(err, err_len, "model: %zu layers of %zu experts are more than a hello can name",
		         inf->shape->n_layer, inf->shape->n_expert);
	} else if (!inf->params.call_rows_max) {
		errno = EINVAL;
		snprintf(err, err_len, "model: a hidden state of %zu numbers is more than a message can carry",
		         inf->shape->n_embd);
	} else if (allocate(inf)) {
		memset(inf->device_of, NO_DEVICE, inf->shape->n_layer * inf->shape->n_expert);
		return inf;
	} else {
		snprintf(err, err_len, "inference: %s", strerror(errno));
	}
	inference_destroy(inf);
	return NULL;
}

void inference_destroy(struct inference *inf)
{
	if (!inf)
		return;
	generation_destroy(inf->generation);
	free(inf->payload);
	free(inf->calls);
	free(inf->y);
	free(inf->served);
	free(inf->keep);
	free(inf->probs);
	free(inf->weights);
	free(inf->ids);
	free(inf->tokens);
	free(inf->device_of);
	moe_ctx_destroy(inf->ctx);
	free(inf);
}

void inference_device_holds(struct inference *inf, unsigned device, const struct hello *h)
{
	for (size_t layer = 0; layer < inf->shape->n_layer; layer++)
		for (size_t e = 0; e < inf->shape->n_expert; e++) {
			uint8_t *holder = &inf->device_of[layer * inf->shape->n_expert + e];
			if (*holder == device && inf->status != INFERENCE_RUNNING)
				*holder = NO_DEVICE;
			if (*holder == NO_DEVICE && hello_holds(h, layer, e))
				*holder = (uint8_t)device;
		}
}

bool inference_ready(const struct inference *inf)
{
	for (size_t i = 0; i < inf->shape->n_layer * inf->shape->n_expert; i++)
		if (inf->device_of[i] == NO_DEVICE || cell_state(inf->params.cell, inf->device_of[i]) != CELL_ATTACHED)
			return false;
	return true;
}

int inference_start(struct inference *inf, const int32_t *tokens, size_t n, const struct generation_options *options,
                    double t_s)
{
	if (inf->status == INFERENCE_RUNNING)
		return -EBUSY;
	if (n > inf->shape->n_ctx)
		return -ENOSPC;
	if (memchr(inf->device_of, NO_DEVICE, inf->shape->n_layer * inf->shape->n_expert))
		return -ENOTCONN;
	generation_destroy(inf->generation);
	inf->generation = generation_create(inf->params.model->tokenizer, n, inf->shape->n_ctx, options);
	if (!inf->generation)
		return -errno;
	memcpy(inf->tokens, tokens, n * sizeof *tokens);
	inf->n_prompt = n;
	inf->n_fed = 0;
	inf->phase = PHASE_BEGIN;
	inf->ready_s = t_s;
	inf->status = INFERENCE_RUNNING;
	return moe_rewind(inf->ctx, 0, 0);
}

/* ---- base half ---- */

static void charge(struct inference *inf, struct moe_cost cost, double from_s)
{
	double spent_s = compute_clock_charge(&inf->clock, cost.bytes, cost.flop);
	inf->stats.bs_compute_s += spent_s;
	inf->ready_s = from_s + spent_s;
}

static void attend(struct inference *inf, double t_s)
{
	if (moe_attend(inf->ctx, inf->layer)) {
		fail(inf, "layer %zu: a hidden state is not finite", inf->layer);
		return;
	}
	charge(inf, moe_attend_cost(inf->params.model, inf->layer, inf->n_rows, moe_n_past(inf->ctx, 0)), t_s);
	inf->phase = PHASE_COMPUTING;
}

static void begin_chunk(struct inference *inf)
{
	size_t left = inf->n_prompt - inf->n_fed, n = left, picked;
	const int32_t *next = inf->tokens + inf->n_fed;
	if (!left) {
		const int32_t *tokens = generation_tokens(inf->generation, &picked);
		next = tokens + picked - 1;
		n = 1;
	} else if (n > inf->params.chunk_rows) {
		n = inf->params.chunk_rows;
	}
	int rc = moe_begin(inf->ctx, next, n);
	if (rc) {
		fail(inf, "token %d: %s", *next, strerror(-rc));
		return;
	}
	inf->n_fed += left ? n : 0;
	inf->n_rows = n;
	inf->layer = 0;
	attend(inf, inf->ready_s);
}

static void pick_token(struct inference *inf)
{
	const float *logits = moe_logits(inf->ctx, inf->n_rows - 1);
	if (!logits || generation_next(inf->generation, logits) < 0) {
		fail(inf, "logits that are not finite");
		return;
	}
	inf->end_s = inf->ready_s;
	inf->phase = PHASE_BEGIN;
	if (generation_stop(inf->generation) != GENERATION_GOES_ON)
		inf->status = INFERENCE_DONE;
}

/* ---- choosing experts ---- */

static uint8_t *devices_of_layer(struct inference *inf)
{
	return inf->device_of + inf->layer * inf->shape->n_expert;
}

/* Router output of the layer as the policies want it, after a deliberate override of the experts. */
static void collect_choices(struct inference *inf)
{
	size_t k = inf->shape->n_expert_used, n_expert = inf->shape->n_expert;
	struct moe_choice chosen[SELECT_EXPERTS_MAX];
	inf->dropped_by_mode = 0;
	for (size_t row = 0; row < inf->n_rows; row++) {
		const float *probs = moe_router_probs(inf->ctx, row);
		size_t n = expert_choose(&inf->chooser, inf->layer, row, probs, moe_topk(inf->ctx, row), chosen);
		memcpy(inf->probs + row * n_expert, probs, n_expert * sizeof *probs);
		inf->dropped_by_mode += (uint32_t)(k - n);
		for (size_t i = 0; i < k; i++) {
			inf->ids[row * k + i] = (uint16_t)chosen[i < n ? i : 0].expert;
			inf->weights[row * k + i] = i < n ? chosen[i].weight : 0;
		}
	}
}

static unsigned devices_in_demand(const struct inference *inf, const uint8_t *device_of)
{
	uint32_t mask = 0;
	for (size_t i = 0; i < inf->n_rows * inf->shape->n_expert_used; i++)
		if (inf->weights[i] > 0)
			mask |= 1u << device_of[inf->ids[i]];
	return (unsigned)__builtin_popcount(mask);
}

/* Latency of q rows on device d as a line, with an even share of the band among the devices in demand. */
static void predict_device(struct inference *inf, unsigned d, unsigned n_sharing)
{
	static const enum cell_direction direction[2] = { CELL_DL, CELL_UL };
	struct predict_query q = { .n_rows = 1 };
	double row_bytes[2] = { (double)codec_bytes(inf->params.codec_down, inf->shape->n_embd),
		                (double)codec_bytes(inf->params.codec_up, inf->shape->n_embd) };
	double head_bytes[2] = { MESSAGE_HEADER + ARQ_DATA_HEADER, MESSAGE_HEADER + ARQ_DATA_HEADER };
	double share = (double)cell_n_rb(inf->params.cell) / (n_sharing ? n_sharing : 1);
	for (int dir = 0; dir < 2; dir++) {
		float rates[PHY_RB_MAX + 1];
		size_t n = share < 1 ? 1 : (size_t)share;
		cell_rates(inf->params.cell, d, direction[dir], rates);
		q.share_rb[dir] = share;
		q.rate[dir] = (double)rates[n] / (double)n;
		q.backlog[dir] = dir == CELL_DL ? (double)cell_dl_backlog(inf->params.cell, d)
		                                : (double)cell_ul_backlog(inf->params.cell, d);
	}
	predict_line(cell_predict_state(inf->params.cell, d), inf->predict_config, &q, row_bytes, head_bytes,
	             &inf->select_in.fixed_s[d], &inf->select_in.per_token_s[d]);
}

static bool select_experts(struct inference *inf)
{
	collect_choices(inf);
	unsigned n_sharing = devices_in_demand(inf, devices_of_layer(inf));
	inf->select_in = (struct select_input){
		.n_tokens = inf->n_rows,
		.n_experts = inf->shape->n_expert,
		.n_used = inf->shape->n_expert_used,
		.n_devices = inf->params.n_devices,
		.ids = inf->ids,
		.weights = inf->weights,
		.probs = inf->probs,
		.device_of = devices_of_layer(inf),
		.params = inf->params.select,
	};
	for (unsigned d = 0; d < inf->params.n_devices; d++)
		predict_device(inf, d, n_sharing);
	int rc = inf->policy->select(&inf->select_in, inf->keep, &inf->select_out);
	if (rc)
		fail(inf, "layer %zu: policy %s refused its input", inf->layer, inf->policy->name);
	return !rc;
}

/* ---- calls ---- */

/* Lists what is served, grouped by expert, rows in order. */
static void list_served(struct inference *inf)
{
	size_t k = inf->shape->n_expert_used;
	inf->n_served = 0;
	for (uint32_t e = 0; e < inf->shape->n_expert; e++)
		for (uint32_t row = 0; row < inf->n_rows; row++)
			for (size_t i = row * k; i < (row + 1) * k; i++)
				if (inf->ids[i] == e && inf->keep[i] && inf->weights[i] > 0)
					inf->served[inf->n_served++] = (struct served){
						row, { e, inf->probs[row * inf->shape->n_expert + e], inf->weights[i] }
					};
}

static void make_calls(struct inference *inf)
{
	inf->n_calls = inf->n_done = 0;
	for (size_t i = 0; i < inf->n_served;) {
		uint32_t e = inf->served[i].choice.expert;
		struct call *c = &inf->calls[inf->n_calls++];
		*c = (struct call){ .expert = e, .device = devices_of_layer(inf)[e], .first = i };
		while (i < inf->n_served && inf->served[i].choice.expert == e && c->n_rows < inf->params.call_rows_max)
			c->n_rows++, i++;
	}
}

static void send_call(struct inference *inf, struct call *c)
{
	const struct codec *codec = inf->params.codec_down;
	size_t n_embd = inf->shape->n_embd, row_bytes = codec_bytes(codec, n_embd);
	for (size_t i = 0; i < c->n_rows; i++)
		if (codec->encode(moe_hidden(inf->ctx, inf->served[c->first + i].row), n_embd,
		                  inf->payload + i * row_bytes)) {
			fail(inf, "layer %zu expert %u: a hidden state does not fit codec %s", inf->layer, c->expert,
			     codec->name);
			return;
		}
	struct message m = { .type = MESSAGE_CALL,
		             .codec = codec->id,
		             .reply_codec = inf->params.codec_up->id,
		             .seq = inf->seq + 1,
		             .layer = (uint16_t)inf->layer,
		             .expert = (uint16_t)c->expert,
		             .rows = (uint16_t)c->n_rows,
		             .n_payload = (uint32_t)(c->n_rows * row_bytes) };
	uint32_t begin = cell_queued(inf->params.cell, c->device);
	if (cell_send(inf->params.cell, c->device, &m, inf->payload))
		return; /* no room now, or just lost: it stays unsent, and the timer runs */
	c->seq = ++inf->seq;
	c->stream_begin = begin;
	c->started = false;
	c->state = CALL_SENT;
	inf->stats.bytes_down += MESSAGE_HEADER + m.n_payload;
}

static void send_calls(struct inference *inf)
{
	for (size_t i = 0; i < inf->n_calls && inf->status == INFERENCE_RUNNING; i++) {
		struct call *c = &inf->calls[i];
		if (c->state == CALL_UNSENT && cell_state(inf->params.cell, c->device) == CELL_ATTACHED)
			send_call(inf, c);
	}
}

/* What is left of the layer on each device, for the allocators. */
static void update_loads(struct inference *inf)
{
	struct cell_load load[PHY_DEVICES_MAX] = { 0 };
	double rows[PHY_DEVICES_MAX] = { 0 };
	double row_bytes = (double)codec_bytes(inf->params.codec_up, inf->shape->n_embd);
	bool calling = inf->status == INFERENCE_RUNNING && inf->phase == PHASE_CALLING;
	for (size_t i = 0; calling && i < inf->n_calls; i++) {
		const struct call *c = &inf->calls[i];
		if (c->state == CALL_DONE)
			continue;
		load[c->device].loaded = true;
		load[c->device].remaining_bytes[CELL_UL] +=
		        (double)c->n_rows * row_bytes + MESSAGE_HEADER + ARQ_DATA_HEADER;
		rows[c->device] += (double)c->n_rows;
	}
	for (unsigned d = 0; d < inf->params.n_devices; d++) {
		if (load[d].loaded) {
			float rates[PHY_RB_MAX + 1];
			cell_rates(inf->params.cell, d, CELL_UL, rates);
			double rate = fmax((double)rates[cell_n_rb(inf->params.cell)], 1.0);
			load[d].remaining_bytes[CELL_DL] = (double)cell_dl_backlog(inf->params.cell, d);
			load[d].tail_s = predict_compute_s(cell_predict_state(inf->params.cell, d), rows[d]) +
			                 load[d].remaining_bytes[CELL_UL] / rate * slot_s(inf);
		}
		cell_set_load(inf->params.cell, d, &load[d]);
	}
}

static void start_layer(struct inference *inf)
{
	if (!select_experts(inf))
		return;
	list_served(inf);
	make_calls(inf);
	cell_next_layer(inf->params.cell);
	inf->phase = PHASE_CALLING;
	inf->stats.layers++;
	inf->stats.calls += inf->n_calls;
	inf->stats.rows += inf->n_served;
	inf->stats.dropped += inf->select_out.n_dropped + inf->dropped_by_mode;
}

/* ---- results ---- */

static struct call *find_call(struct inference *inf, unsigned device, uint32_t seq)
{
	for (size_t i = 0; i < inf->n_calls; i++)
		if (inf->calls[i].state == CALL_SENT && inf->calls[i].started && inf->calls[i].seq == seq &&
		    inf->calls[i].device == device)
			return &inf->calls[i];
	return NULL;
}

static bool decode_result(struct inference *inf, const struct call *c, const struct message *m, const uint8_t *payload)
{
	const struct codec *codec = inf->params.codec_up;
	size_t n_embd = inf->shape->n_embd, row_bytes = codec_bytes(codec, n_embd);
	if (m->layer != inf->layer || m->expert != c->expert || m->rows != c->n_rows || m->codec != codec->id ||
	    m->n_payload != c->n_rows * row_bytes)
		return false;
	for (size_t i = 0; i < c->n_rows; i++)
		if (codec->decode(payload + i * row_bytes, n_embd, inf->y + (c->first + i) * n_embd))
			return false;
	return true;
}

/* What a result tells of its way. All times lie between the router's output and now, whatever the device says. */
static void time_call(struct inference *inf, struct call *c, const struct message *m, uint64_t slot)
{
	double now_s = (double)(slot + 1) * slot_s(inf);
	double dl_end_s = ((double)m->slot + 1) * slot_s(inf);
	c->compute_s = 1e-6 * m->compute_us;
	c->downlink_end_s = fmin(fmax(dl_end_s, c->started_s), now_s);
	double result_s = fmin(c->downlink_end_s + 1e-6 * m->queue_us + c->compute_s, now_s);
	c->compute_s = fmin(c->compute_s, result_s - c->downlink_end_s);
	uint64_t grant =
	        cell_ul_grant_after(inf->params.cell, c->device, (uint64_t)ceil(result_s / slot_s(inf) - 1e-6));
	c->uplink_start_s = fmin(fmax((double)grant * slot_s(inf), result_s), now_s - slot_s(inf));
	c->uplink_start_s = fmax(c->uplink_start_s, result_s);
	c->done_s = now_s;
	struct predict_state *p = cell_predict_state(inf->params.cell, c->device);
	predict_observe_compute(p, inf->predict_config, m->rows, c->compute_s);
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
	if (m->status != MESSAGE_OK) {
		inf->stats.refused++;
		fail(inf, "layer %zu expert %u: device %u answered: %s", inf->layer, c->expert, device,
		     message_status_name(m->status));
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

void inference_lost(struct inference *inf, unsigned device)
{
	if (inf->status != INFERENCE_RUNNING || inf->phase != PHASE_CALLING)
		return;
	for (size_t i = 0; i < inf->n_calls; i++)
		if (inf->calls[i].device == device && inf->calls[i].state == CALL_SENT) {
			inf->calls[i].state = CALL_UNSENT;
			inf->stats.calls_sent_again++;
		}
}

void inference_sent(struct inference *inf, uint64_t slot)
{
	for (size_t i = 0; i < inf->n_calls && inf->phase == PHASE_CALLING; i++) {
		struct call *c = &inf->calls[i];
		if (c->state == CALL_SENT && !c->started &&
		    (int32_t)(cell_sent(inf->params.cell, c->device) - c->stream_begin) > 0) {
			c->started = true;
			c->started_s = (double)slot * slot_s(inf);
		}
	}
}

/* ---- end of a layer ---- */

static void record_layer(struct inference *inf, double t_s)
{
	struct layer_record r = {
		.index = inf->n_records,
		.layer = (uint32_t)inf->layer,
		.n_tokens = (uint32_t)inf->n_rows,
		.prompt = inf->n_rows > 1 || inf->n_fed < inf->n_prompt || moe_n_past(inf->ctx, 0) < inf->n_prompt,
		.t_start_s = inf->ready_s,
		.latency_s = t_s - inf->ready_s,
		.n_calls = (uint32_t)inf->n_calls,
		.n_rows = (uint32_t)inf->n_served,
		.n_dropped = inf->select_out.n_dropped + inf->dropped_by_mode,
		.predicted_s = inf->select_out.latency_after_s,
		.theta = inf->select_out.theta,
		.wlr_before = inf->select_out.wlr_before,
		.wlr_after = inf->select_out.wlr_after,
		.kept_weight = inf->select_out.kept_weight,
	};
	const struct call *last = NULL;
	double device_end_s[PHY_DEVICES_MAX] = { 0 };
	for (size_t i = 0; i < inf->n_calls; i++) {
		const struct call *c = &inf->calls[i];
		if (!last || c->done_s >= last->done_s)
			last = c;
		r.rows_on[c->device] += (uint32_t)c->n_rows;
		device_end_s[c->device] = fmax(device_end_s[c->device], c->done_s);
	}
	if (last) {
		r.last_device = last->device;
		r.downlink_s = last->downlink_end_s - last->started_s;
		r.compute_s = last->compute_s;
		r.uplink_s = t_s - last->uplink_start_s;
	}
	r.waiting_s = r.latency_s - r.downlink_s - r.compute_s - r.uplink_s;
	for (unsigned d = 0; d < inf->params.n_devices; d++)
		if (r.rows_on[d])
			predict_observe_call(cell_predict_state(inf->params.cell, d), inf->predict_config,
			                     inf->select_in.fixed_s[d] + r.rows_on[d] * inf->select_in.per_token_s[d],
			                     device_end_s[d] - inf->ready_s);
	inf->records[inf->n_records++ % RECORDS] = r;
}

static bool combine_row(struct inference *inf, uint32_t row)
{
	struct moe_choice choices[SELECT_EXPERTS_MAX];
	struct moe_part parts[SELECT_EXPERTS_MAX];
	size_t n = 0;
	for (size_t i = 0; i < inf->n_served; i++)
		if (inf->served[i].row == row) {
			choices[n] = inf->served[i].choice;
			parts[n++].y = inf->y + i * inf->shape->n_embd;
		}
	if (n && n < inf->shape->n_expert_used)
		moe_renormalise(inf->params.model, choices, n);
	for (size_t i = 0; i < n; i++) {
		parts[i].expert = choices[i].expert;
		parts[i].weight = choices[i].weight;
	}
	int rc = moe_combine(inf->ctx, inf->layer, row, parts, n);
	if (rc)
		fail(inf, "layer %zu: an expert's output is not finite", inf->layer);
	return !rc;
}

static void finish_layer(struct inference *inf, double t_s)
{
	record_layer(inf, t_s);
	for (uint32_t row = 0; row < inf->n_rows; row++)
		if (!combine_row(inf, row))
			return;
	if (++inf->layer < inf->shape->n_layer) {
		attend(inf, t_s);
	} else if (inf->n_fed < inf->n_prompt) {
		inf->ready_s = t_s;
		inf->phase = PHASE_BEGIN;
	} else {
		charge(inf, moe_head_cost(inf->params.model, 1), t_s);
		inf->phase = PHASE_HEAD;
	}
}

static void check_timeout(struct inference *inf, double t_s)
{
	if (t_s - inf->ready_s < inf->params.call_timeout_s)
		return;
	for (size_t i = 0; i < inf->n_calls; i++)
		if (inf->calls[i].state != CALL_DONE) {
			fail(inf, "layer %zu expert %u on device %u: no answer in %.0f ms", inf->layer,
			     inf->calls[i].expert, inf->calls[i].device, 1e3 * inf->params.call_timeout_s);
			return;
		}
}

/* One step of the machine at time t_s; false when it has to wait. */
static bool advance(struct inference *inf, double t_s)
{
	switch (inf->phase) {
	case PHASE_BEGIN:
		if (inf->ready_s > t_s)
			return false;
		begin_chunk(inf);
		return true;
	case PHASE_COMPUTING:
		if (inf->ready_s > t_s)
			return false;
		start_layer(inf);
		return true;
	case PHASE_CALLING:
		if (inf->n_done < inf->n_calls) {
			send_calls(inf);
			check_timeout(inf, t_s);
			return false;
		}
		finish_layer(inf, t_s);
		return true;
	case PHASE_HEAD:
		if (inf->ready_s > t_s)
			return false;
		pick_token(inf);
		return true;
	}
	return false;
}

void inference_step(struct inference *inf, uint64_t slot)
{
	double t_s = (double)(slot + 1) * slot_s(inf);
	while (inf->status == INFERENCE_RUNNING && advance(inf, t_s))
		;
	update_loads(inf);
}

/* ---- reading ---- */

enum inference_status inference_status(const struct inference *inf)
{
	return inf->status;
}

const char *inference_error(const struct inference *inf)
{
	return inf->error;
}

const struct generation *inference_generation(const struct inference *inf)
{
	return inf->generation;
}

size_t inference_n_prompt(const struct inference *inf)
{
	return inf->n_prompt;
}

double inference_end_s(const struct inference *inf)
{
	return inf->end_s;
}

bool inference_take_record(struct inference *inf, struct layer_record *r)
{
	if (inf->n_records - inf->n_taken > RECORDS)
		inf->n_taken = inf->n_records - RECORDS;
	if (inf->n_taken == inf->n_records)
		return false;
	*r = inf->records[inf->n_taken++ % RECORDS];
	return true;
}

struct inference_stats inference_stats(const struct inference *inf)
{
	return inf->stats;
}
