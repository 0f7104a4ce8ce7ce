#include "testbed/published.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/select.h"
#include "testbed/spread.h"
#include "testbed/stats.h"

enum { TOP_K = 2, N_RB = 100, HIDDEN = 4096, WIDTH = 14336, BITS = 16, ACTIVATION_FLOP = 7 };

static const double noise_w_hz = 3.981071705534972e-21; /* -174 dBm */
static const double nearest_m = 20, flops_least = 0.5e12, flops_most = 5e12, logit_sd = 1.5;

const char *published_name(enum published_scheme s)
{
	static const char *const names[PUBLISHED_SCHEMES] = { "vanilla + equal", "wdmoe + equal", "vanilla + minmax",
		                                              "wdmoe + minmax", "frontier + minmax" };
	return names[s];
}

struct published published_default(void)
{
	return (struct published){ .bandwidth_hz = 100e6,
		                   .bs_w = 10,
		                   .device_w = 0.2,
		                   .carrier_hz = 3.5e9,
		                   .radius_m = 200,
		                   .n_devices = 8,
		                   .n_tokens = 64,
		                   .n_layers = 8,
		                   .theta = NAN };
}

struct world {
	const struct published *p;
	uint64_t seed, stream;
	double gain[PUBLISHED_EXPERTS]; /* of the path */
	struct layer l;
	struct layer_device device[PUBLISHED_EXPERTS];
	double weights[PUBLISHED_TOKENS_MAX * PUBLISHED_EXPERTS];
	uint8_t holds[PUBLISHED_EXPERTS * PUBLISHED_EXPERTS];
	struct layer_choice choices[PUBLISHED_TOKENS_MAX * TOP_K];
	uint32_t tokens_on[PUBLISHED_EXPERTS];
	struct bandwidth split;
	struct selector *vanilla, *wdmoe, *frontier;
};

static double draw(struct world *w)
{
	return spread_uniform(w->seed, w->stream++);
}

/* What lasts: places, speeds, experts. */
static void draw_devices(struct world *w)
{
	const struct published *p = w->p;
	const double flop = 6.0 * HIDDEN * WIDTH + (ACTIVATION_FLOP + 1.0) * WIDTH;
	for (size_t d = 0; d < p->n_devices; d++) {
		double near2 = nearest_m * nearest_m, far2 = p->radius_m * p->radius_m;
		double distance_m = sqrt(near2 + (far2 - near2) * draw(w));
		double loss_db = 32.4 + 20 * log10(p->carrier_hz / 1e9) + 20 * log10(distance_m);
		double flops = flops_least * pow(flops_most / flops_least, draw(w));
		w->gain[d] = pow(10, -loss_db / 10);
		w->device[d] = (struct layer_device){ .alive = true, .per_token_s = flop / flops };
	}
	for (size_t e = 0; e < PUBLISHED_EXPERTS; e++)
		w->holds[e * p->n_devices + e % p->n_devices] = 1;
	w->l = (struct layer){ .n_tokens = p->n_tokens,
		               .n_experts = PUBLISHED_EXPERTS,
		               .top_k = TOP_K,
		               .n_devices = p->n_devices,
		               .n_rb = N_RB,
		               .power = LAYER_TOTAL,
		               .block_hz = p->bandwidth_hz / N_RB,
		               .token_bits = { BITS * HIDDEN, BITS * HIDDEN },
		               .weights = w->weights,
		               .holds = w->holds,
		               .device = w->device };
}

/* What each layer draws anew: fading and routing. */
static void draw_layer(struct world *w)
{
	const struct published *p = w->p;
	const double power_w[2] = { p->bs_w, p->device_w };
	for (size_t d = 0; d < p->n_devices; d++)
		for (int dir = 0; dir < 2; dir++)
			w->device[d].snr[dir] = power_w[dir] * w->gain[d] * -log(1 - draw(w) * (1 - 1e-12)) /
			                        (noise_w_hz * p->bandwidth_hz);
	for (size_t j = 0; j < p->n_tokens; j++) {
		double *weights = w->weights + j * PUBLISHED_EXPERTS, sum = 0;
		for (size_t e = 0; e < PUBLISHED_EXPERTS; e++)
			sum += weights[e] = exp(logit_sd * stats_normal_quantile(1e-12 + (1 - 2e-12) * draw(w)));
		for (size_t e = 0; e < PUBLISHED_EXPERTS; e++)
			weights[e] /= sum;
	}
}

static void add(struct world *w, const char *method, struct published_means *to)
{
	double share = 1 / (double)w->p->n_layers;
	layer_load(&w->l, w->choices, w->tokens_on);
	bandwidth_method_find(method)->allocate(&w->l, w->tokens_on, &w->split);
	to->latency_s += share * w->split.latency_s;
	to->kept_weight += share * layer_kept_weight(&w->l, w->choices);
	to->wlr += share * layer_wlr(&w->l, w->choices, w->split.device_s);
}

/* frontier at the least latency that keeps so much weight. */
static void run_frontier(struct world *w, double kept)
{
	struct select_params p = select_params_default();
	size_t n;
	p.split = bandwidth_method_find("minmax");
	selector_run(w->frontier, &w->l, &p, w->choices);
	const struct select_point *curve = selector_curve(w->frontier, &n);
	size_t i = 0;
	while (i + 1 < n && curve[i].kept_weight < kept - 1e-9)
		i++;
	p.latency_s = n ? curve[i].layer_latency_s : NAN;
	selector_run(w->frontier, &w->l, &p, w->choices);
}

static void run_layer(struct world *w, struct published_means *out)
{
	struct select_params p = select_params_default();
	if (!isnan(w->p->theta))
		p.theta_start = p.theta_max = w->p->theta;
	draw_layer(w);
	selector_run(w->vanilla, &w->l, &p, w->choices);
	add(w, "equal", &out[PUBLISHED_NEITHER]);
	add(w, "minmax", &out[PUBLISHED_BANDWIDTH]);
	selector_run(w->wdmoe, &w->l, &p, w->choices);
	double kept = layer_kept_weight(&w->l, w->choices);
	add(w, "equal", &out[PUBLISHED_SELECTION]);
	add(w, "minmax", &out[PUBLISHED_BOTH]);
	run_frontier(w, kept);
	add(w, "minmax", &out[PUBLISHED_FRONTIER]);
}

int published_run(const struct published *p, uint64_t seed, struct published_means *out)
{
	struct select_limits limits = { p->n_tokens, PUBLISHED_EXPERTS, TOP_K, p->n_devices, 0 };
	struct world *w = calloc(1, sizeof *w);
	memset(out, 0, PUBLISHED_SCHEMES * sizeof *out);
	if (!w)
		return -ENOMEM;
	w->p = p;
	w->seed = seed;
	w->vanilla = selector_create("vanilla", &limits);
	w->wdmoe = selector_create("wdmoe", &limits);
	w->frontier = selector_create("frontier", &limits);
	int rc = w->vanilla && w->wdmoe && w->frontier ? 0 : -ENOMEM;
	if (!rc)
		draw_devices(w);
	for (size_t i = 0; i < p->n_layers && !rc; i++)
		run_layer(w, out);
	selector_destroy(w->frontier);
	selector_destroy(w->wdmoe);
	selector_destroy(w->vanilla);
	free(w);
	return rc;
}
