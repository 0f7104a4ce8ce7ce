/* turns.h - sine and cosine of an angle given as a 32-bit fraction of a turn (2^32 = one turn).
 *
 * Branch-free so that a loop over it vectorises, and so that every processor and every vector width gives the same
 * answer. Integer angles wrap for free and keep the full 2^-32 turn however far a phase has run.
 * Minimax polynomials on +-1/8 turn (Cephes, S. Moshier, sinf/cosf); error below 1.2e-7.
 */
#ifndef RADIO_TURNS_H
#define RADIO_TURNS_H

#include <math.h>
#include <stdint.h>

static inline void turns_sincos(uint32_t turns, float *sine, float *cosine)
{
	uint32_t quarter = (turns + 0x20000000u) >> 30;
	float x = (float)(int32_t)(turns - (quarter << 30)) * 1.4629180792671596e-9f; /* 2 pi / 2^32 */
	float z = x * x;
	float s = x + x * z * (-1.6666654611e-1f + z * (8.3321608736e-3f + z * -1.9515295891e-4f));
	float c = 1.0f - 0.5f * z +
	          z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
	float a = quarter & 1 ? c : s;
	float b = quarter & 1 ? s : c;
	*sine = quarter & 2 ? -a : a;
	*cosine = (quarter + 1) & 2 ? -b : b;
}

/* Any finite number of turns, rounded to 2^-32 of its fraction. */
static inline uint32_t turns_from(double turns)
{
	return (uint32_t)(int32_t)((turns - floor(turns) - 0.5) * 4294967296.0) + 0x80000000u;
}

#endif
