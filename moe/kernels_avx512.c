#ifdef __x86_64__
#define LANES_AVX512
#include "moe/kernels.inc"

const struct kernels kernels_avx512 = { "avx512", round_row, gate_row, MATMULS, ROUNDEDS };
#endif
