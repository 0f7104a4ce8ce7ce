#include "testbed/compute.h"

#include <math.h>

#include "testbed/splitmix.h"

static double uniform(uint64_t *state)
{
	return ((double)(splitmix(*state += SPLITMIX_STEP) >> 11) + 0.5) * 0x1p-53;
}

void compute_clock_init(struct compute_clock *c, const struct compute_profile *profile, uint64_t seed)
{
	*c = (struct compute_clock){ .profile = *profile, .state = seed, .slowness = 1 };
}

static double median_s(const struct compute_profile *p, double bytes, double flops)
{
	return p->fixed_s + fmax(bytes / p->bytes_per_s, flops / p->flops_per_s);
}

double compute_clock_charge(struct compute_clock *c, double bytes, double flops)
{
	const struct compute_profile *p = &c->profile;
	double radius = sqrt(-2.0 * log(uniform(&c->state)));
	double normal = radius * cos(2.0 * M_PI * uniform(&c->state));
	return c->slowness * median_s(p, bytes, flops) * exp(p->jitter * normal);
}

double compute_clock_expect(const struct compute_clock *c, double bytes, double flops)
{
	return c->slowness * median_s(&c->profile, bytes, flops) * exp(c->profile.jitter);
}
