/* The MCS table: order, sizes, and thresholds measured again. */
#include "phy/mcs.h"
#include "phy/tb.h"
#include "tests/phy/coded_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static void an_index_fits_five_bits_and_ends_where_the_table_does(void **state)
{
	(void)state;
	assert_in_range(mcs_count(), 20, 32);
	for (size_t i = 0; i < mcs_count(); i++)
		assert_non_null(mcs_get(i));
	assert_null(mcs_get(mcs_count()));
}

static void efficiency_and_threshold_rise_with_the_index(void **state)
{
	(void)state;
	for (size_t i = 1; i < mcs_count(); i++) {
		const struct mcs *a = mcs_get(i - 1), *b = mcs_get(i);
		assert_true((float)a->bits * a->rate < (float)b->bits * b->rate);
		assert_true(a->snr_db < b->snr_db);
	}
}

/* No code works below capacity. What is asked of the whole receiver, 2.5 dB, 3 dB at either end of the table, leaves room
 * for the channel to be estimated. */
static void thresholds_lie_close_above_capacity(void **state)
{
	(void)state;
	for (size_t i = 0; i < mcs_count(); i++) {
		const struct mcs *m = mcs_get(i);
		double efficiency = (double)m->bits * (double)m->rate, capacity_db = 10 * log10(exp2(efficiency) - 1);
		double most = efficiency < 0.5 || (m->bits == 8 && m->rate > 0.85f) ? 3 : 2.5;
		assert_true((double)m->snr_db > capacity_db && (double)m->snr_db < capacity_db + most);
	}
}

/* From QPSK at rate 0.2 to 256QAM at 0.93, in steps of at most 1.7 dB. */
static void the_table_reaches_from_end_to_end_without_gaps(void **state)
{
	(void)state;
	const struct mcs *first = mcs_get(0), *last = mcs_get(mcs_count() - 1);
	assert_true(first->bits == 2 && first->rate <= 0.21f && first->rate >= 0.2f);
	assert_true(last->bits == 8 && last->rate >= 0.92f);
	for (size_t i = 1; i < mcs_count(); i++)
		assert_true(mcs_get(i)->snr_db - mcs_get(i - 1)->snr_db < 1.7f);
}

static void the_best_index_for_an_snr_is_the_last_that_it_suffices_for(void **state)
{
	(void)state;
	assert_int_equal(mcs_for_snr(-100), 0);
	assert_int_equal(mcs_for_snr(100), mcs_count() - 1);
	for (size_t i = 1; i < mcs_count(); i++) {
		assert_int_equal(mcs_for_snr(mcs_get(i)->snr_db), i);
		assert_int_equal(mcs_for_snr(mcs_get(i)->snr_db - 0.01f), i - 1);
	}
}

static void block_sizes_are_legal_within_the_rate_and_lose_little_to_rounding(void **state)
{
	(void)state;
	for (size_t i = 0; i < mcs_count(); i++)
		for (size_t n_re = 0; n_re < 12000; n_re += 7) {
			const struct mcs *m = mcs_get(i);
			size_t n_bytes = mcs_tbs_bytes(m, n_re);
			double room = (double)n_re * m->bits * (double)m->rate / 8;
			assert_int_equal(tb_size_fit(n_bytes, m->rate), n_bytes);
			if (n_bytes)
				assert_true((double)(n_bytes + TB_CRC_BYTES) <= room && n_bytes >= MCS_TBS_MIN_BYTES);
			else
				assert_true(room < MCS_TBS_MIN_BYTES + TB_CRC_BYTES);
			if (n_bytes)
				assert_true((double)(n_bytes + TB_CRC_BYTES) > room - 1 - room / 476 - 1);
		}
}

enum { N_RE = 2232, TRIALS = 150 };

static int errors_at(const struct mcs *m, double snr_db, uint64_t seed)
{
	static const unsigned once[] = { 0 };
	struct coded_link l;
	int errors = 0;

	assert_true(coded_link_init(&l, m, N_RE, seed));
	for (int k = 0; k < TRIALS; k++)
		errors += !coded_link_block(&l, once, 1, snr_db);
	assert_int_equal(l.n_wrong, 0);
	coded_link_free(&l);
	return errors;
}

/* 10 % is 15 of 150, 4 sigma 14.7; the curves are so steep that 0.4 dB lead from a few per cent to nearly half. */
static void one_block_in_ten_fails_at_the_threshold(void **state)
{
	(void)state;
	for (size_t i = 0; i < mcs_count(); i += 3) {
		const struct mcs *m = mcs_get(i);
		assert_true(errors_at(m, (double)m->snr_db + 0.4, i) <= 12);
		assert_true(errors_at(m, (double)m->snr_db - 0.4, i) >= 25);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_fits_five_bits_and_ends_where_the_table_does),
		cmocka_unit_test(efficiency_and_threshold_rise_with_the_index),
		cmocka_unit_test(thresholds_lie_close_above_capacity),
		cmocka_unit_test(the_table_reaches_from_end_to_end_without_gaps),
		cmocka_unit_test(the_best_index_for_an_snr_is_the_last_that_it_suffices_for),
		cmocka_unit_test(block_sizes_are_legal_within_the_rate_and_lose_little_to_rounding),
		cmocka_unit_test(one_block_in_ten_fails_at_the_threshold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
