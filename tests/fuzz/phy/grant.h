/* grant.h - grants that nobody should believe, out of a fuzzer's bytes. */
#ifndef FUZZ_GRANT_H
#define FUZZ_GRANT_H

#include "tests/fuzz/input.h"

#include "phy/dci.h"

/* Three in four stay within the band of n_rb resource blocks (at most 63). */
static inline struct grant fuzz_grant(struct fuzz_input *in, unsigned n_rb)
{
	struct grant g;
	fuzz_bytes(in, &g.rbs, sizeof g.rbs);
	if (fuzz_byte(in) % 4)
		g.rbs.bits[0] %= 1ull << n_rb, g.rbs.bits[1] = 0;
	g.mcs = fuzz_byte(in);
	g.harq_id = fuzz_byte(in);
	g.ndi = fuzz_byte(in);
	g.rv = fuzz_byte(in) % 8;
	return g;
}

#endif
