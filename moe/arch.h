/* arch.h - what tells one mixture-of-experts architecture from another, as a table.
 *
 * The forward path (bs_half.c, expert.c) has no branch on the architecture's name: it reads these fields. A new
 * architecture is a new row, and a new field where no field yet says what is peculiar about it.
 * Source: the tables of architectures in the GGUF files' own readers; each row is held against reference logits in
 * tests/moe/test_oracle.c.
 */
#ifndef MOE_ARCH_H
#define MOE_ARCH_H

#include <stdbool.h>
#include <stddef.h>

struct moe_arch {
	const char *name;          /* value of general.architecture, and prefix of its keys */
	bool rope_halves;          /* rotary pairs are (i, i + n/2) rather than (2i, 2i + 1) */
	bool renormalise;          /* the chosen experts' probabilities are scaled to sum to 1 */
	bool tied_output;          /* without output.weight the embedding serves as output head */
	float renormalise_min_sum; /* lower clamp of that sum */
};

/* Row by name (len bytes, not terminated); NULL if this program does not know it. */
const struct moe_arch *moe_arch_by_name(const char *name, size_t len);

#endif
