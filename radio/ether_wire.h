/* ether_wire.h - what an ether and the radios at it in other processes say to each other, over ZeroMQ.
 *
 * The ether binds a ROUTER, every radio connects a DEALER. One message, one frame: a header of 24 bytes, then a payload. All numbers
 * little-endian, samples cf32; times count samples of the node's own clock.
 *
 *     bytes  0..3   "WDE1"
 *            4      type
 *            5      node (0: base station)
 *            6..7   0
 *            8..15  t, u64
 *           16..23  a, f64
 *
 *     type        from    t                      a          payload
 *     HELLO       radio                          rate, Hz   f64: samples between what it has received and the earliest it sends
 *     WELCOME     ether   now                               struct radio_info as 11 f64, in its order
 *     REFUSED     ether                                     text: why
 *     SENT        radio   of the first                      samples to transmit
 *     RECEIVED    ether   of the first                      samples received
 *     WANTS       radio   end of what it receives next                nothing
 *     RX_GAIN     radio                          dB
 *     TX_GAIN     radio                          dB
 *     LATE        ether   of the first                      samples that came too late were not sent
 *     ALIVE       ether                                     nothing else to say
 *     BYE         both                                      text: why
 */
#ifndef RADIO_ETHER_WIRE_H
#define RADIO_ETHER_WIRE_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zmq.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "samples and numbers go out as they lie in memory");

enum ether_message_type {
	ETHER_HELLO = 1,
	ETHER_WELCOME,
	ETHER_REFUSED,
	ETHER_SENT,
	ETHER_RECEIVED,
	ETHER_WANTS,
	ETHER_RX_GAIN,
	ETHER_TX_GAIN,
	ETHER_LATE,
	ETHER_ALIVE,
	ETHER_BYE,
};

enum { ETHER_HEADER = 24, ETHER_INFO_NUMBERS = 11 };

struct ether_header {
	uint8_t type, node;
	uint64_t t;
	double a;
};

static inline void ether_header_write(const struct ether_header *h, uint8_t *bytes)
{
	memcpy(bytes, "WDE1", 4);
	bytes[4] = h->type;
	bytes[5] = h->node;
	bytes[6] = bytes[7] = 0;
	memcpy(bytes + 8, &h->t, 8);
	memcpy(bytes + 16, &h->a, 8);
}

/* 0, or -1 if these n bytes do not begin with a header of this version. */
static inline int ether_header_read(const uint8_t *bytes, size_t n, struct ether_header *h)
{
	if (n < ETHER_HEADER || memcmp(bytes, "WDE1", 4) != 0)
		return -1;
	h->type = bytes[4];
	h->node = bytes[5];
	memcpy(&h->t, bytes + 8, 8);
	memcpy(&h->a, bytes + 16, 8);
	return 0;
}

/* A message to be sent, or closed by the caller. 0 or -1: no memory. */
static inline int ether_message(zmq_msg_t *m, const struct ether_header *h, const void *payload, size_t n)
{
	if (zmq_msg_init_size(m, ETHER_HEADER + n))
		return -1;
	ether_header_write(h, (uint8_t *)zmq_msg_data(m));
	if (n)
		memcpy((uint8_t *)zmq_msg_data(m) + ETHER_HEADER, payload, n);
	return 0;
}

/* Of the thread that carries messages; before the context's first socket. Not allowed: it stays as any thread. */
static inline void ether_wire_set_priority(void *context, int priority)
{
	struct sched_param none;
	int before = sched_getscheduler(0);
	struct sched_param wanted = { .sched_priority = priority };
	if (!context || priority <= 0 || sched_getparam(0, &none) || sched_setscheduler(0, SCHED_FIFO, &wanted))
		return; /* what the process may not do, its threads may not */
	sched_setscheduler(0, before, &none);
	zmq_ctx_set(context, ZMQ_THREAD_SCHED_POLICY, SCHED_FIFO);
	zmq_ctx_set(context, ZMQ_THREAD_PRIORITY, priority);
}

#endif
