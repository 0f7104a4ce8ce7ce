#include "testbed/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Looks before a thread goes to sleep: some 100 us, what a slot has between two rounds. Waking it takes as long. */
enum { THREADS_MAX = 64, LOOKS = 5000 };

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t begin, end;
	pthread_t thread[THREADS_MAX];
	size_t n_threads; /* besides the caller */
	bool stop;
	bool looks;          /* there is a processor for each thread */
	atomic_size_t round; /* counts pool_run calls */
	void (*work)(void *arg, size_t i);
	void *arg;
	size_t n, next;
	atomic_size_t busy;
};

static void breathe(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/* Takes pieces until none is left. Called and left with the lock held. */
static void take_pieces(struct pool *p)
{
	while (p->next < p->n) {
		size_t i = p->next++;
		pthread_mutex_unlock(&p->lock);
		p->work(p->arg, i);
		pthread_mutex_lock(&p->lock);
	}
}

static void *serve(void *arg)
{
	struct pool *p = arg;
	size_t seen = 0;
	for (;;) {
		for (int i = 0; p->looks && i < LOOKS && atomic_load_explicit(&p->round, memory_order_relaxed) == seen;
		     i++)
			breathe();
		pthread_mutex_lock(&p->lock);
		while (!p->stop && p->round == seen)
			pthread_cond_wait(&p->begin, &p->lock);
		if (p->stop)
			break;
		seen = p->round;
		p->busy++;
		take_pieces(p);
		if (!--p->busy)
			pthread_cond_signal(&p->end);
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_create(size_t n_threads)
{
	if (n_threads < 1 || n_threads > THREADS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct pool *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->looks = n_threads > 1 && (long)n_threads <= sysconf(_SC_NPROCESSORS_ONLN);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->begin, NULL);
	pthread_cond_init(&p->end, NULL);
	for (; p->n_threads + 1 < n_threads; p->n_threads++) {
		int rc = pthread_create(&p->thread[p->n_threads], NULL, serve, p);
		if (rc) {
			pool_destroy(p);
			errno = rc;
			return NULL;
		}
	}
	return p;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->begin);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->n_threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->end);
	pthread_cond_destroy(&p->begin);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void pool_run(struct pool *p, void (*work)(void *arg, size_t i), void *arg, size_t n)
{
	pthread_mutex_lock(&p->lock);
	p->work = work;
	p->arg = arg;
	p->n = n;
	p->next = 0;
	p->round++;
	if (p->n_threads)
		pthread_cond_broadcast(&p->begin);
	take_pieces(p);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; p->looks && i < LOOKS && atomic_load_explicit(&p->busy, memory_order_relaxed); i++)
		breathe();
	pthread_mutex_lock(&p->lock);
	while (p->busy)
		pthread_cond_wait(&p->end, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_run_any(void *pool, void (*work)(void *arg, size_t i), void *arg, size_t n)
{
	pool_run(pool, work, arg, n);
}
