#include "phy/ldpc.h"

#include <errno.h>
#include <string.h>

int ldpc_lifting_set(size_t z)
{
	static const uint8_t odd_part[LDPC_SETS] = {
		1, 3, 5, 7, 9, 11, 13, 15
	}; /* z = a * 2^j: a of set i, 2 standing for 1 */

	if (z < 2 || z > LDPC_Z_MAX)
		return -EINVAL;
	while (z % 2 == 0)
		z /= 2;
	for (int set = 0; set < LDPC_SETS; set++)
		if (z == odd_part[set])
			return set;
	return -EINVAL;
}

size_t ldpc_lifting_size(size_t z_min)
{
	for (size_t z = z_min < 2 ? 2 : z_min; z <= LDPC_Z_MAX; z++)
		if (ldpc_lifting_set(z) >= 0)
			return z;
	return 0;
}

int ldpc_code_init(struct ldpc_code *code, const struct ldpc_graph *graph, size_t z)
{
	int set = ldpc_lifting_set(z);

	if (set < 0)
		return set;
	code->graph = graph;
	code->z = z;
	uint32_t inverse = (uint32_t)((1 << 24) / z + 1); /* V, z < 2^9: the quotient is exact, and no division */
	for (size_t e = 0; e < graph->row_start[graph->n_rows]; e++) {
		uint32_t v = graph->edges[e].shift[set];
		code->shift[e] = (uint16_t)(v - (v * inverse >> 24) * (uint32_t)z);
	}
	return 0;
}

/* Columns twice over, so that any turn of one can be read in a piece, by whole vectors. */
enum { LANES = 32, CORE_COLS = 22 + LDPC_CORE_ROWS };
typedef uint8_t vec __attribute__((vector_size(LANES)));

struct columns {
	uint8_t twice[CORE_COLS][2 * LDPC_Z_MAX + LANES];
};

static void put_column(struct columns *c, size_t col, const uint8_t *x, size_t z)
{
	memcpy(c->twice[col], x, z);
	memcpy(c->twice[col] + z, x, z);
	memset(c->twice[col] + 2 * z, 0, LANES);
}

/* sum: z checks of the row, rounded up to whole vectors: what the columns below col_end contribute. */
static void sum_row(const struct ldpc_code *code, const struct columns *c, size_t row, size_t col_end, uint8_t *sum)
{
	const struct ldpc_graph *g = code->graph;
	const struct ldpc_edge *edges = g->edges;
	size_t first = g->row_start[row], end = g->row_start[row + 1];

	while (end > first && edges[end - 1].col >= col_end)
		end--;
	for (size_t i = 0; i < code->z; i += LANES) {
		vec x, acc = { 0 };
		for (size_t e = first; e < end; e++) {
			memcpy(&x, c->twice[edges[e].col] + code->shift[e] + i, sizeof x);
			acc ^= x;
		}
		memcpy(sum + i, &acc, sizeof acc);
	}
}

/* The first parity column. In the sum of the four core rows every other parity column cancels, and of its own three
 * entries the two equal ones; the shift left over is the xor of the three. */
static void encode_first_parity(const struct ldpc_code *code, const struct columns *c, uint8_t *codeword)
{
	const struct ldpc_graph *g = code->graph;
	uint8_t sum[LDPC_Z_MAX] = { 0 }, part[LDPC_Z_MAX + LANES];
	size_t shift = 0;

	for (size_t row = 0; row < LDPC_CORE_ROWS; row++) {
		sum_row(code, c, row, g->n_info, part);
		for (size_t i = 0; i < code->z; i++)
			sum[i] ^= part[i];
		for (size_t e = g->row_start[row]; e < g->row_start[row + 1]; e++)
			if (g->edges[e].col == g->n_info)
				shift ^= code->shift[e];
	}
	uint8_t *p = codeword + g->n_info * code->z;
	memcpy(p + shift, sum, code->z - shift);
	memcpy(p, sum + (code->z - shift), shift);
}

void ldpc_encode(const struct ldpc_code *code, uint8_t *codeword, size_t n_rows)
{
	const struct ldpc_graph *g = code->graph;
	struct columns c;
	uint8_t sum[LDPC_Z_MAX + LANES];
	size_t z = code->z;

	for (size_t col = 0; col < g->n_info; col++)
		put_column(&c, col, codeword + col * z, z);
	encode_first_parity(code, &c, codeword);
	put_column(&c, g->n_info, codeword + g->n_info * z, z);
	/* Rows 0 .. 2 each give the next core column, rows from 4 on their own extension column; row 3 holds by then.
	 */
	for (size_t row = 0; row < n_rows; row++) {
		if (row == LDPC_CORE_ROWS - 1)
			continue;
		size_t col = g->n_info + row + (row < LDPC_CORE_ROWS);
		sum_row(code, &c, row, col, sum);
		memcpy(codeword + col * z, sum, z);
		if (row < LDPC_CORE_ROWS)
			put_column(&c, col, sum, z);
	}
}
