/* ring.h - what one node of the ether has sent: its latest samples, by absolute sample number.
 *
 * One writer (the node's own thread) appends in order of time; gaps are silence. Any number of readers ask for any
 * stretch; what lies before sample 0 or has not been written yet reads as silence. No locks: the writer publishes its
 * end with release, readers take it with acquire and never look beyond. A reader must stay within ring_history of the
 * end, half the ring, which leaves a writer the other half to run ahead meanwhile.
 *
 * Samples are kept split in real and imaginary parts, scaled by the caller to an absolute level, with a note per
 * RING_CHUNK samples whether any of them is not zero: silent stretches then cost a reader next to nothing.
 */
#ifndef RADIO_RING_H
#define RADIO_RING_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_CHUNK = 64, RING_HISTORY = 1 << 16 /* usual */ };

struct ring;

/* history: samples behind the end that stay readable, 64 .. 2^28; rounded up to a power of two. NULL with errno EINVAL
 * or ENOMEM. */
struct ring *ring_create(size_t history);
void ring_destroy(struct ring *ring); /* NULL is fine */

/* As rounded. */
size_t ring_history(const struct ring *ring);

/* Number of the sample after the last one written. */
uint64_t ring_end(const struct ring *ring);

/* Append x[0..n-1], times scale, as samples t .. t+n-1; t >= ring_end. Components beyond +-1 are clipped to +-1 before
 * scaling; returns the number of samples this changed. */
uint64_t ring_write(struct ring *ring, uint64_t t, const float complex *x, size_t n, float scale);

/* 1 if samples first .. first+n-1 are surely all silence: chunks are looked at as a whole. */
int ring_is_silent(const struct ring *ring, int64_t first, size_t n);

/* Copy samples first .. first+n-1 to re[], im[]. n <= ring_history. */
void ring_read(const struct ring *ring, int64_t first, size_t n, float *re, float *im);

#endif
