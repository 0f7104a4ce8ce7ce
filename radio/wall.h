/* wall.h - seconds of the wall clock, for what happens in real time: timeouts, pace, how long something took. */
#ifndef RADIO_WALL_H
#define RADIO_WALL_H

#include <time.h>

/* Since some fixed moment; never goes back. */
static inline double wall_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
