/* wire.h - a base station and one device joined by a wire: samples pass as they are, with white noise 25 dB below the
 * downlink.
 *
 * Slot by slot under the test's hands: it may change what goes over the wire, and say things neither end would say.
 */
#ifndef TESTS_TESTBED_WIRE_H
#define TESTS_TESTBED_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <complex.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phy/power.h"
#include "testbed/bs.h"
#include "testbed/device.h"
#include "tests/testbed/mini.h"

enum { RING = 24, CELL_ID = 7, LOST_AFTER = 60 };

/* What a test may choose; wire_create takes the defaults. */
struct wire_options {
	unsigned tx_ahead; /* of both ends */
	double bler_target, mcs_margin_db;
	double call_s;             /* what a call takes the device */
	double tx_max_dbm;         /* of the device */
	double path_loss_error_db; /* by which its estimate is too high: its receiver is not what it thinks */
	unsigned ul_delay;         /* samples by which its uplink arrives late; may be changed on the way */
};

static const struct wire_options wire_defaults = {
	.tx_ahead = 2, .bler_target = 0.1, .call_s = 3e-4, .tx_max_dbm = 27
};

/* With equal full scales the wire has a path loss of 0 dB, and amplitudes of RE are the same at both ends. */
static const float full_scale_dbm = 30, re_dbm = 0;
static const double wire_snr_db = 25;

struct wire {
	struct wire_options options;
	struct numerology num;
	struct layout *layout;
	struct moe_model *base, *half; /* half: the device's, all experts */
	struct bs *bs;
	struct device *device;
	uint64_t n;             /* slots done */
	float complex *dl, *ul; /* RING slots each, by time */
	float complex *rx, *tx;
	uint64_t noise;
	int bs_rc, device_rc; /* of the latest slot */
	/* The test's hands; each may be NULL. */
	void *arg;
	void (*on_downlink)(struct wire *w, uint64_t slot, float complex *samples); /* as built, before it is sent */
	void (*on_heard)(struct wire *w, float complex *samples);                   /* as the device receives it */
	void (*on_sent)(struct wire *w, const struct device_tx *tx);
	void (*on_uplink)(struct wire *w, uint64_t slot, float complex *samples); /* as the base station receives it */
};

static inline uint64_t wire_draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline double wire_uniform(uint64_t *state)
{
	return ((double)(wire_draw(state) >> 11) + 0.5) * 0x1p-53;
}

static inline void wire_add_noise(struct wire *w, float complex *x, size_t n)
{
	double amplitude = (double)power_re_amplitude(re_dbm, full_scale_dbm, w->num.n_fft);
	double sigma = amplitude * pow(10, -wire_snr_db / 20);
	for (size_t i = 0; i < n; i++) {
		double r = sigma * sqrt(-log(wire_uniform(&w->noise))), phase = 2 * M_PI * wire_uniform(&w->noise);
		x[i] += (float complex)(r * cexp(I * phase));
	}
}

/* Samples t .. t + n - 1 of a ring: out, or in (added). */
static inline void wire_read(const struct wire *w, const float complex *ring, uint64_t t, size_t n, float complex *x)
{
	for (size_t i = 0; i < n; i++)
		x[i] = ring[(t + i) % (RING * w->num.slot_len)];
}

static inline void wire_write(const struct wire *w, float complex *ring, uint64_t t, size_t n, const float complex *x)
{
	for (size_t i = 0; i < n; i++)
		ring[(t + i) % (RING * w->num.slot_len)] = x[i];
}

static inline struct bs *wire_bs(struct wire *w, char *err, size_t err_len)
{
	struct bs_params p = {
		.cell = { .layout = w->layout,
		          .cell_id = CELL_ID,
		          .n_devices = 1,
		          .tx_ahead = w->options.tx_ahead,
		          .answer_delay = cell_answer_delay(w->options.tx_ahead),
		          .dl_re_dbm = re_dbm,
		          .ul_target_re_dbm = re_dbm,
		          .tx_full_scale_dbm = full_scale_dbm,
		          .rx_full_scale_dbm = full_scale_dbm,
		          .allocator = "round-robin",
		          .bler_target = w->options.bler_target,
		          .mcs_margin_db = (float)w->options.mcs_margin_db,
		          .max_tx = 4,
		          .range_m = 1500,
		          .lost_after_slots = LOST_AFTER },
		.inference = { .model = w->base,
		               .num = &w->num,
		               .n_devices = 1,
		               .codec_down = codec_by_name("f32"),
		               .codec_up = codec_by_name("f32"),
		               .n_sequences = 1,
		               .suspect_slots = 100,
		               .call_rows_max = 8,
		               .chunk_rows = 16,
		               .policy = "vanilla",
		               .select = select_params_default(),
		               .profile = { .fixed_s = 1e-4, .bytes_per_s = 1e12, .flops_per_s = 1e15 },
		               .seed = 1,
		               .call_timeout_s = 0.2 },
	};
	return bs_create(&p, err, err_len);
}

static inline struct device *wire_device(struct wire *w, const struct moe_model *model, char *err, size_t err_len)
{
	struct device_params p = {
		.layout = w->layout,
		.cell_id = CELL_ID,
		.device = 0,
		.dl_hz = 3.5e9,
		.ul_hz = 3.4e9,
		.tx_full_scale_dbm = full_scale_dbm,
		.rx_full_scale_dbm = full_scale_dbm - (float)w->options.path_loss_error_db,
		.tx_max_dbm = (float)w->options.tx_max_dbm,
		.tx_ahead = cell_answer_delay(w->options.tx_ahead),
		.model = model,
		.profile = { .fixed_s = w->options.call_s, .bytes_per_s = 1e12, .flops_per_s = 1e15 },
		.seed = 2,
		.call_rows_max = 8,
		.lost_after_slots = LOST_AFTER,
		.welcome_slots = LOST_AFTER,
	};
	return device_create(&p, err, err_len);
}

static inline struct moe_model *wire_half(const char *path)
{
	struct moe_expert_id all[64];
	size_t n = 0;
	char err[256];
	struct moe_model *m;
	if (moe_model_open(path, NULL, &m, err, sizeof err))
		fail_msg("%s", err);
	for (uint32_t layer = 0; layer < m->shape.n_layer; layer++)
		for (uint32_t e = 0; e < m->shape.n_expert; e++)
			all[n++] = (struct moe_expert_id){ layer, e };
	moe_model_close(m);
	if (moe_model_open(path, &(struct moe_half){ .held = all, .n_held = n }, &m, err, sizeof err))
		fail_msg("%s", err);
	return m;
}

/* device_model: what the device holds; with_device false: nobody there. */
static inline struct wire *wire_create_with(bool with_device, const char *device_model, const struct wire_options *o)
{
	struct wire *w = calloc(1, sizeof *w);
	w->options = *o;
	char err[256] = "";
	assert_int_equal(numerology_init(&w->num, 7.68e6, 30e3, 18, 14, err, sizeof err), 0);
	w->layout = layout_create(&w->num, err, sizeof err);
	w->noise = 1;
	if (moe_model_open(mini_path, &(struct moe_half){ .base = true }, &w->base, err, sizeof err))
		fail_msg("%s", err);
	w->half = wire_half(device_model);
	w->dl = calloc(RING * w->num.slot_len, sizeof *w->dl);
	w->ul = calloc(RING * w->num.slot_len, sizeof *w->ul);
	w->rx = calloc(w->num.slot_len, sizeof *w->rx);
	w->tx = calloc(w->num.slot_len, sizeof *w->tx);
	w->bs = wire_bs(w, err, sizeof err);
	if (with_device)
		w->device = wire_device(w, w->half, err, sizeof err);
	if (!w->bs || (with_device && !w->device))
		fail_msg("%s", err);
	return w;
}

static inline struct wire *wire_create(bool with_device, const char *device_model)
{
	return wire_create_with(with_device, device_model, &wire_defaults);
}

static inline void wire_destroy(struct wire *w)
{
	device_destroy(w->device);
	bs_destroy(w->bs);
	free(w->tx);
	free(w->rx);
	free(w->ul);
	free(w->dl);
	moe_model_close(w->half);
	moe_model_close(w->base);
	layout_destroy(w->layout);
	free(w);
}

static inline void wire_run_device(struct wire *w)
{
	struct device_tx tx;
	while (device_next_rx(w->device) + w->num.slot_len <= (w->n + 1) * w->num.slot_len) {
		wire_read(w, w->dl, device_next_rx(w->device), w->num.slot_len, w->rx);
		wire_add_noise(w, w->rx, w->num.slot_len);
		if (w->on_heard)
			w->on_heard(w, w->rx);
		w->device_rc = device_slot(w->device, w->rx, &tx);
		if (tx.send && w->on_sent)
			w->on_sent(w, &tx);
		if (tx.send)
			wire_write(w, w->ul, tx.t_samples + w->options.ul_delay, w->num.slot_len, tx.samples);
	}
}

static inline void wire_slot(struct wire *w)
{
	size_t slot_len = w->num.slot_len;
	if (w->device)
		wire_run_device(w);
	wire_read(w, w->ul, w->n * slot_len, slot_len, w->rx);
	wire_add_noise(w, w->rx, slot_len);
	if (w->on_uplink)
		w->on_uplink(w, w->n, w->rx);
	w->bs_rc = bs_slot(w->bs, w->n, w->rx, w->tx);
	if (w->on_downlink)
		w->on_downlink(w, w->n + w->options.tx_ahead, w->tx);
	wire_write(w, w->dl, (w->n + w->options.tx_ahead) * slot_len, slot_len, w->tx);
	memset(w->tx, 0, slot_len * sizeof *w->tx);
	wire_write(w, w->ul, (w->n + RING - 1) * slot_len, slot_len, w->tx); /* silence, until somebody sends there */
	w->n++;
}

static inline void wire_run(struct wire *w, unsigned n_slots)
{
	while (n_slots--)
		wire_slot(w);
}

static inline void wire_attach(struct wire *w)
{
	for (int i = 0; i < 200 && device_state(w->device) != DEVICE_ATTACHED; i++)
		wire_slot(w);
	assert_int_equal(device_state(w->device), DEVICE_ATTACHED);
	assert_int_equal(cell_state(bs_cell(w->bs), 0), CELL_ATTACHED);
}

#endif
