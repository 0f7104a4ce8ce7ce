#include "radio/uhd_rx.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "radio/history.h"

static const double TIMEOUT_S = 0.1;            /* of one receive call */
static const double RESTART_S = 0.05;           /* from asking for a stream to its first sample */
enum { PATIENCE_AT_START = 30, PATIENCE = 10 }; /* calls in a row that bring nothing, then the device is lost */

struct uhd_rx {
	uhd_usrp_handle usrp;
	uhd_rx_streamer_handle streamer;
	uhd_rx_metadata_handle md;
	struct uhd_time time;
	struct radio *owner;
	struct history history;
	float complex *packet; /* max_samps */
	size_t max_samps;
	int patience; /* calls without a sample that are still borne */
	bool started, lost;
};

struct uhd_rx *uhd_rx_create(uhd_usrp_handle usrp, uhd_rx_streamer_handle streamer, const struct uhd_time *time,
                             size_t history, struct radio *owner)
{
	struct uhd_rx *rx = calloc(1, sizeof *rx);
	if (!rx) {
		uhd_rx_streamer_free(&streamer);
		errno = ENOMEM;
		return NULL;
	}
	*rx = (struct uhd_rx){ .usrp = usrp, .streamer = streamer, .time = *time, .owner = owner };
	int rc = 0;
	if (uhd_rx_metadata_make(&rx->md) || uhd_rx_streamer_max_num_samps(streamer, &rx->max_samps) || !rx->max_samps)
		rc = EIO;
	if (!rc)
		rc = -history_init(&rx->history, history + rx->max_samps);
	rx->packet = calloc(rx->max_samps + 1, sizeof *rx->packet);
	if (!rc && !rx->packet)
		rc = ENOMEM;
	if (rc) {
		uhd_rx_free(rx);
		errno = rc;
		return NULL;
	}
	return rx;
}

static int issue(struct uhd_rx *rx, uint64_t t)
{
	uhd_stream_cmd_t cmd = { .stream_mode = UHD_STREAM_MODE_START_CONTINUOUS };
	uhd_time_device(&rx->time, t, &cmd.time_spec_full_secs, &cmd.time_spec_frac_secs);
	return uhd_rx_streamer_issue_stream_cmd(rx->streamer, &cmd) ? -EIO : 0;
}

/* On the grid of samples, a little after the device's present. */
static int restart(struct uhd_rx *rx)
{
	int64_t full_s;
	double frac_s;
	if (uhd_usrp_get_time_now(rx->usrp, 0, &full_s, &frac_s))
		return -EIO;
	int64_t now = uhd_time_samples(&rx->time, full_s, frac_s);
	return issue(rx, (uint64_t)(now > 0 ? now : 0) + (uint64_t)(RESTART_S * rx->time.rate_hz));
}

int uhd_rx_start(struct uhd_rx *rx)
{
	rx->patience = PATIENCE_AT_START;
	rx->started = true;
	return issue(rx, 0);
}

static int lose(struct uhd_rx *rx)
{
	rx->lost = true;
	return -EIO;
}

/* Components at full scale, as the converter gives them: one step below 1. */
static size_t overloaded(const float complex *x, size_t n)
{
	const float *v = (const float *)x, limit = 32766.5f / 32768.0f;
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count +=
		        (v[2 * i] >= limit) | (v[2 * i] <= -limit) | (v[2 * i + 1] >= limit) | (v[2 * i + 1] <= -limit);
	return count;
}

/* A packet of n samples whose first lies at t. */
static void place(struct uhd_rx *rx, size_t n, int64_t t)
{
	uint64_t end = rx->history.end;
	rx->owner->stats.samples_overloaded += overloaded(rx->packet, n);
	if (history_put(&rx->history, rx->packet, n, t))
		radio_raise(rx->owner, RADIO_OVERFLOW, end);
}

/* One packet, or one thing that went wrong. */
static int take(struct uhd_rx *rx)
{
	void *buffers[1] = { rx->packet };
	size_t n = 0;
	uhd_rx_metadata_error_code_t code;
	bool timed = false;
	int64_t full_s;
	double frac_s;
	if (uhd_rx_streamer_recv(rx->streamer, buffers, rx->max_samps, &rx->md, TIMEOUT_S, true, &n) ||
	    uhd_rx_metadata_error_code(rx->md, &code) || uhd_rx_metadata_has_time_spec(rx->md, &timed) ||
	    uhd_rx_metadata_time_spec(rx->md, &full_s, &frac_s))
		return lose(rx);
	if (n) {
		place(rx, n, timed ? uhd_time_samples(&rx->time, full_s, frac_s) : (int64_t)rx->history.end);
		rx->patience = PATIENCE;
		return 0;
	}
	/* A timeout, or an error; what it lost shows in the time of the next packet. */
	bool ended = code == UHD_RX_METADATA_ERROR_CODE_LATE_COMMAND || code == UHD_RX_METADATA_ERROR_CODE_BROKEN_CHAIN;
	if (rx->patience-- == 0 || (ended && restart(rx)))
		return lose(rx);
	return 0;
}

static int wait_for(void *arg, uint64_t t)
{
	struct uhd_rx *rx = arg;
	int rc = rx->lost ? -EIO : 0;
	while (!rc && rx->history.end <= t)
		rc = take(rx);
	return rc;
}

int uhd_rx_read(struct uhd_rx *rx, float complex *x, size_t n, uint64_t t)
{
	return history_recv(&rx->history, rx->owner, x, n, t, wait_for, rx);
}

void uhd_rx_free(struct uhd_rx *rx)
{
	if (!rx)
		return;
	if (rx->started)
		uhd_rx_streamer_issue_stream_cmd(rx->streamer, &(uhd_stream_cmd_t){
		                                                       .stream_mode = UHD_STREAM_MODE_STOP_CONTINUOUS,
		                                                       .stream_now = true,
		                                               });
	if (rx->md)
		uhd_rx_metadata_free(&rx->md);
	uhd_rx_streamer_free(&rx->streamer);
	history_free(&rx->history);
	free(rx->packet);
	free(rx);
}
