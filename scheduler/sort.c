/* Heapsort (Williams 1964). */
#include "scheduler/sort.h"

#include <string.h>

static void swap(char *a, char *b, size_t size)
{
	char kept[SORT_SIZE_MAX];
	memcpy(kept, a, size);
	memcpy(a, b, size);
	memcpy(b, kept, size);
}

/* Element i sinks to where no child is larger. */
static void sink(char *base, size_t i, size_t n, size_t size, int (*compare)(const void *a, const void *b))
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= n)
			return;
		if (child + 1 < n && compare(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (compare(base + i * size, base + child * size) >= 0)
			return;
		swap(base + i * size, base + child * size, size);
		i = child;
	}
}

void sort(void *base, size_t n, size_t size, int (*compare)(const void *a, const void *b))
{
	for (size_t i = n / 2; i-- > 0;)
		sink(base, i, n, size, compare);
	for (size_t last = n; last-- > 1;) {
		swap(base, (char *)base + last * size, size);
		sink(base, 0, last, size, compare);
	}
}
