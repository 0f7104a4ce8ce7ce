/* uhd_tx.h - the sending half of a UHD radio: samples at times as timed bursts.
 *
 *     struct uhd_tx *tx = uhd_tx_create(streamer, &time, spare, owner);   // the streamer is now its own
 *     uhd_tx_send(tx, x, 3840, t, now);
 *     uhd_tx_turn(tx, now);                       // before every receive
 *     uhd_tx_free(tx);                            // ends a burst that is open: the transmitter is off
 *
 *             send                    end: a gap follows, or nothing does
 *     IDLE ----------> IN_BURST ------------------------------------------> IDLE
 *       ^                 | late, underflow, packet lost: end
 *       +---- WAIT_ACK <--+
 *        acknowledged, or 10 ms
 *
 * Only the first packet of a burst carries a time, as X300 and N300 want it; what follows without a gap belongs to the same burst. A
 * burst ends before a gap, and when less than `spare` samples of it are left at the turn to the next receive. After an error the device throws away the rest of
 * a burst; sends are late until it has acknowledged its end.
 *
 * What the device reports comes through a thread of its own, which fills a ring; the owner is told in the send or turn that follows.
 */
#ifndef RADIO_UHD_TX_H
#define RADIO_UHD_TX_H

#include <uhd.h>

#include "radio/radio.h"
#include "radio/uhd_time.h"

struct uhd_tx;

/* NULL with errno ENOMEM, EIO or EAGAIN; the streamer is then freed. */
struct uhd_tx *uhd_tx_create(uhd_tx_streamer_handle streamer, const struct uhd_time *time, size_t spare,
                             struct radio *owner);

/* As radio_send. -EIO: the device does not take it. */
int uhd_tx_send(struct uhd_tx *tx, const float complex *x, size_t n, uint64_t t, uint64_t now);

/* A receive that ends at `now` follows. */
void uhd_tx_turn(struct uhd_tx *tx, uint64_t now);

void uhd_tx_free(struct uhd_tx *tx); /* NULL is fine */

#endif
