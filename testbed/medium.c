#include "testbed/medium.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "phy/level.h"
#include "radio/path_loss.h"
#include "testbed/cli.h"
#include "testbed/splitmix.h"
#include "testbed/taps.h"

/* Full scale above the mean power of a full band: room for the peaks of OFDM. */
#define RX_FULL_SCALE_DBM (-30.0)
#define THERMAL_DBM_HZ (-174.0)
#define LIGHT_M_S 299792458.0
enum { START_SLOTS = 20 }; /* devices wake up within so many slots */

uint64_t medium_seed(uint64_t seed, uint64_t stream)
{
	return splitmix(seed + (stream + 1) * SPLITMIX_STEP);
}

/* 0 .. 1. */
static double draw(uint64_t seed, uint64_t stream)
{
	return (double)(medium_seed(seed, stream) >> 11) * 0x1p-53;
}

double medium_noise_re_dbm(const struct numerology *num, double noise_figure_db)
{
	return THERMAL_DBM_HZ + noise_figure_db + 10 * log10(num->scs_hz);
}

double medium_dl_re_dbm(const struct config *c, const struct numerology *num)
{
	return c->bs.tx_power_dbm - 10 * log10((double)num->n_sc);
}

double medium_path_loss_db(const struct config *c, const struct numerology *num, size_t k, bool *sight)
{
	const struct config_device *dev = &c->devices[k];
	const struct path_loss_model *m = path_loss_find(c->channel.path_loss);
	*sight = false;
	if (!m)
		return medium_dl_re_dbm(c, num) - medium_noise_re_dbm(num, dev->noise_figure_db) - dev->snr_db;
	struct path_loss_site site = path_loss_site_default(m, c->radio.dl_hz);
	*sight = strcmp(c->channel.line_of_sight, "yes") == 0;
	if (strcmp(c->channel.line_of_sight, "draw") == 0)
		*sight = draw(c->seed, MEDIUM_SIGHT + k) < path_loss_los_probability(m, &site, dev->distance_m);
	return path_loss_db(m, &site, dev->distance_m, *sight);
}

/* What is sent lies so many slots ahead of what is received in the same step; the rest is for what a slot at a device
 * reaches back. */
static size_t history(const struct config *c, const struct numerology *num)
{
	size_t n = ((size_t)c->radio.tx_ahead_slots + 3) * num->slot_len;
	return n > ETHER_HISTORY_SAMPLES ? n : ETHER_HISTORY_SAMPLES;
}

static struct frontend_config frontend(const struct config_hardware *h)
{
	return (struct frontend_config){ .iq_gain_db = h->iq_gain_db,
		                         .iq_phase_deg = h->iq_phase_deg,
		                         .leakage = h->leakage_dbfs > -200 ? pow(10, h->leakage_dbfs / 20) : 0,
		                         .phase_noise_dbc_hz = h->phase_noise_dbc_hz,
		                         .phase_noise_corner_hz =
		                                 h->phase_noise_dbc_hz > -200 ? h->phase_noise_corner_hz : 0,
		                         .bits = (int)h->converter_bits };
}

struct ether_node_config medium_node(const struct config *c, double osc_ppm, double noise_figure_db,
                                     double tx_power_dbm)
{
	return (struct ether_node_config){ .osc_ppm = osc_ppm,
		                           .noise_figure_db = noise_figure_db,
		                           .tx_full_scale_dbm = level_full_scale_dbm((float)tx_power_dbm),
		                           .rx_full_scale_dbm = RX_FULL_SCALE_DBM,
		                           .tx = frontend(&c->hardware),
		                           .rx = frontend(&c->hardware) };
}

static struct ether_link_config link(const struct config *c, const struct numerology *num, size_t k)
{
	const struct config_channel *ch = &c->channel;
	const struct path_loss_model *m = path_loss_find(ch->path_loss);
	bool sight;
	double loss_db = medium_path_loss_db(c, num, k, &sight);
	const struct path_loss_row *row = m ? (sight ? m->los : m->nlos) : NULL;
	return (struct ether_link_config){
		.path_loss_db = loss_db,
		.propagation_delay_s = c->devices[k].distance_m / LIGHT_M_S,
		.model = ch->model,
		.k_db = ch->rice_k_db,
		.delay_spread_s = 1e-9 * ch->delay_spread_ns,
		.shadow_db = ch->shadow_db >= 0 ? ch->shadow_db
		             : row              ? row->shadow_db
		                                : 0,
		.shadow_decorrelation_m = ch->shadow_decorrelation_m > 0 ? ch->shadow_decorrelation_m
		                          : row                          ? row->decorrelation_m
		                                                         : 10,
		.speed_m_s = ch->speed_kmh / 3.6,
		.outage = { .rate_hz = ch->outage_per_s,
		            .duration_s = 1e-3 * ch->outage_ms,
		            .dirs = 1u << ETHER_DL | 1u << ETHER_UL },
	};
}

static void describe(struct medium *m, const struct config *c, const struct numerology *num)
{
	struct ether_config *e = &m->ether;
	*e = (struct ether_config){ .rate_hz = c->radio.rate_hz,
		                    .dl_hz = c->radio.dl_hz,
		                    .ul_hz = c->radio.ul_hz,
		                    .seed = medium_seed(c->seed, MEDIUM_ETHER),
		                    .n_devices = c->n_devices,
		                    .history_samples = history(c, num) };
	e->node[0] = medium_node(c, c->bs.osc_ppm, c->bs.noise_figure_db, c->bs.tx_power_dbm);
	for (size_t k = 0; k < c->n_devices; k++) {
		const struct config_device *dev = &c->devices[k];
		e->node[k + 1] = medium_node(c, dev->osc_ppm, dev->noise_figure_db, dev->tx_power_dbm);
		e->node[k + 1].start_offset_samples =
		        draw(c->seed, MEDIUM_START + k) * START_SLOTS * (double)num->slot_len;
		e->link[k + 1] = link(c, num, k);
		for (int dir = ETHER_DL; dir <= ETHER_UL; dir++)
			e->link[k + 1].trace[dir] = &m->trace[k][dir];
	}
}

static int read_trace(struct channel_trace *tr, size_t k, const char *key, const char *file, char *err, size_t err_len)
{
	char path[CONFIG_PATH_MAX], why[CONFIG_PATH_MAX + 128];
	if (!*file) {
		snprintf(err, err_len, "devices[%zu].%s: channel.model trace needs a file", k, key);
		return -EINVAL;
	}
	cli_find_file(file, path, sizeof path);
	int rc = taps_read(path, tr, why, sizeof why);
	if (!rc && channel_trace_normalise(tr)) {
		snprintf(why, sizeof why, "%s: no power in it", path);
		rc = -EINVAL;
	}
	if (rc)
		snprintf(err, err_len, "devices[%zu].%s: %s", k, key, why);
	return rc;
}

int medium_open(struct medium *m, const struct config *c, const struct numerology *num, char *err, size_t err_len)
{
	int rc = 0;
	memset(m, 0, sizeof *m);
	for (size_t k = 0; strcmp(c->channel.model, "trace") == 0 && !rc && k < c->n_devices; k++) {
		rc = read_trace(&m->trace[k][ETHER_DL], k, "trace_dl", c->devices[k].trace_dl, err, err_len);
		rc = rc ? rc : read_trace(&m->trace[k][ETHER_UL], k, "trace_ul", c->devices[k].trace_ul, err, err_len);
	}
	if (rc)
		medium_close(m);
	else
		describe(m, c, num);
	return rc;
}

void medium_close(struct medium *m)
{
	for (size_t k = 0; k < CONFIG_DEVICES_MAX; k++)
		for (int dir = ETHER_DL; dir <= ETHER_UL; dir++)
			channel_trace_free(&m->trace[k][dir]);
}
