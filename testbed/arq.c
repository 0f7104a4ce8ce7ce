#include "testbed/arq.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PDU_DATA = 1,
	PDU_STATUS = 2,
	PDU_VERDICT = 3,
	STATUS_HEADER = 6,
	RANGE_BYTES = 8,
	VERDICT_BYTES = 7,
	RANGES_IN_STATUS = 4,
	SEGMENTS = 2048, /* pieces of the stream in flight or waiting to go again */
	RANGES = 64,     /* islands received beyond the first hole */
	CAPACITY_MIN = 4096,
	CAPACITY_MAX = 1 << 24,
};

enum segment_state { SEGMENT_QUEUED, SEGMENT_IN_BLOCK, SEGMENT_SENT };

/* A piece of the stream that has been sent at least once and is not yet acknowledged. */
struct segment {
	uint32_t offset;
	uint32_t len;
	enum segment_state state;
	unsigned block; /* while in a block */
	uint64_t slot;  /* when it was put there */
};

struct range {
	uint32_t offset;
	uint32_t len;
};

struct arq {
	size_t capacity;
	/* sending: stream bytes [acked, next_new) are in segments, [next_new, end) were never sent */
	uint8_t *tx; /* ring, indexed by offset % capacity */
	uint32_t acked, next_new, end;
	struct segment segment[SEGMENTS]; /* in order of offset */
	size_t n_segments;
	uint64_t resend_slots;
	uint64_t progress_slot; /* last time something was sent for the first time or acknowledged */
	/* receiving: [consumed, arrived) may be read; islands lie beyond */
	uint8_t *rx; /* linear: byte at offset o is rx[o - rx_base] */
	uint32_t rx_base, consumed, arrived;
	struct range island[RANGES];
	size_t n_islands;
	bool news; /* something arrived since the last status */
	uint64_t news_slot;
	/* of the peer's blocks */
	bool verdict_due;
	uint32_t verdict_slot;
	uint16_t verdict_open;
	unsigned status_block; /* the latest status and verdict went with it; ARQ_BLOCKS: none on its way */
	bool verdict_in_block;
	/* what the latest status told: all that arrived, or only what lies below told_top */
	bool told_all;
	uint32_t told_top;
	struct arq_stats stats;
};

/* Distance from b to a on the wrapping stream. */
static int32_t after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

struct arq *arq_create(size_t capacity)
{
	if (capacity < CAPACITY_MIN || capacity > CAPACITY_MAX ||
	    capacity & (capacity - 1)) { /* the ring wraps as offsets do */
		errno = EINVAL;
		return NULL;
	}
	struct arq *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->capacity = capacity;
	a->status_block = ARQ_BLOCKS;
	a->resend_slots = ARQ_RESEND_SLOTS;
	a->tx = malloc(capacity);
	a->rx = malloc(2 * capacity);
	if (!a->tx || !a->rx) {
		arq_destroy(a);
		errno = ENOMEM;
		return NULL;
	}
	return a;
}

void arq_destroy(struct arq *a)
{
	if (!a)
		return;
	free(a->rx);
	free(a->tx);
	free(a);
}

void arq_reset(struct arq *a)
{
	a->acked = a->next_new = a->end = 0;
	a->n_segments = 0;
	a->rx_base = a->consumed = a->arrived = 0;
	a->n_islands = 0;
	a->news = a->verdict_due = a->told_all = false;
	a->status_block = ARQ_BLOCKS;
	a->told_top = 0;
}

void arq_set_round_trip(struct arq *a, unsigned slots)
{
	uint64_t n = (uint64_t)ARQ_RESEND_ROUND_TRIPS * slots;
	a->resend_slots = n > ARQ_RESEND_SLOTS ? n : ARQ_RESEND_SLOTS;
}

size_t arq_room(const struct arq *a)
{
	return a->capacity - (size_t)(a->end - a->acked);
}

int arq_send(struct arq *a, const void *message, size_t n)
{
	if (n > arq_room(a))
		return -ENOBUFS;
	size_t at = a->end % a->capacity;
	size_t first = n < a->capacity - at ? n : a->capacity - at;
	memcpy(a->tx + at, message, first);
	memcpy(a->tx, (const uint8_t *)message + first, n - first);
	a->end += (uint32_t)n;
	return 0;
}

/* ---- sending ---- */

static bool status_due(const struct arq *a, uint64_t slot)
{
	return a->verdict_due || (a->news && slot >= a->news_slot + ARQ_STATUS_SLOTS);
}

/* A verdict included. */
static size_t status_size(const struct arq *a)
{
	size_t n = a->n_islands < RANGES_IN_STATUS ? a->n_islands : RANGES_IN_STATUS;
	return STATUS_HEADER + n * RANGE_BYTES + (a->verdict_due ? VERDICT_BYTES : 0);
}

static bool resend_due(const struct arq *a, uint64_t slot)
{
	return a->n_segments && a->segment[0].state != SEGMENT_QUEUED && slot >= a->progress_slot + a->resend_slots;
}

size_t arq_backlog_with(const struct arq *a, uint64_t slot, size_t n)
{
	size_t bytes = a->end - a->next_new + n;
	if (bytes)
		bytes += ARQ_DATA_HEADER;
	for (size_t i = 0; i < a->n_segments; i++)
		if (a->segment[i].state == SEGMENT_QUEUED)
			bytes += a->segment[i].len + ARQ_DATA_HEADER;
	if (!bytes && resend_due(a, slot))
		bytes = a->segment[0].len + ARQ_DATA_HEADER;
	if (status_due(a, slot) || (a->news && bytes))
		bytes += status_size(a);
	return bytes;
}

size_t arq_backlog(const struct arq *a, uint64_t slot)
{
	return arq_backlog_with(a, slot, 0);
}

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof v);
	return p + sizeof v;
}

/* A verdict follows when it is due. */
static size_t put_status(struct arq *a, uint8_t *p, unsigned block)
{
	uint8_t *start = p;
	size_t n = a->n_islands < RANGES_IN_STATUS ? a->n_islands : RANGES_IN_STATUS;
	*p++ = PDU_STATUS;
	p = put_u32(p, a->arrived);
	*p++ = (uint8_t)n;
	for (size_t i = 0; i < n; i++) {
		p = put_u32(p, a->island[i].offset);
		p = put_u32(p, a->island[i].len);
	}
	if (a->verdict_due) {
		*p++ = PDU_VERDICT;
		p = put_u32(p, a->verdict_slot);
		*p++ = (uint8_t)(a->verdict_open >> 8);
		*p++ = (uint8_t)a->verdict_open;
	}
	a->status_block = block;
	a->verdict_in_block = a->verdict_due;
	a->news = a->verdict_due = false;
	return (size_t)(p - start);
}

static size_t put_data(struct arq *a, uint8_t *p, uint32_t offset, uint32_t len)
{
	*p++ = PDU_DATA;
	p = put_u32(p, offset);
	*p++ = (uint8_t)(len >> 8);
	*p++ = (uint8_t)len;
	size_t at = offset % a->capacity;
	size_t first = len < a->capacity - at ? len : a->capacity - at;
	memcpy(p, a->tx + at, first);
	memcpy(p + first, a->tx, len - first);
	a->stats.bytes_sent += len;
	return ARQ_DATA_HEADER + len;
}

/* Makes room at index i of the segment table. */
static bool open_segment(struct arq *a, size_t i)
{
	if (a->n_segments == SEGMENTS)
		return false;
	memmove(a->segment + i + 1, a->segment + i, (a->n_segments - i) * sizeof a->segment[0]);
	a->n_segments++;
	return true;
}

/* Sends as much of a queued segment as fits; a remainder stays queued. */
static size_t repeat_segment(struct arq *a, size_t i, uint8_t *p, size_t room, unsigned block, uint64_t slot)
{
	struct segment *s = &a->segment[i];
	uint32_t len = s->len < room - ARQ_DATA_HEADER ? s->len : (uint32_t)(room - ARQ_DATA_HEADER);
	if (len < s->len) {
		if (!open_segment(a, i + 1))
			return 0;
		a->segment[i + 1] = (struct segment){ s->offset + len, s->len - len, SEGMENT_QUEUED, 0, 0 };
		s->len = len;
	}
	s->state = SEGMENT_IN_BLOCK;
	s->block = block;
	s->slot = slot;
	a->stats.bytes_repeated += len;
	return put_data(a, p, s->offset, len);
}

static size_t send_new(struct arq *a, uint8_t *p, size_t room, unsigned block, uint64_t slot)
{
	if (room > UINT16_MAX)
		room = UINT16_MAX;
	uint32_t left = a->end - a->next_new;
	uint32_t len = left < room - ARQ_DATA_HEADER ? left : (uint32_t)(room - ARQ_DATA_HEADER);
	if (!open_segment(a, a->n_segments))
		return 0;
	a->segment[a->n_segments - 1] = (struct segment){ a->next_new, len, SEGMENT_IN_BLOCK, block, slot };
	a->next_new += len;
	return put_data(a, p, a->next_new - len, len);
}

size_t arq_fill(struct arq *a, uint8_t *tb, size_t n, unsigned block, uint64_t slot)
{
	size_t used = 0;
	memset(tb, 0, n);
	if (resend_due(a, slot)) {
		a->segment[0].state = SEGMENT_QUEUED;
		a->stats.holes++;
		a->stats.timeouts++;
		a->progress_slot = slot;
	}
	if ((a->news || a->verdict_due) && n >= status_size(a))
		used += put_status(a, tb, block);
	for (size_t i = 0; i < a->n_segments && n - used > ARQ_DATA_HEADER; i++)
		if (a->segment[i].state == SEGMENT_QUEUED)
			used += repeat_segment(a, i, tb + used, n - used, block, slot);
	while (a->end != a->next_new && n - used > ARQ_DATA_HEADER) {
		size_t more = send_new(a, tb + used, n - used, block, slot);
		if (!more)
			break;
		used += more;
		a->progress_slot = slot;
	}
	return used;
}

void arq_block_done(struct arq *a, unsigned block, bool delivered, uint64_t slot)
{
	bool any = false;
	if (a->status_block == block) {
		if (!delivered && !a->news) {
			a->news = true;
			a->news_slot = slot;
		}
		a->verdict_due |= !delivered && a->verdict_in_block;
		a->status_block = ARQ_BLOCKS;
	}
	for (size_t i = 0; i < a->n_segments; i++) {
		struct segment *s = &a->segment[i];
		if (s->state == SEGMENT_IN_BLOCK && s->block == block) {
			s->state = delivered ? SEGMENT_SENT : SEGMENT_QUEUED;
			any = true;
		}
	}
	if (any && !delivered)
		a->stats.blocks_lost++;
}

void arq_tell_lost(struct arq *a, uint32_t open, uint64_t slot)
{
	a->verdict_due = true;
	a->verdict_open = (uint16_t)open;
	a->verdict_slot = (uint32_t)slot;
}

/* ---- what the peer says of our stream ---- */

/* Removes what [from, to) acknowledges: segments lie wholly inside or outside unless a piece was repeated in parts. */
static void acknowledge(struct arq *a, uint32_t from, uint32_t to)
{
	size_t kept = 0;
	for (size_t i = 0; i < a->n_segments; i++) {
		struct segment s = a->segment[i];
		if (after(s.offset, from) >= 0 && after(s.offset + s.len, to) <= 0)
			continue;
		a->segment[kept++] = s;
	}
	a->n_segments = kept;
}

/* Everything sent and below a received island, yet not in a block on its way, did not arrive. */
static void queue_holes(struct arq *a, uint32_t top)
{
	for (size_t i = 0; i < a->n_segments; i++) {
		struct segment *s = &a->segment[i];
		if (s->state == SEGMENT_SENT && after(s->offset, top) < 0) {
			s->state = SEGMENT_QUEUED;
			a->stats.holes++;
		}
	}
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return be32toh(v);
}

static bool ours(const struct arq *a, uint32_t offset)
{
	return after(offset, a->acked) >= 0 && after(offset, a->next_new) <= 0;
}

/* Returns the PDU's size, 0 if it is malformed. A status older than one already seen changes nothing. */
static size_t take_status(struct arq *a, const uint8_t *p, size_t n, uint64_t slot)
{
	if (n < STATUS_HEADER || n < STATUS_HEADER + (size_t)p[5] * RANGE_BYTES)
		return 0;
	size_t size = STATUS_HEADER + (size_t)p[5] * RANGE_BYTES;
	uint32_t arrived = get_u32(p + 1);
	if (!ours(a, arrived))
		return size;
	if (arrived != a->acked)
		a->progress_slot = slot;
	acknowledge(a, a->acked, arrived);
	a->acked = arrived;
	uint32_t top = arrived;
	for (const uint8_t *r = p + STATUS_HEADER; r < p + size; r += RANGE_BYTES) {
		uint32_t from = get_u32(r), to = from + get_u32(r + 4);
		if (!ours(a, from) || !ours(a, to) || after(to, from) < 0)
			return 0;
		acknowledge(a, from, to);
		top = to;
	}
	a->told_top = top;
	a->told_all = p[5] < RANGES_IN_STATUS;
	queue_holes(a, top);
	return size;
}

/* Whatever was sent before, has not arrived and is in none of the open blocks goes again. Returns as take_status. */
static size_t take_verdict(struct arq *a, const uint8_t *p, size_t n)
{
	if (n < VERDICT_BYTES)
		return 0;
	uint32_t slot = get_u32(p + 1), open = (uint32_t)p[5] << 8 | p[6];
	a->stats.verdicts++;
	for (size_t i = 0; i < a->n_segments; i++) {
		struct segment *s = &a->segment[i];
		bool on_its_way = s->state == SEGMENT_IN_BLOCK && open >> s->block & 1;
		if (s->state == SEGMENT_QUEUED || on_its_way || after((uint32_t)s->slot, slot) >= 0 ||
		    (!a->told_all && after(s->offset, a->told_top) >= 0))
			continue;
		s->state = SEGMENT_QUEUED;
		a->stats.holes++;
	}
	return VERDICT_BYTES;
}

/* ---- receiving ---- */

/* Keeps the unread part at the front of the buffer, so that offsets map to it linearly. */
static void slide(struct arq *a)
{
	const struct range *last = a->n_islands ? &a->island[a->n_islands - 1] : NULL;
	uint32_t read = a->consumed - a->rx_base, top = last ? last->offset + last->len : a->arrived;
	if (read < a->capacity)
		return;
	memmove(a->rx, a->rx + read, top - a->consumed);
	a->rx_base = a->consumed;
}

/* Adds [offset, offset + len) to the islands, which stay sorted and apart; false when there are too many. */
static bool add_island(struct arq *a, uint32_t offset, uint32_t len)
{
	uint32_t end = offset + len;
	size_t i = 0, j;
	while (i < a->n_islands && after(a->island[i].offset + a->island[i].len, offset) < 0)
		i++;
	for (j = i; j < a->n_islands && after(a->island[j].offset, end) <= 0; j++) {
		uint32_t island_end = a->island[j].offset + a->island[j].len;
		if (after(a->island[j].offset, offset) < 0)
			offset = a->island[j].offset;
		if (after(island_end, end) > 0)
			end = island_end;
	}
	if (i == j && a->n_islands == RANGES)
		return false;
	memmove(a->island + i + 1, a->island + j, (a->n_islands - j) * sizeof a->island[0]);
	a->n_islands = a->n_islands - (j - i) + 1;
	a->island[i] = (struct range){ offset, end - offset };
	return true;
}

static void advance(struct arq *a)
{
	if (a->n_islands && after(a->island[0].offset, a->arrived) <= 0) {
		uint32_t end = a->island[0].offset + a->island[0].len;
		if (after(end, a->arrived) > 0)
			a->arrived = end;
		memmove(a->island, a->island + 1, --a->n_islands * sizeof a->island[0]);
	}
}

static size_t take_data(struct arq *a, const uint8_t *p, size_t n, uint64_t slot)
{
	if (n < ARQ_DATA_HEADER)
		return 0;
	uint32_t offset = get_u32(p + 1);
	size_t len = (size_t)p[5] << 8 | p[6];
	if (!len || n < ARQ_DATA_HEADER + len)
		return 0;
	size_t size = ARQ_DATA_HEADER + len;
	if (!a->news) {
		a->news = true;
		a->news_slot = slot;
	}
	if (after(offset + (uint32_t)len, a->arrived) <= 0) {
		a->stats.duplicates++;
		return size;
	}
	slide(a);
	uint32_t known =
	        after(a->arrived, offset) > 0 ? a->arrived - offset : 0; /* a repeat may begin in what we have */
	offset += known;
	len -= known;
	if (offset - a->rx_base + len > 2 * a->capacity)
		return 0;
	uint32_t before = a->arrived;
	if (!add_island(a, offset, (uint32_t)len))
		return size; /* too many holes: the sender will repeat it */
	memcpy(a->rx + (offset - a->rx_base), p + ARQ_DATA_HEADER + known, len);
	advance(a);
	a->stats.bytes_delivered += a->arrived - before;
	return size;
}

void arq_receive(struct arq *a, const uint8_t *tb, size_t n, uint64_t slot)
{
	size_t at = 0;
	while (at < n && tb[at]) {
		size_t size = 0;
		if (tb[at] == PDU_DATA)
			size = take_data(a, tb + at, n - at, slot);
		else if (tb[at] == PDU_STATUS)
			size = take_status(a, tb + at, n - at, slot);
		else if (tb[at] == PDU_VERDICT)
			size = take_verdict(a, tb + at, n - at);
		if (!size) {
			a->stats.malformed++;
			return;
		}
		at += size;
	}
}

const uint8_t *arq_peek(const struct arq *a, size_t *n)
{
	*n = a->arrived - a->consumed;
	return *n ? a->rx + (a->consumed - a->rx_base) : NULL;
}

void arq_consume(struct arq *a, size_t n)
{
	size_t have = a->arrived - a->consumed;
	a->consumed += (uint32_t)(n < have ? n : have);
}

uint32_t arq_offset(const struct arq *a)
{
	return a->end;
}

uint32_t arq_sent(const struct arq *a)
{
	return a->next_new;
}

uint32_t arq_acknowledged(const struct arq *a)
{
	return a->acked;
}

struct arq_stats arq_stats(const struct arq *a)
{
	return a->stats;
}
