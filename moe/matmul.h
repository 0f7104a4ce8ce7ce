/* matmul.h - products of weights and activations as a context does them: in its mode, on its threads.
 *
 *     struct matmul *m = matmul_create(&how, max_rows, max_cols);
 *     matmul_run(m, &w, x, n_x, y);                                       // y[i] = W x[i]
 *     matmul_run_all(m, (struct matmul_task[]){ { &q, a }, { &k, b } }, 2, x, n_x);    // several of the same x at once
 *
 * exact: activations are f32, the sums those of tensor.h, the same bits everywhere.
 * fast: activations are rounded to eight bits in blocks of 256 (rounded.h) where weights are blocks of integers; with F32, F16
 * and BF16 weights it does what exact does. A row's result depends on nothing but that row in either mode, nor on the number
 * of threads or the instruction set.
 * This library starts no threads: workers are the caller's, and small products are not worth waking them. Nothing is
 * allocated after create.
 */
#ifndef MOE_MATMUL_H
#define MOE_MATMUL_H

#include <stddef.h>

#include "moe/kernels.h"
#include "moe/tensor.h"

enum moe_mode { MOE_EXACT, MOE_FAST };

enum { MATMUL_ALIGNMENT = 64 }; /* bytes: of vectors that are read at full speed */

/* Threads that do independent pieces of work: run calls work(arg, i) for every i < n and returns when all are done. */
struct moe_workers {
	void (*run)(void *pool, void (*work)(void *arg, size_t i), void *arg, size_t n);
	void *pool;
	size_t n_threads; /* the caller included */
};

struct moe_compute {
	enum moe_mode mode;
	const struct moe_workers *workers; /* NULL: the caller alone; outlives what is made with it */
	const struct kernels *kernels;     /* NULL: the best that this processor runs */
};

struct matmul;

struct matmul_task {
	const struct tensor *w;
	float *y; /* [n_x][w->n_rows] */
};

/* how NULL: exact, the caller alone. NULL with errno ENOMEM. */
struct matmul *matmul_create(const struct moe_compute *how, size_t max_rows, size_t max_cols);
/* n zeros for vectors, freed by free; NULL with errno ENOMEM. Products take any vectors, but take a quarter longer where they lie across
 * the lines of the cache. */
float *matmul_vectors(size_t n);
void matmul_destroy(struct matmul *m); /* NULL is fine */

/* x: [n_x][n_cols], finite, n_x <= max_rows; y: apart from it. */
void matmul_run(struct matmul *m, const struct tensor *w, const float *x, size_t n_x, float *y);
/* n matrices, one at least, of as many columns. */
void matmul_run_all(struct matmul *m, const struct matmul_task *tasks, size_t n, const float *x, size_t n_x);

/* gate[i] = silu(gate[i]) up[i], silu(a) = a / (1 + e^-a): what stands between the matrices of an expert. */
void matmul_gate(struct matmul *m, float *gate, const float *up, size_t n);

#endif
