#include "testbed/plan.h"

#include <string.h>

/* A stable sort by device, without memory of its own: devices are few. */
static void sort_by_device(struct place *places, struct place *scratch, size_t n)
{
	size_t n_sorted = 0;
	memcpy(scratch, places, n * sizeof *places);
	for (unsigned device = 0; n_sorted < n; device++)
		for (size_t i = 0; i < n; i++)
			if (scratch[i].device == device)
				places[n_sorted++] = scratch[i];
}

size_t plan_calls(struct place *places, struct place *scratch, size_t n, size_t rows_max, struct plan_call *calls)
{
	size_t n_calls = 0;
	struct plan_call *c = NULL;
	sort_by_device(places, scratch, n);
	for (size_t i = 0; i < n; i++) {
		struct place *p = &places[i];
		p->first_of_row = !c || c->device != p->device || p[-1].row != p->row;
		if (!c || c->device != p->device || (p->first_of_row && c->n_rows == rows_max)) {
			c = &calls[n_calls++];
			*c = (struct plan_call){ .device = p->device, .first = i };
		}
		c->n_choices++;
		c->n_rows += p->first_of_row;
	}
	return n_calls;
}
