/* spread.h - many seeded trials: what is drawn for each, and how their outcomes are told.
 *
 * A trial's draws are pure functions of its seed and a stream number. Outcomes are arrays in which NAN stands for a
 * trial without one; it is left out of the statistics, and n says how many there were.
 */
#ifndef TESTBED_SPREAD_H
#define TESTBED_SPREAD_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Uniform in 0 .. 1. */
double spread_uniform(uint64_t seed, uint64_t stream);

/* Oscillator error in ppm that gives a carrier offset drawn uniformly from -cfo_hz .. cfo_hz at that carrier. */
double spread_ppm(uint64_t seed, uint64_t stream, double cfo_hz, double carrier_hz);

/* {n, mean, sd, min, p50, p95, p99, max}; null where there is nothing to say. */
json_t *spread_json(const double *x, size_t n);

/* One line: name, n, mean, p50, p95, p99, max. */
void spread_print(FILE *f, const char *name, const double *x, size_t n);

#endif
