#include "phy/sequence.h"

#include <math.h>

void sequence_sync(uint32_t cell_id, float seq[SYNC_LEN])
{
	unsigned x[SYNC_LEN] = { 0, 1, 1, 0, 1, 1, 1 };
	for (size_t i = 0; i + 7 < SYNC_LEN; i++)
		x[i + 7] = x[i + 4] ^ x[i];
	for (size_t n = 0; n < SYNC_LEN; n++)
		seq[n] = x[(n + 43 * (cell_id % 3)) % SYNC_LEN] ? -1.0f : 1.0f;
}

float sync_boost(const struct numerology *num)
{
	return sqrtf((float)num->n_sc / SYNC_LEN);
}
