#include "testbed/bs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bs {
	struct cell *cell;
	unsigned tx_ahead;
	struct inference *inference;
	const struct moe_model *model;
	struct bs_stats stats;
};

static void take_hello(struct bs *b, unsigned device, const uint8_t *payload, size_t n)
{
	struct hello h;
	struct message answer = { .type = MESSAGE_WELCOME };
	if (hello_decode(payload, n, &h) || h.device != device) {
		b->stats.messages_bad++;
		return;
	}
	if (memcmp(h.model_hash, b->model->hash, sizeof h.model_hash) || h.n_layer != b->model->shape.n_layer ||
	    h.n_expert != b->model->shape.n_expert) {
		answer.type = MESSAGE_REFUSE;
		answer.status = MESSAGE_OTHER_MODEL;
		b->stats.refused++;
	}
	if (cell_send(b->cell, device, &answer, NULL))
		return; /* the device's timer brings it back */
	if (answer.type == MESSAGE_REFUSE)
		return;
	inference_device_holds(b->inference, device, &h);
	cell_welcome(b->cell, device);
	b->stats.welcomed++;
}

static void on_message(void *arg, unsigned device, const struct message *m, const uint8_t *payload, uint64_t slot)
{
	struct bs *b = arg;
	enum cell_device_state state = cell_state(b->cell, device);
	if (m->type == MESSAGE_HELLO && state == CELL_ANSWERED)
		take_hello(b, device, payload, m->n_payload);
	else if (m->type == MESSAGE_RESULT && state == CELL_ATTACHED)
		inference_message(b->inference, device, m, payload, slot);
	else
		b->stats.messages_bad++;
}

static void on_lost(void *arg, unsigned device, uint64_t slot)
{
	struct bs *b = arg;
	(void)slot;
	inference_lost(b->inference, device);
}

struct bs *bs_create(const struct bs_params *p, char *err, size_t err_len)
{
	struct bs *b = calloc(1, sizeof *b);
	if (!b) {
		snprintf(err, err_len, "base station: %s", strerror(errno));
		return NULL;
	}
	struct cell_params cell = p->cell;
	struct inference_params inference = p->inference;
	cell.user = (struct cell_user){ .arg = b, .message = on_message, .lost = on_lost };
	b->model = inference.model;
	b->tx_ahead = cell.tx_ahead;
	b->cell = cell_create(&cell, err, err_len);
	inference.cell = b->cell;
	if (b->cell)
		b->inference = inference_create(&inference, err, err_len);
	if (!b->inference) {
		bs_destroy(b);
		return NULL;
	}
	return b;
}

void bs_destroy(struct bs *b)
{
	if (!b)
		return;
	inference_destroy(b->inference);
	cell_destroy(b->cell);
	free(b);
}

int bs_slot(struct bs *b, uint64_t slot, const float complex *rx, float complex *tx)
{
	int rc = cell_uplink(b->cell, slot, rx);
	inference_step(b->inference, slot);
	cell_downlink(b->cell, slot + b->tx_ahead, tx);
	inference_sent(b->inference, slot + b->tx_ahead);
	return rc;
}

struct cell *bs_cell(struct bs *b)
{
	return b->cell;
}

struct inference *bs_inference(struct bs *b)
{
	return b->inference;
}

struct bs_stats bs_stats(const struct bs *b)
{
	return b->stats;
}
