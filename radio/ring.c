#include "radio/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_MIN = RING_CHUNK, HISTORY_MAX = 1 << 28 };

struct ring {
	_Atomic uint64_t end;
	size_t len;                  /* a power of two */
	_Atomic unsigned char *busy; /* by chunk: it holds a sample that is not zero */
	float *re, *im;
};

struct ring *ring_create(size_t history)
{
	if (history < HISTORY_MIN || history > HISTORY_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct ring *ring = calloc(1, sizeof *ring);
	if (!ring)
		return NULL;
	for (ring->len = HISTORY_MIN; ring->len < history;)
		ring->len *= 2;
	ring->len *= 2;
	ring->busy = calloc(ring->len / RING_CHUNK, sizeof *ring->busy);
	ring->re = calloc(ring->len, sizeof *ring->re);
	ring->im = calloc(ring->len, sizeof *ring->im);
	if (ring->busy && ring->re && ring->im)
		return ring;
	ring_destroy(ring);
	errno = ENOMEM;
	return NULL;
}

void ring_destroy(struct ring *ring)
{
	if (!ring)
		return;
	free(ring->im);
	free(ring->re);
	free((void *)ring->busy);
	free(ring);
}

size_t ring_history(const struct ring *ring)
{
	return ring->len / 2;
}

uint64_t ring_end(const struct ring *ring)
{
	return atomic_load_explicit(&ring->end, memory_order_acquire);
}

/* Where in the ring that sample lies. */
static size_t place(const struct ring *ring, uint64_t t)
{
	return (size_t)t & (ring->len - 1);
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Samples from t to the end of its chunk, at most n. */
static size_t to_chunk_end(uint64_t t, size_t n)
{
	return min_size(n, (size_t)(RING_CHUNK - t % RING_CHUNK));
}

static float clip(float v)
{
	v = v > 1.0f ? 1.0f : v;
	return v < -1.0f ? -1.0f : v;
}

/* Size of a float as an integer that orders like it: its bits without the sign. */
static uint32_t magnitude(const float *v)
{
	uint32_t bits;
	memcpy(&bits, v, sizeof bits);
	return bits & 0x7fffffffu;
}

/* The part of a write that lies in one chunk. *any gets whether a sample is not zero. Returns samples clipped. */
static unsigned put(const float *restrict x, size_t n, float scale, float *restrict re, float *restrict im,
                    unsigned char *any)
{
	const uint32_t one = 0x3f800000u; /* 1.0f */
	uint32_t clipped = 0, seen = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t a = magnitude(&x[2 * i]), b = magnitude(&x[2 * i + 1]);
		seen |= a | b;
		clipped += (a > b ? a : b) > one;
	}
	for (size_t i = 0; i < n; i++) {
		re[i] = clip(x[2 * i]) * scale;
		im[i] = clip(x[2 * i + 1]) * scale;
	}
	*any = seen != 0;
	return clipped;
}

static void mark(struct ring *ring, uint64_t t, unsigned char any)
{
	_Atomic unsigned char *busy = &ring->busy[place(ring, t) / RING_CHUNK];
	if (t % RING_CHUNK) /* chunk begun by an earlier write */
		any |= atomic_load_explicit(busy, memory_order_relaxed);
	atomic_store_explicit(busy, any, memory_order_relaxed);
}

static void fill_gap(struct ring *ring, uint64_t from, uint64_t to)
{
	if (to - from > ring->len) /* older silence has left the ring already */
		from = (to - ring->len) / RING_CHUNK * RING_CHUNK;
	while (from < to) {
		size_t n = to_chunk_end(from, (size_t)(to - from));
		memset(&ring->re[place(ring, from)], 0, n * sizeof(float));
		memset(&ring->im[place(ring, from)], 0, n * sizeof(float));
		mark(ring, from, 0);
		from += n;
	}
}

uint64_t ring_write(struct ring *ring, uint64_t t, const float complex *x, size_t n, float scale)
{
	uint64_t clipped = 0;
	fill_gap(ring, atomic_load_explicit(&ring->end, memory_order_relaxed), t);
	for (size_t done = 0; done < n;) {
		uint64_t at = t + done;
		size_t count = to_chunk_end(at, n - done);
		unsigned char any;
		clipped += put((const float *)(x + done), count, scale, &ring->re[place(ring, at)],
		               &ring->im[place(ring, at)], &any);
		mark(ring, at, any);
		done += count;
	}
	atomic_store_explicit(&ring->end, t + n, memory_order_release);
	return clipped;
}

/* The part of first .. first+n-1 that has been written: *from .. *to-1, perhaps empty. */
static void written_part(const struct ring *ring, int64_t first, size_t n, int64_t *from, int64_t *to)
{
	int64_t end = (int64_t)ring_end(ring), last = first + (int64_t)n;
	*from = first > 0 ? first : 0;
	*to = last < end ? last : end;
	if (*to < *from)
		*to = *from;
}

int ring_is_silent(const struct ring *ring, int64_t first, size_t n)
{
	int64_t from, to;
	written_part(ring, first, n, &from, &to);
	unsigned any = 0;
	for (int64_t t = from / RING_CHUNK * RING_CHUNK; from < to && t < to; t += RING_CHUNK)
		any |= atomic_load_explicit(&ring->busy[place(ring, (uint64_t)t) / RING_CHUNK], memory_order_relaxed);
	return !any;
}

void ring_read(const struct ring *ring, int64_t first, size_t n, float *re, float *im)
{
	int64_t from, to;
	written_part(ring, first, n, &from, &to);
	if (to <= from) {
		memset(re, 0, n * sizeof *re);
		memset(im, 0, n * sizeof *im);
		return;
	}
	size_t before = (size_t)(from - first), count = (size_t)(to - from), after = n - before - count;
	size_t at = place(ring, (uint64_t)from), head = min_size(count, ring->len - at);
	const float *part[2] = { ring->re, ring->im };
	float *out[2] = { re, im };
	for (int p = 0; p < 2; p++) {
		memset(out[p], 0, before * sizeof(float));
		memcpy(out[p] + before, part[p] + at, head * sizeof(float));
		memcpy(out[p] + before + head, part[p], (count - head) * sizeof(float));
		memset(out[p] + before + count, 0, after * sizeof(float));
	}
}
