/* CRCs of TS 38.212, 5.1, against long division and published check values. */
#include "phy/crc.h"
#include "tests/phy/awgn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static const struct crc_poly *const polys[] = { &crc24a, &crc24b, &crc24c, &crc16 };
enum { N_POLYS = sizeof polys / sizeof polys[0] };

static void check_values_of_123456789_are_the_published_ones(void **state)
{
	/* CRC-24/LTE-A, CRC-24/LTE-B and CRC-16/XMODEM in the catalogue of parametrised CRC algorithms. */
	static const struct {
		const struct crc_poly *poly;
		uint32_t check;
	} known[] = { { &crc24a, 0xCDE703 }, { &crc24b, 0x23EF52 }, { &crc16, 0x31C3 } };

	(void)state;
	for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
		struct crc c;
		crc_init(&c, known[k].poly);
		assert_int_equal(crc_bytes(&c, 0, (const uint8_t *)"123456789", 9), known[k].check);
	}
}

/* The standard's words: the exponents of the generator polynomials. */
static void generators_are_those_of_the_standard(void **state)
{
	static const struct {
		const struct crc_poly *poly;
		int exponents[14];
	} written[] = {
		{ &crc24a, { 24, 23, 18, 17, 14, 11, 10, 7, 6, 5, 4, 3, 1, 0 } },
		{ &crc24b, { 24, 23, 6, 5, 1, 0, -1 } },
		{ &crc24c, { 24, 23, 21, 20, 17, 15, 13, 12, 8, 4, 2, 1, 0, -1 } },
		{ &crc16, { 16, 12, 5, 0, -1 } },
	};

	(void)state;
	for (size_t k = 0; k < N_POLYS; k++) {
		uint64_t poly = 0;
		for (size_t i = 0; i < 14 && written[k].exponents[i] >= 0; i++)
			poly |= 1ull << written[k].exponents[i];
		assert_int_equal(poly, 1ull << written[k].poly->n_bits | written[k].poly->poly);
	}
}

/* Remainder of D^L m(D) by long division, on an array of bits. */
static uint32_t long_division(const struct crc_poly *p, const uint8_t *bits, size_t n)
{
	uint8_t work[2048] = { 0 };
	uint32_t remainder = 0;

	memcpy(work, bits, n);
	for (size_t i = 0; i < n; i++) {
		if (!work[i])
			continue;
		for (unsigned k = 1; k <= p->n_bits; k++)
			work[i + k] ^= (uint8_t)(p->poly >> (p->n_bits - k) & 1);
	}
	for (unsigned k = 0; k < p->n_bits; k++)
		remainder = remainder << 1 | work[n + k];
	return remainder;
}

static void bytes_bits_and_long_division_agree_at_every_length(void **state)
{
	struct awgn g = { 7 };

	(void)state;
	for (size_t k = 0; k < N_POLYS; k++) {
		struct crc c;
		crc_init(&c, polys[k]);
		for (size_t n = 0; n <= 200; n++) {
			uint8_t bytes[200], bits[1600];
			awgn_bytes(&g, bytes, n);
			for (size_t i = 0; i < 8 * n; i++)
				bits[i] = bytes[i / 8] >> (7 - i % 8) & 1;
			uint32_t expected = long_division(polys[k], bits, 8 * n);
			assert_int_equal(crc_bytes(&c, 0, bytes, n), expected);
			assert_int_equal(crc_bits(&c, 0, bits, 8 * n), expected);
		}
	}
}

static void a_message_in_pieces_gives_the_same_parity(void **state)
{
	struct awgn g = { 8 };
	uint8_t bytes[97];
	struct crc c;

	(void)state;
	awgn_bytes(&g, bytes, sizeof bytes);
	crc_init(&c, &crc24a);
	uint32_t whole = crc_bytes(&c, 0xABCDEF, bytes, sizeof bytes);
	for (size_t cut = 0; cut <= sizeof bytes; cut++)
		assert_int_equal(crc_bytes(&c, crc_bytes(&c, 0xABCDEF, bytes, cut), bytes + cut, sizeof bytes - cut),
		                 whole);
}

static void appended_parity_leaves_no_remainder_and_any_one_or_two_wrong_bits_do(void **state)
{
	struct awgn g = { 9 };

	(void)state;
	for (size_t k = 0; k < N_POLYS; k++) {
		uint8_t bits[120];
		size_t n = 90, total = n + polys[k]->n_bits;
		struct crc c;
		crc_init(&c, polys[k]);
		awgn_bits(&g, bits, n);
		uint32_t parity = crc_bits(&c, 0, bits, n);
		for (unsigned i = 0; i < polys[k]->n_bits; i++)
			bits[n + i] = parity >> (polys[k]->n_bits - 1 - i) & 1;
		assert_int_equal(crc_bits(&c, 0, bits, total), 0);
		for (size_t a = 0; a < total; a++)
			for (size_t b = a; b < total; b++) {
				bits[a] ^= 1;
				bits[b] ^= a != b;
				assert_int_not_equal(crc_bits(&c, 0, bits, total), 0);
				bits[a] ^= 1;
				bits[b] ^= a != b;
			}
	}
}

static void a_register_of_ones_tells_zeros_from_silence(void **state)
{
	uint8_t zeros[64] = { 0 };
	struct crc c;

	(void)state;
	crc_init(&c, &crc24a);
	for (size_t n = 1; n <= 64; n++) {
		assert_int_equal(crc_bytes(&c, 0, zeros, n), 0);
		assert_int_not_equal(crc_bytes(&c, 0xFFFFFF, zeros, n), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_values_of_123456789_are_the_published_ones),
		cmocka_unit_test(generators_are_those_of_the_standard),
		cmocka_unit_test(bytes_bits_and_long_division_agree_at_every_length),
		cmocka_unit_test(a_message_in_pieces_gives_the_same_parity),
		cmocka_unit_test(appended_parity_leaves_no_remainder_and_any_one_or_two_wrong_bits_do),
		cmocka_unit_test(a_register_of_ones_tells_zeros_from_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
