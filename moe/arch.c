#include "moe/arch.h"

#include <string.h>

static const struct moe_arch archs[] = {
	/* name   rope_halves renormalise tied_output min_sum (the smallest normal f16) */
	{ "llama", false, true, true, 6.103515625e-5f },
};

const struct moe_arch *moe_arch_by_name(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++)
		if (strlen(archs[i].name) == len && !memcmp(archs[i].name, name, len))
			return &archs[i];
	return NULL;
}
