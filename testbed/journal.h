/* journal.h - the log of a run: every estimated channel and every decision, in one file that survives a crash.
 *
 *     char dir[JOURNAL_PATH_MAX], err[256];
 *     journal_make_dir(NULL, "default", dir, sizeof dir, err, sizeof err);      // runs/default-20260131T120000Z
 *     struct journal *j;
 *     journal_create(dir, metadata, JOURNAL_WAIT, &j, err, sizeof err);
 *     journal_csi(j, JOURNAL_UPLINK, device, &csi);                             // in the slot loop
 *     journal_event(j, "{\"event\": \"attached\", \"slot\": %" PRIu64 ", \"device\": %u}", slot, device);
 *     int error = journal_close(j);                                             // all of it is on disk, or error says
 * why not
 *
 * One thread feeds it. Records are copied into a ring and written by a thread of the journal's own. Feeding neither
 * allocates nor takes a lock; when the ring is full it waits for the writer (JOURNAL_WAIT, lockstep: nothing is ever
 * lost) or drops the record and counts it (JOURNAL_DROP, when radio time is the clock). What is in the file
 * comes from the arguments alone, so that two runs of one seed leave the same bytes.
 *
 * The format is in notes/journal.md: a header with metadata in JSON, then records, each with a CRC32C. A reader takes
 * all up to the first damaged record and says where that is:
 *
 *     struct journal_reader *r;
 *     journal_reader_open("runs/x/journal.wdj", &r, err, sizeof err);
 *     struct journal_record rec;
 *     struct journal_csi_view csi;
 *     int got;
 *     while ((got = journal_reader_next(r, &rec)) > 0)
 *             if (rec.type == JOURNAL_CSI && journal_read_csi(&rec, &csi) == 0)
 *                     ... csi.h[2 * k], csi.h[2 * k + 1] ...
 *     journal_reader_close(r);
 */
#ifndef TESTBED_JOURNAL_H
#define TESTBED_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct csi; /* phy/csi.h */
struct journal;
struct journal_reader;

enum { JOURNAL_VERSION = 1, JOURNAL_PATH_MAX = 4096, JOURNAL_EVENT_MAX = 4096 };

#define JOURNAL_FILE_NAME "journal.wdj"

enum journal_type {
	JOURNAL_CSI = 1,   /* one estimated channel */
	JOURNAL_EVENT = 2, /* one JSON object: an event, or a decision with its inputs */
	JOURNAL_END = 3,   /* written by journal_close: the journal is complete */
};

enum journal_direction {
	JOURNAL_DOWNLINK = 0, /* estimated by the device from pilots */
	JOURNAL_UPLINK = 1,   /* estimated by the base station from sounding */
};

enum journal_when_full { JOURNAL_WAIT, JOURNAL_DROP };

struct journal_stats {
	uint64_t records, bytes; /* accepted, and their size in the file */
	uint64_t dropped;        /* refused because the ring was full */
	uint64_t not_finite;     /* refused because a number was NaN or Inf, or did not fit its field */
	uint64_t waits;          /* times the caller had to wait for the writer */
};

/* Makes the folder of a run. wanted: its path as asked for (made with its parents, or there already), NULL for
 * runs/<name>-<UTC time>, with a number behind if that is taken. Returns 0 and its path in dir, or negative errno and
 * one line in err: -EEXIST if a journal lies there already. */
int journal_make_dir(const char *wanted, const char *name, char *dir, size_t size, char *err, size_t err_len);

/* Makes dir/journal.wdj, which must not exist, and starts the writer. metadata: a JSON object, only read; it must hold
 * neither wall clock nor host nor path. Returns 0 and *out, which the caller ends with journal_close, or negative
 * errno and one line in err. */
int journal_create(const char *dir, const json_t *metadata, enum journal_when_full when_full, struct journal **out,
                   char *err, size_t err_len);

/* Appends a record. They return 0, -EDOM (a number is not finite: refused and counted), -EMSGSIZE (too long), -ENOBUFS
 * (dropped), or the error that stopped the writer, as -EIO or -ENOSPC. */
int journal_csi(struct journal *j, enum journal_direction direction, unsigned device, const struct csi *csi);
/* The text must be one JSON object without a newline, shorter than JOURNAL_EVENT_MAX. */
int journal_event(struct journal *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

void journal_get_stats(const struct journal *j, struct journal_stats *stats);

/* Waits until everything is written and synced, and ends the journal with its end record. Returns 0 or the first error
 * of the writer. NULL is fine. */
int journal_close(struct journal *j);

/* ---- reading ---- */

struct journal_record {
	uint32_t type; /* enum journal_type; skip what you do not know */
	const uint8_t *payload;
	size_t size;
	uint64_t offset; /* of the record in the file, bytes */
};

/* A CSI record: units as in phy/csi.h; numbers that say nothing because `valid` is false are zero. Arrays point into
 * the reader, until its next record. */
struct journal_csi_view {
	uint64_t slot;
	uint64_t t_slot_samples, t_ref_samples;
	enum journal_direction direction;
	unsigned device;
	bool valid;
	size_t n_sc, n_rb;
	float noise_var, snr_mean_db, cfo_hz, timing_samples, rssi_dbfs, evm_db;
	const float *snr_db; /* [n_rb] */
	const float *h;      /* [n_sc][2]: real, imaginary; lowest frequency first, DC skipped */
	float rx_gain_db;
};

/* arg itself, or the journal in it (written to buffer) if it is a folder. */
const char *journal_path(const char *arg, char *buffer, size_t size);

/* Returns 0 and *out, or negative errno and one line in err (-EBADMSG: not a journal, or its header is damaged). */
int journal_reader_open(const char *path, struct journal_reader **out, char *err, size_t err_len);
void journal_reader_close(struct journal_reader *r); /* NULL is fine */
const json_t *journal_reader_metadata(const struct journal_reader *r);

/* 1 and the next record; 0 at the end of the file; -EBADMSG at a record that is damaged or cut off, now and ever after
 * (journal_reader_offset is where it starts); -EIO. */
int journal_reader_next(struct journal_reader *r, struct journal_record *rec);
uint64_t journal_reader_offset(const struct journal_reader *r);

/* 0, or -EBADMSG if the record is not a CSI record or contradicts itself. */
int journal_read_csi(const struct journal_record *rec, struct journal_csi_view *csi);

#endif
