/* Products in both modes: integers against sums in double, the same bits whatever the batch, the instruction set and the
 * threads. */
#include "matrices.h"
#include "moe/matmul.h"

#include "moe/rounded.h"

#include <pthread.h>

static bool of_integers(const struct tensor *t)
{
	return kernels_best()->rounded[tensor_kernel_type(t->type)] != NULL;
}

/* As rounded.h says: a scale a block, whole numbers. */
static void round_plainly(const float *x, size_t n, double *out)
{
	for (size_t b = 0, end; b < n; b = end) {
		float max = 0;
		end = b + 256 < n ? b + 256 : n;
		for (size_t i = b; i < end; i++)
			max = fmaxf(max, fabsf(x[i]));
		for (size_t i = b; i < end; i++)
			out[i] = max > 0 ? rint((double)(x[i] * (1 / (max / 127)))) * (double)(max / 127) : 0;
	}
}

static void check_fast(const struct tensor *t)
{
	static float x[MAX_X * MAX_COLS], y[MAX_X * MAX_ROWS], w[MAX_COLS];
	static double rounded[MAX_COLS];
	if (!of_integers(t))
		return;
	struct matmul *m = matmul_create(&(struct moe_compute){ .mode = MOE_FAST }, MAX_X, MAX_COLS);
	fill(x, MAX_X * t->n_cols, 21);
	memset(x, 0, 32 * sizeof *x); /* a block of zeros too */
	matmul_run(m, t, x, MAX_X, y);
	for (size_t i = 0; i < MAX_X; i++) {
		round_plainly(x + i * t->n_cols, t->n_cols, rounded);
		for (size_t r = 0; r < t->n_rows; r++) {
			double sum = 0, size = 0;
			tensor_row_to_float(t, r, w);
			for (size_t c = 0; c < t->n_cols; c++) {
				sum += (double)w[c] * rounded[c];
				size += fabs((double)w[c] * rounded[c]);
			}
			/* mins are sums of their own: what they take off again is larger than the difference */
			assert_true(fabs((double)y[i * t->n_rows + r] - sum) <= 2e-6 * (size + 1));
		}
	}
	matmul_destroy(m);
}

static void fast_products_are_those_of_the_rounded_numbers(void **state)
{
	(void)state;
	for_all(check_fast);
}

static void check_alone(const struct tensor *t)
{
	static float x[MAX_X * MAX_COLS], alone[MAX_X * MAX_ROWS], y[MAX_X * MAX_ROWS];
	struct matmul *m = matmul_create(&(struct moe_compute){ .mode = MOE_FAST }, MAX_X, MAX_COLS);
	fill(x, MAX_X * t->n_cols, 22);
	for (size_t i = 0; i < MAX_X; i++)
		matmul_run(m, t, x + i * t->n_cols, 1, alone + i * t->n_rows);
	for (size_t n = 2; n <= MAX_X; n++) {
		matmul_run(m, t, x, n, y);
		assert_memory_equal(y, alone, n * t->n_rows * sizeof *y);
	}
	matmul_destroy(m);
}

static void a_vector_alone_gives_the_bits_it_gives_in_a_batch(void **state)
{
	(void)state;
	for_all(check_alone);
}

static void check_sets(const struct tensor *t)
{
	static float x[MAX_X * MAX_COLS], y[MAX_X * MAX_ROWS], other[MAX_X * MAX_ROWS];
	fill(x, MAX_X * t->n_cols, 23);
	for (size_t i = 0; kernels_at(i); i++) {
		struct moe_compute how = { .mode = MOE_FAST, .kernels = kernels_at(i) };
		struct matmul *m = matmul_create(&how, MAX_X, MAX_COLS);
		matmul_run(m, t, x, MAX_X, i ? other : y);
		if (i)
			assert_memory_equal(other, y, MAX_X * t->n_rows * sizeof *y);
		matmul_destroy(m);
	}
}

static void all_instruction_sets_give_the_same_bits(void **state)
{
	(void)state;
	for_all(check_sets);
}

static void extreme_integers_are_multiplied_without_error(void **state)
{
	(void)state;
	enum { COLS = 64 };
	uint8_t row[2 * 34];
	float x[COLS], y;
	struct tensor t = { tensor_type_by_id(8), row, 1, COLS };
	for (size_t b = 0; b < 2; b++) {
		put_f16(row + 34 * b, 1);
		memset(row + 34 * b + 2, 0x80, 32); /* -128 */
	}
	for (size_t c = 0; c < COLS; c++)
		x[c] = c % 2 ? 127 : -127;
	for (size_t i = 0; kernels_at(i); i++) {
		struct moe_compute how = { .mode = MOE_FAST, .kernels = kernels_at(i) };
		struct matmul *m = matmul_create(&how, 1, COLS);
		matmul_run(m, &t, x, 1, &y);
		assert_true(y == 0);
		for (size_t c = 0; c < COLS; c++)
			x[c] = 127;
		matmul_run(m, &t, x, 1, &y);
		assert_true(y == -128.0f * 127 * COLS);
		for (size_t c = 0; c < COLS; c++)
			x[c] = c % 2 ? 127 : -127;
		matmul_destroy(m);
	}
}

/* A vector with a number that is not finite has no product; its neighbours have theirs. */
static void what_is_not_finite_stays_so(void **state)
{
	(void)state;
	enum { ROWS = 5, COLS = 256, N = 3 };
	static uint8_t bytes[ROWS * COLS * 4];
	static float x[N * COLS], y[N * ROWS];
	static const float bad[] = { NAN, INFINITY, -INFINITY };
	for (size_t type = 0; type < N_TYPES; type++)
		for (int mode = MOE_EXACT; mode <= MOE_FAST; mode++)
			for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
				struct tensor t;
				make_matrix(&t, bytes, tensor_type_at(type), ROWS, COLS, type);
				fill(x, N * COLS, 31);
				x[COLS + 77 * k] = bad[k];
				struct matmul *m = matmul_create(&(struct moe_compute){ .mode = mode }, N, COLS);
				matmul_run(m, &t, x, N, y);
				for (size_t i = 0; i < N * ROWS; i++)
					if (!isfinite(y[i]) != (i / ROWS == 1))
						fail_msg("%s mode %d bad %zu row %zu: %g", t.type->name, mode, k, i,
						         (double)y[i]);
				matmul_destroy(m);
			}
}

/* Workers that do the pieces backwards, half of them on another thread. */
struct backwards {
	void (*work)(void *arg, size_t i);
	void *arg;
	size_t n, n_runs;
};

static void *lower_half(void *user)
{
	struct backwards *b = user;
	for (size_t i = b->n / 2; i-- > 0;)
		b->work(b->arg, i);
	return NULL;
}

static void run_backwards(void *pool, void (*work)(void *arg, size_t i), void *arg, size_t n)
{
	struct backwards *b = pool;
	pthread_t other;
	b->work = work;
	b->arg = arg;
	b->n = n;
	b->n_runs++;
	assert_int_equal(pthread_create(&other, NULL, lower_half, b), 0);
	for (size_t i = n; i-- > n / 2;)
		work(arg, i);
	pthread_join(other, NULL);
}

static void threads_change_no_bit(void **state)
{
	(void)state;
	enum { ROWS = 203, COLS = 512, N = 6 };
	static uint8_t bytes[3][ROWS * COLS * 4];
	static float x[N * COLS], alone[3][N * ROWS], together[3][N * ROWS];
	struct backwards pool = { 0 };
	const struct moe_workers workers = { run_backwards, &pool, 3 };
	fill(x, N * COLS, 24);
	for (size_t type = 0; type < N_TYPES; type++)
		for (int mode = MOE_EXACT; mode <= MOE_FAST; mode++) {
			struct tensor t[3];
			struct matmul_task one[3], all[3];
			for (size_t k = 0; k < 3; k++) {
				make_matrix(&t[k], bytes[k], tensor_type_at((type + k) % N_TYPES), ROWS - 7 * k, COLS,
				            type + k);
				one[k] = (struct matmul_task){ &t[k], alone[k] };
				all[k] = (struct matmul_task){ &t[k], together[k] };
			}
			struct matmul *a = matmul_create(&(struct moe_compute){ .mode = mode }, N, COLS);
			struct matmul *b =
			        matmul_create(&(struct moe_compute){ .mode = mode, .workers = &workers }, N, COLS);
			for (size_t k = 0; k < 3; k++)
				matmul_run_all(a, &one[k], 1, x, N);
			matmul_run_all(b, all, 3, x, N);
			for (size_t k = 0; k < 3; k++)
				assert_memory_equal(alone[k], together[k], N * t[k].n_rows * sizeof(float));
			matmul_destroy(b);
			matmul_destroy(a);
		}
	assert_int_equal(pool.n_runs, 2 * N_TYPES); /* they were asked */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fast_products_are_those_of_the_rounded_numbers),
		cmocka_unit_test(a_vector_alone_gives_the_bits_it_gives_in_a_batch),
		cmocka_unit_test(all_instruction_sets_give_the_same_bits),
		cmocka_unit_test(extreme_integers_are_multiplied_without_error),
		cmocka_unit_test(what_is_not_finite_stays_so),
		cmocka_unit_test(threads_change_no_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
