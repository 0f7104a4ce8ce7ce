#include "testbed/mailbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct mailbox {
	size_t size, n;
	atomic_size_t put, taken;
	uint8_t things[];
};

struct mailbox *mailbox_create(size_t size, size_t n)
{
	if (n < 1 || n > (size_t)1 << 20) {
		errno = EINVAL;
		return NULL;
	}
	struct mailbox *m = calloc(1, sizeof *m + size * n);
	if (m) {
		m->size = size;
		m->n = n;
	}
	return m;
}

void mailbox_destroy(struct mailbox *m)
{
	free(m);
}

int mailbox_put(struct mailbox *m, const void *thing)
{
	size_t at = atomic_load_explicit(&m->put, memory_order_relaxed);
	if (at - atomic_load_explicit(&m->taken, memory_order_acquire) == m->n)
		return -ENOBUFS;
	memcpy(m->things + at % m->n * m->size, thing, m->size);
	atomic_store_explicit(&m->put, at + 1, memory_order_release);
	return 0;
}

bool mailbox_take(struct mailbox *m, void *thing)
{
	size_t at = atomic_load_explicit(&m->taken, memory_order_relaxed);
	if (at == atomic_load_explicit(&m->put, memory_order_acquire))
		return false;
	memcpy(thing, m->things + at % m->n * m->size, m->size);
	atomic_store_explicit(&m->taken, at + 1, memory_order_release);
	return true;
}
