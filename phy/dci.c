#include "phy/dci.h"

#include "phy/bits.h"

#include <errno.h>
#include <string.h>

enum { SYSINFO_BITS = 32 + 8 + 8 + 2 + 10 + 4, GRANT_BITS = 5 + 4 + 1 + 2, CELLS = 1024 };

size_t dci_n_bits(size_t n_rb)
{
	size_t grants = 3 + 2 * (n_rb + GRANT_BITS);
	return grants > SYSINFO_BITS ? grants : SYSINFO_BITS;
}

static bool grant_ok(const struct grant *g, size_t n_rb)
{
	return !rb_set_empty(&g->rbs) && rb_set_within(&g->rbs, n_rb) && g->mcs <= DCI_MCS_MAX &&
	       g->harq_id <= DCI_HARQ_MAX && g->ndi <= 1 && g->rv <= 3;
}

static bool grant_is_zero(const struct grant *g)
{
	return rb_set_empty(&g->rbs) && !g->mcs && !g->harq_id && !g->ndi && !g->rv;
}

static void grant_put(struct bit_writer *w, const struct grant *g, bool present, size_t n_rb)
{
	static const struct grant none;
	if (!present)
		g = &none;
	for (size_t rb = 0; rb < n_rb; rb++)
		bits_put(w, rb_set_has(&g->rbs, rb), 1);
	bits_put(w, g->mcs, 5);
	bits_put(w, g->harq_id, 4);
	bits_put(w, g->ndi, 1);
	bits_put(w, g->rv, 2);
}

static struct grant grant_get(struct bit_reader *r, size_t n_rb)
{
	struct grant g = { 0 };
	for (size_t rb = 0; rb < n_rb; rb++)
		if (bits_get(r, 1))
			rb_set_add(&g.rbs, rb);
	g.mcs = (uint8_t)bits_get(r, 5);
	g.harq_id = (uint8_t)bits_get(r, 4);
	g.ndi = (uint8_t)bits_get(r, 1);
	g.rv = (uint8_t)bits_get(r, 2);
	return g;
}

int dci_pack(const struct dci *d, size_t n_rb, uint8_t *payload)
{
	if (d->device >= PHY_DEVICES_MAX || n_rb < 1 || n_rb > PHY_RB_MAX || (d->has_dl && !grant_ok(&d->dl, n_rb)) ||
	    (d->has_ul && !grant_ok(&d->ul, n_rb)))
		return -EINVAL;
	memset(payload, 0, DCI_BYTES_MAX);
	struct bit_writer w = { .bytes = payload };
	bits_put(&w, d->access_answer, 1);
	bits_put(&w, d->has_dl, 1);
	bits_put(&w, d->has_ul, 1);
	grant_put(&w, &d->dl, d->has_dl, n_rb);
	grant_put(&w, &d->ul, d->has_ul, n_rb);
	return 0;
}

/* The bits from n on, up to the end of the message, must be zero. */
static bool rest_is_zero(struct bit_reader *r, size_t n_bits)
{
	while (r->n < n_bits)
		if (bits_get(r, 1))
			return false;
	return true;
}

int dci_unpack(const uint8_t *payload, size_t n_rb, uint8_t device, struct dci *d)
{
	struct bit_reader r = { .bytes = payload };
	struct dci got = { .device = device };
	got.access_answer = bits_get(&r, 1);
	got.has_dl = bits_get(&r, 1);
	got.has_ul = bits_get(&r, 1);
	got.dl = grant_get(&r, n_rb);
	got.ul = grant_get(&r, n_rb);
	if (!(got.has_dl ? grant_ok(&got.dl, n_rb) : grant_is_zero(&got.dl)) ||
	    !(got.has_ul ? grant_ok(&got.ul, n_rb) : grant_is_zero(&got.ul)) || !rest_is_zero(&r, dci_n_bits(n_rb)))
		return -EBADMSG;
	*d = got;
	return 0;
}

int sysinfo_pack(const struct sysinfo *s, size_t n_rb, uint8_t *payload)
{
	if (s->n_groups < 1 || s->n_groups > 2 || s->cell_id >= CELLS || s->version > 15 || n_rb < 1 ||
	    n_rb > PHY_RB_MAX)
		return -EINVAL;
	memset(payload, 0, DCI_BYTES_MAX);
	struct bit_writer w = { .bytes = payload };
	bits_put(&w, s->slot, 32);
	bits_put(&w, (uint8_t)s->dl_re_dbm, 8);
	bits_put(&w, (uint8_t)s->ul_target_dbm, 8);
	bits_put(&w, s->n_groups, 2);
	bits_put(&w, s->cell_id, 10);
	bits_put(&w, s->version, 4);
	return 0;
}

int sysinfo_unpack(const uint8_t *payload, size_t n_rb, struct sysinfo *s)
{
	struct bit_reader r = { .bytes = payload };
	struct sysinfo got;
	got.slot = bits_get(&r, 32);
	got.dl_re_dbm = (int8_t)bits_get(&r, 8);
	got.ul_target_dbm = (int8_t)bits_get(&r, 8);
	got.n_groups = (uint8_t)bits_get(&r, 2);
	got.cell_id = (uint16_t)bits_get(&r, 10);
	got.version = (uint8_t)bits_get(&r, 4);
	if (got.n_groups < 1 || got.n_groups > 2 || !rest_is_zero(&r, dci_n_bits(n_rb)))
		return -EBADMSG;
	*s = got;
	return 0;
}
