/* ldpc_kernel.h - the inner loops of the LDPC decoder, once for each kind of vector unit. Internal to phy/ldpc_*.c.
 *
 * A kernel works on one row of the base graph: its z checks are lanes, some at a time, and for those all edges one after
 * another. All kernels do the same arithmetic on int8 and give the same bits.
 *
 * A column's posteriors are a ring of z values, the first LDPC_PAD of them repeated behind it, so that a whole vector can
 * be read from any place on. A row reads its columns in order of its own checks, each from another place, and writes
 * them in that order, on vector boundaries, to the column's other ring: the first lanes last, as what the vector at the
 * end has too many is then overwritten by the repetition. Which ring is which turns over in each iteration for columns
 * with an odd number of edges: so there are tables for even and odd iterations.
 */
#ifndef PHY_LDPC_KERNEL_H
#define PHY_LDPC_KERNEL_H

#include "phy/ldpc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The rule for messages of phy/ldpc.h, in integers; notes/coding.md has what other figures give. */
enum { LDPC_OFFSET = 1, LDPC_NEAR = 2, LDPC_MAGNITUDE_MAX = 64 };

enum {
	LDPC_STEP = 32, /* lanes between two places */
	LDPC_PAD = 64,  /* lanes of the widest kernel */
	LDPC_RING = 384 + LDPC_PAD,
	LDPC_PLACES = 384 / LDPC_STEP,
	LDPC_DEGREE_MAX = 19 /* of a row, but for the edge to its own parity column */
};

struct ldpc_row {
	size_t n_edges; /* but for the one to the row's own parity column */
	const uint16_t (
	        *from[2])[LDPC_PLACES]; /* of each edge, in even and odd iterations: where in the rings it reads lanes
	                                            0, LDPC_STEP .. */
	const uint16_t *to[2];          /* of each edge: where the ring begins that it writes */
	const uint16_t *home[2]; /* of each edge, before even and odd iterations: where its column's ring begins */
	const uint16_t (*stand)[LDPC_PLACES]; /* and where in there lanes 0, LDPC_STEP .. are */
	const int8_t *parity;                 /* channel values of the row's own parity column; NULL in core rows */
	int8_t *parity_post;                  /* its posteriors */
	int8_t *message; /* n_edges * (z rounded up to LDPC_PAD), in an order of the kernel's own */
};

struct ldpc_kernel {
	const char *name;
	/* In an even or odd iteration; fresh: the messages are zero, whatever is there. */
	void (*update)(const struct ldpc_row *row, int8_t *rings, size_t z, bool odd, bool fresh);
	/* All z checks, by the signs of the posteriors before an even or odd iteration. */
	bool (*holds)(const struct ldpc_row *row, const int8_t *rings, size_t z, bool odd);
};

extern const struct ldpc_kernel ldpc_kernel_portable;
#ifdef __x86_64__
extern const struct ldpc_kernel ldpc_kernel_avx2;   /* AVX2 */
extern const struct ldpc_kernel ldpc_kernel_avx512; /* AVX-512 F and BW */
#endif

#endif
