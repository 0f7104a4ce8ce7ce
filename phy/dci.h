/* dci.h - downlink control information: grants, commands and system information as bits.
 *
 * Payloads come in two sizes, so that one decoding of each serves all kinds (phy/dl_control.h, notes/phy.md):
 *
 *     short   one item to one device: downlink grant, uplink grant or command
 *     long    both grants to one device; a multicast grant; system information
 *
 * Who is meant, and with that which of the long ones it is, the receiver tells from the mask on the CRC (phy/cw.h).
 * Payloads are packed bytes, most significant bit first, fields in the order of the structs here; spare bits are zero.
 * Resource blocks are granted in groups of rb_group_size neighbours, so that a bitmap has 18 bits at most.
 */
#ifndef PHY_DCI_H
#define PHY_DCI_H

#include "phy/numerology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DCI_ADDRESS_ALL = 0,                         /* system information; device d has address d + 1 */
	DCI_ADDRESS_MULTICAST = PHY_DEVICES_MAX + 1, /* multicast grants, and the scrambling of their blocks */
	DCI_BYTES_MAX = 8,                           /* 63 bits */
	DCI_MCS_MAX = 31,
	DCI_HARQ_MAX = 15,
	DCI_DELAY_MAX = 15,   /* slots */
	DCI_TIMING_MAX = 127, /* of an access answer */
	DCI_TIMING_STEP_MIN = -64,
	DCI_TIMING_STEP_MAX = 63, /* of an adjustment */
	DCI_POWER_STEP_MIN_DB = -4,
	DCI_POWER_STEP_MAX_DB = 3,
	DCI_ROUND_TRIP_MAX = 16, /* slots */
	DCI_TARGET_MIN_DBM = -127,
	DCI_BOOST_MAX = 3, /* 2^3 */
	DCI_VERSION = 3    /* of the air interface */
};

enum dci_size { DCI_SHORT, DCI_LONG, DCI_SIZES };

/* One transport block's allowance, the same for downlink and uplink. */
struct grant {
	struct rb_set rbs; /* whole groups, not empty, inside the band */
	uint8_t mcs;       /* 0 .. 31 */
	uint8_t harq_id;   /* 0 .. 15 */
	uint8_t ndi;       /* 0, 1: toggles with every new block of the process */
	uint8_t rv;        /* 0 .. 3 */
};

/* What closes the loops of timing and power; all zero it says only that the device is still known. */
struct command {
	bool access_answer; /* to a preamble: both ends begin anew, and timing is the whole timing advance */
	/* Units of n_fft / 256 samples (dci_timing_samples), positive: send earlier. 0 .. 127 in an access answer,
	 * otherwise an amount to add to the timing advance, -64 .. 63. */
	int8_t timing;
	int8_t power_step_db; /* -4 .. 3: to add to the power correction */
};

/* To one device. A message carries one of the three, or both grants. */
struct dci {
	uint8_t device; /* 0 .. PHY_DEVICES_MAX - 1 */
	bool has_dl, has_ul, has_command;
	struct grant dl, ul;
	struct command command;
};

/* One downlink block for every device of a set; HARQ processes are those of the multicast address. */
struct multicast {
	uint16_t devices; /* bit d: device d is meant; not 0 */
	struct grant grant;
};

struct sysinfo {
	uint32_t slot;        /* number of the slot it stands in: a sync slot, slot % 10 == 0 */
	int8_t dl_re_dbm;     /* power of a sent downlink RE */
	int8_t ul_target_dbm; /* power a data RE shall have when it arrives at the base station: -127 .. 0 */
	uint8_t comb_boost;   /* 0 .. 3: control and sounding at 2^comb_boost times that */
	uint8_t n_groups;     /* 1, 2: sounding groups */
	uint8_t ack_delay;    /* 1 .. 15 slots: a block in slot n is acknowledged in uplink slot n + ack_delay */
	uint8_t grant_delay;  /* 1 .. 15 slots: an uplink grant in slot n is for uplink slot n + grant_delay */
	uint8_t round_trip; /* 1 .. 16 slots: from a block to its repetition at the earliest; a device has as many HARQ
	                       * processes in each direction, 8 at least */
	uint16_t cell_id;   /* 0 .. 1023; not among the bits: it is in the mask of the CRC */
	uint8_t version;    /* DCI_VERSION; others must not attach. 0 .. 15 */
};

/* RBs that are granted together: 1 up to 18 RBs, 2 up to 36, ..., 7 at 110; the last group may have fewer. */
size_t rb_group_size(size_t n_rb);
size_t rb_groups(size_t n_rb); /* their number: 6 .. 18 */
/* The largest subset of whole groups: what of a set of free RBs can be granted. */
struct rb_set rb_whole_groups(const struct rb_set *rbs, size_t n_rb);

/* Payload bits: short 20 .. 32 with the number of RBs, long 63. */
size_t dci_n_bits(enum dci_size size, size_t n_rb);
enum dci_size dci_size_of(const struct dci *d);

/* The mask of the CRC: 24 bits. */
static inline uint32_t dci_mask(uint16_t cell_id, uint32_t address)
{
	return (uint32_t)cell_id << 8 | address;
}

static inline double dci_timing_samples(const struct numerology *num, int timing)
{
	return timing * (double)num->n_fft / 256;
}

/* payload: DCI_BYTES_MAX bytes, of which the message takes dci_n_bits of its size (dci_size_of; the other two are
 * long). 0, or -EINVAL for a field out of range, a set of RBs that is empty, outside the band or no whole groups, or a
 * choice of items that no message holds. */
int dci_pack(const struct dci *d, size_t n_rb, uint8_t *payload);
int multicast_pack(const struct multicast *m, size_t n_rb, uint8_t *payload);
int sysinfo_pack(const struct sysinfo *s, uint8_t *payload);

/* 0, or -EBADMSG for contents no sender makes (a false alarm of the CRC). device comes from the address, cell_id from
 * the mask. */
int dci_unpack(const uint8_t *payload, enum dci_size size, size_t n_rb, uint8_t device, struct dci *d);
int multicast_unpack(const uint8_t *payload, size_t n_rb, struct multicast *m);
int sysinfo_unpack(const uint8_t *payload, uint16_t cell_id, struct sysinfo *s);

#endif
