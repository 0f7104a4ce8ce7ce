#include "phy/ldpc.h"
#include "phy/ldpc_kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* No channel value is stronger than one message can be: a row must be able to mend its own parity column. */
enum { CHANNEL_MAX = LDPC_MAGNITUDE_MAX - LDPC_OFFSET - LDPC_NEAR - 1 };

enum { CORE_COLS = 22 + LDPC_CORE_ROWS, EXTENSION_ROWS = LDPC_ROWS_MAX - LDPC_CORE_ROWS };

struct choice { /* which rows of which code take part, in order */
	const struct ldpc_graph *graph;
	size_t z, n_rows;
	uint8_t rows[LDPC_ROWS_MAX];
};

struct ldpc_decoder {
	const struct ldpc_kernel *kernel;
	struct choice choice;
	struct ldpc_row row[LDPC_ROWS_MAX]; /* in that order; the tables below are by edges of the graph */
	uint16_t from[2][LDPC_EDGES_MAX][LDPC_PLACES], to[2][LDPC_EDGES_MAX];
	uint16_t home[2][LDPC_EDGES_MAX], stand[LDPC_EDGES_MAX];
	uint16_t turn[CORE_COLS]; /* between iterations, the element at the start of the column's ring */
	bool odd[CORE_COLS];      /* an odd number of edges */
	size_t suspect;
	_Alignas(64) int8_t ring[2 * CORE_COLS * LDPC_RING];
	int8_t parity[EXTENSION_ROWS][LDPC_Z_MAX], parity_post[EXTENSION_ROWS][LDPC_Z_MAX];
	int8_t message[LDPC_EDGES_MAX * LDPC_Z_MAX];
};

static bool runs_anywhere(void)
{
	return true;
}

#ifdef __x86_64__
static bool runs_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static bool runs_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}
#endif

static const struct {
	const struct ldpc_kernel *kernel;
	bool (*runs)(void); /* on this processor */
} kernels[] = {
/* the fastest first */
#ifdef __x86_64__
	{ &ldpc_kernel_avx512, runs_avx512 },
	{ &ldpc_kernel_avx2, runs_avx2 },
#endif
	{ &ldpc_kernel_portable, runs_anywhere },
};

static const struct ldpc_kernel *find_kernel(const char *name)
{
	for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
		if (kernels[i].runs() && (!name || !strcmp(name, kernels[i].kernel->name)))
			return kernels[i].kernel;
	return NULL;
}

struct ldpc_decoder *ldpc_decoder_create_kernel(const char *kernel)
{
	const struct ldpc_kernel *found = find_kernel(kernel);
	struct ldpc_decoder *d = NULL;
	int rc = found ? posix_memalign((void **)&d, 64, sizeof *d) : ENOTSUP;

	if (rc) {
		errno = rc;
		return NULL;
	}
	memset(d, 0, sizeof *d);
	d->kernel = found;
	return d;
}

struct ldpc_decoder *ldpc_decoder_create(void)
{
	return ldpc_decoder_create_kernel(NULL);
}

const char *ldpc_kernel_name(const struct ldpc_decoder *d)
{
	return d->kernel->name;
}

void ldpc_decoder_destroy(struct ldpc_decoder *d)
{
	free(d);
}

static bool all_zero(const int8_t *x, size_t n)
{
	return x[0] == 0 && memcmp(x, x + 1, n - 1) == 0;
}

static void copy_clipped(int8_t *restrict to, const int8_t *restrict llr, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int8_t x = llr[i] < CHANNEL_MAX ? llr[i] : CHANNEL_MAX;
		to[i] = x > -CHANNEL_MAX ? x : -CHANNEL_MAX;
	}
}

/* The core begins with the row that has one punctured column, not two, so that the others have something to go by; after
 * it come the sparse rows from the last one on. That takes a twentieth fewer iterations than from the first row to the
 * last. */
static struct choice choose_rows(const struct ldpc_code *code, const int8_t *llr)
{
	const struct ldpc_graph *g = code->graph;
	struct choice c = { .graph = g, .z = code->z, .n_rows = LDPC_CORE_ROWS, .rows = { 1, 3, 0, 2 } };

	for (uint8_t row = g->n_rows - 1; row >= LDPC_CORE_ROWS; row--)
		if (!all_zero(llr + (g->n_info + row) * code->z, code->z))
			c.rows[c.n_rows++] = row;
	return c;
}

static bool same_choice(const struct choice *a, const struct choice *b)
{
	return a->graph == b->graph && a->z == b->z && a->n_rows == b->n_rows && !memcmp(a->rows, b->rows, a->n_rows);
}

/* Edges of the row but for the one to its own parity column, which is its last. */
static size_t inner_edges(const struct ldpc_graph *g, size_t row)
{
	return g->row_start[row + 1] - g->row_start[row] - (row >= LDPC_CORE_ROWS);
}

static void set_row(struct ldpc_decoder *d, struct ldpc_row *r, size_t row)
{
	size_t first = d->choice.graph->row_start[row];

	*r = (struct ldpc_row){ .n_edges = inner_edges(d->choice.graph, row), .stand = d->stand + first };
	for (size_t i = 0; i < 2; i++) {
		r->from[i] = (const uint16_t(*)[LDPC_PLACES])d->from[i] + first;
		r->to[i] = d->to[i] + first;
		r->home[i] = d->home[i] + first;
	}
	r->message = d->message + first * LDPC_Z_MAX;
	if (row >= LDPC_CORE_ROWS) {
		r->parity = d->parity[row - LDPC_CORE_ROWS];
		r->parity_post = d->parity_post[row - LDPC_CORE_ROWS];
	}
}

/* The beginning of one of a column's rings. */
static uint16_t ring_at(size_t col, bool other)
{
	return (uint16_t)((col + (other ? CORE_COLS : 0)) * LDPC_RING);
}

/* Rows, and how columns stand between iterations: turned by the shift of the row that wrote them last. */
static void set_rows(struct ldpc_decoder *d, const struct ldpc_code *code)
{
	const struct ldpc_graph *g = code->graph;

	memset(d->turn, 0, sizeof d->turn);
	memset(d->odd, 0, sizeof d->odd);
	for (size_t r = 0; r < d->choice.n_rows; r++) {
		size_t row = d->choice.rows[r], first = g->row_start[row], n = inner_edges(g, row);
		set_row(d, &d->row[r], row);
		for (size_t e = first; e < first + n; e++) {
			d->turn[g->edges[e].col] = code->shift[e];
			d->odd[g->edges[e].col] ^= true;
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
static void set_edges(struct ldpc_decoder *d, const struct ldpc_code *code, unsigned parity)
{
	const struct ldpc_graph *g = code->graph;
	uint16_t turn[CORE_COLS];
	bool other[CORE_COLS];

	memcpy(turn, d->turn, sizeof turn);
	for (size_t col = 0; col < CORE_COLS; col++)
		other[col] = parity && d->odd[col];
	for (size_t r = 0; r < d->choice.n_rows; r++) {
		size_t row = d->choice.rows[r], first = g->row_start[row], n = inner_edges(g, row);
		for (size_t e = first; e < first + n; e++) {
			size_t col = g->edges[e].col;
			uint16_t at = distance(code->shift[e], turn[col], code->z);
			set_places(d->from[parity][e], ring_at(col, other[col]), at, (uint16_t)code->z);
			d->to[parity][e] = ring_at(col, !other[col]);
			d->home[parity][e] = ring_at(col, parity && d->odd[col]);
			d->stand[e] = distance(code->shift[e], d->turn[col], code->z);
			turn[col] = code->shift[e];
			other[col] = !other[col];
		}
	}
}

static void load(struct ldpc_decoder *d, const int8_t *llr)
{
	const struct ldpc_graph *g = d->choice.graph;
	size_t z = d->choice.z;

	for (size_t col = 0; col < (size_t)g->n_info + LDPC_CORE_ROWS; col++) {
		int8_t *ring = d->ring + ring_at(col, false), first[LDPC_PAD];
		size_t turn = d->turn[col];
		copy_clipped(ring, llr + col * z + turn, z - turn);
		copy_clipped(ring + z - turn, llr + col * z, turn);
		memcpy(first, ring, sizeof first); /* z of them count */
		memcpy(ring + z, first, sizeof first);
	}
	for (size_t r = LDPC_CORE_ROWS; r < d->choice.n_rows; r++) {
		size_t row = d->choice.rows[r];
		copy_clipped(d->parity[row - LDPC_CORE_ROWS], llr + (g->n_info + row) * z, z);
	}
}

/* Looks first where it failed last. iteration: the next. */
static bool is_codeword(struct ldpc_decoder *d, unsigned iteration)
{
	for (size_t r = 0; r < d->choice.n_rows; r++) {
		if (!d->kernel->holds(&d->row[d->suspect], d->ring, d->choice.z, iteration))
			return false;
		d->suspect = d->suspect + 1 < d->choice.n_rows ? d->suspect + 1 : 0;
	}
	return true;
}

static void decide(const struct ldpc_decoder *d, unsigned iteration, uint8_t *bits)
{
	size_t z = d->choice.z;

	for (size_t col = 0; col < d->choice.graph->n_info; col++, bits += z) {
		const int8_t *ring = d->ring + ring_at(col, iteration % 2 && d->odd[col]);
		size_t turn = d->turn[col];
		for (size_t i = 0; i < z - turn; i++)
			bits[turn + i] = ring[i] < 0;
		for (size_t i = 0; i < turn; i++)
			bits[i] = ring[z - turn + i] < 0;
	}
}

int ldpc_decode(struct ldpc_decoder *d, const struct ldpc_code *code, const int8_t *llr, uint8_t *bits,
                unsigned max_iterations)
{
	struct choice choice = choose_rows(code, llr);
	unsigned iteration = 0;
	bool done = false;

	d->suspect = 0;
	if (!same_choice(&choice, &d->choice)) {
		d->choice = choice;
		set_rows(d, code);
		set_edges(d, code, 0);
		set_edges(d, code, 1);
	}
	load(d, llr);
	while (!done && iteration < max_iterations) {
		for (size_t r = 0; r < choice.n_rows; r++)
			d->kernel->update(&d->row[r], d->ring, choice.z, iteration);
		iteration++;
		done = is_codeword(d, iteration);
	}
	decide(d, iteration, bits);
	return done ? (int)iteration : -EBADMSG;
}
