/* phy_sweep.h - block error rates of simulated links: points of a curve by many seeded runs, and where the curve crosses
 * a level.
 *
 *     struct phy_sweep *s = phy_sweep_create(&link_config, n_threads, err, sizeof err);
 *     struct phy_point p;
 *     phy_sweep_point(s, &request, &p);
 *     double snr_db = phy_sweep_crossing(points, n, 0.1);
 *
 * Run i of a point has a seed made of the request's, the MCS and i: the same fading, clocks and noise at every SNR. Runs
 * are dealt to threads, and added up in order in batches of PHY_SWEEP_BATCH; a point ends with the batch in which it has
 * enough blocks or errors. So the result does not depend on the number of threads.
 */
#ifndef TESTBED_PHY_SWEEP_H
#define TESTBED_PHY_SWEEP_H

#include "testbed/phy_link.h"
#include "testbed/stats.h"

enum { PHY_SWEEP_BATCH = 8 };

struct phy_sweep;

struct phy_request {
	unsigned mcs;
	double snr_db;
	uint64_t seed;
	size_t trials;      /* blocks of each device, at least */
	size_t stop_errors; /* enough of them (first transmissions, all devices together); 0: never */
	size_t min_runs;    /* before stop_errors counts */
};

struct phy_point {
	unsigned mcs;
	double snr_db;
	size_t n_runs, n_devices;
	struct phy_link_counts sum, device[PHY_DEVICES_MAX];
	struct stats_interval bler[PHY_LINK_TX_MAX];        /* after 1, 2, .. transmissions; all devices */
	struct stats_interval device_bler[PHY_DEVICES_MAX]; /* after the first */
};

/* n_threads: 1 .. 64. NULL with one line of reason in err. */
struct phy_sweep *phy_sweep_create(const struct phy_link_config *config, size_t n_threads, char *err, size_t err_len);
void phy_sweep_destroy(struct phy_sweep *s); /* NULL is fine */

/* To be called before each point and after each batch, with the blocks of a device and the errors so far; false: stop. */
void phy_sweep_watch(struct phy_sweep *s,
                     bool (*go_on)(void *arg, const struct phy_request *r, uint64_t blocks, uint64_t errors),
                     void *arg);

/* 0; -EINTR: told to stop, *p is empty; or what phy_link_run returns. */
int phy_sweep_point(struct phy_sweep *s, const struct phy_request *r, struct phy_point *p);

/* Information bits and data REs of a block of device 0; 0, 0 for none. */
void phy_sweep_block(const struct phy_sweep *s, unsigned mcs, size_t *bits, size_t *re);

/* SNR at which the error rate falls through `level`, on straight lines of log(BLER) over dB between neighbours; points
 * without an error count as half a one. rate: of each point, ascending in snr_db; blocks: tried. NAN when it does not. */
double phy_sweep_crossing(const double *snr_db, const double *rate, const double *blocks, size_t n, double level);

/* Shannon: the SNR in dB at which a complex AWGN channel carries that many bits a symbol. */
double phy_shannon_db(double bits_per_symbol);

#endif
