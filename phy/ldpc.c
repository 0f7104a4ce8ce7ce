#include "phy/ldpc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Lanes are checks of one row. They are worked on in whole groups of this many int16 (64 bytes); those past z hold
 * rubbish that reaches nothing. */
enum { GROUP = 32, DEGREE_MAX = 19, CORE_ROWS = 4, OFFSET = 3, MESSAGE_MAX = 127 };

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
	for (size_t e = 0; e < graph->row_start[graph->n_rows]; e++)
		code->shift[e] = (uint16_t)(graph->edges[e].shift[set] % z);
	return 0;
}

/* sum[i] ^= what the columns below col_end contribute to check i of the row. */
static void add_row(const struct ldpc_code *code, const uint8_t *codeword, size_t row, size_t col_end,
                    uint8_t *restrict sum)
{
	const struct ldpc_graph *g = code->graph;

	for (size_t e = g->row_start[row]; e < g->row_start[row + 1] && g->edges[e].col < col_end; e++) {
		const uint8_t *x = codeword + g->edges[e].col * code->z;
		size_t s = code->shift[e], straight = code->z - s;
		for (size_t i = 0; i < straight; i++)
			sum[i] ^= x[s + i];
		for (size_t i = 0; i < s; i++)
			sum[straight + i] ^= x[i];
	}
}

/* The first parity column. In the sum of the four core rows every other parity column cancels, and of its own three
 * entries the two equal ones; the shift left over is the xor of the three. */
static void encode_first_parity(const struct ldpc_code *code, uint8_t *codeword)
{
	const struct ldpc_graph *g = code->graph;
	uint8_t sum[LDPC_Z_MAX] = { 0 };
	size_t shift = 0;

	for (size_t row = 0; row < CORE_ROWS; row++) {
		add_row(code, codeword, row, g->n_info, sum);
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

	encode_first_parity(code, codeword);
	/* Rows 0 .. 2 each give the next core column, rows from 4 on their own extension column; row 3 holds by then.
	 */
	for (size_t row = 0; row < n_rows; row++) {
		if (row == CORE_ROWS - 1)
			continue;
		size_t col = g->n_info + row + (row < CORE_ROWS);
		uint8_t *parity = codeword + col * code->z;
		memset(parity, 0, code->z);
		add_row(code, codeword, row, col, parity);
	}
}

/* A column's posteriors are a ring of z values, of which GROUP + at[col] .. of post[col] holds z in a row: to read it
 * rotated by another shift, only the elements between the two shifts are copied. */
struct ldpc_decoder {
	int16_t post[LDPC_COLS_MAX][GROUP + 2 * LDPC_Z_MAX + GROUP];
	int16_t message[LDPC_EDGES_MAX][LDPC_Z_MAX];
	int16_t extrinsic[DEGREE_MAX][LDPC_Z_MAX];
	int16_t min1[LDPC_Z_MAX], min2[LDPC_Z_MAX], signs[LDPC_Z_MAX];
	int16_t least[LDPC_Z_MAX], second[LDPC_Z_MAX]; /* magnitudes of the row's messages */
	size_t at[LDPC_COLS_MAX];
	uint8_t rows[LDPC_ROWS_MAX]; /* that take part */
	size_t n_rows;
};

struct ldpc_decoder *ldpc_decoder_create(void)
{
	struct ldpc_decoder *d = NULL;
	int rc = posix_memalign((void **)&d, 64, sizeof *d);

	if (rc) {
		errno = rc;
		return NULL;
	}
	memset(d, 0, sizeof *d);
	return d;
}

void ldpc_decoder_destroy(struct ldpc_decoder *d)
{
	free(d);
}

/* One group; the places may overlap. */
static void copy_group(int16_t *to, const int16_t *from)
{
	int16_t group[GROUP];

	memcpy(group, from, sizeof group);
	memcpy(to, group, sizeof group);
}

/* The column rotated by shift: z values from the returned place on. Whole groups are copied, the surplus falls outside
 * the z values: behind them when the window moves up, before them when it moves down. */
static int16_t *rotate(struct ldpc_decoder *d, size_t col, size_t shift, size_t z)
{
	int16_t *p = d->post[col] + GROUP;
	size_t at = d->at[col];

	for (size_t i = at; i < shift; i += GROUP)
		copy_group(p + i + z, p + i);
	for (size_t i = 0; shift + i < at; i += GROUP)
		copy_group(p + at - i - GROUP, p + at - i + z - GROUP);
	d->at[col] = shift;
	return p + shift;
}

static bool all_zero(const int8_t *x, size_t n)
{
	int any = 0;

	for (size_t i = 0; i < n; i++)
		any |= x[i];
	return !any;
}

static void load(struct ldpc_decoder *d, const struct ldpc_code *code, const int8_t *llr)
{
	const struct ldpc_graph *g = code->graph;
	size_t z = code->z;

	d->n_rows = 0;
	for (size_t row = 0; row < g->n_rows; row++)
		if (row < CORE_ROWS || !all_zero(llr + (g->n_info + row) * z, z)) {
			d->rows[d->n_rows++] = (uint8_t)row;
			for (size_t e = g->row_start[row]; e < g->row_start[row + 1]; e++)
				memset(d->message[e], 0, z * sizeof d->message[e][0]);
		}
	for (size_t col = 0; col < g->n_cols; col++) {
		d->at[col] = 0;
		for (size_t i = 0; i < z; i++)
			d->post[col][GROUP + i] = llr[col * z + i];
	}
}

static int16_t magnitude(int16_t x)
{
	return (int16_t)(x < 0 ? -x : x);
}

static int16_t min(int16_t a, int16_t b)
{
	return a < b ? a : b;
}

static int16_t max(int16_t a, int16_t b)
{
	return a > b ? a : b;
}

struct edge_lanes { /* of one edge of the row at work */
	int16_t *post, *message, *extrinsic;
};

/* What the two edges' columns believe without this row, and of that the two smallest magnitudes and the product of
 * signs. */
static void gather_pair(struct ldpc_decoder *d, const struct edge_lanes *a, const struct edge_lanes *b, size_t n_groups)
{
	const int16_t *restrict post_a = a->post, *restrict post_b = b->post;
	const int16_t *restrict message_a = a->message, *restrict message_b = b->message;
	int16_t *restrict extrinsic_a = a->extrinsic, *restrict extrinsic_b = b->extrinsic;
	int16_t *restrict min1 = d->min1, *restrict min2 = d->min2, *restrict signs = d->signs;

#pragma omp simd
	for (size_t i = 0; i < n_groups * GROUP; i++) {
		int16_t xa = (int16_t)(post_a[i] - message_a[i]), xb = (int16_t)(post_b[i] - message_b[i]);
		int16_t low = min(magnitude(xa), magnitude(xb)), high = max(magnitude(xa), magnitude(xb));
		extrinsic_a[i] = xa;
		extrinsic_b[i] = xb;
		signs[i] = (int16_t)(signs[i] ^ xa ^ xb);
		min2[i] = min(max(min1[i], low), min(min2[i], high));
		min1[i] = min(min1[i], low);
	}
}

static void gather_one(struct ldpc_decoder *d, const struct edge_lanes *a, size_t n_groups)
{
	const int16_t *restrict post = a->post, *restrict message = a->message;
	int16_t *restrict extrinsic = a->extrinsic;
	int16_t *restrict min1 = d->min1, *restrict min2 = d->min2, *restrict signs = d->signs;

#pragma omp simd
	for (size_t i = 0; i < n_groups * GROUP; i++) {
		int16_t x = (int16_t)(post[i] - message[i]);
		extrinsic[i] = x;
		signs[i] = (int16_t)(signs[i] ^ x);
		min2[i] = min(max(min1[i], magnitude(x)), min2[i]);
		min1[i] = min(min1[i], magnitude(x));
	}
}

/* The new message is the smallest of the others' magnitudes, less the offset, with the product of their signs. */
static void scatter(struct ldpc_decoder *d, const struct edge_lanes *a, size_t n_groups)
{
	const int16_t *restrict min1 = d->min1, *restrict signs = d->signs;
	const int16_t *restrict least = d->least, *restrict second = d->second;
	const int16_t *restrict extrinsic = a->extrinsic;
	int16_t *restrict post = a->post, *restrict message = a->message;

#pragma omp simd
	for (size_t i = 0; i < n_groups * GROUP; i++) {
		int16_t x = extrinsic[i];
		int16_t m = magnitude(x) == min1[i] ? second[i] : least[i];
		m = (signs[i] ^ x) < 0 ? (int16_t)-m : m;
		message[i] = m;
		post[i] = (int16_t)(x + m);
	}
}

static void update_row(struct ldpc_decoder *d, const struct ldpc_code *code, size_t row)
{
	const struct ldpc_graph *g = code->graph;
	size_t first = g->row_start[row], degree = g->row_start[row + 1] - first;
	size_t n_groups = (code->z + GROUP - 1) / GROUP, k = 0;
	struct edge_lanes lanes[DEGREE_MAX];

#pragma omp simd
	for (size_t i = 0; i < n_groups * GROUP; i++) {
		d->signs[i] = 0;
		d->min1[i] = d->min2[i] = MESSAGE_MAX + OFFSET;
	}
	for (k = 0; k < degree; k++) {
		size_t e = first + k;
		lanes[k].post = rotate(d, g->edges[e].col, code->shift[e], code->z);
		lanes[k].message = d->message[e];
		lanes[k].extrinsic = d->extrinsic[k];
	}
	for (k = 0; k + 1 < degree; k += 2)
		gather_pair(d, &lanes[k], &lanes[k + 1], n_groups);
	if (k < degree)
		gather_one(d, &lanes[k], n_groups);
#pragma omp simd
	for (size_t i = 0; i < n_groups * GROUP; i++) {
		d->least[i] = max((int16_t)(d->min1[i] - OFFSET), 0);
		d->second[i] = max((int16_t)(d->min2[i] - OFFSET), 0);
	}
	for (k = 0; k < degree; k++)
		scatter(d, &lanes[k], n_groups);
}

static bool row_holds(struct ldpc_decoder *d, const struct ldpc_code *code, size_t row)
{
	const struct ldpc_graph *g = code->graph;
	size_t z = code->z, n_groups = (z + GROUP - 1) / GROUP;
	int16_t *restrict signs = d->signs;
	int any = 0;

	memset(signs, 0, n_groups * GROUP * sizeof signs[0]);
	for (size_t e = g->row_start[row]; e < g->row_start[row + 1]; e++) {
		const int16_t *restrict p = rotate(d, g->edges[e].col, code->shift[e], z);
#pragma omp simd
		for (size_t i = 0; i < n_groups * GROUP; i++)
			signs[i] = (int16_t)(signs[i] ^ p[i]);
	}
	for (size_t i = 0; i < z; i++)
		any |= signs[i];
	return any >= 0;
}

static bool is_codeword(struct ldpc_decoder *d, const struct ldpc_code *code)
{
	for (size_t r = 0; r < d->n_rows; r++)
		if (!row_holds(d, code, d->rows[r]))
			return false;
	return true;
}

int ldpc_decode(struct ldpc_decoder *d, const struct ldpc_code *code, const int8_t *llr, uint8_t *bits,
                unsigned max_iterations)
{
	unsigned iteration = 0;
	bool done = false;

	load(d, code, llr);
	while (!done && iteration < max_iterations) {
		for (size_t r = 0; r < d->n_rows; r++)
			update_row(d, code, d->rows[r]);
		iteration++;
		done = is_codeword(d, code);
	}
	for (size_t col = 0; col < code->graph->n_info; col++) {
		const int16_t *p = rotate(d, col, 0, code->z);
		for (size_t i = 0; i < code->z; i++)
			bits[col * code->z + i] = p[i] < 0;
	}
	return done ? (int)iteration : -EBADMSG;
}
