#include "radio/uhd_radio.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "radio/uhd_device.h"
#include "radio/uhd_rx.h"
#include "radio/uhd_tx.h"

enum { CLOCK_LOOK_MS = 100 };

struct uhd_radio {
	struct radio radio; /* first */
	struct uhd_device device;
	double tx_full_scale_dbm, rx_full_scale_dbm; /* at gain 0 dB */
	size_t channel[2];                           /* UHD_RX, UHD_TX */
	struct uhd_rx *rx;
	struct uhd_tx *tx;
	uint64_t now;
	/* An external clock is looked at by a thread of its own; calls that control the device are made one at a time. */
	pthread_t watch;
	bool watching;
	pthread_mutex_t control;
	atomic_bool stop, unlocked;
	bool told_unlocked;
	bool lost;
};

/* The first call that fails for good tells; from then on all do. */
static int lose(struct uhd_radio *u, uint64_t t)
{
	if (!u->lost)
		radio_raise(&u->radio, RADIO_LOST, t);
	u->lost = true;
	return -EIO;
}

static int uhd_radio_recv(struct radio *r, float complex *x, size_t n, uint64_t t)
{
	struct uhd_radio *u = (struct uhd_radio *)r;
	bool unlocked = atomic_load_explicit(&u->unlocked, memory_order_relaxed);
	if (unlocked && !u->told_unlocked)
		radio_raise(r, RADIO_UNLOCKED, t);
	u->told_unlocked = unlocked;
	if (t + n > u->now)
		u->now = t + n;
	uhd_tx_turn(u->tx, u->now);
	int rc = uhd_rx_read(u->rx, x, n, t);
	return rc == -EIO || u->lost ? lose(u, t) : rc;
}

static int uhd_radio_send(struct radio *r, const float complex *x, size_t n, uint64_t t)
{
	struct uhd_radio *u = (struct uhd_radio *)r;
	int rc = uhd_tx_send(u->tx, x, n, t, u->now);
	return rc == -EIO || u->lost ? lose(u, t) : rc;
}

static void set_full_scale(struct uhd_radio *u)
{
	struct radio_info *i = &u->device.info;
	i->tx_full_scale_dbm = u->tx_full_scale_dbm + i->tx_gain_db;
	i->rx_full_scale_dbm = u->rx_full_scale_dbm - i->rx_gain_db;
}

static int set_gain(struct uhd_radio *u, int dir, double gain_db)
{
	const struct uhd_direction *ask = &uhd_directions[dir];
	double *is = dir == UHD_RX ? &u->device.info.rx_gain_db : &u->device.info.tx_gain_db;
	pthread_mutex_lock(&u->control);
	uhd_error bad = ask->set_gain(u->device.usrp, gain_db, u->channel[dir], "");
	bad = bad ? bad : ask->get_gain(u->device.usrp, u->channel[dir], "", is);
	pthread_mutex_unlock(&u->control);
	set_full_scale(u);
	return bad ? -EIO : 0;
}

static int set_rx_gain(struct radio *r, double gain_db)
{
	return set_gain((struct uhd_radio *)r, UHD_RX, gain_db);
}

static int set_tx_gain(struct radio *r, double gain_db)
{
	return set_gain((struct uhd_radio *)r, UHD_TX, gain_db);
}

static void get_info(const struct radio *r, struct radio_info *info)
{
	*info = ((const struct uhd_radio *)r)->device.info;
}

/* The transmitter first. */
static void destroy(struct radio *r)
{
	struct uhd_radio *u = (struct uhd_radio *)r;
	uhd_tx_free(u->tx);
	uhd_rx_free(u->rx);
	if (u->watching) {
		atomic_store(&u->stop, true);
		pthread_join(u->watch, NULL);
	}
	pthread_mutex_destroy(&u->control);
	uhd_device_close(&u->device);
	free(u);
}

static const struct radio_ops ops = {
	.recv = uhd_radio_recv,
	.send = uhd_radio_send,
	.set_rx_gain = set_rx_gain,
	.set_tx_gain = set_tx_gain,
	.get_info = get_info,
	.destroy = destroy,
};

static void *watch_clock(void *arg)
{
	struct uhd_radio *u = arg;
	while (!atomic_load(&u->stop)) {
		pthread_mutex_lock(&u->control);
		int locked = uhd_device_clock_locked(&u->device);
		pthread_mutex_unlock(&u->control);
		atomic_store_explicit(&u->unlocked, locked == 0, memory_order_relaxed);
		nanosleep(&(struct timespec){ .tv_nsec = CLOCK_LOOK_MS * 1000000L }, NULL);
	}
	return NULL;
}

static int start(struct uhd_radio *u, const struct uhd_radio_config *c, char *err, size_t err_len)
{
	uhd_rx_streamer_handle rx;
	uhd_tx_streamer_handle tx;
	int rc = uhd_device_stream(&u->device, c, &rx, &tx, err, err_len);
	if (rc)
		return rc;
	struct uhd_time time = { .start_s = u->device.start_s, .rate_hz = u->device.info.rate_hz };
	size_t packet = 0; /* what was received is up to a packet older than the device's present */
	uhd_rx_streamer_max_num_samps(rx, &packet);
	u->rx = uhd_rx_create(u->device.usrp, rx, &time, c->history, &u->radio);
	u->tx = uhd_tx_create(tx, &time, c->spare + packet, &u->radio);
	rc = u->rx && u->tx ? uhd_rx_start(u->rx) : -errno;
	if (!rc && u->device.external_clock) {
		rc = -pthread_create(&u->watch, NULL, watch_clock, u);
		u->watching = !rc;
	}
	if (rc)
		snprintf(err, err_len, "uhd: starting the streams: %s", strerror(-rc));
	return rc;
}

struct radio *uhd_radio_create(const struct uhd_radio_config *c, char *err, size_t err_len)
{
	struct uhd_radio *u = calloc(1, sizeof *u);
	if (!u) {
		snprintf(err, err_len, "uhd: %s", strerror(ENOMEM));
		return NULL;
	}
	u->radio.ops = &ops;
	u->tx_full_scale_dbm = c->tx_full_scale_dbm;
	u->rx_full_scale_dbm = c->rx_full_scale_dbm;
	u->channel[UHD_RX] = c->rx_channel;
	u->channel[UHD_TX] = c->tx_channel;
	int rc = uhd_device_open(&u->device, c, err, err_len);
	if (rc) {
		free(u);
		errno = -rc;
		return NULL;
	}
	set_full_scale(u);
	pthread_mutex_init(&u->control, NULL);
	rc = start(u, c, err, err_len);
	if (rc) {
		destroy(&u->radio);
		errno = -rc;
		return NULL;
	}
	return &u->radio;
}
