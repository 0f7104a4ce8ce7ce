/* ether_peer.h - a radio at an ether that runs in another process, on this host or another.
 *
 *     struct ether_peer_config c = ETHER_PEER_DEFAULTS;
 *     c.address = "tcp://127.0.0.1:5600";
 *     c.node = 2;                                                // 0: base station, k: device k
 *     struct radio *r = ether_peer_create(&c, err, sizeof err);  // -ETIMEDOUT: nobody there (yet)
 *     ... as any radio ...
 *     radio_destroy(r);                                          // tells the ether
 *
 * Sample 0 is the ether's present at the first receive or send. Received samples come when the ether's time has passed them: paced by its
 * wall clock, or, unpaced, as soon as all radios have said what they send. A send that reaches the ether too late is not sent:
 * RADIO_LATE, told with the next receive. Samples lost on the way are zeros (RADIO_OVERFLOW). An ether that is silent for
 * timeout_s, or says goodbye, is lost: -EIO, RADIO_LOST; make a new radio then.
 */
#ifndef RADIO_ETHER_PEER_H
#define RADIO_ETHER_PEER_H

#include "radio/radio.h"

struct ether_peer_config {
	const char *address; /* as ZeroMQ has them */
	unsigned node;
	double rate_hz; /* refused by an ether of another */
	size_t lead; /* sends begin at least so many samples after what was received last; an unpaced ether waits for no more */
	size_t history; /* received samples kept */
	double join_timeout_s, timeout_s;
	int priority; /* SCHED_FIFO priority of ZeroMQ's thread; 0: as any */
};

#define ETHER_PEER_DEFAULTS ((struct ether_peer_config){ .history = 1 << 17, .join_timeout_s = 2, .timeout_s = 2 })

/* NULL with errno (ETIMEDOUT; EACCES: refused; EINVAL: address) and one line in err. */
struct radio *ether_peer_create(const struct ether_peer_config *config, char *err, size_t err_len);

#endif
