/* fracdelay.h - band-limited fractional delay: a table of short filters, one for each fraction of a sample.
 *
 *     struct fracdelay *d = fracdelay_create();
 *     const float *w = fracdelay_weights(d, fraction);
 *     // y = sum_j w[j] * x[i - FRACDELAY_BEFORE + j] is the waveform through x at position i + fraction
 *
 * Weights minimise the squared error against the ideal response exp(j 2 pi f fraction) over |f| <= FRACDELAY_BAND of
 * the sampling rate (general least squares, Laakso, Valimaki, Karjalainen and Laine, "Splitting the unit delay", IEEE
 * Signal Processing Magazine 13(1), 1996, eq. 32). Error: peak -55 dB, mean -65 dB up to 0.422 of the rate, for the
 * worst fraction; outside the band the gain stays below 1.01. Rounding the fraction to the table adds at most -64 dB.
 */
#ifndef RADIO_FRACDELAY_H
#define RADIO_FRACDELAY_H

enum {
	FRACDELAY_LENGTH = 24,
	FRACDELAY_BEFORE = FRACDELAY_LENGTH / 2 - 1, /* samples before the one at or before the position */
	FRACDELAY_STEPS = 2048,
};

#define FRACDELAY_BAND 0.425

struct fracdelay;

/* NULL with errno ENOMEM. */
struct fracdelay *fracdelay_create(void);
void fracdelay_destroy(struct fracdelay *d); /* NULL is fine */

/* FRACDELAY_LENGTH weights for a fraction in 0 .. 1 of a sample. */
const float *fracdelay_weights(const struct fracdelay *d, double fraction);

#endif
