/* expert.h - the device's half of the model: one expert of one layer on some rows.
 *
 *     struct moe_expert_ctx *s = moe_expert_ctx_create(model, 16, NULL);
 *     moe_expert_forward(s, layer, expert, x, rows, y);
 *
 * y as in swiglu.h. A row's result depends on that row alone: not on the
 * other rows of the call, their order or number. The context holds scratch memory, allocated at create
 * only; it belongs to one thread at a time, and the model must outlive it.
 */
#ifndef MOE_EXPERT_H
#define MOE_EXPERT_H

#include <stddef.h>
#include <stdint.h>

#include "moe/matmul.h"
#include "moe/model.h"

struct moe_expert_ctx;

struct moe_expert_stats {
	uint64_t calls;
	uint64_t rows;
	uint64_t not_held;   /* calls refused: the expert is not in this half */
	uint64_t non_finite; /* calls refused: a number in or out was NaN or Inf */
};

/* max_rows: rows worked on at once, 1 .. 4096; longer calls are done in pieces. how: matmul.h; NULL: exact, one thread.
 * NULL with errno EINVAL or ENOMEM. */
struct moe_expert_ctx *moe_expert_ctx_create(const struct moe_model *m, size_t max_rows, const struct moe_compute *how);
void moe_expert_ctx_destroy(struct moe_expert_ctx *s); /* NULL is fine */

/* x, y: [rows][n_embd], apart from each other. Returns 0; -EINVAL (layer, expert outside the model, no rows);
 * -ENOENT (the expert is not held); -EDOM (x or y not finite: y is then undefined and must not be passed on). */
int moe_expert_forward(struct moe_expert_ctx *s, size_t layer, size_t expert, const float *x, size_t rows, float *y);

void moe_expert_get_stats(const struct moe_expert_ctx *s, struct moe_expert_stats *stats);

#endif
