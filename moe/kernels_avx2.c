#ifdef __x86_64__
#define LANES_AVX2
#include "moe/kernels.inc"

const struct kernels kernels_avx2 = { "avx2", MATMULS, ROUNDEDS };
#endif
