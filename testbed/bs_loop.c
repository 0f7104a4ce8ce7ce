#include "testbed/bs_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testbed/mailbox.h"
#include "testbed/run_log.h"

enum { EVENTS = 4096, ORDERS = 256 };

struct order {
	bool release;
	unsigned place;
	struct bs_loop_prompt prompt;
};

struct bs_loop {
	struct bs *bs;
	size_t slot_len;
	double slot_s;
	unsigned ahead, n_devices;
	struct journal *journal;
	uint64_t csi_every;
	struct mailbox *events, *orders;
	/* The loop's own: */
	uint64_t slot;
	float complex *tx;
	struct order order; /* at hand */
	bool has_order, failed;
	bool at_work[INFERENCE_SEQUENCES_MAX]; /* places whose end is to be told */
	enum cell_device_state state[PHY_DEVICES_MAX];
};

struct bs_loop *bs_loop_create(struct bs *bs, const struct numerology *num, unsigned tx_ahead, unsigned n_devices,
                               struct journal *journal, uint64_t csi_every)
{
	struct bs_loop *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	*l = (struct bs_loop){ .bs = bs,
		               .slot_len = num->slot_len,
		               .slot_s = numerology_slot_s(num),
		               .ahead = tx_ahead,
		               .n_devices = n_devices,
		               .journal = journal,
		               .csi_every = csi_every };
	l->events = mailbox_create(sizeof(struct bs_loop_event), EVENTS);
	l->orders = mailbox_create(sizeof(struct order), ORDERS);
	l->tx = calloc(num->slot_len, sizeof *l->tx);
	if (!l->events || !l->orders || !l->tx) {
		bs_loop_destroy(l);
		errno = ENOMEM;
		return NULL;
	}
	return l;
}

void bs_loop_destroy(struct bs_loop *l)
{
	if (!l)
		return;
	free(l->tx);
	mailbox_destroy(l->orders);
	mailbox_destroy(l->events);
	free(l);
}

/* ---- in the loop ---- */

static uint64_t next(void *arg)
{
	struct bs_loop *l = arg;
	return l->slot * l->slot_len;
}

static void slot(void *arg, const float complex *rx, struct paced_tx *tx)
{
	struct bs_loop *l = arg;
	bs_slot(l->bs, l->slot, rx, l->tx);
	*tx = (struct paced_tx){ true, (l->slot + l->ahead) * l->slot_len, l->tx };
}

static void tell(struct bs_loop *l, struct bs_loop_event event)
{
	event.slot = l->slot;
	mailbox_put(l->events, &event);
}

static void tell_states(struct bs_loop *l)
{
	for (unsigned d = 0; d < l->n_devices; d++) {
		enum cell_device_state now = cell_state(bs_cell(l->bs), d);
		if (now != l->state[d])
			tell(l, (struct bs_loop_event){ .type = BS_LOOP_DEVICE, .device = d, .state = now });
		l->state[d] = now;
	}
}

static void start(struct bs_loop *l, const struct bs_loop_prompt *prompt)
{
	struct bs_loop_event e = { .type = BS_LOOP_STARTED };
	int place = inference_start(bs_inference(l->bs), prompt->tokens, prompt->n_tokens, &prompt->options,
	                            (double)(l->slot + 1) * l->slot_s);
	if (place == -EBUSY || place == -EAGAIN)
		return;
	l->has_order = false;
	if (place < 0) {
		e.type = BS_LOOP_REFUSED;
		snprintf(e.text, sizeof e.text, "%s", strerror(-place));
	} else {
		e.place = (unsigned)place;
		l->at_work[place] = true;
		l->failed = false;
	}
	tell(l, e);
}

/* While the arithmetic's thread is at work, nothing of the answers is touched. */
static void follow_orders(struct bs_loop *l)
{
	struct inference *inf = bs_inference(l->bs);
	while (!inference_computing(inf)) {
		l->has_order = l->has_order || mailbox_take(l->orders, &l->order);
		if (!l->has_order || (!l->order.release && !inference_ready(inf)))
			return;
		if (l->order.release) {
			inference_release(inf, l->order.place);
			l->has_order = false;
		} else {
			start(l, &l->order.prompt);
			return;
		}
	}
}

static void tell_ends(struct bs_loop *l)
{
	struct inference *inf = bs_inference(l->bs);
	if (inference_status(inf) == INFERENCE_FAILED && !l->failed) {
		struct bs_loop_event e = { .type = BS_LOOP_FAILED };
		snprintf(e.text, sizeof e.text, "%s", inference_error(inf));
		memset(l->at_work, 0, sizeof l->at_work);
		l->failed = true;
		tell(l, e);
	}
	for (unsigned i = 0; i < inference_n_places(inf) && !inference_computing(inf); i++)
		if (l->at_work[i] && inference_ended(inf, i)) {
			l->at_work[i] = false;
			tell(l, (struct bs_loop_event){ .type = BS_LOOP_ENDED, .place = i });
		}
}

static void log_all(struct bs_loop *l)
{
	struct inference *inf = bs_inference(l->bs);
	struct layer_record r;
	struct deviation d;
	while (inference_take_record(inf, &r))
		run_log_layer(l->journal, &r);
	while (inference_take_deviation(inf, &d))
		run_log_deviation(l->journal, &d);
	for (unsigned k = 0; k < l->n_devices && l->csi_every && l->slot % l->csi_every == 0; k++)
		if (cell_csi(bs_cell(l->bs), k))
			journal_csi(l->journal, JOURNAL_UPLINK, k, cell_csi(bs_cell(l->bs), k));
}

static void sent(void *arg)
{
	struct bs_loop *l = arg;
	tell_states(l);
	tell_ends(l);
	follow_orders(l);
	if (l->journal)
		log_all(l);
	l->slot++;
}

struct paced_node bs_loop_node(struct bs_loop *l)
{
	return (struct paced_node){ l, next, slot, sent };
}

/* ---- outside ---- */

int bs_loop_ask(struct bs_loop *l, const struct bs_loop_prompt *prompt)
{
	return mailbox_put(l->orders, &(struct order){ .prompt = *prompt });
}

void bs_loop_release(struct bs_loop *l, unsigned place)
{
	mailbox_put(l->orders, &(struct order){ .release = true, .place = place });
}

bool bs_loop_next(struct bs_loop *l, struct bs_loop_event *event)
{
	return mailbox_take(l->events, event);
}
