/* link_speed - what one direction of one link costs on one core, noise apart: time-varying taps, clocks that drift, carrier offset.
 *
 *     link_speed [-t taps] [-r rate_hz] [-v speed_m_s] [-n blocks]
 *
 * Taps of exponentially falling power lie anywhere (not on samples) over half a microsecond. Ten rounds by CPU time; JSON.
 */
#include "radio/fading_link.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 10, CALL = LINK_MAX_COUNT, BATCH = 16 /* calls between two looks at the clock */ };

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	size_t n_taps = 12, n = 20000;
	double rate_hz = 7.68e6, speed_m_s = 0.83;
	for (int opt; (opt = getopt(argc, argv, "t:r:v:n:")) != -1;)
		switch (opt) {
		case 't':
			n_taps = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			rate_hz = atof(optarg);
			break;
		case 'v':
			speed_m_s = atof(optarg);
			break;
		case 'n':
			n = strtoul(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	static struct fading_link link;
	static struct fading_link_scratch scratch;
	static float re[CALL], im[CALL];
	static float complex x[CALL];
	struct tdl_profile profile = { .name = "taps", .unit = TDL_NS, .n_taps = n_taps };
	if (n_taps < 1 || n_taps > TDL_MAX_TAPS)
		return 2;
	for (size_t i = 0; i < n_taps; i++) {
		profile.tap[i].delay = 500.0 * (double)i / (double)n_taps + 7.0 * (double)(i % 3);
		profile.tap[i].fading = TDL_RAYLEIGH;
		profile.tap[i].power_db = -1.5 * (double)i;
	}
	struct fading_link_config config = { .profile = &profile,
		                             .delay_spread_s = 1,
		                             .speed_m_s = speed_m_s,
		                             .path_loss_db = 60,
		                             .rate_hz = rate_hz,
		                             .carrier_hz = 3.5e9,
		                             .rx_error = 1e-6,
		                             .seed = 1 };
	struct fracdelay *kernel = fracdelay_create();
	struct ring *ring = ring_create(RING_HISTORY);
	if (!kernel || !ring || fading_link_init(&link, &config, kernel))
		return 1;
	for (size_t i = 0; i < CALL; i++)
		x[i] = (float)(i * 37 % 101) / 101 - 0.5f + ((float)(i * 53 % 97) / 97 - 0.5f) * I;
	double round_ns[ROUNDS], spent;
	uint64_t at = 0;
	for (int round = 0; round < ROUNDS; round++) {
		spent = 0;
		for (size_t i = 0; i < n; i += BATCH) {
			for (size_t k = 0; k < BATCH; k++, at += CALL)
				ring_write(ring, at, x, CALL, 1);
			double begin = cpu_s();
			for (uint64_t t = at - BATCH * CALL; t < at; t += CALL)
				fading_link_add(&link, ring, t, CALL, re, im, &scratch);
			spent += cpu_s() - begin;
		}
		round_ns[round] = 1e9 * spent / (double)(n * CALL);
	}
	qsort(round_ns, ROUNDS, sizeof *round_ns, by_value);
	printf("{\"taps\": %zu, \"coefficients\": %zu, \"interval_samples\": %zu, \"rate_hz\": %g, \"speed_m_s\": %g, "
	       "\"link_samples\": %zu, "
	       "\"ns_per_link_sample\": {\"fastest\": %.4f, "
	       "\"median\": %.4f}, \"msps\": {\"fastest\": %.1f, \"median\": %.1f}, \"avx512\": %s}\n",
	       n_taps, link.fir.length, link.interval, rate_hz, speed_m_s, n * CALL * ROUNDS, round_ns[0],
	       round_ns[ROUNDS / 2], 1e3 / round_ns[0], 1e3 / round_ns[ROUNDS / 2],
#ifdef __AVX512F__
	       "true"
#else
	       "false"
#endif
	);
	ring_destroy(ring);
	fracdelay_destroy(kernel);
	return re[0] == re[1];
}
