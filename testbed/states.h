/* states.h - hidden states that come by multicast: what a device has heard of a set of them.
 *
 * A set is the states of a layer's rows one behind the other, as the codec writes them, sent once to all the devices that
 * need them, in segments of any size and order. Nothing is acknowledged here: the base station sends again what a
 * device did not get, as far as it knows. Calls refer to the rows (testbed/call.h).
 *
 *     n = states_write_segment(set, offset, bytes, n_bytes, tb, n_tb);      the base station: a transport block
 *
 *     states_take(s, tb, n_tb)                                              the device: of one that passed its CRC
 *     if (states_have(s, set, offset, n))
 *             ... states_at(s, offset) ...
 *
 * A segment: u32 set, u32 offset, u16 length, bytes, network byte order; zeros behind it. Sets count up; a segment of a later
 * one begins anew, one of an earlier one is ignored.
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

/* tb: n_tb bytes, STATES_HEADER + n at least; the rest is zeroed. n: 1 .. STATES_SEGMENT_MAX. */
void states_write_segment(uint32_t set, uint32_t offset, const uint8_t *bytes, size_t n, uint8_t *tb, size_t n_tb);

/* 0; -EBADMSG: sizes do not fit, nothing is taken; -EALREADY: of an earlier set. */
int states_take(struct states *s, const uint8_t *tb, size_t n_tb);

/* Were these n bytes of that set heard? */
bool states_have(const struct states *s, uint32_t set, size_t offset, size_t n);
const uint8_t *states_at(const struct states *s, size_t offset);

#endif
