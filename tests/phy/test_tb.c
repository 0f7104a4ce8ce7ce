/* Transport blocks: against the text of TS 38.212, section 5, and over the air in noise. */
#include "phy/code_block.h"
#include "phy/crc.h"
#include "phy/ldpc.h"
#include "phy/tb.h"
#include "tests/phy/coded_link.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES_MAX = 2500, CODED_MAX = 60000, NULL_BIT = 2 };

static uint8_t sent[BYTES_MAX], got[BYTES_MAX], symbols[CODED_MAX], bits[CODED_MAX];
static float llr[CODED_MAX];

static struct tb_coder *create(void)
{
	struct tb_coder *t = tb_coder_create(BYTES_MAX);

	assert_non_null(t);
	return t;
}

/* Encodes to one bit a byte. */
static int encode(struct tb_coder *t, const struct tb_format *f, const uint8_t *bytes)
{
	int rc = tb_encode(t, f, bytes, symbols);

	for (size_t j = 0; !rc && j < f->n_symbols; j++)
		for (unsigned k = 0; k < f->qm; k++)
			bits[j * f->qm + k] = symbols[j] >> k & 1;
	return rc;
}

/* Decodes llr, fed in pieces of odd lengths. */
static int decode(struct tb_coder *t, const struct tb_format *f, struct tb_soft *soft, struct tb_stats *st)
{
	enum { PIECE = 301 };
	static int8_t planes[8][PIECE];
	int rc = tb_decode_begin(t, f, soft);

	if (rc)
		return rc;
	for (size_t i = 0, n; i < f->n_symbols; i += n) {
		n = f->n_symbols - i < PIECE ? f->n_symbols - i : PIECE;
		for (unsigned k = 0; k < f->qm; k++)
			code_block_quantise(&llr[i * f->qm + k], f->qm, planes[k], n);
		tb_decode_feed(t, planes[0], PIECE, n);
	}
	return tb_decode_end(t, got, st);
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

struct book { /* what the standard says of either graph */
	const struct ldpc_graph *graph;
	size_t kcb, n_info, n_rows;
	size_t k0[4], n_cols; /* numerators and denominator of table 5.4.2.1-2 */
};

static const struct book books[] = {
	{ &ldpc_bg1, 8448, 22, 46, { 0, 17, 33, 56 }, 66 },
	{ &ldpc_bg2, 3840, 10, 42, { 0, 13, 25, 43 }, 50 },
};

/* 5.3.2 and 5.4.2 for one code block of k_used bits; returns what follows `out`. */
static uint8_t *code_block(const struct book *book, const uint8_t *info, size_t k_used, size_t z,
                           const struct tb_format *f, size_t e_len, uint8_t *out)
{
	static uint8_t c[68 * 384], e[CODED_MAX];
	struct ldpc_code code;
	size_t n_cb = book->n_cols * z, k0 = book->k0[f->rv] * n_cb / (book->n_cols * z) * z;

	memset(c, 0, sizeof c);
	memcpy(c, info, k_used);
	assert_int_equal(ldpc_code_init(&code, book->graph, z), 0);
	ldpc_encode(&code, c, book->n_rows);
	for (size_t i = k_used; i < book->n_info * z; i++)
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

/* 5.2.2: Kb. */
static size_t columns_used(const struct book *book, size_t total)
{
	if (book->graph == &ldpc_bg1)
		return 22;
	return total > 640 ? 10 : total > 560 ? 9 : total > 192 ? 8 : 6;
}

static void encode_by_the_book(const struct tb_format *f, const uint8_t *bytes, uint8_t *out)
{
	static uint8_t b[BYTES_MAX * 8 + 24], block[8448];
	const struct book *book = &books[f->graph - 1];
	size_t a = 8 * f->n_bytes, total = a + 24;

	for (size_t i = 0; i < a; i++)
		b[i] = bytes[i / 8] >> (7 - i % 8) & 1;
	crc_attach(&crc24a, b, a);
	size_t l = total <= book->kcb ? 0 : 24;
	size_t n_blocks = l ? (total + (book->kcb - l) - 1) / (book->kcb - l) : 1;
	size_t k_used = (total + n_blocks * l) / n_blocks;
	size_t z = 2;
	while (columns_used(book, total) * z < k_used)
		z = ldpc_lifting_size(z + 1);
	for (size_t r = 0; r < n_blocks; r++) {
		size_t g = f->n_symbols, odd = g % n_blocks;
		size_t e_len = r + odd < n_blocks ? f->qm * (g / n_blocks) : f->qm * ((g + n_blocks - 1) / n_blocks);
		memcpy(block, b + r * (k_used - l), k_used - l);
		if (l)
			crc_attach(&crc24b, block, k_used - l);
		out = code_block(book, block, k_used, z, f, e_len, out);
	}
}

/* Sizes that both graphs split evenly, one to six code blocks. */
static void coded_bits_are_those_of_the_standard_text(void **state)
{
	static const size_t sizes[] = { 1,   7,   17,  21,  22,  37,   60,   66,   67,   77,  78,
		                        200, 476, 477, 479, 953, 1251, 1053, 1055, 2333, 2497 };
	static const double inverse_rate[] = { 1.1, 2.3, 7.7 }; /* from more than rate 0.9 down to repetition */
	static uint8_t expected[CODED_MAX];
	struct tb_coder *t = create();
	struct awgn g = { 1 };

	(void)state;
	for (unsigned graph = 1; graph <= 2; graph++)
		for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
			for (unsigned qm = 2; qm <= 8; qm += 2)
				for (unsigned rv = 0; rv < 4; rv++) {
					size_t n_bytes = tb_size_fit(sizes[s], graph == 1 ? 0.9f : 0.2f);
					double rate = inverse_rate[(s + qm / 2 + rv) % 3];
					size_t n_symbols = (size_t)((double)(8 * n_bytes + 72) * rate) / qm;
					n_symbols = n_symbols * qm > CODED_MAX ? CODED_MAX / qm : n_symbols;
					struct tb_format f = { n_bytes, n_symbols, qm, rv, graph };
					awgn_bytes(&g, sent, n_bytes);
					assert_int_equal(encode(t, &f, sent), 0);
					encode_by_the_book(&f, sent, expected);
					assert_memory_equal(bits, expected, n_symbols * qm);
				}
	tb_coder_destroy(t);
}

/* --- sizes ---------------------------------------------------------------------------------------------------------
 */

/* 6.2.2: graph 2 for A <= 292, for A <= 3824 and R <= 0.67, for R <= 0.25. */
static void the_graph_is_chosen_as_the_standard_says(void **state)
{
	static const struct {
		size_t n_bytes;
		float rate;
		unsigned graph;
	} cases[] = {
		{ 36, 0.9f, 2 },   { 37, 0.9f, 1 },   { 37, 0.67f, 2 },   { 37, 0.68f, 1 },   { 478, 0.67f, 2 },
		{ 479, 0.67f, 1 }, { 478, 0.68f, 1 }, { 5000, 0.25f, 2 }, { 5000, 0.26f, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(tb_graph(cases[i].n_bytes, cases[i].rate), cases[i].graph);
}

static void a_fitting_size_splits_into_equal_blocks_and_loses_next_to_nothing(void **state)
{
	static const float rates[] = { 0.2f, 0.5f, 0.9f };

	(void)state;
	for (size_t r = 0; r < 3; r++)
		for (size_t n = 0; n < 20000; n++) {
			size_t fit = tb_size_fit(n, rates[r]), total = 8 * (fit + 3);
			size_t kcb = tb_graph(fit, rates[r]) == 1 ? 8448 : 3840;
			size_t blocks = total <= kcb ? 1 : (total + kcb - 25) / (kcb - 24);
			assert_true(fit <= n && n - fit < blocks + 1);
			assert_int_equal((fit + 3) % blocks, fit ? 0 : 3 % blocks);
			assert_int_equal(tb_size_fit(fit, rates[r]), fit);
		}
}

static void every_legal_size_comes_back_at_every_order_from_versions_0_and_3(void **state)
{
	struct tb_coder *t = create();
	struct awgn g = { 2 };

	(void)state;
	for (size_t n = 1; n <= 2400; n += n < 100 ? 1 : 37) {
		float nominal = n % 2 || n > BYTES_MAX / 2 ? 0.9f : 0.2f; /* a coder holds half as much of graph 2 */
		size_t n_bytes = tb_size_fit(n, nominal);
		unsigned qm = 2 + 2 * (unsigned)(n % 4), rv = n / 4 % 2 ? 3 : 0;
		/* Version 0 begins with the systematic bits; 3 comes round to them after 7 or 10 columns of parity. */
		size_t n_symbols = (size_t)((double)(8 * n_bytes + 72) * (rv ? 3.0 : 1.3)) / qm;
		struct tb_format f = { n_bytes, n_symbols, qm, rv, tb_graph(n_bytes, nominal) };
		struct tb_stats st;
		awgn_bytes(&g, sent, n_bytes);
		assert_int_equal(encode(t, &f, sent), 0);
		set_llrs(bits, n_symbols * qm, 6);
		memset(got, 0, sizeof got);
		assert_int_equal(decode(t, &f, NULL, &st), 0);
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
		{ 0, 300, 2, 0, 2 },             /* nothing to send */
		{ BYTES_MAX + 1, 300, 2, 0, 2 }, /* over the limit */
		{ 478, 3000, 2, 0, 2 },          /* 481 bytes with CRC do not halve */
		{ 1054, 3000, 6, 0, 1 },         /* nor do 1057 */
		{ 50, 300, 3, 0, 2 },            /* bits a symbol */
		{ 50, 300, 0, 0, 2 },
		{ 50, 300, 10, 0, 2 },
		{ 50, 300, 2, 4, 2 }, /* redundancy version */
		{ 50, 300, 2, 0, 0 }, /* graph */
		{ 50, 300, 2, 0, 3 },
		{ 50, TB_SYMBOLS_LIMIT + 1, 2, 0, 2 },
		{ 50, 0, 2, 0, 2 },
		{ 2397, 5, 2, 0, 2 }, /* fewer symbols than code blocks */
	};

	(void)state;
	for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
		assert_int_equal(tb_encode(t, &wrong[k], sent, symbols), -EINVAL);
		assert_int_equal(tb_decode_begin(t, &wrong[k], NULL), -EINVAL);
	}
	tb_coder_destroy(t);
	assert_null(tb_coder_create(0));
	assert_null(tb_soft_create(0));
}

/* --- hybrid ARQ ----------------------------------------------------------------------------------------------------
 */

/* Of n blocks, those not decoded after the versions in rvs, sent at snr_db each. */
static int harq_errors(const unsigned *rvs, size_t n_rvs, size_t n_bytes, size_t n_coded, unsigned graph, double snr_db,
                       int n)
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
			struct tb_format f = { n_bytes, n_coded / 2, 2, rvs[v], graph };
			assert_int_equal(encode(t, &f, sent), 0);
			noisy_llrs(bits, n_coded, snr_db, &g);
			rc = decode(t, &f, soft, NULL);
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
	assert_true(harq_errors(once, 1, 300, 4000, 2, 0.8, 40) >= 39);
	assert_true(harq_errors(chase, 2, 300, 4000, 2, 0.8, 40) <= 1);
}

static void new_parity_rescues_more_than_repetition(void **state)
{
	static const unsigned chase[] = { 0, 0 }, increments[] = { 0, 2 };

	(void)state;
	/* Rate 0.8 at 0.6 dB. Two copies: rate 0.8 at 3.6 dB, a decibel below its threshold. New parity: rate 0.4 at
	 * 0.6 dB, above. */
	int repeated = harq_errors(chase, 2, 400, 4000, 1, 0.6, 60),
	    fresh = harq_errors(increments, 2, 400, 4000, 1, 0.6, 60);
	assert_true(repeated >= 40);
	assert_true(fresh <= 3);
}

/* The SNR at which one block of ten is not there after n_versions of 0, 2; AWGN, channel known. 100 blocks a step: to a
 * tenth of a decibel. */
static double ten_percent_db(const struct mcs *m, size_t n_re, size_t n_versions, double low_db, double high_db)
{
	static const unsigned versions[] = { 0, 2 };
	struct coded_link l;

	assert_true(coded_link_init(&l, m, n_re, 6));
	while (high_db - low_db > 0.06) {
		double middle = (low_db + high_db) / 2;
		int errors = 0;
		for (int k = 0; k < 100; k++)
			errors += !coded_link_block(&l, versions, n_versions, middle);
		*(errors > 10 ? &low_db : &high_db) = middle;
	}
	assert_int_equal(l.n_wrong, 0);
	coded_link_free(&l);
	return (low_db + high_db) / 2;
}

/* 3 dB are the energy of two; a lower rate brings the rest, where there is parity left to send. */
static void a_second_transmission_gains_what_is_asked(void **state)
{
	static const struct {
		struct mcs mcs;
		size_t n_re;
		double gain_db;
	} cases[] = {
		{ { 2, 0.75f, 0 }, 1200, 4.4 },  /* graph 1 */
		{ { 2, 0.31f, 0 }, 1200, 3.0 },  /* graph 2 */
		{ { 2, 0.33f, 0 }, 6000, 2.85 }, /* graph 1: 1 / 3 is all the parity it has */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct mcs *m = &cases[i].mcs;
		double capacity_db = 10 * log10(exp2(2 * (double)m->rate) - 1);
		double one = ten_percent_db(m, cases[i].n_re, 1, capacity_db, capacity_db + 3);
		double two = ten_percent_db(m, cases[i].n_re, 2, capacity_db - 5, capacity_db - 1);
		assert_true(one - two >= cases[i].gain_db);
	}
}

/* Graph 1 and 2, three code blocks each. */
static void only_the_wrong_code_block_is_decoded_again(void **state)
{
	static const struct tb_format formats[] = { { 2499, 4500, 6, 0, 1 }, { 1251, 4500, 6, 0, 2 } };
	struct tb_coder *t = create();
	struct awgn g = { 4 };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct tb_format f = formats[k];
		struct tb_soft *soft = tb_soft_create(BYTES_MAX);
		struct tb_stats st;
		assert_non_null(soft);
		awgn_bytes(&g, sent, f.n_bytes);
		assert_int_equal(encode(t, &f, sent), 0);
		set_llrs(bits, f.n_symbols * f.qm, 6);
		for (size_t i = 9000; i < 18000; i++) /* the middle block of three is lost in noise */
			llr[i] = crealf(awgn_noise(&g));
		assert_int_equal(decode(t, &f, soft, &st), -EBADMSG);
		assert_true(st.n_blocks == 3 && st.n_decoded == 3 && st.n_failed == 1);
		set_llrs(bits, f.n_symbols * f.qm, 6);
		assert_int_equal(decode(t, &f, soft, &st), 0);
		assert_true(st.n_blocks == 3 && st.n_decoded == 1 && st.n_failed == 0);
		assert_memory_equal(got, sent, f.n_bytes);
		/* Once more after all is right, as when the acknowledgement was lost: nothing to decode, the same bytes.
		 */
		memset(got, 0, sizeof got);
		assert_int_equal(decode(t, &f, soft, &st), 0);
		assert_int_equal(st.n_decoded, 0);
		assert_memory_equal(got, sent, f.n_bytes);
		tb_soft_destroy(soft);
	}
	tb_coder_destroy(t);
}

static void soft_bits_of_another_block_or_too_small_are_refused_until_reset(void **state)
{
	struct tb_coder *t = create();
	struct tb_soft *soft = tb_soft_create(100);
	struct tb_format a = { 100, 1000, 2, 0, 2 }, b = { 90, 1000, 2, 0, 2 }, c = { 101, 1000, 2, 0, 2 },
	                 d = { 100, 1000, 2, 0, 1 };

	(void)state;
	assert_non_null(soft);
	memset(llr, 0, sizeof llr);
	assert_int_equal(decode(t, &a, soft, NULL), -EBADMSG);
	assert_int_equal(decode(t, &b, soft, NULL), -EINVAL);
	assert_int_equal(decode(t, &c, soft, NULL), -EINVAL);
	assert_int_equal(decode(t, &d, soft, NULL), -EINVAL);
	assert_int_equal(decode(t, &a, soft, NULL), -EBADMSG);
	tb_soft_reset(soft);
	assert_int_equal(decode(t, &b, soft, NULL), -EBADMSG);
	tb_soft_destroy(soft);
	tb_coder_destroy(t);
}

/* --- what is no transport block ------------------------------------------------------------------------------------
 */

static void silence_noise_and_not_a_number_are_no_block(void **state)
{
	struct tb_coder *t = create();
	struct tb_format f = { 60, 300, 4, 0, 2 };
	struct awgn g = { 5 };

	(void)state;
	memset(llr, 0, sizeof llr);
	assert_int_equal(decode(t, &f, NULL, NULL), -EBADMSG);
	assert_int_equal(tb_decode_begin(t, &f, NULL), 0); /* and never fed */
	assert_int_equal(tb_decode_end(t, got, NULL), -EBADMSG);
	/* Next to silence: soft bits here and there, all of which agree with the word of zeros, as many as 60 bytes have
	 * bits. */
	for (size_t i = 0, said = 0; i < f.n_symbols * f.qm && said < 480; i += 2, said++)
		llr[i] = 2;
	assert_int_equal(decode(t, &f, NULL, NULL), -EBADMSG);
	for (int k = 0; k < 300; k++) {
		for (size_t i = 0; i < f.n_symbols * f.qm; i++)
			llr[i] = 5 * crealf(awgn_noise(&g));
		assert_int_equal(decode(t, &f, NULL, NULL), -EBADMSG);
	}
	for (size_t i = 0; i < f.n_symbols * f.qm; i++)
		llr[i] = i % 3 ? NAN : -INFINITY;
	assert_int_equal(decode(t, &f, NULL, NULL), -EBADMSG);
	tb_coder_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(coded_bits_are_those_of_the_standard_text),
		cmocka_unit_test(the_graph_is_chosen_as_the_standard_says),
		cmocka_unit_test(a_fitting_size_splits_into_equal_blocks_and_loses_next_to_nothing),
		cmocka_unit_test(every_legal_size_comes_back_at_every_order_from_versions_0_and_3),
		cmocka_unit_test(impossible_formats_are_refused),
		cmocka_unit_test(a_second_transmission_rescues_what_one_cannot),
		cmocka_unit_test(new_parity_rescues_more_than_repetition),
		cmocka_unit_test(a_second_transmission_gains_what_is_asked),
		cmocka_unit_test(only_the_wrong_code_block_is_decoded_again),
		cmocka_unit_test(soft_bits_of_another_block_or_too_small_are_refused_until_reset),
		cmocka_unit_test(silence_noise_and_not_a_number_are_no_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
