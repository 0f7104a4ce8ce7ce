#include "moe/matmul.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "moe/rounded.h"

enum {
	PIECES_A_THREAD = 4,  /* so that a thread that starts late does not hold up the others */
	PIECE_WORK = 1 << 16, /* weights times vectors of the smallest piece worth handing over */
	ROWS_TOGETHER = 16,   /* of a kernel */
};

struct matmul {
	struct moe_compute how;
	struct rounded_store *store; /* fast mode only */
	/* the product in work */
	const struct matmul_task *tasks;
	size_t n_tasks, n_x;
	const float *x;
	const struct rounded *rounded; /* NULL: as they are */
	size_t n_rows, piece_rows;     /* of all tasks together; of a piece */
};

struct matmul *matmul_create(const struct moe_compute *how, size_t max_rows, size_t max_cols)
{
	struct matmul *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	if (how)
		m->how = *how;
	if (!m->how.kernels)
		m->how.kernels = kernels_best();
	if (m->how.mode == MOE_FAST)
		m->store = rounded_create(m->how.kernels, max_rows, max_cols);
	if (m->how.mode == MOE_FAST && !m->store) {
		free(m);
		errno = ENOMEM;
		return NULL;
	}
	return m;
}

float *matmul_vectors(size_t n)
{
	size_t bytes = (n * sizeof(float) + MATMUL_ALIGNMENT - 1) / MATMUL_ALIGNMENT * MATMUL_ALIGNMENT;
	float *x = aligned_alloc(MATMUL_ALIGNMENT, bytes ? bytes : MATMUL_ALIGNMENT);
	if (x)
		memset(x, 0, bytes);
	return x;
}

void matmul_destroy(struct matmul *m)
{
	if (!m)
		return;
	rounded_destroy(m->store);
	free(m);
}

/* Rows first .. first + n - 1 of one matrix. */
static void run_rows(const struct matmul *m, const struct matmul_task *t, size_t first, size_t n)
{
	const struct kernels *k = m->how.kernels;
	enum kernel_type type = tensor_kernel_type(t->w->type);
	const void *rows = tensor_row(t->w, first);
	if (m->rounded && k->rounded[type])
		k->rounded[type](rows, n, m->rounded, m->n_x, t->y + first, t->w->n_rows);
	else
		k->matmul[type](rows, n, t->w->n_cols, m->x, m->n_x, t->y + first, t->w->n_rows);
}

/* Piece i of the rows of all tasks, one after another. */
static void run_piece(void *arg, size_t i)
{
	const struct matmul *m = arg;
	size_t from = i * m->piece_rows, to = from + m->piece_rows < m->n_rows ? from + m->piece_rows : m->n_rows;
	for (size_t k = 0, start = 0; k < m->n_tasks; start += m->tasks[k++].w->n_rows) {
		size_t end = start + m->tasks[k].w->n_rows;
		size_t a = from > start ? from : start, b = to < end ? to : end;
		if (a < b)
			run_rows(m, &m->tasks[k], a - start, b - a);
	}
}

void matmul_run_all(struct matmul *m, const struct matmul_task *tasks, size_t n, const float *x, size_t n_x)
{
	const struct moe_workers *workers = m->how.workers;
	size_t n_cols = tasks[0].w->n_cols;
	bool rounds = false;
	m->tasks = tasks;
	m->n_tasks = n;
	m->x = x;
	m->n_x = n_x;
	m->n_rows = 0;
	for (size_t i = 0; i < n; i++) {
		m->n_rows += tasks[i].w->n_rows;
		rounds |= m->store && m->how.kernels->rounded[tensor_kernel_type(tasks[i].w->type)];
	}
	m->rounded = rounds ? rounded_fill(m->store, x, n_x, n_cols) : NULL;
	size_t worth = m->n_rows * n_cols * n_x / PIECE_WORK, most = workers ? workers->n_threads * PIECES_A_THREAD : 1;
	size_t n_pieces = worth < most ? worth : most;
	if (!workers || workers->n_threads < 2 || n_pieces < 2) {
		m->piece_rows = m->n_rows;
		run_piece(m, 0);
		return;
	}
	m->piece_rows = (m->n_rows / n_pieces / ROWS_TOGETHER + 1) * ROWS_TOGETHER;
	workers->run(workers->pool, run_piece, m, (m->n_rows + m->piece_rows - 1) / m->piece_rows);
}

void matmul_run(struct matmul *m, const struct tensor *w, const float *x, size_t n_x, float *y)
{
	matmul_run_all(m, &(struct matmul_task){ w, y }, 1, x, n_x);
}

void matmul_gate(struct matmul *m, float *gate, const float *up, size_t n)
{
	m->how.kernels->gate(gate, up, n);
}
