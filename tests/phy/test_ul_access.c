/* Preambles from as far as half a symbol's round trip, several in one slot. */
#include "phy/ul_access.h"

#include "phy/ofdm.h"
#include "tests/phy/awgn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 5, EVERYBODY = 0xffff };

struct fixture {
	struct numerology num;
	struct ofdm *ofdm;
	struct ul_access_rx *rx;
	float complex *grid, *sent, *heard;
	struct awgn noise;
	struct access_found found[PHY_DEVICES_MAX];
};

static struct fixture *open_at(double rate_hz, double scs_hz, size_t n_rb)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_int_equal(numerology_init(&f->num, rate_hz, scs_hz, n_rb, 14, NULL, 0), 0);
	f->ofdm = ofdm_create(&f->num, numerology_backoff(&f->num));
	f->rx = ul_access_create(&f->num, CELL);
	f->grid = calloc(f->num.n_symbols * f->num.n_sc, sizeof *f->grid);
	f->sent = calloc(f->num.slot_len, sizeof *f->sent);
	f->heard = calloc(f->num.slot_len, sizeof *f->heard);
	f->noise.state = 1;
	assert_true(f->ofdm && f->rx && f->grid && f->sent && f->heard);
	return f;
}

static void close_it(struct fixture *f)
{
	free(f->heard);
	free(f->sent);
	free(f->grid);
	ul_access_destroy(f->rx);
	ofdm_destroy(f->ofdm);
	free(f);
}

/* Noise of variance 1 a RE, in place of what was there. */
static void quiet(struct fixture *f)
{
	for (size_t i = 0; i < f->num.slot_len; i++)
		f->heard[i] = awgn_noise(&f->noise);
}

static void add_device(struct fixture *f, unsigned device, double snr_db, size_t delay)
{
	memset(f->grid, 0, f->num.n_symbols * f->num.n_sc * sizeof *f->grid);
	access_write(&f->num, CELL, device, (float)pow(10, snr_db / 20), f->grid);
	ofdm_modulate(f->ofdm, f->grid, f->sent);
	for (size_t i = delay; i < f->num.slot_len; i++)
		f->heard[i] += f->sent[i - delay];
}

static size_t find(struct fixture *f)
{
	ul_access_take(f->rx, f->heard);
	return ul_access_find(f->rx, f->found);
}

/* 0 dB, any delay up to half a symbol, at three numerologies. */
static void any_delay_up_to_the_range_is_found_to_a_unit_of_the_advance(void **state)
{
	(void)state;
	static const struct {
		double rate_hz, scs_hz;
		size_t n_rb;
	} shapes[] = { { 7.68e6, 30e3, 18 }, { 3.84e6, 30e3, 9 }, { 15.36e6, 30e3, 36 } };
	for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
		struct fixture *f = open_at(shapes[s].rate_hz, shapes[s].scs_hz, shapes[s].n_rb);
		size_t most = (size_t)ul_access_range_max(&f->num);
		assert_int_equal(most, f->num.n_fft / 2);
		ul_access_set(f->rx, EVERYBODY, (double)most);
		for (size_t delay = 0; delay <= most; delay += 1 + f->num.n_fft / 64) {
			quiet(f);
			add_device(f, 3, 0, delay);
			assert_int_equal(find(f), 1);
			assert_int_equal(f->found[0].device, 3);
			assert_true(fabs((double)f->found[0].delay_samples - (double)delay) <
			            fmax(1, (double)f->num.n_fft / 256)); /* a unit of the advance */
		}
		close_it(f);
	}
}

static void devices_near_and_far_are_found_in_one_slot(void **state)
{
	(void)state;
	struct fixture *f = open_at(7.68e6, 30e3, 18);
	static const size_t delays[] = { 0, 15, 46, 77 };
	ul_access_set(f->rx, EVERYBODY, 80);
	for (unsigned trial = 0; trial < 20; trial++) {
		quiet(f);
		for (unsigned d = 0; d < 4; d++)
			add_device(f, d, 6, delays[(d + trial) % 4]);
		assert_int_equal(find(f), 4);
		for (size_t i = 0; i < 4; i++) {
			double delay = (double)delays[(f->found[i].device + trial) % 4];
			assert_true(fabs((double)f->found[i].delay_samples - delay) < 1.5);
			assert_true(i == 0 || f->found[i].power <= f->found[i - 1].power);
		}
	}
	close_it(f);
}

static void beyond_the_range_nobody_is_heard_and_only_who_is_looked_for(void **state)
{
	(void)state;
	struct fixture *f = open_at(7.68e6, 30e3, 18);
	quiet(f);
	add_device(f, 3, 0, 77);
	assert_int_equal(find(f), 0); /* a prefix, at first */
	ul_access_set(f->rx, EVERYBODY, 80);
	assert_int_equal(find(f), 1);
	ul_access_set(f->rx, EVERYBODY & ~(1u << 3), 80);
	assert_int_equal(find(f), 0);
	ul_access_set(f->rx, 1u << 3, 80);
	assert_int_equal(find(f), 1);
	ul_access_set(f->rx, 0, 80);
	assert_int_equal(find(f), 0);
	close_it(f);
}

static void noise_is_nobody(void **state)
{
	(void)state;
	struct fixture *f = open_at(7.68e6, 30e3, 18);
	ul_access_set(f->rx, EVERYBODY, 80);
	size_t n = 0;
	for (unsigned trial = 0; trial < 300; trial++) { /* 5e-6 a slot are allowed */
		quiet(f);
		n += find(f);
	}
	assert_int_equal(n, 0);
	close_it(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_delay_up_to_the_range_is_found_to_a_unit_of_the_advance),
		cmocka_unit_test(devices_near_and_far_are_found_in_one_slot),
		cmocka_unit_test(beyond_the_range_nobody_is_heard_and_only_who_is_looked_for),
		cmocka_unit_test(noise_is_nobody),
	};
	return cmocka_run_group_tests_name("ul_access", tests, NULL, NULL);
}
