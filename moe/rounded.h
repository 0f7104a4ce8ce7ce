/* rounded.h - activations rounded to eight bits, which the kernels multiply as integers (fast mode).
 *
 *     struct rounded_store *s = rounded_create(kernels, max_rows, max_cols);
 *     const struct rounded *r = rounded_fill(s, x, n_x, n_cols);
 *     kernels->rounded[type](w, n_rows, r, n_x, y, n_rows);
 *
 * Each block of 256 numbers, or what a row has left, has one scale, its largest magnitude over 127; q = x / scale to the nearest,
 * ties to even. A row's numbers depend on that row alone. One thread at a time fills; any number may read.
 */
#ifndef MOE_ROUNDED_H
#define MOE_ROUNDED_H

#include "moe/kernels.h"

struct rounded_store;

/* NULL with errno ENOMEM. */
struct rounded_store *rounded_create(const struct kernels *kernels, size_t max_rows, size_t max_cols);
void rounded_destroy(struct rounded_store *s); /* NULL is fine */

/* x: [n_x][n_cols], all finite; n_x <= max_rows, n_cols <= max_cols and a multiple of 32. Valid until the next call. */
const struct rounded *rounded_fill(struct rounded_store *s, const float *x, size_t n_x, size_t n_cols);

#endif
