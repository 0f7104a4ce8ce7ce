#include "scheduler/power_loop.h"

#include <errno.h>
#include <math.h>

struct power_loop_config power_loop_config_default(void)
{
	return (struct power_loop_config){
		.step_min_db = -4,
		.step_max_db = 3,
		.dead_band_db = 1,
		.dead_band_first_db = 3,
		.least_slots = 100,
		.window_slots = 400,
	};
}

void power_loop_begin(struct power_loop *p, uint64_t from_slot)
{
	*p = (struct power_loop){ .from_slot = from_slot, .headroom_db = INFINITY };
}

int power_loop_observe(struct power_loop *p, const struct power_loop_config *cfg, uint64_t slot, double received_db)
{
	if (!isfinite(received_db))
		return -EINVAL;
	if (slot < p->from_slot)
		return 0;
	p->n += p->n < cfg->window_slots;
	p->received += (pow(10, 0.1 * received_db) - p->received) / p->n;
	return 0;
}

int power_loop_headroom(struct power_loop *p, float headroom_db)
{
	if (!isfinite(headroom_db))
		return -EINVAL;
	p->headroom_db = headroom_db;
	return 0;
}

int power_loop_corrected(int correction_db, int step_db)
{
	int sum = correction_db + step_db;
	return sum > POWER_LOOP_CORRECTION_MAX_DB    ? POWER_LOOP_CORRECTION_MAX_DB
	       : sum < -POWER_LOOP_CORRECTION_MAX_DB ? -POWER_LOOP_CORRECTION_MAX_DB
	                                             : sum;
}

int power_loop_command(const struct power_loop *p, const struct power_loop_config *cfg)
{
	if (p->n < cfg->least_slots)
		return 0;
	double missing_db = -10 * log10(fmax(p->received, 1e-10));
	double band_db = (double)cfg->dead_band_db + (double)cfg->dead_band_first_db * cfg->least_slots / p->n;
	if (fabs(missing_db) <= band_db)
		return 0;
	int step_db = (int)round(fmin(fmax(missing_db, cfg->step_min_db), cfg->step_max_db));
	if (step_db > 0)
		step_db = (int)floor(fmin(step_db, fmax(0, (double)p->headroom_db)));
	return power_loop_corrected(p->correction_db, step_db) - p->correction_db;
}

void power_loop_sent(struct power_loop *p, int step_db, uint64_t from_slot)
{
	p->correction_db = power_loop_corrected(p->correction_db, step_db);
	p->from_slot = from_slot;
	p->received = 0;
	p->n = 0;
}
