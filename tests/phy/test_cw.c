/* Control codewords: payload and address there and back, in noise, and what is none. */
#include "phy/cw.h"
#include "tests/phy/awgn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static uint8_t sent[CW_PAYLOAD_MAX_BITS / 8], got[CW_PAYLOAD_MAX_BITS / 8], bits[4000];
static float llr[4000];

static void set_llrs(const uint8_t *b, size_t n, float magnitude)
{
	for (size_t i = 0; i < n; i++)
		llr[i] = b[i] ? -magnitude : magnitude;
}

/* BPSK-like channel: unit signal, real noise of the variance that Es/N0 = snr_db gives each axis of QPSK. */
static void noisy_llrs(const uint8_t *b, size_t n, double snr_db, struct awgn *g)
{
	float noise_var = (float)pow(10, -snr_db / 10); /* on one axis of amplitude 1 */

	for (size_t i = 0; i < n; i++)
		llr[i] = 2 * ((float)(1 - 2 * b[i]) + sqrtf(2 * noise_var) * crealf(awgn_noise(g))) / noise_var;
}

static void every_payload_size_comes_back_with_its_address(void **state)
{
	struct awgn g = { 6 };

	(void)state;
	for (size_t n = 1; n <= CW_PAYLOAD_MAX_BITS; n += n < 130 ? 1 : 29) {
		struct cw_coder *c = cw_create(n, 4000);
		assert_non_null(c);
		for (size_t n_coded = (n + 24) * 4 / 3 / 2 * 2 + 12; n_coded <= 4000; n_coded *= 3) {
			uint32_t address = (uint32_t)awgn_u64(&g) & 0xFFFFFF, residual = 0;
			memset(sent, 0, sizeof sent);
			awgn_bytes(&g, sent, (n + 7) / 8);
			sent[(n - 1) / 8] &= (uint8_t)(0xFF00 >> ((n - 1) % 8 + 1));
			assert_int_equal(cw_encode(c, sent, address, bits, n_coded), 0);
			set_llrs(bits, n_coded, 6);
			assert_int_equal(cw_decode(c, llr, n_coded, CW_ITERATIONS, got, &residual), 0);
			assert_int_equal(residual, address);
			assert_memory_equal(got, sent, (n + 7) / 8);
		}
		cw_destroy(c);
	}
}

static void silence_is_no_codeword_and_an_empty_message_is_one(void **state)
{
	struct cw_coder *c = cw_create(64, 432);
	uint8_t zeros[8] = { 0 };
	uint32_t address = 99;
	unsigned ones = 0;

	(void)state;
	assert_non_null(c);
	memset(llr, 0, sizeof llr);
	assert_int_equal(cw_decode(c, llr, 432, CW_ITERATIONS, got, &address), -EBADMSG);
	assert_int_equal(cw_encode(c, zeros, 0, bits, 432), 0);
	for (size_t i = 0; i < 432; i++)
		ones += bits[i];
	assert_in_range(ones, 50, 382); /* thanks to the register of ones */
	set_llrs(bits, 432, 3);
	assert_int_equal(cw_decode(c, llr, 432, CW_ITERATIONS, got, &address), 0);
	assert_int_equal(address, 0);
	assert_memory_equal(got, zeros, 8);
	/* All LLRs towards 0: the all-zero word is in the code, but for nobody near. */
	memset(bits, 0, 432);
	set_llrs(bits, 432, 3);
	cw_decode(c, llr, 432, CW_ITERATIONS, got, &address);
	assert_true(address > 0xFFFF);
	cw_destroy(c);
}

static void noise_is_never_taken_for_a_message_to_one_of_17_addresses(void **state)
{
	struct cw_coder *c = cw_create(64, 108);
	struct awgn g = { 7 };

	(void)state;
	assert_non_null(c);
	for (int k = 0; k < 3000; k++) {
		uint32_t address;
		for (size_t i = 0; i < 108; i++)
			llr[i] = 4 * crealf(awgn_noise(&g));
		assert_false(cw_decode(c, llr, 108, CW_ITERATIONS, got, &address) == 0 && address <= 16);
	}
	cw_destroy(c);
}

/* 88 information bits on 108, 216, 432, 864 coded ones: each doubling must be worth its 3 dB and more. Es/N0 of QPSK
 * where each is decoded: a decibel or so above what the finite-length bound allows. */
static void each_doubling_of_a_control_codeword_reaches_three_decibels_further_down(void **state)
{
	static const struct {
		size_t n_coded;
		double snr_db;
	} levels[] = { { 108, 7.6 }, { 216, 2.2 }, { 432, -1.4 }, { 864, -4.6 } };
	struct cw_coder *c = cw_create(64, 864);
	struct awgn g = { 8 };

	(void)state;
	assert_non_null(c);
	for (size_t l = 0; l < 4; l++) {
		int errors = 0;
		for (int k = 0; k < 300; k++) {
			uint32_t address = 0;
			awgn_bytes(&g, sent, 8);
			assert_int_equal(cw_encode(c, sent, 5, bits, levels[l].n_coded), 0);
			noisy_llrs(bits, levels[l].n_coded, levels[l].snr_db, &g);
			int rc = cw_decode(c, llr, levels[l].n_coded, CW_ITERATIONS, got, &address);
			errors += rc || address != 5 || memcmp(got, sent, 8) != 0;
		}
		print_message("%zu coded bits at %.1f dB: %d of 300 wrong\n", levels[l].n_coded, levels[l].snr_db,
		              errors);
		assert_true(errors <= 6);
	}
	cw_destroy(c);
}

/* Hard decisions alone tell a codeword; with a single one of them wrong, or a soft bit missing, it takes the decoder. Both
 * ways, with less and more than the whole buffer sent, the message is the same. */
static void a_wrong_bit_and_a_missing_one_change_nothing(void **state)
{
	static const size_t lengths[] = { 216, 432, 864 };
	struct cw_coder *c = cw_create(64, 864);
	struct awgn g = { 9 };

	(void)state;
	assert_non_null(c);
	for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
		for (size_t i = 0; i < lengths[l]; i += 13) {
			uint32_t address = 0;
			awgn_bytes(&g, sent, 8);
			assert_int_equal(cw_encode(c, sent, 7, bits, lengths[l]), 0);
			for (int change = 0; change < 3; change++) {
				set_llrs(bits, lengths[l], 4);
				llr[i] *= (float)(1 - change); /* right, missing, wrong */
				assert_int_equal(cw_decode(c, llr, lengths[l], CW_ITERATIONS, got, &address), 0);
				assert_int_equal(address, 7);
				assert_memory_equal(got, sent, 8);
			}
		}
	cw_destroy(c);
}

static void impossible_sizes_are_refused(void **state)
{
	struct cw_coder *c = cw_create(64, 108);
	uint32_t address;

	(void)state;
	assert_non_null(c);
	assert_null(cw_create(0, 100));
	assert_null(cw_create(CW_PAYLOAD_MAX_BITS + 1, 100));
	assert_null(cw_create(64, 0));
	assert_int_equal(cw_encode(c, sent, 1, bits, 107), -EINVAL);
	assert_int_equal(cw_encode(c, sent, 1, bits, 110), -EINVAL);
	assert_int_equal(cw_encode(c, sent, 1u << 24, bits, 108), -EINVAL);
	assert_int_equal(cw_decode(c, llr, 107, CW_ITERATIONS, got, &address), -EINVAL);
	assert_int_equal(cw_decode(c, llr, 110, CW_ITERATIONS, got, &address), -EINVAL);
	cw_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_payload_size_comes_back_with_its_address),
		cmocka_unit_test(silence_is_no_codeword_and_an_empty_message_is_one),
		cmocka_unit_test(noise_is_never_taken_for_a_message_to_one_of_17_addresses),
		cmocka_unit_test(each_doubling_of_a_control_codeword_reaches_three_decibels_further_down),
		cmocka_unit_test(a_wrong_bit_and_a_missing_one_change_nothing),
		cmocka_unit_test(impossible_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
