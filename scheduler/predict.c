#include "scheduler/predict.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct predict_config predict_config_default(void)
{
	return predict_config_for(0.5e-3);
}

struct predict_config predict_config_for(double slot_s)
{
	return (struct predict_config){
		.slot_s = slot_s,
		.wait_prior_s = { slot_s, 2 * slot_s },
		.turnaround_s = 2 * slot_s,
		.harq_rtt_s = 6 * slot_s,
		.target_bler = 0.1,
		.fixed_prior_s = 0.5e-3,
		.per_row_prior_s = 0.1e-3,
		.prior_sd_fraction = 1,
		.forget = 0.98,
		.alpha = 0.1,
	};
}

static double sq(double x)
{
	return x * x;
}

void predict_init(struct predict_state *s, const struct predict_config *cfg)
{
	memset(s, 0, sizeof *s);
	s->theta[0] = cfg->fixed_prior_s;
	s->theta[1] = cfg->per_row_prior_s;
	s->residual_var = sq(0.1 * (cfg->fixed_prior_s + cfg->per_row_prior_s)) + 1e-18;
	for (int i = 0; i < 2; i++) {
		/* relative to the residual variance, as least squares counts it */
		s->cov[i][i] = (sq(cfg->prior_sd_fraction * s->theta[i]) + 1e-18) / s->residual_var;
		s->wait_s[i] = (struct predict_mean){ .mean = cfg->wait_prior_s[i], .var = sq(cfg->wait_prior_s[i]) };
		s->bler[i] = cfg->target_bler;
	}
}

static int refused(struct predict_state *s, double x)
{
	if (x >= 0 && isfinite(x))
		return 0;
	s->n_refused++;
	return 1;
}

/* Weights fall as 1/n down to alpha, so that the first measurements replace the prior at once. */
static void mean_update(struct predict_mean *m, double alpha, double x)
{
	double w = fmax(alpha, 1.0 / (1.0 + m->n));
	double d = x - m->mean;
	m->mean += w * d;
	m->var = (1 - w) * (m->var + w * d * d);
	m->n++;
}

/* Forgetting in the direction just measured only (Cao and Schwartz, Automatica 36, 2000): with calls of one size for
 * minutes, plain forgetting would let the covariance of the other direction grow without bound. */
static void forget_along(double cov[2][2], const double x[2], double forget)
{
	double det = cov[0][0] * cov[1][1] - sq(cov[0][1]);
	if (!(det > 0))
		return;
	double information = (sq(x[0]) * cov[1][1] - 2 * x[0] * x[1] * cov[0][1] + sq(x[1]) * cov[0][0]) / det;
	double grow = (1 - forget) / forget / information;
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			cov[i][j] += grow * x[i] * x[j];
}

int predict_observe_compute(struct predict_state *s, const struct predict_config *cfg, double n_rows, double seconds)
{
	if (refused(s, n_rows) || refused(s, seconds))
		return -EINVAL;
	const double x[2] = { 1, n_rows };
	double error = seconds - s->theta[0] - s->theta[1] * n_rows;
	forget_along(s->cov, x, cfg->forget);
	double px[2] = { s->cov[0][0] + s->cov[0][1] * n_rows, s->cov[0][1] + s->cov[1][1] * n_rows };
	double scale = 1 / (1 + px[0] + px[1] * n_rows);
	for (int i = 0; i < 2; i++)
		s->theta[i] += px[i] * scale * error;
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			s->cov[i][j] -= px[i] * px[j] * scale;
	/* error^2 * scale is an unbiased sample of the residual variance */
	s->residual_var += fmax(cfg->alpha, 1.0 / (2.0 + s->n_compute)) * (sq(error) * scale - s->residual_var);
	s->n_compute++;
	return 0;
}

int predict_observe_wait(struct predict_state *s, const struct predict_config *cfg, enum predict_direction dir,
                         double seconds)
{
	if (refused(s, seconds))
		return -EINVAL;
	mean_update(&s->wait_s[dir], cfg->alpha, seconds);
	return 0;
}

int predict_observe_block(struct predict_state *s, const struct predict_config *cfg, enum predict_direction dir,
                          bool lost)
{
	s->bler[dir] += cfg->alpha * 0.2 * (lost - s->bler[dir]); /* rare events: a longer memory */
	return 0;
}

int predict_observe_call(struct predict_state *s, const struct predict_config *cfg, double predicted_s,
                         double measured_s)
{
	if (refused(s, predicted_s) || refused(s, measured_s))
		return -EINVAL;
	double error = measured_s - predicted_s; /* predicted_s has the bias in it: this is what is left */
	struct predict_mean *e = &s->error_s;
	double w = fmax(cfg->alpha, 1.0 / (1.0 + e->n));
	e->mean += cfg->alpha * error;
	e->var += w * (sq(error) - e->var);
	e->n++;
	return 0;
}

double predict_compute_s(const struct predict_state *s, double n_rows)
{
	return fmax(0, s->theta[0] + s->theta[1] * n_rows);
}

double predict_compute_sd_s(const struct predict_state *s, double n_rows)
{
	double line = s->cov[0][0] + 2 * s->cov[0][1] * n_rows + s->cov[1][1] * sq(n_rows);
	return sqrt(s->residual_var * (1 + fmax(line, 0)));
}

void predict_parts(const struct predict_state *s, const struct predict_config *cfg, struct predict_parts *p)
{
	p->fixed_s = fmax(0, s->theta[0]) + cfg->turnaround_s + s->error_s.mean;
	p->per_row_s = fmax(0, s->theta[1]);
	for (int dir = 0; dir < 2; dir++) {
		double lost = fmin(s->bler[dir], 0.9);
		p->fixed_s += s->wait_s[dir].mean + 0.5 * cfg->slot_s + lost / (1 - lost) * cfg->harq_rtt_s;
		p->carried[dir] = 1 - lost;
	}
	p->fixed_s = fmax(0, p->fixed_s);
}
