#include "phy/uci.h"

#include "phy/bits.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { REPORT_RB_MAX = 125, HEADROOM_MIN_DB = -21, HEADROOM_STEPS = 31, SNR_STEPS = 127 };
static const float snr_min_db = -20.0f, snr_step_db = 0.5f;

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

int uci_pack(const struct uci *u, uint8_t *payload)
{
	if ((u->ack != UCI_ACK_NONE && u->ack != UCI_ACK && u->ack != UCI_NACK) || !isfinite(u->headroom_db) ||
	    !isfinite(u->report_snr_db) || u->report_rb < UCI_REPORT_WIDEBAND || u->report_rb > REPORT_RB_MAX)
		return -EINVAL;
	memset(payload, 0, UCI_BYTES);
	struct bit_writer w = { .bytes = payload };
	bits_put(&w, u->ack, 2);
	bits_put(&w, uci_bsr_code(u->buffer_bytes), 5);
	bits_put(&w, quantise(u->headroom_db, HEADROOM_MIN_DB, 1, HEADROOM_STEPS), 5);
	bits_put(&w, (uint32_t)(u->report_rb + 1), 7);
	bits_put(&w, quantise(u->report_snr_db, snr_min_db, snr_step_db, SNR_STEPS), 7);
	return 0;
}

int uci_unpack(const uint8_t *payload, struct uci *u)
{
	struct bit_reader r = { .bytes = payload };
	uint32_t ack = bits_get(&r, 2);
	uint32_t buffer = bits_get(&r, 5), headroom = bits_get(&r, 5), report = bits_get(&r, 7), snr = bits_get(&r, 7);
	if (ack > UCI_NACK || report > REPORT_RB_MAX + 1)
		return -EBADMSG;
	u->ack = (enum uci_ack)ack;
	u->buffer_bytes = uci_bsr_bytes((uint8_t)buffer);
	u->headroom_db = (float)((int)headroom + HEADROOM_MIN_DB);
	u->report_rb = (int16_t)((int)report - 1);
	u->report_snr_db = snr_min_db + snr_step_db * (float)snr;
	return 0;
}
