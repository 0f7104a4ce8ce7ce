#include "testbed/worker.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "moe/codec.h"
#include "testbed/call.h"

enum { ROWS_MAX = 1024, CALLS_MAX = 4096 };

struct result {
	double ready_s;
	double expected_s; /* what the device can know of it beforehand */
	size_t n;
	uint8_t *message;
};

struct worker {
	struct worker_params params;
	struct compute_clock clock;
	struct moe_expert_ctx *expert;
	size_t n_embd;
	size_t choices_max;               /* of a call */
	float *x;                         /* [rows_max][n_embd], hidden states */
	float *x_of_expert, *y_of_expert; /* the same, of one expert's rows */
	float *y;                         /* [choices_max][n_embd] */
	struct call_choice *choices;
	bool *done;       /* by choice: its output is in y */
	uint8_t *payload; /* of a result */
	struct result *queue;
	size_t first, count;
	double busy_until_s, expected_until_s;
	uint32_t last_seq;
	uint8_t *memory; /* of the queue's messages */
	size_t message_max;
	struct worker_stats stats;
};

struct worker *worker_create(const struct worker_params *p)
{
	if (p->rows_max < 1 || p->rows_max > ROWS_MAX || p->calls_max < 1 || p->calls_max > CALLS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct worker *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->params = *p;
	w->n_embd = p->model->shape.n_embd;
	w->choices_max = p->rows_max * p->model->shape.n_expert_used;
	size_t payload_max = w->choices_max * w->n_embd * sizeof(float);
	w->message_max = MESSAGE_HEADER + (payload_max < MESSAGE_PAYLOAD_MAX ? payload_max : MESSAGE_PAYLOAD_MAX);
	compute_clock_init(&w->clock, &p->profile, p->seed);
	w->expert = moe_expert_ctx_create(p->model, p->rows_max, &(struct moe_compute){ .mode = p->mode });
	w->x = calloc(p->rows_max * w->n_embd, sizeof *w->x);
	w->x_of_expert = matmul_vectors(p->rows_max * w->n_embd);
	w->y_of_expert = matmul_vectors(p->rows_max * w->n_embd);
	w->y = calloc(w->choices_max * w->n_embd, sizeof *w->y);
	w->choices = calloc(w->choices_max, sizeof *w->choices);
	w->done = calloc(w->choices_max, sizeof *w->done);
	w->payload = malloc(w->message_max);
	w->queue = calloc(p->calls_max, sizeof *w->queue);
	w->memory = malloc(p->calls_max * w->message_max);
	if (!w->expert || !w->x || !w->x_of_expert || !w->y_of_expert || !w->y || !w->choices || !w->done ||
	    !w->payload || !w->queue || !w->memory) {
		worker_destroy(w);
		errno = ENOMEM;
		return NULL;
	}
	for (size_t i = 0; i < p->calls_max; i++)
		w->queue[i].message = w->memory + i * w->message_max;
	return w;
}

void worker_destroy(struct worker *w)
{
	if (!w)
		return;
	free(w->memory);
	free(w->queue);
	free(w->payload);
	free(w->done);
	free(w->choices);
	free(w->y);
	free(w->y_of_expert);
	free(w->x_of_expert);
	free(w->x);
	moe_expert_ctx_destroy(w->expert);
	free(w);
}

void worker_reset(struct worker *w)
{
	w->count = 0;
	w->last_seq = 0;
	w->busy_until_s = w->expected_until_s = 0;
}

struct spent {
	double s, expected_s;
};

/* The hidden state of a row that its first choice says was heard; NULL: it was not. */
static const uint8_t *heard_state(const struct worker *w, const struct message *call, const struct call_choice *choice,
                                  size_t row_bytes)
{
	const struct states *s = w->params.states;
	size_t offset = choice->number * row_bytes;
	return s && states_have(s, call->set, offset, row_bytes) ? states_at(s, offset) : NULL;
}

bool worker_lacks(struct worker *w, const struct message *call, const uint8_t *payload)
{
	const struct codec *down = codec_by_id(call->codec);
	if (!down || call_decode(payload, call->n_payload, call, w->choices, w->choices_max) < 0)
		return false;
	for (size_t i = 0; i < call->choices; i++)
		if (w->choices[i].heard && !heard_state(w, call, &w->choices[i], codec_bytes(down, w->n_embd)))
			return true;
	return false;
}

/* Reads the call: choices and hidden states. */
static enum message_status read_call(struct worker *w, const struct message *call, const uint8_t *payload)
{
	const struct codec *down = codec_by_id(call->codec);
	if (!down || !call->rows || call->rows > w->params.rows_max)
		return MESSAGE_BAD_CALL;
	size_t row_bytes = codec_bytes(down, w->n_embd), left = call->n_payload;
	ssize_t table = call_decode(payload, call->n_payload, call, w->choices, w->choices_max);
	if (table < 0)
		return MESSAGE_BAD_CALL;
	payload += table;
	left -= (size_t)table;
	for (size_t i = 0, row = 0; i < call->choices; row++) {
		const struct call_choice *first = &w->choices[i];
		const uint8_t *state = first->heard ? heard_state(w, call, first, row_bytes) : payload;
		if (!state)
			return MESSAGE_NOT_HEARD;
		if (!first->heard && left < row_bytes)
			return MESSAGE_BAD_CALL;
		if (down->decode(state, w->n_embd, w->x + row * w->n_embd))
			return MESSAGE_NON_FINITE;
		payload += first->heard ? 0 : row_bytes;
		left -= first->heard ? 0 : row_bytes;
		while (i < call->choices && w->choices[i].row == row)
			i++;
	}
	return left ? MESSAGE_BAD_CALL : MESSAGE_OK;
}

/* One expert on all rows that choose it, from choice `first` on. */
static int run_expert(struct worker *w, const struct message *call, size_t first, struct spent *spent)
{
	uint16_t expert = w->choices[first].expert;
	size_t n = 0, bytes = w->n_embd * sizeof(float);
	for (size_t i = first; i < call->choices; i++)
		if (w->choices[i].expert == expert)
			memcpy(w->x_of_expert + n++ * w->n_embd, w->x + w->choices[i].row * w->n_embd, bytes);
	int rc = moe_expert_forward(w->expert, call->layer, expert, w->x_of_expert, n, w->y_of_expert);
	if (rc)
		return rc;
	n = 0;
	for (size_t i = first; i < call->choices; i++)
		if (w->choices[i].expert == expert) {
			memcpy(w->y + i * w->n_embd, w->y_of_expert + n++ * w->n_embd, bytes);
			w->done[i] = true;
		}
	struct moe_cost cost = moe_expert_cost(w->params.model, call->layer, n);
	spent->expected_s += compute_clock_expect(&w->clock, cost.bytes, cost.flop);
	spent->s += compute_clock_charge(&w->clock, cost.bytes, cost.flop);
	return 0;
}

/* The weighted sum of each row's outputs, in router order; afterwards y has one row for each row of the call. */
static void combine(struct worker *w, const struct message *call)
{
	for (size_t i = 0, row = 0; i < call->choices; row++) {
		float *sum = w->y_of_expert + row * w->n_embd;
		memset(sum, 0, w->n_embd * sizeof *sum);
		for (; i < call->choices && w->choices[i].row == row; i++)
			for (size_t k = 0; k < w->n_embd; k++)
				sum[k] += w->choices[i].weight * w->y[i * w->n_embd + k];
	}
	memcpy(w->y, w->y_of_expert, call->rows * w->n_embd * sizeof *w->y);
}

/* Runs the experts; returns the status of the answer, the size of its payload, and what the work took. */
static enum message_status work(struct worker *w, const struct message *call, const uint8_t *payload, size_t *n_result,
                                struct spent *spent)
{
	const struct codec *up = codec_by_id(call->reply_codec);
	size_t n_rows = call->combined ? call->rows : call->choices;
	enum message_status status = up ? read_call(w, call, payload) : MESSAGE_BAD_CALL;
	*n_result = 0;
	memset(w->done, 0, w->choices_max * sizeof *w->done);
	if (status == MESSAGE_OK && MESSAGE_HEADER + n_rows * codec_bytes(up, w->n_embd) > w->message_max)
		return MESSAGE_BAD_CALL;
	for (size_t i = 0; status == MESSAGE_OK && i < call->choices; i++) {
		int rc = w->done[i] ? 0 : run_expert(w, call, i, spent);
		if (rc)
			status = rc == -EDOM ? MESSAGE_NON_FINITE : MESSAGE_BAD_CALL;
	}
	if (status == MESSAGE_OK && call->combined)
		combine(w, call);
	for (size_t r = 0; status == MESSAGE_OK && r < n_rows; r++)
		if (up->encode(w->y + r * w->n_embd, w->n_embd, w->payload + r * codec_bytes(up, w->n_embd)))
			status = MESSAGE_NON_FINITE;
	if (status == MESSAGE_OK)
		*n_result = n_rows * codec_bytes(up, w->n_embd);
	else
		*spent = (struct spent){ 0 };
	return status;
}

static uint32_t microseconds(double s)
{
	return s > 0 ? (uint32_t)fmin(round(s * 1e6), UINT32_MAX) : 0;
}

static void count(struct worker_stats *s, const struct message *call, enum message_status status, double spent_s)
{
	s->calls++;
	s->busy_s += spent_s;
	if (status == MESSAGE_OK)
		s->rows += call->choices;
	else if (status == MESSAGE_NON_FINITE)
		s->non_finite++;
	else if (status == MESSAGE_NOT_HEARD)
		s->not_heard++;
	else
		s->refused++;
}

bool worker_has_room(const struct worker *w)
{
	return w->count < w->params.calls_max;
}

int worker_take(struct worker *w, const struct message *call, const uint8_t *payload, uint32_t slot, double t_s)
{
	if (call->seq <= w->last_seq) {
		w->stats.dropped++;
		return -EALREADY;
	}
	if (!worker_has_room(w))
		return -ENOBUFS;
	w->last_seq = call->seq;
	size_t n_payload;
	struct spent spent = { 0 };
	enum message_status status = work(w, call, payload, &n_payload, &spent);
	double start_s = fmax(t_s, w->busy_until_s);
	w->busy_until_s = start_s + spent.s;
	w->expected_until_s = fmax(t_s, w->expected_until_s) + spent.expected_s;
	struct message answer = *call;
	answer.type = MESSAGE_RESULT;
	answer.codec = call->reply_codec;
	answer.status = (uint8_t)status;
	answer.slot = slot;
	answer.queue_us = microseconds(start_s - t_s);
	answer.compute_us = microseconds(spent.s);
	answer.n_payload = (uint32_t)n_payload;
	struct result *r = &w->queue[(w->first + w->count++) % w->params.calls_max];
	r->ready_s = w->busy_until_s;
	r->expected_s = w->expected_until_s;
	r->n = message_encode(&answer, w->payload, r->message, w->message_max);
	count(&w->stats, call, status, spent.s);
	return 0;
}

size_t worker_poll(struct worker *w, double t_s, const uint8_t **message)
{
	struct result *r = &w->queue[w->first];
	if (!w->count || r->ready_s > t_s)
		return 0;
	w->first = (w->first + 1) % w->params.calls_max;
	w->count--;
	*message = r->message;
	return r->n;
}

size_t worker_expects(const struct worker *w, double t_s)
{
	size_t bytes = 0;
	for (size_t i = 0; i < w->count; i++) {
		const struct result *r = &w->queue[(w->first + i) % w->params.calls_max];
		if (r->expected_s > t_s)
			break;
		bytes += r->n;
	}
	return bytes;
}

void worker_slow_down(struct worker *w, double slowness)
{
	w->clock.slowness = slowness;
}

struct worker_stats worker_stats(const struct worker *w)
{
	return w->stats;
}
