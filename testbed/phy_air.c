#include "testbed/phy_air.h"

#include "radio/gauss.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct phy_air {
	struct fracdelay *kernel;
	size_t n_links;
	const struct ring *ring[PHY_DEVICES_MAX];
	double start_lag[PHY_DEVICES_MAX]; /* sender's clock at receiver sample 0 */
	struct fading_link link[PHY_DEVICES_MAX];
	struct fading_link_scratch scratch;
	uint64_t seed;
	uint32_t stream;
	float sigma; /* of a component */
	float re[LINK_MAX_COUNT], im[LINK_MAX_COUNT], noise_re[LINK_MAX_COUNT], noise_im[LINK_MAX_COUNT];
};

struct phy_air *phy_air_create(void)
{
	struct phy_air *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->kernel = fracdelay_create();
	if (a->kernel)
		return a;
	free(a);
	return NULL;
}

void phy_air_destroy(struct phy_air *a)
{
	if (!a)
		return;
	fracdelay_destroy(a->kernel);
	free(a);
}

void phy_air_reset(struct phy_air *a, uint64_t seed, uint32_t stream, double noise_var)
{
	a->n_links = 0;
	a->seed = seed;
	a->stream = stream;
	a->sigma = (float)sqrt(0.5 * noise_var);
}

int phy_air_link(struct phy_air *a, const struct ring *from, const struct fading_link_config *config)
{
	if (a->n_links == PHY_DEVICES_MAX)
		return -ENOSPC;
	int rc = fading_link_init(&a->link[a->n_links], config, a->kernel);
	if (rc)
		return rc;
	a->ring[a->n_links] = from;
	a->start_lag[a->n_links] = a->link[a->n_links].lag_start + a->link[a->n_links].propagation_delay;
	a->n_links++;
	return 0;
}

/* A stretch of the links' block grid, into re[] and im[]. */
static void hear_chunk(struct phy_air *a, uint64_t t, size_t n)
{
	memset(a->re, 0, n * sizeof a->re[0]);
	memset(a->im, 0, n * sizeof a->im[0]);
	for (size_t i = 0; i < a->n_links; i++)
		fading_link_add(&a->link[i], a->ring[i], t, n, a->re, a->im, &a->scratch);
	gauss_fill(a->seed, a->stream, t, n, a->noise_re, a->noise_im);
	for (size_t i = 0; i < n; i++) {
		a->re[i] += a->sigma * a->noise_re[i];
		a->im[i] += a->sigma * a->noise_im[i];
	}
}

void phy_air_hear(struct phy_air *a, uint64_t t, size_t n, float complex *samples)
{
	for (size_t done = 0; done < n;) {
		uint64_t at = t + done, chunk = at / LINK_BLOCK * LINK_BLOCK;
		size_t skip = (size_t)(at - chunk), take = LINK_MAX_COUNT - skip;
		if (take > n - done)
			take = n - done;
		hear_chunk(a, chunk, (skip + take + LINK_BLOCK - 1) / LINK_BLOCK * LINK_BLOCK);
		for (size_t i = 0; i < take; i++)
			samples[done + i] = a->re[skip + i] + I * a->im[skip + i];
		done += take;
	}
}

double phy_air_sender_clock(const struct phy_air *a, size_t link, double t)
{
	return t + a->start_lag[link] + t * a->link[link].lag_step;
}

double phy_air_receiver_clock(const struct phy_air *a, size_t link, double sender_t)
{
	return (sender_t - a->start_lag[link]) / (1 + a->link[link].lag_step);
}

double phy_air_cfo_hz(const struct phy_air *a, size_t link)
{
	return a->link[link].cfo_hz;
}

/* exp(j 2 pi turns) times exp(j 2 pi step offset) for the subcarriers, scaled and added to h; DC is skipped. */
static void add_ramp(const struct numerology *num, double complex gain, double step, double complex *h)
{
	const double complex turn = cexp(2 * I * M_PI * step);
	double complex x = gain * cexp(2 * I * M_PI * step * numerology_offset(num, 0));
	for (size_t k = 0; k < num->n_sc; k++) {
		if (k == num->n_sc / 2)
			x *= turn;
		h[k] += x;
		x *= turn;
	}
}

void phy_air_truth(const struct phy_air *a, size_t link, const struct phy_air_look *look, double complex *h)
{
	const struct fading_link *l = &a->link[link];
	const struct numerology *num = look->num;
	float re[TDL_MAX_TAPS], im[TDL_MAX_TAPS];
	double t_s = l->t_start_s + look->t_ref * l->t_step_s;
	double sent = phy_air_sender_clock(a, link, look->t_ref) - look->sent_at;
	double heard = look->t_ref - look->t_slot;
	double phase = 2 * M_PI * l->cfo_hz * t_s + look->nco_rad - look->down_rad +
	               2 * M_PI * (look->nco_hz * sent - look->down_hz * heard) / num->rate_hz;
	tdl_gains(&l->fading, t_s, re, im);
	memset(h, 0, num->n_sc * sizeof *h);
	for (size_t i = 0; i < l->fading.n_taps; i++) {
		double delay = l->propagation_delay + l->tap_delay[i];
		double complex gain = look->amplitude * l->gain * (re[i] + I * im[i]) *
		                      cexp(I * (phase - 2 * M_PI * look->nco_hz * delay / l->rate_hz));
		add_ramp(num, gain, (sent - heard) / (double)num->n_fft - num->scs_hz * delay / l->rate_hz, h);
	}
}
