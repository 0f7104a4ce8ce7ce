#include "phy/sequence.h"

#include <math.h>

/* Primitive polynomials: x^7 + x^4 + 1 as TS 38.211 has it, x^6 + x + 1; a third of the length from cell to cell. */
void sequence_sync(const struct numerology *num, uint32_t cell_id, float seq[SYNC_LEN_MAX])
{
	bool longer = num->sync_len == SYNC_LEN_MAX;
	size_t len = num->sync_len, degree = longer ? 7 : 6, tap = longer ? 4 : 1, apart = longer ? 43 : 21;
	unsigned x[SYNC_LEN_MAX] = { 0, 1, 1, 0, 1, 1, 1 };
	for (size_t i = 0; i + degree < len; i++)
		x[i + degree] = x[i + tap] ^ x[i];
	for (size_t n = 0; n < len; n++)
		seq[n] = x[(n + apart * (cell_id % 3)) % len] ? -1.0f : 1.0f;
}

float sync_boost(const struct numerology *num)
{
	return sqrtf((float)num->n_sc / (float)num->sync_len);
}

void sequence_sounding(const struct numerology *num, uint32_t cell_id, float complex *seq)
{
	for (size_t k = 0; k < num->n_sc; k++) {
		double f = numerology_offset(num, k), sweep = M_PI * f * f / (SOUNDING_STEP * (double)num->n_sc);
		double shift = 2 * M_PI * f * (cell_id % 32) / (32 * SOUNDING_STEP);
		seq[k] = (float complex)cexp(I * ((k % 2 ? -sweep : sweep) - shift));
	}
}
