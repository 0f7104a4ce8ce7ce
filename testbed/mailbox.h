/* mailbox.h - things of one size from one thread to another, in order; neither ever waits.
 *
 *     struct mailbox *m = mailbox_create(sizeof(struct event), 1024);
 *     if (mailbox_put(m, &event) == -ENOBUFS)         the slot loop
 *             lost++;
 *     while (mailbox_take(m, &event)) ...             who prints and writes files
 */
#ifndef TESTBED_MAILBOX_H
#define TESTBED_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

struct mailbox;

/* n: things it holds, 1 .. 2^20. NULL with errno. */
struct mailbox *mailbox_create(size_t size, size_t n);
void mailbox_destroy(struct mailbox *m); /* NULL is fine */

int mailbox_put(struct mailbox *m, const void *thing); /* 0 or -ENOBUFS: it is full */
bool mailbox_take(struct mailbox *m, void *thing);

#endif
