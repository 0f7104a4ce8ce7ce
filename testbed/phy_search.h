/* phy_search.h - cold starts of one receiver through the ether, one seeded trial after the other.
 *
 *     struct phy_search *s = phy_search_create(&params);
 *     phy_search_trial(s, snr_db, seed, &outcome, err, sizeof err);
 *     phy_search_noise(s, seed, n_slots, &noise);
 *
 * Downlink: a device that knows neither time nor carrier looks for the sync signal (phy/acquire.h). A lock is right if
 * it lies within half a cyclic prefix of the channel's mean delay and its carrier within what tracking pulls in
 * (phy/track.h). After a wrong one the device loses wrong_periods sync periods before it looks again, as the tracker of
 * a node does that reads no system information. After a right one it may follow the cell for a while, a block of data
 * in each slot. Uplink: one access preamble, and a silent access slot after it.
 *
 * A trial is a function of its seed: channel, clock, noise, distance and start are drawn from it. Objects of different
 * threads are independent; create and destroy them from one thread (FFTW plans).
 */
#ifndef TESTBED_PHY_SEARCH_H
#define TESTBED_PHY_SEARCH_H

#include "phy/layout.h"
#include "testbed/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct phy_search;

struct phy_search_params {
	const struct config *config; /* channel, carriers, powers; borrowed, as is the layout */
	const struct layout *layout;
	bool uplink;
	bool full;          /* downlink: data in every resource block while searching, too */
	double cfo_hz;      /* each trial draws its carrier offset from -cfo_hz .. cfo_hz, by the device's oscillator */
	bool fixed;         /* no draw: +cfo_hz for even seeds, -cfo_hz for odd ones */
	double range_hz;    /* range of the search; 0: the usual */
	double false_alarm; /* of the search, a period; 0: the usual */
	double distance_m;  /* each trial draws its distance from 0 .. distance_m */
	uint64_t periods_max; /* downlink: sync periods until a trial is given up */
	double follow_s;      /* downlink: how long a cell that was found is followed */
};

/* NAN where a trial has no such figure. */
struct phy_search_outcome {
	bool found;
	unsigned n_wrong;           /* downlink: wrong locks before */
	unsigned n_quiet, n_others; /* uplink: preambles seen in the silent slot, and of devices that sent none */
	double time_s, periods;     /* downlink: until the right lock; sync periods of the last search */
	double timing_samples, cfo_hz, snr_db; /* errors: estimate - truth */
	uint64_t slots, slots_lost;            /* followed; without a right block */
	bool sync_lost;                        /* phy/track.h gave up */
	double follow_timing_samples;          /* largest error of the tracked mean delay */
	double follow_cfo_hz;                  /* rms */
	double follow_clock_ppm;               /* error of the clock at the end */
};

enum { PHY_SEARCH_LEVELS = 6 };

/* What a receiver made of noise alone. */
struct phy_search_noise {
	uint64_t slots;   /* searched; uplink: access slots */
	uint64_t periods; /* downlink */
	uint64_t alarms;  /* locks; preambles */
	uint64_t
	        beyond[PHY_SEARCH_LEVELS]; /* downlink: periods that would have locked had 10^-(i + 1) been asked for */
};

/* NULL with errno. */
struct phy_search *phy_search_create(const struct phy_search_params *p);
void phy_search_destroy(struct phy_search *s); /* NULL is fine */

/* 0, or a negative errno with a line in err: the ether refuses the configuration. */
int phy_search_trial(struct phy_search *s, double snr_db, uint64_t seed, struct phy_search_outcome *o, char *err,
                     size_t err_len);

/* n_slots of noise of its own seed are added to *sum. */
void phy_search_noise(struct phy_search *s, uint64_t seed, uint64_t n_slots, struct phy_search_noise *sum);

#endif
