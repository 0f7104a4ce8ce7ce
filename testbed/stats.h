/* stats.h - the few statistics that reports need.
 *
 *     double *x = ...;                                   // n latencies
 *     stats_sort(x, n);
 *     double p95 = stats_percentile(x, n, 95);
 *     struct stats_interval d = stats_paired(a, b, n, 0.95);   // mean of a - b, and where it may lie
 *
 * Nothing of nothing is NAN. Numbers must be finite. Sources: Hyndman and Fan 1996, definition 7 (percentiles, as
 * numpy); Student 1908 (paired intervals); Wilson 1927 (proportions).
 */
#ifndef TESTBED_STATS_H
#define TESTBED_STATS_H

#include <stddef.h>

struct stats_interval {
	double mean;
	double low, high; /* of the confidence interval; NAN if there is too little to say (fewer than 2 pairs, no
	                     trials) */
};

double stats_mean(const double *x, size_t n);
double stats_sd(const double *x, size_t n); /* of the sample, n - 1 below the line; NAN for n < 2 */

/* Ascending, in place. */
void stats_sort(double *x, size_t n);
/* sorted: ascending; percent: 0 .. 100. Linear between the two nearest. */
double stats_percentile(const double *sorted, size_t n, double percent);

/* Two-sided Student t interval of the mean of x, and of the mean of a[i] - b[i]. confidence: 0 .. 1, both ends
 * excluded. */
struct stats_interval stats_t_interval(const double *x, size_t n, double confidence);
struct stats_interval stats_paired(const double *a, const double *b, size_t n, double confidence);

/* Wilson score interval of a proportion; mean is hits / trials. */
struct stats_interval stats_wilson(size_t hits, size_t trials, double confidence);

/* Quantiles: P(X <= result) = p, 0 < p < 1. dof: degrees of freedom, > 0. */
double stats_normal_quantile(double p);
double stats_t_quantile(double p, double dof);

#endif
