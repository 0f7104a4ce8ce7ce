/* ul_access.h - the preambles of an access slot from its samples, further away than a cyclic prefix reaches.
 *
 * A device without a timing advance is late by its round trip. The detector (phy/access.h) bears what the prefix bears;
 * here the slot is demodulated once for every stretch of delays, a prefix further on each time, and of what was found
 * of a device in several the strongest counts. Cost grows with the range and the number of devices looked for; with
 * nobody to look for there is none.
 *
 *     ul_access_set(a, candidates, range_samples);
 *     ul_access_take(a, samples);                        the slot, kept
 *     n = ul_access_find(a, found);
 */
#ifndef PHY_UL_ACCESS_H
#define PHY_UL_ACCESS_H

#include "phy/access.h"

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

struct ul_access_rx;

/* Delays up to one prefix at first, everybody looked for. NULL with errno EINVAL or ENOMEM. */
struct ul_access_rx *ul_access_create(const struct numerology *num, uint32_t cell_id);
void ul_access_destroy(struct ul_access_rx *a); /* NULL is fine */

/* candidates: bit d for device d. range_samples: round trip up to which preambles are found at least; held to
 * ul_access_range_max, beyond which they would run into the control symbols altogether. */
void ul_access_set(struct ul_access_rx *a, uint32_t candidates, double range_samples);
double ul_access_range_max(const struct numerology *num); /* half an FFT length */

void ul_access_take(struct ul_access_rx *a, const float complex *samples); /* slot_len */
/* found: room for PHY_DEVICES_MAX; strongest first. Returns how many. */
size_t ul_access_find(struct ul_access_rx *a, struct access_found *found);

#endif
