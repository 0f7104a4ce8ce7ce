/* The integer soft demapper against the floating-point chain: equaliser, max-log demapper, quantisation, scrambling. */
#include "phy/code_block.h"
#include "phy/equalize.h"
#include "phy/gold.h"
#include "phy/modem.h"
#include "phy/soften.h"
#include "tests/phy/awgn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct soften s;
static float complex sent[SOFTEN_RE];

/* Random symbols over fading of mean power `scale`^2 with noise snr_db below; a few noise variances. */
static void receive(unsigned qm, size_t n, double snr_db, float scale, struct awgn *g)
{
	float complex points[MODEM_POINTS_MAX];

	modem_points(qm, 1, points);
	for (size_t i = 0; i < n; i++) {
		float noise = scale * scale * (float)(pow(10, -snr_db / 10) * (0.5 + awgn_uniform(g)));
		sent[i] = points[awgn_u64(g) >> (64 - qm)];
		s.h[i] = scale * awgn_noise(g);
		s.y[i] = s.h[i] * sent[i] + sqrtf(noise) * awgn_noise(g);
		s.inverse_noise[i] = 1 / noise;
	}
}

/* llr[k][i] as the floating-point chain has it. */
static void expect(unsigned qm, size_t n, uint32_t seed, int8_t llr[MODEM_BITS_MAX][SOFTEN_RE])
{
	static float complex z[SOFTEN_RE];
	static float var[SOFTEN_RE], soft[SOFTEN_RE * MODEM_BITS_MAX];

	for (size_t i = 0; i < n; i++)
		var[i] = 1 / s.inverse_noise[i];
	equalize(s.y, s.h, n, z, var);
	modem_demap(qm, z, var, soft, n);
	gold_flip_llr(seed, soft, n * qm);
	for (unsigned k = 0; k < qm; k++)
		code_block_quantise(soft + k, qm, llr[k], n);
}

/* Is the gain of an RE below its limit? */
static bool is_free(unsigned qm, size_t i)
{
	static const float unit2[] = { 1 / 2.0f, 1 / 10.0f, 1 / 42.0f, 1 / 170.0f };
	float snr = (crealf(s.h[i]) * crealf(s.h[i]) + cimagf(s.h[i]) * cimagf(s.h[i])) * s.inverse_noise[i];

	return 4 * LDPC_LLR_STEPS * unit2[qm / 2 - 1] * snr < (float)(1016 >> qm / 2);
}

/* Rounding of coordinate and thresholds moves a metric by less than a step; deep in noise, where a half distance is a few
 * steps only, by up to two of the outer ones of 256QAM. */
static void soft_bits_are_those_of_the_floating_point_chain(void **state)
{
	static const float scales[] = { 1e-4f, 1, 300 };
	struct awgn g = { 1 };

	(void)state;
	for (unsigned qm = 2; qm <= 8; qm += 2)
		for (size_t trial = 0; trial < 40; trial++) {
			int8_t expected[MODEM_BITS_MAX][SOFTEN_RE];
			size_t n = trial < 20 ? SOFTEN_RE : 1 + trial * 5;
			double snr_db = 3.0 * qm - 8 + 4.0 * (double)(trial % 5), differences = 0;
			receive(qm, n, snr_db, scales[trial % 3], &g);
			gold_symbols((uint32_t)trial, qm, s.scramble, n);
			soften(&s, qm, n);
			expect(qm, n, (uint32_t)trial, expected);
			for (unsigned k = 0; k < qm; k++)
				for (size_t i = 0; i < n; i++) {
					int d = abs(s.llr[k][i] - expected[k][i]);
					assert_true(d <= 2 || !is_free(qm, i));
					differences += is_free(qm, i) ? d : 0;
				}
			assert_true(differences / (double)(n * qm) < 0.12);
		}
}

/* The short way that control takes, against equaliser and demapper. */
static void soft_bits_of_qpsk_are_the_same_at_once(void **state)
{
	static float complex z[SOFTEN_RE];
	static float var[SOFTEN_RE], noise[SOFTEN_RE], expected[2 * SOFTEN_RE], got[2 * SOFTEN_RE];
	struct awgn g = { 5 };

	(void)state;
	for (size_t n = 1; n <= SOFTEN_RE; n += 51) {
		receive(2, n, 3, 20, &g);
		for (size_t i = 0; i < n; i++)
			var[i] = noise[i] = 1 / s.inverse_noise[i];
		equalize(s.y, s.h, n, z, var);
		modem_demap(2, z, var, expected, n);
		soften_qpsk(s.y, s.h, noise, n, got);
		for (size_t i = 0; i < 2 * n; i++)
			assert_true(fabsf(got[i] - expected[i]) <= 1e-4f * (1 + fabsf(expected[i])));
	}
}

/* Beyond the gain's limit the numbers are clipped, the decisions are not. */
static void at_a_hundred_decibels_every_bit_is_certain_and_right(void **state)
{
	struct awgn g = { 2 };

	(void)state;
	for (unsigned qm = 2; qm <= 8; qm += 2) {
		int8_t expected[MODEM_BITS_MAX][SOFTEN_RE];
		receive(qm, SOFTEN_RE, 100, 1, &g);
		gold_symbols(0, qm, s.scramble, SOFTEN_RE);
		soften(&s, qm, SOFTEN_RE);
		expect(qm, SOFTEN_RE, 0, expected);
		for (unsigned k = 0; k < qm; k++)
			for (size_t i = 0; i < SOFTEN_RE; i++)
				assert_true(abs(s.llr[k][i]) >= 63 && (s.llr[k][i] < 0) == (expected[k][i] < 0));
	}
}

static void an_erased_element_says_nothing(void **state)
{
	struct awgn g = { 3 };

	(void)state;
	for (unsigned qm = 2; qm <= 8; qm += 2) {
		receive(qm, 64, 20, 1, &g);
		s.inverse_noise[7] = 0;
		s.h[9] = 0;
		soften(&s, qm, 64);
		for (unsigned k = 0; k < qm; k++)
			assert_true(s.llr[k][7] == 0 && s.llr[k][9] == 0);
		assert_true(isfinite(s.error) && isfinite(s.power) && isfinite(s.snr));
	}
}

/* Nothing is promised of the soft bits, only that there are some (the sanitizers look on). */
static void what_is_no_number_does_no_harm(void **state)
{
	static const float bad[] = { NAN, INFINITY, -INFINITY, 1e38f, -1e38f, 1e-38f };
	enum { N_BAD = sizeof bad / sizeof bad[0] };

	(void)state;
	for (unsigned qm = 2; qm <= 8; qm += 2) {
		for (size_t i = 0; i < N_BAD * N_BAD * N_BAD && i < SOFTEN_RE; i++) {
			s.y[i] = CMPLXF(bad[i % N_BAD], 1);
			s.h[i] = CMPLXF(1, bad[i / N_BAD % N_BAD]);
			s.inverse_noise[i] = bad[i / N_BAD / N_BAD];
		}
		soften(&s, qm, N_BAD * N_BAD * N_BAD);
		for (unsigned k = 0; k < qm; k++)
			for (size_t i = 0; i < N_BAD * N_BAD * N_BAD; i++)
				assert_true(s.llr[k][i] >= -127);
	}
}

/* Error of the nearest point is the noise where decisions are right; SNR is what was set. */
static void signal_and_error_are_measured(void **state)
{
	struct awgn g = { 4 };

	(void)state;
	for (unsigned qm = 2; qm <= 8; qm += 2) {
		double error = 0, power = 0, snr = 0, true_error = 0;
		for (int trial = 0; trial < 100; trial++) {
			receive(qm, SOFTEN_RE, 0, 1, &g);
			for (size_t i = 0; i < SOFTEN_RE; i++) {
				float complex noise = 0.01f * awgn_noise(&g);
				s.h[i] = 2 + 1 * I;
				s.y[i] = s.h[i] * (sent[i] + noise);
				s.inverse_noise[i] = 1 / (5 * 1e-4f);
				if (i < SOFTEN_EVM_RE)
					true_error += (double)(cabsf(noise) * cabsf(noise));
			}
			soften(&s, qm, SOFTEN_RE);
			error += (double)s.error;
			power += (double)s.power;
			snr += (double)s.snr;
		}
		assert_true(fabs(error / true_error - 1) < 0.05);
		assert_true(fabs(power / (100 * SOFTEN_EVM_RE) - 1) < 0.05);
		assert_true(fabs(snr / (100 * SOFTEN_RE) / 1e4 - 1) < 1e-3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(soft_bits_are_those_of_the_floating_point_chain),
		cmocka_unit_test(soft_bits_of_qpsk_are_the_same_at_once),
		cmocka_unit_test(at_a_hundred_decibels_every_bit_is_certain_and_right),
		cmocka_unit_test(an_erased_element_says_nothing),
		cmocka_unit_test(what_is_no_number_does_no_harm),
		cmocka_unit_test(signal_and_error_are_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
