/* Oscillator, mixer and converter against theory: spectrum of phase noise, image, leakage, quantisation. */
#include "measure.h"

#include <errno.h>

#include "radio/frontend.h"

static const double rate_hz = 7.68e6;

static struct frontend make(struct frontend_config cfg)
{
	struct frontend f;
	assert_int_equal(frontend_init(&f, &cfg, rate_hz, 3, 4), 0);
	return f;
}

/* Power of x at f cycles a sample, a density: windowed transforms of many pieces (Welch). */
static double density(const float *x, size_t n, size_t piece, double f)
{
	double sum = 0, window = 0;
	size_t pieces = 0;
	for (size_t i = 0; i < piece; i++)
		window += pow(sin(M_PI * (double)i / (double)piece), 4);
	for (size_t at = 0; at + piece <= n; at += piece / 2, pieces++) {
		double complex a = 0;
		for (size_t i = 0; i < piece; i++) {
			double w = sin(M_PI * (double)i / (double)piece);
			a += w * w * (double)x[at + i] * cexp(-2 * I * M_PI * f * (double)i);
		}
		sum += creal(a) * creal(a) + cimag(a) * cimag(a);
	}
	return sum / window / (double)pieces;
}

/* Below the corner flat at the level given, at the corner 3 dB down, beyond it 20 dB a decade. */
static void phase_noise_has_its_spectrum(void **state)
{
	(void)state;
	enum { N = 1 << 20, PIECE = 8192 };
	const double level_dbc_hz = -90, corner_hz = 5e4;
	static float rad[N];
	struct phase_noise p;
	double square = 0;
	assert_int_equal(phase_noise_init(&p, level_dbc_hz, corner_hz, rate_hz, 11, 0), 0);
	phase_noise_fill(&p, 0, N, rad);
	for (size_t i = 0; i < N; i++)
		square += (double)(rad[i] * rad[i]) / N;
	double wanted_rms = sqrt(M_PI * corner_hz * pow(10, level_dbc_hz / 10));
	print_message("rms %.5f rad, wanted %.5f\n", sqrt(square), wanted_rms);
	assert_close(sqrt(square), wanted_rms, 0.03 * wanted_rms);
	static const double offsets_hz[] = { 5e3, 1.5e4, 5e4, 1.5e5, 5e5 };
	for (size_t i = 0; i < 5; i++) {
		double f = offsets_hz[i], wanted = level_dbc_hz - db(1 + f * f / (corner_hz * corner_hz));
		double measured = db(density(rad, N, PIECE, f / rate_hz) / rate_hz);
		print_message("%6.0f Hz: %.2f dBc/Hz, wanted %.2f\n", f, measured, wanted);
		assert_close(measured, wanted, 1.2); /* 256 pieces: 0.3 dB, and 0.2 dB for sampling at the last */
	}
}

static void phase_noise_is_the_same_in_any_pieces(void **state)
{
	(void)state;
	enum { N = 20000 };
	static float whole[N], piece[N];
	struct phase_noise p, q;
	assert_int_equal(phase_noise_init(&p, -90, 1e4, rate_hz, 11, 0), 0);
	q = p;
	phase_noise_fill(&p, 1000000, N, whole);
	uint64_t random = 5;
	for (size_t end = N; end > 0;) { /* from the back, sizes of all kinds */
		size_t n = 1 + (size_t)(uniform(&random) * 700);
		n = n > end ? end : n;
		phase_noise_fill(&q, 1000000 + end - n, n, &piece[end - n]);
		end -= n;
	}
	assert_memory_equal(whole, piece, sizeof whole);
	assert_int_equal(phase_noise_init(&q, -90, 1e4, rate_hz, 11, 1), 0);
	phase_noise_fill(&q, 1000000, N, piece);
	assert_true(memcmp(whole, piece, sizeof whole) != 0);
	for (size_t i = 1; i < N; i++) /* no step where a segment begins anew */
		assert_true(fabsf(whole[i] - whole[i - 1]) < 0.02f);
}

/* Of a tone at f: amplitude at -f over that at f, and what stands at the carrier. */
static void the_mixer_makes_an_image_and_a_carrier(void **state)
{
	(void)state;
	enum { N = 4096 };
	static const struct {
		double gain_db, phase_deg, leakage;
	} cases[] = { { 0.5, 0, 0 }, { 0, 3, 0 }, { -0.3, 1, 0.01 }, { 0, 0, 0.05 }, { 1, -4, 0 } };
	for (size_t c = 0; c < 5; c++) {
		struct frontend f = make((struct frontend_config){ .iq_gain_db = cases[c].gain_db,
		                                                   .iq_phase_deg = cases[c].phase_deg,
		                                                   .leakage = cases[c].leakage });
		float complex x[N];
		float re[N], im[N];
		make_tone(x, N, 64.0 / N, 0, 0.3);
		for (size_t i = 0; i < N; i++) {
			re[i] = crealf(x[i]);
			im[i] = cimagf(x[i]);
		}
		assert_int_equal(frontend_receive(&f, 0, N, re, im), 0);
		for (size_t i = 0; i < N; i++)
			x[i] = CMPLXF(re[i], im[i]);
		double g = pow(10, cases[c].gain_db / 20), phi = cases[c].phase_deg * M_PI / 180;
		double image = (1 + g * g - 2 * g * cos(phi)) / (1 + g * g + 2 * g * cos(phi));
		double direct = cabs(tone_amplitude(x, N, 64.0 / N, 0)),
		       mirrored = cabs(tone_amplitude(x, N, -64.0 / N, 0));
		assert_close(mirrored / direct, sqrt(image), 1e-5);
		assert_close(direct, 0.3 * sqrt(1 + g * g + 2 * g * cos(phi)) / 2, 1e-5);
		assert_close(cabs(tone_amplitude(x, N, 0, 0)), cases[c].leakage, 1e-5);
	}
}

/* A full sine through b bits: 6.02 b + 1.76 dB. */
static void the_converter_has_the_noise_of_its_bits(void **state)
{
	(void)state;
	enum { N = 1 << 15 };
	static float re[N], im[N];
	for (int bits = 6; bits <= 14; bits += 2) {
		struct frontend f = make((struct frontend_config){ .bits = bits });
		double step = ldexp(1, 1 - bits), noise = 0, signal = 0, amplitude = 1 - step;
		for (int i = 0; i < N; i++) {
			double turns = 0.381966011 * i;
			re[i] = (float)(amplitude * cos(2 * M_PI * turns));
			im[i] = (float)(amplitude * sin(2 * M_PI * turns));
		}
		assert_int_equal(frontend_receive(&f, 0, N, re, im), 0);
		for (int i = 0; i < N; i++) {
			double turns = 0.381966011 * i, ideal = amplitude * cos(2 * M_PI * turns);
			noise += ((double)re[i] - ideal) * ((double)re[i] - ideal);
			signal += ideal * ideal;
			assert_true((double)fabsf(re[i] - rintf(re[i] * (float)(1 / step)) * (float)step) == 0);
		}
		print_message("%2d bits: %.2f dB, wanted %.2f\n", bits, db(signal / noise),
		              6.02 * bits + 1.76 + 2 * db(amplitude));
		assert_close(db(signal / noise), 6.02 * bits + 1.76 + 2 * db(amplitude), 0.3);
	}
}

static void what_is_too_strong_is_clipped_and_counted(void **state)
{
	(void)state;
	struct frontend f = make((struct frontend_config){ .bits = 12 });
	float re[] = { 0.5f, 1.2f, -1.2f, -1, 0, 3 }, im[] = { -0.5f, 0, 0, 0, 1, -3 };
	const float step = 1.0f / 2048, top = 1 - step;
	assert_int_equal(frontend_receive(&f, 0, 6, re, im), 4);
	const float wanted_re[] = { 0.5f, top, -1, -1, 0, top }, wanted_im[] = { -0.5f, 0, 0, 0, top, -1 };
	assert_memory_equal(re, wanted_re, sizeof re);
	assert_memory_equal(im, wanted_im, sizeof im);
}

/* Sending, the converter comes first: its steps are no longer there after the mixer. */
static void sending_goes_the_other_way(void **state)
{
	(void)state;
	struct frontend_config cfg = { .bits = 2, .leakage = 0.1 };
	struct frontend f = make(cfg);
	float re[] = { 0.3f }, im[] = { 0 };
	frontend_transmit(&f, 0, 1, re, im);
	assert_close(re[0], 0.6, 1e-6);
	re[0] = 0.3f;
	frontend_receive(&f, 0, 1, re, im);
	assert_close(re[0], 0.5, 1e-6);
}

static void the_ideal_one_changes_nothing(void **state)
{
	(void)state;
	struct frontend f = make((struct frontend_config){ 0 });
	float re[] = { 0.3f, 17 }, im[] = { -0.2f, 1e-9f };
	assert_true(f.ideal);
	assert_int_equal(frontend_receive(&f, 0, 2, re, im) + frontend_transmit(&f, 0, 2, re, im), 0);
	assert_true(re[0] == 0.3f && re[1] == 17 && im[0] == -0.2f && im[1] == 1e-9f);
}

static void ranges_are_checked(void **state)
{
	(void)state;
	const struct frontend_config bad[] = { { .iq_gain_db = 7 },
		                               { .iq_phase_deg = NAN },
		                               { .leakage = -0.1 },
		                               { .bits = 1 },
		                               { .bits = 25 },
		                               { .phase_noise_dbc_hz = -300, .phase_noise_corner_hz = 1e5 },
		                               { .phase_noise_dbc_hz = -90, .phase_noise_corner_hz = 100 },
		                               { .phase_noise_dbc_hz = -90, .phase_noise_corner_hz = 3e6 } };
	struct frontend f;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(frontend_init(&f, &bad[i], rate_hz, 1, 1), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phase_noise_has_its_spectrum),
		cmocka_unit_test(phase_noise_is_the_same_in_any_pieces),
		cmocka_unit_test(the_mixer_makes_an_image_and_a_carrier),
		cmocka_unit_test(the_converter_has_the_noise_of_its_bits),
		cmocka_unit_test(what_is_too_strong_is_clipped_and_counted),
		cmocka_unit_test(sending_goes_the_other_way),
		cmocka_unit_test(the_ideal_one_changes_nothing),
		cmocka_unit_test(ranges_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
