/* Two radios over ZeroMQ: every sample at its number, silence as zeros, lates, noise by its figure, a peer that goes and comes back. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "radio/zmq_radio.h"

enum { SLOT = 480, AHEAD = 4, N_SLOTS = 200 };

static char address[2][64]; /* of the test at hand */

static void begin_test(void)
{
	static int count;
	count++;
	for (int i = 0; i < 2; i++)
		snprintf(address[i], sizeof address[i], "ipc://@wdmoe-zmq-%d-%d-%d", (int)getpid(), count, i);
}

static struct zmq_radio_config configuration(int end)
{
	struct zmq_radio_config c = ZMQ_RADIO_DEFAULTS;
	c.tx_address = address[end];
	c.rx_address = address[!end];
	c.rate_hz = 1.92e6;
	c.lead = (AHEAD - 1) * SLOT;
	c.join_timeout_s = 20;
	c.timeout_s = 20;
	return c;
}

/* Sample t of end's transmitter; every third slot is silent. */
static float complex sample(int end, uint64_t t)
{
	if (t / SLOT % 3 == 1 || t < AHEAD * SLOT)
		return 0;
	return (float)(t % 1000 + 1) * (end ? -1e-3f : 1e-3f) + (float)(t / 1000 % 1000) * 1e-3f * I;
}

struct side {
	int end;
	struct radio *radio;
	pthread_t thread;
	double timeout_s; /* 0: long */
	uint64_t n_slots, wrong;
	atomic_int *running; /* ends that still need the other one; NULL: just this */
};

static void send_slot(struct side *s, uint64_t slot)
{
	float complex x[SLOT];
	for (uint64_t i = 0; i < SLOT; i++)
		x[i] = sample(s->end, slot * SLOT + i);
	if (slot % 3 != 1)
		s->wrong += radio_send(s->radio, x, SLOT, slot * SLOT) != 0;
}

static void *run(void *arg)
{
	struct side *s = arg;
	float complex x[SLOT];
	for (uint64_t slot = 0; slot < s->n_slots; slot++) {
		s->wrong += radio_recv(s->radio, x, SLOT, slot * SLOT) != 0;
		for (uint64_t i = 0; i < SLOT; i++)
			s->wrong += x[i] != sample(!s->end, slot * SLOT + i);
		send_slot(s, slot + AHEAD);
	}
	/* A radio that nobody uses does not answer: it is used until the other end has all it wants. */
	if (s->running)
		atomic_fetch_sub(s->running, 1);
	while (s->running && atomic_load(s->running) > 0) {
		radio_recv(s->radio, x, SLOT, (s->n_slots - 1) * SLOT);
		usleep(100);
	}
	return NULL;
}

static void *create(void *arg)
{
	struct side *s = arg;
	struct zmq_radio_config c = configuration(s->end);
	char err[128];
	c.timeout_s = s->timeout_s > 0 ? s->timeout_s : c.timeout_s;
	s->radio = zmq_radio_create(&c, err, sizeof err);
	return NULL;
}

static void open_both(struct side sides[2])
{
	static atomic_int running;
	running = 2;
	for (int i = 0; i < 2; i++) {
		sides[i] = (struct side){ .end = i };
		assert_int_equal(pthread_create(&sides[i].thread, NULL, create, &sides[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(sides[i].thread, NULL);
		assert_non_null(sides[i].radio);
		sides[i].running = &running;
	}
}

static void test_every_sample_at_its_number(void **state)
{
	(void)state;
	begin_test();
	struct side sides[2];
	struct radio_stats stats;
	open_both(sides);
	for (int i = 0; i < 2; i++) {
		sides[i].n_slots = N_SLOTS;
		pthread_create(&sides[i].thread, NULL, run, &sides[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(sides[i].thread, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sides[i].wrong, 0);
		radio_get_stats(sides[i].radio, &stats);
		assert_int_equal(stats.events[RADIO_LATE], 0);
		radio_destroy(sides[i].radio);
	}
}

static void test_late_is_what_was_told_as_silence(void **state)
{
	(void)state;
	begin_test();
	struct side sides[2];
	struct radio_stats stats;
	float complex x[SLOT] = { 0 };
	open_both(sides);
	/* Both have asked for a slot; nothing before lead samples after it can be sent any more. */
	sides[1].n_slots = 1;
	sides[1].running = NULL;
	pthread_create(&sides[1].thread, NULL, run, &sides[1]);
	assert_int_equal(radio_recv(sides[0].radio, x, SLOT, 0), 0);
	pthread_join(sides[1].thread, NULL);
	assert_int_equal(radio_send(sides[0].radio, x, SLOT, (AHEAD - 1) * SLOT), -ETIME);
	assert_int_equal(radio_send(sides[0].radio, x, SLOT, AHEAD * SLOT), 0);
	radio_get_stats(sides[0].radio, &stats);
	assert_int_equal(stats.events[RADIO_LATE], 1);
	radio_destroy(sides[0].radio);
	radio_destroy(sides[1].radio);
}

/* The other end is there for 20 slots, then another takes its place; its time 0 is one moment in both directions. */
static void test_peer_comes_back(void **state)
{
	(void)state;
	begin_test();
	struct side sides[2], again = { .end = 1, .timeout_s = 2 };
	static float complex x[SLOT], y[SLOT];
	open_both(sides);
	sides[1].n_slots = 20;
	pthread_create(&sides[1].thread, NULL, run, &sides[1]);
	sides[0].n_slots = 20;
	run(&sides[0]);
	pthread_join(sides[1].thread, NULL);
	assert_int_equal(sides[0].wrong + sides[1].wrong, 0);
	radio_destroy(sides[1].radio);
	create(&again); /* joined: its peer's transmitter still listens */
	assert_non_null(again.radio);
	again.n_slots = 300;
	/* Both transmit by their own numbers; the difference of these is told by what each receives. */
	pthread_create(&again.thread, NULL, run, &again);
	uint64_t slot = 20, offset = UINT64_MAX;
	for (; slot < 200 && offset == UINT64_MAX; slot++) {
		assert_int_equal(radio_recv(sides[0].radio, x, SLOT, slot * SLOT), 0);
		send_slot(&sides[0], slot + AHEAD);
		for (uint64_t i = 0; i < SLOT && offset == UINT64_MAX; i++)
			if (x[i] == sample(1, 5 * SLOT)) /* its first sample that is not silence */
				offset = slot * SLOT + i - 5 * SLOT;
	}
	assert_true(offset != UINT64_MAX);
	/* From here on at every slot: received sample t is its sample t - offset. */
	for (uint64_t end = slot + 50; slot < end; slot++) {
		assert_int_equal(radio_recv(sides[0].radio, y, SLOT, slot * SLOT), 0);
		for (uint64_t i = 0; i < SLOT; i++)
			assert_true(y[i] == sample(1, slot * SLOT + i - offset));
		send_slot(&sides[0], slot + AHEAD);
	}
	radio_destroy(sides[0].radio); /* the other end then runs into its timeout */
	pthread_join(again.thread, NULL);
	radio_destroy(again.radio);
}

static void test_noise_has_its_figure(void **state)
{
	(void)state;
	begin_test();
	struct side sides[2];
	char err[128];
	static float complex x[N_SLOTS * SLOT];
	double power = 0;
	static atomic_int running = 2;
	sides[1] = (struct side){ .end = 1, .n_slots = N_SLOTS, .running = &running };
	pthread_create(&sides[1].thread, NULL, create, &sides[1]);
	struct zmq_radio_config c = configuration(0);
	c.noise_figure_db = 5;
	c.rx_full_scale_dbm = -60;
	struct radio *r = zmq_radio_create(&c, err, sizeof err);
	assert_non_null(r);
	pthread_join(sides[1].thread, NULL);
	for (uint64_t slot = 0; slot < N_SLOTS; slot++) {
		if (slot == 0)
			pthread_create(&sides[1].thread, NULL, run, &sides[1]);
		assert_int_equal(radio_recv(r, x + slot * SLOT, SLOT, slot * SLOT), 0);
	}
	atomic_fetch_sub(&running, 1);
	pthread_join(sides[1].thread, NULL);
	size_t n = 0;
	for (uint64_t t = 0; t < N_SLOTS * SLOT; t++)
		if (sample(1, t) == 0) {
			power += crealf(x[t]) * crealf(x[t]) + cimagf(x[t]) * cimagf(x[t]);
			n++;
		}
	double dbm = 10 * log10(power / (double)n) - 60, expected = -174 + 5 + 10 * log10(1.92e6);
	if (fabs(dbm - expected) > 0.2)
		fail_msg("noise of %.2f dBm, not %.2f", dbm, expected);
	radio_destroy(r);
	radio_destroy(sides[1].radio);
}

static void test_nobody_there(void **state)
{
	(void)state;
	begin_test();
	char err[128] = "";
	struct zmq_radio_config c = configuration(0);
	c.join_timeout_s = 0.05;
	assert_null(zmq_radio_create(&c, err, sizeof err));
	assert_int_equal(errno, ETIMEDOUT);
	assert_non_null(strstr(err, "no transmitter answers"));
	c.tx_address = "nonsense";
	assert_null(zmq_radio_create(&c, err, sizeof err));
	assert_non_null(strstr(err, "nonsense"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_sample_at_its_number),
		cmocka_unit_test(test_late_is_what_was_told_as_silence),
		cmocka_unit_test(test_peer_comes_back),
		cmocka_unit_test(test_noise_has_its_figure),
		cmocka_unit_test(test_nobody_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
