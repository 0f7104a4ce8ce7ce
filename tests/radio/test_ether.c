/* The ether's links as a receiver sees them: delays, levels, clocks, carriers, fading, outages, noise. */
#include "measure.h"

#include <errno.h>

enum { FFT = 256, USED = 108 }; /* tones with FFT samples a period, numbers -USED .. USED without 0 */

static const double rate_hz = 7.68e6;

static int tone_number(int i)
{
	return i < USED ? i - USED : i - USED + 1;
}

static void tone_offsets(double *offset_hz)
{
	for (int i = 0; i < 2 * USED; i++)
		offset_hz[i] = tone_number(i) * rate_hz / FFT;
}

/* One period of all tones, each of amplitude 0.02 and of a seeded phase. */
static struct tones {
	float complex x[FFT];
	double complex amplitude[2 * USED];
} tones;

static int make_tones(void **state)
{
	(void)state;
	uint64_t seed = 5;
	for (int i = 0; i < 2 * USED; i++)
		tones.amplitude[i] = 0.02 * cexp(2 * I * M_PI * uniform(&seed));
	for (int m = 0; m < FFT; m++) {
		double complex sum = 0;
		for (int i = 0; i < 2 * USED; i++)
			sum += tones.amplitude[i] * cexp(2 * I * M_PI * (double)(tone_number(i) * m % FFT) / FFT);
		tones.x[m] = (float complex)sum;
	}
	return 0;
}

/* Keep the transmitter of `dir` sending tones for `periods` periods around absolute time t, in BS samples. */
static void send_tones(struct ether *e, enum ether_dir dir, double t, int periods)
{
	size_t node = dir == ETHER_DL ? 0 : 1;
	uint64_t first = ether_clock(e, node, t) / FFT * FFT;
	for (int p = 0; p < periods; p++)
		assert_int_equal(radio_send(ether_radio(e, node), tones.x, FFT, first + (uint64_t)p * FFT), 0);
}

/* Response over one window of FFT samples from receiver sample n on: phases against the transmitter's clock and without
 * the carrier offset, as ether.h defines the true response. */
static void measure_response(struct ether *e, double bs_error, enum ether_dir dir, uint64_t n, double complex *h)
{
	size_t rx = dir == ETHER_DL ? 1 : 0, tx = 1 - rx;
	double tx_start = ether_time(e, tx, 0), tx_step = (ether_time(e, tx, 1 << 20) - tx_start) / (1 << 20);
	double cfo_per_sample = ether_true_cfo_hz(e, 1, dir) / (rate_hz * (1 + bs_error));
	float complex y[FFT];
	assert_int_equal(radio_recv(ether_radio(e, rx), y, FFT, n), 0);
	memset(h, 0, 2 * USED * sizeof *h);
	for (size_t k = 0; k < FFT; k++) {
		double t = ether_time(e, rx, n + k), position = fmod((t - tx_start) / tx_step, FFT) / FFT;
		double complex v = (double complex)y[k] * cexp(-2 * I * M_PI * fmod(cfo_per_sample * t, 1));
		double complex step = cexp(-2 * I * M_PI * position), turn = cpow(step, -USED);
		for (int i = 0; i < 2 * USED; i++, turn *= i == USED ? step * step : step)
			h[i] += v * turn / FFT;
	}
	for (int i = 0; i < 2 * USED; i++)
		h[i] /= tones.amplitude[i];
}

static double nmse_db(const double complex *h, const double complex *truth, size_t n)
{
	double error = 0, power = 0;
	for (size_t i = 0; i < n; i++) {
		error += creal((h[i] - truth[i]) * conj(h[i] - truth[i]));
		power += creal(truth[i] * conj(truth[i]));
	}
	return db(error / power);
}

/* ---- flat links ---- */

static void a_flat_link_delays_by_whole_samples_and_changes_nothing(void **state)
{
	(void)state;
	enum { N = 10000 };
	static float complex x[N], y[N];
	struct ether_config cfg = plain_config(1);
	cfg.link[1].propagation_delay_s = 10 / rate_hz;
	struct ether *e = make_ether(&cfg);
	make_noise(x, N, 1);
	radio_send(ether_radio(e, 0), x, N, 5000);
	radio_recv(ether_radio(e, 1), y, N, 5010);
	for (size_t i = 0; i < N; i++)
		assert_close(cabsf(y[i] - x[i]), 0, 2e-4);
	ether_destroy(e);
}

static void propagation_delays_of_any_fraction_are_exact_over_the_band(void **state)
{
	(void)state;
	const double delays[] = { 0.25, 0.5, 3.77, 17.9, 123.456 };
	for (size_t d = 0; d < 5; d++) {
		struct ether_config cfg = plain_config(1);
		double complex h[2 * USED], wanted[2 * USED];
		cfg.link[1].propagation_delay_s = delays[d] / rate_hz;
		struct ether *e = make_ether(&cfg);
		send_tones(e, ETHER_UL, 0, 10);
		measure_response(e, 0, ETHER_UL, 4 * FFT, h);
		for (int i = 0; i < 2 * USED; i++)
			wanted[i] = cexp(-2 * I * M_PI * tone_number(i) * delays[d] / FFT);
		assert_true(nmse_db(h, wanted, 2 * USED) < -50);
		ether_destroy(e);
	}
}

static void noise_is_thermal_plus_noise_figure_to_one_percent(void **state)
{
	(void)state;
	enum { N = 200000 };
	static float complex y[N];
	for (size_t node = 0; node < 2; node++) {
		struct ether_config cfg = plain_config(1);
		cfg.node[node].noise_figure_db = 8;
		cfg.node[node].rx_full_scale_dbm = -50;
		struct ether *e = make_ether(&cfg);
		radio_recv(ether_radio(e, node), y, N, 12345);
		double wanted_dbm = -174 + 8 + db(rate_hz);
		assert_close(mean_power(y, N) / pow(10, (wanted_dbm + 50) / 10), 1, 0.01);
		ether_destroy(e);
	}
}

/* SNR in the band of one tone's window, at two losses 20 dB apart. */
static void path_loss_moves_the_snr(void **state)
{
	(void)state;
	enum { N = 65536 };
	static float complex x[N], y[N];
	double snr[2];
	for (int i = 0; i < 2; i++) {
		struct ether_config cfg = plain_config(1);
		cfg.link[1].path_loss_db = ether_path_loss_for_snr(25 - 20.0 * i, 0, 5, rate_hz);
		struct ether *e = make_ether(&cfg);
		make_tone(x, N, 0.125, 0, 1);
		radio_send(ether_radio(e, 0), x, N, 0);
		radio_recv(ether_radio(e, 1), y, N - 64, 32);
		double complex a = tone_amplitude(y, N - 64, 0.125, 0);
		double signal = creal(a * conj(a)), noise = mean_power(y, N - 64) - signal;
		snr[i] = db(signal / noise);
		ether_destroy(e);
	}
	assert_close(snr[0], 25, 0.1);
	assert_close(snr[1], 5, 0.1);
}

/* ---- clocks and carriers ---- */

/* Frequency in cycles a sample of the tone near f in y, by the phase between two halves. */
static double tone_frequency(const float complex *y, size_t n, double f)
{
	double complex a = tone_amplitude(y, n / 2, f, 0), b = tone_amplitude(y + n / 2, n / 2, f, (double)(n / 2));
	return f + carg(b * conj(a)) / (2 * M_PI * (double)(n / 2));
}

static void one_oscillator_error_moves_carrier_and_sampling_clock_together(void **state)
{
	(void)state;
	enum { N = 1 << 15 };
	static float complex x[N], y[N];
	struct ether_config cfg = plain_config(1);
	const double e_bs = 0.7e-6, e_device = -1.6e-6;
	cfg.node[0].osc_ppm = e_bs * 1e6;
	cfg.node[1].osc_ppm = e_device * 1e6;
	for (enum ether_dir dir = ETHER_DL; dir <= ETHER_UL; dir++) {
		struct ether *e = make_ether(&cfg);
		struct radio *tx = ether_radio(e, dir), *rx = ether_radio(e, 1 - dir);
		double e_tx = dir == ETHER_DL ? e_bs : e_device, e_rx = dir == ETHER_DL ? e_device : e_bs;
		double cfo_hz = (dir == ETHER_DL ? 3.5e9 : 3.4e9) * (e_tx - e_rx);
		assert_close(ether_true_cfo_hz(e, 1, dir), cfo_hz, 1e-6);
		double f[2] = { -0.4, 0.4 };
		for (int i = 0; i < 2; i++) {
			uint64_t t = (uint64_t)i * 2 * N;
			make_tone(x, N, f[i], t, 0.5);
			radio_send(tx, x, N, t);
			radio_recv(rx, y, N - 1024, t + 512);
			double wanted = (f[i] * rate_hz * (1 + e_tx) + cfo_hz) / (rate_hz * (1 + e_rx));
			double measured = tone_frequency(y, N - 1024, f[i] + cfo_hz / rate_hz);
			assert_close(measured, wanted, 5e-9); /* the clock offset alone moves it by 9e-7 */
		}
		ether_destroy(e);
	}
}

/* Over a second the sampling clocks of +-10 ppm slip by 150 samples; a pulse is found where the clocks say. */
static void clocks_slip_as_their_errors_say(void **state)
{
	(void)state;
	enum { N = 256 };
	struct ether_config cfg = plain_config(1);
	cfg.node[0].osc_ppm = -10;
	cfg.node[1].osc_ppm = 10;
	cfg.node[1].start_offset_samples = 5000.25;
	struct ether *e = make_ether(&cfg);
	const uint64_t t = 7680000;
	double clock = ((double)t - 5000.25) * (1 + 10e-6) / (1 - 10e-6);
	assert_int_equal(ether_clock(e, 1, (double)t), (uint64_t)ceil(clock));
	assert_close(ether_time(e, 1, (uint64_t)ceil(clock)), (double)t + (ceil(clock) - clock) * (1 - 20e-6), 1e-5);

	float complex x[N] = { 0 }, y[N];
	for (int i = 0; i < N; i++) /* band-limited pulse around t + 128 */
		x[i] = (float complex)(0.5 * exp(-0.02 * (i - 128) * (i - 128)));
	radio_send(ether_radio(e, 0), x, N, t);
	radio_recv(ether_radio(e, 1), y, N, ether_clock(e, 1, (double)t));
	double centre = 0, sum = 0;
	for (int i = 0; i < N; i++) {
		centre += i * (double)cabsf(y[i]) * (double)cabsf(y[i]);
		sum += (double)cabsf(y[i]) * (double)cabsf(y[i]);
	}
	assert_close(centre / sum, 128 - (ceil(clock) - clock), 0.01);
	ether_destroy(e);
}

/* ---- fading links ---- */

static void the_true_response_is_what_a_receiver_measures(void **state)
{
	(void)state;
	const char *const models[] = { "none", "rayleigh", "rice", "tdl-a", "tdl-c", "tdl-d", "epa", "etu" };
	for (size_t m = 0; m < 8; m++) {
		struct ether_config cfg = plain_config(1);
		cfg.node[0].osc_ppm = 0.3;
		cfg.node[1].osc_ppm = -1.1;
		cfg.node[1].start_offset_samples = 1234.567;
		cfg.link[1] = (struct ether_link_config){ .model = models[m],
			                                  .delay_spread_s = 100e-9,
			                                  .k_db = 3,
			                                  .propagation_delay_s = 1.3e-6,
			                                  .path_loss_db = 10,
			                                  .shadow_db = m % 3 ? 4 : 0,
			                                  .shadow_decorrelation_m = 8,
			                                  .speed_m_s = m % 2 ? 0.83 : 4 };
		for (enum ether_dir dir = ETHER_DL; dir <= ETHER_UL; dir++) {
			enum { WINDOWS = 12 };
			struct ether *e = make_ether(&cfg);
			double complex h[WINDOWS * 2 * USED], truth[WINDOWS * 2 * USED];
			double offset_hz[2 * USED];
			tone_offsets(offset_hz);
			for (int w = 0; w < WINDOWS; w++) {
				double t = 1e5 + 123456.7 * w;
				uint64_t n = ether_clock(e, dir == ETHER_DL, t + 2 * FFT);
				send_tones(e, dir, t, 6);
				measure_response(e, 0.3e-6, dir, n, &h[w * 2 * USED]);
				ether_true_response(e, 1, dir, ether_time(e, dir == ETHER_DL, n) + FFT / 2.0, offset_hz,
				                    2 * USED, &truth[w * 2 * USED]);
			}
			double nmse = nmse_db(h, truth, WINDOWS * 2 * USED);
			if (!(nmse <= -45))
				fail_msg("%s, direction %d: NMSE %.1f dB", models[m], (int)dir, nmse);
			ether_destroy(e);
		}
	}
}

/* The same both ways, its own for each device, and what lies between the path loss and what arrives. */
static void a_shadow_belongs_to_a_place(void **state)
{
	(void)state;
	const double zero = 0;
	struct ether_config cfg = plain_config(2);
	for (size_t k = 1; k <= 2; k++)
		cfg.link[k] = (struct ether_link_config){ .model = "none",
			                                  .path_loss_db = 60,
			                                  .shadow_db = 6,
			                                  .shadow_decorrelation_m = 10,
			                                  .speed_m_s = 1.5 };
	struct ether *e = make_ether(&cfg);
	double square = 0, apart = 0;
	enum { N = 4000 };
	for (int i = 0; i < N; i++) {
		double complex h[2][2];
		for (size_t k = 1; k <= 2; k++)
			for (enum ether_dir dir = ETHER_DL; dir <= ETHER_UL; dir++)
				ether_true_response(e, k, dir, 7.68e6 * i, &zero, 1, &h[k - 1][dir]);
		assert_close(2 * db(cabs(h[0][ETHER_DL])), 2 * db(cabs(h[0][ETHER_UL])), 1e-9);
		double a = 2 * db(cabs(h[0][ETHER_DL])) + 60, b = 2 * db(cabs(h[1][ETHER_DL])) + 60;
		square += a * a / N;
		apart += a * b / N;
	}
	assert_close(sqrt(square), 6, 0.6);
	assert_close(apart / square, 0, 0.2);
	ether_destroy(e);
	cfg.link[2].shadow_decorrelation_m = 0.5;
	char err[160];
	assert_null(ether_create(&cfg, err, sizeof err));
	assert_non_null(strstr(err, "link[2].shadow_decorrelation_m = 0.5"));
}

/* One tone, so that nothing leaks into its measurement however fast the channel moves. */
static void fast_fading_follows_the_true_response_sample_by_sample(void **state)
{
	(void)state;
	enum { N = 6000 };
	static float complex x[N + 512], y[N];
	const double f = 0.3, offset_hz = f * rate_hz;
	struct ether_config cfg = plain_config(1);
	cfg.link[1] = (struct ether_link_config){ .model = "tdl-a", .delay_spread_s = 100e-9, .speed_m_s = 33 };
	struct ether *e = make_ether(&cfg);
	double error = 0, power = 0;
	for (uint64_t t = 0; t < 2000000; t += 100000) {
		make_tone(x, N + 512, f, t, 0.5);
		radio_send(ether_radio(e, 0), x, N + 512, t);
		radio_recv(ether_radio(e, 1), y, N, t + 256);
		for (uint64_t k = 0; k < N; k++) {
			double complex h, tone = 0.5 * cexp(2 * I * M_PI * fmod(f * (double)(t + 256 + k), 1));
			ether_true_response(e, 1, ETHER_DL, (double)(t + 256 + k), &offset_hz, 1, &h);
			error += pow(cabs((double complex)y[k] - h * tone), 2);
			power += pow(cabs(h * tone), 2);
		}
	}
	assert_true(db(error / power) < -50);
	ether_destroy(e);
}

/* Radix-2 transform in place, n a power of two. */
static void fft(double complex *x, size_t n)
{
	if (n == 1)
		return;
	double complex even[FFT / 2], odd[FFT / 2];
	for (size_t i = 0; i < n / 2; i++) {
		even[i] = x[2 * i];
		odd[i] = x[2 * i + 1];
	}
	fft(even, n / 2);
	fft(odd, n / 2);
	for (size_t i = 0; i < n / 2; i++) {
		double complex turned = odd[i] * cexp(-2 * I * M_PI * (double)i / (double)n);
		x[i] = even[i] + turned;
		x[i + n / 2] = even[i] - turned;
	}
}

/* Moments of the channel over many windows: mean power, and mean delay and RMS spread from how the measured response
 * changes over `gap` tones: E|H(f+g) - H(f)|^2 = (2 pi g)^2 E tau^2 P and E (H(f+g) - H(f)) H(f)* = -j 2 pi g E tau P.
 */
static void channel_moments(const char *model, int windows, double *power, double *spread_s)
{
	enum { GAP = 4 };
	struct ether_config cfg = plain_config(1);
	cfg.link[1] = (struct ether_link_config){ .model = model, .delay_spread_s = 100e-9, .speed_m_s = 5 };
	struct ether *e = make_ether(&cfg);
	const double step = 2e5; /* 1.5 Doppler periods */
	double complex first = 0;
	double total = 0, second = 0;
	for (int w = 0; w < windows; w++) {
		float complex y[FFT];
		double complex v[FFT], h[2 * USED];
		send_tones(e, ETHER_DL, step * w, 3);
		radio_recv(ether_radio(e, 1), y, FFT, (uint64_t)(step * w) / FFT * FFT + FFT);
		for (int k = 0; k < FFT; k++)
			v[k] = (double complex)y[k] / FFT;
		fft(v, FFT);
		for (int i = 0; i < 2 * USED; i++)
			h[i] = v[(tone_number(i) + FFT) % FFT] / tones.amplitude[i];
		for (int i = 0; i + GAP < 2 * USED; i++) {
			if (tone_number(i + GAP) - tone_number(i) != GAP)
				continue;
			double complex d = h[i + GAP] - h[i];
			total += 0.5 * creal(h[i] * conj(h[i]) + h[i + GAP] * conj(h[i + GAP]));
			second += creal(d * conj(d));
			first += d * conj(h[i]);
		}
	}
	ether_destroy(e);
	double turn = 2 * M_PI * GAP * rate_hz / FFT, mean = -cimag(first) / total / turn;
	*power = total / ((2 * USED - 2 * GAP) * (double)windows);
	*spread_s = sqrt(second / total / (turn * turn) - mean * mean);
}

static void received_power_and_delay_spread_are_those_of_the_profile(void **state)
{
	(void)state;
	const struct {
		const char *model;
		double spread_s;
	} wanted[] = { { "tdl-a", 100e-9 }, { "tdl-c", 100e-9 }, { "epa", 43.1e-9 } }; /* EPA: from TS 36.104's table */
	for (size_t i = 0; i < 3; i++) {
		double power, spread_s;
		channel_moments(wanted[i].model, 8000, &power, &spread_s);
		assert_close(power, 1, 0.05);
		assert_close(spread_s / wanted[i].spread_s, 1, 0.02);
	}
}

static double response_correlation(struct ether *a, size_t device_a, enum ether_dir dir_a, struct ether *b,
                                   size_t device_b, enum ether_dir dir_b)
{
	const double offset_hz = 0;
	double complex r = 0, x, y;
	double px = 0, py = 0;
	for (int i = 0; i < 4000; i++) {
		ether_true_response(a, device_a, dir_a, i * 50000.0, &offset_hz, 1, &x);
		ether_true_response(b, device_b, dir_b, i * 50000.0, &offset_hz, 1, &y);
		r += x * conj(y);
		px += creal(x * conj(x));
		py += creal(y * conj(y));
	}
	return cabs(r) / sqrt(px * py);
}

static struct ether *fading_ether(size_t n_devices, uint64_t seed)
{
	struct ether_config cfg = plain_config(n_devices);
	cfg.seed = seed;
	for (size_t k = 1; k <= n_devices; k++)
		cfg.link[k] = (struct ether_link_config){ .model = "tdl-a", .delay_spread_s = 100e-9, .speed_m_s = 20 };
	return make_ether(&cfg);
}

static void links_directions_and_seeds_fade_independently(void **state)
{
	(void)state;
	struct ether *a = fading_ether(3, 1), *b = fading_ether(3, 2);
	assert_true(response_correlation(a, 1, ETHER_DL, a, 1, ETHER_DL) > 0.999);
	assert_true(response_correlation(a, 1, ETHER_DL, a, 1, ETHER_UL) < 0.1);
	assert_true(response_correlation(a, 1, ETHER_DL, a, 2, ETHER_DL) < 0.1);
	assert_true(response_correlation(a, 1, ETHER_UL, a, 3, ETHER_UL) < 0.1);
	assert_true(response_correlation(a, 1, ETHER_DL, b, 1, ETHER_DL) < 0.1);
	ether_destroy(a);
	ether_destroy(b);
}

static void a_links_channel_does_not_depend_on_how_many_devices_there_are(void **state)
{
	(void)state;
	struct ether *a = fading_ether(1, 9), *b = fading_ether(16, 9);
	const double offset_hz[3] = { -1e6, 0, 3e6 };
	for (int i = 0; i < 50; i++) {
		double complex x[3], y[3];
		ether_true_response(a, 1, ETHER_UL, i * 1e5, offset_hz, 3, x);
		ether_true_response(b, 1, ETHER_UL, i * 1e5, offset_hz, 3, y);
		assert_memory_equal(x, y, sizeof x);
	}
	ether_destroy(a);
	ether_destroy(b);
}

/* ---- what must not depend on anything else ---- */

enum { LONG = 30000 };

/* Three unlike devices, clocks off, hardware ideal or not, moving fast (so coefficients also move within blocks) or not. */
static struct ether *busy_ether(double speed_m_s, bool ideal)
{
	struct ether_config cfg = plain_config(3);
	for (size_t k = 0; k <= 3; k++) {
		cfg.node[k].osc_ppm = 1.5 * (double)k - 2;
		cfg.node[k].start_offset_samples = 777.77 * (double)k;
		cfg.node[k].rx_full_scale_dbm = -80;
		if (!ideal)
			cfg.node[k].tx = cfg.node[k].rx = (struct frontend_config){ .iq_gain_db = 0.2,
				                                                    .leakage = 0.001 * (double)k,
				                                                    .phase_noise_dbc_hz = -90,
				                                                    .phase_noise_corner_hz = 1e5,
				                                                    .bits = k == 1 ? 0 : 12 };
		cfg.link[k] = (struct ether_link_config){ .model = "tdl-a",
			                                  .delay_spread_s = 100e-9,
			                                  .path_loss_db = 80,
			                                  .propagation_delay_s = 3e-7 * (double)k,
			                                  .speed_m_s = speed_m_s };
	}
	cfg.link[1].outage = (struct ether_outage){ .rate_hz = 2000, .duration_s = 20e-6, .dirs = 3 };
	return make_ether(&cfg);
}

static void send_from(struct ether *e, size_t node)
{
	static float complex x[LONG + 4096];
	make_noise(x, LONG + 4096, node + 1);
	assert_int_equal(radio_send(ether_radio(e, node), x, LONG + 4096, 0), 0);
}

static void receives_are_equal_to_the_bit_however_they_are_cut(void **state)
{
	(void)state;
	static float complex whole[LONG], pieces[LONG];
	const double speeds[] = { 0.83, 50 };
	for (int s = 0; s < 2; s++) {
		struct ether *a = busy_ether(speeds[s], s == 0), *b = busy_ether(speeds[s], s == 0);
		for (size_t node = 0; node <= 3; node++) {
			send_from(a, node);
			send_from(b, node);
		}
		for (size_t node = 0; node <= 1; node++) {
			uint64_t seed = 3;
			memset(pieces, 0, sizeof pieces);
			radio_recv(ether_radio(a, node), whole, LONG, 1000);
			for (size_t end = LONG, n; end > 0; end -= n) { /* last piece first, sizes 1 .. 5000 */
				n = 1 + (size_t)(uniform(&seed) * uniform(&seed) * 5000);
				n = n > end ? end : n;
				radio_recv(ether_radio(b, node), pieces + end - n, n, 1000 + end - n);
			}
			assert_memory_equal(whole, pieces, sizeof whole);
		}
		ether_destroy(a);
		ether_destroy(b);
	}
}

static void a_downlink_is_equal_to_the_bit_whatever_devices_send(void **state)
{
	(void)state;
	static float complex quiet[LONG], busy[LONG];
	struct ether *a = busy_ether(0.83, false), *b = busy_ether(0.83, false);
	send_from(a, 0);
	for (size_t node = 0; node <= 3; node++)
		send_from(b, node);
	radio_recv(ether_radio(a, 2), quiet, LONG, 500);
	radio_recv(ether_radio(b, 2), busy, LONG, 500);
	assert_memory_equal(quiet, busy, sizeof quiet);
	ether_destroy(a);
	ether_destroy(b);
}

/* Uplinks add up: what the BS hears of 1 and 2 together is the sum of each alone (noise counted once). */
static void uplinks_add_and_do_not_change_each_other(void **state)
{
	(void)state;
	static float complex y[4][LONG]; /* nobody, 1, 2, both */
	for (int who = 0; who < 4; who++) {
		struct ether *e = busy_ether(0.83, true);
		for (size_t node = 1; node <= 2; node++)
			if (who >> (node - 1) & 1)
				send_from(e, node);
		radio_recv(ether_radio(e, 0), y[who], LONG, 2000);
		ether_destroy(e);
	}
	assert_true(mean_power(y[1], LONG) > 2 * mean_power(y[0], LONG));
	for (size_t i = 0; i < LONG; i++)
		assert_close(cabsf(y[3][i] + y[0][i] - y[1][i] - y[2][i]), 0, 1e-7); /* signals are 1e-5 */
}

static void a_silent_stretch_changes_nothing_around_it(void **state)
{
	(void)state;
	static float complex x[LONG], y[2][LONG];
	make_noise(x, LONG, 4);
	memset(x + 7001, 0, 9002 * sizeof *x);
	for (int as_gap = 0; as_gap < 2; as_gap++) {
		struct ether *e = busy_ether(0.83, true);
		if (as_gap) {
			radio_send(ether_radio(e, 0), x, 7001, 0);
			radio_send(ether_radio(e, 0), x + 16003, LONG - 16003, 16003);
		} else {
			radio_send(ether_radio(e, 0), x, LONG, 0);
		}
		radio_recv(ether_radio(e, 1), y[as_gap], LONG, 0);
		ether_destroy(e);
	}
	assert_memory_equal(y[0], y[1], sizeof y[0]);
}

/* ---- hardware ---- */

/* A tone through imperfect hardware at one end: image and leakage as the front end's header has them, the converter at its limit where
 * the signal is. */
static void hardware_shows_at_the_receiver(void **state)
{
	(void)state;
	enum { N = 8192 };
	const double f = 64.0 / 4096;
	static float complex x[N], y[N];
	for (int side = 0; side < 2; side++) {
		struct ether_config cfg = plain_config(1);
		struct frontend_config bad = { .iq_gain_db = 0.5, .leakage = 0.01, .bits = 12 };
		*(side ? &cfg.node[1].rx : &cfg.node[0].tx) = bad;
		struct ether *e = make_ether(&cfg);
		struct radio_stats stats;
		make_tone(x, N, f, 0, 0.4);
		radio_send(ether_radio(e, 0), x, N, 0);
		radio_recv(ether_radio(e, 1), y, 4096, 1024);
		double g = pow(10, 0.5 / 20);
		assert_close(cabs(tone_amplitude(y, 4096, -f, 0)) / cabs(tone_amplitude(y, 4096, f, 0)),
		             (g - 1) / (g + 1), 5e-4);
		assert_close(cabs(tone_amplitude(y, 4096, 0, 0)), 0.01, 5e-4);
		radio_get_stats(ether_radio(e, 1), &stats);
		assert_int_equal(stats.samples_overloaded, 0);
		radio_set_rx_gain(ether_radio(e, 1), 20);
		radio_recv(ether_radio(e, 1), y, 4096, 1024);
		radio_get_stats(ether_radio(e, 1), &stats);
		assert_int_equal(stats.samples_overloaded,
		                 side ? 4096 : 0); /* 4 over 1: at any phase one component is beyond */
		ether_destroy(e);
	}
}

/* ---- outages ---- */

static void a_blanked_stretch_is_noise_alone_to_the_sample(void **state)
{
	(void)state;
	enum { N = 4000 };
	static float complex x[N], y[N];
	struct ether_config cfg = plain_config(2);
	struct ether *e = make_ether(&cfg);
	for (int i = 0; i < N; i++)
		x[i] = 0.5f;
	for (size_t node = 0; node <= 2; node++)
		radio_send(ether_radio(e, node), x, N, 0);
	assert_int_equal(ether_blank(e, 1, ETHER_DL, 1000, 1001), 0);
	assert_int_equal(ether_blank(e, 1, ETHER_DL, 1500, 2345), 0);
	radio_recv(ether_radio(e, 1), y, N - 64, 0);
	for (int i = 64; i < N - 64; i++)
		assert_close(cabsf(y[i]), i == 1000 || (i >= 1500 && i < 2345) ? 0 : 0.5, 0.002);
	radio_recv(ether_radio(e, 2), y, N - 64, 0); /* the other device hears on */
	assert_close(db(mean_power(y + 64, N - 128)), db(0.25), 0.01);
	radio_recv(ether_radio(e, 0), y, N - 64, 0); /* and so does the BS, both of them */
	assert_close(db(mean_power(y + 64, N - 128)), db(1.0), 0.01);
	ether_destroy(e);
}

static void impossible_blanks_are_refused(void **state)
{
	(void)state;
	struct ether_config cfg = plain_config(1);
	struct ether *e = make_ether(&cfg);
	assert_int_equal(ether_blank(e, 0, ETHER_DL, 0, 1), -EINVAL);
	assert_int_equal(ether_blank(e, 2, ETHER_DL, 0, 1), -EINVAL);
	assert_int_equal(ether_blank(e, 1, (enum ether_dir)2, 0, 1), -EINVAL);
	assert_int_equal(ether_blank(e, 1, ETHER_DL, 1, 1), -EINVAL);
	assert_int_equal(ether_blank(e, 1, ETHER_DL, NAN, 1), -EINVAL);
	for (int i = 0; i < ETHER_MAX_BLANKS; i++)
		assert_int_equal(ether_blank(e, 1, ETHER_UL, i, i + 0.5), 0);
	assert_int_equal(ether_blank(e, 1, ETHER_UL, 100, 101), -ENOSPC);
	ether_destroy(e);
}

static void outages_blank_their_share_of_time_in_their_direction_only(void **state)
{
	(void)state;
	enum { N = 8000, ROUNDS = 200 };
	static float complex x[N], y[N];
	struct ether_config cfg = plain_config(1);
	cfg.link[1].outage = (struct ether_outage){ .rate_hz = 400, .duration_s = 0.5e-3, .dirs = 1 << ETHER_UL };
	struct ether *e = make_ether(&cfg);
	double blanked[2] = { 0 };
	size_t bursts = 0;
	int was_blank = 0;
	for (int i = 0; i < N; i++)
		x[i] = 0.5f;
	for (uint64_t t = 0; t < ROUNDS * (uint64_t)N; t += N) {
		for (size_t node = 0; node < 2; node++)
			radio_send(ether_radio(e, node), x, N, t);
		for (size_t node = 0; node < 2; node++) {
			radio_recv(ether_radio(e, node), y, N - 64, t);
			for (int i = 32; i < N - 64; i++) {
				int blank = cabsf(y[i]) < 0.25f;
				blanked[node] += blank;
				bursts += node == 0 && blank && !was_blank;
				was_blank = node == 0 ? blank : was_blank;
			}
		}
	}
	assert_close(blanked[0] / (ROUNDS * (N - 96.0)), 0.2, 0.02); /* uplink: heard by the BS */
	assert_true(blanked[1] == 0);
	assert_in_range(bursts, 60, 84); /* 83 periods in 0.208 s; neighbours may run into each other */
	ether_destroy(e);
}

/* ---- configuration ---- */

#define BREAK(name, statement)                                                                                         \
	static void name(struct ether_config *cfg)                                                                     \
	{                                                                                                              \
		statement;                                                                                             \
	}

BREAK(no_devices, cfg->n_devices = 0)
BREAK(many_devices, cfg->n_devices = 17)
BREAK(no_rate, cfg->rate_hz = 0)
BREAK(nan_carrier, cfg->dl_hz = NAN)
BREAK(infinite_carrier, cfg->ul_hz = INFINITY)
BREAK(wild_clock, cfg->node[2].osc_ppm = 51)
BREAK(nan_power, cfg->node[0].tx_full_scale_dbm = NAN)
BREAK(negative_noise_figure, cfg->node[1].noise_figure_db = -1)
BREAK(infinite_full_scale, cfg->node[1].rx_full_scale_dbm = -INFINITY)
BREAK(early_start, cfg->node[1].start_offset_samples = -1)
BREAK(bs_start, cfg->node[0].start_offset_samples = 1)
BREAK(gain_not_loss, cfg->link[1].path_loss_db = -3)
BREAK(nan_delay, cfg->link[2].propagation_delay_s = NAN)
BREAK(unknown_model, cfg->link[2].model = "tdl-x")
BREAK(no_model, cfg->link[1].model = NULL)
BREAK(nan_k, cfg->link[1].k_db = NAN)
BREAK(negative_spread, cfg->link[1].delay_spread_s = -1e-9)
BREAK(long_spread, (cfg->link[1].model = "tdl-a", cfg->link[1].delay_spread_s = 1e-5))
BREAK(negative_speed, cfg->link[1].speed_m_s = -1)
BREAK(fast_for_the_rate, (cfg->link[1].model = "rayleigh", cfg->link[1].speed_m_s = 400))
BREAK(negative_outage_rate, cfg->link[1].outage.rate_hz = -1)
BREAK(nan_outage, cfg->link[1].outage.duration_s = NAN)
BREAK(unknown_direction, cfg->link[1].outage.dirs = 4)

static void every_bad_field_is_refused_and_named(void **state)
{
	(void)state;
	const struct {
		void (*spoil)(struct ether_config *cfg);
		const char *named;
	} bad[] = {
		{ no_devices, "n_devices" },
		{ many_devices, "n_devices" },
		{ no_rate, "rate_hz" },
		{ nan_carrier, "dl_hz" },
		{ infinite_carrier, "ul_hz" },
		{ wild_clock, "node[2].osc_ppm" },
		{ nan_power, "node[0].tx_full_scale_dbm" },
		{ negative_noise_figure, "node[1].noise_figure_db" },
		{ infinite_full_scale, "node[1].rx_full_scale_dbm" },
		{ early_start, "node[1].start_offset_samples" },
		{ bs_start, "node[0].start_offset_samples" },
		{ gain_not_loss, "link[1].path_loss_db" },
		{ nan_delay, "link[2].propagation_delay_s" },
		{ unknown_model, "link[2].model" },
		{ no_model, "link[1].model" },
		{ nan_k, "link[1].k_db" },
		{ negative_spread, "link[1].delay_spread_s" },
		{ long_spread, "link[1].delay_spread_s" },
		{ negative_speed, "link[1].speed_m_s" },
		{ fast_for_the_rate, "link[1].speed_m_s" },
		{ negative_outage_rate, "link[1].outage.rate_hz" },
		{ nan_outage, "link[1].outage.duration_s" },
		{ unknown_direction, "link[1].outage.dirs" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct ether_config cfg = plain_config(2);
		char err[160] = "";
		bad[i].spoil(&cfg);
		errno = 0;
		assert_null(ether_create(&cfg, err, sizeof err));
		assert_int_equal(errno, EINVAL);
		if (!strstr(err, bad[i].named))
			fail_msg("\"%s\" does not name %s", err, bad[i].named);
	}
	assert_null(ether_create(NULL, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flat_link_delays_by_whole_samples_and_changes_nothing),
		cmocka_unit_test(propagation_delays_of_any_fraction_are_exact_over_the_band),
		cmocka_unit_test(noise_is_thermal_plus_noise_figure_to_one_percent),
		cmocka_unit_test(path_loss_moves_the_snr),
		cmocka_unit_test(one_oscillator_error_moves_carrier_and_sampling_clock_together),
		cmocka_unit_test(clocks_slip_as_their_errors_say),
		cmocka_unit_test(the_true_response_is_what_a_receiver_measures),
		cmocka_unit_test(a_shadow_belongs_to_a_place),
		cmocka_unit_test(hardware_shows_at_the_receiver),
		cmocka_unit_test(fast_fading_follows_the_true_response_sample_by_sample),
		cmocka_unit_test(received_power_and_delay_spread_are_those_of_the_profile),
		cmocka_unit_test(links_directions_and_seeds_fade_independently),
		cmocka_unit_test(a_links_channel_does_not_depend_on_how_many_devices_there_are),
		cmocka_unit_test(receives_are_equal_to_the_bit_however_they_are_cut),
		cmocka_unit_test(a_downlink_is_equal_to_the_bit_whatever_devices_send),
		cmocka_unit_test(uplinks_add_and_do_not_change_each_other),
		cmocka_unit_test(a_silent_stretch_changes_nothing_around_it),
		cmocka_unit_test(a_blanked_stretch_is_noise_alone_to_the_sample),
		cmocka_unit_test(impossible_blanks_are_refused),
		cmocka_unit_test(outages_blank_their_share_of_time_in_their_direction_only),
		cmocka_unit_test(every_bad_field_is_refused_and_named),
	};
	return cmocka_run_group_tests(tests, make_tones, NULL);
}
