#include "radio/spool.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spool {
	int fd;
	enum spool_when_full when_full;
	uint64_t waits; /* the feeding thread's */
	pthread_t writer;
	sem_t filled;        /* something to write, or closing */
	sem_t space;         /* posted once for each `waiting` that the writer has seen */
	atomic_bool waiting; /* the feeding thread sleeps on `space` */
	atomic_bool closing;
	atomic_int error;      /* first one of the writer, 0 or negative */
	_Atomic uint64_t head; /* bytes ever put in, */
	_Atomic uint64_t tail; /* and taken out */
	size_t size;
	uint8_t ring[];
};

int spool_write(int fd, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static void semaphore_wait(sem_t *s)
{
	while (sem_wait(s) != 0 && errno == EINTR)
		;
}

/* Writes what the ring holds. After an error it only empties the ring, so that the feeding thread never hangs. */
static void drain(struct spool *s)
{
	uint64_t tail = atomic_load_explicit(&s->tail, memory_order_relaxed);
	uint64_t head;
	while ((head = atomic_load_explicit(&s->head, memory_order_acquire)) != tail) {
		size_t at = (size_t)(tail % s->size);
		size_t n = head - tail < s->size - at ? (size_t)(head - tail) : s->size - at;
		if (atomic_load(&s->error) == 0)
			atomic_store(&s->error, spool_write(s->fd, s->ring + at, n));
		tail += n;
		atomic_store(&s->tail, tail);
		if (atomic_exchange(&s->waiting, false))
			sem_post(&s->space);
	}
}

static void *writer_main(void *arg)
{
	struct spool *s = arg;
	bool closing;
	do {
		semaphore_wait(&s->filled);
		while (sem_trywait(&s->filled) == 0)
			; /* one drain serves them all */
		closing = atomic_load(&s->closing);
		drain(s);
	} while (!closing);
	return NULL;
}

struct spool *spool_create(int fd, size_t ring_bytes, enum spool_when_full when_full)
{
	bool power_of_two = ring_bytes && !(ring_bytes & (ring_bytes - 1));
	struct spool *s = power_of_two ? calloc(1, sizeof *s + ring_bytes) : NULL;
	if (!s) {
		errno = power_of_two ? ENOMEM : EINVAL;
		return NULL;
	}
	s->fd = fd;
	s->size = ring_bytes;
	s->when_full = when_full;
	sem_init(&s->filled, 0, 0);
	sem_init(&s->space, 0, 0);
	int error = pthread_create(&s->writer, NULL, writer_main, s);
	if (error == 0)
		return s;
	sem_destroy(&s->space);
	sem_destroy(&s->filled);
	free(s);
	errno = error;
	return NULL;
}

static bool has_room(struct spool *s, uint64_t head, size_t n)
{
	return s->size - (head - atomic_load(&s->tail)) >= n;
}

/* Sleeps until the ring has room for n bytes; false if it must not wait for that. */
static bool wait_for_room(struct spool *s, uint64_t head, size_t n)
{
	if (has_room(s, head, n))
		return true;
	if (s->when_full == SPOOL_DROP)
		return false;
	s->waits++;
	while (!has_room(s, head, n)) {
		atomic_store(&s->waiting, true);
		/* Seen after `waiting` was set, a full ring means that the writer has yet to take bytes out, and will post. */
		if (!has_room(s, head, n))
			semaphore_wait(&s->space);
		else if (!atomic_exchange(&s->waiting, false))
			semaphore_wait(&s->space); /* it has posted meanwhile */
	}
	return true;
}

int spool_put(struct spool *s, const void *bytes, size_t n)
{
	uint64_t head = atomic_load_explicit(&s->head, memory_order_relaxed);
	if (n > s->size)
		return -EMSGSIZE;
	if (!wait_for_room(s, head, n))
		return -ENOBUFS;
	size_t at = (size_t)(head % s->size);
	size_t first = n < s->size - at ? n : s->size - at;
	memcpy(s->ring + at, bytes, first);
	memcpy(s->ring, (const uint8_t *)bytes + first, n - first);
	atomic_store_explicit(&s->head, head + n, memory_order_release);
	sem_post(&s->filled);
	return atomic_load(&s->error);
}

void spool_set_when_full(struct spool *s, enum spool_when_full when_full)
{
	s->when_full = when_full;
}

uint64_t spool_waits(const struct spool *s)
{
	return s->waits;
}

int spool_close(struct spool *s)
{
	if (!s)
		return 0;
	atomic_store(&s->closing, true);
	sem_post(&s->filled);
	pthread_join(s->writer, NULL);
	int error = atomic_load(&s->error);
	if (fsync(s->fd) != 0 && error == 0 && errno != EINVAL) /* EINVAL: a file that cannot be synced, as a pipe */
		error = -errno;
	if (close(s->fd) != 0 && error == 0)
		error = -errno;
	sem_destroy(&s->space);
	sem_destroy(&s->filled);
	free(s);
	return error;
}
