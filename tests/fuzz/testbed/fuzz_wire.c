/* Bytes off the air above the transport blocks: messages with a right checksum, calls and hellos. What is accepted is what a
 * sender can make: written again it gives the same bytes. */
#include "tests/fuzz/input.h"

#include "testbed/call.h"
#include "testbed/crc32c.h"
#include "testbed/message.h"

enum { SIZE_MAX_IN = 4096, AT_CRC = 32, CHOICES = 256 };

static void seal(uint8_t *bytes, size_t n)
{
	memset(bytes + AT_CRC, 0, 4);
	uint32_t crc = crc32c(0, bytes, n);
	for (int i = 0; i < 4; i++)
		bytes[AT_CRC + i] = (uint8_t)(crc >> (24 - 8 * i));
}

static void check_call(const struct message *m, const uint8_t *payload)
{
	struct call_choice choices[CHOICES];
	uint8_t again[SIZE_MAX_IN];
	ssize_t n = call_decode(payload, m->n_payload, m, choices, CHOICES);
	if (n < 0)
		return;
	must((size_t)n <= m->n_payload);
	must(call_encode(choices, m->choices, m->rows, m->combined, again) == (size_t)n);
	must(!memcmp(again, payload, (size_t)n));
}

static void check_hello(const struct message *m, const uint8_t *payload)
{
	struct hello h;
	uint8_t again[sizeof h + 16];
	if (hello_decode(payload, m->n_payload, &h))
		return;
	must(hello_encode(&h, again, sizeof again) == m->n_payload);
	must(!memcmp(again, payload, m->n_payload));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[SIZE_MAX_IN], again[SIZE_MAX_IN];
	struct message m;
	const uint8_t *payload;
	size_t n = size < SIZE_MAX_IN ? size : SIZE_MAX_IN;
	memcpy(bytes, data, n);
	message_decode(bytes, n, &m, &payload);
	if (n < MESSAGE_HEADER)
		return 0;
	bytes[0] = MESSAGE_VERSION;
	for (int i = 0; i < 4; i++)
		bytes[28 + i] = (uint8_t)((n - MESSAGE_HEADER) >> (24 - 8 * i));
	seal(bytes, n);
	if (message_decode(bytes, n, &m, &payload) < 0)
		return 0;
	must(message_encode(&m, payload, again, sizeof again) == n);
	must(!memcmp(again, bytes, n));
	if (m.type == MESSAGE_CALL)
		check_call(&m, payload);
	if (m.type == MESSAGE_HELLO)
		check_hello(&m, payload);
	return 0;
}
