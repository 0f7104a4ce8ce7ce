#include "measure.h"

#include "radio/gauss.h"

enum { N = 10 * 1000 * 1000 / GAUSS_BLOCK * GAUSS_BLOCK };

struct series {
	float *re, *im; /* N samples of stream 3, seed 7 */
};

static double normal_cdf(double x, const void *arg)
{
	(void)arg;
	return 0.5 * erfc(-x * M_SQRT1_2);
}

static void power_and_mean_are_those_of_unit_variance(void **state)
{
	const struct series *s = *state;
	double power = 0, mean_re = 0, mean_im = 0;
	for (size_t i = 0; i < N; i++) {
		power += (double)(s->re[i] * s->re[i] + s->im[i] * s->im[i]);
		mean_re += (double)s->re[i];
		mean_im += (double)s->im[i];
	}
	assert_close(power / N, 2, 5 * 2 / sqrt(N));
	assert_close(mean_re / N, 0, 5 / sqrt(N));
	assert_close(mean_im / N, 0, 5 / sqrt(N));
}

static void amplitudes_are_normal(void **state)
{
	const struct series *s = *state;
	static double v[1 << 18];
	for (size_t i = 0; i < 1 << 18; i++)
		v[i] = (double)(i % 2 ? s->re[i] : s->im[i]);
	assert_true(ks_distance(v, 1 << 18, normal_cdf, NULL) < 1.95 / sqrt(1 << 18)); /* 0.1 % point */
}

/* Counts beyond 3, 4 and 5 sigma in both components, against erfc, within 5 standard deviations of a count. */
static void tails_have_the_right_weight_to_5_sigma(void **state)
{
	const struct series *s = *state;
	for (int sigma = 3; sigma <= 5; sigma++) {
		double wanted = 2.0 * N * erfc(sigma * M_SQRT1_2), count = 0;
		for (size_t i = 0; i < N; i++)
			count += (fabsf(s->re[i]) > (float)sigma) + (fabsf(s->im[i]) > (float)sigma);
		assert_close(count, wanted, 5 * sqrt(wanted));
	}
}

static int compare_words(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Two neighbouring samples as 128 bits, folded to 64: chance repeats among 5e6 are one in 10^6. */
static void ten_million_samples_hold_no_repetition(void **state)
{
	const struct series *s = *state;
	uint64_t *word = malloc(N / 2 * sizeof *word);
	assert_non_null(word);
	for (size_t i = 0; i < N / 2; i++) {
		uint32_t bits[4];
		memcpy(&bits[0], &s->re[2 * i], 4);
		memcpy(&bits[1], &s->im[2 * i], 4);
		memcpy(&bits[2], &s->re[2 * i + 1], 4);
		memcpy(&bits[3], &s->im[2 * i + 1], 4);
		word[i] =
		        ((uint64_t)bits[0] << 32 | bits[1]) * 0x9E3779B97F4A7C15u ^ ((uint64_t)bits[2] << 32 | bits[3]);
	}
	qsort(word, N / 2, sizeof *word, compare_words);
	size_t repeats = 0;
	for (size_t i = 1; i < N / 2; i++)
		repeats += word[i] == word[i - 1];
	free(word);
	assert_int_equal(repeats, 0);
}

static void noise_is_white(void **state)
{
	const struct series *s = *state;
	for (size_t lag = 1; lag <= 130; lag++) {
		double complex r = 0;
		for (size_t i = 0; i < 200000; i++)
			r += (double complex)(s->re[i] + I * s->im[i]) *
			     (double complex)(s->re[i + lag] - I * s->im[i + lag]);
		assert_true(cabs(r) / 200000 / 2 < 4.5 / sqrt(200000));
	}
}

static double correlation(uint64_t seed_a, uint32_t stream_a, uint64_t seed_b, uint32_t stream_b)
{
	enum { M = 1 << 16 };
	static float a[2][M], b[2][M];
	gauss_fill(seed_a, stream_a, 0, M, a[0], a[1]);
	gauss_fill(seed_b, stream_b, 0, M, b[0], b[1]);
	double complex r = 0;
	for (size_t i = 0; i < M; i++)
		r += (double complex)(a[0][i] + I * a[1][i]) * (double complex)(b[0][i] - I * b[1][i]);
	return cabs(r) / M / 2 * sqrt(M);
}

static void streams_and_seeds_do_not_correlate(void **state)
{
	(void)state;
	assert_true(correlation(7, 3, 7, 3) > 250); /* the measure itself works */
	assert_true(correlation(7, 3, 7, 4) < 4.5);
	assert_true(correlation(7, 3, 8, 3) < 4.5);
	assert_true(correlation(7, 3, 7ull << 32, 3) < 4.5);
	assert_true(correlation(0, 0, 1, 1) < 4.5);
}

static void any_piece_is_the_same_as_the_whole(void **state)
{
	const struct series *s = *state;
	float re[3 * GAUSS_BLOCK], im[3 * GAUSS_BLOCK];
	for (size_t t = 0; t + 3 * GAUSS_BLOCK < 100000; t += 7 * GAUSS_BLOCK) {
		gauss_fill(7, 3, t, 3 * GAUSS_BLOCK, re, im);
		assert_memory_equal(re, s->re + t, sizeof re);
		assert_memory_equal(im, s->im + t, sizeof im);
	}
}

/* Times beyond 2^32 samples (9 minutes at 7.68 MS/s) are new noise, not the first again. */
static void noise_goes_on_after_2_to_the_38_samples(void **state)
{
	const struct series *s = *state;
	float re[GAUSS_BLOCK], im[GAUSS_BLOCK];
	for (int bit = 32; bit < 48; bit++) {
		gauss_fill(7, 3, 1ull << bit, GAUSS_BLOCK, re, im);
		assert_memory_not_equal(re, s->re, sizeof re);
		assert_memory_not_equal(re, s->re + GAUSS_BLOCK, sizeof re);
	}
}

static int create(void **state)
{
	static struct series s;
	s.re = malloc(N * sizeof(float));
	s.im = malloc(N * sizeof(float));
	if (!s.re || !s.im)
		return -1;
	gauss_fill(7, 3, 0, N, s.re, s.im);
	*state = &s;
	return 0;
}

static int destroy(void **state)
{
	struct series *s = *state;
	free(s->re);
	free(s->im);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_and_mean_are_those_of_unit_variance),
		cmocka_unit_test(amplitudes_are_normal),
		cmocka_unit_test(tails_have_the_right_weight_to_5_sigma),
		cmocka_unit_test(ten_million_samples_hold_no_repetition),
		cmocka_unit_test(noise_is_white),
		cmocka_unit_test(streams_and_seeds_do_not_correlate),
		cmocka_unit_test(any_piece_is_the_same_as_the_whole),
		cmocka_unit_test(noise_goes_on_after_2_to_the_38_samples),
	};
	return cmocka_run_group_tests(tests, create, destroy);
}
