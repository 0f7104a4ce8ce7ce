/* What a configuration's medium comes to: path losses by SNR and by distance, who sees whom, shadows, hardware. */
#include "testbed/medium.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "radio/path_loss.h"

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

struct scene {
	struct config config;
	struct numerology num;
	struct ether_config ether;
};

/* sets: ended by NULL. */
static struct scene describe(const char *const *sets)
{
	static struct scene m;
	static struct medium medium;
	char err[512];
	size_t n = 0;
	while (sets[n])
		n++;
	if (config_load(&m.config, SOURCE_DIR "/testbed/scenarios/default.yaml", sets, n, err, sizeof err) ||
	    config_numerology(&m.config.radio, &m.num, err, sizeof err) ||
	    medium_open(&medium, &m.config, &m.num, err, sizeof err))
		fail_msg("%s", err);
	m.ether = medium.ether;
	return m;
}

static void the_mean_snr_gives_the_path_loss(void **state)
{
	(void)state;
	struct scene m = describe((const char *const[]){ NULL });
	for (size_t k = 0; k < 8; k++) {
		/* 24 dBm over 216 subcarriers, against -174 dBm/Hz and 9 dB over 30 kHz (default noise figure of devices) */
		double nf = m.config.devices[k].noise_figure_db, re_dbm = 24 - 10 * log10(216);
		double snr = re_dbm - m.ether.link[k + 1].path_loss_db - (-174 + nf + 10 * log10(30e3));
		assert_near(snr, 27 - 3 * (double)k, 1e-9);
		assert_near(m.ether.link[k + 1].shadow_db, 0, 0);
	}
}

static void a_model_goes_by_distance_and_sight(void **state)
{
	(void)state;
	const struct path_loss_model *umi = path_loss_find("umi");
	struct path_loss_site site = path_loss_site_default(umi, 3.5e9);
	for (int sight = 0; sight < 2; sight++) {
		struct scene m = describe((const char *const[]){
		        "channel.path_loss=umi", sight ? "channel.line_of_sight=yes" : "channel.line_of_sight=no",
		        NULL });
		for (size_t k = 0; k < 8; k++) {
			const struct ether_link_config *l = &m.ether.link[k + 1];
			assert_near(l->path_loss_db, path_loss_db(umi, &site, m.config.devices[k].distance_m, sight),
			            1e-9);
			assert_near(l->shadow_db, sight ? 4 : 7.82, 1e-9);
			assert_near(l->shadow_decorrelation_m, sight ? 10 : 13, 1e-9);
		}
	}
	struct scene m = describe((const char *const[]){ "channel.path_loss=umi", "channel.shadow_db=0",
	                                                 "channel.shadow_decorrelation_m=25", NULL });
	assert_near(m.ether.link[1].shadow_db, 0, 0);
	assert_near(m.ether.link[1].shadow_decorrelation_m, 25, 0);
}

static void sight_is_drawn_with_its_probability(void **state)
{
	(void)state;
	enum { SEEDS = 2000 };
	const struct path_loss_model *umi = path_loss_find("umi");
	struct path_loss_site site = path_loss_site_default(umi, 3.5e9);
	struct scene m = describe((const char *const[]){ "channel.path_loss=umi", "devices.distance_m=40", NULL });
	double wanted = path_loss_los_probability(umi, &site, 40);
	size_t seen = 0, both = 0;
	for (m.config.seed = 1; m.config.seed <= SEEDS; m.config.seed++) {
		bool first, second;
		medium_path_loss_db(&m.config, &m.num, 0, &first);
		medium_path_loss_db(&m.config, &m.num, 1, &second);
		seen += first;
		both += first && second;
	}
	double sd = sqrt(wanted * (1 - wanted) / SEEDS);
	assert_near((double)seen / SEEDS, wanted, 4 * sd);
	assert_near((double)both / SEEDS, wanted * wanted, 4 * sd);
}

static void hardware_is_that_of_all_nodes(void **state)
{
	(void)state;
	struct scene ideal = describe((const char *const[]){ NULL });
	struct scene m = describe((const char *const[]){ "hardware.iq_gain_db=0.3", "hardware.leakage_dbfs=-40",
	                                                 "hardware.phase_noise_dbc_hz=-95",
	                                                 "hardware.converter_bits=12", NULL });
	const struct frontend_config none = { 0 };
	for (size_t k = 0; k <= 8; k++) {
		const struct frontend_config *ends[] = { &m.ether.node[k].tx, &m.ether.node[k].rx };
		for (size_t i = 0; i < 2; i++) {
			assert_near(ends[i]->iq_gain_db, 0.3, 0);
			assert_near(ends[i]->leakage, 0.01, 1e-12);
			assert_near(ends[i]->phase_noise_dbc_hz, -95, 0);
			assert_near(ends[i]->phase_noise_corner_hz, 1e5, 0);
			assert_int_equal(ends[i]->bits, 12);
		}
		assert_int_equal(ideal.ether.node[k].rx.bits, none.bits);
		assert_true(ideal.ether.node[k].tx.leakage == 0 && ideal.ether.node[k].rx.phase_noise_corner_hz == 0);
	}
}

/* What makes no sense together is refused with its name. */
static void what_does_not_fit_is_refused(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
		{ "channel.shadow_decorrelation_m=0.5", "channel.shadow_decorrelation_m" },
		{ "hardware.phase_noise_corner_hz=1000", "hardware.phase_noise_corner_hz" },
		{ "devices[2].distance_m=200", "devices[2].distance_m" },
	};
	for (size_t i = 0; i < 3; i++) {
		struct config c;
		char err[512] = "";
		const char *sets[] = { "channel.path_loss=inh-mixed", "hardware.phase_noise_dbc_hz=-90", bad[i][0] };
		assert_int_not_equal(
		        config_load(&c, SOURCE_DIR "/testbed/scenarios/default.yaml", sets, 3, err, sizeof err), 0);
		assert_non_null(strstr(err, bad[i][1]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mean_snr_gives_the_path_loss),
		cmocka_unit_test(a_model_goes_by_distance_and_sight),
		cmocka_unit_test(sight_is_drawn_with_its_probability),
		cmocka_unit_test(hardware_is_that_of_all_nodes),
		cmocka_unit_test(what_does_not_fit_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
