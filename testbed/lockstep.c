#include "testbed/lockstep.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phy/power.h"
#include "testbed/calibration.h"
#include "testbed/cli.h"
#include "testbed/medium.h"
#include "testbed/pool.h"
#include "testbed/truth.h"

struct station {
	struct moe_model *model;
	struct device *device;
	struct radio *radio;
	float complex *rx; /* slot_len */
	size_t n_slots;    /* taken in the step at hand */
};

struct lockstep {
	const struct config *config;
	struct numerology num;
	struct layout *layout;
	struct moe_model *model;
	struct placement placement;
	double *sensitivity, *similarity; /* calibration.h; NULL: none */
	struct medium medium;
	struct ether *ether;
	struct bs *bs;
	struct radio *bs_radio;
	float complex *rx, *tx; /* slot_len */
	struct station station[CONFIG_DEVICES_MAX];
	size_t n_devices;
	struct pool *pool;
	struct journal *journal;
	uint64_t n_slots;
};

/* ---- the configuration as numbers ---- */

static struct compute_profile profile(const struct lockstep *l, const char *name, double extra_us)
{
	const struct config_profile *p = config_profile(l->config, name);
	return (struct compute_profile){ .fixed_s = 1e-6 * (p->fixed_us + extra_us),
		                         .bytes_per_s = 1e9 * p->memory_gb_s,
		                         .flops_per_s = 1e9 * p->gflop_s,
		                         .jitter = p->jitter };
}

static unsigned slots(const struct lockstep *l, double ms)
{
	return (unsigned)ceil(1e-3 * ms / numerology_slot_s(&l->num));
}

/* ---- making the nodes ---- */

static uint8_t comb_boost(const struct config_ul *ul, size_t n_rb)
{
	if (strcmp(ul->comb_boost_db, "auto") == 0)
		return ul_comb_boost_for((float)ul->target_snr_db, n_rb);
	return (uint8_t)(atoi(ul->comb_boost_db) / 3);
}

static enum moe_mode mode(const struct config *c)
{
	return strcmp(c->moe.mode, "fast") == 0 ? MOE_FAST : MOE_EXACT;
}

/* Policies that search do so under the split that the allocator comes to in the mean; the others, as all the papers do, with equal shares
 * of those that have work. */
static const struct bandwidth_method *split(const struct config_scheduler *c)
{
	bool searches = strcmp(c->policy, "frontier") == 0 || strcmp(c->policy, "exhaustive") == 0;
	if (strcmp(c->allocator, "equal") == 0)
		return bandwidth_method_find("equal");
	if (searches && strcmp(c->allocator, "round-robin") != 0)
		return bandwidth_method_find("minmax");
	return bandwidth_method_find("round-robin");
}

static struct select_params select_params(const struct config_scheduler *c)
{
	struct select_params p = select_params_default();
	p.min_gain = c->wlr_gain;
	p.theta_start = c->theta_start;
	p.theta_max = c->theta_max;
	p.theta_step = c->theta_step;
	p.gamma = c->gamma;
	p.loss_max = c->loss_max;
	p.price_layers = c->price;
	p.latency_s = c->latency_ms < 0 ? NAN : 1e-3 * c->latency_ms;
	p.loss_exponent = c->loss_exponent;
	p.whole_curve = false;
	p.split = split(c);
	return p;
}

static enum inference_silence silence(const struct config *c)
{
	if (strcmp(c->scheduler.on_silence, "drop") == 0)
		return SILENCE_DROP;
	return strcmp(c->scheduler.on_silence, "next") == 0 ? SILENCE_NEXT : SILENCE_WAIT;
}

static int create_bs(struct lockstep *l, char *err, size_t err_len)
{
	const struct config *c = l->config;
	struct radio_info info;
	struct bs_params p = {
		.cell = { .layout = l->layout,
		          .cell_id = (uint16_t)c->radio.cell_id,
		          .n_devices = (unsigned)c->n_devices,
		          .tx_ahead = (unsigned)c->radio.tx_ahead_slots,
		          .answer_delay = cell_answer_delay((unsigned)c->radio.tx_ahead_slots),
		          .dl_re_dbm = (float)medium_dl_re_dbm(c, &l->num),
		          .ul_target_re_dbm =
		                  (float)(medium_noise_re_dbm(&l->num, c->bs.noise_figure_db) + c->ul.target_snr_db),
		          .comb_boost = comb_boost(&c->ul, l->num.n_rb),
		          .allocator = c->scheduler.allocator,
		          .bler_target = c->scheduler.bler_target,
		          .max_tx = (unsigned)c->scheduler.max_tx,
		          .mcs_margin_db = (float)c->scheduler.mcs_margin_db,
		          .range_m = (float)c->bs.range_m,
		          .lost_after_slots = slots(l, c->timers.lost_after_ms) },
		.inference = { .model = l->model,
		               .num = &l->num,
		               .n_devices = (unsigned)c->n_devices,
		               .codec_down = codec_by_name(c->moe.codec_down),
		               .codec_up = codec_by_name(c->moe.codec_up),
		               .n_sequences = (size_t)c->moe.sequences,
		               .call_rows_max = (size_t)c->moe.call_rows_max,
		               .chunk_rows = (size_t)c->moe.chunk_rows,
		               .mode = mode(c),
		               .combine = config_combines(&c->moe),
		               .policy = c->scheduler.policy,
		               .sensitivity = l->sensitivity,
		               .similarity = l->similarity,
		               .profile = profile(l, c->bs.profile, 0),
		               .seed = medium_seed(c->seed, MEDIUM_BS),
		               .call_timeout_s = 1e-3 * c->timers.call_timeout_ms,
		               .suspect_slots = slots(l, c->timers.suspect_ms),
		               .on_silence = silence(c),
		               .give_up = strcmp(c->scheduler.give_up, "yes") == 0,
		               .multicast = strcmp(c->scheduler.multicast, "yes") == 0 },
	};
	l->bs_radio = ether_radio(l->ether, 0);
	radio_get_info(l->bs_radio, &info);
	p.cell.tx_full_scale_dbm = (float)info.tx_full_scale_dbm;
	p.cell.rx_full_scale_dbm = (float)info.rx_full_scale_dbm;
	p.inference.select = select_params(&c->scheduler);
	if (expert_mode_parse(c->moe.experts, &p.inference.experts)) {
		snprintf(err, err_len, "moe.experts: \"%s\" is none of topN, drop<W, random, dead:K", c->moe.experts);
		return -EINVAL;
	}
	l->bs = bs_create(&p, err, err_len);
	return l->bs ? 0 : -errno;
}

static int open_device_half(struct lockstep *l, size_t k, const char *path, char *err, size_t err_len)
{
	const struct moe_shape *s = &l->model->shape;
	struct moe_expert_id *held = calloc(s->n_layer * s->n_expert, sizeof *held);
	size_t n = 0;
	if (!held)
		return -ENOMEM;
	for (size_t layer = 0; layer < s->n_layer; layer++)
		for (size_t e = 0; e < s->n_expert; e++)
			if (placement_holds(&l->placement, k, layer, e))
				held[n++] = (struct moe_expert_id){ (uint32_t)layer, (uint32_t)e };
	int rc = moe_model_open(path, &(struct moe_half){ .held = held, .n_held = n }, &l->station[k].model, err,
	                        err_len);
	free(held);
	return rc;
}

static int create_device(struct lockstep *l, size_t k, const char *path, char *err, size_t err_len)
{
	const struct config *c = l->config;
	const struct config_device *dev = &c->devices[k];
	struct station *s = &l->station[k];
	struct radio_info info;
	int rc = open_device_half(l, k, path, err, err_len);
	if (rc)
		return rc;
	s->radio = ether_radio(l->ether, k + 1);
	radio_get_info(s->radio, &info);
	struct device_params p = {
		.layout = l->layout,
		.cell_id = (uint16_t)c->radio.cell_id,
		.device = (uint8_t)k,
		.dl_hz = info.rx_hz,
		.ul_hz = info.tx_hz,
		.tx_full_scale_dbm = (float)info.tx_full_scale_dbm,
		.rx_full_scale_dbm = (float)info.rx_full_scale_dbm,
		.tx_max_dbm = (float)dev->tx_power_dbm,
		.tx_ahead = cell_answer_delay((unsigned)c->radio.tx_ahead_slots),
		.model = s->model,
		.profile = profile(l, dev->profile, dev->call_us),
		.seed = medium_seed(c->seed, MEDIUM_DEVICE + k),
		.call_rows_max = (size_t)c->moe.call_rows_max,
		.mode = mode(c),
		.lost_after_slots = slots(l, c->timers.lost_after_ms),
		.welcome_slots = slots(l, c->timers.lost_after_ms),
	};
	s->device = device_create(&p, err, err_len);
	s->rx = calloc(l->num.slot_len, sizeof *s->rx);
	return s->device && s->rx ? 0 : -ENOMEM;
}

/* One file, if there is one; n numbers under `key`. */
static int read_numbers(const struct lockstep *l, const char *file, const char *key, size_t n, double **out, char *err,
                        size_t err_len)
{
	char path[CONFIG_PATH_MAX];
	if (!*file)
		return 0;
	cli_find_file(file, path, sizeof path);
	*out = calibration_read(path, key, l->model, n, err, err_len);
	return *out ? 0 : -EINVAL;
}

static int read_calibration(struct lockstep *l, char *err, size_t err_len)
{
	const struct config_scheduler *c = &l->config->scheduler;
	const struct moe_shape *s = &l->model->shape;
	int rc = read_numbers(l, c->sensitivity, "sensitivity", s->n_layer, &l->sensitivity, err, err_len);
	return rc ? rc
	          : read_numbers(l, c->similarity, "similarity", s->n_layer * s->n_expert * s->n_expert, &l->similarity,
	                         err, err_len);
}

/* Devices that are to leave coverage. */
static void darken(struct lockstep *l)
{
	for (size_t k = 0; k < l->config->n_devices; k++) {
		const struct config_device *d = &l->config->devices[k];
		double from = d->dark_at_s * l->num.rate_hz, to = (d->dark_at_s + d->dark_for_s) * l->num.rate_hz;
		for (int dir = ETHER_DL; dir <= ETHER_UL && d->dark_at_s >= 0; dir++)
			ether_blank(l->ether, k + 1, (enum ether_dir)dir, from, to);
	}
}

static float known_channel(void *arg, unsigned device, enum cell_direction dir, uint64_t slot, float *above_db)
{
	struct lockstep *l = arg;
	return truth_slot(l, l->config, device, dir == CELL_DL ? ETHER_DL : ETHER_UL, slot, above_db);
}

static int create_nodes(struct lockstep *l, char *err, size_t err_len)
{
	const struct config *c = l->config;
	char path[CONFIG_PATH_MAX];
	cli_find_file(c->model.path, path, sizeof path);
	int rc = config_numerology(&c->radio, &l->num, err, err_len);
	if (rc)
		return rc;
	rc = moe_model_open(path, &(struct moe_half){ .base = true }, &l->model, err, err_len);
	if (rc)
		return rc;
	rc = placement_create(&l->placement, c, l->model, err, err_len);
	if (rc)
		return rc;
	rc = read_calibration(l, err, err_len);
	if (rc)
		return rc;
	l->layout = layout_create(&l->num, err, err_len);
	if (!l->layout)
		return -errno;
	rc = medium_open(&l->medium, c, &l->num, err, err_len);
	if (rc)
		return rc;
	l->ether = ether_create(&l->medium.ether, err, err_len);
	if (!l->ether)
		return -errno;
	l->rx = calloc(l->num.slot_len, sizeof *l->rx);
	l->tx = calloc(l->num.slot_len, sizeof *l->tx);
	l->pool = pool_create((size_t)c->threads);
	if (!l->rx || !l->tx || !l->pool)
		return -ENOMEM;
	darken(l);
	rc = create_bs(l, err, err_len);
	if (!rc && strcmp(c->bs.csi, "known") == 0)
		cell_set_oracle(bs_cell(l->bs), &(struct cell_oracle){ l, known_channel });
	for (; !rc && l->n_devices < c->n_devices; l->n_devices++)
		rc = create_device(l, l->n_devices, path, err, err_len);
	return rc;
}

int lockstep_create(const struct config *config, struct lockstep **out, char *err, size_t err_len)
{
	struct lockstep *l = calloc(1, sizeof *l);
	int rc = -ENOMEM;
	snprintf(err, err_len, "out of memory");
	if (l) {
		l->config = config;
		rc = create_nodes(l, err, err_len);
	}
	if (rc) {
		lockstep_destroy(l);
		return rc;
	}
	*out = l;
	return 0;
}

void lockstep_set_journal(struct lockstep *l, struct journal *journal)
{
	l->journal = journal;
}

void lockstep_destroy(struct lockstep *l)
{
	if (!l)
		return;
	for (size_t k = 0; k < CONFIG_DEVICES_MAX; k++) {
		device_destroy(l->station[k].device);
		moe_model_close(l->station[k].model);
		free(l->station[k].rx);
	}
	bs_destroy(l->bs);
	pool_destroy(l->pool);
	free(l->tx);
	free(l->rx);
	ether_destroy(l->ether);
	medium_close(&l->medium);
	layout_destroy(l->layout);
	free(l->similarity);
	free(l->sensitivity);
	placement_free(&l->placement);
	moe_model_close(l->model);
	free(l);
}

/* ---- one slot ---- */

/* The device takes every slot that is complete on its clock by the end of this one. */
static void run_device(void *arg, size_t k)
{
	struct lockstep *l = arg;
	struct station *s = &l->station[k];
	uint64_t now = ether_clock(l->ether, k + 1, (double)((l->n_slots + 1) * l->num.slot_len));
	struct device_tx tx;
	s->n_slots = 0;
	while (device_next_rx(s->device) + l->num.slot_len <= now) {
		radio_recv(s->radio, s->rx, l->num.slot_len, device_next_rx(s->device));
		device_slot(s->device, s->rx, &tx);
		if (tx.send)
			radio_send(s->radio, tx.samples, l->num.slot_len, tx.t_samples);
		s->n_slots++;
	}
}

static int log_csi(struct lockstep *l)
{
	int rc = 0;
	if (!l->journal || !l->config->csi_log_every || l->n_slots % (uint64_t)l->config->csi_log_every)
		return 0;
	for (size_t k = 0; k < l->n_devices && !rc; k++) {
		const struct csi *dl = l->station[k].n_slots ? device_csi(l->station[k].device) : NULL;
		const struct csi *ul = cell_csi(bs_cell(l->bs), (unsigned)k);
		if (dl)
			rc = journal_csi(l->journal, JOURNAL_DOWNLINK, (unsigned)k, dl);
		if (ul && !rc)
			rc = journal_csi(l->journal, JOURNAL_UPLINK, (unsigned)k, ul);
	}
	return rc == -EDOM ? 0 : rc; /* refused and counted by the journal */
}

/* Devices that are to slow down or lie from now on. */
static void misbehave(struct lockstep *l)
{
	double t = lockstep_time_s(l);
	for (size_t k = 0; k < l->n_devices; k++) {
		const struct config_device *d = &l->config->devices[k];
		bool slow = d->slow_at_s >= 0 && t >= d->slow_at_s, lies = d->lie_at_s >= 0 && t >= d->lie_at_s;
		if (slow || lies)
			device_misbehave(l->station[k].device, slow ? d->slow_factor : 1, lies ? d->lie_db : 0);
	}
}

int lockstep_slot(struct lockstep *l)
{
	uint64_t n = l->n_slots;
	misbehave(l);
	pool_run(l->pool, run_device, l, l->n_devices);
	radio_recv(l->bs_radio, l->rx, l->num.slot_len, n * l->num.slot_len);
	bs_slot(l->bs, n, l->rx, l->tx);
	radio_send(l->bs_radio, l->tx, l->num.slot_len,
	           (n + (uint64_t)l->config->radio.tx_ahead_slots) * l->num.slot_len);
	int rc = log_csi(l);
	l->n_slots++;
	return rc;
}

uint64_t lockstep_n_slots(const struct lockstep *l)
{
	return l->n_slots;
}

double lockstep_time_s(const struct lockstep *l)
{
	return (double)l->n_slots * numerology_slot_s(&l->num);
}

struct bs *lockstep_bs(struct lockstep *l)
{
	return l->bs;
}

struct device *lockstep_device(struct lockstep *l, size_t k)
{
	return l->station[k].device;
}

size_t lockstep_n_devices(const struct lockstep *l)
{
	return l->n_devices;
}

struct ether *lockstep_ether(struct lockstep *l)
{
	return l->ether;
}

const struct layout *lockstep_layout(const struct lockstep *l)
{
	return l->layout;
}

const struct placement *lockstep_placement(const struct lockstep *l)
{
	return &l->placement;
}

const struct moe_model *lockstep_model(const struct lockstep *l)
{
	return l->model;
}
