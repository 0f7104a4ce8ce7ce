#include "testbed/node_bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testbed/cli.h"
#include "testbed/items.h"
#include "testbed/medium.h"
#include "testbed/nodes.h"
#include "testbed/prompt.h"

enum { BS, DEVICE, ATTACH_SLOTS_MAX = 4000 };

struct bench {
	const struct config *config;
	struct nodes nodes;
	struct medium medium;
	struct ether *ether;
	struct bs *bs;
	struct nodes_device device[CONFIG_DEVICES_MAX];
	float complex *rx, *tx;
	struct prompt prompt;
	uint64_t slot, n_prompts;
	struct ledger ledger;
	double sum_s[2];
	bool counts;
	struct node_bench_result *result;
};

static double thread_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void note(struct bench *b, unsigned node, double began_s)
{
	double spent_s = thread_s() - began_s;
	if (!b->counts)
		return;
	ledger_note(&b->ledger, node, spent_s, b->slot);
	b->sum_s[node] += spent_s;
}

static void device_slots(struct bench *b, size_t k)
{
	size_t len = b->nodes.num.slot_len;
	struct device *d = b->device[k].device;
	struct radio *radio = ether_radio(b->ether, k + 1);
	uint64_t now = ether_clock(b->ether, k + 1, (double)((b->slot + 1) * len));
	struct device_tx tx;
	while (device_next_rx(d) + len <= now) {
		radio_recv(radio, b->rx, len, device_next_rx(d));
		double began_s = thread_s();
		device_slot(d, b->rx, &tx);
		note(b, DEVICE, began_s);
		if (tx.send)
			radio_send(radio, tx.samples, len, tx.t_samples);
	}
}

static void one_slot(struct bench *b)
{
	size_t len = b->nodes.num.slot_len;
	struct radio *radio = ether_radio(b->ether, 0);
	for (size_t k = 0; k < b->config->n_devices; k++)
		device_slots(b, k);
	radio_recv(radio, b->rx, len, b->slot * len);
	double began_s = thread_s();
	bs_slot(b->bs, b->slot, b->rx, b->tx);
	note(b, BS, began_s);
	radio_send(radio, b->tx, len, (b->slot + (uint64_t)b->config->radio.tx_ahead_slots) * len);
	b->slot++;
}

/* As many answers under way as there are places. */
static void keep_busy(struct bench *b)
{
	struct inference *inf = bs_inference(b->bs);
	struct generation_options options = { .n_tokens = (size_t)b->config->model.n_tokens };
	for (size_t i = 0; i < inference_n_places(inf) && !inference_computing(inf); i++) {
		if (inference_ended(inf, i)) {
			inference_release(inf, i);
			b->result->n_answers++;
		}
		if (!inference_generation(inf, i) && inference_start(inf, b->prompt.tokens, b->prompt.n_tokens,
		                                                     &options, (double)b->slot * b->result->slot_s) < 0)
			return;
	}
}

static int open_all(struct bench *b, char *err, size_t err_len)
{
	const struct config *c = b->config;
	char held_out[CONFIG_PATH_MAX];
	int rc = nodes_open(&b->nodes, c, err, err_len);
	b->nodes.real_time = true;
	rc = rc ? rc : medium_open(&b->medium, c, &b->nodes.num, err, err_len);
	if (rc)
		return rc;
	cli_find_file(c->model.held_out, held_out, sizeof held_out);
	b->rx = calloc(b->nodes.num.slot_len, sizeof *b->rx);
	b->tx = calloc(b->nodes.num.slot_len, sizeof *b->tx);
	b->ether = ether_create(&b->medium.ether, err, err_len);
	if (!b->rx || !b->tx || !b->ether)
		return b->ether ? -ENOMEM : -errno;
	b->bs = nodes_bs(&b->nodes, ether_radio(b->ether, 0), err, err_len);
	rc = b->bs ? prompt_from_held_out(&b->prompt, b->nodes.model->tokenizer, held_out, c->seed, err, err_len)
	           : -errno;
	for (size_t k = 0; !rc && k < c->n_devices; k++)
		rc = nodes_device(&b->nodes, k, ether_radio(b->ether, k + 1), &b->device[k], err, err_len);
	return rc;
}

static void close_all(struct bench *b)
{
	for (size_t k = 0; k < CONFIG_DEVICES_MAX; k++)
		nodes_device_close(&b->device[k]);
	bs_destroy(b->bs);
	prompt_free(&b->prompt);
	ether_destroy(b->ether);
	medium_close(&b->medium);
	nodes_close(&b->nodes);
	free(b->rx);
	free(b->tx);
}

static int run(struct bench *b, size_t n_slots, char *err, size_t err_len)
{
	struct node_bench_result *r = b->result;
	r->slot_s = numerology_slot_s(&b->nodes.num);
	while (!inference_ready(bs_inference(b->bs)) && b->slot < ATTACH_SLOTS_MAX)
		one_slot(b);
	if (!inference_ready(bs_inference(b->bs))) {
		snprintf(err, err_len, "not all devices attach");
		return -ETIMEDOUT;
	}
	b->counts = true;
	for (size_t i = 0; i < n_slots && !cli_interrupted(); i++) {
		keep_busy(b);
		one_slot(b);
	}
	r->bs = ledger_read(&b->ledger, BS, NULL);
	r->device = ledger_read(&b->ledger, DEVICE, NULL);
	r->bs_mean_s = b->sum_s[BS] / (double)(r->bs.n ? r->bs.n : 1);
	r->device_mean_s = b->sum_s[DEVICE] / (double)(r->device.n ? r->device.n : 1);
	for (size_t k = 0; k < b->config->n_devices; k++)
		r->n_calls += device_worker_stats(b->device[k].device).calls;
	return cli_interrupted() ? -EINTR : 0;
}

int node_bench_run(const struct config *config, size_t n_slots, struct node_bench_result *r, char *err, size_t err_len)
{
	struct bench *b = calloc(1, sizeof *b);
	snprintf(err, err_len, "out of memory");
	if (!b)
		return -ENOMEM;
	memset(r, 0, sizeof *r);
	b->config = config;
	b->result = r;
	int rc = open_all(b, err, err_len);
	rc = rc ? rc : run(b, n_slots, err, err_len);
	close_all(b);
	free(b);
	return rc;
}
