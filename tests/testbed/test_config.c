#include "testbed/config.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct config config;
static char err[512];
static char path[] = "/tmp/wdmoe-test-config-XXXXXX";

static int make_file(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static int load(const char *yaml)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(yaml, f);
	fclose(f);
	err[0] = '\0';
	return config_load(&config, path, NULL, 0, err, sizeof err);
}

static int load_with(const char *yaml, const char *set)
{
	return load(yaml) == 0 ? config_set(&config, set, err, sizeof err) : -1;
}

/* Refused, in one line that names the file, this line of it, and says `what`. */
static void refused(const char *yaml, int line, const char *what)
{
	char place[64];
	snprintf(place, sizeof place, "%s:%d: ", path, line);
	assert_int_equal(load(yaml), -EINVAL);
	if (strncmp(err, place, strlen(place)) != 0 || !strstr(err, what) || strchr(err, '\n'))
		fail_msg("said \"%s\" in place of \"%s...%s\"", err, place, what);
}

static void an_empty_file_means_all_defaults(void **state)
{
	(void)state;
	assert_int_equal(load("# nothing\n"), 0);
	assert_int_equal(config.seed, 1);
	assert_true(config.radio.rate_hz == 7.68e6);
	assert_string_equal(config.scheduler.policy, "wdmoe");
	assert_int_equal(config.n_devices, 1);
	assert_int_equal(config.csi_log_every, 1);
}

static void the_shipped_default_scenario_is_the_yardstick_of_the_issue(void **state)
{
	(void)state;
	assert_int_equal(config_load(&config, SOURCE_DIR "/testbed/scenarios/default.yaml", NULL, 0, err, sizeof err),
	                 0);
	assert_string_equal(config.name, "default");
	assert_true(config.radio.dl_hz == 3.5e9 && config.radio.scs_hz == 30e3 && config.radio.rate_hz == 7.68e6);
	assert_string_equal(config.channel.model, "tdl-a");
	assert_true(config.channel.delay_spread_ns == 100 && config.channel.speed_kmh == 3);
	assert_string_equal(config.moe.codec_down, "f16");
	assert_string_equal(config.moe.codec_up, "f16");
	assert_string_equal(config.scheduler.policy, "wdmoe");
	assert_string_equal(config.scheduler.allocator, "minmax");
	assert_int_equal(config.n_devices, 8);
	bool alike = true;
	double least = INFINITY, most = 0;
	for (size_t d = 0; d < 8; d++) {
		assert_true(config.devices[d].snr_db == 27 - 3 * (double)d);
		least = fmin(least, config.devices[d].call_us);
		most = fmax(most, config.devices[d].call_us);
		alike = alike && (d == 0 || config.devices[d].call_us > config.devices[d - 1].call_us);
		assert_true(config.devices[d].experts_auto);
	}
	assert_true(least == 200 && most == 3000 && !alike);
}

static void every_shipped_scenario_loads(void **state)
{
	(void)state;
	static const char *const names[] = { "default", "one-device-flat", "truth" };
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char file[1024];
		snprintf(file, sizeof file, SOURCE_DIR "/testbed/scenarios/%s.yaml", names[i]);
		if (config_load(&config, file, NULL, 0, err, sizeof err) != 0)
			fail_msg("%s", err);
	}
}

static void an_unknown_key_is_named_with_its_line(void **state)
{
	(void)state;
	refused("seed: 1\nradio:\n  scs_khz: 30\n", 3, "radio.scs_khz: unknown key");
	refused("devices:\n  - { snr_db: 1 }\n  - { snr: 1 }\n", 3, "devices[1].snr: unknown key");
	refused("profiles:\n  x: { speed: 1 }\n", 2, "profiles.x.speed: unknown key");
}

static void a_key_a_second_time_is_refused(void **state)
{
	(void)state;
	refused("seed: 1\nthreads: 1\nseed: 2\n", 3, "\"seed\" a second time");
	refused("radio: { n_rb: 18 }\nradio: { n_rb: 18 }\n", 2, "\"radio\" a second time");
}

static void wrong_types_are_refused(void **state)
{
	(void)state;
	refused("seed: -1\n", 1, "seed");
	refused("seed: 1.5\n", 1, "seed");
	refused("seed: \"1\"\n", 1, "must be a whole number");
	refused("radio: { n_rb: 18.5 }\n", 1, "radio.n_rb");
	refused("radio: { rate_hz: fast }\n", 1, "radio.rate_hz");
	refused("radio: 3\n", 1, "must be a mapping");
	refused("radio:\n  rate_hz: [1, 2]\n", 2, "radio.rate_hz: must be a number");
	refused("model: { ignore_eos: yes }\n", 1, "neither true nor false");
	refused("devices: { snr_db: 3 }\n", 1, "devices: must be a list");
	refused("- 1\n", 1, "must be a mapping");
	refused("bs: { tx_power_dbm: .nan }\n", 1, "bs.tx_power_dbm");
	refused("bs: { tx_power_dbm: nan }\n", 1, "bs.tx_power_dbm");
	refused("bs: { tx_power_dbm: inf }\n", 1, "bs.tx_power_dbm");
}

static void numbers_out_of_range_are_refused_and_their_limits_taken(void **state)
{
	(void)state;
	refused("devices:\n  - snr_db: 60.1\n", 2, "60.1 is not between -20 and 60");
	refused("threads: 99999999999999999999\n", 1, "threads");
	assert_int_equal(load("devices:\n  - snr_db: 60\n  - snr_db: -20\n"), 0);
}

static void more_devices_than_the_air_interface_has_are_refused(void **state)
{
	(void)state;
	char yaml[1024] = "devices:\n";
	for (int d = 0; d < 17; d++)
		strcat(yaml, "  - {}\n");
	refused(yaml, 18, "devices[16]: too many");
}

static void a_numerology_that_cannot_be_is_refused_with_the_reason(void **state)
{
	(void)state;
	assert_int_equal(load("radio: { scs_hz: 29e3 }\n"), -EINVAL);
	assert_non_null(strstr(err, "29000"));
	assert_int_equal(load("radio: { ul_hz: 3.501e9 }\n"), -EINVAL);
	assert_non_null(strstr(err, "ul_hz"));
}

static void a_radio_profile_sets_the_shape_and_keys_beside_it_change_it(void **state)
{
	(void)state;
	assert_int_equal(load("radio: { n_rb: 30, profile: 10M-512, n_symbols: 7 }\n"), 0);
	assert_true(config.radio.rate_hz == 10e6 && config.radio.scs_hz == 19531.25);
	assert_int_equal(config.radio.n_rb, 30);
	struct numerology num;
	assert_int_equal(config_numerology(&config.radio, &num, err, sizeof err), 0);
	assert_int_equal(num.n_fft, 512);
	assert_int_equal(num.n_symbols, 7);
	assert_int_equal(config_set(&config, "radio.profile=1.92M-15k", err, sizeof err), 0);
	assert_int_equal(config.radio.n_rb, 9);
	refused("radio:\n  profile: 10M\n", 2, "radio.profile: there is no profile \"10M\"");
	assert_int_equal(load("radio: { pilot_step: 4, taper_samples: 0 }\n"), 0);
	assert_int_equal(config_numerology(&config.radio, &num, err, sizeof err), 0);
	assert_int_equal(num.pilot_step, 4);
	assert_int_equal(num.taper, 0);
	assert_int_equal(load("radio: { pilot_step: 5 }\n"), -EINVAL);
	assert_non_null(strstr(err, "pilots"));
	assert_int_equal(load("radio: { taper_samples: 10 }\n"), -EINVAL);
	assert_non_null(strstr(err, "taper"));
}

static void what_is_not_yaml_is_refused(void **state)
{
	(void)state;
	assert_int_equal(load("a: [1\n"), -EINVAL);
	assert_int_equal(load("seed: 1\n---\nseed: 2\n"), -EINVAL);
	assert_int_equal(load("\x01\x02\xff"), -EINVAL);
	assert_int_equal(load("? [a, b]\n: 1\n"), -EINVAL);
	assert_int_equal(load("radio: &a { rate_hz: *a }\n"), -EINVAL);
}

static void set_reaches_one_device_all_devices_and_a_profile(void **state)
{
	(void)state;
	static const char yaml[] = "devices: [{}, {}, {}]\nprofiles: { mine: { fixed_us: 1 } }\n";
	assert_int_equal(load_with(yaml, "devices[2].snr_db=7.5"), 0);
	assert_true(config.devices[2].snr_db == 7.5 && config.devices[1].snr_db == 20);
	assert_int_equal(load_with(yaml, "devices.snr_db=3"), 0);
	for (size_t d = 0; d < 3; d++)
		assert_true(config.devices[d].snr_db == 3);
	assert_int_equal(load_with(yaml, "profiles.mine.fixed_us=9"), 0);
	assert_true(config_profile(&config, "mine")->fixed_us == 9);
	assert_int_equal(load_with(yaml, "devices[1].experts=[0, 5]"), 0);
	assert_false(config.devices[1].experts_auto);
	assert_int_equal(config.devices[1].n_experts, 2);
	assert_int_equal(config.devices[1].experts[1].expert_first, 5);
	assert_int_equal(load_with(yaml, "model.prompt=a = b: [c]"), 0);
	assert_string_equal(config.model.prompt, "a = b: [c]");
}

static void experts_are_listed_by_number_by_range_and_by_layer(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		struct config_experts experts;
	} good[] = {
		{ "5", { 0, -1, 5, 5 } },
		{ "[2-4]", { 0, -1, 2, 4 } },
		{ "3:5", { 3, 3, 5, 5 } },
		{ "[\"0-3:4-7\"]", { 0, 3, 4, 7 } },
	};
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		char set[64];
		snprintf(set, sizeof set, "devices.experts=%s", good[i].text);
		assert_int_equal(load_with("", set), 0);
		assert_int_equal(config.devices[0].n_experts, 1);
		assert_memory_equal(&config.devices[0].experts[0], &good[i].experts, sizeof good[i].experts);
	}
	assert_int_equal(load("devices:\n  - experts: [1, \"0-1:2\", 4-6]\n"), 0);
	assert_int_equal(config.devices[0].n_experts, 3);
	assert_int_equal(load_with("", "devices.experts=[]"), 0);
	assert_int_equal(config.devices[0].n_experts, 0);
	static const char *const bad[] = { "x",  "-1",    "3-",    "3-2", "1:",
		                           ":1", "1:2:3", "65536", "1;2", "99999999999999999999" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char set[64];
		snprintf(set, sizeof set, "devices.experts=%s", bad[i]);
		assert_int_equal(load_with("", set), -EINVAL);
		assert_non_null(strstr(err, "neither auto nor a list"));
	}
}

static void devices_combine_in_fast_mode_or_when_told(void **state)
{
	(void)state;
	static const struct {
		const char *mode, *combine;
		bool combines;
	} cases[] = { { "exact", "auto", false },
		      { "fast", "auto", true },
		      { "exact", "device", true },
		      { "exact", "each", false },
		      { "fast", "each", false } };
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char yaml[64];
		snprintf(yaml, sizeof yaml, "moe: { mode: %s, combine: %s }\n", cases[i].mode, cases[i].combine);
		assert_int_equal(load(yaml), 0);
		assert_int_equal(config_combines(&config.moe), cases[i].combines);
	}
}

static void set_refuses_what_is_not_there_and_names_it(void **state)
{
	(void)state;
	static const char *const bad[] = { "devices[1].snr_db=1",
		                           "devices[-1].snr_db=1",
		                           "devices[0]snr_db=1",
		                           "devices=1",
		                           "devices[0].=1",
		                           "profiles.none.x=1",
		                           "profiles.no.jitter=1",
		                           "radio=1",
		                           "radio.=1",
		                           "=1",
		                           "seed",
		                           "",
		                           "seed=",
		                           "devices[99999999999999999999].snr_db=1" };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(load_with("", bad[i]), -EINVAL);
		assert_int_equal(strncmp(err, "--set ", 6), 0);
	}
}

static void a_file_s_profile_builds_on_the_one_of_its_name(void **state)
{
	(void)state;
	assert_int_equal(load("profiles:\n  board: { jitter: 0 }\n"), 0);
	assert_true(config_profile(&config, "board")->jitter == 0);
	assert_true(config_profile(&config, "board")->memory_gb_s == 8);
}

static void csi_log_is_full_off_or_every_n_slots(void **state)
{
	(void)state;
	assert_int_equal(load("csi_log: off\n"), 0);
	assert_int_equal(config.csi_log_every, 0);
	assert_int_equal(load("csi_log: every 20 slots\n"), 0);
	assert_int_equal(config.csi_log_every, 20);
	assert_int_equal(load("csi_log: every 0 slots\n"), -EINVAL);
	assert_int_equal(load("csi_log: every 3 slotss\n"), -EINVAL);
	assert_int_equal(load("csi_log: every\n"), -EINVAL);
}

/* What the dump says is what the file said: written back as YAML (of which JSON is a part) it loads to the same dump.
 */
static void the_dump_loads_to_itself(void **state)
{
	(void)state;
	assert_int_equal(config_load(&config, SOURCE_DIR "/testbed/scenarios/default.yaml", NULL, 0, err, sizeof err),
	                 0);
	assert_int_equal(config_set(&config, "devices[3].experts=1 2-4 3:5 0-1:6-7", err, sizeof err), 0);
	assert_int_equal(config_set(&config, "model.prompt=say \"no\"\tand: \\", err, sizeof err), 0);
	json_t *first = config_json(&config, true);
	json_object_del(first, "name");
	char *text = json_dumps(first, 0);
	if (load(text) != 0)
		fail_msg("%s", err);
	json_t *second = config_json(&config, true);
	json_object_del(second, "name");
	assert_true(json_equal(first, second));
	free(text);
	json_decref(first);
	json_decref(second);
}

static void what_does_not_change_results_stays_out_of_the_comparable_dump(void **state)
{
	(void)state;
	assert_int_equal(load("threads: 2\nout: /somewhere\n"), 0);
	json_t *dump = config_json(&config, false);
	char *text = json_dumps(dump, 0);
	assert_null(strstr(text, "somewhere"));
	assert_null(strstr(text, "threads"));
	assert_null(strstr(text, ".gguf"));
	assert_non_null(strstr(text, "snr_db"));
	free(text);
	json_decref(dump);
}

static void bytes_of_a_prompt_that_are_not_utf8_do_not_break_the_dump(void **state)
{
	(void)state;
	assert_int_equal(load_with("", "model.prompt=a\xff\xc0z"), 0);
	json_t *dump = config_json(&config, true);
	const char *prompt = json_string_value(json_object_get(json_object_get(dump, "model"), "prompt"));
	assert_string_equal(prompt, "a\xef\xbf\xbd\xef\xbf\xbdz");
	json_decref(dump);
}

static void a_missing_file_is_named(void **state)
{
	(void)state;
	assert_int_equal(config_load(&config, "no/such.yaml", NULL, 0, err, sizeof err), -ENOENT);
	assert_non_null(strstr(err, "no/such.yaml"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_means_all_defaults),
		cmocka_unit_test(the_shipped_default_scenario_is_the_yardstick_of_the_issue),
		cmocka_unit_test(every_shipped_scenario_loads),
		cmocka_unit_test(an_unknown_key_is_named_with_its_line),
		cmocka_unit_test(a_key_a_second_time_is_refused),
		cmocka_unit_test(wrong_types_are_refused),
		cmocka_unit_test(numbers_out_of_range_are_refused_and_their_limits_taken),
		cmocka_unit_test(more_devices_than_the_air_interface_has_are_refused),
		cmocka_unit_test(a_numerology_that_cannot_be_is_refused_with_the_reason),
		cmocka_unit_test(a_radio_profile_sets_the_shape_and_keys_beside_it_change_it),
		cmocka_unit_test(what_is_not_yaml_is_refused),
		cmocka_unit_test(set_reaches_one_device_all_devices_and_a_profile),
		cmocka_unit_test(experts_are_listed_by_number_by_range_and_by_layer),
		cmocka_unit_test(devices_combine_in_fast_mode_or_when_told),
		cmocka_unit_test(set_refuses_what_is_not_there_and_names_it),
		cmocka_unit_test(a_file_s_profile_builds_on_the_one_of_its_name),
		cmocka_unit_test(csi_log_is_full_off_or_every_n_slots),
		cmocka_unit_test(the_dump_loads_to_itself),
		cmocka_unit_test(what_does_not_change_results_stays_out_of_the_comparable_dump),
		cmocka_unit_test(bytes_of_a_prompt_that_are_not_utf8_do_not_break_the_dump),
		cmocka_unit_test(a_missing_file_is_named),
	};
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
