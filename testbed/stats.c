#include "testbed/stats.h"

#include <math.h>
#include <stdlib.h>

double stats_mean(const double *x, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += x[i];
	return n > 0 ? sum / (double)n : NAN;
}

double stats_sd(const double *x, size_t n)
{
	if (n < 2)
		return NAN;
	double mean = stats_mean(x, n);
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (x[i] - mean) * (x[i] - mean);
	return sqrt(sum / (double)(n - 1));
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void stats_sort(double *x, size_t n)
{
	if (n > 1)
		qsort(x, n, sizeof *x, ascending);
}

double stats_percentile(const double *sorted, size_t n, double percent)
{
	if (n == 0)
		return NAN;
	double at = fmin(fmax(percent, 0), 100) / 100 * (double)(n - 1);
	size_t i = (size_t)at;
	return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

/* The x with cdf(x) = p, for an increasing cdf, by bisection from a bracket grown as needed. */
static double invert(double (*cdf)(double x, double parameter), double parameter, double p)
{
	double low = -1, high = 1;
	while (cdf(low, parameter) > p && low > -1e300)
		low *= 2;
	while (cdf(high, parameter) < p && high < 1e300)
		high *= 2;
	for (int i = 0; i < 200 && high - low > 1e-14 * fmax(1, fabs(low)); i++) {
		double middle = low + (high - low) / 2;
		*(cdf(middle, parameter) < p ? &low : &high) = middle;
	}
	return low + (high - low) / 2;
}

static double normal_cdf(double x, double unused)
{
	(void)unused;
	return erfc(-x / M_SQRT2) / 2;
}

double stats_normal_quantile(double p)
{
	return p > 0 && p < 1 ? invert(normal_cdf, 0, p) : NAN;
}

/* Continued fraction of the incomplete beta function by Lentz's method (Abramowitz and Stegun 26.5.8). */
static double beta_fraction(double a, double b, double x)
{
	const double tiny = 1e-300;
	double c = 1, d = 1 - (a + b) * x / (a + 1);
	d = 1 / (fabs(d) < tiny ? tiny : d);
	double f = d;
	for (int m = 1; m < 500; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		double step = 1;
		for (int k = 0; k < 2; k++) {
			double term = k == 0 ? even : odd;
			d = 1 + term * d;
			c = 1 + term / c;
			d = 1 / (fabs(d) < tiny ? tiny : d);
			c = fabs(c) < tiny ? tiny : c;
			step = c * d;
			f *= step;
		}
		if (fabs(step - 1) < 1e-15)
			break;
	}
	return f;
}

/* I_x(a, b), regularised. */
static double incomplete_beta(double a, double b, double x)
{
	if (x <= 0 || x >= 1)
		return x >= 1;
	double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(a, b, x) / a;
	return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

static double t_cdf(double t, double dof)
{
	double tail = incomplete_beta(dof / 2, 0.5, dof / (dof + t * t)) / 2;
	return t > 0 ? 1 - tail : tail;
}

double stats_t_quantile(double p, double dof)
{
	return p > 0 && p < 1 && dof > 0 ? invert(t_cdf, dof, p) : NAN;
}

struct stats_interval stats_t_interval(const double *x, size_t n, double confidence)
{
	struct stats_interval s = { stats_mean(x, n), NAN, NAN };
	if (n < 2)
		return s;
	double half = stats_t_quantile(0.5 + confidence / 2, (double)(n - 1)) * stats_sd(x, n) / sqrt((double)n);
	s.low = s.mean - half;
	s.high = s.mean + half;
	return s;
}

struct stats_interval stats_paired(const double *a, const double *b, size_t n, double confidence)
{
	struct stats_interval nothing = { NAN, NAN, NAN };
	double *difference = n > 0 ? malloc(n * sizeof *difference) : NULL;
	if (!difference)
		return nothing;
	for (size_t i = 0; i < n; i++)
		difference[i] = a[i] - b[i];
	struct stats_interval s = stats_t_interval(difference, n, confidence);
	free(difference);
	return s;
}

struct stats_interval stats_wilson(size_t hits, size_t trials, double confidence)
{
	if (trials == 0)
		return (struct stats_interval){ NAN, NAN, NAN };
	double z = stats_normal_quantile(0.5 + confidence / 2);
	double n = (double)trials, p = (double)hits / n;
	double centre = (p + z * z / (2 * n)) / (1 + z * z / n);
	double half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
	return (struct stats_interval){ p, hits == 0 ? 0 : centre - half, hits == trials ? 1 : centre + half };
}
