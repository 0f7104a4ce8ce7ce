/* Replay of a channel: interpolation, its end, and a link that follows it as it follows the model it was written from. */
#include "measure.h"

#include <errno.h>

#include "radio/tdl.h"
#include "radio/trace.h"

static void it_moves_linearly_to_the_end_and_back(void **state)
{
	(void)state;
	struct channel_trace tr;
	float re[2], im[2];
	assert_int_equal(channel_trace_init(&tr, 2, 3), 0);
	tr.step_s = 0.5;
	const float a[] = { 1, 0, 3, 4, 0, 8 }, b[] = { 0, 0, -2, 1, -2, -3 };
	memcpy(tr.re, a, sizeof a);
	memcpy(tr.im, b, sizeof b);
	static const struct {
		double t;
		float re[2], im[2];
	} wanted[] = { { 0, { 1, 0 }, { 0, 0 } },   { 0.25, { 2, 2 }, { -1, 0.5f } },  { 0.5, { 3, 4 }, { -2, 1 } },
		       { 1, { 0, 8 }, { -2, -3 } }, { 1.25, { 1.5f, 6 }, { -2, -1 } }, { 1.75, { 2, 2 }, { -1, 0.5f } },
		       { 2, { 1, 0 }, { 0, 0 } },   { 20.25, { 2, 2 }, { -1, 0.5f } } };
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		channel_trace_gains(&tr, wanted[i].t, re, im);
		for (size_t k = 0; k < 2; k++) {
			assert_close(re[k], wanted[i].re[k], 1e-6);
			assert_close(im[k], wanted[i].im[k], 1e-6);
		}
	}
	assert_close(channel_trace_power(&tr), (1 + 9 + 4 + 16 + 1 + 4 + 64 + 9) / 3.0, 1e-6);
	/* the larger step: (-3, 0) and (4, -4): 3^2 + 4^2 + 4^2 */
	assert_close(channel_trace_doppler_hz(&tr), sqrt(41 / 36.0) / (2 * M_PI * 0.5), 1e-6);
	assert_int_equal(channel_trace_normalise(&tr), 0);
	assert_close(channel_trace_power(&tr), 1, 1e-6);
	channel_trace_free(&tr);
}

static void nothing_is_not_a_channel(void **state)
{
	(void)state;
	struct channel_trace tr;
	assert_int_equal(channel_trace_init(&tr, 0, 2), -EINVAL);
	assert_int_equal(channel_trace_init(&tr, TDL_MAX_TAPS + 1, 2), -EINVAL);
	assert_int_equal(channel_trace_init(&tr, 1, 1), -EINVAL);
	assert_int_equal(channel_trace_init(&tr, 1, 2), 0);
	assert_int_equal(channel_trace_normalise(&tr), -EDOM);
	channel_trace_free(&tr);
}

/* TDL-A as a table of gains, a row every half millisecond. */
static void write_down(struct channel_trace *tr, const struct tdl *ch, double step_s, size_t n_times)
{
	assert_int_equal(channel_trace_init(tr, ch->n_taps, n_times), 0);
	tr->step_s = step_s;
	memcpy(tr->delay_s, ch->delay_s, ch->n_taps * sizeof *ch->delay_s);
	for (size_t i = 0; i < n_times; i++)
		tdl_gains(ch, step_s * (double)i, &tr->re[i * ch->n_taps], &tr->im[i * ch->n_taps]);
}

static void a_link_follows_it(void **state)
{
	(void)state;
	enum { TONES = 40, TIMES = 300 };
	const double doppler_hz = 9.7;
	struct tdl ch;
	struct channel_trace tr;
	tdl_init(&ch, tdl_find("tdl-a"), 100e-9, 0, doppler_hz, 5, 7);
	write_down(&tr, &ch, 5e-4, 2000);
	struct ether_config cfg = plain_config(1);
	cfg.link[1] = (struct ether_link_config){ .model = "trace", .trace = { &tr, &tr }, .path_loss_db = 20 };
	struct ether *e = make_ether(&cfg);
	double error = 0, power = 0, offset_hz[TONES];
	double complex h[TONES];
	for (int k = 0; k < TONES; k++)
		offset_hz[k] = 1.5e5 * (k - TONES / 2);
	for (int i = 0; i < TIMES; i++) {
		double t_s = 0.0031 * i;
		float re[TDL_MAX_TAPS], im[TDL_MAX_TAPS];
		tdl_gains(&ch, t_s, re, im);
		ether_true_response(e, 1, i % 2 ? ETHER_UL : ETHER_DL, t_s * cfg.rate_hz, offset_hz, TONES, h);
		for (int k = 0; k < TONES; k++) {
			double complex wanted = 0;
			for (size_t l = 0; l < ch.n_taps; l++)
				wanted +=
				        0.1 * (re[l] + I * im[l]) * cexp(-2 * I * M_PI * offset_hz[k] * ch.delay_s[l]);
			error += pow(cabs(h[k] - wanted), 2);
			power += pow(cabs(wanted), 2);
		}
	}
	print_message("a row every 0.5 ms at %.1f Hz of Doppler: %.1f dB off\n", doppler_hz, db(error / power));
	assert_true(db(error / power) < -60); /* (2 pi 9.7 0.5e-3)^2 / 8: -68 dB at the most */
	ether_destroy(e);
	channel_trace_free(&tr);
}

/* What is received is what the truth says, one tone at a time. */
static void what_is_received_is_the_replay(void **state)
{
	(void)state;
	enum { N = 1 << 15, PIECE = 512 };
	struct tdl ch;
	struct channel_trace tr;
	tdl_init(&ch, tdl_find("epa"), 0, 0, 100, 5, 7);
	write_down(&tr, &ch, 1e-4, 400);
	struct ether_config cfg = plain_config(1);
	cfg.link[1] = (struct ether_link_config){ .model = "trace", .trace = { &tr, &tr } };
	struct ether *e = make_ether(&cfg);
	float complex *x = new_samples(N), *y = new_samples(N);
	const double f = 0.2, offset_hz = f * cfg.rate_hz;
	double error = 0, power = 0;
	make_tone(x, N, f, 0, 0.3);
	radio_send(ether_radio(e, 0), x, N, 0);
	radio_recv(ether_radio(e, 1), y, N - 512, 0);
	for (int at = 256; at + PIECE < N - 512; at += PIECE) {
		double complex h, measured = tone_amplitude(y + at, PIECE, f, at) / 0.3;
		ether_true_response(e, 1, ETHER_DL, at + PIECE / 2, &offset_hz, 1, &h);
		error += pow(cabs(measured - h), 2);
		power += pow(cabs(h), 2);
	}
	print_message("received against true: %.1f dB\n", db(error / power));
	assert_true(db(error / power) < -45);
	free(x);
	free(y);
	ether_destroy(e);
	channel_trace_free(&tr);
}

static void a_bad_replay_is_refused(void **state)
{
	(void)state;
	struct channel_trace tr;
	char err[200];
	struct ether_config cfg = plain_config(1);
	assert_int_equal(channel_trace_init(&tr, 1, 2), 0);
	tr.re[0] = 1;
	cfg.link[1] = (struct ether_link_config){ .model = "trace", .trace = { &tr, &tr } };
	assert_null(ether_create(&cfg, err, sizeof err)); /* no step */
	tr.step_s = 1e-3;
	tr.delay_s[0] = -1e-6;
	assert_null(ether_create(&cfg, err, sizeof err));
	tr.delay_s[0] = 0;
	cfg.link[1].trace[ETHER_UL] = NULL;
	assert_null(ether_create(&cfg, err, sizeof err));
	assert_non_null(strstr(err, "link[1].model = \"trace\""));
	cfg.link[1].trace[ETHER_UL] = &tr;
	tr.delay_s[0] = 1e-4; /* longer than a link can be */
	tr.n_taps = 1;
	assert_null(ether_create(&cfg, err, sizeof err));
	channel_trace_free(&tr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_moves_linearly_to_the_end_and_back),
		cmocka_unit_test(nothing_is_not_a_channel),
		cmocka_unit_test(a_link_follows_it),
		cmocka_unit_test(what_is_received_is_the_replay),
		cmocka_unit_test(a_bad_replay_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
