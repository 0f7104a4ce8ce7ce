/* delay_basis.h - the frequency responses of channels with a limited spread of delays, as a few coefficients.
 *
 * A channel whose delays lie in a window of `width` samples, seen from the window's middle, is a sum of `dim` ~ width *
 * n_sc / n_fft + a few prolate sequences (phy/dpss.h) over the used subcarriers; if its power-delay profile is flat, the
 * coefficients are uncorrelated, and the Wiener filter is one factor for each (Edfors et al., OFDM channel estimation by
 * singular value decomposition, 1998). A bank holds bases for windows from one subcarrier spacing's worth of delay up
 * to the longest delay the receiver looks for, each with the matrices that take pilots to coefficients (least squares,
 * damped by the profile at about the pilots' SNR) and coefficients to subcarriers. It is made once and read only.
 *
 * Subcarriers are counted on the uniform grid with DC in it, `delay_index`; the window's middle is taken off and put on
 * as a ramp (delay_ramp). Vectors are complex, in two arrays, with room for whole blocks of 16 (matrix_padded).
 */
#ifndef PHY_DELAY_BASIS_H
#define PHY_DELAY_BASIS_H

#include "phy/matrix.h"
#include "phy/numerology.h"

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DELAY_PILOT_SETS_MAX = 9,
	DELAY_GRID_MAX = PHY_SC_MAX + 1 + MATRIX_BLOCK,
	DELAY_WIDTHS_MAX = 24,
	DELAY_LEVELS = 4
};

/* What makes coefficients of what one set of pilots gathered: least squares, damped by a flat profile at one SNR. */
struct delay_solution {
	struct matrix solve; /* dim x dim */
	float *damping;      /* dim: solve = (gather gather' + damping)^-1 */
	float *noise;        /* dim: variance of the coefficients for noise of variance 1 at the pilots */
	float noise_gain;    /* their sum over the grid's length: of the response, mean over the band */
	float bias;          /* what a channel of mean power 1 and flat profile loses */
	float dof;           /* of the residual */
};

struct delay_fit {
	size_t n;
	struct matrix gather; /* dim x n */
	struct delay_solution at[DELAY_LEVELS];
};

struct delay_basis {
	double width; /* samples */
	size_t dim;
	struct matrix half; /* the first rows, to the middle and as many more as fill a block, of what takes
	                         * coefficients to the grid, for matrix_multiply_mirrored */
	struct matrix in;   /* dim x n_sc + 1: the whole of it, transposed; the columns are orthonormal */
	struct matrix tilt; /* dim x dim: what multiplication with the distance from DC, in subcarriers, does */
	float *prior;       /* dim: mean energies of the coefficients, flat profile, channel of mean power 1 */
	struct matrix
	        rb_share; /* (n_rb + 1) / 2 x dim: mean over an RB of the squares of a sequence; the others mirror */
	struct delay_fit *fits; /* one a pilot set */
};

/* Power-delay profile of one set of pilots: a tapered transform at delays from `earliest` on, `step` samples apart. */
struct delay_scan {
	struct matrix c, s; /* n_bins x n: cosines and sines */
	float norm;         /* |transform|^2 to power, so that a profile adds up to the channel's mean power */
	float noise;        /* mean of a bin so scaled, for noise of variance 1 */
};

struct delay_bank {
	struct numerology num;
	double earliest, latest; /* samples: what the widest window covers */
	size_t n_grid;           /* n_sc + 1 */
	size_t n_sets, dim_max, n_widths;
	struct delay_basis basis[DELAY_WIDTHS_MAX]; /* the widest first */
	size_t initial;                             /* which to begin with: about a cyclic prefix wide */
	uint16_t *pilot_at[DELAY_PILOT_SETS_MAX];   /* places of the pilots in the grid */
	size_t pilot_step[DELAY_PILOT_SETS_MAX];    /* that they are apart in it, one more across DC */
	size_t n_bins;
	double bin_first, bin_step; /* samples */
	struct delay_scan scan[DELAY_PILOT_SETS_MAX];
	struct matrix leak; /* n_bins x n_bins: what far bins make of a tap, side lobes and the gap at DC, first set */
};

struct delay_pilots {
	const uint16_t *k; /* subcarriers, ascending, all as far apart */
	size_t n;
};

/* n_sets: 1 .. DELAY_PILOT_SETS_MAX. NULL with errno EINVAL (pilots not evenly spaced included) or ENOMEM. */
struct delay_bank *delay_bank_create(const struct numerology *num, const struct delay_pilots *sets, size_t n_sets);
void delay_bank_destroy(struct delay_bank *b); /* NULL is fine */

/* Place of subcarrier k in the grid. */
static inline size_t delay_index(const struct numerology *num, size_t k)
{
	return k < num->n_sc / 2 ? k : k + 1;
}

/* exp(-2 pi j f delay / n_fft) over the grid, turned by phase_rad; whole blocks of 16. */
void delay_ramp(const struct delay_bank *b, double delay_samples, double phase_rad, float *re, float *im);
/* The same without a phase, at places first .. end - 1 and in the whole blocks about them. */
void delay_ramp_part(const struct delay_bank *b, double delay_samples, size_t first, size_t end, float *re, float *im);
/* The same at the pilots of a set. */
void delay_pilot_ramp(const struct delay_bank *b, size_t set, double delay_samples, double phase_rad, float *re,
                      float *im);

/* The ramp of a window without a phase, as delay_response takes it: the part from the lowest frequency to DC tells the
 * rest. Room for matrix_padded(n_sc / 2 + 1). */
void delay_half_ramp(const struct delay_bank *b, double delay_samples, float *re, float *im);
/* Coefficients x to the response over the grid, half_ramp put on. y: room for whole blocks; past the grid it is left. */
void delay_response(const struct delay_bank *bank, const struct delay_basis *b, const float *x_re, const float *x_im,
                    const float *half_ramp_re, const float *half_ramp_im, float *y_re, float *y_im);

/* Which solution suits pilots whose noise is this share of the channel's power: damped at 10, 20, 30 or 40 dB;
 * from 3 dB above on the next. */
size_t delay_level(float noise_share);

/* Coefficients of n pilots y (the window's ramp taken off) and the sum of squares of what does not fit. x: padded dim;
 * work: the same, in two arrays. */
float delay_fit(const struct delay_basis *b, size_t set, size_t level, const float *y_re, const float *y_im,
                float *x_re, float *x_im, float *work_re, float *work_im);

/* Profile of n pilots y as received (no ramp taken off): n_bins powers (room for matrix_padded). work: 4 such arrays. */
void delay_profile(const struct delay_bank *b, size_t set, const float *y_re, const float *y_im, float *power,
                   float *work);

#endif
