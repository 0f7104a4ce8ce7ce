/* Tensor types and the row kernel: right against sums in long double, and the same bits however rows are batched. */
#include "matrices.h"
#include "moe/tensor.h"

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

/* Every set of kernels that this processor runs, on every type, width and number of vectors. */
static void check_kernels(const struct tensor *t)
{
	static float x[MAX_X * MAX_COLS], y[MAX_X * MAX_ROWS], other[MAX_X * MAX_ROWS];
	fill(x, MAX_X * t->n_cols, 9);
	enum kernel_type k = 0;
	while (tensor_type_at(k) != t->type)
		k++;
	tensor_matmul(t, x, MAX_X, y);
	for (size_t i = 0; kernels_at(i); i++) {
		memset(other, 0xff, sizeof other);
		kernels_at(i)->matmul[k](t->data, t->n_rows, t->n_cols, x, MAX_X, other, t->n_rows);
		assert_memory_equal(other, y, MAX_X * t->n_rows * sizeof *y);
	}
}

static void all_instruction_sets_give_the_same_bits(void **state)
{
	(void)state;
	size_t n = 0;
	while (kernels_at(n))
		print_message("%s ", kernels_at(n++)->name);
	print_message("\n");
	assert_string_equal(kernels_at(n - 1)->name, "plain");
	for_all(check_kernels);
}

/* The K types by the words of their specification, a number at a time. */
static int six_bits(const uint8_t *packed, size_t sub, int is_min)
{
	if (sub < 4)
		return packed[sub + (is_min ? 4 : 0)] & 63;
	int low = is_min ? packed[sub + 4] >> 4 : packed[sub + 4] & 15;
	return low + packed[sub - (is_min ? 0 : 4)] / 64 * 16;
}

static double half_at(const uint8_t *at)
{
	_Float16 h;
	memcpy(&h, at, sizeof h);
	return (double)h;
}

static double q4_0_number(const uint8_t *b, size_t i)
{
	return half_at(b) * ((i < 16 ? b[2 + i] % 16 : b[2 + i - 16] / 16) - 8);
}

static double q4_k_number(const uint8_t *b, size_t i)
{
	int q = i / 32 % 2 ? b[16 + i / 64 * 32 + i % 32] / 16 : b[16 + i / 64 * 32 + i % 32] % 16;
	return half_at(b) * six_bits(b + 4, i / 32, 0) * q - half_at(b + 2) * six_bits(b + 4, i / 32, 1);
}

static double q5_k_number(const uint8_t *b, size_t i)
{
	int q = i / 32 % 2 ? b[48 + i / 64 * 32 + i % 32] / 16 : b[48 + i / 64 * 32 + i % 32] % 16;
	q += (b[16 + i % 32] & 1 << i / 32) ? 16 : 0;
	return half_at(b) * six_bits(b + 4, i / 32, 0) * q - half_at(b + 2) * six_bits(b + 4, i / 32, 1);
}

static double q6_k_number(const uint8_t *b, size_t i)
{
	size_t half = i / 128, quarter = i / 32 % 4, at = i % 32;
	uint8_t low = b[half * 64 + (quarter == 1 || quarter == 3 ? 32 : 0) + at], high = b[128 + half * 32 + at];
	int q = (quarter < 2 ? low % 16 : low / 16) + (high >> 2 * quarter) % 4 * 16;
	return half_at(b + 208) * (int8_t)b[192 + i / 16] * (q - 32);
}

static void block_types_are_read_as_specified(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		double (*number)(const uint8_t *block, size_t i);
	} cases[] = {
		{ "Q4_0", q4_0_number }, { "Q4_K", q4_k_number }, { "Q5_K", q5_k_number }, { "Q6_K", q6_k_number }
	};
	static uint8_t bytes[MAX_ROWS * MAX_COLS * 4];
	for (size_t k = 0; k < 4; k++) {
		const struct tensor_type *type = NULL;
		for (size_t i = 0; i < N_TYPES; i++)
			type = strcmp(tensor_type_at(i)->name, cases[k].name) ? type : tensor_type_at(i);
		struct tensor t;
		float x[MAX_COLS];
		assert_int_equal(make_matrix(&t, bytes, type, 1, MAX_COLS, 50 + k), 1);
		tensor_row_to_float(&t, 0, x);
		for (size_t i = 0; i < MAX_COLS; i++) {
			double right = cases[k].number(bytes + i / type->block * type->bytes, i % type->block);
			assert_true(fabs((double)x[i] - right) <= 1e-6);
		}
	}
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
		cmocka_unit_test(all_instruction_sets_give_the_same_bits),
		cmocka_unit_test(block_types_are_read_as_specified),
		cmocka_unit_test(q8_0_numbers_are_scale_times_integer),
		cmocka_unit_test(exp_is_close_to_the_library_over_its_range),
		cmocka_unit_test(one_nan_or_infinity_anywhere_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
