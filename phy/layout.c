#include "phy/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct layout {
	struct numerology num;
	size_t n_cce;
	uint32_t cce[LAYOUT_CCE_MAX][LAYOUT_CCE_RE];
};

size_t layout_nominal_re_per_rb(const struct numerology *num)
{
	const struct slot_format *f = num->format;
	size_t dl = PHY_RB_SC * (f->n_symbols - f->n_control) - 2 * PHY_RB_SC / num->pilot_step;
	size_t ul = PHY_RB_SC * f->n_ul_data - 2 * PHY_RB_SC / LAYOUT_DMRS_STEP;
	return dl < ul ? dl : ul;
}

struct layout *layout_create(const struct numerology *num, char *err, size_t errlen)
{
	struct layout *l = calloc(1, sizeof *l);
	if (!l) {
		snprintf(err, errlen, "no memory for the slot layout");
		return NULL;
	}
	l->num = *num;
	l->n_cce = num->format->n_control * num->n_sc / LAYOUT_CCE_RE;
	for (size_t cce = 0; cce < l->n_cce; cce++)
		for (size_t i = 0; i < LAYOUT_CCE_RE; i++)
			l->cce[cce][i] = (uint32_t)(i * l->n_cce + cce);
	return l;
}

void layout_destroy(struct layout *l)
{
	free(l);
}

const struct numerology *layout_numerology(const struct layout *l)
{
	return &l->num;
}

size_t layout_n_cce(const struct layout *l)
{
	return l->n_cce;
}

const uint32_t *layout_cce(const struct layout *l, size_t cce)
{
	return l->cce[cce];
}

/* The first subcarriers of the RBs of a set, as far as the band goes. Returns how many. */
static size_t first_subcarriers(const struct layout *l, const struct rb_set *rbs, uint16_t *k)
{
	size_t n = 0;
	for (size_t w = 0; w < 2; w++)
		for (uint64_t left = rbs->bits[w]; left; left &= left - 1) {
			size_t rb = 64 * w + (size_t)__builtin_ctzll(left);
			if (rb < l->num.n_rb)
				k[n++] = (uint16_t)(rb * PHY_RB_SC);
		}
	return n;
}

/* REs of a symbol in n RBs from subcarriers k on, those with k % pilot_step == 0 left out (pilot_step 0: none). An RB is
 * a whole number of pilot steps, so all RBs look alike. */
static size_t add_symbol(const struct layout *l, size_t symbol, const uint16_t *k, size_t n, size_t pilot_step,
                         uint32_t *restrict re)
{
	uint32_t place[PHY_RB_SC] = { 0 };
	size_t n_places = 0;
	for (uint32_t i = 0; i < PHY_RB_SC; i++)
		if (!pilot_step || i % pilot_step)
			place[n_places++] = i;
	for (size_t rb = 0; re && rb < n; rb++, re += n_places) {
		uint32_t first = (uint32_t)(symbol * l->num.n_sc) + k[rb];
		if (pilot_step)
			for (size_t i = 0; i < n_places; i++)
				re[i] = first + place[i];
		else
			for (uint32_t i = 0; i < PHY_RB_SC; i++)
				re[i] = first + i;
	}
	return n * n_places;
}

size_t layout_dl_data(const struct layout *l, uint64_t slot, const struct rb_set *rbs, uint32_t *re)
{
	const struct slot_format *f = l->num.format;
	uint16_t k[PHY_RB_MAX];
	size_t n_rb = first_subcarriers(l, rbs, k), n = 0;
	for (size_t symbol = f->n_control; symbol < l->num.n_symbols; symbol++) {
		if (symbol == f->sync && layout_is_sync_slot(slot))
			continue;
		bool pilots = symbol == f->pilot[0] || symbol == f->pilot[1];
		n += add_symbol(l, symbol, k, n_rb, pilots ? l->num.pilot_step : 0, re ? re + n : NULL);
	}
	return n;
}

size_t layout_ul_data(const struct layout *l, const struct rb_set *rbs, uint32_t *re)
{
	const struct slot_format *f = l->num.format;
	uint16_t k[PHY_RB_MAX];
	size_t n_rb = first_subcarriers(l, rbs, k), n = 0;
	for (size_t symbol = 0; symbol < f->n_ul_data; symbol++) {
		bool pilots = symbol == f->dmrs[0] || symbol == f->dmrs[1];
		n += add_symbol(l, symbol, k, n_rb, pilots ? LAYOUT_DMRS_STEP : 0, re ? re + n : NULL);
	}
	return n;
}

struct rb_set layout_ul_rbs(const struct layout *l, uint64_t slot)
{
	struct rb_set rbs = { { 0 } };
	size_t first = layout_is_access_slot(slot) ? ACCESS_RB : 0;
	rb_set_add_range(&rbs, first, l->num.n_rb - first);
	return rbs;
}

size_t layout_comb(const struct layout *l, uint8_t device, uint16_t *k)
{
	size_t n = 0;
	for (size_t sc = device % LAYOUT_COMB_STEP; sc < l->num.n_sc; sc += LAYOUT_COMB_STEP)
		k[n++] = (uint16_t)sc;
	return n;
}

bool layout_has_control(uint8_t device, uint64_t slot, unsigned n_groups)
{
	return slot % n_groups == (unsigned)(device / LAYOUT_COMB_STEP) % n_groups;
}

static enum layout_use downlink_use(const struct layout *l, uint64_t slot, size_t symbol, size_t k)
{
	const struct slot_format *f = l->num.format;
	if (symbol < f->n_control)
		return LAYOUT_CONTROL;
	if (symbol == f->sync && layout_is_sync_slot(slot))
		return LAYOUT_SYNC;
	if ((symbol == f->pilot[0] || symbol == f->pilot[1]) && k % l->num.pilot_step == 0)
		return LAYOUT_PILOTS;
	return LAYOUT_DATA;
}

static enum layout_use uplink_use(const struct layout *l, uint64_t slot, size_t symbol, size_t k)
{
	const struct slot_format *f = l->num.format;
	if (symbol == f->sounding)
		return LAYOUT_SOUNDING;
	if (symbol >= f->n_ul_data)
		return LAYOUT_CONTROL;
	if (layout_is_access_slot(slot) && k < ACCESS_SC)
		return LAYOUT_ACCESS;
	if ((symbol == f->dmrs[0] || symbol == f->dmrs[1]) && k % LAYOUT_DMRS_STEP == 0)
		return LAYOUT_PILOTS;
	return LAYOUT_DATA;
}

enum layout_use layout_use(const struct layout *l, bool uplink, uint64_t slot, size_t symbol, size_t k)
{
	return uplink ? uplink_use(l, slot, symbol, k) : downlink_use(l, slot, symbol, k);
}

void layout_shares(const struct layout *l, bool uplink, double share[LAYOUT_USES])
{
	size_t count[LAYOUT_USES] = { 0 };
	for (uint64_t slot = 0; slot < SYNC_PERIOD_SLOTS; slot++)
		for (size_t symbol = 0; symbol < l->num.n_symbols; symbol++)
			for (size_t k = 0; k < l->num.n_sc; k++)
				count[layout_use(l, uplink, slot, symbol, k)]++;
	for (size_t use = 0; use < LAYOUT_USES; use++)
		share[use] = (double)count[use] / (double)(SYNC_PERIOD_SLOTS * l->num.n_symbols * l->num.n_sc);
}
