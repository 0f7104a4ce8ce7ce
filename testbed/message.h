/* message.h - what base station and device say to each other above the transport blocks.
 *
 * A message is a fixed header and a payload, network byte order, carried in order by arq.h:
 *
 *     size_t n = message_encode(&head, payload, buf, sizeof buf);
 *     ssize_t used = message_decode(stream, n_stream, &head, &payload);   0: not all there yet
 *
 *      0 u8  version     12 u16 choices         24 u32 queue_us
 *      1 u8  type        14 u16 rows            28 u32 payload bytes
 *      2 u8  codec       16 u32 slot, set       32 u32 CRC32C of header (this field zero) and payload
 *      3 u8  status      20 u32 compute_us      36 payload
 *      4 u32 seq
 *      8 u16 layer                           10 u8 codec of the reply (call), u8 combined (0 or 1)
 *
 * hello    device -> BS  first of all: what the device is (struct hello)
 * welcome  BS -> device  the device is taken in
 * refuse   BS -> device  it is not: status says why
 * call     BS -> device  run experts of a layer on `rows` hidden states, coded as `codec`: payload in call.h; set: the
 *                        multicast set of those that it does not bring (states.h)
 * result   device -> BS  of the call with the same seq, layer, choices, rows: for each choice what its expert gave, or,
 *                        combined, one weighted sum a row; slot: in which the call was complete at the device;
 *                        queue_us, compute_us: how long it waited there and was worked on; status not 0: no payload,
 *                        it failed
 *
 * Sizes are checked before anything is used. A header that does not parse means that the streams no longer agree: the
 * caller drops the connection.
 */
#ifndef TESTBED_MESSAGE_H
#define TESTBED_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	MESSAGE_VERSION = 3,
	MESSAGE_HEADER = 36,
	MESSAGE_PAYLOAD_MAX = 1 << 20,
	MESSAGE_HASH_BYTES = 32,
	MESSAGE_EXPERTS_MAX = 1 << 14, /* (layer, expert) pairs a hello can name */
};

enum message_type { MESSAGE_HELLO = 1, MESSAGE_WELCOME, MESSAGE_REFUSE, MESSAGE_CALL, MESSAGE_RESULT, MESSAGE_TYPES };

enum message_status {
	MESSAGE_OK,
	MESSAGE_OTHER_VERSION,
	MESSAGE_OTHER_MODEL,
	MESSAGE_BAD_CALL,   /* layer, experts, rows or codec that the receiver does not have */
	MESSAGE_NON_FINITE, /* NaN or Inf in the activations, coming or going */
	MESSAGE_NOT_HEARD,  /* the call refers to hidden states that did not come by multicast */
	MESSAGE_STATUSES
};

struct message {
	uint8_t version; /* set by message_encode */
	uint8_t type, codec, reply_codec, status;
	uint32_t seq;
	bool combined;                 /* the device adds up its experts' outputs, row by row */
	uint16_t layer, rows, choices; /* choices: expert outputs that the rows ask for, in all */
	uint32_t slot, set;            /* of a result; of a call: the same bytes */
	uint32_t compute_us, queue_us;
	uint32_t n_payload;
};

/* What a device says of itself. held: bit layer * n_expert + expert, most significant bit first. */
struct hello {
	uint16_t device;
	uint8_t model_hash[MESSAGE_HASH_BYTES];
	uint16_t n_layer, n_expert;
	uint8_t held[MESSAGE_EXPERTS_MAX / 8];
};

const char *message_type_name(unsigned type);
const char *message_status_name(unsigned status);

/* Writes header and payload (m->n_payload bytes) to out; returns the size, or 0 if it does not fit n. */
size_t message_encode(const struct message *m, const void *payload, uint8_t *out, size_t n);

/* Reads one message from the front of in. Returns its size and points *payload into in; 0 if it is not complete yet;
 * -EBADMSG if it is damaged; -EPROTONOSUPPORT if it is of another version (m->version tells which; nothing else is
 * filled). */
ssize_t message_decode(const uint8_t *in, size_t n, struct message *m, const uint8_t **payload);

/* Payload of a hello. Returns bytes written, or 0 if there are too many pairs or no room. */
size_t hello_encode(const struct hello *h, uint8_t *out, size_t n);
/* 0 or -EBADMSG. */
int hello_decode(const uint8_t *in, size_t n, struct hello *h);
void hello_hold(struct hello *h, size_t layer, size_t expert);
bool hello_holds(const struct hello *h, size_t layer, size_t expert);

#endif
