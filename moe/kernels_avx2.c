#ifdef __x86_64__
#define LANES_AVX2
#include "moe/kernels.inc"

const struct kernels kernels_avx2 = { "avx2", round_row, gate_row, MATMULS, ROUNDEDS };
#endif
