/* The radio interface, as the ether keeps it: time, levels, gains, refusals, events, counters. */
#include "measure.h"

#include <errno.h>

enum { N = 4096 };

struct seen {
	size_t n;
	struct radio_event last;
};

static void record(void *arg, const struct radio_event *event)
{
	struct seen *seen = arg;
	seen->n++;
	seen->last = *event;
}

static struct radio_stats stats_of(const struct radio *r)
{
	struct radio_stats s;
	radio_get_stats(r, &s);
	return s;
}

static void a_late_send_is_counted_told_and_not_sent(void **state)
{
	struct ether *e = *state;
	struct radio *bs = ether_radio(e, 0), *device = ether_radio(e, 1);
	float complex x[N], y[N];
	struct seen seen = { 0 };
	make_noise(x, N, 1);
	radio_on_event(bs, record, &seen);
	assert_int_equal(radio_recv(bs, y, N, 1000), 0); /* now is 1000 + N */
	assert_int_equal(radio_send(bs, x, N, 999 + N), -ETIME);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.last.type, RADIO_LATE);
	assert_int_equal(seen.last.t_samples, 999 + N);
	assert_int_equal(stats_of(bs).events[RADIO_LATE], 1);
	assert_int_equal(stats_of(bs).samples_sent, 0);
	assert_int_equal(radio_recv(device, y, N, 999 + N), 0);
	assert_true(db(mean_power(y, N)) < -95);
	assert_int_equal(radio_send(bs, x, N, 1000 + N), 0); /* exactly now is in time */
	assert_int_equal(seen.n, 1);
}

static void a_send_that_overlaps_the_one_before_loses_its_first_samples_only(void **state)
{
	struct ether *e = *state;
	struct radio *bs = ether_radio(e, 0), *device = ether_radio(e, 1);
	float complex first[100], second[100], y[200];
	make_noise(first, 100, 1);
	make_noise(second, 100, 2);
	assert_int_equal(radio_send(bs, first, 100, 1000), 0);
	assert_int_equal(radio_send(bs, second, 100, 1098), 0);
	assert_int_equal(stats_of(bs).events[RADIO_LATE], 1);
	assert_int_equal(stats_of(bs).samples_sent, 198);
	assert_int_equal(radio_send(bs, second, 100, 1098), -ETIME); /* nothing of it is left to send */
	assert_int_equal(radio_recv(device, y, 200, 1000), 0);
	for (int i = 0; i < 198; i++)
		assert_close(cabsf(y[i] - (i < 100 ? first[i] : second[i - 98])), 0, 1e-4);
}

static void what_is_not_sent_is_silence(void **state)
{
	struct ether *e = *state;
	struct radio *bs = ether_radio(e, 0);
	float complex x[100], y[1000];
	make_noise(x, 100, 1);
	radio_send(bs, x, 100, 500);
	radio_send(bs, x, 100, 3000);
	assert_int_equal(radio_recv(ether_radio(e, 1), y, 1000, 700), 0);
	assert_close(db(mean_power(y, 1000)), -100.15, 1); /* noise alone */
}

static void samples_that_are_not_finite_are_refused_whole(void **state)
{
	struct ether *e = *state;
	struct radio *bs = ether_radio(e, 0);
	const float bad[] = { NAN, INFINITY, -INFINITY };
	float complex x[N], y[N];
	struct seen seen = { 0 };
	radio_on_event(bs, record, &seen);
	for (size_t i = 0; i < 6; i++) {
		make_noise(x, N, 1);
		((float *)x)[i * 1000 + i] = bad[i / 2];
		assert_int_equal(radio_send(bs, x, N, 100), -EINVAL);
		assert_int_equal(seen.last.type, RADIO_REFUSED);
	}
	assert_int_equal(stats_of(bs).events[RADIO_REFUSED], 6);
	assert_int_equal(stats_of(bs).samples_sent, 0);
	radio_recv(ether_radio(e, 1), y, N, 100);
	assert_true(db(mean_power(y, N)) < -95);
}

static void samples_beyond_full_scale_are_clipped_and_counted(void **state)
{
	struct ether *e = *state;
	struct radio *bs = ether_radio(e, 0);
	float complex x[N], y[N];
	for (size_t i = 0; i < N; i++)
		x[i] = i % 4 ? 0.5f : 3.0f;
	radio_send(bs, x, N, 0);
	assert_int_equal(stats_of(bs).samples_clipped, N / 4);
	radio_recv(ether_radio(e, 1), y, N - 64, 0);
	assert_close(crealf(y[400]), 1.0, 2e-3);
}

static void a_receive_before_the_history_is_told_and_gives_zeros(void **state)
{
	struct ether *e = *state;
	struct radio *bs = ether_radio(e, 0), *device = ether_radio(e, 1);
	static float complex x[ETHER_HISTORY_SAMPLES], y[N];
	struct seen seen = { 0 };
	make_noise(x, ETHER_HISTORY_SAMPLES, 1);
	radio_on_event(device, record, &seen);
	radio_send(bs, x, ETHER_HISTORY_SAMPLES, 0);
	radio_send(bs, x, N, ETHER_HISTORY_SAMPLES);
	assert_int_equal(radio_recv(device, y, N, N + 64), 0);
	assert_int_equal(seen.n, 0);
	assert_int_equal(radio_recv(device, y, N, N - 64), -ETIME);
	assert_int_equal(seen.last.type, RADIO_PAST);
	assert_int_equal(seen.last.t_samples, N - 64);
	assert_true(mean_power(y, N) == 0);
}

static void receiving_again_gives_the_same_samples(void **state)
{
	struct ether *e = *state;
	float complex x[N], y[N], again[N];
	make_noise(x, N, 1);
	radio_send(ether_radio(e, 0), x, N, 0);
	radio_recv(ether_radio(e, 1), y, N, 77);
	radio_recv(ether_radio(e, 1), again, N, 77);
	assert_memory_equal(y, again, sizeof y);
}

/* A constant envelope of amplitude a is 20 log10 a + tx full scale dBm; read back against rx full scale dBm. */
static void levels_are_the_dbm_that_info_says_at_every_gain(void **state)
{
	(void)state;
	struct ether_config cfg = plain_config(1);
	cfg.node[0].tx_full_scale_dbm = 27;
	cfg.node[1].rx_full_scale_dbm = -40;
	cfg.link[1].path_loss_db = 70;
	struct ether *e = make_ether(&cfg);
	struct radio *bs = ether_radio(e, 0), *device = ether_radio(e, 1);
	float complex x[N], y[N];
	struct radio_info tx, rx;
	uint64_t t = 0;
	for (double tx_gain = -40; tx_gain <= 0; tx_gain += 20, t += N) {
		assert_int_equal(radio_set_tx_gain(bs, tx_gain), 0);
		assert_int_equal(radio_set_rx_gain(device, -tx_gain / 4), 0);
		make_tone(x, N, 0.0625, t, 0.5);
		radio_send(bs, x, N, t);
		radio_recv(device, y, N - 64, t + 32);
		radio_get_info(bs, &tx);
		radio_get_info(device, &rx);
		double radiated_dbm = db(0.25) + tx.tx_full_scale_dbm,
		       read = cabs(tone_amplitude(y, N - 64, 0.0625, 0));
		assert_close(tx.tx_full_scale_dbm, 27 + tx_gain, 1e-9);
		assert_close(rx.rx_full_scale_dbm, -40 + tx_gain / 4, 1e-9);
		assert_close(db(read * read) + rx.rx_full_scale_dbm, radiated_dbm - 70, 0.02);
	}
	ether_destroy(e);
}

static void gains_outside_their_range_are_refused(void **state)
{
	struct ether *e = *state;
	struct radio *r = ether_radio(e, 1);
	struct radio_info info, after;
	radio_get_info(r, &info);
	assert_int_equal(radio_set_rx_gain(r, info.rx_gain_max_db + 0.1), -EINVAL);
	assert_int_equal(radio_set_rx_gain(r, info.rx_gain_min_db - 0.1), -EINVAL);
	assert_int_equal(radio_set_tx_gain(r, info.tx_gain_max_db + 0.1), -EINVAL);
	assert_int_equal(radio_set_tx_gain(r, NAN), -EINVAL);
	radio_get_info(r, &after);
	assert_memory_equal(&info, &after, sizeof info);
}

static void info_names_the_carriers_of_each_end(void **state)
{
	struct ether *e = *state;
	struct radio_info bs, device;
	radio_get_info(ether_radio(e, 0), &bs);
	radio_get_info(ether_radio(e, 1), &device);
	assert_close(bs.tx_hz, 3.5e9, 0);
	assert_close(bs.rx_hz, 3.4e9, 0);
	assert_close(device.tx_hz, 3.4e9, 0);
	assert_close(device.rx_hz, 3.5e9, 0);
	assert_close(device.rate_hz, 7.68e6, 0);
}

static void impossible_arguments_are_refused(void **state)
{
	struct ether *e = *state;
	struct radio *r = ether_radio(e, 1);
	float complex x[2] = { 0 };
	assert_int_equal(radio_recv(r, NULL, 1, 0), -EINVAL);
	assert_int_equal(radio_send(r, NULL, 1, 0), -EINVAL);
	assert_int_equal(radio_recv(NULL, x, 1, 0), -EINVAL);
	assert_int_equal(radio_send(NULL, x, 1, 0), -EINVAL);
	assert_int_equal(radio_recv(r, x, 2, UINT64_MAX), -EINVAL);
	assert_int_equal(radio_send(r, x, 2, UINT64_MAX), -EINVAL);
	assert_int_equal(radio_recv(r, x, SIZE_MAX, 5), -EINVAL);
	assert_int_equal(radio_recv(r, NULL, 0, 5), 0);
	assert_int_equal(radio_send(r, NULL, 0, 5), 0);
	assert_null(ether_radio(e, 2));
	radio_destroy(NULL);
}

static void samples_are_counted(void **state)
{
	struct ether *e = *state;
	float complex x[300] = { 0 };
	radio_send(ether_radio(e, 1), x, 300, 0);
	radio_recv(ether_radio(e, 1), x, 123, 0);
	assert_int_equal(stats_of(ether_radio(e, 1)).samples_sent, 300);
	assert_int_equal(stats_of(ether_radio(e, 1)).samples_received, 123);
	assert_int_equal(stats_of(ether_radio(e, 0)).samples_received, 0);
}

static int create(void **state)
{
	struct ether_config cfg = plain_config(1);
	*state = make_ether(&cfg);
	return 0;
}

static int destroy(void **state)
{
	ether_destroy(*state);
	return 0;
}

#define RADIO_TEST(f) cmocka_unit_test_setup_teardown(f, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RADIO_TEST(a_late_send_is_counted_told_and_not_sent),
		RADIO_TEST(a_send_that_overlaps_the_one_before_loses_its_first_samples_only),
		RADIO_TEST(what_is_not_sent_is_silence),
		RADIO_TEST(samples_that_are_not_finite_are_refused_whole),
		RADIO_TEST(samples_beyond_full_scale_are_clipped_and_counted),
		RADIO_TEST(a_receive_before_the_history_is_told_and_gives_zeros),
		RADIO_TEST(receiving_again_gives_the_same_samples),
		cmocka_unit_test(levels_are_the_dbm_that_info_says_at_every_gain),
		RADIO_TEST(gains_outside_their_range_are_refused),
		RADIO_TEST(info_names_the_carriers_of_each_end),
		RADIO_TEST(impossible_arguments_are_refused),
		RADIO_TEST(samples_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
