/* Shadowing against what is asked of it: Gaussian in dB, of the standard deviation given, correlated exponentially over the way. */
#include "measure.h"

#include "radio/shadow.h"

static const double sigma_db = 7.82, decorrelation_m = 13, speed_m_s = 1.5;

static double normal_cdf(double x, const void *sigma)
{
	return 0.5 * erfc(-x / *(const double *)sigma * M_SQRT1_2);
}

static void values_are_gaussian_in_db(void **state)
{
	(void)state;
	enum { N = 20000 };
	static double v[N];
	double mean = 0, square = 0, distance = 0;
	struct shadow s;
	for (uint32_t i = 0; i < N; i++) {
		shadow_init(&s, sigma_db, decorrelation_m, i % 2 ? speed_m_s : 0, i / 7, i % 7);
		v[i] = shadow_db(&s, 0.37 * i);
		mean += v[i] / N;
		square += v[i] * v[i] / N;
	}
	distance = ks_distance(v, N, normal_cdf, &sigma_db);
	print_message("mean %.3f dB, standard deviation %.3f dB of %.2f, KS distance %.4f\n", mean, sqrt(square),
	              sigma_db, distance);
	assert_close(mean, 0, 4 * sigma_db / sqrt(N));
	assert_close(sqrt(square), sigma_db, 0.02 * sigma_db);
	assert_true(distance < 0.015);
}

/* Over realisations: exp(-distance / decorrelation). */
static void correlation_falls_exponentially_over_the_way(void **state)
{
	(void)state;
	enum { N = 20000, LAGS = 7 };
	static const double way[LAGS] = { 0, 1, 3, 6.5, 13, 26, 52 };
	double sum[LAGS] = { 0 };
	struct shadow s;
	for (uint32_t i = 0; i < N; i++) {
		shadow_init(&s, sigma_db, decorrelation_m, speed_m_s, 100 + i, 3);
		for (size_t l = 0; l < LAGS; l++)
			sum[l] += shadow_db(&s, 5) * shadow_db(&s, 5 + way[l] / speed_m_s) / (N * sigma_db * sigma_db);
	}
	for (size_t l = 0; l < LAGS; l++)
		assert_close(sum[l], exp(-way[l] / decorrelation_m), 0.03);
}

/* What one experiment sees: a long walk has the standard deviation and the correlation, too. */
static void one_long_walk_is_like_many_short_ones(void **state)
{
	(void)state;
	enum { N = 100000 };
	const double step_s = 0.5, lag_s = decorrelation_m / speed_m_s;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct shadow s;
		double square = 0, product = 0;
		shadow_init(&s, sigma_db, decorrelation_m, speed_m_s, seed, 0);
		for (int i = 0; i < N; i++) {
			double a = shadow_db(&s, i * step_s), b = shadow_db(&s, i * step_s + lag_s);
			square += a * a / N;
			product += a * b / N;
		}
		assert_close(sqrt(square), sigma_db, 0.06 * sigma_db);
		assert_close(product / square, exp(-1), 0.08);
	}
}

static void none_is_none_and_a_seed_is_a_seed(void **state)
{
	(void)state;
	struct shadow a, b, c, none;
	shadow_init(&a, 4, 10, 1, 9, 2);
	shadow_init(&b, 4, 10, 1, 9, 2);
	shadow_init(&c, 4, 10, 1, 9, 3);
	shadow_init(&none, 0, 10, 1, 9, 2);
	for (int i = 0; i < 100; i++) {
		assert_true(shadow_db(&a, i) == shadow_db(&b, i));
		assert_true(shadow_db(&a, i) != shadow_db(&c, i));
		assert_true(shadow_db(&none, i) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_gaussian_in_db),
		cmocka_unit_test(correlation_falls_exponentially_over_the_way),
		cmocka_unit_test(one_long_walk_is_like_many_short_ones),
		cmocka_unit_test(none_is_none_and_a_seed_is_a_seed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
