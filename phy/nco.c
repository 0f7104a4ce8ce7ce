#include "phy/nco.h"

#include <math.h>

#define CYCLE 18446744073709551616.0 /* 2^64 */

static double radians(uint64_t phase)
{
	return 2 * M_PI / CYCLE * (double)(int64_t)phase;
}

void nco_init(struct nco *n, double rate_hz)
{
	n->rate_hz = rate_hz;
	n->phase = 0;
	nco_set_hz(n, 0);
}

void nco_set_hz(struct nco *n, double hz)
{
	n->step = (uint64_t)(int64_t)(hz / n->rate_hz * CYCLE);
	double complex power[NCO_BLOCK] = { 1 };
	for (size_t have = 1; have < NCO_BLOCK; have *= 2) {
		double complex up = cexp(I * radians(n->step * have));
		for (size_t i = 0; i < have; i++)
			power[have + i] = power[i] * up;
	}
	for (size_t i = 0; i < NCO_BLOCK; i++)
		n->power[i] = (float complex)power[i];
}

double nco_hz(const struct nco *n)
{
	return (double)(int64_t)n->step / CYCLE * n->rate_hz;
}

/* sign: 1 turns by +phase, -1 by -phase. The start of every block is computed afresh: rounding does not accumulate. */
static void rotate(struct nco *n, const float complex *in, float complex *out, size_t n_samples, float sign)
{
	for (size_t done = 0; done < n_samples; done += NCO_BLOCK) {
		size_t count = n_samples - done < NCO_BLOCK ? n_samples - done : NCO_BLOCK;
		double phase = radians(n->phase);
		float c = (float)cos(phase), s = (float)sin(phase);
		for (size_t i = 0; i < count; i++) {
			float pr = crealf(n->power[i]), pi = cimagf(n->power[i]);
			float wr = pr * c - pi * s, wi = sign * (pr * s + pi * c);
			float xr = crealf(in[done + i]), xi = cimagf(in[done + i]);
			out[done + i] = CMPLXF(xr * wr - xi * wi, xr * wi + xi * wr);
		}
		n->phase += n->step * count;
	}
}

void nco_down(struct nco *n, const float complex *in, float complex *out, size_t n_samples)
{
	rotate(n, in, out, n_samples, -1);
}

void nco_up(struct nco *n, const float complex *in, float complex *out, size_t n_samples)
{
	rotate(n, in, out, n_samples, 1);
}

double nco_phase_rad(const struct nco *n)
{
	return radians(n->phase);
}

void nco_skip(struct nco *n, int64_t n_samples)
{
	n->phase += n->step * (uint64_t)n_samples;
}
