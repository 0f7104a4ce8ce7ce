/* sort.h - sorting in place: qsort of the C library allocates from a kilobyte on, which the slot path must not.
 *
 *     sort(points, n, sizeof *points, by_latency);        as qsort; equal elements in any order, the same every time
 */
#ifndef SCHEDULER_SORT_H
#define SCHEDULER_SORT_H

#include <stddef.h>

enum { SORT_SIZE_MAX = 64 }; /* bytes of an element */

void sort(void *base, size_t n, size_t size, int (*compare)(const void *a, const void *b));

#endif
