#include "phy/channel_filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LAGS = 8, PROFILE_EVERY = 8, PROFILE_MEMORY = 32, STEPS_MAX = 2, LANES = 8 };

static const float nil = 1e-30f; /* no variance is as small: keeps what lies past the coefficients calculable */

static const double carrier_start_hz = 200, carrier_walk_hz = 0.3; /* deviations: of the first guess, a slot */
static const double fading_weight = 3, phase_unsure_most = 2.5;    /* rad^2 */
static const double clock_most = 100e-6;                           /* that two clocks differ by */
static const double gap_longest = 1000;                            /* slots, after which nothing is foretold any more */
static const double drift_start = 0.05, drift_walk = 2e-4;         /* samples a slot; a slot */
static const double doppler_start_hz = 50, doppler_least_hz = 0.3;
static const float doppler_memory = 128, power_memory = 64;
static const float prior_share = 0.06f;     /* of the flat profile in a coefficient's power, for good */
static const float coherence_least = 0.85f; /* below it a channel is another one */
static const float step_likeness = 16;      /* signal to noise that it takes to look for a step */
static const float surprise_most = 2.5f;    /* times the variance foretold */
static const float misfit_most = 6;         /* residual over noise, of a window that holds the channel */
static const float leak_margin = 1.5f;      /* times the leakage foretold */
static const float hysteresis = 0.8f;       /* a window is changed for one that costs this much of it */

/* Two-state Kalman filter of a number that drifts: its error's covariance, in units and units a slot. */
struct drift {
	double p00, p01, p11, rate;
};

struct channel_filter {
	const struct delay_bank *bank;
	double slot_len;
	bool ready;
	size_t w;                         /* basis in use */
	double t0, t_slot;                /* of the last observation; of its slot */
	double turn_rad;                  /* common phase at t0, of raw samples */
	double carrier_rate, carrier_var; /* rad a slot; variance of its error */
	unsigned n_phases;                /* that went into it */
	struct drift clock;
	double centre; /* middle of the window, samples after the slot's start */
	float power;   /* of the channel, mean over the band */
	size_t level;  /* of damping, for the pilots' SNR */
	float omega;   /* Doppler, rad a slot */
	float kappa;   /* variance of a velocity's change in a slot, over the coefficient's power */
	/* coefficients: value, velocity (a slot), covariance, mean power */
	float *x_re, *x_im, *v_re, *v_im, *p11, *p12, *p22, *power_of;
	float *z_re, *z_im, *f_re, *f_im, *share; /* of this observation; work space; share believed */
	/* Doppler: first observations of the last slots, and what differences they had one and LAGS apart */
	float *past_re[LAGS], *past_im[LAGS];
	size_t n_past;
	double past_dt;
	float moved[2], still, moved_weight;
	/* power-delay profile */
	float *bins, *bins_now, *bins_work; /* mean power a bin, noise taken off; work space */
	float *profile;                     /* of the bins what is neither noise nor leakage */
	float n_profiles;
	float profile_power; /* its sum */
	float averaging;     /* error of the coefficients over that of one observation */
	unsigned until_profile;
	/* the grid */
	float *ramp_re, *ramp_im, *a_re, *a_im, *b_re, *b_im;
	float *all; /* all of these arrays */
};

static const struct delay_basis *basis(const struct channel_filter *f)
{
	return &f->bank->basis[f->w];
}

/* Coefficients in whole vectors: past the last there are zeros, in the arrays here and in those of the basis. */
static size_t span(const struct channel_filter *f)
{
	return (basis(f)->dim + LANES - 1) / LANES * LANES;
}

static float larger(float a,
                    float b) /* without the care of fmaxf for what is no number, so that loops become vectors */
{
	return a > b ? a : b;
}

struct channel_filter *channel_filter_create(const struct delay_bank *bank, size_t samples_in_slot)
{
	struct channel_filter *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	size_t dim = matrix_padded(bank->dim_max), bins = matrix_padded(bank->n_bins);
	size_t grid = matrix_padded(bank->n_grid);
	float **of_dim[] = { &f->x_re,     &f->x_im, &f->v_re, &f->v_im, &f->p11,  &f->p12,  &f->p22,
		             &f->power_of, &f->z_re, &f->z_im, &f->f_re, &f->f_im, &f->share };
	float **of_grid[] = { &f->ramp_re, &f->ramp_im, &f->a_re, &f->a_im, &f->b_re, &f->b_im };
	const size_t n_dim = sizeof of_dim / sizeof of_dim[0], n_grid = sizeof of_grid / sizeof of_grid[0];
	f->bank = bank;
	f->slot_len = (double)samples_in_slot;
	f->all = aligned_alloc(64, ((n_dim + 2 * LAGS) * dim + n_grid * grid + 7 * bins) * sizeof *f->all);
	if (!f->all) {
		free(f);
		return NULL;
	}
	float *next = f->all;
	for (size_t i = 0; i < n_dim; i++, next += dim)
		*of_dim[i] = next;
	for (size_t i = 0; i < LAGS; i++, next += 2 * dim) {
		f->past_re[i] = next;
		f->past_im[i] = next + dim;
	}
	for (size_t i = 0; i < n_grid; i++, next += grid)
		*of_grid[i] = next;
	f->bins = next;
	f->bins_now = next + bins;
	f->profile = next + 2 * bins;
	f->bins_work = next + 3 * bins;
	memset(f->all, 0, (size_t)(next + 7 * bins - f->all) * sizeof *f->all);
	channel_filter_reset(f);
	return f;
}

void channel_filter_destroy(struct channel_filter *f)
{
	if (f)
		free(f->all);
	free(f);
}

static double hz_to_rad_a_slot(const struct channel_filter *f, double hz)
{
	return 2 * M_PI * hz * f->slot_len / f->bank->num.rate_hz;
}

void channel_filter_reset(struct channel_filter *f)
{
	f->ready = false;
	f->w = f->bank->initial;
	f->centre = f->bank->earliest + 0.5 * basis(f)->width;
	f->power = 0;
	f->omega = (float)hz_to_rad_a_slot(f, doppler_start_hz);
	f->kappa = f->omega * f->omega;
	f->moved[0] = f->moved[1] = f->still = f->moved_weight = 0;
	f->n_past = 0;
	f->n_profiles = 0;
	f->until_profile = 1;
	f->clock = (struct drift){ .p11 = drift_start * drift_start };
	memset(f->bins, 0, f->bank->n_bins * sizeof *f->bins);
}

bool channel_filter_ready(const struct channel_filter *f)
{
	return f->ready;
}

/* ---- what all coefficients have in common ---- */

static void drift_predict(struct drift *d, double dt, double jitter, double walk)
{
	d->p00 += 2 * dt * d->p01 + dt * dt * d->p11 + jitter;
	d->p01 += dt * d->p11;
	d->p11 += walk * dt;
}

/* error: measured minus foretold, of that variance. Returns how far the number itself is to be moved. */
static double drift_correct(struct drift *d, double error, double var)
{
	double k0 = d->p00 / (d->p00 + var), k1 = d->p01 / (d->p00 + var);
	d->rate += k1 * error;
	d->p11 -= k1 * d->p01;
	d->p01 *= 1 - k0;
	d->p00 *= 1 - k0;
	return k0 * error;
}

/* The slot of this observation starts where the one before did, but for whole slots and the steps of a tracker. */
static void enter_slot(struct channel_filter *f, double t_slot)
{
	double n = round((t_slot - f->t_slot) / f->slot_len);
	if (t_slot == f->t_slot)
		return;
	f->centre += f->clock.rate * n - (t_slot - f->t_slot - n * f->slot_len);
	drift_predict(&f->clock, n, 1e-6 * n, drift_walk * drift_walk);
	f->t_slot = t_slot;
}

static void predict(struct channel_filter *f, double t)
{
	double dt_slots = (t - f->t0) / f->slot_len;
	float dt = (float)dt_slots, step = f->kappa * dt;
	/* A velocity has the variance of omega^2 / 2 of the coefficient's power, and forgets at the rate that keeps it. */
	float keep = sqrtf(fmaxf(1 - 2 * step / (f->omega * f->omega), 0)), g = 0.5f * dt * (1 + keep);
	float *restrict x_re = f->x_re, *restrict x_im = f->x_im, *restrict v_re = f->v_re, *restrict v_im = f->v_im;
	float *restrict p11 = f->p11, *restrict p12 = f->p12, *restrict p22 = f->p22;
	const float *restrict power = f->power_of;
	size_t n = span(f);
#pragma omp simd
	for (size_t j = 0; j < n; j++) {
		float q = step * power[j];
		x_re[j] += g * v_re[j];
		x_im[j] += g * v_im[j];
		v_re[j] *= keep;
		v_im[j] *= keep;
		p11[j] += 2 * g * p12[j] + g * g * p22[j] + 0.25f * dt * dt * q;
		p12[j] = keep * (p12[j] + g * p22[j]) + 0.5f * dt * q;
		p22[j] = keep * keep * p22[j] + q;
	}
	double turned = f->turn_rad + f->carrier_rate * dt_slots;
	f->turn_rad = turned - 2 * M_PI * rint(turned * (0.5 / M_PI));
	double walk = hz_to_rad_a_slot(f, carrier_walk_hz);
	f->carrier_var += dt_slots * walk * walk;
	f->t0 = t;
}

/* y conj(ramp), in two arrays. */
static void take_off(const float complex *restrict y, size_t n, const float *restrict c, const float *restrict s,
                     float *restrict re, float *restrict im)
{
	for (size_t i = 0; i < n; i++) {
		re[i] = crealf(y[i]) * c[i] + cimagf(y[i]) * s[i];
		im[i] = cimagf(y[i]) * c[i] - crealf(y[i]) * s[i];
	}
}

/* Coefficients of the observation in the frame of the state: ramp of the window and common phase taken off. */
static void fit(struct channel_filter *f, const struct channel_observation *o, struct channel_seen *seen)
{
	const struct delay_bank *bank = f->bank;
	const struct delay_fit *pilots = &basis(f)->fits[o->set];
	const struct delay_solution *solution = &pilots->at[f->level];
	delay_pilot_ramp(bank, o->set, f->centre, f->turn_rad - o->nco_rad, f->ramp_re, f->ramp_im);
	take_off(o->y, pilots->n, f->ramp_re, f->ramp_im, f->a_re, f->a_im);
	seen->residual = delay_fit(basis(f), o->set, f->level, f->a_re, f->a_im, f->z_re, f->z_im, f->f_re, f->f_im);
	seen->dof = solution->dof;
	const float *z_re = f->z_re, *z_im = f->z_im, *noise = solution->noise;
	float energy = 0, gain = 0;
	size_t n = span(f);
#pragma omp simd reduction(+ : energy, gain)
	for (size_t j = 0; j < n; j++) {
		energy += z_re[j] * z_re[j] + z_im[j] * z_im[j];
		gain += noise[j];
	}
	seen->energy = energy;
	seen->noise_energy = gain * o->noise_var;
}

struct likeness {
	float complex dot; /* sum conj(x) z */
	float x, z;        /* of |x|^2; of |z|^2, less its noise */
	float surprise;    /* mean of |z - x|^2; all over the noise that is to be expected of z - x */
};

static struct likeness compare(const struct channel_filter *f, const float *noise, float noise_var)
{
	const float *x_re = f->x_re, *x_im = f->x_im, *z_re = f->z_re, *z_im = f->z_im, *p11 = f->p11;
	float re = 0, im = 0, x = 0, z = 0, surprise = 0;
	size_t n = span(f);
#pragma omp simd reduction(+ : re, im, x, z, surprise)
	for (size_t j = 0; j < n; j++) {
		float r = noise[j] * noise_var, w = 1 / (r + p11[j] + nil);
		float er = z_re[j] - x_re[j], ei = z_im[j] - x_im[j];
		re += w * (x_re[j] * z_re[j] + x_im[j] * z_im[j]);
		im += w * (x_re[j] * z_im[j] - x_im[j] * z_re[j]);
		x += w * (x_re[j] * x_re[j] + x_im[j] * x_im[j]);
		z += w * (z_re[j] * z_re[j] + z_im[j] * z_im[j] - r);
		surprise += w * (er * er + ei * ei);
	}
	return (struct likeness){ .dot = CMPLXF(re, im), .x = x, .z = z, .surprise = surprise / (float)basis(f)->dim };
}

static float coherence_of(const struct likeness *l)
{
	float product = l->x * l->z;
	return l->x > 4 && l->z > 4 ? fminf(cabsf(l->dot) / sqrtf(product), 1) : 1; /* too weak to tell: as foretold */
}

static void turn_z(struct channel_filter *f, float rad)
{
	float c = cosf(rad), s = sinf(rad), *restrict z_re = f->z_re, *restrict z_im = f->z_im;
	size_t n = span(f);
#pragma omp simd
	for (size_t j = 0; j < n; j++) {
		float re = z_re[j] * c + z_im[j] * s;
		z_im[j] = z_im[j] * c - z_re[j] * s;
		z_re[j] = re;
	}
}

/* What turns all coefficients alike, slot after slot, is the carrier. Fading turns them too, by up to omega in a slot and
 * for about 1 / omega slots on end; that is left to the coefficients. */
static void align_phase(struct channel_filter *f, const struct likeness *l, double dt)
{
	if (!(l->x > 0) || !(dt > 0))
		return;
	double error = cargf(l->dot), turned = f->omega * dt;
	double averaged = fmin(turned * (double)f->n_phases, fmax(turned, fading_weight));
	double noise = 0.5 / (double)l->x + 0.5 * turned * averaged;
	double unsure = f->carrier_var * dt * dt, gain = unsure / (unsure + noise);
	if (unsure < phase_unsure_most) { /* else it may have gone round */
		f->carrier_rate += gain * error / dt;
		f->carrier_var *= 1 - gain;
		f->n_phases++;
	}
	f->turn_rad += gain * error;
	turn_z(f, (float)(gain * error));
}

/* By how many samples the channel z lags behind x: small ones from the slope of the phase over the band. */
static float lag_of(struct channel_filter *f)
{
	const struct delay_basis *b = basis(f);
	float sum = 0, x2 = 0, half = 0.5f * (float)f->bank->n_grid;
	const float *x_re = f->x_re, *x_im = f->x_im, *t_re = f->f_re, *t_im = f->f_im;
	size_t n = span(f);
	matrix_multiply(&b->tilt, f->z_re, f->z_im, f->f_re, f->f_im);
#pragma omp simd reduction(+ : sum, x2)
	for (size_t j = 0; j < n; j++) {
		sum += x_re[j] * t_im[j] - x_im[j] * t_re[j];
		x2 += x_re[j] * x_re[j] + x_im[j] * x_im[j];
	}
	float radians = x2 > 0 ? -sum / (half * half / 3 * x2) : 0;
	return radians * (float)f->bank->num.n_fft / (2 * (float)M_PI);
}

/* The same for any lag, from both channels on the whole grid. */
static float far_lag_of(struct channel_filter *f)
{
	const struct delay_bank *bank = f->bank;
	delay_half_ramp(bank, 0, f->ramp_re, f->ramp_im);
	delay_response(bank, basis(f), f->x_re, f->x_im, f->ramp_re, f->ramp_im, f->a_re, f->a_im);
	delay_response(bank, basis(f), f->z_re, f->z_im, f->ramp_re, f->ramp_im, f->b_re, f->b_im);
	float complex sum = 0, last = 0;
	for (size_t i = 0; i < bank->n_grid; i++) {
		float complex c = CMPLXF(f->a_re[i] * f->b_re[i] + f->a_im[i] * f->b_im[i],
		                         f->a_re[i] * f->b_im[i] - f->a_im[i] * f->b_re[i]);
		sum += conjf(last) * c;
		last = c;
	}
	return -cargf(sum) * (float)bank->num.n_fft / (2 * (float)M_PI);
}

/* Follows the clocks' drift. */
static void align_delay(struct channel_filter *f, const struct likeness *l)
{
	double samples_a_radian = (double)f->bank->num.n_fft / (2 * M_PI), half = 0.5 * (double)f->bank->n_grid;
	if (!(l->x > 0))
		return;
	double var = samples_a_radian * samples_a_radian / (2 * half * half / 3 * (double)l->x);
	double most = clock_most * f->slot_len;
	f->centre += drift_correct(&f->clock, lag_of(f), var);
	f->clock.rate = fmin(fmax(f->clock.rate, -most), most);
}

/* ---- the coefficients ---- */

static void begin(struct channel_filter *f, const float *noise, float noise_var, const struct channel_seen *seen)
{
	const struct delay_basis *b = basis(f);
	float power = fmaxf(seen->energy - seen->noise_energy, 0.1f * seen->energy) / (float)f->bank->n_grid;
	bool known = f->power > 0;
	float louder = known && power > 2 * f->power ? power / f->power : 1;
	f->power = known ? louder * f->power : power;
	size_t n = span(f);
#pragma omp simd
	for (size_t j = 0; j < n; j++) {
		float p = known ? louder * f->power_of[j] : power * b->prior[j];
		f->power_of[j] = p;
		f->x_re[j] = f->z_re[j];
		f->x_im[j] = f->z_im[j];
		f->v_re[j] = f->v_im[j] = 0;
		f->p11[j] = noise[j] * noise_var;
		f->p12[j] = 0;
		f->p22[j] = 0.5f * f->omega * f->omega * p;
	}
	f->n_past = 0;
	f->ready = true;
}

/* A channel that moves faster than was thought: what was foretold is worth so much less. */
static void doubt(struct channel_filter *f, const float *noise, float noise_var, float surprise)
{
#pragma omp simd
	for (size_t j = 0; j < basis(f)->dim; j++) {
		float more = 1 + (surprise - 1) * (f->p11[j] + noise[j] * noise_var) / (f->p11[j] + nil);
		f->p11[j] *= more;
		f->p12[j] *= more;
		f->p22[j] *= more;
	}
}

static void correct(struct channel_filter *f, const float *noise, float noise_var)
{
	float *restrict x_re = f->x_re, *restrict x_im = f->x_im, *restrict v_re = f->v_re, *restrict v_im = f->v_im;
	float *restrict p11 = f->p11, *restrict p12 = f->p12, *restrict p22 = f->p22;
	const float *restrict z_re = f->z_re, *restrict z_im = f->z_im;
	size_t n = span(f);
#pragma omp simd
	for (size_t j = 0; j < n; j++) {
		float r = noise[j] * noise_var, s = 1 / (p11[j] + r + nil), k1 = p11[j] * s, k2 = p12[j] * s;
		float re = z_re[j] - x_re[j], im = z_im[j] - x_im[j];
		x_re[j] += k1 * re;
		x_im[j] += k1 * im;
		v_re[j] += k2 * re;
		v_im[j] += k2 * im;
		p22[j] -= k2 * p12[j];
		p12[j] *= 1 - k1;
		p11[j] *= 1 - k1;
	}
}

static void learn_powers(struct channel_filter *f)
{
	const float *x_re = f->x_re, *x_im = f->x_im, *p11 = f->p11, *prior = basis(f)->prior;
	float *restrict power_of = f->power_of, total = 0, gain = 1 / power_memory, least = prior_share * f->power;
	size_t n = span(f);
#pragma omp simd reduction(+ : total)
	for (size_t j = 0; j < n; j++) {
		float seen = x_re[j] * x_re[j] + x_im[j] * x_im[j] - p11[j];
		total += seen;
		power_of[j] = larger(power_of[j] + gain * (seen - power_of[j]), least * prior[j]);
	}
	f->power += gain * (fmaxf(total / (float)f->bank->n_grid, 0) - f->power);
}

/* ---- Doppler ---- */

/* 1 - J0(x) of the differences' energy over twice the channel's, solved for x. */
static float phase_of(float share)
{
	return sqrtf(8 * (1 - sqrtf(1 - fminf(fmaxf(share, 0), 0.8f))));
}

/* The steady gain that a first look at the signal's curvature against the noise asks for: with s = (omega T)^4 power /
 * noise, the error of a critically damped value-and-velocity filter of gain a is noise * 3/4 a + power * (omega T)^4 *
 * 3/2 / a^4; the least of it, a = (8 s)^(1/5), is what a Kalman filter does whose velocity moves by a^4 / 4 noise / T^2. */
static void set_kappa(struct channel_filter *f, const float *noise, float noise_var, double dt)
{
	float p2 = 0, p = 0, pr = 0, t = (float)dt;
	const float *power = f->power_of;
	size_t n = span(f);
#pragma omp simd reduction(+ : p, p2, pr)
	for (size_t j = 0; j < n; j++) {
		p += power[j];
		p2 += power[j] * power[j];
		pr += power[j] * noise[j] * noise_var;
	}
	if (!(p > 0 && pr > 0))
		return;
	float snr = p2 / pr, wt = f->omega * t;
	float moved = 0.25f * powf(8 * wt * wt * wt * wt * snr, 0.8f) / (snr * t * t);
	f->kappa = fminf(moved, f->omega * f->omega) / t;
}

static float difference(const struct channel_filter *f, size_t lag)
{
	const float *re = f->past_re[(f->n_past - lag) % LAGS], *im = f->past_im[(f->n_past - lag) % LAGS];
	const float *z_re = f->z_re, *z_im = f->z_im;
	float sum = 0;
	size_t n = span(f);
#pragma omp simd reduction(+ : sum)
	for (size_t j = 0; j < n; j++) {
		float a = z_re[j] - re[j], b = z_im[j] - im[j];
		sum += a * a + b * b;
	}
	return sum;
}

static void learn_doppler(struct channel_filter *f, const struct channel_seen *seen, const float *noise,
                          float noise_var, double dt)
{
	size_t n = span(f), at = f->n_past % LAGS;
	if (f->n_past && fabs(dt - f->past_dt) > 0.1)
		f->n_past = 0;
	f->past_dt = dt;
	if (f->n_past >= LAGS) {
		float gain = 1 / fminf(f->moved_weight + 1, doppler_memory);
		float start = (float)(hz_to_rad_a_slot(f, doppler_start_hz) * dt);
		f->moved_weight += gain < 1 || !f->moved_weight ? 1 : 0;
		f->moved[0] += gain * (difference(f, 1) - 2 * seen->noise_energy - f->moved[0]);
		f->moved[1] += gain * (difference(f, LAGS) - 2 * seen->noise_energy - f->moved[1]);
		f->still += gain * (2 * (seen->energy - seen->noise_energy) - f->still);
		if (f->still > 0) {
			float near = f->moved[0] / f->still, far = f->moved[1] / f->still;
			float turn = far < 0.5f ? phase_of(far) / LAGS : phase_of(near);
			float trust = f->moved_weight / (f->moved_weight + 4),
			      least = (float)(hz_to_rad_a_slot(f, doppler_least_hz) * dt);
			turn = trust * turn + (1 - trust) * start;
			f->omega = fmaxf(turn, least) / (float)dt;
		}
	}
	set_kappa(f, noise, noise_var, dt);
	memcpy(f->past_re[at], f->z_re, n * sizeof *f->z_re);
	memcpy(f->past_im[at], f->z_im, n * sizeof *f->z_im);
	f->n_past++;
}

/* ---- the window ---- */

static void learn_profile(struct channel_filter *f, const struct channel_observation *o)
{
	const struct delay_bank *bank = f->bank;
	size_t n = basis(f)->fits[o->set].n;
	for (size_t i = 0; i < n; i++) {
		f->a_re[i] = crealf(o->y[i]);
		f->a_im[i] = cimagf(o->y[i]);
	}
	delay_profile(bank, o->set, f->a_re, f->a_im, f->bins_now, f->bins_work);
	f->n_profiles = fminf(f->n_profiles + 1, PROFILE_MEMORY);
	float noise = bank->scan[o->set].noise * o->noise_var, least = noise * 2 / sqrtf(f->n_profiles);
	float *some = f->bins_work, *leak = f->bins_work + matrix_padded(bank->n_bins), *unused = f->bins_now;
	for (size_t i = 0; i < bank->n_bins; i++) {
		f->bins[i] += (f->bins_now[i] - noise - f->bins[i]) / f->n_profiles;
		some[i] = f->bins[i] > least ? f->bins[i] : 0;
	}
	matrix_multiply(&bank->leak, some, some, leak, unused);
	f->profile_power = 0;
	for (size_t i = 0; i < bank->n_bins; i++) {
		float power = f->bins[i] - leak_margin * leak[i];
		f->profile[i] = power > least ? power : 0;
		f->profile_power += f->profile[i];
	}
}

struct window {
	size_t w;
	double centre;
	float cost;
};

/* What a basis costs that leaves out so much power: that, twice, as it passes for noise too; what the fit makes of it,
 * and of the noise, the latter averaged over time as far as it is now; and what its damping loses. */
static float cost_of(const struct channel_filter *f, size_t w, const struct channel_observation *o, float outside)
{
	const struct delay_solution *s = &f->bank->basis[w].fits[o->set].at[f->level];
	return 2 * outside + (outside + f->averaging * o->noise_var) * s->noise_gain + f->power * s->bias;
}

/* Power of the profile in bins first .. first + n - 1. */
static float power_in(const struct channel_filter *f, double first, double n)
{
	float sum = 0;
	for (size_t i = 0; i < f->bank->n_bins; i++)
		if ((double)i > first - 0.5 && (double)i < first + n - 0.5)
			sum += f->profile[i];
	return sum;
}

/* Where a window of that basis holds most, in the middle of such places, and what it costs. below[i]: power of the
 * profile's first i bins. */
static struct window place(const struct channel_filter *f, size_t w, const struct channel_observation *o,
                           const float *below)
{
	const struct delay_bank *bank = f->bank;
	size_t n = (size_t)(bank->basis[w].width / bank->bin_step + 0.5), first = 0, last = bank->n_bins - n;
	const float *upto = below + n;
	float most = 0;
#pragma omp simd reduction(max : most)
	for (size_t i = 0; i <= bank->n_bins - n; i++) {
		float inside = upto[i] - below[i];
		most = most > inside ? most : inside;
	}
	float enough = most - 1e-4f * f->profile_power;
	while (first < last && upto[first] - below[first] < enough)
		first++;
	while (last > first && upto[last] - below[last] < enough)
		last--;
	double middle = bank->bin_first + bank->bin_step * (0.5 * (double)(first + last + n) - 0.5);
	return (struct window){ w, middle, cost_of(f, w, o, fmaxf(f->profile_power - most, 0)) };
}

/* The state in another basis: over the grid. */
static void change_window(struct channel_filter *f, const struct window *to)
{
	const struct delay_basis *old = basis(f), *new = &f->bank->basis[to->w];
	float error = 0, speed_error = 0;
	for (size_t j = 0; j < old->dim; j++) {
		error += f->p11[j] / (float)f->bank->n_grid;
		speed_error += f->p22[j] / (float)f->bank->n_grid;
	}
	delay_half_ramp(f->bank, f->centre - to->centre, f->ramp_re, f->ramp_im);
	float *re[] = { f->x_re, f->v_re }, *im[] = { f->x_im, f->v_im };
	for (size_t part = 0; part < 2; part++) {
		delay_response(f->bank, old, re[part], im[part], f->ramp_re, f->ramp_im, f->a_re, f->a_im);
		matrix_multiply(&new->in, f->a_re, f->a_im, re[part], im[part]);
	}
	float spread = (float)f->bank->n_grid / (float)old->dim;
	f->w = to->w;
	f->centre = to->centre;
	f->n_past = 0;
	for (size_t j = 0, n = span(f); j < n; j++) {
		if (j >= new->dim)
			error = speed_error = 0;
		float power = f->x_re[j] * f->x_re[j] + f->x_im[j] * f->x_im[j];
		f->p11[j] = error * spread;
		f->p12[j] = 0;
		f->p22[j] = speed_error * spread;
		f->power_of[j] = 0.5f * (power + new->prior[j] * f->power);
	}
}

static void choose_window(struct channel_filter *f, const struct channel_observation *o)
{
	const struct delay_basis *b = basis(f);
	const struct delay_bank *bank = f->bank;
	float error = 0, fresh = 0;
	for (size_t j = 0; j < b->dim; j++) {
		error += f->p11[j];
		fresh += b->fits[o->set].at[f->level].noise[j] * o->noise_var;
	}
	f->averaging = fminf(fmaxf(error / (fresh + 1e-30f), 0.01f), 1);
	double n = round(b->width / bank->bin_step);
	double first = (f->centre - bank->bin_first) / bank->bin_step - 0.5 * n + 0.5;
	float kept = cost_of(f, f->w, o, fmaxf(f->profile_power - power_in(f, first, n), 0));
	float *below = f->bins_work;
	below[0] = 0;
	for (size_t i = 0; i < bank->n_bins; i++)
		below[i + 1] = below[i] + f->profile[i];
	struct window best = place(f, 0, o, below);
	for (size_t w = 1; w < bank->n_widths; w++) {
		struct window x = place(f, w, o, below);
		best = x.cost < best.cost ? x : best;
	}
	if (best.cost < hysteresis * kept)
		change_window(f, &best);
}

static void set_level(struct channel_filter *f, const struct channel_observation *o)
{
	size_t n = basis(f)->fits[o->set].n;
	float power = f->power;
	if (!(power > 0)) {
		for (size_t i = 0; i < n; i++)
			power += (crealf(o->y[i]) * crealf(o->y[i]) + cimagf(o->y[i]) * cimagf(o->y[i])) / (float)n;
		power = fmaxf(power - o->noise_var, 0);
	}
	f->level = delay_level(o->noise_var / fmaxf(power, 1e-30f));
}

static void begin_carrier(struct channel_filter *f, const struct channel_observation *o)
{
	double start = hz_to_rad_a_slot(f, carrier_start_hz);
	f->carrier_var = start * start;
	f->carrier_rate = o->nco_rate * f->slot_len;
	f->n_phases = 1;
}

/* Phase and delay of the observation brought to those of the state, or the other way round. */
static struct likeness align(struct channel_filter *f, const struct channel_observation *o, double dt,
                             struct channel_seen *seen)
{
	const float *noise = basis(f)->fits[o->set].at[f->level].noise;
	double rate = f->carrier_rate, rate_var = f->carrier_var, turn_rad = f->turn_rad;
	for (unsigned steps = 0;; steps++) {
		struct likeness l = compare(f, noise, o->noise_var);
		align_phase(f, &l, dt);
		l = compare(f, noise, o->noise_var);
		bool odd = l.surprise > surprise_most && l.x > step_likeness;
		if (steps == STEPS_MAX || !odd || !o->may_step) {
			if (odd) { /* not the channel that it was: its phase says little of the carrier */
				f->carrier_rate = rate;
				f->carrier_var = rate_var;
			}
			if (!odd)
				align_delay(f, &l);
			return l;
		}
		/* Has the sender moved its slots? If not, or not only, it is a new channel. */
		f->centre += far_lag_of(f);
		f->carrier_rate = rate;
		f->carrier_var = rate_var;
		f->turn_rad = turn_rad;
		fit(f, o, seen);
	}
}

/* Far more is left over than noise: the channel is not where the window is. Back to the first one. */
static void reopen(struct channel_filter *f)
{
	f->w = f->bank->initial;
	f->centre = f->bank->earliest + 0.5 * basis(f)->width;
	f->clock = (struct drift){ .p11 = drift_start * drift_start };
	f->power = 0;
	f->n_past = 0;
	f->n_profiles = 0;
	f->until_profile = 1;
	memset(f->bins, 0, f->bank->n_bins * sizeof *f->bins);
}

void channel_filter_observe(struct channel_filter *f, const struct channel_observation *o, struct channel_seen *seen)
{
	double dt = (o->t_samples - f->t0) / f->slot_len;
	bool first = !f->ready || !(dt > 0 && dt < gap_longest), new_slot = first || o->t_slot != f->t_slot;
	double since = first ? 0 : (o->t_slot - f->t_slot) / f->slot_len;
	if (!f->ready)
		begin_carrier(f, o);
	if (first) {
		f->t_slot = o->t_slot;
		f->t0 = o->t_samples;
		f->turn_rad = o->nco_rad;
	} else {
		enter_slot(f, o->t_slot);
		predict(f, o->t_samples);
	}
	set_level(f, o);
	fit(f, o, seen);
	if (f->n_profiles > 0 && seen->residual > misfit_most * (seen->dof + 2) * o->noise_var) {
		first = true;
		reopen(f);
		set_level(f, o);
		fit(f, o, seen);
	}
	const float *noise = basis(f)->fits[o->set].at[f->level].noise;
	seen->coherence = 0;
	struct likeness l = { 0 };
	double rate = f->carrier_rate, rate_var = f->carrier_var;
	struct drift clock = f->clock;
	double centre = f->centre;
	if (!first) {
		l = align(f, o, dt, seen);
		seen->coherence = coherence_of(&l);
		seen->likeness = l.x > 0 ? crealf(l.dot * conjf(l.dot)) / l.x : 0;
	}
	seen->fresh = first || (seen->coherence < coherence_least && l.surprise > surprise_most);
	if (seen->fresh) {
		f->carrier_rate = rate; /* phase and delay against another channel say nothing */
		f->carrier_var = rate_var;
		f->clock = clock;
		if (f->centre != centre) {
			f->centre = centre;
			fit(f, o, seen);
		}
		begin(f, noise, o->noise_var, seen);
	} else if (l.surprise > surprise_most) {
		doubt(f, noise, o->noise_var, l.surprise);
	}
	if (!seen->fresh)
		correct(f, noise, o->noise_var);
	learn_powers(f);
	if (new_slot && since > 0)
		learn_doppler(f, seen, noise, o->noise_var, since);
	if (new_slot && --f->until_profile == 0) {
		f->until_profile = PROFILE_EVERY;
		learn_profile(f, o);
		choose_window(f, o);
	}
}

/* ---- what is read out ---- */

static void believe(struct channel_filter *f)
{
	const float *power_of = f->power_of, *p11 = f->p11;
	float *restrict share = f->share;
	size_t n = span(f);
#pragma omp simd
	for (size_t j = 0; j < n; j++)
		share[j] = power_of[j] / (power_of[j] + p11[j] + nil);
}

void channel_filter_lines(struct channel_filter *f, float *re, float *im, float *slope_re, float *slope_im,
                          struct channel_motion *m)
{
	const float *share = f->share, *x_re = f->x_re, *x_im = f->x_im, *v_re = f->v_re, *v_im = f->v_im;
	float moved = 0, error = 0, a_slot = (float)(1 / f->slot_len);
	size_t n = span(f);
	believe(f);
#pragma omp simd reduction(+ : moved, error)
	for (size_t j = 0; j < n; j++) {
		moved += share[j] * share[j] * (v_re[j] * v_re[j] + v_im[j] * v_im[j]);
		error += share[j] * f->p11[j];
	}
	*m = (struct channel_motion){
		.t0 = f->t0,
		.moves = 0.25f * moved > 0.05f * error,
		.turn_rad_per_sample = f->carrier_rate / f->slot_len,
		.turn_rad = f->turn_rad,
	};
	float *restrict z_re = f->z_re, *restrict z_im = f->z_im, *restrict f_re = f->f_re, *restrict f_im = f->f_im;
#pragma omp simd
	for (size_t j = 0; j < n; j++) {
		z_re[j] = share[j] * x_re[j];
		z_im[j] = share[j] * x_im[j];
		f_re[j] = a_slot * share[j] * v_re[j];
		f_im[j] = a_slot * share[j] * v_im[j];
	}
	delay_half_ramp(f->bank, f->centre, f->ramp_re, f->ramp_im);
	if (!m->moves) {
		delay_response(f->bank, basis(f), z_re, z_im, f->ramp_re, f->ramp_im, re, im);
		return;
	}
	const float *const from_re[] = { z_re, f_re }, *const from_im[] = { z_im, f_im };
	float *const to_re[] = { re, slope_re }, *const to_im[] = { im, slope_im };
	matrix_multiply_mirrored_two(&basis(f)->half, f->bank->n_grid, from_re, from_im, f->ramp_re, f->ramp_im, to_re,
	                             to_im);
}

void channel_filter_error(struct channel_filter *f, float *rb_error)
{
	const struct delay_basis *b = basis(f);
	believe(f);
#pragma omp simd
	for (size_t j = 0; j < b->dim; j++)
		f->f_re[j] = f->share[j] * f->p11[j];
	matrix_multiply(&b->rb_share, f->f_re, f->f_re, f->a_re, f->a_im);
	for (size_t rb = 0, last = f->bank->num.n_rb - 1; rb <= last - rb; rb++)
		rb_error[rb] = rb_error[last - rb] = f->a_re[rb];
}

float channel_filter_doppler_hz(const struct channel_filter *f)
{
	return (float)((double)f->omega * f->bank->num.rate_hz / (2 * M_PI * f->slot_len));
}

double channel_filter_cfo_hz(const struct channel_filter *f)
{
	return f->carrier_rate * f->bank->num.rate_hz / (2 * M_PI * f->slot_len);
}

double channel_filter_width(const struct channel_filter *f)
{
	return basis(f)->width;
}

double channel_filter_centre(const struct channel_filter *f)
{
	return f->centre;
}

float channel_filter_advance_var(const struct channel_filter *f)
{
	return (float)f->carrier_var + 0.5f * f->omega * f->omega;
}
