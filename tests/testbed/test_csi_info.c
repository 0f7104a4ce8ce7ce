#include "testbed/cli.h"
#include "testbed/journal.h"

#include "phy/csi.h"

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

int cmd_csi_info(int argc, char **argv);

static char top[] = "/tmp/wdmoe-test-csi-info-XXXXXX";

/* Device 2's uplink: slots 0, 2, .. 18 without 8, every second of the rest invalid, SNR 10 and 20 dB by turns. */
static int begin(void **state)
{
	(void)state;
	static struct csi csi;
	char err[256];
	struct journal *j;
	json_t *metadata = json_pack("{s:i}", "seed", 3);
	if (!mkdtemp(top) || chdir(top) != 0 || journal_create(".", metadata, JOURNAL_WAIT, &j, err, sizeof err) != 0)
		return -1;
	json_decref(metadata);
	for (uint64_t slot = 0; slot < 20; slot += 2) {
		csi = (struct csi){ .valid = slot % 4 == 0, .slot = slot, .n_sc = 132, .n_rb = 11, .cfo_hz = 50 };
		csi.snr_mean_db = slot % 8 == 0 ? 10 : 20;
		if (slot != 8)
			journal_csi(j, JOURNAL_UPLINK, 2, &csi);
	}
	journal_event(j, "{\"event\": \"attached\", \"slot\": 3}");
	return journal_close(j);
}

static int end(void **state)
{
	(void)state;
	unlink("journal.wdj");
	unlink("report.json");
	return chdir("/") == 0 ? rmdir(top) : -1;
}

static json_t *info(const char *log, int expected_status)
{
	char *argv[] = { (char[]){ "csi info" }, strdup(log), (char[]){ "--json" }, (char[]){ "report.json" } };
	assert_int_equal(cmd_csi_info(4, argv), expected_status);
	free(argv[1]);
	return json_load_file("report.json", 0, NULL);
}

static json_int_t number(const json_t *o, const char *key)
{
	assert_true(json_is_integer(json_object_get(o, key)));
	return json_integer_value(json_object_get(o, key));
}

static void counts_gaps_and_means_are_those_of_what_was_logged(void **state)
{
	(void)state;
	json_t *report = info(".", CLI_DONE);
	assert_int_equal(number(report, "csi_records"), 9);
	assert_int_equal(number(report, "event_records"), 1);
	assert_true(json_is_true(json_object_get(report, "complete")));
	assert_int_equal(json_array_size(json_object_get(report, "links")), 1);
	const json_t *link = json_array_get(json_object_get(report, "links"), 0);
	assert_int_equal(number(link, "device"), 2);
	assert_string_equal(json_string_value(json_object_get(link, "direction")), "ul");
	assert_int_equal(number(link, "records"), 9);
	assert_int_equal(number(link, "valid"), 4); /* slots 0, 4, 12, 16 */
	assert_int_equal(number(link, "missing"), 1);
	assert_int_equal(number(link, "step_slots"), 2);
	assert_int_equal(number(link, "longest_step_slots"), 4);
	double snr_db = json_real_value(json_object_get(link, "snr_mean_db"));
	assert_true(fabs(snr_db - 10 * log10(55)) < 1e-6); /* of 10, 100, 100, 10 */
	assert_int_equal(number(json_object_get(report, "events"), "attached"), 1);
	json_decref(report);
}

static void of_a_log_cut_off_it_tells_what_is_whole_and_exits_with_1(void **state)
{
	(void)state;
	assert_int_equal(truncate("journal.wdj", 3000), 0);
	json_t *report = info("journal.wdj", CLI_FAILED);
	assert_true(json_is_true(json_object_get(report, "damaged")));
	assert_true(json_is_false(json_object_get(report, "complete")));
	assert_int_equal(number(report, "csi_records"), 2); /* of 1168 bytes each */
	json_decref(report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_gaps_and_means_are_those_of_what_was_logged),
		cmocka_unit_test(of_a_log_cut_off_it_tells_what_is_whole_and_exits_with_1),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
