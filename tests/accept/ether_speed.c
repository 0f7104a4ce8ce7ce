/* ether_speed - what the ether costs on one core: CPU time a slot and a link-sample.
 *
 *     ether_speed [-m model] [-d devices] [-r rate_hz] [-v speed_m_s] [-n slots] [-q]
 *
 * Every node sends (-q: devices are silent) and receives every slot of 0.5 ms: all downlinks and all uplinks, clocks
 * off, fading, delays, noise. Ten rounds; the fastest and the median are printed as JSON, for machines are shared.
 * link_samples counts slot samples times links, both directions.
 */
#include "radio/ether.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 10, AHEAD = 4 };

struct setup {
	const char *model;
	size_t devices, slots, slot_len;
	double rate_hz, speed_m_s;
	int quiet;
};

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct ether *create(const struct setup *s)
{
	struct ether_config cfg = {
		.rate_hz = s->rate_hz, .dl_hz = 3.5e9, .ul_hz = 3.4e9, .seed = 1, .n_devices = s->devices
	};
	for (size_t k = 0; k <= s->devices; k++) {
		cfg.node[k] = (struct ether_node_config){ .osc_ppm = 0.25 * (double)k - 1,
			                                  .tx_full_scale_dbm = 23,
			                                  .noise_figure_db = 7,
			                                  .rx_full_scale_dbm = -30,
			                                  .start_offset_samples = 1000.3 * (double)k };
		cfg.link[k] = (struct ether_link_config){ .path_loss_db = 100,
			                                  .model = s->model,
			                                  .delay_spread_s = 100e-9,
			                                  .propagation_delay_s = 1e-7 * (double)k,
			                                  .speed_m_s = s->speed_m_s };
	}
	char err[160];
	struct ether *e = ether_create(&cfg, err, sizeof err);
	if (!e)
		fprintf(stderr, "%s\n", err);
	return e;
}

/* CPU seconds of one round of slots from `first` on. */
static double round_s(struct ether *e, const struct setup *s, const float complex *x, float complex *y, size_t first)
{
	double begin = cpu_s();
	for (size_t slot = first; slot < first + s->slots; slot++) {
		for (size_t k = 0; k <= (s->quiet ? 0 : s->devices); k++)
			radio_send(ether_radio(e, k), x, s->slot_len, (slot + AHEAD) * s->slot_len);
		for (size_t k = 0; k <= s->devices; k++)
			radio_recv(ether_radio(e, k), y, s->slot_len, ether_clock(e, k, (double)(slot * s->slot_len)));
	}
	return cpu_s() - begin;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int measure(const struct setup *s)
{
	struct ether *e = create(s);
	float complex *x = calloc(s->slot_len, sizeof *x), *y = calloc(s->slot_len, sizeof *y);
	if (!e || !x || !y) {
		ether_destroy(e);
		free(x);
		free(y);
		return 1;
	}
	for (size_t i = 0; i < s->slot_len; i++)
		x[i] = (float complex)(0.3 * cexp(I * 0.001 * (double)(i * i)));
	double t[ROUNDS];
	for (size_t r = 0; r < ROUNDS; r++)
		t[r] = round_s(e, s, x, y, r * s->slots);
	qsort(t, ROUNDS, sizeof t[0], compare);
	double links = 2.0 * (double)s->devices, per_slot = 1 / (double)s->slots;
	double per_sample = per_slot / (links * (double)s->slot_len);
	printf("{\"model\": \"%s\", \"devices\": %zu, \"rate_hz\": %.0f, \"speed_m_s\": %g, \"uplinks_silent\": %s, "
	       "\"slots\": %zu, \"us_per_slot\": {\"fastest\": %.1f, \"median\": %.1f}, "
	       "\"ns_per_link_sample\": {\"fastest\": %.2f, \"median\": %.2f}, \"times_real_time\": %.2f}\n",
	       s->model, s->devices, s->rate_hz, s->speed_m_s, s->quiet ? "true" : "false", s->slots,
	       1e6 * t[0] * per_slot, 1e6 * t[ROUNDS / 2] * per_slot, 1e9 * t[0] * per_sample,
	       1e9 * t[ROUNDS / 2] * per_sample, (double)s->slot_len / s->rate_hz / (t[ROUNDS / 2] * per_slot));
	ether_destroy(e);
	free(x);
	free(y);
	return 0;
}

int main(int argc, char **argv)
{
	struct setup s = { .model = "tdl-a", .devices = 8, .slots = 200, .rate_hz = 7.68e6, .speed_m_s = 3 / 3.6 };
	for (int c; (c = getopt(argc, argv, "m:d:r:v:n:q")) != -1;) {
		switch (c) {
		case 'm':
			s.model = optarg;
			break;
		case 'd':
			s.devices = (size_t)atoi(optarg);
			break;
		case 'r':
			s.rate_hz = atof(optarg);
			break;
		case 'v':
			s.speed_m_s = atof(optarg);
			break;
		case 'n':
			s.slots = (size_t)atoi(optarg);
			break;
		case 'q':
			s.quiet = 1;
			break;
		default:
			fprintf(stderr,
			        "usage: %s [-m model] [-d devices] [-r rate_hz] [-v speed_m_s] [-n slots] [-q]\n",
			        argv[0]);
			return 2;
		}
	}
	s.slot_len = (size_t)(s.rate_hz * 0.5e-3);
	return measure(&s);
}
