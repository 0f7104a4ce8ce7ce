/* realtime.h - what the operating system can do for a slot loop, and what stands in its way.
 *
 *     realtime_check(&config.realtime, say, arg);                    once, before: one line for each thing that is not as it should be
 *     realtime_lock_memory();
 *     rc = realtime_thread(&config.realtime);             in the loop's thread: scheduling and processor
 */
#ifndef TESTBED_REALTIME_H
#define TESTBED_REALTIME_H

#include <stdbool.h>

#include "testbed/config.h"

/* over_network: samples come through the kernel's sockets from a USRP. Returns how many lines were said. */
unsigned realtime_check(const struct config_realtime *c, bool over_network, void (*say)(void *arg, const char *line),
                        void *arg);

/* 0 or negative errno: the process runs on as it is. */
int realtime_lock_memory(void);
int realtime_thread(const struct config_realtime *c);

#endif
