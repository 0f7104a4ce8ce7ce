#include "phy/ul_chest.h"

#include "phy/channel_filter.h"
#include "phy/gold.h"
#include "phy/local_wiener.h"
#include "phy/measure.h"
#include "phy/sequence.h"
#include "phy/track.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	CELLS = 1024,
	DMRS_MAX = PHY_SC_MAX / LAYOUT_DMRS_STEP,
	FORECAST_SLOTS = 4,          /* a sounding older than that foretells nothing */
	COMBS_A_SLOT = 2,            /* whose noise is measured, once the floor is known */
	DMRS_SET = LAYOUT_COMB_STEP, /* of the bank, after the combs */
};

static const float least_noise = 1e-7f;  /* of the signal's power: keeps noiseless signals calculable */
static const float noise_dof_max = 300;  /* memory of the noise estimates, degrees of freedom */
static const float noise_prior_dof = 20; /* what the band's noise floor counts against a device's own first slots */
static const float data_noise_dof = 24;  /* what a device's noise from sounding counts against the DMRS of one slot */
static const float lack_pilots = 200;    /* memory of what forecasts lack, pilots */
static const float amplitude_slots = 20; /* memory of data amplitudes */
static const float ratio_slots = 64;     /* memory of the powers of data and comb, full band */
static const float ratio_prior = 16;     /* slots that the nominal ratio counts at first */
static const float ratio_odd = 1.6f;     /* times what was learnt: twice so in a row it is another one */
static const float ratio_most = 1.2f;    /* times the nominal one, or the eighth of the limit */

/* A running mean that weighs each value by its degrees of freedom and forgets after noise_dof_max of them. */
struct smooth {
	float value, dof;
};

static void smooth_add(struct smooth *s, float value, float dof)
{
	s->dof = fminf(s->dof + dof, noise_dof_max);
	s->value += (value - s->value) * dof / s->dof;
}

/* One of the eight combs in this slot. */
struct comb {
	size_t n;
	uint16_t k[LAYOUT_COMB_MAX];
	float complex p[LAYOUT_COMB_MAX]; /* received over sent sounding */
	float energy;                     /* mean of a RE, control and sounding */
	struct smooth floor;              /* noise from what does not fit, whoever sends or not */
};

/* How a device's data relate to its sounding: a factor, what single slots differ from it (a share of its power), and
 * the mean square of what the forecast lacked, with a sounding in the same slot and without. */
struct relation {
	bool known;
	float complex factor;
	float spread;
	struct smooth lack[2];
};

/* Powers of sounding and full-band data, noise taken off: sums that forget. */
struct ratio {
	float comb, data;
	int odd; /* sign of how far off the last slot was, 0 if not by much */
};

/* The channel about a slot as straight lines over time, in the amplitude of the comb. */
struct lines {
	bool any;
	uint64_t slot, taken; /* taken: count of ul_chest_slot then */
	float *h_re, *h_im, *slope_re, *slope_im;
	struct channel_motion motion;
	float rb_error[PHY_RB_MAX];
};

/* What the base station remembers of a device between slots. */
struct link {
	struct smooth noise;
	struct channel_filter *filter;
	float boost;
	struct lines lines; /* with its last pilots: sounding, or data on the whole band */
	struct relation relation;
	struct ratio ratio;
};

/* Data on the whole band: at most one device's in a slot. */
struct full_band {
	struct lines lines; /* before the slot's sounding */
	uint8_t device;
	float power; /* of a DMRS RE, noise and all */
};

struct ul_chest {
	const struct layout *layout;
	struct numerology num;
	struct delay_bank *bank; /* a set of pilots a comb */
	struct local_wiener *local;
	float complex dmrs[2][DMRS_MAX];
	float complex sounding[PHY_SC_MAX];
	struct comb comb[LAYOUT_COMB_STEP];
	struct link link[PHY_DEVICES_MAX];
	struct full_band full;
	uint64_t n_taken; /* calls of ul_chest_slot */
	struct slot_time when;
	float floor;
	size_t next_comb;
	const float complex *grid;
	float *arrays;                      /* of the links, and the work space below */
	float *ramp_re, *ramp_im;           /* over the grid with DC */
	float *work[6];                     /* room for the grid with DC each */
	float complex at_dmrs[2][DMRS_MAX]; /* received over sent, the forecast taken off; granted RBs only */
	float complex fore[2][DMRS_MAX];    /* forecast there */
	float complex *channel;             /* of every RE; what was asked for is filled */
	float rb_noise[PHY_RB_MAX];         /* of a received RE, estimation error included */
};

static int make_arrays(struct ul_chest *u)
{
	size_t n = matrix_padded(u->num.n_sc + 1);
	u->channel = calloc(u->num.n_symbols * u->num.n_sc, sizeof *u->channel);
	u->arrays = aligned_alloc(64, (4 * PHY_DEVICES_MAX + 12) * n * sizeof *u->arrays);
	if (!u->channel || !u->arrays)
		return -ENOMEM;
	memset(u->arrays, 0, (4 * PHY_DEVICES_MAX + 12) * n * sizeof *u->arrays);
	float *next = u->arrays;
	for (size_t d = 0; d <= PHY_DEVICES_MAX; d++, next += 4 * n) {
		struct lines *l = d < PHY_DEVICES_MAX ? &u->link[d].lines : &u->full.lines;
		l->h_re = next;
		l->h_im = next + n;
		l->slope_re = next + 2 * n;
		l->slope_im = next + 3 * n;
	}
	u->ramp_re = next;
	u->ramp_im = next + n;
	for (size_t i = 0; i < 6; i++)
		u->work[i] = next + (2 + i) * n;
	return 0;
}

static int make_filters(struct ul_chest *u)
{
	struct delay_pilots sets[LAYOUT_COMB_STEP + 1];
	uint16_t dmrs[DMRS_MAX];
	size_t n_dmrs = u->num.n_sc / LAYOUT_DMRS_STEP;
	for (size_t i = 0; i < n_dmrs; i++)
		dmrs[i] = (uint16_t)(i * LAYOUT_DMRS_STEP);
	sets[DMRS_SET] = (struct delay_pilots){ .k = dmrs, .n = n_dmrs };
	for (uint8_t c = 0; c < LAYOUT_COMB_STEP; c++) {
		u->comb[c].n = layout_comb(u->layout, c, u->comb[c].k);
		sets[c] = (struct delay_pilots){ .k = u->comb[c].k, .n = u->comb[c].n };
	}
	u->bank = delay_bank_create(&u->num, sets, LAYOUT_COMB_STEP + 1);
	u->local = local_wiener_create(&u->num);
	if (!u->bank || !u->local)
		return -ENOMEM;
	for (size_t d = 0; d < PHY_DEVICES_MAX; d++) {
		u->link[d].boost = LAYOUT_COMB_STEP;
		u->link[d].filter = channel_filter_create(u->bank, u->num.slot_len);
		if (!u->link[d].filter)
			return -ENOMEM;
	}
	return 0;
}

struct ul_chest *ul_chest_create(const struct layout *layout, uint16_t cell_id)
{
	if (cell_id >= CELLS) {
		errno = EINVAL;
		return NULL;
	}
	struct ul_chest *u = calloc(1, sizeof *u);
	if (!u)
		return NULL;
	u->layout = layout;
	u->num = *layout_numerology(layout);
	for (size_t s = 0; s < 2; s++)
		gold_qpsk(sequence_seed(SEQUENCE_DMRS, cell_id, u->num.format->dmrs[s]), u->dmrs[s],
		          u->num.n_sc / LAYOUT_DMRS_STEP);
	sequence_sounding(&u->num, cell_id, u->sounding);
	if (!make_arrays(u) && !make_filters(u))
		return u;
	ul_chest_destroy(u);
	errno = ENOMEM;
	return NULL;
}

void ul_chest_destroy(struct ul_chest *u)
{
	if (!u)
		return;
	for (size_t d = 0; d < PHY_DEVICES_MAX; d++)
		channel_filter_destroy(u->link[d].filter);
	local_wiener_destroy(u->local);
	delay_bank_destroy(u->bank);
	free(u->channel);
	free(u->arrays);
	free(u);
}

static void forget_link(struct link *l)
{
	channel_filter_reset(l->filter);
	l->noise = (struct smooth){ 0 };
	l->lines.any = false;
	l->relation = (struct relation){ 0 };
	l->ratio = (struct ratio){ 0 };
}

void ul_chest_reset(struct ul_chest *u)
{
	for (size_t d = 0; d < PHY_DEVICES_MAX; d++)
		forget_link(&u->link[d]);
	for (size_t c = 0; c < LAYOUT_COMB_STEP; c++)
		u->comb[c].floor = (struct smooth){ 0 };
	u->full.lines.any = false;
	u->floor = 0;
	u->next_comb = 0;
}

void ul_chest_set_boost(struct ul_chest *u, uint8_t device, float boost)
{
	u->link[device].boost = boost;
	u->link[device].ratio = (struct ratio){ 0 };
}

/* Middle of symbol l's FFT window, samples after the start of the slot. */
static double middle_of(const struct numerology *num, size_t l)
{
	return numerology_symbol_middle(num, l) - (double)numerology_backoff(num);
}

static double nco_rad(const struct ul_chest *u, double t)
{
	return u->when.nco_rad + 2 * M_PI * u->when.nco_hz * t / u->num.rate_hz;
}

/* Sounding and energy of all combs, used or not. */
static void read_combs(struct ul_chest *u)
{
	size_t n_sc = u->num.n_sc;
	const float complex *sounded = u->grid + u->num.format->sounding * n_sc;
	const float complex *first = u->grid + u->num.format->uci[0] * n_sc;
	const float complex *second = u->grid + u->num.format->uci[1] * n_sc;
	float energy[LAYOUT_COMB_STEP] = { 0 };
	size_t k = 0, i = 0;
	for (; k < n_sc; k += LAYOUT_COMB_STEP, i++) {
		float complex p[LAYOUT_COMB_STEP];
		size_t n = n_sc - k < LAYOUT_COMB_STEP ? n_sc - k : LAYOUT_COMB_STEP;
		for (size_t c = 0; c < n; c++) {
			p[c] = sounded[k + c] * conjf(u->sounding[k + c]);
			energy[c] += power_of(sounded[k + c]) + power_of(first[k + c]) + power_of(second[k + c]);
		}
		for (size_t c = 0; c < n; c++)
			u->comb[c].p[i] = p[c];
	}
	for (size_t c = 0; c < LAYOUT_COMB_STEP; c++)
		u->comb[c].energy = energy[c] / (float)(3 * u->comb[c].n);
}

/* Noise of one comb: what does not fit a channel within the cyclic prefix. */
static void measure_floor(struct ul_chest *u, size_t index)
{
	struct comb *c = &u->comb[index];
	const struct delay_basis *b = &u->bank->basis[u->bank->initial];
	delay_pilot_ramp(u->bank, index, u->bank->earliest + 0.5 * b->width, 0, u->ramp_re, u->ramp_im);
	for (size_t i = 0; i < c->n; i++) {
		float complex y = c->p[i] * CMPLXF(u->ramp_re[i], -u->ramp_im[i]);
		u->work[0][i] = crealf(y);
		u->work[1][i] = cimagf(y);
	}
	size_t level = DELAY_LEVELS - 2;
	float residual =
	        delay_fit(b, index, level, u->work[0], u->work[1], u->work[2], u->work[3], u->work[4], u->work[5]);
	float dof = fmaxf(b->fits[index].at[level].dof, 0.1f);
	smooth_add(&c->floor, fmaxf(residual / dof, least_noise * c->energy), dof);
}

/* Noise of the band: mean over the quieter half of the combs, so that what a strong device leaks into its own does
 * not hide a weak one. The lower half of eight equal Gaussian estimates lies 0.72 of their deviation too low. */
static float noise_floor(const struct ul_chest *u)
{
	float sorted[LAYOUT_COMB_STEP];
	for (size_t i = 0; i < LAYOUT_COMB_STEP; i++) {
		size_t at = i;
		for (; at > 0 && sorted[at - 1] > u->comb[i].floor.value; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = u->comb[i].floor.value;
	}
	float sum = 0;
	for (size_t i = 0; i < LAYOUT_COMB_STEP / 2; i++)
		sum += sorted[i];
	float low = 1 - 0.72f / sqrtf(u->comb[0].floor.dof);
	return sum / (LAYOUT_COMB_STEP / 2) / low;
}

void ul_chest_slot(struct ul_chest *u, const float complex *grid, const struct slot_time *when)
{
	u->grid = grid;
	u->when = *when;
	u->n_taken++;
	read_combs(u);
	bool known = u->comb[0].floor.dof > noise_dof_max / 4;
	for (size_t i = 0; i < (known ? COMBS_A_SLOT : LAYOUT_COMB_STEP); i++) {
		measure_floor(u, u->next_comb);
		u->next_comb = (u->next_comb + 1) % LAYOUT_COMB_STEP;
	}
	u->floor = noise_floor(u);
}

float ul_chest_floor(const struct ul_chest *u)
{
	return u->floor;
}

float ul_chest_comb_energy(const struct ul_chest *u, uint8_t device)
{
	return u->comb[device % LAYOUT_COMB_STEP].energy;
}

/* ---- what both kinds of pilots have in common ---- */

/* Phase of the link's frame at t samples after the start of this slot, of the samples as given. */
static double turn_at(const struct ul_chest *u, const struct lines *lines, double t)
{
	const struct channel_motion *m = &lines->motion;
	return m->turn_rad + m->turn_rad_per_sample * ((double)u->when.t_samples + t - m->t0) - nco_rad(u, t);
}

/* The device's noise, as far as is known; at first the band's. */
static float noise_of(const struct ul_chest *u, struct link *link, float least)
{
	if (!link->noise.dof)
		link->noise = (struct smooth){ .value = fmaxf(u->floor, least), .dof = noise_prior_dof };
	return fmaxf(link->noise.value, least);
}

/* One symbol of pilots, y: received over sent, to the amplitude of the comb by `scale`. Returns the noise seen, of a
 * received RE; least: what that is at least. */
static float observe(struct ul_chest *u, struct link *link, size_t set, size_t symbol, const float complex *y,
                     float scale, float least, bool first)
{
	double t = middle_of(&u->num, symbol);
	struct channel_observation o = {
		.set = set,
		.y = y,
		.t_samples = (double)u->when.t_samples + t,
		.t_slot = (double)u->when.t_samples,
		.nco_rad = nco_rad(u, t),
		.nco_rate = 2 * M_PI * u->when.nco_hz / u->num.rate_hz,
		.noise_var = noise_of(u, link, least) * scale * scale,
		.may_step = first,
	};
	struct channel_seen seen;
	channel_filter_observe(link->filter, &o, &seen);
	float dof = fmaxf(seen.dof, 0.1f), noise_var = fmaxf(seen.residual / (dof * scale * scale), least);
	smooth_add(&link->noise, noise_var, dof);
	return noise_var;
}

static void draw_lines(const struct ul_chest *u, struct link *link)
{
	struct lines *l = &link->lines;
	channel_filter_lines(link->filter, l->h_re, l->h_im, l->slope_re, l->slope_im, &l->motion);
	channel_filter_error(link->filter, l->rb_error);
	l->any = true;
	l->slot = u->when.slot;
	l->taken = u->n_taken;
}

/* One run of neighbouring subcarriers of one symbol: out = f (h + dt slope). */
static void fill_run(const struct lines *lines, size_t at, size_t n, float dt, float complex f, float *restrict out)
{
	const float *h_re = lines->h_re + at, *h_im = lines->h_im + at;
	const float *slope_re = lines->slope_re + at, *slope_im = lines->slope_im + at;
	float fr = crealf(f), fi = cimagf(f);
	for (size_t i = 0; i < n; i++) {
		float a = h_re[i] + dt * slope_re[i], c = h_im[i] + dt * slope_im[i];
		out[2 * i] = fr * a - fi * c;
		out[2 * i + 1] = fr * c + fi * a;
	}
}

/* out += turn add */
static void add_run(size_t n, float complex turn, const float *restrict add_re, const float *restrict add_im,
                    float *restrict out)
{
	float tr = crealf(turn), ti = cimagf(turn);
	for (size_t i = 0; i < n; i++) {
		out[2 * i] += tr * add_re[i] - ti * add_im[i];
		out[2 * i + 1] += tr * add_im[i] + ti * add_re[i];
	}
}

static void copy_lines(struct lines *to, const struct lines *from, size_t n)
{
	memcpy(to->h_re, from->h_re, n * sizeof *to->h_re);
	memcpy(to->h_im, from->h_im, n * sizeof *to->h_im);
	memcpy(to->slope_re, from->slope_re, n * sizeof *to->slope_re);
	memcpy(to->slope_im, from->slope_im, n * sizeof *to->slope_im);
	memcpy(to->rb_error, from->rb_error, sizeof to->rb_error);
	to->motion = from->motion;
	to->any = from->any;
	to->slot = from->slot;
	to->taken = from->taken;
}

/* ---- sounding ---- */

/* Sum of conj(h[i]) h[i + 1] over the grid, DC in it. */
static float complex slope_of(const float *h_re, const float *h_im, size_t n)
{
	float re = 0, im = 0;
#pragma omp simd reduction(+ : re, im)
	for (size_t i = 0; i < n - 1; i++) {
		re += h_re[i] * h_re[i + 1] + h_im[i] * h_im[i + 1];
		im += h_re[i] * h_im[i + 1] - h_im[i] * h_re[i + 1];
	}
	return CMPLXF(re, im);
}

/* t: samples after the slot's start, for which the response is told. */
static void fill_csi(const struct ul_chest *u, const struct comb *c, const struct link *link, double t,
                     float slot_noise_var, struct csi *csi)
{
	const struct numerology *num = &u->num;
	const struct lines *lines = &link->lines;
	float complex f = turn_of(turn_at(u, lines, t) + nco_rad(u, t)) / sqrtf(link->boost);
	float dt = lines->motion.moves ? (float)((double)u->when.t_samples + t - lines->motion.t0) : 0;
	size_t half = num->n_sc / 2;
	csi->valid = true;
	csi->t_ref_samples = u->when.t_samples + (uint64_t)t;
	csi->noise_var = link->noise.value;
	fill_run(lines, 0, half, dt, f, (float *)csi->h);
	fill_run(lines, half + 1, half, dt, f, (float *)(csi->h + half));
	float total = csi_set_snr(csi);
	csi->cfo_hz = (float)channel_filter_cfo_hz(link->filter);
	csi->timing_samples = track_timing_from_pilots(num, slope_of(lines->h_re, lines->h_im, num->n_sc + 1), 1);
	csi->rssi_dbfs = ratio_db_fast(fmaxf(mean_power(c->p, c->n) * (float)c->n / (float)num->n_fft, 1e-30f));
	csi->evm_db = ratio_db_fast(fmaxf(slot_noise_var / link->boost / fmaxf(total, 1e-30f), least_noise));
}

/* The control REs share their subcarriers with the sounding, and its channel. */
static void fill_control(struct ul_chest *u, const struct comb *c, const struct link *link)
{
	const struct lines *lines = &link->lines;
	const struct numerology *num = &u->num;
	float complex turn[2], *row[2];
	float dt[2];
	for (size_t s = 0; s < 2; s++) {
		double t = middle_of(num, num->format->uci[s]);
		turn[s] = turn_of(turn_at(u, lines, t));
		dt[s] = lines->motion.moves ? (float)((double)u->when.t_samples + t - lines->motion.t0) : 0;
		row[s] = u->channel + num->format->uci[s] * num->n_sc;
	}
	for (size_t k = c->k[0]; k < num->n_sc; k += LAYOUT_COMB_STEP) {
		size_t at = delay_index(num, k);
		float re = lines->h_re[at], im = lines->h_im[at];
		float slope_re = lines->slope_re[at], slope_im = lines->slope_im[at];
		row[0][k] = turn[0] * CMPLXF(re + dt[0] * slope_re, im + dt[0] * slope_im);
		row[1][k] = turn[1] * CMPLXF(re + dt[1] * slope_re, im + dt[1] * slope_im);
	}
	for (size_t rb = 0; rb < num->n_rb; rb++)
		u->rb_noise[rb] = link->noise.value + lines->rb_error[rb];
}

static bool is_of_now(const struct ul_chest *u, const struct lines *lines)
{
	return lines->any && lines->taken == u->n_taken;
}

/* Has the slot's full-band data of that device been taken? */
static bool has_full(const struct ul_chest *u, uint8_t device)
{
	return is_of_now(u, &u->full.lines) && u->full.device == device;
}

/* A full-band data RE's amplitude over a comb RE's: nominal, but for devices at their limit, which have more for the
 * comb. */
static float data_amplitude(const struct link *link)
{
	const struct ratio *r = &link->ratio;
	float nominal = 1 / link->boost, most = ratio_most * nominal, least = 1 / (ratio_most * LAYOUT_COMB_STEP);
	return sqrtf(r->comb > 0 ? fminf(fmaxf(r->data / r->comb, least), most) : nominal);
}

static void begin_ratio(struct ratio *r, float comb, float data)
{
	*r = (struct ratio){ .comb = ratio_prior * comb, .data = ratio_prior * data };
}

/* comb, data: mean powers of this slot's RE. */
static void learn_ratio(struct link *link, float comb, float data)
{
	struct ratio *r = &link->ratio;
	float noise = link->noise.value, keep = 1 - 1 / ratio_slots;
	float c = fmaxf(comb - noise, 0), d = fmaxf(data - noise, 0);
	if (!(r->comb > 0))
		begin_ratio(r, c, c / link->boost);
	float times = d * r->comb / fmaxf(c * r->data, 1e-30f);
	int odd = c < 4 * noise || d < 4 * noise ? 0 : times > ratio_odd ? 1 : times < 1 / ratio_odd ? -1 : 0;
	if (odd && odd == r->odd) { /* a fade would have passed */
		begin_ratio(r, c, d);
		return;
	}
	r->odd = odd;
	r->comb = keep * r->comb + c;
	r->data = keep * r->data + d;
}

void ul_chest_sounding(struct ul_chest *u, uint8_t device, struct csi *csi)
{
	size_t index = device % LAYOUT_COMB_STEP;
	const struct comb *c = &u->comb[index];
	struct link *link = &u->link[device];
	float least = least_noise * c->energy + 1e-30f;
	bool first = !has_full(u, device);
	float slot_noise_var = observe(u, link, index, u->num.format->sounding, c->p, 1, least, first);
	if (!first)
		learn_ratio(link, mean_power(c->p, c->n), u->full.power);
	draw_lines(u, link);
	/* Between pilots a straight line is surer than at its end, and the later ones have the say in it. */
	double end = middle_of(&u->num, u->num.format->sounding), start = middle_of(&u->num, u->num.format->dmrs[1]);
	if (csi)
		fill_csi(u, c, link, first ? end : 0.5 * (start + end), slot_noise_var, csi);
	fill_control(u, c, link);
}

/* ---- data on the whole band ---- */

void ul_chest_dmrs(struct ul_chest *u, uint8_t device, float energy)
{
	struct link *link = &u->link[device];
	struct full_band *full = &u->full;
	float scale = 1 / data_amplitude(link), least = least_noise * energy + 1e-30f;
	size_t n = u->num.n_sc / LAYOUT_DMRS_STEP;
	if (is_of_now(u, &link->lines)) /* its sounding lies behind */
		return;
	full->power = 0;
	for (size_t s = 0; s < 2; s++) {
		size_t l = u->num.format->dmrs[s];
		const float complex *row = u->grid + l * u->num.n_sc;
		for (size_t i = 0; i < n; i++)
			u->at_dmrs[s][i] = scale * row[i * LAYOUT_DMRS_STEP] * conjf(u->dmrs[s][i]);
		full->power += 0.5f * mean_power(u->at_dmrs[s], n) / (scale * scale);
		observe(u, link, DMRS_SET, l, u->at_dmrs[s], scale, least, s == 0);
	}
	draw_lines(u, link);
	copy_lines(&full->lines, &link->lines, u->num.n_sc + 1);
	full->device = device;
}

/* ---- data on a part of it ---- */

/* Neighbouring subcarriers of a block, none across DC: first, end, and the place of the first in the grid. */
struct run {
	size_t k, end, at;
};

/* The DMRS of one block, with what was foretold of it. */
struct block_pilots {
	const struct rb_set *rbs;
	size_t n_runs;
	struct run run[PHY_RB_MAX / 2 + 2];
	bool foretold;
	size_t n;             /* of one symbol */
	float fore_energy[2]; /* sum of the forecast's squares */
	float complex dot[2]; /* sum of conj(forecast) * received */
	float complex factor; /* on the forecast; 0 without one */
	double phase_rad;     /* that the second symbol is ahead of the forecast */
	float lack,
	        left; /* variance of what the forecast lacks; share of it left after the DMRS, 1: nothing is taken from them */
	float noise_var;
};

static double dmrs_middle(const struct numerology *num)
{
	return 0.5 * (middle_of(num, num->format->dmrs[0]) + middle_of(num, num->format->dmrs[1]));
}

/* From the middle of both DMRS symbols, in distances of one from the other. */
static double share_at(const struct numerology *num, double t)
{
	double apart = middle_of(num, num->format->dmrs[1]) - middle_of(num, num->format->dmrs[0]);
	return (t - dmrs_middle(num)) / apart;
}

static void find_runs(const struct numerology *num, struct block_pilots *b)
{
	size_t half = num->n_sc / 2;
	for (size_t rb = rb_set_next(b->rbs, 0); rb < num->n_rb; rb = rb_set_next(b->rbs, rb + 1)) {
		size_t k = rb * PHY_RB_SC, end = k + PHY_RB_SC;
		struct run *last = b->n_runs ? &b->run[b->n_runs - 1] : NULL;
		if (last && last->end == k && k != half)
			last->end = end;
		else
			b->run[b->n_runs++] = (struct run){ k, end, delay_index(num, k) };
		last = &b->run[b->n_runs - 1];
		if (last->k < half && last->end > half) {
			last->end = half;
			b->run[b->n_runs++] = (struct run){ half, end, delay_index(num, half) };
		}
	}
}

static bool foretells(const struct ul_chest *u, const struct link *link)
{
	return link->lines.any && u->when.slot - link->lines.slot < FORECAST_SLOTS;
}

/* A run of one of the symbols, s. */
static void read_run(struct ul_chest *u, const struct lines *lines, const struct run *run, size_t s, float complex turn,
                     float dt, struct block_pilots *b)
{
	const float *h_re = lines->h_re + run->at, *h_im = lines->h_im + run->at;
	const float *slope_re = lines->slope_re + run->at, *slope_im = lines->slope_im + run->at;
	const float complex *received = u->grid + u->num.format->dmrs[s] * u->num.n_sc + run->k;
	const float complex *sent = u->dmrs[s] + run->k / LAYOUT_DMRS_STEP;
	float complex *restrict at_dmrs = u->at_dmrs[s] + run->k / LAYOUT_DMRS_STEP;
	float complex *restrict fore = u->fore[s] + run->k / LAYOUT_DMRS_STEP;
	float tr = crealf(turn), ti = cimagf(turn), energy = 0, re = 0, im = 0;
	size_t n = (run->end - run->k) / LAYOUT_DMRS_STEP;
#pragma omp simd reduction(+ : energy, re, im)
	for (size_t i = 0; i < n; i++) {
		float complex g = received[LAYOUT_DMRS_STEP * i], p = sent[i];
		float yr = crealf(g) * crealf(p) + cimagf(g) * cimagf(p);
		float yi = cimagf(g) * crealf(p) - crealf(g) * cimagf(p);
		float a = h_re[LAYOUT_DMRS_STEP * i] + dt * slope_re[LAYOUT_DMRS_STEP * i];
		float c = h_im[LAYOUT_DMRS_STEP * i] + dt * slope_im[LAYOUT_DMRS_STEP * i];
		float hr = tr * a - ti * c, hi = tr * c + ti * a;
		at_dmrs[i] = CMPLXF(yr, yi);
		fore[i] = CMPLXF(hr, hi);
		energy += hr * hr + hi * hi;
		re += hr * yr + hi * yi;
		im += hr * yi - hi * yr;
	}
	b->fore_energy[s] += energy;
	b->dot[s] += CMPLXF(re, im);
	b->n += s ? n : 0;
}

/* Received over sent on the granted RBs, and the forecast there. */
static void read_dmrs(struct ul_chest *u, const struct lines *lines, struct block_pilots *b)
{
	const struct numerology *num = &u->num;
	for (size_t s = 0; s < 2; s++) {
		size_t l = num->format->dmrs[s];
		double t = middle_of(num, l);
		float complex turn = b->foretold ? turn_of(turn_at(u, lines, t)) : 0;
		float dt = lines->motion.moves ? (float)((double)u->when.t_samples + t - lines->motion.t0) : 0;
		for (size_t r = 0; r < b->n_runs; r++)
			read_run(u, lines, &b->run[r], s, turn, dt, b);
	}
}

/* The second symbol's phase against the first's beyond what was foretold, weighed against how well the carrier is
 * known. */
static void find_phase(const struct ul_chest *u, const struct link *link, float energy, struct block_pilots *b)
{
	const struct numerology *num = &u->num;
	double apart = middle_of(num, num->format->dmrs[1]) - middle_of(num, num->format->dmrs[0]);
	double slots = apart / (double)num->slot_len, expected = 1, var;
	float complex both = 0;
	float noise = b->noise_var;
	if (b->foretold) {
		both = b->dot[1] * conjf(b->dot[0]);
		expected = (double)channel_filter_advance_var(link->filter) * slots * slots;
		var = (double)(noise * b->fore_energy[0] / fmaxf(power_of(b->dot[0]), 1e-30f));
	} else {
		for (size_t r = 0; r < b->n_runs; r++)
			for (size_t i = b->run[r].k / LAYOUT_DMRS_STEP; i < b->run[r].end / LAYOUT_DMRS_STEP; i++)
				both += u->at_dmrs[1][i] * conjf(u->at_dmrs[0][i]);
		float snr = fmaxf(energy / noise - 1, 0.05f);
		var = (double)((1 + 0.5f / snr) / (snr * (float)b->n));
	}
	b->phase_rad = cargf(both) * expected / (expected + var);
}

/* The factor of this slot: what the DMRS say, as far as it can be told from the usual one. */
static void find_factor(struct link *link, struct block_pilots *b)
{
	struct relation *r = &link->relation;
	float energy = b->fore_energy[0] + b->fore_energy[1];
	if (!b->foretold || !(energy > 0))
		return;
	float complex half = turn_of(0.5 * b->phase_rad);
	float complex seen = (b->dot[0] * half + b->dot[1] * conjf(half)) / energy, off = seen - r->factor;
	float noise = b->noise_var / energy, usual = r->spread * power_of(r->factor);
	bool other = !r->known || power_of(off) > 12 * (usual + noise);
	float trust = other ? 1 : usual / (usual + noise);
	b->factor = other ? seen : r->factor + trust * off;
	if (other) {
		*r = (struct relation){
			.known = true, .factor = seen, .spread = 0.1f, .lack = { r->lack[0], r->lack[1] }
		};
		return;
	}
	float weight = 1 / amplitude_slots, confidence = usual + 0.05f * power_of(r->factor);
	r->factor += off * confidence / (confidence + noise) * 2 * weight;
	float spread = fmaxf(power_of(off) - noise, 0) / fmaxf(power_of(r->factor), 1e-30f);
	float gain = weight * usual / (usual + noise) + 0.1f * weight;
	r->spread = fmaxf(r->spread + gain * (spread - r->spread), 1e-4f);
}

/* Takes the forecast off, brings both symbols to the phase midway; what they differ by is noise. */
static float take_off_forecast(struct ul_chest *u, struct block_pilots *b, float *mean_square)
{
	float complex half = turn_of(0.5 * b->phase_rad), factor = b->factor;
	float complex *restrict at_first = u->at_dmrs[0];
	const float complex *at_second = u->at_dmrs[1], *fore_first = u->fore[0], *fore_second = u->fore[1];
	float difference = 0, square = 0;
	for (size_t r = 0; r < b->n_runs; r++)
#pragma omp simd reduction(+ : difference, square)
		for (size_t i = b->run[r].k / LAYOUT_DMRS_STEP; i < b->run[r].end / LAYOUT_DMRS_STEP; i++) {
			float complex first = at_first[i] * half - factor * fore_first[i];
			float complex second = at_second[i] * conjf(half) - factor * fore_second[i];
			at_first[i] = 0.5f * (first + second);
			difference += power_of(second - first);
			square += power_of(at_first[i]);
		}
	*mean_square = square / (float)b->n;
	return 0.5f * difference / ((float)b->n - 0.5f);
}

/* What the forecasts of this device usually lack, this slot's included. */
static void find_lack(const struct ul_chest *u, struct link *link, float mean_square, float energy,
                      struct block_pilots *b)
{
	float seen = mean_square - 0.5f * b->noise_var, least = 1e-6f * energy;
	if (!b->foretold) {
		b->lack = fmaxf(fmaxf(seen, energy - b->noise_var), 0.05f * energy);
		return;
	}
	struct smooth *s = &link->relation.lack[u->when.slot != link->lines.slot];
	s->dof = fminf(s->dof + (float)b->n, lack_pilots);
	s->value += (seen - s->value) * fminf((float)b->n / s->dof, 1);
	/* A slot much worse than usual is not to be missed for that. */
	float spread = b->noise_var / sqrtf((float)b->n);
	b->lack = fmaxf(fmaxf(s->value, seen - 3 * spread), least);
}

/* The grid of the block's data: forecast times factor plus what the DMRS add. */
static void fill_symbols(struct ul_chest *u, const struct lines *lines, const struct block_pilots *b)
{
	const struct numerology *num = &u->num;
	double first = middle_of(num, 0), apart = middle_of(num, 1) - first,
	       ahead = b->phase_rad * share_at(num, first);
	double ahead_step = b->phase_rad * (share_at(num, first + apart) - share_at(num, first)), turned = 0, step = 0;
	if (b->foretold) {
		turned = turn_at(u, lines, first);
		step = turn_at(u, lines, first + apart) - turned;
	}
	/* From symbol to symbol, which are evenly apart. */
	float complex turn = turn_of(ahead), turn_step = turn_of(ahead_step);
	float complex f = b->factor * turn_of(ahead + turned), f_step = turn_of(ahead_step + step);
	for (size_t l = 0; l < num->format->n_ul_data; l++, turn *= turn_step, f *= f_step) {
		double t = middle_of(num, l);
		float dt = lines->motion.moves ? (float)((double)u->when.t_samples + t - lines->motion.t0) : 0;
		for (size_t r = 0; r < b->n_runs; r++) {
			size_t k = b->run[r].k, n = b->run[r].end - k;
			float *out = (float *)(u->channel + l * num->n_sc + k);
			fill_run(lines, b->run[r].at, n, dt, f, out);
			if (b->left < 1)
				add_run(n, turn, u->work[2] + k, u->work[3] + k, out);
		}
	}
}

/* The window's ramp off the pilots of a run, to work[0], work[1]; and on what is made of them. */
static void take_off_ramp(struct ul_chest *u, const struct run *run)
{
	const float complex *y = u->at_dmrs[0] + run->k / LAYOUT_DMRS_STEP;
	const float *c = u->ramp_re + run->at, *s = u->ramp_im + run->at;
	float *restrict p_re = u->work[0] + run->k / LAYOUT_DMRS_STEP;
	float *restrict p_im = u->work[1] + run->k / LAYOUT_DMRS_STEP;
	size_t n = (run->end - run->k) / LAYOUT_DMRS_STEP;
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		float re = crealf(y[i]), im = cimagf(y[i]);
		p_re[i] = re * c[LAYOUT_DMRS_STEP * i] + im * s[LAYOUT_DMRS_STEP * i];
		p_im[i] = im * c[LAYOUT_DMRS_STEP * i] - re * s[LAYOUT_DMRS_STEP * i];
	}
}

static void put_on_ramp(struct ul_chest *u, const struct run *run)
{
	const float *c = u->ramp_re + run->at, *s = u->ramp_im + run->at;
	float *restrict h_re = u->work[2] + run->k, *restrict h_im = u->work[3] + run->k;
	size_t n = run->end - run->k;
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		float re = h_re[i], im = h_im[i];
		h_re[i] = re * c[i] - im * s[i];
		h_im[i] = re * s[i] + im * c[i];
	}
}

/* What the DMRS add to the forecast, over the granted RBs: work[2], work[3]. */
static void estimate_rbs(struct ul_chest *u, const struct link *link, struct block_pilots *b)
{
	const struct numerology *num = &u->num;
	bool window = channel_filter_ready(link->filter) && b->foretold;
	double width = window ? channel_filter_width(link->filter) : (double)num->cp;
	double centre = window ? channel_filter_centre(link->filter) : 0.25 * (double)num->cp;
	struct local_choice choice = local_wiener_choose(u->local, width, 2 * b->lack / b->noise_var);
	const struct run *last = &b->run[b->n_runs - 1];
	b->left = choice.none ? 1 : 0;
	if (choice.none)
		return;
	delay_ramp_part(u->bank, centre, b->run[0].at, last->at + last->end - last->k, u->ramp_re, u->ramp_im);
	for (size_t r = 0; r < b->n_runs; r++)
		take_off_ramp(u, &b->run[r]);
	for (size_t rb = rb_set_next(b->rbs, 0); rb < num->n_rb; rb = rb_set_next(b->rbs, rb + 1)) {
		unsigned sides = (rb > 0 && rb_set_has(b->rbs, rb - 1) ? LOCAL_LEFT : 0u) |
		                 (rb + 1 < num->n_rb && rb_set_has(b->rbs, rb + 1) ? LOCAL_RIGHT : 0u);
		/* What is written past the RB is the next one's, and there is room past the last. */
		b->left += local_wiener_estimate(u->local, &choice, rb, sides, u->work[0], u->work[1],
		                                 u->work[2] + rb * PHY_RB_SC, u->work[3] + rb * PHY_RB_SC);
	}
	for (size_t r = 0; r < b->n_runs; r++)
		put_on_ramp(u, &b->run[r]);
	b->left /= (float)rb_set_count(b->rbs);
}

/* The filter's lines, and what they lack at the DMRS, should that be more than noise: a channel that turned faster than
 * thought. */
static float estimate_full(struct ul_chest *u, const struct link *link, const struct rb_set *rbs, float energy)
{
	const struct lines *lines = &u->full.lines;
	float a = data_amplitude(link), least = least_noise * energy + 1e-30f, mean_square;
	struct block_pilots b = {
		.rbs = rbs, .foretold = true, .factor = a, .noise_var = fmaxf(link->noise.value, least)
	};
	find_runs(&u->num, &b);
	read_dmrs(u, lines, &b);
	take_off_forecast(u, &b, &mean_square);
	float lack = mean_square - 0.5f * b.noise_var;
	bool odd = lack > 3 * b.noise_var / sqrtf((float)b.n);
	b.lack = odd ? lack : 0;
	estimate_rbs(u, link, &b);
	fill_symbols(u, lines, &b);
	for (size_t rb = 0; rb < u->num.n_rb; rb++)
		u->rb_noise[rb] = b.noise_var + (odd ? b.left * lack : a * a * lines->rb_error[rb]);
	return (float)(channel_filter_cfo_hz(link->filter) - u->when.nco_hz);
}

float ul_chest_data(struct ul_chest *u, uint8_t device, const struct rb_set *rbs, float energy)
{
	struct link *link = &u->link[device];
	if (rb_set_count(rbs) == u->num.n_rb)
		ul_chest_dmrs(u, device, energy);
	if (rb_set_count(rbs) == u->num.n_rb && has_full(u, device))
		return estimate_full(u, link, rbs, energy);
	float known = link->noise.dof ? link->noise.value : u->floor, mean_square;
	float least = least_noise * energy + 1e-30f;
	struct block_pilots b = { .rbs = rbs, .foretold = foretells(u, link), .noise_var = fmaxf(known, least) };
	find_runs(&u->num, &b);
	read_dmrs(u, &link->lines, &b);
	find_phase(u, link, energy, &b);
	find_factor(link, &b);
	float difference = take_off_forecast(u, &b, &mean_square), dof = (float)b.n - 0.5f;
	b.noise_var = fmaxf((data_noise_dof * known + dof * difference) / (data_noise_dof + dof), least);
	find_lack(u, link, mean_square, energy, &b);
	estimate_rbs(u, link, &b);
	fill_symbols(u, &link->lines, &b);
	for (size_t rb = 0; rb < u->num.n_rb; rb++)
		u->rb_noise[rb] = b.noise_var + b.left * b.lack;
	double apart = middle_of(&u->num, u->num.format->dmrs[1]) - middle_of(&u->num, u->num.format->dmrs[0]);
	double turned = b.foretold ? link->lines.motion.turn_rad_per_sample * apart : 0;
	return (float)((turned + b.phase_rad) * u->num.rate_hz / (2 * M_PI * apart)) -
	       (b.foretold ? (float)u->when.nco_hz : 0);
}

struct block_channel ul_chest_channel(const struct ul_chest *u)
{
	return (struct block_channel){ .h = u->channel, .noise_var = u->rb_noise };
}
const struct channel_filter *ul_chest_filter(const struct ul_chest *u, uint8_t device)
{
	return u->link[device].filter;
}
