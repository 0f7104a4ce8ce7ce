/* phy_control.h - control channels through white noise, many seeded slots: what is missed, what is taken for something
 * that was not sent, and what the search costs.
 *
 *     struct phy_control *c = phy_control_create(&num, seed, err, sizeof err);
 *     struct phy_control_counts n;
 *     phy_control_dl(c, &(struct phy_control_dl_case){ DCI_SHORT, 4, -2.0, false }, 2000, &n);
 *     phy_control_ul(c, &(struct phy_control_ul_case){ UCI_NACK, -4.6, false, false }, 2000, &n);
 *
 * The SNR is that of a data RE at full-band power over the noise of a subcarrier. Every slot stands alone but for what
 * the receiver learns from slot to slot; its first PHY_CONTROL_WARMUP slots after a change of SNR are not counted.
 */
#ifndef TESTBED_PHY_CONTROL_H
#define TESTBED_PHY_CONTROL_H

#include "phy/dci.h"
#include "phy/layout.h"
#include "phy/uci.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PHY_CONTROL_WARMUP = 100 };

struct phy_control;

/* num: copied. NULL with one line of reason in err. */
struct phy_control *phy_control_create(const struct numerology *num, uint64_t seed, char *err, size_t err_len);
void phy_control_destroy(struct phy_control *c); /* NULL is fine */
const struct layout *phy_control_layout(const struct phy_control *c);

struct phy_control_counts {
	uint64_t trials;
	uint64_t missed;                     /* sent and not read */
	uint64_t wrong;                      /* something else was read */
	uint64_t acks;                       /* an acknowledgement was read, of either block */
	uint64_t candidates, candidates_max; /* decodings: sum, most in a slot */
	uint64_t strangers, cut_short;       /* as in struct dl_rx_stats */
};

struct phy_control_dl_case {
	enum dci_size size; /* short: a downlink grant or a command; long: both grants */
	unsigned level;     /* of the message; 0: none is sent to the device */
	double snr_db;
	bool alone; /* else the rest of the region is full of messages to others, level 1 */
	bool known; /* the receiver is told channel and noise */
};

/* Adds nothing to *n: it is written. 0, or -EINVAL for a level the layout does not have. */
int phy_control_dl(struct phy_control *c, const struct phy_control_dl_case *what, size_t trials,
                   struct phy_control_counts *n);

struct phy_control_ul_case {
	enum uci_ack ack; /* of both blocks */
	double snr_db;
	bool silent; /* the device sends nothing; what the receiver reads is counted as wrong */
	bool known;
};

/* 0, or -EINVAL when the layout's combs cannot carry the fields. */
int phy_control_ul(struct phy_control *c, const struct phy_control_ul_case *what, size_t trials,
                   struct phy_control_counts *n);

#endif
