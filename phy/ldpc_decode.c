#include "phy/ldpc.h"
#include "phy/ldpc_kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* No channel value is stronger than one message can be: a row must be able to mend its own parity column. */
enum { CHANNEL_MAX = LDPC_MAGNITUDE_MAX - LDPC_OFFSET - LDPC_NEAR - 1 };

enum { CORE_COLS = 22 + LDPC_CORE_ROWS, EXTENSION_ROWS = LDPC_ROWS_MAX - LDPC_CORE_ROWS };

struct ldpc_decoder {
	const struct ldpc_kernel *kernel;
	const struct ldpc_code *code;
	struct ldpc_schedule {
		const struct ldpc_graph *graph;
		size_t z, n_rows;
		uint8_t rows[LDPC_ROWS_MAX]; /* that take part, in order */
	} schedule;
	size_t suspect;
	struct ldpc_column column[CORE_COLS];
	uint16_t place[LDPC_EDGES_MAX][LDPC_PLACES];
	_Alignas(64) int8_t ring[2][CORE_COLS][LDPC_RING];
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

/* Which rows take part, in which order. The core begins with the row that has one punctured column, not two, so that the
 * others have something to go by; after it come the sparse rows from the last one on. That takes a twentieth fewer
 * iterations than from the first row to the last. */
static struct ldpc_schedule choose_rows(const struct ldpc_code *code, const int8_t *llr)
{
	const struct ldpc_graph *g = code->graph;
	struct ldpc_schedule s = { .graph = g, .z = code->z, .n_rows = LDPC_CORE_ROWS, .rows = { 1, 3, 0, 2 } };

	for (uint8_t row = g->n_rows - 1; row >= LDPC_CORE_ROWS; row--)
		if (!all_zero(llr + (g->n_info + row) * code->z, code->z))
			s.rows[s.n_rows++] = row;
	return s;
}

static bool same_schedule(const struct ldpc_schedule *a, const struct ldpc_schedule *b)
{
	return a->graph == b->graph && a->z == b->z && a->n_rows == b->n_rows && !memcmp(a->rows, b->rows, a->n_rows);
}

/* Edges of the row but for the one to its own parity column, which is its last. */
static size_t inner_edges(const struct ldpc_graph *g, size_t row)
{
	return g->row_start[row + 1] - g->row_start[row] - (row >= LDPC_CORE_ROWS);
}

/* A column stands in its ring turned by the shift of the row that wrote it last. */
static void last_turns(struct ldpc_decoder *d)
{
	const struct ldpc_graph *g = d->code->graph;

	for (size_t col = 0; col < CORE_COLS; col++)
		d->column[col].turn = 0;
	for (size_t r = 0; r < d->schedule.n_rows; r++) {
		size_t row = d->schedule.rows[r], first = g->row_start[row], n = inner_edges(g, row);
		for (size_t e = first; e < first + n; e++)
			d->column[g->edges[e].col].turn = d->code->shift[e];
	}
}

/* Where lanes 0, LDPC_STEP .. of a row with this shift stand in a ring turned by `turn`; beyond z lanes nobody looks. */
static void set_places(uint16_t *place, uint16_t shift, uint16_t turn, uint16_t z)
{
	uint16_t at = (uint16_t)(shift >= turn ? shift - turn : shift + z - turn);

	for (uint16_t i = 0; i < LDPC_PLACES; i++) {
		uint16_t x = (uint16_t)(at + i * LDPC_STEP);
		place[i] = x >= z ? (uint16_t)(x - z) : x;
	}
}

static void choose_places(struct ldpc_decoder *d)
{
	const struct ldpc_graph *g = d->code->graph;
	const uint16_t *shift = d->code->shift;
	uint16_t turn[CORE_COLS];

	last_turns(d);
	for (size_t col = 0; col < CORE_COLS; col++)
		turn[col] = d->column[col].turn;
	for (size_t r = 0; r < d->schedule.n_rows; r++) {
		size_t row = d->schedule.rows[r], first = g->row_start[row], n = inner_edges(g, row);
		for (size_t e = first; e < first + n; e++) {
			set_places(d->place[e], shift[e], turn[g->edges[e].col], (uint16_t)d->code->z);
			turn[g->edges[e].col] = shift[e];
		}
	}
}

static void load(struct ldpc_decoder *d, const int8_t *llr)
{
	const struct ldpc_graph *g = d->code->graph;
	size_t z = d->code->z;

	for (size_t col = 0; col < (size_t)g->n_info + LDPC_CORE_ROWS; col++) {
		struct ldpc_column *c = &d->column[col];
		int8_t first[LDPC_PAD];
		c->now = d->ring[0][col];
		c->next = d->ring[1][col];
		copy_clipped(c->now, llr + col * z + c->turn, z - c->turn);
		copy_clipped(c->now + z - c->turn, llr + col * z, c->turn);
		memcpy(first, c->now, sizeof first); /* z of them count */
		memcpy(c->now + z, first, sizeof first);
	}
	for (size_t r = LDPC_CORE_ROWS; r < d->schedule.n_rows; r++) {
		size_t row = d->schedule.rows[r];
		copy_clipped(d->parity[row - LDPC_CORE_ROWS], llr + (g->n_info + row) * z, z);
	}
}

static struct ldpc_row view(struct ldpc_decoder *d, size_t row, bool fresh)
{
	const struct ldpc_graph *g = d->code->graph;
	size_t first = g->row_start[row];
	struct ldpc_row v = {
		.n_edges = inner_edges(g, row),
		.edge = g->edges + first,
		.shift = d->code->shift + first,
		.place = (const uint16_t(*)[LDPC_PLACES])d->place + first,
		.column = d->column,
		.message = d->message + first * LDPC_Z_MAX,
		.fresh = fresh,
	};

	if (row >= LDPC_CORE_ROWS) {
		v.parity = d->parity[row - LDPC_CORE_ROWS];
		v.parity_post = d->parity_post[row - LDPC_CORE_ROWS];
	}
	return v;
}

/* Looks first where it failed last. */
static bool is_codeword(struct ldpc_decoder *d)
{
	for (size_t r = 0; r < d->schedule.n_rows; r++) {
		struct ldpc_row row = view(d, d->schedule.rows[d->suspect], false);
		if (!d->kernel->holds(&row, d->code->z))
			return false;
		d->suspect = d->suspect + 1 < d->schedule.n_rows ? d->suspect + 1 : 0;
	}
	return true;
}

static void decide(const struct ldpc_decoder *d, uint8_t *bits)
{
	size_t z = d->code->z;

	for (size_t col = 0; col < d->code->graph->n_info; col++) {
		const int8_t *ring = d->column[col].now;
		size_t turn = d->column[col].turn;
		for (size_t i = 0; i < z - turn; i++)
			bits[col * z + turn + i] = ring[i] < 0;
		for (size_t i = 0; i < turn; i++)
			bits[col * z + i] = ring[z - turn + i] < 0;
	}
}

int ldpc_decode(struct ldpc_decoder *d, const struct ldpc_code *code, const int8_t *llr, uint8_t *bits,
                unsigned max_iterations)
{
	struct ldpc_schedule schedule = choose_rows(code, llr);
	unsigned iteration = 0;
	bool done = false;

	d->code = code;
	d->suspect = 0;
	if (!same_schedule(&schedule, &d->schedule)) {
		d->schedule = schedule;
		choose_places(d);
	}
	load(d, llr);
	while (!done && iteration < max_iterations) {
		for (size_t r = 0; r < d->schedule.n_rows; r++) {
			struct ldpc_row row = view(d, d->schedule.rows[r], iteration == 0);
			d->kernel->update(&row, code->z);
		}
		iteration++;
		done = is_codeword(d);
	}
	decide(d, bits);
	return done ? (int)iteration : -EBADMSG;
}
