#include "testbed/engine.h"

#include <errno.h>
#include <string.h>

int engine_open(struct engine *e)
{
	e->how = (struct moe_compute){ .mode = strcmp(e->mode, "fast") ? MOE_EXACT : MOE_FAST };
	if (e->threads < 2)
		return 0;
	e->pool = pool_create((size_t)e->threads);
	if (!e->pool)
		return -errno;
	e->workers = (struct moe_workers){ pool_run_any, e->pool, (size_t)e->threads };
	e->how.workers = &e->workers;
	return 0;
}

void engine_close(struct engine *e)
{
	pool_destroy(e->pool);
	e->pool = NULL;
}
