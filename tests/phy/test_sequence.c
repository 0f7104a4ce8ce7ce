#include "phy/sequence.h"

#include "phy/gold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A wide band has the sequence of 127, a narrow one (9 RBs) that of 63. */
static struct numerology num_of(bool wide)
{
	struct numerology num;
	assert_int_equal(wide ? numerology_init(&num, 7.68e6, 30e3, 18, 14, NULL, 0)
	                      : numerology_init(&num, 1.92e6, 15e3, 9, 14, NULL, 0),
	                 0);
	assert_int_equal(num.sync_len, wide ? 127 : 63);
	return num;
}

static void the_sync_sequence_starts_as_ts_38_211_says(void **state)
{
	(void)state;
	/* x(0..6) = 0110111 and x(i+7) = x(i+4) + x(i): 7.4.2.2 worked out to x(20) */
	static const char bits[] = "011011110011100101011";
	struct numerology num = num_of(true);
	float seq[SYNC_LEN_MAX];
	sequence_sync(&num, 0, seq);
	for (size_t i = 0; i + 7 < sizeof bits - 1; i++)
		assert_int_equal((bits[i + 7] - '0'), (bits[i + 4] - '0') ^ (bits[i] - '0'));
	for (size_t i = 0; i < sizeof bits - 1; i++)
		assert_true(seq[i] == (bits[i] == '1' ? -1.0f : 1.0f));
}

static void both_have_the_autocorrelation_of_an_m_sequence(void **state)
{
	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct numerology num = num_of(wide);
		float seq[SYNC_LEN_MAX];
		sequence_sync(&num, 0, seq);
		for (size_t shift = 0; shift < num.sync_len; shift++) {
			float sum = 0;
			for (size_t i = 0; i < num.sync_len; i++)
				sum += seq[i] * seq[(i + shift) % num.sync_len];
			assert_true(sum == (shift ? -1.0f : (float)num.sync_len));
		}
	}
}

static void the_three_cells_are_shifts_by_a_third(void **state)
{
	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct numerology num = num_of(wide);
		float zero[SYNC_LEN_MAX], seq[SYNC_LEN_MAX];
		sequence_sync(&num, 0, zero);
		for (uint32_t cell = 0; cell < 9; cell++) {
			sequence_sync(&num, cell, seq);
			for (size_t i = 0; i < num.sync_len; i++)
				assert_true(seq[i] == zero[(i + (wide ? 43 : 21) * (cell % 3)) % num.sync_len]);
		}
	}
}

static void it_lies_in_the_middle_with_the_power_of_a_full_symbol(void **state)
{
	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct numerology num = num_of(wide);
		size_t first = sync_first_sc(&num);
		int half = (int)num.sync_len / 2;
		assert_int_equal(numerology_offset(&num, first), -half);
		assert_int_equal(numerology_offset(&num, first + num.sync_len - 1), half + 1);
		assert_true(fabsf((float)num.sync_len * sync_boost(&num) * sync_boost(&num) - (float)num.n_sc) < 1e-3f);
	}
}

/* Peak over mean of what a device sends, at four times the sample rate. */
static double comb_peak_db(const struct numerology *num, const float complex *seq, size_t comb)
{
	double peak = 0, mean = 0;
	size_t n = 4 * num->n_fft;
	for (size_t t = 0; t < n; t++) {
		double complex sum = 0;
		for (size_t k = comb; k < num->n_sc; k += SOUNDING_STEP)
			sum += (double complex)seq[k] *
			       cexp(I * 2 * M_PI * numerology_offset(num, k) * (double)t / (double)n);
		mean += creal(sum * conj(sum)) / (double)n;
		peak = fmax(peak, creal(sum * conj(sum)));
	}
	return 10 * log10(peak / mean);
}

static void sounding_has_low_peaks_in_every_comb_and_cell(void **state)
{
	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct numerology num = num_of(wide);
		float complex seq[PHY_SC_MAX];
		for (uint32_t cell = 0; cell < 64; cell += 9) {
			sequence_sounding(&num, cell, seq);
			for (size_t k = 0; k < num.n_sc; k++)
				assert_true(fabsf(cabsf(seq[k]) - 1) < 1e-6f);
			for (size_t comb = 0; comb < SOUNDING_STEP; comb++)
				assert_true(comb_peak_db(&num, seq, comb) < (wide ? 4.5 : 5.5));
		}
	}
}

/* What one comb leaks into its neighbour looks like no path within half a prefix: a chirp of twice the rate. */
static void neighbouring_combs_do_not_look_alike(void **state)
{
	(void)state;
	struct numerology num = num_of(true);
	float complex seq[PHY_SC_MAX];
	sequence_sounding(&num, 5, seq);
	for (size_t comb = 0; comb + 1 < SOUNDING_STEP; comb++)
		for (double delay = -9; delay <= 9; delay += 0.5) {
			double complex sum = 0;
			size_t n = 0;
			for (size_t k = comb; k + 1 < num.n_sc; k += SOUNDING_STEP, n++)
				sum += (double complex)(seq[k] * conjf(seq[k + 1])) *
				       cexp(I * 2 * M_PI * numerology_offset(&num, k) * delay / (double)num.n_fft);
			assert_true(cabs(sum) / (double)n < 0.35);
		}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void seeds_of_all_uses_cells_and_indices_differ(void **state)
{
	(void)state;
	enum { KINDS = 7, CELLS = 256, INDICES = 256, N = KINDS * CELLS * INDICES };
	uint32_t *seeds = malloc(N * sizeof *seeds);
	for (uint32_t i = 0; i < N; i++) {
		seeds[i] = sequence_seed((enum sequence_kind)(1 + i / (CELLS * INDICES)), i / INDICES % CELLS * 257,
		                         i % INDICES);
		assert_true(seeds[i] < UINT32_C(1) << 31);
	}
	qsort(seeds, N, sizeof *seeds, by_value);
	for (size_t i = 1; i < N; i++)
		assert_true(seeds[i] != seeds[i - 1]);
	free(seeds);
}

/* Energy of the correlation of two sequences over blocks of 72, at all the tones that delays make: mean over all pairs.
 * For random QPSK each of the 11 blocks has an exponential law of mean 1. */
static void sequences_of_neighbouring_indices_are_as_unlike_as_random_ones(void **state)
{
	(void)state;
	enum { N = 16, BLOCKS = 11, LENGTH = 72, TONES = 19 };
	static float complex s[N][BLOCKS * LENGTH];
	double mean = 0, largest = 0;
	for (uint32_t cell = 0; cell < 4; cell++) {
		for (uint32_t d = 0; d < N; d++)
			gold_qpsk(sequence_seed(SEQUENCE_ACCESS, cell, d), s[d], BLOCKS * LENGTH);
		for (size_t a = 0; a < N; a++)
			for (size_t pair = 0; pair < a * TONES; pair++) {
				const float complex *x = s[a], *y = s[pair / TONES];
				double complex turn = cexp(I * 2 * M_PI * (double)(pair % TONES) / 256);
				double energy = 0;
				for (size_t block = 0; block < BLOCKS; block++, x += LENGTH, y += LENGTH) {
					double complex sum = 0, tone = 1;
					for (size_t k = 0; k < LENGTH; k++, tone *= turn)
						sum += tone * (double complex)(x[k] * conjf(y[k]));
					energy += creal(sum * conj(sum)) / LENGTH;
				}
				mean += energy / (4 * TONES * N * (N - 1) / 2);
				largest = fmax(largest, energy);
			}
	}
	assert_true(fabs(mean - BLOCKS) < 0.5);
	assert_true(largest < 36); /* what access detection takes for a device */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sync_sequence_starts_as_ts_38_211_says),
		cmocka_unit_test(both_have_the_autocorrelation_of_an_m_sequence),
		cmocka_unit_test(the_three_cells_are_shifts_by_a_third),
		cmocka_unit_test(it_lies_in_the_middle_with_the_power_of_a_full_symbol),
		cmocka_unit_test(sounding_has_low_peaks_in_every_comb_and_cell),
		cmocka_unit_test(neighbouring_combs_do_not_look_alike),
		cmocka_unit_test(seeds_of_all_uses_cells_and_indices_differ),
		cmocka_unit_test(sequences_of_neighbouring_indices_are_as_unlike_as_random_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
