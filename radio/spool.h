/* spool.h - bytes to a file from a thread that must not wait for it: a ring in memory and a writer of its own.
 *
 *     struct spool *s = spool_create(fd, 8 << 20, SPOOL_DROP);      // fd: open for writing; the spool closes it
 *     if (spool_put(s, record, n) == -ENOBUFS)                      // in the slot loop: neither allocates nor locks
 *             dropped++;
 *     int error = spool_close(s);                                   // all of it is on disk, or error says why not
 *
 * One thread feeds it. What is put together stays together: whole or not at all. When the ring is full, SPOOL_WAIT waits for the writer
 * (lockstep: nothing is ever lost) and SPOOL_DROP refuses (where radio time is the clock).
 */
#ifndef RADIO_SPOOL_H
#define RADIO_SPOOL_H

#include <stddef.h>
#include <stdint.h>

enum spool_when_full { SPOOL_WAIT, SPOOL_DROP };

struct spool;

/* ring_bytes: a power of two. NULL with errno EINVAL, ENOMEM, EAGAIN; fd is then still the caller's. */
struct spool *spool_create(int fd, size_t ring_bytes, enum spool_when_full when_full);

/* 0; -EMSGSIZE (more than the ring holds), -ENOBUFS (full, SPOOL_DROP), or the error that stopped the writer, as -EIO or -ENOSPC: what is
 * put after that is lost. */
int spool_put(struct spool *s, const void *bytes, size_t n);

/* From now on. */
void spool_set_when_full(struct spool *s, enum spool_when_full when_full);

/* Times the feeding thread had to wait for the writer. */
uint64_t spool_waits(const struct spool *s);

/* For what comes before the spool, as a header: writes all of it at once. 0 or negative errno. */
int spool_write(int fd, const void *bytes, size_t n);

/* Waits until all is written and synced; closes the file. 0 or the first error of the writer. NULL is fine. */
int spool_close(struct spool *s);

#endif
