#include "radio/ether.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "radio/fading_link.h"
#include "radio/fracdelay.h"
#include "radio/gauss.h"
#include "radio/ring.h"

_Static_assert((int)ETHER_MAX_SPREAD == (int)LINK_MAX_SPREAD, "the header promises what links can do");
_Static_assert((int)ETHER_MAX_BLANKS == (int)LINK_MAX_BLANKS, "the header promises what links can do");
_Static_assert((int)GAUSS_BLOCK == (int)LINK_BLOCK, "noise and links share a grid");

enum { CHUNK = LINK_MAX_COUNT, NOISE_STREAM = 1 << 16, OSCILLATOR_STREAM = 1 << 17, N_DIRS = 2 };

static const double tx_gain_min_db = -60, tx_gain_max_db = 0, rx_gain_min_db = -30, rx_gain_max_db = 60;
static const double thermal_dbm_hz = -174;

struct node {
	struct radio radio; /* first: a radio of the ether is a node */
	struct ether *ether;
	uint32_t index;
	struct ether_node_config cfg;
	double error, start_s;
	double tx_gain_db, rx_gain_db;
	struct frontend tx, rx;
	uint64_t now;                 /* end of the latest receive */
	struct ring *sent;            /* in sqrt(mW) */
	float complex altered[CHUNK]; /* by the transmitter's front end */
	float sum_re[CHUNK], sum_im[CHUNK], noise_re[CHUNK], noise_im[CHUNK];
	struct fading_link_scratch scratch;
};

struct ether {
	double rate_hz, carrier_hz[N_DIRS];
	uint64_t seed;
	size_t n_devices;
	struct fracdelay *kernel;
	struct node *node;        /* 0..n_devices */
	struct fading_link *link; /* [device * N_DIRS + dir] */
};

/* ---- configuration ---- */

struct range {
	const char *name;
	size_t offset;
	double min, max;
};

#define RANGE(type, field, min, max)                                                                                   \
	{                                                                                                              \
#field, offsetof(struct type, field), min, max                                                         \
	}

static const struct range ether_ranges[] = {
	RANGE(ether_config, rate_hz, 1e4, 2e8),
	RANGE(ether_config, dl_hz, 1, 1e12),
	RANGE(ether_config, ul_hz, 1, 1e12),
};
static const struct range node_ranges[] = {
	RANGE(ether_node_config, osc_ppm, -50, 50),
	RANGE(ether_node_config, tx_full_scale_dbm, -200, 100),
	RANGE(ether_node_config, noise_figure_db, 0, 60),
	RANGE(ether_node_config, rx_full_scale_dbm, -200, 100),
	RANGE(ether_node_config, start_offset_samples, 0, 1e12),
};
static const struct range link_ranges[] = {
	RANGE(ether_link_config, path_loss_db, 0, 300),   RANGE(ether_link_config, propagation_delay_s, 0, 1e-3),
	RANGE(ether_link_config, k_db, -40, 60),          RANGE(ether_link_config, delay_spread_s, 0, 1e-3),
	RANGE(ether_link_config, shadow_db, 0, 30),       RANGE(ether_link_config, speed_m_s, 0, 500),
	RANGE(ether_link_config, outage.rate_hz, 0, 1e5), RANGE(ether_link_config, outage.duration_s, 0, 3600),
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct errors {
	char *text;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static int complain(const struct errors *err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (err->text && err->len)
		vsnprintf(err->text, err->len, format, args);
	va_end(args);
	return -EINVAL;
}

/* where: "" or "node[3]." */
static int check_ranges(const void *base, const struct range *range, size_t n, const char *where,
                        const struct errors *err)
{
	for (size_t i = 0; i < n; i++) {
		double value;
		memcpy(&value, (const char *)base + range[i].offset, sizeof value);
		if (!(value >= range[i].min && value <= range[i].max))
			return complain(err, "ether: %s%s = %g is outside %g .. %g", where, range[i].name, value,
			                range[i].min, range[i].max);
	}
	return 0;
}

/* NULL is not. */
static bool is_good_trace(const struct channel_trace *tr)
{
	bool good = tr && tr->step_s > 0;
	for (size_t i = 0; good && i < tr->n_taps; i++)
		good = tr->delay_s[i] >= 0 && tr->delay_s[i] <= 1;
	return good;
}

static bool is_trace(const struct ether_link_config *link)
{
	return link->model && strcmp(link->model, "trace") == 0;
}

static int check_link(const struct ether_link_config *link, const char *where, const struct errors *err)
{
	if (is_trace(link) ? !is_good_trace(link->trace[ETHER_DL]) || !is_good_trace(link->trace[ETHER_UL])
	                   : !link->model || !tdl_find(link->model))
		return complain(err, "ether: %smodel = \"%s\" is not a channel model, or its trace is missing or bad",
		                where, link->model ? link->model : "");
	if (link->outage.dirs & ~(1u << ETHER_DL | 1u << ETHER_UL))
		return complain(err, "ether: %soutage.dirs = %#x has unknown bits", where, link->outage.dirs);
	if (link->outage.rate_hz * link->outage.duration_s > 100)
		return complain(err, "ether: %soutage.duration_s = %g overlaps more than 100 bursts", where,
		                link->outage.duration_s);
	if (link->shadow_db > 0 && !(link->shadow_decorrelation_m >= 1 && link->shadow_decorrelation_m <= 1e4))
		return complain(err, "ether: %sshadow_decorrelation_m = %g is outside 1 .. 10000", where,
		                link->shadow_decorrelation_m);
	return check_ranges(link, link_ranges, COUNT(link_ranges), where, err);
}

static int check_config(const struct ether_config *cfg, const struct errors *err)
{
	if (!cfg)
		return complain(err, "ether: no configuration");
	if (cfg->n_devices < 1 || cfg->n_devices > ETHER_MAX_DEVICES)
		return complain(err, "ether: n_devices = %zu is outside 1 .. %d", cfg->n_devices, ETHER_MAX_DEVICES);
	if (cfg->node[0].start_offset_samples != 0)
		return complain(err, "ether: node[0].start_offset_samples = %g: the BS clock starts at 0",
		                cfg->node[0].start_offset_samples);
	int rc = check_ranges(cfg, ether_ranges, COUNT(ether_ranges), "", err);
	for (size_t k = 0; !rc && k <= cfg->n_devices; k++) {
		char where[40];
		snprintf(where, sizeof where, "node[%zu].", k);
		rc = check_ranges(&cfg->node[k], node_ranges, COUNT(node_ranges), where, err);
		snprintf(where, sizeof where, "link[%zu].", k);
		if (!rc && k > 0)
			rc = check_link(&cfg->link[k], where, err);
	}
	return rc;
}

/* ---- the radio of a node ---- */

static double dbm_to_amplitude(double dbm)
{
	return pow(10, dbm / 20);
}

static double tx_full_scale_dbm(const struct node *node)
{
	return node->cfg.tx_full_scale_dbm + node->tx_gain_db;
}

static double rx_full_scale_dbm(const struct node *node)
{
	return node->cfg.rx_full_scale_dbm - node->rx_gain_db;
}

/* The links a node hears are first, first + 1 * N_DIRS, .. n of them; *peer: the node at the other end of the first. */
static struct fading_link *links_heard(struct node *node, size_t *n, struct node **peer)
{
	struct ether *e = node->ether;
	*n = node->index ? 1 : e->n_devices;
	*peer = &e->node[node->index ? 0 : 1];
	return &e->link[(node->index ? node->index : 1) * N_DIRS + (node->index ? ETHER_DL : ETHER_UL)];
}

static int is_past(struct node *node, uint64_t t)
{
	size_t n;
	struct node *peer;
	struct fading_link *link = links_heard(node, &n, &peer);
	for (size_t i = 0; i < n; i++) {
		int64_t oldest = (int64_t)ring_end(peer[i].sent) - (int64_t)ring_history(peer[i].sent);
		if (oldest > 0 && fading_link_first_input(&link[i * N_DIRS], t) < oldest)
			return 1;
	}
	return 0;
}

/* One chunk of the block grid: all links, then noise, in units of rx full scale, left in sum_re, sum_im. */
static void receive_chunk(struct node *node, uint64_t t, size_t count)
{
	size_t n;
	struct node *peer;
	struct fading_link *link = links_heard(node, &n, &peer);
	memset(node->sum_re, 0, count * sizeof(float));
	memset(node->sum_im, 0, count * sizeof(float));
	for (size_t i = 0; i < n; i++)
		fading_link_add(&link[i * N_DIRS], peer[i].sent, t, count, node->sum_re, node->sum_im, &node->scratch);

	double noise_dbm = thermal_dbm_hz + node->cfg.noise_figure_db + 10 * log10(node->ether->rate_hz);
	float scale = (float)(1 / dbm_to_amplitude(rx_full_scale_dbm(node)));
	float sigma = (float)(dbm_to_amplitude(noise_dbm - rx_full_scale_dbm(node)) * M_SQRT1_2);
	gauss_fill(node->ether->seed, NOISE_STREAM + node->index, t, count, node->noise_re, node->noise_im);
	for (size_t i = 0; i < count; i++) {
		node->sum_re[i] = node->sum_re[i] * scale + node->noise_re[i] * sigma;
		node->sum_im[i] = node->sum_im[i] * scale + node->noise_im[i] * sigma;
	}
}

static int node_recv(struct radio *r, float complex *x, size_t n, uint64_t t)
{
	struct node *node = (struct node *)r;
	int past = is_past(node, t);
	if (t + n > node->now)
		node->now = t + n;
	r->stats.samples_received += n;
	if (past) {
		memset(x, 0, n * sizeof *x);
		radio_raise(r, RADIO_PAST, t);
		return -ETIME;
	}
	for (size_t done = 0; done < n;) {
		uint64_t at = t + done, chunk = at / LINK_BLOCK * LINK_BLOCK;
		size_t skip = (size_t)(at - chunk), take = CHUNK - skip;
		if (take > n - done)
			take = n - done;
		receive_chunk(node, chunk, (skip + take + LINK_BLOCK - 1) / LINK_BLOCK * LINK_BLOCK);
		float *out = (float *)(x + done);
		r->stats.samples_overloaded +=
		        frontend_receive(&node->rx, at, take, &node->sum_re[skip], &node->sum_im[skip]);
		for (size_t i = 0; i < take; i++) {
			out[2 * i] = node->sum_re[skip + i];
			out[2 * i + 1] = node->sum_im[skip + i];
		}
		done += take;
	}
	return 0;
}

/* Through the front end to the ring. Returns samples clipped. */
static uint64_t write_sent(struct node *node, uint64_t t, const float complex *x, size_t n, float scale)
{
	uint64_t clipped = 0;
	if (node->tx.ideal)
		return ring_write(node->sent, t, x, n, scale);
	for (size_t done = 0; done < n; done += CHUNK) {
		size_t count = n - done < CHUNK ? n - done : CHUNK;
		float re[CHUNK], im[CHUNK];
		for (size_t i = 0; i < count; i++) {
			re[i] = crealf(x[done + i]);
			im[i] = cimagf(x[done + i]);
		}
		clipped += frontend_transmit(&node->tx, t + done, count, re, im);
		for (size_t i = 0; i < count; i++)
			node->altered[i] = CMPLXF(re[i], im[i]);
		clipped += ring_write(node->sent, t + done, node->altered, count, scale);
	}
	return clipped;
}

static int node_send(struct radio *r, const float complex *x, size_t n, uint64_t t)
{
	struct node *node = (struct node *)r;
	uint64_t end = ring_end(node->sent);
	if (t < node->now || t + n <= end) {
		radio_raise(r, RADIO_LATE, t);
		return -ETIME;
	}
	size_t overlap = t < end ? (size_t)(end - t) : 0;
	if (overlap)
		radio_raise(r, RADIO_LATE, t);
	float scale = (float)dbm_to_amplitude(tx_full_scale_dbm(node));
	r->stats.samples_clipped += write_sent(node, t + overlap, x + overlap, n - overlap, scale);
	r->stats.samples_sent += n - overlap;
	return 0;
}

static int node_set_rx_gain(struct radio *r, double gain_db)
{
	((struct node *)r)->rx_gain_db = gain_db;
	return 0;
}

static int node_set_tx_gain(struct radio *r, double gain_db)
{
	((struct node *)r)->tx_gain_db = gain_db;
	return 0;
}

static void node_get_info(const struct radio *r, struct radio_info *info)
{
	const struct node *node = (const struct node *)r;
	const double *carrier_hz = node->ether->carrier_hz;
	*info = (struct radio_info){
		.rate_hz = node->ether->rate_hz,
		.tx_hz = carrier_hz[node->index ? ETHER_UL : ETHER_DL],
		.rx_hz = carrier_hz[node->index ? ETHER_DL : ETHER_UL],
		.tx_gain_db = node->tx_gain_db,
		.tx_gain_min_db = tx_gain_min_db,
		.tx_gain_max_db = tx_gain_max_db,
		.rx_gain_db = node->rx_gain_db,
		.rx_gain_min_db = rx_gain_min_db,
		.rx_gain_max_db = rx_gain_max_db,
		.tx_full_scale_dbm = tx_full_scale_dbm(node),
		.rx_full_scale_dbm = rx_full_scale_dbm(node),
	};
}

static void node_destroy(struct radio *r)
{
	(void)r; /* goes with its ether */
}

static const struct radio_ops node_ops = {
	.recv = node_recv,
	.send = node_send,
	.set_rx_gain = node_set_rx_gain,
	.set_tx_gain = node_set_tx_gain,
	.get_info = node_get_info,
	.destroy = node_destroy,
};

/* ---- the medium ---- */

static int init_frontends(struct ether *e, struct node *node, const struct errors *err)
{
	uint32_t stream = OSCILLATOR_STREAM + 2 * node->index;
	if (frontend_init(&node->tx, &node->cfg.tx, e->rate_hz, e->seed, stream))
		return complain(err, "ether: node[%u].tx: a number is outside the range of front ends", node->index);
	if (frontend_init(&node->rx, &node->cfg.rx, e->rate_hz, e->seed, stream + 1))
		return complain(err, "ether: node[%u].rx: a number is outside the range of front ends", node->index);
	return 0;
}

static int init_node(struct ether *e, const struct ether_config *cfg, size_t k, const struct errors *err)
{
	struct node *node = &e->node[k];
	node->radio.ops = &node_ops;
	node->ether = e;
	node->index = (uint32_t)k;
	node->cfg = cfg->node[k];
	node->error = node->cfg.osc_ppm * 1e-6;
	node->start_s = node->cfg.start_offset_samples / (e->rate_hz * (1 + e->node[0].error));
	node->sent = ring_create(cfg->history_samples ? cfg->history_samples : ETHER_HISTORY_SAMPLES);
	return node->sent ? init_frontends(e, node, err) : -errno;
}

static int init_link(struct ether *e, const struct ether_link_config *from, size_t device, enum ether_dir dir,
                     struct fading_link *out, const struct errors *err)
{
	const struct node *tx = &e->node[dir == ETHER_DL ? 0 : device], *rx = &e->node[dir == ETHER_DL ? device : 0];
	int outages = (from->outage.dirs >> dir & 1) && from->outage.rate_hz > 0;
	struct fading_link_config link = {
		.profile = tdl_find(from->model),
		.trace = is_trace(from) ? from->trace[dir] : NULL,
		.delay_spread_s = from->delay_spread_s,
		.k_db = from->k_db,
		.speed_m_s = from->speed_m_s,
		.path_loss_db = from->path_loss_db,
		.propagation_delay_s = from->propagation_delay_s,
		.shadow_db = from->shadow_db,
		.shadow_decorrelation_m = from->shadow_decorrelation_m,
		.rate_hz = e->rate_hz,
		.carrier_hz = e->carrier_hz[dir],
		.tx_error = tx->error,
		.tx_start_s = tx->start_s,
		.rx_error = rx->error,
		.rx_start_s = rx->start_s,
		.outage_period_s = outages ? 1 / from->outage.rate_hz : 0,
		.outage_duration_s = from->outage.duration_s,
		.seed = e->seed,
		.stream = (uint32_t)(device * N_DIRS + dir),
		.shadow_stream = (uint32_t)device,
	};
	int rc = fading_link_init(out, &link, e->kernel);
	if (rc == -EDOM)
		return complain(err, "ether: link[%zu].delay_spread_s: profile %s is longer than %d samples", device,
		                from->model, ETHER_MAX_SPREAD);
	if (rc == -ERANGE)
		return complain(err, "ether: link[%zu].speed_m_s = %g: Doppler is too fast for rate_hz", device,
		                from->speed_m_s);
	return rc;
}

struct ether *ether_create(const struct ether_config *cfg, char *text, size_t text_len)
{
	struct errors err = { text, text_len };
	int rc = check_config(cfg, &err);
	struct ether *e = rc ? NULL : calloc(1, sizeof *e);
	if (!e) {
		errno = rc ? -rc : ENOMEM;
		return NULL;
	}
	e->rate_hz = cfg->rate_hz;
	e->carrier_hz[ETHER_DL] = cfg->dl_hz;
	e->carrier_hz[ETHER_UL] = cfg->ul_hz;
	e->seed = cfg->seed;
	e->n_devices = cfg->n_devices;
	e->kernel = fracdelay_create();
	e->node = calloc(e->n_devices + 1, sizeof *e->node);
	e->link = calloc((e->n_devices + 1) * N_DIRS, sizeof *e->link);
	rc = e->kernel && e->node && e->link ? 0 : -ENOMEM;
	for (size_t k = 0; !rc && k <= e->n_devices; k++)
		rc = init_node(e, cfg, k, &err);
	for (size_t i = N_DIRS; !rc && i < (e->n_devices + 1) * N_DIRS; i++)
		rc = init_link(e, &cfg->link[i / N_DIRS], i / N_DIRS, (enum ether_dir)(i % N_DIRS), &e->link[i], &err);
	if (rc) {
		ether_destroy(e);
		errno = -rc;
		return NULL;
	}
	return e;
}

void ether_destroy(struct ether *e)
{
	if (!e)
		return;
	for (size_t k = 0; e->node && k <= e->n_devices; k++)
		ring_destroy(e->node[k].sent);
	free(e->link);
	free(e->node);
	fracdelay_destroy(e->kernel);
	free(e);
}

struct radio *ether_radio(struct ether *e, size_t node)
{
	return node <= e->n_devices ? &e->node[node].radio : NULL;
}

/* The link, or NULL for a device or direction that is not. */
static struct fading_link *find_link(const struct ether *e, size_t device, enum ether_dir dir)
{
	if (device < 1 || device > e->n_devices || (dir != ETHER_DL && dir != ETHER_UL))
		return NULL;
	return &e->link[device * N_DIRS + dir];
}

/* Seconds of one BS sample. */
static double bs_step_s(const struct ether *e)
{
	return 1 / (e->rate_hz * (1 + e->node[0].error));
}

int ether_blank(struct ether *e, size_t device, enum ether_dir dir, double from, double to)
{
	struct fading_link *link = find_link(e, device, dir);
	if (!link || !(from < to))
		return -EINVAL;
	return fading_link_blank(link, from * bs_step_s(e), to * bs_step_s(e));
}

int ether_set_link(struct ether *e, size_t device, const struct ether_link_config *cfg, char *text, size_t text_len)
{
	struct errors err = { text, text_len };
	struct fading_link *now = find_link(e, device, ETHER_DL), *made = NULL;
	char where[40];
	snprintf(where, sizeof where, "link[%zu].", device);
	int rc = now ? check_link(cfg, where, &err) : complain(&err, "ether: there is no device %zu", device);
	if (!rc)
		made = calloc(N_DIRS, sizeof *made);
	rc = rc || made ? rc : -ENOMEM;
	for (int dir = 0; !rc && dir < N_DIRS; dir++) {
		rc = init_link(e, cfg, device, (enum ether_dir)dir, &made[dir], &err);
		memcpy(made[dir].blank, now[dir].blank, sizeof now[dir].blank);
		made[dir].n_blanks = now[dir].n_blanks;
	}
	if (!rc)
		memcpy(now, made, N_DIRS * sizeof *made);
	free(made);
	return rc;
}

uint64_t ether_clock(const struct ether *e, size_t node, double bs_samples)
{
	const struct node *own = &e->node[node];
	double ratio = (1 + own->error) / (1 + e->node[0].error);
	double reading = (bs_samples - own->cfg.start_offset_samples) * ratio;
	return reading > 0 ? (uint64_t)ceil(reading) : 0;
}

double ether_time(const struct ether *e, size_t node, uint64_t t_samples)
{
	const struct node *own = &e->node[node];
	double ratio = (1 + e->node[0].error) / (1 + own->error);
	return own->cfg.start_offset_samples + (double)t_samples * ratio;
}

int ether_true_response(const struct ether *e, size_t device, enum ether_dir dir, double t_bs_samples,
                        const double *offset_hz, size_t n, double complex *h)
{
	const struct fading_link *link = find_link(e, device, dir);
	if (!link)
		return -EINVAL;
	fading_link_response(link, t_bs_samples * bs_step_s(e), offset_hz, n, h);
	return 0;
}

double ether_true_cfo_hz(const struct ether *e, size_t device, enum ether_dir dir)
{
	const struct fading_link *link = find_link(e, device, dir);
	return link ? link->cfo_hz : NAN;
}

double ether_path_loss_for_snr(double snr_db, double tx_dbm, double noise_figure_db, double rate_hz)
{
	return tx_dbm - (thermal_dbm_hz + noise_figure_db + 10 * log10(rate_hz)) - snr_db;
}
