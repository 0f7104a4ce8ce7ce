#include "testbed/cell_inner.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phy/power.h"

enum {
	ARQ_CAPACITY = 1 << 23,
	KEEPALIVE_SLOTS =
	        50, /* a device is addressed at least this often, and KEEPALIVES times before it counts as lost */
	KEEPALIVES = 4,
	RETRANSMISSION_WAIT_SLOTS = 2, /* for its turn, about */
	FORESEEN = 8,                  /* slots that stand for many */
};

static const double light_m_s = 299792458;

unsigned cell_round_trip(const struct cell *c)
{
	return c->params.tx_ahead + c->params.answer_delay;
}

static bool create_peer(struct cell *c, struct peer *p)
{
	p->arq = arq_create(ARQ_CAPACITY);
	p->dl_memory = malloc(c->n_processes * c->tb_max);
	if (!p->arq || !p->dl_memory)
		return false;
	arq_set_round_trip(p->arq, cell_round_trip(c));
	for (size_t i = 0; i < c->n_processes; i++) {
		p->dl_block[i] = p->dl_memory + i * c->tb_max;
		p->ul_soft[i] = tb_soft_create(c->tb_max);
		if (!p->ul_soft[i])
			return false;
	}
	for (int dir = 0; dir < 2; dir++) {
		link_init(&p->link[dir], &c->link_config, c->n_rb);
		harq_init(&p->harq[dir], c->n_processes, (uint8_t)c->params.max_tx);
	}
	predict_init(&p->predict, &c->predict_config);
	return true;
}

static bool allocate(struct cell *c)
{
	const struct cell_params *p = &c->params;
	float amplitude = power_re_amplitude(p->dl_re_dbm, p->tx_full_scale_dbm, c->num->n_fft);
	c->dl = dl_tx_create(p->layout, p->cell_id, amplitude);
	c->ul = ul_rx_create(p->layout, p->cell_id);
	c->block = malloc(c->tb_max);
	c->message = malloc(MESSAGE_HEADER + MESSAGE_PAYLOAD_MAX);
	bool ok = cast_create(c) && c->dl && c->ul && c->block && c->message;
	for (uint8_t d = 0; ok && d < p->n_devices; d++)
		ul_rx_set_comb_boost(c->ul, d, p->comb_boost);
	for (unsigned d = 0; ok && d < p->n_devices; d++)
		ok = create_peer(c, &c->peer[d]);
	return ok;
}

/* Data REs of an RB in downlink sync slots over the nominal number. */
static double sync_share(const struct layout *layout)
{
	struct rb_set first = { { 0 } };
	rb_set_add(&first, 0);
	double share = (double)layout_dl_data(layout, 0, &first, NULL) /
	               (double)layout_nominal_re_per_rb(layout_numerology(layout));
	return share < 1 ? share : 1;
}

struct cell *cell_create(const struct cell_params *p, char *err, size_t err_len)
{
	struct cell *c = calloc(1, sizeof *c);
	if (!c) {
		snprintf(err, err_len, "cell: %s", strerror(errno));
		return NULL;
	}
	c->params = *p;
	c->num = layout_numerology(p->layout);
	c->link_config = link_config_default();
	c->link_config.target_bler = p->bler_target;
	c->keepalive_slots =
	        p->lost_after_slots / KEEPALIVES < KEEPALIVE_SLOTS ? p->lost_after_slots / KEEPALIVES : KEEPALIVE_SLOTS;
	c->n_processes = harq_processes(cell_round_trip(c));
	c->tb_max = dl_tb_bytes_max(p->layout);
	c->predict_config = predict_config_for(numerology_slot_s(c->num));
	c->predict_config.turnaround_s = p->tx_ahead * c->predict_config.slot_s;
	c->predict_config.harq_rtt_s = (cell_round_trip(c) + RETRANSMISSION_WAIT_SLOTS) * c->predict_config.slot_s;
	c->predict_config.target_bler = p->bler_target;
	c->timing_config = timing_loop_config_for(c->num);
	c->power_config = power_loop_config_default();
	c->range_samples = 2 * (double)p->range_m / light_m_s * c->num->rate_hz;
	c->group = rb_group_size(c->num->n_rb);
	c->n_rb = c->num->n_rb / c->group;
	c->allocator = alloc_method_find(p->allocator);
	if (!c->allocator ||
	    rate_table_init(&c->rates, c->n_rb, c->group * layout_nominal_re_per_rb(c->num), p->mcs_margin_db) ||
	    rate_table_shrink(&c->rates, sync_share(p->layout), &c->sync_rates)) {
		errno = EINVAL;
		snprintf(err, err_len, "cell: no allocator \"%s\" for %zu resource blocks", p->allocator, c->num->n_rb);
		cell_destroy(c);
		return NULL;
	}
	if (!allocate(c)) {
		snprintf(err, err_len, "cell: %s", strerror(errno));
		cell_destroy(c);
		return NULL;
	}
	return c;
}

void cell_destroy(struct cell *c)
{
	if (!c)
		return;
	for (unsigned d = 0; d < PHY_DEVICES_MAX; d++) {
		for (size_t i = 0; i < HARQ_PROCESSES_MAX; i++)
			tb_soft_destroy(c->peer[d].ul_soft[i]);
		free(c->peer[d].dl_memory);
		arq_destroy(c->peer[d].arq);
	}
	cast_destroy(c);
	free(c->message);
	free(c->block);
	ul_rx_destroy(c->ul);
	dl_tx_destroy(c->dl);
	free(c);
}

unsigned cell_n_groups(const struct cell *c)
{
	return c->params.n_devices > 8 ? 2 : 1;
}

/* ---- states ---- */

static void set_state(struct cell *c, struct peer *p, enum cell_device_state s)
{
	p->state = s;
	p->since = p->heard = c->slot;
}

void cell_lose(struct cell *c, unsigned d)
{
	struct peer *p = &c->peer[d];
	p->stats.accesses_false += p->state == CELL_ANSWERED;
	set_state(c, p, CELL_ABSENT);
	cell_multicast_leave(c, d);
	p->answer_due = false;
	p->stats.losses++;
	if (c->params.user.lost)
		c->params.user.lost(c->params.user.arg, d, c->slot);
}

void cell_begin_anew(struct cell *c, struct peer *p, uint64_t slot)
{
	arq_reset(p->arq);
	for (int dir = 0; dir < 2; dir++) {
		struct harq_stats kept = p->harq[dir].stats;
		harq_init(&p->harq[dir], c->n_processes, (uint8_t)c->params.max_tx);
		p->harq[dir].stats = kept;
		link_forget(&p->link[dir]);
	}
	memset(p->expected, 0, sizeof p->expected);
	p->reported_bytes = 0;
	p->load = (struct cell_load){ 0 };
	p->refused = false;
	timing_loop_begin(&p->timing, slot + c->params.answer_delay);
	power_loop_begin(&p->power, slot + c->params.answer_delay);
	set_state(c, p, CELL_ANSWERED);
}

void cell_welcome(struct cell *c, unsigned d)
{
	set_state(c, &c->peer[d], CELL_ATTACHED);
	c->peer[d].stats.attaches++;
}

/* ---- for the upper layer ---- */

int cell_send(struct cell *c, unsigned d, const struct message *m, const void *payload)
{
	struct peer *p = &c->peer[d];
	if (p->state == CELL_ABSENT)
		return -ENOTCONN;
	size_t n = message_encode(m, payload, c->message, MESSAGE_HEADER + MESSAGE_PAYLOAD_MAX);
	return n ? arq_send(p->arq, c->message, n) : -ENOBUFS;
}

void cell_set_load(struct cell *c, unsigned d, const struct cell_load *load)
{
	c->peer[d].load = *load;
}

void cell_next_layer(struct cell *c)
{
	c->alloc_state[CELL_DL].layer++;
	c->alloc_state[CELL_UL].layer++;
}

enum cell_device_state cell_state(const struct cell *c, unsigned d)
{
	return c->peer[d].state;
}

uint64_t cell_silent_slots(const struct cell *c, unsigned d)
{
	return c->slot - c->peer[d].heard;
}

uint32_t cell_queued(const struct cell *c, unsigned d)
{
	return arq_offset(c->peer[d].arq);
}

uint32_t cell_sent(const struct cell *c, unsigned d)
{
	return arq_sent(c->peer[d].arq);
}

uint32_t cell_ul_backlog(const struct cell *c, unsigned d)
{
	const struct peer *p = &c->peer[d];
	uint64_t granted = 0;
	for (size_t i = 0; i < SLOTS_REMEMBERED; i++) {
		const struct ul_expected *e = &p->expected[i];
		if (e->any && e->is_new && e->slot > p->reported_slot)
			granted += e->bytes;
	}
	return granted < p->reported_bytes ? p->reported_bytes - (uint32_t)granted : 0;
}

size_t cell_dl_backlog(const struct cell *c, unsigned d)
{
	return arq_backlog(c->peer[d].arq, c->slot);
}

uint64_t cell_ul_grant_after(const struct cell *c, unsigned d, uint64_t slot)
{
	const struct peer *p = &c->peer[d];
	uint64_t best = UINT64_MAX;
	size_t n = p->n_ul_grants < GRANTS_REMEMBERED ? p->n_ul_grants : GRANTS_REMEMBERED;
	for (size_t i = 0; i < n; i++)
		if (p->ul_grant[i] >= slot && p->ul_grant[i] < best)
			best = p->ul_grant[i];
	return best;
}

size_t cell_n_rb(const struct cell *c)
{
	return c->n_rb;
}

/* A clairvoyant has what will be in place of what is expected. */
void cell_foresee(const struct cell *c, unsigned d, enum cell_direction dir, uint64_t slot, struct link_view *v)
{
	const struct link *l = &c->peer[d].link[dir];
	const struct cell_oracle *o = &c->oracle;
	float above_db[PHY_RB_MAX], unused[PHY_RB_MAX];
	link_view(l, slot, v);
	if (!o->channel || !v->usable)
		return;
	float mean_db = o->channel(o->arg, d, dir, slot, above_db);
	if (dir == CELL_UL) /* what was measured, and what has changed since */
		mean_db += l->wideband_db - o->channel(o->arg, d, dir, l->slot_wideband, unused);
	for (size_t rb = 0; rb < c->n_rb; rb++)
		v->snr_db[rb] = mean_db + above_db[rb] + l->olla_db;
}

/* The same in the mean over the n_slots to come. */
static void foresee_mean(const struct cell *c, unsigned d, enum cell_direction dir, double n_slots, struct link_view *v)
{
	uint64_t slot = c->slot + c->params.tx_ahead;
	struct link_view at;
	link_view_over(&c->peer[d].link[dir], slot, n_slots, v);
	if (!c->oracle.channel || !v->usable)
		return;
	memset(v->snr_db, 0, sizeof v->snr_db);
	for (int i = 0; i < FORESEEN; i++) {
		cell_foresee(c, d, dir, slot + (uint64_t)(n_slots * (i + 0.5) / FORESEEN), &at);
		for (size_t rb = 0; rb < c->n_rb; rb++)
			v->snr_db[rb] += at.snr_db[rb] / FORESEEN;
	}
}

void cell_rates(const struct cell *c, unsigned d, enum cell_direction dir, double n_slots, float *bytes_per_slot)
{
	struct link_view view;
	struct rb_set all = { { 0 } };
	rb_set_add_range(&all, 0, c->n_rb);
	foresee_mean(c, d, dir, n_slots, &view);
	link_rates(&view, &c->rates, &all, bytes_per_slot);
}

void cell_relative_rates(const struct cell *c, unsigned d, enum cell_direction dir, double n_slots, float *relative)
{
	struct link_view view;
	struct rb_set all = { { 0 } };
	foresee_mean(c, d, dir, n_slots, &view);
	rb_set_add_range(&all, 0, c->n_rb);
	link_relative_rates(&view, &c->rates, &all, relative);
}

struct predict_state *cell_predict_state(struct cell *c, unsigned d)
{
	return &c->peer[d].predict;
}

const struct predict_config *cell_predict_config(const struct cell *c)
{
	return &c->predict_config;
}

const struct rate_table *cell_rate_table(const struct cell *c)
{
	return &c->rates;
}

void cell_set_oracle(struct cell *c, const struct cell_oracle *oracle)
{
	c->oracle = *oracle;
}

enum flow_sharing cell_sharing(const struct cell *c)
{
	return c->allocator->sharing;
}

const struct link *cell_link(const struct cell *c, unsigned d, enum cell_direction dir)
{
	return &c->peer[d].link[dir];
}

const struct csi *cell_csi(const struct cell *c, unsigned d)
{
	return c->peer[d].have_csi ? &c->peer[d].csi : NULL;
}

struct cell_device_stats cell_device_stats(const struct cell *c, unsigned d)
{
	struct cell_device_stats s = c->peer[d].stats;
	s.harq[CELL_DL] = c->peer[d].harq[CELL_DL].stats;
	s.harq[CELL_UL] = c->peer[d].harq[CELL_UL].stats;
	s.arq = arq_stats(c->peer[d].arq);
	s.power_correction_db = c->peer[d].power.correction_db;
	s.late_samples = (float)c->peer[d].timing.late_samples;
	s.received_db = (float)(10 * log10(fmax(c->peer[d].power.received, 1e-30)));
	return s;
}

struct cell_stats cell_stats(const struct cell *c)
{
	struct cell_stats s = c->stats;
	s.multicast = c->cast.stats;
	s.multicast.harq = c->cast.harq.stats;
	return s;
}
