/* The loop of uplink power against a device of the test's own, whose open-loop power is wrong by a known amount. */
#include "scheduler/power_loop.h"

#include <complex.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

struct device {
	struct power_loop_config cfg;
	struct power_loop loop;
	double open_loop_db; /* received over the target without correction, fading aside */
	double most_db;      /* received at the device's full power */
	int correction_db;   /* in force */
	int pending;
	uint64_t due;
	unsigned n_commands, n_up, n_down;
	double rho; /* of the fading from slot to slot; 0: none */
	double complex fade[4];
};

static double wanted_db(const struct device *d)
{
	return d->open_loop_db + d->correction_db;
}

/* Power gain of four paths of equal strength, as over a band: mean 1. */
static double fading(struct device *d)
{
	double gain = 0;
	for (int i = 0; d->rho > 0 && i < 4; i++) {
		double complex fresh = sqrt(0.5) * (gauss() + I * gauss());
		d->fade[i] = d->rho * d->fade[i] + sqrt(1 - d->rho * d->rho) * fresh;
		gain += 0.25 * creal(d->fade[i] * conj(d->fade[i]));
	}
	return d->rho > 0 ? gain : 1;
}

static void run(struct device *d, uint64_t from, uint64_t to, double lost)
{
	for (uint64_t slot = from; slot < to; slot++) {
		if (d->pending && slot >= d->due) {
			d->correction_db = power_loop_corrected(d->correction_db, d->pending);
			d->pending = 0;
		}
		double sent_db = fmin(wanted_db(d), d->most_db);
		power_loop_headroom(&d->loop, (float)floor(d->most_db - wanted_db(d)));
		power_loop_observe(&d->loop, &d->cfg, slot, sent_db + 10 * log10(fading(d)) + 0.3 * gauss());
		int step = power_loop_command(&d->loop, &d->cfg);
		if (!step)
			continue;
		assert_in_range(step + 100, 100 + d->cfg.step_min_db, 100 + d->cfg.step_max_db);
		power_loop_sent(&d->loop, step, slot + DELAY);
		d->n_commands++;
		d->n_up += step > 0;
		d->n_down += step < 0;
		if (uniform() >= lost) {
			d->pending = step;
			d->due = slot + DELAY;
		}
	}
}

static struct device device_off_by(double db)
{
	struct device d = { .cfg = power_loop_config_default(), .open_loop_db = db, .most_db = 100 };
	power_loop_begin(&d.loop, 0);
	return d;
}

static void six_db_are_gone_in_bounded_time_without_oscillation(void **state)
{
	(void)state;
	static const double off[] = { -6, 6 };
	rng_state = 1;
	for (int i = 0; i < 2; i++) {
		struct device d = device_off_by(off[i]);
		uint64_t bound = d.cfg.least_slots + d.cfg.window_slots + 2 * DELAY;
		run(&d, 0, bound, 0);
		assert_true(fabs(wanted_db(&d)) <= 1);
		assert_int_equal(d.n_commands, 2);
		run(&d, bound, 10000, 0);
		assert_int_equal(d.n_commands, 2);
		assert_int_equal(i ? d.n_up : d.n_down, 0); /* never past the target and back */
	}
}

static void small_errors_are_seen_after_long_averaging(void **state)
{
	(void)state;
	rng_state = 2;
	struct device d = device_off_by(-2);
	run(&d, 0, d.cfg.least_slots + 5, 0);
	assert_int_equal(d.n_commands, 0);
	run(&d, d.cfg.least_slots + 5, 1000, 0);
	assert_int_equal(d.n_commands, 1);
	assert_true(fabs(wanted_db(&d)) <= 1);
}

/* 10 Hz Doppler in slots of 0.5 ms, over 10 s: coherent for some 80 slots. */
static void fading_is_left_alone(void **state)
{
	(void)state;
	rng_state = 3;
	struct device d = device_off_by(-6);
	d.rho = exp(-1.0 / 80);
	run(&d, 0, 600, 0);
	assert_true(fabs(wanted_db(&d)) <= 3);
	double worst = 0;
	for (uint64_t slot = 600; slot < 20000; slot += 50) {
		run(&d, slot, slot + 50, 0);
		worst = fmax(worst, fabs(wanted_db(&d)));
	}
	assert_true(worst <= 3);
	assert_true(d.n_commands < 20); /* of 190 that the rate would allow */
}

static void lost_commands_are_made_good(void **state)
{
	(void)state;
	rng_state = 4;
	struct device d = device_off_by(-9);
	run(&d, 0, 1500, 0.3);
	assert_true(fabs(wanted_db(&d)) <= 1.5);
}

static void a_device_without_power_left_is_not_asked_for_more(void **state)
{
	(void)state;
	rng_state = 5;
	struct device d = device_off_by(-12);
	d.most_db = -8; /* it can add 4 dB */
	run(&d, 0, 5000, 0);
	assert_int_equal(d.correction_db, 4);
	d.open_loop_db += 20; /* it comes closer, and is at once too loud */
	d.most_db += 20;
	run(&d, 5000, 5600, 0);
	assert_true(fabs(wanted_db(&d)) <= 1);
}

static void the_sum_of_the_commands_is_bounded(void **state)
{
	(void)state;
	static const double off[] = { -60, 60 };
	rng_state = 6;
	for (int i = 0; i < 2; i++) {
		struct device d = device_off_by(off[i]);
		run(&d, 0, 5000, 0);
		assert_int_equal(d.correction_db, i ? -POWER_LOOP_CORRECTION_MAX_DB : POWER_LOOP_CORRECTION_MAX_DB);
		assert_in_range(d.n_commands, 4, 5); /* and no more than that took */
	}
	assert_int_equal(power_loop_corrected(14, 3), POWER_LOOP_CORRECTION_MAX_DB);
	assert_int_equal(power_loop_corrected(-14, -4), -POWER_LOOP_CORRECTION_MAX_DB);
}

static void what_is_not_finite_is_refused_and_what_is_older_ignored(void **state)
{
	(void)state;
	struct power_loop_config cfg = power_loop_config_default();
	struct power_loop p;
	power_loop_begin(&p, 10);
	assert_int_equal(power_loop_observe(&p, &cfg, 9, 5), 0);
	assert_int_equal(power_loop_observe(&p, &cfg, 11, (double)NAN), -EINVAL);
	assert_int_equal(power_loop_headroom(&p, NAN), -EINVAL);
	assert_int_equal(p.n, 0);
	assert_int_equal(power_loop_command(&p, &cfg), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(six_db_are_gone_in_bounded_time_without_oscillation),
		cmocka_unit_test(small_errors_are_seen_after_long_averaging),
		cmocka_unit_test(fading_is_left_alone),
		cmocka_unit_test(lost_commands_are_made_good),
		cmocka_unit_test(a_device_without_power_left_is_not_asked_for_more),
		cmocka_unit_test(the_sum_of_the_commands_is_bounded),
		cmocka_unit_test(what_is_not_finite_is_refused_and_what_is_older_ignored),
	};
	return cmocka_run_group_tests_name("power_loop", tests, NULL, NULL);
}
