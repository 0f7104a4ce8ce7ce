/* Recordings: there and back with gaps and gains, what is not one, and recording and replay of a radio. */
#include "measure.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "radio/file.h"
#include "radio/record.h"
#include "radio/sigmf.h"

static const char *const name = "sigmf-test";
static const struct sigmf_what what = {
	.rate_hz = 7.68e6, .carrier_hz = 3.5e9, .description = "a test", .recorder = "tests"
};

static void clear(void)
{
	unlink("sigmf-test.sigmf-meta");
	unlink("sigmf-test.sigmf-data");
}

static struct sigmf_writer *create(enum spool_when_full when_full)
{
	char err[SIGMF_PATH_MAX + 100];
	struct sigmf_writer *w = sigmf_create(name, &what, when_full, err, sizeof err);
	if (!w)
		fail_msg("%s", err);
	return w;
}

static struct sigmf_recording open_it(void)
{
	char err[SIGMF_PATH_MAX + 100];
	struct sigmf_recording rec;
	if (sigmf_open("sigmf-test.sigmf-data", &rec, err, sizeof err)) /* any of its names will do */
		fail_msg("%s", err);
	return rec;
}

static void gaps_and_gains_are_kept(void **state)
{
	(void)state;
	enum { N = 1000 };
	static float complex x[N], y[6 * N];
	clear();
	make_noise(x, N, 3);
	struct sigmf_writer *w = create(SPOOL_WAIT);
	assert_int_equal(sigmf_put(w, x, N, 500, -30), 0);
	assert_int_equal(sigmf_put(w, x, N, 500 + N, -30), 0);
	assert_int_equal(sigmf_put(w, x, N, 500 + 3 * N, -30), 0); /* a gap of N */
	assert_int_equal(sigmf_put(w, x, N, 500 + 4 * N, -40), 0); /* another gain */
	assert_int_equal(sigmf_put(w, x, N, 600, -40), -EINVAL);
	sigmf_annotate(w, 500 + 3 * N + 7, 20, "second");
	sigmf_annotate(w, 501, 0, "first");
	sigmf_annotate(w, 500 + 2 * N + 1, 0, "in the gap");
	assert_int_equal(sigmf_get_stats(w).captures, 3);
	assert_int_equal(sigmf_get_stats(w).samples, 4 * N);
	assert_int_equal(sigmf_close(w), 0);

	struct sigmf_recording rec = open_it();
	assert_int_equal(rec.n_samples, 4 * N);
	assert_int_equal(rec.n_captures, 3);
	assert_int_equal(rec.capture[1].t, 500 + 3 * N);
	assert_true(rec.capture[1].full_scale_dbm == -30 && rec.capture[2].full_scale_dbm == -40 &&
	            rec.capture[0].carrier_hz == 3.5e9);
	assert_true(rec.rate_hz == 7.68e6);
	assert_int_equal(sigmf_end(&rec), 500 + 5 * N);
	assert_int_equal(sigmf_read(&rec, y, 6 * N, 0), 4 * N);
	for (int i = 0; i < 6 * N; i++) {
		int at = i - 500;
		bool there = at >= 0 && at < 5 * N && at / N != 2;
		assert_true(there ? y[i] == x[at % N] : y[i] == 0);
	}
	sigmf_free(&rec);
	clear();
}

/* As other programs of the field read it. */
static void the_metadata_is_sigmf(void **state)
{
	(void)state;
	float complex x[64] = { 0 };
	clear();
	struct sigmf_writer *w = create(SPOOL_WAIT);
	json_t *early = json_load_file("sigmf-test.sigmf-meta", 0, NULL); /* there from the beginning */
	assert_non_null(early);
	json_decref(early);
	sigmf_put(w, x, 64, 1000, -30);
	sigmf_annotate(w, 1010, 5, "late");
	sigmf_annotate(w, 1005, 0, "overflow");
	assert_int_equal(sigmf_close(w), 0);
	json_t *root = json_load_file("sigmf-test.sigmf-meta", 0, NULL);
	const char *type, *version, *label, *other;
	double rate_hz, carrier_hz;
	json_int_t start, index, at, count, first;
	assert_int_equal(json_unpack(root, "{s:{s:s, s:s, s:F}, s:[{s:I, s:I, s:F}], s:[{s:I, s:s}, {s:I, s:I, s:s}]}",
	                             "global", "core:datatype", &type, "core:version", &version, "core:sample_rate",
	                             &rate_hz, "captures", "core:sample_start", &start, "core:global_index", &index,
	                             "core:frequency", &carrier_hz, "annotations", "core:sample_start", &first,
	                             "core:label", &other, "core:sample_start", &at, "core:sample_count", &count,
	                             "core:label", &label),
	                 0);
	assert_string_equal(type, "cf32_le");
	assert_string_equal(version, "1.0.0");
	assert_string_equal(other, "overflow");
	assert_string_equal(label, "late");
	assert_true(rate_hz == 7.68e6 && carrier_hz == 3.5e9);
	assert_true(start == 0 && index == 1000 && first == 5 && at == 10 && count == 5);
	json_decref(root);
	clear();
}

static void write_pair(const char *meta, size_t n_samples)
{
	float complex x[16] = { 1 };
	FILE *m = fopen("sigmf-test.sigmf-meta", "w"), *d = fopen("sigmf-test.sigmf-data", "w");
	fputs(meta, m);
	fwrite(x, sizeof *x, n_samples, d);
	fclose(m);
	fclose(d);
}

#define GLOBAL "\"global\": {\"core:datatype\": \"cf32_le\", \"core:sample_rate\": 1e6}"

static void what_is_no_recording_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *meta, *says;
		size_t n_samples;
	} bad[] = {
		{ "{", ".sigmf-meta", 4 },
		{ "{}", "not the metadata", 4 },
		{ "{\"global\": {\"core:datatype\": \"ci16_le\", \"core:sample_rate\": 1e6}}", "cf32_le", 4 },
		{ "{\"global\": {\"core:datatype\": \"cf32_le\", \"core:sample_rate\": 1e6, \"core:num_channels\": 2}}",
		  "one channel", 4 },
		{ "{\"global\": {\"core:datatype\": \"cf32_le\"}}", "sample_rate", 4 },
		{ "{" GLOBAL ", \"captures\": [{\"core:sample_start\": -1}]}", "captures", 4 },
		{ "{" GLOBAL ", \"captures\": [{\"core:sample_start\": 3}, {\"core:sample_start\": 2}]}", "captures",
		  4 },
		{ "{" GLOBAL ", \"captures\": [{\"core:sample_start\": 0, \"core:global_index\": 9}, "
		  "{\"core:sample_start\": 3, \"core:global_index\": 10}]}",
		  "captures", 4 },
		{ "{" GLOBAL ", \"captures\": [{\"core:sample_start\": 5}]}", "shorter", 4 },
		{ "{" GLOBAL "}", "no samples", 0 },
	};
	struct sigmf_recording rec;
	char err[SIGMF_PATH_MAX + 200];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		write_pair(bad[i].meta, bad[i].n_samples);
		assert_int_equal(sigmf_open(name, &rec, err, sizeof err), -EINVAL);
		if (!strstr(err, bad[i].says))
			fail_msg("\"%s\" does not say \"%s\"", err, bad[i].says);
	}
	write_pair("{" GLOBAL "}", 4); /* of another program, without captures */
	rec = open_it();
	assert_int_equal(sigmf_end(&rec), 4);
	assert_true(isnan(rec.capture[0].full_scale_dbm));
	sigmf_free(&rec);
	assert_null(sigmf_create(name, &what, SPOOL_WAIT, err, sizeof err));
	assert_int_equal(errno, EEXIST);
	clear();
	assert_int_equal(sigmf_open(name, &rec, err, sizeof err), -EINVAL);
}

/* What a full ring refuses is missing in the file and in its place in time. */
static void what_is_dropped_leaves_a_gap(void **state)
{
	(void)state;
	enum { N = 1 << 18, ROUNDS = 64 };
	float complex *x = new_samples(N), *y = new_samples(N);
	clear();
	struct sigmf_writer *w = create(SPOOL_DROP);
	bool kept[ROUNDS];
	for (uint64_t i = 0; i < ROUNDS; i++) {
		for (size_t k = 0; k < N; k++)
			x[k] = (float complex)(float)(i + 1);
		kept[i] = sigmf_put(w, x, N, i * N, -30) == 0;
	}
	struct sigmf_stats s = sigmf_get_stats(w);
	assert_int_equal(s.samples + s.dropped, (uint64_t)N * ROUNDS);
	assert_int_equal(sigmf_close(w), 0);
	struct sigmf_recording rec = open_it();
	for (uint64_t i = 0; i < ROUNDS; i++) {
		assert_int_equal(sigmf_read(&rec, y, N, i * N), kept[i] ? N : 0);
		assert_true(y[N / 2] == (kept[i] ? (float)(i + 1) : 0));
	}
	sigmf_free(&rec);
	free(x);
	free(y);
	clear();
}

/* ---- a radio recorded, and played ---- */

static void a_recorded_radio_is_played_again(void **state)
{
	(void)state;
	enum { SLOT = 3840, SLOTS = 12 };
	static float complex x[SLOT], heard[SLOTS][SLOT], y[SLOT];
	char err[SIGMF_PATH_MAX + 100];
	clear();
	struct ether_config cfg = plain_config(1);
	struct ether *e = make_ether(&cfg);
	struct radio *r = record_create(ether_radio(e, 1));
	for (uint64_t n = 0; n < SLOTS; n++) {
		make_noise(x, SLOT, n);
		if (n == 2)
			assert_null(record_received(r, create(SPOOL_WAIT)));
		if (n == 6)
			radio_set_rx_gain(r, 10);
		if (n == 9)
			assert_int_equal(sigmf_close(record_received(r, NULL)), 0);
		assert_int_equal(radio_send(ether_radio(e, 0), x, SLOT, n * SLOT), 0);
		if (n == 4) /* as a tracker that goes back a little */
			assert_int_equal(radio_recv(r, y, 100, n * SLOT - 50), 0);
		assert_int_equal(radio_recv(r, heard[n], SLOT, n * SLOT), 0);
	}
	struct radio_stats stats;
	radio_get_stats(r, &stats);
	assert_int_equal(stats.samples_received, SLOTS * SLOT + 100);
	radio_destroy(r);
	ether_destroy(e);

	struct radio_info info, given = { .rate_hz = 7.68e6, .rx_full_scale_dbm = -1, .tx_hz = 3.4e9 };
	r = file_radio_create(name, &given, err, sizeof err);
	if (!r)
		fail_msg("%s", err);
	assert_int_equal(file_radio_begin(r), 2 * SLOT);
	assert_int_equal(file_radio_end(r), 9 * SLOT);
	for (uint64_t n = 2; n < 9; n++) {
		assert_int_equal(radio_recv(r, y, SLOT, n * SLOT), 0);
		assert_memory_equal(y, heard[n], sizeof y);
		radio_get_info(r, &info);
		assert_close(info.rx_full_scale_dbm, n < 6 ? 0 : -10, 1e-9);
	}
	assert_true(info.rx_hz == 3.5e9 && info.tx_hz == 3.4e9);
	assert_int_equal(radio_recv(r, y, SLOT, 9 * SLOT), -ENODATA);
	assert_int_equal(radio_send(r, x, SLOT, 5 * SLOT), -ETIME); /* before now */
	assert_int_equal(radio_send(r, x, SLOT, 11 * SLOT), 0);
	radio_get_stats(r, &stats);
	assert_int_equal(stats.samples_sent, SLOT);
	assert_int_equal(stats.events[RADIO_LATE], 1);
	radio_destroy(r);
	given.rate_hz = 15.36e6;
	assert_null(file_radio_create(name, &given, err, sizeof err));
	clear();
}

struct heard_events {
	int n;
	struct radio_event last;
};

static void note(void *arg, const struct radio_event *event)
{
	struct heard_events *h = arg;
	h->n++;
	h->last = *event;
}

static void events_are_annotated_and_passed_on(void **state)
{
	(void)state;
	enum { N = 1000 };
	static float complex x[N];
	clear();
	struct heard_events heard = { 0 };
	struct ether_config cfg = plain_config(1);
	struct ether *e = make_ether(&cfg);
	struct radio *r = record_create(ether_radio(e, 0));
	radio_on_event(r, note, &heard);
	assert_null(record_sent(r, create(SPOOL_WAIT)));
	make_noise(x, N, 1);
	assert_int_equal(radio_send(r, x, N, 0), 0);
	assert_int_equal(radio_send(r, x, N, 500), 0); /* half of it late */
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.last.type, RADIO_LATE);
	struct radio_stats stats;
	radio_get_stats(r, &stats);
	assert_int_equal(stats.events[RADIO_LATE], 1);
	struct sigmf_writer *w = record_sent(r, NULL);
	assert_int_equal(sigmf_get_stats(w).annotations, 1);
	assert_int_equal(sigmf_get_stats(w).samples, N + 500); /* what was sent of the second */
	assert_int_equal(sigmf_close(w), 0);
	radio_destroy(r);
	ether_destroy(e);
	clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gaps_and_gains_are_kept),
		cmocka_unit_test(the_metadata_is_sigmf),
		cmocka_unit_test(what_is_no_recording_is_refused),
		cmocka_unit_test(what_is_dropped_leaves_a_gap),
		cmocka_unit_test(a_recorded_radio_is_played_again),
		cmocka_unit_test(events_are_annotated_and_passed_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
