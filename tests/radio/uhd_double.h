/* uhd_double.h - a USRP that is not there: the functions of libuhd that the project calls, over a device in virtual time.
 *
 *     uhd_double_reset(&(struct uhd_double_plan){ .n_faults = 1, .faults = (struct uhd_double_fault[]){ { UHD_DOUBLE_OVERFLOW, 5000, 300 } } });
 *     struct radio *r = uhd_radio_create(&config, err, sizeof err);
 *     ...
 *     uhd_double_look(&seen);
 *
 * Linked into a test, its functions come before the library's; as a shared library named as UHD's own it does the same to the whole
 * program (LD_LIBRARY_PATH), with its plan from the environment: UHD_DOUBLE="devices=1,loop_db=-20".
 *
 * The device's time moves as samples are received: as fast as they are asked for. Received sample k is uhd_double_sample(k), or with
 * loop_db what is transmitted, that much weaker, and noise at -80 dBFS (at a receive gain of 0). The transmitter does as a real one told to throw away the rest of a burst after an error: timed
 * start, late packets, running dry, acknowledgement of the end. Faults come at chosen samples, counted from the stream's first.
 */
#ifndef TESTS_RADIO_UHD_DOUBLE_H
#define TESTS_RADIO_UHD_DOUBLE_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum uhd_double_fault_type {
	UHD_DOUBLE_OVERFLOW,     /* n samples lost, told as an overflow */
	UHD_DOUBLE_SEQUENCE,     /* n samples lost on the way: the next packet is out of sequence */
	UHD_DOUBLE_BAD_PACKET,   /* a packet that can't be read */
	UHD_DOUBLE_TIMEOUT,      /* n calls bring nothing; nothing is lost */
	UHD_DOUBLE_STREAM_ENDS,  /* as after a late command: nothing until another one */
	UHD_DOUBLE_LATE_COMMAND, /* the n stream commands that follow are late */
	UHD_DOUBLE_UNDERFLOW,    /* the burst under way runs dry */
	UHD_DOUBLE_LATE_BURST,   /* the next burst is late, whatever its time */
	UHD_DOUBLE_TX_SEQUENCE,  /* a packet of the burst under way is lost */
	UHD_DOUBLE_NO_ACK,       /* the next n acknowledgements do not come */
	UHD_DOUBLE_TX_STALL,     /* the next n sends take nothing within their time */
	UHD_DOUBLE_UNLOCK,       /* the external clock is gone for n samples */
	UHD_DOUBLE_DISCONNECT,   /* every call fails from here on */
	UHD_DOUBLE_FAULT_TYPES
};

struct uhd_double_fault {
	enum uhd_double_fault_type type;
	uint64_t t; /* order of time */
	size_t n;
};

typedef void uhd_double_radiated_fn(void *arg, uint64_t t, const float complex *x, size_t n);

struct uhd_double_plan {
	bool none;        /* no device is found */
	size_t packet;    /* samples; 0: 1000 */
	double rate_hz;   /* the only one it has; 0: any */
	bool never_locks; /* neither oscillators nor clocks */
	bool loops;       /* transmitter to receiver */
	double loop_db;   /* at gains of 0 */
	const struct uhd_double_fault *faults;
	size_t n_faults;
	uhd_double_radiated_fn *radiated; /* what leaves the transmitter, in order of time */
	void *arg;
};

struct uhd_double_seen {
	long handles;                 /* made and not yet freed, of all kinds */
	bool receiving, transmitting; /* a stream is on; a burst was begun and its end not sent */
	uint64_t radiated, bursts;
	size_t faults_done; /* they come when their time does and there is what they need */
	uint64_t n_calls;   /* of receive */
};

void uhd_double_reset(const struct uhd_double_plan *plan); /* kept: it and its faults must last */
void uhd_double_look(struct uhd_double_seen *seen);

/* What sample t holds: its own number, on the grid of sc16. */
static inline float complex uhd_double_sample(uint64_t t)
{
	return (float)(t % 16381 + 1) / 32768.0f + (float)(t / 16381 % 16381 + 1) / 32768.0f * I;
}

#endif
