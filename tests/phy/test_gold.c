/* The Gold sequence of TS 38.211, 5.2.1, against its definition written out bit by bit. */
#include "phy/gold.h"
#include "tests/phy/awgn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 13000, N_C = 1600, N_SEEDS = 40 };

static void define(uint32_t c_init, uint8_t *c, size_t n)
{
	static uint8_t x1[N + N_C + 31], x2[N + N_C + 31];

	for (size_t i = 0; i < 31; i++) {
		x1[i] = i == 0;
		x2[i] = c_init >> i & 1;
	}
	for (size_t i = 0; i < n + N_C; i++) {
		x1[i + 31] = (x1[i + 3] + x1[i]) % 2;
		x2[i + 31] = (uint8_t)((x2[i + 3] + x2[i + 2] + x2[i + 1] + x2[i]) % 2);
	}
	for (size_t i = 0; i < n; i++)
		c[i] = (x1[i + N_C] + x2[i + N_C]) % 2;
}

/* Seeds with few and many bits set: 0, 1, 2^30, all ones, then random ones. */
static uint32_t seed(size_t k)
{
	static const uint32_t special[] = { 0, 1, 1u << 30, 0x7FFFFFFF };
	struct awgn g = { k };

	return k < 4 ? special[k] : (uint32_t)(awgn_u64(&g) & 0x7FFFFFFF);
}

static void words_are_the_defined_sequence(void **state)
{
	static uint8_t c[N];
	static uint32_t words[N / 32];

	(void)state;
	for (size_t k = 0; k < N_SEEDS; k++) {
		define(seed(k), c, N);
		gold_words(seed(k), words, N / 32);
		for (size_t i = 0; i < N / 32 * 32; i++)
			assert_int_equal(words[i / 32] >> (i % 32) & 1, c[i]);
	}
}

static void scrambling_adds_the_sequence_at_every_length(void **state)
{
	static uint8_t c[N], bits[N], scrambled[N];
	struct awgn g = { 3 };

	(void)state;
	awgn_bits(&g, bits, N);
	for (size_t n = 0; n < 140; n++) {
		define(seed(n), c, n);
		memcpy(scrambled, bits, N);
		gold_xor_bits(seed(n), scrambled, n);
		for (size_t i = 0; i < N; i++)
			assert_int_equal(scrambled[i], i < n ? bits[i] ^ c[i] : bits[i]);
	}
}

static void llrs_flip_where_the_sequence_is_one_at_every_length(void **state)
{
	static uint8_t c[N];
	static float llr[N], flipped[N];

	(void)state;
	for (size_t i = 0; i < N; i++)
		llr[i] = (float)i + 0.5f;
	for (size_t n = 0; n < 140; n++) {
		define(seed(n), c, n);
		memcpy(flipped, llr, sizeof llr);
		gold_flip_llr(seed(n), flipped, n);
		for (size_t i = 0; i < N; i++)
			assert_true(flipped[i] == (i < n && c[i] ? -llr[i] : llr[i]));
	}
}

static void symbols_take_their_bits_in_turn_at_every_order_and_length(void **state)
{
	static uint8_t c[N], s[N];

	(void)state;
	for (unsigned qm = 2; qm <= 8; qm += 2)
		for (size_t n = 0; n <= N / qm; n += n < 40 ? 1 : 97) {
			define(seed(n), c, n * qm);
			memset(s, 0xAA, sizeof s);
			gold_symbols(seed(n), qm, s, n);
			for (size_t j = 0; j < n; j++) {
				unsigned expected = 0;
				for (unsigned k = 0; k < qm; k++)
					expected |= (unsigned)c[j * qm + k] << k;
				assert_int_equal(s[j], expected);
			}
			assert_int_equal(s[n], 0xAA);
		}
}

static void pilots_follow_the_formula_at_every_length(void **state)
{
	static uint8_t c[N];
	static float complex pilots[N / 2];

	(void)state;
	for (size_t n = 0; n < 140; n++) {
		define(seed(n), c, 2 * n);
		memset(pilots, 0, sizeof pilots);
		gold_qpsk(seed(n), pilots, n);
		for (size_t m = 0; m < n; m++) {
			assert_true(fabs(crealf(pilots[m]) - (1 - 2 * c[2 * m]) / sqrt(2)) < 1e-7);
			assert_true(fabs(cimagf(pilots[m]) - (1 - 2 * c[2 * m + 1]) / sqrt(2)) < 1e-7);
		}
		assert_true(pilots[n] == 0);
	}
}

/* Coefficients of a tenth are 7 sigma of fair coins here. */
static void sequences_of_neighbouring_seeds_are_uncorrelated(void **state)
{
	static uint32_t a[N / 32], b[N / 32];

	(void)state;
	for (uint32_t k = 1; k < 200; k++) {
		int ones = 0;
		gold_words(k, a, N / 32);
		gold_words(k + 1, b, N / 32);
		for (size_t i = 0; i < N / 32; i++)
			ones += __builtin_popcount(a[i] ^ b[i]);
		assert_true(abs(N / 32 * 32 - 2 * ones) < N / 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_the_defined_sequence),
		cmocka_unit_test(scrambling_adds_the_sequence_at_every_length),
		cmocka_unit_test(llrs_flip_where_the_sequence_is_one_at_every_length),
		cmocka_unit_test(symbols_take_their_bits_in_turn_at_every_order_and_length),
		cmocka_unit_test(pilots_follow_the_formula_at_every_length),
		cmocka_unit_test(sequences_of_neighbouring_seeds_are_uncorrelated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
