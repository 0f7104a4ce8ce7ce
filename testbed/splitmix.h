/* splitmix.h - well-mixed 64-bit numbers from counters: what seeds, draws and jitter are made of.
 *
 *     uint64_t stream_seed = splitmix(seed + (stream + 1) * SPLITMIX_STEP);     a number for each (seed, stream)
 *     uint64_t next = splitmix(state += SPLITMIX_STEP);                         a generator
 *
 * Steele, Lea and Flood 2014, splitmix64.
 */
#ifndef TESTBED_SPLITMIX_H
#define TESTBED_SPLITMIX_H

#include <stdint.h>

#define SPLITMIX_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t splitmix(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#endif
