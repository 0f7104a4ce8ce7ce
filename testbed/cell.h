/* cell.h - the radio side of the base station: every device's link, from samples to messages and back.
 *
 * Driven once a slot, uplink first:
 *
 *     cell_uplink(c, n, samples);            slot n as received: control, blocks, preambles, sounding
 *     ... messages arrived through user->message; what they lead to is queued with cell_send ...
 *     cell_downlink(c, n + tx_ahead, tx);    the slot to send then: grants from what is queued and known now
 *
 * It knows of a device only what it decoded: uplink CSI from sounding, downlink CSI from reports, backlog, headroom and
 * acknowledgements from uplink control. A device is
 *
 *     absent     nothing is sent to it; a preamble makes it
 *     answered   an access answer went out, streams and HARQ began anew; its hello is awaited
 *     attached   cell_welcome was called
 *
 * and is absent again when nothing was decoded from it for lost_after_slots, or when its hello has not come by then.
 * Two loops keep a device's uplink in place: timing advance (scheduler/timing_loop.h), measured on its preamble, then
 * its sounding, and power (scheduler/power_loop.h). Their commands, and one at least every keepalive, go out before any
 * grant.
 *
 * Hidden states that several devices need can be sent to all of them at once (cell_multicast): blocks of one segment each, which every
 * device acknowledges and which are sent again to those that lack them. The allocators see them as one more device.
 *
 * Scheduling follows scheduler/allocate.h, once for each direction; its resource blocks are groups of those of the air
 * (rb_group_size), as many as are whole. The devices served in a slot are those whose messages fit the control symbols,
 * who was served longest ago first: what does not fit waits, and is counted.
 */
#ifndef TESTBED_CELL_H
#define TESTBED_CELL_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phy/csi.h"
#include "phy/layout.h"
#include "scheduler/allocate.h"
#include "scheduler/harq.h"
#include "scheduler/predict.h"
#include "testbed/arq.h"
#include "testbed/message.h"

enum { CELL_AHEAD_MAX = 8, CELL_SEGMENTS_MAX = 256 };

/* Slots between a downlink slot and the uplink slot in which devices that transmit so far ahead answer it. Not the next
 * one: their timing advance would have it begin before the downlink slot has ended. */
static inline unsigned cell_answer_delay(unsigned tx_ahead)
{
	return tx_ahead < 2 ? 2 : tx_ahead;
}

enum cell_device_state { CELL_ABSENT, CELL_ANSWERED, CELL_ATTACHED, CELL_STATES };
enum cell_direction { CELL_DL, CELL_UL };

/* Upper layer. message: payload is valid during the call; slot: the uplink slot that completed it. */
struct cell_user {
	void *arg;
	void (*message)(void *arg, unsigned device, const struct message *m, const uint8_t *payload, uint64_t slot);
	void (*lost)(void *arg, unsigned device, uint64_t slot);
};

/* A clairvoyant's channels: writes how far each RB's SNR (of groups, cell_n_rb) lies above the device's mean over the band in that slot, past or to
 * come, in dB, and returns that mean: in the downlink the SNR of a data RE, in the uplink the same up to a constant. For
 * runs that tell what knowing them would be worth; no node of a real network can. */
struct cell_oracle {
	void *arg;
	float (*channel)(void *arg, unsigned device, enum cell_direction dir, uint64_t slot, float *above_db);
};

struct cell_params {
	const struct layout *layout; /* outlives the cell */
	uint16_t cell_id;
	unsigned n_devices; /* 1 .. PHY_DEVICES_MAX */
	/* Slots between the one received and the one built, 1 .. CELL_AHEAD_MAX. Between the downlink slot and the
	 * uplink slot in which a device answers, by an acknowledgement or by what was granted: 2 .. CELL_AHEAD_MAX. */
	unsigned tx_ahead, answer_delay;
	float dl_re_dbm;
	float ul_target_re_dbm;
	uint8_t comb_boost;                         /* 0 .. DCI_BOOST_MAX: of control and sounding over that, log2 */
	float tx_full_scale_dbm, rx_full_scale_dbm; /* of its radio */
	const char *allocator;
	double bler_target;
	unsigned max_tx;
	float mcs_margin_db;
	float range_m; /* devices this far away are heard when they ask for access */
	unsigned lost_after_slots;
	struct cell_user user;
};

/* What the upper layer knows of a device's share of the layer in work, for the allocators. */
struct cell_load {
	bool loaded;
	double remaining_bytes
	        [2];    /* still to be carried for the layer, by direction, what waits at the device included */
	double tail_s;  /* from the last downlink byte to the layer's end: compute and uplink */
	double after_s; /* of it the uplink */
};

struct cell_device_stats {
	struct harq_stats harq[2];
	struct arq_stats arq;
	uint64_t bytes_on_air[2]; /* of transport blocks, every transmission */
	uint64_t rb_slots[2];
	uint64_t blocks[2];   /* new blocks */
	double mcs_sum[2];    /* over new blocks */
	double snr_sum_db[2]; /* over slots with CSI */
	uint64_t snr_slots[2];
	uint64_t accesses, attaches, losses;
	uint64_t accesses_false; /* answered, and no hello followed: noise, or lost at once */
	uint64_t controls_ok, controls_bad, controls_silent;
	uint64_t messages_bad;
	uint64_t blocks_empty; /* granted, decoded, nothing in it */
	uint64_t rationed;     /* times it had to wait for room in the control symbols */
	uint64_t commands;     /* sent, answers left out; of these: */
	uint64_t timing_commands, power_commands;
	int advance_units; /* timing advance as told, sum of answer and commands (phy/dci.h) */
	int power_correction_db;
	float late_samples; /* where its uplink arrives: mean since the last command took effect */
	float received_db;  /* and how strong: over the target */
};

/* A stretch of a multicast set, and whom it is for, bit d: device d. */
struct cell_segment {
	uint32_t offset, n;
	uint32_t devices;
};

struct cell_multicast_stats {
	struct harq_stats harq;
	uint64_t sets, bytes; /* queued */
	uint64_t blocks, bytes_on_air, rb_slots;
	uint64_t receivers;    /* of new blocks, summed */
	uint64_t bytes_resent; /* in new blocks, of those that HARQ gave up */
	double mcs_sum;        /* over new blocks */
};

struct cell_stats {
	struct cell_multicast_stats multicast;
	uint64_t slots;
	uint64_t non_finite; /* uplink slots refused */
	/* What did not fit the control symbols of its slot and waited for another. */
	uint64_t rationed; /* grants: one for each device and slot that wanted any */
	uint64_t rationed_answers, rationed_commands;
	/* Devices that wanted a grant in a slot, each of which was rationed, granted (dcis), or left out by the allocator.
	 */
	uint64_t wanted, unallocated;
	uint64_t dcis, sysinfos;
	uint64_t clipped; /* downlink samples at full scale */
};

struct cell;

/* NULL with errno and one line in err. */
struct cell *cell_create(const struct cell_params *p, char *err, size_t err_len);
void cell_destroy(struct cell *c); /* NULL is fine */

/* samples: slot_len. 0, or -EINVAL if a sample is not finite: the slot then counts as empty. */
int cell_uplink(struct cell *c, uint64_t slot, const float complex *samples);
void cell_downlink(struct cell *c, uint64_t slot, float complex *samples);

/* Queues a message. 0, -ENOTCONN (device absent), -ENOBUFS (too much queued). */
int cell_send(struct cell *c, unsigned device, const struct message *m, const void *payload);
void cell_welcome(struct cell *c, unsigned device); /* answered -> attached */
void cell_set_load(struct cell *c, unsigned device, const struct cell_load *load);
void cell_next_layer(struct cell *c); /* for allocators that deal per layer */

/* Hidden states for several devices, as a set of testbed/states.h that goes out in segments, in this order; bytes of the set are copied.
 * What is still on its way of the set before is dropped. set: above all before. 0; -ENOBUFS: too much; -EINVAL: a segment
 * outside of the set, or for devices that cannot have it together (cell_multicast_can). */
int cell_multicast(struct cell *c, uint32_t set, const void *bytes, size_t n, const struct cell_segment *segments,
                   size_t n_segments);
void cell_multicast_leave(struct cell *c, unsigned device); /* nothing more of it is sent for this one's sake */
size_t cell_multicast_left(const struct cell *c);           /* bytes of the set not yet in any block */
/* Are these all attached, and do they acknowledge in the same slots? */
bool cell_multicast_can(const struct cell *c, uint32_t devices);
/* Expected bytes a slot of multicast to these, with the band for it; 0: cell_multicast_can says no. */
double cell_multicast_rate(const struct cell *c, uint32_t devices);

enum cell_device_state cell_state(const struct cell *c, unsigned device);
/* Slots since anything was decoded from it. */
uint64_t cell_silent_slots(const struct cell *c, unsigned device);
/* Stream offsets: the next byte cell_send will queue, and the first one never yet put in a block. */
uint32_t cell_queued(const struct cell *c, unsigned device);
uint32_t cell_sent(const struct cell *c, unsigned device);
/* First uplink slot >= slot for which the device was granted a new block; UINT64_MAX if none yet. Looks back 64
 * grants. */
uint64_t cell_ul_grant_after(const struct cell *c, unsigned device, uint64_t slot);
/* Bytes the device last reported waiting, less what was granted since. */
uint32_t cell_ul_backlog(const struct cell *c, unsigned device);
size_t cell_dl_backlog(const struct cell *c, unsigned device);

/* Resource blocks that are granted on their own: groups of those of the air. */
size_t cell_n_rb(const struct cell *c);
/* Expected bytes a slot on n of them, n = 0 .. cell_n_rb, in the mean over so many slots to come. */
void cell_rates(const struct cell *c, unsigned device, enum cell_direction dir, double n_slots, float *bytes_per_slot);
/* What each of them carries over the mean of all: link_relative_rates. */
void cell_relative_rates(const struct cell *c, unsigned device, enum cell_direction dir, double n_slots,
                         float *relative);
struct predict_state *cell_predict_state(struct cell *c, unsigned device);
const struct predict_config *cell_predict_config(const struct cell *c);
const struct rate_table *cell_rate_table(const struct cell *c);
enum flow_sharing cell_sharing(const struct cell *c); /* of its allocator */

/* What it knows of a link. */
const struct link *cell_link(const struct cell *c, unsigned device, enum cell_direction dir);
void cell_set_oracle(struct cell *c, const struct cell_oracle *oracle); /* copied */
/* CSI of the uplink slot just received; NULL if there was none. For logs. */
const struct csi *cell_csi(const struct cell *c, unsigned device);
struct cell_device_stats cell_device_stats(const struct cell *c, unsigned device);
struct cell_stats cell_stats(const struct cell *c);

#endif
