#include "measure.h"

#include "radio/ring.h"

enum { RING_SAMPLES = 1 << 17, N = 3 * RING_SAMPLES + 1234 };

static float complex *signal_of(uint64_t seed, size_t n)
{
	float complex *x = new_samples(n);
	make_noise(x, n, seed);
	return x;
}

/* Samples first .. first+n-1 read back equal x[0..n-1] times scale. */
static void assert_reads(const struct ring *ring, int64_t first, size_t n, const float complex *x, float scale)
{
	float *re = malloc(n * sizeof *re), *im = malloc(n * sizeof *im);
	ring_read(ring, first, n, re, im);
	for (size_t i = 0; i < n; i++) {
		assert_true(re[i] == crealf(x[i]) * scale);
		assert_true(im[i] == cimagf(x[i]) * scale);
	}
	free(re);
	free(im);
}

static void the_latest_samples_read_back_scaled_after_many_wraps(void **state)
{
	struct ring *ring = *state;
	float complex *x = signal_of(1, N);
	for (size_t t = 0, n = 1; t < N; t += n) {
		n = 1 + t * 7 % 5000;
		if (n > N - t)
			n = N - t;
		assert_int_equal(ring_write(ring, t, x + t, n, 0.25f), 0);
	}
	assert_int_equal(ring_end(ring), N);
	assert_reads(ring, N - RING_SAMPLES / 2, RING_SAMPLES / 2, x + N - RING_SAMPLES / 2, 0.25f);
	free(x);
}

static void a_gap_reads_as_silence_even_over_old_samples(void **state)
{
	struct ring *ring = *state;
	float complex *x = signal_of(2, RING_SAMPLES), *zeros = new_samples(5000);
	ring_write(ring, 0, x, RING_SAMPLES, 1);
	ring_write(ring, RING_SAMPLES + 5000, x, 100, 1);
	assert_reads(ring, RING_SAMPLES, 5000, zeros, 1);
	assert_reads(ring, RING_SAMPLES + 5000, 100, x, 1);
	assert_true(ring_is_silent(ring, RING_SAMPLES + 64, 4900));
	free(x);
	free(zeros);
}

static void a_gap_longer_than_the_ring_leaves_nothing_old(void **state)
{
	struct ring *ring = *state;
	float complex *x = signal_of(3, RING_SAMPLES), *zeros = new_samples(RING_SAMPLES / 2);
	uint64_t later = 1000000007;
	ring_write(ring, 0, x, RING_SAMPLES, 1);
	ring_write(ring, later, x, 10, 1);
	assert_reads(ring, (int64_t)later - RING_SAMPLES / 2, RING_SAMPLES / 2, zeros, 1);
	assert_true(ring_is_silent(ring, (int64_t)later - RING_SAMPLES / 2, RING_SAMPLES / 2 - 64));
	assert_reads(ring, (int64_t)later, 10, x, 1);
	free(x);
	free(zeros);
}

static void before_the_first_and_after_the_last_sample_is_silence(void **state)
{
	struct ring *ring = *state;
	float complex x[200] = { 0 }, *noise = signal_of(4, 50);
	ring_write(ring, 0, noise, 50, 1);
	memcpy(x + 100, noise, 50 * sizeof *x);
	assert_reads(ring, -100, 200, x, 1);
	assert_true(ring_is_silent(ring, -100, 100));
	assert_true(ring_is_silent(ring, 50, 1000));
	assert_false(ring_is_silent(ring, -100, 101));
	free(noise);
}

static void sent_zeros_count_as_silence_and_one_sample_does_not(void **state)
{
	struct ring *ring = *state;
	float complex *x = new_samples(4096);
	x[2000] = 1e-20f * I;
	ring_write(ring, 0, x, 4096, 1);
	assert_true(ring_is_silent(ring, 0, 1984));
	assert_false(ring_is_silent(ring, 0, 2001));
	assert_true(ring_is_silent(ring, 2048, 2048));
	free(x);
}

static void components_beyond_full_scale_are_clipped_and_counted(void **state)
{
	struct ring *ring = *state;
	const float complex x[4] = { 1.0f - 1.0f * I, 1.5f + 0.5f * I, -0.5f - 3.0f * I, 2.0f + 2.0f * I };
	const float complex clipped[4] = { 1.0f - 1.0f * I, 1.0f + 0.5f * I, -0.5f - 1.0f * I, 1.0f + 1.0f * I };
	assert_int_equal(ring_write(ring, 70, x, 4, 2), 3);
	assert_reads(ring, 70, 4, clipped, 2);
}

static int create(void **state)
{
	*state = ring_create(RING_SAMPLES / 2);
	return *state ? 0 : -1;
}

static int destroy(void **state)
{
	ring_destroy(*state);
	return 0;
}

#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(the_latest_samples_read_back_scaled_after_many_wraps),
		RING_TEST(a_gap_reads_as_silence_even_over_old_samples),
		RING_TEST(a_gap_longer_than_the_ring_leaves_nothing_old),
		RING_TEST(before_the_first_and_after_the_last_sample_is_silence),
		RING_TEST(sent_zeros_count_as_silence_and_one_sample_does_not),
		RING_TEST(components_beyond_full_scale_are_clipped_and_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
