#include "phy/chest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The matrix-vector product goes in blocks of BLOCK outputs; vec is what the compiler makes of the machine's vectors.
 */
enum { LANES = 16, BLOCK = 4 * LANES };
typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

struct chest {
	size_t n_pilots, n_out, n_blocks;
	float *weights;      /* [n_blocks][n_pilots][BLOCK]: W transposed within a block; outputs past n_out are zero */
	float *noise_gain;   /* n_out */
	float complex *turn; /* n_pilots: takes the ramp of the mean delay off */
	float complex *back; /* n_out: puts it on again */
	uint16_t *pilot_out; /* n_pilots: which output is that pilot's subcarrier, or NO_OUTPUT */
	float residual_dof;
	float *re, *im; /* n_pilots */
};

enum { NO_OUTPUT = UINT16_MAX };

struct chest_prior chest_default_prior(const struct numerology *num)
{
	double backoff = (double)numerology_backoff(num);
	return (struct chest_prior){ .delay_min = -backoff, .delay_max = (double)num->cp - backoff, .snr_db = 26 };
}

/* Real frequency correlation after the mean delay is taken off: the transform of a uniform profile `width` samples
 * wide. */
static double correlation(const struct numerology *num, double width, uint16_t k1, uint16_t k2)
{
	double df = numerology_offset(num, k1) - numerology_offset(num, k2);
	double x = M_PI * df * width / (double)num->n_fft;
	return df == 0 ? 1 : sin(x) / x;
}

/* In place: the lower triangle of a becomes L, a = L L'. a: n x n, positive definite. */
static void cholesky(double *a, size_t n)
{
	for (size_t j = 0; j < n; j++) {
		for (size_t i = j; i < n; i++) {
			double s = a[i * n + j];
			for (size_t m = 0; m < j; m++)
				s -= a[i * n + m] * a[j * n + m];
			a[i * n + j] = i == j ? sqrt(s) : s / a[j * n + j];
		}
	}
}

/* x: right-hand side in, solution of L L' x = b out. */
static void cholesky_solve(const double *l, size_t n, double *x)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t m = 0; m < i; m++)
			x[i] -= l[i * n + m] * x[m];
		x[i] /= l[i * n + i];
	}
	for (size_t i = n; i-- > 0;) {
		for (size_t m = i + 1; m < n; m++)
			x[i] -= l[m * n + i] * x[m];
		x[i] /= l[i * n + i];
	}
}

static float complex ramp(const struct numerology *num, double delay, uint16_t k)
{
	double cycles = numerology_offset(num, k) * delay / (double)num->n_fft;
	return (float complex)cexp(-2 * M_PI * I * cycles);
}

static float *weight(const struct chest *c, size_t out, size_t pilot)
{
	return &c->weights[(out / BLOCK * c->n_pilots + pilot) * BLOCK + out % BLOCK];
}

/* Fills weights, noise gains and degrees of freedom. a, row: work space of n_pilots^2 and n_pilots. */
static void solve(struct chest *c, const struct numerology *num, const struct chest_prior *prior,
                  const uint16_t *pilots, const uint16_t *outs, double *a, double *row)
{
	double width = prior->delay_max - prior->delay_min;
	size_t n = c->n_pilots;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++)
			a[i * n + j] = correlation(num, width, pilots[i], pilots[j]);
		a[i * n + i] += pow(10, -prior->snr_db / 10);
	}
	cholesky(a, n);
	/* Residual of noise n through the fit S: E|n - S n|^2 = n_pilots - 2 tr S + tr S'S. */
	double dof = (double)n;
	size_t seen = 0;
	for (size_t o = 0; o < c->n_out; o++) {
		double gain = 0;
		for (size_t j = 0; j < n; j++)
			row[j] = correlation(num, width, outs[o], pilots[j]);
		cholesky_solve(a, n, row);
		for (size_t j = 0; j < n; j++) {
			*weight(c, o, j) = (float)row[j];
			gain += row[j] * row[j];
			if (pilots[j] == outs[o]) {
				c->pilot_out[j] = (uint16_t)o;
				dof -= 2 * row[j];
				seen++;
			}
		}
		c->noise_gain[o] = (float)gain;
	}
	for (size_t j = 0; j < n; j++)
		if (c->pilot_out[j] != NO_OUTPUT)
			dof += c->noise_gain[c->pilot_out[j]];
	c->residual_dof = seen == n ? (float)dof : 0;
}

struct chest *chest_create(const struct numerology *num, const struct chest_prior *prior, const uint16_t *pilots,
                           size_t n_pilots, const uint16_t *outs, size_t n_out)
{
	if (!n_pilots || !n_out || n_pilots > PHY_SC_MAX || n_out > PHY_SC_MAX ||
	    !(prior->delay_min < prior->delay_max)) {
		errno = EINVAL;
		return NULL;
	}
	double *a = calloc(n_pilots * n_pilots, sizeof *a), *row = calloc(n_pilots, sizeof *row);
	struct chest *c = calloc(1, sizeof *c);
	if (!a || !row || !c)
		goto no_memory;
	c->n_pilots = n_pilots;
	c->n_out = n_out;
	c->n_blocks = (n_out + BLOCK - 1) / BLOCK;
	size_t n_weights = c->n_blocks * BLOCK * n_pilots;
	c->weights = aligned_alloc(64, n_weights * sizeof *c->weights);
	c->noise_gain = calloc(n_out, sizeof *c->noise_gain);
	c->turn = calloc(n_pilots, sizeof *c->turn);
	c->back = calloc(n_out, sizeof *c->back);
	c->pilot_out = calloc(n_pilots, sizeof *c->pilot_out);
	c->re = calloc(n_pilots, sizeof *c->re);
	c->im = calloc(n_pilots, sizeof *c->im);
	if (!c->weights || !c->noise_gain || !c->turn || !c->back || !c->pilot_out || !c->re || !c->im)
		goto no_memory;
	memset(c->weights, 0, n_weights * sizeof *c->weights);
	double mean_delay = 0.5 * (prior->delay_min + prior->delay_max);
	for (size_t j = 0; j < n_pilots; j++) {
		c->turn[j] = conjf(ramp(num, mean_delay, pilots[j]));
		c->pilot_out[j] = NO_OUTPUT;
	}
	for (size_t o = 0; o < n_out; o++)
		c->back[o] = ramp(num, mean_delay, outs[o]);
	solve(c, num, prior, pilots, outs, a, row);
	free(row);
	free(a);
	return c;

no_memory:
	chest_destroy(c);
	free(row);
	free(a);
	errno = ENOMEM;
	return NULL;
}

void chest_destroy(struct chest *c)
{
	if (!c)
		return;
	free(c->im);
	free(c->re);
	free(c->pilot_out);
	free(c->back);
	free(c->turn);
	free(c->noise_gain);
	free(c->weights);
	free(c);
}

/* One block of outputs: re, im = W (re, im) of the pilots. */
static void product(const float *restrict w, const float *restrict re, const float *restrict im, size_t n_pilots,
                    float *restrict out_re, float *restrict out_im)
{
	vec r0 = { 0 }, r1 = { 0 }, r2 = { 0 }, r3 = { 0 }, i0 = { 0 }, i1 = { 0 }, i2 = { 0 }, i3 = { 0 };
	for (size_t j = 0; j < n_pilots; j++) {
		const vec *v = (const vec *)(const void *)(w + j * BLOCK);
		r0 += v[0] * re[j], r1 += v[1] * re[j], r2 += v[2] * re[j], r3 += v[3] * re[j];
		i0 += v[0] * im[j], i1 += v[1] * im[j], i2 += v[2] * im[j], i3 += v[3] * im[j];
	}
	const vec r[4] = { r0, r1, r2, r3 }, i[4] = { i0, i1, i2, i3 };
	memcpy(out_re, r, sizeof r);
	memcpy(out_im, i, sizeof i);
}

void chest_estimate(const struct chest *c, const float complex *p, float complex *h)
{
	float out_re[BLOCK], out_im[BLOCK];
	for (size_t j = 0; j < c->n_pilots; j++) {
		float complex turned = p[j] * c->turn[j];
		c->re[j] = crealf(turned);
		c->im[j] = cimagf(turned);
	}
	for (size_t b = 0; b < c->n_blocks; b++) {
		product(c->weights + b * c->n_pilots * BLOCK, c->re, c->im, c->n_pilots, out_re, out_im);
		size_t n = c->n_out - b * BLOCK < BLOCK ? c->n_out - b * BLOCK : BLOCK;
		for (size_t i = 0; i < n; i++)
			h[b * BLOCK + i] = CMPLXF(out_re[i], out_im[i]) * c->back[b * BLOCK + i];
	}
}

float chest_noise_gain(const struct chest *c, size_t i)
{
	return c->noise_gain[i];
}

float chest_residual_dof(const struct chest *c)
{
	return c->residual_dof;
}

float chest_residual(const struct chest *c, const float complex *p, const float complex *h)
{
	float sum = 0;
	for (size_t j = 0; j < c->n_pilots; j++) {
		float complex e = p[j] - h[c->pilot_out[j]];
		sum += crealf(e) * crealf(e) + cimagf(e) * cimagf(e);
	}
	return sum;
}
