/* pool.h - a few threads that do independent pieces of work and wait for one another.
 *
 *     struct pool *p = pool_create(4);
 *     pool_run(p, work, arg, n);        calls work(arg, i) once for every i < n, on any thread; returns when all are
 *                                       done
 *
 * Pieces must not depend on each other; then the result does not depend on the number of threads.
 */
#ifndef TESTBED_POOL_H
#define TESTBED_POOL_H

#include <stddef.h>

struct pool;

/* n_threads: the calling thread included, 1 .. 64. NULL with errno. */
struct pool *pool_create(size_t n_threads);
void pool_destroy(struct pool *p); /* NULL is fine */
void pool_run(struct pool *p, void (*work)(void *arg, size_t i), void *arg, size_t n);
/* The same for those who know a pool as what they were given (moe/matmul.h). */
void pool_run_any(void *pool, void (*work)(void *arg, size_t i), void *arg, size_t n);

#endif
