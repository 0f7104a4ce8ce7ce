/* tape.h - recordings of all radios of a run, switched on and off by its clock as the configuration says (record.*).
 *
 *     struct tape *tape = tape_create(&config.record, n_nodes);
 *     radio = tape_radio(tape, 3, radio);                  // to be used in its place; the same one if nothing is recorded
 *     tape_set_folder(tape, "runs/x");                     // nothing is recorded before
 *     tape_turn(tape, now_s);                              // before each slot
 *     int rc = tape_end(tape);                             // the first error of all files
 *     tape_destroy(tape);
 *
 * Files: bs-received, bs-sent, device-0-received, ... (.sigmf-meta, .sigmf-data). Node 0 is the base station.
 */
#ifndef TESTBED_TAPE_H
#define TESTBED_TAPE_H

#include <stddef.h>

#include "radio/radio.h"
#include "testbed/config.h"

struct tape;

/* NULL with errno ENOMEM. */
struct tape *tape_create(const struct config_record *config, size_t n_nodes);

/* NULL with errno ENOMEM. inner outlives the tape. */
struct radio *tape_radio(struct tape *tape, size_t node, struct radio *inner);

void tape_set_folder(struct tape *tape, const char *dir);

/* 0, or negative errno of a file that could not be opened or written. */
int tape_turn(struct tape *tape, double now_s);

/* Ends the recording for good: 0 or the first error of its files. */
int tape_end(struct tape *tape);

void tape_destroy(struct tape *tape); /* ends it, too; NULL is fine */

#endif
