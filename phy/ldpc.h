/* ldpc.h - the quasi-cyclic LDPC codes of 3GPP TS 38.212, section 5.3.2: encoder and decoder.
 *
 *     struct ldpc_code code;
 *     ldpc_code_init(&code, &ldpc_bg2, z);
 *     ldpc_encode(&code, codeword, code.graph->n_rows);
 *     struct ldpc_decoder *d = ldpc_decoder_create();
 *     int iterations = ldpc_decode(d, &code, llr, bits, 8);
 *
 * A codeword is n_cols columns of z bits, the first n_info of them information; element i of column c stands at
 * c * z + i. Check i of row r says: the sum over the row's edges of element (i + shift) % z of the edge's column is 0.
 *
 * The decoder is layered min-sum on int8, the z checks of a row as lanes of the vector unit (AVX-512, AVX2 or what the
 * compiler makes of plain C: chosen when the program runs, the bits are the same). What a check tells a column is the
 * smallest magnitude m1 of its other columns, less an offset (Chen et al., "Reduced-complexity decoding of LDPC codes",
 * IEEE Trans. Commun. 2005), and less again when the second smallest, m2, is near:
 *
 *     |message| = max(0, m1 - 1 - max(0, 2 - (m2 - m1)))
 *
 * in steps of 1 / LDPC_LLR_STEPS. The second term follows log(1 + exp(m1 - m2)) of the exact sum of two. Magnitudes count
 * as 64 at most, channel values as 60. Posteriors saturate at +-127; of a message that drives one there, only what it
 * added is kept, so that it can be taken off again: otherwise there is an error floor.
 */
#ifndef PHY_LDPC_H
#define PHY_LDPC_H

#include <stddef.h>
#include <stdint.h>

enum {
	LDPC_Z_MAX = 384,
	LDPC_SETS = 8,
	LDPC_COLS_MAX = 68,
	LDPC_ROWS_MAX = 46,
	LDPC_EDGES_MAX = 316,
	LDPC_CORE_ROWS = 4, /* rows from here on each have a parity column that no other row has */
	LDPC_LLR_STEPS = 3
};

struct ldpc_edge {
	uint8_t col;
	uint16_t shift[LDPC_SETS]; /* V of the table for lifting sets 0 .. 7; the shift is V mod z */
};

struct ldpc_graph {
	uint8_t n_rows, n_cols, n_info;
	const uint16_t *row_start;     /* n_rows + 1 indices into edges */
	const struct ldpc_edge *edges; /* row by row, columns ascending */
};

extern const struct ldpc_graph ldpc_bg1; /* table 5.3.2-2: 46 rows, 68 columns, 22 of information */
extern const struct ldpc_graph ldpc_bg2; /* table 5.3.2-3: 42 rows, 52 columns, 10 of information */

struct ldpc_code { /* a base graph lifted by z */
	const struct ldpc_graph *graph;
	size_t z;
	uint16_t shift[LDPC_EDGES_MAX]; /* of each edge, < z */
};

/* Lifting set (table 5.3.2-1) of z, 0 .. 7; -EINVAL when z is none of the 51 lifting sizes. */
int ldpc_lifting_set(size_t z);

/* The smallest lifting size >= z_min; 0 when z_min > 384. */
size_t ldpc_lifting_size(size_t z_min);

/* Returns 0, or -EINVAL when z is no lifting size. */
int ldpc_code_init(struct ldpc_code *code, const struct ldpc_graph *graph, size_t z);

/* codeword: n_cols * z bits, one a byte (0 or 1), the information columns filled in. Writes the parity columns of the
 * first n_rows rows (at least 4); the rest is left alone. */
void ldpc_encode(const struct ldpc_code *code, uint8_t *codeword, size_t n_rows);

struct ldpc_decoder; /* work space, about 320 kB, for every code; one thread at a time */

/* NULL with errno ENOMEM. */
struct ldpc_decoder *ldpc_decoder_create(void);

/* With a kernel of choice, "avx512", "avx2" or "portable"; NULL: the fastest here. NULL with errno ENOMEM, or ENOTSUP
 * when there is none of that name or the processor does not run it. */
struct ldpc_decoder *ldpc_decoder_create_kernel(const char *kernel);
void ldpc_decoder_destroy(struct ldpc_decoder *d); /* NULL is fine */
const char *ldpc_kernel_name(const struct ldpc_decoder *d);

/* llr: n_cols * z channel values times LDPC_LLR_STEPS, positive = 0, 0 = not received. bits: n_info * z decisions, one
 * a byte, always written. Returns the number of iterations, 1 .. max_iterations, when all checks hold; -EBADMSG when
 * they do not after the last. Rows whose own parity column was not received at all are left out. */
int ldpc_decode(struct ldpc_decoder *d, const struct ldpc_code *code, const int8_t *llr, uint8_t *bits,
                unsigned max_iterations);

#endif
