#include "testbed/worker.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "moe/codec.h"
#include "radio/wall.h"
#include "testbed/call.h"
#include "testbed/helper.h"

enum { ROWS_MAX = 1024, CALLS_MAX = 4096 };
static const double PACE_ALPHA = 0.1; /* of what computing takes over what the profile says */

struct spent {
	double s, expected_s;
};

/* A call from its arrival to its answer. In real time all but the last group belongs to the thread while it is under way. */
struct job {
	struct worker *w;
	struct message call;
	struct call_choice *choices; /* [choices_max] */
	uint8_t *states;             /* [rows_max] coded hidden states, those heard by multicast included */
	enum message_status status;
	double taken_s; /* the slot's time; in real time of the wall clock */
	struct spent spent;
	size_t n_message;
	uint8_t *message; /* [message_max] */

	double ready_s;    /* virtual time */
	double expected_s; /* what the device can know of it beforehand */
	size_t n_expected; /* bytes, likewise */
	uint64_t ticket;   /* real time */
	bool forgotten;
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
	bool *done;                       /* by choice: its output is in y */
	uint8_t *payload;                 /* of a result */
	struct call_choice *looked_at;    /* of a call that may have to wait */
	struct job *queue;
	size_t first, count;
	double busy_until_s, expected_until_s;
	double pace; /* real time: what computing takes over what the profile says */
	uint32_t last_seq;
	uint8_t *memory; /* of the queue's states and messages */
	struct call_choice *choices;
	size_t states_max, message_max;
	struct helper *helper; /* real time */
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
	w->states_max = p->rows_max * w->n_embd * sizeof(float);
	w->pace = 1;
	w->x = calloc(p->rows_max * w->n_embd, sizeof *w->x);
	w->x_of_expert = matmul_vectors(p->rows_max * w->n_embd);
	w->y_of_expert = matmul_vectors(p->rows_max * w->n_embd);
	w->y = calloc(w->choices_max * w->n_embd, sizeof *w->y);
	w->looked_at = calloc(w->choices_max, sizeof *w->looked_at);
	w->done = calloc(w->choices_max, sizeof *w->done);
	w->payload = malloc(w->message_max);
	w->queue = calloc(p->calls_max, sizeof *w->queue);
	w->choices = calloc(p->calls_max * w->choices_max, sizeof *w->choices);
	w->memory = malloc(p->calls_max * (w->states_max + w->message_max));
	if (!w->expert || !w->x || !w->x_of_expert || !w->y_of_expert || !w->y || !w->looked_at || !w->done ||
	    !w->payload || !w->queue || !w->choices || !w->memory || (p->real_time && !(w->helper = helper_create()))) {
		worker_destroy(w);
		errno = ENOMEM;
		return NULL;
	}
	for (size_t i = 0; i < p->calls_max; i++) {
		uint8_t *memory = w->memory + i * (w->states_max + w->message_max);
		w->queue[i] = (struct job){ .w = w,
			                    .choices = w->choices + i * w->choices_max,
			                    .states = memory,
			                    .message = memory + w->states_max };
	}
	return w;
}

void worker_destroy(struct worker *w)
{
	if (!w)
		return;
	helper_destroy(w->helper);
	free(w->memory);
	free(w->choices);
	free(w->queue);
	free(w->payload);
	free(w->done);
	free(w->looked_at);
	free(w->y);
	free(w->y_of_expert);
	free(w->x_of_expert);
	free(w->x);
	moe_expert_ctx_destroy(w->expert);
	free(w);
}

static struct job *job_at(const struct worker *w, size_t i)
{
	return &w->queue[(w->first + i) % w->params.calls_max];
}

/* What the thread has in work stays in the queue until it is done with it. */
void worker_reset(struct worker *w)
{
	for (size_t i = 0; i < w->count; i++)
		job_at(w, i)->forgotten = true;
	if (!w->helper)
		w->count = 0;
	w->last_seq = 0;
	w->busy_until_s = w->expected_until_s = 0;
}

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
	if (!down || call_decode(payload, call->n_payload, call, w->looked_at, w->choices_max) < 0)
		return false;
	for (size_t i = 0; i < call->choices; i++)
		if (w->looked_at[i].heard && !heard_state(w, call, &w->looked_at[i], codec_bytes(down, w->n_embd)))
			return true;
	return false;
}

/* Reads the call: choices and hidden states, as they came. */
static enum message_status read_call(struct worker *w, struct job *j, const uint8_t *payload)
{
	const struct message *call = &j->call;
	const struct codec *down = codec_by_id(call->codec);
	if (!down || !call->rows || call->rows > w->params.rows_max)
		return MESSAGE_BAD_CALL;
	size_t row_bytes = codec_bytes(down, w->n_embd), left = call->n_payload;
	ssize_t table = call_decode(payload, call->n_payload, call, j->choices, w->choices_max);
	if (table < 0)
		return MESSAGE_BAD_CALL;
	payload += table;
	left -= (size_t)table;
	for (size_t i = 0, row = 0; i < call->choices; row++) {
		const struct call_choice *first = &j->choices[i];
		const uint8_t *state = first->heard ? heard_state(w, call, first, row_bytes) : payload;
		if (!state)
			return MESSAGE_NOT_HEARD;
		if (!first->heard && left < row_bytes)
			return MESSAGE_BAD_CALL;
		memcpy(j->states + row * row_bytes, state, row_bytes);
		payload += first->heard ? 0 : row_bytes;
		left -= first->heard ? 0 : row_bytes;
		while (i < call->choices && j->choices[i].row == row)
			i++;
	}
	return left ? MESSAGE_BAD_CALL : MESSAGE_OK;
}

static enum message_status decode_states(struct worker *w, const struct job *j)
{
	const struct codec *down = codec_by_id(j->call.codec);
	size_t row_bytes = codec_bytes(down, w->n_embd);
	for (size_t row = 0; row < j->call.rows; row++)
		if (down->decode(j->states + row * row_bytes, w->n_embd, w->x + row * w->n_embd))
			return MESSAGE_NON_FINITE;
	return MESSAGE_OK;
}

/* One expert on all rows that choose it, from choice `first` on. */
static int run_expert(struct worker *w, struct job *j, size_t first)
{
	const struct message *call = &j->call;
	uint16_t expert = j->choices[first].expert;
	size_t n = 0, bytes = w->n_embd * sizeof(float);
	for (size_t i = first; i < call->choices; i++)
		if (j->choices[i].expert == expert)
			memcpy(w->x_of_expert + n++ * w->n_embd, w->x + j->choices[i].row * w->n_embd, bytes);
	int rc = moe_expert_forward(w->expert, call->layer, expert, w->x_of_expert, n, w->y_of_expert);
	if (rc)
		return rc;
	n = 0;
	for (size_t i = first; i < call->choices; i++)
		if (j->choices[i].expert == expert) {
			memcpy(w->y + i * w->n_embd, w->y_of_expert + n++ * w->n_embd, bytes);
			w->done[i] = true;
		}
	struct moe_cost cost = moe_expert_cost(w->params.model, call->layer, n);
	j->spent.expected_s += compute_clock_expect(&w->clock, cost.bytes, cost.flop);
	j->spent.s += compute_clock_charge(&w->clock, cost.bytes, cost.flop);
	return 0;
}

/* The weighted sum of each row's outputs, in router order; afterwards y has one row for each row of the call. */
static void combine(struct worker *w, const struct job *j)
{
	const struct message *call = &j->call;
	for (size_t i = 0, row = 0; i < call->choices; row++) {
		float *sum = w->y_of_expert + row * w->n_embd;
		memset(sum, 0, w->n_embd * sizeof *sum);
		for (; i < call->choices && j->choices[i].row == row; i++)
			for (size_t k = 0; k < w->n_embd; k++)
				sum[k] += j->choices[i].weight * w->y[i * w->n_embd + k];
	}
	memcpy(w->y, w->y_of_expert, call->rows * w->n_embd * sizeof *w->y);
}

/* Rows of its answer. */
static size_t rows_back(const struct job *j)
{
	return j->call.combined ? j->call.rows : j->call.choices;
}

/* Runs the experts of a call that could be read: its status, what the work took, and the results in `payload`; returns their bytes. */
static size_t run_call(struct worker *w, struct job *j)
{
	const struct codec *up = codec_by_id(j->call.reply_codec);
	size_t n_rows = rows_back(j);
	memset(w->done, 0, w->choices_max * sizeof *w->done);
	if (j->status == MESSAGE_OK)
		j->status = decode_states(w, j);
	for (size_t i = 0; j->status == MESSAGE_OK && i < j->call.choices; i++) {
		int rc = w->done[i] ? 0 : run_expert(w, j, i);
		if (rc)
			j->status = rc == -EDOM ? MESSAGE_NON_FINITE : MESSAGE_BAD_CALL;
	}
	if (j->status == MESSAGE_OK && j->call.combined)
		combine(w, j);
	for (size_t r = 0; j->status == MESSAGE_OK && r < n_rows; r++)
		if (up->encode(w->y + r * w->n_embd, w->n_embd, w->payload + r * codec_bytes(up, w->n_embd)))
			j->status = MESSAGE_NON_FINITE;
	if (j->status == MESSAGE_OK)
		return n_rows * codec_bytes(up, w->n_embd);
	j->spent = (struct spent){ 0 };
	return 0;
}

static uint32_t microseconds(double s)
{
	return s > 0 ? (uint32_t)fmin(round(s * 1e6), UINT32_MAX) : 0;
}

static void count(struct worker_stats *s, const struct job *j)
{
	s->calls++;
	s->busy_s += j->spent.s;
	if (j->status == MESSAGE_OK)
		s->rows += j->call.choices;
	else if (j->status == MESSAGE_NON_FINITE)
		s->non_finite++;
	else if (j->status == MESSAGE_NOT_HEARD)
		s->not_heard++;
	else
		s->refused++;
}

bool worker_has_room(const struct worker *w)
{
	return w->count < w->params.calls_max;
}

static void write_answer(struct worker *w, struct job *j, size_t n_payload, double queue_s)
{
	struct message *answer = &j->call;
	answer->type = MESSAGE_RESULT;
	answer->codec = answer->reply_codec;
	answer->status = (uint8_t)j->status;
	answer->queue_us = microseconds(queue_s);
	answer->compute_us = microseconds(j->spent.s);
	answer->n_payload = (uint32_t)n_payload;
	j->n_message = message_encode(answer, w->payload, j->message, w->message_max);
}

/* On the worker's thread. */
static void run_in_real_time(void *arg)
{
	struct job *j = arg;
	double begin_s = wall_s();
	size_t n = run_call(j->w, j);
	j->spent.s = wall_s() - begin_s;
	write_answer(j->w, j, n, begin_s - j->taken_s);
}

static void run_in_virtual_time(struct worker *w, struct job *j)
{
	size_t n = run_call(w, j);
	double start_s = fmax(j->taken_s, w->busy_until_s);
	w->busy_until_s = start_s + j->spent.s;
	w->expected_until_s = fmax(j->taken_s, w->expected_until_s) + j->spent.expected_s;
	write_answer(w, j, n, start_s - j->taken_s);
	j->ready_s = w->busy_until_s;
	j->expected_s = w->expected_until_s;
	j->n_expected = j->n_message;
	count(&w->stats, j);
}

/* Expert by expert, as the profile would have it, and as it has been of late. */
static double guess_s(const struct worker *w, const struct job *j)
{
	double sum_s = 0;
	for (size_t i = 0; i < j->call.choices; i++) {
		size_t before = 0, n = 0;
		for (size_t k = 0; k < j->call.choices; k++) {
			bool same = j->choices[k].expert == j->choices[i].expert;
			before += same && k < i;
			n += same;
		}
		struct moe_cost cost = moe_expert_cost(w->params.model, j->call.layer, n);
		sum_s += before ? 0 : compute_clock_expect(&w->clock, cost.bytes, cost.flop);
	}
	return w->pace * sum_s;
}

static int start_in_real_time(struct worker *w, struct job *j, double t_s)
{
	bool fine = j->status == MESSAGE_OK && j->call.layer < w->params.model->shape.n_layer;
	j->n_expected =
	        MESSAGE_HEADER + (fine ? rows_back(j) * codec_bytes(codec_by_id(j->call.reply_codec), w->n_embd) : 0);
	j->expected_s = w->expected_until_s = fmax(t_s, w->expected_until_s) + (fine ? guess_s(w, j) : 0);
	j->taken_s = wall_s();
	j->ticket = helper_start(w->helper, run_in_real_time, j);
	return j->ticket ? 0 : -ENOBUFS;
}

int worker_take(struct worker *w, const struct message *call, const uint8_t *payload, uint32_t slot, double t_s)
{
	if (call->seq <= w->last_seq) {
		w->stats.dropped++;
		return -EALREADY;
	}
	if (!worker_has_room(w))
		return -ENOBUFS;
	struct job *j = job_at(w, w->count);
	const struct codec *up = codec_by_id(call->reply_codec);
	j->call = *call;
	j->call.slot = slot;
	j->spent = (struct spent){ 0 };
	j->taken_s = t_s;
	j->forgotten = false;
	j->status = up ? read_call(w, j, payload) : MESSAGE_BAD_CALL;
	if (j->status == MESSAGE_OK && MESSAGE_HEADER + rows_back(j) * codec_bytes(up, w->n_embd) > w->message_max)
		j->status = MESSAGE_BAD_CALL;
	if (w->helper && start_in_real_time(w, j, t_s))
		return -ENOBUFS;
	if (!w->helper)
		run_in_virtual_time(w, j);
	w->last_seq = call->seq;
	w->count++;
	return 0;
}

/* The thread has done this one: what it took tells of those to come. */
static void learn(struct worker *w, const struct job *j)
{
	double expected_s = j->spent.expected_s;
	if (expected_s > 0)
		w->pace += PACE_ALPHA * (j->spent.s / expected_s - w->pace);
	count(&w->stats, j);
}

static bool is_ready(const struct worker *w, const struct job *j, double t_s)
{
	return w->helper ? helper_done(w->helper, j->ticket) : j->ready_s <= t_s;
}

size_t worker_poll(struct worker *w, double t_s, const uint8_t **message)
{
	while (w->count && is_ready(w, job_at(w, 0), t_s)) {
		struct job *j = job_at(w, 0);
		w->first = (w->first + 1) % w->params.calls_max;
		w->count--;
		if (w->helper)
			learn(w, j);
		*message = j->message;
		if (!j->forgotten)
			return j->n_message;
	}
	return 0;
}

size_t worker_expects(const struct worker *w, double t_s)
{
	size_t bytes = 0;
	for (size_t i = 0; i < w->count; i++) {
		const struct job *j = job_at(w, i);
		if (j->expected_s > t_s)
			break;
		bytes += j->forgotten ? 0 : j->n_expected;
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
