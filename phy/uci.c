#include "phy/uci.h"

#include "phy/bits.h"
#include "phy/dci.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { ACKS = 3, TOPICS = 3, VALUE_STEPS = 127 };

static const float step_db = 0.5f;
static const float min_db[TOPICS] = { [UCI_SNR_BAND] = -20, [UCI_SNR_GROUP] = -20, [UCI_HEADROOM] = -21 };

struct uci_turn uci_turn(uint64_t slot, size_t n_rb)
{
	if (slot % 4 < 2)
		return (struct uci_turn){ .topic = UCI_SNR_BAND };
	size_t n_groups = rb_groups(n_rb), n_turns = (n_groups + 1) | 1;
	size_t turn = (size_t)((2 * (slot / 4) + slot % 2) % n_turns);
	if (turn >= n_groups)
		return (struct uci_turn){ .topic = UCI_HEADROOM };
	return (struct uci_turn){ .topic = UCI_SNR_GROUP, .group = (uint8_t)turn };
}

/* Nearest step of a field that starts at min, clipped to its ends. */
static uint32_t quantise(float value, float min, float step, int max_code)
{
	float code = roundf((value - min) / step);
	return code < 0 ? 0 : code > (float)max_code ? (uint32_t)max_code : (uint32_t)code;
}

/* 16 bytes * 2^(16 (code - 1) / 30), so that code 31 is 1 MiB. */
uint32_t uci_bsr_bytes(uint8_t code)
{
	if (!code)
		return 0;
	if (code >= 31)
		return UCI_BUFFER_MAX;
	return (uint32_t)lround(16.0 * exp2(16.0 * (code - 1) / 30.0));
}

uint8_t uci_bsr_code(uint32_t bytes)
{
	uint8_t code = 0;
	while (code < 31 && uci_bsr_bytes(code) < bytes)
		code++;
	return code;
}

static bool is_ack(enum uci_ack ack)
{
	return ack == UCI_ACK_NONE || ack == UCI_ACK || ack == UCI_NACK;
}

int uci_pack(const struct uci *u, uint8_t *payload)
{
	if (!is_ack(u->ack) || !is_ack(u->multicast_ack) || (unsigned)u->turn.topic >= TOPICS || !isfinite(u->value_db))
		return -EINVAL;
	memset(payload, 0, UCI_BYTES);
	struct bit_writer w = { .bytes = payload };
	bits_put(&w, (uint32_t)u->ack + ACKS * (uint32_t)u->multicast_ack, 4);
	bits_put(&w, uci_bsr_code(u->buffer_bytes), 5);
	bits_put(&w, quantise(u->value_db, min_db[u->turn.topic], step_db, VALUE_STEPS), 7);
	return 0;
}

int uci_unpack(const uint8_t *payload, struct uci_turn turn, struct uci *u)
{
	struct bit_reader r = { .bytes = payload };
	uint32_t acks = bits_get(&r, 4), buffer = bits_get(&r, 5), value = bits_get(&r, 7);
	if (acks >= ACKS * ACKS)
		return -EBADMSG;
	*u = (struct uci){ .ack = (enum uci_ack)(acks % ACKS),
		           .multicast_ack = (enum uci_ack)(acks / ACKS),
		           .buffer_bytes = uci_bsr_bytes((uint8_t)buffer),
		           .turn = turn,
		           .value_db = min_db[turn.topic] + step_db * (float)value };
	return 0;
}
