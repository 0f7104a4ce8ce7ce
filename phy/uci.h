/* uci.h - uplink control information: acknowledgement, buffer status, power headroom and one CSI report, as bits.
 *
 * Fields are in engineering units; packing quantises them, unpacking gives the quantised values. Payloads are packed
 * bytes, most significant bit first. Coding and mapping: phy/cw.h, phy/ul.h.
 */
#ifndef PHY_UCI_H
#define PHY_UCI_H

#include <stddef.h>
#include <stdint.h>

enum uci_ack { UCI_ACK_NONE = 0, UCI_ACK = 1, UCI_NACK = 2 };

enum {
	UCI_BITS = 2 + 5 + 5 + 7 + 7,
	UCI_BYTES = (UCI_BITS + 7) / 8,
	UCI_REPORT_WIDEBAND = -1,
	UCI_BUFFER_MAX = 1 << 20 /* bytes; more is reported as this */
};

struct uci {
	enum uci_ack ack;      /* of the downlink grant of slot n - 2; NONE: no grant was seen there */
	uint32_t buffer_bytes; /* waiting to be sent; unpacked: upper end of the reported step, at most 1 MiB */
	float headroom_db;     /* of the full band (phy/power.h); steps of 1 dB, -21 .. 10 */
	int16_t report_rb;     /* which RB the report is about, 0 .. n_rb - 1, or UCI_REPORT_WIDEBAND */
	float report_snr_db;   /* downlink SNR; steps of 0.5 dB, -20 .. 43.5 */
};

/* payload: UCI_BYTES. 0, or -EINVAL for a field that is not finite, an unknown ack or a RB above 125. */
int uci_pack(const struct uci *u, uint8_t *payload);
/* 0, or -EBADMSG for contents no sender makes. */
int uci_unpack(const uint8_t *payload, struct uci *u);

/* 5-bit buffer status: code 0 means empty; code c > 0 stands for up to uci_bsr_bytes(c) bytes, 16 .. 1 MiB in equal
 * ratios. uci_bsr_code rounds up. */
uint8_t uci_bsr_code(uint32_t bytes);
uint32_t uci_bsr_bytes(uint8_t code); /* code: 0 .. 31 */

#endif
