/* uhd_device.h - a UHD device found, configured and locked, before any sample flows.
 *
 *     struct uhd_device d;
 *     int rc = uhd_device_open(&d, &config, err, sizeof err);
 *     uhd_device_stream(&d, &config, &rx, &tx, err, sizeof err);
 *     ...
 *     uhd_device_close(&d);
 *
 * Order matters to UHD: clock and time source first, then rates, carriers, gains; last the device's time. For uhd_radio.c and what looks at
 * devices (uhd_probe.h).
 */
#ifndef RADIO_UHD_DEVICE_H
#define RADIO_UHD_DEVICE_H

#include <uhd.h>

#include "radio/uhd_radio.h"

/* UHD's functions for the two directions, which have the same shapes. */
struct uhd_direction {
	const char *name;
	uhd_error (*set_rate)(uhd_usrp_handle, double, size_t);
	uhd_error (*get_rate)(uhd_usrp_handle, size_t, double *);
	uhd_error (*set_freq)(uhd_usrp_handle, uhd_tune_request_t *, size_t, uhd_tune_result_t *);
	uhd_error (*get_freq)(uhd_usrp_handle, size_t, double *);
	uhd_error (*freq_range)(uhd_usrp_handle, size_t, uhd_meta_range_handle);
	uhd_error (*set_gain)(uhd_usrp_handle, double, size_t, const char *);
	uhd_error (*get_gain)(uhd_usrp_handle, size_t, const char *, double *);
	uhd_error (*gain_range)(uhd_usrp_handle, const char *, size_t, uhd_meta_range_handle);
	uhd_error (*set_bandwidth)(uhd_usrp_handle, double, size_t);
	uhd_error (*set_antenna)(uhd_usrp_handle, const char *, size_t);
	uhd_error (*get_antenna)(uhd_usrp_handle, size_t, char *, size_t);
	uhd_error (*antennas)(uhd_usrp_handle, size_t, uhd_string_vector_handle *);
	uhd_error (*sensor)(uhd_usrp_handle, const char *, size_t, uhd_sensor_value_handle *);
	uhd_error (*sensor_names)(uhd_usrp_handle, size_t, uhd_string_vector_handle *);
	uhd_error (*channels)(uhd_usrp_handle, size_t *);
};
enum { UHD_RX, UHD_TX };
extern const struct uhd_direction uhd_directions[2];

struct uhd_device {
	uhd_usrp_handle usrp;
	struct radio_info info; /* as it is, full scales included */
	int64_t start_s;        /* device time of sample 0 */
	bool external_clock;    /* it has a clock that can be lost */
};

/* Errors as uhd_radio_create, negative. *d then needs no closing. */
int uhd_device_open(struct uhd_device *d, const struct uhd_radio_config *config, char *err, size_t err_len);

/* Makes both streamers, and sets start_s. */
int uhd_device_stream(struct uhd_device *d, const struct uhd_radio_config *config, uhd_rx_streamer_handle *rx,
                      uhd_tx_streamer_handle *tx, char *err, size_t err_len);

/* One line in err: what was tried, and UHD's own words for why not. Returns -EIO. */
int uhd_device_failed(const char *what, char *err, size_t err_len);

/* 1 locked (or it can't tell), 0 not, -EIO. */
int uhd_device_clock_locked(const struct uhd_device *d);

void uhd_device_close(struct uhd_device *d);

/* First and last value of what a direction's channel can be set to. 0 or -EIO. */
enum uhd_range { UHD_RANGE_CARRIER, UHD_RANGE_GAIN };
int uhd_device_range(uhd_usrp_handle usrp, const struct uhd_direction *dir, enum uhd_range of, size_t channel,
                     double *first, double *last);

#endif
