#include "phy/acquire.h"

#include "tests/phy/sync_channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

enum { CELL = 1, PIECE_SLOTS = 20, PIECE = PIECE_SLOTS * 3840, T_FIRST = 123456789 };

static struct numerology num;
static float complex sent[PIECE], heard[PIECE];

static int set_up(void **state)
{
	(void)state;
	return numerology_init(&num, 7.68e6, 30e3, 18, 14, NULL, 0);
}

/* A downlink heard from somewhere in the middle on. */
struct start {
	size_t skipped; /* samples of slot 0 (a sync slot) and after that were missed */
	double cfo_hz, snr_db, load;
	struct taps taps;
	struct rng rng;
};

static struct start draw(uint64_t seed, double snr_db, double cfo_max_hz, bool fading)
{
	struct start s = { .snr_db = snr_db, .rng = { seed } };
	s.skipped = (size_t)rng_uniform(&s.rng, 0, 38400);
	s.cfo_hz = rng_uniform(&s.rng, -cfo_max_hz, cfo_max_hz);
	s.load = rng_uniform(&s.rng, 0, 1);
	double fraction = rng_uniform(&s.rng, 0, 1);
	s.taps = fading ? taps_tdl_a(&s.rng, num.rate_hz, 100e-9, 10, fraction) : taps_flat(fraction);
	return s;
}

/* The next PIECE_SLOTS slots into heard[]. */
static void next_piece(struct start *s, size_t piece)
{
	make_downlink(&num, CELL, 0, PIECE_SLOTS, s->load, &s->rng, sent);
	pass_channel_from(&s->taps, num.rate_hz, s->cfo_hz, piece * PIECE, sent, heard, PIECE);
	add_noise(&s->rng, heard, PIECE, noise_for(s->snr_db));
}

/* Feeds for at most `slots`; true: locked. The first sample fed is sample T_FIRST. */
static bool listen(struct acquire *a, struct start *s, size_t slots)
{
	acquire_reset(a, T_FIRST);
	for (size_t piece = 0; piece * PIECE_SLOTS < slots; piece++) {
		next_piece(s, piece);
		size_t from = piece ? 0 : s->skipped;
		if (acquire_feed(a, heard + from, PIECE - from))
			return true;
	}
	return false;
}

/* Distance of the lock from the mean centre of energy of the nearest sync slot. */
static double start_error(const struct start *s, const struct acquired *lock)
{
	double at = (double)(lock->slot_start - T_FIRST + s->skipped) + (double)lock->fraction;
	return remainder(at - taps_centre(&s->taps), 38400);
}

static void fifty_cold_starts_at_5_db_in_fading_all_lock_within_100_ms(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct start s = draw(seed, 5, 7500, true);
		assert_true(listen(a, &s, 200));
		const struct acquired *lock = acquire_result(a);
		if (fabs(start_error(&s, lock)) > 3 || fabs((double)lock->cfo_hz - s.cfo_hz) > 1000)
			fail_msg("seed %d: start off by %.2f samples, carrier by %.0f Hz", (int)seed,
			         start_error(&s, lock), (double)lock->cfo_hz - s.cfo_hz);
	}
	acquire_destroy(a);
}

static void a_single_path_is_placed_to_a_fraction_of_a_sample(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	double square_start = 0, square_cfo = 0;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct start s = draw(100 + seed, 10, 7500, false);
		assert_true(listen(a, &s, 40));
		square_start += pow(start_error(&s, acquire_result(a)), 2) / 20;
		square_cfo += pow((double)acquire_result(a)->cfo_hz - s.cfo_hz, 2) / 20;
	}
	assert_true(sqrt(square_start) < 0.15);
	assert_true(sqrt(square_cfo) < 100);
	acquire_destroy(a);
}

static void carriers_off_by_two_thirds_of_a_subcarrier_are_found(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	for (int i = -4; i <= 4; i++) {
		struct start s = draw(200 + (uint64_t)(i + 4), 5, 0, false);
		s.cfo_hz = i * 5000;
		assert_true(listen(a, &s, 40));
		assert_true(fabs((double)acquire_result(a)->cfo_hz - s.cfo_hz) < 500);
		assert_true(fabs(start_error(&s, acquire_result(a))) < 1);
	}
	acquire_destroy(a);
}

static void below_the_noise_periods_add_up(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	unsigned most = 0;
	for (uint64_t seed = 0; seed < 5; seed++) {
		struct start s = draw(300 + seed, -10, 7500, false);
		assert_true(listen(a, &s, 200));
		assert_true(fabs(start_error(&s, acquire_result(a))) < 3);
		if (acquire_result(a)->n_periods > most)
			most = acquire_result(a)->n_periods;
	}
	assert_true(most > 1);
	acquire_destroy(a);
}

static void noise_alone_never_locks(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	struct rng r = { 400 };
	for (size_t piece = 0; piece < 25; piece++) { /* 50 periods */
		memset(heard, 0, sizeof heard);
		add_noise(&r, heard, PIECE, piece % 2 ? 1 : 1e-6);
		assert_false(acquire_feed(a, heard, PIECE));
	}
	assert_null(acquire_result(a));
	acquire_destroy(a);
}

static void tones_clicks_and_bursts_never_lock(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	struct rng r = { 450 };
	for (int kind = 0; kind < 4; kind++) {
		acquire_reset(a, 0);
		for (size_t i = 0; i < PIECE; i++) {
			double complex tone = cexp(I * 2 * M_PI * 0.0123 * (double)i);
			bool on = i / 700 % 2;
			heard[i] = (float complex[]){ (float complex)tone, i % 1000 == 0, on ? rng_normal(&r) : 0,
				                      on ? (float complex)tone : 0 }[kind];
		}
		for (size_t piece = 0; piece < 3; piece++)
			assert_false(acquire_feed(a, heard, PIECE));
	}
	acquire_destroy(a);
}

static void slots_without_sync_never_lock_at_any_load(void **state)
{
	(void)state;
	static const double loads[] = { 0, 0.05, 0.3, 1 };
	struct acquire *a = acquire_create(&num, CELL, NULL);
	struct rng r = { 500 };
	for (size_t i = 0; i < 4; i++) {
		acquire_reset(a, 0);
		for (size_t piece = 0; piece < 10; piece++) { /* 20 periods: pilots repeat, data do not */
			for (size_t slot = 0; slot < PIECE_SLOTS; slot++)
				make_downlink(&num, CELL, 1, 1, loads[i], &r, sent + slot * num.slot_len);
			add_noise(&r, sent, PIECE, 0.01);
			assert_false(acquire_feed(a, sent, PIECE));
		}
	}
	acquire_destroy(a);
}

static void another_cells_sequence_is_not_taken_for_ours(void **state)
{
	(void)state;
	struct acquire *other = acquire_create(&num, CELL + 1, NULL);
	struct start s = draw(600, 20, 0, false);
	assert_false(listen(other, &s, 40));
	acquire_destroy(other);
}

static bool same(const struct acquired *a, const struct acquired *b)
{
	return a->slot_start == b->slot_start && a->fraction == b->fraction && a->cfo_hz == b->cfo_hz &&
	       a->metric == b->metric && a->n_periods == b->n_periods;
}

static void the_size_of_blocks_changes_nothing(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL), *b = acquire_create(&num, CELL, NULL);
	struct start s = draw(700, 5, 7500, false);
	next_piece(&s, 0);
	acquire_feed(a, heard, PIECE);
	assert_non_null(acquire_result(a));
	for (size_t done = 0, step = 1; done < PIECE; done += step, step = step * 7 % 5003 + 1) {
		if (step > PIECE - done)
			step = PIECE - done;
		acquire_feed(b, heard + done, step);
	}
	assert_non_null(acquire_result(b));
	assert_true(same(acquire_result(a), acquire_result(b)));
	acquire_destroy(b);
	acquire_destroy(a);
}

static void a_reset_forgets_everything(void **state)
{
	(void)state;
	struct acquire *used = acquire_create(&num, CELL, NULL), *fresh = acquire_create(&num, CELL, NULL);
	struct start s = draw(800, 5, 7500, false);
	assert_true(listen(used, &s, 40));
	s = draw(801, 5, 7500, false);
	next_piece(&s, 0);
	acquire_reset(used, 77);
	acquire_reset(fresh, 77);
	assert_null(acquire_result(used));
	assert_true(acquire_feed(used, heard, PIECE));
	assert_true(acquire_feed(fresh, heard, PIECE));
	assert_true(same(acquire_result(used), acquire_result(fresh)));
	acquire_destroy(fresh);
	acquire_destroy(used);
}

static void the_level_does_not_matter(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL), *b = acquire_create(&num, CELL, NULL);
	struct start s = draw(900, 5, 7500, false);
	next_piece(&s, 0);
	acquire_feed(a, heard, PIECE);
	for (size_t i = 0; i < PIECE; i++)
		heard[i] *= 0x1p-20f; /* -120 dB */
	acquire_feed(b, heard, PIECE);
	assert_true(same(acquire_result(a), acquire_result(b)));
	acquire_destroy(b);
	acquire_destroy(a);
}

static void samples_that_are_not_numbers_count_as_silence(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	struct start s = draw(1000, 5, 7500, false);
	next_piece(&s, 0);
	heard[5000] = NAN;
	heard[20000] = INFINITY * I;
	heard[40000] = -INFINITY;
	acquire_reset(a, T_FIRST - s.skipped);
	assert_true(acquire_feed(a, heard, PIECE));
	s.skipped = 0;
	struct acquired lock = *acquire_result(a);
	lock.slot_start += draw(1000, 5, 7500, false).skipped;
	assert_true(fabs(start_error(&s, &lock)) < 1);
	acquire_destroy(a);
}

static void other_numerologies_lock_too(void **state)
{
	(void)state;
	static const struct {
		double rate_hz, scs_hz;
		size_t n_rb;
	} shapes[] = { { 15.36e6, 30e3, 38 }, { 3.84e6, 15e3, 18 }, { 11.52e6, 60e3, 11 } };
	for (size_t i = 0; i < 3; i++) {
		struct numerology n;
		assert_int_equal(numerology_init(&n, shapes[i].rate_hz, shapes[i].scs_hz, shapes[i].n_rb, 14, NULL, 0),
		                 0);
		size_t length = 18 * n.slot_len, skipped = 3 * n.slot_len + 1234;
		float complex *x = malloc(length * sizeof *x), *y = malloc(length * sizeof *y);
		struct rng r = { 1100 + i };
		make_downlink(&n, CELL, 0, 18, 0.5, &r, x);
		struct taps path = taps_flat(0.4);
		pass_channel(&path, n.rate_hz, 0.2 * n.scs_hz, x, y, length);
		add_noise(&r, y, length, noise_for(5));
		struct acquire *a = acquire_create(&n, CELL, NULL);
		assert_true(acquire_feed(a, y + skipped, length - skipped));
		const struct acquired *lock = acquire_result(a);
		double error = remainder((double)(lock->slot_start + skipped) + (double)lock->fraction - 0.4,
		                         10.0 * (double)n.slot_len);
		assert_true(fabs(error) < 0.5);
		assert_true(fabs((double)lock->cfo_hz - 0.2 * n.scs_hz) < 0.02 * n.scs_hz);
		acquire_destroy(a);
		free(y);
		free(x);
	}
}

static void an_impossible_cell_is_refused(void **state)
{
	(void)state;
	assert_null(acquire_create(&num, CELL_ID_MAX + 1, NULL));
	assert_int_equal(errno, EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fifty_cold_starts_at_5_db_in_fading_all_lock_within_100_ms),
		cmocka_unit_test(a_single_path_is_placed_to_a_fraction_of_a_sample),
		cmocka_unit_test(carriers_off_by_two_thirds_of_a_subcarrier_are_found),
		cmocka_unit_test(below_the_noise_periods_add_up),
		cmocka_unit_test(noise_alone_never_locks),
		cmocka_unit_test(tones_clicks_and_bursts_never_lock),
		cmocka_unit_test(slots_without_sync_never_lock_at_any_load),
		cmocka_unit_test(another_cells_sequence_is_not_taken_for_ours),
		cmocka_unit_test(the_size_of_blocks_changes_nothing),
		cmocka_unit_test(a_reset_forgets_everything),
		cmocka_unit_test(the_level_does_not_matter),
		cmocka_unit_test(samples_that_are_not_numbers_count_as_silence),
		cmocka_unit_test(other_numerologies_lock_too),
		cmocka_unit_test(an_impossible_cell_is_refused),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
