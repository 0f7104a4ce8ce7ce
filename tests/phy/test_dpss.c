/* Prolate sequences against their definition: eigenvectors of the sinc kernel, orthonormal, and what is known of the
 * eigenvalues. */
#include "phy/dpss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static double kernel(size_t i, size_t j, double w)
{
	double x = (double)i - (double)j;
	return i == j ? 2 * w : sin(2 * M_PI * w * x) / (M_PI * x);
}

static void check(size_t n, double w, size_t m)
{
	double *v = calloc(n * m, sizeof *v), *lambda = calloc(m, sizeof *lambda);
	assert_int_equal(dpss(n, w, m, v, lambda), 0);
	for (size_t a = 0; a < m; a++) {
		for (size_t b = 0; b <= a; b++) {
			double dot = 0;
			for (size_t i = 0; i < n; i++)
				dot += v[a * n + i] * v[b * n + i];
			assert_true(fabs(dot - (a == b)) < 1e-6);
		}
		double error = 0;
		for (size_t i = 0; i < n; i++) {
			double sum = 0;
			for (size_t j = 0; j < n; j++)
				sum += kernel(i, j, w) * v[a * n + j];
			error += pow(sum - lambda[a] * v[a * n + i], 2);
		}
		assert_true(sqrt(error) < 1e-6);
		assert_true(a == 0 || lambda[a] <= lambda[a - 1] + 1e-9);
	}
	free(lambda);
	free(v);
}

static void sequences_are_the_orthonormal_eigenvectors_of_the_sinc_kernel(void **state)
{
	(void)state;
	check(73, 0.005, 4);
	check(217, 18.0 / 512, 22);
	check(217, 2.0 / 512, 5);
	check(613, 91.0 / 2048, 62);
}

/* The trace of the kernel; about 2 n w of them are near one, the others near nil. */
static void eigenvalues_add_up_to_the_product_of_length_and_bandwidth(void **state)
{
	(void)state;
	enum { N = 60 };
	static double v[N * N], lambda[N];
	assert_int_equal(dpss(N, 0.1, N, v, lambda), 0);
	double sum = 0;
	for (size_t j = 0; j < N; j++)
		sum += lambda[j];
	assert_true(fabs(sum - 2 * N * 0.1) < 1e-6);
	assert_true(lambda[8] > 0.9 && lambda[16] < 0.01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences_are_the_orthonormal_eigenvectors_of_the_sinc_kernel),
		cmocka_unit_test(eigenvalues_add_up_to_the_product_of_length_and_bandwidth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
