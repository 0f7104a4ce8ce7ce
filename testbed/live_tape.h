/* live_tape.h - recordings of a radio that a slot loop uses, switched on and off from outside the loop.
 *
 *     struct live_tape *t = live_tape_create(&config.record, "runs/x", "device-2", radio, err, sizeof err);
 *     ... live_tape_radio(t) in the radio's place ...
 *     live_tape_turn(t);                            the slot loop, once a slot: neither opens nor closes anything
 *     live_tape_switch(t, true);                    the process's own thread, whenever; files NAME-received-0, NAME-sent-0, then -1, ...
 *     live_tape_tend(t);                            the same, now and then: closes what the loop has let go of
 *     int rc = live_tape_destroy(t);                after the loop: the first error of all files
 *
 * What the disk cannot take in time is dropped and counted, as in a journal of a slot loop.
 */
#ifndef TESTBED_LIVE_TAPE_H
#define TESTBED_LIVE_TAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "radio/radio.h"
#include "testbed/config.h"

struct live_tape;

/* record.streams says what is recorded: off, nothing ever is. radio outlives it. NULL with errno. */
struct live_tape *live_tape_create(const struct config_record *config, const char *dir, const char *name,
                                   struct radio *radio);
int live_tape_destroy(struct live_tape *t); /* NULL is fine */

struct radio *live_tape_radio(struct live_tape *t);
void live_tape_turn(struct live_tape *t);

/* 0; negative errno of a file that could not be opened; -EAGAIN: the loop has not followed yet. */
int live_tape_switch(struct live_tape *t, bool on);
void live_tape_tend(struct live_tape *t);

#endif
