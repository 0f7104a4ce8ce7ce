#include "radio/zmq_radio.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "radio/gauss.h"
#include "radio/history.h"
#include "radio/wall.h"

enum { REPLY_MAX = 1 << 15 /* samples */, CONNECT_LOOK_MS = 20, STREAM = 1 << 18 };
static const double THERMAL_DBM_HZ = -174;

struct zmq_radio {
	struct radio radio; /* first */
	struct radio_info info;
	void *context, *rep, *req, *monitor;
	size_t lead;
	double timeout_s, heard_s;
	struct history rx, tx; /* tx: what is decided, silence included */
	uint64_t now, replied; /* replied: samples of tx that the peer has */
	bool connected, asked, asked_of_us, lost;
	float noise; /* amplitude a component; 0: none */
	uint64_t seed;
	float complex *packet; /* of a reply, aligned */
	size_t packet_len;
};

static int lose(struct zmq_radio *z)
{
	if (!z->lost)
		radio_raise(&z->radio, RADIO_LOST, z->rx.end);
	z->lost = true;
	return -EIO;
}

/* ---- the peer ---- */

/* A request without samples: from a peer that is gone, or one that asks again. */
static void send_off(struct zmq_radio *z)
{
	char request[8];
	while (z->asked_of_us || zmq_recv(z->rep, request, sizeof request, ZMQ_DONTWAIT) >= 0) {
		zmq_send(z->rep, NULL, 0, ZMQ_DONTWAIT);
		z->asked_of_us = false;
	}
}

/* The next peer's sample 0 is the same moment in both directions: where the stream that is ahead stands. */
static void begin_anew(struct zmq_radio *z)
{
	uint64_t end = z->rx.end, at = z->replied > end ? z->replied : end;
	z->connected = z->asked = false;
	send_off(z);
	history_extend(&z->rx, at);
	history_extend(&z->tx, at);
	z->replied = at;
	if (at > end)
		radio_raise(&z->radio, RADIO_OVERFLOW, end);
}

/* From the socket that asks. */
static void watch(struct zmq_radio *z)
{
	zmq_msg_t m;
	uint16_t event;
	zmq_msg_init(&m);
	while (zmq_msg_recv(&m, z->monitor, ZMQ_DONTWAIT) >= 0) {
		memcpy(&event, zmq_msg_data(&m), sizeof event);
		if (zmq_msg_more(&m))
			zmq_msg_recv(&m, z->monitor, 0); /* the address */
		if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
			z->connected = true;
		if (event == ZMQ_EVENT_DISCONNECTED)
			begin_anew(z);
	}
	zmq_msg_close(&m);
}

static void ask(struct zmq_radio *z)
{
	static const char request = 0;
	if (z->connected && !z->asked && zmq_send(z->req, &request, 1, ZMQ_DONTWAIT) == 1)
		z->asked = true;
}

/* What is decided and not yet told, if the peer has asked. */
static void answer(struct zmq_radio *z)
{
	char request[8];
	zmq_msg_t m;
	if (!z->asked_of_us && zmq_recv(z->rep, request, sizeof request, ZMQ_DONTWAIT) >= 0)
		z->asked_of_us = true;
	uint64_t left = z->tx.end - z->replied;
	size_t n = left < REPLY_MAX ? (size_t)left : REPLY_MAX;
	if (!z->connected || !z->asked_of_us || !n || zmq_msg_init_size(&m, n * sizeof(float complex)))
		return;
	n = history_give(&z->tx, zmq_msg_data(&m), n, z->replied);
	if (zmq_msg_send(&m, z->rep, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&m);
		return;
	}
	z->replied += n;
	z->asked_of_us = false;
	z->heard_s = wall_s();
}

static bool hold(struct zmq_radio *z, size_t n)
{
	if (n <= z->packet_len)
		return true;
	float complex *grown = realloc(z->packet, n * sizeof *grown);
	if (!grown)
		return false;
	z->packet = grown;
	z->packet_len = n;
	return true;
}

/* By counter, on the grid of gauss.h, so that it does not depend on how the peer cuts its replies. */
static void add_noise(struct zmq_radio *z, float complex *x, size_t n, uint64_t t)
{
	float re[GAUSS_BLOCK], im[GAUSS_BLOCK];
	for (size_t i = 0; z->noise > 0 && i < n;) {
		uint64_t block = (t + i) / GAUSS_BLOCK * GAUSS_BLOCK;
		size_t from = (size_t)(t + i - block);
		gauss_fill(z->seed, STREAM, block, GAUSS_BLOCK, re, im);
		for (size_t k = from; k < GAUSS_BLOCK && i < n; k++, i++)
			x[i] += z->noise * (re[k] + im[k] * I);
	}
}

static void take(struct zmq_radio *z)
{
	zmq_msg_t m;
	zmq_msg_init(&m);
	while (z->asked && zmq_msg_recv(&m, z->req, ZMQ_DONTWAIT) >= 0) {
		size_t n = zmq_msg_size(&m) / sizeof(float complex);
		z->asked = false;
		z->heard_s = wall_s();
		if (!hold(z, n))
			break;
		memcpy(z->packet, zmq_msg_data(&m), n * sizeof *z->packet);
		add_noise(z, z->packet, n, z->rx.end);
		for (size_t i = 0, piece; i < n; i += piece) { /* a ring at a time */
			piece = n - i < z->rx.mask ? n - i : z->rx.mask;
			history_put(&z->rx, z->packet + i, piece, (int64_t)z->rx.end);
		}
	}
	zmq_msg_close(&m);
}

/* One round: what has come is dealt with, or waited for. */
static int serve(struct zmq_radio *z)
{
	zmq_pollitem_t items[] = { { .socket = z->rep, .events = z->asked_of_us ? 0 : ZMQ_POLLIN },
		                   { .socket = z->req, .events = z->asked ? ZMQ_POLLIN : 0 },
		                   { .socket = z->monitor, .events = ZMQ_POLLIN } };
	double left_s = z->heard_s + z->timeout_s - wall_s();
	if (left_s <= 0)
		return lose(z);
	zmq_poll(items, 3, (long)(1e3 * left_s) + 1);
	watch(z);
	take(z);
	ask(z);
	answer(z);
	return 0;
}

/* ---- the radio ---- */

/* The peer must take what is sent, too: nothing is thrown away. */
static int wait_for(void *arg, uint64_t t)
{
	struct zmq_radio *z = arg;
	int rc = z->lost ? -EIO : 0;
	while (!rc && (z->rx.end <= t || z->tx.end - z->replied > z->tx.mask / 2))
		rc = serve(z);
	return rc;
}

static int zmq_radio_recv(struct radio *r, float complex *x, size_t n, uint64_t t)
{
	struct zmq_radio *z = (struct zmq_radio *)r;
	if (t + n > z->now)
		z->now = t + n;
	history_extend(&z->tx, z->now + z->lead);
	z->heard_s = wall_s();
	ask(z);
	answer(z);
	return history_recv(&z->rx, r, x, n, t, wait_for, z);
}

static int zmq_radio_send(struct radio *r, const float complex *x, size_t n, uint64_t t)
{
	struct zmq_radio *z = (struct zmq_radio *)r;
	uint64_t end = z->tx.end;
	if (z->lost)
		return -EIO;
	bool late = t < z->now || t + n <= end || n > z->tx.mask / 2;
	if (late || t < end)
		radio_raise(r, RADIO_LATE, t);
	if (late)
		return -ETIME;
	size_t over = t < end ? (size_t)(end - t) : 0;
	history_put(&z->tx, x, n, (int64_t)t);
	r->stats.samples_sent += n - over;
	answer(z);
	return 0;
}

/* There is nothing to amplify: the range is the gain itself. */
static int set_gain(struct radio *r, double gain_db)
{
	(void)r;
	(void)gain_db;
	return 0;
}

static void get_info(const struct radio *r, struct radio_info *info)
{
	*info = ((const struct zmq_radio *)r)->info;
}

static void destroy(struct radio *r)
{
	struct zmq_radio *z = (struct zmq_radio *)r;
	void *const sockets[] = { z->rep, z->req, z->monitor };
	for (size_t i = 0; i < 3; i++)
		if (sockets[i])
			zmq_close(sockets[i]);
	if (z->context)
		zmq_ctx_term(z->context);
	history_free(&z->rx);
	history_free(&z->tx);
	free(z->packet);
	free(z);
}

static const struct radio_ops ops = {
	.recv = zmq_radio_recv,
	.send = zmq_radio_send,
	.set_rx_gain = set_gain,
	.set_tx_gain = set_gain,
	.get_info = get_info,
	.destroy = destroy,
};

/* ---- joining ---- */

static int open_sockets(struct zmq_radio *z, const struct zmq_radio_config *c, const char **culprit)
{
	int no_linger = 0, yes = 1, reconnect_ms = 50;
	z->context = zmq_ctx_new();
	z->rep = z->context ? zmq_socket(z->context, ZMQ_REP) : NULL;
	z->req = z->rep ? zmq_socket(z->context, ZMQ_REQ) : NULL;
	z->monitor = z->req ? zmq_socket(z->context, ZMQ_PAIR) : NULL;
	*culprit = "ZeroMQ";
	if (!z->monitor)
		return -ENOMEM;
	zmq_setsockopt(z->rep, ZMQ_LINGER, &no_linger, sizeof no_linger);
	zmq_setsockopt(z->req, ZMQ_LINGER, &no_linger, sizeof no_linger);
	zmq_setsockopt(z->req, ZMQ_RECONNECT_IVL, &reconnect_ms, sizeof reconnect_ms);
	/* After a peer's death a request may be made again; what answers the one before is not taken for its answer. */
	zmq_setsockopt(z->req, ZMQ_REQ_RELAXED, &yes, sizeof yes);
	zmq_setsockopt(z->req, ZMQ_REQ_CORRELATE, &yes, sizeof yes);
	*culprit = c->tx_address;
	if (zmq_bind(z->rep, c->tx_address))
		return -errno;
	*culprit = c->rx_address;
	if (zmq_socket_monitor(z->req, "inproc://peer", ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) ||
	    zmq_connect(z->monitor, "inproc://peer") || zmq_connect(z->req, c->rx_address))
		return -errno;
	return 0;
}

static int join(struct zmq_radio *z, const struct zmq_radio_config *c)
{
	double until_s = wall_s() + c->join_timeout_s;
	zmq_pollitem_t item = { .socket = z->monitor, .events = ZMQ_POLLIN };
	while (!z->connected && wall_s() < until_s) {
		zmq_poll(&item, 1, CONNECT_LOOK_MS);
		watch(z);
	}
	return z->connected ? 0 : -ETIMEDOUT;
}

static void describe(struct zmq_radio *z, const struct zmq_radio_config *c)
{
	z->info = (struct radio_info){ .rate_hz = c->rate_hz,
		                       .tx_hz = c->tx_hz,
		                       .rx_hz = c->rx_hz,
		                       .tx_full_scale_dbm = c->tx_full_scale_dbm,
		                       .rx_full_scale_dbm = c->rx_full_scale_dbm };
	z->lead = c->lead;
	z->timeout_s = c->timeout_s;
	z->seed = c->seed;
	double noise_dbm = THERMAL_DBM_HZ + c->noise_figure_db + 10 * log10(c->rate_hz);
	if (c->noise_figure_db >= 0)
		z->noise = (float)(M_SQRT1_2 * pow(10, (noise_dbm - c->rx_full_scale_dbm) / 20));
}

struct radio *zmq_radio_create(const struct zmq_radio_config *c, char *err, size_t err_len)
{
	struct zmq_radio *z = calloc(1, sizeof *z);
	const char *culprit = "ZeroMQ";
	if (!z) {
		snprintf(err, err_len, "%s", strerror(ENOMEM));
		return NULL;
	}
	z->radio.ops = &ops;
	describe(z, c);
	int rc = history_init(&z->rx, c->history);
	rc = rc ? rc : history_init(&z->tx, c->history + 2 * c->lead);
	rc = rc ? rc : open_sockets(z, c, &culprit);
	rc = rc ? rc : join(z, c);
	if (rc == -ETIMEDOUT)
		snprintf(err, err_len, "%s: no transmitter answers", c->rx_address);
	else if (rc)
		snprintf(err, err_len, "%s: %s", culprit, zmq_strerror(-rc));
	if (rc) {
		destroy(&z->radio);
		errno = -rc;
		return NULL;
	}
	return &z->radio;
}
