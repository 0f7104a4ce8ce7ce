#include "tests/phy/sync_channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

enum { N_GRID = 14 * 216, N_SAMPLES = 3840 };

static struct numerology num;
static float complex grid[N_GRID], samples[3 * N_SAMPLES], back[N_GRID];

static int set_up(void **state)
{
	(void)state;
	return numerology_init(&num, 7.68e6, 30e3, 18, 14, NULL, 0);
}

static void fill(struct rng *r)
{
	for (size_t i = 0; i < N_GRID; i++)
		grid[i] = rng_qpsk(r);
}

/* Energy of a - b over that of b, in dB. */
static double error_db(const float complex *a, const float complex *b, size_t n)
{
	double error = 0, all = 0;
	for (size_t i = 0; i < n; i++) {
		error += pow(cabs((double complex)(a[i] - b[i])), 2);
		all += pow(cabs((double complex)b[i]), 2);
	}
	return 10 * log10(error / all + 1e-30);
}

/* Sample t of the slot in `grid`, as notes/phy.md defines it: symbol by symbol a sum of subcarriers, each symbol cyclic
 * from its prefix to `taper` samples past its end, risen and fallen as a raised cosine. */
static double complex defined_sample(size_t t, size_t taper)
{
	double complex all = 0;
	for (size_t l = 0; l < 14; l++) {
		double start = (double)numerology_symbol_start(&num, l),
		       end = (double)numerology_symbol_start(&num, l + 1);
		double since_body_s = ((double)t - (double)numerology_symbol_body(&num, l)) / num.rate_hz, weight = 1;
		if ((double)t < start || (double)t >= end + (double)taper)
			continue;
		if ((double)t < start + (double)taper)
			weight = pow(sin(M_PI / 2 * ((double)t - start + 0.5) / (double)taper), 2);
		if ((double)t >= end)
			weight = pow(cos(M_PI / 2 * ((double)t - end + 0.5) / (double)taper), 2);
		double complex sum = 0;
		for (size_t k = 0; k < num.n_sc; k++)
			sum += (double complex)grid[l * num.n_sc + k] *
			       cexp(I * 2 * M_PI * numerology_freq_hz(&num, k) * since_body_s);
		all += weight * sum / 16;
	}
	return all;
}

static void samples_are_the_sum_of_subcarriers_that_the_definition_says(void **state)
{
	(void)state;
	struct rng r = { 1 };
	static float complex direct[N_SAMPLES];
	const size_t usual = num.taper;
	for (num.taper = 0; num.taper <= 6; num.taper += 2) {
		struct ofdm *o = ofdm_create(&num, 4);
		fill(&r);
		ofdm_modulate(o, grid, samples);
		for (size_t t = 0; t < N_SAMPLES; t++)
			direct[t] = (float complex)defined_sample(t, num.taper);
		assert_true(error_db(samples, direct, N_SAMPLES) < -120);
		ofdm_destroy(o);
	}
	num.taper = usual;
}

static void a_slot_s_end_reaches_into_the_next_or_into_silence(void **state)
{
	(void)state;
	struct rng r = { 7 };
	const size_t usual = num.taper;
	num.taper = 5;
	struct ofdm *o = ofdm_create(&num, 4);
	fill(&r);
	ofdm_modulate(o, grid, samples);
	float complex last[5];
	for (size_t i = 0; i < 5; i++)
		last[i] = (float complex)defined_sample(N_SAMPLES + i, 5);
	float complex *next = samples + N_SAMPLES;
	assert_true(ofdm_silence(o, next));
	assert_true(error_db(next, last, 5) < -110);
	for (size_t i = 5; i < N_SAMPLES; i++)
		assert_true(next[i] == 0);
	assert_false(ofdm_silence(o, next));
	assert_true(next[0] == 0);

	ofdm_modulate(o, grid, samples);
	fill(&r);
	ofdm_modulate(o, grid, next);
	for (size_t i = 0; i < 5; i++)
		last[i] += (float complex)defined_sample(i, 5);
	assert_true(error_db(next, last, 5) < -110);
	ofdm_reset(o);
	ofdm_modulate(o, grid, next);
	assert_true(cabsf(next[0] - (float complex)defined_sample(0, 5)) < 1e-5f);
	ofdm_destroy(o);
	num.taper = usual;
}

static void what_is_modulated_comes_back(void **state)
{
	(void)state;
	static const struct {
		double rate_hz, scs_hz;
		size_t n_rb, backoff;
	} shapes[] = { { 7.68e6, 30e3, 18, 0 },
		       { 7.68e6, 30e3, 18, 16 },
		       { 3.84e6, 15e3, 21, 4 },
		       { 23.04e6, 30e3, 51, 13 },
		       { 61.44e6, 30e3, 110, 36 } };
	struct rng r = { 2 };
	for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
		struct numerology n;
		assert_int_equal(numerology_init(&n, shapes[s].rate_hz, shapes[s].scs_hz, shapes[s].n_rb, 14, NULL, 0),
		                 0);
		struct ofdm *o = ofdm_create(&n, shapes[s].backoff);
		size_t n_re = n.n_symbols * n.n_sc;
		float complex *sent = malloc(n_re * sizeof *sent), *received = malloc(n_re * sizeof *sent);
		float complex *x = malloc((n.slot_len + 1) * sizeof *x);
		for (size_t i = 0; i < n_re; i++)
			sent[i] = rng_qpsk(&r);
		ofdm_modulate(o, sent, x + 1); /* no alignment is promised */
		ofdm_demodulate(o, x + 1, received);
		assert_true(error_db(received, sent, n_re) < -120);
		free(x);
		free(received);
		free(sent);
		ofdm_destroy(o);
	}
}

static void an_re_of_amplitude_a_adds_a2_over_n_fft_to_the_power(void **state)
{
	(void)state;
	struct ofdm *o = ofdm_create(&num, 4);
	memset(grid, 0, sizeof grid);
	grid[5 * num.n_sc + 17] = 3;
	ofdm_modulate(o, grid, samples);
	double power = 0;
	for (size_t i = 0; i < num.n_fft; i++)
		power += pow(cabs((double complex)samples[numerology_symbol_body(&num, 5) + i]), 2) / (double)num.n_fft;
	assert_true(fabs(power - 9.0 / 256) < 1e-6);
	ofdm_destroy(o);
}

static void white_noise_keeps_its_variance_in_every_re(void **state)
{
	(void)state;
	struct rng r = { 3 };
	struct ofdm *o = ofdm_create(&num, 4);
	double power = 0;
	for (size_t slot = 0; slot < 10; slot++) {
		memset(samples, 0, N_SAMPLES * sizeof *samples);
		add_noise(&r, samples, N_SAMPLES, 0.25);
		ofdm_demodulate(o, samples, back);
		for (size_t i = 0; i < N_GRID; i++)
			power += pow(cabs((double complex)back[i]), 2) / (10 * N_GRID);
	}
	assert_true(fabs(power - 0.25) < 0.25 * 0.03); /* 30240 values: 5 sigma */
	ofdm_destroy(o);
}

/* Three slots through one path; demodulates the middle one. EVM against the sent RE times the phase of that delay. */
static double evm_of_delay(double delay, size_t backoff)
{
	struct rng r = { 4 };
	struct ofdm *o = ofdm_create(&num, backoff);
	static float complex sent[N_GRID], expected[N_GRID], received[3 * N_SAMPLES];
	for (size_t slot = 0; slot < 3; slot++) {
		fill(&r);
		if (slot == 1)
			memcpy(sent, grid, sizeof sent);
		ofdm_modulate(o, grid, samples + slot * N_SAMPLES);
	}
	struct taps path = taps_flat(delay);
	pass_channel(&path, num.rate_hz, 0, samples, received, 3 * N_SAMPLES);
	ofdm_demodulate(o, received + N_SAMPLES, back);
	for (size_t i = 0; i < N_GRID; i++) {
		double cycles = -numerology_freq_hz(&num, i % num.n_sc) * delay / num.rate_hz;
		expected[i] = sent[i] * (float complex)cexp(I * 2 * M_PI * cycles);
	}
	ofdm_destroy(o);
	return error_db(back, expected, N_GRID);
}

static void whole_delays_inside_the_window_are_pure_phase_ramps(void **state)
{
	(void)state;
	const size_t usual = num.taper;
	for (num.taper = 0; num.taper <= 8; num.taper += usual) {
		int last = (int)numerology_clean_prefix(&num) - 4;
		assert_int_equal(last, 14 - (int)num.taper);
		for (int delay = -4; delay <= last; delay++)
			assert_true(evm_of_delay(delay, 4) < -110);
		if (num.taper)
			assert_true(evm_of_delay(last + 2, 4) > -60);
	}
	num.taper = usual;
}

static void fractional_delays_inside_the_window_are_phase_ramps_too(void **state)
{
	(void)state;
	/* what is left is the sinc's tail over the symbols' edges */
	assert_true(evm_of_delay(0.5, 4) < -30);
	assert_true(evm_of_delay(5.3, 4) < -30);
	assert_true(evm_of_delay(-2.5, 4) < -30);
}

static void beyond_the_window_symbols_interfere(void **state)
{
	(void)state;
	/* d samples outside spoil d of 256 samples twice: -10 log10(256 / (2 d)) dB, give or take the band's shape; the
	 * edges count from the middle of the taper */
	assert_true(fabs(evm_of_delay(-5 - 8, 4) - 10 * log10(2 * 8 / 256.0)) < 1.5);
	assert_true(fabs(evm_of_delay(13 + 8, 4) - 10 * log10(2 * 8 / 256.0)) < 1.5);
}

static void a_backoff_longer_than_the_prefix_is_refused(void **state)
{
	(void)state;
	assert_null(ofdm_create(&num, numerology_clean_prefix(&num) + 1));
	assert_int_equal(errno, EINVAL);
}

static void the_same_slot_gives_the_same_bits_whatever_its_alignment(void **state)
{
	(void)state;
	struct rng r = { 5 };
	struct ofdm *o = ofdm_create(&num, 4), *other = ofdm_create(&num, 4);
	static float complex second[N_GRID];
	fill(&r);
	ofdm_modulate(o, grid, samples);
	add_noise(&r, samples, N_SAMPLES, 1);
	ofdm_demodulate(o, samples, back);
	for (size_t shift = 1; shift < 8; shift++) {
		memmove(samples + shift, samples + shift - 1, N_SAMPLES * sizeof *samples);
		ofdm_demodulate(other, samples + shift, second);
		assert_memory_equal(back, second, sizeof back);
	}
	ofdm_destroy(other);
	ofdm_destroy(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_are_the_sum_of_subcarriers_that_the_definition_says),
		cmocka_unit_test(a_slot_s_end_reaches_into_the_next_or_into_silence),
		cmocka_unit_test(what_is_modulated_comes_back),
		cmocka_unit_test(an_re_of_amplitude_a_adds_a2_over_n_fft_to_the_power),
		cmocka_unit_test(white_noise_keeps_its_variance_in_every_re),
		cmocka_unit_test(whole_delays_inside_the_window_are_pure_phase_ramps),
		cmocka_unit_test(fractional_delays_inside_the_window_are_phase_ramps_too),
		cmocka_unit_test(beyond_the_window_symbols_interfere),
		cmocka_unit_test(a_backoff_longer_than_the_prefix_is_refused),
		cmocka_unit_test(the_same_slot_gives_the_same_bits_whatever_its_alignment),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
