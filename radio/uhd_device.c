#include "radio/uhd_device.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double CARRIER_OFF_HZ = 1e3;
static const double RATE_OFF = 1e-6;
enum { LOCK_LOOK_MS = 50 };

const struct uhd_direction uhd_directions[2] = {
	[UHD_RX] = { "rx", uhd_usrp_set_rx_rate, uhd_usrp_get_rx_rate, uhd_usrp_set_rx_freq, uhd_usrp_get_rx_freq,
	             uhd_usrp_get_rx_freq_range, uhd_usrp_set_rx_gain, uhd_usrp_get_rx_gain, uhd_usrp_get_rx_gain_range,
	             uhd_usrp_set_rx_bandwidth, uhd_usrp_set_rx_antenna, uhd_usrp_get_rx_antenna,
	             uhd_usrp_get_rx_antennas, uhd_usrp_get_rx_sensor, uhd_usrp_get_rx_sensor_names,
	             uhd_usrp_get_rx_num_channels },
	[UHD_TX] = { "tx", uhd_usrp_set_tx_rate, uhd_usrp_get_tx_rate, uhd_usrp_set_tx_freq, uhd_usrp_get_tx_freq,
	             uhd_usrp_get_tx_freq_range, uhd_usrp_set_tx_gain, uhd_usrp_get_tx_gain, uhd_usrp_get_tx_gain_range,
	             uhd_usrp_set_tx_bandwidth, uhd_usrp_set_tx_antenna, uhd_usrp_get_tx_antenna,
	             uhd_usrp_get_tx_antennas, uhd_usrp_get_tx_sensor, uhd_usrp_get_tx_sensor_names,
	             uhd_usrp_get_tx_num_channels },
};

/* What one direction of a configuration asks for. */
struct wanted {
	size_t channel;
	double hz, gain_db;
	const char *antenna;
};

static struct wanted wanted(const struct uhd_radio_config *c, int dir)
{
	return dir == UHD_RX ? (struct wanted){ c->rx_channel, c->rx_hz, c->rx_gain_db, c->rx_antenna }
	                     : (struct wanted){ c->tx_channel, c->tx_hz, c->tx_gain_db, c->tx_antenna };
}

int uhd_device_failed(const char *what, char *err, size_t err_len)
{
	char why[256] = "";
	uhd_get_last_error(why, sizeof why);
	why[strcspn(why, "\n")] = 0;
	snprintf(err, err_len, "uhd: %s: %s", what, why[0] ? why : "failed");
	return -EIO;
}

static int find(const struct uhd_radio_config *c, char *err, size_t err_len)
{
	uhd_string_vector_handle found = NULL;
	size_t n = 0;
	uhd_error bad = uhd_string_vector_make(&found);
	bad = bad ? bad : uhd_usrp_find(c->args, &found);
	bad = bad ? bad : uhd_string_vector_size(found, &n);
	if (found)
		uhd_string_vector_free(&found);
	if (bad)
		return uhd_device_failed("looking for devices", err, err_len);
	if (n)
		return 0;
	snprintf(err, err_len,
	         "uhd: no device answers to args \"%s\" on USB or the network; uhd_find_devices lists those that do "
	         "(is it "
	         "powered, may this user open it, is its image there: uhd_images_downloader)",
	         c->args);
	return -ENODEV;
}

static int make(struct uhd_device *d, const struct uhd_radio_config *c, char *err, size_t err_len)
{
	char args[512];
	int len = c->master_clock_hz > 0 ? snprintf(args, sizeof args, "%s%smaster_clock_rate=%.17g", c->args,
	                                            c->args[0] ? "," : "", c->master_clock_hz)
	                                 : snprintf(args, sizeof args, "%s", c->args);
	if (len < 0 || (size_t)len >= sizeof args) {
		snprintf(err, err_len, "uhd: args are too long");
		return -EINVAL;
	}
	return uhd_usrp_make(&d->usrp, args) ? uhd_device_failed("opening the device", err, err_len) : 0;
}

static const char *source(const char *name)
{
	return name && name[0] ? name : "internal";
}

static int set_sources(struct uhd_device *d, const struct uhd_radio_config *c, char *err, size_t err_len)
{
	d->external_clock = strcmp(source(c->clock_source), "internal") != 0;
	if (uhd_usrp_set_clock_source(d->usrp, source(c->clock_source), 0))
		return uhd_device_failed("clock source", err, err_len);
	if (uhd_usrp_set_time_source(d->usrp, source(c->time_source), 0))
		return uhd_device_failed("time source", err, err_len);
	return 0;
}

static int set_rate(struct uhd_device *d, const struct uhd_radio_config *c, int dir, char *err, size_t err_len)
{
	const struct uhd_direction *ask = &uhd_directions[dir];
	struct wanted w = wanted(c, dir);
	size_t n_channels = 0;
	double is = 0, master = 0;
	if (ask->channels(d->usrp, &n_channels))
		return uhd_device_failed("channels", err, err_len);
	if (w.channel >= n_channels) {
		snprintf(err, err_len, "uhd: %s channel %zu: the device has %zu", ask->name, w.channel, n_channels);
		return -EINVAL;
	}
	if (ask->set_rate(d->usrp, c->rate_hz, w.channel) || ask->get_rate(d->usrp, w.channel, &is) ||
	    uhd_usrp_get_master_clock_rate(d->usrp, 0, &master))
		return uhd_device_failed("rate", err, err_len);
	if (fabs(is / c->rate_hz - 1) > RATE_OFF) {
		snprintf(err, err_len,
		         "uhd: %s rate %.10g Hz: the device makes %.10g of its master clock, %.10g; set another one",
		         ask->name, c->rate_hz, is, master);
		return -EINVAL;
	}
	d->info.rate_hz = is;
	return 0;
}

static int tune(struct uhd_device *d, const struct uhd_radio_config *c, int dir, char *err, size_t err_len)
{
	const struct uhd_direction *ask = &uhd_directions[dir];
	struct wanted w = wanted(c, dir);
	uhd_tune_request_t request = { .target_freq = w.hz,
		                       .rf_freq_policy = c->lo_offset_hz != 0 ? UHD_TUNE_REQUEST_POLICY_MANUAL
		                                                              : UHD_TUNE_REQUEST_POLICY_AUTO,
		                       .rf_freq = w.hz + c->lo_offset_hz,
		                       .dsp_freq_policy = UHD_TUNE_REQUEST_POLICY_AUTO,
		                       .args = "" };
	uhd_tune_result_t result;
	double *is = dir == UHD_RX ? &d->info.rx_hz : &d->info.tx_hz;
	if (ask->set_freq(d->usrp, &request, w.channel, &result) || ask->get_freq(d->usrp, w.channel, is))
		return uhd_device_failed("carrier", err, err_len);
	if (fabs(*is - w.hz) > CARRIER_OFF_HZ) {
		double first = 0, last = 0;
		uhd_device_range(d->usrp, ask, UHD_RANGE_CARRIER, w.channel, &first, &last);
		snprintf(err, err_len,
		         "uhd: %s carrier %.10g Hz: the device tunes to %.10g (it goes from %.10g to %.10g)", ask->name,
		         w.hz, *is, first, last);
		return -EINVAL;
	}
	if (c->bandwidth_hz > 0 && ask->set_bandwidth(d->usrp, c->bandwidth_hz, w.channel))
		return uhd_device_failed("bandwidth", err, err_len);
	return 0;
}

int uhd_device_range(uhd_usrp_handle usrp, const struct uhd_direction *dir, enum uhd_range of, size_t channel,
                     double *first, double *last)
{
	uhd_meta_range_handle range = NULL;
	uhd_error bad = uhd_meta_range_make(&range);
	bad = bad                    ? bad
	      : of == UHD_RANGE_GAIN ? dir->gain_range(usrp, "", channel, range)
	                             : dir->freq_range(usrp, channel, range);
	bad = bad ? bad : uhd_meta_range_start(range, first);
	bad = bad ? bad : uhd_meta_range_stop(range, last);
	if (range)
		uhd_meta_range_free(&range);
	return bad ? -EIO : 0;
}

static int set_gain(struct uhd_device *d, const struct uhd_radio_config *c, int dir, char *err, size_t err_len)
{
	const struct uhd_direction *ask = &uhd_directions[dir];
	struct wanted w = wanted(c, dir);
	struct radio_info *i = &d->info;
	double *is = dir == UHD_RX ? &i->rx_gain_db : &i->tx_gain_db;
	double *first = dir == UHD_RX ? &i->rx_gain_min_db : &i->tx_gain_min_db;
	double *last = dir == UHD_RX ? &i->rx_gain_max_db : &i->tx_gain_max_db;
	if (w.antenna && w.antenna[0] && ask->set_antenna(d->usrp, w.antenna, w.channel))
		return uhd_device_failed("antenna", err, err_len);
	if (uhd_device_range(d->usrp, ask, UHD_RANGE_GAIN, w.channel, first, last))
		return uhd_device_failed("gain", err, err_len);
	if (!(w.gain_db >= *first && w.gain_db <= *last)) {
		snprintf(err, err_len, "uhd: %s gain %g dB: the device goes from %g to %g", ask->name, w.gain_db,
		         *first, *last);
		return -EINVAL;
	}
	if (ask->set_gain(d->usrp, w.gain_db, w.channel, "") || ask->get_gain(d->usrp, w.channel, "", is))
		return uhd_device_failed("gain", err, err_len);
	return 0;
}

static bool has(uhd_string_vector_handle names, const char *name)
{
	size_t n = 0;
	char is[64];
	if (uhd_string_vector_size(names, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!uhd_string_vector_at(names, i, is, sizeof is) && strcmp(is, name) == 0)
			return true;
	return false;
}

/* A sensor of the motherboard (ask NULL) or of a direction: 1 or 0; 1 if there is no such sensor; -EIO. */
static int sensor(uhd_usrp_handle usrp, const struct uhd_direction *ask, size_t channel, const char *name)
{
	uhd_string_vector_handle names = NULL;
	uhd_sensor_value_handle value = NULL;
	bool is = true;
	uhd_error bad = uhd_string_vector_make(&names);
	bad = bad   ? bad
	      : ask ? ask->sensor_names(usrp, channel, &names)
	            : uhd_usrp_get_mboard_sensor_names(usrp, 0, &names);
	if (!bad && has(names, name)) {
		bad = uhd_sensor_value_make(&value);
		bad = bad   ? bad
		      : ask ? ask->sensor(usrp, name, channel, &value)
		            : uhd_usrp_get_mboard_sensor(usrp, name, 0, &value);
		bad = bad ? bad : uhd_sensor_value_to_bool(value, &is);
	}
	if (value)
		uhd_sensor_value_free(&value);
	if (names)
		uhd_string_vector_free(&names);
	return bad ? -EIO : is;
}

static int wait_lock(const struct uhd_device *d, const struct uhd_direction *ask, size_t channel, const char *name,
                     double timeout_s, char *err, size_t err_len)
{
	for (double waited_s = 0;; waited_s += LOCK_LOOK_MS * 1e-3) {
		int is = sensor(d->usrp, ask, channel, name);
		if (is < 0)
			return uhd_device_failed(name, err, err_len);
		if (is)
			return 0;
		if (waited_s >= timeout_s)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_LOOK_MS * 1000000L }, NULL);
	}
	snprintf(err, err_len, "uhd: %s%s%s: not within %g s (radio clock connected and switched on?)",
	         ask ? ask->name : "", ask ? " " : "", name, timeout_s);
	return -ETIME;
}

static int wait_locks(const struct uhd_device *d, const struct uhd_radio_config *c, char *err, size_t err_len)
{
	int rc = 0;
	for (int dir = UHD_RX; !rc && dir <= UHD_TX; dir++)
		rc = wait_lock(d, &uhd_directions[dir], wanted(c, dir).channel, "lo_locked", c->lock_timeout_s, err,
		               err_len);
	if (!rc && d->external_clock)
		rc = wait_lock(d, NULL, 0, "ref_locked", c->lock_timeout_s, err, err_len);
	if (!rc && strcmp(source(c->time_source), "gpsdo") == 0)
		rc = wait_lock(d, NULL, 0, "gps_locked", c->lock_timeout_s, err, err_len);
	return rc;
}

int uhd_device_clock_locked(const struct uhd_device *d)
{
	return sensor(d->usrp, NULL, 0, "ref_locked");
}

int uhd_device_open(struct uhd_device *d, const struct uhd_radio_config *c, char *err, size_t err_len)
{
	*d = (struct uhd_device){ 0 };
	/* Late packets are told through the streamers; letters on the terminal would come from the threads that must not wait. */
	setenv("UHD_LOG_FASTPATH_DISABLE", "1", 0);
	setenv("UHD_LOG_CONSOLE_LEVEL", "warning", 0);
	int rc = find(c, err, err_len);
	rc = rc ? rc : make(d, c, err, err_len);
	rc = rc ? rc : set_sources(d, c, err, err_len);
	for (int dir = UHD_RX; !rc && dir <= UHD_TX; dir++) {
		rc = set_rate(d, c, dir, err, err_len);
		rc = rc ? rc : tune(d, c, dir, err, err_len);
		rc = rc ? rc : set_gain(d, c, dir, err, err_len);
	}
	rc = rc ? rc : wait_locks(d, c, err, err_len);
	if (rc)
		uhd_device_close(d);
	return rc;
}

void uhd_device_close(struct uhd_device *d)
{
	if (d->usrp)
		uhd_usrp_free(&d->usrp);
}

/* UHD's threads are made with the streamers and inherit the priority of the thread that makes them. */
struct priority {
	int policy;
	struct sched_param param;
	bool raised;
};

static void raise_priority(struct priority *before, int priority)
{
	before->raised =
	        priority > 0 && !pthread_getschedparam(pthread_self(), &before->policy, &before->param) &&
	        !pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){ .sched_priority = priority });
}

static void restore_priority(const struct priority *before)
{
	if (before->raised)
		pthread_setschedparam(pthread_self(), before->policy, &before->param);
}

static int make_streamers(struct uhd_device *d, const struct uhd_radio_config *c, uhd_rx_streamer_handle rx,
                          uhd_tx_streamer_handle tx)
{
	size_t rx_channel = c->rx_channel, tx_channel = c->tx_channel;
	uhd_stream_args_t args = { .cpu_format = "fc32", .otw_format = "sc16", .args = "", .n_channels = 1 };
	args.channel_list = &rx_channel;
	if (uhd_usrp_get_rx_stream(d->usrp, &args, rx))
		return -EIO;
	/* After a late packet or an underflow the rest of a burst is thrown away: it would come at wrong times. */
	args.channel_list = &tx_channel;
	args.args = "underflow_policy=next_burst";
	return uhd_usrp_get_tx_stream(d->usrp, &args, tx) ? -EIO : 0;
}

/* Times of several devices agree where a pulse a second is shared; otherwise each has its own. */
static int set_time(struct uhd_device *d, const struct uhd_radio_config *c)
{
	bool shared = strcmp(source(c->time_source), "internal") != 0;
	int64_t full_s;
	double frac_s;
	if (shared ? uhd_usrp_set_time_unknown_pps(d->usrp, 0, 0) : uhd_usrp_set_time_now(d->usrp, 0, 0, 0))
		return -EIO;
	if (uhd_usrp_get_time_now(d->usrp, 0, &full_s, &frac_s))
		return -EIO;
	d->start_s = full_s + 2;
	return 0;
}

int uhd_device_stream(struct uhd_device *d, const struct uhd_radio_config *c, uhd_rx_streamer_handle *rx,
                      uhd_tx_streamer_handle *tx, char *err, size_t err_len)
{
	struct priority before;
	*rx = NULL;
	*tx = NULL;
	raise_priority(&before, c->priority);
	int rc = uhd_rx_streamer_make(rx) || uhd_tx_streamer_make(tx) || make_streamers(d, c, *rx, *tx);
	restore_priority(&before);
	rc = rc || set_time(d, c);
	if (!rc)
		return 0;
	rc = uhd_device_failed("starting the streams", err, err_len);
	if (*rx)
		uhd_rx_streamer_free(rx);
	if (*tx)
		uhd_tx_streamer_free(tx);
	return rc;
}
