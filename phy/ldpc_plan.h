/* ldpc_plan.h - which rows of a code take part in decoding a block, in which order, and where each reads and writes the
 * rings of phy/ldpc_kernel.h. Internal to phy/ldpc_*.c.
 *
 *     struct ldpc_choice c = ldpc_choose_rows(code, llr);
 *     if (!ldpc_same_choice(&c, &plan->choice))
 *             ldpc_plan_set(plan, &c, code, room);
 */
#ifndef PHY_LDPC_PLAN_H
#define PHY_LDPC_PLAN_H

#include "phy/ldpc_kernel.h"

enum { LDPC_CORE_COLS = 22 + LDPC_CORE_ROWS, LDPC_EXTENSION_ROWS = LDPC_ROWS_MAX - LDPC_CORE_ROWS };

struct ldpc_choice {
	const struct ldpc_graph *graph;
	size_t z, n_rows;
	uint8_t rows[LDPC_ROWS_MAX]; /* in order, those of the core first */
};

struct ldpc_room { /* what rows read and write */
	_Alignas(64) int8_t ring[2 * LDPC_CORE_COLS * LDPC_RING];
	int8_t parity[LDPC_EXTENSION_ROWS][LDPC_Z_MAX], parity_post[LDPC_EXTENSION_ROWS][LDPC_Z_MAX];
	int8_t message[LDPC_EDGES_MAX * LDPC_Z_MAX];
};

struct ldpc_plan {
	struct ldpc_choice choice;
	struct ldpc_row row[LDPC_ROWS_MAX]; /* in that order; the tables below are by edges of the graph */
	uint16_t from[2][LDPC_EDGES_MAX][LDPC_PLACES], to[2][LDPC_EDGES_MAX];
	uint16_t home[2][LDPC_EDGES_MAX], stand[LDPC_EDGES_MAX][LDPC_PLACES];
	uint16_t turn[LDPC_CORE_COLS]; /* between iterations, the element at the start of the column's ring */
	bool odd[LDPC_CORE_COLS];      /* an odd number of edges */
	/* The first iteration with the core: 1 with enough other rows, as next to nothing is known at first to rows of 19
	 * edges. To begin with columns stand as the core would have left them. */
	unsigned core_from;
	uint16_t first_turn[LDPC_CORE_COLS];
	bool first_other[LDPC_CORE_COLS]; /* in their second ring */
};

/* All but those whose own parity column was not received at all. llr: n_cols * z. */
struct ldpc_choice ldpc_choose_rows(const struct ldpc_code *code, const int8_t *llr);
bool ldpc_same_choice(const struct ldpc_choice *a, const struct ldpc_choice *b);

/* room: borrowed for as long as the plan is in use. */
void ldpc_plan_set(struct ldpc_plan *p, const struct ldpc_choice *choice, const struct ldpc_code *code,
                   struct ldpc_room *room);

/* The beginning of one of a column's two rings. */
static inline uint16_t ldpc_ring_at(size_t col, bool other)
{
	return (uint16_t)((col + (other ? LDPC_CORE_COLS : 0)) * LDPC_RING);
}

#endif
