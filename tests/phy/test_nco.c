#include "phy/nco.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

enum { N = 10007 };
static const double rate_hz = 7.68e6;
static float complex x[N], y[N], z[N];

static void ones(void)
{
	for (size_t i = 0; i < N; i++)
		x[i] = 1;
}

static double worst(const float complex *a, const float complex *b, size_t n)
{
	double most = 0;
	for (size_t i = 0; i < n; i++)
		most = fmax(most, cabs((double complex)(a[i] - b[i])));
	return most;
}

static void down_turns_by_minus_the_phase_that_the_frequency_says(void **state)
{
	(void)state;
	static const double hz[] = { 0, 1, -1, 7500, -7500, 123456.789, 3.8e6, -3.8e6 };
	ones();
	for (size_t f = 0; f < sizeof hz / sizeof hz[0]; f++) {
		struct nco n;
		nco_init(&n, rate_hz);
		nco_set_hz(&n, hz[f]);
		nco_down(&n, x, y, N);
		for (size_t i = 0; i < N; i++)
			z[i] = (float complex)cexp(-I * 2 * M_PI * fmod(hz[f] * (double)i / rate_hz, 1));
		assert_true(worst(y, z, N) < 5e-7);
		assert_true(fabs(nco_hz(&n) - hz[f]) < 1e-9);
	}
}

static void up_undoes_down(void **state)
{
	(void)state;
	struct nco down, up;
	ones();
	nco_init(&down, rate_hz);
	nco_set_hz(&down, -4321);
	up = down;
	nco_down(&down, x, y, N);
	nco_up(&up, y, y, N); /* in place */
	assert_true(worst(y, x, N) < 1e-6);
}

static void cutting_the_stream_anywhere_changes_nothing(void **state)
{
	(void)state;
	struct nco whole, cut;
	ones();
	nco_init(&whole, rate_hz);
	nco_set_hz(&whole, 7123.4);
	cut = whole;
	nco_down(&whole, x, y, N);
	for (size_t done = 0, step = 1; done < N; done += step, step = step * 3 % 401 + 1) {
		if (step > N - done)
			step = N - done;
		nco_down(&cut, x + done, z + done, step);
	}
	assert_true(worst(y, z, N) < 1e-6);
	assert_int_equal(whole.phase, cut.phase);
}

static void the_phase_goes_on_when_the_frequency_steps(void **state)
{
	(void)state;
	struct nco n;
	ones();
	nco_init(&n, rate_hz);
	double phase = 0;
	for (size_t block = 0; block < 20; block++) {
		double hz = 1000 * (double)block - 7000;
		nco_set_hz(&n, hz);
		double error = remainder(nco_phase_rad(&n) - phase, 2 * M_PI);
		assert_true(fabs(error) < 1e-9);
		nco_up(&n, x, y, 3840);
		assert_true(cabs((double complex)y[0] - cexp(I * phase)) < 1e-6);
		phase += 2 * M_PI * hz * 3840 / rate_hz;
	}
}

static void skipping_is_as_good_as_turning(void **state)
{
	(void)state;
	struct nco turned, skipped;
	ones();
	nco_init(&turned, rate_hz);
	nco_set_hz(&turned, -1234.5);
	skipped = turned;
	nco_down(&turned, x, y, 5000);
	nco_skip(&skipped, 7000);
	nco_skip(&skipped, -2000);
	assert_int_equal(turned.phase, skipped.phase);
}

static void a_day_of_samples_leaves_the_phase_exact(void **state)
{
	(void)state;
	struct nco n;
	nco_init(&n, rate_hz);
	nco_set_hz(&n, rate_hz / 1024); /* a power of two: the true phase is known */
	nco_skip(&n, INT64_C(663552000000) + 256);
	assert_true(fabs(nco_phase_rad(&n) - M_PI / 2) < 1e-12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(down_turns_by_minus_the_phase_that_the_frequency_says),
		cmocka_unit_test(up_undoes_down),
		cmocka_unit_test(cutting_the_stream_anywhere_changes_nothing),
		cmocka_unit_test(the_phase_goes_on_when_the_frequency_steps),
		cmocka_unit_test(skipping_is_as_good_as_turning),
		cmocka_unit_test(a_day_of_samples_leaves_the_phase_exact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
