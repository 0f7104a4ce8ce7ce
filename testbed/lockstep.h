/* lockstep.h - base station, devices and the medium between them in one process, on virtual time.
 *
 *     struct lockstep *l;
 *     lockstep_create(&config, &l, err, sizeof err);
 *     while (...)
 *             lockstep_slot(l);                                    one slot of the base station's clock
 *     lockstep_destroy(l);
 *
 * Nothing passes between the nodes but samples, through the radio interface of each. What a slot does: every device
 * takes the slots that are complete on its own clock by now, and sends; then the base station takes its uplink slot
 * and sends the downlink slot radio.tx_ahead_slots later. Devices, and most of what the base station receives, are worked on by `threads` threads; the outcome is the same
 * for any number.
 *
 * The scenario's mean SNR of a device, with the powers and noise figures, gives its path loss; where its clock starts
 * is drawn from the seed.
 */
#ifndef TESTBED_LOCKSTEP_H
#define TESTBED_LOCKSTEP_H

#include <stdint.h>

#include "radio/ether.h"
#include "testbed/bs.h"
#include "testbed/config.h"
#include "testbed/device.h"
#include "testbed/journal.h"
#include "testbed/placement.h"

struct lockstep;

/* Opens the model, makes all nodes. 0 and *out, or negative errno and one line in err. config must outlive the
 * object. */
int lockstep_create(const struct config *config, struct lockstep **out, char *err, size_t err_len);
void lockstep_destroy(struct lockstep *l); /* NULL is fine */

/* CSI goes there from now on, as config.csi_log says; NULL for none. */
void lockstep_set_journal(struct lockstep *l, struct journal *journal);

/* What config.record asks for goes there; without a folder nothing is recorded. */
void lockstep_set_recording(struct lockstep *l, const char *dir);
int lockstep_end_recording(struct lockstep *l); /* 0 or the first error of its files */

/* 0, or the error of the journal or a recording: the run cannot go on without its log. */
int lockstep_slot(struct lockstep *l);

uint64_t lockstep_n_slots(const struct lockstep *l); /* done so far */
double lockstep_time_s(const struct lockstep *l);

struct bs *lockstep_bs(struct lockstep *l);
struct device *lockstep_device(struct lockstep *l, size_t k);
size_t lockstep_n_devices(const struct lockstep *l);
struct ether *lockstep_ether(struct lockstep *l); /* for tests and reports: truth */
const struct layout *lockstep_layout(const struct lockstep *l);
const struct moe_model *lockstep_model(const struct lockstep *l); /* base half */
const struct placement *lockstep_placement(const struct lockstep *l);

#endif
