/* zmq_radio.h - a radio whose samples go over ZeroMQ the way srsRAN and GNU Radio speak it.
 *
 *     struct zmq_radio_config c = ZMQ_RADIO_DEFAULTS;
 *     c.tx_address = "tcp://127.0.0.1:2000";                    // bound: the peer asks here for what we transmit
 *     c.rx_address = "tcp://127.0.0.1:2001";                    // connected: here we ask for what it transmits
 *     c.rate_hz = 1.92e6;
 *     struct radio *r = zmq_radio_create(&c, err, sizeof err);
 *     ... as any radio ...
 *     radio_destroy(r);
 *
 * A transmitter is a REP socket, a receiver a REQ socket; a request is a message of any length, a reply raw cf32 of any length. Time is
 * the number of samples, of both directions from 0 on; nobody is faster than its peer, and silence goes out as zeros. That can only be
 * decided when nothing more will be sent for a time: `lead` samples after what the node has asked to receive. A send for earlier is late.
 * Amplitudes pass as they are: 1.0 here is 1.0 there. What that means in dBm is configured, and so is the receiver's noise, which no such peer adds.
 *
 * A peer that goes and comes back begins anew at one moment of both streams: what it missed of ours is gone, what is missing of its are zeros
 * (RADIO_OVERFLOW). One that is silent for timeout_s is lost (-EIO, RADIO_LOST).
 * One peer a radio: several devices need a graph in between that adds their uplinks and repeats the downlink; radio/ether_peer.h needs none.
 */
#ifndef RADIO_ZMQ_RADIO_H
#define RADIO_ZMQ_RADIO_H

#include "radio/radio.h"

struct zmq_radio_config {
	const char *tx_address, *rx_address;
	double rate_hz, tx_hz, rx_hz; /* nominal: nothing checks them */
	size_t lead;
	size_t history; /* received samples kept */
	double join_timeout_s, timeout_s;
	double tx_full_scale_dbm, rx_full_scale_dbm;
	double noise_figure_db; /* of the receiver; below 0: no noise */
	uint64_t seed;          /* of the noise */
};

#define ZMQ_RADIO_DEFAULTS                                                                                             \
	((struct zmq_radio_config){ .history = 1 << 17, .join_timeout_s = 2, .timeout_s = 2, .noise_figure_db = -1 })

/* Waits for the peer's transmitter. NULL with errno (ETIMEDOUT: nobody there; EINVAL, EADDRINUSE: an address) and one line in err. */
struct radio *zmq_radio_create(const struct zmq_radio_config *config, char *err, size_t err_len);

#endif
