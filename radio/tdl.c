#include "radio/tdl.h"

#include <math.h>
#include <string.h>

#include "radio/gauss.h"
#include "radio/turns.h"

static const double los_doppler = 0.7; /* of the maximum, TR 38.901 section 7.7.2 */

const struct tdl_profile *tdl_find(const char *name)
{
	for (size_t i = 0; i < tdl_n_profiles; i++)
		if (!strcmp(tdl_profiles[i].name, name))
			return &tdl_profiles[i];
	return NULL;
}

static double delay_unit_s(enum tdl_unit unit, double delay_spread_s)
{
	return unit == TDL_NORMALISED ? delay_spread_s : unit == TDL_NS ? 1e-9 : 0;
}

/* Linear tap powers with a sum of 1. Flat Rice: direct ray over diffuse power = K. */
static void tap_powers(const struct tdl_profile *profile, double k_db, double *power)
{
	double sum = 0;
	int is_rice = profile->unit == TDL_FLAT && profile->tap[0].fading == TDL_LOS;
	for (size_t i = 0; i < profile->n_taps; i++) {
		power[i] = pow(10, (is_rice && i == 0 ? k_db : profile->tap[i].power_db) / 10);
		sum += power[i];
	}
	for (size_t i = 0; i < profile->n_taps; i++)
		power[i] /= sum;
}

static void set_ray(struct tdl *ch, enum tdl_fading fading, size_t n, double doppler_hz, const double uniform[2])
{
	size_t ray = ch->n_rays++;
	if (fading == TDL_CONSTANT) {
		ch->doppler_hz[ray] = ch->phase[ray] = 0;
		return;
	}
	double angle = 2 * M_PI * ((double)n + 0.1 + 0.3 * uniform[0]) / TDL_SINUSOIDS;
	ch->doppler_hz[ray] = doppler_hz * (fading == TDL_LOS ? los_doppler : cos(angle));
	ch->phase[ray] = uniform[1];
}

void tdl_init(struct tdl *ch, const struct tdl_profile *profile, double delay_spread_s, double k_db, double doppler_hz,
              uint64_t seed, uint32_t stream)
{
	double power[TDL_MAX_TAPS];
	tap_powers(profile, k_db, power);
	*ch = (struct tdl){ .n_taps = profile->n_taps };
	for (size_t i = 0; i < ch->n_taps; i++) {
		enum tdl_fading fading = profile->tap[i].fading;
		size_t n_rays = fading == TDL_RAYLEIGH ? TDL_SINUSOIDS : 1;
		ch->delay_s[i] = profile->tap[i].delay * delay_unit_s(profile->unit, delay_spread_s);
		ch->amplitude[i] = (float)sqrt(power[i] / (double)n_rays);
		for (size_t n = 0; n < n_rays; n++) {
			uint32_t word[4], counter[4] = { (uint32_t)n, (uint32_t)i, 0, stream };
			gauss_philox(counter, seed, word);
			double uniform[2] = { word[0] * 0x1p-32, word[1] * 0x1p-32 };
			set_ray(ch, fading, n, doppler_hz, uniform);
		}
		ch->first_ray[i + 1] = (uint16_t)ch->n_rays;
	}
}

void tdl_gains(const struct tdl *ch, double t, float *re, float *im)
{
	float s[TDL_MAX_TAPS * TDL_SINUSOIDS], c[TDL_MAX_TAPS * TDL_SINUSOIDS];
	for (size_t r = 0; r < ch->n_rays; r++)
		turns_sincos(turns_from(ch->doppler_hz[r] * t + ch->phase[r]), &s[r], &c[r]);
	for (size_t i = 0; i < ch->n_taps; i++) {
		float sum_re = 0, sum_im = 0;
#pragma omp simd reduction(+ : sum_re, sum_im)
		for (size_t r = ch->first_ray[i]; r < ch->first_ray[i + 1]; r++) {
			sum_re += c[r];
			sum_im += s[r];
		}
		re[i] = ch->amplitude[i] * sum_re;
		im[i] = ch->amplitude[i] * sum_im;
	}
}
