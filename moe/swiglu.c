#include "moe/swiglu.h"

static float silu(float a)
{
	return a / (1.0f + tensor_exp(-a));
}

void swiglu_run(const struct swiglu *w, const float *x, size_t n_rows, float *gate, float *up, float *y)
{
	tensor_matmul(&w->gate, x, n_rows, gate);
	tensor_matmul(&w->up, x, n_rows, up);
	for (size_t i = 0; i < n_rows * w->gate.n_rows; i++)
		gate[i] = silu(gate[i]) * up[i];
	tensor_matmul(&w->down, gate, n_rows, y);
}
