/* arch.h - what tells one mixture-of-experts architecture from another, as a table.
 *
 * The forward path (bs_half.c, expert.c) has no branch on the architecture's name: it reads these fields, and what a
 * file may or may not have (biases, a shared expert, an output head of its own) it tells by what is there. A new
 * architecture is a new row, and a new field where no field yet says what is peculiar about it.
 * Source: the tables of architectures in the GGUF files' own readers; each row is held against reference logits in
 * tests/moe/test_oracle.c.
 */
#ifndef MOE_ARCH_H
#define MOE_ARCH_H

#include <stdbool.h>
#include <stddef.h>

/* RMS norm of queries and keys before they are rotated. */
enum moe_qk_norm {
	MOE_QK_NORM_NONE,
	MOE_QK_NORM_WHOLE, /* over all heads together, a weight for each number */
	MOE_QK_NORM_HEAD,  /* over each head, all with the same weights */
};

/* An expert beside the routed ones that works on every token. */
enum moe_shared {
	MOE_SHARED_NONE,
	MOE_SHARED_PLAIN, /* added as it is, where the file has one */
	MOE_SHARED_GATED, /* times sigmoid(gate . hidden state) */
};

struct moe_arch {
	const char *name; /* value of general.architecture, and prefix of its keys */
	bool rope_halves; /* rotary pairs are (i, i + n/2) rather than (2i, 2i + 1) */
	enum moe_qk_norm qk_norm;
	enum moe_shared shared;
	bool renormalise; /* the chosen experts' probabilities are scaled to sum to 1 */
	bool tied_output; /* without output.weight the embedding serves as output head */
	bool scales;      /* embedding, attention, branches and logits have factors of their own */
};

/* Lower clamp of the sum of probabilities that is scaled to 1: the smallest normal f16. */
#define MOE_RENORMALISE_MIN_SUM 6.103515625e-5f

/* Row by name (len bytes, not terminated); NULL if this program does not know it. */
const struct moe_arch *moe_arch_by_name(const char *name, size_t len);
/* The i-th row, NULL at the end. */
const struct moe_arch *moe_arch_at(size_t i);

#endif
