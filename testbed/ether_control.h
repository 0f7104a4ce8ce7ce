/* ether_control.h - live commands to an ether: losses, fading, outages, movement.
 *
 *     struct ether_control *c = ether_control_create(ether, links, n_devices, err, sizeof err);
 *     ether_control_do(c, "path-loss 1 95", now_samples, rate_hz, answer, sizeof answer);
 *     ether_control_move(c, now_samples);           every tick: who moves along a file
 *     ether_control_destroy(c);
 *
 * Devices count from 0, as in the configuration.
 *
 *     path-loss K DB            mean path loss, both ways
 *     fading K MODEL [NS]       channel model, and RMS delay spread
 *     speed K KMH               Doppler
 *     outage K dl|ul|both MS    dark from now on for so long
 *     mobility K FILE           lines "seconds,path loss in dB" from now on, straight lines between them; the last one stays
 *     show K                    the link as it is
 */
#ifndef TESTBED_ETHER_CONTROL_H
#define TESTBED_ETHER_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "radio/ether.h"

#define ETHER_CONTROL_HELP                                                                                             \
	"  path-loss K DB            mean path loss, both ways\n"                                                      \
	"  fading K MODEL [NS]       channel model, and RMS delay spread\n"                                            \
	"  speed K KMH               Doppler\n"                                                                        \
	"  outage K dl|ul|both MS    dark from now on for so long\n"                                                   \
	"  mobility K FILE           lines \"seconds,path loss in dB\" from now on\n"                                  \
	"  show K                    the link as it is\n"

struct ether_control;

/* config: what the ether was made from; copied. NULL with errno ENOMEM. */
struct ether_control *ether_control_create(struct ether *ether, const struct ether_config *config);
void ether_control_destroy(struct ether_control *c); /* NULL is fine */

/* now: absolute time, base station's samples. 0 or -EINVAL; a line in answer either way. */
int ether_control_do(struct ether_control *c, const char *command, uint64_t now, char *answer, size_t len);
void ether_control_move(struct ether_control *c, uint64_t now);

#endif
