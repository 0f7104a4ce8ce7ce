#include "radio/ether_peer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "radio/ether_wire.h"
#include "radio/history.h"
#include "radio/wall.h"

enum { HELLO_EVERY_MS = 200, QUEUE = 4096 /* messages */ };

struct ether_peer {
	struct radio radio; /* first */
	struct radio_info info;
	void *context, *socket;
	uint8_t node;
	double timeout_s, heard_s; /* wall clock: anything */
	uint64_t begin;            /* the ether's count at our sample 0 */
	struct history history;
	uint64_t now, sent_end;
	bool begun, lost;
};

static int say(struct ether_peer *p, const struct ether_header *h, const void *payload, size_t n)
{
	zmq_msg_t m;
	if (ether_message(&m, h, payload, n))
		return -ENOMEM;
	if (zmq_msg_send(&m, p->socket, ZMQ_DONTWAIT) >= 0)
		return 0;
	int rc = -errno;
	zmq_msg_close(&m);
	return rc;
}

/* The next message within so long; its payload stays valid until zmq_msg_close(m). -EAGAIN: none. */
static int hear(struct ether_peer *p, long timeout_ms, zmq_msg_t *m, struct ether_header *h, const uint8_t **payload,
                size_t *n)
{
	zmq_pollitem_t item = { .socket = p->socket, .events = ZMQ_POLLIN };
	zmq_msg_init(m);
	if (zmq_msg_recv(m, p->socket, ZMQ_DONTWAIT) < 0) {
		int ready = zmq_poll(&item, 1, timeout_ms);
		if (ready <= 0 || zmq_msg_recv(m, p->socket, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(m);
			return ready < 0 && errno == EINTR ? -EINTR : -EAGAIN;
		}
	}
	if (ether_header_read(zmq_msg_data(m), zmq_msg_size(m), h)) {
		zmq_msg_close(m);
		return -EBADMSG;
	}
	*payload = (const uint8_t *)zmq_msg_data(m) + ETHER_HEADER;
	*n = zmq_msg_size(m) - ETHER_HEADER;
	return 0;
}

/* ---- while it runs ---- */

static int lose(struct ether_peer *p)
{
	if (!p->lost)
		radio_raise(&p->radio, RADIO_LOST, p->history.end);
	p->lost = true;
	return -EIO;
}

static void take_samples(struct ether_peer *p, uint64_t t, const uint8_t *payload, size_t n_bytes)
{
	size_t n = n_bytes / sizeof(float complex);
	uint64_t end = p->history.end;
	if (t < p->begin || n > p->history.mask + 1)
		return;
	if (history_put(&p->history, (const float complex *)(const void *)payload, n, (int64_t)(t - p->begin)))
		radio_raise(&p->radio, RADIO_OVERFLOW, end);
}

/* One message. Anything heard is a sign of life. */
static int take(struct ether_peer *p)
{
	zmq_msg_t m;
	struct ether_header h;
	const uint8_t *payload;
	size_t n;
	double left_s = p->heard_s + p->timeout_s - wall_s();
	int rc = hear(p, left_s > 0 ? (long)(1e3 * left_s) + 1 : 0, &m, &h, &payload, &n);
	if (rc)
		return left_s > 0 ? 0 : lose(p);
	p->heard_s = wall_s();
	if (h.type == ETHER_RECEIVED)
		take_samples(p, h.t, payload, n);
	else if (h.type == ETHER_LATE)
		radio_raise(&p->radio, RADIO_LATE, h.t - p->begin);
	else if (h.type == ETHER_BYE)
		rc = lose(p);
	zmq_msg_close(&m);
	return rc;
}

/* Our time begins with the first use: what was received while the node was still being made is behind it. */
static void begin(struct ether_peer *p)
{
	zmq_msg_t m;
	struct ether_header h;
	const uint8_t *payload;
	size_t n;
	while (!p->begun && !hear(p, 0, &m, &h, &payload, &n)) {
		if (h.type == ETHER_RECEIVED)
			p->begin = h.t + n / sizeof(float complex);
		else if (h.type == ETHER_BYE)
			lose(p);
		zmq_msg_close(&m);
	}
	p->heard_s = p->begun ? p->heard_s : wall_s();
	p->begun = true;
}

static int wait_for(void *arg, uint64_t t)
{
	struct ether_peer *p = arg;
	int rc = p->lost ? -EIO : 0;
	while (!rc && p->history.end <= t)
		rc = take(p);
	return rc;
}

static int peer_recv(struct radio *r, float complex *x, size_t n, uint64_t t)
{
	struct ether_peer *p = (struct ether_peer *)r;
	begin(p);
	if (t + n > p->now)
		p->now = t + n;
	if (p->history.end < t + n)
		say(p, &(struct ether_header){ .type = ETHER_WANTS, .node = p->node, .t = p->begin + p->now }, NULL, 0);
	return history_recv(&p->history, r, x, n, t, wait_for, p);
}

static int peer_send(struct radio *r, const float complex *x, size_t n, uint64_t t)
{
	struct ether_peer *p = (struct ether_peer *)r;
	begin(p);
	if (p->lost)
		return -EIO;
	bool late = t < p->now || t + n <= p->sent_end;
	if (late || t < p->sent_end)
		radio_raise(r, RADIO_LATE, t);
	if (late)
		return -ETIME;
	size_t over = t < p->sent_end ? (size_t)(p->sent_end - t) : 0;
	if (say(p, &(struct ether_header){ .type = ETHER_SENT, .node = p->node, .t = p->begin + t + over }, x + over,
	        (n - over) * sizeof *x))
		return lose(p);
	p->sent_end = t + n;
	r->stats.samples_sent += n - over;
	return 0;
}

static int set_rx_gain(struct radio *r, double gain_db)
{
	struct ether_peer *p = (struct ether_peer *)r;
	p->info.rx_full_scale_dbm += p->info.rx_gain_db - gain_db;
	p->info.rx_gain_db = gain_db;
	return say(p, &(struct ether_header){ .type = ETHER_RX_GAIN, .node = p->node, .a = gain_db }, NULL, 0);
}

static int set_tx_gain(struct radio *r, double gain_db)
{
	struct ether_peer *p = (struct ether_peer *)r;
	p->info.tx_full_scale_dbm += gain_db - p->info.tx_gain_db;
	p->info.tx_gain_db = gain_db;
	return say(p, &(struct ether_header){ .type = ETHER_TX_GAIN, .node = p->node, .a = gain_db }, NULL, 0);
}

static void get_info(const struct radio *r, struct radio_info *info)
{
	*info = ((const struct ether_peer *)r)->info;
}

static void destroy(struct radio *r)
{
	struct ether_peer *p = (struct ether_peer *)r;
	if (p->socket && !p->lost)
		say(p, &(struct ether_header){ .type = ETHER_BYE, .node = p->node }, NULL, 0);
	if (p->socket)
		zmq_close(p->socket);
	if (p->context)
		zmq_ctx_term(p->context);
	history_free(&p->history);
	free(p);
}

static const struct radio_ops ops = {
	.recv = peer_recv,
	.send = peer_send,
	.set_rx_gain = set_rx_gain,
	.set_tx_gain = set_tx_gain,
	.get_info = get_info,
	.destroy = destroy,
};

/* ---- joining ---- */

static int open_socket(struct ether_peer *p, const char *address, int priority)
{
	int linger_ms = 200, queue = QUEUE;
	p->context = zmq_ctx_new();
	ether_wire_set_priority(p->context, priority);
	p->socket = p->context ? zmq_socket(p->context, ZMQ_DEALER) : NULL;
	if (!p->socket)
		return -ENOMEM;
	zmq_setsockopt(p->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
	zmq_setsockopt(p->socket, ZMQ_RCVHWM, &queue, sizeof queue);
	zmq_setsockopt(p->socket, ZMQ_SNDHWM, &queue, sizeof queue);
	return zmq_connect(p->socket, address) ? -EINVAL : 0;
}

static int welcomed(struct ether_peer *p, const struct ether_header *h, const uint8_t *payload, size_t n)
{
	_Static_assert(sizeof p->info == ETHER_INFO_NUMBERS * sizeof(double), "radio_info is a list of numbers");
	if (n != sizeof p->info)
		return -EBADMSG;
	memcpy(&p->info, payload, n);
	p->begin = h->t;
	return 0;
}

static int join(struct ether_peer *p, const struct ether_peer_config *c, char *err, size_t err_len)
{
	double lead = (double)c->lead, until_s = wall_s() + c->join_timeout_s;
	struct ether_header hello = { .type = ETHER_HELLO, .node = (uint8_t)c->node, .a = c->rate_hz }, h;
	int rc = -EAGAIN;
	while (rc == -EAGAIN && wall_s() < until_s) {
		zmq_msg_t m;
		const uint8_t *payload;
		size_t n;
		say(p, &hello, &lead, sizeof lead);
		if (hear(p, HELLO_EVERY_MS, &m, &h, &payload, &n))
			continue;
		if (h.type == ETHER_WELCOME)
			rc = welcomed(p, &h, payload, n);
		else if (h.type == ETHER_REFUSED || h.type == ETHER_BYE)
			rc = -EACCES;
		if (rc == -EACCES)
			snprintf(err, err_len, "%s: refused: %.*s", c->address, (int)n, (const char *)payload);
		zmq_msg_close(&m);
	}
	if (rc == -EAGAIN) {
		rc = -ETIMEDOUT;
		snprintf(err, err_len, "%s: no ether answers", c->address);
	} else if (rc == -EBADMSG) {
		snprintf(err, err_len, "%s: an ether of another version", c->address);
	}
	return rc;
}

struct radio *ether_peer_create(const struct ether_peer_config *c, char *err, size_t err_len)
{
	struct ether_peer *p = calloc(1, sizeof *p);
	int rc = p ? history_init(&p->history, c->history) : -ENOMEM;
	if (!p) {
		snprintf(err, err_len, "%s", strerror(ENOMEM));
		return NULL;
	}
	p->radio.ops = &ops;
	p->node = (uint8_t)c->node;
	p->timeout_s = c->timeout_s;
	p->lost = true; /* until it is in */
	rc = rc ? rc : open_socket(p, c->address, c->priority);
	if (rc)
		snprintf(err, err_len, "%s: %s", c->address, strerror(-rc));
	rc = rc ? rc : join(p, c, err, err_len);
	if (rc) {
		destroy(&p->radio);
		errno = -rc;
		return NULL;
	}
	p->lost = false;
	return &p->radio;
}
