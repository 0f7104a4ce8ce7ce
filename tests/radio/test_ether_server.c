/* An ether whose radios come over ZeroMQ: the same samples as in one process, whoever is faster; joining, being replaced, leaving, late sends. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "radio/ether.h"
#include "radio/ether_peer.h"
#include "radio/ether_server.h"
#include "radio/ether_wire.h"

enum { SLOT = 480, AHEAD = 4, N_SLOTS = 60 };
static const double RATE_HZ = 1.92e6;

static struct ether *make_ether(void)
{
	struct ether_config c = { .rate_hz = RATE_HZ, .dl_hz = 3.5e9, .ul_hz = 3.4e9, .seed = 5, .n_devices = 2 };
	char err[128];
	for (size_t k = 0; k <= 2; k++) {
		c.node[k] = (struct ether_node_config){ .tx_full_scale_dbm = 20,
			                                .noise_figure_db = 5,
			                                .rx_full_scale_dbm = -60 };
		c.node[k].osc_ppm = k ? 1.5 * (double)k - 2 : 0;
		c.node[k].start_offset_samples = k ? 100.25 * (double)k : 0;
		c.link[k] = (struct ether_link_config){
			.path_loss_db = 100, .model = "tdl-a", .delay_spread_s = 100e-9, .speed_m_s = 1
		};
	}
	struct ether *e = ether_create(&c, err, sizeof err);
	assert_non_null(e);
	return e;
}

/* ---- a server on a thread ---- */

struct home {
	struct ether *ether;
	struct ether_server *server;
	struct ether_server_config config;
	char address[64];
	pthread_t thread;
	atomic_bool stop;
	atomic_long allowed; /* paced: ticks that the test lets pass */
	atomic_int events[5];
};

static bool may_tick(struct home *h)
{
	if (!ether_server_may_tick(h->server))
		return false;
	return !h->config.paced || atomic_load(&h->allowed) > 0;
}

static void *serve(void *arg)
{
	struct home *h = arg;
	while (!atomic_load(&h->stop)) {
		ether_server_listen(h->server, 1);
		while (!atomic_load(&h->stop) && may_tick(h)) {
			ether_server_tick(h->server);
			atomic_fetch_sub(&h->allowed, 1);
			ether_server_listen(h->server, 0);
		}
	}
	return NULL;
}

static void on_event(void *arg, enum ether_server_event event, unsigned node, const char *why)
{
	struct home *h = arg;
	(void)node;
	(void)why;
	atomic_fetch_add(&h->events[event], 1);
}

static void open_home(struct home *h, bool paced, unsigned wait_for)
{
	static int count;
	char err[128];
	memset(h, 0, sizeof *h);
	snprintf(h->address, sizeof h->address, "ipc://@wdmoe-test-%d-%d", (int)getpid(), count++);
	h->ether = make_ether();
	h->config = (struct ether_server_config){ .address = h->address,
		                                  .rate_hz = RATE_HZ,
		                                  .n_devices = 2,
		                                  .tick_samples = SLOT,
		                                  .paced = paced,
		                                  .wait_for = wait_for,
		                                  .on_event = on_event,
		                                  .arg = h };
	h->server = ether_server_create(h->ether, &h->config, err, sizeof err);
	if (!h->server)
		fail_msg("%s", err);
	assert_int_equal(pthread_create(&h->thread, NULL, serve, h), 0);
}

static void close_server(struct home *h)
{
	atomic_store(&h->stop, true);
	pthread_join(h->thread, NULL);
	ether_server_destroy(h->server);
	h->server = NULL;
}

static void close_home(struct home *h)
{
	if (h->server)
		close_server(h);
	ether_destroy(h->ether);
}

static struct radio *join(const struct home *h, unsigned node, double rate_hz, char *err, size_t err_len)
{
	struct ether_peer_config c = ETHER_PEER_DEFAULTS;
	c.address = h->address;
	c.node = node;
	c.rate_hz = rate_hz;
	c.lead = (AHEAD - 1) * SLOT;
	c.join_timeout_s = 20;
	c.timeout_s = 20;
	return ether_peer_create(&c, err, err_len);
}

/* ---- nodes ---- */

struct node {
	struct radio *radio;
	unsigned index;
	pthread_t thread;
	float complex got[N_SLOTS * SLOT];
};

/* What node k sends in slot n: noise-like, by number. */
static void waveform(unsigned k, uint64_t slot, float complex *x)
{
	uint64_t state = (slot * 3 + k + 1) * 0x9e3779b97f4a7c15u;
	for (size_t i = 0; i < SLOT; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		x[i] = (float)(int32_t)(state >> 32) * 0x1p-32f + (float)(int32_t)(state >> 16) * 0x1p-32f * I;
	}
}

static void one_slot(struct node *n, uint64_t slot)
{
	float complex tx[SLOT];
	assert_int_equal(radio_recv(n->radio, n->got + slot * SLOT, SLOT, slot * SLOT), 0);
	waveform(n->index, slot + AHEAD, tx);
	if (slot % 5 != n->index) /* not always */
		assert_int_equal(radio_send(n->radio, tx, SLOT, (slot + AHEAD) * SLOT), 0);
}

static void *run_node(void *arg)
{
	struct node *n = arg;
	for (uint64_t slot = 0; slot < N_SLOTS; slot++) {
		if (slot % 7 == n->index)
			usleep(2000); /* now this one is slow, now that one */
		one_slot(n, slot);
	}
	return NULL;
}

static void in_one_process(struct node nodes[3])
{
	struct ether *e = make_ether();
	for (unsigned k = 0; k < 3; k++)
		nodes[k] = (struct node){ .radio = ether_radio(e, k), .index = k };
	for (uint64_t slot = 0; slot < N_SLOTS; slot++)
		for (unsigned k = 3; k-- > 0;)
			one_slot(&nodes[k], slot);
	ether_destroy(e);
}

static void test_same_samples_as_in_one_process(void **state)
{
	(void)state;
	static struct node here[3], there[3];
	struct home h;
	char err[128];
	in_one_process(here);
	open_home(&h, false, 3);
	for (unsigned k = 0; k < 3; k++) {
		there[k] = (struct node){ .radio = join(&h, k, RATE_HZ, err, sizeof err), .index = k };
		if (!there[k].radio)
			fail_msg("%s", err);
	}
	for (unsigned k = 0; k < 3; k++)
		assert_int_equal(pthread_create(&there[k].thread, NULL, run_node, &there[k]), 0);
	for (unsigned k = 0; k < 3; k++)
		pthread_join(there[k].thread, NULL);
	for (unsigned k = 0; k < 3; k++) {
		struct radio_info info;
		struct radio_stats stats;
		radio_get_info(there[k].radio, &info);
		radio_get_stats(there[k].radio, &stats);
		assert_true(info.rate_hz == RATE_HZ && info.rx_full_scale_dbm == -60);
		assert_int_equal(stats.samples_received, N_SLOTS * SLOT);
		assert_int_equal(stats.events[RADIO_LATE], 0);
		assert_memory_equal(there[k].got, here[k].got, sizeof here[k].got);
		radio_destroy(there[k].radio);
	}
	close_home(&h);
}

static void test_refused(void **state)
{
	(void)state;
	struct home h;
	char err[128] = "";
	open_home(&h, false, 1);
	assert_null(join(&h, 3, RATE_HZ, err, sizeof err));
	assert_int_equal(errno, EACCES);
	assert_non_null(strstr(err, "no node 3"));
	assert_null(join(&h, 1, 2e6, err, sizeof err));
	assert_non_null(strstr(err, "its rate is 2000000 Hz"));
	close_home(&h);
	struct ether_peer_config c = ETHER_PEER_DEFAULTS;
	c.address = h.address;
	c.rate_hz = RATE_HZ;
	c.join_timeout_s = 0.01;
	assert_null(ether_peer_create(&c, err, sizeof err));
	assert_int_equal(errno, ETIMEDOUT);
}

/* Time moves as the test lets it. */
static void test_late_is_silence_and_told(void **state)
{
	(void)state;
	struct home h;
	char err[128];
	struct radio_stats stats;
	float complex x[SLOT];
	open_home(&h, true, 0);
	struct radio *bs = join(&h, 0, RATE_HZ, err, sizeof err);
	assert_non_null(bs);
	waveform(0, 0, x);
	/* Its time begins with this; it reaches the ether before or after the ticks that are let go next. */
	assert_int_equal(radio_send(bs, x, SLOT, 2 * SLOT), 0);
	atomic_store(&h.allowed, 20);
	assert_int_equal(radio_recv(bs, x, SLOT, 9 * SLOT), 0);
	while (atomic_load(&h.allowed) > 0)
		usleep(1000);
	assert_int_equal(radio_send(bs, x, SLOT, 12 * SLOT), 0); /* in time for here, not for the ether */
	radio_get_stats(bs, &stats);
	uint64_t t = 20, before = stats.events[RADIO_LATE];
	do {
		atomic_store(&h.allowed, 1);
		assert_int_equal(radio_recv(bs, x, SLOT, t++ * SLOT), 0);
		radio_get_stats(bs, &stats);
	} while (stats.events[RADIO_LATE] == before && t < 2000);
	radio_destroy(bs);
	close_server(&h);
	assert_true(stats.events[RADIO_LATE] > before);
	ether_destroy(h.ether);
}

/* Anything may reach the port: what is no message of ours, of nobody who is in, or out of all measure is passed over. */
static void test_nonsense_is_passed_over(void **state)
{
	(void)state;
	struct home h;
	char err[128];
	float complex x[SLOT];
	uint8_t bytes[ETHER_HEADER + 64];
	double lead = NAN;
	open_home(&h, false, 1);
	void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
	assert_int_equal(zmq_connect(socket, h.address), 0);
	zmq_send(socket, "", 0, 0);
	zmq_send(socket, "WDE1", 4, 0);
	zmq_send(socket, "one", 3, ZMQ_SNDMORE);
	zmq_send(socket, "two", 3, ZMQ_SNDMORE);
	zmq_send(socket, "three", 5, 0);
	for (int type = 0; type < 256; type++) {
		memset(bytes, type, sizeof bytes);
		ether_header_write(
		        &(struct ether_header){ .type = (uint8_t)type, .node = 1, .t = UINT64_MAX - 3, .a = NAN },
		        bytes);
		zmq_send(socket, bytes, ETHER_HEADER + (size_t)type % 65, 0);
	}
	ether_header_write(&(struct ether_header){ .type = ETHER_HELLO, .node = 1, .a = RATE_HZ }, bytes);
	memcpy(bytes + ETHER_HEADER, &lead, sizeof lead);
	zmq_send(socket, bytes, ETHER_HEADER + sizeof lead, 0);
	/* One that is in, and sends to the end of time: it alone suffers. */
	lead = AHEAD * SLOT;
	memcpy(bytes + ETHER_HEADER, &lead, sizeof lead);
	zmq_send(socket, bytes, ETHER_HEADER + sizeof lead, 0);
	ether_header_write(&(struct ether_header){ .type = ETHER_SENT, .node = 1, .t = UINT64_MAX / 2 }, bytes);
	zmq_send(socket, bytes, sizeof bytes, 0);
	ether_header_write(&(struct ether_header){ .type = ETHER_BYE, .node = 1 }, bytes);
	zmq_send(socket, bytes, ETHER_HEADER, 0);
	while (!atomic_load(&h.events[ETHER_SERVER_LEFT]))
		usleep(1000);
	struct radio *r = join(&h, 1, RATE_HZ, err, sizeof err);
	assert_non_null(r);
	assert_int_equal(radio_recv(r, x, SLOT, 0), 0);
	assert_int_equal(radio_send(r, x, SLOT, AHEAD * SLOT), 0);
	for (uint64_t t = 1; t < 10; t++)
		assert_int_equal(radio_recv(r, x, SLOT, t * SLOT), 0);
	radio_destroy(r);
	zmq_close(socket);
	zmq_ctx_term(context);
	close_home(&h);
}

/* An ether that stands still says that it is alive five times a second: too seldom for this radio. */
static void test_silence_is_a_loss(void **state)
{
	(void)state;
	struct home h;
	char err[128];
	float complex x[SLOT];
	open_home(&h, true, 0);
	struct ether_peer_config c = ETHER_PEER_DEFAULTS;
	c.address = h.address;
	c.rate_hz = RATE_HZ;
	c.join_timeout_s = 20;
	c.timeout_s = 0.02;
	struct radio *r = ether_peer_create(&c, err, sizeof err);
	assert_non_null(r);
	assert_int_equal(radio_recv(r, x, SLOT, 0), -EIO);
	assert_int_equal(radio_recv(r, x, SLOT, 0), -EIO);
	radio_destroy(r);
	close_home(&h);
}

static void test_replaced_and_lost(void **state)
{
	(void)state;
	struct home h;
	char err[128];
	struct radio_stats stats;
	float complex x[SLOT];
	open_home(&h, false, 1);
	struct radio *first = join(&h, 1, RATE_HZ, err, sizeof err);
	assert_int_equal(radio_recv(first, x, SLOT, 0), 0);
	struct radio *second = join(&h, 1, RATE_HZ, err, sizeof err);
	assert_non_null(second);
	int rc = 0;
	for (uint64_t t = 1; !rc; t++)
		rc = radio_recv(first, x, SLOT, t * SLOT);
	assert_int_equal(rc, -EIO);
	assert_int_equal(radio_send(first, x, SLOT, 1000 * SLOT), -EIO);
	radio_get_stats(first, &stats);
	assert_int_equal(stats.events[RADIO_LOST], 1);
	radio_destroy(first);
	assert_int_equal(radio_recv(second, x, SLOT, 0), 0); /* its own time begins anew */
	assert_int_equal(atomic_load(&h.events[ETHER_SERVER_REPLACED]), 1);
	close_server(&h);
	rc = 0;
	for (uint64_t t = 1; !rc; t++)
		rc = radio_recv(second, x, SLOT, t * SLOT);
	assert_int_equal(rc, -EIO);
	radio_destroy(second);
	close_home(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_samples_as_in_one_process),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_late_is_silence_and_told),
		cmocka_unit_test(test_nonsense_is_passed_over),
		cmocka_unit_test(test_silence_is_a_loss),
		cmocka_unit_test(test_replaced_and_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
