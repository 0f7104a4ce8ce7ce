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

static void carriers_off_by_two_and_a_half_subcarriers_are_found_below_the_noise(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	for (int i = -10; i <= 10; i++) {
		struct start s = draw(200 + (uint64_t)(i + 10), -3, 0, false);
		s.cfo_hz = i * 7500; /* on hypotheses and halfway between two */
		assert_true(listen(a, &s, 40));
		assert_true(fabs((double)acquire_result(a)->cfo_hz - s.cfo_hz) < 200);
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

/* The clock that goes with 75 kHz at 3.5 GHz: 0.8 samples a period. */
static void periods_add_up_at_the_pace_of_the_clock_that_goes_with_the_carrier(void **state)
{
	(void)state;
	struct acquire_config config = acquire_config_default(&num);
	unsigned periods[2] = { 0 };
	for (int known = 0; known < 2; known++) {
		config.dl_hz = known ? 3.5e9 : 0;
		struct acquire *a = acquire_create(&num, CELL, &config);
		for (uint64_t seed = 0; seed < 6; seed++) {
			struct start s = draw(350 + seed, -12, 0, false);
			s.cfo_hz = seed % 2 ? 75000 : -75000;
			acquire_reset(a, T_FIRST);
			for (size_t piece = 0; !acquire_result(a) && piece < 20; piece++) {
				next_piece(&s, piece);
				acquire_feed(a, heard + (piece ? 0 : s.skipped), PIECE - (piece ? 0 : s.skipped));
				s.taps.delay_samples[0] -= PIECE * s.cfo_hz / 3.5e9;
			}
			periods[known] += acquire_result(a) ? acquire_result(a)->n_periods : 40;
		}
		acquire_destroy(a);
	}
	assert_in_range(periods[1], 12, periods[0] / 2);
}

/* Noise over the whole band: a coefficient is Beta(1, sync_len - 1). The largest of n then obeys Gumbel's law with scale
 * 1 / (sync_len - 1) in -log(1 - x), about log(n) of them above 0; of the candidates, half a resolved delay and half a
 * subcarrier apart, not all are independent. */
static void the_best_coefficient_of_noise_obeys_its_law(void **state)
{
	(void)state;
	enum { N = 160 };
	struct acquire *a = acquire_create(&num, CELL, NULL);
	struct rng r = { 420 };
	double g[N], mean = 0, var = 0, n = 0;
	for (size_t i = 0; i < N; i++) {
		acquire_reset(a, 0);
		memset(heard, 0, sizeof heard);
		add_noise(&r, heard, 12 * 3840, 1);
		acquire_feed(a, heard, 12 * 3840);
		struct acquire_progress p = acquire_progress(a);
		assert_int_equal(p.n_periods, 1);
		n = (double)p.n_candidates;
		g[i] = -126 * log1p(-(double)p.metric);
		mean += g[i] / N;
		/* what the threshold stands on must not promise less than it holds */
		assert_true(p.false_alarm > 0.5 * n * pow(1 - (double)p.metric, 126));
	}
	for (size_t i = 0; i < N; i++)
		var += pow(g[i] - mean, 2) / (N - 1);
	assert_true(fabs(sqrt(var) - M_PI / sqrt(6)) < 0.25); /* three deviations for 160 */
	double independent = exp(mean - 0.5772);
	assert_true(independent > n / 10 && independent < n);
	acquire_destroy(a);
}

static void noise_locks_no_more_often_than_asked_for(void **state)
{
	(void)state;
	struct acquire_config config = acquire_config_default(&num);
	config.false_alarm = 0.9;
	struct acquire *a = acquire_create(&num, CELL, &config);
	struct rng r = { 430 };
	size_t locks = 0;
	for (size_t piece = 0; piece < 100; piece++) { /* 200 periods, less what is lost at locks */
		memset(heard, 0, sizeof heard);
		add_noise(&r, heard, PIECE, 1);
		locks += acquire_feed(a, heard, PIECE);
		if (acquire_result(a))
			acquire_reset(a, 0);
	}
	assert_in_range(locks, 1, 60);
	acquire_destroy(a);
}

static void noise_narrower_than_the_sync_signal_never_locks(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	struct rng r = { 440 };
	for (size_t width = 3; width <= 48; width *= 2) { /* 3 dB bandwidth from 75 down to 5 subcarriers */
		acquire_reset(a, 0);
		for (size_t piece = 0; piece < 5; piece++) {
			memset(sent, 0, sizeof sent);
			add_noise(&r, sent, PIECE, 1);
			float complex sum = 0;
			for (size_t i = 0; i < PIECE; i++) {
				sum += sent[i] - (i >= width ? sent[i - width] : 0);
				heard[i] = sum * 1e-4f;
			}
			assert_false(acquire_feed(a, heard, PIECE));
		}
	}
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
	heard[6000] = 1e25f * I; /* its square is none */
	acquire_reset(a, T_FIRST - s.skipped);
	assert_true(acquire_feed(a, heard, PIECE));
	s.skipped = 0;
	struct acquired lock = *acquire_result(a);
	lock.slot_start += draw(1000, 5, 7500, false).skipped;
	assert_true(fabs(start_error(&s, &lock)) < 1 && isfinite(lock.metric));
	acquire_destroy(a);
}

static void a_signal_whose_energy_overflows_counts_as_silence(void **state)
{
	(void)state;
	struct acquire *a = acquire_create(&num, CELL, NULL);
	struct start s = draw(1000, 5, 7500, false);
	next_piece(&s, 0);
	for (size_t i = 0; i < PIECE; i++)
		heard[i] *= 1e19f;
	assert_false(acquire_feed(a, heard, PIECE));
	assert_true(acquire_progress(a).metric == 0);
	acquire_destroy(a);
}

/* FFT 128 .. 2048, slots of 7 and 14 symbols, short and long sync sequences, USRP rates; carriers near both ends. */
static void every_numerology_locks(void **state)
{
	(void)state;
	static const struct {
		double rate_hz, scs_hz;
		size_t n_rb, n_symbols;
	} shapes[] = { { 1.92e6, 15e3, 6, 14 },  { 1.92e6, 15e3, 9, 7 },    { 7.68e6, 60e3, 9, 14 },
		       { 7.68e6, 30e3, 18, 7 },  { 15.36e6, 30e3, 38, 14 }, { 10e6, 26041.666666666668, 25, 14 },
		       { 10e6, 25e3, 25, 7 },    { 20e6, 31250, 40, 14 },   { 30.72e6, 15e3, 100, 14 },
		       { 30.72e6, 60e3, 38, 14 } };
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		struct numerology n;
		assert_int_equal(numerology_init(&n, shapes[i].rate_hz, shapes[i].scs_hz, shapes[i].n_rb,
		                                 shapes[i].n_symbols, NULL, 0),
		                 0);
		size_t length = 18 * n.slot_len, skipped = 3 * n.slot_len + 1234;
		float complex *x = malloc(length * sizeof *x), *y = malloc(length * sizeof *y);
		struct rng r = { 1100 + i };
		double cfo_hz = (i % 2 ? -2.4 : 2.3) * n.scs_hz;
		make_downlink(&n, CELL, 0, 18, 0.5, &r, x);
		struct taps path = taps_flat(0.4);
		pass_channel(&path, n.rate_hz, cfo_hz, x, y, length);
		add_noise(&r, y, length, noise_for(n.sync_len == SYNC_LEN_MAX ? -2 : 3));
		struct acquire *a = acquire_create(&n, CELL, NULL);
		if (!acquire_feed(a, y + skipped, length - skipped))
			fail_msg("shape %d does not lock", (int)i);
		const struct acquired *lock = acquire_result(a);
		double error = remainder((double)(lock->slot_start + skipped) + (double)lock->fraction - 0.4,
		                         10.0 * (double)n.slot_len);
		assert_true(fabs(error) < 0.03 * (double)n.cp);
		assert_true(fabs((double)lock->cfo_hz - cfo_hz) < 0.01 * n.scs_hz);
		assert_true(fabs((double)lock->snr_db - (n.sync_len == SYNC_LEN_MAX ? -2 : 3)) < 2);
		acquire_destroy(a);
		free(y);
		free(x);
	}
}

static void an_impossible_cell_or_range_is_refused(void **state)
{
	(void)state;
	assert_null(acquire_create(&num, CELL_ID_MAX + 1, NULL));
	assert_int_equal(errno, EINVAL);
	static const struct acquire_config impossible[] = {
		{ 17 * 30e3, 0, 1e-6 }, { -1, 0, 1e-6 }, { NAN, 0, 1e-6 }, { 0, -1, 1e-6 }, { 0, 0, 0 }, { 0, 0, 1 },
	};
	for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
		errno = 0;
		assert_null(acquire_create(&num, CELL, &impossible[i]));
		assert_int_equal(errno, EINVAL);
	}
	struct acquire *a = acquire_create(&num, CELL, &(struct acquire_config){ 0, 0, 1e-6 });
	assert_non_null(a);
	acquire_destroy(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fifty_cold_starts_at_5_db_in_fading_all_lock_within_100_ms),
		cmocka_unit_test(a_single_path_is_placed_to_a_fraction_of_a_sample),
		cmocka_unit_test(carriers_off_by_two_and_a_half_subcarriers_are_found_below_the_noise),
		cmocka_unit_test(below_the_noise_periods_add_up),
		cmocka_unit_test(periods_add_up_at_the_pace_of_the_clock_that_goes_with_the_carrier),
		cmocka_unit_test(the_best_coefficient_of_noise_obeys_its_law),
		cmocka_unit_test(noise_locks_no_more_often_than_asked_for),
		cmocka_unit_test(noise_narrower_than_the_sync_signal_never_locks),
		cmocka_unit_test(noise_alone_never_locks),
		cmocka_unit_test(tones_clicks_and_bursts_never_lock),
		cmocka_unit_test(slots_without_sync_never_lock_at_any_load),
		cmocka_unit_test(another_cells_sequence_is_not_taken_for_ours),
		cmocka_unit_test(the_size_of_blocks_changes_nothing),
		cmocka_unit_test(a_reset_forgets_everything),
		cmocka_unit_test(the_level_does_not_matter),
		cmocka_unit_test(samples_that_are_not_numbers_count_as_silence),
		cmocka_unit_test(a_signal_whose_energy_overflows_counts_as_silence),
		cmocka_unit_test(every_numerology_locks),
		cmocka_unit_test(an_impossible_cell_or_range_is_refused),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
