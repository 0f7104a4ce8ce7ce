#include "radio/phase_noise.h"

#include <errno.h>
#include <math.h>

#include "radio/gauss.h"

_Static_assert((int)PHASE_NOISE_BLOCK == (int)GAUSS_BLOCK, "noise is drawn a block at a time");

#define NO_BLOCK UINT64_MAX
/* So that there is something before sample 0. */
static const uint64_t blocks_before = 1 << 20;

int phase_noise_init(struct phase_noise *p, double level_dbc_hz, double corner_hz, double rate_hz, uint64_t seed,
                     uint32_t stream)
{
	if (!(level_dbc_hz >= -200 && level_dbc_hz <= -40 && corner_hz >= rate_hz / 2000 && corner_hz <= rate_hz / 4))
		return -EINVAL;
	double pole = exp(-2 * M_PI * corner_hz / rate_hz);
	double variance = M_PI * corner_hz * pow(10, level_dbc_hz / 10);
	*p = (struct phase_noise){ .pole = pole,
		                   .drive = sqrt(variance * (1 - pole * pole)),
		                   .warm = (uint64_t)ceil(log(1e-4) / log(pole) / PHASE_NOISE_BLOCK),
		                   .seed = seed,
		                   .stream = stream,
		                   .block = NO_BLOCK };
	return 0;
}

/* block counts from blocks_before before sample 0. */
static void next_block(struct phase_noise *p, uint64_t block)
{
	float noise[PHASE_NOISE_BLOCK], other[PHASE_NOISE_BLOCK];
	gauss_fill(p->seed, p->stream, block * PHASE_NOISE_BLOCK, PHASE_NOISE_BLOCK, noise, other);
	for (size_t i = 0; i < PHASE_NOISE_BLOCK; i++) {
		p->last = p->pole * p->last + p->drive * (double)noise[i];
		p->phase[i] = (float)p->last;
	}
	p->block = block;
}

static void go_to(struct phase_noise *p, uint64_t block)
{
	uint64_t segment = block / PHASE_NOISE_SEGMENT * PHASE_NOISE_SEGMENT;
	if (p->block == block)
		return;
	if (p->block == NO_BLOCK || p->block < segment || p->block > block) {
		p->last = 0;
		p->block = segment - p->warm - 1;
	}
	while (p->block != block)
		next_block(p, p->block + 1);
}

void phase_noise_fill(struct phase_noise *p, uint64_t t, size_t n, float *radians)
{
	for (size_t done = 0; done < n;) {
		uint64_t at = t + done;
		size_t skip = (size_t)(at % PHASE_NOISE_BLOCK), take = PHASE_NOISE_BLOCK - skip;
		if (take > n - done)
			take = n - done;
		go_to(p, blocks_before + at / PHASE_NOISE_BLOCK);
		for (size_t i = 0; i < take; i++)
			radians[done + i] = p->phase[skip + i];
		done += take;
	}
}
