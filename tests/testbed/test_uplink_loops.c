/* Timing advance and uplink power in closed loop: through the medium with devices at very different distances, and on
 * a wire with devices that are wrong about themselves. */
#include "tests/testbed/scene.h"
#include "tests/testbed/wire.h"

#include "testbed/truth.h"

static const char *const three_devices = TEST_DATA_DIR "/three-devices.yaml";

/* ---- distances ---- */

/* Error power of the uplink CSI over its true power, summed over a run. */
struct accuracy {
	struct scene *scene;
	double error[3], power[3];
};

static void compare_with_truth(void *arg, struct session *session)
{
	struct accuracy *a = arg;
	struct lockstep *l = session_lockstep(session);
	for (unsigned k = 0; k < 3; k++) {
		const struct csi *csi = cell_csi(bs_cell(lockstep_bs(l)), k);
		const struct device_sent *sent = csi ? device_sent(lockstep_device(l, k), csi->slot) : NULL;
		struct truth t;
		if (!sent)
			continue;
		truth_uplink(l, &a->scene->config, k, sent, csi, &t);
		for (size_t i = 0; i < csi->n_sc; i++) {
			double complex e = (double complex)csi->h[i] - t.h[i];
			a->error[k] += creal(e * conj(e));
		}
		a->power[k] += t.power * (double)csi->n_sc;
	}
}

static double round_trip_samples(const struct scene *s, size_t d)
{
	return 2 * s->config.devices[d].distance_m / 299792458 * s->config.radio.rate_hz;
}

static void devices_at_0_300_and_900_m_share_every_uplink_slot(void **state)
{
	(void)state;
	struct scene *s = scene_open(three_devices, NULL);
	struct accuracy a = { .scene = s };
	scene_attach(s);
	assert_int_equal(session_settle(s->session, 300), 0);
	session_on_slot(s->session, compare_with_truth, &a);
	if (scene_prompt(s, 12))
		fail_msg("%s", s->err);
	assert_same_as_unsplit(s, 12);
	for (unsigned d = 0; d < 3; d++) {
		struct cell_device_stats c = cell_device_stats(scene_cell(s), d);
		int units;
		assert_true(device_advance(lockstep_device(scene_lockstep(s), d), &units));
		assert_int_equal(units, c.advance_units);
		assert_true(fabs(units - round_trip_samples(s, d)) < 4); /* and the echoes' mean delay, both ways */
		assert_true(fabsf(c.late_samples) < 2.5f);
		assert_int_equal(c.attaches, 1);
		assert_int_equal(c.losses, 0);
		assert_true(c.harq[CELL_UL].n_new > 15);
		assert_true(c.harq[CELL_UL].n_first_lost < c.harq[CELL_UL].n_new / 3);
		assert_int_equal(c.harq[CELL_UL].n_failed, 0);
		/* The truth knows of the advance, and nobody's estimate suffers from where the others are. */
		assert_true(a.power[d] > 0);
		assert_true(10 * log10(a.error[d] / a.power[d]) < -24);
	}
	scene_close(s);
}

static void the_range_is_a_limit_of_the_configuration(void **state)
{
	(void)state;
	struct config *c = calloc(1, sizeof *c);
	char err[512];
	const char *sets[] = { "devices[2].distance_m=1600" };
	assert_int_equal(config_load(c, three_devices, sets, 1, err, sizeof err), -EINVAL);
	assert_non_null(strstr(err, "devices[2].distance_m"));
	free(c);
}

/* ---- oscillators ---- */

/* 70 kHz off in the downlink, 68 in the uplink, more than two subcarriers: the base station hears them on its carrier,
 * and in their slots. */
static void devices_20_ppm_off_are_heard_on_the_carrier(void **state)
{
	(void)state;
	static const char *const sets[] = { "devices[0].osc_ppm=20", "devices[1].osc_ppm=-20", NULL };
	struct scene *s = scene_open(two_devices, sets);
	struct lockstep *l = scene_lockstep(s);
	scene_attach(s);
	assert_int_equal(session_settle(s->session, 400), 0);
	unsigned n[2] = { 0 };
	for (int i = 0; i < 200; i++) {
		assert_int_equal(session_settle(s->session, 1), 0);
		for (unsigned k = 0; k < 2; k++) {
			const struct csi *csi = cell_csi(scene_cell(s), k);
			const struct device_sent *sent = csi ? device_sent(lockstep_device(l, k), csi->slot) : NULL;
			struct truth t;
			if (!sent)
				continue;
			truth_uplink(l, &s->config, k, sent, csi, &t);
			assert_true(fabs(t.cfo_hz) < 60); /* of 30 kHz */
			assert_true(fabs(sent->nco_hz) > 60e3);
			n[k]++;
		}
	}
	if (scene_prompt(s, 4))
		fail_msg("%s", s->err);
	assert_same_as_unsplit(s, 4);
	for (unsigned k = 0; k < 2; k++) {
		assert_in_range(n[k], 190, 200);
		assert_true(fabsf(cell_device_stats(scene_cell(s), k).late_samples) < 2.5f);
		assert_int_equal(cell_device_stats(scene_cell(s), k).losses, 0);
	}
	scene_close(s);
}

/* ---- timing, on the wire ---- */

/* The device's uplink goes out late by so much, and nobody but the base station's loop knows. */
static void a_device_that_is_late_is_brought_forward(void **state)
{
	(void)state;
	static const unsigned late[] = { 7, 40 };
	for (size_t i = 0; i < 2; i++) {
		struct wire_options o = wire_defaults;
		o.ul_delay = late[i];
		struct wire *w = wire_create_with(true, mini_path, &o);
		wire_attach(w);
		int units;
		assert_true(device_advance(w->device, &units));
		assert_in_range(units, late[i] - 1, late[i] + 1);
		w->options.ul_delay += 6; /* it moves */
		wire_run(w, 100);
		assert_true(device_advance(w->device, &units));
		assert_in_range(units, late[i] + 4, late[i] + 8);
		struct cell_device_stats before = cell_device_stats(bs_cell(w->bs), 0);
		assert_in_range(before.timing_commands, 1, 2);
		wire_run(w, 1000); /* and then there is nothing to say */
		assert_int_equal(cell_device_stats(bs_cell(w->bs), 0).timing_commands, before.timing_commands);
		assert_int_equal(cell_device_stats(bs_cell(w->bs), 0).losses, 0);
		wire_destroy(w);
	}
}

/* ---- power, on the wire ---- */

static struct wire *wire_with_path_loss_off_by(double db)
{
	struct wire_options o = wire_defaults;
	o.path_loss_error_db = db;
	struct wire *w = wire_create_with(true, mini_path, &o);
	wire_attach(w);
	assert_true(fabs((double)device_path_loss_db(w->device) - db) < 0.5);
	return w;
}

enum { SETTLED = 600 }; /* slots: two commands, each after as many soundings as its size takes */

static void a_path_loss_off_by_6_db_is_made_good(void **state)
{
	(void)state;
	static const double off[] = { -6, 3 };
	for (size_t i = 0; i < 2; i++) {
		struct wire *w = wire_with_path_loss_off_by(off[i]);
		wire_run(w, SETTLED);
		struct cell_device_stats c = cell_device_stats(bs_cell(w->bs), 0);
		assert_true(fabs((double)c.received_db) <= 1);
		assert_in_range(c.power_commands, 1, 2);
		assert_int_equal(c.power_correction_db, device_power_correction_db(w->device));
		wire_run(w, 1000); /* no oscillation */
		assert_int_equal(cell_device_stats(bs_cell(w->bs), 0).power_commands, c.power_commands);
		wire_destroy(w);
	}
}

static void a_device_at_full_power_is_left_there(void **state)
{
	(void)state;
	struct wire *w = wire_with_path_loss_off_by(0);
	struct wire_options o = wire_defaults;
	wire_destroy(w);
	o.path_loss_error_db = -6;
	o.tx_max_dbm = 20; /* 3.3 dB below what the target takes, and 2.7 above what it means to send */
	w = wire_create_with(true, mini_path, &o);
	wire_attach(w);
	wire_run(w, 1500);
	struct cell_device_stats c = cell_device_stats(bs_cell(w->bs), 0);
	assert_in_range(c.power_correction_db, 2, 3);
	assert_in_range(c.power_commands, 1, 2);
	assert_true(c.received_db < -3);
	wire_destroy(w);
}

static void the_correction_is_bounded(void **state)
{
	(void)state;
	struct wire *w = wire_with_path_loss_off_by(-20);
	wire_run(w, 1200);
	struct cell_device_stats c = cell_device_stats(bs_cell(w->bs), 0);
	assert_int_equal(c.power_correction_db, 15);
	assert_int_equal(device_power_correction_db(w->device), 15);
	assert_int_equal(c.power_commands, 5);
	assert_int_equal(c.losses, 0);
	wire_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_at_0_300_and_900_m_share_every_uplink_slot),
		cmocka_unit_test(the_range_is_a_limit_of_the_configuration),
		cmocka_unit_test(devices_20_ppm_off_are_heard_on_the_carrier),
		cmocka_unit_test(a_device_that_is_late_is_brought_forward),
		cmocka_unit_test(a_path_loss_off_by_6_db_is_made_good),
		cmocka_unit_test(a_device_at_full_power_is_left_there),
		cmocka_unit_test(the_correction_is_bounded),
	};
	return cmocka_run_group_tests_name("uplink_loops", tests, NULL, NULL);
}
