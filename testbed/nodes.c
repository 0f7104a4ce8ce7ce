#include "testbed/nodes.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phy/power.h"
#include "testbed/calibration.h"
#include "testbed/cli.h"
#include "testbed/medium.h"

/* ---- what they share ---- */

/* One file, if there is one; n numbers under `key`. */
static int read_numbers(const struct nodes *nodes, const char *file, const char *key, size_t n, double **out, char *err,
                        size_t err_len)
{
	char path[CONFIG_PATH_MAX];
	if (!*file)
		return 0;
	cli_find_file(file, path, sizeof path);
	*out = calibration_read(path, key, nodes->model, n, err, err_len);
	return *out ? 0 : -EINVAL;
}

static int read_calibration(struct nodes *nodes, char *err, size_t err_len)
{
	const struct config_scheduler *c = &nodes->config->scheduler;
	const struct moe_shape *s = &nodes->model->shape;
	int rc = read_numbers(nodes, c->sensitivity, "sensitivity", s->n_layer, &nodes->sensitivity, err, err_len);
	return rc ? rc
	          : read_numbers(nodes, c->similarity, "similarity", s->n_layer * s->n_expert * s->n_expert,
	                         &nodes->similarity, err, err_len);
}

static int open_shared(struct nodes *nodes, char *err, size_t err_len)
{
	const struct config *c = nodes->config;
	char path[CONFIG_PATH_MAX];
	cli_find_file(c->model.path, path, sizeof path);
	int rc = config_numerology(&c->radio, &nodes->num, err, err_len);
	if (rc)
		return rc;
	rc = moe_model_open(path, &(struct moe_half){ .base = true }, &nodes->model, err, err_len);
	if (rc)
		return rc;
	rc = placement_create(&nodes->placement, c, nodes->model, err, err_len);
	if (rc)
		return rc;
	rc = read_calibration(nodes, err, err_len);
	if (rc)
		return rc;
	nodes->layout = layout_create(&nodes->num, err, err_len);
	return nodes->layout ? 0 : -errno;
}

int nodes_open(struct nodes *nodes, const struct config *config, char *err, size_t err_len)
{
	*nodes = (struct nodes){ .config = config };
	snprintf(err, err_len, "out of memory");
	int rc = open_shared(nodes, err, err_len);
	if (rc)
		nodes_close(nodes);
	return rc;
}

void nodes_close(struct nodes *nodes)
{
	layout_destroy(nodes->layout);
	free(nodes->similarity);
	free(nodes->sensitivity);
	placement_free(&nodes->placement);
	moe_model_close(nodes->model);
	*nodes = (struct nodes){ .config = NULL };
}

/* ---- the configuration as numbers ---- */

static struct compute_profile profile(const struct nodes *nodes, const char *name, double extra_us)
{
	const struct config_profile *p = config_profile(nodes->config, name);
	return (struct compute_profile){ .fixed_s = 1e-6 * (p->fixed_us + extra_us),
		                         .bytes_per_s = 1e9 * p->memory_gb_s,
		                         .flops_per_s = 1e9 * p->gflop_s,
		                         .jitter = p->jitter };
}

static unsigned slots(const struct nodes *nodes, double ms)
{
	return (unsigned)ceil(1e-3 * ms / numerology_slot_s(&nodes->num));
}

/* ---- the nodes ---- */

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

struct bs *nodes_bs(const struct nodes *nodes, const struct radio *radio, char *err, size_t err_len)
{
	const struct config *c = nodes->config;
	struct radio_info info;
	struct bs_params p = {
		.cell = { .layout = nodes->layout,
		          .cell_id = (uint16_t)c->radio.cell_id,
		          .n_devices = (unsigned)c->n_devices,
		          .tx_ahead = (unsigned)c->radio.tx_ahead_slots,
		          .answer_delay = cell_answer_delay((unsigned)c->radio.tx_ahead_slots),
		          .dl_re_dbm = (float)medium_dl_re_dbm(c, &nodes->num),
		          .ul_target_re_dbm = (float)(medium_noise_re_dbm(&nodes->num, c->bs.noise_figure_db) +
		                                      c->ul.target_snr_db),
		          .comb_boost = comb_boost(&c->ul, nodes->num.n_rb),
		          .allocator = c->scheduler.allocator,
		          .bler_target = c->scheduler.bler_target,
		          .max_tx = (unsigned)c->scheduler.max_tx,
		          .mcs_margin_db = (float)c->scheduler.mcs_margin_db,
		          .range_m = (float)c->bs.range_m,
		          .lost_after_slots = slots(nodes, c->timers.lost_after_ms) },
		.inference = { .model = nodes->model,
		               .num = &nodes->num,
		               .n_devices = (unsigned)c->n_devices,
		               .codec_down = codec_by_name(c->moe.codec_down),
		               .codec_up = codec_by_name(c->moe.codec_up),
		               .n_sequences = (size_t)c->moe.sequences,
		               .call_rows_max = (size_t)c->moe.call_rows_max,
		               .chunk_rows = (size_t)c->moe.chunk_rows,
		               .mode = mode(c),
		               .combine = config_combines(&c->moe),
		               .policy = c->scheduler.policy,
		               .sensitivity = nodes->sensitivity,
		               .similarity = nodes->similarity,
		               .profile = profile(nodes, c->bs.profile, 0),
		               .seed = medium_seed(c->seed, MEDIUM_BS),
		               .call_timeout_s = 1e-3 * c->timers.call_timeout_ms,
		               .suspect_slots = slots(nodes, c->timers.suspect_ms),
		               .on_silence = silence(c),
		               .give_up = strcmp(c->scheduler.give_up, "yes") == 0,
		               .multicast = strcmp(c->scheduler.multicast, "yes") == 0,
		               .real_time = nodes->real_time },
	};
	radio_get_info(radio, &info);
	p.cell.tx_full_scale_dbm = (float)info.tx_full_scale_dbm;
	p.cell.rx_full_scale_dbm = (float)info.rx_full_scale_dbm;
	p.inference.select = select_params(&c->scheduler);
	if (expert_mode_parse(c->moe.experts, &p.inference.experts)) {
		snprintf(err, err_len, "moe.experts: \"%s\" is none of topN, drop<W, random, dead:K", c->moe.experts);
		errno = EINVAL;
		return NULL;
	}
	return bs_create(&p, err, err_len);
}

static int open_half(const struct nodes *nodes, size_t k, struct moe_model **half, char *err, size_t err_len)
{
	char path[CONFIG_PATH_MAX];
	const struct moe_shape *s = &nodes->model->shape;
	struct moe_expert_id *held = calloc(s->n_layer * s->n_expert, sizeof *held);
	size_t n = 0;
	if (!held)
		return -ENOMEM;
	cli_find_file(nodes->config->model.path, path, sizeof path);
	for (size_t layer = 0; layer < s->n_layer; layer++)
		for (size_t e = 0; e < s->n_expert; e++)
			if (placement_holds(&nodes->placement, k, layer, e))
				held[n++] = (struct moe_expert_id){ (uint32_t)layer, (uint32_t)e };
	int rc = moe_model_open(path, &(struct moe_half){ .held = held, .n_held = n }, half, err, err_len);
	free(held);
	return rc;
}

int nodes_device(const struct nodes *nodes, size_t k, const struct radio *radio, struct nodes_device *d, char *err,
                 size_t err_len)
{
	const struct config *c = nodes->config;
	const struct config_device *dev = &c->devices[k];
	struct radio_info info;
	*d = (struct nodes_device){ .model = NULL };
	int rc = open_half(nodes, k, &d->model, err, err_len);
	if (rc)
		return rc;
	radio_get_info(radio, &info);
	struct device_params p = {
		.layout = nodes->layout,
		.cell_id = (uint16_t)c->radio.cell_id,
		.device = (uint8_t)k,
		.dl_hz = info.rx_hz,
		.ul_hz = info.tx_hz,
		.tx_full_scale_dbm = (float)info.tx_full_scale_dbm,
		.rx_full_scale_dbm = (float)info.rx_full_scale_dbm,
		.tx_max_dbm = (float)dev->tx_power_dbm,
		.tx_ahead = cell_answer_delay((unsigned)c->radio.tx_ahead_slots),
		.model = d->model,
		.profile = profile(nodes, dev->profile, dev->call_us),
		.seed = medium_seed(c->seed, MEDIUM_DEVICE + k),
		.call_rows_max = (size_t)c->moe.call_rows_max,
		.mode = mode(c),
		.real_time = nodes->real_time,
		.lost_after_slots = slots(nodes, c->timers.lost_after_ms),
		.welcome_slots = slots(nodes, c->timers.lost_after_ms),
	};
	d->device = device_create(&p, err, err_len);
	rc = d->device ? 0 : -errno;
	if (rc)
		nodes_device_close(d);
	return rc;
}

void nodes_device_close(struct nodes_device *d)
{
	device_destroy(d->device);
	moe_model_close(d->model);
	*d = (struct nodes_device){ .model = NULL };
}
