#include "phy/dci.h"

#include "phy/bits.h"
#include "phy/sequence.h"

#include <errno.h>
#include <string.h>

enum {
	GROUPS_MAX = 18,
	KIND_BITS = 2,
	GRANT_BITS = 5 + 4 + 1 + 2, /* without the bitmap */
	TIMING_BITS = 7,
	POWER_BITS = 3,
	SLOT_BITS = 29, /* of 32, divided by SYNC_PERIOD_SLOTS */
	TARGET_BITS = 7,
	BOOST_BITS = 2,
	LONG_BITS = SLOT_BITS + 8 + TARGET_BITS + BOOST_BITS + 1 + 4 + 4 + 4 + 4,
	CELLS = 1024,
	GROUPS_OF_SOUNDING_MAX = 2,
	VERSION_MAX = 15,
};

enum kind { KIND_DL, KIND_UL, KIND_COMMAND };

/* ---- groups of RBs ---- */

size_t rb_group_size(size_t n_rb)
{
	return (n_rb + GROUPS_MAX - 1) / GROUPS_MAX;
}

size_t rb_groups(size_t n_rb)
{
	size_t size = rb_group_size(n_rb);
	return (n_rb + size - 1) / size;
}

static struct rb_set group(size_t g, size_t n_rb)
{
	struct rb_set s = { { 0 } };
	size_t size = rb_group_size(n_rb), first = g * size;
	rb_set_add_range(&s, first, first + size <= n_rb ? size : n_rb - first);
	return s;
}

static bool holds(const struct rb_set *s, const struct rb_set *part)
{
	return !(part->bits[0] & ~s->bits[0]) && !(part->bits[1] & ~s->bits[1]);
}

static void add(struct rb_set *s, const struct rb_set *part)
{
	s->bits[0] |= part->bits[0];
	s->bits[1] |= part->bits[1];
}

struct rb_set rb_whole_groups(const struct rb_set *rbs, size_t n_rb)
{
	struct rb_set whole = { { 0 } };
	for (size_t g = 0; g < rb_groups(n_rb); g++) {
		struct rb_set part = group(g, n_rb);
		if (holds(rbs, &part))
			add(&whole, &part);
	}
	return whole;
}

/* ---- sizes ---- */

size_t dci_n_bits(enum dci_size size, size_t n_rb)
{
	return size == DCI_LONG ? LONG_BITS : KIND_BITS + rb_groups(n_rb) + GRANT_BITS;
}

enum dci_size dci_size_of(const struct dci *d)
{
	return d->has_dl && d->has_ul ? DCI_LONG : DCI_SHORT;
}

static bool n_rb_ok(size_t n_rb)
{
	return n_rb >= PHY_RB_MIN && n_rb <= PHY_RB_MAX;
}

/* The bits from n on, up to the end of the message, must be zero. */
static bool rest_is_zero(struct bit_reader *r, size_t n_bits)
{
	while (r->n < n_bits)
		if (bits_get(r, 1))
			return false;
	return true;
}

/* ---- grants ---- */

static bool grant_ok(const struct grant *g, size_t n_rb)
{
	struct rb_set whole = rb_whole_groups(&g->rbs, n_rb);
	return !rb_set_empty(&g->rbs) && rb_set_equal(&whole, &g->rbs) && g->mcs <= DCI_MCS_MAX &&
	       g->harq_id <= DCI_HARQ_MAX && g->ndi <= 1 && g->rv <= 3;
}

static void grant_put(struct bit_writer *w, const struct grant *g, size_t n_rb)
{
	for (size_t i = 0; i < rb_groups(n_rb); i++)
		bits_put(w, rb_set_has(&g->rbs, i * rb_group_size(n_rb)), 1);
	bits_put(w, g->mcs, 5);
	bits_put(w, g->harq_id, 4);
	bits_put(w, g->ndi, 1);
	bits_put(w, g->rv, 2);
}

static struct grant grant_get(struct bit_reader *r, size_t n_rb)
{
	struct grant g = { 0 };
	for (size_t i = 0; i < rb_groups(n_rb); i++) {
		struct rb_set part = group(i, n_rb);
		if (bits_get(r, 1))
			add(&g.rbs, &part);
	}
	g.mcs = (uint8_t)bits_get(r, 5);
	g.harq_id = (uint8_t)bits_get(r, 4);
	g.ndi = (uint8_t)bits_get(r, 1);
	g.rv = (uint8_t)bits_get(r, 2);
	return g;
}

/* ---- commands ---- */

static bool command_ok(const struct command *c)
{
	bool timing_ok = c->access_answer ? c->timing >= 0
	                                  : c->timing >= DCI_TIMING_STEP_MIN && c->timing <= DCI_TIMING_STEP_MAX;
	return timing_ok && c->power_step_db >= DCI_POWER_STEP_MIN_DB && c->power_step_db <= DCI_POWER_STEP_MAX_DB;
}

static void command_put(struct bit_writer *w, const struct command *c)
{
	bits_put(w, c->access_answer, 1);
	bits_put(w, (uint32_t)c->timing & ((1u << TIMING_BITS) - 1), TIMING_BITS);
	bits_put(w, (uint32_t)c->power_step_db & ((1u << POWER_BITS) - 1), POWER_BITS);
}

/* Two's complement of so many bits. */
static int8_t signed_of(uint32_t value, unsigned n_bits)
{
	return (int8_t)(value >> (n_bits - 1) ? (int)value - (1 << n_bits) : (int)value);
}

static struct command command_get(struct bit_reader *r)
{
	struct command c = { .access_answer = bits_get(r, 1) };
	uint32_t timing = bits_get(r, TIMING_BITS);
	c.timing = c.access_answer ? (int8_t)timing : signed_of(timing, TIMING_BITS);
	c.power_step_db = signed_of(bits_get(r, POWER_BITS), POWER_BITS);
	return c;
}

/* ---- messages ---- */

int dci_pack(const struct dci *d, size_t n_rb, uint8_t *payload)
{
	bool one_message = d->has_command ? !d->has_dl && !d->has_ul : d->has_dl || d->has_ul;
	if (d->device >= PHY_DEVICES_MAX || !n_rb_ok(n_rb) || !one_message || (d->has_dl && !grant_ok(&d->dl, n_rb)) ||
	    (d->has_ul && !grant_ok(&d->ul, n_rb)) || (d->has_command && !command_ok(&d->command)))
		return -EINVAL;
	memset(payload, 0, DCI_BYTES_MAX);
	struct bit_writer w = { .bytes = payload };
	if (dci_size_of(d) == DCI_SHORT)
		bits_put(&w, d->has_command ? KIND_COMMAND : d->has_ul ? KIND_UL : KIND_DL, KIND_BITS);
	if (d->has_dl)
		grant_put(&w, &d->dl, n_rb);
	if (d->has_ul)
		grant_put(&w, &d->ul, n_rb);
	if (d->has_command)
		command_put(&w, &d->command);
	return 0;
}

int dci_unpack(const uint8_t *payload, enum dci_size size, size_t n_rb, uint8_t device, struct dci *d)
{
	struct bit_reader r = { .bytes = payload };
	struct dci got = { .device = device, .has_dl = true, .has_ul = true };
	if (size == DCI_SHORT) {
		uint32_t kind = bits_get(&r, KIND_BITS);
		got.has_dl = kind == KIND_DL;
		got.has_ul = kind == KIND_UL;
		got.has_command = kind == KIND_COMMAND;
		if (kind > KIND_COMMAND)
			return -EBADMSG;
	}
	if (got.has_dl)
		got.dl = grant_get(&r, n_rb);
	if (got.has_ul)
		got.ul = grant_get(&r, n_rb);
	if (got.has_command)
		got.command = command_get(&r);
	if ((got.has_dl && !grant_ok(&got.dl, n_rb)) || (got.has_ul && !grant_ok(&got.ul, n_rb)) ||
	    !rest_is_zero(&r, dci_n_bits(size, n_rb)))
		return -EBADMSG;
	*d = got;
	return 0;
}

int multicast_pack(const struct multicast *m, size_t n_rb, uint8_t *payload)
{
	if (!m->devices || !n_rb_ok(n_rb) || !grant_ok(&m->grant, n_rb))
		return -EINVAL;
	memset(payload, 0, DCI_BYTES_MAX);
	struct bit_writer w = { .bytes = payload };
	bits_put(&w, m->devices, PHY_DEVICES_MAX);
	grant_put(&w, &m->grant, n_rb);
	return 0;
}

int multicast_unpack(const uint8_t *payload, size_t n_rb, struct multicast *m)
{
	struct bit_reader r = { .bytes = payload };
	struct multicast got = { .devices = (uint16_t)bits_get(&r, PHY_DEVICES_MAX) };
	got.grant = grant_get(&r, n_rb);
	if (!got.devices || !grant_ok(&got.grant, n_rb) || !rest_is_zero(&r, LONG_BITS))
		return -EBADMSG;
	*m = got;
	return 0;
}

static bool sysinfo_ok(const struct sysinfo *s)
{
	return s->slot % SYNC_PERIOD_SLOTS == 0 && s->ul_target_dbm <= 0 && s->ul_target_dbm >= DCI_TARGET_MIN_DBM &&
	       s->comb_boost <= DCI_BOOST_MAX && s->n_groups >= 1 && s->n_groups <= GROUPS_OF_SOUNDING_MAX &&
	       s->ack_delay >= 1 && s->ack_delay <= DCI_DELAY_MAX && s->grant_delay >= 1 &&
	       s->grant_delay <= DCI_DELAY_MAX && s->round_trip >= 1 && s->round_trip <= DCI_ROUND_TRIP_MAX &&
	       s->cell_id < CELLS && s->version <= VERSION_MAX;
}

int sysinfo_pack(const struct sysinfo *s, uint8_t *payload)
{
	if (!sysinfo_ok(s))
		return -EINVAL;
	memset(payload, 0, DCI_BYTES_MAX);
	struct bit_writer w = { .bytes = payload };
	bits_put(&w, s->slot / SYNC_PERIOD_SLOTS, SLOT_BITS);
	bits_put(&w, (uint8_t)s->dl_re_dbm, 8);
	bits_put(&w, (uint32_t)-s->ul_target_dbm, TARGET_BITS);
	bits_put(&w, s->comb_boost, BOOST_BITS);
	bits_put(&w, s->n_groups - 1u, 1);
	bits_put(&w, s->ack_delay, 4);
	bits_put(&w, s->grant_delay, 4);
	bits_put(&w, s->round_trip - 1u, 4);
	bits_put(&w, s->version, 4);
	return 0;
}

int sysinfo_unpack(const uint8_t *payload, uint16_t cell_id, struct sysinfo *s)
{
	struct bit_reader r = { .bytes = payload };
	struct sysinfo got = { .cell_id = cell_id };
	uint32_t period = bits_get(&r, SLOT_BITS);
	got.slot = period * SYNC_PERIOD_SLOTS;
	got.dl_re_dbm = (int8_t)bits_get(&r, 8);
	got.ul_target_dbm = (int8_t) - (int)bits_get(&r, TARGET_BITS);
	got.comb_boost = (uint8_t)bits_get(&r, BOOST_BITS);
	got.n_groups = (uint8_t)(bits_get(&r, 1) + 1);
	got.ack_delay = (uint8_t)bits_get(&r, 4);
	got.grant_delay = (uint8_t)bits_get(&r, 4);
	got.round_trip = (uint8_t)(bits_get(&r, 4) + 1);
	got.version = (uint8_t)bits_get(&r, 4);
	if (period > UINT32_MAX / SYNC_PERIOD_SLOTS || !sysinfo_ok(&got))
		return -EBADMSG;
	*s = got;
	return 0;
}
