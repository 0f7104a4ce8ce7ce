/* uhd_rx.h - the receiving half of a UHD radio: a stream of packets as samples at times.
 *
 *     struct uhd_rx *rx = uhd_rx_create(usrp, streamer, &time, history, owner);   // the streamer is now its own
 *     uhd_rx_start(rx);
 *     uhd_rx_read(rx, x, 3840, t);
 *     uhd_rx_free(rx);
 *
 * Packets are taken when samples are asked for, and kept as far back as the history goes. Time never jumps: where the device lost
 * samples (overflow, lost packets, a stream that had to be started again) there are zeros, and the owner is told (RADIO_OVERFLOW).
 * A stream command that came too late is given again. A device that stays silent is lost (-EIO), and stays so.
 */
#ifndef RADIO_UHD_RX_H
#define RADIO_UHD_RX_H

#include <uhd.h>

#include "radio/radio.h"
#include "radio/uhd_time.h"

struct uhd_rx;

/* history: samples kept, at least; the whole ring may be asked for again. NULL with errno ENOMEM or EIO; the streamer is then freed. */
struct uhd_rx *uhd_rx_create(uhd_usrp_handle usrp, uhd_rx_streamer_handle streamer, const struct uhd_time *time,
                             size_t history, struct radio *owner);

/* The stream begins at sample 0, or as soon as it can if that is past. 0 or -EIO. */
int uhd_rx_start(struct uhd_rx *rx);

/* As radio_recv. */
int uhd_rx_read(struct uhd_rx *rx, float complex *x, size_t n, uint64_t t);

/* Stops the stream. NULL is fine. */
void uhd_rx_free(struct uhd_rx *rx);

#endif
