#include "moe/arch.h"

#include <string.h>

static const struct moe_arch archs[] = {
	/* name        halves QK norm            shared            renorm. tied   scales */
	{ "llama", false, MOE_QK_NORM_NONE, MOE_SHARED_PLAIN, true, true, false },
	{ "olmoe", true, MOE_QK_NORM_WHOLE, MOE_SHARED_NONE, false, false, false },
	{ "granitemoe", false, MOE_QK_NORM_NONE, MOE_SHARED_PLAIN, true, true, true },
	{ "qwen2moe", true, MOE_QK_NORM_NONE, MOE_SHARED_GATED, false, false, false },
	{ "qwen3moe", true, MOE_QK_NORM_HEAD, MOE_SHARED_NONE, true, true, false },
};
enum { N_ARCHS = sizeof archs / sizeof archs[0] };

const struct moe_arch *moe_arch_at(size_t i)
{
	return i < N_ARCHS ? &archs[i] : NULL;
}

const struct moe_arch *moe_arch_by_name(const char *name, size_t len)
{
	for (size_t i = 0; i < N_ARCHS; i++)
		if (strlen(archs[i].name) == len && !memcmp(archs[i].name, name, len))
			return &archs[i];
	return NULL;
}
