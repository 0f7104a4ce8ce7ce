/* Maps and demappers against the formulas of TS 38.211, 5.1, exhaustive search, log-MAP, theory and liquid-dsp. */
#include "phy/modem.h"
#include "tests/phy/awgn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <liquid/liquid.h>

static const unsigned orders[] = { 2, 4, 6, 8 };
enum { N_ORDERS = 4 };

static void assert_near(double a, double b, double tolerance)
{
	assert_true(fabs(a - b) <= tolerance);
}

/* One axis as the standard writes it; b: the bits of this axis. */
static double axis(unsigned qm, const int *b)
{
	switch (qm) {
	case 2:
		return (1 - 2 * b[0]) / sqrt(2);
	case 4:
		return (1 - 2 * b[0]) * (2 - (1 - 2 * b[1])) / sqrt(10);
	case 6:
		return (1 - 2 * b[0]) * (4 - (1 - 2 * b[1]) * (2 - (1 - 2 * b[2]))) / sqrt(42);
	default:
		return (1 - 2 * b[0]) * (8 - (1 - 2 * b[1]) * (4 - (1 - 2 * b[2]) * (2 - (1 - 2 * b[3])))) / sqrt(170);
	}
}

/* All 2^qm points; point i has the bits of i, the first bit on top. */
static void all_points(unsigned qm, float complex *points)
{
	for (unsigned i = 0; i < 1u << qm; i++) {
		int re[4] = { 0 }, im[4] = { 0 };
		for (unsigned k = 0; k < qm; k += 2) {
			re[k / 2] = (int)(i >> (qm - 1 - k) & 1);
			im[k / 2] = (int)(i >> (qm - 2 - k) & 1);
		}
		points[i] = (float)axis(qm, re) + I * (float)axis(qm, im);
	}
}

static void every_point_is_where_the_standard_puts_it(void **state)
{
	(void)state;
	for (size_t o = 0; o < N_ORDERS; o++) {
		unsigned qm = orders[o];
		float complex points[256], mapped;
		double power = 0;
		all_points(qm, points);
		for (unsigned i = 0; i < 1u << qm; i++) {
			uint8_t bits[8];
			for (unsigned k = 0; k < qm; k++)
				bits[k] = i >> (qm - 1 - k) & 1;
			assert_int_equal(modem_map(qm, bits, &mapped, 1), 0);
			assert_true(cabsf(mapped - points[i]) < 1e-6f);
			power += cabs((double complex)mapped) * cabs((double complex)mapped);
		}
		assert_near(power / (1u << qm), 1, 1e-6);
	}
}

enum { N = 1001 }; /* no multiple of any vector length */

struct noisy {
	uint8_t bits[N * 8];
	float complex symbols[N];
	float noise_var[N], llr[N * 8];
};

/* N random symbols with noise of a different variance each, and their LLRs. */
static struct noisy *make_noisy(unsigned qm, uint64_t random_seed, double snr_db)
{
	static struct noisy x;
	struct awgn g = { random_seed };

	awgn_bits(&g, x.bits, N * qm);
	assert_int_equal(modem_map(qm, x.bits, x.symbols, N), 0);
	for (size_t i = 0; i < N; i++) {
		x.noise_var[i] = (float)(pow(10, -snr_db / 10) * (0.25 + 1.5 * awgn_uniform(&g)));
		x.symbols[i] += sqrtf(x.noise_var[i]) * awgn_noise(&g);
	}
	assert_int_equal(modem_demap(qm, x.symbols, x.noise_var, x.llr, N), 0);
	return &x;
}

/* Both in double over all points: max-log, and log-MAP, log sum exp. */
static void search(unsigned qm, float complex y, float noise_var, unsigned bit, double *max_log, double *log_map)
{
	float complex points[256];
	double nearest[2] = { INFINITY, INFINITY }, sum[2] = { 0, 0 };

	all_points(qm, points);
	for (unsigned i = 0; i < 1u << qm; i++) {
		double re = (double)crealf(y) - (double)crealf(points[i]),
		       im = (double)cimagf(y) - (double)cimagf(points[i]);
		double d = (re * re + im * im) / (double)noise_var;
		unsigned b = i >> (qm - 1 - bit) & 1;
		nearest[b] = fmin(nearest[b], d);
		sum[b] += exp(-d);
	}
	*max_log = nearest[1] - nearest[0];
	*log_map = log(sum[0]) - log(sum[1]);
}

static void llrs_are_max_log_to_rounding(void **state)
{
	(void)state;
	for (size_t o = 0; o < N_ORDERS; o++) {
		unsigned qm = orders[o];
		const struct noisy *x = make_noisy(qm, 11 + o, 2.5 * qm);
		for (size_t i = 0; i < N; i++)
			for (unsigned k = 0; k < qm; k++) {
				double max_log, log_map;
				search(qm, x->symbols[i], x->noise_var[i], k, &max_log, &log_map);
				assert_near(x->llr[i * qm + k], max_log, 2e-5 * (1 + fabs(max_log)) * (1 << qm / 2));
			}
	}
}

/* Max-log neglects at most log(points a bit value) on either side. */
static void llrs_are_log_map_within_the_bound_of_max_log(void **state)
{
	(void)state;
	for (size_t o = 0; o < N_ORDERS; o++) {
		unsigned qm = orders[o];
		const struct noisy *x = make_noisy(qm, 21 + o, 2.5 * qm - 4);
		for (size_t i = 0; i < N; i++)
			for (unsigned k = 0; k < qm; k++) {
				double max_log, log_map;
				search(qm, x->symbols[i], x->noise_var[i], k, &max_log, &log_map);
				assert_near(x->llr[i * qm + k], log_map, log(1 << (qm / 2 - 1)) + 1e-3);
			}
	}
}

static double q_function(double x)
{
	return erfc(x / sqrt(2)) / 2;
}

/* Bit error rate of a Gray-mapped square constellation (Cho and Yoon, IEEE Trans. Commun. 50(7), 2002); m = sqrt(M). */
static double theory_ber(unsigned qm, double snr)
{
	unsigned m = 1u << qm / 2;
	double sum = 0, a = sqrt(3 * snr / (m * m - 1));

	for (unsigned k = 1; k <= qm / 2; k++)
		for (unsigned i = 0; i < m - (m >> k); i++) {
			unsigned t = (i << (k - 1)) / m;
			double weight = (double)(1u << (k - 1)) - floor((double)(i << (k - 1)) / m + 0.5);
			sum += (t % 2 ? -1 : 1) * weight * q_function((2 * i + 1) * a) * 2 / m;
		}
	return sum / (qm / 2.0);
}

/* 400k bits at a BER of some per cent: 4 sigma. */
static void hard_decisions_err_as_often_as_theory_says(void **state)
{
	enum { N_BITS = 400 * 960 };
	static uint8_t bits[N_BITS];
	static float complex symbols[N_BITS / 2];
	static float noise_var[N_BITS / 2], llr[N_BITS];
	struct awgn g = { 31 };

	(void)state;
	for (size_t o = 0; o < N_ORDERS; o++)
		for (double snr_db = 2.5 * orders[o] - 3; snr_db < 2.5 * orders[o] + 4; snr_db += 3) {
			unsigned qm = orders[o];
			size_t n = N_BITS / qm, errors = 0;
			float n0 = (float)pow(10, -snr_db / 10);
			awgn_bits(&g, bits, N_BITS);
			modem_map(qm, bits, symbols, n);
			awgn_add(&g, symbols, n0, symbols, n);
			for (size_t i = 0; i < n; i++)
				noise_var[i] = n0;
			modem_demap(qm, symbols, noise_var, llr, n);
			for (size_t i = 0; i < N_BITS; i++)
				errors += (llr[i] < 0) != bits[i];
			double p = theory_ber(qm, pow(10, snr_db / 10));
			/* The bits of a symbol err together at times: half as much again on the deviation covers that.
			 */
			assert_near((double)errors / N_BITS, p, 4 * 1.5 * sqrt(p * (1 - p) / N_BITS));
		}
}

static void hard_decisions_are_the_points_that_liquid_chooses(void **state)
{
	static const modulation_scheme schemes[] = { LIQUID_MODEM_QPSK, LIQUID_MODEM_QAM16, LIQUID_MODEM_QAM64,
		                                     LIQUID_MODEM_QAM256 };

	(void)state;
	for (size_t o = 0; o < N_ORDERS; o++) {
		unsigned qm = orders[o];
		const struct noisy *x = make_noisy(qm, 41 + o, 2.5 * qm);
		modemcf theirs = modemcf_create(schemes[o]);
		for (size_t i = 0; i < N; i++) {
			uint8_t decided[8];
			float complex ours, point;
			unsigned symbol;
			for (unsigned k = 0; k < qm; k++)
				decided[k] = x->llr[i * qm + k] < 0;
			modem_map(qm, decided, &ours, 1);
			modemcf_demodulate(theirs, x->symbols[i], &symbol);
			modemcf_modulate(theirs, symbol, &point);
			/* On a border between two points either may be chosen. */
			assert_near(cabsf(x->symbols[i] - ours), cabsf(x->symbols[i] - point), 1e-5);
		}
		modemcf_destroy(theirs);
	}
}

static void an_erased_symbol_says_nothing(void **state)
{
	float complex y[3] = { 0.9f + 0.3f * I, 0.9f + 0.3f * I, 0.9f + 0.3f * I };
	float noise_var[3] = { 0.1f, INFINITY, 0.1f }, llr[18];

	(void)state;
	assert_int_equal(modem_demap(6, y, noise_var, llr, 3), 0);
	for (int k = 0; k < 6; k++) {
		assert_true(llr[6 + k] == 0);
		assert_true(llr[k] == llr[12 + k] && llr[k] != 0);
	}
}

static void the_table_of_points_is_the_map(void **state)
{
	(void)state;
	for (size_t o = 0; o < N_ORDERS; o++) {
		float complex points[MODEM_POINTS_MAX], mapped;
		assert_int_equal(modem_points(orders[o], 3, points), 0);
		for (unsigned i = 0; i < 1u << orders[o]; i++) {
			uint8_t bits[8];
			for (unsigned k = 0; k < orders[o]; k++)
				bits[k] = i >> k & 1;
			modem_map(orders[o], bits, &mapped, 1);
			assert_true(cabsf(points[i] - 3 * mapped) < 1e-6f);
		}
	}
}

static void an_unknown_order_is_refused(void **state)
{
	static const unsigned wrong[] = { 0, 1, 3, 5, 7, 10, 16 };
	uint8_t bits[16] = { 0 };
	float complex y[1] = { 1 };
	float noise_var[1] = { 1 }, llr[16];

	(void)state;
	for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
		assert_int_equal(modem_map(wrong[k], bits, y, 1), -EINVAL);
		assert_int_equal(modem_points(wrong[k], 1, y), -EINVAL);
		assert_int_equal(modem_demap(wrong[k], y, noise_var, llr, 1), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_point_is_where_the_standard_puts_it),
		cmocka_unit_test(llrs_are_max_log_to_rounding),
		cmocka_unit_test(llrs_are_log_map_within_the_bound_of_max_log),
		cmocka_unit_test(hard_decisions_err_as_often_as_theory_says),
		cmocka_unit_test(hard_decisions_are_the_points_that_liquid_chooses),
		cmocka_unit_test(an_erased_symbol_says_nothing),
		cmocka_unit_test(the_table_of_points_is_the_map),
		cmocka_unit_test(an_unknown_order_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
