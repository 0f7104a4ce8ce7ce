#include "scheduler/timing_loop.h"

#include <errno.h>
#include <math.h>

struct timing_loop_config timing_loop_config_for(const struct numerology *num)
{
	double unit = (double)num->n_fft / 256;
	return (struct timing_loop_config){
		.unit_samples = unit,
		.dead_band_samples = fmax(unit, (double)num->cp / 8),
		.least_slots = 20,
		.window_slots = 100,
		.step_max = (int)((double)num->cp / 2 / unit),
		.answer_max = 127,
	};
}

void timing_loop_begin(struct timing_loop *t, uint64_t from_slot)
{
	*t = (struct timing_loop){ .from_slot = from_slot };
}

int timing_loop_observe(struct timing_loop *t, const struct timing_loop_config *cfg, uint64_t slot, double late_samples)
{
	if (!isfinite(late_samples))
		return -EINVAL;
	if (slot < t->from_slot)
		return 0;
	t->n += t->n < cfg->window_slots;
	t->late_samples += (late_samples - t->late_samples) / t->n;
	return 0;
}

static int held_to(double units, int min, int max)
{
	double whole = round(units);
	return whole < min ? min : whole > max ? max : (int)whole;
}

int timing_loop_command(const struct timing_loop *t, const struct timing_loop_config *cfg)
{
	if (t->n < cfg->least_slots || fabs(t->late_samples) <= cfg->dead_band_samples)
		return 0;
	return held_to(t->late_samples / cfg->unit_samples, -cfg->step_max, cfg->step_max);
}

int timing_loop_answer(const struct timing_loop_config *cfg, double delay_samples)
{
	return isfinite(delay_samples) ? held_to(delay_samples / cfg->unit_samples, 0, cfg->answer_max) : 0;
}
