#include "radio/uhd_probe.h"

#include <errno.h>
#include <string.h>

#include "radio/uhd_device.h"

int uhd_find(const char *args, struct uhd_found *found, char *err, size_t err_len)
{
	uhd_string_vector_handle list = NULL;
	found->n = 0;
	uhd_error bad = uhd_string_vector_make(&list);
	bad = bad ? bad : uhd_usrp_find(args, &list);
	bad = bad ? bad : uhd_string_vector_size(list, &found->n);
	found->n = found->n < UHD_FOUND_MAX ? found->n : UHD_FOUND_MAX;
	for (size_t i = 0; !bad && i < found->n; i++)
		bad = uhd_string_vector_at(list, i, found->args[i], UHD_ARGS_MAX);
	if (list)
		uhd_string_vector_free(&list);
	return bad ? uhd_device_failed("looking for devices", err, err_len) : 0;
}

/* Takes the list and frees it. */
static uhd_error take_words(uhd_error bad, uhd_string_vector_handle list, struct uhd_words *words)
{
	bad = bad ? bad : uhd_string_vector_size(list, &words->n);
	words->n = words->n < UHD_WORDS_MAX ? words->n : UHD_WORDS_MAX;
	for (size_t i = 0; !bad && i < words->n; i++)
		bad = uhd_string_vector_at(list, i, words->word[i], UHD_WORD);
	if (list)
		uhd_string_vector_free(&list);
	return bad;
}

static uhd_error board_words(uhd_usrp_handle usrp,
                             uhd_error (*ask)(uhd_usrp_handle, size_t, uhd_string_vector_handle *),
                             struct uhd_words *words)
{
	uhd_string_vector_handle list = NULL;
	uhd_error bad = uhd_string_vector_make(&list);
	bad = bad ? bad : ask(usrp, 0, &list);
	return take_words(bad, list, words);
}

static uhd_error direction(uhd_usrp_handle usrp, const struct uhd_direction *ask, struct uhd_direction_can *can)
{
	uhd_error bad = ask->channels(usrp, &can->channels);
	if (bad || !can->channels)
		return bad;
	if (uhd_device_range(usrp, ask, UHD_RANGE_CARRIER, 0, &can->carrier_min_hz, &can->carrier_max_hz) ||
	    uhd_device_range(usrp, ask, UHD_RANGE_GAIN, 0, &can->gain_min_db, &can->gain_max_db))
		return UHD_ERROR_RUNTIME;
	bad = board_words(usrp, ask->antennas, &can->antennas);
	return bad ? bad : board_words(usrp, ask->sensor_names, &can->sensors);
}

int uhd_describe(const char *args, struct uhd_description *d, char *err, size_t err_len)
{
	uhd_usrp_handle usrp = NULL;
	memset(d, 0, sizeof *d);
	uhd_error bad = uhd_usrp_make(&usrp, args);
	bad = bad ? bad : uhd_usrp_get_mboard_name(usrp, 0, d->board, sizeof d->board);
	bad = bad ? bad : uhd_usrp_get_master_clock_rate(usrp, 0, &d->master_clock_hz);
	bad = bad ? bad : direction(usrp, &uhd_directions[UHD_RX], &d->rx);
	bad = bad ? bad : direction(usrp, &uhd_directions[UHD_TX], &d->tx);
	bad = bad ? bad : board_words(usrp, uhd_usrp_get_clock_sources, &d->clock_sources);
	bad = bad ? bad : board_words(usrp, uhd_usrp_get_time_sources, &d->time_sources);
	bad = bad ? bad : board_words(usrp, uhd_usrp_get_mboard_sensor_names, &d->sensors);
	int rc = bad ? uhd_device_failed(args, err, err_len) : 0;
	if (usrp)
		uhd_usrp_free(&usrp);
	return rc;
}
