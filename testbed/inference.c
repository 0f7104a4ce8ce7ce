#include "testbed/inference.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moe/batch.h"
#include "moe/bs_half.h"
#include "scheduler/predict.h"
#include "testbed/call.h"
#include "testbed/plan.h"

enum { RECORDS = 64 };

enum phase {
	PHASE_BEGIN,     /* the next chunk is to be embedded, if there is one */
	PHASE_COMPUTING, /* attention and router of a layer, until ready_s */
	PHASE_CALLING,   /* experts are at work */
	PHASE_HEAD,      /* output head, until ready_s */
};

enum call_state { CALL_UNSENT, CALL_SENT, CALL_DONE };

struct call {
	struct plan_call plan;
	enum call_state state;
	uint32_t seq;
	uint32_t stream_begin; /* where the message starts in the device's stream */
	bool started;
	double started_s; /* start of the first downlink slot with a byte of it */
	double done_s;
	double downlink_end_s, compute_s, uplink_start_s; /* from the result */
};

struct inference {
	struct inference_params params;
	const struct moe_shape *shape;
	struct moe_ctx *ctx;
	struct selector *selector;
	struct compute_clock clock;
	const struct predict_config *predict_config;
	struct expert_chooser chooser;
	uint32_t *holders; /* [n_layer][n_expert] bit d: device d ever said that it holds it */

	enum inference_status status;
	char error[256];
	struct moe_batch *batch;
	double *start_s, *end_s;    /* [n_sequences] */
	const struct moe_row *rows; /* of the chunk */
	enum phase phase;
	size_t layer, n_rows;
	double ready_s;

	/* the layer in work, as the scheduler sees it */
	struct layer problem;
	struct layer_device devices[PHY_DEVICES_MAX];
	uint8_t *holds;              /* [n_expert][n_devices] */
	double *weights;             /* [chunk_rows][n_expert] the router's, what was not chosen on purpose left out */
	struct layer_choice *picked; /* [chunk_rows][n_used] */
	struct moe_choice
	        *routed; /* [chunk_rows][n_used] as routed, or chosen on purpose: weight 0 where there are fewer */
	struct bandwidth split; /* that the prediction is made with */
	enum flow_sharing sharing;
	struct predict_config went_config;
	struct predict_state went[2]; /* layers without and with prompts: forecast and measured */
	double forecast_s, predicted_s;
	uint32_t tokens_on[PHY_DEVICES_MAX];
	uint32_t n_dropped;
	struct place *places, *scratch; /* [chunk_rows * n_used], the served choices by call */
	size_t n_places;
	float *y; /* [places][n_embd]; combined: a row's sum where its first place is */
	struct plan_call *plans;
	struct call *calls;
	size_t n_calls, n_done;
	struct call_choice *choices; /* of a message */
	uint8_t *payload;
	uint32_t seq;

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

static size_t payload_bytes(const struct inference_params *p, size_t n_embd, size_t n_rows, size_t n_choices)
{
	return call_table_bytes(n_rows, n_choices, p->combine) + n_rows * codec_bytes(p->codec_down, n_embd);
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
	inf->payload = malloc(payload_bytes(p, s->n_embd, p->call_rows_max, choices));
	inf->selector = selector_create(p->policy, &(struct select_limits){ .n_tokens = p->chunk_rows,
	                                                                    .n_experts = s->n_expert,
	                                                                    .top_k = s->n_expert_used,
	                                                                    .n_devices = p->n_devices });
	return inf->ctx && inf->holders && inf->batch && inf->start_s && inf->end_s && inf->holds && inf->weights &&
	       inf->picked && inf->routed && inf->places && inf->scratch && inf->y && inf->plans && inf->calls &&
	       inf->choices && inf->payload && inf->selector;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Rows of a call that fit a message both ways, whatever they ask for. */
static size_t rows_in_message(const struct inference_params *p, const struct moe_shape *s)
{
	size_t n = s->n_expert_used;
	return smaller(MESSAGE_PAYLOAD_MAX / payload_bytes(p, s->n_embd, 1, n),
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
	inf->went_config.per_row_prior_s = 1;
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
	moe_batch_destroy(inf->batch);
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
static uint32_t attached(const struct inference *inf)
{
	uint32_t mask = 0;
	for (unsigned d = 0; d < inf->params.n_devices; d++)
		if (cell_state(inf->params.cell, d) == CELL_ATTACHED)
			mask |= 1u << d;
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
	return all_held(inf, attached(inf));
}

int inference_start(struct inference *inf, const int32_t *tokens, size_t n, const struct generation_options *options,
                    double t_s)
{
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

static void attend(struct inference *inf, double t_s)
{
	if (moe_attend(inf->ctx, inf->layer)) {
		fail(inf, "layer %zu: a hidden state is not finite", inf->layer);
		return;
	}
	charge(inf, attend_cost(inf), t_s);
	inf->phase = PHASE_COMPUTING;
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
		fail(inf, "token %d: %s", unknown_token(inf), strerror(-rc));
	else
		attend(inf, inf->ready_s);
}

static void pick_tokens(struct inference *inf)
{
	bool under_way[INFERENCE_SEQUENCES_MAX];
	for (size_t i = 0; i < inf->params.n_sequences; i++)
		under_way[i] = moe_batch_generation(inf->batch, i) && !moe_batch_ended(inf->batch, i);
	if (moe_batch_pick(inf->batch)) {
		fail(inf, "logits that are not finite");
		return;
	}
	for (size_t i = 0; i < inf->params.n_sequences; i++)
		if (under_way[i] && moe_batch_ended(inf->batch, i))
			inf->end_s[i] = inf->ready_s;
	inf->phase = PHASE_BEGIN;
	if (!moe_batch_n_under_way(inf->batch))
		inf->status = INFERENCE_DONE;
}

/* ---- choosing experts ---- */

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
		cell_rates(inf->params.cell, d, direction[dir], rates);
		dev->mean_bps[dir] = 8 * (double)rates[n] / (double)n / slot_s(inf) * parts.carried[dir];
		dev->backlog_bits[dir] = 8 * (dir == CELL_DL ? (double)cell_dl_backlog(inf->params.cell, d)
		                                             : (double)cell_ul_backlog(inf->params.cell, d));
		if (!able || !(dev->mean_bps[dir] > 0))
			dev->mean_bps[dir] = 1;
	}
}

static void pose_problem(struct inference *inf)
{
	uint32_t able = attached(inf), awaited = list_holders(inf, able);
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
	if (inf->params.sensitivity)
		params.sensitivity = inf->params.sensitivity[inf->layer];
	int rc = selector_run(inf->selector, &inf->problem, &params, inf->picked);
	if (rc) {
		fail(inf, "layer %zu: policy %s: %s", inf->layer, inf->params.policy, strerror(-rc));
		return false;
	}
	layer_load(&inf->problem, inf->picked, inf->tokens_on);
	inf->params.select.split->allocate(&inf->problem, inf->tokens_on, &inf->split);
	return true;
}

/* ---- calls ---- */

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
static size_t served_choices(const struct inference *inf, size_t row, struct moe_choice *choices, uint8_t *devices)
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
		size_t n = served_choices(inf, row, choices, devices);
		for (size_t i = 0; i < n; i++)
			inf->places[inf->n_places++] =
			        (struct place){ .row = row, .choice = choices[i], .device = devices[i] };
	}
}

/* Calls for n places from `first` on; the first of them goes where *at stands, the others behind all there are. */
static void make_calls(struct inference *inf, size_t first, size_t n, struct call *at)
{
	size_t n_new = plan_calls(inf->places + first, inf->scratch, n, inf->params.call_rows_max, inf->plans);
	for (size_t i = 0; i < n_new; i++) {
		struct call *c = i ? &inf->calls[inf->n_calls++] : at;
		*c = (struct call){ .plan = inf->plans[i] };
		c->plan.first += first;
	}
}

/* Writes table and hidden states; 0, or what the codec said. */
static int write_payload(struct inference *inf, const struct call *c, size_t *n)
{
	const struct codec *codec = inf->params.codec_down;
	size_t n_embd = inf->shape->n_embd, row = 0;
	uint8_t *states = inf->payload + call_table_bytes(c->plan.n_rows, c->plan.n_choices, inf->params.combine);
	for (size_t i = 0; i < c->plan.n_choices; i++) {
		const struct place *p = &inf->places[c->plan.first + i];
		if (p->first_of_row) {
			int rc = codec->encode(moe_hidden(inf->ctx, p->row), n_embd,
			                       states + row++ * codec_bytes(codec, n_embd));
			if (rc)
				return rc;
		}
		inf->choices[i] =
		        (struct call_choice){ (uint16_t)(row - 1), (uint16_t)p->choice.expert, p->choice.weight };
	}
	call_encode(inf->choices, c->plan.n_choices, c->plan.n_rows, inf->params.combine, inf->payload);
	*n = payload_bytes(&inf->params, n_embd, c->plan.n_rows, c->plan.n_choices);
	return 0;
}

/* For messages: the first expert that a call asks for. */
static unsigned expert_of(const struct inference *inf, const struct call *c)
{
	return inf->places[c->plan.first].choice.expert;
}

static void send_call(struct inference *inf, struct call *c)
{
	size_t n_payload;
	if (write_payload(inf, c, &n_payload)) {
		fail(inf, "layer %zu expert %u: a hidden state does not fit codec %s", inf->layer, expert_of(inf, c),
		     inf->params.codec_down->name);
		return;
	}
	struct message m = { .type = MESSAGE_CALL,
		             .codec = inf->params.codec_down->id,
		             .reply_codec = inf->params.codec_up->id,
		             .combined = inf->params.combine,
		             .seq = inf->seq + 1,
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

static void send_calls(struct inference *inf)
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

static size_t result_bytes(const struct inference *inf, const struct call *c)
{
	return result_rows(inf, c) * codec_bytes(inf->params.codec_up, inf->shape->n_embd);
}

/* What is left of the layer on each device, for the allocators. */
static void update_loads(struct inference *inf)
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
		        (double)result_bytes(inf, c) + MESSAGE_HEADER + ARQ_DATA_HEADER;
		rows[c->plan.device] += (double)c->plan.n_choices;
	}
	for (unsigned d = 0; d < inf->params.n_devices; d++) {
		if (load[d].loaded) {
			float rates[PHY_RB_MAX + 1];
			cell_rates(inf->params.cell, d, CELL_UL, rates);
			double rate = fmax((double)rates[cell_n_rb(inf->params.cell)], 1.0);
			load[d].remaining_bytes[CELL_DL] = (double)cell_dl_backlog(inf->params.cell, d);
			load[d].after_s = load[d].remaining_bytes[CELL_UL] / rate * slot_s(inf);
			load[d].tail_s =
			        predict_compute_s(cell_predict_state(inf->params.cell, d), rows[d]) + load[d].after_s;
		}
		cell_set_load(inf->params.cell, d, &load[d]);
	}
}

/* What the layer will take, its calls as jobs of a flow shop; and that, by how such layers went. The latter is the prediction. */
static void forecast_layer(struct inference *inf)
{
	struct flow_job jobs[FLOW_JOBS_MAX];
	size_t n = inf->n_calls < FLOW_JOBS_MAX ? inf->n_calls : FLOW_JOBS_MAX;
	for (size_t i = 0; i < n; i++) {
		const struct call *c = &inf->calls[i];
		const struct layer_device *dev = &inf->devices[c->plan.device];
		double band =
		        (double)inf->problem.n_rb * slot_s(inf) / 8; /* bytes a slot for a bit a second and block */
		jobs[i] = (struct flow_job){
			.device = c->plan.device,
			.first = (double)(MESSAGE_HEADER + ARQ_DATA_HEADER +
			                  payload_bytes(&inf->params, inf->shape->n_embd, c->plan.n_rows,
			                                c->plan.n_choices)) /
			         (band * dev->mean_bps[LAYER_DL]),
			.lag = predict_compute_s(cell_predict_state(inf->params.cell, c->plan.device),
			                         (double)c->plan.n_choices) /
			       slot_s(inf),
			.then = (double)(MESSAGE_HEADER + ARQ_DATA_HEADER + result_bytes(inf, c)) /
			        (band * dev->mean_bps[LAYER_UL]),
		};
	}
	inf->forecast_s = slot_s(inf) * flow_shop_forecast(inf->sharing, jobs, n, inf->params.n_devices);
	inf->predicted_s = predict_compute_s(&inf->went[moe_batch_has_prompt(inf->batch)], inf->forecast_s);
}

static void start_layer(struct inference *inf)
{
	if (!select_experts(inf))
		return;
	list_places(inf);
	inf->n_calls = inf->n_done = 0;
	if (inf->n_places) {
		inf->n_calls = 1;
		make_calls(inf, 0, inf->n_places, inf->calls);
	}
	forecast_layer(inf);
	cell_next_layer(inf->params.cell);
	inf->phase = PHASE_CALLING;
	inf->stats.layers++;
	inf->stats.calls += inf->n_calls;
	inf->stats.rows += inf->n_places;
	inf->n_dropped = (uint32_t)(inf->n_rows * inf->shape->n_expert_used - inf->n_places);
	inf->stats.dropped += inf->n_dropped;
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
	    m->combined != inf->params.combine || m->codec != codec->id || m->n_payload != result_bytes(inf, c))
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
	double now_s = (double)(slot + 1) * slot_s(inf);
	double dl_end_s = ((double)m->slot + 1) * slot_s(inf);
	c->compute_s = 1e-6 * m->compute_us;
	c->downlink_end_s = fmin(fmax(dl_end_s, c->started_s), now_s);
	double result_s = fmin(c->downlink_end_s + 1e-6 * m->queue_us + c->compute_s, now_s);
	c->compute_s = fmin(c->compute_s, result_s - c->downlink_end_s);
	uint64_t grant =
	        cell_ul_grant_after(inf->params.cell, c->plan.device, (uint64_t)ceil(result_s / slot_s(inf) - 1e-6));
	c->uplink_start_s = fmin(fmax((double)grant * slot_s(inf), result_s), now_s - slot_s(inf));
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
	if (m->status != MESSAGE_OK) {
		inf->stats.refused++;
		fail(inf, "layer %zu expert %u: device %u answered: %s", inf->layer, expert_of(inf, c), device,
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

/* Deals an unanswered call anew among the devices that can be reached; what only a lost one holds waits for it. */
static void deal_again(struct inference *inf, struct call *c, uint32_t able)
{
	unsigned was = c->plan.device;
	bool moved = false, sent = c->state == CALL_SENT;
	struct place *places = inf->places + c->plan.first;
	for (size_t i = 0; i < c->plan.n_choices; i++) {
		size_t to = bandwidth_first_done(&inf->problem, &inf->split, inf->tokens_on, places[i].choice.expert);
		if (to < inf->params.n_devices && able >> to & 1) {
			places[i].device = (uint8_t)to;
			inf->tokens_on[to]++;
		}
		moved |= places[i].device != was;
	}
	inf->stats.calls_moved += moved;
	inf->stats.calls_sent_again += sent && !moved;
	make_calls(inf, c->plan.first, c->plan.n_choices, c);
}

void inference_lost(struct inference *inf, unsigned device)
{
	if (inf->status != INFERENCE_RUNNING || inf->phase != PHASE_CALLING)
		return;
	uint32_t able = attached(inf) & ~(1u << device);
	size_t n = inf->n_calls;
	inf->devices[device].alive = false;
	for (size_t i = 0; i < n; i++)
		if (inf->calls[i].plan.device == device && inf->calls[i].state != CALL_DONE)
			deal_again(inf, &inf->calls[i], able);
}

void inference_sent(struct inference *inf, uint64_t slot)
{
	for (size_t i = 0; i < inf->n_calls && inf->phase == PHASE_CALLING; i++) {
		struct call *c = &inf->calls[i];
		if (c->state == CALL_SENT && !c->started &&
		    (int32_t)(cell_sent(inf->params.cell, c->plan.device) - c->stream_begin) > 0) {
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
		.prompt = moe_batch_has_prompt(inf->batch),
		.t_start_s = inf->ready_s,
		.latency_s = t_s - inf->ready_s,
		.n_calls = (uint32_t)inf->n_calls,
		.n_rows = (uint32_t)inf->n_places,
		.n_dropped = inf->n_dropped,
		.predicted_s = inf->predicted_s,
		.theta = selector_theta(inf->selector),
		.kept_weight = layer_kept_weight(&inf->problem, inf->picked),
	};
	const struct call *last = NULL;
	double device_end_s[PHY_DEVICES_MAX] = { 0 };
	for (size_t i = 0; i < inf->n_calls; i++) {
		const struct call *c = &inf->calls[i];
		if (!last || c->done_s >= last->done_s)
			last = c;
		r.rows_on[c->plan.device] += (uint32_t)c->plan.n_choices;
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
		if (r.rows_on[d])
			predict_observe_call(cell_predict_state(inf->params.cell, d), inf->predict_config,
			                     layer_device_s(&inf->problem, d, r.rows_on[d],
			                                    (double[2]){ inf->split.rate_bps[LAYER_DL][d],
			                                                 inf->split.rate_bps[LAYER_UL][d] }),
			                     device_end_s[d] - inf->ready_s);
	predict_observe_compute(&inf->went[r.prompt], &inf->went_config, inf->forecast_s, r.latency_s);
	inf->records[inf->n_records++ % RECORDS] = r;
}

static bool combine_row(struct inference *inf, uint32_t row)
{
	struct moe_part parts[LAYER_USED_MAX];
	size_t n = 0;
	for (size_t i = 0; i < inf->n_places; i++) {
		const struct place *p = &inf->places[i];
		if (p->row != row || (inf->params.combine && !p->first_of_row))
			continue;
		parts[n++] = (struct moe_part){ .expert = p->choice.expert,
			                        .weight = inf->params.combine ? 1 : p->choice.weight,
			                        .y = inf->y + i * inf->shape->n_embd };
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
	} else if (!moe_batch_n_picks(inf->batch)) {
		inf->ready_s = t_s;
		inf->phase = PHASE_BEGIN;
	} else {
		charge(inf, moe_head_cost(inf->params.model, moe_batch_n_picks(inf->batch)), t_s);
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
			     expert_of(inf, &inf->calls[i]), inf->calls[i].plan.device,
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
		pick_tokens(inf);
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

struct inference_stats inference_stats(const struct inference *inf)
{
	return inf->stats;
}
