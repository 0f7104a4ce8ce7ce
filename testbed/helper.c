#include "testbed/helper.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

struct job {
	void (*work)(void *arg);
	void *arg;
};

struct helper {
	pthread_t thread;
	sem_t waiting; /* jobs not yet taken up, and one more to stop */
	atomic_bool stop;
	atomic_ullong done;
	uint64_t started;
	struct job jobs[HELPER_JOBS]; /* job n lies at n % HELPER_JOBS */
};

static void *help(void *arg)
{
	struct helper *h = arg;
	for (uint64_t n = 1;; n++) {
		while (sem_wait(&h->waiting) && errno == EINTR)
			;
		if (atomic_load(&h->stop))
			return NULL;
		struct job *j = &h->jobs[n % HELPER_JOBS];
		j->work(j->arg);
		atomic_store_explicit(&h->done, n, memory_order_release);
	}
}

struct helper *helper_create(void)
{
	struct helper *h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	sem_init(&h->waiting, 0, 0);
	int rc = pthread_create(&h->thread, NULL, help, h);
	if (rc) {
		sem_destroy(&h->waiting);
		free(h);
		errno = rc;
		return NULL;
	}
	return h;
}

void helper_destroy(struct helper *h)
{
	if (!h)
		return;
	atomic_store(&h->stop, true);
	sem_post(&h->waiting);
	pthread_join(h->thread, NULL);
	sem_destroy(&h->waiting);
	free(h);
}

uint64_t helper_start(struct helper *h, void (*work)(void *arg), void *arg)
{
	if (h->started - atomic_load_explicit(&h->done, memory_order_acquire) >= HELPER_JOBS)
		return 0;
	h->started++;
	h->jobs[h->started % HELPER_JOBS] = (struct job){ work, arg };
	sem_post(&h->waiting);
	return h->started;
}

bool helper_done(const struct helper *h, uint64_t ticket)
{
	return atomic_load_explicit(&h->done, memory_order_acquire) >= ticket;
}
