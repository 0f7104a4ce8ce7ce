#include "testbed/journal.h"

#include "phy/csi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_SC = 216, N_RB = 18, RECORD = 8 + 56 + 4 * N_RB + 8 * N_SC + 4 + 4 };

static char top[] = "/tmp/wdmoe-test-journal-XXXXXX";
static char err[512];
static int n_runs;

static int begin(void **state)
{
	(void)state;
	return mkdtemp(top) && chdir(top) == 0 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -r %s", top);
	return chdir("/") == 0 ? system(command) : -1;
}

/* CSI whose every number tells slot, device and place. */
static struct csi *some_csi(uint64_t slot, unsigned device)
{
	static struct csi csi;
	csi = (struct csi){ .valid = true,
		            .slot = slot,
		            .t_slot_samples = slot * 3840,
		            .t_ref_samples = slot * 3840 + 2000,
		            .n_sc = N_SC,
		            .n_rb = N_RB,
		            .noise_var = 0.01f,
		            .snr_mean_db = 20,
		            .cfo_hz = 100.5f,
		            .timing_samples = 1.25f,
		            .rssi_dbfs = -30,
		            .rx_gain_db = 12.5f,
		            .evm_db = -18 };
	for (size_t k = 0; k < N_SC; k++)
		csi.h[k] = (float)k + (float)slot * 0.5f + I * (float)device;
	for (size_t b = 0; b < N_RB; b++)
		csi.snr_db[b] = (float)b;
	return &csi;
}

static char *fresh_dir(void)
{
	static char dir[64];
	snprintf(dir, sizeof dir, "run%d", n_runs++);
	char made[128];
	assert_int_equal(journal_make_dir(dir, "x", made, sizeof made, err, sizeof err), 0);
	assert_string_equal(made, dir);
	return dir;
}

static char *file_of(const char *dir)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/journal.wdj", dir);
	return path;
}

static struct journal *create(const char *dir, enum journal_when_full when_full)
{
	json_t *metadata = json_pack("{s:i, s:s}", "seed", 7, "config", "x");
	struct journal *j = NULL;
	assert_int_equal(journal_create(dir, metadata, when_full, &j, err, sizeof err), 0);
	json_decref(metadata);
	return j;
}

/* A run of n slots with two devices, an event in each slot. */
static const char *write_run(size_t n)
{
	const char *dir = fresh_dir();
	struct journal *j = create(dir, JOURNAL_WAIT);
	for (size_t slot = 0; slot < n; slot++) {
		for (unsigned d = 0; d < 2; d++)
			assert_int_equal(journal_csi(j, d ? JOURNAL_UPLINK : JOURNAL_DOWNLINK, d, some_csi(slot, d)),
			                 0);
		assert_int_equal(journal_event(j, "{\"event\": \"slot\", \"slot\": %zu}", slot), 0);
	}
	assert_int_equal(journal_close(j), 0);
	return dir;
}

static struct journal_reader *open_run(const char *dir)
{
	struct journal_reader *r = NULL;
	assert_int_equal(journal_reader_open(file_of(dir), &r, err, sizeof err), 0);
	return r;
}

static size_t file_bytes(const char *path, uint8_t **bytes)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	*bytes = malloc((size_t)st.st_size + 1);
	FILE *f = fopen(path, "rb");
	assert_int_equal(fread(*bytes, 1, (size_t)st.st_size, f), st.st_size);
	fclose(f);
	return (size_t)st.st_size;
}

static void write_bytes(const char *path, const uint8_t *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

static void what_was_written_is_read_back_in_order(void **state)
{
	(void)state;
	struct journal_reader *r = open_run(write_run(50));
	assert_int_equal(json_integer_value(json_object_get(journal_reader_metadata(r), "seed")), 7);
	struct journal_record rec;
	struct journal_csi_view csi;
	for (size_t slot = 0; slot < 50; slot++) {
		for (unsigned d = 0; d < 2; d++) {
			assert_int_equal(journal_reader_next(r, &rec), 1);
			assert_int_equal(journal_read_csi(&rec, &csi), 0);
			assert_int_equal(csi.slot, slot);
			assert_int_equal(csi.device, d);
			assert_int_equal(csi.direction, d ? JOURNAL_UPLINK : JOURNAL_DOWNLINK);
			assert_int_equal(csi.t_ref_samples, slot * 3840 + 2000);
			assert_true(csi.valid && csi.n_sc == N_SC && csi.n_rb == N_RB);
			assert_true(csi.noise_var == 0.01f && csi.cfo_hz == 100.5f && csi.timing_samples == 1.25f);
			assert_true(csi.h[2 * 215] == 215 + (float)slot * 0.5f && csi.h[2 * 215 + 1] == (float)d);
			assert_true(csi.snr_db[17] == 17);
		}
		assert_int_equal(journal_reader_next(r, &rec), 1);
		assert_int_equal(rec.type, JOURNAL_EVENT);
		json_t *event = json_loadb((const char *)rec.payload, rec.size, 0, NULL);
		assert_int_equal(json_integer_value(json_object_get(event, "slot")), slot);
		json_decref(event);
	}
	assert_int_equal(journal_reader_next(r, &rec), 1);
	assert_int_equal(rec.type, JOURNAL_END);
	assert_int_equal(journal_reader_next(r, &rec), 0);
	journal_reader_close(r);
}

static void two_equal_runs_leave_equal_bytes(void **state)
{
	(void)state;
	uint8_t *a, *b;
	size_t n_a = file_bytes(file_of(write_run(30)), &a);
	size_t n_b = file_bytes(file_of(write_run(30)), &b);
	assert_int_equal(n_a, n_b);
	assert_memory_equal(a, b, n_a);
	free(a);
	free(b);
}

/* More than the ring holds by far: with JOURNAL_WAIT all of it must be in the file. */
static void nothing_is_dropped_however_much_is_fed(void **state)
{
	(void)state;
	const char *dir = fresh_dir();
	struct journal *j = create(dir, JOURNAL_WAIT);
	for (uint64_t slot = 0; slot < 20000; slot++)
		assert_int_equal(journal_csi(j, JOURNAL_DOWNLINK, 0, some_csi(slot, 0)), 0);
	struct journal_stats stats;
	journal_get_stats(j, &stats);
	assert_int_equal(stats.records, 20000);
	assert_int_equal(stats.dropped, 0);
	assert_int_equal(stats.bytes, 20000 * RECORD);
	assert_int_equal(journal_close(j), 0);
	struct journal_reader *r = open_run(dir);
	struct journal_record rec;
	struct journal_csi_view csi;
	for (uint64_t slot = 0; slot < 20000; slot++) {
		assert_int_equal(journal_reader_next(r, &rec), 1);
		assert_int_equal(journal_read_csi(&rec, &csi), 0);
		assert_int_equal(csi.slot, slot);
	}
	journal_reader_close(r);
}

/* How much is dropped is up to the machine; that what was accepted is in the file, and the rest is counted, is not. */
static void when_it_must_not_wait_accepted_and_dropped_add_up(void **state)
{
	(void)state;
	const char *dir = fresh_dir();
	struct journal *j = create(dir, JOURNAL_DROP);
	uint64_t accepted = 0, dropped = 0;
	for (uint64_t slot = 0; slot < 20000 && dropped < 100; slot++)
		*(journal_csi(j, JOURNAL_UPLINK, 1, some_csi(slot, 1)) == 0 ? &accepted : &dropped) += 1;
	struct journal_stats stats;
	journal_get_stats(j, &stats);
	assert_int_equal(stats.records, accepted);
	assert_int_equal(stats.dropped, dropped);
	assert_int_equal(journal_close(j), 0);
	struct journal_reader *r = open_run(dir);
	struct journal_record rec;
	uint64_t records = 0;
	while (journal_reader_next(r, &rec) > 0)
		records++;
	assert_int_equal(records, accepted + 1); /* and the end */
	journal_reader_close(r);
}

/* A limit on the file's size stands for a full disk. The feeder must be told, not hang, however much it goes on to
 * feed. */
static void a_full_disk_is_told_to_the_feeder_who_never_hangs(void **state)
{
	(void)state;
	struct rlimit before;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit limit = { .rlim_cur = 100000, .rlim_max = before.rlim_max };
	struct journal *j = create(fresh_dir(), JOURNAL_WAIT);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	int told = 0;
	for (uint64_t slot = 0; slot < 10000; slot++)
		told = journal_csi(j, JOURNAL_UPLINK, 1, some_csi(slot, 1));
	int closed = journal_close(j);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(told, -EFBIG);
	assert_int_equal(closed, -EFBIG);
}

static void a_journal_is_never_overwritten(void **state)
{
	(void)state;
	const char *dir = write_run(3);
	struct journal *j;
	json_t *metadata = json_object();
	assert_int_equal(journal_create(dir, metadata, JOURNAL_WAIT, &j, err, sizeof err), -EEXIST);
	json_decref(metadata);
	char made[128];
	assert_int_equal(journal_make_dir(dir, "x", made, sizeof made, err, sizeof err), -EEXIST);
	assert_non_null(strstr(err, dir));
	journal_reader_close(open_run(dir));
}

static void names_that_clash_get_a_number(void **state)
{
	(void)state;
	char made[3][128];
	for (int i = 0; i < 3; i++)
		assert_int_equal(journal_make_dir(NULL, "clash", made[i], sizeof made[i], err, sizeof err), 0);
	assert_string_not_equal(made[0], made[1]);
	assert_string_not_equal(made[1], made[2]);
	assert_int_equal(strncmp(made[2], "runs/clash-2", 12), 0);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
	(void)state;
	char made[128];
	write_bytes("plain-file", (const uint8_t *)"x", 1);
	assert_true(journal_make_dir("plain-file/run", "x", made, sizeof made, err, sizeof err) < 0);
	assert_non_null(strstr(err, "plain-file/run"));
	assert_true(journal_make_dir("plain-file", "x", made, sizeof made, err, sizeof err) < 0);
	assert_true(journal_make_dir("", "x", made, sizeof made, err, sizeof err) < 0);
}

static void numbers_that_are_not_finite_are_refused_and_counted(void **state)
{
	(void)state;
	struct journal *j = create(fresh_dir(), JOURNAL_WAIT);
	struct csi *csi = some_csi(1, 0);
	csi->h[100] = NAN;
	assert_int_equal(journal_csi(j, JOURNAL_DOWNLINK, 0, csi), -EDOM);
	csi = some_csi(1, 0);
	csi->snr_db[3] = INFINITY;
	assert_int_equal(journal_csi(j, JOURNAL_DOWNLINK, 0, csi), -EDOM);
	csi = some_csi(1, 0);
	csi->noise_var = NAN;
	assert_int_equal(journal_csi(j, JOURNAL_DOWNLINK, 0, csi), -EDOM);
	struct journal_stats stats;
	journal_get_stats(j, &stats);
	assert_int_equal(stats.not_finite, 3);
	assert_int_equal(stats.records, 0);
	assert_int_equal(journal_close(j), 0);
}

static void an_invalid_estimate_is_kept_as_such_with_zeros(void **state)
{
	(void)state;
	const char *dir = fresh_dir();
	struct journal *j = create(dir, JOURNAL_WAIT);
	struct csi *csi = some_csi(9, 4);
	csi->valid = false;
	csi->evm_db = INFINITY;
	csi->h[5] = NAN;
	assert_int_equal(journal_csi(j, JOURNAL_UPLINK, 4, csi), 0);
	assert_int_equal(journal_close(j), 0);
	struct journal_reader *r = open_run(dir);
	struct journal_record rec;
	struct journal_csi_view view;
	assert_int_equal(journal_reader_next(r, &rec), 1);
	assert_int_equal(journal_read_csi(&rec, &view), 0);
	assert_false(view.valid);
	assert_int_equal(view.slot, 9);
	assert_true(view.evm_db == 0);
	for (size_t i = 0; i < 2 * N_SC; i++)
		assert_true(view.h[i] == 0);
	journal_reader_close(r);
}

static void events_must_be_one_json_line(void **state)
{
	(void)state;
	struct journal *j = create(fresh_dir(), JOURNAL_WAIT);
	assert_int_equal(journal_event(j, "{\"a\":\n1}"), -EINVAL);
	assert_int_equal(journal_event(j, "hello"), -EINVAL);
	assert_int_equal(journal_event(j, "{\"a\": \"%5000s\"}", "x"), -EMSGSIZE);
	assert_int_equal(journal_event(j, "{}"), 0);
	assert_int_equal(journal_close(j), 0);
}

/* Cut the file at every length around the last records: all whole records come, then the damage is told. */
static void a_file_cut_anywhere_gives_all_whole_records_before(void **state)
{
	(void)state;
	uint8_t *bytes;
	const char *dir = write_run(2);
	size_t n = file_bytes(file_of(dir), &bytes);
	size_t ends[16], n_ends = 0;
	struct journal_reader *r = open_run(dir);
	struct journal_record rec;
	do
		ends[n_ends++] = (size_t)journal_reader_offset(r);
	while (journal_reader_next(r, &rec) > 0);
	journal_reader_close(r);
	assert_int_equal(ends[n_ends - 1], n);
	for (size_t cut = ends[0]; cut < n; cut += cut % 97 + 1) {
		write_bytes("cut.wdj", bytes, cut);
		assert_int_equal(journal_reader_open("cut.wdj", &r, err, sizeof err), 0);
		size_t whole = 0;
		int got;
		while ((got = journal_reader_next(r, &rec)) > 0)
			whole++;
		assert_true(ends[whole] <= cut && cut < ends[whole + 1]);
		assert_int_equal(got, ends[whole] == cut ? 0 : -EBADMSG);
		assert_int_equal(journal_reader_offset(r), ends[whole]);
		journal_reader_close(r);
	}
	free(bytes);
}

/* Any byte of the records turned: the reader stops in front of that record, never later. */
static void a_damaged_byte_is_found(void **state)
{
	(void)state;
	uint8_t *bytes;
	const char *dir = write_run(2);
	size_t n = file_bytes(file_of(dir), &bytes);
	struct journal_reader *r = open_run(dir);
	size_t first = (size_t)journal_reader_offset(r);
	journal_reader_close(r);
	for (size_t at = first; at < n; at += 41) {
		bytes[at] ^= 0x10;
		write_bytes("bad.wdj", bytes, n);
		bytes[at] ^= 0x10;
		assert_int_equal(journal_reader_open("bad.wdj", &r, err, sizeof err), 0);
		struct journal_record rec;
		int got;
		while ((got = journal_reader_next(r, &rec)) > 0)
			assert_true(rec.offset + 8 + rec.size + 4 <= at);
		assert_int_equal(got, -EBADMSG);
		assert_int_equal(journal_reader_next(r, &rec), -EBADMSG);
		journal_reader_close(r);
	}
	free(bytes);
}

static void what_is_not_a_journal_is_refused(void **state)
{
	(void)state;
	struct journal_reader *r;
	uint8_t *bytes;
	size_t n = file_bytes(file_of(write_run(1)), &bytes);
	write_bytes("no.wdj", bytes, 10);
	assert_int_equal(journal_reader_open("no.wdj", &r, err, sizeof err), -EBADMSG);
	bytes[0] = 'X';
	write_bytes("no.wdj", bytes, n);
	assert_int_equal(journal_reader_open("no.wdj", &r, err, sizeof err), -EBADMSG);
	bytes[0] = 'W';
	bytes[20] ^= 1; /* in the metadata */
	write_bytes("no.wdj", bytes, n);
	assert_int_equal(journal_reader_open("no.wdj", &r, err, sizeof err), -EBADMSG);
	bytes[20] ^= 1;
	bytes[8] = 2; /* another version */
	write_bytes("no.wdj", bytes, n);
	assert_int_equal(journal_reader_open("no.wdj", &r, err, sizeof err), -EPROTONOSUPPORT);
	bytes[8] = 1;
	memset(bytes + 12, 0xff, 4); /* metadata of 4 GB */
	write_bytes("no.wdj", bytes, n);
	assert_int_equal(journal_reader_open("no.wdj", &r, err, sizeof err), -EBADMSG);
	assert_int_equal(journal_reader_open("missing.wdj", &r, err, sizeof err), -ENOENT);
	free(bytes);
}

static void a_csi_record_that_contradicts_itself_is_refused(void **state)
{
	(void)state;
	uint8_t payload[56 + 4 + 8] = { 0 };
	struct journal_record rec = { .type = JOURNAL_CSI, .payload = payload, .size = sizeof payload };
	struct journal_csi_view csi;
	payload[28] = payload[30] = 1;
	assert_int_equal(journal_read_csi(&rec, &csi), 0);
	payload[28] = 2; /* one subcarrier more than there is room for */
	assert_int_equal(journal_read_csi(&rec, &csi), -EBADMSG);
	payload[28] = 1;
	payload[24] = 2; /* neither down nor up */
	assert_int_equal(journal_read_csi(&rec, &csi), -EBADMSG);
	payload[24] = 0;
	rec.size = 10;
	assert_int_equal(journal_read_csi(&rec, &csi), -EBADMSG);
	rec.size = sizeof payload;
	rec.type = JOURNAL_EVENT;
	assert_int_equal(journal_read_csi(&rec, &csi), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read_back_in_order),
		cmocka_unit_test(two_equal_runs_leave_equal_bytes),
		cmocka_unit_test(nothing_is_dropped_however_much_is_fed),
		cmocka_unit_test(when_it_must_not_wait_accepted_and_dropped_add_up),
		cmocka_unit_test(a_full_disk_is_told_to_the_feeder_who_never_hangs),
		cmocka_unit_test(a_journal_is_never_overwritten),
		cmocka_unit_test(names_that_clash_get_a_number),
		cmocka_unit_test(a_folder_that_cannot_be_made_is_named),
		cmocka_unit_test(numbers_that_are_not_finite_are_refused_and_counted),
		cmocka_unit_test(an_invalid_estimate_is_kept_as_such_with_zeros),
		cmocka_unit_test(events_must_be_one_json_line),
		cmocka_unit_test(a_file_cut_anywhere_gives_all_whole_records_before),
		cmocka_unit_test(a_damaged_byte_is_found),
		cmocka_unit_test(what_is_not_a_journal_is_refused),
		cmocka_unit_test(a_csi_record_that_contradicts_itself_is_refused),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
