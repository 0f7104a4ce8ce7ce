/* swiglu.h - the feed-forward network that every expert is, routed or shared.
 *
 * y = W_down (silu(W_gate x) * (W_up x)), silu(a) = a / (1 + e^-a) (Shazeer 2020, SwiGLU).
 */
#ifndef MOE_SWIGLU_H
#define MOE_SWIGLU_H

#include <stddef.h>

#include "moe/matmul.h"

struct swiglu {
	struct tensor gate, up; /* [n_ff][n_embd] */
	struct tensor down;     /* [n_embd][n_ff] */
};

/* x, y: [n_rows][n_embd], apart from each other; gate, up: scratch [n_rows][n_ff]. A row's result depends on that row alone. */
void swiglu_run(const struct swiglu *w, struct matmul *m, const float *x, size_t n_rows, float *gate, float *up,
                float *y);

#endif
