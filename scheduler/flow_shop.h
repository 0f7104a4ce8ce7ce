/* flow_shop.h - two bands with a time between them: in which order devices are served, and how long the layer takes.
 *
 *     flow_shop_order(jobs, n);                                  the order of the least makespan
 *     slots = flow_shop_forecast(FLOW_LINE, jobs, n, n_devices); under the way in which an allocator shares the bands
 *
 * A job is a call: its downlink, what the device computes, its uplink; transfers in slots with the band for oneself. A
 * device does its jobs one after the other, in the order given, and sends what is done meanwhile. Fluid: nothing is lost and slots
 * have no ends; what that leaves out is for who learns from measured layers (scheduler/predict.h).
 */
#ifndef SCHEDULER_FLOW_SHOP_H
#define SCHEDULER_FLOW_SHOP_H

#include <stddef.h>

enum { FLOW_JOBS_MAX = 128 };

struct flow_job {
	size_t device;
	double first, lag, then; /* slots: downlink, compute, uplink; 0 or more */
};

/* How a band is shared by those who have something to carry. */
enum flow_sharing {
	FLOW_FIXED,        /* 1 / n_devices each, whoever is there */
	FLOW_EVEN,         /* the same to all that are */
	FLOW_PROPORTIONAL, /* so that all would be done together */
	FLOW_LINE,         /* downlink: one after the other, by flow_shop_order; uplink: as proportional */
	FLOW_GIVEN,        /* the same, the devices in the order in which they come first among the jobs */
};

/* Those whose downlink is shorter than their uplink come first, by rising downlink + lag, and then the others, by falling uplink +
 * lag: the least makespan of two machines with time lags (Johnson 1954, Mitten 1959). */
void flow_shop_order(struct flow_job *jobs, size_t n);

/* Slots until the last job is done. n: at most FLOW_JOBS_MAX, jobs beyond are left out; n_devices: devices are below it. */
double flow_shop_forecast(enum flow_sharing sharing, const struct flow_job *jobs, size_t n, size_t n_devices);

#endif
