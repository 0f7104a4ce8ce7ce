/* paced.h - a node's slot loop on a thread of its own, with its radio as the only clock.
 *
 *     struct paced_node node = { .arg = bs, .next = next, .slot = slot };
 *     static struct ledger ledger;
 *     struct paced *p = paced_start(&config, &num, radio, &node, &ledger, warning, sizeof warning);
 *     while (paced_state(p) == PACED_RUNNING)
 *             ... what comes out of the node's mailboxes; paced_counts(p), ledger_read(&ledger, ..) ...
 *     paced_stop(p);                                       joins; radio and node are the caller's again
 *
 * Once a slot: receive, the node's work, send. The loop neither allocates nor logs nor waits for anything but samples. A slot whose
 * samples came too late to be sent is not made up for: it is counted, and the next one follows.
 */
#ifndef TESTBED_PACED_H
#define TESTBED_PACED_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phy/numerology.h"
#include "radio/radio.h"
#include "testbed/config.h"
#include "testbed/ledger.h"

struct paced_tx {
	bool send;
	uint64_t t_samples;
	const float complex *samples; /* slot_len; valid until the next slot */
};

/* The node, as its loop sees it. Called by the loop's thread alone. */
struct paced_node {
	void *arg;
	uint64_t (*next)(void *arg); /* first sample of the next slot it wants */
	void (*slot)(void *arg, const float complex *rx, struct paced_tx *tx); /* the samples of that slot */
	void (*sent)(void *arg);                                               /* after sending; may be NULL */
};

enum paced_state { PACED_RUNNING, PACED_LOST };

/* What is between the end of a receive and the end of the send that follows is the turnaround. */
enum paced_stage { PACED_WAITING, PACED_WORK, PACED_SENDING, PACED_AFTER, PACED_TURNAROUND, PACED_STAGES };
extern const char *const paced_stage_names[PACED_STAGES];

struct paced_counts {
	uint64_t slots, slots_late; /* late: all or part of what was to be sent */
	uint64_t events[RADIO_EVENT_TYPES];
};

struct paced;

/* ledger: of PACED_STAGES; outlives the loop. *warning: one line if the system did not give what config.realtime asks for, else "". NULL with errno. */
struct paced *paced_start(const struct config *config, const struct numerology *num, struct radio *radio,
                          const struct paced_node *node, struct ledger *ledger, char *warning, size_t warning_len);
void paced_stop(struct paced *p); /* NULL is fine */

enum paced_state paced_state(const struct paced *p);
struct paced_counts paced_counts(const struct paced *p);

#endif
