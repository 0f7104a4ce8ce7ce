#include "testbed/blas_core.h"

#include <cblas.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char variable[] = "OPENBLAS_CORETYPE";

#ifdef __x86_64__
/* What OpenBLAS's SkylakeX kernels are compiled for. */
static bool runs_skylakex(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
}
#else
static bool runs_skylakex(void)
{
	return false;
}
#endif

void blas_core_choose(char **argv)
{
	static const char *const slow[] = { "Haswell", "Zen", "Excavator", "Sandybridge", "Prescott" };
	const char *core = openblas_get_corename();
	bool misjudged = false;
	for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++)
		misjudged |= !strcmp(core, slow[i]);
	if (!misjudged || !runs_skylakex() || getenv(variable) || setenv(variable, "SKYLAKEX", 1))
		return;
	execv("/proc/self/exe", argv);
}
