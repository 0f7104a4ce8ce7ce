/* arq.h - a reliable byte stream in both directions over lossy transport blocks.
 *
 * One object stands at each end of a link. Whole messages go in; transport blocks are filled from them and read back;
 * messages come out in order, once, or not at all:
 *
 *     struct arq *a = arq_create(1 << 20);
 *     arq_send(a, msg, n_msg);                            copies the message into the stream
 *     size_t used = arq_fill(a, tb, n_tb, block, slot);   what a grant carries; `block` names it until arq_block_done
 *     arq_block_done(a, block, delivered, slot);          the HARQ below has an answer, or gave up
 *     arq_receive(a, tb, n_tb, slot);                     a block that passed its CRC
 *     while ((p = arq_peek(a, &n)))                       the stream as far as it is complete
 *             arq_consume(a, used_of_it);
 *
 * A transport block holds protocol data units (PDU), network byte order, then zeros:
 *     1 data    u8 type, u32 offset in the stream, u16 length, bytes
 *     2 status  u8 type, u32 everything below this offset has arrived, u8 ranges, {u32 offset, u32 length} received
 *               beyond it
 *     3 verdict u8 type, u32 slot, u16 blocks: right behind a status. Of what its receiver put into blocks before that
 *               slot, only what is in these blocks (bit i: block i) may still arrive; the rest, as far as the status
 *               does not list it, is lost
 * A block given up below is queued again at once. The end that has the HARQ bookkeeping of both directions gives the
 * other a verdict when it gives up one of its blocks (arq_tell_lost), so that this end need not wait for its timer. A
 * status with four ranges may leave out some: a verdict then speaks of nothing beyond the last. A block believed
 * delivered that was not (a NACK read as ACK) shows as a hole in the next status; the last bytes of a stream, which
 * no status would ever show missing, are sent again by a timer. Status rides along with data and costs a block of its
 * own only when nothing else was sent for ARQ_STATUS_SLOTS. Offsets wrap. One thread at a time. The idea is that of
 * RLC acknowledged mode (TS 38.322) on TCP's byte offsets.
 */
#ifndef TESTBED_ARQ_H
#define TESTBED_ARQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ARQ_DATA_HEADER = 7,   /* bytes of a data PDU before its data */
	ARQ_BLOCKS = 16,       /* transport blocks in flight, named 0 .. ARQ_BLOCKS - 1 */
	ARQ_STATUS_SLOTS = 16, /* a receiver's news waits this long for a ride */
	ARQ_RESEND_SLOTS = 60, /* nothing sent or acknowledged for this long: the oldest unacknowledged bytes go again,
	                         * whatever the HARQ below has to say; longer than it ever needs .. */
	ARQ_RESEND_ROUND_TRIPS = 15 /* .. were its round trip four slots: with more of them, so many round trips */
};

struct arq_stats {
	uint64_t bytes_sent;      /* stream bytes put in blocks, repeats included */
	uint64_t bytes_repeated;  /* of these sent before */
	uint64_t bytes_delivered; /* new stream bytes received */
	uint64_t duplicates;      /* PDUs that brought nothing new */
	uint64_t malformed;       /* PDUs dropped because their sizes do not fit */
	uint64_t holes;           /* segments queued again because a status, a verdict or the timer told of them */
	uint64_t timeouts;        /* of these, the timer */
	uint64_t verdicts;        /* received */
	uint64_t blocks_lost;     /* blocks the HARQ below gave up */
};

struct arq;

/* capacity: bytes of unacknowledged or unsent stream, a power of two, 4096 .. 2^24. NULL with errno EINVAL or ENOMEM. */
struct arq *arq_create(size_t capacity);
void arq_destroy(struct arq *a);
void arq_reset(struct arq *a); /* as just created: both ends do this when a device attaches; statistics are kept */

/* Appends a message of n bytes. 0, or -ENOBUFS if the stream has no room: nothing is taken then. */
int arq_send(struct arq *a, const void *message, size_t n);
/* Slots from a block below to its repetition, 0 (as created) .. 255: sets the timer. */
void arq_set_round_trip(struct arq *a, unsigned slots);

size_t arq_room(const struct arq *a); /* bytes that arq_send would take now */

/* Bytes that a grant would have to carry for everything now waiting: data with headers, and status when due at
 * `slot`. */
size_t arq_backlog(const struct arq *a, uint64_t slot);
/* The same, were n bytes more in the stream. */
size_t arq_backlog_with(const struct arq *a, uint64_t slot, size_t n);

/* Fills tb[n] and returns the bytes used (the rest is zeroed); 0 if there is nothing to say or n is too small for it.
 * `block` must be free: the one before of that name was reported by arq_block_done. */
size_t arq_fill(struct arq *a, uint8_t *tb, size_t n, unsigned block, uint64_t slot);

/* What became of a block. Unknown names and blocks already reported are ignored. */
void arq_block_done(struct arq *a, unsigned block, bool delivered, uint64_t slot);

/* The HARQ below gave up a block of the peer: a verdict is due, at once. Of what the peer filled before `slot` only
 * the blocks of the mask `open` (bit i: block i) may still arrive. */
void arq_tell_lost(struct arq *a, uint32_t open, uint64_t slot);

/* Takes in a block that passed its CRC. */
void arq_receive(struct arq *a, const uint8_t *tb, size_t n, uint64_t slot);

/* The contiguous received bytes not yet consumed; NULL when none. Valid until the next arq_receive or arq_consume. */
const uint8_t *arq_peek(const struct arq *a, size_t *n);
void arq_consume(struct arq *a, size_t n);

/* Stream offsets: of the next byte that arq_send will append; of the first one never yet put in a block; the peer
 * acknowledged everything below arq_acknowledged. */
uint32_t arq_offset(const struct arq *a);
uint32_t arq_sent(const struct arq *a);
uint32_t arq_acknowledged(const struct arq *a);
struct arq_stats arq_stats(const struct arq *a);

#endif
