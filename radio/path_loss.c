#include "radio/path_loss.h"

#include <math.h>
#include <string.h>

static const double light_m_s = 299792458.0;

/* Friis: 20 log10(4 pi d f / c) with d in m and f in GHz. */
static const struct path_loss_row free_space = { 32.447783221883, 20, 20, 0, 10 };
static const struct path_loss_row umi_los = { 32.4, 21, 20, 4, 10 }, umi_nlos = { 22.4, 35.3, 21.3, 7.82, 13 };
static const struct path_loss_row inh_los = { 32.4, 17.3, 20, 3, 10 }, inh_nlos = { 17.3, 38.3, 24.9, 8.03, 6 };
static const struct path_loss_row inf_los = { 31.84, 21.5, 19, 4.3, 10 };
static const struct path_loss_row inf_sl = { 33, 25.5, 20, 5.7, 10 }, inf_dl = { 18.6, 35.7, 20, 7.2, 10 };
static const struct path_loss_row inf_sh = { 32.4, 23, 20, 5.9, 10 }, inf_dh = { 33.63, 21.9, 20, 4, 10 };

/* name, kind, line of sight, none, floor, base station's height, clutter's density, height and size, largest distance */
const struct path_loss_model path_loss_models[] = {
	{ "free-space", PATH_LOSS_FREE_SPACE, &free_space, &free_space, NULL, 1.5, 0, 0, 0, INFINITY },
	{ "umi", PATH_LOSS_UMI, &umi_los, &umi_nlos, NULL, 10, 0, 0, 0, 5000 },
	{ "inh-mixed", PATH_LOSS_INH_MIXED, &inh_los, &inh_nlos, NULL, 3, 0, 0, 0, 150 },
	{ "inh-open", PATH_LOSS_INH_OPEN, &inh_los, &inh_nlos, NULL, 3, 0, 0, 0, 150 },
	{ "inf-sl", PATH_LOSS_INF_LOW, &inf_los, &inf_sl, NULL, 1.5, 0.2, 2, 10, 600 },
	{ "inf-dl", PATH_LOSS_INF_LOW, &inf_los, &inf_dl, &inf_sl, 1.5, 0.6, 6, 2, 600 },
	{ "inf-sh", PATH_LOSS_INF_HIGH, &inf_los, &inf_sh, NULL, 8, 0.2, 2, 10, 600 },
	{ "inf-dh", PATH_LOSS_INF_HIGH, &inf_los, &inf_dh, NULL, 8, 0.6, 6, 2, 600 },
};
const size_t path_loss_n_models = sizeof path_loss_models / sizeof *path_loss_models;

const struct path_loss_model *path_loss_find(const char *name)
{
	for (size_t i = 0; i < path_loss_n_models; i++)
		if (strcmp(path_loss_models[i].name, name) == 0)
			return &path_loss_models[i];
	return NULL;
}

struct path_loss_site path_loss_site_default(const struct path_loss_model *m, double carrier_hz)
{
	bool office = m->kind == PATH_LOSS_INH_MIXED || m->kind == PATH_LOSS_INH_OPEN;
	return (struct path_loss_site){ .carrier_hz = carrier_hz,
		                        .bs_height_m = m->bs_height_m,
		                        .ut_height_m = office ? 1.0 : 1.5,
		                        .clutter_density = m->clutter_density,
		                        .clutter_height_m = m->clutter_height_m,
		                        .clutter_size_m = m->clutter_size_m };
}

static double row_db(const struct path_loss_row *row, double d_3d, double carrier_hz)
{
	return row->intercept_db + row->slope_db * log10(d_3d) + row->frequency_db * log10(1e-9 * carrier_hz);
}

/* Two-ray beyond the breakpoint, whose heights count from 1 m above the ground (notes 1 and 2 of the table). */
static double umi_los_db(const struct path_loss_model *m, const struct path_loss_site *s, double d_2d, double d_3d)
{
	double breakpoint = 4 * (s->bs_height_m - 1) * (s->ut_height_m - 1) * s->carrier_hz / light_m_s;
	double rise = s->bs_height_m - s->ut_height_m;
	if (d_2d <= breakpoint)
		return row_db(m->los, d_3d, s->carrier_hz);
	return m->los->intercept_db + 40 * log10(d_3d) + m->los->frequency_db * log10(1e-9 * s->carrier_hz) -
	       9.5 * log10(breakpoint * breakpoint + rise * rise);
}

double path_loss_db(const struct path_loss_model *m, const struct path_loss_site *s, double distance_m,
                    bool line_of_sight)
{
	double d_3d = fmax(1, hypot(distance_m, s->bs_height_m - s->ut_height_m));
	bool canyon = m->kind == PATH_LOSS_UMI;
	double los = canyon ? umi_los_db(m, s, distance_m, d_3d) : row_db(m->los, d_3d, s->carrier_hz);
	if (line_of_sight)
		return los;
	double nlos = row_db(m->nlos, d_3d, s->carrier_hz) - (canyon ? 0.3 * (s->ut_height_m - 1.5) : 0);
	if (m->floor)
		nlos = fmax(nlos, row_db(m->floor, d_3d, s->carrier_hz));
	return fmax(los, nlos);
}

/* Falls from 1 at `near` to exp(-(far - near) / reach), then goes on from `beyond` with another reach. */
static double two_steps(double d, double near, double reach, double far, double far_reach, double beyond)
{
	if (d <= near)
		return 1;
	return d <= far ? exp(-(d - near) / reach) : beyond * exp(-(d - far) / far_reach);
}

double path_loss_los_probability(const struct path_loss_model *m, const struct path_loss_site *s, double d)
{
	double reach = -s->clutter_size_m / log(1 - s->clutter_density);
	switch (m->kind) {
	case PATH_LOSS_FREE_SPACE:
		return 1;
	case PATH_LOSS_UMI:
		return d <= 18 ? 1 : 18 / d + exp(-d / 36) * (1 - 18 / d);
	case PATH_LOSS_INH_MIXED:
		return two_steps(d, 1.2, 4.7, 6.5, 32.6, 0.32);
	case PATH_LOSS_INH_OPEN:
		return two_steps(d, 5, 70.8, 49, 211.7, 0.54);
	case PATH_LOSS_INF_LOW:
		return exp(-d / reach);
	case PATH_LOSS_INF_HIGH:
		return exp(-d / (reach * (s->bs_height_m - s->ut_height_m) / (s->clutter_height_m - s->ut_height_m)));
	}
	return 1;
}
