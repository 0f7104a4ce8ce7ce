/* taps.h - a channel's taps over time as a text file that any program reads.
 *
 *     struct channel_trace tr;
 *     taps_read("corridor.csv", &tr, err, sizeof err);
 *     taps_write("corridor.csv", &tr, "what it is", err, sizeof err);
 *     channel_trace_free(&tr);
 *
 * Lines that begin with # are remarks, but for "# delays_s: d0,d1,..."; every other line is time_s,re0,im0,re1,im1,... at equal steps, the
 * first at 0. numpy.loadtxt(f, delimiter=",") reads it.
 */
#ifndef TESTBED_TAPS_H
#define TESTBED_TAPS_H

#include <stddef.h>

#include "radio/trace.h"

/* 0 and *tr, which the caller frees; -EINVAL (err says which line is not taps), -EIO, -ENOENT ..., and one line in err. */
int taps_read(const char *path, struct channel_trace *tr, char *err, size_t err_len);

/* remark: one line, may be NULL. The file is there whole or not at all. */
int taps_write(const char *path, const struct channel_trace *tr, const char *remark, char *err, size_t err_len);

#endif
