/* The ether used by one thread a node: sending and receiving at the same time, lock-free (run it under tsan too). */
#include "measure.h"

#include <pthread.h>

enum { DEVICES = 3, SLOT = 3840, SLOTS = 40, AHEAD = 4 };

struct run {
	struct ether *e;
	int threaded;
	pthread_barrier_t barrier;
	float complex *sent[DEVICES + 1], *received[DEVICES + 1]; /* SLOTS * SLOT samples a node */
};

struct node_run {
	struct run *run;
	size_t node;
	int failed;
};

/* In every round a node sends slot s + AHEAD and receives slot s, in its own order. */
static int node_round(struct run *run, size_t node, uint64_t s)
{
	struct radio *r = ether_radio(run->e, node);
	uint64_t out = (s + AHEAD) % SLOTS * SLOT;
	int rc = 0;
	if (node % 2)
		rc |= radio_send(r, run->sent[node] + out, SLOT, (s + AHEAD) * SLOT);
	rc |= radio_recv(r, run->received[node] + s * SLOT, SLOT, s * SLOT);
	if (node % 2 == 0)
		rc |= radio_send(r, run->sent[node] + out, SLOT, (s + AHEAD) * SLOT);
	return rc;
}

static void *node_thread(void *arg)
{
	struct node_run *own = arg;
	for (uint64_t s = 0; s < SLOTS; s++) {
		own->failed |= node_round(own->run, own->node, s);
		pthread_barrier_wait(&own->run->barrier);
	}
	return NULL;
}

static void run_nodes(struct run *run)
{
	for (uint64_t s = 0; !run->threaded && s < SLOTS; s++)
		for (size_t node = 0; node <= DEVICES; node++)
			assert_int_equal(node_round(run, node, s), 0);
	if (!run->threaded)
		return;
	pthread_t thread[DEVICES + 1];
	struct node_run own[DEVICES + 1];
	pthread_barrier_init(&run->barrier, NULL, DEVICES + 1);
	for (size_t node = 0; node <= DEVICES; node++) {
		own[node] = (struct node_run){ run, node, 0 };
		assert_int_equal(pthread_create(&thread[node], NULL, node_thread, &own[node]), 0);
	}
	for (size_t node = 0; node <= DEVICES; node++) {
		pthread_join(thread[node], NULL);
		assert_int_equal(own[node].failed, 0);
	}
	pthread_barrier_destroy(&run->barrier);
}

static void start(struct run *run, int threaded)
{
	struct ether_config cfg = plain_config(DEVICES);
	for (size_t k = 0; k <= DEVICES; k++) {
		cfg.node[k].osc_ppm = 0.4 * (double)k;
		cfg.link[k] = (struct ether_link_config){ .model = "tdl-c", .delay_spread_s = 100e-9, .speed_m_s = 3 };
	}
	run->e = make_ether(&cfg);
	run->threaded = threaded;
	for (size_t k = 0; k <= DEVICES; k++) {
		run->sent[k] = new_samples((size_t)SLOTS * SLOT);
		run->received[k] = new_samples((size_t)SLOTS * SLOT);
		make_noise(run->sent[k], (size_t)SLOTS * SLOT, k + 1);
	}
}

static void finish(struct run *run)
{
	ether_destroy(run->e);
	for (size_t k = 0; k <= DEVICES; k++) {
		free(run->sent[k]);
		free(run->received[k]);
	}
}

static void threads_receive_what_one_thread_receives_to_the_bit(void **state)
{
	(void)state;
	struct run one, many;
	start(&one, 0);
	start(&many, 1);
	run_nodes(&one);
	run_nodes(&many);
	for (size_t k = 0; k <= DEVICES; k++) {
		assert_true(mean_power(one.received[k], (size_t)SLOTS * SLOT) > 1e-3);
		assert_memory_equal(one.received[k], many.received[k], (size_t)SLOTS * SLOT * sizeof(float complex));
	}
	finish(&one);
	finish(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_receive_what_one_thread_receives_to_the_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
