#include "testbed/device.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phy/acquire.h"
#include "phy/finite.h"
#include "phy/level.h"
#include "phy/nco.h"
#include "phy/power.h"
#include "phy/track.h"
#include "scheduler/harq.h"
#include "scheduler/power_loop.h"

enum {
	ARQ_CAPACITY = 1 << 21,
	CALLS_MAX = 256,
	SENT_REMEMBERED = 16, /* uplink slots, for logs */
	ADVANCE_MIN = -64,    /* units; below 0 only to undo an answer that was too much */
	ADVANCE_MAX = 1023,
	HARQ_ROUND_TRIPS = 3,  /* a block not asked for again for so long is settled, one way or the other */
	PATH_LOSS_SLOTS = 100, /* averaging of the path loss: longer than a fade */
	STATES_ROUND_TRIPS =
	        100, /* so long without a multicast block a call waits for its states; longer than a layer */
};

struct process {
	struct tb_soft *dl_soft, *multicast_soft;
	bool ul_open;     /* the block last sent may yet be asked for again */
	uint64_t ul_sent; /* when it was sent last, as n_slots */
	uint8_t *ul_block;
};

struct device {
	struct device_params params;
	const struct numerology *num;
	enum device_state state;
	uint64_t state_since; /* slots seen, as n_slots */
	uint64_t n_slots;
	uint64_t heard_at;    /* n_slots when last addressed by the base station */
	uint64_t next_search; /* own clock, while searching */
	uint64_t slot;        /* number of the slot to come, as far as it is known */
	bool slot_known;

	struct acquire *acquire;
	struct track track;
	struct nco rx_nco, tx_nco;
	uint64_t rx_nco_t, tx_nco_t; /* sample each is at */
	struct dl_rx *dl;
	struct ul_tx *ul;
	float complex *rx, *tx; /* slot_len */
	struct dl_result result;
	bool have_csi;

	struct sysinfo sysinfo;
	bool advance_valid;
	int advance_units;
	uint64_t advance_heard; /* n_slots of the latest word of it */
	int power_correction_db;
	float path_loss_db;
	unsigned path_loss_slots;

	struct arq *arq;
	struct worker *worker;
	float rx_gain_db;
	struct states *states;
	bool call_waits;          /* the next one, for its states */
	uint64_t states_heard_at; /* n_slots of their last block, or when the call came */
	float report_offset_db;   /* of its channel reports: device_misbehave */
	struct harq_peer dl_peer, ul_peer, multicast_peer;
	struct process process[HARQ_PROCESSES_MAX];
	struct device_sent sent[SENT_REMEMBERED]; /* by uplink slot */
	size_t tb_max;                            /* bytes of the largest block */
	uint8_t *block;                           /* received */
	uint8_t *block_memory;                    /* of the processes */
	struct device_stats stats;
};

static const char *const state_names[DEVICE_STATES] = {
	"search", "listen", "access", "connected", "attached", "refused"
};

const char *device_state_name(enum device_state s)
{
	return s < DEVICE_STATES ? state_names[s] : "unknown";
}

static bool allocate(struct device *d)
{
	const struct device_params *p = &d->params;
	struct acquire_config search = acquire_config_default(d->num);
	search.dl_hz = p->dl_hz;
	d->acquire = acquire_create(d->num, p->cell_id, &search);
	d->dl = dl_rx_create(p->layout, p->cell_id, p->device);
	d->ul = ul_tx_create(p->layout, p->cell_id, p->device);
	d->rx = calloc(d->num->slot_len, sizeof *d->rx);
	d->tx = calloc(d->num->slot_len, sizeof *d->tx);
	d->arq = arq_create(ARQ_CAPACITY);
	d->states = states_create(MESSAGE_PAYLOAD_MAX);
	d->worker = worker_create(&(struct worker_params){ .model = p->model,
	                                                   .profile = p->profile,
	                                                   .seed = p->seed,
	                                                   .rows_max = p->call_rows_max,
	                                                   .calls_max = CALLS_MAX,
	                                                   .real_time = p->real_time,
	                                                   .states = d->states,
	                                                   .mode = p->mode });
	d->block = malloc(d->tb_max);
	d->block_memory = malloc(HARQ_PROCESSES_MAX * d->tb_max);
	bool soft = true;
	for (size_t i = 0; i < HARQ_PROCESSES_MAX && d->block_memory; i++) {
		d->process[i].ul_block = d->block_memory + i * d->tb_max;
		d->process[i].dl_soft = tb_soft_create(d->tb_max);
		d->process[i].multicast_soft = tb_soft_create(d->tb_max);
		soft = soft && d->process[i].dl_soft && d->process[i].multicast_soft;
	}
	return soft && d->acquire && d->dl && d->ul && d->rx && d->tx && d->arq && d->states && d->worker && d->block &&
	       d->block_memory;
}

struct device *device_create(const struct device_params *p, char *err, size_t err_len)
{
	struct device *d = calloc(1, sizeof *d);
	if (d) {
		d->params = *p;
		d->num = layout_numerology(p->layout);
		d->tb_max = dl_tb_bytes_max(p->layout);
		nco_init(&d->rx_nco, d->num->rate_hz);
		nco_init(&d->tx_nco, d->num->rate_hz);
	}
	if (d && p->model->shape.n_layer * p->model->shape.n_expert > MESSAGE_EXPERTS_MAX) {
		snprintf(err, err_len, "device %u: %zu layers of %zu experts are more than a hello can name", p->device,
		         p->model->shape.n_layer, p->model->shape.n_expert);
		device_destroy(d);
		errno = EINVAL;
		return NULL;
	}
	if (!d || !allocate(d)) {
		snprintf(err, err_len, "device %u: %s", p->device, strerror(errno));
		device_destroy(d);
		return NULL;
	}
	acquire_reset(d->acquire, 0);
	return d;
}

void device_destroy(struct device *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < HARQ_PROCESSES_MAX; i++) {
		tb_soft_destroy(d->process[i].multicast_soft);
		tb_soft_destroy(d->process[i].dl_soft);
	}
	free(d->block_memory);
	free(d->block);
	worker_destroy(d->worker);
	states_destroy(d->states);
	arq_destroy(d->arq);
	free(d->tx);
	free(d->rx);
	ul_tx_destroy(d->ul);
	dl_rx_destroy(d->dl);
	acquire_destroy(d->acquire);
	free(d);
}

uint64_t device_next_rx(const struct device *d)
{
	return d->state == DEVICE_SEARCH ? d->next_search : d->track.next_start;
}

/* ---- states ---- */

static void enter(struct device *d, enum device_state s)
{
	d->state = s;
	d->advance_valid = d->advance_valid && (s == DEVICE_CONNECTED || s == DEVICE_ATTACHED);
	d->state_since = d->heard_at = d->n_slots;
	d->stats.transitions[s]++;
}

static uint64_t in_state(const struct device *d)
{
	return d->n_slots - d->state_since;
}

static void start_search(struct device *d)
{
	d->next_search = d->track.next_start;
	d->slot_known = false;
	acquire_reset(d->acquire, d->next_search);
	enter(d, DEVICE_SEARCH);
}

static void search(struct device *d, const float complex *samples)
{
	d->next_search += d->num->slot_len;
	if (!acquire_feed(d->acquire, samples, d->num->slot_len))
		return;
	struct track_config config = track_config_default(d->params.dl_hz, d->params.ul_hz);
	track_start(&d->track, d->num, &config, acquire_result(d->acquire));
	d->slot = track_skip_to(&d->track, d->next_search);
	dl_rx_reset(d->dl);
	d->path_loss_slots = 0;
	enter(d, DEVICE_LISTEN);
}

static unsigned n_processes(const struct device *d)
{
	return harq_processes(d->sysinfo.round_trip);
}

/* Both ends start their streams and processes anew when an access answer goes out. */
static void connect(struct device *d, const struct command *answer)
{
	const struct moe_model *m = d->params.model;
	struct hello hello = { .device = d->params.device,
		               .n_layer = (uint16_t)m->shape.n_layer,
		               .n_expert = (uint16_t)m->shape.n_expert };
	memcpy(hello.model_hash, m->hash, sizeof hello.model_hash);
	for (size_t layer = 0; layer < m->shape.n_layer; layer++)
		for (size_t e = 0; e < m->shape.n_expert; e++)
			if (moe_model_holds(m, layer, e))
				hello_hold(&hello, layer, e);
	uint8_t payload[sizeof hello + 16], message[MESSAGE_HEADER + sizeof payload];
	struct message head = { .type = MESSAGE_HELLO,
		                .n_payload = (uint32_t)hello_encode(&hello, payload, sizeof payload) };
	d->advance_valid = true;
	d->advance_units = answer->timing;
	d->advance_heard = d->n_slots;
	d->power_correction_db = power_loop_corrected(0, answer->power_step_db);
	arq_reset(d->arq);
	arq_set_round_trip(d->arq, d->sysinfo.round_trip);
	worker_reset(d->worker);
	states_reset(d->states);
	d->call_waits = false;
	harq_peer_init(&d->dl_peer, n_processes(d));
	harq_peer_init(&d->multicast_peer, n_processes(d));
	harq_peer_init(&d->ul_peer, n_processes(d));
	for (size_t i = 0; i < HARQ_PROCESSES_MAX; i++)
		d->process[i].ul_open = false;
	arq_send(d->arq, message, message_encode(&head, payload, message, sizeof message));
	enter(d, DEVICE_CONNECTED);
}

/* Timers: nothing awaited is awaited for ever. */
static void check_timers(struct device *d)
{
	if (d->state == DEVICE_CONNECTED && in_state(d) > d->params.welcome_slots)
		enter(d, DEVICE_ACCESS);
	if (d->state == DEVICE_ATTACHED && d->n_slots - d->heard_at > d->params.lost_after_slots)
		enter(d, DEVICE_ACCESS);
	if (d->advance_valid && d->n_slots - d->advance_heard > d->params.lost_after_slots)
		enter(d, DEVICE_ACCESS);
}

/* ---- messages ---- */

static double now_s(const struct device *d)
{
	return (double)(d->track.next_start + d->num->slot_len) / d->num->rate_hz;
}

static void take_message(struct device *d, const struct message *m, const uint8_t *payload)
{
	if (m->type == MESSAGE_WELCOME && d->state == DEVICE_CONNECTED)
		enter(d, DEVICE_ATTACHED);
	else if (m->type == MESSAGE_REFUSE && d->state == DEVICE_CONNECTED)
		enter(d, DEVICE_REFUSED);
	else if (m->type == MESSAGE_CALL && d->state == DEVICE_ATTACHED)
		worker_take(d->worker, m, payload, (uint32_t)d->slot, now_s(d));
	else
		d->stats.messages_bad++;
	d->stats.messages++;
}

/* Some of its hidden states come by multicast, and may yet do so. */
static bool must_wait(struct device *d, const struct message *m, const uint8_t *payload)
{
	bool lacks = m->type == MESSAGE_CALL && worker_lacks(d->worker, m, payload);
	if (lacks && !d->call_waits)
		d->states_heard_at = d->n_slots;
	d->call_waits = lacks && d->n_slots - d->states_heard_at <= STATES_ROUND_TRIPS * d->sysinfo.round_trip;
	return d->call_waits;
}

static void read_messages(struct device *d)
{
	size_t n;
	const uint8_t *stream, *payload;
	struct message m;
	while (worker_has_room(d->worker) && (stream = arq_peek(d->arq, &n))) {
		ssize_t used = message_decode(stream, n, &m, &payload);
		if (!used)
			return;
		if (used < 0) { /* the streams no longer agree: begin again */
			d->stats.messages_bad++;
			enter(d, used == -EPROTONOSUPPORT ? DEVICE_REFUSED : DEVICE_ACCESS);
			return;
		}
		if (must_wait(d, &m, payload))
			return;
		take_message(d, &m, payload);
		arq_consume(d->arq, (size_t)used);
	}
}

static void send_results(struct device *d)
{
	const uint8_t *message;
	size_t n;
	while (d->state == DEVICE_ATTACHED && arq_room(d->arq) >= MESSAGE_HEADER + MESSAGE_PAYLOAD_MAX &&
	       (n = worker_poll(d->worker, now_s(d), &message)))
		arq_send(d->arq, message, n);
	if (d->state == DEVICE_ATTACHED)
		read_messages(d); /* calls that had to wait for room at the worker */
}

/* ---- blocks ---- */

/* What there was of it, by how it went. */
struct block_counts {
	uint64_t *ok, *bad, *repeated;
};

/* Receives a granted block into d->block, *n bytes; ACK: it is there, and new if *fresh. */
static enum uci_ack receive_block(struct device *d, bool multicast, const struct grant *g,
                                  const struct block_counts *counts, size_t *n, bool *fresh)
{
	struct harq_peer *peer = multicast ? &d->multicast_peer : &d->dl_peer;
	*n = dl_tb_bytes(d->params.layout, g);
	*fresh = false;
	if (!*n)
		return UCI_ACK_NONE;
	enum harq_peer_verdict verdict = harq_peer_receive(peer, multicast, g->harq_id, g->ndi, g->rv, (uint32_t)*n);
	if (verdict == HARQ_PEER_IGNORE)
		return UCI_ACK_NONE;
	if (verdict == HARQ_PEER_DONE) {
		++*counts->repeated; /* our ACK was not heard */
		return UCI_ACK;
	}
	struct process *p = &d->process[g->harq_id];
	struct tb_soft *soft = multicast ? p->multicast_soft : p->dl_soft;
	if (verdict == HARQ_PEER_BEGIN)
		tb_soft_reset(soft);
	*fresh = peer->done[g->harq_id] = multicast ? dl_rx_multicast_data(d->dl, g, soft, d->block, n, NULL) == 0
	                                            : dl_rx_data(d->dl, g, soft, d->block, n, NULL) == 0;
	++*(*fresh ? counts->ok : counts->bad);
	return *fresh ? UCI_ACK : UCI_NACK;
}

static enum uci_ack take_block(struct device *d, const struct grant *g)
{
	struct block_counts counts = { &d->stats.dl_blocks_ok, &d->stats.dl_blocks_bad, &d->stats.dl_blocks_repeated };
	size_t n;
	bool fresh;
	d->stats.dl_grants++;
	enum uci_ack ack = receive_block(d, false, g, &counts, &n, &fresh);
	if (fresh) {
		arq_receive(d->arq, d->block, n, d->slot);
		read_messages(d);
	}
	return ack;
}

static enum uci_ack take_multicast(struct device *d, const struct grant *g)
{
	struct block_counts counts = { &d->stats.multicast_ok, &d->stats.multicast_bad, &d->stats.multicast_repeated };
	size_t n;
	bool fresh;
	enum uci_ack ack = receive_block(d, true, g, &counts, &n, &fresh);
	if (fresh && states_take(d->states, d->block, n) == 0)
		d->states_heard_at = d->n_slots;
	return ack;
}

static void send_block(struct device *d, const struct grant *g, uint64_t ul_slot)
{
	size_t n = ul_tb_bytes(d->params.layout, ul_slot, g);
	d->stats.ul_grants++;
	if (!n || n > d->tb_max)
		return;
	if (g->rv > 0 &&
	    harq_peer_receive(&d->ul_peer, false, g->harq_id, g->ndi, g->rv, (uint32_t)n) != HARQ_PEER_ADD) {
		d->stats.ul_blocks_unknown++; /* silence brings version 0 */
		return;
	}
	int fresh = harq_peer_grant(&d->ul_peer, g->harq_id, g->ndi, (uint32_t)n);
	if (fresh < 0)
		return;
	struct process *p = &d->process[g->harq_id];
	if (fresh) {
		arq_block_done(d->arq, g->harq_id, true, d->slot);
		arq_fill(d->arq, p->ul_block, n, g->harq_id, d->slot);
	}
	d->stats.ul_blocks += fresh == 1;
	d->stats.ul_blocks_repeated += !fresh;
	p->ul_open = true;
	p->ul_sent = d->n_slots;
	ul_tx_data(d->ul, g, p->ul_block, n);
}

/* The base station says only what it wants again. Of a block that it gave up its verdict tells (testbed/arq.h). */
static void settle_blocks(struct device *d)
{
	for (unsigned i = 0; i < n_processes(d); i++) {
		struct process *p = &d->process[i];
		if (p->ul_open && d->n_slots - p->ul_sent > HARQ_ROUND_TRIPS * d->sysinfo.round_trip) {
			arq_block_done(d->arq, i, true, d->slot);
			p->ul_open = false;
		}
	}
}

/* ---- one slot ---- */

static struct ul_power power(const struct device *d)
{
	return (struct ul_power){ .target_re_dbm = d->sysinfo.ul_target_dbm,
		                  .path_loss_db = d->path_loss_db + (float)d->power_correction_db,
		                  .comb_boost = d->sysinfo.comb_boost,
		                  .max_dbm = d->params.tx_max_dbm,
		                  .n_rb = d->num->n_rb };
}

/* The value whose turn it is. */
static float slow_value_db(const struct device *d, struct uci_turn turn)
{
	const struct csi *csi = &d->result.csi;
	struct ul_power p = power(d);
	if (turn.topic == UCI_HEADROOM)
		return ul_power_headroom_db(&p);
	if (!csi->valid)
		return CSI_SNR_FLOOR_DB;
	if (turn.topic == UCI_SNR_BAND)
		return csi->snr_mean_db + d->report_offset_db;
	float sum_db = 0;
	size_t size = rb_group_size(d->num->n_rb), first = turn.group * size, n = 0;
	for (; n < size && first + n < d->num->n_rb; n++)
		sum_db += csi->snr_db[first + n];
	return sum_db / (float)n + d->report_offset_db;
}

/* Of the slot's blocks. */
struct acks {
	enum uci_ack own, multicast;
};

/* Reported is what will wait when a grant can answer: the results expected by then need not be ready yet. */
static void send_control(struct device *d, const struct acks *acks)
{
	struct uci_turn turn = uci_turn(d->slot + d->sysinfo.grant_delay, d->num->n_rb);
	double grant_s = now_s(d) + d->sysinfo.round_trip * numerology_slot_s(d->num);
	size_t backlog = arq_backlog_with(d->arq, d->slot, worker_expects(d->worker, grant_s));
	struct uci u = { .ack = acks->own,
		         .multicast_ack = acks->multicast,
		         .buffer_bytes = backlog < UCI_BUFFER_MAX ? (uint32_t)backlog : UCI_BUFFER_MAX,
		         .turn = turn,
		         .value_db = slow_value_db(d, turn) };
	ul_tx_control(d->ul, &u);
}

static void build_uplink(struct device *d, const struct acks *acks, struct device_tx *tx)
{
	uint64_t ul_slot = d->slot + d->sysinfo.grant_delay;
	bool granted = d->result.has_dci && d->result.dci.has_ul;
	bool connected = (d->state == DEVICE_CONNECTED || d->state == DEVICE_ATTACHED) && d->advance_valid;
	ul_tx_begin(d->ul, ul_slot);
	if (connected && granted)
		send_block(d, &d->result.dci.ul, ul_slot);
	if (connected && layout_has_control(d->params.device, ul_slot, d->sysinfo.n_groups))
		send_control(d, acks);
	if (d->state == DEVICE_ACCESS && layout_is_access_slot(ul_slot))
		ul_tx_access(d->ul);
	struct ul_power p = power(d);
	size_t n_rb = connected && granted ? rb_set_count(&d->result.dci.ul.rbs) : d->num->n_rb;
	struct ul_amplitudes a = ul_power_amplitudes(&p, n_rb, d->params.tx_full_scale_dbm, d->num->n_fft);
	tx->send = ul_tx_finish(d->ul, &a, d->tx);
	if (!tx->send)
		return;
	int advance = connected ? d->advance_units : 0;
	tx->t_samples = d->track.next_start + d->sysinfo.grant_delay * d->num->slot_len -
	                (uint64_t)lround(dci_timing_samples(d->num, advance));
	nco_skip(&d->tx_nco, (int64_t)(tx->t_samples - d->tx_nco_t));
	nco_set_hz(&d->tx_nco, track_uplink_hz(&d->track));
	d->sent[ul_slot % SENT_REMEMBERED] =
	        (struct device_sent){ .slot = ul_slot,
		                      .t_samples = tx->t_samples,
		                      .nco_rad = nco_phase_rad(&d->tx_nco),
		                      .nco_hz = nco_hz(&d->tx_nco),
		                      .re_amplitude = a.comb / sqrtf((float)(1u << p.comb_boost)),
		                      .advance_units = advance };
	nco_up(&d->tx_nco, d->tx, d->tx, d->num->slot_len);
	d->stats.clipped += level_clip(d->tx, d->num->slot_len);
	d->tx_nco_t = tx->t_samples + d->num->slot_len;
	tx->samples = d->tx;
}

static void learn_path_loss(struct device *d)
{
	float rsrp_dbm = power_rsrp_dbm(&d->result.csi, d->params.rx_full_scale_dbm, d->num->n_fft);
	if (!isfinite(rsrp_dbm))
		return;
	/* Averaged as power gain, since fading is: the mean over dB would overstate the loss. */
	double gain = pow(10.0, 0.1 * (double)(rsrp_dbm - (float)d->sysinfo.dl_re_dbm));
	d->path_loss_slots += d->path_loss_slots < PATH_LOSS_SLOTS;
	double old = d->path_loss_slots > 1 ? pow(10.0, -0.1 * (double)d->path_loss_db) : gain;
	old += (gain - old) / d->path_loss_slots;
	d->path_loss_db = (float)(-10.0 * log10(old));
}

static void take_sysinfo(struct device *d)
{
	const struct sysinfo *si = &d->result.sysinfo;
	if (si->cell_id != d->params.cell_id) { /* the other cell's are scrambled differently: a false alarm */
		d->stats.messages_bad++;
		return;
	}
	if (si->version != DCI_VERSION || si->ack_delay != si->grant_delay || si->grant_delay < d->params.tx_ahead) {
		if (d->state != DEVICE_REFUSED)
			enter(d, DEVICE_REFUSED);
		return;
	}
	bool other = si->grant_delay != d->sysinfo.grant_delay || si->round_trip != d->sysinfo.round_trip;
	if (other && d->advance_valid) /* the cell began anew under us */
		enter(d, DEVICE_ACCESS);
	d->sysinfo = *si;
	d->slot = si->slot;
	d->slot_known = true;
	if (d->state == DEVICE_LISTEN)
		enter(d, DEVICE_ACCESS);
}

static void take_command(struct device *d, const struct command *c)
{
	if (c->access_answer) {
		connect(d, c);
		return;
	}
	if (!d->advance_valid)
		return;
	int units = d->advance_units + c->timing;
	d->advance_units = units < ADVANCE_MIN ? ADVANCE_MIN : units > ADVANCE_MAX ? ADVANCE_MAX : units;
	d->advance_heard = d->n_slots;
	d->power_correction_db = power_loop_corrected(d->power_correction_db, c->power_step_db);
	d->stats.commands++;
}

static void feed_tracker(struct device *d)
{
	track_update(&d->track, d->result.csi.valid ? &d->result.track : NULL);
	if (layout_is_sync_slot(d->slot))
		track_sync_slot(&d->track, d->result.has_sysinfo);
}

static int receive(struct device *d, const float complex *samples)
{
	nco_skip(&d->rx_nco, (int64_t)(d->track.next_start - d->rx_nco_t));
	nco_set_hz(&d->rx_nco, d->track.cfo_hz);
	struct slot_time when = { .slot = d->slot,
		                  .t_samples = d->track.next_start,
		                  .nco_rad = nco_phase_rad(&d->rx_nco),
		                  .nco_hz = nco_hz(&d->rx_nco) };
	nco_down(&d->rx_nco, samples, d->rx, d->num->slot_len);
	d->rx_nco_t = d->track.next_start + d->num->slot_len;
	int rc = dl_rx_slot(d->dl, d->rx, &when, &d->result);
	d->result.csi.rx_gain_db = d->rx_gain_db;
	return rc;
}

static void follow(struct device *d, struct device_tx *tx)
{
	struct acks acks = { UCI_ACK_NONE, UCI_ACK_NONE };
	if (d->result.has_sysinfo)
		take_sysinfo(d);
	if (d->state >= DEVICE_ACCESS && d->result.csi.valid)
		learn_path_loss(d);
	if (d->state >= DEVICE_ACCESS && d->state <= DEVICE_ATTACHED && d->result.has_dci) {
		d->heard_at = d->n_slots;
		if (d->result.dci.has_command)
			take_command(d, &d->result.dci.command);
		if (d->result.dci.has_dl && d->state >= DEVICE_CONNECTED)
			acks.own = take_block(d, &d->result.dci.dl);
	}
	if (d->state == DEVICE_ATTACHED && d->result.has_multicast) {
		d->heard_at = d->n_slots;
		acks.multicast = take_multicast(d, &d->result.multicast.grant);
	}
	settle_blocks(d);
	send_results(d);
	check_timers(d);
	if (d->slot_known)
		build_uplink(d, &acks, tx);
	feed_tracker(d);
	d->slot++;
	if (track_lost(&d->track) && d->state != DEVICE_REFUSED)
		start_search(d);
}

int device_slot(struct device *d, const float complex *samples, struct device_tx *tx)
{
	int rc = 0;
	tx->send = false;
	d->have_csi = false;
	d->stats.slots[d->state]++;
	d->n_slots++;
	if (d->state == DEVICE_SEARCH) {
		rc = samples_finite(samples, d->num->slot_len) ? 0 : -EINVAL;
		d->stats.non_finite += rc != 0;
		search(d, samples);
		return rc;
	}
	rc = receive(d, samples);
	if (rc)
		d->stats.non_finite++;
	d->have_csi = !rc;
	follow(d, tx);
	return rc;
}

/* ---- for logs ---- */

void device_misbehave(struct device *d, double slowness, double report_offset_db)
{
	worker_slow_down(d->worker, slowness);
	d->report_offset_db = (float)report_offset_db;
}

void device_set_rx_gain(struct device *d, float rx_gain_db)
{
	d->rx_gain_db = rx_gain_db;
}

enum device_state device_state(const struct device *d)
{
	return d->state;
}

const struct csi *device_csi(const struct device *d)
{
	return d->have_csi ? &d->result.csi : NULL;
}

const struct device_sent *device_sent(const struct device *d, uint64_t ul_slot)
{
	const struct device_sent *s = &d->sent[ul_slot % SENT_REMEMBERED];
	return s->slot == ul_slot && s->t_samples ? s : NULL;
}

bool device_advance(const struct device *d, int *units)
{
	*units = d->advance_units;
	return d->advance_valid;
}

int device_power_correction_db(const struct device *d)
{
	return d->power_correction_db;
}

float device_path_loss_db(const struct device *d)
{
	return d->path_loss_db;
}

double device_cfo_hz(const struct device *d)
{
	return d->track.cfo_hz;
}

struct device_stats device_stats(const struct device *d)
{
	return d->stats;
}

struct arq_stats device_arq_stats(const struct device *d)
{
	return arq_stats(d->arq);
}

struct worker_stats device_worker_stats(const struct device *d)
{
	return worker_stats(d->worker);
}
