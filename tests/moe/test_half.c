/* Half precision by hand, by the processor and by the compiler's own type: the same bits. */
#include "moe/half.h"
#include "support.h"

static uint16_t compiler_bits(float x)
{
	_Float16 h = (_Float16)x;
	uint16_t bits;
	memcpy(&bits, &h, sizeof bits);
	return bits;
}

static void every_f16_has_its_value_and_comes_back(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 1u << 16; bits++) {
		float x = f16_value((uint16_t)bits), plain = f16_value_plain((uint16_t)bits);
		if ((bits & 0x7c00) == 0x7c00 && bits & 0x3ff) {
			assert_true(isnan(x) && isnan(plain));
			assert_true(isnan(f16_value_plain(f16_bits_plain(x))));
			continue;
		}
		assert_int_equal(bits_of_float(x), bits_of_float(plain));
		assert_int_equal(f16_bits(x), bits);
		assert_int_equal(f16_bits_plain(x), bits);
	}
}

/* Between neighbours, at the ties and beside them, and everywhere at random. */
static void rounding_is_to_nearest_even(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 0x7c00; bits++) {
		float low = f16_value((uint16_t)bits), high = bits == 0x7bff ? 65536 : f16_value((uint16_t)(bits + 1));
		float middle = 0.5f * (low + high);
		const float near[] = { middle, nextafterf(middle, 0), nextafterf(middle, INFINITY), -middle };
		for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
			assert_int_equal(f16_bits_plain(near[i]), compiler_bits(near[i]));
			assert_int_equal(f16_bits(near[i]), compiler_bits(near[i]));
		}
	}
	uint64_t seed = 7;
	for (int i = 0; i < 1000000; i++) {
		float x = ldexpf(draw(&seed), (int)(draw(&seed) * 30));
		assert_int_equal(f16_bits_plain(x), compiler_bits(x));
	}
	assert_int_equal(f16_bits_plain(1e30f), 0x7c00);
	assert_int_equal(f16_bits_plain(-INFINITY), 0xfc00);
}

static void bf16_is_the_upper_half(void **state)
{
	(void)state;
	assert_true(bf16_value(0x3f80) == 1);
	assert_true(bf16_value(0xc040) == -3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_f16_has_its_value_and_comes_back),
		cmocka_unit_test(rounding_is_to_nearest_even),
		cmocka_unit_test(bf16_is_the_upper_half),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
