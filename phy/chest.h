/* chest.h - channel estimation: Wiener interpolation from noisy pilots with fixed, real matrices.
 *
 * The prior is a power-delay profile that is uniform from `delay_min` to `delay_max` samples and zero elsewhere. Seen
 * from the middle of that interval its frequency correlation is a real sinc, so that with the ramp of the mean delay
 * taken off the LMMSE matrix W = R_hp (R_pp + I / snr)^-1 is real (Kay, Estimation Theory I, ch. 12; Edfors et al.,
 * OFDM channel estimation by singular value decomposition, 1998). It is solved once, at creation; using it is one
 * matrix-vector product.
 */
#ifndef PHY_CHEST_H
#define PHY_CHEST_H

#include "phy/numerology.h"

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

struct chest;

struct chest_prior {
	double delay_min, delay_max; /* samples after the nominal window, delay_min < delay_max */
	double snr_db;               /* design SNR of a pilot */
};

/* The prior used on this air interface: the cyclic prefix and a little before it. */
struct chest_prior chest_default_prior(const struct numerology *num);

/* pilots: n_pilots subcarriers with known symbols; outs: n_out subcarriers to estimate (all subcarrier numbers,
 * copied). NULL with errno EINVAL or ENOMEM. */
struct chest *chest_create(const struct numerology *num, const struct chest_prior *prior, const uint16_t *pilots,
                           size_t n_pilots, const uint16_t *outs, size_t n_out);
void chest_destroy(struct chest *c); /* NULL is fine */

/* p: n_pilots least-squares estimates (received over sent). h: n_out estimates. Nothing may overlap. */
void chest_estimate(const struct chest *c, const float complex *p, float complex *h);

/* Variance of h at output i caused by pilot noise of variance 1: sum of squares of row i. */
float chest_noise_gain(const struct chest *c, size_t i);

/* Degrees of freedom the fit leaves in the pilots: sum |p - h(pilots)|^2 of pure noise over its variance. Only for a
 * chest whose outputs include all its pilots; otherwise 0. */
float chest_residual_dof(const struct chest *c);
/* sum over the pilots of |p - h|^2, p and h as in chest_estimate. The same condition. */
float chest_residual(const struct chest *c, const float complex *p, const float complex *h);

#endif
