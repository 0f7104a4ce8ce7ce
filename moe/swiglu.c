#include "moe/swiglu.h"

void swiglu_run(const struct swiglu *w, struct matmul *m, const float *x, size_t n_rows, float *gate, float *up,
                float *y)
{
	matmul_run_all(m, (struct matmul_task[]){ { &w->gate, gate }, { &w->up, up } }, 2, x, n_rows);
	matmul_gate(m, gate, up, n_rows * w->gate.n_rows);
	matmul_run(m, &w->down, gate, n_rows, y);
}
