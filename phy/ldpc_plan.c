#include "phy/ldpc_plan.h"

#include <string.h>

enum { LATE_ROWS = 7 }; /* from so many rows on the core comes late */

static bool all_zero(const int8_t *x, size_t n)
{
	return x[0] == 0 && memcmp(x, x + 1, n - 1) == 0;
}

/* The core begins with the row that has one punctured column, not two, so that the others have something to go by; after
 * it come the sparse rows from the last one on. That takes a twentieth fewer iterations than from the first row to the
 * last. */
struct ldpc_choice ldpc_choose_rows(const struct ldpc_code *code, const int8_t *llr)
{
	enum { RUN = 8 }; /* columns looked through in one go: at high rates most are empty */
	const struct ldpc_graph *g = code->graph;
	struct ldpc_choice c = { .graph = g, .z = code->z, .n_rows = LDPC_CORE_ROWS, .rows = { 1, 3, 0, 2 } };

	for (uint8_t row = g->n_rows; row > LDPC_CORE_ROWS;) {
		uint8_t n = row - LDPC_CORE_ROWS < RUN ? (uint8_t)(row - LDPC_CORE_ROWS) : RUN;
		if (all_zero(llr + (size_t)(g->n_info + row - n) * code->z, n * code->z)) {
			row = (uint8_t)(row - n);
			continue;
		}
		for (uint8_t end = (uint8_t)(row - n); row > end; row--)
			if (!all_zero(llr + (size_t)(g->n_info + row - 1) * code->z, code->z))
				c.rows[c.n_rows++] = row - 1;
	}
	return c;
}

bool ldpc_same_choice(const struct ldpc_choice *a, const struct ldpc_choice *b)
{
	return a->graph == b->graph && a->z == b->z && a->n_rows == b->n_rows && !memcmp(a->rows, b->rows, a->n_rows);
}

/* Edges of the row but for the one to its own parity column, which is its last. */
static size_t inner_edges(const struct ldpc_graph *g, size_t row)
{
	return g->row_start[row + 1] - g->row_start[row] - (row >= LDPC_CORE_ROWS);
}

static void set_row(struct ldpc_room *room, struct ldpc_plan *p, struct ldpc_row *r, size_t row)
{
	size_t first = p->choice.graph->row_start[row];

	*r = (struct ldpc_row){ .n_edges = inner_edges(p->choice.graph, row),
		                .stand = (const uint16_t(*)[LDPC_PLACES])p->stand + first };
	for (size_t i = 0; i < 2; i++) {
		r->from[i] = (const uint16_t(*)[LDPC_PLACES])p->from[i] + first;
		r->to[i] = p->to[i] + first;
		r->home[i] = p->home[i] + first;
	}
	r->message = room->message + first * LDPC_Z_MAX;
	if (row >= LDPC_CORE_ROWS) {
		r->parity = room->parity[row - LDPC_CORE_ROWS];
		r->parity_post = room->parity_post[row - LDPC_CORE_ROWS];
	}
}

/* Rows, and how columns stand between iterations: turned by the shift of the row that wrote them last. */
static void set_rows(struct ldpc_room *room, struct ldpc_plan *p, const struct ldpc_code *code)
{
	const struct ldpc_graph *g = code->graph;

	memset(p->turn, 0, sizeof p->turn);
	memset(p->odd, 0, sizeof p->odd);
	for (size_t r = 0; r < p->choice.n_rows; r++) {
		size_t row = p->choice.rows[r], first = g->row_start[row], n = inner_edges(g, row);
		set_row(room, p, &p->row[r], row);
		for (size_t e = first; e < first + n; e++) {
			p->turn[g->edges[e].col] = code->shift[e];
			p->odd[g->edges[e].col] ^= true;
		}
	}
}

static uint16_t distance(uint16_t shift, uint16_t turn, size_t z)
{
	return (uint16_t)(shift >= turn ? shift - turn : shift + (uint16_t)z - turn);
}

/* Where lanes 0, LDPC_STEP .. of a row are, the first of which is in this place of a ring; beyond z lanes nobody looks. */
static void set_places(uint16_t *places, uint16_t ring, uint16_t first, uint16_t z)
{
	for (uint16_t i = 0; i < LDPC_PLACES; i++) {
		uint16_t x = (uint16_t)(first + i * LDPC_STEP);
		places[i] = (uint16_t)(ring + (x >= z ? x - z : x));
	}
}

/* The tables of even (0) or odd (1) iterations. */
static void set_edges(struct ldpc_plan *p, const struct ldpc_code *code, unsigned parity)
{
	const struct ldpc_graph *g = code->graph;
	uint16_t turn[LDPC_CORE_COLS];
	bool other[LDPC_CORE_COLS];

	memcpy(turn, p->turn, sizeof turn);
	for (size_t col = 0; col < LDPC_CORE_COLS; col++)
		other[col] = parity && p->odd[col];
	for (size_t r = 0; r < p->choice.n_rows; r++) {
		size_t row = p->choice.rows[r], first = g->row_start[row], n = inner_edges(g, row);
		if (!parity && r == (p->core_from ? LDPC_CORE_ROWS : 0)) {
			memcpy(p->first_turn, turn, sizeof turn);
			memcpy(p->first_other, other, sizeof other);
		}
		for (size_t e = first; e < first + n; e++) {
			size_t col = g->edges[e].col;
			uint16_t at = distance(code->shift[e], turn[col], code->z);
			set_places(p->from[parity][e], ldpc_ring_at(col, other[col]), at, (uint16_t)code->z);
			p->to[parity][e] = ldpc_ring_at(col, !other[col]);
			p->home[parity][e] = ldpc_ring_at(col, parity && p->odd[col]);
			set_places(p->stand[e], 0, distance(code->shift[e], p->turn[col], code->z), (uint16_t)code->z);
			turn[col] = code->shift[e];
			other[col] = !other[col];
		}
	}
}

void ldpc_plan_set(struct ldpc_plan *p, const struct ldpc_choice *choice, const struct ldpc_code *code,
                   struct ldpc_room *room)
{
	p->choice = *choice;
	p->core_from = choice->n_rows >= LATE_ROWS;
	set_rows(room, p, code);
	set_edges(p, code, 0);
	set_edges(p, code, 1);
}
