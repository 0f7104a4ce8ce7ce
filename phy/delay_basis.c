#include "phy/delay_basis.h"

#include "phy/dpss.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ratio = 1.35;        /* from one width to the next */
static const double narrowest = 0.7;     /* of the delay resolution n_fft / n_sc */
static const double lost_max = 2e-5;     /* share of a flat profile's energy that a basis may miss */
static const double widest_in_cp = 1.35; /* from a quarter of the prefix early to more than a whole one late */

static const double taper_beta = 8.5, main_lobe_wide = 2.9; /* resolutions to either side */
static const double bins_apart = 0.7;                       /* resolutions */
static const double beyond = 0.125; /* how far the profile looks past the widest window, cyclic prefixes */

static void free_fit(struct delay_fit *f)
{
	matrix_free(&f->gather);
	for (size_t level = 0; level < DELAY_LEVELS; level++) {
		matrix_free(&f->at[level].solve);
		free(f->at[level].damping);
		free(f->at[level].noise);
	}
}

static void free_basis(struct delay_basis *b, size_t n_sets)
{
	for (size_t s = 0; b->fits && s < n_sets; s++)
		free_fit(&b->fits[s]);
	free(b->fits);
	matrix_free(&b->rb_share);
	free(b->prior);
	matrix_free(&b->tilt);
	matrix_free(&b->in);
	matrix_free(&b->half);
}

void delay_bank_destroy(struct delay_bank *b)
{
	if (!b)
		return;
	for (size_t s = 0; s < b->n_sets; s++) {
		matrix_free(&b->scan[s].c);
		matrix_free(&b->scan[s].s);
		free(b->pilot_at[s]);
	}
	matrix_free(&b->leak);
	for (size_t w = 0; w < b->n_widths; w++)
		free_basis(&b->basis[w], b->n_sets);
	free(b);
}

/* a: n x n, symmetric, positive definite; becomes its inverse. */
static void invert(double *a, size_t n)
{
	for (size_t k = 0; k < n; k++) { /* Gauss-Jordan in place: no exchanges are needed */
		double pivot = 1 / a[k * n + k];
		a[k * n + k] = 1;
		for (size_t j = 0; j < n; j++)
			a[k * n + j] *= pivot;
		for (size_t i = 0; i < n; i++) {
			double f = a[i * n + k];
			if (i == k)
				continue;
			a[i * n + k] = 0;
			for (size_t j = 0; j < n; j++)
				a[i * n + j] -= f * a[k * n + j];
		}
	}
}

/* gram: dim x dim, gather gather'. work: two such matrices. */
static void solve_fit(struct delay_solution *f, const struct delay_basis *b, const double *gram, double design_noise,
                      size_t n_pilots, size_t n_grid, double *work)
{
	size_t dim = b->dim;
	double *inverse = work, *product = work + dim * dim;
	memcpy(inverse, gram, dim * dim * sizeof *gram);
	for (size_t i = 0; i < dim; i++) {
		f->damping[i] = (float)(design_noise / (double)b->prior[i]);
		inverse[i * dim + i] += design_noise / (double)b->prior[i];
	}
	invert(inverse, dim);
	for (size_t i = 0; i < dim; i++)
		for (size_t j = 0; j < dim; j++) {
			double sum = 0;
			for (size_t m = 0; m < dim; m++)
				sum += inverse[i * dim + m] * gram[m * dim + j];
			product[i * dim + j] = sum;
			*matrix_at(&f->solve, i, j) = (float)inverse[i * dim + j];
		}
	/* What does not fit, of noise and of a channel of that profile together: n - tr S of the noise, S the fit. */
	double dof = (double)n_pilots, gain = 0, bias = 0;
	for (size_t i = 0; i < dim; i++) {
		double noise = 0;
		for (size_t j = 0; j < dim; j++) {
			double lost = (i == j) - product[i * dim + j];
			noise += product[i * dim + j] * inverse[j * dim + i];
			bias += lost * lost * (double)b->prior[j];
		}
		f->noise[i] = (float)noise;
		gain += noise;
		dof -= product[i * dim + i];
	}
	f->dof = (float)fmax(dof, 0);
	f->noise_gain = (float)(gain / (double)n_grid);
	f->bias = (float)(bias / (double)n_grid);
}

/* v: the sequences, dim x n_grid; gram: dim x dim. */
static void gather(struct delay_fit *f, const struct delay_basis *b, const double *v, size_t n_grid, const uint16_t *at,
                   double *gram)
{
	size_t dim = b->dim, n = f->n;
	for (size_t i = 0; i < dim; i++) {
		for (size_t p = 0; p < n; p++)
			*matrix_at(&f->gather, i, p) = (float)v[i * n_grid + at[p]];
		for (size_t j = 0; j <= i; j++) {
			double sum = 0;
			for (size_t p = 0; p < n; p++)
				sum += v[i * n_grid + at[p]] * v[j * n_grid + at[p]];
			gram[i * dim + j] = gram[j * dim + i] = sum;
		}
	}
}

static int make_fit(struct delay_fit *f, const struct delay_bank *bank, const struct delay_basis *b, const double *v,
                    size_t n, const uint16_t *at)
{
	size_t dim = b->dim;
	double *work = calloc(3 * dim * dim, sizeof *work);
	f->n = n;
	int rc = work ? matrix_init(&f->gather, dim, n) : -ENOMEM;
	if (!rc)
		gather(f, b, v, bank->n_grid, at, work);
	for (size_t level = 0; !rc && level < DELAY_LEVELS; level++) {
		struct delay_solution *s = &f->at[level];
		s->damping = calloc(matrix_padded(dim), sizeof *s->damping);
		s->noise = calloc(matrix_padded(dim), sizeof *s->noise);
		rc = s->damping && s->noise ? matrix_init(&s->solve, dim, dim) : -ENOMEM;
		if (!rc)
			solve_fit(s, b, work, pow(10, -1 - (double)level), n, bank->n_grid, work + dim * dim);
	}
	free(work);
	return rc;
}

static void fill_basis(struct delay_basis *b, const struct delay_bank *bank, const double *v, const double *lambda)
{
	size_t n = bank->n_grid, dim = b->dim;
	double product = b->width * (double)n / (double)bank->num.n_fft;
	for (size_t j = 0; j < dim; j++) {
		b->prior[j] = (float)((double)n * lambda[j] / product);
		for (size_t i = 0; i < n; i++)
			*matrix_at(&b->in, j, i) = (float)v[j * n + i];
		for (size_t i = 0; i < b->half.n_rows; i++)
			*matrix_at(&b->half, i, j) = (float)v[j * n + i];
		for (size_t k = 0; k < b->rb_share.n_rows * PHY_RB_SC; k++) {
			double x = v[j * n + delay_index(&bank->num, k)];
			*matrix_at(&b->rb_share, k / PHY_RB_SC, j) += (float)(x * x / PHY_RB_SC);
		}
		for (size_t l = 0; l < dim; l++) {
			double sum = 0;
			for (size_t i = 0; i < n; i++)
				sum += v[j * n + i] * v[l * n + i] * ((double)i - (double)(n / 2));
			*matrix_at(&b->tilt, j, l) = (float)sum;
		}
	}
}

/* Sequences that carry all but lost_max of a flat profile. */
static size_t count_sequences(const double *lambda, size_t n_max, double product)
{
	double lost = 1;
	size_t n = 0;
	while (n < n_max && lost > lost_max)
		lost -= lambda[n++] / product;
	return n;
}

static int make_basis(struct delay_bank *bank, double width, const struct delay_pilots *sets)
{
	struct delay_basis *b = &bank->basis[bank->n_widths++];
	size_t n = bank->n_grid;
	double product = width * (double)n / (double)bank->num.n_fft;
	size_t n_max = (size_t)product + 16 < n ? (size_t)product + 16 : n;
	double *v = calloc(n * n_max, sizeof *v), *lambda = calloc(n_max, sizeof *lambda);
	int rc = v && lambda ? dpss(n, 0.5 * width / (double)bank->num.n_fft, n_max, v, lambda) : -ENOMEM;
	if (!rc) {
		b->width = width;
		b->dim = count_sequences(lambda, n_max, product);
		b->prior = calloc(matrix_padded(b->dim), sizeof *b->prior);
		b->fits = calloc(bank->n_sets, sizeof *b->fits);
		rc = b->prior && b->fits ? 0 : -ENOMEM;
	}
	if (!rc)
		rc = matrix_init(&b->half, matrix_padded(n / 2 + 1), b->dim);
	if (!rc)
		rc = matrix_init(&b->in, b->dim, n);
	if (!rc)
		rc = matrix_init(&b->tilt, b->dim, b->dim);
	if (!rc)
		rc = matrix_init(&b->rb_share, (bank->num.n_rb + 1) / 2, b->dim);
	if (!rc)
		fill_basis(b, bank, v, lambda);
	for (size_t s = 0; !rc && s < bank->n_sets; s++)
		rc = make_fit(&b->fits[s], bank, b, v, sets[s].n, bank->pilot_at[s]);
	bank->dim_max = b->dim > bank->dim_max ? b->dim : bank->dim_max;
	free(lambda);
	free(v);
	return rc;
}

/* Kaiser's taper: side lobes below -62 dB, main lobe 2.9 resolutions to either side. x: -1 .. 1 over the band. */
static double taper(double x)
{
	double z = taper_beta * sqrt(fmax(1 - x * x, 0)), term = 1, sum = 1;
	for (int i = 1; i < 30; i++) {
		term *= z * z / (4 * i * i);
		sum += term;
	}
	return sum;
}

/* Taper of pilot p, by the stretch of the band that it stands for: one next to DC has more of it. */
static double weight(const struct delay_bank *b, const struct delay_pilots *pilots, size_t p)
{
	double here = numerology_offset(&b->num, pilots->k[p]), before = here, after = here;
	if (p > 0)
		before = numerology_offset(&b->num, pilots->k[p - 1]);
	if (p + 1 < pilots->n)
		after = numerology_offset(&b->num, pilots->k[p + 1]);
	return taper(2 * here / (double)b->n_grid) * (after - before);
}

/* |transform|^2 of a tap, seen at a distance. */
static double lobe(const struct delay_bank *b, const struct delay_pilots *pilots, double apart_samples)
{
	double re = 0, im = 0;
	for (size_t p = 0; p < pilots->n; p++) {
		double offset = numerology_offset(&b->num, pilots->k[p]), w = weight(b, pilots, p);
		double angle = 2 * M_PI * offset * apart_samples / (double)b->num.n_fft;
		re += w * cos(angle);
		im += w * sin(angle);
	}
	return re * re + im * im;
}

static int make_scan(struct delay_bank *b, struct delay_scan *scan, const struct delay_pilots *pilots)
{
	int rc = matrix_init(&scan->c, b->n_bins, pilots->n);
	if (!rc)
		rc = matrix_init(&scan->s, b->n_bins, pilots->n);
	if (rc)
		return rc;
	double noise = 0, total = 0;
	for (size_t p = 0; p < pilots->n; p++) {
		double offset = numerology_offset(&b->num, pilots->k[p]), w = weight(b, pilots, p);
		noise += w * w;
		for (size_t i = 0; i < b->n_bins; i++) {
			double delay = b->bin_first + b->bin_step * (double)i;
			double angle = 2 * M_PI * offset * delay / (double)b->num.n_fft;
			*matrix_at(&scan->c, i, p) = (float)(w * cos(angle));
			*matrix_at(&scan->s, i, p) = (float)(w * sin(angle));
		}
	}
	/* A tap in the middle of the bins, 1 on all pilots at its own delay, spreads over them like this. */
	size_t middle = b->n_bins / 2;
	for (size_t i = 0; i < b->n_bins; i++)
		total += lobe(b, pilots, b->bin_step * ((double)i - (double)middle));
	scan->norm = (float)(1 / total);
	scan->noise = (float)(noise / total);
	return 0;
}

static int make_leak(struct delay_bank *b, const struct delay_pilots *pilots)
{
	size_t n = b->n_bins, main_lobe = (size_t)(main_lobe_wide / bins_apart + 1);
	int rc = matrix_init(&b->leak, n, n);
	for (size_t apart = main_lobe; !rc && apart < n; apart++) {
		double share = lobe(b, pilots, b->bin_step * (double)apart) * (double)b->scan[0].norm;
		for (size_t i = 0; i + apart < n; i++)
			*matrix_at(&b->leak, i, i + apart) = *matrix_at(&b->leak, i + apart, i) = (float)share;
	}
	return rc;
}

/* Subcarriers between neighbours; 0 when that is not always the same. */
static size_t step_of(const struct delay_pilots *set)
{
	size_t step = set->n > 1 ? (size_t)(set->k[1] - set->k[0]) : 1;
	for (size_t i = 1; i < set->n; i++)
		if (set->k[i] != set->k[i - 1] + step)
			return 0;
	return step;
}

static int place_pilots(struct delay_bank *b, const struct delay_pilots *sets)
{
	for (size_t s = 0; s < b->n_sets; s++) {
		b->pilot_at[s] = calloc(sets[s].n, sizeof *b->pilot_at[s]);
		if (!b->pilot_at[s])
			return -ENOMEM;
		for (size_t i = 0; i < sets[s].n; i++)
			b->pilot_at[s][i] = (uint16_t)delay_index(&b->num, sets[s].k[i]);
		b->pilot_step[s] = step_of(&sets[s]);
		if (!b->pilot_step[s])
			return -EINVAL;
	}
	return 0;
}

struct delay_bank *delay_bank_create(const struct numerology *num, const struct delay_pilots *sets, size_t n_sets)
{
	if (n_sets < 1 || n_sets > DELAY_PILOT_SETS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	struct delay_bank *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->num = *num;
	b->n_grid = num->n_sc + 1;
	b->n_sets = n_sets;
	double cp = (double)num->cp, width = widest_in_cp * cp,
	       least = narrowest * (double)num->n_fft / (double)num->n_sc;
	b->earliest = -0.25 * cp;
	b->latest = b->earliest + width;
	int rc = place_pilots(b, sets);
	while (!rc && width > least && b->n_widths < DELAY_WIDTHS_MAX) {
		rc = make_basis(b, width, sets);
		if (width >= 0.9 * cp)
			b->initial = b->n_widths - 1;
		width /= ratio;
	}
	b->bin_step = bins_apart * (double)num->n_fft / (double)num->n_sc;
	b->bin_first = b->earliest - beyond * cp;
	b->n_bins = (size_t)ceil((b->latest - b->earliest + 2 * beyond * cp) / b->bin_step) + 1;
	for (size_t s = 0; !rc && s < n_sets; s++)
		rc = make_scan(b, &b->scan[s], &sets[s]);
	if (!rc)
		rc = make_leak(b, &sets[0]);
	if (!rc)
		return b;
	delay_bank_destroy(b);
	errno = -rc;
	return NULL;
}

/* exp(j (start + i step)), i < n, written in whole blocks, each number by a product from one before; the factors are
 * squared in double. */
static void spin(double start, double step, size_t n, float *restrict re, float *restrict im)
{
	double complex by = cos(step) + I * sin(step), first = cos(start) + I * sin(start);
	re[0] = (float)creal(first);
	im[0] = (float)cimag(first);
#pragma GCC unroll 4
	for (size_t have = 1; have < MATRIX_BLOCK; have *= 2, by *= by) {
		float c = (float)creal(by), s = (float)cimag(by);
		for (size_t i = 0; i < have; i++) {
			re[have + i] = re[i] * c - im[i] * s;
			im[have + i] = re[i] * s + im[i] * c;
		}
	}
	float c = (float)creal(by), s = (float)cimag(by);
	for (size_t i = MATRIX_BLOCK; i < n; i += MATRIX_BLOCK)
#pragma omp simd
		for (size_t k = i; k < i + MATRIX_BLOCK; k++) {
			re[k] = re[k - MATRIX_BLOCK] * c - im[k - MATRIX_BLOCK] * s;
			im[k] = re[k - MATRIX_BLOCK] * s + im[k - MATRIX_BLOCK] * c;
		}
}

static double turn_a_subcarrier(const struct delay_bank *b, double delay_samples)
{
	return -2 * M_PI * delay_samples / (double)b->num.n_fft;
}

void delay_ramp(const struct delay_bank *b, double delay_samples, double phase_rad, float *re, float *im)
{
	double step = turn_a_subcarrier(b, delay_samples);
	spin(phase_rad - step * (double)(b->n_grid / 2), step, b->n_grid, re, im);
}

void delay_ramp_part(const struct delay_bank *b, double delay_samples, size_t first, size_t end, float *re, float *im)
{
	double step = turn_a_subcarrier(b, delay_samples);
	first -= first % MATRIX_BLOCK;
	spin(step * ((double)first - (double)(b->n_grid / 2)), step, end - first, re + first, im + first);
}

void delay_half_ramp(const struct delay_bank *b, double delay_samples, float *re, float *im)
{
	double step = turn_a_subcarrier(b, delay_samples);
	spin(-step * (double)(b->n_grid / 2), step, b->n_grid / 2 + 1, re, im);
}

void delay_pilot_ramp(const struct delay_bank *b, size_t set, double delay_samples, double phase_rad, float *re,
                      float *im)
{
	const uint16_t *at = b->pilot_at[set];
	size_t n = b->basis[0].fits[set].n, middle = b->n_grid / 2, i = 0;
	double step = turn_a_subcarrier(b, delay_samples), start = phase_rad - step * (double)middle;
	spin(start + step * at[0], step * (double)b->pilot_step[set], n, re, im);
	while (i < n && at[i] < middle)
		i++;
	float c = (float)cos(step), s = (float)sin(step);
	for (; i < n; i++) { /* one step more across DC */
		float x = re[i];
		re[i] = x * c - im[i] * s;
		im[i] = x * s + im[i] * c;
	}
}

void delay_response(const struct delay_bank *bank, const struct delay_basis *b, const float *x_re, const float *x_im,
                    const float *half_ramp_re, const float *half_ramp_im, float *y_re, float *y_im)
{
	matrix_multiply_mirrored(&b->half, bank->n_grid, x_re, x_im, half_ramp_re, half_ramp_im, y_re, y_im);
}

void delay_profile(const struct delay_bank *b, size_t set, const float *y_re, const float *y_im, float *power,
                   float *work)
{
	const struct delay_scan *scan = &b->scan[set];
	size_t n = matrix_padded(b->n_bins);
	float *c_re = work, *c_im = work + n, *s_re = work + 2 * n, *s_im = work + 3 * n;
	matrix_multiply(&scan->c, y_re, y_im, c_re, c_im);
	matrix_multiply(&scan->s, y_re, y_im, s_re, s_im);
	for (size_t i = 0; i < n; i++) {
		float re = c_re[i] - s_im[i], im = c_im[i] + s_re[i];
		power[i] = (re * re + im * im) * scan->norm;
	}
}

size_t delay_level(float noise_share)
{
	static const float most[DELAY_LEVELS - 1] = { 5.01187e-2f, 5.01187e-3f, 5.01187e-4f }; /* 13, 23, 33 dB */
	size_t level = 0;
	for (size_t i = 0; i < DELAY_LEVELS - 1; i++)
		level += noise_share <= most[i];
	return level;
}

float delay_fit(const struct delay_basis *b, size_t set, size_t level, const float *y_re, const float *y_im,
                float *x_re, float *x_im, float *work_re, float *work_im)
{
	const struct delay_fit *f = &b->fits[set];
	const struct delay_solution *s = &f->at[level];
	float energy = 0, explained = 0;
	matrix_multiply(&f->gather, y_re, y_im, work_re, work_im);
	matrix_multiply(&s->solve, work_re, work_im, x_re, x_im);
#pragma omp simd reduction(+ : energy)
	for (size_t i = 0; i < f->n; i++)
		energy += y_re[i] * y_re[i] + y_im[i] * y_im[i];
		/* |y - B x|^2 with B'B x = B'y - damping x. */
#pragma omp simd reduction(+ : explained)
	for (size_t j = 0; j < b->dim; j++)
		explained += x_re[j] * (work_re[j] + s->damping[j] * x_re[j]) +
		             x_im[j] * (work_im[j] + s->damping[j] * x_im[j]);
	return energy > explained ? energy - explained : 0;
}
