/* What a clairvoyant is told of a slot agrees with the truth of a channel record of that slot. */
#include "testbed/truth.h"

#include <math.h>

#include "tests/testbed/scene.h"

static void the_slot_to_come_is_as_its_record_will_say(void **state)
{
	(void)state;
	struct scene *s = scene_open(two_devices, NULL);
	struct lockstep *l = scene_lockstep(s);
	size_t n = 0;
	scene_attach(s);
	for (int i = 0; i < 50; i++) {
		lockstep_slot(l);
		for (size_t k = 0; k < 2; k++) {
			const struct csi *csi = device_csi(lockstep_device(l, k));
			static struct truth t;
			float above_db[PHY_RB_MAX];
			double mean = 0;
			if (!csi || !csi->valid)
				continue;
			truth_downlink(l, &s->config, k, csi, &t);
			float mean_db = truth_slot(l, &s->config, k, ETHER_DL, csi->slot, above_db);
			assert_true(fabs((double)mean_db - t.snr_mean_db) < 0.3);
			for (size_t rb = 0; rb < cell_n_rb(scene_cell(s)); rb++)
				mean += pow(10, 0.1 * (double)above_db[rb]) / (double)cell_n_rb(scene_cell(s));
			assert_true(fabs(mean - 1) < 1e-3);
			assert_true(isfinite(truth_slot(l, &s->config, k, ETHER_UL, csi->slot, above_db)));
			n++;
		}
	}
	assert_true(n > 50);
	scene_close(s);
}

static void knowing_the_channel_changes_no_bit(void **state)
{
	(void)state;
	static const char *const sets[] = { "bs.csi=known", NULL };
	struct scene *s = scene_open(two_devices, sets);
	scene_attach(s);
	assert_int_equal(scene_prompt(s, 6), 0);
	assert_same_as_unsplit(s, 6);
	scene_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_slot_to_come_is_as_its_record_will_say),
		cmocka_unit_test(knowing_the_channel_changes_no_bit),
	};
	return cmocka_run_group_tests_name("truth", tests, NULL, NULL);
}
