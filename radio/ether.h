/* ether.h - in-process radio medium: one base station (node 0), up to 16 devices (nodes 1..K), fading links.
 *
 *     struct ether_config cfg = { .rate_hz = 7.68e6, .dl_hz = 3.5e9, .ul_hz = 3.4e9, .seed = 1, .n_devices = 1 };
 *     cfg.node[0] = (struct ether_node_config){ .tx_full_scale_dbm = 30, .noise_figure_db = 5 };
 *     cfg.node[1] = (struct ether_node_config){ .osc_ppm = 1.5, .tx_full_scale_dbm = 23, .noise_figure_db = 7,
 *                                               .rx_full_scale_dbm = -30, .start_offset_samples = 1234.56 };
 *     cfg.link[1] = (struct ether_link_config){ .path_loss_db = 110, .model = "tdl-a", .delay_spread_s = 100e-9,
 *                                               .speed_m_s = 0.83 };
 *     char err[128];
 *     struct ether *e = ether_create(&cfg, err, sizeof err);
 *     radio_send(ether_radio(e, 0), x, n, t);
 *     radio_recv(ether_radio(e, 1), y, n, ether_clock(e, 1, (double)t));
 *     ether_destroy(e);
 *
 * Model. Let t be absolute time in seconds, e_0 the BS's and e_k device k's oscillator error (osc_ppm * 1e-6). The BS
 * clock reads t * rate * (1 + e_0); a device's reads (t - t_start) * rate * (1 + e_k). One error per node moves its
 * sampling clock and both its carriers. "BS samples" as a measure of absolute time is what the BS clock reads (a
 * double where fractions matter). A receiver takes at its sample n, at absolute time t,
 *
 *     y[n] = sum over links  exp(j 2 pi cfo t) * sum over taps  a_i(t) x(t - D - tau_i)   + noise
 *
 * with x() the band-limited waveform through the transmitter's samples, D the propagation delay, tau_i the tap's delay,
 * a_i(t) its fading times the path loss, cfo = carrier * (e_tx - e_rx). Carrier phases of the delays are part of a_i,
 * which start at random phases (model "none": real, positive). Devices hear the BS only, the BS hears all devices.
 * Downlink and uplink fade independently (FDD); path loss and propagation delay are common to both.
 *
 * Fading, outages and noise are pure functions of (seed, link or node, direction, tap, time): the same whatever is
 * sent, received, in which pieces, in which order, by which thread; equal to the bit for any split of receives.
 *
 * Levels are absolute: received dBm = radiated dBm - path_loss_db - shadow (mean over fading); noise is -174 dBm/Hz +
 * noise_figure_db over rate_hz, added last. Over the whole band SNR is therefore
 * tx dBm - path_loss_db + 174 - noise_figure_db - 10 log10(rate_hz): ether_path_loss_for_snr() solves it for the loss.
 *
 * A node's hardware need not be ideal (radio/frontend.h): what the receiver's does comes after the noise. What the transmitter's
 * makes of the samples is clipped to full scale before it is radiated.
 *
 * Nothing waits: receiving computes from what has been sent so far, and what has not been sent yet is silence. A runner
 * has to keep transmitters ahead of receivers: sample n of a receiver needs the transmitters' samples up to
 * ETHER_LEAD_SAMPLES later than n on their clocks. Sent samples are kept for history_samples.
 *
 * Threads: each node's radio may be used by its own thread while others run; everything else (create, destroy, blank,
 * set_link) must be called while no radio is in use. There are no locks.
 */
#ifndef RADIO_ETHER_H
#define RADIO_ETHER_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

#include "radio/frontend.h"
#include "radio/radio.h"
#include "radio/trace.h"

enum {
	ETHER_MAX_DEVICES = 16,
	ETHER_LEAD_SAMPLES = 32,
	ETHER_MAX_SPREAD = 200, /* samples */
	ETHER_HISTORY_SAMPLES = 1 << 16,
	ETHER_MAX_BLANKS = 64, /* ether_blank calls per link and direction */
};

enum ether_dir { ETHER_DL, ETHER_UL };

struct ether_node_config {
	double osc_ppm;           /* oscillator error, -50 .. 50 */
	double tx_full_scale_dbm; /* radiated by amplitude 1.0 at tx gain 0 dB, -200 .. 100 */
	double noise_figure_db;   /* 0 .. 60 */
	double rx_full_scale_dbm; /* power at the antenna that reads amplitude 1.0 at rx gain 0 dB, -200 .. 100 */
	/* Absolute time, in BS samples, at which this clock reads 0: 0 .. 1e12, fractions count. BS: 0. */
	double start_offset_samples;
	struct frontend_config tx, rx; /* hardware's imperfections; all zero: ideal */
};

struct ether_outage {
	double rate_hz;    /* bursts a second: one at a random place in every 1/rate_hz; 0 = none */
	double duration_s; /* of each burst, 0 .. 1 hour */
	unsigned dirs;     /* which directions: 1 << ETHER_DL | 1 << ETHER_UL */
};

struct ether_link_config {
	double path_loss_db;        /* 0 .. 300 */
	double propagation_delay_s; /* 0 .. 1 ms */
	/* "none": flat and constant; "rayleigh", "rice": flat; "tdl-a" .. "tdl-e", "epa", "eva", "etu" (radio/tdl.h);
	 * "trace": a replay, of trace[] */
	const char *model;
	const struct channel_trace
	        *trace[2];     /* ETHER_DL, ETHER_UL; model "trace" alone; not copied, outlive the ether */
	double k_db;           /* rice: power of the direct ray over the diffuse, -40 .. 60 */
	double delay_spread_s; /* tdl-*: RMS delay spread, 0 .. 1 ms; the profile must fit ETHER_MAX_SPREAD samples */
	double shadow_db;      /* standard deviation of the log-normal shadow (radio/shadow.h), 0 .. 30; 0: none */
	double shadow_decorrelation_m; /* 1 .. 1e4 if there is a shadow; the same shadow both ways */
	double speed_m_s; /* 0 .. 500, Doppler = speed / c * carrier of the direction; at most 5e-4 of rate_hz */
	struct ether_outage outage;
};

struct ether_config {
	double rate_hz;      /* 1e4 .. 2e8 */
	double dl_hz, ul_hz; /* carriers, > 0 .. 1e12 */
	uint64_t seed;
	size_t n_devices;       /* 1 .. ETHER_MAX_DEVICES */
	size_t history_samples; /* 0: ETHER_HISTORY_SAMPLES; .. 2^28, rounded up to a power of two */
	struct ether_node_config node[ETHER_MAX_DEVICES + 1]; /* [0] is the BS */
	struct ether_link_config link[ETHER_MAX_DEVICES + 1]; /* [k] joins the BS and device k; [0] is not used */
};

struct ether;

/* Everything is checked: NULL with errno EINVAL and a line naming the field in err (may be NULL; err_len bytes), or
 * ENOMEM. Copies what it needs of cfg. */
struct ether *ether_create(const struct ether_config *cfg, char *err, size_t err_len);
void ether_destroy(struct ether *e); /* NULL is fine; the radios go with it */

/* Radio of node 0..n_devices, owned by the ether; NULL for another node. Gain ranges: tx -60..0 dB, rx -30..60 dB. */
struct radio *ether_radio(struct ether *e, size_t node);

/* Blank one direction of device `device`'s link at the receiver, for samples received at absolute times
 * from <= t < to, in BS samples. Returns 0, -EINVAL, or -ENOSPC after ETHER_MAX_BLANKS. */
int ether_blank(struct ether *e, size_t device, enum ether_dir dir, double from, double to);

/* Another channel for one device from now on: loss, fading, outages; the fading is that of the same rays where the profile is the same. Stretches blanked
 * stay so. -EINVAL with a line in err: nothing changes. */
int ether_set_link(struct ether *e, size_t device, const struct ether_link_config *link, char *err, size_t err_len);

/* For runners: the first sample of `node` at or after the absolute time bs_samples (0 before its clock started). */
uint64_t ether_clock(const struct ether *e, size_t node, double bs_samples);

/* For runners, logs and tests: absolute time, in BS samples, of sample t_samples of `node`. */
double ether_time(const struct ether *e, size_t node, uint64_t t_samples);

/* Truth, for logs and tests only: never an input to a node.
 * h[i] = complex response at baseband frequency offset_hz[i] of the link received at absolute time t_bs_samples:
 * path loss, shadow, fading, tap and propagation delays; no CFO, outage, noise, gains or full scales. |h|^2 = received over
 * radiated power. Phase reference: with x[m] = exp(j 2 pi f m / rate) sent forever (m = transmitter's samples), the
 * receiver at absolute time t sees, noise and CFO apart, h(f) * exp(j 2 pi f p / rate) where p is what the
 * transmitter's clock reads at t (so the whole delay is a phase slope in h). Returns 0, or -EINVAL for a device or
 * direction that is not. */
int ether_true_response(const struct ether *e, size_t device, enum ether_dir dir, double t_bs_samples,
                        const double *offset_hz, size_t n, double complex *h);

/* Carrier offset the receiver sees before any correction, Hz: its phase is 2 pi cfo t, t absolute seconds
 * (t_bs_samples / (rate (1 + e_0))). NAN for a device or dir that is not. */
double ether_true_cfo_hz(const struct ether *e, size_t device, enum ether_dir dir);

/* Path loss that gives a mean SNR over the whole band rate_hz (a signal that fills only part of it has more per
 * subcarrier), for tx_dbm radiated. */
double ether_path_loss_for_snr(double snr_db, double tx_dbm, double noise_figure_db, double rate_hz);

#endif
