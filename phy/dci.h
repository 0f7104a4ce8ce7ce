/* dci.h - downlink control information: grants, access answers and system information as bits.
 *
 * Every message has the same number of payload bits (dci_n_bits), so that one decoding serves all addresses: the
 * receiver tells who is meant from the mask on the CRC (phy/cw.h, notes/phy.md). Payloads are packed bytes, most
 * significant bit first, fields in the order of the structs here; spare bits are zero.
 */
#ifndef PHY_DCI_H
#define PHY_DCI_H

#include "phy/numerology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DCI_ADDRESS_ALL = 0, /* system information; device d has address d + 1 */
	DCI_BYTES_MAX = (3 + 2 * (PHY_RB_MAX + 12) + 7) / 8,
	DCI_MCS_MAX = 31,
	DCI_HARQ_MAX = 15,
	DCI_VERSION = 1 /* of the air interface */
};

/* One transport block's allowance, the same for downlink and uplink. */
struct grant {
	struct rb_set rbs; /* not empty, inside the band */
	uint8_t mcs;       /* 0 .. 31 */
	uint8_t harq_id;   /* 0 .. 15 */
	uint8_t ndi;       /* 0, 1: toggles with every new block of the process */
	uint8_t rv;        /* 0 .. 3 */
};

struct dci {
	uint8_t device; /* 0 .. PHY_DEVICES_MAX - 1 */
	bool access_answer;
	bool has_dl, has_ul; /* which of the grants are meant */
	struct grant dl, ul;
};

struct sysinfo {
	uint32_t slot;        /* number of the slot it stands in */
	int8_t dl_re_dbm;     /* power of a sent downlink RE */
	int8_t ul_target_dbm; /* power a data RE shall have when it arrives at the base station */
	uint8_t n_groups;     /* 1, 2: sounding groups */
	uint16_t cell_id;     /* 0 .. 1023 */
	uint8_t version;      /* DCI_VERSION; others must not attach. 0 .. 15 */
};

/* Payload bits of any message for this number of RBs: 64 up to 18 RBs. */
size_t dci_n_bits(size_t n_rb);

/* payload: DCI_BYTES_MAX bytes. 0, or -EINVAL for a field out of range (empty or outside RB set included). */
int dci_pack(const struct dci *d, size_t n_rb, uint8_t *payload);
int sysinfo_pack(const struct sysinfo *s, size_t n_rb, uint8_t *payload);

/* 0, or -EBADMSG for contents no sender makes (a false alarm of the CRC). device comes from the address. */
int dci_unpack(const uint8_t *payload, size_t n_rb, uint8_t device, struct dci *d);
int sysinfo_unpack(const uint8_t *payload, size_t n_rb, struct sysinfo *s);

#endif
