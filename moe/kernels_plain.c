#define LANES_PLAIN
#include "moe/kernels.inc"

const struct kernels kernels_plain = { "plain", round_row, gate_row, MATMULS, ROUNDEDS };
