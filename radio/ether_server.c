#include "radio/ether_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "radio/ether_wire.h"
#include "radio/wall.h"

enum { ID_MAX = 256, QUEUE = 4096 /* messages, to each radio */, MESSAGE_MAX = 1 << 26 };
static const double ALIVE_S = 0.2, LEAD_MAX = 1e9;

struct seat {
	uint8_t id[ID_MAX]; /* ZeroMQ's name for who holds it */
	size_t id_len;
	uint64_t next;     /* its clock: the first sample not yet received */
	uint64_t promised; /* unpaced: nothing will be sent before this */
	size_t lead;
	double heard_s, told_s; /* wall clock */
	struct ether_server_node_stats stats;
};

struct ether_server {
	struct ether *ether;
	struct ether_server_config config;
	void *context, *socket;
	float complex *scratch; /* aligned samples of a message */
	size_t scratch_len;
	uint64_t now;
	bool begun;
	struct seat seat[ETHER_MAX_DEVICES + 1];
};

static void tell(const struct ether_server *s, enum ether_server_event event, unsigned node, const char *why)
{
	if (s->config.on_event)
		s->config.on_event(s->config.arg, event, node, why);
}

/* ---- to a radio ---- */

/* Either way the message is not the caller's any more. */
static int post(struct ether_server *s, const uint8_t *id, size_t id_len, zmq_msg_t *m)
{
	if (zmq_send(s->socket, id, id_len, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
	    zmq_msg_send(m, s->socket, ZMQ_DONTWAIT) >= 0)
		return 0;
	int rc = -errno;
	zmq_msg_close(m);
	return rc;
}

static int say(struct ether_server *s, const uint8_t *id, size_t id_len, const struct ether_header *h,
               const void *payload, size_t n)
{
	zmq_msg_t m;
	if (ether_message(&m, h, payload, n))
		return -ENOMEM;
	return post(s, id, id_len, &m);
}

static int say_to(struct ether_server *s, struct seat *seat, const struct ether_header *h, const void *payload,
                  size_t n)
{
	seat->told_s = wall_s();
	return say(s, seat->id, seat->id_len, h, payload, n);
}

/* ---- seats ---- */

static struct seat *seat_of(struct ether_server *s, const uint8_t *id, size_t id_len)
{
	for (size_t k = 0; k <= s->config.n_devices; k++) {
		struct seat *seat = &s->seat[k];
		if (seat->stats.joined && seat->id_len == id_len && memcmp(seat->id, id, id_len) == 0)
			return seat;
	}
	return NULL;
}

static unsigned number(const struct ether_server *s, const struct seat *seat)
{
	return (unsigned)(seat - s->seat);
}

static void leave(struct ether_server *s, struct seat *seat, enum ether_server_event event, const char *why)
{
	seat->stats.joined = false;
	tell(s, event, number(s, seat), why);
}

static void refuse(struct ether_server *s, const uint8_t *id, size_t id_len, unsigned node, const char *why)
{
	say(s, id, id_len, &(struct ether_header){ .type = ETHER_REFUSED }, why, strlen(why));
	tell(s, ETHER_SERVER_REFUSED, node, why);
}

static void welcome(struct ether_server *s, struct seat *seat)
{
	struct radio_info info;
	radio_get_info(ether_radio(s->ether, number(s, seat)), &info);
	say_to(s, seat, &(struct ether_header){ .type = ETHER_WELCOME, .t = seat->next }, &info, sizeof info);
}

/* A hello from who is in already is asked again: the welcome was slow. */
static void join(struct ether_server *s, const uint8_t *id, size_t id_len, const struct ether_header *h,
                 const uint8_t *payload, size_t n)
{
	static const char taken[] = "another radio took its place";
	char why[96];
	double lead = 0;
	if (h->node > s->config.n_devices || id_len > ID_MAX || n != sizeof lead) {
		snprintf(why, sizeof why, "there is no node %u here", h->node);
		refuse(s, id, id_len, h->node, why);
		return;
	}
	memcpy(&lead, payload, sizeof lead);
	if (!(h->a > 0 && h->a / s->config.rate_hz > 1 - 1e-9 && h->a / s->config.rate_hz < 1 + 1e-9)) {
		snprintf(why, sizeof why, "its rate is %.10g Hz, the ether's %.10g Hz", h->a, s->config.rate_hz);
		refuse(s, id, id_len, h->node, why);
		return;
	}
	double least = s->config.paced ? 0 : (double)(s->config.tick_samples + ETHER_LEAD_SAMPLES);
	if (!(lead >= least && lead < LEAD_MAX)) {
		snprintf(why, sizeof why, "here radios send at least %.0f samples ahead, not %g", least, lead);
		refuse(s, id, id_len, h->node, why);
		return;
	}
	struct seat *seat = &s->seat[h->node];
	bool again = seat_of(s, id, id_len) == seat, replaces = seat->stats.joined && !again;
	if (replaces)
		say_to(s, seat, &(struct ether_header){ .type = ETHER_BYE }, taken, strlen(taken));
	if (!again) {
		memcpy(seat->id, id, id_len);
		seat->id_len = id_len;
		seat->lead = (size_t)lead;
		seat->next = seat->promised = ether_clock(s->ether, h->node, (double)s->now);
		seat->stats.joined = true;
		seat->stats.joins++;
		tell(s, replaces ? ETHER_SERVER_REPLACED : ETHER_SERVER_JOINED, h->node, "");
	}
	seat->heard_s = wall_s();
	welcome(s, seat);
}

/* ---- from a radio ---- */

/* A message's payload lies where ZeroMQ put it, on any byte. NULL: no memory. */
static const float complex *aligned(struct ether_server *s, const uint8_t *payload, size_t n)
{
	if (n > s->scratch_len) {
		float complex *grown = realloc(s->scratch, n * sizeof *grown);
		if (!grown)
			return NULL;
		s->scratch = grown;
		s->scratch_len = n;
	}
	return n ? memcpy(s->scratch, payload, n * sizeof *s->scratch) : s->scratch;
}

/* What lies before the tick to come has been received without it. */
static void transmit(struct ether_server *s, struct seat *seat, uint64_t t, const uint8_t *payload, size_t n_bytes)
{
	struct radio *radio = ether_radio(s->ether, number(s, seat));
	uint64_t n = n_bytes / sizeof(float complex), earliest = seat->next + ETHER_LEAD_SAMPLES;
	uint64_t late = t < earliest ? earliest - t : 0;
	const float complex *x = aligned(s, payload, (size_t)n);
	seat->stats.blocks++;
	if (late) {
		seat->stats.blocks_late++;
		seat->stats.samples_late += late < n ? late : n;
		say_to(s, seat, &(struct ether_header){ .type = ETHER_LATE, .t = t }, NULL, 0);
	}
	uint64_t second = (uint64_t)s->config.rate_hz;
	/* What lies further ahead would make all that is sent until then late: it is no time of this node. */
	if (x && late < n && t < seat->next + second && n < second)
		radio_send(radio, x + late, (size_t)(n - late), t + late);
}

static void heed(struct ether_server *s, struct seat *seat, const struct ether_header *h, const uint8_t *payload,
                 size_t n)
{
	struct radio *radio = ether_radio(s->ether, number(s, seat));
	seat->heard_s = wall_s();
	switch (h->type) {
	case ETHER_SENT:
		transmit(s, seat, h->t, payload, n);
		break;
	case ETHER_WANTS:
		if (h->t + seat->lead > seat->promised)
			seat->promised = h->t + seat->lead;
		break;
	case ETHER_RX_GAIN:
		radio_set_rx_gain(radio, h->a);
		break;
	case ETHER_TX_GAIN:
		radio_set_tx_gain(radio, h->a);
		break;
	case ETHER_BYE:
		leave(s, seat, ETHER_SERVER_LEFT, "");
		break;
	default:
		break;
	}
}

/* Two frames: who, and what. Others are not ours. */
static int take(struct ether_server *s)
{
	zmq_msg_t id, m;
	struct ether_header h;
	zmq_msg_init(&id);
	zmq_msg_init(&m);
	int rc = zmq_msg_recv(&id, s->socket, ZMQ_DONTWAIT) < 0 ? -errno : 0;
	if (!rc && zmq_msg_more(&id) && zmq_msg_recv(&m, s->socket, ZMQ_DONTWAIT) >= 0 &&
	    !ether_header_read(zmq_msg_data(&m), zmq_msg_size(&m), &h)) {
		const uint8_t *payload = (const uint8_t *)zmq_msg_data(&m) + ETHER_HEADER;
		size_t n = zmq_msg_size(&m) - ETHER_HEADER;
		struct seat *seat = seat_of(s, zmq_msg_data(&id), zmq_msg_size(&id));
		if (h.type == ETHER_HELLO)
			join(s, zmq_msg_data(&id), zmq_msg_size(&id), &h, payload, n);
		else if (seat)
			heed(s, seat, &h, payload, n);
	}
	zmq_msg_close(&m);
	zmq_msg_close(&id);
	return rc;
}

/* Signs of life to who hears nothing else, and who gives none is gone. */
static void look_after(struct ether_server *s)
{
	double now_s = wall_s();
	for (size_t k = 0; k <= s->config.n_devices; k++) {
		struct seat *seat = &s->seat[k];
		if (seat->stats.joined && now_s - seat->told_s > ALIVE_S)
			say_to(s, seat, &(struct ether_header){ .type = ETHER_ALIVE }, NULL, 0);
		if (seat->stats.joined && s->config.timeout_s > 0 && now_s - seat->heard_s > s->config.timeout_s)
			leave(s, seat, ETHER_SERVER_SILENT, "");
	}
}

int ether_server_listen(struct ether_server *s, long timeout_ms)
{
	zmq_pollitem_t item = { .socket = s->socket, .events = ZMQ_POLLIN };
	if (timeout_ms > 0 && zmq_poll(&item, 1, timeout_ms) < 0 && errno == EINTR)
		return -EINTR;
	while (!take(s))
		;
	look_after(s);
	return 0;
}

/* ---- time ---- */

static unsigned n_joined(const struct ether_server *s)
{
	unsigned n = 0;
	for (size_t k = 0; k <= s->config.n_devices; k++)
		n += s->seat[k].stats.joined;
	return n;
}

bool ether_server_may_tick(const struct ether_server *s)
{
	double until = (double)(s->now + s->config.tick_samples + ETHER_LEAD_SAMPLES);
	if (!s->begun && n_joined(s) < s->config.wait_for)
		return false;
	for (size_t k = 0; k <= s->config.n_devices && !s->config.paced; k++)
		if (s->seat[k].stats.joined && s->seat[k].promised < ether_clock(s->ether, k, until))
			return false;
	return s->config.paced || n_joined(s);
}

static void receive(struct ether_server *s, struct seat *seat, uint64_t end)
{
	zmq_msg_t m;
	size_t n = (size_t)(end - seat->next);
	if (!n || zmq_msg_init_size(&m, ETHER_HEADER + n * sizeof(float complex)))
		return;
	uint8_t *bytes = zmq_msg_data(&m);
	ether_header_write(
	        &(struct ether_header){ .type = ETHER_RECEIVED, .node = (uint8_t)number(s, seat), .t = seat->next },
	        bytes);
	radio_recv(ether_radio(s->ether, number(s, seat)), (float complex *)(void *)(bytes + ETHER_HEADER), n,
	           seat->next);
	seat->next = end;
	seat->told_s = wall_s();
	seat->stats.ticks++;
	if (post(s, seat->id, seat->id_len, &m))
		seat->stats.ticks_dropped++;
}

void ether_server_tick(struct ether_server *s)
{
	s->begun = true;
	s->now += s->config.tick_samples;
	for (size_t k = 0; k <= s->config.n_devices; k++)
		if (s->seat[k].stats.joined)
			receive(s, &s->seat[k], ether_clock(s->ether, k, (double)s->now));
}

uint64_t ether_server_now(const struct ether_server *s)
{
	return s->now;
}

struct ether_server_node_stats ether_server_node_stats(const struct ether_server *s, size_t node)
{
	return s->seat[node].stats;
}

/* ---- life ---- */

struct ether_server *ether_server_create(struct ether *ether, const struct ether_server_config *c, char *err,
                                         size_t err_len)
{
	struct ether_server *s = calloc(1, sizeof *s);
	int linger_ms = 200, queue = QUEUE, yes = 1, rc = ENOMEM;
	int64_t message_max = MESSAGE_MAX;
	if (s) {
		s->ether = ether;
		s->config = *c;
		s->context = zmq_ctx_new();
		ether_wire_set_priority(s->context, c->priority);
		s->socket = s->context ? zmq_socket(s->context, ZMQ_ROUTER) : NULL;
	}
	if (s && s->socket) {
		zmq_setsockopt(s->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
		zmq_setsockopt(s->socket, ZMQ_RCVHWM, &queue, sizeof queue);
		zmq_setsockopt(s->socket, ZMQ_SNDHWM, &queue, sizeof queue);
		zmq_setsockopt(s->socket, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max);
		zmq_setsockopt(s->socket, ZMQ_ROUTER_MANDATORY, &yes, sizeof yes); /* a full queue is told */
		rc = zmq_bind(s->socket, c->address) ? errno : 0;
	}
	if (rc) {
		snprintf(err, err_len, "%s: %s", c->address, zmq_strerror(rc));
		ether_server_destroy(s);
		errno = rc;
		return NULL;
	}
	return s;
}

void ether_server_destroy(struct ether_server *s)
{
	static const char why[] = "the ether ends";
	if (!s)
		return;
	for (size_t k = 0; s->socket && k <= s->config.n_devices; k++)
		if (s->seat[k].stats.joined)
			say_to(s, &s->seat[k], &(struct ether_header){ .type = ETHER_BYE }, why, strlen(why));
	if (s->socket)
		zmq_close(s->socket);
	if (s->context)
		zmq_ctx_term(s->context);
	free(s->scratch);
	free(s);
}
