#include "testbed/agc.h"

#include <math.h>

static const double STEP_DB = 6, CLOSE_DB = 3;
static const float FULL = 32766.5f / 32768.0f; /* components at full scale, as converters give them */

void agc_init(struct agc *a, const struct radio_info *info, double target_dbfs, unsigned every_slots)
{
	*a = (struct agc){ .target_dbfs = target_dbfs,
		           .base_db = info->rx_gain_db,
		           .gain_db = info->rx_gain_db,
		           .min_db = info->rx_gain_min_db,
		           .max_db = info->rx_gain_max_db,
		           .every_slots = every_slots,
		           .scale = 1 };
}

void agc_scale(struct agc *a, float complex *x, size_t n)
{
	float *v = (float *)x;
	float sum = 0, most = 0;
	for (size_t i = 0; i < 2 * n; i++) {
		sum += v[i] * v[i];
		most = fmaxf(most, fabsf(v[i]));
		v[i] *= a->scale;
	}
	a->power += (double)sum / (double)n;
	a->overloaded |= most >= FULL;
	a->slots++;
}

bool agc_step(struct agc *a, double *gain_db)
{
	if (a->slots < a->every_slots && !a->overloaded)
		return false;
	double level_dbfs = 10 * log10(a->power / a->slots), off_db = a->target_dbfs - level_dbfs;
	double step_db = a->overloaded ? -STEP_DB : fabs(off_db) > CLOSE_DB ? fmin(fmax(off_db, -STEP_DB), STEP_DB) : 0;
	*gain_db = fmin(fmax(a->gain_db + step_db, a->min_db), a->max_db);
	a->slots = 0;
	a->power = 0;
	a->overloaded = false;
	return isfinite(level_dbfs) && *gain_db != a->gain_db;
}

void agc_took(struct agc *a, double gain_db)
{
	a->gain_db = gain_db;
	a->scale = (float)pow(10, (a->base_db - gain_db) / 20);
}
