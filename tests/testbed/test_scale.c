/* Whole runs through the medium at other scales than the usual: long round trips, sixteen devices, wide bands, little
 * room in the control symbols. */
#include "tests/testbed/scene.h"

static void however_far_ahead_the_nodes_transmit_the_answer_is_the_same(void **state)
{
	(void)state;
	static const char *const ahead[] = { "radio.tx_ahead_slots=1", "radio.tx_ahead_slots=5",
		                             "radio.tx_ahead_slots=8" };
	for (size_t i = 0; i < 3; i++) {
		const char *const sets[] = { ahead[i], NULL };
		struct scene *s = scene_open(two_devices, sets);
		scene_attach(s);
		assert_int_equal(scene_prompt(s, 2), 0);
		assert_same_as_unsplit(s, 2);
		assert_int_equal(cell_device_stats(scene_cell(s), 0).losses, 0);
		scene_close(s);
	}
}

static void sixteen_devices_in_two_groups_attach_and_serve(void **state)
{
	(void)state;
	struct scene *s = scene_open(sixteen_devices, NULL);
	scene_attach(s);
	assert_int_equal(scene_prompt(s, 2), 0);
	assert_same_as_unsplit(s, 2);
	static const size_t holders[] = { 3, 6, 9, 12 };
	for (size_t i = 0; i < 4; i++)
		assert_true(device_worker_stats(lockstep_device(scene_lockstep(s), holders[i])).calls > 0);
	for (size_t d = 0; d < 16; d++) {
		struct cell_device_stats c = cell_device_stats(scene_cell(s), (unsigned)d);
		assert_int_equal(c.attaches, 1);
		assert_int_equal(c.losses, 0);
		assert_true(c.snr_slots[CELL_UL] > 0 && c.snr_slots[CELL_DL] > 0);
	}
	scene_close(s);
}

/* 36 RBs in groups of two; 50 in groups of three, of which the last two are no whole group; half slots. */
static void wide_bands_are_granted_in_groups(void **state)
{
	(void)state;
	static const char *const bands[][2] = { { "radio.profile=15.36M-30k", "radio.n_symbols=14" },
		                                { "radio.profile=15.36M-30k", "radio.n_symbols=7" },
		                                { "radio.profile=15.36M-15k", "radio.n_rb=50" } };
	static const size_t n_rb[] = { 18, 18, 16 };
	for (size_t i = 0; i < 3; i++) {
		const char *const sets[] = { bands[i][0], bands[i][1], NULL };
		struct scene *s = scene_open(two_devices, sets);
		assert_int_equal(cell_n_rb(scene_cell(s)), n_rb[i]);
		scene_attach(s);
		assert_int_equal(scene_prompt(s, 2), 0);
		assert_same_as_unsplit(s, 2);
		for (unsigned d = 0; d < 2; d++)
			assert_int_equal(cell_device_stats(scene_cell(s), d).losses, 0);
		scene_close(s);
	}
}

/* At 4 dB a message takes most of the control symbols: devices take turns, and whoever waits is counted. */
static void what_does_not_fit_the_control_symbols_waits_and_is_counted(void **state)
{
	(void)state;
	static const char *const sets[] = { "devices.snr_db=4", NULL };
	struct scene *s = scene_open(sixteen_devices, sets);
	scene_attach(s);
	assert_int_equal(scene_prompt(s, 2), 0);
	assert_same_as_unsplit(s, 2);
	struct cell_stats c = cell_stats(scene_cell(s));
	uint64_t rationed = 0;
	for (unsigned d = 0; d < 16; d++) {
		rationed += cell_device_stats(scene_cell(s), d).rationed;
		assert_int_equal(cell_device_stats(scene_cell(s), d).attaches, 1);
	}
	assert_true(c.rationed > 10);
	assert_int_equal(c.rationed, rationed);
	assert_int_equal(c.wanted, c.rationed + c.unallocated + c.dcis);
	scene_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(however_far_ahead_the_nodes_transmit_the_answer_is_the_same),
		cmocka_unit_test(sixteen_devices_in_two_groups_attach_and_serve),
		cmocka_unit_test(wide_bands_are_granted_in_groups),
		cmocka_unit_test(what_does_not_fit_the_control_symbols_waits_and_is_counted),
	};
	return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
