/* uhd_probe.h - which UHD devices there are, and what one can do.
 *
 *     struct uhd_found found;
 *     uhd_find("type=b200", &found, err, sizeof err);
 *     struct uhd_description d;
 *     uhd_describe(found.args[0], &d, err, sizeof err);
 */
#ifndef RADIO_UHD_PROBE_H
#define RADIO_UHD_PROBE_H

#include <stdbool.h>
#include <stddef.h>

enum { UHD_FOUND_MAX = 16, UHD_ARGS_MAX = 256, UHD_WORD = 32, UHD_WORDS_MAX = 16 };

struct uhd_found {
	size_t n;
	char args[UHD_FOUND_MAX][UHD_ARGS_MAX]; /* as UHD tells them apart: type, serial, address, product */
};

struct uhd_words {
	size_t n;
	char word[UHD_WORDS_MAX][UHD_WORD];
};

/* One direction of channel 0. */
struct uhd_direction_can {
	size_t channels;
	double carrier_min_hz, carrier_max_hz, gain_min_db, gain_max_db;
	struct uhd_words antennas, sensors;
};

struct uhd_description {
	char board[64];
	double master_clock_hz;
	struct uhd_direction_can rx, tx;
	struct uhd_words clock_sources, time_sources, sensors;
};

/* 0, also if there is none; -EIO with one line in err. */
int uhd_find(const char *args, struct uhd_found *found, char *err, size_t err_len);
/* Opens it, asks, closes it. 0 or -EIO with one line in err. */
int uhd_describe(const char *args, struct uhd_description *d, char *err, size_t err_len);

#endif
