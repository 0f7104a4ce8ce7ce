/* The fading process by itself: profiles, powers, distributions and Doppler against theory. */
#include "measure.h"

#include <stdio.h>
#include <strings.h>

#include "radio/tdl.h"

static const double doppler_hz = 100;

static void gains(const struct tdl *ch, double t, double complex *g)
{
	float re[TDL_MAX_TAPS], im[TDL_MAX_TAPS];
	tdl_gains(ch, t, re, im);
	for (size_t i = 0; i < ch->n_taps; i++)
		g[i] = (double)re[i] + I * (double)im[i];
}

static void tables_equal_the_shared_file(void **state)
{
	(void)state;
	FILE *f = fopen(SHARED_DATA_DIR "/channel-taps.csv", "r");
	if (!f) {
		print_message("no %s: the tables are not compared\n", SHARED_DATA_DIR "/channel-taps.csv");
		skip();
	}
	char line[128], model[16], unit[16], fading[16];
	size_t lines = 0, taps = 0;
	while (fgets(line, sizeof line, f)) {
		double delay, power_db;
		size_t tap;
		if (sscanf(line, "%15[^,],%zu,%lf,%lf,%15[^,],%15s", model, &tap, &delay, &power_db, unit, fading) != 6)
			continue; /* heading */
		for (char *c = model; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 'a' - 'A' : *c);
		const struct tdl_profile *p = tdl_find(model);
		assert_non_null(p);
		assert_true(tap >= 1 && tap <= p->n_taps);
		assert_close(p->tap[tap - 1].delay, delay, 1e-12);
		assert_close(p->tap[tap - 1].power_db, power_db, 1e-12);
		assert_int_equal(p->unit, strcmp(unit, "ns") ? TDL_NORMALISED : TDL_NS);
		assert_int_equal(p->tap[tap - 1].fading, strcmp(fading, "LOS") ? TDL_RAYLEIGH : TDL_LOS);
		lines++;
	}
	fclose(f);
	for (size_t i = 0; i < tdl_n_profiles; i++)
		taps += tdl_profiles[i].unit == TDL_FLAT ? 0 : tdl_profiles[i].n_taps;
	assert_int_equal(lines, taps);
}

/* Mean power of every tap over realisations, at random times. */
static void measure_powers(const struct tdl_profile *p, double *power)
{
	enum { REALISATIONS = 8000 };
	double complex g[TDL_MAX_TAPS];
	struct tdl ch;
	memset(power, 0, p->n_taps * sizeof *power);
	for (uint64_t seed = 0; seed < REALISATIONS; seed++) {
		tdl_init(&ch, p, 100e-9, 0, doppler_hz, seed, 5);
		gains(&ch, (double)seed * 0.37, g);
		for (size_t i = 0; i < p->n_taps; i++)
			power[i] += (creal(g[i]) * creal(g[i]) + cimag(g[i]) * cimag(g[i])) / REALISATIONS;
	}
}

static double rms_spread(const double *power, const struct tdl_tap *tap, size_t n)
{
	double sum = 0, first = 0, second = 0;
	for (size_t i = 0; i < n; i++) {
		sum += power[i];
		first += power[i] * tap[i].delay;
		second += power[i] * tap[i].delay * tap[i].delay;
	}
	return sqrt(second / sum - first / sum * (first / sum));
}

static const char *const profiles_checked[] = { "tdl-a", "tdl-b", "tdl-c", "tdl-d", "tdl-e", "epa", "eva", "etu" };

static void power_delay_profiles_are_the_tables(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof profiles_checked / sizeof profiles_checked[0]; k++) {
		const struct tdl_profile *p = tdl_find(profiles_checked[k]);
		double power[TDL_MAX_TAPS], table[TDL_MAX_TAPS], sum = 0, total = 0;
		measure_powers(p, power);
		for (size_t i = 0; i < p->n_taps; i++) {
			table[i] = pow(10, p->tap[i].power_db / 10);
			sum += table[i];
		}
		for (size_t i = 0; i < p->n_taps; i++) {
			assert_close(db(power[i]), db(table[i] / sum), 0.5);
			total += power[i];
		}
		assert_close(total, 1, 0.05);
		assert_close(rms_spread(power, p->tap, p->n_taps) / rms_spread(table, p->tap, p->n_taps), 1, 0.02);
	}
}

/* The standard scales TDL delays so that their RMS spread is the delay spread asked for. */
static void tdl_profiles_have_the_delay_spread_asked_for(void **state)
{
	(void)state;
	for (const char *name = "abc"; *name; name++) {
		char full[] = "tdl-?";
		full[4] = *name;
		const struct tdl_profile *p = tdl_find(full);
		struct tdl ch;
		tdl_init(&ch, p, 100e-9, 0, doppler_hz, 1, 1);
		double power[TDL_MAX_TAPS];
		struct tdl_tap tap[TDL_MAX_TAPS];
		for (size_t i = 0; i < p->n_taps; i++) {
			power[i] = pow(10, p->tap[i].power_db / 10);
			tap[i].delay = ch.delay_s[i];
		}
		assert_close(rms_spread(power, tap, p->n_taps) / 100e-9, 1, 0.02);
	}
}

static double rayleigh_cdf(double x, const void *arg)
{
	(void)arg;
	return 1 - exp(-x * x);
}

/* Rice: 1 - Q1(sqrt(2K), x sqrt(2(K+1))) by integrating the density, mean power 1. */
static double rice_cdf(double x, const void *arg)
{
	double k = *(const double *)arg, sum = 0, step = x / 200;
	for (int i = 0; i < 200; i++) {
		double r = (i + 0.5) * step, z = 2 * r * sqrt(k * (k + 1)), bessel = 0;
		for (int m = 0; m < 24; m++) /* I0(z) e^-z = mean of exp(z (cos a - 1)) over the circle */
			bessel += exp(z * (cos(2 * M_PI * (m + 0.5) / 24) - 1)) / 24;
		sum += 2 * r * (k + 1) * exp(-k - (k + 1) * r * r + z) * bessel * step;
	}
	return sum;
}

enum { SERIES = 40000 };

/* |gain| of a flat model at SERIES times: one realisation over time, or one time over realisations. */
static void envelopes(const char *model, double k_db, int over_time, double *v)
{
	struct tdl ch;
	double complex g[TDL_MAX_TAPS];
	tdl_init(&ch, tdl_find(model), 0, k_db, doppler_hz, 11, 2);
	for (size_t i = 0; i < SERIES; i++) {
		if (!over_time)
			tdl_init(&ch, tdl_find(model), 0, k_db, doppler_hz, i, 2);
		gains(&ch, over_time ? (double)i * 3.3 / doppler_hz : 1.0, g);
		v[i] = cabs(g[0] + (ch.n_taps > 1 ? g[1] : 0));
	}
}

static void rayleigh_envelopes_are_rayleigh_over_time(void **state)
{
	static double v[SERIES];
	(void)state;
	envelopes("rayleigh", 0, 1, v);
	assert_true(ks_distance(v, SERIES, rayleigh_cdf, NULL) < 0.02);
}

static void rayleigh_envelopes_are_rayleigh_over_realisations(void **state)
{
	static double v[SERIES];
	(void)state;
	envelopes("rayleigh", 0, 0, v);
	assert_true(ks_distance(v, SERIES, rayleigh_cdf, NULL) < 0.02);
}

static void rice_envelopes_follow_their_k_factor(void **state)
{
	static double v[SERIES];
	(void)state;
	for (double k_db = -3; k_db <= 9; k_db += 6) {
		double k = pow(10, k_db / 10);
		for (int over_time = 0; over_time < 2; over_time++) {
			envelopes("rice", k_db, over_time, v);
			double power = 0;
			for (size_t i = 0; i < SERIES; i++)
				power += v[i] * v[i] / SERIES;
			assert_close(power, 1, 0.05);
			assert_true(ks_distance(v, 4000, rice_cdf, &k) < 0.03); /* enough; the integral is slow */
		}
	}
}

static void fades_below_minus_10_db_are_as_frequent_as_theory_says(void **state)
{
	static double v[SERIES];
	(void)state;
	envelopes("rayleigh", 0, 1, v);
	double below = 0;
	for (size_t i = 0; i < SERIES; i++)
		below += v[i] * v[i] < 0.1;
	assert_close(below / SERIES, 1 - exp(-0.1), 0.15 * 0.095);
}

/* Rice 1948: upward crossings of rho times the RMS a second = sqrt(2 pi) f_d rho exp(-rho^2). */
static void levels_are_crossed_at_the_rate_theory_says(void **state)
{
	(void)state;
	struct tdl ch;
	double complex g;
	tdl_init(&ch, tdl_find("rayleigh"), 0, 0, doppler_hz, 4, 4);
	for (double rho = 0.3; rho < 1.5; rho += 0.5) {
		const double seconds = 30, step = 0.01 / doppler_hz;
		double crossings = 0, last = 0;
		for (double t = 0; t < seconds; t += step) {
			gains(&ch, t, &g);
			crossings += cabs(g) >= rho && last < rho;
			last = cabs(g);
		}
		double wanted = sqrt(2 * M_PI) * doppler_hz * rho * exp(-rho * rho);
		assert_close(crossings / seconds / wanted, 1, 0.15);
	}
}

/* Within one realisation, over 2000 Doppler periods. */
static void autocorrelation_is_the_bessel_function_in_every_realisation(void **state)
{
	enum { N = 40000, PER_PERIOD = 20 };
	static double complex g[N];
	(void)state;
	for (uint64_t seed = 0; seed < 10; seed++) {
		struct tdl ch;
		tdl_init(&ch, tdl_find("rayleigh"), 0, 0, doppler_hz, seed, 9);
		for (size_t i = 0; i < N; i++)
			gains(&ch, (double)i / PER_PERIOD / doppler_hz, &g[i]);
		for (size_t lag = 0; lag <= 2 * PER_PERIOD; lag++) { /* to two periods: 2 pi f_d tau = 12.6 */
			double complex r = 0;
			for (size_t i = 0; i + lag < N; i++)
				r += g[i + lag] * conj(g[i]) / (double)(N - lag);
			double wanted = j0(2 * M_PI * (double)lag / PER_PERIOD);
			assert_close(creal(r), wanted, 0.05);
			assert_close(cimag(r), 0, 0.05);
		}
	}
}

/* Power by Doppler frequency, by a windowed transform at single frequencies: Clarke's spectrum puts
 * (2/pi) acos(0.9) = 28.7 % of it beyond 0.9 f_d, and nothing beyond f_d. */
static void the_doppler_spectrum_ends_at_the_maximum_doppler(void **state)
{
	enum { N = 4096 };
	static double complex g[N];
	(void)state;
	struct tdl ch;
	tdl_init(&ch, tdl_find("rayleigh"), 0, 0, doppler_hz, 21, 9);
	for (int i = 0; i < N; i++) {
		gains(&ch, i / (4 * doppler_hz), &g[i]);
		double u = 2 * M_PI * i / N; /* Blackman */
		g[i] *= 0.42 - 0.5 * cos(u) + 0.08 * cos(2 * u);
	}
	double total = 0, beyond = 0, edge = 0;
	for (int bin = -N / 2; bin < N / 2; bin++) {
		double complex step = cexp(-2 * I * M_PI * bin / N), turn = 1, sum = 0;
		for (int i = 0; i < N; i++, turn *= step)
			sum += g[i] * turn;
		double f = 4.0 * bin / N, power = creal(sum) * creal(sum) + cimag(sum) * cimag(sum);
		total += power;
		beyond += fabs(f) > 1.05 ? power : 0;
		edge += fabs(f) > 0.9 ? power : 0;
	}
	assert_true(db(beyond / total) < -50);
	assert_close(edge / total, 2 / M_PI * acos(0.9), 0.06);
}

static double complex correlation(const struct tdl *a, const struct tdl *b, size_t tap_a, size_t tap_b)
{
	enum { N = 20000 };
	double complex ga[TDL_MAX_TAPS], gb[TDL_MAX_TAPS], r = 0;
	double pa = 0, pb = 0;
	for (size_t i = 0; i < N; i++) {
		double t = (double)i * 0.31 / doppler_hz;
		gains(a, t, ga);
		gains(b, t, gb);
		r += ga[tap_a] * conj(gb[tap_b]);
		pa += creal(ga[tap_a] * conj(ga[tap_a]));
		pb += creal(gb[tap_b] * conj(gb[tap_b]));
	}
	return r / sqrt(pa * pb);
}

static void taps_streams_and_seeds_fade_independently(void **state)
{
	(void)state;
	struct tdl a, other_stream, other_seed;
	tdl_init(&a, tdl_find("epa"), 0, 0, doppler_hz, 1, 1);
	tdl_init(&other_stream, tdl_find("epa"), 0, 0, doppler_hz, 1, 2);
	tdl_init(&other_seed, tdl_find("epa"), 0, 0, doppler_hz, 2, 1);
	assert_close(cabs(correlation(&a, &a, 2, 2)), 1, 1e-9);
	for (size_t i = 0; i < 6; i++) {
		assert_true(cabs(correlation(&a, &a, i, i + 1)) < 0.05);
		assert_true(cabs(correlation(&a, &other_stream, i, i)) < 0.05);
		assert_true(cabs(correlation(&a, &other_seed, i, i)) < 0.05);
	}
}

static void gains_are_a_function_of_time_alone(void **state)
{
	(void)state;
	struct tdl a, b;
	float re[2][TDL_MAX_TAPS], im[2][TDL_MAX_TAPS];
	tdl_init(&a, tdl_find("tdl-a"), 1e-7, 0, doppler_hz, 3, 3);
	tdl_init(&b, tdl_find("tdl-a"), 1e-7, 0, doppler_hz, 3, 3);
	for (int i = 0; i < 100; i++)
		tdl_gains(&a, i * 0.7, re[0], im[0]);
	for (int i = 99; i >= 0; i--) {
		tdl_gains(&a, i * 0.7, re[0], im[0]);
		tdl_gains(&b, i * 0.7, re[1], im[1]);
		assert_memory_equal(re[0], re[1], a.n_taps * sizeof(float));
		assert_memory_equal(im[0], im[1], a.n_taps * sizeof(float));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_equal_the_shared_file),
		cmocka_unit_test(power_delay_profiles_are_the_tables),
		cmocka_unit_test(tdl_profiles_have_the_delay_spread_asked_for),
		cmocka_unit_test(rayleigh_envelopes_are_rayleigh_over_time),
		cmocka_unit_test(rayleigh_envelopes_are_rayleigh_over_realisations),
		cmocka_unit_test(rice_envelopes_follow_their_k_factor),
		cmocka_unit_test(fades_below_minus_10_db_are_as_frequent_as_theory_says),
		cmocka_unit_test(levels_are_crossed_at_the_rate_theory_says),
		cmocka_unit_test(autocorrelation_is_the_bessel_function_in_every_realisation),
		cmocka_unit_test(the_doppler_spectrum_ends_at_the_maximum_doppler),
		cmocka_unit_test(taps_streams_and_seeds_fade_independently),
		cmocka_unit_test(gains_are_a_function_of_time_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
