#include "moe/swiglu.h"

static float silu(float a)
{
	return a / (1.0f + tensor_exp(-a));
}

void swiglu_run(const struct swiglu *w, struct matmul *m, const float *x, size_t n_rows, float *gate, float *up,
                float *y)
{
	matmul_run_all(m, (struct matmul_task[]){ { &w->gate, gate }, { &w->up, up } }, 2, x, n_rows);
	for (size_t i = 0; i < n_rows * w->gate.n_rows; i++)
		gate[i] = silu(gate[i]) * up[i];
	matmul_run(m, &w->down, gate, n_rows, y);
}
