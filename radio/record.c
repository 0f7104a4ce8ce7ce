#include "radio/record.h"

#include <stdbool.h>
#include <stdlib.h>

struct record {
	struct radio radio; /* first */
	struct radio *inner;
	struct sigmf_writer *received, *sent;
	uint64_t received_end, sent_end;
};

static const char *const labels[RADIO_EVENT_TYPES] = {
	[RADIO_OVERFLOW] = "overflow", [RADIO_UNDERFLOW] = "underflow", [RADIO_LATE] = "late", [RADIO_PAST] = "past",
	[RADIO_REFUSED] = "refused",   [RADIO_UNLOCKED] = "unlocked",   [RADIO_LOST] = "lost",
};

static void on_event(void *arg, const struct radio_event *event)
{
	struct record *r = arg;
	bool receiving = event->type == RADIO_OVERFLOW || event->type == RADIO_PAST;
	struct sigmf_writer *w = receiving ? r->received : r->sent;
	if (w)
		sigmf_annotate(w, event->t_samples, 0, labels[event->type]);
	radio_raise(&r->radio, event->type, event->t_samples);
}

/* Counters are the inner radio's; events have been counted by radio_raise. */
static void count(struct record *r)
{
	struct radio_stats own = r->radio.stats;
	radio_get_stats(r->inner, &r->radio.stats);
	for (int i = 0; i < RADIO_EVENT_TYPES; i++)
		r->radio.stats.events[i] = own.events[i];
}

/* What lies behind all that was put before: a tracker may take a few samples twice, or send over them. */
static void put(struct sigmf_writer *w, uint64_t *end, const float complex *x, size_t n, uint64_t t,
                double full_scale_dbm)
{
	uint64_t known = t < *end ? *end - t : 0;
	if (known >= n)
		return;
	sigmf_put(w, x + known, n - (size_t)known, t + known, full_scale_dbm);
	*end = t + n;
}

static int recv_and_record(struct radio *radio, float complex *x, size_t n, uint64_t t)
{
	struct record *r = (struct record *)radio;
	struct radio_info info;
	int rc = radio_recv(r->inner, x, n, t);
	count(r);
	if (rc == 0 && r->received) {
		radio_get_info(r->inner, &info);
		put(r->received, &r->received_end, x, n, t, info.rx_full_scale_dbm);
	}
	return rc;
}

static int send_and_record(struct radio *radio, const float complex *x, size_t n, uint64_t t)
{
	struct record *r = (struct record *)radio;
	struct radio_info info;
	int rc = radio_send(r->inner, x, n, t);
	count(r);
	if (rc == 0 && r->sent) {
		radio_get_info(r->inner, &info);
		put(r->sent, &r->sent_end, x, n, t, info.tx_full_scale_dbm);
	}
	return rc;
}

static int set_rx_gain(struct radio *radio, double gain_db)
{
	return radio_set_rx_gain(((struct record *)radio)->inner, gain_db);
}

static int set_tx_gain(struct radio *radio, double gain_db)
{
	return radio_set_tx_gain(((struct record *)radio)->inner, gain_db);
}

static void get_info(const struct radio *radio, struct radio_info *info)
{
	radio_get_info(((const struct record *)radio)->inner, info);
}

static void destroy(struct radio *radio)
{
	struct record *r = (struct record *)radio;
	radio_on_event(r->inner, NULL, NULL);
	free(r);
}

static const struct radio_ops ops = {
	.recv = recv_and_record,
	.send = send_and_record,
	.set_rx_gain = set_rx_gain,
	.set_tx_gain = set_tx_gain,
	.get_info = get_info,
	.destroy = destroy,
};

struct radio *record_create(struct radio *inner)
{
	struct record *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->radio.ops = &ops;
	r->inner = inner;
	radio_on_event(inner, on_event, r);
	return &r->radio;
}

struct sigmf_writer *record_received(struct radio *radio, struct sigmf_writer *w)
{
	struct record *r = (struct record *)radio;
	struct sigmf_writer *before = r->received;
	r->received = w;
	r->received_end = 0;
	return before;
}

struct sigmf_writer *record_sent(struct radio *radio, struct sigmf_writer *w)
{
	struct record *r = (struct record *)radio;
	struct sigmf_writer *before = r->sent;
	r->sent = w;
	r->sent_end = 0;
	return before;
}
