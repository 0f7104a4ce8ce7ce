/* A slow gain: it comes to its level, keeps still there, falls at once when the converter is full, and what comes out has one scale. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testbed/agc.h"

enum { SLOT = 256, EVERY = 10 };
static const double TARGET_DBFS = -25;

/* Of what is at the antenna, by a receiver of that gain in steps of half a decibel, which clips. */
static void receive(float complex *x, double antenna_db, double gain_db)
{
	float amplitude = (float)pow(10, (antenna_db + gain_db) / 20);
	for (int i = 0; i < SLOT; i++) {
		float re = amplitude * cosf(0.7f * (float)i), im = amplitude * sinf(0.7f * (float)i);
		x[i] = fminf(fmaxf(re, -1), 1) + fminf(fmaxf(im, -1), 1) * I;
	}
}

static double level_db(const float complex *x)
{
	double sum = 0;
	for (int i = 0; i < SLOT; i++)
		sum += (double)(crealf(x[i]) * crealf(x[i]) + cimagf(x[i]) * cimagf(x[i]));
	return 10 * log10(sum / SLOT);
}

struct run {
	struct agc agc;
	double gain_db, scaled_db;
	int changes;
};

static void slots(struct run *r, double antenna_db, int n)
{
	float complex x[SLOT];
	for (int i = 0; i < n; i++) {
		double wanted;
		receive(x, antenna_db, r->gain_db);
		agc_scale(&r->agc, x, SLOT);
		r->scaled_db = level_db(x);
		if (agc_step(&r->agc, &wanted)) {
			r->gain_db = round(2 * wanted) / 2;
			agc_took(&r->agc, r->gain_db);
			r->changes++;
		}
	}
}

static struct run begin(double gain_db)
{
	struct run r = { .gain_db = gain_db };
	struct radio_info info = { .rx_gain_db = gain_db, .rx_gain_min_db = 0, .rx_gain_max_db = 76 };
	agc_init(&r.agc, &info, TARGET_DBFS, EVERY);
	return r;
}

static void test_comes_to_its_level(void **state)
{
	(void)state;
	struct run r = begin(20);
	slots(&r, -80, 20 * EVERY);
	assert_true(fabs(-80 + r.gain_db - TARGET_DBFS) <= 3);
	assert_true(fabs(r.scaled_db - (-80 + 20)) < 0.01); /* as the gain of the beginning would have it */
	int before = r.changes;
	slots(&r, -80, 20 * EVERY);
	assert_int_equal(r.changes, before);
	slots(&r, -78, 20 * EVERY); /* close enough: nothing moves */
	assert_int_equal(r.changes, before);
}

static void test_down_at_once_when_full(void **state)
{
	(void)state;
	struct run r = begin(60);
	slots(&r, -30, 6); /* 30 dB too strong: does not wait for ten slots */
	assert_true(r.changes >= 5);
	slots(&r, -30, 20 * EVERY);
	assert_true(fabs(-30 + r.gain_db - TARGET_DBFS) <= 3);
	assert_true(fabs(r.scaled_db - 30) < 0.01);
}

static void test_stays_in_range(void **state)
{
	(void)state;
	struct run r = begin(30);
	slots(&r, -140, 40 * EVERY);
	assert_true(r.gain_db == 76);
	slots(&r, 20, 40 * EVERY);
	assert_true(r.gain_db == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_to_its_level),
		cmocka_unit_test(test_down_at_once_when_full),
		cmocka_unit_test(test_stays_in_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
