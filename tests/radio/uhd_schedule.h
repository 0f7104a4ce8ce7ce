/* uhd_schedule.h - a UHD radio on the double under one schedule of faults, and what must hold whatever they are.
 *
 *     struct uhd_schedule_result res;
 *     const char *wrong = uhd_schedule_run(seed, &res);      // NULL: all held; otherwise what did not
 *
 * 1.92 MS/s, slots of 960 samples, packets of 100 to 1500; in each slot a receive and, in bursts of random length or without end, a send four slots ahead.
 * One to six faults at random times in 150 ms; 80 ms after the last, 40 ms in which all must be well. Checked, sample by sample:
 *   - a received sample is the one of its time, or zero where samples were lost; never one of another time
 *   - a radiated sample is the one sent for that time
 *   - every slot of those 40 ms is received whole, and what was sent for it radiated whole
 *   - a disconnected device gives -EIO from both directions, and RADIO_LOST once
 *   - no more receive calls than slots, packets and faults explain (nothing spins); every handle freed; both directions off at the end
 */
#ifndef TESTS_RADIO_UHD_SCHEDULE_H
#define TESTS_RADIO_UHD_SCHEDULE_H

#include <stdint.h>

#include "radio/radio.h"
#include "uhd_double.h"

struct uhd_schedule_result {
	size_t n_faults, faults[UHD_DOUBLE_FAULT_TYPES]; /* that came, by type */
	uint64_t events[RADIO_EVENT_TYPES];
	uint64_t samples, zeros;     /* received; of them lost */
	uint64_t accepted, radiated; /* sent; of them on the air */
};

const char *uhd_schedule_run(uint64_t seed, struct uhd_schedule_result *res);

#endif
