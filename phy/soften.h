/* soften.h - soft bits of received REs: equaliser, max-log demapper and descrambler of the data, in integers.
 *
 *     struct soften s;
 *     fill s.y, s.h, s.inverse_noise and s.scramble of n REs
 *     soften(&s, qm, n);
 *     tb_decode_feed(coder, s.llr[0], SOFTEN_RE, n);
 *
 * What phy/equalize.h, modem_demap and gold_flip_llr do one after the other in floating point, to within the rounding: with
 * x = Re(y conj h) / (|h|^2 unit), the coordinate in half distances between neighbouring points, the metrics of an axis
 * are sums of |x|, |x| - 2, .. times 4 unit^2 |h|^2 / noise. That needs no division, and 16 bits a number: the unit of
 * these integers is 1/32 of a step of the decoder. The gain stops at 63 (256QAM) .. 508 steps (QPSK) a half distance:
 * there every decision is beyond doubt.
 */
#ifndef PHY_SOFTEN_H
#define PHY_SOFTEN_H

#include "phy/modem.h"

#include <complex.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SOFTEN_RE = 256,    /* at a time: the work stays in the first-level cache */
	SOFTEN_EVM_RE = 32, /* the first of them are compared with the nearest points */
};

struct soften {
	/* In, n REs. */
	float complex y[SOFTEN_RE], h[SOFTEN_RE];
	float inverse_noise[SOFTEN_RE]; /* one over the variance of y, estimation error included; 0: erased */
	uint8_t scramble[SOFTEN_RE];    /* gold_symbols */
	/* Out. */
	int8_t llr[MODEM_BITS_MAX]
	          [SOFTEN_RE]; /* bit k of the symbols: positive = 0, LDPC_LLR_STEPS a unit, -127 .. 127 */
	float snr;             /* sum over the REs of |h|^2 / noise */
	float error, power; /* sums over the first SOFTEN_EVM_RE of |z - point|^2 and |point|^2, z the equalised RE */
	/* Work. */
	int16_t x[2][SOFTEN_RE], two[SOFTEN_RE]; /* real and imaginary coordinate; what 2 is in their unit */
};

/* qm: 2, 4, 6 or 8; n: 1 .. SOFTEN_RE. Any y and h do, what is not a number gives some soft bits. */
void soften(struct soften *s, unsigned qm, size_t n);

#endif
