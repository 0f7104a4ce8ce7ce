/* uhd_time.h - a device's time of seconds as the interface's count of samples, and back.
 *
 * Sample 0 lies at a full second of the device's clock. Seconds stay whole, so that neither days of running nor rates that are no
 * integer lose a sample: whole numbers up to 2^53 are exact.
 */
#ifndef RADIO_UHD_TIME_H
#define RADIO_UHD_TIME_H

#include <math.h>
#include <stdint.h>

struct uhd_time {
	int64_t start_s; /* device time of sample 0 */
	double rate_hz;
};

/* The sample nearest to a device time; negative before sample 0. */
static inline int64_t uhd_time_samples(const struct uhd_time *u, int64_t full_s, double frac_s)
{
	return llround((double)(full_s - u->start_s) * u->rate_hz + frac_s * u->rate_hz);
}

static inline void uhd_time_device(const struct uhd_time *u, uint64_t t_samples, int64_t *full_s, double *frac_s)
{
	double whole = floor((double)t_samples / u->rate_hz);
	*full_s = u->start_s + (int64_t)whole;
	*frac_s = ((double)t_samples - whole * u->rate_hz) / u->rate_hz;
}

#endif
