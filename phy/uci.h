/* uci.h - uplink control information: acknowledgements, buffer status and one slow value, as bits.
 *
 * What changes slowly takes turns: which value a slot carries follows from the slot's number, so that no bit says it.
 *
 *     struct uci u = { .ack = UCI_ACK, .buffer_bytes = 300, .turn = uci_turn(slot, n_rb) };
 *     u.value_db = what u.turn.topic asks for;
 *
 * Fields are in engineering units; packing quantises them, unpacking gives the quantised values. Payloads are packed
 * bytes, most significant bit first. Coding and mapping: phy/cw.h, phy/ul_control.h.
 */
#ifndef PHY_UCI_H
#define PHY_UCI_H

#include <stddef.h>
#include <stdint.h>

enum uci_ack { UCI_ACK_NONE = 0, UCI_ACK = 1, UCI_NACK = 2 };

/* What value_db is. In steps of 0.5 dB. */
enum uci_topic {
	UCI_SNR_BAND,  /* downlink SNR, mean over the band; -20 .. 43.5 dB */
	UCI_SNR_GROUP, /* that of the RBs of one group (rb_group_size of phy/dci.h) */
	UCI_HEADROOM,  /* power left over that of the full band (phy/power.h); -21 .. 42.5 dB */
};

enum {
	UCI_BITS = 4 + 5 + 7,
	UCI_BYTES = (UCI_BITS + 7) / 8,
	UCI_BUFFER_MAX = 1 << 20, /* bytes; more is reported as this */
	UCI_QPSK_RB = 10          /* with fewer RBs combs are too short for QPSK: 16QAM there */
};

struct uci_turn {
	enum uci_topic topic;
	uint8_t group; /* UCI_SNR_GROUP: 0 .. rb_groups(n_rb) - 1 */
};

struct uci {
	enum uci_ack ack; /* of the block granted to this device in slot n - ack_delay; NONE: no grant was seen,
	                             * or one for a block whose beginning was missed */
	enum uci_ack multicast_ack; /* the same for a block granted to several */
	uint32_t buffer_bytes;      /* waiting to be sent; unpacked: upper end of the reported step, at most 1 MiB */
	struct uci_turn turn;       /* of the slot */
	float value_db;
};

/* Whose turn it is in an uplink slot. Slots 0 and 1 of every four carry the SNR of the band, the others in turn the
 * headroom and the groups: an odd number of topics, so that a device that sends in every second slot comes to all. */
struct uci_turn uci_turn(uint64_t slot, size_t n_rb);

/* payload: UCI_BYTES. 0, or -EINVAL for a value that is not finite or an unknown ack or topic. */
int uci_pack(const struct uci *u, uint8_t *payload);
/* turn: of the slot it came in. 0, or -EBADMSG for contents no sender makes. */
int uci_unpack(const uint8_t *payload, struct uci_turn turn, struct uci *u);

/* 5-bit buffer status: code 0 means empty; code c > 0 stands for up to uci_bsr_bytes(c) bytes, 16 .. 1 MiB in equal
 * ratios. uci_bsr_code rounds up. */
uint8_t uci_bsr_code(uint32_t bytes);
uint32_t uci_bsr_bytes(uint8_t code); /* code: 0 .. 31 */

#endif
