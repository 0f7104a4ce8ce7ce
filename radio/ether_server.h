/* ether_server.h - an ether whose radios are in other processes (radio/ether_peer.h).
 *
 *     struct ether_server *s = ether_server_create(ether, &config, err, sizeof err);
 *     for (;;) {
 *             ether_server_listen(s, timeout_ms);         takes in what the radios say
 *             if (ether_server_may_tick(s))               paced: when its time has come (the caller's clock)
 *                     ether_server_tick(s);               every radio receives the next tick_samples
 *     }
 *     ether_server_destroy(s);                            says goodbye
 *
 * Time is the base station's sample count since create; a tick is a stretch of it. Radios come and go: one that joins begins at the
 * present, one that takes a node which another holds takes its place, one that was silent for timeout_s of wall clock is gone. Nobody
 * home is silence.
 *
 * Paced, nobody is waited for: what reaches the ether later than the samples it belongs to were received is not sent, counted and told.
 * Unpaced, a tick waits until every radio has said that it sends nothing more for it (ETHER_WANTS and its lead), and time
 * begins when `wait_for` radios are there: with one seed a run is then the same each time, however fast the machine.
 */
#ifndef RADIO_ETHER_SERVER_H
#define RADIO_ETHER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "radio/ether.h"

enum ether_server_event {
	ETHER_SERVER_JOINED,
	ETHER_SERVER_REPLACED,
	ETHER_SERVER_LEFT,
	ETHER_SERVER_SILENT,
	ETHER_SERVER_REFUSED
};

struct ether_server_config {
	const char *address; /* to bind, as ZeroMQ has them */
	double rate_hz;      /* of the ether */
	size_t n_devices;    /* likewise */
	size_t tick_samples;
	bool paced;
	unsigned wait_for; /* radios, before time begins; 0: none */
	double timeout_s;  /* paced: a radio this long silent is gone */
	int priority;      /* SCHED_FIFO priority of ZeroMQ's thread; 0: as any */
	/* Called from listen and tick; must not call the server. */
	void (*on_event)(void *arg, enum ether_server_event event, unsigned node, const char *why);
	void *arg;
};

struct ether_server_node_stats {
	bool joined;
	uint64_t joins;
	uint64_t blocks, blocks_late; /* sends of the node; of them too late, whole or in part */
	uint64_t samples_late;
	uint64_t ticks, ticks_dropped; /* dropped: its queue was full */
};

struct ether_server;

/* ether outlives it. NULL with errno and one line in err. */
struct ether_server *ether_server_create(struct ether *ether, const struct ether_server_config *config, char *err,
                                         size_t err_len);
void ether_server_destroy(struct ether_server *s); /* NULL is fine */

/* Waits up to timeout_ms for a message (0: not at all), then takes in all there are. 0 or -EINTR. */
int ether_server_listen(struct ether_server *s, long timeout_ms);
bool ether_server_may_tick(const struct ether_server *s);
void ether_server_tick(struct ether_server *s);

uint64_t ether_server_now(const struct ether_server *s); /* base station's samples */
struct ether_server_node_stats ether_server_node_stats(const struct ether_server *s, size_t node);

#endif
