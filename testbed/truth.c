#include "testbed/truth.h"

#include <math.h>

#include "phy/power.h"

static const double thermal_dbm_hz = -174;

/* What the clock of a node reads at an absolute time in BS samples, fraction included. */
static double clock_at(struct ether *e, size_t node, double bs_samples)
{
	const uint64_t far = UINT64_C(1) << 30;
	double start = ether_time(e, node, 0);
	return (bs_samples - start) / (ether_time(e, node, far) - start) * (double)far;
}

static double seconds(const struct config *c, double bs_samples)
{
	return bs_samples / (c->radio.rate_hz * (1 + 1e-6 * c->bs.osc_ppm));
}

/* Variance of a RE: the demodulator is unitary, so that of a sample. */
static double noise_var(const struct config *c, double noise_figure_db, double rx_full_scale_dbm)
{
	return pow(10, 0.1 * (thermal_dbm_hz + noise_figure_db + 10 * log10(c->radio.rate_hz) - rx_full_scale_dbm));
}

struct view {
	const struct numerology *num;
	double lag; /* samples by which the transmitter's clock, from its slot's start, is ahead of the receiver's */
	double phase_rad; /* of carriers and oscillators */
	double amplitude;
};

/* h: the medium's response in, the whole of it out. */
static void complete(struct truth *t, const struct view *v, double noise)
{
	const struct numerology *num = v->num;
	double complex neighbours = 0;
	t->power = 0;
	for (size_t k = 0; k < num->n_sc; k++) {
		double cycles = numerology_offset(num, k) * v->lag / (double)num->n_fft;
		t->h[k] *= v->amplitude * cexp(I * (v->phase_rad + 2 * M_PI * cycles));
		t->power += (creal(t->h[k]) * creal(t->h[k]) + cimag(t->h[k]) * cimag(t->h[k])) / (double)num->n_sc;
		if (k && k != num->n_sc / 2) /* DC lies between those two */
			neighbours += conj(t->h[k - 1]) * t->h[k];
	}
	t->timing_samples = -carg(neighbours) * (double)num->n_fft / (2 * M_PI);
	t->noise_var = noise;
	t->snr_mean_db = 10 * log10(t->power / noise);
}

static void offsets(const struct numerology *num, double shift_hz, double *hz)
{
	for (size_t k = 0; k < num->n_sc; k++)
		hz[k] = numerology_freq_hz(num, k) + shift_hz;
}

void truth_downlink(struct lockstep *l, const struct config *config, size_t k, const struct csi *csi, struct truth *t)
{
	const struct numerology *num = layout_numerology(lockstep_layout(l));
	struct ether *e = lockstep_ether(l);
	struct radio_info info;
	double hz[PHY_SC_MAX];
	radio_get_info(ether_radio(e, k + 1), &info);
	double now = ether_time(e, k + 1, csi->t_ref_samples), cfo_hz = ether_true_cfo_hz(e, k + 1, ETHER_DL);
	double dl_re_dbm = config->bs.tx_power_dbm - 10 * log10((double)num->n_sc);
	struct view v = {
		.num = num,
		.lag = now - (double)(csi->slot * num->slot_len) - (double)(csi->t_ref_samples - csi->t_slot_samples),
		.phase_rad = 2 * M_PI * cfo_hz * seconds(config, now),
		.amplitude = (double)power_re_amplitude((float)dl_re_dbm, (float)info.rx_full_scale_dbm, num->n_fft),
	};
	offsets(num, 0, hz);
	ether_true_response(e, k + 1, ETHER_DL, now, hz, num->n_sc, t->h);
	complete(t, &v, noise_var(config, config->devices[k].noise_figure_db, info.rx_full_scale_dbm));
	t->cfo_hz = cfo_hz;
}

void truth_uplink(struct lockstep *l, const struct config *config, size_t k, const struct device_sent *sent,
                  const struct csi *csi, struct truth *t)
{
	const struct numerology *num = layout_numerology(lockstep_layout(l));
	struct ether *e = lockstep_ether(l);
	struct radio_info tx, rx;
	double hz[PHY_SC_MAX];
	radio_get_info(ether_radio(e, k + 1), &tx);
	radio_get_info(ether_radio(e, 0), &rx);
	double now = (double)csi->t_ref_samples, cfo_hz = ether_true_cfo_hz(e, k + 1, ETHER_UL);
	double into_slot = clock_at(e, k + 1, now) - (double)sent->t_samples;
	struct view v = {
		.num = num,
		.lag = into_slot - (double)(csi->t_ref_samples - csi->t_slot_samples),
		.phase_rad = 2 * M_PI * cfo_hz * seconds(config, now) + sent->nco_rad +
		             2 * M_PI * sent->nco_hz * into_slot / num->rate_hz,
		.amplitude = (double)sent->re_amplitude * pow(10, 0.05 * (tx.tx_full_scale_dbm - rx.rx_full_scale_dbm)),
	};
	offsets(num, sent->nco_hz, hz);
	ether_true_response(e, k + 1, ETHER_UL, now, hz, num->n_sc, t->h);
	complete(t, &v, noise_var(config, config->bs.noise_figure_db, rx.rx_full_scale_dbm));
	t->cfo_hz = cfo_hz + sent->nco_hz;
}

float truth_slot(struct lockstep *l, const struct config *config, size_t k, enum ether_dir dir, uint64_t slot,
                 float *above_db)
{
	const struct numerology *num = layout_numerology(lockstep_layout(l));
	size_t group = rb_group_size(num->n_rb), n = num->n_rb / group, n_sc = group * PHY_RB_SC;
	double complex h[PHY_SC_MAX];
	double hz[PHY_SC_MAX], middle = ((double)slot + 0.5) * (double)num->slot_len, sum = 0;
	offsets(num, 0, hz);
	ether_true_response(lockstep_ether(l), k + 1, dir, middle, hz, num->n_sc, h);
	for (size_t g = 0; g < n; g++) {
		double power = 0;
		for (size_t i = g * n_sc; i < (g + 1) * n_sc; i++)
			power += (creal(h[i]) * creal(h[i]) + cimag(h[i]) * cimag(h[i])) / (double)n_sc;
		above_db[g] = (float)(10 * log10(power + 1e-30));
		sum += power / (double)n;
	}
	float mean_db = (float)(10 * log10(sum + 1e-30));
	for (size_t g = 0; g < n; g++)
		above_db[g] -= mean_db;
	if (dir == ETHER_UL)
		return mean_db;
	double re_dbm = config->bs.tx_power_dbm - 10 * log10((double)num->n_sc);
	double noise_dbm = thermal_dbm_hz + config->devices[k].noise_figure_db + 10 * log10(num->scs_hz);
	return (float)(re_dbm + (double)mean_db - noise_dbm);
}
