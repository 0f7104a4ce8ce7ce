#include "testbed/inference_inner.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Router output of the layer as the policies want it, after a deliberate override of the experts. */
static void collect_choices(struct inference *inf)
{
	size_t k = inf->shape->n_expert_used, n_expert = inf->shape->n_expert;
	struct moe_choice chosen[LAYER_EXPERTS_MAX];
	for (size_t row = 0; row < inf->n_rows; row++) {
		double *weights = inf->weights + row * n_expert;
		const float *probs = moe_router_probs(inf->ctx, row);
		size_t n = expert_choose(&inf->chooser, inf->layer, row, probs, moe_topk(inf->ctx, row), chosen);
		memset(inf->routed + row * k, 0, k * sizeof *inf->routed);
		memcpy(inf->routed + row * k, chosen, n * sizeof *chosen);
		for (size_t e = 0; e < n_expert; e++)
			weights[e] = inf->params.experts.rule ? 0 : (double)probs[e];
		for (size_t i = 0; i < n && inf->params.experts.rule; i++)
			weights[chosen[i].expert] = (double)chosen[i].weight;
	}
}

/* Who holds the experts of the layer. Where only devices that cannot be reached do, they count as in reach: the call waits for
 * them. Returns which those are, bit d for device d. */
static uint32_t list_holders(struct inference *inf, uint32_t able)
{
	const uint32_t *holders = inf->holders + inf->layer * inf->shape->n_expert;
	uint32_t awaited = 0;
	for (size_t e = 0; e < inf->shape->n_expert; e++) {
		if (!(holders[e] & able))
			awaited |= holders[e];
		for (unsigned d = 0; d < inf->params.n_devices; d++)
			inf->holds[e * inf->params.n_devices + d] = holders[e] >> d & 1;
	}
	return awaited;
}

/* What the device does for a token, and how fast its blocks are. One that cannot be reached is nobody's first choice. */
static void describe_device(struct inference *inf, unsigned d, bool able)
{
	static const enum cell_direction direction[2] = { CELL_DL, CELL_UL };
	struct layer_device *dev = &inf->devices[d];
	struct predict_parts parts;
	predict_parts(cell_predict_state(inf->params.cell, d), inf->predict_config, &parts);
	*dev = (struct layer_device){ .alive = true, .fixed_s = parts.fixed_s, .per_token_s = parts.per_row_s };
	for (int dir = 0; dir < 2; dir++) {
		float rates[PHY_RB_MAX + 1];
		size_t n = cell_n_rb(inf->params.cell);
		cell_rates(inf->params.cell, d, direction[dir], inference_lasts_slots(inf), rates);
		dev->mean_bps[dir] = 8 * (double)rates[n] / (double)n / inference_slot_s(inf) * parts.carried[dir];
		dev->backlog_bits[dir] = 8 * (dir == CELL_DL ? (double)cell_dl_backlog(inf->params.cell, d)
		                                             : (double)cell_ul_backlog(inf->params.cell, d));
		if (!able || !(dev->mean_bps[dir] > 0)) {
			dev->mean_bps[dir] = 1;
			continue;
		}
		cell_relative_rates(inf->params.cell, d, direction[dir], inference_lasts_slots(inf), rates);
		for (size_t rb = 0; rb < n; rb++)
			inf->block_bps[d][dir][rb] = dev->mean_bps[dir] * (double)rates[rb];
		dev->block_bps[dir] = inf->block_bps[d][dir];
	}
}

static void pose_problem(struct inference *inf)
{
	uint32_t able = inference_able(inf), awaited = list_holders(inf, able);
	for (unsigned d = 0; d < inf->params.n_devices; d++) {
		describe_device(inf, d, able >> d & 1);
		inf->devices[d].alive = (able | awaited) >> d & 1;
	}
	inf->problem = (struct layer){
		.n_tokens = inf->n_rows,
		.n_experts = inf->shape->n_expert,
		.top_k = inf->shape->n_expert_used,
		.n_devices = inf->params.n_devices,
		.n_rb = cell_n_rb(inf->params.cell),
		.block_hz = 1, /* of no account where rates are given */
		.token_bits = { 8 * (double)codec_bytes(inf->params.codec_down, inf->shape->n_embd),
		                8 * (double)codec_bytes(inf->params.codec_up, inf->shape->n_embd) },
		.weights = inf->weights,
		.holds = inf->holds,
		.similar = inf->params.similarity
		                   ? inf->params.similarity + inf->layer * inf->shape->n_expert * inf->shape->n_expert
		                   : NULL,
		.device = inf->devices,
	};
}

static bool select_experts(struct inference *inf)
{
	collect_choices(inf);
	pose_problem(inf);
	struct select_params params = inf->params.select;
	params.gamma = pow(params.gamma, (double)inf->layer + 1); /* the layer importance factor of des and jesa */
	inf->sensitivity = params.sensitivity = inf->params.sensitivity ? inf->params.sensitivity[inf->layer] : 1;
	int rc = selector_run(inf->selector, &inf->problem, &params, inf->picked);
	if (rc) {
		inference_fail(inf, "layer %zu: policy %s: %s", inf->layer, inf->params.policy, strerror(-rc));
		return false;
	}
	layer_load(&inf->problem, inf->picked, inf->tokens_on);
	inf->params.select.split->allocate(&inf->problem, inf->tokens_on, &inf->split);
	return true;
}

/* What the router, or the override, said of that expert of the row; NULL: it was not chosen. */
static const struct moe_choice *routed_to(const struct inference *inf, size_t row, size_t expert)
{
	size_t k = inf->shape->n_expert_used;
	for (size_t i = row * k; i < (row + 1) * k; i++)
		if (inf->routed[i].weight > 0 && inf->routed[i].expert == expert)
			return &inf->routed[i];
	return NULL;
}

/* The served choices of a row with the weights they are combined with, and their devices; returns how many. */
size_t inference_served_choices(const struct inference *inf, size_t row, struct moe_choice *choices, uint8_t *devices)
{
	size_t n = 0, k = inf->shape->n_expert_used;
	bool as_routed = true;
	const float *probs = moe_router_probs(inf->ctx, row);
	for (size_t i = row * k; i < (row + 1) * k; i++) {
		const struct layer_choice *c = &inf->picked[i];
		const struct moe_choice *r = routed_to(inf, row, c->expert);
		as_routed = as_routed && c->device >= 0 && r;
		if (c->device < 0)
			continue;
		devices[n] = (uint8_t)c->device;
		choices[n++] =
		        (struct moe_choice){ .expert = c->expert,
			                     .prob = c->expert == c->wanted ? probs[c->expert] : (float)c->given_weight,
			                     .weight = r ? r->weight : (float)c->given_weight };
	}
	if (n && !as_routed)
		moe_renormalise(inf->params.model, choices, n);
	return n;
}

static void list_places(struct inference *inf)
{
	struct moe_choice choices[LAYER_USED_MAX];
	uint8_t devices[LAYER_USED_MAX];
	inf->n_places = 0;
	for (uint32_t row = 0; row < inf->n_rows; row++) {
		size_t n = inference_served_choices(inf, row, choices, devices);
		for (size_t i = 0; i < n; i++)
			inf->places[inf->n_places++] =
			        (struct place){ .row = row, .choice = choices[i], .device = devices[i] };
	}
}

double inference_dl_bytes(const struct inference *inf, const struct call *c)
{
	return (double)(MESSAGE_HEADER + ARQ_DATA_HEADER +
	                inference_payload_bytes(&inf->params, inf->shape->n_embd, c->plan.n_rows, c->plan.n_choices,
	                                        c->n_heard));
}

struct flow_job inference_job(const struct inference *inf, const struct call *c)
{
	const struct layer_device *dev = &inf->devices[c->plan.device];
	double band =
	        (double)inf->problem.n_rb * inference_slot_s(inf) / 8; /* bytes a slot for a bit a second and block */
	return (struct flow_job){
		.device = c->plan.device,
		.first = inference_dl_bytes(inf, c) / (band * dev->mean_bps[LAYER_DL]) + c->cast_slots,
		.lag = predict_compute_s(cell_predict_state(inf->params.cell, c->plan.device),
		                         (double)c->plan.n_choices) /
		       inference_slot_s(inf),
		.then = (double)(MESSAGE_HEADER + ARQ_DATA_HEADER + inference_result_bytes(inf, c)) /
		        (band * dev->mean_bps[LAYER_UL]),
	};
}

/* Multicast goes out in the order of the calls. */
enum flow_sharing inference_sharing(const struct inference *inf)
{
	return inf->cast.n_rows ? FLOW_GIVEN : inf->sharing;
}

double inference_forecast_slots(const struct inference *inf)
{
	struct flow_job jobs[FLOW_JOBS_MAX];
	size_t n = inf->n_calls < FLOW_JOBS_MAX ? inf->n_calls : FLOW_JOBS_MAX;
	for (size_t i = 0; i < n; i++)
		jobs[i] = inference_job(inf, &inf->calls[i]);
	return flow_shop_forecast(inference_sharing(inf), jobs, n, inf->params.n_devices);
}

/* What the layer will take, its calls as jobs of a flow shop; and that, by how such layers went. The latter is the prediction. */
static void forecast_layer(struct inference *inf)
{
	inf->forecast_s = inference_slot_s(inf) * inference_forecast_slots(inf);
	inf->predicted_s = predict_compute_s(&inf->went[moe_batch_has_prompt(inf->batch)], inf->forecast_s);
	inf->predicted_sd_s = predict_compute_sd_s(&inf->went[moe_batch_has_prompt(inf->batch)], inf->forecast_s);
}

/* What the policy did not serve as the router wanted. */
static void note_policy(struct inference *inf)
{
	size_t k = inf->shape->n_expert_used;
	for (size_t row = 0; row < inf->n_rows; row++) {
		double sum = 0;
		for (size_t i = row * k; i < (row + 1) * k; i++)
			sum += inf->picked[i].weight;
		for (size_t i = row * k; i < (row + 1) * k; i++) {
			const struct layer_choice *c = &inf->picked[i];
			if (c->weight > 0 && (c->device < 0 || c->expert != c->wanted))
				inference_note(inf, (uint32_t)row, c->wanted, c->device < 0 ? -1 : c->expert,
				               c->weight / sum, DEVIATION_POLICY);
		}
	}
}

void inference_start_layer(struct inference *inf)
{
	if (!select_experts(inf))
		return;
	note_policy(inf);
	list_places(inf);
	inf->n_calls = inf->n_done = 0;
	if (inf->n_places) {
		inf->n_calls = 1;
		inference_make_calls(inf, 0, inf->n_places, inf->calls);
	}
	if (inf->params.multicast)
		inference_plan_multicast(inf);
	forecast_layer(inf);
	cell_next_layer(inf->params.cell);
	inf->phase = PHASE_CALLING;
	inf->stats.layers++;
	inf->stats.calls += inf->n_calls;
	inf->stats.rows += inf->n_places;
	inf->n_dropped = (uint32_t)(inf->n_rows * inf->shape->n_expert_used - inf->n_places);
	inf->stats.dropped += inf->n_dropped;
}
