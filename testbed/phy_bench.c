#include "testbed/phy_bench.h"

#include "testbed/cli.h"
#include "testbed/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS_MAX = 1 << 17, ROUNDS_MIN = 3 };

int bench_init(struct bench *b, const char *name, size_t n_items, double samples, double bits)
{
	*b = (struct bench){ .name = name, .n_items = n_items, .samples = samples, .bits = bits, .room = CALLS_MAX };
	b->shortest = calloc(n_items, sizeof *b->shortest);
	b->ns = malloc(b->room * sizeof *b->ns);
	if (b->shortest && b->ns)
		return 0;
	bench_free(b);
	return -ENOMEM;
}

void bench_free(struct bench *b)
{
	free(b->ns);
	free(b->shortest);
	*b = (struct bench){ 0 };
}

double bench_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

void bench_note(struct bench *b, size_t item, double ns)
{
	if (!(b->shortest[item] > 0 && b->shortest[item] <= ns))
		b->shortest[item] = ns;
	if (b->n < b->room)
		b->ns[b->n++] = ns;
}

void bench_run(struct bench *b, double seconds, void (*work)(void *arg, size_t item), void *arg)
{
	double end = bench_now_ns() + 1e9 * seconds;
	for (int round = 0; round < ROUNDS_MIN || bench_now_ns() < end; round++)
		for (size_t i = 0; i < b->n_items; i++) {
			double start = bench_now_ns();
			work(arg, i);
			bench_note(b, i, bench_now_ns() - start);
		}
}

double bench_best_ns(const struct bench *b)
{
	double sum = 0;
	size_t n = 0;
	for (size_t i = 0; i < b->n_items; i++) {
		sum += b->shortest[i];
		n += b->shortest[i] > 0;
	}
	return n ? sum / (double)n : NAN;
}

struct percentiles {
	double min, p50, p90, p99;
};

static struct percentiles percentiles_us(const struct bench *b)
{
	double *sorted = b->n ? malloc(b->n * sizeof *sorted) : NULL;
	if (!sorted)
		return (struct percentiles){ NAN, NAN, NAN, NAN };
	memcpy(sorted, b->ns, b->n * sizeof *sorted);
	stats_sort(sorted, b->n);
	struct percentiles p = { 1e-3 * sorted[0], 1e-3 * stats_percentile(sorted, b->n, 50),
		                 1e-3 * stats_percentile(sorted, b->n, 90), 1e-3 * stats_percentile(sorted, b->n, 99) };
	free(sorted);
	return p;
}

/* Millions a second, of so many an item. */
static double per_s(const struct bench *b, double amount)
{
	return amount > 0 ? 1e3 * amount / bench_best_ns(b) : NAN;
}

void bench_print_head(FILE *f)
{
	fprintf(f, "%-34s %9s %9s %9s %9s %9s %9s\n", "", "best us", "p50 us", "p90 us", "p99 us", "Msps", "Mbit/s");
}

static void cell(FILE *f, double x)
{
	if (isfinite(x))
		fprintf(f, " %9.*f", x < 10 ? 3 : x < 1000 ? 1 : 0, x);
	else
		fprintf(f, " %9s", "-");
}

void bench_print(FILE *f, const struct bench *b)
{
	struct percentiles p = percentiles_us(b);
	fprintf(f, "%-34s", b->name);
	const double cells[] = {
		1e-3 * bench_best_ns(b), p.p50, p.p90, p.p99, per_s(b, b->samples), per_s(b, b->bits)
	};
	for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
		cell(f, cells[i]);
	fputc('\n', f);
}

json_t *bench_json(const struct bench *b)
{
	struct percentiles p = percentiles_us(b);
	return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", b->name, "calls", (json_int_t)b->n,
	                 "best_us", json_real_or_null(1e-3 * bench_best_ns(b)), "min_us", json_real_or_null(p.min),
	                 "p50_us", json_real_or_null(p.p50), "p90_us", json_real_or_null(p.p90), "p99_us",
	                 json_real_or_null(p.p99), "msps", json_real_or_null(per_s(b, b->samples)), "mbit_s",
	                 json_real_or_null(per_s(b, b->bits)));
}
