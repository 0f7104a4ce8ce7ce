/* csi_taps.h - from the channel estimates of a run's journal to taps over time, so that a measured channel can be replayed.
 *
 *     struct csi_taps taps;
 *     csi_taps_read("runs/x/journal.wdj", JOURNAL_DOWNLINK, 3, 20, &taps, err, sizeof err);
 *     taps_write("corridor.csv", &taps.trace, NULL, err, sizeof err);
 *     channel_trace_free(&taps.trace);
 *
 * What the receiver estimated over its subcarriers is fitted by taps one sample apart, from a little before the channel's mean delay on
 * (least squares, damped by the noise). Records lie where the receiver put its slots: the line through their times is the clock, what
 * deviates from it is the receiver's tracker and is taken out. Slots without a valid record are filled in linearly and counted. Oscillators
 * turn all subcarriers alike from slot to slot, so each row gets the phase that fits the row before best: what all paths' phases do in common
 * is lost, their envelope and all between them is kept. In the uplink the device's power control is part of what is measured.
 */
#ifndef TESTBED_CSI_TAPS_H
#define TESTBED_CSI_TAPS_H

#include <stddef.h>
#include <stdint.h>

#include "radio/trace.h"
#include "testbed/journal.h"

struct csi_taps {
	struct channel_trace trace; /* power 1; delays from 0 */
	uint64_t first_slot;
	size_t n_measured, n_filled; /* rows with a record, rows between them */
	double residual_db;          /* what the taps leave of the measured response, noise included, over all rows */
	double noise_db;             /* what the receiver said of its noise, over the same power */
};

/* journal: file. n_taps: 1 .. TDL_MAX_TAPS. 0 and *out, whose trace is the caller's to free; -ENODATA if the link has fewer than two valid
 * records, -EINVAL, -EIO ..., and one line in err. */
int csi_taps_read(const char *journal, enum journal_direction direction, unsigned device, size_t n_taps,
                  struct csi_taps *out, char *err, size_t err_len);

#endif
