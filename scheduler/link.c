#include "scheduler/link.h"

#include "phy/mcs.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define SNR_MIN_DB (-30.0f)
#define SNR_MAX_DB 60.0f

enum { RE_PER_RB_MAX = PHY_SC_MAX * PHY_SYMBOLS_MAX };

enum { PRIOR_PAIRS = 20, PAIR_SLOTS_MIN = 8, PAIR_SLOTS_MAX = 400, MEAN_REPORTS = 400 };
#define PRIOR_AGE_SLOTS 20.0
#define PAIRS_FORGET 0.002 /* a pair */
#define SPREAD_ALPHA 0.002
#define RHO_MIN 0.05
#define RHO_MAX 0.98

static const double bler_alpha = 1.0 / 50;
static const double rate_max = 0.95; /* of a code that can still be decoded without errors */
/* Blocks sent below the MCS that the link allows are lost less often: their share of the outer loop's target. */
static const double spare_target = 0.2;

int rate_table_init(struct rate_table *t, size_t n_rb, size_t re_per_rb, float margin_db)
{
	memset(t, 0, sizeof *t);
	if (n_rb < 1 || n_rb > PHY_RB_MAX || re_per_rb < 1 || re_per_rb > RE_PER_RB_MAX || !isfinite(margin_db))
		return -EINVAL;
	t->n_mcs = mcs_count() < LINK_MCS_MAX ? mcs_count() : LINK_MCS_MAX;
	t->n_rb = n_rb;
	for (size_t m = 0; m < t->n_mcs; m++) {
		const struct mcs *mcs = mcs_get(m);
		t->snr_db[m] = mcs->snr_db + margin_db;
		for (size_t n = 1; n <= n_rb; n++)
			t->tbs_bytes[m][n] = (uint32_t)mcs_tbs_bytes(mcs, n * re_per_rb);
	}
	return 0;
}

static double capacity_snr_db(double bits)
{
	return 10 * log10(exp2(bits) - 1);
}

int rate_table_shrink(const struct rate_table *t, double share, struct rate_table *out)
{
	if (!(share >= 0.1 && share <= 1))
		return -EINVAL;
	*out = *t;
	for (size_t m = 0; m < t->n_mcs; m++) {
		const struct mcs *mcs = mcs_get(m);
		double bits = (double)mcs->bits * (double)mcs->rate;
		if ((double)mcs->rate / share > rate_max) {
			out->n_mcs = m;
			return m ? 0 : -EINVAL;
		}
		out->snr_db[m] += (float)(capacity_snr_db(bits / share) - capacity_snr_db(bits));
	}
	return 0;
}

struct link_config link_config_default(void)
{
	return (struct link_config){
		.target_bler = 0.1,
		.olla_step_db = 0.3f,
		.olla_min_db = -10,
		.olla_max_db = 4,
		.memory_slots = 80,
		.spread_db2 = 9,
		.noise_db2 = 0.25f,
	};
}

void link_init(struct link *l, const struct link_config *cfg, size_t n_rb)
{
	*l = (struct link){
		.n_rb = n_rb, .headroom_db = INFINITY, .bler = cfg->target_bler, .spread_db2 = cfg->spread_db2
	};
	/* As if pairs had been seen that say what the configuration says. */
	l->pairs_xx = PRIOR_PAIRS * l->spread_db2;
	l->pairs_age = l->pairs_xx * PRIOR_AGE_SLOTS;
	l->pairs_xy = l->pairs_xx * exp(-PRIOR_AGE_SLOTS / cfg->memory_slots);
}

void link_forget(struct link *l)
{
	l->known = false;
	l->wideband_db = l->mean_db = 0;
	l->n_wideband = 0;
	memset(l->offset_db, 0, sizeof l->offset_db);
	memset(l->var_db2, 0, sizeof l->var_db2);
	l->headroom_db = INFINITY;
}

static float held(float x, float lo, float hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

int link_observe_wideband(struct link *l, uint64_t slot, float snr_db)
{
	if (!isfinite(snr_db)) {
		l->n_refused++;
		return -EINVAL;
	}
	l->wideband_db = held(snr_db, SNR_MIN_DB, SNR_MAX_DB);
	l->n_wideband += l->n_wideband < MEAN_REPORTS;
	l->mean_db += (l->wideband_db - l->mean_db) / (float)l->n_wideband;
	l->slot_wideband = slot;
	l->known = true;
	return 0;
}

double link_memory_slots(const struct link *l)
{
	double age = l->pairs_age / l->pairs_xx, rho = l->pairs_xy / l->pairs_xx;
	return -age / log(fmin(fmax(rho, RHO_MIN), RHO_MAX));
}

/* A block's offset in a slot: mean and variance. */
static float predict_offset(const struct link *l, double memory_slots, size_t rb, uint64_t slot, float *var_db2)
{
	double age = slot > l->slot_rb[rb] ? (double)(slot - l->slot_rb[rb]) : 0;
	*var_db2 = (float)l->spread_db2;
	if (!(l->var_db2[rb] > 0))
		return 0;
	float a = expf((float)(-age / memory_slots));
	*var_db2 = a * a * l->var_db2[rb] + (1 - a * a) * (float)l->spread_db2;
	return a * l->offset_db[rb];
}

/* Two measurements of a block some slots apart tell how fast it forgets. */
static void learn(struct link *l, size_t rb, uint64_t slot, float offset_db)
{
	bool known = l->var_db2[rb] > 0;
	uint64_t age = slot - l->anchor_slot[rb];
	l->spread_db2 += SPREAD_ALPHA * ((double)(offset_db * offset_db) - l->spread_db2);
	if (known && (slot < l->anchor_slot[rb] || age < PAIR_SLOTS_MIN))
		return;
	if (known && age <= PAIR_SLOTS_MAX) {
		double x = (double)l->anchor_db[rb];
		l->pairs_xx += x * x - PAIRS_FORGET * l->pairs_xx;
		l->pairs_xy += x * (double)offset_db - PAIRS_FORGET * l->pairs_xy;
		l->pairs_age += x * x * (double)age - PAIRS_FORGET * l->pairs_age;
	}
	l->anchor_db[rb] = offset_db;
	l->anchor_slot[rb] = slot;
}

/* noise_db2 0: the measurement is taken as it is. */
static void measure_offset(struct link *l, const struct link_config *cfg, double memory_slots, uint64_t slot, size_t rb,
                           float offset_db)
{
	float var_db2, mean_db = predict_offset(l, memory_slots, rb, slot, &var_db2);
	float gain = l->var_db2[rb] > 0 ? var_db2 / (var_db2 + cfg->noise_db2) : 1;
	learn(l, rb, slot, offset_db);
	l->offset_db[rb] = mean_db + gain * (offset_db - mean_db);
	l->var_db2[rb] = gain < 1 ? (1 - gain) * var_db2 : fmaxf(cfg->noise_db2, 1e-6f);
	l->slot_rb[rb] = slot;
}

int link_observe_rb(struct link *l, const struct link_config *cfg, uint64_t slot, size_t rb, float snr_db)
{
	if (rb >= l->n_rb || !isfinite(snr_db)) {
		l->n_refused++;
		return -EINVAL;
	}
	if (!l->known) /* better than nothing */
		return link_observe_wideband(l, slot, snr_db);
	measure_offset(l, cfg, link_memory_slots(l), slot, rb, held(snr_db, SNR_MIN_DB, SNR_MAX_DB) - l->wideband_db);
	return 0;
}

int link_observe_band(struct link *l, const struct link_config *cfg, uint64_t slot, const float *snr_db)
{
	double power = 0;
	for (size_t rb = 0; rb < l->n_rb; rb++) {
		if (!isfinite(snr_db[rb])) {
			l->n_refused++;
			return -EINVAL;
		}
		power += pow(10, held(snr_db[rb], SNR_MIN_DB, SNR_MAX_DB) / 10);
	}
	link_observe_wideband(l, slot, (float)(10 * log10(power / (double)l->n_rb)));
	double memory_slots = link_memory_slots(l);
	for (size_t rb = 0; rb < l->n_rb; rb++)
		measure_offset(l, cfg, memory_slots, slot, rb,
		               held(snr_db[rb], SNR_MIN_DB, SNR_MAX_DB) - l->wideband_db);
	return 0;
}

int link_observe_headroom(struct link *l, float headroom_db)
{
	if (!isfinite(headroom_db)) {
		l->n_refused++;
		return -EINVAL;
	}
	l->headroom_db = headroom_db;
	return 0;
}

static float step_up_db(const struct link_config *cfg, double target)
{
	return cfg->olla_step_db * (float)(target / (1 - target));
}

void link_observe_block(struct link *l, const struct link_config *cfg, size_t mcs, bool adapts, bool received)
{
	l->n_first++;
	l->n_first_lost += !received;
	if (mcs < LINK_MCS_MAX) {
		l->mcs_first[mcs]++;
		l->mcs_first_lost[mcs] += !received;
	}
	l->bler += bler_alpha * (!received - l->bler);

	float olla = l->olla_db;
	if (!received && mcs > 0)
		olla -= cfg->olla_step_db;
	else if (received && adapts)
		olla += step_up_db(cfg, cfg->target_bler);
	else if (received && olla < 0) /* no success of an easy block takes the offset above 0 */
		olla = fminf(0, olla + step_up_db(cfg, spare_target * cfg->target_bler));
	l->olla_db = held(olla, cfg->olla_min_db, cfg->olla_max_db);
}

void link_view(const struct link *l, uint64_t slot, struct link_view *v)
{
	double memory_slots = link_memory_slots(l);
	*v = (struct link_view){ .usable = l->known, .headroom_db = l->headroom_db };
	for (size_t rb = 0; rb < l->n_rb; rb++) {
		float var_db2;
		v->snr_db[rb] = l->wideband_db + predict_offset(l, memory_slots, rb, slot, &var_db2) + l->olla_db;
		v->sd_db[rb] = sqrtf(var_db2);
	}
}

void link_view_over(const struct link *l, uint64_t slot, double n_slots, struct link_view *v)
{
	double age = n_slots / link_memory_slots(l);
	float lasts = age > 0 ? (float)((1 - exp(-age)) / age) : 1;
	link_view(l, slot, v);
	for (size_t rb = 0; rb < l->n_rb; rb++) {
		float usual_db = l->mean_db + l->olla_db;
		v->snr_db[rb] = usual_db + lasts * (v->snr_db[rb] - usual_db);
	}
}

float link_power_gain_db(float headroom_db, size_t n, size_t n_rb)
{
	if (!(headroom_db < 0) || n < 1 || n >= n_rb)
		return 0;
	return fminf(10 * log10f((float)n_rb / (float)n), -headroom_db);
}

static float cap_db(const struct rate_table *t)
{
	return t->snr_db[t->n_mcs - 1] + LINK_CAP_DB;
}

/* SNR whose capacity is the mean over the set, each block raised by gain_db. */
static float mean_capacity_db(const struct link_view *v, const struct rate_table *t, const struct rb_set *set,
                              float gain_db)
{
	float sum = 0;
	size_t n = 0;
	for (size_t rb = 0; rb < t->n_rb; rb++) {
		if (!rb_set_has(set, rb))
			continue;
		n++;
		if (!isnan(v->snr_db[rb])) /* a block nobody knows anything of carries nothing */
			sum += log2f(1 + exp10f(0.1f * fminf(v->snr_db[rb] + gain_db, cap_db(t))));
	}
	return n && sum > 0 ? 10 * log10f(exp2f(sum / (float)n) - 1) : -INFINITY;
}

float link_effective_snr_db(const struct link_view *v, const struct rate_table *t, const struct rb_set *set)
{
	if (!v->usable)
		return -INFINITY;
	return mean_capacity_db(v, t, set, link_power_gain_db(v->headroom_db, rb_set_count(set), t->n_rb));
}

void link_view_joint(const struct link_view *const *views, size_t n, const struct rate_table *t,
                     struct link_view *joint)
{
	struct rb_set all = { { 0 } };
	float least_db = INFINITY;
	rb_set_add_range(&all, 0, t->n_rb);
	*joint = (struct link_view){ .usable = n > 0, .headroom_db = INFINITY };
	for (size_t i = 0; i < n; i++) {
		float mean_db = 0;
		for (size_t rb = 0; rb < t->n_rb; rb++)
			mean_db += views[i]->snr_db[rb] / (float)t->n_rb;
		for (size_t rb = 0; rb < t->n_rb; rb++) {
			joint->snr_db[rb] += (views[i]->snr_db[rb] - mean_db) / (float)n;
			joint->sd_db[rb] = fmaxf(joint->sd_db[rb], views[i]->sd_db[rb]);
		}
		joint->usable = joint->usable && views[i]->usable;
		joint->headroom_db = fminf(joint->headroom_db, views[i]->headroom_db);
		least_db = fminf(least_db, link_effective_snr_db(views[i], t, &all));
	}
	for (size_t rb = 0; rb < t->n_rb; rb++)
		joint->snr_db[rb] += least_db;
}

size_t link_mcs(const struct rate_table *t, float snr_db)
{
	size_t m = 0;
	while (m + 1 < t->n_mcs && t->snr_db[m + 1] <= snr_db)
		m++;
	return m;
}

void link_rates(const struct link_view *v, const struct rate_table *t, const struct rb_set *available,
                float *bytes_per_slot)
{
	/* The power gain shifts the effective SNR of the whole band: exact when the band is flat. */
	float full_db = v->usable ? mean_capacity_db(v, t, available, 0) : -INFINITY;
	bytes_per_slot[0] = 0;
	for (size_t n = 1; n <= t->n_rb; n++) {
		float snr_db = full_db + link_power_gain_db(v->headroom_db, n, t->n_rb);
		float bytes = isfinite(full_db) ? (float)t->tbs_bytes[link_mcs(t, snr_db)][n] : 0;
		bytes_per_slot[n] = fmaxf(bytes, bytes_per_slot[n - 1]);
	}
}

void link_relative_rates(const struct link_view *v, const struct rate_table *t, const struct rb_set *set,
                         float *relative)
{
	float sum = 0;
	size_t n = 0;
	for (size_t rb = 0; rb < t->n_rb; rb++) {
		relative[rb] = 0;
		if (!v->usable || !rb_set_has(set, rb))
			continue;
		float db = fminf(v->snr_db[rb], cap_db(t));
		relative[rb] = isfinite(db) ? log2f(1 + exp10f(0.1f * db)) : 0;
		sum += relative[rb];
		n++;
	}
	for (size_t rb = 0; rb < t->n_rb && sum > 0; rb++)
		relative[rb] *= (float)n / sum;
}
