/* The spectrum: tones and noise of known power, and the adjacent channel against samples interpolated fourfold. */
#include "phy/ofdm.h"
#include "phy/profile.h"
#include "phy/spectrum.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { BINS = 512, N = 1 << 16 };

static void a_tone_s_power_lies_at_its_frequency(void **state)
{
	(void)state;
	struct spectrum *s = spectrum_create(BINS);
	float complex *x = calloc(N, sizeof *x);
	for (size_t i = 0; i < N; i++)
		x[i] = 0.5f * (float complex)cexp(I * 2 * M_PI * (-0.2113 * (double)i));
	for (size_t i = 0; i < N; i += 1000) /* portions of any size */
		spectrum_feed(s, x + i, N - i < 1000 ? N - i : 1000);
	assert_near(spectrum_band(s, -0.5, 0.5), 0.25, 1e-4);
	assert_near(spectrum_band(s, -0.22, -0.20), 0.25, 1e-4);
	assert_true(spectrum_band(s, -0.19, 0.5) < 0.25 * 1e-8);
	free(x);
	spectrum_destroy(s);
}

static void white_noise_is_flat(void **state)
{
	(void)state;
	struct rng r = { 1 };
	struct spectrum *s = spectrum_create(BINS);
	float complex *x = calloc(N, sizeof *x);
	for (size_t block = 0; block < 16; block++) {
		memset(x, 0, N * sizeof *x);
		noise_add(&r, 3, x, N);
		spectrum_feed(s, x, N);
	}
	assert_near(spectrum_band(s, -0.5, 0.5), 3, 0.03);
	for (double from = -0.5; from < 0.49; from += 0.1)
		assert_near(spectrum_band(s, from, from + 0.1), 0.3, 0.01);
	for (size_t i = 0; i < BINS; i++)
		assert_near(spectrum_bin(s, i) * BINS, 3, 0.5);
	free(x);
	spectrum_destroy(s);
}

static void nothing_has_been_fed_yet(void **state)
{
	(void)state;
	struct spectrum *s = spectrum_create(64);
	assert_true(spectrum_band(s, -0.5, 0.5) == 0);
	spectrum_destroy(s);
	assert_null(spectrum_create(63));
	assert_int_equal(errno, EINVAL);
	assert_null(spectrum_create(1 << 17));
}

/* x, n samples, as a circle at four times the rate: zeros between the halves of its spectrum. */
static float complex *interpolated(const float complex *x, size_t n)
{
	float complex *in = (float complex *)fftwf_alloc_complex(n), *out = (float complex *)fftwf_alloc_complex(4 * n);
	fftwf_plan forward = fftwf_plan_dft_1d((int)n, in, in, FFTW_FORWARD, FFTW_ESTIMATE);
	fftwf_plan back = fftwf_plan_dft_1d((int)(4 * n), out, out, FFTW_BACKWARD, FFTW_ESTIMATE);
	memcpy(in, x, n * sizeof *x);
	memset(out, 0, 4 * n * sizeof *out);
	fftwf_execute(forward);
	for (size_t i = 0; i < n; i++)
		out[i < n / 2 ? i : 3 * n + i] = in[i] / (float)n;
	fftwf_execute(back);
	fftwf_destroy_plan(back);
	fftwf_destroy_plan(forward);
	fftwf_free(in);
	return out;
}

/* What a spectrum analyser with a brick-wall filter would sum up, from one periodogram of everything. */
static double adjacent_by_periodogram_db(const struct numerology *num, const float complex *x, size_t n)
{
	float complex *y = interpolated(x, n);
	fftwf_plan plan = fftwf_plan_dft_1d((int)(4 * n), y, y, FFTW_FORWARD, FFTW_ESTIMATE);
	for (size_t i = 0; i < 4 * n; i++) /* Hann: the ends of the stretch do not leak */
		y[i] *= (float)pow(sin(M_PI * ((double)i + 0.5) / (double)(4 * n)), 2);
	fftwf_execute(plan);
	double width_hz = (double)(num->n_sc + 1) * num->scs_hz / 0.9, sum[3] = { 0 };
	for (size_t i = 0; i < 4 * n; i++) {
		double bin = i < 2 * n ? (double)i : (double)i - 4.0 * (double)n;
		long channel = lround(bin * num->rate_hz / (double)n / width_hz);
		if (labs(channel) <= 1)
			sum[channel + 1] += pow(cabs((double complex)y[i]), 2);
	}
	fftwf_destroy_plan(plan);
	fftwf_free(y);
	return 10 * log10(fmax(sum[0], sum[2]) / sum[1]);
}

static void the_adjacent_channel_is_that_of_ideally_interpolated_samples(void **state)
{
	(void)state;
	static const char *const names[] = { "7.68M-30k", "7.68M-60k", "7.68M-15k" };
	for (size_t p = 0; p < 3; p++)
		for (int taper = -1; taper <= 0; taper++) {
			struct numerology_config c = numerology_profile_config(numerology_profile_find(names[p]), 14);
			struct numerology num;
			struct rng r = { p };
			c.taper = taper;
			c.n_rb -= 2 * p; /* more guard band, more of the adjacent channel in sight */
			assert_int_equal(numerology_create(&num, &c, NULL, 0), 0);
			size_t n_re = num.n_symbols * num.n_sc, n_slots = (1 << 18) / num.slot_len,
			       n = n_slots * num.slot_len;
			float complex *grid = malloc(n_re * sizeof *grid), *x = malloc(n * sizeof *x);
			struct ofdm *o = ofdm_create(&num, 0);
			struct spectrum *s = spectrum_create(8 * num.n_fft);
			for (size_t slot = 0; slot < n_slots; slot++) {
				for (size_t i = 0; i < n_re; i++)
					grid[i] = (float complex)cexp(I * M_PI / 2 * (double)(rng_u64(&r) % 4));
				ofdm_modulate(o, grid, x + slot * num.slot_len);
			}
			spectrum_feed(s, x, n);
			double db = spectrum_adjacent_db(s, &num);
			assert_near(db, adjacent_by_periodogram_db(&num, x, n), 0.3);
			spectrum_destroy(s);
			ofdm_destroy(o);
			free(x);
			free(grid);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tone_s_power_lies_at_its_frequency),
		cmocka_unit_test(white_noise_is_flat),
		cmocka_unit_test(nothing_has_been_fed_yet),
		cmocka_unit_test(the_adjacent_channel_is_that_of_ideally_interpolated_samples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
