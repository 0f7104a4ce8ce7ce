#include "testbed/spread.h"

#include <math.h>
#include <stdlib.h>

#include "testbed/cli.h"
#include "testbed/splitmix.h"
#include "testbed/stats.h"

double spread_uniform(uint64_t seed, uint64_t stream)
{
	uint64_t z = splitmix(seed * 0xd1342543de82ef95u + (stream + 1) * SPLITMIX_STEP);
	return (double)(z >> 11) * 0x1p-53;
}

double spread_ppm(uint64_t seed, uint64_t stream, double cfo_hz, double carrier_hz)
{
	return (2 * spread_uniform(seed, stream) - 1) * cfo_hz / carrier_hz * 1e6;
}

struct spread {
	size_t n;
	double mean, sd, min, p50, p95, p99, max;
};

static struct spread summarise(const double *x, size_t n)
{
	struct spread s = { 0 };
	double *sorted = calloc(n + 1, sizeof *sorted);
	for (size_t i = 0; sorted && i < n; i++)
		if (!isnan(x[i]))
			sorted[s.n++] = x[i];
	if (sorted)
		stats_sort(sorted, s.n);
	s.mean = stats_mean(sorted, s.n);
	s.sd = stats_sd(sorted, s.n);
	s.p50 = stats_percentile(sorted, s.n, 50);
	s.p95 = stats_percentile(sorted, s.n, 95);
	s.p99 = stats_percentile(sorted, s.n, 99);
	s.min = s.n ? sorted[0] : NAN;
	s.max = s.n ? sorted[s.n - 1] : NAN;
	free(sorted);
	return s;
}

json_t *spread_json(const double *x, size_t n)
{
	struct spread s = summarise(x, n);
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "n", (json_int_t)s.n, "mean",
	                 json_real_or_null(s.mean), "sd", json_real_or_null(s.sd), "min", json_real_or_null(s.min),
	                 "p50", json_real_or_null(s.p50), "p95", json_real_or_null(s.p95), "p99",
	                 json_real_or_null(s.p99), "max", json_real_or_null(s.max));
}

void spread_print(FILE *f, const char *name, const double *x, size_t n)
{
	struct spread s = summarise(x, n);
	fprintf(f, "%-14s %7zu %9.4f %9.4f %9.4f %9.4f %9.4f\n", name, s.n, s.mean, s.p50, s.p95, s.p99, s.max);
}
