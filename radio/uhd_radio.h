/* uhd_radio.h - a USRP (or whatever else UHD drives) as a radio.
 *
 *     struct uhd_radio_config c = UHD_RADIO_DEFAULTS;
 *     c.args = "type=b200";
 *     c.rate_hz = 7.68e6;
 *     c.rx_hz = 2.45e9;
 *     c.tx_hz = 2.49e9;
 *     struct radio *r = uhd_radio_create(&c, err, sizeof err);   // seconds: finds, configures, waits for clocks
 *     ... as any radio ...
 *     radio_destroy(r);                                          // transmitter off
 *
 * The stream begins at a full second of the device's clock, one to two seconds after creation; that is sample 0 of both directions. sc16
 * on the wire. How losses, lates and underflows are borne: uhd_rx.h, uhd_tx.h. Gains can be set while streaming; the call lasts as long as the
 * device takes (B210: about a millisecond), so set them between slots.
 */
#ifndef RADIO_UHD_RADIO_H
#define RADIO_UHD_RADIO_H

#include <stdbool.h>

#include "radio/radio.h"

struct uhd_radio_config {
	const char *args;       /* which device and how, as UHD takes it; "": the first found */
	double rate_hz;         /* both directions; refused unless the device has it within 1e-6 */
	double master_clock_hz; /* 0: as the device likes */
	double tx_hz, rx_hz;    /* carriers; refused unless tuned within 1 kHz */
	double lo_offset_hz; /* the oscillator lies this much above the carrier: leakage and image fall beside the band; 0: not */
	double bandwidth_hz; /* analogue filters, both directions; 0: as the device likes */
	double tx_gain_db, rx_gain_db;
	unsigned tx_channel, rx_channel;
	const char *tx_antenna, *rx_antenna;         /* NULL or "": the device's first choice */
	const char *clock_source, *time_source;      /* "internal", "external", "gpsdo"; NULL or "": internal */
	double lock_timeout_s;                       /* for oscillators and external clocks */
	double tx_full_scale_dbm, rx_full_scale_dbm; /* at gain 0 dB, from calibration (radio.h) */
	size_t history;                              /* received samples kept */
	size_t spare; /* a burst ends when less than this, and a packet, is left of it (uhd_tx.h): what the way to the device takes */
	int priority; /* SCHED_FIFO priority of UHD's own threads; 0: as the caller. Without the right to it: as the caller */
};

#define UHD_RADIO_DEFAULTS                                                                                             \
	((struct uhd_radio_config){ .args = "",                                                                        \
	                            .lock_timeout_s = 5,                                                               \
	                            .tx_full_scale_dbm = -70,                                                          \
	                            .rx_full_scale_dbm = 0,                                                            \
	                            .history = 1 << 18,                                                                \
	                            .spare = 2048 })

/* NULL with errno (ENODEV: none found; EINVAL: it can't do what is asked; EIO, ETIME: no lock) and one line in err. */
struct radio *uhd_radio_create(const struct uhd_radio_config *config, char *err, size_t err_len);

#endif
