/* Uplink control fields: quantised as stated, refused when no sender makes them. */
#include "phy/uci.h"
#include "tests/phy/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct uci through(struct uci u)
{
	uint8_t payload[UCI_BYTES];
	struct uci got;
	assert_int_equal(uci_pack(&u, payload), 0);
	assert_int_equal(uci_unpack(payload, &got), 0);
	return got;
}

static void every_step_of_every_field_survives(void **state)
{
	(void)state;
	for (int i = 0; i < 128; i++) {
		struct uci u = { .ack = (enum uci_ack)(i % 3),
			         .buffer_bytes = uci_bsr_bytes((uint8_t)(i % 32)),
			         .headroom_db = (float)(i % 32 - 21),
			         .report_rb = (int16_t)(i % 127 - 1),
			         .report_snr_db = 0.5f * (float)i - 20 };
		struct uci got = through(u);
		assert_int_equal(got.ack, u.ack);
		assert_int_equal(got.buffer_bytes, u.buffer_bytes);
		assert_near(got.headroom_db, u.headroom_db, 0);
		assert_int_equal(got.report_rb, u.report_rb);
		assert_near(got.report_snr_db, u.report_snr_db, 0);
	}
}

static void values_between_steps_go_to_the_nearest_and_beyond_to_the_ends(void **state)
{
	(void)state;
	struct uci got = through((struct uci){ .headroom_db = -3.4f, .report_snr_db = 12.3f });
	assert_near(got.headroom_db, -3, 0);
	assert_near(got.report_snr_db, 12.5, 0);
	got = through((struct uci){ .headroom_db = 300, .report_snr_db = -300 });
	assert_near(got.headroom_db, 10, 0);
	assert_near(got.report_snr_db, -20, 0);
}

static void buffer_status_never_understates_and_is_within_a_step(void **state)
{
	(void)state;
	assert_int_equal(uci_bsr_code(0), 0);
	assert_int_equal(uci_bsr_bytes(0), 0);
	assert_int_equal(uci_bsr_bytes(1), 16);
	assert_int_equal(uci_bsr_bytes(31), 1 << 20);
	for (uint32_t bytes = 1; bytes <= 1 << 20; bytes += 1 + bytes / 50) {
		uint32_t told = uci_bsr_bytes(uci_bsr_code(bytes));
		assert_true(told >= bytes);
		assert_true(told <= 16 || told < bytes * 1.46);
	}
	assert_int_equal(uci_bsr_code(UINT32_MAX), 31);
}

static void what_is_not_a_number_or_out_of_range_is_not_packed(void **state)
{
	(void)state;
	uint8_t payload[UCI_BYTES];
	const struct uci bad[] = { { .headroom_db = NAN },
		                   { .report_snr_db = INFINITY },
		                   { .ack = (enum uci_ack)3 },
		                   { .report_rb = 126 },
		                   { .report_rb = -2 } };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(uci_pack(&bad[i], payload), -EINVAL);
}

static void contents_that_no_sender_makes_are_refused(void **state)
{
	(void)state;
	struct uci got;
	const uint8_t ack_3[UCI_BYTES] = { 0xc0 }, rb_127[UCI_BYTES] = { 0, 0x0f, 0xe0 };
	assert_int_equal(uci_unpack(ack_3, &got), -EBADMSG);
	assert_int_equal(uci_unpack(rb_127, &got), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_of_every_field_survives),
		cmocka_unit_test(values_between_steps_go_to_the_nearest_and_beyond_to_the_ends),
		cmocka_unit_test(buffer_status_never_understates_and_is_within_a_step),
		cmocka_unit_test(what_is_not_a_number_or_out_of_range_is_not_packed),
		cmocka_unit_test(contents_that_no_sender_makes_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
