/* Activation codecs: what comes back, within what bounds, in which bytes. */
#include "moe/codec.h"
#include "support.h"

#include <errno.h>

enum { MAX_N = 300 };

static uint8_t bytes[MAX_N * 4 + 64];

static void f32_is_exact_in_network_byte_order(void **state)
{
	(void)state;
	const struct codec *c = codec_by_name("f32");
	float x[MAX_N], y[MAX_N];
	fill(x, MAX_N, 1);
	x[0] = 1.0f; /* 3f800000 */
	x[1] = -0.0f;
	x[2] = 1e-45f;
	assert_int_equal(codec_bytes(c, MAX_N), 4 * MAX_N);
	assert_int_equal(c->encode(x, MAX_N, bytes), 0);
	assert_memory_equal(bytes, "\x3f\x80\0\0", 4);
	assert_int_equal(c->decode(bytes, MAX_N, y), 0);
	assert_memory_equal(x, y, sizeof x);
}

static void f16_errs_by_half_a_unit_at_most(void **state)
{
	(void)state;
	const struct codec *c = codec_by_name("f16");
	float x[MAX_N], y[MAX_N];
	fill(x, MAX_N, 2);
	for (size_t i = 0; i < MAX_N; i++)
		x[i] *= ldexpf(1, (int)(i % 30) - 15);
	x[0] = 1.0f; /* 3c00 */
	assert_int_equal(codec_bytes(c, MAX_N), 2 * MAX_N);
	assert_int_equal(c->encode(x, MAX_N, bytes), 0);
	assert_memory_equal(bytes, "\x3c\0", 2);
	assert_int_equal(c->decode(bytes, MAX_N, y), 0);
	for (size_t i = 0; i < MAX_N; i++)
		assert_true(fabsf(x[i] - y[i]) <= fmaxf(fabsf(x[i]) * 0x1p-11f, 0x1p-25f));
}

static void f16_rounds_ties_to_even(void **state)
{
	(void)state;
	const struct codec *c = codec_by_name("f16");
	const float x[] = { 1 + 0x1p-11f, 1 + 3 * 0x1p-11f }, right[] = { 1, 1 + 4 * 0x1p-11f };
	float y[2];
	assert_int_equal(c->encode(x, 2, bytes), 0);
	assert_int_equal(c->decode(bytes, 2, y), 0);
	assert_memory_equal(y, right, sizeof y);
}

static void f16_values_pass_through_f16_unchanged(void **state)
{
	(void)state;
	const struct codec *c = codec_by_name("f16");
	for (uint32_t bits = 0; bits < 0x10000; bits++) {
		uint8_t in[2] = { (uint8_t)(bits >> 8), (uint8_t)bits }, out[2];
		float x;
		if ((bits & 0x7c00) == 0x7c00) {
			assert_int_equal(c->decode(in, 1, &x), -EDOM);
			continue;
		}
		assert_int_equal(c->decode(in, 1, &x), 0);
		assert_int_equal(c->encode(&x, 1, out), 0);
		assert_memory_equal(in, out, 2);
	}
}

static void int8_errs_by_half_a_step_of_its_block(void **state)
{
	(void)state;
	const struct codec *c = codec_by_name("int8");
	float x[MAX_N], y[MAX_N];
	fill(x, MAX_N, 3);
	for (size_t i = 0; i < MAX_N; i++)
		x[i] *= ldexpf(1, (int)(i / 32) - 4);
	assert_int_equal(codec_bytes(c, MAX_N), MAX_N + 2 * 10);
	assert_int_equal(c->encode(x, MAX_N, bytes), 0);
	assert_int_equal(c->decode(bytes, MAX_N, y), 0);
	for (size_t start = 0; start < MAX_N; start += 32) {
		size_t len = MAX_N - start < 32 ? MAX_N - start : 32;
		float max = 0;
		for (size_t i = 0; i < len; i++)
			max = fmaxf(max, fabsf(x[start + i]));
		/* half a step, and what rounding the step to f16 can cost at +-127 steps */
		float bound = max / 127 * (0.5f + 127 * 0x1p-11f) * 1.001f;
		for (size_t i = 0; i < len; i++)
			assert_true(fabsf(x[start + i] - y[start + i]) <= bound);
	}
}

static void int4_errs_by_half_a_step_but_at_the_far_end(void **state)
{
	(void)state;
	const struct codec *c = codec_by_name("int4");
	float x[MAX_N], y[MAX_N];
	fill(x, MAX_N, 5);
	for (size_t i = 0; i < MAX_N; i++)
		x[i] *= ldexpf(1, (int)(i / 32) - 4);
	x[MAX_N - 1] = 0.1f;
	assert_int_equal(codec_bytes(c, MAX_N), MAX_N / 2 + 2 * 10);
	assert_int_equal(codec_bytes(c, 35), 16 + 2 + 2 + 2); /* three numbers take two bytes */
	assert_int_equal(c->encode(x, MAX_N, bytes), 0);
	assert_int_equal(c->decode(bytes, MAX_N, y), 0);
	for (size_t start = 0; start < MAX_N; start += 32) {
		size_t len = MAX_N - start < 32 ? MAX_N - start : 32;
		float largest = 0;
		for (size_t i = 0; i < len; i++)
			largest = fabsf(x[start + i]) > fabsf(largest) ? x[start + i] : largest;
		float step = fabsf(largest) / 8;
		for (size_t i = 0; i < len; i++) {
			bool far = x[start + i] * largest < 0 && fabsf(x[start + i]) > 7.5f * step; /* there is no +8 */
			float bound = step * ((far ? 1 : 0.5f) + 8 * 0x1p-11f) * 1.001f;
			assert_true(fabsf(x[start + i] - y[start + i]) <= bound);
			if (x[start + i] == largest)
				assert_true(fabsf(y[start + i] - largest) <= fabsf(largest) * 0x1p-11f);
		}
	}
}

static void blocks_of_zeros_are_zeros(void **state)
{
	(void)state;
	static const char *const names[] = { "int8", "int4" };
	for (size_t k = 0; k < 2; k++) {
		const struct codec *c = codec_by_name(names[k]);
		float x[41] = { 0 }, y[41];
		assert_int_equal(c->encode(x, 41, bytes), 0);
		assert_int_equal(c->decode(bytes, 41, y), 0);
		assert_memory_equal(x, y, sizeof x);
	}
}

/* So that a row's bytes do not depend on what it is sent with, and nothing is written beyond them. */
static void encoding_writes_just_the_bytes_it_announces(void **state)
{
	(void)state;
	float x[MAX_N];
	fill(x, MAX_N, 4);
	for (size_t k = 0; codec_at(k); k++)
		for (size_t n = 1; n <= 100; n++) {
			size_t len = codec_bytes(codec_at(k), n);
			memset(bytes, 0xa5, sizeof bytes);
			assert_int_equal(codec_at(k)->encode(x, n, bytes), 0);
			for (size_t i = len; i < len + 32; i++)
				assert_int_equal(bytes[i], 0xa5);
		}
}

static void what_is_not_finite_is_refused_both_ways(void **state)
{
	(void)state;
	const float bad[] = { NAN, INFINITY, -INFINITY };
	for (size_t k = 0; codec_at(k); k++)
		for (size_t b = 0; b < 3; b++) {
			float x[33] = { 0 };
			x[32] = bad[b];
			assert_int_equal(codec_at(k)->encode(x, 33, bytes), -EDOM);
		}
	float y[32];
	assert_int_equal(codec_by_name("f32")->decode((const uint8_t *)"\x7f\x80\0\0", 1, y), -EDOM);
	assert_int_equal(codec_by_name("f16")->decode((const uint8_t *)"\xfc\0", 1, y), -EDOM);
	assert_int_equal(codec_by_name("int8")->decode((const uint8_t *)"\x7e\0\1", 1, y), -EDOM);
	assert_int_equal(codec_by_name("int4")->decode((const uint8_t *)"\x7e\0\1", 1, y), -EDOM);
}

static void what_is_too_large_for_the_codec_is_refused(void **state)
{
	(void)state;
	float large = 65520, largest = 65519, huge = 1e7f;
	assert_int_equal(codec_by_name("f16")->encode(&large, 1, bytes), -ERANGE);
	assert_int_equal(codec_by_name("f16")->encode(&largest, 1, bytes), 0);
	assert_int_equal(codec_by_name("int8")->encode(&huge, 1, bytes), -ERANGE);
	assert_int_equal(codec_by_name("int4")->encode(&huge, 1, bytes), -ERANGE);
	assert_int_equal(codec_by_name("f32")->encode(&huge, 1, bytes), 0);
}

static void codecs_are_found_by_name_and_id(void **state)
{
	(void)state;
	size_t n = 0;
	for (; codec_at(n); n++) {
		assert_ptr_equal(codec_by_name(codec_at(n)->name), codec_at(n));
		assert_ptr_equal(codec_by_id(codec_at(n)->id), codec_at(n));
	}
	assert_int_equal(n, 4);
	assert_null(codec_by_name("f8"));
	assert_null(codec_by_id(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f32_is_exact_in_network_byte_order),
		cmocka_unit_test(f16_errs_by_half_a_unit_at_most),
		cmocka_unit_test(f16_rounds_ties_to_even),
		cmocka_unit_test(f16_values_pass_through_f16_unchanged),
		cmocka_unit_test(int8_errs_by_half_a_step_of_its_block),
		cmocka_unit_test(int4_errs_by_half_a_step_but_at_the_far_end),
		cmocka_unit_test(blocks_of_zeros_are_zeros),
		cmocka_unit_test(encoding_writes_just_the_bytes_it_announces),
		cmocka_unit_test(what_is_not_finite_is_refused_both_ways),
		cmocka_unit_test(what_is_too_large_for_the_codec_is_refused),
		cmocka_unit_test(codecs_are_found_by_name_and_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
