/* sigmf.h - samples on disk, as SigMF 1.0 has them: NAME.sigmf-data (cf32_le) and NAME.sigmf-meta (JSON).
 *
 *     struct sigmf_writer *w = sigmf_create("runs/x/device3", &what, SPOOL_DROP, err, sizeof err);
 *     sigmf_put(w, x, 3840, t, -30);                       // in the slot loop: neither allocates nor touches files
 *     sigmf_annotate(w, t + 17, 100, "late");
 *     int error = sigmf_close(w);                          // writes the metadata
 *
 *     struct sigmf_recording rec;
 *     sigmf_open("runs/x/device3", &rec, err, sizeof err);
 *     sigmf_read(&rec, x, 3840, t);
 *     sigmf_free(&rec);
 *
 * Time is the recorder's sample count, kept as core:global_index of each capture: a new capture begins where samples are missing, or where
 * the power that full scale stands for changes (wdmoe:full_scale_dbm, an optional extension). Nothing tells the wall clock, so that two
 * recordings of one lockstep run are equal.
 */
#ifndef RADIO_SIGMF_H
#define RADIO_SIGMF_H

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

#include "radio/spool.h"

enum { SIGMF_CAPTURES_MAX = 4096, SIGMF_ANNOTATIONS_MAX = 4096, SIGMF_LABEL_MAX = 48, SIGMF_PATH_MAX = 1024 };

struct sigmf_what {
	double rate_hz, carrier_hz;
	const char *description, *recorder; /* program and version; NULL: none */
};

struct sigmf_stats {
	uint64_t samples, dropped; /* samples written, and refused because the ring was full */
	uint64_t captures, annotations;
	uint64_t unmarked; /* annotations, and captures with their samples, beyond what the tables hold */
};

struct sigmf_writer;

/* name: with or without .sigmf-meta or .sigmf-data; never overwrites. NULL with errno and one line in err. */
struct sigmf_writer *sigmf_create(const char *name, const struct sigmf_what *what, enum spool_when_full when_full,
                                  char *err, size_t err_len);

/* Samples t .. t+n-1, t not before the end of the put before (then -EINVAL). full_scale_dbm: power of amplitude 1. Returns 0, -ENOBUFS or
 * the writer's error. */
int sigmf_put(struct sigmf_writer *w, const float complex *x, size_t n, uint64_t t, double full_scale_dbm);

/* n may be 0: an instant. label is cut off at SIGMF_LABEL_MAX - 1 bytes. Where nothing was recorded at t it is left out of the file. */
void sigmf_annotate(struct sigmf_writer *w, uint64_t t, uint64_t n, const char *label);

struct sigmf_stats sigmf_get_stats(const struct sigmf_writer *w);

/* 0 or the first error. NULL is fine. */
int sigmf_close(struct sigmf_writer *w);

/* ---- reading ---- */

struct sigmf_capture {
	uint64_t start, t;                 /* index in the file, and the sample's time */
	double carrier_hz, full_scale_dbm; /* NAN: the file does not say */
};

struct sigmf_recording {
	double rate_hz;
	uint64_t n_samples;
	size_t n_captures;
	struct sigmf_capture *capture; /* in order */
	const float complex *x;        /* [n_samples], mapped */
};

/* Any recording of one channel in cf32_le. name as above. 0, or negative errno and one line in err. */
int sigmf_open(const char *name, struct sigmf_recording *rec, char *err, size_t err_len);
void sigmf_free(struct sigmf_recording *rec); /* all zero is fine */

/* Time after the last sample. */
uint64_t sigmf_end(const struct sigmf_recording *rec);

/* x[0..n-1] = samples t .. t+n-1; 0 where there is none. Returns how many there were. */
size_t sigmf_read(const struct sigmf_recording *rec, float complex *x, size_t n, uint64_t t);

#endif
