#include "scheduler/replica.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>

#include "scheduler/select.h"

/* The expert not yet assigned that most rows want. */
static size_t most_wanted(const struct replica_input *in, const bool *assigned)
{
	size_t best = in->n_experts;
	for (size_t e = 0; e < in->n_experts; e++)
		if (!assigned[e] && (best == in->n_experts || in->rows[e] > in->rows[best]))
			best = e;
	return best;
}

/* When device d is done that already has `load` rows and takes `more`. */
static double done_s(const struct replica_input *in, size_t d, uint32_t load, uint32_t more)
{
	double t = in->fixed_s[d] + ((double)load + more) * in->per_token_s[d];
	return isfinite(t) && t >= 0 ? t : SELECT_UNREACHABLE_S * (1.0 + load);
}

static uint8_t first_done(const struct replica_input *in, uint32_t holders, const uint32_t *load, uint32_t rows)
{
	uint8_t best = REPLICA_NOBODY;
	double best_s = 0;
	for (size_t d = 0; d < in->n_devices; d++) {
		if (!(holders & 1u << d))
			continue;
		double t = done_s(in, d, load[d], rows);
		if (best == REPLICA_NOBODY || t < best_s) {
			best = (uint8_t)d;
			best_s = t;
		}
	}
	return best;
}

int replica_assign(const struct replica_input *in, uint8_t *device_of)
{
	bool assigned[SELECT_EXPERTS_MAX] = { false };
	uint32_t load[PHY_DEVICES_MAX] = { 0 };
	if (in->n_experts > SELECT_EXPERTS_MAX || in->n_devices > PHY_DEVICES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < in->n_experts; i++) {
		size_t e = most_wanted(in, assigned);
		uint32_t able = in->holders[e] & in->able;
		device_of[e] = first_done(in, able ? able : in->holders[e], load, in->rows[e]);
		assigned[e] = true;
		if (device_of[e] != REPLICA_NOBODY)
			load[device_of[e]] += in->rows[e];
	}
	return 0;
}
