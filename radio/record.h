/* record.h - a radio that also writes down what another one receives and sends, switched on and off while it runs.
 *
 *     struct radio *r = record_create(inner);                       // from now on used in inner's place; does not own it
 *     record_received(r, sigmf_create("runs/x/rx", &what, ...));   // from the next receive on; NULL: no more
 *     record_sent(r, sigmf_create("runs/x/tx", &what, ...));
 *     ...
 *     sigmf_close(record_received(r, NULL));
 *     radio_destroy(r);
 *
 * Switching is a matter of the radio's own thread and costs nothing; files are opened and closed by whoever has the time. Events of the
 * inner radio become annotations, of what is received or sent as they concern it, and go on to whoever listens to this one.
 */
#ifndef RADIO_RECORD_H
#define RADIO_RECORD_H

#include "radio/radio.h"
#include "radio/sigmf.h"

/* NULL with errno ENOMEM. inner must outlive it. */
struct radio *record_create(struct radio *inner);

/* They return the writer that was in use until now, NULL for none: the caller's to close. */
struct sigmf_writer *record_received(struct radio *r, struct sigmf_writer *w);
struct sigmf_writer *record_sent(struct radio *r, struct sigmf_writer *w);

#endif
