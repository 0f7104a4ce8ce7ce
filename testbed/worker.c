#include "testbed/worker.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "moe/codec.h"

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
	float *x, *y;     /* [rows_max][n_embd] */
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
	size_t payload_max = p->rows_max * w->n_embd * sizeof(float);
	w->message_max = MESSAGE_HEADER + (payload_max < MESSAGE_PAYLOAD_MAX ? payload_max : MESSAGE_PAYLOAD_MAX);
	compute_clock_init(&w->clock, &p->profile, p->seed);
	w->expert = moe_expert_ctx_create(p->model, p->rows_max, NULL);
	w->x = calloc(p->rows_max * w->n_embd, sizeof *w->x);
	w->y = calloc(p->rows_max * w->n_embd, sizeof *w->y);
	w->payload = malloc(w->message_max);
	w->queue = calloc(p->calls_max, sizeof *w->queue);
	w->memory = malloc(p->calls_max * w->message_max);
	if (!w->expert || !w->x || !w->y || !w->payload || !w->queue || !w->memory) {
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
	free(w->y);
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

/* Runs the expert; returns the status of the answer and the size of its payload. */
static enum message_status work(struct worker *w, const struct message *call, const uint8_t *payload, size_t *n_result)
{
	const struct codec *down = codec_by_id(call->codec), *up = codec_by_id(call->reply_codec);
	size_t rows = call->rows;
	*n_result = 0;
	if (!down || !up || !rows || rows > w->params.rows_max ||
	    call->n_payload != rows * codec_bytes(down, w->n_embd) ||
	    MESSAGE_HEADER + rows * codec_bytes(up, w->n_embd) > w->message_max)
		return MESSAGE_BAD_CALL;
	for (size_t r = 0; r < rows; r++)
		if (down->decode(payload + r * codec_bytes(down, w->n_embd), w->n_embd, w->x + r * w->n_embd))
			return MESSAGE_NON_FINITE;
	int rc = moe_expert_forward(w->expert, call->layer, call->expert, w->x, rows, w->y);
	if (rc)
		return rc == -EDOM ? MESSAGE_NON_FINITE : MESSAGE_BAD_CALL;
	for (size_t r = 0; r < rows; r++)
		if (up->encode(w->y + r * w->n_embd, w->n_embd, w->payload + r * codec_bytes(up, w->n_embd)))
			return MESSAGE_NON_FINITE;
	*n_result = rows * codec_bytes(up, w->n_embd);
	return MESSAGE_OK;
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
		s->rows += call->rows;
	else if (status == MESSAGE_NON_FINITE)
		s->non_finite++;
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
	enum message_status status = work(w, call, payload, &n_payload);
	double spent_s = 0, expected_s = 0;
	if (status == MESSAGE_OK) {
		struct moe_cost cost = moe_expert_cost(w->params.model, call->layer, call->rows);
		expected_s = compute_clock_expect(&w->clock, cost.bytes, cost.flop);
		spent_s = compute_clock_charge(&w->clock, cost.bytes, cost.flop);
	}
	double start_s = fmax(t_s, w->busy_until_s);
	w->busy_until_s = start_s + spent_s;
	w->expected_until_s = fmax(t_s, w->expected_until_s) + expected_s;
	struct message answer = *call;
	answer.type = MESSAGE_RESULT;
	answer.codec = call->reply_codec;
	answer.status = (uint8_t)status;
	answer.slot = slot;
	answer.queue_us = microseconds(start_s - t_s);
	answer.compute_us = microseconds(spent_s);
	answer.n_payload = (uint32_t)n_payload;
	struct result *r = &w->queue[(w->first + w->count++) % w->params.calls_max];
	r->ready_s = w->busy_until_s;
	r->expected_s = w->expected_until_s;
	r->n = message_encode(&answer, w->payload, r->message, w->message_max);
	count(&w->stats, call, status, spent_s);
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

struct worker_stats worker_stats(const struct worker *w)
{
	return w->stats;
}
