#include "phy/cw.h"
#include "phy/dl_control.h"
#include "phy/equalize.h"
#include "phy/gold.h"
#include "phy/measure.h"
#include "phy/sequence.h"

#include <math.h>
#include <stdlib.h>

/* A right guess at good SNR decodes at once, a wrong one never: first all guesses quickly, then the rest thoroughly. */
static const unsigned attempts[] = { 6, 30 };
/* So far under its threshold a level is not tried at all, so far above not a second time: both leave room for what fading
 * costs and for the error of the SNR. */
static const float hopeless_db = 4, sure_db = 4;

struct dl_control_rx {
	const struct layout *layout;
	struct numerology num;
	uint16_t cell_id;
	uint8_t device;
	struct cw_coder *cw[DCI_SIZES];
	size_t n_cce;
	size_t n_levels;
	unsigned levels[DL_LEVELS_MAX]; /* tried in this order: a long message costs few failed attempts */
	float snr_db;                   /* of the slot */
	unsigned n_attempts;
	bool cce_lit[LAYOUT_CCE_MAX]; /* has energy, not explained yet */
	float cce_energy[LAYOUT_CCE_MAX], cce_signal[LAYOUT_CCE_MAX];
	float complex y[LAYOUT_CCE_RE], h[LAYOUT_CCE_RE];
	float var[LAYOUT_CCE_RE];
	float llr[LAYOUT_CCE_MAX * DL_CCE_BITS];
	float scramble[LAYOUT_CCE_MAX * DL_CCE_BITS]; /* -1 where the sequence has a 1 */
};

struct dl_control_rx *dl_control_rx_create(const struct layout *layout, uint16_t cell_id, uint8_t device)
{
	struct dl_control_rx *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->layout = layout;
	c->num = *layout_numerology(layout);
	c->cell_id = cell_id;
	c->device = device;
	c->n_cce = layout_n_cce(layout);
	c->n_levels = dl_levels(layout, c->levels);
	for (size_t i = 0; i < c->n_cce * DL_CCE_BITS; i++)
		c->scramble[i] = 1;
	gold_flip_llr(sequence_seed(SEQUENCE_CONTROL, cell_id, 0), c->scramble, c->n_cce * DL_CCE_BITS);
	for (size_t size = 0; size < DCI_SIZES; size++) {
		c->cw[size] = cw_create(dci_n_bits((enum dci_size)size, c->num.n_rb), DL_LEVEL_MAX * DL_CCE_BITS);
		if (!c->cw[size]) {
			dl_control_rx_destroy(c);
			return NULL;
		}
	}
	return c;
}

void dl_control_rx_destroy(struct dl_control_rx *c)
{
	if (!c)
		return;
	for (size_t size = 0; size < DCI_SIZES; size++)
		cw_destroy(c->cw[size]);
	free(c);
}

/* ---- energy ---- */

/* Energy of each CCE, and what it should be with a message in it. */
static void weigh_cces(struct dl_control_rx *c, const float complex *grid, const struct block_channel *ch,
                       float noise_var)
{
	float total = 0;
	for (size_t e = 0; e < c->n_cce; e++) {
		const uint32_t *re = layout_cce(c->layout, e);
		float energy = 0, signal = 0;
		for (size_t i = 0; i < LAYOUT_CCE_RE; i++) {
			size_t rb = re[i] % c->num.n_sc / PHY_RB_SC;
			energy += power_of(grid[re[i]]);
			signal += power_of(ch->h[re[i]]) - (ch->noise_var[rb] - noise_var);
		}
		c->cce_energy[e] = energy / LAYOUT_CCE_RE;
		c->cce_signal[e] = fmaxf(signal / LAYOUT_CCE_RE, 0);
		total += c->cce_signal[e] / (float)c->n_cce;
		/* Four deviations of 54 noisy REs below half the signal: a lit CCE is practically never missed. */
		float margin = 4.0f / sqrtf(LAYOUT_CCE_RE) * noise_var;
		c->cce_lit[e] = c->cce_energy[e] > noise_var + 0.5f * c->cce_signal[e] - margin;
	}
	c->snr_db = snr_db_of(total, noise_var);
}

/* All its CCEs lit, and together the energy of a message: half of what it should be, or three deviations less than that
 * where so few noisy REs say no more. */
static bool is_candidate(const struct dl_control_rx *c, size_t first, size_t level, float noise_var)
{
	float energy = 0, signal = 0;
	for (size_t e = first; e < first + level; e++) {
		if (!c->cce_lit[e])
			return false;
		energy += c->cce_energy[e] - noise_var;
		signal += c->cce_signal[e];
	}
	float deviation = (signal / (float)level + noise_var) * sqrtf((float)level / LAYOUT_CCE_RE);
	return energy > fminf(0.5f * signal, signal - 3 * deviation);
}

/* ---- soft bits ---- */

static void soften_cce(struct dl_control_rx *c, size_t e, const float complex *grid, const struct block_channel *ch)
{
	const uint32_t *re = layout_cce(c->layout, e);
	float *llr = c->llr + e * DL_CCE_BITS;
	for (size_t i = 0; i < LAYOUT_CCE_RE; i++) {
		c->y[i] = grid[re[i]];
		c->h[i] = ch->h[re[i]];
		c->var[i] = ch->noise_var[re[i] % c->num.n_sc / PHY_RB_SC];
	}
	soften_qpsk(c->y, c->h, c->var, LAYOUT_CCE_RE, llr);
	for (size_t i = 0; i < DL_CCE_BITS; i++)
		llr[i] *= c->scramble[e * DL_CCE_BITS + i];
}

/* ---- messages ---- */

static bool take_sysinfo(const struct dl_control_rx *c, uint64_t slot, const uint8_t *payload, struct dl_result *res)
{
	if (res->has_sysinfo || !layout_is_sync_slot(slot) || sysinfo_unpack(payload, c->cell_id, &res->sysinfo))
		return false;
	return res->has_sysinfo = true;
}

/* The items of several messages add up; none may come twice. */
static bool take_dci(const struct dl_control_rx *c, enum dci_size size, const uint8_t *payload, struct dl_result *res)
{
	struct dci got, *d = &res->dci;
	if (dci_unpack(payload, size, c->num.n_rb, c->device, &got) || (got.has_dl && d->has_dl) ||
	    (got.has_ul && d->has_ul) || (got.has_command && d->has_command))
		return false;
	d->device = c->device;
	if (got.has_dl)
		d->dl = got.dl;
	if (got.has_ul)
		d->ul = got.ul;
	if (got.has_command)
		d->command = got.command;
	d->has_dl |= got.has_dl;
	d->has_ul |= got.has_ul;
	d->has_command |= got.has_command;
	return res->has_dci = true;
}

static bool take_multicast(const struct dl_control_rx *c, const uint8_t *payload, struct dl_result *res)
{
	struct multicast got;
	if (multicast_unpack(payload, c->num.n_rb, &got) || (res->has_multicast && got.devices >> c->device & 1))
		return false;
	if (got.devices >> c->device & 1) {
		res->multicast = got;
		res->has_multicast = true;
	}
	return true;
}

static void take_message(struct dl_control_rx *c, uint64_t slot, enum dci_size size, uint32_t address,
                         const uint8_t *payload, struct dl_result *res, struct dl_rx_stats *stats)
{
	bool ok = true;
	if (address == DCI_ADDRESS_ALL) {
		ok = size == DCI_LONG && take_sysinfo(c, slot, payload, res);
		stats->sysinfos += ok;
	} else if (address == DCI_ADDRESS_MULTICAST) {
		ok = size == DCI_LONG && take_multicast(c, payload, res);
		stats->multicasts += ok;
	} else if (address == c->device + 1u) {
		ok = take_dci(c, size, payload, res);
		stats->dcis += ok;
	}
	stats->bad_contents += !ok;
}

struct look {
	uint64_t slot;
	float noise_var;
	unsigned iterations;
	bool again;
	struct dl_result *res;
	struct dl_rx_stats *stats;
};

/* One guess; what decodes to a known address is explained, whoever it is for. */
static void attempt(struct dl_control_rx *c, enum dci_size size, size_t first, size_t level, const struct look *look)
{
	uint8_t payload[DCI_BYTES_MAX];
	uint32_t mask, zero = dci_mask(c->cell_id, 0);
	c->n_attempts++;
	look->stats->candidates++;
	if (cw_decode(c->cw[size], c->llr + first * DL_CCE_BITS, level * DL_CCE_BITS, look->iterations, payload, &mask))
		return;
	uint32_t address = mask ^ zero;
	if (address > DCI_ADDRESS_MULTICAST) {
		look->stats->strangers++;
		return;
	}
	take_message(c, look->slot, size, address, payload, look->res, look->stats);
	for (size_t e = first; e < first + level; e++)
		c->cce_lit[e] = false;
}

static void try_level(struct dl_control_rx *c, enum dci_size size, size_t level, const struct look *look)
{
	float above_db = c->snr_db - dl_level_snr_db(size, (unsigned)level);
	if (above_db < -hopeless_db || (look->again && above_db > sure_db))
		return;
	for (size_t first = 0; first + level <= c->n_cce; first += level)
		if (c->n_attempts < DL_ATTEMPTS_MAX && is_candidate(c, first, level, look->noise_var))
			attempt(c, size, first, level, look);
}

void dl_control_read(struct dl_control_rx *c, uint64_t slot, const float complex *grid,
                     const struct block_channel *channel, float noise_var, struct dl_result *res,
                     struct dl_rx_stats *stats)
{
	bool any = false;
	struct look look = { .slot = slot, .noise_var = noise_var, .res = res, .stats = stats };
	weigh_cces(c, grid, channel, noise_var);
	for (size_t e = 0; e < c->n_cce; e++) {
		if (c->cce_lit[e])
			soften_cce(c, e, grid, channel);
		any |= c->cce_lit[e];
	}
	if (!any)
		return;
	c->n_attempts = 0;
	for (size_t a = 0; a < sizeof attempts / sizeof attempts[0]; a++) {
		look.iterations = attempts[a];
		look.again = a > 0;
		for (size_t i = 0; i < c->n_levels; i++)
			for (size_t size = 0; size < DCI_SIZES; size++)
				try_level(c, (enum dci_size)size, c->levels[i], &look);
	}
	stats->cut_short += c->n_attempts == DL_ATTEMPTS_MAX;
}
