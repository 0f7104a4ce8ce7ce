/* states.h - hidden states that come by multicast: what a device has heard of a set of them.
 *
 * A set is the states of a layer's rows one behind the other, as the codec writes them, sent once to all the devices that
 * need them, in segments of any size and order. Nothing is acknowledged here: the base station sends again what a
 * device did not get, as far as it knows. Calls refer to the rows (testbed/call.h).
 *
 *     at += states_write_segment(set, offset, bytes, n, tb + at);           the base station: a transport block, zeroed before
 *
 *     states_take(s, tb, n_tb)                                              the device: of one that passed its CRC
 *     if (states_have(s, set, offset, n))
 *             ... states_at(s, offset) ...
 *
 * A segment: u32 set, u32 offset, u16 length, bytes, network byte order; a block holds one or more, then zeros. Sets count up; a
 * segment of a later one begins anew, one of an earlier one is ignored.
 */
#ifndef TESTBED_STATES_H
#define TESTBED_STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STATES_HEADER = 10, STATES_SEGMENT_MAX = UINT16_MAX };

struct states;

/* n_max: bytes of a set. NULL with errno ENOMEM. */
struct states *states_create(size_t n_max);
void states_destroy(struct states *s); /* NULL is fine */
void states_reset(struct states *s);   /* nothing was heard, any set is new */

/* n: 1 .. STATES_SEGMENT_MAX. Writes and returns STATES_HEADER + n bytes. */
size_t states_write_segment(uint32_t set, uint32_t offset, const uint8_t *bytes, size_t n, uint8_t *out);

/* Takes in a block. 0; -EBADMSG: a size does not fit, nothing is taken from there on; -EALREADY: of an earlier set. */
int states_take(struct states *s, const uint8_t *tb, size_t n_tb);

/* Were these n bytes of that set heard? */
bool states_have(const struct states *s, uint32_t set, size_t offset, size_t n);
const uint8_t *states_at(const struct states *s, size_t offset);

#endif
