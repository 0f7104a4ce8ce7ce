#include "testbed/node_radio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "radio/ether_peer.h"
#include "radio/uhd_radio.h"
#include "radio/zmq_radio.h"
#include "testbed/medium.h"

enum { HISTORY_SLOTS = 128 };

/* What every node sends begins at least so long after what it has received: a device's timing advance is less than a slot. */
static size_t lead(const struct config *c, const struct numerology *num)
{
	size_t slots = c->radio.tx_ahead_slots > 2 ? (size_t)c->radio.tx_ahead_slots : 2;
	return (slots - 1) * num->slot_len;
}

static struct radio *open_ether(const struct config *c, const struct numerology *num, unsigned node, char *err,
                                size_t err_len)
{
	struct ether_peer_config p = ETHER_PEER_DEFAULTS;
	p.address = c->ether.address;
	p.node = node;
	p.rate_hz = c->radio.rate_hz;
	p.lead = lead(c, num);
	p.history = HISTORY_SLOTS * num->slot_len;
	p.timeout_s = 1e-3 * c->ether.timeout_ms;
	p.priority = (int)c->realtime.priority;
	return ether_peer_create(&p, err, err_len);
}

static struct radio *open_uhd(const struct config *c, const struct numerology *num, unsigned node, char *err,
                              size_t err_len)
{
	struct uhd_radio_config u = UHD_RADIO_DEFAULTS;
	u.args = c->uhd.args;
	u.rate_hz = c->radio.rate_hz;
	u.master_clock_hz = c->uhd.master_clock_hz;
	u.tx_hz = node ? c->radio.ul_hz : c->radio.dl_hz;
	u.rx_hz = node ? c->radio.dl_hz : c->radio.ul_hz;
	u.lo_offset_hz = c->uhd.lo_offset_hz;
	u.bandwidth_hz = c->uhd.bandwidth_hz;
	u.tx_gain_db = c->uhd.tx_gain_db;
	u.rx_gain_db = c->uhd.rx_gain_db;
	u.tx_channel = (unsigned)c->uhd.tx_channel;
	u.rx_channel = (unsigned)c->uhd.rx_channel;
	u.tx_antenna = c->uhd.tx_antenna;
	u.rx_antenna = c->uhd.rx_antenna;
	u.clock_source = c->uhd.clock_source;
	u.time_source = c->uhd.time_source;
	u.lock_timeout_s = 1e-3 * c->uhd.lock_timeout_ms;
	u.tx_full_scale_dbm = c->uhd.tx_full_scale_dbm;
	u.rx_full_scale_dbm = c->uhd.rx_full_scale_dbm;
	u.history = HISTORY_SLOTS * num->slot_len;
	u.spare = lead(c, num) / 2;
	u.priority = (int)c->realtime.priority;
	return uhd_radio_create(&u, err, err_len);
}

/* Both ends are full scale at the same amplitude, which the path loss lies between. */
static struct radio *open_zmq(const struct config *c, const struct numerology *num, unsigned node, char *err,
                              size_t err_len)
{
	const struct config_device *dev = &c->devices[node ? node - 1 : 0];
	struct ether_node_config bs = medium_node(c, 0, c->bs.noise_figure_db, c->bs.tx_power_dbm);
	struct ether_node_config device = medium_node(c, 0, dev->noise_figure_db, dev->tx_power_dbm);
	const struct ether_node_config *own = node ? &device : &bs, *peer = node ? &bs : &device;
	struct zmq_radio_config z = ZMQ_RADIO_DEFAULTS;
	z.tx_address = c->zmq.tx_address;
	z.rx_address = c->zmq.rx_address;
	z.rate_hz = c->radio.rate_hz;
	z.tx_hz = node ? c->radio.ul_hz : c->radio.dl_hz;
	z.rx_hz = node ? c->radio.dl_hz : c->radio.ul_hz;
	z.lead = lead(c, num);
	z.history = HISTORY_SLOTS * num->slot_len;
	z.timeout_s = 1e-3 * c->ether.timeout_ms;
	z.tx_full_scale_dbm = own->tx_full_scale_dbm;
	z.rx_full_scale_dbm = peer->tx_full_scale_dbm - c->zmq.path_loss_db;
	z.noise_figure_db = c->zmq.noise ? own->noise_figure_db : -1;
	z.seed = medium_seed(c->seed, node ? MEDIUM_DEVICE + node - 1 : MEDIUM_BS);
	return zmq_radio_create(&z, err, err_len);
}

static const struct backend {
	const char *name;
	struct radio *(*open)(const struct config *c, const struct numerology *num, unsigned node, char *err,
	                      size_t err_len);
} backends[] = {
	{ "ether", open_ether },
	{ "uhd", open_uhd },
	{ "zmq", open_zmq },
};

struct radio *node_radio_open(const struct config *c, const struct numerology *num, unsigned node, char *err,
                              size_t err_len)
{
	for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++)
		if (strcmp(backends[i].name, c->radio.backend) == 0)
			return backends[i].open(c, num, node, err, err_len);
	snprintf(err, err_len, "radio.backend: nodes of their own cannot use %s", c->radio.backend);
	errno = EINVAL;
	return NULL;
}
