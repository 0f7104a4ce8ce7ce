/* The loop of timing advance against a device of the test's own: its uplink's place is known, what is measured of it is
 * noisy and wanders, commands may be lost. */
#include "scheduler/timing_loop.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DELAY = 4 }; /* slots until a command moves what is measured */

static uint64_t rng_state;

static double uniform(void)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return ((double)(rng_state >> 11) + 0.5) * 0x1p-53;
}

static double gauss(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

static struct timing_loop_config config(double rate_hz, double scs_hz, size_t n_rb, struct numerology *num)
{
	assert_int_equal(numerology_init(num, rate_hz, scs_hz, n_rb, 14, NULL, 0), 0);
	return timing_loop_config_for(num);
}

struct device {
	struct timing_loop_config cfg;
	struct timing_loop loop;
	double late; /* truth, before the advance */
	int units;   /* advance in force */
	int pending;
	uint64_t due;
	unsigned n_commands;
	int largest;
};

static double error_of(const struct device *d)
{
	return d->late - d->units * d->cfg.unit_samples;
}

/* noise: of a measurement, samples. lost: share of the commands that never arrive. */
static void run(struct device *d, uint64_t from, uint64_t to, double noise, double lost)
{
	for (uint64_t slot = from; slot < to; slot++) {
		if (d->pending && slot >= d->due) {
			d->units += d->pending;
			d->pending = 0;
		}
		assert_int_equal(timing_loop_observe(&d->loop, &d->cfg, slot, error_of(d) + noise * gauss()), 0);
		int command = timing_loop_command(&d->loop, &d->cfg);
		if (!command)
			continue;
		timing_loop_begin(&d->loop, slot + DELAY);
		d->n_commands++;
		d->largest = abs(command) > d->largest ? abs(command) : d->largest;
		if (uniform() >= lost) {
			d->pending = command;
			d->due = slot + DELAY;
		}
	}
}

static void the_answer_is_the_delay_in_units(void **state)
{
	(void)state;
	struct numerology num;
	struct timing_loop_config cfg = config(7.68e6, 30e3, 18, &num);
	assert_int_equal(timing_loop_answer(&cfg, 46.2), 46);
	assert_int_equal(timing_loop_answer(&cfg, -3), 0);
	assert_int_equal(timing_loop_answer(&cfg, 1e4), cfg.answer_max);
	assert_int_equal(timing_loop_answer(&cfg, (double)NAN), 0);
	cfg = config(15.36e6, 30e3, 36, &num);
	assert_int_equal(timing_loop_answer(&cfg, 46.2), 23);
}

static void an_error_is_taken_out_and_then_nothing_is_said(void **state)
{
	(void)state;
	static const double errors[] = { -30, -7, 4, 12, 60 };
	rng_state = 1;
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		struct numerology num;
		struct device d = { .cfg = config(7.68e6, 30e3, 18, &num), .late = errors[i] };
		timing_loop_begin(&d.loop, 0);
		unsigned steps = (unsigned)ceil(fabs(errors[i]) / d.cfg.step_max);
		uint64_t bound = steps * (d.cfg.least_slots + DELAY);
		run(&d, 0, bound + 1, 1, 0);
		assert_int_equal(d.n_commands, steps);
		assert_true(d.largest <= d.cfg.step_max);
		run(&d, bound + 1, 20000, 1, 0);
		assert_int_equal(d.n_commands, steps);
		assert_true(fabs(error_of(&d)) <= d.cfg.dead_band_samples);
	}
}

static void what_fading_moves_is_left_alone(void **state)
{
	(void)state;
	struct numerology num;
	struct device d = { .cfg = config(7.68e6, 30e3, 18, &num) };
	rng_state = 2;
	timing_loop_begin(&d.loop, 0);
	double wander = 0;
	for (uint64_t slot = 0; slot < 40000; slot += 10) { /* correlated over 200 slots, 0.8 samples: TDL-A 100 ns */
		wander = 0.95 * wander + 0.8 * sqrt(1 - 0.95 * 0.95) * gauss();
		d.late = wander;
		run(&d, slot, slot + 10, 0.5, 0);
	}
	assert_in_range(d.n_commands, 0, 3);
}

static void a_lost_command_is_repeated(void **state)
{
	(void)state;
	struct numerology num;
	struct device d = { .cfg = config(7.68e6, 30e3, 18, &num), .late = 8 };
	rng_state = 3;
	timing_loop_begin(&d.loop, 0);
	run(&d, 0, 100, 0.5, 1);
	assert_in_range(d.n_commands, 3, 100 / d.cfg.least_slots);
	assert_int_equal(d.units, 0);
	run(&d, 100, 200, 0.5, 0);
	assert_true(fabs(error_of(&d)) <= d.cfg.dead_band_samples);
}

static void a_device_that_drifts_away_is_followed(void **state)
{
	(void)state;
	struct numerology num;
	struct device d = { .cfg = config(7.68e6, 30e3, 18, &num) };
	rng_state = 4;
	timing_loop_begin(&d.loop, 0);
	for (uint64_t slot = 0; slot < 20000; slot += 10) { /* 30 samples in 10 s: 60 m/s */
		d.late = 30.0 * (double)slot / 20000;
		run(&d, slot, slot + 10, 0.5, 0);
		assert_true(fabs(error_of(&d)) <= d.cfg.dead_band_samples + 1);
	}
	assert_in_range(d.n_commands, 8, 16);
}

static void what_is_not_finite_is_refused_and_what_is_older_ignored(void **state)
{
	(void)state;
	struct numerology num;
	struct timing_loop_config cfg = config(7.68e6, 30e3, 18, &num);
	struct timing_loop t;
	timing_loop_begin(&t, 10);
	assert_int_equal(timing_loop_observe(&t, &cfg, 9, 50), 0);
	assert_int_equal(t.n, 0);
	assert_int_equal(timing_loop_observe(&t, &cfg, 10, (double)NAN), -EINVAL);
	assert_int_equal(timing_loop_observe(&t, &cfg, 10, (double)INFINITY), -EINVAL);
	assert_int_equal(t.n, 0);
	assert_int_equal(timing_loop_command(&t, &cfg), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_is_the_delay_in_units),
		cmocka_unit_test(an_error_is_taken_out_and_then_nothing_is_said),
		cmocka_unit_test(what_fading_moves_is_left_alone),
		cmocka_unit_test(a_lost_command_is_repeated),
		cmocka_unit_test(a_device_that_drifts_away_is_followed),
		cmocka_unit_test(what_is_not_finite_is_refused_and_what_is_older_ignored),
	};
	return cmocka_run_group_tests_name("timing_loop", tests, NULL, NULL);
}
