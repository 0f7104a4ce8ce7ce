/* Short codes as generator matrices: the encoder's bits, and which words are codewords. */
#include "phy/generator.h"
#include "tests/phy/awgn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const size_t sizes[] = { 25, 40, 56, 87, 171, 536 }; /* information bits: Kb of 6 and 8 */
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };
static uint8_t info[GENERATOR_INFO_MAX], said[GENERATOR_INFO_MAX], coded[GENERATOR_CODED_MAX],
        other[GENERATOR_CODED_MAX];
static uint8_t word[CODE_BLOCK_WORD_MAX];

static struct generator *make(size_t n_info, size_t n_max, struct code_block *block)
{
	*block = (struct code_block){ 0 };
	code_block_init(block, &ldpc_bg2, n_info, n_info);
	return generator_create(block, n_max);
}

static void coded_bits_are_those_of_the_ldpc_encoder(void **state)
{
	struct awgn g = { 1 };

	(void)state;
	for (size_t s = 0; s < N_SIZES; s++) {
		struct code_block block;
		struct generator *m = make(sizes[s], SIZE_MAX, &block);
		assert_non_null(m);
		assert_int_equal(generator_n_coded(m), block.n_buffer);
		for (size_t n = 1; n <= block.n_buffer; n += 1 + n / 3) {
			awgn_bits(&g, info, sizes[s]);
			generator_encode(m, info, coded, n);
			memcpy(word, info, sizes[s]);
			code_block_encode(&block, word, 0, n);
			code_block_take(&block, word, 0, 0, other, n);
			assert_memory_equal(coded, other, n);
		}
		generator_destroy(m);
	}
}

/* Two codewords differ in several bits where there is parity to speak of, so one with any bit turned is none. */
static void a_codeword_says_its_information_and_with_any_bit_wrong_is_none(void **state)
{
	struct awgn g = { 2 };

	(void)state;
	for (size_t s = 0; s < N_SIZES; s++) {
		struct code_block block;
		size_t n = 2 * sizes[s] + 7;
		struct generator *m = make(sizes[s], n, &block);
		assert_non_null(m);
		for (int trial = 0; trial < 4; trial++) {
			awgn_bits(&g, info, sizes[s]);
			generator_encode(m, info, coded, n);
			memset(said, 2, sizeof said);
			assert_true(generator_match(m, coded, n, said));
			assert_memory_equal(said, info, sizes[s]);
			for (size_t i = 0; i < n; i++) {
				coded[i] ^= 1;
				assert_false(generator_match(m, coded, n, said));
				coded[i] ^= 1;
			}
		}
		generator_destroy(m);
	}
}

/* 2 Z information bits are never sent, so as many coded bits as information bits can be had at the earliest. */
static void what_does_not_say_all_is_no_match(void **state)
{
	struct awgn g = { 3 };
	struct code_block block;
	struct generator *m = make(40, 108, &block);

	(void)state;
	assert_non_null(m);
	awgn_bits(&g, info, 40);
	generator_encode(m, info, coded, 108);
	for (size_t n = 1; n < 40; n++)
		assert_false(generator_match(m, coded, n, said));
	for (int trial = 0; trial < 20000; trial++) {
		awgn_bits(&g, coded, 108);
		assert_false(generator_match(m, coded, 108, said));
	}
	generator_destroy(m);
}

static void impossible_sizes_are_refused(void **state)
{
	struct code_block block = { 0 };

	(void)state;
	code_block_init(&block, &ldpc_bg2, GENERATOR_INFO_MAX + 1, GENERATOR_INFO_MAX + 1);
	errno = 0;
	assert_null(generator_create(&block, 100));
	assert_int_equal(errno, EINVAL);
	code_block_init(&block, &ldpc_bg2, 40, 40);
	assert_null(generator_create(&block, 0));
	generator_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(coded_bits_are_those_of_the_ldpc_encoder),
		cmocka_unit_test(a_codeword_says_its_information_and_with_any_bit_wrong_is_none),
		cmocka_unit_test(what_does_not_say_all_is_no_match),
		cmocka_unit_test(impossible_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
