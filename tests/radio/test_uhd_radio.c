/* The UHD backend on the double: what is configured and refused, time across losses, bursts, and schedules of faults. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "radio/uhd_radio.h"
#include "radio/uhd_time.h"
#include "uhd_double.h"
#include "uhd_schedule.h"

enum { SLOT = 960 };

static struct uhd_radio_config configuration(void)
{
	struct uhd_radio_config c = UHD_RADIO_DEFAULTS;
	c.rate_hz = 1.92e6;
	c.rx_hz = 2.45e9;
	c.tx_hz = 2.49e9;
	c.spare = SLOT;
	return c;
}

static struct radio *open_or_fail(const struct uhd_radio_config *c)
{
	char err[256] = "";
	struct radio *r = uhd_radio_create(c, err, sizeof err);
	if (!r)
		fail_msg("%s", err);
	return r;
}

static void refused(const struct uhd_radio_config *c, int error, const char *says)
{
	char err[512] = "";
	struct uhd_double_seen seen;
	assert_null(uhd_radio_create(c, err, sizeof err));
	assert_int_equal(errno, error);
	if (!strstr(err, says) || strchr(err, '\n'))
		fail_msg("\"%s\" does not say \"%s\" in one line", err, says);
	uhd_double_look(&seen);
	assert_int_equal(seen.handles, 0);
}

static void test_refusals(void **state)
{
	(void)state;
	struct uhd_radio_config c = configuration();
	uhd_double_reset(&(struct uhd_double_plan){ .none = true });
	refused(&c, ENODEV, "uhd_find_devices");
	uhd_double_reset(&(struct uhd_double_plan){ .rate_hz = 2e6 });
	refused(&c, EINVAL, "master clock");
	uhd_double_reset(&(struct uhd_double_plan){ .never_locks = true });
	c.lock_timeout_s = 0;
	refused(&c, ETIME, "lo_locked");
	uhd_double_reset(&(struct uhd_double_plan){ 0 });
	c = configuration();
	c.rx_hz = 10e9;
	refused(&c, EINVAL, "it goes from 50000000 to 6000000000");
	c = configuration();
	c.tx_gain_db = 90;
	refused(&c, EINVAL, "tx gain 90 dB: the device goes from 0 to 76");
	c = configuration();
	c.rx_channel = 1;
	refused(&c, EINVAL, "rx channel 1: the device has 1");
	c = configuration();
	c.rx_antenna = "RX9";
	refused(&c, EIO, "antenna");
	c = configuration();
	c.clock_source = "sundial";
	refused(&c, EIO, "clock source");
}

static void test_time_is_exact(void **state)
{
	(void)state;
	struct uhd_time u = { .start_s = 3, .rate_hz = 100e6 / 13 };
	for (uint64_t t = 0; t < (uint64_t)1 << 46; t = t * 3 + 1) {
		int64_t full_s;
		double frac_s;
		uhd_time_device(&u, t, &full_s, &frac_s);
		assert_true(frac_s >= 0 && frac_s < 1);
		assert_int_equal(uhd_time_samples(&u, full_s, frac_s), (int64_t)t);
	}
}

static void test_info_and_gains(void **state)
{
	(void)state;
	struct uhd_radio_config c = configuration();
	struct radio_info info;
	c.rx_gain_db = 10;
	c.tx_full_scale_dbm = -60;
	c.rx_full_scale_dbm = -5;
	uhd_double_reset(&(struct uhd_double_plan){ 0 });
	struct radio *r = open_or_fail(&c);
	assert_int_equal(radio_set_tx_gain(r, 20.1), 0);
	assert_int_equal(radio_set_rx_gain(r, 77), -EINVAL);
	radio_get_info(r, &info);
	assert_true(info.rate_hz == 1.92e6 && info.rx_hz == 2.45e9 && info.tx_hz == 2.49e9);
	assert_true(info.tx_gain_db == 20); /* the device's own step */
	assert_true(info.tx_full_scale_dbm == -40 && info.rx_full_scale_dbm == -15);
	radio_destroy(r);
}

/* Whole, again, in pieces; then past the history. */
static void test_received_samples_are_of_their_time(void **state)
{
	(void)state;
	struct uhd_radio_config c = configuration();
	c.history = 8 * SLOT;
	uhd_double_reset(&(struct uhd_double_plan){ .packet = 363 });
	struct radio *r = open_or_fail(&c);
	float complex x[SLOT];
	for (uint64_t t = 0; t < 100 * SLOT; t += 700) {
		assert_int_equal(radio_recv(r, x, SLOT, t), 0);
		for (uint64_t i = 0; i < SLOT; i++)
			assert_true(x[i] == uhd_double_sample(t + i));
	}
	assert_int_equal(radio_recv(r, x, 10, 0), -ETIME);
	assert_true(x[0] == 0);
	radio_destroy(r);
}

static void test_gap_is_zeros_and_told(void **state)
{
	(void)state;
	struct uhd_radio_config c = configuration();
	struct uhd_double_fault fault = { UHD_DOUBLE_OVERFLOW, 3000, 1234 };
	struct radio_stats stats;
	uhd_double_reset(&(struct uhd_double_plan){ .packet = 500, .faults = &fault, .n_faults = 1 });
	struct radio *r = open_or_fail(&c);
	static float complex x[8 * SLOT];
	assert_int_equal(radio_recv(r, x, 8 * SLOT, 0), 0);
	for (uint64_t t = 0; t < 8 * SLOT; t++)
		assert_true(x[t] == (t >= 3000 && t < 4234 ? 0 : uhd_double_sample(t)));
	radio_get_stats(r, &stats);
	assert_int_equal(stats.events[RADIO_OVERFLOW], 1);
	radio_destroy(r);
}

static uint64_t radiated_from, radiated_n;

static void note_radiated(void *arg, uint64_t t, const float complex *x, size_t n)
{
	(void)arg;
	(void)x;
	if (!radiated_n)
		radiated_from = t;
	radiated_n += n;
}

static void test_bursts(void **state)
{
	(void)state;
	struct uhd_radio_config c = configuration();
	struct uhd_double_seen seen;
	struct radio_stats stats;
	float complex x[SLOT] = { 0.5f, 2.0f, -3.0f * I };
	radiated_n = 0;
	uhd_double_reset(&(struct uhd_double_plan){ .radiated = note_radiated });
	struct radio *r = open_or_fail(&c);
	assert_int_equal(radio_recv(r, x, SLOT, 0), 0);
	assert_int_equal(radio_send(r, x, SLOT, SLOT - 1), -ETIME); /* before now */
	assert_int_equal(radio_send(r, x, SLOT, 3 * SLOT), 0);      /* a burst */
	assert_int_equal(radio_send(r, x, SLOT, 4 * SLOT - 5), 0);  /* moved early: the same burst, less the overlap */
	assert_int_equal(radio_send(r, x, SLOT, 5 * SLOT), 0);      /* after a gap: another one */
	assert_int_equal(radio_send(r, x, SLOT, 5 * SLOT), -ETIME); /* again */
	for (uint64_t t = 1; t < 10; t++)
		assert_int_equal(radio_recv(r, x, SLOT, t * SLOT), 0);
	uhd_double_look(&seen);
	assert_int_equal(seen.bursts, 2);
	assert_false(seen.transmitting);
	assert_int_equal(radiated_from, 3 * SLOT);
	assert_int_equal(radiated_n, 3 * SLOT - 5);
	radio_get_stats(r, &stats);
	assert_int_equal(stats.events[RADIO_LATE], 3);
	assert_int_equal(stats.events[RADIO_UNDERFLOW], 0);
	assert_int_equal(stats.samples_sent, radiated_n);
	radio_destroy(r);
}

static void test_clock_lost_is_told(void **state)
{
	(void)state;
	struct uhd_radio_config c = configuration();
	struct uhd_double_fault fault = { UHD_DOUBLE_UNLOCK, 5 * SLOT, SIZE_MAX / 4 };
	struct radio_stats stats = { 0 };
	float complex x[SLOT];
	c.clock_source = "external";
	uhd_double_reset(&(struct uhd_double_plan){ .faults = &fault, .n_faults = 1 });
	struct radio *r = open_or_fail(&c);
	/* The clock is looked at by wall clock: received on until it has been. */
	for (uint64_t t = 0; !stats.events[RADIO_UNLOCKED]; t += SLOT) {
		assert_int_equal(radio_recv(r, x, SLOT, t), 0);
		radio_get_stats(r, &stats);
	}
	assert_int_equal(stats.events[RADIO_UNLOCKED], 1);
	radio_destroy(r);
}

static void test_schedules_of_faults(void **state)
{
	(void)state;
	struct uhd_schedule_result res;
	size_t came[UHD_DOUBLE_FAULT_TYPES] = { 0 };
	for (uint64_t seed = 0; seed < 60; seed++) {
		const char *wrong = uhd_schedule_run(seed, &res);
		if (wrong)
			fail_msg("seed %d: %s", (int)seed, wrong);
		for (int i = 0; i < UHD_DOUBLE_FAULT_TYPES; i++)
			came[i] += res.faults[i];
	}
	for (int i = 0; i < UHD_DOUBLE_FAULT_TYPES; i++)
		if (!came[i])
			fail_msg("no fault of type %d came", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_time_is_exact),
		cmocka_unit_test(test_info_and_gains),
		cmocka_unit_test(test_received_samples_are_of_their_time),
		cmocka_unit_test(test_gap_is_zeros_and_told),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_clock_lost_is_told),
		cmocka_unit_test(test_schedules_of_faults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
