/* harq.h - HARQ bookkeeping of one device in one direction, at the base station.
 *
 * Who waits for what, and nothing else: the blocks themselves are the caller's, indexed by process. Processes are
 * asynchronous: any of them may be used in any slot, the grant says which.
 *
 *     harq_init(&h, harq_processes(round_trip_slots), max_tx);
 *
 *     int p = harq_pick_for(&h, bytes);                       -EAGAIN: all processes busy
 *     uint8_t ndi = harq_send_new(&h, p, slot, mcs, n_rb, bytes);
 *     ...
 *     if (harq_feedback(&h, slot_of_transmission, HARQ_ACK, &o) == 0)   o says what became of which block
 *     while (harq_expire(&h, slot, timeout_slots, &o) == 0)             feedback that never came counts as none
 *     ...
 *     int p = harq_pending(&h);                               oldest block to be sent again, or -EAGAIN
 *     harq_send_again(&h, p, slot);                           same MCS, same number of RBs, so the same block size
 * and h.process[p].rv is the redundancy version to send.
 *
 * Downlink: slot is that of the block, the feedback rides in uplink control some slots later. Uplink: "sent" is the
 * grant, slot is the uplink slot it is for, the feedback is what the base station decoded there: CRC right, wrong, or
 * silence.
 *
 * States: idle -> waiting -> (ack) idle | (nack, none) to retransmit -> waiting ... ; after max_tx transmissions
 * without success the block is given up: HARQ_FAILED is returned once, and the process is idle.
 *
 * Redundancy versions go 0, 2, 3, 1, 2, 3, 1 ...: version 0 can be decoded alone, what follows adds to it. A
 * transmission met with silence says nothing of what the receiver holds: the next one is version 0 again.
 *
 * The new-data indicator toggles with each new block, except after a block that was given up without a sign of life
 * from the device: it never saw that block, so its last NDI is the one before. It may have seen it all the same, and
 * all its answers were lost: harq_pick_for gives the next block of that process another size, and the device takes a
 * grant for a repetition only if NDI and size agree. What is left of the ambiguity the message layer repairs.
 */
#ifndef SCHEDULER_HARQ_H
#define SCHEDULER_HARQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HARQ_PROCESSES_MIN = 8, HARQ_PROCESSES_MAX = 16, HARQ_MAX_TX_DEFAULT = 4 };

enum harq_state { HARQ_IDLE, HARQ_WAITING, HARQ_RETRANSMIT };
enum harq_ack { HARQ_NONE, HARQ_ACK, HARQ_NACK }; /* as enum uci_ack */
enum harq_event { HARQ_DELIVERED, HARQ_AGAIN, HARQ_FAILED };

struct harq_process {
	uint8_t state; /* enum harq_state */
	uint8_t ndi;
	uint8_t rv; /* redundancy version: of the last transmission, or to send next when to retransmit */
	bool heard; /* the device answered, ACK or NACK, to this block */
	uint8_t mcs;
	uint8_t n_rb;
	uint8_t n_tx; /* transmissions of this block so far */
	bool adapts;  /* see link_observe_block */
	uint32_t bytes;
	uint64_t slot; /* of the last transmission */
	uint64_t first_slot;
};

struct harq_stats {
	uint64_t n_new, n_again; /* transmissions */
	uint64_t n_delivered;    /* blocks */
	uint64_t n_first_lost;   /* blocks whose first transmission was not acknowledged */
	uint64_t n_failed;       /* given up */
	uint64_t n_silent;       /* transmissions without an answer */
	uint64_t n_stray;        /* feedback for a slot in which nothing waited */
};

struct harq {
	struct harq_process process[HARQ_PROCESSES_MAX];
	uint8_t n_processes;
	uint8_t max_tx;
	struct harq_stats stats;
};

/* What a feedback did. */
struct harq_outcome {
	enum harq_event event;
	uint8_t process;
	bool first;    /* the feedback is of a first transmission: for the outer loop */
	bool answered; /* ACK or NACK, not silence */
	uint8_t n_tx;
	uint8_t mcs, n_rb;
	bool adapts;
	uint32_t bytes;
	uint64_t slot, first_slot;
};

/* Processes for a link whose answer to a block of slot n is known when slot n + round_trip_slots is built: with as many
 * one device can fill every slot. Held to HARQ_PROCESSES_MIN .. HARQ_PROCESSES_MAX. */
unsigned harq_processes(unsigned round_trip_slots);

/* n_processes: 1 .. HARQ_PROCESSES_MAX, max_tx: 1 .. 255. */
void harq_init(struct harq *h, unsigned n_processes, uint8_t max_tx);

/* Index of the idle process that rested longest, or -EAGAIN. */
int harq_pick(const struct harq *h);
/* The same for a block of that size: a process whose last block was given up unheard and had this very size only if
 * there is no other. */
int harq_pick_for(const struct harq *h, uint32_t bytes);
/* Index of the block to be sent again whose first transmission is oldest, or -EAGAIN. */
int harq_pending(const struct harq *h);

/* A new block goes out. Returns its new-data indicator, or -EINVAL when the process is not idle or out of range. */
int harq_send_new(struct harq *h, int process, uint64_t slot, uint8_t mcs, uint8_t n_rb, uint32_t bytes, bool adapts);
/* The block of this process goes out again. Returns its (unchanged) new-data indicator, or -EINVAL when it is not to
 * retransmit. */
int harq_send_again(struct harq *h, int process, uint64_t slot);

/* Feedback for the transmission of that slot. Fills *o and returns 0; -ENODATA when nothing waits for that slot
 * (counted unless ack is HARQ_NONE). */
int harq_feedback(struct harq *h, uint64_t slot, enum harq_ack ack, struct harq_outcome *o);
/* One transmission whose answer is overdue (slot_of_transmission + timeout_slots < slot) is treated as unanswered: *o
 * filled and 0, or -EAGAIN when there is none (left). */
int harq_expire(struct harq *h, uint64_t slot, uint64_t timeout_slots, struct harq_outcome *o);
/* Gives up the block of this process, event HARQ_FAILED; -EAGAIN: it has none. */
int harq_drop(struct harq *h, int process, struct harq_outcome *o);
/* Gives up everything in flight (device lost). One block a call, as harq_expire; event HARQ_FAILED. */
int harq_flush(struct harq *h, struct harq_outcome *o);

/* Blocks not idle; bytes in them. */
size_t harq_in_flight(const struct harq *h, size_t *bytes);

/* The other end: which grants are new blocks and which repeat one. A device has one of these for each direction, and
 * one for multicast blocks. */
struct harq_peer {
	uint8_t n_processes;
	uint8_t ndi[HARQ_PROCESSES_MAX];
	bool known[HARQ_PROCESSES_MAX];
	bool done[HARQ_PROCESSES_MAX]; /* the caller's: the block was decoded */
	uint32_t bytes[HARQ_PROCESSES_MAX];
};

void harq_peer_init(struct harq_peer *p, unsigned n_processes); /* as harq_init */
/* A grant of (process, ndi) arrived, for a block of so many bytes. 1: a new block, done is cleared; 0: the block
 * already known, send or receive it again; -EINVAL: no such process. */
int harq_peer_grant(struct harq_peer *p, size_t process, uint8_t ndi, uint32_t bytes);

/* What a receiver does with a granted transmission. */
enum harq_peer_verdict {
	HARQ_PEER_IGNORE, /* a repetition of a block whose version 0 was missed: answer HARQ_NONE, so that it comes again
	                   * from version 0; the soft buffer and done are as they were */
	HARQ_PEER_BEGIN,  /* version 0: empty the soft buffer, receive; done is cleared */
	HARQ_PEER_ADD,    /* receive, adding to the soft buffer */
	HARQ_PEER_DONE,   /* the block was decoded before: answer HARQ_ACK */
};

/* Downlink grants at a device, and uplink ones (there BEGIN means a new block or the known one, see harq_peer_grant,
 * IGNORE: send nothing). Never are two blocks added up: a soft buffer holds what came since the last version 0 that
 * this device itself saw, and a repetition is added only if process, indicator and size are those of that version 0.
 * multicast: version 0 is a new block whatever the indicator says, since the sender cannot tell who missed the last
 * one; a block may thus be decoded twice. Its sender goes on to another version only when every device of the map has
 * answered ACK or NACK, and leaves out devices of the map but never adds one. An impossible process is ignored. */
enum harq_peer_verdict harq_peer_receive(struct harq_peer *p, bool multicast, size_t process, uint8_t ndi, uint8_t rv,
                                         uint32_t bytes);

#endif
