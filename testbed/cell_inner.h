/* cell_inner.h - what the files of the cell share: cell.c (life, states, the upper layer's side), cell_uplink.c (what is
 * received), cell_downlink.c (who is served, and what is sent), cell_multicast.c (what is sent to several at once).
 */
#ifndef TESTBED_CELL_INNER_H
#define TESTBED_CELL_INNER_H

#include "phy/dl.h"
#include "phy/ul.h"
#include "scheduler/power_loop.h"
#include "scheduler/timing_loop.h"
#include "testbed/cell.h"

enum {
	SLOTS_REMEMBERED = 32,  /* grants by slot: more than a round trip */
	GRANTS_REMEMBERED = 64, /* new blocks, for cell_ul_grant_after */
	CAST_PIECES_MAX = 8,
	CAST_QUEUE_MAX = CELL_SEGMENTS_MAX + HARQ_PROCESSES_MAX * CAST_PIECES_MAX,
	MIN_TB_BYTES = 12,
};

/* An uplink grant on its way. */
struct ul_expected {
	bool any, is_new;
	uint64_t slot;
	uint32_t bytes;
	struct grant grant;
};

struct peer {
	enum cell_device_state state;
	uint64_t since;     /* slot of the last change of state */
	uint64_t heard;     /* last slot in which its control was decoded */
	uint64_t addressed; /* last slot with a message to it */
	uint64_t served;    /* last slot in which there was room for a grant to it */
	uint64_t commanded; /* last slot with a command to it */
	bool answer_due;
	float preamble_delay; /* samples */
	bool refused;         /* it speaks another version: told so, and no longer read */
	struct arq *arq;
	struct harq harq[2];
	struct link link[2];
	struct predict_state predict;
	struct timing_loop timing;
	struct power_loop power;
	struct ul_expected expected[SLOTS_REMEMBERED]; /* by uplink slot */
	uint64_t ul_grant[GRANTS_REMEMBERED];          /* uplink slots of new blocks, a ring */
	size_t n_ul_grants;
	uint32_t reported_bytes;
	uint64_t reported_slot;
	struct cell_load load;
	uint8_t *dl_block[HARQ_PROCESSES_MAX];
	uint8_t *dl_memory;
	size_t dl_bytes[HARQ_PROCESSES_MAX];
	struct tb_soft *ul_soft[HARQ_PROCESSES_MAX];
	struct csi csi;
	bool have_csi;
	struct cell_device_stats stats;
};

/* A multicast block on its way. */
struct cast_block {
	struct cell_segment piece[CAST_PIECES_MAX];
	size_t n_pieces;
	uint32_t lacking; /* bit d: device d has not acknowledged it */
	uint8_t *bytes;
	size_t n;
};

/* Multicast: what is on its way to several devices. */
struct cast {
	uint32_t set;
	uint8_t *bytes;
	struct cell_segment queue[CAST_QUEUE_MAX]; /* in the order in which they go into new blocks */
	size_t n_queue;
	struct harq harq; /* a block is delivered when the last one of its devices has it */
	struct cast_block block[HARQ_PROCESSES_MAX];
	uint8_t *memory;
	uint32_t next_devices;                 /* of the transmission that this slot may have; 0: none */
	uint32_t next_bytes;                   /* that a new block could carry */
	enum harq_ack answer[PHY_DEVICES_MAX]; /* in the uplink slot just received */
	struct cell_multicast_stats stats;
};

struct cell {
	struct cell_params params;
	const struct numerology *num;
	struct dl_tx *dl;
	struct ul_rx *ul;
	struct rate_table rates, sync_rates; /* in downlink sync slots blocks get fewer resource elements */
	struct link_config link_config;
	struct predict_config predict_config;
	struct timing_loop_config timing_config;
	double range_samples; /* round trip */
	struct power_loop_config power_config;
	size_t group, n_rb; /* RBs of the air that are granted together; number of whole groups */
	const struct alloc_method *allocator;
	unsigned keepalive_slots;
	unsigned n_processes; /* a device and direction */
	size_t tb_max;        /* bytes of the largest block */
	struct alloc_state alloc_state[2];
	struct alloc_problem problem;
	struct alloc_result result[2];
	uint64_t slot;    /* last uplink slot */
	uint8_t *block;   /* received */
	uint8_t *message; /* being queued */
	struct peer peer[PHY_DEVICES_MAX];
	struct cast cast;
	struct cell_oracle oracle;
	struct cell_stats stats;
};

/* Slots from a block to the one built when its fate is known: what a retransmission takes at least. */
unsigned cell_round_trip(const struct cell *c);
unsigned cell_n_groups(const struct cell *c); /* of sounding */

/* The link to a device as expected in that slot. */
void cell_foresee(const struct cell *c, unsigned device, enum cell_direction dir, uint64_t slot, struct link_view *v);

/* cell_multicast.c */
bool cast_create(struct cell *c);
void cast_destroy(struct cell *c);
/* In that downlink slot: decides on the next transmission, if there is one that can be acknowledged; the same as a party of the
 * allocators; its message and block. */
bool cast_prepare(struct cell *c, uint64_t slot);
unsigned cast_level(const struct cell *c); /* control channel elements of its message */
void cast_describe(struct cell *c, uint64_t slot, struct alloc_device *a);
void cast_grant(struct cell *c, const struct alloc_grant *a, uint64_t slot);
/* All control of the uplink slot was read: what became of the block that it answers. */
void cast_settle(struct cell *c);

/* cell_downlink.c: whole groups of a grant; control channel elements for a message of that size at that SNR. */
struct rb_set cell_rbs_of_groups(const struct cell *c, const struct rb_set *groups);
unsigned cell_control_level(const struct cell *c, unsigned device, enum dci_size size);

void cell_lose(struct cell *c, unsigned device);
/* The access answer goes out in that slot: both ends begin anew. */
void cell_begin_anew(struct cell *c, struct peer *p, uint64_t slot);

#endif
