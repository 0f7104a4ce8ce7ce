#include "testbed/inference_inner.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "radio/wall.h"

#define LASTS_ALPHA 0.1
#define SLOWER_THAN_FORECAST 1.2 /* layers at first: lost blocks, whole slots, control that waits */

void inference_fail(struct inference *inf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(inf->error, sizeof inf->error, format, args);
	va_end(args);
	inf->status = INFERENCE_FAILED;
}

double inference_slot_s(const struct inference *inf)
{
	return numerology_slot_s(inf->params.num);
}

double inference_lasts_slots(const struct inference *inf)
{
	return inf->lasts_s[moe_batch_has_prompt(inf->batch)] / inference_slot_s(inf);
}

/* ---- life ---- */

size_t inference_payload_bytes(const struct inference_params *p, size_t n_embd, size_t n_rows, size_t n_choices,
                               size_t n_heard)
{
	return call_table_bytes(n_rows, n_choices, p->combine) + n_heard * CALL_HEARD_BYTES +
	       (n_rows - n_heard) * codec_bytes(p->codec_down, n_embd);
}

static bool allocate_multicast(struct multicast_plan *m, size_t n_rows, size_t row_bytes)
{
	m->number = calloc(n_rows, sizeof *m->number);
	m->needed_by = calloc(n_rows, sizeof *m->needed_by);
	m->weakest = calloc(n_rows, sizeof *m->weakest);
	m->unicast = calloc(n_rows, sizeof *m->unicast);
	m->sent = calloc(n_rows, sizeof *m->sent);
	m->states = malloc(n_rows * row_bytes);
	return m->number && m->needed_by && m->weakest && m->unicast && m->sent && m->states;
}

static void free_multicast(struct multicast_plan *m)
{
	free(m->states);
	free(m->sent);
	free(m->unicast);
	free(m->weakest);
	free(m->needed_by);
	free(m->number);
}

static bool allocate(struct inference *inf)
{
	const struct inference_params *p = &inf->params;
	const struct moe_shape *s = inf->shape;
	size_t places = p->chunk_rows * s->n_expert_used, choices = p->call_rows_max * s->n_expert_used;
	inf->ctx = moe_ctx_create(p->model, &(struct moe_ctx_options){ .n_ctx = s->n_ctx,
	                                                               .max_rows = p->chunk_rows,
	                                                               .n_sequences = p->n_sequences,
	                                                               .compute = { .mode = p->mode } });
	inf->holders = calloc(s->n_layer * s->n_expert, sizeof *inf->holders);
	inf->batch = inf->ctx ? moe_batch_create(inf->ctx) : NULL;
	inf->start_s = calloc(p->n_sequences, sizeof *inf->start_s);
	inf->end_s = calloc(p->n_sequences, sizeof *inf->end_s);
	inf->holds = calloc(s->n_expert * p->n_devices, sizeof *inf->holds);
	inf->weights = calloc(p->chunk_rows * s->n_expert, sizeof *inf->weights);
	inf->picked = calloc(places, sizeof *inf->picked);
	inf->routed = calloc(places, sizeof *inf->routed);
	inf->places = calloc(places, sizeof *inf->places);
	inf->scratch = calloc(places, sizeof *inf->scratch);
	inf->y = calloc(places * s->n_embd, sizeof *inf->y);
	inf->plans = calloc(places, sizeof *inf->plans);
	inf->calls = calloc(places, sizeof *inf->calls);
	inf->choices = calloc(choices, sizeof *inf->choices);
	inf->payload = malloc(inference_payload_bytes(p, s->n_embd, p->call_rows_max, choices, 0));
	inf->selector = selector_create(p->policy, &(struct select_limits){ .n_tokens = p->chunk_rows,
	                                                                    .n_experts = s->n_expert,
	                                                                    .top_k = s->n_expert_used,
	                                                                    .n_devices = p->n_devices });
	return allocate_multicast(&inf->cast, p->chunk_rows, codec_bytes(p->codec_down, s->n_embd)) && inf->ctx &&
	       inf->holders && inf->batch && inf->start_s && inf->end_s && inf->holds && inf->weights && inf->picked &&
	       inf->routed && inf->places && inf->scratch && inf->y && inf->plans && inf->calls && inf->choices &&
	       inf->payload && inf->selector && (!p->real_time || (inf->helper = helper_create()));
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Rows of a call that fit a message both ways, whatever they ask for. */
static size_t rows_in_message(const struct inference_params *p, const struct moe_shape *s)
{
	size_t n = s->n_expert_used;
	return smaller(MESSAGE_PAYLOAD_MAX / inference_payload_bytes(p, s->n_embd, 1, n, 0),
	               MESSAGE_PAYLOAD_MAX / (codec_bytes(p->codec_up, s->n_embd) * (p->combine ? 1 : n)));
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
	inf->params.n_sequences = p->n_sequences;
	inf->params.chunk_rows = smaller(p->chunk_rows, inf->params.n_sequences * inf->shape->n_ctx);
	if (inf->params.chunk_rows < inf->params.n_sequences)
		inf->params.chunk_rows = inf->params.n_sequences;
	inf->params.call_rows_max = smaller(p->call_rows_max, rows_in_message(p, inf->shape));
	inf->chooser = (struct expert_chooser){ .model = p->model, .mode = p->experts, .seed = p->seed };
	inf->predict_config = cell_predict_config(p->cell);
	inf->sharing = cell_sharing(p->cell);
	/* How layers go is learned as how calls compute is: a fixed part, and one that grows with the forecast. */
	inf->went_config = *inf->predict_config;
	inf->went_config.fixed_prior_s = inf->predict_config->turnaround_s + inf->predict_config->wait_prior_s[0] +
	                                 inf->predict_config->wait_prior_s[1];
	inf->went_config.per_row_prior_s = SLOWER_THAN_FORECAST;
	for (int prompt = 0; prompt < 2; prompt++)
		predict_init(&inf->went[prompt], &inf->went_config);
	compute_clock_init(&inf->clock, &p->profile, p->seed);
	if (!select_policy_find(p->policy)) {
		errno = EINVAL;
		snprintf(err, err_len, "scheduler.policy: there is no \"%s\"", p->policy);
	} else if (inf->shape->n_expert > LAYER_EXPERTS_MAX || inf->shape->n_expert_used > LAYER_USED_MAX ||
	           inf->shape->n_layer * inf->shape->n_expert > MESSAGE_EXPERTS_MAX) {
		errno = EINVAL;
		snprintf(err, err_len, "model: %zu layers of %zu experts are more than a hello can name",
		         inf->shape->n_layer, inf->shape->n_expert);
	} else if (!inf->params.call_rows_max) {
		errno = EINVAL;
		snprintf(err, err_len, "model: a hidden state of %zu numbers is more than a message can carry",
		         inf->shape->n_embd);
	} else if (allocate(inf)) {
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
	helper_destroy(inf->helper);
	moe_batch_destroy(inf->batch);
	free_multicast(&inf->cast);
	free(inf->payload);
	free(inf->choices);
	free(inf->calls);
	free(inf->plans);
	free(inf->y);
	free(inf->scratch);
	free(inf->places);
	selector_destroy(inf->selector);
	free(inf->routed);
	free(inf->picked);
	free(inf->weights);
	free(inf->holds);
	free(inf->end_s);
	free(inf->start_s);
	free(inf->holders);
	moe_ctx_destroy(inf->ctx);
	free(inf);
}

static size_t n_experts_in_all(const struct inference *inf)
{
	return inf->shape->n_layer * inf->shape->n_expert;
}

void inference_device_holds(struct inference *inf, unsigned device, const struct hello *h)
{
	for (size_t i = 0; i < n_experts_in_all(inf); i++) {
		if (hello_holds(h, i / inf->shape->n_expert, i % inf->shape->n_expert))
			inf->holders[i] |= 1u << device;
		else if (inf->status != INFERENCE_RUNNING)
			inf->holders[i] &= ~(1u << device);
	}
}

/* Bit d: device d is attached. */
uint32_t inference_attached(const struct inference *inf)
{
	uint32_t mask = 0;
	for (unsigned d = 0; d < inf->params.n_devices; d++)
		if (cell_state(inf->params.cell, d) == CELL_ATTACHED)
			mask |= 1u << d;
	return mask;
}

uint32_t inference_able(const struct inference *inf)
{
	uint32_t mask = inference_attached(inf);
	for (unsigned d = 0; d < inf->params.n_devices; d++)
		if (cell_silent_slots(inf->params.cell, d) > inf->params.suspect_slots)
			mask &= ~(1u << d);
	return mask;
}

/* Has every expert a holder among these? */
static bool all_held(const struct inference *inf, uint32_t devices)
{
	for (size_t i = 0; i < n_experts_in_all(inf); i++)
		if (!(inf->holders[i] & devices))
			return false;
	return true;
}

bool inference_ready(const struct inference *inf)
{
	return all_held(inf, inference_attached(inf));
}

bool inference_computing(const struct inference *inf)
{
	return inf->helper && !helper_done(inf->helper, inf->ticket);
}

int inference_start(struct inference *inf, const int32_t *tokens, size_t n, const struct generation_options *options,
                    double t_s)
{
	if (inference_computing(inf))
		return -EAGAIN;
	if (n > inf->shape->n_ctx)
		return -ENOSPC;
	if (!all_held(inf, UINT32_MAX))
		return -ENOTCONN;
	for (size_t i = 0; i < inf->params.n_sequences && inf->status == INFERENCE_FAILED; i++)
		moe_batch_release(inf->batch, i);
	int place = moe_batch_start(inf->batch, tokens, n, options);
	if (place < 0)
		return place;
	inf->start_s[place] = t_s;
	if (inf->status != INFERENCE_RUNNING) {
		inf->phase = PHASE_BEGIN;
		inf->ready_s = t_s;
		inf->status = INFERENCE_RUNNING;
	}
	return place;
}

/* ---- base half ---- */

static void charge(struct inference *inf, struct moe_cost cost, double from_s)
{
	double spent_s = compute_clock_charge(&inf->clock, cost.bytes, cost.flop);
	inf->stats.bs_compute_s += spent_s;
	inf->ready_s = from_s + spent_s;
}

/* Of the chunk's rows in one sequence, from row *at on; *at goes on to the next sequence. */
static struct moe_cost cost_of_sequence(const struct inference *inf, size_t *at)
{
	size_t first = *at, sequence = inf->rows[first].sequence;
	while (*at < inf->n_rows && inf->rows[*at].sequence == sequence)
		++*at;
	return moe_attend_cost(inf->params.model, inf->layer, *at - first, moe_n_past(inf->ctx, sequence));
}

/* The weights are read once for all sequences. */
static struct moe_cost attend_cost(const struct inference *inf)
{
	struct moe_cost weights = moe_attend_cost(inf->params.model, inf->layer, 0, 0), sum = weights;
	for (size_t at = 0; at < inf->n_rows;) {
		struct moe_cost one = cost_of_sequence(inf, &at);
		sum.bytes += one.bytes - weights.bytes;
		sum.flop += one.flop;
	}
	return sum;
}

/* On the helper's thread; nothing else touches the model's state meanwhile. */
static void attend_now(void *arg)
{
	struct inference *inf = arg;
	double begin_s = wall_s();
	inf->computed = moe_attend(inf->ctx, inf->layer);
	inf->spent_s = wall_s() - begin_s;
}

static void pick_now(void *arg)
{
	struct inference *inf = arg;
	double begin_s = wall_s();
	inf->computed = moe_batch_pick(inf->batch);
	inf->spent_s = wall_s() - begin_s;
}

/* In virtual time when it is due, in real time when the thread has done it. */
static bool computing_is_done(struct inference *inf, double t_s)
{
	if (!inf->helper)
		return inf->ready_s <= t_s;
	if (!helper_done(inf->helper, inf->ticket))
		return false;
	inf->stats.bs_compute_s += inf->spent_s;
	inf->ready_s = t_s;
	return true;
}

static void attend(struct inference *inf, double t_s)
{
	inf->phase = PHASE_COMPUTING;
	if (inf->helper) {
		inf->ticket = helper_start(inf->helper, attend_now, inf);
		return;
	}
	inf->computed = moe_attend(inf->ctx, inf->layer);
	charge(inf, attend_cost(inf), t_s);
}

static void begin_head(struct inference *inf, double t_s)
{
	inf->phase = PHASE_HEAD;
	for (size_t i = 0; i < inf->params.n_sequences; i++)
		inf->under_way[i] = moe_batch_generation(inf->batch, i) && !moe_batch_ended(inf->batch, i);
	if (inf->helper)
		inf->ticket = helper_start(inf->helper, pick_now, inf);
	else
		charge(inf, moe_head_cost(inf->params.model, moe_batch_n_picks(inf->batch)), t_s);
}

/* The first token of the chunk that the model does not know. */
static int32_t unknown_token(const struct inference *inf)
{
	size_t i = 0;
	while (i + 1 < inf->n_rows && inf->rows[i].token >= 0 && (size_t)inf->rows[i].token < inf->shape->n_vocab)
		i++;
	return inf->rows[i].token;
}

static void begin_chunk(struct inference *inf)
{
	inf->rows = moe_batch_fill(inf->batch, &inf->n_rows);
	inf->layer = 0;
	if (!inf->n_rows) {
		inf->status = INFERENCE_DONE;
		return;
	}
	int rc = moe_begin_rows(inf->ctx, inf->rows, inf->n_rows);
	if (rc)
		inference_fail(inf, "token %d: %s", unknown_token(inf), strerror(-rc));
	else
		attend(inf, inf->ready_s);
}

static void finish_head(struct inference *inf)
{
	if (!inf->helper)
		inf->computed = moe_batch_pick(inf->batch);
	if (inf->computed) {
		inference_fail(inf, "logits that are not finite");
		return;
	}
	for (size_t i = 0; i < inf->params.n_sequences; i++)
		if (inf->under_way[i] && moe_batch_ended(inf->batch, i))
			inf->end_s[i] = inf->ready_s;
	inf->phase = PHASE_BEGIN;
	if (!moe_batch_n_under_way(inf->batch))
		inf->status = INFERENCE_DONE;
}

/* ---- end of a layer ---- */

static void record_layer(struct inference *inf, double t_s)
{
	struct layer_record r = {
		.index = inf->n_records,
		.layer = (uint32_t)inf->layer,
		.n_tokens = (uint32_t)inf->n_rows,
		.prompt = moe_batch_has_prompt(inf->batch),
		.t_start_s = inf->ready_s,
		.latency_s = t_s - inf->ready_s,
		.n_calls = (uint32_t)inf->n_calls,
		.n_rows = (uint32_t)inf->n_places,
		.n_dropped = inf->n_dropped,
		.n_multicast = (uint32_t)inf->cast.n_rows,
		.predicted_s = inf->predicted_s,
		.predicted_sd_s = inf->predicted_sd_s,
		.theta = selector_theta(inf->selector),
		.kept_weight = layer_kept_weight(&inf->problem, inf->picked),
	};
	const struct call *last = NULL;
	double device_end_s[PHY_DEVICES_MAX] = { 0 };
	bool cut_short[PHY_DEVICES_MAX] = { false };
	for (size_t i = 0; i < inf->n_calls; i++) {
		const struct call *c = &inf->calls[i];
		if (!last || c->done_s >= last->done_s)
			last = c;
		cut_short[c->plan.device] |= c->given_up;
		r.rows_on[c->plan.device] += c->given_up ? 0 : (uint32_t)c->plan.n_choices;
		device_end_s[c->plan.device] = fmax(device_end_s[c->plan.device], c->done_s);
	}
	if (last) {
		r.last_device = last->plan.device;
		r.downlink_s = last->downlink_end_s - last->started_s;
		r.compute_s = last->compute_s;
		r.uplink_s = t_s - last->uplink_start_s;
	}
	r.waiting_s = r.latency_s - r.downlink_s - r.compute_s - r.uplink_s;
	for (unsigned d = 0; d < inf->params.n_devices; d++)
		if (r.rows_on[d] && !cut_short[d])
			predict_observe_call(cell_predict_state(inf->params.cell, d), inf->predict_config,
			                     layer_device_s(&inf->problem, d, r.rows_on[d],
			                                    (double[2]){ inf->split.rate_bps[LAYER_DL][d],
			                                                 inf->split.rate_bps[LAYER_UL][d] }),
			                     device_end_s[d] - inf->ready_s);
	inf->lasts_s[r.prompt] += LASTS_ALPHA * (r.latency_s - inf->lasts_s[r.prompt]);
	predict_observe_compute(&inf->went[r.prompt], &inf->went_config, inf->forecast_s, r.latency_s);
	inf->records[inf->n_records++ % RECORDS] = r;
}

/* Where choices of the row were given up or replaced in flight, the weights of the others follow. */
static void weigh_again(struct inference *inf, const struct place *const *places, struct moe_part *parts, size_t n)
{
	struct moe_choice choices[LAYER_USED_MAX];
	for (size_t i = 0; i < n; i++)
		choices[i] = places[i]->choice;
	moe_renormalise(inf->params.model, choices, n);
	for (size_t i = 0; i < n; i++)
		parts[i].weight = choices[i].weight;
}

static bool combine_row(struct inference *inf, uint32_t row)
{
	const struct place *places[LAYER_USED_MAX];
	struct moe_part parts[LAYER_USED_MAX];
	bool changed = false;
	size_t n = 0;
	for (size_t i = 0; i < inf->n_places; i++) {
		const struct place *p = &inf->places[i];
		if (p->row != row || (inf->params.combine && !p->first_of_row))
			continue;
		changed |= p->given_up || p->replaced;
		if (p->given_up)
			continue;
		places[n] = p;
		parts[n++] = (struct moe_part){ .expert = p->choice.expert,
			                        .weight = inf->params.combine ? 1 : p->choice.weight,
			                        .y = inf->y + i * inf->shape->n_embd };
	}
	if (changed && n)
		weigh_again(inf, places, parts, n);
	int rc = moe_combine(inf->ctx, inf->layer, row, parts, n);
	if (rc)
		inference_fail(inf, "layer %zu: an expert's output is not finite", inf->layer);
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
	} else if (!moe_batch_n_picks(inf->batch)) {
		inf->ready_s = t_s;
		inf->phase = PHASE_BEGIN;
	} else {
		begin_head(inf, t_s);
	}
}

static void check_timeout(struct inference *inf, double t_s)
{
	if (t_s - inf->ready_s < inf->params.call_timeout_s)
		return;
	for (size_t i = 0; i < inf->n_calls; i++)
		if (inf->calls[i].state != CALL_DONE) {
			inference_fail(inf, "layer %zu expert %u on device %u: no answer in %.0f ms", inf->layer,
			               inference_expert_of(inf, &inf->calls[i]), inf->calls[i].plan.device,
			               1e3 * inf->params.call_timeout_s);
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
		if (!computing_is_done(inf, t_s))
			return false;
		if (inf->computed)
			inference_fail(inf, "layer %zu: a hidden state is not finite", inf->layer);
		else
			inference_start_layer(inf);
		return true;
	case PHASE_CALLING:
		if (inf->n_done < inf->n_calls) {
			inference_rescue(inf, (uint64_t)(t_s / inference_slot_s(inf)), t_s);
			inference_send_calls(inf);
			check_timeout(inf, t_s);
			if (inf->n_done < inf->n_calls)
				return false;
		}
		finish_layer(inf, t_s);
		return true;
	case PHASE_HEAD:
		if (!computing_is_done(inf, t_s))
			return false;
		finish_head(inf);
		return true;
	}
	return false;
}

void inference_step(struct inference *inf, uint64_t slot)
{
	double t_s = inf->now_s = (double)(slot + 1) * inference_slot_s(inf);
	while (inf->status == INFERENCE_RUNNING && advance(inf, t_s))
		;
	inference_update_loads(inf);
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

size_t inference_n_places(const struct inference *inf)
{
	return inf->params.n_sequences;
}

const struct generation *inference_generation(const struct inference *inf, size_t place)
{
	return moe_batch_generation(inf->batch, place);
}

bool inference_ended(const struct inference *inf, size_t place)
{
	return moe_batch_ended(inf->batch, place);
}

void inference_release(struct inference *inf, size_t place)
{
	moe_batch_release(inf->batch, place);
}

double inference_start_s(const struct inference *inf, size_t place)
{
	return inf->start_s[place];
}

double inference_end_s(const struct inference *inf, size_t place)
{
	return inf->end_s[place];
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

bool inference_take_deviation(struct inference *inf, struct deviation *d)
{
	if (inf->n_deviations - inf->n_deviations_taken > INFERENCE_DEVIATIONS)
		inf->n_deviations_taken = inf->n_deviations - INFERENCE_DEVIATIONS;
	if (inf->n_deviations_taken == inf->n_deviations)
		return false;
	*d = inf->deviations[inf->n_deviations_taken++ % INFERENCE_DEVIATIONS];
	return true;
}

const char *deviation_reason_name(enum deviation_reason r)
{
	static const char *const names[] = { "policy", "late", "silence" };
	return names[r];
}

struct inference_stats inference_stats(const struct inference *inf)
{
	return inf->stats;
}
