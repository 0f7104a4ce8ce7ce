/* Tensor types and the row kernel: right against sums in long double, and the same bits however rows are batched. */
#include "moe/tensor.h"
#include "support.h"

enum { MAX_ROWS = 19, MAX_COLS = 320, MAX_X = 11 };

static const uint32_t type_ids[] = { 0, 1, 8 };
enum { N_TYPES = sizeof type_ids / sizeof type_ids[0] };

/* Widths with whole chunks, half ones, and tails; of Q8_0 only whole blocks exist. */
static const size_t widths[] = { 32, 64, 256, 320, 1, 7, 16, 31, 40, 100, 257 };
enum { N_WIDTHS = sizeof widths / sizeof widths[0] };

/* A matrix of a type with weights of about one; bytes: room for its rows. */
static int make_matrix(struct tensor *t, uint8_t *bytes, uint32_t type, size_t n_rows, size_t n_cols, uint64_t seed)
{
	*t = (struct tensor){ tensor_type_by_id(type), bytes, n_rows, n_cols };
	if (n_cols % t->type->block)
		return 0;
	for (size_t i = 0; i < n_rows * n_cols; i++) {
		float w = draw(&seed);
		_Float16 h = (_Float16)w, scale = (_Float16)(0.004f + 0.004f * (float)(i / 32 % 3));
		uint8_t *block = bytes + i / 32 * 34;
		if (type == 0)
			memcpy(bytes + 4 * i, &w, 4);
		else if (type == 1)
			memcpy(bytes + 2 * i, &h, 2);
		else {
			memcpy(block, &scale, 2);
			block[2 + i % 32] = (uint8_t)(int8_t)(w * 127);
		}
	}
	return 1;
}

/* Runs a check on every type and width that go together. */
static void for_all(void (*check)(const struct tensor *t))
{
	static uint8_t bytes[MAX_ROWS * MAX_COLS * 4];
	for (size_t i = 0; i < N_TYPES; i++)
		for (size_t j = 0; j < N_WIDTHS; j++) {
			struct tensor t;
			if (make_matrix(&t, bytes, type_ids[i], MAX_ROWS, widths[j], i * 100 + j))
				check(&t);
		}
}

static void check_against_long_double(const struct tensor *t)
{
	static float x[MAX_X * MAX_COLS], y[MAX_X * MAX_ROWS], w[MAX_COLS];
	fill(x, MAX_X * t->n_cols, 5);
	tensor_matmul(t, x, MAX_X, y);
	for (size_t r = 0; r < t->n_rows; r++) {
		tensor_row_to_float(t, r, w);
		for (size_t i = 0; i < MAX_X; i++) {
			long double sum = 0, size = 0;
			for (size_t c = 0; c < t->n_cols; c++) {
				sum += (long double)w[c] * (long double)x[i * t->n_cols + c];
				size += fabsl((long double)w[c] * (long double)x[i * t->n_cols + c]);
			}
			/* each lane adds n / 16 + 4 times, each with half a unit in the last place */
			long double bound = ((long double)t->n_cols / 16 + 4) * 0x1p-24L * size + 1e-12L;
			assert_true(fabsl((long double)y[i * t->n_rows + r] - sum) <= bound);
		}
	}
}

static void products_are_right_for_every_type_and_width(void **state)
{
	(void)state;
	for_all(check_against_long_double);
}

static void check_batches(const struct tensor *t)
{
	static float x[MAX_X * MAX_COLS], alone[MAX_X * MAX_ROWS], y[MAX_X * MAX_ROWS];
	fill(x, MAX_X * t->n_cols, 6);
	for (size_t i = 0; i < MAX_X; i++)
		tensor_matmul(t, x + i * t->n_cols, 1, alone + i * t->n_rows);
	for (size_t n = 2; n <= MAX_X; n++) {
		tensor_matmul(t, x, n, y);
		assert_memory_equal(y, alone, n * t->n_rows * sizeof *y);
	}
}

static void a_vector_alone_gives_the_bits_it_gives_in_a_batch(void **state)
{
	(void)state;
	for_all(check_batches);
}

static void check_row_split(const struct tensor *t)
{
	static float x[MAX_COLS], all[MAX_ROWS];
	fill(x, t->n_cols, 7);
	tensor_matmul(t, x, 1, all);
	for (size_t r = 0; r < t->n_rows; r++) {
		struct tensor row = { t->type, tensor_row(t, r), 1, t->n_cols };
		float y;
		tensor_matmul(&row, x, 1, &y);
		assert_memory_equal(&y, &all[r], sizeof y);
	}
}

static void a_weight_row_alone_gives_the_bits_it_gives_in_a_matrix(void **state)
{
	(void)state;
	for_all(check_row_split);
}

/* The order of summation as the header states it, spelled out without vectors. */
static float stated_sum(const float *w, const float *x, size_t n)
{
	float lanes[16] = { 0 };
	for (size_t c = 0; c < n; c++)
		lanes[c % 16] = fmaf(w[c], x[c], lanes[c % 16]);
	for (size_t apart = 8; apart; apart /= 2)
		for (size_t i = 0; i < apart; i++)
			lanes[i] += lanes[i + apart];
	return lanes[0];
}

static void check_stated_order(const struct tensor *t)
{
	static float x[MAX_COLS], w[MAX_COLS], y[MAX_ROWS];
	fill(x, t->n_cols, 8);
	tensor_matmul(t, x, 1, y);
	for (size_t r = 0; r < t->n_rows; r++) {
		tensor_row_to_float(t, r, w);
		float sum = stated_sum(w, x, t->n_cols);
		assert_memory_equal(&sum, &y[r], sizeof sum);
	}
}

static void sums_are_made_in_the_stated_order(void **state)
{
	(void)state;
	for_all(check_stated_order);
}

static void q8_0_numbers_are_scale_times_integer(void **state)
{
	(void)state;
	uint8_t block[34];
	_Float16 scale = 0.5f;
	memcpy(block, &scale, 2);
	for (int i = 0; i < 32; i++)
		block[2 + i] = (uint8_t)(int8_t)(4 * i - 64);
	float x[32];
	tensor_type_by_id(8)->to_float(block, x, 32);
	for (int i = 0; i < 32; i++)
		assert_true(x[i] == (float)(2 * i - 32));
}

static void exp_is_close_to_the_library_over_its_range(void **state)
{
	(void)state;
	for (double x = -86.9; x < 88.6; x += 0.0137) {
		double right = exp((double)(float)x);
		assert_true(fabs((double)tensor_exp((float)x) - right) <= 2e-7 * right);
	}
	assert_true(tensor_exp(0) == 1);
	assert_true(tensor_exp(-1000) == 0);
	assert_true(tensor_exp(-INFINITY) == 0);
	assert_true(isinf(tensor_exp(89)));
	assert_true(isnan(tensor_exp(NAN)));
}

static void one_nan_or_infinity_anywhere_is_found(void **state)
{
	(void)state;
	float x[37] = { 0 };
	const float bad[] = { NAN, -NAN, INFINITY, -INFINITY };
	assert_true(tensor_all_finite(x, 37));
	for (size_t i = 0; i < 37; i++)
		for (size_t k = 0; k < 4; k++) {
			x[i] = bad[k];
			assert_false(tensor_all_finite(x, 37));
			x[i] = 3.4e38f;
		}
	assert_true(tensor_all_finite(x, 37));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_are_right_for_every_type_and_width),
		cmocka_unit_test(a_vector_alone_gives_the_bits_it_gives_in_a_batch),
		cmocka_unit_test(a_weight_row_alone_gives_the_bits_it_gives_in_a_matrix),
		cmocka_unit_test(sums_are_made_in_the_stated_order),
		cmocka_unit_test(q8_0_numbers_are_scale_times_integer),
		cmocka_unit_test(exp_is_close_to_the_library_over_its_range),
		cmocka_unit_test(one_nan_or_infinity_anywhere_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
