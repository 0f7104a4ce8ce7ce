/* moe_bench_model.h - writes a Mixtral-style model of random weights, far larger than any cache, for benchmarks.
 *
 *     moe_bench_model_write("runs/bench.gguf", type, 1, err, sizeof err);
 *
 * 791 M parameters: n_embd 1024, 8 layers, 16 heads of 64 with 4 key-value heads, 8 experts of 3584 of which 2 serve a token,
 * vocabulary 32000, context 2048. Every matrix is of the given type, norms and routers are F32. Weights have a spread of
 * 1 / sqrt(columns), so that activations keep their size; the text that it makes is noise.
 */
#ifndef TESTBED_MOE_BENCH_MODEL_H
#define TESTBED_MOE_BENCH_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "moe/tensor.h"

/* type: F32, F16, BF16, Q8_0, Q4_0 or Q4_K. 0, or negative errno with one line in err; a file that could not be written whole
 * is removed. */
int moe_bench_model_write(const char *path, const struct tensor_type *type, uint64_t seed, char *err, size_t err_len);

#endif
