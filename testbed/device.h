/* device.h - a device node: a state machine driven once a slot, from cold start to serving experts.
 *
 *     struct device *d = device_create(&params, err, sizeof err);
 *     for (;;) {
 *             radio_recv(radio, rx, slot_len, device_next_rx(d));
 *             struct device_tx tx;
 *             device_slot(d, rx, &tx);                     // looks at the samples, says what to send and when
 *             if (tx.send)
 *                     radio_send(radio, tx.samples, slot_len, tx.t_samples);
 *     }
 *
 * What a device knows when it starts: its number, its experts, the numerology, the cell's number and the carriers.
 * Timing, carrier offset, path loss and slot number it finds out. It asks neither what time it is nor whether the
 * radio is real: its clock is the sample count of its radio, and its next slot lies where its tracker puts it.
 *
 *     search     looks for the sync sequence
 *     listen     follows a cell; waits for system information
 *     access     sends its preamble in access slots until the base station answers, with its timing advance; nothing else
 *     connected  sends control, sounding and granted data; has said hello, waits for the welcome
 *     attached   serves expert calls
 *     refused    the base station takes no device with this model or version: silent for good
 *
 * Pilots or system information gone for as long as phy/track.h allows lead back to search, from anywhere but refused.
 * Connected and not welcomed for welcome_slots, or attached and not addressed for lost_after_slots, leads back to
 * access; so does a timing advance of which no command was heard for lost_after_slots. Without a valid one a device
 * sends its preamble and nothing else: it would arrive in its neighbours' symbols.
 *
 * Delays and the round trip, which is the number of HARQ processes, come with system information.
 *
 * Hidden states may come by multicast. A call that refers to some that are not all there waits, and those behind it; if
 * nothing more of them comes for long, it is answered so and comes whole.
 *
 * Buffer status is given ahead: from report to answering grant is a whole round trip, so a result is announced as soon as
 * the device's profile says that it will be ready by then. If it is late, the grant carries nothing of it and the
 * report is repeated.
 */
#ifndef TESTBED_DEVICE_H
#define TESTBED_DEVICE_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phy/csi.h"
#include "phy/dl.h"
#include "phy/layout.h"
#include "phy/ul.h"
#include "testbed/arq.h"
#include "testbed/compute.h"
#include "testbed/message.h"
#include "testbed/worker.h"

enum device_state {
	DEVICE_SEARCH,
	DEVICE_LISTEN,
	DEVICE_ACCESS,
	DEVICE_CONNECTED,
	DEVICE_ATTACHED,
	DEVICE_REFUSED,
	DEVICE_STATES
};

struct device_params {
	const struct layout *layout; /* outlives the device, as does the model */
	uint16_t cell_id;
	uint8_t device;
	double dl_hz, ul_hz;
	float tx_full_scale_dbm, rx_full_scale_dbm; /* of its radio */
	float tx_max_dbm;
	unsigned tx_ahead; /* slots between the one received and the earliest one that it can send then; 2 .. 15 */
	const struct moe_model *model; /* the experts it holds */
	struct compute_profile profile;
	uint64_t seed;
	size_t call_rows_max;
	enum moe_mode mode; /* of its experts' arithmetic */
	bool real_time;     /* which takes what it takes, on a thread (worker.h) */
	unsigned lost_after_slots, welcome_slots;
};

struct device_tx {
	bool send;
	uint64_t t_samples;           /* own clock */
	const float complex *samples; /* slot_len; valid until the next device_slot */
};

/* How an uplink slot was sent, for tests and logs: its samples were turned by exp(j (nco_rad + 2 pi nco_hz n /
 * rate)), n = 0 at its first one. */
struct device_sent {
	uint64_t slot;
	uint64_t t_samples; /* own clock */
	double nco_rad, nco_hz;
	float re_amplitude; /* that a control or sounding RE stands for: its boost taken off */
	int advance_units;  /* timing advance in force, 0 for a preamble */
};

struct device_stats {
	uint64_t slots[DEVICE_STATES];
	uint64_t transitions[DEVICE_STATES]; /* times each state was entered */
	uint64_t non_finite;                 /* slots refused */
	uint64_t dl_grants, ul_grants;       /* decoded */
	uint64_t dl_blocks_ok, dl_blocks_bad, dl_blocks_repeated;
	uint64_t multicast_ok, multicast_bad, multicast_repeated; /* the same of blocks for several devices */
	uint64_t ul_blocks, ul_blocks_repeated;
	uint64_t ul_blocks_unknown;      /* repetitions asked for of what was never sent */
	uint64_t commands;               /* answers left out */
	uint64_t messages, messages_bad; /* bad: damaged, of another version, or not for this state */
	uint64_t clipped;                /* uplink samples at full scale */
};

struct device;

/* NULL with errno and one line in err. */
struct device *device_create(const struct device_params *p, char *err, size_t err_len);
void device_destroy(struct device *d); /* NULL is fine */

/* Own clock at the first sample of the next slot_len samples it wants. */
uint64_t device_next_rx(const struct device *d);

/* samples: slot_len, from device_next_rx. 0, or -EINVAL if a sample is not finite: the slot counts as lost. */
int device_slot(struct device *d, const float complex *samples, struct device_tx *tx);

/* For trials of what the base station makes of it: computing takes so many times as long, and channel reports are so far off
 * (1 and 0 dB: none of it). */
void device_misbehave(struct device *d, double slowness, double report_offset_db);

/* What the next slots' CSI is stamped with (phy/csi.h): samples are scaled to one gain by who hands them over. */
void device_set_rx_gain(struct device *d, float rx_gain_db);

enum device_state device_state(const struct device *d);
const char *device_state_name(enum device_state s);
/* CSI of the slot last seen while following a cell; NULL if that slot gave none. For logs. */
const struct csi *device_csi(const struct device *d);
/* NULL if nothing was sent in that uplink slot, or it is long ago. */
const struct device_sent *device_sent(const struct device *d, uint64_t ul_slot);
bool device_advance(const struct device *d, int *units); /* false: no valid timing advance */
int device_power_correction_db(const struct device *d);
float device_path_loss_db(const struct device *d);
double device_cfo_hz(const struct device *d);
struct device_stats device_stats(const struct device *d);
struct arq_stats device_arq_stats(const struct device *d);
struct worker_stats device_worker_stats(const struct device *d);

#endif
