/* Messages as bytes: what goes in comes out, and nothing that is damaged, cut off or of another version does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testbed/crc32c.h"
#include "testbed/message.h"

enum { N_PAYLOAD = 50, N_MESSAGE = MESSAGE_HEADER + N_PAYLOAD };

static const struct message sample = {
	.type = MESSAGE_RESULT,
	.codec = 2,
	.reply_codec = 3,
	.status = MESSAGE_OK,
	.seq = 0x01020304,
	.layer = 0x0506,
	.combined = true,
	.choices = 0x0708,
	.rows = 0x090a,
	.slot = 0x0b0c0d0e,
	.compute_us = 0x0f101112,
	.queue_us = 0x13141516,
	.n_payload = N_PAYLOAD,
};

static void encode_sample(uint8_t bytes[N_MESSAGE])
{
	uint8_t payload[N_PAYLOAD];
	for (size_t i = 0; i < N_PAYLOAD; i++)
		payload[i] = (uint8_t)(200 + i);
	assert_int_equal(message_encode(&sample, payload, bytes, N_MESSAGE), N_MESSAGE);
}

/* Writes the right CRC, so that only what was changed can be the reason for a refusal. */
static void seal(uint8_t *bytes, size_t n)
{
	memset(bytes + 32, 0, 4);
	uint32_t crc = crc32c(0, bytes, n);
	for (int i = 0; i < 4; i++)
		bytes[32 + i] = (uint8_t)(crc >> (24 - 8 * i));
}

static ssize_t decode(const uint8_t *bytes, size_t n)
{
	struct message m;
	const uint8_t *payload;
	return message_decode(bytes, n, &m, &payload);
}

/* A call names a multicast set where a result names a slot. */
static void a_call_names_a_set(void **state)
{
	(void)state;
	uint8_t bytes[MESSAGE_HEADER];
	const uint8_t *payload;
	struct message m = { .type = MESSAGE_CALL, .set = 0x01020304, .slot = 5 }, got;
	assert_int_equal(message_encode(&m, NULL, bytes, sizeof bytes), MESSAGE_HEADER);
	assert_int_equal(message_decode(bytes, sizeof bytes, &got, &payload), MESSAGE_HEADER);
	assert_int_equal(got.set, 0x01020304);
	assert_int_equal(got.slot, 0);
}

static void every_field_comes_back(void **state)
{
	(void)state;
	uint8_t bytes[N_MESSAGE];
	struct message m;
	const uint8_t *payload;
	encode_sample(bytes);
	assert_int_equal(message_decode(bytes, sizeof bytes, &m, &payload), N_MESSAGE);
	assert_int_equal(m.version, MESSAGE_VERSION);
	assert_int_equal(m.type, sample.type);
	assert_int_equal(m.codec, sample.codec);
	assert_int_equal(m.reply_codec, sample.reply_codec);
	assert_int_equal(m.status, sample.status);
	assert_int_equal(m.seq, sample.seq);
	assert_int_equal(m.layer, sample.layer);
	assert_int_equal(m.combined, sample.combined);
	assert_int_equal(m.choices, sample.choices);
	assert_int_equal(m.rows, sample.rows);
	assert_int_equal(m.slot, sample.slot);
	assert_int_equal(m.compute_us, sample.compute_us);
	assert_int_equal(m.queue_us, sample.queue_us);
	assert_int_equal(m.n_payload, N_PAYLOAD);
	for (size_t i = 0; i < N_PAYLOAD; i++)
		assert_int_equal(payload[i], 200 + i);
}

/* Against bytes written down by hand from the table in the header. */
static void the_header_is_in_network_byte_order(void **state)
{
	(void)state;
	uint8_t bytes[N_MESSAGE];
	static const uint8_t expected[32] = {
		3,    5,    2,    0,    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 3,    1,    0x07, 0x08, 0x09, 0x0a,
		0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0,    0,    0,    N_PAYLOAD,
	};
	encode_sample(bytes);
	assert_memory_equal(bytes, expected, sizeof expected);
	uint8_t sealed[N_MESSAGE];
	memcpy(sealed, bytes, sizeof sealed);
	seal(sealed, sizeof sealed);
	assert_memory_equal(bytes, sealed, sizeof sealed);
}

static void a_message_without_payload_is_its_header(void **state)
{
	(void)state;
	uint8_t bytes[MESSAGE_HEADER];
	struct message welcome = { .type = MESSAGE_WELCOME };
	assert_int_equal(message_encode(&welcome, NULL, bytes, sizeof bytes), MESSAGE_HEADER);
	assert_int_equal(decode(bytes, sizeof bytes), MESSAGE_HEADER);
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
	(void)state;
	uint8_t bytes[N_MESSAGE];
	encode_sample(bytes);
	for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(decode(bytes, sizeof bytes) <= 0); /* a longer payload than there is: not complete */
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(decode(bytes, sizeof bytes), N_MESSAGE);
}

static void a_byte_of_any_other_value_is_refused(void **state)
{
	(void)state;
	uint8_t bytes[N_MESSAGE];
	encode_sample(bytes);
	for (size_t i = 0; i < sizeof bytes; i++) {
		uint8_t right = bytes[i];
		for (unsigned v = 0; v < 256; v++) {
			bytes[i] = (uint8_t)v;
			if (v != right)
				assert_true(decode(bytes, sizeof bytes) <= 0);
		}
		bytes[i] = right;
	}
}

static void a_message_cut_short_is_waited_for(void **state)
{
	(void)state;
	uint8_t bytes[N_MESSAGE];
	encode_sample(bytes);
	for (size_t n = 0; n < sizeof bytes; n++) {
		uint8_t *exact = malloc(n + 1); /* so that reading beyond it shows under the address sanitizer */
		memcpy(exact, bytes, n);
		exact = realloc(exact, n ? n : 1);
		assert_int_equal(decode(exact, n), 0);
		free(exact);
	}
}

static void what_follows_a_message_is_left_alone(void **state)
{
	(void)state;
	uint8_t bytes[2 * N_MESSAGE];
	encode_sample(bytes);
	encode_sample(bytes + N_MESSAGE);
	bytes[N_MESSAGE + 40] ^= 1;
	assert_int_equal(decode(bytes, sizeof bytes), N_MESSAGE);
	assert_int_equal(decode(bytes + N_MESSAGE, N_MESSAGE), -EBADMSG);
}

static void another_version_is_told_apart_from_damage(void **state)
{
	(void)state;
	uint8_t bytes[N_MESSAGE];
	struct message m;
	const uint8_t *payload;
	for (unsigned version = 0; version < 256; version++) {
		encode_sample(bytes);
		bytes[0] = (uint8_t)version;
		seal(bytes, sizeof bytes);
		ssize_t got = message_decode(bytes, sizeof bytes, &m, &payload);
		assert_int_equal(got, version == MESSAGE_VERSION ? N_MESSAGE : -EPROTONOSUPPORT);
		assert_int_equal(m.version, version);
		if (version != MESSAGE_VERSION) /* its header may be of another length: one byte is enough to tell */
			assert_int_equal(message_decode(bytes, 1, &m, &payload), -EPROTONOSUPPORT);
	}
}

static void an_unknown_type_is_refused_whatever_its_crc(void **state)
{
	(void)state;
	uint8_t bytes[N_MESSAGE];
	for (unsigned type = 0; type < 256; type++) {
		encode_sample(bytes);
		bytes[1] = (uint8_t)type;
		seal(bytes, sizeof bytes);
		bool known = type >= MESSAGE_HELLO && type < MESSAGE_TYPES;
		assert_int_equal(decode(bytes, sizeof bytes), known ? N_MESSAGE : -EBADMSG);
	}
}

static void combined_is_0_or_1(void **state)
{
	(void)state;
	uint8_t bytes[N_MESSAGE];
	for (unsigned v = 0; v < 256; v++) {
		encode_sample(bytes);
		bytes[11] = (uint8_t)v;
		seal(bytes, sizeof bytes);
		assert_int_equal(decode(bytes, sizeof bytes), v < 2 ? N_MESSAGE : -EBADMSG);
	}
}

static void a_size_beyond_the_limit_is_refused_at_once(void **state)
{
	(void)state;
	static const uint32_t sizes[] = { MESSAGE_PAYLOAD_MAX + 1, 0x7fffffff, 0x80000000, UINT32_MAX - MESSAGE_HEADER,
		                          UINT32_MAX };
	uint8_t bytes[N_MESSAGE];
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		encode_sample(bytes);
		for (int k = 0; k < 4; k++)
			bytes[28 + k] = (uint8_t)(sizes[i] >> (24 - 8 * k));
		assert_int_equal(decode(bytes, MESSAGE_HEADER), -EBADMSG);
		struct message m = sample;
		m.n_payload = sizes[i];
		assert_int_equal(message_encode(&m, bytes, bytes, SIZE_MAX), 0);
	}
}

static void the_largest_payload_passes(void **state)
{
	(void)state;
	size_t n = MESSAGE_HEADER + MESSAGE_PAYLOAD_MAX;
	uint8_t *bytes = malloc(n), *zeros = calloc(1, MESSAGE_PAYLOAD_MAX);
	struct message m = { .type = MESSAGE_CALL, .n_payload = MESSAGE_PAYLOAD_MAX };
	assert_int_equal(message_encode(&m, zeros, bytes, n - 1), 0);
	assert_int_equal(message_encode(&m, zeros, bytes, n), n);
	assert_int_equal(decode(bytes, n), n);
	assert_int_equal(decode(bytes, n - 1), 0);
	free(zeros);
	free(bytes);
}

/* ---- hello ---- */

static struct hello some_hello(void)
{
	struct hello h = { .device = 13, .n_layer = 5, .n_expert = 7 };
	for (size_t i = 0; i < MESSAGE_HASH_BYTES; i++)
		h.model_hash[i] = (uint8_t)(i * 7);
	for (size_t layer = 0; layer < 5; layer++)
		for (size_t e = 0; e < 7; e++)
			if ((layer * 3 + e) % 4 == 1)
				hello_hold(&h, layer, e);
	return h;
}

static void a_hello_names_the_pairs_it_holds_and_no_others(void **state)
{
	(void)state;
	struct hello in = some_hello(), out;
	uint8_t bytes[200];
	size_t n = hello_encode(&in, bytes, sizeof bytes);
	assert_int_equal(n, 2 + 32 + 2 + 2 + 5);
	assert_int_equal(hello_decode(bytes, n, &out), 0);
	assert_int_equal(out.device, 13);
	assert_memory_equal(out.model_hash, in.model_hash, MESSAGE_HASH_BYTES);
	for (size_t layer = 0; layer < 6; layer++)
		for (size_t e = 0; e < 8; e++)
			assert_int_equal(hello_holds(&out, layer, e), layer < 5 && e < 7 && (layer * 3 + e) % 4 == 1);
	assert_memory_equal(bytes, "\0\x0d\0\x07", 4);      /* device, then the hash */
	assert_memory_equal(bytes + 34, "\0\x05\0\x07", 4); /* layers, experts */
	assert_int_equal(bytes[38] >> 6, 0x1);              /* (0, 1) held, (0, 0) not: most significant bit first */
}

static void a_hello_of_another_length_is_refused(void **state)
{
	(void)state;
	struct hello in = some_hello(), out;
	uint8_t bytes[300] = { 0 };
	size_t n = hello_encode(&in, bytes, sizeof bytes);
	for (size_t cut = 0; cut < sizeof bytes; cut++)
		assert_int_equal(hello_decode(bytes, cut, &out), cut == n ? 0 : -EBADMSG);
	for (size_t room = 0; room < n; room++)
		assert_int_equal(hello_encode(&in, bytes, room), 0);
}

static void a_hello_of_more_pairs_than_fit_is_refused(void **state)
{
	(void)state;
	static const uint16_t sizes[][2] = { { 65535, 65535 }, { 16385, 1 }, { 128, 129 }, { 32768, 2 } };
	uint8_t bytes[4096] = { 0 };
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct hello h = { .n_layer = sizes[i][0], .n_expert = sizes[i][1] };
		assert_int_equal(hello_encode(&h, bytes, sizeof bytes), 0);
		bytes[34] = (uint8_t)(sizes[i][0] >> 8);
		bytes[35] = (uint8_t)sizes[i][0];
		bytes[36] = (uint8_t)(sizes[i][1] >> 8);
		bytes[37] = (uint8_t)sizes[i][1];
		for (size_t n = 0; n <= sizeof bytes; n++)
			assert_int_equal(hello_decode(bytes, n, &h), -EBADMSG);
	}
	struct hello largest = { .n_layer = 128, .n_expert = 128 }, out;
	hello_hold(&largest, 127, 127);
	size_t n = hello_encode(&largest, bytes, sizeof bytes);
	assert_int_equal(n, 38 + 2048);
	assert_int_equal(hello_decode(bytes, n, &out), 0);
	assert_true(hello_holds(&out, 127, 127));
}

static void names_exist_for_all_and_for_unknown_ones(void **state)
{
	(void)state;
	assert_string_equal(message_type_name(MESSAGE_CALL), "call");
	assert_string_equal(message_type_name(MESSAGE_TYPES), "unknown");
	for (unsigned s = 0; s < MESSAGE_STATUSES; s++)
		assert_string_not_equal(message_status_name(s), "unknown");
	assert_string_equal(message_status_name(255), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_comes_back),
		cmocka_unit_test(a_call_names_a_set),
		cmocka_unit_test(the_header_is_in_network_byte_order),
		cmocka_unit_test(a_message_without_payload_is_its_header),
		cmocka_unit_test(a_flipped_bit_anywhere_is_refused),
		cmocka_unit_test(a_byte_of_any_other_value_is_refused),
		cmocka_unit_test(a_message_cut_short_is_waited_for),
		cmocka_unit_test(what_follows_a_message_is_left_alone),
		cmocka_unit_test(another_version_is_told_apart_from_damage),
		cmocka_unit_test(an_unknown_type_is_refused_whatever_its_crc),
		cmocka_unit_test(combined_is_0_or_1),
		cmocka_unit_test(a_size_beyond_the_limit_is_refused_at_once),
		cmocka_unit_test(the_largest_payload_passes),
		cmocka_unit_test(a_hello_names_the_pairs_it_holds_and_no_others),
		cmocka_unit_test(a_hello_of_another_length_is_refused),
		cmocka_unit_test(a_hello_of_more_pairs_than_fit_is_refused),
		cmocka_unit_test(names_exist_for_all_and_for_unknown_ones),
	};
	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
