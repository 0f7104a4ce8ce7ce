/* tdl.h - tapped-delay-line channel: profiles as a table, and the fading of their taps as a function of time.
 *
 *     const struct tdl_profile *p = tdl_find("tdl-a");
 *     struct tdl ch;
 *     tdl_init(&ch, p, 100e-9, 0, 9.7, seed, stream);
 *     tdl_gains(&ch, t, gain_re, gain_im);            // at any time, in any order
 *
 * Profiles: 3GPP TR 38.901 table 7.7.2-1..5 (TDL-A..E, delays in units of the RMS delay spread) and 3GPP TS 36.104
 * annex B.2 (EPA, EVA, ETU, in ns), plus flat ones. Tap powers are normalised to a sum of 1 (0 dB mean gain).
 *
 * Fading. A Rayleigh tap is a sum of TDL_SINUSOIDS rays of equal power whose angles of arrival fill the circle, one
 * in every sector of 2 pi / N at a seeded place in it, with seeded independent phases (Pop and Beaulieu, IEEE Trans.
 * Commun. 49(4), 2001; Zheng and Xiao, IEEE Commun. Lett. 6(6), 2002):
 *
 *     a(t) = sqrt(P / N) sum_n exp(j 2 pi (f_d cos(alpha_n) t + phi_n)),   alpha_n = 2 pi (n + u_n) / N,  u_n in
 * 0.1..0.4
 *
 * so autocorrelation is near J0(2 pi f_d tau) in every realisation, not only on average, and no two rays of one tap or
 * of two taps share a frequency (u_n within 0.5 of the sector keeps mirrored angles, of equal cosine, apart). A
 * line-of-sight tap is one ray of Doppler 0.7 f_d (TR 38.901, 7.7.2).
 */
#ifndef RADIO_TDL_H
#define RADIO_TDL_H

#include <stddef.h>
#include <stdint.h>

enum { TDL_SINUSOIDS = 32, TDL_MAX_TAPS = 24 };

enum tdl_unit { TDL_FLAT, TDL_NORMALISED, TDL_NS };
enum tdl_fading { TDL_CONSTANT, TDL_RAYLEIGH, TDL_LOS };

struct tdl_tap {
	double delay;    /* in the profile's unit */
	double power_db; /* as printed in the standard; power, not amplitude */
	enum tdl_fading fading;
};

struct tdl_profile {
	const char *name;
	enum tdl_unit unit;
	size_t n_taps;
	struct tdl_tap tap[TDL_MAX_TAPS];
};

/* One realisation: n_taps taps in the order of the profile. Plain data; copy as you like. */
struct tdl {
	size_t n_taps, n_rays;
	double delay_s[TDL_MAX_TAPS];
	float amplitude[TDL_MAX_TAPS]; /* of each ray of the tap */
	uint16_t first_ray[TDL_MAX_TAPS + 1];
	double doppler_hz[TDL_MAX_TAPS * TDL_SINUSOIDS]; /* by ray */
	double phase[TDL_MAX_TAPS * TDL_SINUSOIDS];      /* turns at t = 0 */
};

/* All profiles: tdl_profiles[0..tdl_n_profiles-1]. */
extern const struct tdl_profile tdl_profiles[];
extern const size_t tdl_n_profiles;

/* By name, lower case ("tdl-a", "epa", "rayleigh", "rice", "none"); NULL if there is none. */
const struct tdl_profile *tdl_find(const char *name);

/* delay_spread_s scales normalised profiles (others ignore it); k_db is used by "rice" alone; doppler_hz >= 0 is the
 * maximum Doppler shift. Different streams of one seed are independent, as are the taps of one stream. */
void tdl_init(struct tdl *ch, const struct tdl_profile *profile, double delay_spread_s, double k_db, double doppler_hz,
              uint64_t seed, uint32_t stream);

/* Complex gains of all taps at t seconds, written to re[0..n_taps-1], im[]. */
void tdl_gains(const struct tdl *ch, double t, float *re, float *im);

#endif
