/* plan.h - the experts that a layer's rows want, dealt into calls: one a device, or several where a call holds so many rows.
 *
 *     places[n++] = (struct place){ .row = row, .choice = choice, .device = d };     row by row, in router order
 *     n_calls = plan_calls(places, scratch, n, rows_max, calls);
 *
 * Afterwards the places of a call follow each other, and in it those of a row, in router order: the hidden state of the row
 * travels with the first of them.
 */
#ifndef TESTBED_PLAN_H
#define TESTBED_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "moe/bs_half.h"

/* An expert output that is wanted: which goes where. */
struct place {
	uint32_t row;
	struct moe_choice choice;
	uint8_t device;
	bool first_of_row; /* in its call */
	bool given_up;     /* no longer wanted */
	bool replaced;     /* served by another expert than was chosen first */
};

struct plan_call {
	uint8_t device;
	size_t first, n_choices; /* its places */
	size_t n_rows;
};

/* Deals places[0 .. n) in the order they have, device by device; scratch: room for n. calls: room for n. rows_max: rows of
 * a call, 1 or more. Returns how many calls; their places count from places. */
size_t plan_calls(struct place *places, struct place *scratch, size_t n, size_t rows_max, struct plan_call *calls);

#endif
