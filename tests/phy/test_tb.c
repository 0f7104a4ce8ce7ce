/* Transport blocks: against the text of TS 38.212, section 5, and over the air in noise. */
#include "phy/crc.h"
#include "phy/ldpc.h"
#include "phy/tb.h"
#include "tests/phy/awgn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES_MAX = 2500, CODED_MAX = 60000, NULL_BIT = 2 };

static uint8_t sent[BYTES_MAX], got[BYTES_MAX], bits[CODED_MAX];
static float llr[CODED_MAX];

static struct tb_coder *create(void)
{
	struct tb_coder *t = tb_coder_create(BYTES_MAX, CODED_MAX);

	assert_non_null(t);
	return t;
}

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

/* --- the standard's text, step by step, one bit a byte -------------------------------------------------------------
 */

static void crc_attach(const struct crc_poly *poly, uint8_t *b, size_t n)
{
	struct crc c;

	crc_init(&c, poly);
	uint32_t parity = crc_bits(&c, 0, b, n);
	for (unsigned k = 0; k < poly->n_bits; k++)
		b[n + k] = parity >> (poly->n_bits - 1 - k) & 1;
}

/* 5.3.2 and 5.4.2 for one code block of k_used bits; returns what follows `out`. */
static uint8_t *code_block(const uint8_t *info, size_t k_used, size_t z, const struct tb_format *f, size_t e_len,
                           uint8_t *out)
{
	static uint8_t c[52 * 384], e[CODED_MAX];
	static const size_t k0_of[] = { 0, 13, 25, 43 };
	struct ldpc_code code;
	size_t n_cb = 50 * z, k0 = k0_of[f->rv] * n_cb / (50 * z) * z;

	memset(c, 0, sizeof c);
	memcpy(c, info, k_used);
	assert_int_equal(ldpc_code_init(&code, &ldpc_bg2, z), 0);
	ldpc_encode(&code, c, 42);
	for (size_t i = k_used; i < 10 * z; i++)
		c[i] = NULL_BIT;
	const uint8_t *d = c + 2 * z;
	for (size_t k = 0, j = 0; k < e_len; j++)
		if (d[(k0 + j) % n_cb] != NULL_BIT)
			e[k++] = d[(k0 + j) % n_cb];
	for (size_t j = 0; j < e_len / f->qm; j++)
		for (size_t i = 0; i < f->qm; i++)
			out[i + j * f->qm] = e[i * e_len / f->qm + j];
	return out + e_len;
}

static void encode_by_the_book(const struct tb_format *f, const uint8_t *bytes, uint8_t *out)
{
	static uint8_t b[BYTES_MAX * 8 + 24], block[3840];
	size_t a = 8 * f->n_bytes, total = a + 24;

	for (size_t i = 0; i < a; i++)
		b[i] = bytes[i / 8] >> (7 - i % 8) & 1;
	crc_attach(&crc24a, b, a);
	size_t l = total <= 3840 ? 0 : 24;
	size_t n_blocks = l ? (total + (3840 - l) - 1) / (3840 - l) : 1;
	size_t k_used = (total + n_blocks * l) / n_blocks;
	size_t kb = total > 640 ? 10 : total > 560 ? 9 : total > 192 ? 8 : 6;
	size_t z = 2;
	while (kb * z < k_used)
		z = ldpc_lifting_size(z + 1);
	for (size_t r = 0; r < n_blocks; r++) {
		size_t g = f->n_coded / f->qm, odd = g % n_blocks;
		size_t e_len = r + odd < n_blocks ? f->qm * (g / n_blocks) : f->qm * ((g + n_blocks - 1) / n_blocks);
		memcpy(block, b + r * (k_used - l), k_used - l);
		if (l)
			crc_attach(&crc24b, block, k_used - l);
		out = code_block(block, k_used, z, f, e_len, out);
	}
}

static void coded_bits_are_those_of_the_standard_text(void **state)
{
	static const size_t sizes[] = { 1, 7, 17, 21, 22, 60, 66, 67, 77, 78, 200, 476, 477, 479, 953, 1251, 2333 };
	static uint8_t expected[CODED_MAX];
	struct tb_coder *t = create();
	struct awgn g = { 1 };

	(void)state;
	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
		for (unsigned qm = 2; qm <= 8; qm += 2)
			for (unsigned rv = 0; rv < 4; rv++)
				for (size_t k = 0; k < 3; k++) {
					/* From more than rate 0.9 down to repetition. */
					static const double inverse_rate[] = { 1.1, 2.3, 7.7 };
					size_t n_bytes = tb_size_fit(sizes[s]);
					size_t n_symbols = (size_t)((double)(8 * n_bytes + 72) * inverse_rate[k]) / qm;
					n_symbols = n_symbols * qm > CODED_MAX ? CODED_MAX / qm : n_symbols;
					struct tb_format f = { n_bytes, n_symbols * qm, qm, rv };
					awgn_bytes(&g, sent, n_bytes);
					assert_int_equal(tb_encode(t, &f, sent, bits), 0);
					encode_by_the_book(&f, sent, expected);
					assert_memory_equal(bits, expected, f.n_coded);
				}
	tb_coder_destroy(t);
}

/* --- sizes ---------------------------------------------------------------------------------------------------------
 */

static void a_fitting_size_splits_into_equal_blocks_and_loses_next_to_nothing(void **state)
{
	(void)state;
	for (size_t n = 0; n < 20000; n++) {
		size_t fit = tb_size_fit(n), total = 8 * (fit + 3);
		size_t blocks = total <= 3840 ? 1 : (total + 3815) / 3816;
		assert_true(fit <= n && n - fit < blocks + 1);
		assert_int_equal((fit + 3) % blocks, fit ? 0 : 3 % blocks);
		assert_int_equal(tb_size_fit(fit), fit);
	}
}

static void every_legal_size_comes_back_at_every_order_from_versions_0_and_3(void **state)
{
	struct tb_coder *t = create();
	struct awgn g = { 2 };

	(void)state;
	for (size_t n = 1; n <= 1600; n += n < 100 ? 1 : 37) {
		size_t n_bytes = tb_size_fit(n);
		unsigned qm = 2 + 2 * (unsigned)(n % 4), rv = n / 4 % 2 ? 3 : 0;
		/* Version 0 begins with the systematic bits; 3 comes round to them after 7 columns of parity. */
		size_t n_coded = (size_t)((double)(8 * n_bytes + 72) * (rv ? 3.0 : 1.3)) / qm * qm;
		struct tb_format f = { n_bytes, n_coded, qm, rv };
		struct tb_stats st;
		awgn_bytes(&g, sent, n_bytes);
		assert_int_equal(tb_encode(t, &f, sent, bits), 0);
		set_llrs(bits, n_coded, 6);
		memset(got, 0, sizeof got);
		assert_int_equal(tb_decode(t, &f, llr, NULL, got, &st), 0);
		assert_memory_equal(got, sent, n_bytes);
		assert_int_equal(st.n_decoded, st.n_blocks);
		assert_int_equal(st.n_failed, 0);
	}
	tb_coder_destroy(t);
}

static void impossible_formats_are_refused(void **state)
{
	struct tb_coder *t = create();
	static const struct tb_format wrong[] = {
		{ 0, 600, 2, 0 },             /* nothing to send */
		{ BYTES_MAX + 1, 600, 2, 0 }, /* over the limit */
		{ 478, 6000, 2, 0 },          /* 481 bytes with CRC do not halve */
		{ 50, 600, 3, 0 },
		{ 50, 600, 0, 0 },
		{ 50, 600, 10, 0 },
		{ 50, 600, 2, 4 },
		{ 50, 601, 2, 0 },
		{ 50, CODED_MAX + 2, 2, 0 },
		{ 50, 0, 2, 0 },
	};

	(void)state;
	for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
		assert_int_equal(tb_encode(t, &wrong[k], sent, bits), -EINVAL);
		assert_int_equal(tb_decode(t, &wrong[k], llr, NULL, got, NULL), -EINVAL);
	}
	tb_coder_destroy(t);
	assert_null(tb_coder_create(0, 100));
	assert_null(tb_coder_create(100, 0));
	assert_null(tb_soft_create(0));
}

/* --- hybrid ARQ ----------------------------------------------------------------------------------------------------
 */

/* Of n blocks, those not decoded after the versions in rvs, sent at snr_db each. */
static int harq_errors(const unsigned *rvs, size_t n_rvs, size_t n_bytes, size_t n_coded, double snr_db, int n)
{
	struct tb_coder *t = create();
	struct tb_soft *soft = tb_soft_create(n_bytes);
	struct awgn g = { 3 };
	int errors = 0;

	assert_non_null(soft);
	for (int k = 0; k < n; k++) {
		int rc = -EBADMSG;
		awgn_bytes(&g, sent, n_bytes);
		tb_soft_reset(soft);
		for (size_t v = 0; v < n_rvs && rc; v++) {
			struct tb_format f = { n_bytes, n_coded, 2, rvs[v] };
			assert_int_equal(tb_encode(t, &f, sent, bits), 0);
			noisy_llrs(bits, n_coded, snr_db, &g);
			rc = tb_decode(t, &f, llr, soft, got, NULL);
		}
		errors += rc != 0;
		if (!rc)
			assert_memory_equal(got, sent, n_bytes);
	}
	tb_soft_destroy(soft);
	tb_coder_destroy(t);
	return errors;
}

static void a_second_transmission_rescues_what_one_cannot(void **state)
{
	static const unsigned once[] = { 0 }, chase[] = { 0, 0 };

	(void)state;
	/* Rate 0.6; 1 dB below its threshold alone, 2 dB above with the energy of two. */
	assert_true(harq_errors(once, 1, 300, 4000, 0.8, 40) >= 39);
	assert_true(harq_errors(chase, 2, 300, 4000, 0.8, 40) <= 1);
}

static void new_parity_rescues_more_than_repetition(void **state)
{
	static const unsigned chase[] = { 0, 0 }, increments[] = { 0, 2 };

	(void)state;
	/* Rate 0.8 at 0.6 dB. Two copies: rate 0.8 at 3.6 dB, a decibel below its threshold. New parity: rate 0.4 at
	 * 0.6 dB, above. */
	int repeated = harq_errors(chase, 2, 400, 4000, 0.6, 60),
	    fresh = harq_errors(increments, 2, 400, 4000, 0.6, 60);
	assert_true(repeated >= 40);
	assert_true(fresh <= 3);
}

static void only_the_wrong_code_block_is_decoded_again(void **state)
{
	struct tb_coder *t = create();
	size_t n_bytes = tb_size_fit(1250);
	struct tb_format f = { n_bytes, 13500, 6, 0 };
	struct tb_soft *soft = tb_soft_create(n_bytes);
	struct tb_stats st;
	struct awgn g = { 4 };

	(void)state;
	assert_non_null(soft);
	awgn_bytes(&g, sent, n_bytes);
	assert_int_equal(tb_encode(t, &f, sent, bits), 0);
	set_llrs(bits, f.n_coded, 6);
	for (size_t i = 4500; i < 9000; i++) /* the middle block of three is lost in noise */
		llr[i] = crealf(awgn_noise(&g));
	assert_int_equal(tb_decode(t, &f, llr, soft, got, &st), -EBADMSG);
	assert_true(st.n_blocks == 3 && st.n_decoded == 3 && st.n_failed == 1);
	set_llrs(bits, f.n_coded, 6);
	assert_int_equal(tb_decode(t, &f, llr, soft, got, &st), 0);
	assert_true(st.n_blocks == 3 && st.n_decoded == 1 && st.n_failed == 0);
	assert_memory_equal(got, sent, n_bytes);
	/* Once more after all is right, as when the acknowledgement was lost: nothing to decode, the same bytes. */
	memset(got, 0, sizeof got);
	assert_int_equal(tb_decode(t, &f, llr, soft, got, &st), 0);
	assert_int_equal(st.n_decoded, 0);
	assert_memory_equal(got, sent, n_bytes);
	tb_soft_destroy(soft);
	tb_coder_destroy(t);
}

static void soft_bits_of_another_block_or_too_small_are_refused_until_reset(void **state)
{
	struct tb_coder *t = create();
	struct tb_soft *soft = tb_soft_create(100);
	struct tb_format a = { 100, 2000, 2, 0 }, b = { 90, 2000, 2, 0 }, c = { 101, 2000, 2, 0 };

	(void)state;
	assert_non_null(soft);
	memset(llr, 0, sizeof llr);
	assert_int_equal(tb_decode(t, &a, llr, soft, got, NULL), -EBADMSG);
	assert_int_equal(tb_decode(t, &b, llr, soft, got, NULL), -EINVAL);
	assert_int_equal(tb_decode(t, &c, llr, soft, got, NULL), -EINVAL);
	tb_soft_reset(soft);
	assert_int_equal(tb_decode(t, &b, llr, soft, got, NULL), -EBADMSG);
	tb_soft_destroy(soft);
	tb_coder_destroy(t);
}

/* --- what is no transport block ------------------------------------------------------------------------------------
 */

static void silence_noise_and_not_a_number_are_no_block(void **state)
{
	struct tb_coder *t = create();
	struct tb_format f = { 60, 1200, 4, 0 };
	struct awgn g = { 5 };

	(void)state;
	memset(llr, 0, sizeof llr);
	assert_int_equal(tb_decode(t, &f, llr, NULL, got, NULL), -EBADMSG);
	for (int k = 0; k < 300; k++) {
		for (size_t i = 0; i < f.n_coded; i++)
			llr[i] = 5 * crealf(awgn_noise(&g));
		assert_int_equal(tb_decode(t, &f, llr, NULL, got, NULL), -EBADMSG);
	}
	for (size_t i = 0; i < f.n_coded; i++)
		llr[i] = i % 3 ? NAN : -INFINITY;
	assert_int_equal(tb_decode(t, &f, llr, NULL, got, NULL), -EBADMSG);
	tb_coder_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(coded_bits_are_those_of_the_standard_text),
		cmocka_unit_test(a_fitting_size_splits_into_equal_blocks_and_loses_next_to_nothing),
		cmocka_unit_test(every_legal_size_comes_back_at_every_order_from_versions_0_and_3),
		cmocka_unit_test(impossible_formats_are_refused),
		cmocka_unit_test(a_second_transmission_rescues_what_one_cannot),
		cmocka_unit_test(new_parity_rescues_more_than_repetition),
		cmocka_unit_test(only_the_wrong_code_block_is_decoded_again),
		cmocka_unit_test(soft_bits_of_another_block_or_too_small_are_refused_until_reset),
		cmocka_unit_test(silence_noise_and_not_a_number_are_no_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
