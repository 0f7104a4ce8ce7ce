/* helper.h - one thread for work that a slot loop must not wait for.
 *
 *     struct helper *h = helper_create();
 *     uint64_t ticket = helper_start(h, work, arg);     the thread calls work(arg), in order of starting
 *     ...
 *     if (helper_done(h, ticket)) ...                   what it wrote may be read now
 *     helper_destroy(h);
 *
 * Starting and asking neither allocate nor lock nor wait. One thread starts and asks. Up to HELPER_JOBS may be under way.
 */
#ifndef TESTBED_HELPER_H
#define TESTBED_HELPER_H

#include <stdbool.h>
#include <stdint.h>

enum { HELPER_JOBS = 256 };

struct helper;

struct helper *helper_create(void);    /* NULL with errno */
void helper_destroy(struct helper *h); /* after the job at hand; those behind it are dropped. NULL is fine */

/* Counts from 1; 0: too many are under way. */
uint64_t helper_start(struct helper *h, void (*work)(void *arg), void *arg);
bool helper_done(const struct helper *h, uint64_t ticket);

#endif
