#include "radio/fracdelay.h"

#include <math.h>
#include <stdlib.h>

struct fracdelay {
	float weight[FRACDELAY_STEPS + 1][FRACDELAY_LENGTH];
};

static const double out_of_band_weight = 1e-7; /* of the error outside the band: keeps the system well conditioned */

static double sinc(double x)
{
	return fabs(x) < 1e-12 ? 1 : sin(M_PI * x) / (M_PI * x);
}

/* Lower Cholesky factor of the Toeplitz matrix of the band's autocorrelation. */
static void factor(double l[FRACDELAY_LENGTH][FRACDELAY_LENGTH])
{
	for (int i = 0; i < FRACDELAY_LENGTH; i++) {
		for (int j = 0; j <= i; j++) {
			double s = 2 * FRACDELAY_BAND * sinc(2 * FRACDELAY_BAND * (i - j)) +
			           (i == j ? out_of_band_weight : 0);
			for (int k = 0; k < j; k++)
				s -= l[i][k] * l[j][k];
			l[i][j] = i == j ? sqrt(s) : s / l[j][j];
		}
	}
}

static void solve(double l[FRACDELAY_LENGTH][FRACDELAY_LENGTH], double h[FRACDELAY_LENGTH])
{
	for (int i = 0; i < FRACDELAY_LENGTH; i++) {
		for (int k = 0; k < i; k++)
			h[i] -= l[i][k] * h[k];
		h[i] /= l[i][i];
	}
	for (int i = FRACDELAY_LENGTH - 1; i >= 0; i--) {
		for (int k = i + 1; k < FRACDELAY_LENGTH; k++)
			h[i] -= l[k][i] * h[k];
		h[i] /= l[i][i];
	}
}

struct fracdelay *fracdelay_create(void)
{
	struct fracdelay *d = malloc(sizeof *d);
	if (!d)
		return NULL;
	double l[FRACDELAY_LENGTH][FRACDELAY_LENGTH];
	factor(l);
	for (int step = 0; step <= FRACDELAY_STEPS; step++) {
		double h[FRACDELAY_LENGTH], position = FRACDELAY_BEFORE + (double)step / FRACDELAY_STEPS;
		for (int i = 0; i < FRACDELAY_LENGTH; i++)
			h[i] = 2 * FRACDELAY_BAND * sinc(2 * FRACDELAY_BAND * (i - position)) +
			       out_of_band_weight * sinc(i - position);
		solve(l, h);
		for (int i = 0; i < FRACDELAY_LENGTH; i++)
			d->weight[step][i] = (float)h[i];
	}
	return d;
}

void fracdelay_destroy(struct fracdelay *d)
{
	free(d);
}

const float *fracdelay_weights(const struct fracdelay *d, double fraction)
{
	return d->weight[(int)(fraction * FRACDELAY_STEPS + 0.5)];
}
