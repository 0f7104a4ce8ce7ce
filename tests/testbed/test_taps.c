/* Files of taps: there and back, and every way in which a file is not one; taps from a run's channel estimates against the true channel. */
#include "tests/testbed/scene.h"

#include <complex.h>
#include <errno.h>
#include <math.h>
#include <unistd.h>

#include "phy/layout.h"
#include "testbed/csi_taps.h"
#include "testbed/journal.h"
#include "testbed/taps.h"

static const char *const file = "taps.csv";

static void write_text(const char *text)
{
	FILE *f = fopen(file, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void what_is_written_is_read(void **state)
{
	(void)state;
	enum { TAPS = 3, TIMES = 50 };
	struct channel_trace a, b;
	char err[200];
	assert_int_equal(channel_trace_init(&a, TAPS, TIMES), 0);
	a.step_s = 5e-4;
	a.delay_s[1] = 1.23456789e-7;
	a.delay_s[2] = 4e-6;
	for (size_t i = 0; i < TAPS * TIMES; i++) {
		a.re[i] = sinf((float)i) * expf(-(float)i);
		a.im[i] = cosf((float)i);
	}
	assert_int_equal(taps_write(file, &a, "made by hand", err, sizeof err), 0);
	assert_int_equal(taps_read(file, &b, err, sizeof err), 0);
	assert_int_equal(b.n_taps, TAPS);
	assert_int_equal(b.n_times, TIMES);
	assert_true(fabs(b.step_s - a.step_s) < 1e-15 && fabs(b.delay_s[1] - a.delay_s[1]) < 1e-18);
	assert_memory_equal(a.re, b.re, TAPS * TIMES * sizeof *a.re);
	assert_memory_equal(a.im, b.im, TAPS * TIMES * sizeof *a.im);
	channel_trace_free(&a);
	channel_trace_free(&b);
	unlink(file);
}

static void what_is_no_file_of_taps_is_refused_with_its_line(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", "no line" },
		{ "0,1,0\n1,1,0\n", "no line" },
		{ "# delays_s: 0\n0,1,0\n", "fewer than two rows" },
		{ "# delays_s: 0\n# delays_s: 0\n0,1,0\n1,1,0\n", "taps.csv:2: delays a second time" },
		{ "# delays_s: x\n0,1,0\n1,1,0\n", "taps.csv:1: not a list" },
		{ "# delays_s: -1e-9\n0,1,0\n1,1,0\n", "taps.csv:1: a delay below 0" },
		{ "# delays_s: 0\n0,1,0\n\n1,1\n", "taps.csv:4: not a time" },
		{ "# delays_s: 0\n0,1,0\n1,1,0,3\n", "taps.csv:3: not a time" },
		{ "# delays_s: 0\n0,1,0\n1,nan,0\n", "taps.csv:3: not a time" },
		{ "# delays_s: 0\n0,1,0\n1,1;0\n", "taps.csv:3: not a time" },
		{ "# delays_s: 0\n1,1,0\n2,1,0\n", "taps.csv:2: the first time" },
		{ "# delays_s: 0\n0,1,0\n1,1,0\n2.5,1,0\n", "taps.csv:4: times are not" },
		{ "# delays_s: 0\n0,1,0\n-1,1,0\n", "taps.csv:3: times are not" },
		{ "# delays_s: 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24\n",
		  "taps.csv:1: not a list" },
	};
	struct channel_trace tr;
	char err[200];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		write_text(bad[i].text);
		assert_int_equal(taps_read(file, &tr, err, sizeof err), -EINVAL);
		if (!strstr(err, bad[i].says))
			fail_msg("\"%s\" does not say \"%s\"", err, bad[i].says);
		assert_null(tr.re);
	}
	unlink(file);
	assert_int_equal(taps_read(file, &tr, err, sizeof err), -ENOENT);
	assert_int_equal(taps_write("no/such/folder/x", &tr, NULL, err, sizeof err), -ENOENT);
}

/* ---- from the estimates of a run ---- */

enum { SLOTS = 240, N_TAPS = 20 };

/* |response| over the subcarriers, of the replay at t and as it was: neither delay nor phase matters. */
static void envelopes(const struct channel_trace *tr, const struct numerology *num, double t,
                      const double complex *truth, double *replayed, double *wanted)
{
	float re[TDL_MAX_TAPS], im[TDL_MAX_TAPS];
	channel_trace_gains(tr, t, re, im);
	for (size_t k = 0; k < num->n_sc; k++) {
		double complex h = 0;
		for (size_t l = 0; l < tr->n_taps; l++)
			h += (re[l] + I * im[l]) * cexp(-2 * I * M_PI * numerology_freq_hz(num, k) * tr->delay_s[l]);
		replayed[k] = cabs(h);
		wanted[k] = cabs(truth[k]);
	}
}

static void scale_to_1(double *x, size_t n)
{
	double power = 0;
	for (size_t i = 0; i < n; i++)
		power += x[i] * x[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		x[i] /= sqrt(power);
}

struct truth {
	double complex h[SLOTS][PHY_SC_MAX];
};

/* A run of SLOTS slots, its journal in dir, and what the channel of device 0 was in the middle of each. */
static struct numerology run(const char *dir, struct truth truth[2])
{
	struct scene *s =
	        scene_open(two_devices, (const char *const[]){ "csi_log=full", "devices.snr_db=28",
	                                                       "channel.model=tdl-a", "channel.speed_kmh=3", NULL });
	struct lockstep *l = scene_lockstep(s);
	const struct numerology num = *layout_numerology(lockstep_layout(l));
	json_t *metadata = json_pack("{s:{s:{s:f, s:f, s:i, s:i}}}", "config", "radio", "rate_hz", num.rate_hz,
	                             "scs_hz", num.scs_hz, "n_rb", (int)num.n_rb, "n_symbols", (int)num.n_symbols);
	struct journal *journal;
	double offset_hz[PHY_SC_MAX];
	for (size_t k = 0; k < num.n_sc; k++)
		offset_hz[k] = numerology_freq_hz(&num, k);
	assert_int_equal(journal_create(dir, metadata, JOURNAL_WAIT, &journal, s->err, sizeof s->err), 0);
	session_set_journal(s->session, journal);
	for (size_t n = 0; n < SLOTS; n++) {
		for (int d = 0; d < 2; d++)
			ether_true_response(lockstep_ether(l), 1, (enum ether_dir)d,
			                    ((double)n + 0.5) * (double)num.slot_len, offset_hz, num.n_sc,
			                    truth[d].h[n]);
		assert_int_equal(lockstep_slot(l), 0);
	}
	assert_int_equal(journal_close(journal), 0);
	json_decref(metadata);
	scene_close(s);
	return num;
}

/* dB, over all rows, row 0 being slot `first`; INFINITY if they do not fit in. Rows are taken each at its own power (uplink: the device's
 * power control is in the estimates), or all together. */
static double replay_error_db(const struct channel_trace *tr, const struct numerology *num, const struct truth *truth,
                              size_t first, bool each)
{
	static double a[SLOTS * PHY_SC_MAX], b[SLOTS * PHY_SC_MAX];
	double error = 0;
	size_t n = num->n_sc, all = n * tr->n_times;
	if (first + tr->n_times > SLOTS)
		return INFINITY;
	for (size_t i = 0; i < tr->n_times; i++) {
		envelopes(tr, num, (double)i * tr->step_s, truth->h[first + i], &a[i * n], &b[i * n]);
		if (each) {
			scale_to_1(&a[i * n], n);
			scale_to_1(&b[i * n], n);
		}
	}
	scale_to_1(a, all);
	scale_to_1(b, all);
	for (size_t i = 0; i < all; i++)
		error += (a[i] - b[i]) * (a[i] - b[i]) / (double)all;
	return 10 * log10(error);
}

static void taps_of_a_run_are_its_channel(void **state)
{
	(void)state;
	static struct truth truth[2];
	char dir[] = "/tmp/wdmoe-taps-XXXXXX", err[512], path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/" JOURNAL_FILE_NAME, dir);
	struct numerology num = run(dir, truth);
	for (int d = 0; d < 2; d++) {
		struct csi_taps taps;
		double best_db = INFINITY;
		if (csi_taps_read(path, d ? JOURNAL_UPLINK : JOURNAL_DOWNLINK, 0, N_TAPS, &taps, err, sizeof err))
			fail_msg("%s", err);
		/* A device does not know its first slots' numbers: its place is where it fits. */
		for (size_t first = 0; first < SLOTS; first++)
			if (!d || first == taps.first_slot)
				best_db = fmin(best_db, replay_error_db(&taps.trace, &num, &truth[d], first, d));
		print_message("%s: %zu rows, %zu filled in, %.1f dB left by the fit, envelopes %.1f dB off\n",
		              d ? "uplink" : "downlink", taps.trace.n_times, taps.n_filled, taps.residual_db, best_db);
		assert_true(taps.trace.n_times > SLOTS / 2);
		assert_true(fabs(channel_trace_power(&taps.trace) - 1) < 1e-5);
		assert_true(taps.residual_db < -30);
		assert_true(best_db < -20);
		channel_trace_free(&taps.trace);
	}
	struct csi_taps none;
	assert_int_equal(csi_taps_read(path, JOURNAL_UPLINK, 7, N_TAPS, &none, err, sizeof err), -ENODATA);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(what_is_no_file_of_taps_is_refused_with_its_line),
		cmocka_unit_test(taps_of_a_run_are_its_channel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
