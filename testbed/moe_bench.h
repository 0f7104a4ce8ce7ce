/* moe_bench.h - how fast the model engine is, and what bounds it, side by side in one run.
 *
 *     double gb_s = moe_bench_read_gb_s(map, n);                   what plain reading gives on this thread, now
 *     moe_bench_decode(model, &how, rounds, &result);              and _prompt, _sequences, _calls
 *
 * Everything is the best of several rounds: other programs on the machine only ever slow it down. Bytes of a token: the
 * tensors that one token touches: attention, routers, its experts, shared ones, and the output head.
 */
#ifndef TESTBED_MOE_BENCH_H
#define TESTBED_MOE_BENCH_H

#include <stddef.h>

#include "moe/forward.h"

enum { MOE_BENCH_PROMPT = 128, MOE_BENCH_SEQUENCES = 16, MOE_BENCH_CALLS = 6 };

/* Rows of the expert calls that are timed. */
extern const size_t moe_bench_call_rows[MOE_BENCH_CALLS];

struct moe_bench_result {
	double decode_tokens_s, decode_gb_s;
	double decode_mean_tokens_s; /* over all tokens, not the best */
	double prompt_tokens_s, prompt_gflop_s;
	double sgemm_gflop_s; /* OpenBLAS with f32 weights on the shapes of the prompt */
	double sequences_tokens_s;
	double call_us[MOE_BENCH_CALLS], call_gflop_s[MOE_BENCH_CALLS], call_gb_s[MOE_BENCH_CALLS];
};

/* GB/s of a sum over n bytes with vectors: once. Reads all of it. */
double moe_bench_read_gb_s(const void *bytes, size_t n);

/* Bytes of weights that one token needs. */
double moe_bench_token_bytes(const struct moe_model *m);

/* rounds: of each measurement. The model's context: MOE_BENCH_PROMPT at least. Returns 0, -EINVAL, -ENOMEM, -EINTR, or what the model returned. */
int moe_bench_decode(const struct moe_model *m, const struct moe_compute *how, size_t rounds,
                     struct moe_bench_result *r);
int moe_bench_prompt(const struct moe_model *m, const struct moe_compute *how, size_t rounds,
                     struct moe_bench_result *r);
int moe_bench_sequences(const struct moe_model *m, const struct moe_compute *how, size_t rounds,
                        struct moe_bench_result *r);
int moe_bench_calls(const struct moe_model *m, const struct moe_compute *how, size_t rounds,
                    struct moe_bench_result *r);

#endif
