/* Path loss and line of sight against figures worked out from the standard's tables, and what must hold between the models. */
#include "measure.h"

#include "radio/path_loss.h"

static const double carrier_hz = 3.5e9;

static void losses_are_those_of_the_tables(void **state)
{
	(void)state;
	static const struct {
		const char *model;
		double distance_m;
		bool los;
		double db;
	} wanted[] = {
		{ "umi", 100, true, 85.314 },      { "umi", 100, false, 104.644 },    { "umi", 500, true, 107.108 },
		{ "inh-mixed", 30, true, 68.852 }, { "inh-open", 30, false, 87.458 }, { "inf-sl", 50, true, 78.705 },
		{ "inf-sl", 50, false, 87.205 },   { "inf-dl", 50, false, 90.135 },   { "inf-dl", 10, false, 69.381 },
		{ "inf-sh", 50, false, 82.441 },   { "inf-dh", 50, false, 81.799 },
	};
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		const struct path_loss_model *m = path_loss_find(wanted[i].model);
		assert_non_null(m);
		struct path_loss_site site = path_loss_site_default(m, carrier_hz);
		assert_close(path_loss_db(m, &site, wanted[i].distance_m, wanted[i].los), wanted[i].db, 1e-3);
	}
	assert_null(path_loss_find("uma"));
}

/* Power through a sphere onto an aperture of lambda^2 / 4 pi. */
static void free_space_is_friis(void **state)
{
	(void)state;
	const struct path_loss_model *m = path_loss_find("free-space");
	for (double f = 4e8; f < 7e9; f *= 1.7)
		for (double d = 1; d < 1e4; d *= 3) {
			struct path_loss_site site = path_loss_site_default(m, f);
			double lambda = 299792458.0 / f, share = lambda * lambda / (4 * M_PI) / (4 * M_PI * d * d);
			assert_close(path_loss_db(m, &site, d, true), -db(share), 1e-9);
		}
}

/* The loss grows with distance and frequency, without steps, and an obstacle never helps. */
static void losses_grow_and_do_not_jump(void **state)
{
	(void)state;
	for (size_t i = 0; i < path_loss_n_models; i++) {
		const struct path_loss_model *m = &path_loss_models[i];
		struct path_loss_site site = path_loss_site_default(m, carrier_hz);
		struct path_loss_site high = path_loss_site_default(m, 2 * carrier_hz);
		double last[2] = { -1, -1 };
		for (double d = 0.5; d < fmin(m->distance_max_m, 2000); d *= 1.001) {
			for (int los = 0; los < 2; los++) {
				double now = path_loss_db(m, &site, d, los);
				assert_true(last[los] < 0 || (now >= last[los] && now - last[los] < 0.05));
				assert_true(path_loss_db(m, &high, d, los) > now);
				last[los] = now;
			}
			assert_true(last[0] >= last[1]);
		}
	}
}

static void sight_is_lost_with_distance(void **state)
{
	(void)state;
	static const struct {
		const char *model;
		double distance_m, probability;
	} wanted[] = { { "free-space", 1000, 1 },     { "umi", 18, 1 },
		       { "umi", 50, 0.519585 },       { "inh-mixed", 1.2, 1 },
		       { "inh-mixed", 30, 0.155627 }, { "inh-open", 100, 0.424394 },
		       { "inf-sl", 50, 0.32768 },     { "inf-dh", 50, 1.295916e-7 } };
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		const struct path_loss_model *m = path_loss_find(wanted[i].model);
		struct path_loss_site site = path_loss_site_default(m, carrier_hz);
		double p = path_loss_los_probability(m, &site, wanted[i].distance_m);
		assert_close(p, wanted[i].probability, 1e-6);
	}
	for (size_t i = 0; i < path_loss_n_models; i++) {
		const struct path_loss_model *m = &path_loss_models[i];
		struct path_loss_site site = path_loss_site_default(m, carrier_hz);
		double last = 1;
		for (double d = 0.5; d < 600; d *= 1.01) {
			double p = path_loss_los_probability(m, &site, d);
			assert_true(p >= 0 && p <= last);
			last = p;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(losses_are_those_of_the_tables),
		cmocka_unit_test(free_space_is_friis),
		cmocka_unit_test(losses_grow_and_do_not_jump),
		cmocka_unit_test(sight_is_lost_with_distance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
