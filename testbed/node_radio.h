/* node_radio.h - the radio that a configuration gives a node in a process of its own.
 *
 *     struct radio *r = node_radio_open(&config, &num, 2, err, sizeof err);     // 0: base station, k: device k - 1
 *     ...
 *     radio_destroy(r);
 */
#ifndef TESTBED_NODE_RADIO_H
#define TESTBED_NODE_RADIO_H

#include <stddef.h>

#include "phy/numerology.h"
#include "radio/radio.h"
#include "testbed/config.h"

/* NULL with errno (ETIMEDOUT, ENODEV: not there; it may come) and one line in err. */
struct radio *node_radio_open(const struct config *config, const struct numerology *num, unsigned node, char *err,
                              size_t err_len);

#endif
