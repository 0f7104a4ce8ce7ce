#include "phy/local_wiener.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTHS = 4, SNRS = 8, SIDES = 4, GAPS = 6, PILOTS_MAX = 3 * LOCAL_RB_PILOTS };

static const double width_in_cp[WIDTHS] = { 1.25, 0.6, 0.3, 0.12 };
static const double snr_least_db = -12, snr_step_db = 6;

struct local {
	struct matrix w;
	float left;
};

struct local_wiener {
	struct numerology num;
	struct local local[WIDTHS][SNRS][SIDES]
	                  [GAPS]; /* gap: where DC lies, in half RBs from the first; 0: elsewhere */
};

static size_t first_rb(size_t rb, unsigned sides)
{
	return sides & LOCAL_LEFT ? rb - 1 : rb;
}

static size_t n_rbs(unsigned sides)
{
	return 1u + !!(sides & LOCAL_LEFT) + !!(sides & LOCAL_RIGHT);
}

static size_t gap_of(const struct numerology *num, size_t rb, unsigned sides)
{
	size_t half_rbs = num->n_sc / 2 / (PHY_RB_SC / 2), first = 2 * first_rb(rb, sides);
	return half_rbs > first && half_rbs < first + 2 * n_rbs(sides) ? half_rbs - first : 0;
}

/* Place in subcarriers of subcarrier i of the window, DC counted. */
static double place(size_t i, size_t gap)
{
	return (double)i + (gap && i >= gap * PHY_RB_SC / 2 ? 1 : 0);
}

static double correlation(double distance, double width, const struct numerology *num)
{
	double x = M_PI * distance * width / (double)num->n_fft;
	return distance == 0 ? 1 : sin(x) / x;
}

/* x <- a^-1 x for n x n positive definite a, destroyed; columns of x: m, row after row. */
static void solve(double *a, size_t n, double *x, size_t m)
{
	for (size_t k = 0; k < n; k++) {
		for (size_t i = 0; i < n; i++) {
			double f = i == k ? 0 : a[i * n + k] / a[k * n + k];
			for (size_t j = k; j < n && i != k; j++)
				a[i * n + j] -= f * a[k * n + j];
			for (size_t j = 0; j < m && i != k; j++)
				x[i * m + j] -= f * x[k * m + j];
		}
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < m; j++)
			x[i * m + j] /= a[i * n + i];
}

static int make(struct local *l, const struct numerology *num, double width, double snr_db, unsigned sides, size_t gap)
{
	double a[PILOTS_MAX * PILOTS_MAX], x[PILOTS_MAX * PHY_RB_SC], cross[PILOTS_MAX * PHY_RB_SC], left = PHY_RB_SC;
	size_t n = n_rbs(sides) * LOCAL_RB_PILOTS, start = sides & LOCAL_LEFT ? PHY_RB_SC : 0;
	if (matrix_init(&l->w, PHY_RB_SC, n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		double at = place(i * LOCAL_STEP, gap);
		for (size_t j = 0; j < n; j++)
			a[i * n + j] = correlation(at - place(j * LOCAL_STEP, gap), width, num);
		a[i * n + i] += pow(10, -snr_db / 10);
		for (size_t o = 0; o < PHY_RB_SC; o++)
			x[i * PHY_RB_SC + o] = correlation(at - place(start + o, gap), width, num);
	}
	memcpy(cross, x, sizeof cross);
	solve(a, n, x, PHY_RB_SC);
	for (size_t i = 0; i < n; i++)
		for (size_t o = 0; o < PHY_RB_SC; o++) {
			*matrix_at(&l->w, o, i) = (float)x[i * PHY_RB_SC + o];
			left -= x[i * PHY_RB_SC + o] * cross[i * PHY_RB_SC + o];
		}
	l->left = (float)(left / PHY_RB_SC);
	return 0;
}

struct local_wiener *local_wiener_create(const struct numerology *num)
{
	struct local_wiener *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->num = *num;
	int rc = 0;
	for (unsigned i = 0; i < WIDTHS * SNRS * SIDES * GAPS && !rc; i++) {
		unsigned width = i % WIDTHS, snr = i / WIDTHS % SNRS, sides = i / (WIDTHS * SNRS) % SIDES;
		rc = make(&w->local[width][snr][sides][i / (WIDTHS * SNRS * SIDES)], num,
		          width_in_cp[width] * (double)num->cp, snr_least_db + snr_step_db * snr, sides,
		          i / (WIDTHS * SNRS * SIDES));
	}
	if (!rc)
		return w;
	local_wiener_destroy(w);
	errno = ENOMEM;
	return NULL;
}

void local_wiener_destroy(struct local_wiener *w)
{
	if (!w)
		return;
	struct local *all = &w->local[0][0][0][0];
	for (size_t i = 0; i < WIDTHS * SNRS * SIDES * GAPS; i++)
		matrix_free(&all[i].w);
	free(w);
}

struct local_choice local_wiener_choose(const struct local_wiener *w, double width_samples, float snr)
{
	unsigned width = 0;
	while (width + 1 < WIDTHS && width_in_cp[width + 1] * (double)w->num.cp >= width_samples)
		width++;
	double place_of = (10 * log10(fmax((double)snr, 1e-9)) - snr_least_db) / snr_step_db;
	return (struct local_choice){
		.width = width,
		.snr = (unsigned)fmin(fmax(round(place_of), 0), SNRS - 1),
		.none = place_of < -0.5,
	};
}

float local_wiener_estimate(const struct local_wiener *w, const struct local_choice *c, size_t rb, unsigned sides,
                            const float *p_re, const float *p_im, float *h_re, float *h_im)
{
	const struct local *l = &w->local[c->width][c->snr][sides][gap_of(&w->num, rb, sides)];
	size_t first = first_rb(rb, sides) * LOCAL_RB_PILOTS;
	matrix_multiply(&l->w, p_re + first, p_im + first, h_re, h_im);
	return l->left;
}
