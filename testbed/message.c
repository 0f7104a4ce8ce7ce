#include "testbed/message.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "testbed/crc32c.h"

enum { AT_CRC = 32, HELLO_FIXED = 2 + MESSAGE_HASH_BYTES + 2 + 2 };

static const char *const type_names[MESSAGE_TYPES] = { "none", "hello", "welcome", "refuse", "call", "result" };
static const char *const status_names[MESSAGE_STATUSES] = {
	"ok",           "another protocol version",    "another model",
	"no such call", "numbers that are not finite", "hidden states that did not come by multicast",
};

const char *message_type_name(unsigned type)
{
	return type < MESSAGE_TYPES ? type_names[type] : "unknown";
}

const char *message_status_name(unsigned status)
{
	return status < MESSAGE_STATUSES ? status_names[status] : "unknown";
}

static void put16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof v);
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof v);
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

size_t message_encode(const struct message *m, const void *payload, uint8_t *out, size_t n)
{
	if (m->n_payload > MESSAGE_PAYLOAD_MAX || n < MESSAGE_HEADER + (size_t)m->n_payload)
		return 0;
	memset(out, 0, MESSAGE_HEADER);
	out[0] = MESSAGE_VERSION;
	out[1] = m->type;
	out[2] = m->codec;
	out[3] = m->status;
	put32(out + 4, m->seq);
	put16(out + 8, m->layer);
	out[10] = m->reply_codec;
	out[11] = m->combined;
	put16(out + 12, m->choices);
	put16(out + 14, m->rows);
	put32(out + 16, m->type == MESSAGE_CALL ? m->set : m->slot);
	put32(out + 20, m->compute_us);
	put32(out + 24, m->queue_us);
	put32(out + 28, m->n_payload);
	if (m->n_payload)
		memcpy(out + MESSAGE_HEADER, payload, m->n_payload);
	put32(out + AT_CRC, crc32c(0, out, MESSAGE_HEADER + m->n_payload));
	return MESSAGE_HEADER + m->n_payload;
}

/* CRC as the sender computed it: over the message with the CRC field zero. */
static uint32_t message_crc(const uint8_t *in, size_t n)
{
	static const uint8_t zero[4];
	uint32_t crc = crc32c(0, in, AT_CRC);
	crc = crc32c(crc, zero, sizeof zero);
	return crc32c(crc, in + MESSAGE_HEADER, n - MESSAGE_HEADER);
}

ssize_t message_decode(const uint8_t *in, size_t n, struct message *m, const uint8_t **payload)
{
	if (!n)
		return 0;
	m->version = in[0];
	if (in[0] != MESSAGE_VERSION)
		return -EPROTONOSUPPORT;
	if (n < MESSAGE_HEADER)
		return 0;
	uint32_t n_payload = get32(in + 28);
	if (n_payload > MESSAGE_PAYLOAD_MAX || !in[1] || in[1] >= MESSAGE_TYPES || in[11] > 1)
		return -EBADMSG;
	size_t size = MESSAGE_HEADER + (size_t)n_payload;
	if (n < size)
		return 0;
	if (get32(in + AT_CRC) != message_crc(in, size))
		return -EBADMSG;
	*m = (struct message){
		.version = in[0],
		.type = in[1],
		.codec = in[2],
		.reply_codec = in[10],
		.status = in[3],
		.seq = get32(in + 4),
		.layer = get16(in + 8),
		.combined = in[11],
		.choices = get16(in + 12),
		.rows = get16(in + 14),
		.slot = in[1] == MESSAGE_CALL ? 0 : get32(in + 16),
		.set = in[1] == MESSAGE_CALL ? get32(in + 16) : 0,
		.compute_us = get32(in + 20),
		.queue_us = get32(in + 24),
		.n_payload = n_payload,
	};
	*payload = in + MESSAGE_HEADER;
	return (ssize_t)size;
}

static size_t held_bytes(size_t n_layer, size_t n_expert)
{
	return (n_layer * n_expert + 7) / 8;
}

size_t hello_encode(const struct hello *h, uint8_t *out, size_t n)
{
	size_t bytes = held_bytes(h->n_layer, h->n_expert);
	if (bytes > sizeof h->held || n < HELLO_FIXED + bytes)
		return 0;
	put16(out, h->device);
	memcpy(out + 2, h->model_hash, MESSAGE_HASH_BYTES);
	put16(out + 2 + MESSAGE_HASH_BYTES, h->n_layer);
	put16(out + 4 + MESSAGE_HASH_BYTES, h->n_expert);
	memcpy(out + HELLO_FIXED, h->held, bytes);
	return HELLO_FIXED + bytes;
}

int hello_decode(const uint8_t *in, size_t n, struct hello *h)
{
	if (n < HELLO_FIXED)
		return -EBADMSG;
	*h = (struct hello){ .device = get16(in),
		             .n_layer = get16(in + 2 + MESSAGE_HASH_BYTES),
		             .n_expert = get16(in + 4 + MESSAGE_HASH_BYTES) };
	memcpy(h->model_hash, in + 2, MESSAGE_HASH_BYTES);
	size_t bytes = held_bytes(h->n_layer, h->n_expert);
	if (bytes > sizeof h->held || n != HELLO_FIXED + bytes)
		return -EBADMSG;
	memcpy(h->held, in + HELLO_FIXED, bytes);
	return 0;
}

void hello_hold(struct hello *h, size_t layer, size_t expert)
{
	size_t bit = layer * h->n_expert + expert;
	h->held[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

bool hello_holds(const struct hello *h, size_t layer, size_t expert)
{
	size_t bit = layer * h->n_expert + expert;
	return layer < h->n_layer && expert < h->n_expert && h->held[bit / 8] & 0x80 >> bit % 8;
}
