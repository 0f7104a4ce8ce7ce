/* path_loss.h - mean loss of a link over distance, line of sight or not, and how far a shadow's standard deviation and reach go.
 *
 *     const struct path_loss_model *m = path_loss_find("umi");
 *     struct path_loss_site site = path_loss_site_default(m, 3.5e9);
 *     double p = path_loss_los_probability(m, &site, 40);
 *     double db = path_loss_db(m, &site, 40, true);                 // plus N(0, m->los->shadow_db) for the shadow (radio/shadow.h)
 *
 * Models: free space (Friis), and of 3GPP TR 38.901 V16.1.0 street canyon UMi, indoor office InH with open and mixed plan, indoor factory
 * InF with sparse or dense clutter and the base station low or high. Path loss and shadow: table 7.4.1-1; probability of line of sight:
 * table 7.4.2-1; decorrelation distance: table 7.5-6; heights and clutter by default: tables 7.2-1, 7.2-2 and 7.8-7.
 */
#ifndef RADIO_PATH_LOSS_H
#define RADIO_PATH_LOSS_H

#include <stdbool.h>
#include <stddef.h>

/* intercept + slope log10(d_3d / m) + frequency log10(carrier / GHz), in dB */
struct path_loss_row {
	double intercept_db, slope_db, frequency_db;
	double shadow_db;       /* standard deviation */
	double decorrelation_m; /* distance over which the shadow's correlation falls to 1/e */
};

struct path_loss_site {
	double carrier_hz;
	double bs_height_m, ut_height_m;
	double clutter_density, clutter_height_m, clutter_size_m; /* InF alone; density 0 .. 1 exclusive */
};

enum path_loss_kind {
	PATH_LOSS_FREE_SPACE,
	PATH_LOSS_UMI,
	PATH_LOSS_INH_MIXED,
	PATH_LOSS_INH_OPEN,
	PATH_LOSS_INF_LOW,
	PATH_LOSS_INF_HIGH
};

struct path_loss_model {
	const char *name;
	enum path_loss_kind kind;
	const struct path_loss_row *los, *nlos;
	const struct path_loss_row *floor; /* a second row that nlos does not go below; NULL: the line of sight alone */
	double bs_height_m, clutter_density, clutter_height_m, clutter_size_m;
	double distance_max_m; /* of validity, 3D */
};

/* All models: path_loss_models[0..path_loss_n_models-1]. */
extern const struct path_loss_model path_loss_models[];
extern const size_t path_loss_n_models;

/* By name, lower case ("free-space", "umi", "inh-mixed", "inh-open", "inf-sl", "inf-dl", "inf-sh", "inf-dh"); NULL if there is none. */
const struct path_loss_model *path_loss_find(const char *name);

/* Heights and clutter as the standard sets them, the user at 1.5 m (indoor office: 1 m). */
struct path_loss_site path_loss_site_default(const struct path_loss_model *m, double carrier_hz);

/* distance_m along the ground, > 0. Below 1 m from antenna to antenna the loss at 1 m is returned. */
double path_loss_db(const struct path_loss_model *m, const struct path_loss_site *site, double distance_m,
                    bool line_of_sight);

/* 0 .. 1. */
double path_loss_los_probability(const struct path_loss_model *m, const struct path_loss_site *site, double distance_m);

#endif
