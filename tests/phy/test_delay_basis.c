/* Delay bases: channels inside the window come through, noise and residual are what the basis says, the profile shows
 * where a path is; in several numerologies. */
#include "phy/delay_basis.h"
#include "phy/local_wiener.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { STEP = 8, OFFSET = 5 };

struct fixture {
	struct numerology num;
	struct delay_bank *bank;
	size_t n;
	uint16_t k[PHY_SC_MAX];
	struct rng rng;
	float y_re[DELAY_GRID_MAX], y_im[DELAY_GRID_MAX], x_re[DELAY_GRID_MAX], x_im[DELAY_GRID_MAX];
	float a[DELAY_GRID_MAX], b[DELAY_GRID_MAX], ramp_re[DELAY_GRID_MAX], ramp_im[DELAY_GRID_MAX];
};

static struct fixture f;

static const struct {
	double rate_hz, scs_hz;
	size_t n_rb, n_symbols;
} numerologies[] = { { 7.68e6, 30e3, 18, 14 }, { 1.92e6, 15e3, 6, 7 }, { 12.5e6, 12.5e6 / 512, 32, 14 } };

static void begin(size_t which)
{
	char err[128];
	assert_int_equal(numerology_init(&f.num, numerologies[which].rate_hz, numerologies[which].scs_hz,
	                                 numerologies[which].n_rb, numerologies[which].n_symbols, err, sizeof err),
	                 0);
	f.n = 0;
	for (size_t k = OFFSET; k < f.num.n_sc; k += STEP)
		f.k[f.n++] = (uint16_t)k;
	struct delay_pilots set = { .k = f.k, .n = f.n };
	f.bank = delay_bank_create(&f.num, &set, 1);
	assert_non_null(f.bank);
	f.rng.s = 5;
}

/* Pilots with the ramp of a window's middle taken off. */
static void observe(const struct channel *c, double centre)
{
	delay_ramp(f.bank, centre, 0, f.ramp_re, f.ramp_im);
	for (size_t i = 0; i < f.n; i++) {
		size_t at = delay_index(&f.num, f.k[i]);
		double complex y = channel_truth(&f.num, c, f.k[i], 0, 1) *
		                   conj(CMPLX((double)f.ramp_re[at], (double)f.ramp_im[at]));
		f.y_re[i] = (float)creal(y);
		f.y_im[i] = (float)cimag(y);
	}
}

/* A path anywhere in the middle half of a window, seen without noise: error below -38 dB on all subcarriers, at least
 * where the pilots are many enough for the window. */
static void paths_inside_a_window_come_through(void **state)
{
	(void)state;
	for (size_t which = 0; which < sizeof numerologies / sizeof numerologies[0]; which++) {
		begin(which);
		for (size_t w = 0; w < f.bank->n_widths; w++) {
			const struct delay_basis *b = &f.bank->basis[w];
			if (b->dim > f.n / 2)
				continue;
			for (double delay = -0.25; delay <= 0.25; delay += 0.125) {
				struct channel one = { .n_paths = 1,
					               .gain = { 1 },
					               .delay_samples = { 3 + delay * b->width } };
				double error = 0;
				observe(&one, 3);
				delay_fit(b, 0, DELAY_LEVELS - 1, f.y_re, f.y_im, f.x_re, f.x_im, f.a, f.b);
				delay_half_ramp(f.bank, 3, f.ramp_re, f.ramp_im);
				delay_response(f.bank, b, f.x_re, f.x_im, f.ramp_re, f.ramp_im, f.a, f.b);
				for (size_t k = 0; k < f.num.n_sc; k++) {
					size_t at = delay_index(&f.num, k);
					double complex h = CMPLX((double)f.a[at], (double)f.b[at]);
					error += pow(cabs(h - channel_truth(&f.num, &one, k, 0, 1)), 2);
				}
				assert_true(10 * log10(error / (double)f.num.n_sc) < -38);
			}
		}
		delay_bank_destroy(f.bank);
	}
}

static void noise_of_the_coefficients_is_what_the_basis_says(void **state)
{
	(void)state;
	begin(0);
	const struct delay_basis *b = &f.bank->basis[3];
	const struct delay_solution *s = &b->fits[0].at[DELAY_LEVELS - 1];
	const size_t trials = 3000;
	double noise = 0, expected = 0, residual = 0;
	for (size_t t = 0; t < trials; t++) {
		for (size_t i = 0; i < f.n; i++) {
			double complex n = rng_normal(&f.rng);
			f.y_re[i] = (float)creal(n);
			f.y_im[i] = (float)cimag(n);
		}
		residual += (double)delay_fit(b, 0, DELAY_LEVELS - 1, f.y_re, f.y_im, f.x_re, f.x_im, f.a, f.b) /
		            (double)trials;
		for (size_t j = 0; j < b->dim; j++)
			noise += (double)(f.x_re[j] * f.x_re[j] + f.x_im[j] * f.x_im[j]) / (double)trials;
	}
	for (size_t j = 0; j < b->dim; j++)
		expected += (double)s->noise[j];
	assert_near(noise / expected, 1, 0.05);
	assert_near(residual / (double)s->dof, 1, 0.03);
	delay_bank_destroy(f.bank);
}

static void the_profile_has_a_path_s_power_at_its_delay(void **state)
{
	(void)state;
	static float power[DELAY_GRID_MAX], work[4 * DELAY_GRID_MAX];
	begin(0);
	for (double delay = 0; delay < 13; delay += 0.9) {
		struct channel one = { .n_paths = 1, .gain = { 2 }, .delay_samples = { delay } };
		size_t most = 0;
		double sum = 0;
		observe(&one, 0);
		delay_profile(f.bank, 0, f.y_re, f.y_im, power, work);
		for (size_t i = 0; i < f.bank->n_bins; i++) {
			sum += (double)power[i];
			most = power[i] > power[most] ? i : most;
		}
		assert_near(f.bank->bin_first + f.bank->bin_step * (double)most, delay, 0.51 * f.bank->bin_step);
		assert_near(sum, 4, 0.1);
	}
	delay_bank_destroy(f.bank);
}

static void a_ramp_is_the_response_of_a_delay(void **state)
{
	(void)state;
	begin(0);
	struct channel one = { .n_paths = 1, .gain = { 1 }, .delay_samples = { 7.3 } };
	delay_ramp(f.bank, 7.3, 0.4, f.ramp_re, f.ramp_im);
	delay_ramp_part(f.bank, 7.3, 45, 119, f.a, f.b);
	for (size_t at = 45; at < 119; at++)
		assert_true(cabs(CMPLX((double)f.a[at], (double)f.b[at]) * cexp(0.4 * I) -
		                 CMPLX((double)f.ramp_re[at], (double)f.ramp_im[at])) < 1e-5);
	delay_pilot_ramp(f.bank, 0, 7.3, 0.4, f.a, f.b);
	for (size_t i = 0; i < f.n; i++) {
		size_t at = delay_index(&f.num, f.k[i]);
		assert_true(cabs(CMPLX((double)f.a[i] - (double)f.ramp_re[at],
		                       (double)f.b[i] - (double)f.ramp_im[at])) < 1e-5);
	}
	for (size_t k = 0; k < f.num.n_sc; k++) {
		size_t at = delay_index(&f.num, k);
		double complex ramp = CMPLX((double)f.ramp_re[at], (double)f.ramp_im[at]);
		assert_true(cabs(ramp - cexp(0.4 * I) * channel_truth(&f.num, &one, k, 0, 1)) < 1e-5);
	}
	delay_bank_destroy(f.bank);
}

/* Channels of the assumed profile, noise at the assumed SNR: what is left is what the table says, in the middle of the
 * band, at its end and about DC. */
static void what_local_estimates_leave_is_what_they_say(void **state)
{
	(void)state;
	begin(0);
	struct local_wiener *w = local_wiener_create(&f.num);
	assert_non_null(w);
	const size_t trials = 800, paths = 24;
	const double snr = pow(10, 0.6), width = 0.6 * (double)f.num.cp;
	struct local_choice choice = local_wiener_choose(w, width, (float)snr);
	static const struct {
		size_t rb;
		unsigned sides;
	} cases[] = { { 4, LOCAL_LEFT | LOCAL_RIGHT }, { 0, LOCAL_RIGHT }, { 8, LOCAL_LEFT | LOCAL_RIGHT }, { 9, 0 } };
	for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
		double error = 0;
		float left = 0, h_re[MATRIX_BLOCK], h_im[MATRIX_BLOCK];
		for (size_t t = 0; t < trials; t++) {
			double complex gain[24];
			double delay[24];
			for (size_t i = 0; i < paths; i++) {
				gain[i] = rng_normal(&f.rng) / sqrt((double)paths);
				delay[i] = width * (rng_uniform(&f.rng) - 0.5);
			}
			double complex truth[PHY_SC_MAX];
			for (size_t k = 0; k < f.num.n_sc; k++) {
				truth[k] = 0;
				for (size_t i = 0; i < paths; i++)
					truth[k] += gain[i] * cexp(-2 * M_PI * I * numerology_offset(&f.num, k) *
					                           delay[i] / (double)f.num.n_fft);
				if (k % LOCAL_STEP)
					continue;
				double complex p = truth[k] + rng_normal(&f.rng) / sqrt(snr);
				f.y_re[k / LOCAL_STEP] = (float)creal(p);
				f.y_im[k / LOCAL_STEP] = (float)cimag(p);
			}
			left = local_wiener_estimate(w, &choice, cases[c].rb, cases[c].sides, f.y_re, f.y_im, h_re,
			                             h_im);
			for (size_t i = 0; i < PHY_RB_SC; i++)
				error += pow(cabs(CMPLX((double)h_re[i], (double)h_im[i]) -
				                  truth[cases[c].rb * PHY_RB_SC + i]),
				             2) /
				         (double)(trials * PHY_RB_SC);
		}
		assert_near(error / (double)left, 1, 0.12);
	}
	local_wiener_destroy(w);
	delay_bank_destroy(f.bank);
}

static void no_sets_of_pilots_is_refused(void **state)
{
	(void)state;
	assert_null(delay_bank_create(&f.num, NULL, 0));
	assert_int_equal(errno, EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_inside_a_window_come_through),
		cmocka_unit_test(noise_of_the_coefficients_is_what_the_basis_says),
		cmocka_unit_test(the_profile_has_a_path_s_power_at_its_delay),
		cmocka_unit_test(a_ramp_is_the_response_of_a_delay),
		cmocka_unit_test(what_local_estimates_leave_is_what_they_say),
		cmocka_unit_test(no_sets_of_pilots_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
