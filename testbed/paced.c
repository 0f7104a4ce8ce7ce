#include "testbed/paced.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "radio/wall.h"
#include "testbed/realtime.h"

const char *const paced_stage_names[PACED_STAGES] = { "waiting", "work", "sending", "after", "turnaround" };

struct paced {
	const struct config *config;
	struct radio *radio;
	struct paced_node node;
	size_t slot_len;
	float complex *rx;
	pthread_t thread;
	sem_t settled; /* the thread has its place, or not */
	int unsettled;
	atomic_bool stop;
	atomic_int state;
	atomic_uint_least64_t slots, slots_late, events[RADIO_EVENT_TYPES];
	struct ledger *ledger;
};

static void publish(struct paced *p, uint64_t *late_before)
{
	struct radio_stats stats;
	radio_get_stats(p->radio, &stats);
	for (int i = 0; i < RADIO_EVENT_TYPES; i++)
		atomic_store_explicit(&p->events[i], stats.events[i], memory_order_relaxed);
	if (stats.events[RADIO_LATE] != *late_before)
		atomic_fetch_add_explicit(&p->slots_late, 1, memory_order_relaxed);
	*late_before = stats.events[RADIO_LATE];
	atomic_fetch_add_explicit(&p->slots, 1, memory_order_relaxed);
}

/* One slot; false when the radio is gone. Times: begin, received, worked, sent, end. */
static bool one_slot(struct paced *p, uint64_t slot)
{
	struct paced_tx tx = { .send = false };
	double t[PACED_STAGES];
	t[0] = wall_s();
	int rc = radio_recv(p->radio, p->rx, p->slot_len, p->node.next(p->node.arg));
	t[1] = wall_s();
	if (rc == -EIO)
		return false;
	p->node.slot(p->node.arg, p->rx, &tx);
	t[2] = wall_s();
	rc = tx.send ? radio_send(p->radio, tx.samples, p->slot_len, tx.t_samples) : 0;
	t[3] = wall_s();
	if (p->node.sent)
		p->node.sent(p->node.arg);
	t[4] = wall_s();
	for (unsigned s = 0; s < PACED_TURNAROUND; s++)
		ledger_note(p->ledger, s, t[s + 1] - t[s], slot);
	ledger_note(p->ledger, PACED_TURNAROUND, t[3] - t[1], slot);
	return rc != -EIO;
}

static void *run(void *arg)
{
	struct paced *p = arg;
	uint64_t late = 0;
	p->unsettled = realtime_thread(&p->config->realtime);
	sem_post(&p->settled);
	for (uint64_t slot = 0; !atomic_load_explicit(&p->stop, memory_order_relaxed); slot++) {
		bool goes_on = one_slot(p, slot);
		publish(p, &late);
		if (!goes_on) {
			atomic_store(&p->state, PACED_LOST);
			return NULL;
		}
	}
	return NULL;
}

struct paced *paced_start(const struct config *config, const struct numerology *num, struct radio *radio,
                          const struct paced_node *node, struct ledger *ledger, char *warning, size_t warning_len)
{
	struct paced *p = calloc(1, sizeof *p);
	*warning = 0;
	if (!p)
		return NULL;
	*p = (struct paced){
		.config = config, .radio = radio, .node = *node, .slot_len = num->slot_len, .ledger = ledger
	};
	p->rx = calloc(num->slot_len, sizeof *p->rx);
	sem_init(&p->settled, 0, 0);
	int rc = p->rx ? pthread_create(&p->thread, NULL, run, p) : ENOMEM;
	if (rc) {
		sem_destroy(&p->settled);
		free(p->rx);
		free(p);
		errno = rc;
		return NULL;
	}
	while (sem_wait(&p->settled) && errno == EINTR)
		;
	if (p->unsettled)
		snprintf(warning, warning_len,
		         "realtime.priority %d, realtime.cpu %d: %s; the slot loop runs as any thread",
		         (int)config->realtime.priority, (int)config->realtime.cpu, strerror(-p->unsettled));
	return p;
}

void paced_stop(struct paced *p)
{
	if (!p)
		return;
	atomic_store(&p->stop, true);
	pthread_join(p->thread, NULL);
	sem_destroy(&p->settled);
	free(p->rx);
	free(p);
}

enum paced_state paced_state(const struct paced *p)
{
	return (enum paced_state)atomic_load(&p->state);
}

struct paced_counts paced_counts(const struct paced *p)
{
	struct paced_counts c = { .slots = atomic_load_explicit(&p->slots, memory_order_relaxed),
		                  .slots_late = atomic_load_explicit(&p->slots_late, memory_order_relaxed) };
	for (int i = 0; i < RADIO_EVENT_TYPES; i++)
		c.events[i] = atomic_load_explicit(&p->events[i], memory_order_relaxed);
	return c;
}
