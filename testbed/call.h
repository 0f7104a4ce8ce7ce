/* call.h - what an expert call asks for: which rows go to which experts of a device.
 *
 * A hidden state travels once, however many experts of the device it is for. The payload of a call is a table and the
 * hidden states behind it, network byte order:
 *
 *     for each row   u8 n, 1 .. 16, + 128 if heard; if heard u16 number; n times u16 expert, in router order; if
 *                    combined n times f32 weight
 *     for each row   its hidden state, as the codec writes it, but for those heard: they are in the multicast set that the
 *                    message names (testbed/states.h), the one of that number
 *
 *     size_t n = call_encode(choices, n_choices, n_rows, combined, out);          the table
 *     ssize_t n = call_decode(in, n_in, &message, choices, choices_max);
 *
 * The result has one row a choice in the order of the table, or, combined, one a row: the sum of weight times output.
 */
#ifndef TESTBED_CALL_H
#define TESTBED_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "testbed/message.h"

enum { CALL_ROW_EXPERTS_MAX = 16, CALL_HEARD_BYTES = 2 };

/* One output that is wanted: of an expert on a row. Choices of a row follow each other, rows count up from 0. */
struct call_choice {
	uint16_t row, expert;
	float weight;
	bool heard; /* the row's state comes by multicast */
	uint16_t number;
};

/* Bytes of the table; CALL_HEARD_BYTES more for each row heard. */
size_t call_table_bytes(size_t n_rows, size_t n_choices, bool combined);

/* Writes the table and returns its size. */
size_t call_encode(const struct call_choice *choices, size_t n_choices, size_t n_rows, bool combined, uint8_t *out);

/* Reads m->choices choices of m->rows rows from the front of in. Returns the size of the table, or -EBADMSG: cut off,
 * a row without or with too many experts, an expert twice in a row, a weight that is not finite, more than max choices. */
ssize_t call_decode(const uint8_t *in, size_t n, const struct message *m, struct call_choice *choices, size_t max);

#endif
